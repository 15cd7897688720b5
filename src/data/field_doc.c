/* SPDX-License-Identifier: Apache-2.0 */
#include "field.h"

#include <stdio.h>
#include <stdlib.h>

#define NAME_COLUMN 20

const char *field_type_text(const struct field *field)
{
	switch (field->type) {
	case VALUE_TEXT:
		return field->form ? field->form->name : "text";
	case VALUE_BOOL:
		return "boolean";
	case VALUE_INTEGER:
		return "whole number";
	case VALUE_NUMBER:
		return "number";
	case VALUE_AMOUNT:
		return field->unit->name;
	case VALUE_CHOICE:
		return "choice";
	case VALUE_NAMES:
		return "list of texts";
	case VALUE_LABELS:
		return "mapping of texts";
	case VALUE_OBJECT:
		return "mapping";
	case VALUE_LIST:
		return "list of mappings";
	case VALUE_CUSTOM:
		return field->custom->name;
	}
	return "value";
}

void field_default_text(const struct field *field, struct buf *ret)
{
	if (field->required)
		buf_adds(ret, "required");
	else if (field->absent_doc)
		buf_adds(ret, field->absent_doc);
	else
		buf_adds(ret, field->absent ? field->absent : "none");
}

static json_t *schema_of_type(const char *type)
{
	json_t *schema = json_object();

	json_set_string(schema, "type", type);
	return schema;
}

static json_t *text_schema(const struct form *form)
{
	json_t *schema = schema_of_type("string");

	if (form && form->pattern)
		json_set_string(schema, "pattern", form->pattern);
	json_set_int(schema, "maxLength", (int64_t)(form && form->max ? form->max : VALUE_TEXT_MAX));
	return schema;
}

/* A number, or a text that looks as the unit wants it. */
static json_t *amount_schema(const struct unit *unit)
{
	json_t *schema = json_object(), *types = json_array();

	json_add(types, json_text("string"));
	json_add(types, json_text("number"));
	json_set(schema, "type", types);
	json_set_string(schema, "pattern", unit->pattern);
	return schema;
}

static json_t *integer_schema(const struct field *field)
{
	json_t *schema = schema_of_type("integer");

	if (field->min || field->max) {
		json_set_int(schema, "minimum", field->min);
		if (field->max != INT64_MAX)
			json_set_int(schema, "maximum", field->max);
	}
	return schema;
}

static json_t *choice_schema(const struct field *field)
{
	json_t *schema = json_object(), *words = json_array();

	for (const struct choice *choice = field->choices; choice->name; choice++)
		json_add(words, json_text(choice->name));
	json_set(schema, "enum", words);
	return schema;
}

static json_t *list_schema(json_t *items)
{
	json_t *schema = schema_of_type("array");

	json_set(schema, "items", items);
	return schema;
}

static json_t *value_schema(const struct field *field)
{
	json_t *schema;

	switch (field->type) {
	case VALUE_TEXT:
		return text_schema(field->form);
	case VALUE_BOOL:
		return schema_of_type("boolean");
	case VALUE_INTEGER:
		return integer_schema(field);
	case VALUE_NUMBER:
		return schema_of_type("number");
	case VALUE_AMOUNT:
		return amount_schema(field->unit);
	case VALUE_CHOICE:
		return choice_schema(field);
	case VALUE_NAMES:
		return list_schema(text_schema(field->form));
	case VALUE_LABELS:
		schema = schema_of_type("object");
		json_set(schema, "additionalProperties", text_schema(field->form));
		return schema;
	case VALUE_OBJECT:
		return table_schema(field->table);
	case VALUE_LIST:
		return list_schema(table_schema(field->table));
	case VALUE_CUSTOM:
		return field->custom->schema ? field->custom->schema(field) : table_schema(field->table);
	}
	return json_object();
}

json_t *field_schema(const struct field *field)
{
	json_t *schema = value_schema(field);

	json_set_string(schema, "description", field->doc);
	if (!field->absent)
		return schema;
	if (field->type == VALUE_BOOL)
		json_set_bool(schema, "default", streq(field->absent, "true"));
	else if (field->type == VALUE_INTEGER)
		json_set_int(schema, "default", strtoll(field->absent, NULL, 10));
	else
		json_set_string(schema, "default", field->absent);
	return schema;
}

struct schema_parts { json_t *properties, *required; };

