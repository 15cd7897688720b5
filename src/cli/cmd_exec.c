/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define EXEC_FAILED 125	/* our own failure, told from the command's status */

static int exec_failed(const struct cli *cli, const struct error *err)
{
	output_error(cli, err);
	return EXEC_FAILED;
}

static int exec_in(struct session *session, const char *key, const char *const *argv, bool tty, bool interactive, const char *working_dir)
{
	struct exec_request request = {
		.key = key,
		.argv = argv,
		.working_dir = working_dir,
		.tty = tty,
		.interactive = interactive,
		.stdin_fd = STDIN_FILENO,
		.stdout_fd = STDOUT_FILENO,
		.stderr_fd = STDERR_FILENO,
	};
	struct error err;
	int status;

	if (tty && !isatty(STDIN_FILENO)) {
		error_set(&err, ERROR_INPUT, "-t needs a terminal on standard input, and there is none");
		error_hint(&err, "leave -t out");
		return exec_failed(session->cli, &err);
	}
	/* The command's own business: a ^C is for it. */
	signal(SIGINT, SIG_IGN);
	fflush(stdout);
	if (session->deployment.ops->exec(session->deployment.site, &request, &status, &err) < 0)
		return exec_failed(session->cli, &err);
	return status;
}

static int exec_run(struct cli *cli)
{
	autosession struct session session = { 0 };
	autofree char *key = NULL;
	struct error err;

	if (session_open(&session, cli, false, false, &err) < 0 ||
	    session_instance(&session, cli->operands[0], &key, &err) < 0)
		return exec_failed(cli, &err);
	if (cli->operand_n < 2) {
		error_set(&err, ERROR_INPUT, "which command should run in %s?", key);
		error_hint(&err, "insula exec %s -- COMMAND; for a shell: insula exec -it %s -- sh", key, key);
		return exec_failed(cli, &err);
	}
	return exec_in(&session, key, (const char *const *)cli->operands + 1, cli_flag(cli, "tty"), cli_flag(cli, "interactive"), cli_value(cli, "workdir"));
}

static const struct option exec_options[] = {
	{ "interactive", 'i', NULL, "pass standard input on" },
	{ "tty", 't', NULL, "give the command a terminal" },
	{ "workdir", 'w', "DIR", "the folder to start in" },
	{ NULL, 0, NULL, NULL },
};

const struct command command_exec = {
	.name = "exec",
	.operands = "INSTANCE [--] COMMAND...",
	.summary = "run a command in a running instance",
	.description = "Runs a command inside an instance: in its namespaces, under its limits, as its user. Ends with the command's own exit status.",
	.options = exec_options,
	.examples = "  insula exec vision/train -- nproc\n  insula exec -it vision/train/0 -- sh\n",
	.exits = "0 the command's own, whatever it is\n125 insula could not run it\n",
	.flags = COMMAND_ROOT | COMMAND_TRAILING,
	.min_operands = 1,
	.max_operands = -1,
	.run = exec_run,
};

struct shell_search {
	const char *tenant, *workload;
	char *key;
};

static int shell_seen(void *arg, const struct usage_record *record)
{
	struct shell_search *search = arg;

	if (!search->key && streq(record->tenant, search->tenant) && streq(record->state, "running") &&
	    (!search->workload || streq(search->workload, record->workload)))
		search->key = xstrdup(record->key);
	return 0;
}

static int shell_run(struct cli *cli)
{
	static const char *const standard[] = { "/bin/sh", NULL };
	autosession struct session session = { 0 };
	struct shell_search search = { .tenant = cli->operands[0], .workload = cli_value(cli, "workload") };
	struct error err;
	int status;

	if (session_open(&session, cli, false, false, &err) < 0 ||
	    session.deployment.ops->usage(session.deployment.site, false, shell_seen, &search, &err) < 0)
		return exec_failed(cli, &err);
	if (!search.key) {
		if (session_tenant(&session, search.tenant, &err) == 0)
			error_set(&err, ERROR_NOT_FOUND, "nothing of %s%s%s is running", search.tenant, search.workload ? "/" : "", search.workload ? search.workload : "");
		error_hint(&err, "insula status lists what is");
		return exec_failed(cli, &err);
	}
	output_summary(cli, "a shell in %s", search.key);
	status = exec_in(&session, search.key, standard, isatty(STDIN_FILENO), true, NULL);
	free(search.key);
	return status;
}

static const struct option shell_options[] = {
	{ "workload", 'w', "NAME", "in an instance of this workload" },
	{ NULL, 0, NULL, NULL },
};

const struct command command_shell = {
	.name = "shell",
	.operands = "TENANT",
	.summary = "a shell on a tenant's island",
	.description = "Opens /bin/sh in the first running instance of a tenant: what the tenant sees is what you see.",
	.options = shell_options,
	.examples = "  insula shell vision\n",
	.exits = "0 the shell's own, whatever it is\n125 insula could not run it\n",
	.flags = COMMAND_ROOT,
	.min_operands = 1,
	.max_operands = 1,
	.run = shell_run,
};
