/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_IMPORT_SHELL_H
#define INSULA_IMPORT_SHELL_H

/*
 * Words of a shell, without a shell: quotes, backslashes, joined lines, comments, variables and the
 * few substitutions that only ask who one is: $(pwd), $(id -u), $(id -g), also in backquotes. Nothing is run.
 * A variable that is not known is noted (grave) and stays as it was written.
 * What is more than words (pipes, redirections, loops) ends the command, and `tail` says by what.
 */

#include "work.h"

struct shell_command {
	VEC(const char *) words;
	unsigned line;			/* of the first word */
	VEC(unsigned) lines;		/* of each word */
	bool literal;			/* set before shell_next: only blanks, quotes and backslashes mean something */
	const char *tail;		/* ";", "|", "&&", ">", ... or "" */
};

void shell_command_clear(struct shell_command *command);
#define autocommand CLEANUP(shell_command_clear)

/* The next command from *at on, before text + n; false at the end. ERROR_INPUT: a quote that is never closed, too many words. *line is kept. */
int shell_next(struct importer *importer, const char **at, const char *end, unsigned *line, struct shell_command *ret, bool *ret_more, struct error *err) WARN_UNUSED;

/* $NAME, ${NAME}, ${NAME:-word}, ${NAME-word}; `$$` is a dollar when `compose`. Unknown ones are noted. */
const char *shell_expand(struct importer *importer, unsigned line, const char *text, bool compose);

#endif
