/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include "base/vec.h"
#include "output.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

const struct option cli_common_options[] = {
	{ "json", 0, NULL, "one JSON object a line on standard output" },
	{ "quiet", 'q', NULL, "no progress and no summaries" },
	{ "no-color", 0, NULL, "no colour, as with NO_COLOR in the environment" },
	{ "deployment", 'd', "NAME", "the deployment, when the file does not say (default: the only one there is)" },
	{ "state-dir", 0, "DIR", "what a reboot must keep (default /var/lib/insula, or INSULA_STATE_DIR)" },
	{ "run-dir", 0, "DIR", "what a reboot may lose (default /run/insula, or INSULA_RUN_DIR)" },
	{ "debug", 0, NULL, "say what is done underneath" },
	{ "help", 'h', NULL, "this text" },
	{ NULL, 0, NULL, NULL },
};

static const struct option *option_in(const struct option *table, const char *name, size_t n, char letter)
{
	for (; table && table->name; table++)
		if (name ? strlen(table->name) == n && memcmp(table->name, name, n) == 0 : letter && table->letter == letter)
			return table;
	return NULL;
}

static const struct option *option_find(const struct command *command, const char *name, size_t n, char letter)
{
	const struct option *option = option_in(command->options, name, n, letter);

	return option ? option : option_in(cli_common_options, name, n, letter);
}

static void option_unknown(const struct command *command, const char *text)
{
	VEC(const char *) names = { 0 };
	autofree char *bare = xstrdup(text[1] == '-' ? text + 2 : text + 1);
	const char *near;

	bare[strcspn(bare, "=")] = '\0';
	for (const struct option *o = command->options; o && o->name; o++)
		vec_push(&names, o->name);
	for (const struct option *o = cli_common_options; o->name; o++)
		vec_push(&names, o->name);
	vec_push(&names, NULL);
	near = nearest_word(bare, names.items);
	fprintf(stderr, "insula %s: unknown option '%s'", command->name, text);
	if (near)
		fprintf(stderr, "; did you mean --%s?", near);
	fprintf(stderr, "\n  try: insula %s --help\n", command->name);
	vec_clear(&names);
}

/* One option at argv[i]; returns how many words it took, or -1 after saying why not. */
static int option_take(struct cli *cli, int argc, char **argv, int i)
{
	const char *text = argv[i];
	const struct option *option;
	const char *value = "";
	int words = 1;

	if (text[1] == '-') {
		size_t n = strcspn(text + 2, "=");

		option = option_find(cli->command, text + 2, n, 0);
		if (option && text[2 + n] == '=') {
			if (!option->argument) {
				fprintf(stderr, "insula %s: --%s takes no value\n", cli->command->name, option->name);
				return -1;
			}
			value = text + 2 + n + 1;
			goto found;
		}
	} else {
		option = option_find(cli->command, NULL, 0, text[1]);
		if (option && text[2]) {
			if (!option->argument)
				option = NULL;	/* letters are not bundled, but for -it below */
			else {
				value = text + 2;
				goto found;
			}
		}
	}
	if (!option) {
		option_unknown(cli->command, text);
		return -1;
	}
	if (option->argument) {
		if (i + 1 >= argc) {
			fprintf(stderr, "insula %s: --%s needs a value: --%s %s\n", cli->command->name, option->name, option->name, option->argument);
			return -1;
		}
		value = argv[i + 1];
		words = 2;
	}
found:
	map_set(&cli->values, option->name, (void *)(uintptr_t)value);
	return words;
}

/* "-it" is "-i -t": people's fingers know it */
static bool letters_take(struct cli *cli, const char *text)
{
	if (text[1] == '-' || !text[1] || !text[2])
		return false;
	for (const char *p = text + 1; *p; p++) {
		const struct option *option = option_find(cli->command, NULL, 0, *p);

		if (!option || option->argument)
			return false;
	}
	for (const char *p = text + 1; *p; p++)
		map_set(&cli->values, option_find(cli->command, NULL, 0, *p)->name, (void *)(uintptr_t) "");
	return true;
}

