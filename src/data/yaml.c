/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: libyaml hands over events; a stack of open collections builds the tree. A node is
 * complete when its end event came; an anchor is found only by then, so an alias can never point
 * into itself. Aliases share the node, and each node knows how many nodes it would be when
 * expanded (weight) and how deep it goes (height): both are checked when it is attached, before
 * anybody walks the tree.
 */
#include "yaml.h"

#include "base/map.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#define TAG_PREFIX "tag:yaml.org,2002:"

struct frame {
	struct yaml_node *node;
	char *anchor;			/* in the arena, or NULL */
	const char *key;		/* mapping: the key that waits for its value */
	struct mark key_mark;
	size_t capacity;
	struct map keys;		/* key to the struct mark of its first place */
	bool skip;			/* the value belongs to a duplicate key */
};

struct reader {
	struct arena *arena;
	const char *name;
	struct findings *findings;
	struct map anchors;		/* name to struct yaml_node *; NULL value while open */
	struct frame stack[YAML_DEPTH_MAX];
	size_t depth;
	struct yaml_node *root;
	size_t total;			/* weight of all documents and of what is open */
	VEC(struct yaml_node *) documents;
	struct error *err;
};

static struct mark mark_of(const struct reader *reader, yaml_mark_t mark)
{
	return (struct mark){ reader->name, (unsigned)mark.line + 1, (unsigned)mark.column + 1 };
}

static int fail(struct reader *reader, struct mark mark, const char *format, ...) PRINTF_LIKE(3, 4);
static int fail(struct reader *reader, struct mark mark, const char *format, ...)
{
	autofree char *message = NULL;
	va_list ap;

	va_start(ap, format);
	message = xvasprintf(format, ap);
	va_end(ap);
	return error_set(reader->err, ERROR_INPUT, "%s:%u:%u: %s", mark.file, mark.line, mark.column, message);
}

static __attribute__((noinline)) bool all_of(const char *s, const char *set)
{
	size_t n = strlen(s);

	return n && strspn(s, set) == n;
}

/* [-+]? digits, 0o octal, 0x hexadecimal (YAML 1.2.2, 10.3.2); false: not an integer, or beyond 64 bits */
static bool read_integer(const char *text, int64_t *ret)
{
	const char *digits = text;
	int base = 10;
	char *end;

	if (starts_with(text, "0o") && all_of(text + 2, "01234567"))
		digits += 2, base = 8;
	else if (starts_with(text, "0x") && all_of(text + 2, "0123456789abcdefABCDEF"))
		digits += 2, base = 16;
	else if (!all_of(text + strspn(text, "+-"), "0123456789") || strspn(text, "+-") > 1)
		return false;
	errno = 0;
	*ret = strtoll(digits, &end, base);
	return errno == 0 && *end == 0;
}

/* [-+]? ( \. digits | digits (\. digits*)? ) ([eE][-+]?digits)?, .inf, .nan */
static bool read_float(const char *text, double *ret)
{
	const char *s = text + (*text == '-' || *text == '+'), *rest;
	size_t whole, fraction = 0;

	if (streq(s, ".inf") || streq(s, ".Inf") || streq(s, ".INF")) {
		*ret = *text == '-' ? -__builtin_inf() : __builtin_inf();
		return true;
	}
	if (streq(text, ".nan") || streq(text, ".NaN") || streq(text, ".NAN")) {
		*ret = __builtin_nan("");
		return true;
	}
	whole = strspn(s, "0123456789");
	rest = s + whole;
	if (*rest == '.') {
		fraction = strspn(rest + 1, "0123456789");
		rest += 1 + fraction;
	}
	if (!whole && !fraction)
		return false;
	if (*rest == 'e' || *rest == 'E') {
		rest++;
		rest += *rest == '-' || *rest == '+';
		if (!all_of(rest, "0123456789"))
			return false;
		rest += strspn(rest, "0123456789");
	}
	if (*rest)
		return false;
	*ret = strtod(text, NULL);
	return true;
}

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (streq(text, *words))
			return true;
	return false;
}

