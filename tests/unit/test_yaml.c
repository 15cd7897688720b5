/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "data/yaml.h"

struct parsed { struct arena arena; struct findings findings; struct yaml_documents documents; struct error err; };

static int parse(struct parsed *parsed, const char *text)
{
	*parsed = (struct parsed){ 0 };
	return yaml_parse(&parsed->arena, "t.yaml", text, strlen(text), &parsed->findings, &parsed->documents, &parsed->err);
}

static void clear(struct parsed *parsed)
{
	findings_clear(&parsed->findings);
	arena_clear(&parsed->arena);
}

static void scalars_follow_the_core_schema(void **state)
{
	static const struct { const char *text; enum yaml_type type; int64_t integer; } cases[] = {
		{ "no", YAML_STRING, 0 }, { "yes", YAML_STRING, 0 }, { "on", YAML_STRING, 0 }, { "y", YAML_STRING, 0 }, { "true", YAML_BOOL, 0 },
		{ "True", YAML_BOOL, 0 }, { "TRUE", YAML_BOOL, 0 }, { "tRUE", YAML_STRING, 0 }, { "false", YAML_BOOL, 0 }, { "null", YAML_NULL, 0 },
		{ "~", YAML_NULL, 0 }, { "NULL", YAML_NULL, 0 }, { "nUll", YAML_STRING, 0 }, { "12", YAML_INT, 12 }, { "-7", YAML_INT, -7 }, { "+3", YAML_INT, 3 },
		{ "0o17", YAML_INT, 15 }, { "0x1F", YAML_INT, 31 }, { "017", YAML_INT, 17 }, { "0b1", YAML_STRING, 0 }, { "1_000", YAML_STRING, 0 },
		{ "1.5", YAML_FLOAT, 0 }, { "1e3", YAML_FLOAT, 0 }, { ".5", YAML_FLOAT, 0 }, { "5.", YAML_FLOAT, 0 }, { ".inf", YAML_FLOAT, 0 }, { "-.INF", YAML_FLOAT, 0 },
		{ ".nan", YAML_FLOAT, 0 }, { "-.nan", YAML_STRING, 0 }, { "1e", YAML_STRING, 0 }, { ".", YAML_STRING, 0 }, { "1:30", YAML_STRING, 0 }, { "500m", YAML_STRING, 0 },
		{ "\"12\"", YAML_STRING, 0 }, { "'true'", YAML_STRING, 0 }, { "!!str 12", YAML_STRING, 0 }, { "! 12", YAML_STRING, 0 }, { "!!float 1", YAML_FLOAT, 0 },
		{ "9223372036854775807", YAML_INT, INT64_MAX }, { "9223372036854775808", YAML_FLOAT, 0 }, { "0xffffffffffffffffff", YAML_STRING, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofree char *text = xasprintf("[%s]\n", cases[i].text);
		struct parsed parsed;
		struct yaml_node *node;

		if (parse(&parsed, text) < 0)
			fail_msg("%s: %s", cases[i].text, parsed.err.message);
		node = parsed.documents.items[0]->items[0];
		if (node->type != cases[i].type)
			fail_msg("%s has type %d", cases[i].text, node->type);
		if (node->type == YAML_INT)
			assert_int_equal(node->integer, cases[i].integer);
		clear(&parsed);
	}
}

static void nodes_have_places(void **state)
{
	struct parsed parsed;
	struct yaml_node *b;

	assert_int_equal(parse(&parsed, "a: 1\nb:\n  - x\n  - {c: [y]}\n"), 0);
	assert_int_equal(parsed.documents.n, 1);
	b = yaml_get(parsed.documents.items[0], "b");
	assert_int_equal(b->n, 2);
	assert_string_equal(b->items[1]->entries[0].key, "c");
	assert_int_equal(b->items[1]->entries[0].mark.line, 4);
	assert_int_equal(b->items[1]->entries[0].mark.column, 6);
	assert_string_equal(b->mark.file, "t.yaml");
	assert_int_equal(b->items[1]->weight, 3);
	assert_int_equal(b->items[1]->height, 3);
	assert_null(yaml_get(parsed.documents.items[0], "zzz"));
	clear(&parsed);
}

static void many_documents_and_empty_ones(void **state)
{
	struct parsed parsed;

	assert_int_equal(parse(&parsed, "---\n---\na: 1\n---\n# nothing\n---\nb: 2\n...\n"), 0);
	assert_int_equal(parsed.documents.n, 2);
	clear(&parsed);
	assert_int_equal(parse(&parsed, ""), 0);
	assert_int_equal(parsed.documents.n, 0);
	clear(&parsed);
}

static void duplicate_keys_name_both_places(void **state)
{
	struct parsed parsed;

	assert_int_equal(parse(&parsed, "a: 1\nb: 2\na: {x: [1, 2]}\n"), 0);
	assert_int_equal(parsed.findings.errors, 1);
	assert_string_equal(parsed.findings.items.items[0].text, "t.yaml:3:1: duplicate key 'a'; the first one is at t.yaml:1:1");
	assert_int_equal(yaml_get(parsed.documents.items[0], "a")->integer, 1);
	clear(&parsed);
}

static void aliases_share_but_have_a_limit(void **state)
{
	autobuf struct buf bomb = { 0 };
	struct parsed parsed;

	assert_int_equal(parse(&parsed, "a: &x [1, 2]\nb: *x\n"), 0);
	assert_ptr_equal(yaml_get(parsed.documents.items[0], "a"), yaml_get(parsed.documents.items[0], "b"));
	clear(&parsed);
	buf_adds(&bomb, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 20; i++) {
		buf_addf(&bomb, "a%d: &a%d [", i, i);
		for (int j = 0; j < 10; j++)
			buf_addf(&bomb, "%s*a%d", j ? ", " : "", i - 1);
		buf_adds(&bomb, "]\n");
	}
	assert_int_equal(parse(&parsed, bomb.data), -1);
	assert_non_null(strstr(parsed.err.message, "more than 1048576 nodes"));
	clear(&parsed);
}

static void what_is_not_allowed_says_why(void **state)
{
	static const struct { const char *text, *message; } cases[] = {
		{ "a: &a [*a]\n", "t.yaml:1:8: the alias '*a' stands within its own anchor" },
		{ "a: *b\n", "t.yaml:1:4: the alias '*b' has no anchor '&b' before it" },
		{ "a: !secret x\n", "t.yaml:1:4: the tag !secret is not known" },
		{ "a: !!int x\n", "t.yaml:1:4: 'x' does not fit its tag" },
		{ "a: !!binary eHg=\n", "does not fit its tag" },
		{ "a: !!set {x}\n", "the tag tag:yaml.org,2002:set is not allowed here" },
		{ "[a]: 1\n", "t.yaml:1:1: a key must be a plain word, found a list" },
		{ "a: \"x\\0y\"\n", "t.yaml:1:4: a text may not hold a zero byte" },
		{ "a: [1\nb: 2\n", "t.yaml:" },
		{ "a: b: c\n", "t.yaml:1:5: mapping values are not allowed in this context" },
		{ "a:\n\tb: 1\n", "t.yaml:2:1: found character that cannot start any token" },
		{ "\xff\xfe", "t.yaml: byte 0:" },
		{ "a: \"x", "t.yaml:1:" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct parsed parsed;

		if (parse(&parsed, cases[i].text) == 0)
			fail_msg("'%s' was accepted", cases[i].text);
		assert_int_equal(parsed.err.code, ERROR_INPUT);
		if (!strstr(parsed.err.message, cases[i].message))
			fail_msg("'%s': \"%s\" should hold \"%s\"", cases[i].text, parsed.err.message, cases[i].message);
		clear(&parsed);
	}
}

static void depth_has_a_limit(void **state)
{
	for (int depth = 63; depth <= 66; depth++) {
		autobuf struct buf text = { 0 };
		struct parsed parsed;

		for (int i = 0; i < depth; i++)
			buf_addc(&text, '[');
		for (int i = 0; i < depth; i++)
			buf_addc(&text, ']');
		assert_int_equal(parse(&parsed, text.data), depth <= YAML_DEPTH_MAX ? 0 : -1);
		clear(&parsed);
	}
}

static void findings_are_sorted_and_printable(void **state)
{
	autofindings struct findings findings = { 0 };
	struct error err = { 0 };
	struct mark first = { "a", 1, 1 }, second = { "a", 2, 1 };

	finding_error(&findings, second, "bad \x1b[31m thing");
	finding_warning(&findings, first, "careful");
	finding_error(&findings, second, "bad \x1b[31m thing");
	findings_sort(&findings);
	assert_int_equal(findings.items.n, 2);
	assert_string_equal(findings.items.items[0].text, "a:1:1: warning: careful");
	assert_string_equal(findings.items.items[1].text, "a:2:1: bad ?[31m thing");
	assert_fails(findings_verdict(&findings, &err), "a:2:1: bad");
	for (int i = 0; i < 2 * FINDINGS_MAX; i++)
		finding_error(&findings, second, "%d", i);
	assert_int_equal(findings.items.n, FINDINGS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalars_follow_the_core_schema),
		cmocka_unit_test(nodes_have_places),
		cmocka_unit_test(many_documents_and_empty_ones),
		cmocka_unit_test(duplicate_keys_name_both_places),
		cmocka_unit_test(aliases_share_but_have_a_limit),
		cmocka_unit_test(what_is_not_allowed_says_why),
		cmocka_unit_test(depth_has_a_limit),
		cmocka_unit_test(findings_are_sorted_and_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
