/* SPDX-License-Identifier: Apache-2.0 */
/* What the table of commands says to people and to shells: help, man pages, completions. */
#include "command.h"

#include <ctype.h>
#include <stdlib.h>

static void option_print(const struct option *option, FILE *out)
{
	autofree char *left = xasprintf("%s%c%s--%s%s%s", option->letter ? "-" : "", option->letter ? option->letter : ' ', option->letter ? ", " : "   ",
					option->name, option->argument ? " " : "", option->argument ? option->argument : "");

	fprintf(out, "  %-26s %s\n", left, option->doc);
}

void command_help(const struct command *command, FILE *out)
{
	fprintf(out, "usage: insula %s%s%s%s\n\n%s\n", command->name, command->options ? " [OPTION]..." : "", command->operands ? " " : "",
		command->operands ? command->operands : "", command->description);
	if (command->options && command->options->name) {
		fprintf(out, "\noptions:\n");
		for (const struct option *o = command->options; o->name; o++)
			option_print(o, out);
	}
	fprintf(out, "\ncommon options:\n");
	for (const struct option *o = cli_common_options; o->name; o++)
		option_print(o, out);
	if (command->exits)
		fprintf(out, "\nexit status:\n");
	for (const char *line = command->exits; line && *line;) {
		int n = (int)strcspn(line, "\n");

		fprintf(out, "  %.*s\n", n, line);
		line += n + (line[n] == '\n');
	}
	if (command->examples)
		fprintf(out, "\nexamples:\n%s", command->examples);
}

void command_list(const struct command *const *table, FILE *out)
{
	fprintf(out, "insula: every team its own island on shared AI infrastructure\n\n"
		     "usage: insula COMMAND [OPTION]... [OPERAND]...\n\n");
	for (; *table; table++)
		if (!((*table)->flags & COMMAND_HIDDEN))
			fprintf(out, "  %-12s %s\n", (*table)->name, (*table)->summary);
	fprintf(out, "\nA first look:  insula init   then   insula plan   then   insula apply\n"
		     "More:          insula COMMAND --help, man insula, insula explain\n");
}

/* scdoc gives _ and * a meaning inside words, and - and . at the start of a line. */
static void scd_text(const char *text, FILE *out)
{
	for (; *text; text++) {
		if (*text == '_' || *text == '*' || *text == '\\' || *text == '[' || *text == '<' || *text == '>' || *text == '#' || *text == '~' || *text == '.')
			fputc('\\', out);
		fputc(*text, out);
	}
}

static void scd_option(const struct option *option, FILE *out)
{
	if (option->letter)
		fprintf(out, "*-%c*, ", option->letter);
	fprintf(out, "*--%s*", option->name);
	if (option->argument)
		fprintf(out, " _%s_", option->argument);
	fprintf(out, "\n\t");
	scd_text(option->doc, out);
	fprintf(out, "\n\n");
}

void command_man(const struct command *command, FILE *out)
{
	fprintf(out, "insula-%s(1)\n\n# NAME\n\ninsula-%s - ", command->name, command->name);
	scd_text(command->summary, out);
	fprintf(out, "\n\n# SYNOPSIS\n\n*insula %s* %s", command->name, command->options ? "\\[_OPTION_]... " : "");
	if (command->operands)
		scd_text(command->operands, out);
	fprintf(out, "\n\n# DESCRIPTION\n\n");
	scd_text(command->description, out);
	fprintf(out, "\n\n# OPTIONS\n\n");
	for (const struct option *o = command->options; o && o->name; o++)
		scd_option(o, out);
	for (const struct option *o = cli_common_options; o->name; o++)
		scd_option(o, out);
	if (command->exits)
		fprintf(out, "# EXIT STATUS\n\n");
	for (const char *line = command->exits; line && *line;) {
		int n = (int)strcspn(line, "\n"), digits = (int)strcspn(line, " ");

		fprintf(out, "*%.*s*\n\t", digits, line);
		autofree char *rest = xstrndup(line + digits + (line[digits] == ' '), (size_t)(n - digits - (line[digits] == ' ')));
		scd_text(rest, out);
		fprintf(out, "\n\n");
		line += n + (line[n] == '\n');
	}
	if (command->examples)
		fprintf(out, "# EXAMPLES\n\n```\n%s```\n\n", command->examples);
	fprintf(out, "# SEE ALSO\n\n*insula*(1), *insula*(5)\n");
}