static void resolve_plain(struct yaml_node *node)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const trues[] = { "true", "True", "TRUE", NULL };
	static const char *const falses[] = { "false", "False", "FALSE", NULL };

	if (is_one_of(node->text, nulls)) {
		node->type = YAML_NULL;
	} else if (is_one_of(node->text, trues) || is_one_of(node->text, falses)) {
		node->type = YAML_BOOL;
		node->boolean = is_one_of(node->text, trues);
	} else if (read_integer(node->text, &node->integer)) {
		node->type = YAML_INT;
		node->number = (double)node->integer;
	} else if (read_float(node->text, &node->number)) {
		node->type = YAML_FLOAT;
	}
}

/* "int" for tag:yaml.org,2002:int; "" for none and for "!"; NULL for a foreign one */
static const char *core_tag(const char *tag)
{
	if (!tag || !*tag || streq(tag, "!"))
		return "";
	return starts_with(tag, TAG_PREFIX) ? tag + strlen(TAG_PREFIX) : NULL;
}

static int check_collection_tag(struct reader *reader, const char *tag, const char *expected, struct mark mark)
{
	const char *core = core_tag(tag);

	if (core && (!*core || streq(core, expected)))
		return 0;
	return fail(reader, mark, "the tag %s is not allowed here; leave it out", tag);
}

static int scalar_node(struct reader *reader, const yaml_event_t *event, struct yaml_node **ret)
{
	static const struct { const char *tag; enum yaml_type type; } types[] = {
		{ "null", YAML_NULL }, { "bool", YAML_BOOL }, { "int", YAML_INT }, { "float", YAML_FLOAT },
	};
	const char *tag = (const char *)event->data.scalar.tag, *core = core_tag(tag);
	const char *text = (const char *)event->data.scalar.value;
	struct mark mark = mark_of(reader, event->start_mark);
	struct yaml_node *node;

	if (strlen(text) != event->data.scalar.length)
		return fail(reader, mark, "a text may not hold a zero byte");
	node = arena_new(reader->arena, struct yaml_node);
	*node = (struct yaml_node){ .type = YAML_STRING, .mark = mark, .weight = 1, .height = 1 };
	node->text = arena_strdup(reader->arena, text);
	if (!tag) {
		if (event->data.scalar.plain_implicit)
			resolve_plain(node);
	} else if (!core) {
		return fail(reader, mark, "the tag %s is not known; leave it out", tag);
	} else if (*core && !streq(core, "str")) {
		size_t i;

		resolve_plain(node);
		for (i = 0; i < ARRAY_LEN(types) && !streq(core, types[i].tag); i++)
			;
		if (i < ARRAY_LEN(types) && types[i].type == YAML_FLOAT && node->type == YAML_INT)
			node->type = YAML_FLOAT;
		if (i == ARRAY_LEN(types) || node->type != types[i].type)
			return fail(reader, mark, "'%.40s' does not fit its tag %s", text, tag);
	}
	*ret = node;
	return 0;
}

static void append(struct reader *reader, void **items, size_t n, size_t *capacity, size_t size)
{
	void *bigger;

	if (n < *capacity)
		return;
	bigger = arena_array(reader->arena, *capacity ? *capacity * 2 : 4, size);
	if (n)
		memcpy(bigger, *items, n * size);
	*capacity = *capacity ? *capacity * 2 : 4;
	*items = bigger;
}

static int take_key(struct reader *reader, struct frame *frame, const struct yaml_node *key)
{
	const struct mark *first;
	struct mark *mark;

	if (!key->text)
		return fail(reader, key->mark, "a key must be a plain word, found %s", key->type == YAML_MAPPING ? "a mapping" : "a list");
	frame->key = key->text;
	frame->key_mark = key->mark;
	first = map_get(&frame->keys, key->text);
	frame->skip = first;
	if (first) {
		finding_error(reader->findings, key->mark, "duplicate key '%s'; the first one is at %s:%u:%u",
			      key->text, first->file, first->line, first->column);
		return 0;
	}
	mark = arena_new(reader->arena, struct mark);
	*mark = key->mark;
	map_set(&frame->keys, key->text, mark);
	return 0;
}

