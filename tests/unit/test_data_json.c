/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "data/json.h"

static json_t *parse(const char *text)
{
	struct error err = { 0 };
	json_t *json = NULL;

	assert_ok(json_parse("text", text, strlen(text), JSON_SIZE_MAX, &json, &err));
	return json;
}

static void faults_are_named_with_their_place(void **state)
{
	static const struct { const char *text, *message; } cases[] = {
		{ "", "text:1:1: " },
		{ "{\"a\": 1,\n \"a\": 2}", "text:2:4: duplicate object key" },
		{ "[1,\n2,,]", "text:2:" },
		{ "1 2", "text:1:3: end of file expected" },
		{ "\"\xff\"", "text:1:1: unable to decode" },
		{ "\"a\\u0000b\"", "text:1:" },
		{ "99999999999999999999", "too big integer" },
		{ "1e999", "real number overflow" },
	};
	struct error err = { 0 };
	json_t *json = NULL;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_fails(json_parse("text", cases[i].text, strlen(cases[i].text), JSON_SIZE_MAX, &json, &err), cases[i].message);
		assert_int_equal(err.code, ERROR_INPUT);
		assert_null(json);
	}
}

static void size_and_depth_have_limits(void **state)
{
	char text[2 * JSON_DEPTH_MAX + 16];
	struct error err = { 0 };
	json_t *json = NULL;

	assert_fails(json_parse("text", "[1]", 3, 2, &json, &err), "larger than the limit of 2 bytes");
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_fails(json_parse("text", text, 2 * JSON_DEPTH_MAX + 2, JSON_SIZE_MAX, &json, &err), "text:1:201: more than 200 levels");
	assert_ok(json_parse("text", text + 1, 2 * JSON_DEPTH_MAX, JSON_SIZE_MAX, &json, &err));
	json_decref(json);
	memset(text, '[', JSON_DEPTH_MAX + 1);
	text[0] = '"';
	text[JSON_DEPTH_MAX + 1] = '"';	/* within a string nothing nests */
	assert_ok(json_parse("text", text, JSON_DEPTH_MAX + 2, JSON_SIZE_MAX, &json, &err));
	json_decref(json);
}

static void equal_values_have_equal_canonical_text(void **state)
{
	autojson json_t *a = parse("{\"b\": [1, 2.5, true], \"a\": {\"y\": null, \"x\": \"\\u00e9/\"}}");
	autojson json_t *b = parse("{\"a\":{\"x\":\"\xc3\xa9/\",\"y\":null},\"b\":[1,2.5,true]}");
	autofree char *text = json_canonical(a), *again = json_canonical(b);
	char hex[DIGEST_HEX], same[DIGEST_HEX];

	assert_string_equal(text, "{\"a\":{\"x\":\"\xc3\xa9/\",\"y\":null},\"b\":[1,2.5,true]}");
	assert_string_equal(text, again);
	assert_true(json_equal(a, b));
	json_digest(a, hex);
	digest_bytes(text, strlen(text), same);
	assert_string_equal(hex, same);
	json_set_int(b, "c", 1);
	json_digest(b, same);
	assert_string_not_equal(hex, same);
	assert_false(json_equal(a, b));
}

static void numbers_come_back_as_they_were(void **state)
{
	autojson json_t *json = parse("[9223372036854775807, -9223372036854775808, 0.1, 1e300, 1.0]");
	autofree char *text = json_canonical(json);
	autojson json_t *again = parse(text);

	assert_true(json_equal(json, again));
	assert_true(json_is_real(json_array_get(again, 4)));
	assert_int_equal(json_integer_value(json_array_get(again, 0)), INT64_MAX);
	assert_int_equal(json_integer_value(json_array_get(again, 1)), INT64_MIN);
}

static void getters_answer_otherwise(void **state)
{
	autojson json_t *json = parse("{\"s\": \"x\", \"i\": 3, \"r\": 2.5, \"t\": true, \"o\": {}, \"a\": []}");

	assert_string_equal(json_get_string(json, "s", "d"), "x");
	assert_string_equal(json_get_string(json, "i", "d"), "d");
	assert_null(json_get_string(NULL, "s", NULL));
	assert_string_equal(json_get_string(json_object_get(json, "a"), "s", "d"), "d");
	assert_int_equal(json_get_int(json, "i", 7), 3);
	assert_int_equal(json_get_int(json, "r", 7), 7);
	assert_int_equal(json_get_int(json, "none", -7), -7);
	assert_true(json_get_real(json, "r", 0) == 2.5);
	assert_true(json_get_real(json, "i", 0) == 3);
	assert_true(json_get_bool(json, "t", false));
	assert_true(json_get_bool(json, "s", true));
	assert_non_null(json_get_object(json, "o"));
	assert_null(json_get_object(json, "a"));
	assert_non_null(json_get_array(json, "a"));
	assert_null(json_get_array(json, "o"));
}

static void any_bytes_can_be_set(void **state)
{
	autojson json_t *json = json_object();
	autofree char *text = NULL;

	json_set_string(json, "ok", "\xf0\x9f\x8f\x9d");
	json_set_string(json, "bad", "a\xff" "b\xc3");
	json_set_string(json, "surrogate", "\xed\xa0\x80");
	json_set_string(json, "gone", "x");
	json_set_string(json, "gone", NULL);
	json_set_bool(json, "yes", true);
	json_set(json, "list", json_array());
	json_add(json_object_get(json, "list"), json_text(NULL));
	text = json_canonical(json);
	assert_string_equal(text, "{\"bad\":\"a\xef\xbf\xbd" "b\xef\xbf\xbd\",\"list\":[null],\"ok\":\"\xf0\x9f\x8f\x9d\","
				  "\"surrogate\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\",\"yes\":true}");
}

static void files_are_read(void **state)
{
	char *dir = temp_dir_make();
	autofree char *path = fs_join(dir, "f.json"), *place = xasprintf("%s:2:1: ", path), *pretty = NULL;
	struct error err = { 0 };
	json_t *json = NULL;

	assert_ok(fs_replace_file(path, "{\"a\":\n1}", 8, 0600, false, &err));
	assert_ok(json_read_file(path, 100, &json, &err));
	pretty = json_pretty(json);
	assert_string_equal(pretty, "{\n  \"a\": 1\n}\n");
	json_decref(json);
	assert_fails(json_read_file(path, 7, &json, &err), "limit of 7");
	assert_ok(fs_replace_file(path, "[\n}", 3, 0600, false, &err));
	assert_fails(json_read_file(path, 100, &json, &err), place);
	temp_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_are_named_with_their_place),
		cmocka_unit_test(size_and_depth_have_limits),
		cmocka_unit_test(equal_values_have_equal_canonical_text),
		cmocka_unit_test(numbers_come_back_as_they_were),
		cmocka_unit_test(getters_answer_otherwise),
		cmocka_unit_test(any_bytes_can_be_set),
		cmocka_unit_test(files_are_read),
	};

	return cmocka_run_group_tests_name("data_json", tests, NULL, NULL);
}
