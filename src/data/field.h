/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_DATA_FIELD_H
#define INSULA_DATA_FIELD_H

/*
 * Fields: tables that say what a mapping may hold, read by one engine. The same table decodes a
 * YAML mapping into a C struct, answers 'insula explain', makes the JSON schema for editors and
 * the reference page; so they cannot differ.
 *
 *     static const struct field quota_fields[] = {
 *             { .name = "cpu", .type = VALUE_AMOUNT, .unit = &unit_cpu, .offset = offsetof(struct amounts, cpu), .doc = "..." },
 *             { 0 },
 *     };
 *
 * A key that is absent, or whose value is null, gets the field's default; without one a text stays
 * NULL, a list empty, and integers and amounts become VALUE_NONE. All memory is in the arena.
 */

#include "json.h"
#include "yaml.h"

#define VALUE_NONE INT64_MIN
#define VALUE_TEXT_MAX 4096	/* bytes of a text whose form does not say otherwise */

enum value_type {
	VALUE_TEXT,		/* const char * */
	VALUE_BOOL,		/* bool */
	VALUE_INTEGER,		/* int64_t */
	VALUE_NUMBER,		/* double */
	VALUE_AMOUNT,		/* int64_t, by `unit` */
	VALUE_CHOICE,		/* int (an enum), by `choices` */
	VALUE_NAMES,		/* struct names: a list of texts */
	VALUE_LABELS,		/* struct labels: texts by key */
	VALUE_OBJECT,		/* a mapping with the fields of `table`, relative to `offset` */
	VALUE_LIST,		/* a list of such mappings: array at `offset`, its size_t length at `count` */
	VALUE_CUSTOM,		/* by `custom`; with `table` when it is a mapping or a list of them */
};

struct decoder;
struct field;

/* How an amount is written. */
struct unit {
	const char *name;		/* "quantity of bytes" */
	const char *doc;		/* the unit itself: "bytes", "cores" */
	const char *pattern;		/* regular expression (ECMA 262) for the schema */
	const char *example;
	int (*parse)(const char *text, int64_t *ret, struct error *err) WARN_UNUSED;
	void (*format)(int64_t value, char *text);	/* 32 bytes */
};

/* How a text must look. `read` may change it (a path made absolute); NULL: any text. */
struct form {
	const char *name;		/* "a DNS label" */
	const char *pattern;		/* for the schema, or NULL */
	size_t max;			/* bytes; 0: VALUE_TEXT_MAX */
	int (*read)(struct decoder *decoder, const char *text, const char **ret, struct error *err) WARN_UNUSED;
};

struct choice { const char *name; int value; const char *doc; };	/* ends with name NULL */

struct custom {
	const char *name;		/* "list of ports" */
	/* adds findings by itself; `target` is base + offset, `base` the struct of the table */
	void (*decode)(struct decoder *decoder, const struct field *field, const struct yaml_node *node, void *base);
	json_t *(*schema)(const struct field *field);	/* NULL: an object by `table` */
};

struct field {
	const char *name;		/* NULL ends a table */
	enum value_type type;
	bool required;
	size_t offset, count;
	const char *absent;		/* default, as the file would write it, or NULL */
	const char *absent_doc;		/* what absence means when that is no constant */
	int64_t min, max;		/* of integers and amounts, inclusive; both 0: no limit */
	const struct unit *unit;
	const struct form *form;
	const struct choice *choices;
	const struct table *table;
	const struct custom *custom;
	const char *doc;		/* one line */
};

struct table {
	const struct field *fields;
	const struct table *base;	/* further fields at the same offsets; own ones of the same name win; or NULL */
	size_t size;			/* of an element of a VALUE_LIST */
	bool marked;			/* the element keeps its place, at mark_offset */
	size_t mark_offset;
};

struct decoder {
	struct arena *arena;
	struct findings *findings;
	const char *folder;		/* absolute: what relative paths are relative to */
	struct buf path;		/* "tenant.spec.quota" while it decodes; decoder_clear frees */
};
void decoder_clear(struct decoder *decoder);

/* Fills `target` (zeroed by the caller) from a mapping; NULL or null gives the defaults alone. What is wrong becomes findings. */
void fields_decode(struct decoder *decoder, const struct table *table, const struct yaml_node *node, void *target);
/* For customs. */
void fields_wrong_type(struct decoder *decoder, const struct field *field, const struct yaml_node *node, const char *expected);
bool fields_decode_text(struct decoder *decoder, const struct form *form, const struct yaml_node *node, const char **ret);
size_t decoder_enter(struct decoder *decoder, const char *name);	/* appends ".name"; the old length for decoder_leave */
void decoder_leave(struct decoder *decoder, size_t length);

/* Own fields, then those of the base that are not overridden. */
typedef void (*field_each)(void *arg, const struct field *field);
void table_each(const struct table *table, field_each each, void *arg);
const struct field *table_find(const struct table *table, const char *name);
const char *table_nearest(const struct table *table, const char *name);	/* or NULL */

/* What documents a field: all of it follows from the table. */
const char *field_type_text(const struct field *field);			/* "quantity of bytes", "list of texts", "never | always" */
void field_default_text(const struct field *field, struct buf *ret);	/* "10Gi", "none", "quota.memory" */
json_t *table_schema(const struct table *table);				/* of a mapping */
json_t *field_schema(const struct field *field);
/* every field below, depth first, with its path */
void table_walk(const struct table *table, const char *path, void (*each)(void *arg, const char *path, const struct field *field), void *arg);
void table_explain(const struct table *table, struct buf *ret);		/* one line a field */
void field_explain(const char *path, const struct field *field, struct buf *ret);
void table_reference(const struct table *table, const char *path, struct buf *ret);	/* markdown rows */

#endif