static void words_options(const struct command *command, FILE *out)
{
	for (const struct option *o = command->options; o && o->name; o++)
		fprintf(out, " --%s", o->name);
	for (const struct option *o = cli_common_options; o->name; o++)
		fprintf(out, " --%s", o->name);
}

static void completion_bash(const struct command *const *table, FILE *out)
{
	fprintf(out, "# bash completion for insula\n_insula() {\n"
		     "\tlocal current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words=\n"
		     "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords='");
	for (const struct command *const *c = table; *c; c++)
		if (!((*c)->flags & COMMAND_HIDDEN))
			fprintf(out, "%s ", (*c)->name);
	fprintf(out, "'\n\telse\n\t\tcase $command in\n");
	for (const struct command *const *c = table; *c; c++) {
		if ((*c)->flags & COMMAND_HIDDEN)
			continue;
		fprintf(out, "\t\t%s) words='", (*c)->name);
		words_options(*c, out);
		fprintf(out, "' ;;\n");
	}
	fprintf(out, "\t\tesac\n"
		     "\t\tif [ \"$command\" = explain ]; then words=\"$words $(insula explain --paths 2>/dev/null)\"; fi\n"
		     "\t\tcase $command in\n"
		     "\t\tdestroy|shell) words=\"$words $(insula status --names tenants 2>/dev/null)\" ;;\n"
		     "\t\tlogs|exec) words=\"$words $(insula status --names instances 2>/dev/null)\" ;;\n"
		     "\t\tesac\n"
		     "\tfi\n"
		     "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
		     "\tcase $current in -*) ;; *) mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -f -- \"$current\") ;; esac\n"
		     "}\ncomplete -F _insula insula\n");
}

static void completion_zsh(const struct command *const *table, FILE *out)
{
	fprintf(out, "#compdef insula\n_insula() {\n\tlocal -a commands\n\tcommands=(\n");
	for (const struct command *const *c = table; *c; c++)
		if (!((*c)->flags & COMMAND_HIDDEN))
			fprintf(out, "\t\t'%s:%s'\n", (*c)->name, (*c)->summary);
	fprintf(out, "\t)\n\tif (( CURRENT == 2 )); then _describe command commands; return; fi\n\tcase $words[2] in\n");
	for (const struct command *const *c = table; *c; c++) {
		if ((*c)->flags & COMMAND_HIDDEN)
			continue;
		fprintf(out, "\t%s) _arguments '*:file:_files'", (*c)->name);
		for (const struct option *o = (*c)->options; o && o->name; o++)
			fprintf(out, " '--%s%s%s'", o->name, o->argument ? "=:" : "", o->argument ? o->argument : "");
		for (const struct option *o = cli_common_options; o->name; o++)
			fprintf(out, " '--%s%s%s'", o->name, o->argument ? "=:" : "", o->argument ? o->argument : "");
		fprintf(out, " ;;\n");
	}
	fprintf(out, "\tesac\n}\n_insula \"$@\"\n");
}

static void completion_fish(const struct command *const *table, FILE *out)
{
	fprintf(out, "# fish completion for insula\n");
	for (const struct command *const *c = table; *c; c++) {
		if ((*c)->flags & COMMAND_HIDDEN)
			continue;
		fprintf(out, "complete -c insula -n __fish_use_subcommand -a %s -d '%s'\n", (*c)->name, (*c)->summary);
		for (const struct option *o = (*c)->options; o && o->name; o++)
			fprintf(out, "complete -c insula -n '__fish_seen_subcommand_from %s' -l %s%s -d '%s'\n", (*c)->name, o->name, o->argument ? " -r" : "", o->doc);
	}
	for (const struct option *o = cli_common_options; o->name; o++)
		fprintf(out, "complete -c insula -l %s%s -d '%s'\n", o->name, o->argument ? " -r" : "", o->doc);
}

int command_completion(const struct command *const *table, const char *shell, FILE *out)
{
	if (streq(shell, "bash"))
		completion_bash(table, out);
	else if (streq(shell, "zsh"))
		completion_zsh(table, out);
	else if (streq(shell, "fish"))
		completion_fish(table, out);
	else
		return -1;
	return 0;
}
