/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "import/shell.h"

static const struct import_variable variables[] = { { "PWD", "/lab" }, { "UID", "1000" }, { "A", "a b" }, { "EMPTY", "" } };

struct fixture { struct import_result result; struct import_options options; struct importer importer; };

static void fixture_init(struct fixture *fixture)
{
	*fixture = (struct fixture){ .options = { .tenant = "t", .directory = "/lab", .variables = variables, .variable_n = ARRAY_LEN(variables) } };
	arena_init(&fixture->result.arena);
	fixture->importer = (struct importer){ .arena = &fixture->result.arena, .result = &fixture->result, .options = &fixture->options, .name = "x" };
	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		map_set(&fixture->importer.variables, variables[i].name, (void *)variables[i].value);
}

static void fixture_clear(struct fixture *fixture)
{
	importer_clear(&fixture->importer);
	import_result_clear(&fixture->result);
}

/* All commands, words in <>, lines and tails: "1<a><b>;2<c>" */
static void split(struct fixture *fixture, const char *text, struct buf *ret, struct error *err, int *ret_status)
{
	autocommand struct shell_command command = { 0 };
	const char *at = text, *end = text + strlen(text);
	unsigned line = 1;
	bool more = true;

	buf_adds(ret, "");
	while (more) {
		*ret_status = shell_next(&fixture->importer, &at, end, &line, &command, &more, err);
		if (*ret_status < 0)
			return;
		if (command.words.n)
			buf_addf(ret, "%u", command.line);
		vec_each(&command.words, word)
			buf_addf(ret, "<%s>", *word);
		buf_adds(ret, command.tail);
	}
}

static void words_are_those_of_a_shell(void **state)
{
	static const struct { const char *text, *words; } cases[] = {
		{ "", "" },
		{ "a  b\tc", "1<a><b><c>" },
		{ "a\\\n b\nc", "1<a><b>3<c>" },
		{ "a\\\r\nb", "1<ab>" },
		{ "'a b'\"c d\"e", "1<a bc de>" },
		{ "'' \"\"", "1<><>" },
		{ "a\\ b \\\\ \\$A", "1<a b><\\><$A>" },
		{ "\"a\\\"b\\n\"", "1<a\"b\\n>" },
		{ "$A '$A' \"$A\" ${A}x", "1<a b><$A><a b><a bx>" },
		{ "${NONE:-x y}${EMPTY:-e}${EMPTY-f}", "1<x y" "e>" },
		{ "$(pwd) `pwd` $(id -u):", "1</lab></lab><1000:>" },
		{ "a # b\n#c\nd#e", "1<a>3<d#e>" },
		{ "a;b && c | d\ne > f g\nh", "1<a>;1<b>&&1<c>|2<e>>3<h>" },
		{ "a $ b$", "1<a><$><b$>" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autobuf struct buf found = { 0 };
		struct fixture fixture;
		struct error err = { 0 };
		int status;

		fixture_init(&fixture);
		split(&fixture, cases[i].text, &found, &err, &status);
		assert_int_equal(status, 0);
		assert_string_equal(found.data, cases[i].words);
		assert_int_equal(fixture.result.notes.n, 0);
		fixture_clear(&fixture);
	}
}

static void what_is_not_known_stays_and_is_told(void **state)
{
	static const char *const texts[] = { "$NONE", "${NONE}", "$(date)", "`date +%s`", "${NONE:?gone}" };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		autofree char *expected = xasprintf("1<%s>", texts[i]);
		autobuf struct buf found = { 0 };
		struct fixture fixture;
		struct error err = { 0 };
		int status;

		fixture_init(&fixture);
		split(&fixture, texts[i], &found, &err, &status);
		assert_int_equal(status, 0);
		assert_string_equal(found.data, expected);
		assert_int_equal(fixture.result.notes.n, 1);
		assert_true(fixture.result.grave);
		fixture_clear(&fixture);
	}
}

static void an_open_quote_is_refused_with_its_line(void **state)
{
	static const char *const texts[] = { "\na 'b\nc", "\na \"b\nc" };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		autobuf struct buf found = { 0 };
		struct fixture fixture;
		struct error err = { 0 };
		int status;

		fixture_init(&fixture);
		split(&fixture, texts[i], &found, &err, &status);
		assert_int_equal(status, -1);
		assert_int_equal(err.code, ERROR_INPUT);
		assert_holds(err.message, "x:2:");
		fixture_clear(&fixture);
	}
}

static void what_cannot_be_used_is_refused(void **state)
{
	const struct import_options options = { .tenant = "t", .directory = "/lab" };
	struct import_result result;
	struct error err = { 0 };

	assert_fails(import_text("docker-runn", &options, "x", "", 0, &result, &err), "did you mean 'docker-run'");
	for (const char *const *format = import_formats; *format; format++) {
		assert_fails(import_text(*format, &options, "x", "", 0, &result, &err), "x");
		assert_int_equal(err.code, ERROR_INPUT);
		assert_fails(import_text(*format, &options, "x", "a\0b", 3, &result, &err), "zero byte");
		assert_fails(import_text(*format, &options, "x", "", IMPORT_SIZE_MAX + 1, &result, &err), "at most");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_those_of_a_shell),
		cmocka_unit_test(what_is_not_known_stays_and_is_told),
		cmocka_unit_test(an_open_quote_is_refused_with_its_line),
		cmocka_unit_test(what_cannot_be_used_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