/* A complete node goes to where it belongs; `added` is what it costs beyond what was counted already. */
static int attach(struct reader *reader, struct yaml_node *node, size_t added)
{
	struct frame *frame = reader->depth ? &reader->stack[reader->depth - 1] : NULL;
	struct yaml_node *parent;

	reader->total += added;
	if (reader->total > YAML_NODES_MAX)
		return fail(reader, node->mark, "more than %zu nodes, aliases expanded", YAML_NODES_MAX);
	if (reader->depth + node->height > YAML_DEPTH_MAX)
		return fail(reader, node->mark, "nested deeper than %d", YAML_DEPTH_MAX);
	if (!frame) {
		reader->root = node;
		return 0;
	}
	parent = frame->node;
	if (parent->type == YAML_MAPPING && !frame->key)
		return take_key(reader, frame, node);
	if (parent->type == YAML_SEQUENCE) {
		append(reader, (void **)&parent->items, parent->n, &frame->capacity, sizeof(*parent->items));
		parent->items[parent->n++] = node;
	} else if (!frame->skip) {
		append(reader, (void **)&parent->entries, parent->n, &frame->capacity, sizeof(*parent->entries));
		parent->entries[parent->n++] = (struct yaml_entry){ frame->key, frame->key_mark, node };
	}
	frame->key = NULL;
	if (!frame->skip) {
		parent->weight += node->weight;
		parent->height = MAX(parent->height, node->height + 1);
	}
	return 0;
}

static char *anchor_name(struct reader *reader, const yaml_char_t *anchor)
{
	return anchor ? arena_strdup(reader->arena, (const char *)anchor) : NULL;
}

static int on_scalar(struct reader *reader, const yaml_event_t *event)
{
	char *anchor = anchor_name(reader, event->data.scalar.anchor);
	struct yaml_node *node = NULL;

	if (scalar_node(reader, event, &node) < 0 || attach(reader, node, 1) < 0)
		return -1;
	if (anchor)
		map_set(&reader->anchors, anchor, node);
	return 0;
}

static int on_start(struct reader *reader, enum yaml_type type, const yaml_char_t *anchor, const yaml_char_t *tag, struct mark mark)
{
	struct yaml_node *node;

	if (check_collection_tag(reader, (const char *)tag, type == YAML_MAPPING ? "map" : "seq", mark) < 0)
		return -1;
	if (reader->depth == YAML_DEPTH_MAX)
		return fail(reader, mark, "nested deeper than %d", YAML_DEPTH_MAX);
	node = arena_new(reader->arena, struct yaml_node);
	*node = (struct yaml_node){ .type = type, .mark = mark, .weight = 1, .height = 1 };
	reader->stack[reader->depth++] = (struct frame){ .node = node, .anchor = anchor_name(reader, anchor) };
	if (anchor)
		map_set(&reader->anchors, reader->stack[reader->depth - 1].anchor, NULL);
	return 0;
}

static int on_end(struct reader *reader)
{
	struct frame *frame = &reader->stack[--reader->depth];
	struct yaml_node *node = frame->node;

	map_clear(&frame->keys);
	if (frame->anchor)
		map_set(&reader->anchors, frame->anchor, node);
	return attach(reader, node, 1);
}

static int on_alias(struct reader *reader, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	struct mark mark = mark_of(reader, event->start_mark);
	struct yaml_node *node = map_get(&reader->anchors, name);

	if (node)
		return attach(reader, node, node->weight);
	if (map_has(&reader->anchors, name))
		return fail(reader, mark, "the alias '*%s' stands within its own anchor", name);
	return fail(reader, mark, "the alias '*%s' has no anchor '&%s' before it", name, name);
}