static void add_property(void *arg, const struct field *field)
{
	struct schema_parts *parts = arg;

	json_set(parts->properties, field->name, field_schema(field));
	if (field->required)
		json_add(parts->required, json_text(field->name));
}

json_t *table_schema(const struct table *table)
{
	struct schema_parts parts = { json_object(), json_array() };
	json_t *schema = schema_of_type("object");

	table_each(table, add_property, &parts);
	json_set(schema, "properties", parts.properties);
	json_set_bool(schema, "additionalProperties", false);
	if (json_array_size(parts.required))
		json_set(schema, "required", parts.required);
	else
		json_decref(parts.required);
	return schema;
}

struct walk { const char *path; void (*each)(void *arg, const char *path, const struct field *field); void *arg; };

static void walk_field(void *arg, const struct field *field)
{
	struct walk *walk = arg;
	autofree char *path = xasprintf("%s%s%s", walk->path, *walk->path ? "." : "", field->name);

	walk->each(walk->arg, path, field);
	if (field->table)
		table_walk(field->table, path, walk->each, walk->arg);
}

void table_walk(const struct table *table, const char *path, void (*each)(void *arg, const char *path, const struct field *field), void *arg)
{
	struct walk walk = { path, each, arg };

	table_each(table, walk_field, &walk);
}

static void explain_line(void *arg, const struct field *field)
{
	autobuf struct buf absent = { 0 };

	field_default_text(field, &absent);
	buf_addf(arg, "  %-*s %s (%s; %s)\n", NAME_COLUMN, field->name, field->doc, field_type_text(field), absent.data);
}

void table_explain(const struct table *table, struct buf *ret)
{
	table_each(table, explain_line, ret);
}

static void add_range(const struct field *field, struct buf *ret)
{
	char low[32], high[32];

	if (field->min == 0 && field->max == 0)
		return;
	if (field->unit) {
		field->unit->format(field->min, low);
		field->unit->format(field->max, high);
	} else {
		snprintf(low, sizeof(low), "%lld", (long long)field->min);
		snprintf(high, sizeof(high), "%lld", (long long)field->max);
	}
	if (field->max == INT64_MAX)
		buf_addf(ret, "at least %s", low);
	else
		buf_addf(ret, "%s to %s", low, high);
}

void field_explain(const char *path, const struct field *field, struct buf *ret)
{
	autobuf struct buf range = { 0 };

	buf_addf(ret, "%s\n  %s\n\n  type     %s\n", path, field->doc, field_type_text(field));
	if (field->unit)
		buf_addf(ret, "  unit     %s; written like %s\n", field->unit->doc, field->unit->example);
	buf_adds(ret, "  default  ");
	field_default_text(field, ret);
	buf_addc(ret, '\n');
	add_range(field, &range);
	if (range.n)
		buf_addf(ret, "  range    %s\n", range.data);
	for (const struct choice *choice = field->choices; choice && choice->name; choice++)
		buf_addf(ret, "  %-8s %-12s %s\n", choice == field->choices ? "choices" : "", choice->name, choice->doc ? choice->doc : "");
	if (field->table) {
		buf_adds(ret, "\nfields\n");
		table_explain(field->table, ret);
	}
}

static void add_escaped(struct buf *ret, const char *text)
{
	for (; *text; text++) {
		if (*text == '|')
			buf_addc(ret, '\\');
		buf_addc(ret, *text);
	}
}

static void reference_row(void *arg, const char *path, const struct field *field)
{
	struct buf *ret = arg;
	autobuf struct buf absent = { 0 }, range = { 0 };

	field_default_text(field, &absent);
	add_range(field, &range);
	buf_addf(ret, "| `%s` | %s", path, field_type_text(field));
	for (const struct choice *choice = field->choices; choice && choice->name; choice++)
		buf_addf(ret, "%s`%s`", choice == field->choices ? ": " : ", ", choice->name);
	if (range.n)
		buf_addf(ret, ", %s", range.data);
	buf_addf(ret, " | %s%s%s | ", absent.data, field->unit ? " / " : "", field->unit ? field->unit->doc : "");
	add_escaped(ret, field->doc);
	buf_adds(ret, " |\n");
}

void table_reference(const struct table *table, const char *path, struct buf *ret)
{
	buf_adds(ret, "| field | type | default / unit | meaning |\n|---|---|---|---|\n");
	table_walk(table, path, reference_row, ret);
}
