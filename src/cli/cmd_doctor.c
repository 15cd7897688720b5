/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <stdlib.h>

static const struct {
	const char *level, *mark, *color;
} levels[] = {
	{ "ok", "ok  ", "\033[32m" },
	{ "warn", "WARN", "\033[33m" },
	{ "fail", "FAIL", "\033[31m" },
};

static void check_print(const struct cli *cli, json_t *check)
{
	const char *level = json_string_value(json_object_get(check, "level"));
	const char *fix = json_string_value(json_object_get(check, "fix"));

	if (cli->json) {
		output_json("check", json_incref(check));
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (streq(levels[i].level, level))
			printf("%s%s%s  %-12s %s\n", cli->stdout_color ? levels[i].color : "", levels[i].mark, cli->stdout_color ? "\033[0m" : "",
			       json_string_value(json_object_get(check, "id")), json_string_value(json_object_get(check, "text")));
	if (fix && *fix && !streq(level, "ok"))
		printf("        fix: %s\n", fix);
}

static int doctor_run(struct cli *cli)
{
	struct site_intent standard = { .name = cli->deployment ? cli->deployment : "local", .strangers = STRANGERS_REPORT };
	autosession struct session session = { 0 };
	struct site_config config = {
		.state_dir = cli->state_dir,
		.run_dir = cli->run_dir,
		.program_dir = cli->program_dir,
		.nvml = cli->nvml,
		.intent = &standard,
	};
	struct site_facts facts = { 0 };
	size_t failures = 0, warnings = 0, i;
	json_t *check;
	struct error err;

	if (cli->operand_n > 0) {
		if (session_read(&session, cli, &err) < 0)
			return output_error(cli, &err);
		config.intent = &session.intent.site;
		config.whole_intent = &session.intent;
	}
	config.deployment = config.intent->name;
	if (session_sites[0]->probe(&config, &facts, &err) < 0)
		return output_error(cli, &err);
	json_array_foreach(json_object_get(facts.json, "checks"), i, check) {
		const char *level = json_string_value(json_object_get(check, "level"));

		failures += streq(level, "fail");
		warnings += streq(level, "warn");
		check_print(cli, check);
	}
	json_decref(facts.json);
	output_summary(cli, "%zu failure%s, %zu warning%s", failures, failures == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s");
	return failures ? 1 : 0;
}

const struct command command_doctor = {
	.name = "doctor",
	.operands = "[FILE]...",
	.summary = "say what this machine can do, what is missing and how to mend it",
	.description = "Looks at everything that insula stands on: kernel, cgroups, namespaces, file systems, programs, rules of other\n"
		       "software. Each line that is not ok has its cure. Changes nothing. With a file, its images and limits are looked at too.",
	.exits = "0 all is well, or only warnings\n1 something that insula needs does not work\n4 the file is wrong\n5 not permitted\n",
	.examples = "  insula doctor\n  insula doctor lab.yaml\n",
	.flags = COMMAND_ROOT,
	.max_operands = -1,
	.run = doctor_run,
};
