/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: fields_decode walks the table, not the file, so that defaults and required fields
 * need no second pass; unknown keys are found by a pass over the mapping before. A default is text
 * that goes through the same decoding as the file, so it cannot be invalid unnoticed.
 */
#include "field.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void decode_value(struct decoder *decoder, const struct field *field, const struct yaml_node *node, void *base);

void decoder_clear(struct decoder *decoder)
{
	buf_clear(&decoder->path);
}

size_t decoder_enter(struct decoder *decoder, const char *name)
{
	size_t length = decoder->path.n;

	if (length)
		buf_addc(&decoder->path, '.');
	buf_adds(&decoder->path, name);
	return length;
}

static size_t enter_item(struct decoder *decoder, size_t index)
{
	size_t length = decoder->path.n;

	buf_addf(&decoder->path, "[%zu]", index);
	return length;
}

void decoder_leave(struct decoder *decoder, size_t length)
{
	decoder->path.n = length;
	decoder->path.data[length] = 0;
}

static void table_each_of(const struct table *table, const struct table *outer, field_each each, void *arg)
{
	for (const struct field *field = table->fields; field->name; field++)
		if (table == outer || table_find(outer, field->name) == field)
			each(arg, field);
	if (table->base)
		table_each_of(table->base, outer, each, arg);
}

void table_each(const struct table *table, field_each each, void *arg)
{
	table_each_of(table, table, each, arg);
}

const struct field *table_find(const struct table *table, const char *name)
{
	for (; table; table = table->base)
		for (const struct field *field = table->fields; field->name; field++)
			if (streq(field->name, name))
				return field;
	return NULL;
}

struct word_list { VEC(const char *) words; };

static void add_word(void *arg, const struct field *field)
{
	struct word_list *list = arg;

	vec_push(&list->words, field->name);
}

const char *table_nearest(const struct table *table, const char *name)
{
	struct word_list list = { 0 };
	const char *nearest;

	table_each(table, add_word, &list);
	vec_push(&list.words, (const char *)NULL);
	nearest = nearest_word(name, list.words.items);
	vec_clear(&list.words);
	return nearest;
}

static void add_name(void *arg, const struct field *field)
{
	struct buf *names = arg;

	buf_addf(names, "%s%s", names->n ? ", " : "", field->name);
}

static void unknown_key(struct decoder *decoder, const struct table *table, const struct yaml_entry *entry)
{
	autobuf struct buf names = { 0 };
	const char *nearest = NULL;

	if (decoder->findings->items.n < FINDINGS_MAX)
		nearest = table_nearest(table, entry->key);
	if (nearest) {
		finding_error(decoder->findings, entry->mark, "unknown field '%.60s' in %s; did you mean '%s'?", entry->key, decoder->path.data, nearest);
		return;
	}
	table_each(table, add_name, &names);
	finding_error(decoder->findings, entry->mark, "unknown field '%.60s' in %s; valid: %s", entry->key, decoder->path.data, names.data);
}

/* What an error of a parser says, with its hint, at the place of the value. */
static void bad_value(struct decoder *decoder, const struct yaml_node *node, const struct error *error)
{
	finding_error(decoder->findings, node->mark, "%s: %s%s%s", decoder->path.data, error->message, *error->hint ? "; " : "", error->hint);
}

static void expected(struct decoder *decoder, const struct yaml_node *node, const char *what)
{
	char found[96];
	bool quotes = starts_with(what, "text") && (node->type == YAML_INT || node->type == YAML_FLOAT || node->type == YAML_BOOL);

	yaml_describe(node, found);
	if (quotes)
		finding_error(decoder->findings, node->mark, "%s must be %s, found %s; write \"%.40s\"", decoder->path.data, what, found, node->text);
	else
		finding_error(decoder->findings, node->mark, "%s must be %s, found %s", decoder->path.data, what, found);
}

void fields_wrong_type(struct decoder *decoder, const struct field *field, const struct yaml_node *node, const char *what)
{
	expected(decoder, node, what);
}

bool fields_decode_text(struct decoder *decoder, const struct form *form, const struct yaml_node *node, const char **ret)
{
	struct error error = { 0 };
	size_t max = form && form->max ? form->max : VALUE_TEXT_MAX;

	if (node->type != YAML_STRING) {
		expected(decoder, node, "text");
		return false;
	}
	if (strlen(node->text) > max) {
		finding_error(decoder->findings, node->mark, "%s is longer than %zu bytes", decoder->path.data, max);
		return false;
	}
	if (!form || !form->read) {
		*ret = node->text;
		return true;
	}
	if (form->read(decoder, node->text, ret, &error) < 0) {
		bad_value(decoder, node, &error);
		return false;
	}
	return true;
}

