/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <stdlib.h>
#include <unistd.h>

static int logs_run(struct cli *cli)
{
	autosession struct session session = { 0 };
	autofree char *key = NULL;
	int64_t tail;
	struct error err;

	if (cli_int(cli, "tail", 0, 1000000000, -1, &tail, &err) < 0 || session_open(&session, cli, false, false, &err) < 0 || session_instance(&session, cli->operands[0], &key, &err) < 0)
		return output_error(cli, &err);
	fflush(stdout);
	if (session.deployment.ops->logs(session.deployment.site, key, STDOUT_FILENO, cli_flag(cli, "follow"), tail, &output_stop, &err) < 0)
		return output_error(cli, &err);
	return output_stop ? error_exit_status(ERROR_INTERRUPTED) : 0;
}

static const struct option options[] = {
	{ "follow", 'f', NULL, "go on until the instance has ended" },
	{ "tail", 'n', "LINES", "only the last lines" },
	{ NULL, 0, NULL, NULL },
};

const struct command command_logs = {
	.name = "logs",
	.operands = "INSTANCE",
	.summary = "what an instance has printed",
	.description = "Prints the log of an instance: standard output and error of its command, untouched, the oldest first.\n"
		       "INSTANCE is TENANT/WORKLOAD/REPLICA; the replica can be left out, and the tenant where only one has such a workload.",
	.options = options,
	.examples = "  insula logs vision/train\n  insula logs -f -n 20 vision/train/0\n",
	.exits = "0 done\n1 error, or no such instance\n130 interrupted\n",
	.flags = COMMAND_ROOT,
	.min_operands = 1,
	.max_operands = 1,
	.run = logs_run,
};
