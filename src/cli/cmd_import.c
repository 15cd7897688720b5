/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include "base/fs.h"
#include "base/vec.h"
#include "import/import.h"

#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#define VARIABLES_MAX 1000

/* What is known of who imports and where, then what --set says. `texts` hold the strings. */
struct variables { VEC(struct import_variable) items; struct arena arena; };

static void variables_clear(struct variables *variables)
{
	vec_clear(&variables->items);
	arena_clear(&variables->arena);
}

static void variable_add(struct variables *variables, const char *name, const char *value)
{
	if (value)
		*vec_add(&variables->items) = (struct import_variable){ arena_strdup(&variables->arena, name), arena_strdup(&variables->arena, value) };
}

static void variables_usual(struct variables *variables, const char *directory)
{
	const struct passwd *user = getpwuid(getuid());

	variable_add(variables, "PWD", directory);
	variable_add(variables, "HOME", getenv("HOME") ? getenv("HOME") : user ? user->pw_dir : NULL);
	variable_add(variables, "USER", user ? user->pw_name : NULL);
	variable_add(variables, "UID", arena_printf(&variables->arena, "%u", (unsigned)getuid()));
	variable_add(variables, "GID", arena_printf(&variables->arena, "%u", (unsigned)getgid()));
}

/* The value of --set: NAME=value, several with commas between; a comma before what is no NAME= is part of the value. */
static int variables_given(struct variables *variables, const char *text, struct error *err)
{
	while (*text) {
		size_t name = strcspn(text, "=,"), n;
		const char *next = text + name;

		if (text[name] != '=' || !name) {
			error_set(err, ERROR_INPUT, "--set takes NAME=value, and '%.60s' is none", text);
			return error_hint(err, "several have commas between: --set DATA=/srv/data,EPOCHS=3");
		}
		for (n = name; next; n = (size_t)(next - text)) {
			next = strchr(text + n + 1, ',');
			if (!next || strspn(next + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strcspn(next + 1, "=") )
				break;
		}
		n = next ? (size_t)(next - text) : strlen(text);
		variable_add(variables, arena_strndup(&variables->arena, text, name), arena_strndup(&variables->arena, text + name + 1, n - name - 1));
		if (variables->items.n > VARIABLES_MAX)
			return error_set(err, ERROR_INPUT, "--set gives more than %d variables", VARIABLES_MAX);
		text += n + (text[n] == ',');
	}
	return 0;
}

static void notes_print(const struct cli *cli, const char *name, const struct import_result *result)
{
	vec_each(&result->notes, note) {
		autofree char *item = output_safe(note->item), *text = output_safe(note->text);

		if (cli->json)
			output_json("change", json_pack("{s:s, s:i, s:s, s:b, s:s, s:s}", "file", name, "line", (int)note->line, "effect", import_effect_name(note->effect),
							"grave", note->grave, "item", item, "text", text));
		else
			fprintf(stderr, "%s:%u: %s%s %s: %s\n", name, note->line, note->grave ? "! " : "", import_effect_name(note->effect), item, text);
	}
}

static int import_file(struct cli *cli, const char *directory, struct import_result *ret, struct error *err)
{
	const char *path = cli->operands[1], *tenant = cli_value(cli, "tenant");
	struct import_options options = { .tenant = tenant ? tenant : "imported", .directory = directory };
	CLEANUP(variables_clear) struct variables variables = { 0 };
	autofree char *text = NULL;
	size_t n;

	arena_init(&variables.arena);
	variables_usual(&variables, directory);
	if (cli_value(cli, "set") && variables_given(&variables, cli_value(cli, "set"), err) < 0)
		return -1;
	if (cli_int(cli, "gpus", 1, 1024, 0, &options.gpus, err) < 0)
		return -1;
	if (fs_read_file(streq(path, "-") ? "/dev/stdin" : path, IMPORT_SIZE_MAX, &text, &n, err) < 0) {
		err->code = ERROR_INPUT;
		return -1;
	}
	options.variables = variables.items.items;
	options.variable_n = variables.items.n;
	return import_text(cli->operands[0], &options, path, text, n, ret, err);
}

static int import_run(struct cli *cli)
{
	autofree char *directory = getcwd(NULL, 0);
	autoimport struct import_result result = { 0 };
	struct error err = { 0 };

	if (import_file(cli, directory ? directory : "/", &result, &err) < 0)
		return output_error(cli, &err);
	notes_print(cli, cli->operands[1], &result);
	if (cli->json)
		output_json("file", json_pack("{s:s, s:b}", "text", result.yaml.data, "grave", result.grave));
	else
		fwrite(result.yaml.data, 1, result.yaml.n, stdout);
	return result.grave ? 2 : 0;
}

static const struct option options[] = {
	{ "tenant", 0, "NAME", "the tenant that it becomes (default imported)" },
	{ "gpus", 0, "N", "what 'all' GPUs become (default 1)" },
	{ "set", 0, "VAR=VALUE", "what a variable of the text is; several with commas between" },
	{ NULL, 0, NULL, NULL },
};

const struct command command_import = {
	.name = "import",
	.operands = "FORMAT FILE",
	.summary = "make a file of what you run today",
	.description = "Reads what people have and prints an insula file that says the same, to be read and then planned. Nothing is run.\n"
		       "What was changed, dropped or refused is told line by line on stderr; a ! marks what changes safety or meaning.\n"
		       "FILE - is standard input. The formats:\n\n"
		       "docker-run: lines of 'docker run', alone or in a script\n"
		       "compose: a compose.yaml\n"
		       "slurm: a script for sbatch\n"
		       "commands: a file of commands, one a line, also for task-spooler\n",
	.options = options,
	.examples = "  insula import docker-run run.sh > lab.yaml\n  insula import docker-run --tenant vision --set DATA=/srv/data - < run.sh\n",
	.exits = "0 done, and it means the same\n1 error\n2 done, and a note with ! changes safety or meaning\n4 the input cannot be used\n",
	.min_operands = 2,
	.max_operands = 2,
	.run = import_run,
};
