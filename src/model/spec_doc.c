/* SPDX-License-Identifier: Apache-2.0 */
/* What the tables say about themselves: explain, schema, reference, completion. */
#include "spec_internal.h"

#include <stdio.h>
#include <stdlib.h>

static void explain_all(struct buf *ret)
{
	buf_adds(ret, "kinds\n");
	for (const struct kind_table *kind = kind_tables; kind->name; kind++)
		buf_addf(ret, "  %-10s %s\n", kind->path, kind->doc);
	buf_adds(ret, "\n'insula explain tenant.spec.quota' goes deeper\n");
}

static int not_found_kind(const char *word, struct error *err)
{
	const char *words[16], *nearest;
	size_t n = 0;

	for (const struct kind_table *kind = kind_tables; kind->name && n + 1 < ARRAY_LEN(words); kind++)
		words[n++] = kind->path;
	words[n] = NULL;
	nearest = nearest_word(word, words);
	error_set(err, ERROR_INPUT, "there is no kind '%.60s'", word);
	return nearest ? error_hint(err, "did you mean '%s'?", nearest) : error_hint(err, "'insula explain' lists all kinds");
}

static int not_found_field(const struct table *table, const char *path, const char *word, struct error *err)
{
	const char *nearest = table_nearest(table, word);

	error_set(err, ERROR_INPUT, "there is no field '%.60s' in %s", word, path);
	return nearest ? error_hint(err, "did you mean '%s.%s'?", path, nearest) : error_hint(err, "'insula explain %s' lists its fields", path);
}

static void explain_kind(const struct kind_table *kind, struct buf *ret)
{
	const struct field *spec = table_find(&kind->document, "spec");

	buf_addf(ret, "%s\n  %s\n\nfields of %s.spec\n", kind->path, kind->doc, kind->path);
	table_explain(spec->table, ret);
	buf_addf(ret, "\nfields of %s.metadata\n", kind->path);
	table_explain(table_find(&kind->document, "metadata")->table, ret);
}

int spec_explain(const char *path, struct buf *ret, struct error *err)
{
	autofree char *words = xstrdup(path);
	autobuf struct buf where = { 0 };
	char *rest = words, *word = strsep(&rest, ".");
	const struct kind_table *kind;
	const struct table *table;
	const struct field *field = NULL;

	if (!*path) {
		explain_all(ret);
		return 0;
	}
	kind = kind_table_find(word);
	if (!kind)
		return not_found_kind(word, err);
	buf_adds(&where, kind->path);
	table = &kind->document;
	while ((word = strsep(&rest, "."))) {
		if (!table) {
			error_set(err, ERROR_INPUT, "%s has no fields", where.data);
			return error_hint(err, "'insula explain %s' says what it is", where.data);
		}
		field = table_find(table, word);
		if (!field)
			return not_found_field(table, where.data, word, err);
		table = field->table;
		buf_addf(&where, ".%s", word);
	}
	if (field)
		field_explain(where.data, field, ret);
	else
		explain_kind(kind, ret);
	return 0;
}

/* A document is of exactly one kind; `kind` tells an editor which. */
void spec_schema(struct buf *ret)
{
	autojson json_t *schema = json_object();
	autofree char *text = NULL;
	json_t *kinds = json_array();

	json_set_string(schema, "$schema", "https://json-schema.org/draft/2020-12/schema");
	json_set_string(schema, "$id", "https://insula.dev/schema/v1.json");
	json_set_string(schema, "title", "insula " API_VERSION);
	for (const struct kind_table *kind = kind_tables; kind->name; kind++) {
		json_t *document = table_schema(&kind->document), *constant = json_object(), *version = json_object();
		json_t *properties = json_get_object(document, "properties");

		json_set_string(constant, "const", kind->name);
		json_set(properties, "kind", constant);
		json_set_string(version, "const", API_VERSION);
		json_set(properties, "apiVersion", version);
		json_set_string(document, "title", kind->name);
		json_set_string(document, "description", kind->doc);
		json_add(kinds, document);
	}
	json_set(schema, "oneOf", kinds);
	text = json_pretty(schema);
	buf_adds(ret, text);
}

void spec_reference(struct buf *ret)
{
	buf_adds(ret,
		 "# The file: reference\n\n"
		 "Made from the tables that the parser reads (`insula explain --reference`). `docs/file-format.md` is the guide.\n\n"
		 "A file holds YAML documents; a folder is all its `*.yaml` and `*.yml` files. Every document has `apiVersion: " API_VERSION "`,\n"
		 "a `kind`, `metadata` and a `spec`. Quantities are those of Kubernetes: `500m`, `1.5`, `2Gi`. Durations are like\n"
		 "`30s`, `5m`, `24h` or `1d12h`. Relative paths are relative to the file. A key that is absent, or null, gets the default.\n");
	for (const struct kind_table *kind = kind_tables; kind->name; kind++) {
		autofree char *metadata = xasprintf("%s.metadata", kind->path), *spec = xasprintf("%s.spec", kind->path);

		buf_addf(ret, "\n## %s\n\n%c%s.\n\n", kind->name, kind->doc[0] - 'a' + 'A', kind->doc + 1);
		table_reference(table_find(&kind->document, "metadata")->table, metadata, ret);
		buf_addc(ret, '\n');
		table_reference(table_find(&kind->document, "spec")->table, spec, ret);
	}
}

struct path_walk { const char *prefix; void (*each)(void *arg, const char *path); void *arg; size_t n; };

static void give_path(void *arg, const char *path, const struct field *field)
{
	struct path_walk *walk = arg;

	if (!starts_with(path, walk->prefix))
		return;
	walk->n++;
	if (walk->each)
		walk->each(walk->arg, path);
}

size_t spec_paths(const char *prefix, void (*each)(void *arg, const char *path), void *arg)
{
	struct path_walk walk = { prefix, each, arg, 0 };

	for (const struct kind_table *kind = kind_tables; kind->name; kind++) {
		give_path(&walk, kind->path, NULL);
		table_walk(&kind->document, kind->path, give_path, &walk);
	}
	return walk.n;
}
