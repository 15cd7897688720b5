/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_DATA_YAML_H
#define INSULA_DATA_YAML_H

/*
 * YAML 1.2 with its core schema, as a tree in an arena, each node with its place.
 *
 * Scalars: null ~ Null NULL and nothing are null; true True TRUE false False FALSE are booleans;
 * integers in decimal, 0o octal and 0x hexadecimal; floats with .inf and .nan; all else is a
 * string, so `no`, `on` and 1:30 are strings. A plain scalar keeps its text in `text` whatever it is.
 *
 * Refused: syntax errors, tags other than the core ones, a key that is not a scalar, a string that
 * holds a zero byte, an alias within its own anchor, and what is beyond YAML_*_MAX (aliases count with all they stand
 * for, so a small file cannot become a huge tree). A duplicate key is a finding that names both
 * places; the first one wins.
 */

#include "finding.h"

#define YAML_SIZE_MAX ((size_t)16 << 20)	/* bytes of text */
#define YAML_DEPTH_MAX 64
#define YAML_NODES_MAX ((size_t)1 << 20)	/* of all documents, aliases expanded */

enum yaml_type { YAML_NULL, YAML_BOOL, YAML_INT, YAML_FLOAT, YAML_STRING, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
	enum yaml_type type;
	struct mark mark;
	const char *text;		/* scalars: as written, quotes and folding resolved; else NULL */
	bool boolean;			/* YAML_BOOL */
	int64_t integer;		/* YAML_INT; one beyond 64 bits is a YAML_FLOAT */
	double number;			/* YAML_INT, YAML_FLOAT */
	struct yaml_node **items;	/* YAML_SEQUENCE */
	struct yaml_entry *entries;	/* YAML_MAPPING, in order of the file */
	size_t n;			/* of items or entries */
	size_t weight;			/* nodes in it, aliases expanded */
	unsigned height;		/* 1: a scalar or empty */
};

struct yaml_entry { const char *key; struct mark mark; struct yaml_node *value; };

struct yaml_documents { struct yaml_node **items; size_t n; };	/* empty documents are left out */

/* `name` is for the marks and is copied. -1 with ERROR_INPUT "name:line:column: ..." for the first syntax error. */
int yaml_parse(struct arena *arena, const char *name, const void *text, size_t n,
	       struct findings *findings, struct yaml_documents *ret, struct error *err) WARN_UNUSED;

/* A plain scalar that no file holds; its mark is empty. */
struct yaml_node *yaml_plain(struct arena *arena, const char *text);

/* The value of a key of a mapping; NULL when absent or `node` is NULL or no mapping. */
struct yaml_node *yaml_get(const struct yaml_node *node, const char *key);

/* "the number 20", "a list", "nothing": what a message says was found; text must hold 96 bytes */
const char *yaml_describe(const struct yaml_node *node, char text[static 96]);

#endif