static int on_event(struct reader *reader, const yaml_event_t *event)
{
	struct mark mark = mark_of(reader, event->start_mark);

	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		reader->root = NULL;
		map_clear(&reader->anchors);
		return 0;
	case YAML_DOCUMENT_END_EVENT:
		if (reader->root && reader->root->type != YAML_NULL)
			vec_push(&reader->documents, reader->root);
		return 0;
	case YAML_SCALAR_EVENT:
		return on_scalar(reader, event);
	case YAML_ALIAS_EVENT:
		return on_alias(reader, event);
	case YAML_SEQUENCE_START_EVENT:
		return on_start(reader, YAML_SEQUENCE, event->data.sequence_start.anchor, event->data.sequence_start.tag, mark);
	case YAML_MAPPING_START_EVENT:
		return on_start(reader, YAML_MAPPING, event->data.mapping_start.anchor, event->data.mapping_start.tag, mark);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_end(reader);
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
		return 0;
	}
	return 0;
}

static int syntax_error(struct reader *reader, const yaml_parser_t *parser)
{
	struct mark mark = mark_of(reader, parser->problem_mark);
	const char *problem = parser->problem ? parser->problem : "not YAML";

	if (parser->error == YAML_READER_ERROR)
		return error_set(reader->err, ERROR_INPUT, "%s: byte %zu: %s", reader->name, parser->problem_offset, problem);
	if (parser->context)
		return fail(reader, mark, "%s %s, which began at line %zu", problem, parser->context, parser->context_mark.line + 1);
	return fail(reader, mark, "%s", problem);
}

static int read_events(struct reader *reader, yaml_parser_t *parser)
{
	for (bool end = false; !end;) {
		yaml_event_t event;
		int status;

		if (!yaml_parser_parse(parser, &event))
			return syntax_error(reader, parser);
		end = event.type == YAML_STREAM_END_EVENT;
		status = on_event(reader, &event);
		yaml_event_delete(&event);
		if (status < 0)
			return -1;
	}
	return 0;
}

int yaml_parse(struct arena *arena, const char *name, const void *text, size_t n,
	       struct findings *findings, struct yaml_documents *ret, struct error *err)
{
	struct reader reader = { .arena = arena, .name = arena_intern(arena, name), .findings = findings, .err = err };
	yaml_parser_t parser;
	int status;

	if (n > YAML_SIZE_MAX)
		return error_set(err, ERROR_INPUT, "%s: %zu bytes; the limit is %zu", name, n, YAML_SIZE_MAX);
	if (!yaml_parser_initialize(&parser))
		BUG("out of memory for a YAML parser");
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, text, n);
	status = read_events(&reader, &parser);
	yaml_parser_delete(&parser);
	while (reader.depth)
		map_clear(&reader.stack[--reader.depth].keys);
	map_clear(&reader.anchors);
	if (status == 0) {
		ret->n = reader.documents.n;
		ret->items = arena_array(arena, ret->n, sizeof(*ret->items));
		if (ret->n)
			memcpy(ret->items, reader.documents.items, ret->n * sizeof(*ret->items));
	}
	vec_clear(&reader.documents);
	return status;
}

struct yaml_node *yaml_plain(struct arena *arena, const char *text)
{
	struct yaml_node *node = arena_new(arena, struct yaml_node);

	*node = (struct yaml_node){ .type = YAML_STRING, .text = arena_strdup(arena, text), .weight = 1, .height = 1 };
	resolve_plain(node);
	return node;
}

struct yaml_node *yaml_get(const struct yaml_node *node, const char *key)
{
	if (!node || node->type != YAML_MAPPING)
		return NULL;
	for (size_t i = 0; i < node->n; i++)
		if (streq(node->entries[i].key, key))
			return node->entries[i].value;
	return NULL;
}

const char *yaml_describe(const struct yaml_node *node, char text[static 96])
{
	switch (node->type) {
	case YAML_NULL:
		return memcpy(text, "nothing", sizeof("nothing"));
	case YAML_SEQUENCE:
		return memcpy(text, "a list", sizeof("a list"));
	case YAML_MAPPING:
		return memcpy(text, "a mapping", sizeof("a mapping"));
	case YAML_BOOL:
		snprintf(text, 96, "the boolean %s", node->text);
		break;
	case YAML_INT:
	case YAML_FLOAT:
		snprintf(text, 96, "the number %.60s", node->text);
		break;
	case YAML_STRING:
		snprintf(text, 96, "'%.60s'", node->text);
		break;
	}
	return text;
}
