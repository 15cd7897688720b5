/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

static int completion_run(struct cli *cli)
{
	struct error err;

	if (command_completion(commands, cli->operands[0], stdout) == 0)
		return 0;
	error_set(&err, ERROR_INPUT, "there is no completion for the shell '%s'", cli->operands[0]);
	error_hint(&err, "bash, zsh and fish have one");
	return output_error(cli, &err);
}

const struct command command_completion_ = {
	.name = "completion",
	.operands = "bash|zsh|fish",
	.summary = "print a completion script for a shell",
	.description = "Prints a completion script for bash, zsh or fish, made from the same table as --help.",
	.examples = "  insula completion bash > /etc/bash_completion.d/insula\n",
	.exits = "0 done\n4 unknown shell\n",
	.min_operands = 1,
	.max_operands = 1,
	.run = completion_run,
};

static int man_run(struct cli *cli)
{
	for (const struct command *const *c = commands; *c; c++)
		if (streq((*c)->name, cli->operands[0])) {
			command_man(*c, stdout);
			return 0;
		}
	return error_exit_status(ERROR_INPUT);
}

const struct command command_man_ = {
	.name = "man",
	.operands = "COMMAND",
	.summary = "print the scdoc source of a command's manual page",
	.description = "Prints the source of a command's manual page in scdoc's format; the build makes the pages from it.",
	.flags = COMMAND_HIDDEN,
	.min_operands = 1,
	.max_operands = 1,
	.run = man_run,
};
