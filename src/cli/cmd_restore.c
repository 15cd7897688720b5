/* SPDX-License-Identifier: Apache-2.0 */
#include "carry.h"

static int restore_run(struct cli *cli)
{
	autosession struct session session = { 0 };
	autoplan struct plan plan;
	struct plan_options options = { 0 };
	struct error err;
	int status;

	plan_init(&plan);
	if (session_open(&session, cli, true, false, &err) < 0)
		return output_error(cli, &err);
	if (!session.deployment.intent) {
		if (session.deployment.has_stored) {
			err = session.deployment.stored_error;
		} else {
			error_set(&err, ERROR_NOT_FOUND, "nothing of deployment %s is applied: there is nothing to restore", session.deployment.config.deployment);
			error_hint(&err, "insula apply FILE; or name the deployment with --deployment");
		}
		return output_error(cli, &err);
	}
	if (deployment_expand(&session.deployment, &err) < 0 || deployment_list(&session.deployment, &err) < 0 ||
	    deployment_plan(&session.deployment, &options, &plan, &err) < 0)
		return output_error(cli, &err);
	if (cli->json)
		carry_show(cli, &plan, session.deployment.config.deployment);
	status = carry_out(&session, &plan, false, NULL);
	if (status == 0 && plan_change_count(&plan) == 0)
		output_summary(cli, "nothing to do: all is as it was last applied");
	else if (status == 0)
		output_summary(cli, "restored %s", session.deployment.config.deployment);
	return status;
}

const struct command command_restore = {
	.name = "restore",
	.summary = "after a reboot: the last applied state again",
	.description = "Applies again what was last applied, from the copy of the file that the state keeps: after a reboot,\n"
		       "or when monitors, namespaces or mounts were lost. Volumes and logs are as they were; what had finished\n"
		       "stays finished; what ran starts again.",
	.examples = "  insula restore\n  insula restore --deployment lab\n",
	.exits = "0 done, or nothing to do\n1 error, or nothing was ever applied\n3 partly done; the same command resumes\n5 not permitted\n6 no room\n130 interrupted\n",
	.flags = COMMAND_ROOT,
	.max_operands = 0,
	.run = restore_run,
};