static void format_value(const struct field *field, int64_t value, char text[static 32])
{
	if (field->unit)
		field->unit->format(value, text);
	else
		snprintf(text, 32, "%" PRId64, value);
}

static bool in_range(struct decoder *decoder, const struct field *field, const struct yaml_node *node, int64_t value)
{
	char low[32], high[32];

	if ((field->min == 0 && field->max == 0) || (value >= field->min && value <= field->max))
		return true;
	format_value(field, field->min, low);
	format_value(field, field->max, high);
	if (field->max == INT64_MAX)
		finding_error(decoder->findings, node->mark, "%s must be at least %s, found %.40s", decoder->path.data, low, node->text);
	else
		finding_error(decoder->findings, node->mark, "%s must be from %s to %s, found %.40s", decoder->path.data, low, high, node->text);
	return false;
}

static void decode_integer(struct decoder *decoder, const struct field *field, const struct yaml_node *node, int64_t *target)
{
	if (node->type != YAML_INT)
		expected(decoder, node, "a whole number");
	else if (in_range(decoder, field, node, node->integer))
		*target = node->integer;
}

static void decode_number(struct decoder *decoder, const struct yaml_node *node, double *target)
{
	if ((node->type != YAML_INT && node->type != YAML_FLOAT) || !__builtin_isfinite(node->number))
		expected(decoder, node, "a number");
	else
		*target = node->number;
}

static void decode_amount(struct decoder *decoder, const struct field *field, const struct yaml_node *node, int64_t *target)
{
	struct error error = { 0 };
	char plain[32], what[128];
	const char *text = node->text;
	int64_t value;

	if (node->type != YAML_STRING && node->type != YAML_INT && node->type != YAML_FLOAT) {
		snprintf(what, sizeof(what), "a %s like %s", field->unit->name, field->unit->example);
		expected(decoder, node, what);
		return;
	}
	if (node->type == YAML_INT) {
		snprintf(plain, sizeof(plain), "%" PRId64, node->integer);
		text = plain;
	}
	if (field->unit->parse(text, &value, &error) < 0)
		bad_value(decoder, node, &error);
	else if (in_range(decoder, field, node, value))
		*target = value;
}

static void decode_bool(struct decoder *decoder, const struct yaml_node *node, bool *target)
{
	if (node->type != YAML_BOOL)
		expected(decoder, node, "true or false");
	else
		*target = node->boolean;
}