static int operands_check(const struct cli *cli)
{
	const struct command *command = cli->command;

	if (cli->operand_n < command->min_operands)
		fprintf(stderr, "insula %s: %s\n", command->name, cli->operand_n == 0 ? "an operand is missing" : "more operands are needed");
	else if (command->max_operands >= 0 && cli->operand_n > command->max_operands)
		fprintf(stderr, "insula %s: '%s' is one operand too many\n", command->name, cli->operands[command->max_operands]);
	else
		return 0;
	fprintf(stderr, "  usage: insula %s %s\n", command->name, command->operands ? command->operands : "");
	return -1;
}

static const struct command *command_find(const struct command *const *table, const char *name)
{
	for (; *table; table++)
		if (streq((*table)->name, name))
			return *table;
	return NULL;
}

static int command_unknown(const struct command *const *table, const char *name)
{
	VEC(const char *) names = { 0 };
	const char *near;

	for (const struct command *const *c = table; *c; c++)
		if (!((*c)->flags & COMMAND_HIDDEN))
			vec_push(&names, (*c)->name);
	vec_push(&names, NULL);
	near = nearest_word(name, names.items);
	fprintf(stderr, "insula: unknown command '%s'", name);
	if (near)
		fprintf(stderr, "; did you mean '%s'?", near);
	fprintf(stderr, "\n  try: insula --help\n");
	vec_clear(&names);
	return error_exit_status(ERROR_INPUT);
}

int cli_parse(struct cli *cli, const struct command *const *table, int argc, char **argv)
{
	bool ended = false;

	if (argc < 2 || streq(argv[1], "--help") || streq(argv[1], "-h") || streq(argv[1], "help")) {
		if (argc > 2 && command_find(table, argv[2])) {
			command_help(command_find(table, argv[2]), stdout);
			return 0;
		}
		command_list(table, argc < 2 ? stderr : stdout);
		return argc < 2 ? error_exit_status(ERROR_INPUT) : 0;
	}
	if (streq(argv[1], "--version") || streq(argv[1], "version")) {
		printf("insula %s\n", INSULA_VERSION);
		return 0;
	}
	cli->command = command_find(table, argv[1]);
	if (!cli->command)
		return command_unknown(table, argv[1]);
	cli->operands = xcalloc((size_t)argc + 1, sizeof(*cli->operands));
	for (int i = 2; i < argc;) {
		if (!ended && argv[i][0] == '-' && argv[i][1]) {
			int words = 1;

			if (streq(argv[i], "--"))
				ended = true;
			else if (!letters_take(cli, argv[i]) && (words = option_take(cli, argc, argv, i)) < 0)
				return error_exit_status(ERROR_INPUT);
			i += words;
			continue;
		}
		cli->operands[cli->operand_n++] = argv[i++];
		if (cli->command->flags & COMMAND_TRAILING && cli->operand_n >= cli->command->min_operands) {
			if (i < argc && streq(argv[i], "--"))
				i++;
			ended = true;
		}
	}
	if (cli_flag(cli, "help")) {
		command_help(cli->command, stdout);
		return 0;
	}
	return operands_check(cli) < 0 ? error_exit_status(ERROR_INPUT) : -1;
}

void cli_clear(struct cli *cli)
{
	map_clear(&cli->values);
	free(cli->operands);
	free(cli->program_dir);
}

static void option_must_exist(const struct cli *cli, const char *name)
{
	if (!option_find(cli->command, name, strlen(name), 0))
		BUG("command %s has no option --%s", cli->command->name, name);
}

bool cli_flag(const struct cli *cli, const char *name)
{
	option_must_exist(cli, name);
	return map_has(&cli->values, name);
}

const char *cli_value(const struct cli *cli, const char *name)
{
	option_must_exist(cli, name);
	return map_get(&cli->values, name);
}

int cli_int(const struct cli *cli, const char *name, int64_t low, int64_t high, int64_t absent, int64_t *ret, struct error *err)
{
	const char *text = cli_value(cli, name);
	char *end;
	long long value;

	if (!text) {
		*ret = absent;
		return 0;
	}
	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno || end == text || *end || value < low || value > high)
		return error_set(err, ERROR_INPUT, "--%s takes a whole number from %lld to %lld, not '%s'", name, (long long)low, (long long)high, text);
	*ret = value;
	return 0;
}
