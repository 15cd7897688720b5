/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_CLI_COMMAND_H
#define INSULA_CLI_COMMAND_H

/*
 * The commands. Each is a row of one table (main.c) with its options as data: from it come the
 * parser, --help, the man pages and the completions, so that none can differ from the others.
 *
 * To add a command: write src/cli/cmd_<name>.c with a `const struct command command_<name>`,
 * declare it below, add it to the table in main.c and to meson.build.
 */

#include "base/base.h"
#include "base/map.h"

#include <stdio.h>

struct cli;

struct option {
	const char *name;	/* "prune": --prune */
	char letter;		/* 'o', or 0 */
	const char *argument;	/* "FILE" when it takes a value, else NULL */
	const char *doc;	/* one line, lower case, no full stop */
};

enum command_flags {
	COMMAND_ROOT = 1 << 0,		/* needs root: said before anything else is tried */
	COMMAND_TRAILING = 1 << 1,	/* options end at the first operand: the rest is another program's command line */
	COMMAND_HIDDEN = 1 << 2,	/* not in the list of commands */
};

struct command {
	const char *name;
	const char *operands;		/* "FILE... ", for the synopsis */
	const char *summary;		/* one line */
	const char *description;	/* paragraphs, for --help and the man page */
	const struct option *options;	/* ends with name NULL; or NULL */
	const char *examples;		/* lines, or NULL */
	const char *exits;		/* "0 done\n2 changes\n": its own exit statuses, one a line */
	unsigned flags;
	int min_operands, max_operands;	/* max -1: any */
	int (*run)(struct cli *cli);	/* the exit status */
};

struct cli {
	const struct command *command;
	char **operands;		/* NULL-ended */
	int operand_n;
	struct map values;		/* option name to value; "" for a flag */
	bool json, quiet, yes, debug;
	bool color, live;		/* stderr is a terminal: colour, progress that moves */
	bool stdout_color;
	int json_version;
	const char *state_dir, *run_dir;
	char *program_dir;		/* where insula-init and its kin are */
	const char *nvml;		/* INSULA_NVML, or NULL */
	const char *deployment;		/* --deployment, or NULL */
};

/* An option of the command's table: is it given; its value or NULL. */
bool cli_flag(const struct cli *cli, const char *name);
const char *cli_value(const struct cli *cli, const char *name);
/* An integer option within [low, high]; the default when absent. -1 with an error printed when it is none. */
int cli_int(const struct cli *cli, const char *name, int64_t low, int64_t high, int64_t absent, int64_t *ret, struct error *err) WARN_UNUSED;

/* Parses argv into cli. Returns -1 when the program should go on, else an exit status (help was printed, an option is wrong). */
int cli_parse(struct cli *cli, const struct command *const *commands, int argc, char **argv);
void cli_clear(struct cli *cli);

void command_help(const struct command *command, FILE *out);
void command_list(const struct command *const *commands, FILE *out);
void command_man(const struct command *command, FILE *out);		/* scdoc source */
int command_completion(const struct command *const *commands, const char *shell, FILE *out);	/* -1: unknown shell */

extern const struct option cli_common_options[];

extern const struct command command_apply, command_audit, command_completion_, command_destroy, command_doctor, command_exec, command_explain,
	command_image, command_import, command_init, command_logs, command_plan, command_restore, command_shell, command_status, command_top, command_man_;

extern const struct command *const commands[];	/* NULL-ended, in the order of the help */

#endif
