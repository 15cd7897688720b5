/* SPDX-License-Identifier: Apache-2.0 */
#include "carry.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLAN_HEAD 1024	/* bytes looked at */

/* A saved plan is JSON that begins as ours do; a file of the user is YAML. A damaged or old one is a plan still, and refused as such. What can be
   read only once is not looked at. */
static bool is_plan_file(const char *path)
{
	char head[PLAN_HEAD + 1];
	struct stat st;
	ssize_t n;

	if (streq(path, "-") || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	n = fd < 0 ? -1 : read(fd, head, PLAN_HEAD);
	head[MAX(n, 0)] = '\0';
	return head[strspn(head, " \t\r\n")] == '{' && strstr(head, "\"decisions\":");
}

static int notes_accepted(const struct cli *cli, const struct plan *plan, struct error *err)
{
	size_t i, refused = 0;
	json_t *note;

	json_array_foreach(plan->notes, i, note)
		if (starts_with(json_string_value(note), "not enforced")) {
			refused++;
			output_warning(cli, "%s", json_string_value(note));
		}
	if (refused == 0 || cli_flag(cli, "accept"))
		return 0;
	error_set(err, ERROR_UNSUPPORTED, "%zu word%s of the file cannot be enforced on this machine; nothing was done", refused, refused == 1 ? "" : "s");
	return error_hint(err, "take them out of the file, or say that it is all right with --accept");
}

static void notes_print(const struct cli *cli, const struct plan *plan)
{
	size_t i;
	json_t *note;

	if (cli->quiet || cli->json)
		return;
	json_array_foreach(plan->notes, i, note)
		if (!starts_with(json_string_value(note), "not enforced"))
			fprintf(stderr, "note: %s\n", json_string_value(note));
}

static int apply_plan(struct session *session, const struct plan *saved, struct plan *plan, struct error *err)
{
	struct cli *cli = session->cli;
	struct plan_options options = { .prune = cli_flag(cli, "prune") };
	struct deployment *deployment = &session->deployment;

	if (saved)
		options.prune = options.prune || plan_count(saved, STEP_DELETE) > 0;
	if (deployment_expand(deployment, err) < 0 || deployment_list(deployment, err) < 0 || deployment_plan(deployment, &options, plan, err) < 0)
		return -1;
	if (saved && plan_same(saved, plan, err) < 0) {
		error_wrap(err, "the plan no longer holds");
		return error_hint(err, "make a new one: insula plan -o PLANFILE FILE");
	}
	return notes_accepted(cli, plan, err);
}

static int apply_run_command(struct cli *cli)
{
	autosession struct session session = { 0 };
	autoplan struct plan saved = { 0 }, plan;
	bool from_plan = cli->operand_n == 1 && is_plan_file(cli->operands[0]);
	struct error err;
	int status;

	plan_init(&plan);
	session.cli = cli;
	if (from_plan) {	/* the files as they were when the plan was made are in it: that is what it is a contract about */
		if (plan_load(cli->operands[0], &saved, &err) < 0 || session_parse(&session, saved.files, &err) < 0)
			return output_error(cli, &err);
	} else if (session_read(&session, cli, &err) < 0) {
		return output_error(cli, &err);
	}
	if (session_open(&session, cli, true, false, &err) < 0 || apply_plan(&session, from_plan ? &saved : NULL, &plan, &err) < 0)
		return output_error(cli, &err);
	if (plan_change_count(&plan) == 0) {
		size_t abandoned = plan_count(&plan, STEP_ABANDONED);

		if (cli->json)
			carry_show(cli, &plan, session.deployment.config.deployment);
		notes_print(cli, &plan);
		/* no verb, but the state remembers what is the file now; and what could not be planned is an error */
		status = carry_out(&session, &plan, false, NULL);
		if (status)
			return status;
		output_summary(cli, "nothing to do: all is as the file says");
		if (abandoned)
			output_summary(cli, "  %zu thing%s that the file no longer names: insula apply --prune", abandoned, abandoned == 1 ? "" : "s");
		return 0;
	}
	if (!cli->quiet)
		carry_show(cli, &plan, session.deployment.config.deployment);
	status = carry_out(&session, &plan, false, NULL);
	if (status == 0)
		output_summary(cli, "  see: insula status");
	return status;
}

static const struct option options[] = {
	{ "prune", 0, NULL, "remove what the file no longer names" },
	{ "accept", 0, NULL, "go on although something in the file cannot be enforced here" },
	{ NULL, 0, NULL, NULL },
};

const struct command command_apply = {
	.name = "apply",
	.operands = "[FILE]... | PLANFILE",
	.summary = "make the machine as the file says",
	.description = "Makes what the file (or all *.yaml of a folder; insula.yaml when none is named) says: walls and limits\n"
		       "first, then networks and storage, then what runs. Applying twice changes nothing. It never asks.\n"
		       "After an interruption, running it again goes on where it stopped.\n\n"
		       "With a plan file of 'insula plan -o' it does exactly what that plan says, and refuses when the world\n"
		       "has moved since.",
	.options = options,
	.examples = "  insula apply lab.yaml\n  insula plan -o lab.plan lab.yaml && insula apply lab.plan\n",
	.exits = "0 done, or nothing to do\n1 error, or the plan no longer holds\n3 partly done; the same command resumes\n4 the file is wrong\n"
		 "5 not permitted\n6 no room: a quota, addresses, disk\n130 interrupted; the journal is safe\n",
	.flags = COMMAND_ROOT,
	.max_operands = -1,
	.run = apply_run_command,
};