static void decode_choice(struct decoder *decoder, const struct field *field, const struct yaml_node *node, int *target)
{
	const char *words[32], *nearest = NULL;
	autobuf struct buf valid = { 0 };
	char found[96];
	size_t n = 0;

	for (const struct choice *choice = field->choices; choice->name; choice++) {
		if (node->type == YAML_STRING && streq(node->text, choice->name)) {
			*target = choice->value;
			return;
		}
		buf_addf(&valid, "%s%s", valid.n ? ", " : "", choice->name);
		if (n + 1 < ARRAY_LEN(words))
			words[n++] = choice->name;
	}
	words[n] = NULL;
	if (node->type == YAML_STRING)
		nearest = nearest_word(node->text, words);
	yaml_describe(node, found);
	finding_error(decoder->findings, node->mark, "%s must be one of %s, found %s%s%s%s", decoder->path.data, valid.data, found,
		      nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static void decode_names(struct decoder *decoder, const struct field *field, const struct yaml_node *node, struct names *target)
{
	if (node->type != YAML_SEQUENCE) {
		expected(decoder, node, "a list of texts");
		return;
	}
	target->items = arena_array(decoder->arena, node->n, sizeof(*target->items));
	for (size_t i = 0; i < node->n; i++) {
		size_t length = enter_item(decoder, i);

		if (fields_decode_text(decoder, field->form, node->items[i], &target->items[target->n]))
			target->n++;
		decoder_leave(decoder, length);
	}
}

static int label_compare(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->key, ((const struct label *)b)->key);
}

static void decode_labels(struct decoder *decoder, const struct field *field, const struct yaml_node *node, struct labels *target)
{
	if (node->type != YAML_MAPPING) {
		expected(decoder, node, "a mapping of texts");
		return;
	}
	target->items = arena_array(decoder->arena, node->n, sizeof(*target->items));
	for (size_t i = 0; i < node->n; i++) {
		size_t length = decoder_enter(decoder, node->entries[i].key);

		target->items[target->n].key = node->entries[i].key;
		if (fields_decode_text(decoder, field->form, node->entries[i].value, &target->items[target->n].value))
			target->n++;
		decoder_leave(decoder, length);
	}
	if (target->n)
		qsort(target->items, target->n, sizeof(*target->items), label_compare);
}

static void decode_list(struct decoder *decoder, const struct field *field, const struct yaml_node *node, char *base)
{
	const struct table *table = field->table;
	char *items;

	if (node->type != YAML_SEQUENCE) {
		expected(decoder, node, "a list of mappings");
		return;
	}
	items = arena_array(decoder->arena, node->n, table->size);
	for (size_t i = 0; i < node->n; i++) {
		size_t length = enter_item(decoder, i);

		if (table->marked)
			*(struct mark *)(void *)(items + i * table->size + table->mark_offset) = node->items[i]->mark;
		if (node->items[i]->type == YAML_NULL)
			expected(decoder, node->items[i], "a mapping");
		else
			fields_decode(decoder, table, node->items[i], items + i * table->size);
		decoder_leave(decoder, length);
	}
	*(void **)(void *)(base + field->offset) = items;
	*(size_t *)(void *)(base + field->count) = node->n;
}

static void decode_value(struct decoder *decoder, const struct field *field, const struct yaml_node *node, void *base)
{
	void *target = (char *)base + field->offset;

	switch (field->type) {
	case VALUE_TEXT:
		(void)fields_decode_text(decoder, field->form, node, target);
		break;
	case VALUE_BOOL:
		decode_bool(decoder, node, target);
		break;
	case VALUE_INTEGER:
		decode_integer(decoder, field, node, target);
		break;
	case VALUE_NUMBER:
		decode_number(decoder, node, target);
		break;
	case VALUE_AMOUNT:
		decode_amount(decoder, field, node, target);
		break;
	case VALUE_CHOICE:
		decode_choice(decoder, field, node, target);
		break;
	case VALUE_NAMES:
		decode_names(decoder, field, node, target);
		break;
	case VALUE_LABELS:
		decode_labels(decoder, field, node, target);
		break;
	case VALUE_OBJECT:
		fields_decode(decoder, field->table, node, target);
		break;
	case VALUE_LIST:
		decode_list(decoder, field, node, base);
		break;
	case VALUE_CUSTOM:
		field->custom->decode(decoder, field, node, base);
		break;
	}
}

/* The default of a field, decoded from its text; an object's comes from its own fields. */
static void decode_absent(struct decoder *decoder, const struct field *field, void *base)
{
	void *target = (char *)base + field->offset;
	struct findings findings = { 0 }, *theirs = decoder->findings;

	if (field->type == VALUE_OBJECT)
		fields_decode(decoder, field->table, NULL, target);
	else if (field->type == VALUE_INTEGER || field->type == VALUE_AMOUNT)
		*(int64_t *)target = VALUE_NONE;
	if (!field->absent)
		return;
	decoder->findings = &findings;
	decode_value(decoder, field, yaml_plain(decoder->arena, field->absent), base);
	decoder->findings = theirs;
	if (findings.errors)
		BUG("the default of %s is wrong: %s", field->name, findings.items.items[0].text);
	findings_clear(&findings);
}

struct decoding { struct decoder *decoder; const struct yaml_node *node; void *target; };

static void decode_field(void *arg, const struct field *field)
{
	struct decoding *decoding = arg;
	struct decoder *decoder = decoding->decoder;
	const struct yaml_node *value = yaml_get(decoding->node, field->name);
	size_t length = decoder_enter(decoder, field->name);

	decode_absent(decoder, field, decoding->target);
	if (value && value->type != YAML_NULL)
		decode_value(decoder, field, value, decoding->target);
	else if (field->required && decoding->node)
		finding_error(decoder->findings, value ? value->mark : decoding->node->mark, "%s is missing", decoder->path.data);
	decoder_leave(decoder, length);
}

void fields_decode(struct decoder *decoder, const struct table *table, const struct yaml_node *node, void *target)
{
	struct decoding decoding = { decoder, node, target };

	if (node && node->type != YAML_MAPPING) {
		if (node->type != YAML_NULL)
			expected(decoder, node, "a mapping");
		decoding.node = NULL;
	}
	for (size_t i = 0; decoding.node && i < node->n; i++)
		if (!table_find(table, node->entries[i].key))
			unknown_key(decoder, table, &node->entries[i]);
	table_each(table, decode_field, &decoding);
}
