/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

#include "model/spec.h"

#include <stdarg.h>
#include <stdlib.h>

static const struct { const char *name; int (*read)(struct importer *, const char *, size_t, struct error *); } formats[] = {
	{ "docker-run", import_docker_run },
	{ "compose", import_compose },
	{ "slurm", import_slurm },
	{ "commands", import_commands },
};

const char *const import_formats[] = { "docker-run", "compose", "slurm", "commands", NULL };

const char *import_effect_name(enum import_effect effect)
{
	static const char *const names[] = { "changed", "dropped", "refused" };

	return names[effect];
}

void importer_note(struct importer *importer, unsigned line, enum import_effect effect, bool grave, const char *item, const char *format, ...)
{
	struct import_result *result = importer->result;
	va_list ap;

	result->grave |= grave;
	if (result->notes.n >= IMPORT_NOTES_MAX)
		return;
	va_start(ap, format);
	autofree char *text = xvasprintf(format, ap);
	va_end(ap);
	struct import_note *note = vec_add(&result->notes);

	*note = (struct import_note){ line, effect, grave, arena_strdup(importer->arena, item), arena_strdup(importer->arena, text) };
}

struct work *importer_add(struct importer *importer, unsigned line)
{
	struct work *work;

	if (importer->works.n >= IMPORT_WORKS_MAX) {
		importer_note(importer, line, IMPORT_DROPPED, true, "the rest", "more than %d things to run; split the file", IMPORT_WORKS_MAX);
		return NULL;
	}
	work = arena_new(importer->arena, struct work);
	work->line = line;
	vec_push(&importer->works, work);
	return work;
}

void importer_drop_last(struct importer *importer)
{
	struct work *work = importer->works.items[--importer->works.n];

	vec_clear(&work->command);
	vec_clear(&work->env);
	vec_clear(&work->volumes);
	vec_clear(&work->ports);
	vec_clear(&work->gpu_models);
}

void importer_clear(struct importer *importer)
{
	while (importer->works.n)
		importer_drop_last(importer);
	vec_clear(&importer->works);
	map_clear(&importer->variables);
}

void import_result_clear(struct import_result *result)
{
	vec_clear(&result->notes);
	buf_clear(&result->yaml);
	arena_clear(&result->arena);
}

/* Stable: notes of one line stay in the order they were made. */
static void notes_sort(struct import_result *result)
{
	for (size_t i = 1; i < result->notes.n; i++) {
		struct import_note note = result->notes.items[i];
		size_t j = i;

		for (; j > 0 && result->notes.items[j - 1].line > note.line; j--)
			result->notes.items[j] = result->notes.items[j - 1];
		result->notes.items[j] = note;
	}
}

/* What is printed is what insula takes: whatever the text held. */
static int check(const struct importer *importer, const struct buf *yaml, struct error *err)
{
	autofindings struct findings findings = { 0 };
	struct source source = { "/import.yaml", yaml->data, yaml->n };
	struct intent intent;

	if (spec_parse(&source, 1, &intent, &findings, err) < 0) {
		error_wrap(err, "%s has something that our file cannot say", importer->name);
		return error_hint(err, "leave that out of the text and try again");
	}
	intent_clear(&intent);
	return 0;
}

static int run(struct importer *importer, size_t format, const char *text, size_t n, struct error *err)
{
	for (size_t i = 0; i < importer->options->variable_n; i++)
		map_set(&importer->variables, importer->options->variables[i].name, (void *)importer->options->variables[i].value);
	if (formats[format].read(importer, text, n, err) < 0)
		return -1;
	if (!importer->works.n) {
		error_set(err, ERROR_INPUT, "%s holds nothing that is run", importer->name);
		return error_hint(err, "'insula import --help' says what each format is");
	}
	work_write(importer, &importer->result->yaml);
	notes_sort(importer->result);
	return check(importer, &importer->result->yaml, err);
}

int import_text(const char *format, const struct import_options *options, const char *name, const char *text, size_t n,
		struct import_result *ret, struct error *err)
{
	struct import_result result = { 0 };
	size_t i = 0;
	int r;

	while (i < ARRAY_LEN(formats) && !streq(formats[i].name, format))
		i++;
	if (i == ARRAY_LEN(formats)) {
		const char *nearest = nearest_word(format, import_formats);

		error_set(err, ERROR_INPUT, "'%.40s' is no format that is imported%s%s%s", format, nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
		return error_hint(err, "'insula import --help' names them");
	}
	if (n > IMPORT_SIZE_MAX)
		return error_set(err, ERROR_INPUT, "%s has %zu bytes; at most %zu are read", name, n, IMPORT_SIZE_MAX);
	if (memchr(text, 0, n))
		return error_set(err, ERROR_INPUT, "%s holds a zero byte: it is no text", name);
	arena_init(&result.arena);
	struct importer importer = { .arena = &result.arena, .result = &result, .options = options, .name = name };

	r = run(&importer, i, text, n, err);
	importer_clear(&importer);
	if (r < 0) {
		import_result_clear(&result);
		return -1;
	}
	*ret = result;
	return 0;
}
