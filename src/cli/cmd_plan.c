/* SPDX-License-Identifier: Apache-2.0 */
#include "carry.h"

#include <unistd.h>

static int plan_run(struct cli *cli)
{
	autosession struct session session = { 0 };
	autoplan struct plan plan;
	struct plan_options options = { .prune = cli_flag(cli, "prune") };
	bool offline = cli_flag(cli, "offline");
	struct error err;

	plan_init(&plan);
	if (session_read(&session, cli, &err) < 0)
		return output_error(cli, &err);
	if (!offline && geteuid() != 0) {
		error_set(&err, ERROR_PERMISSION, "insula plan looks at what is on the machine, and only root sees that");
		error_hint(&err, "run it as root or with sudo; without a look: insula plan --offline");
		return output_error(cli, &err);
	}
	if (session_open(&session, cli, false, offline, &err) < 0)
		return output_error(cli, &err);
	if (deployment_expand(&session.deployment, &err) < 0 || deployment_list(&session.deployment, &err) < 0 ||
	    deployment_plan(&session.deployment, &options, &plan, &err) < 0)
		return output_error(cli, &err);
	carry_show(cli, &plan, session.deployment.config.deployment);
	if (cli_value(cli, "output")) {
		if (plan_save(&plan, cli_value(cli, "output"), &err) < 0)
			return output_error(cli, &err);
		output_summary(cli, "saved to %s; carry it out with: insula apply %s", cli_value(cli, "output"), cli_value(cli, "output"));
	}
	return cli_flag(cli, "check") && plan_change_count(&plan) > 0 ? 2 : 0;
}

static const struct option options[] = {
	{ "output", 'o', "PLANFILE", "save the plan; 'insula apply PLANFILE' carries out exactly this" },
	{ "check", 0, NULL, "exit 2 when something would change" },
	{ "prune", 0, NULL, "plan to remove what the file no longer names" },
	{ "offline", 0, NULL, "do not look at the machine: everything is shown as to be made" },
	{ NULL, 0, NULL, NULL },
};

const struct command command_plan = {
	.name = "plan",
	.operands = "[FILE]...",
	.summary = "show what apply would do, and change nothing",
	.description = "Reads the file (or all *.yaml of a folder; insula.yaml when none is named), looks at the machine\n"
		       "and prints what would be created (+), updated (~), replaced (!), adopted (=) or removed (-).\n"
		       "Says also what cannot be enforced here, and what is read but acted on by nothing yet.\n\n"
		       "What the file no longer names is shown and stays, unless --prune is given.",
	.options = options,
	.examples = "  insula plan lab.yaml\n  insula plan --check -o lab.plan examples/lab\n",
	.exits = "0 done\n1 error\n2 something would change (with --check)\n4 the file is wrong\n5 not permitted\n6 no room: a quota, addresses, disk\n",
	.max_operands = -1,
	.run = plan_run,
};
