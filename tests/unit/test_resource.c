/* SPDX-License-Identifier: Apache-2.0 */
/* Resources, refs, secrets, and the state that remembers them. */
#include "helper.h"

#include "../conformance/fake_site.h"
#include "plan/ref.h"
#include "plan/state.h"

static struct resource *parse(const char *text, struct error *err)
{
	autojson json_t *json = json_loads(text, 0, NULL);
	struct resource *resource;

	assert_non_null(json);
	return resource_from_json(json, &resource, err) < 0 ? NULL : resource;
}

static void a_resource_survives_its_json(void **state)
{
	static const char text[] = "{\"site\": \"s\", \"kind\": \"k\", \"key\": \"v/n\", \"id\": \"1\", \"revision\": \"r\", \"deployment\": \"lab\","
				   "\"origin\": \"derived\", \"cause\": \"run\", \"body\": {\"a\": [1, null]}, \"after\": [\"x\", \"y\"]}";
	struct error err = { 0 };
	autoresource struct resource *resource = parse(text, &err);
	autojson json_t *json = resource_to_json(resource);
	autojson json_t *given = json_loads(text, 0, NULL);

	assert_true(json_equal(json, given));
	autoresource struct resource *copy = resource_copy(resource);
	autojson json_t *again = resource_to_json(copy);
	assert_true(json_equal(again, given));
	json_object_set_new(copy->body, "a", json_null());
	assert_true(json_is_array(json_object_get(resource->body, "a")));
	resource_add_after(copy, "x");
	resource_add_after(copy, "z");
	assert_int_equal(copy->after_n, 3);
	assert_null(copy->after[3]);
}

static void a_wrong_resource_is_refused(void **state)
{
	static const struct { const char *text, *message; } cases[] = {
		{ "{\"kind\": \"k\", \"key\": \"v\", \"body\": {}}", "'site' is missing" },
		{ "{\"site\": \"s\", \"kind\": 7, \"key\": \"v\", \"body\": {}}", "'kind' is not a text" },
		{ "{\"site\": \"s\", \"kind\": \"k\", \"key\": \"\", \"body\": {}}", "'key' must have" },
		{ "{\"site\": \"s\", \"kind\": \"k\", \"key\": \"v\", \"body\": []}", "'body' must be an object" },
		{ "{\"site\": \"s\", \"kind\": \"k\", \"key\": \"v\", \"body\": {}, \"origin\": \"alien\"}", "'origin' is 'alien'" },
		{ "{\"site\": \"s\", \"kind\": \"k\", \"key\": \"v\", \"body\": {}, \"after\": {}}", "'after' must be" },
		{ "{\"site\": \"s\", \"kind\": \"k\", \"key\": \"v\", \"body\": {}, \"after\": [1]}", "no key" },
		{ "[]", "'site' is missing" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = { 0 };

		assert_null(parse(cases[i].text, &err));
		assert_non_null(strstr(err.message, cases[i].message));
	}
}

static void the_tenant_is_in_the_key(void **state)
{
	size_t n;

	assert_true(resource_in_tenant("vision/train/0", "vision"));
	assert_false(resource_in_tenant("vision/train/0", "visio"));
	assert_false(resource_in_tenant("vision", "vision"));
	assert_null(resource_tenant("firewall", &n));
	assert_null(resource_tenant("host/firewall", &n));
	assert_null(resource_tenant("image/sha256:abc", &n));
	assert_null(resource_tenant("/x", &n));
	assert_non_null(resource_tenant("hosting/x", &n));
	assert_int_equal(n, 7);
}

static void the_first_of_a_key_is_found_and_all_can_be_removed(void **state)
{
	autoresources struct resources resources = { 0 };

	resources_add(&resources, resource_new("s", "k", "b", NULL));
	resources_add(&resources, resource_new("s", "k", "a", NULL));
	resources_add(&resources, resource_new("s", "k", "b", NULL));
	assert_ptr_equal(resources_get(&resources, "b"), resources.items[0]);
	assert_int_equal(resources.by_key.n, 2);
	resources_sort(&resources);
	assert_string_equal(resources.items[0]->key, "a");
	resources_remove(&resources, "b");
	assert_int_equal(resources.n, 1);
	assert_null(resources_get(&resources, "b"));
	resources_remove(&resources, "none");
}

static json_t *from_text(const char *text)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(json);
	return json;
}

static void refs_are_resolved_and_found_again(void **state)
{
	autoresources struct resources known = { 0 };
	struct ref_lookup lookup = ref_lookup_resources(&known);
	autojson json_t *body = from_text("{\"a\": {\"$ref\": \"v/n\", \"field\": \"id\"}, \"b\": [{\"$ref\": \"v/n\", \"field\": \"mtu\"}, 7], \"c\": {\"$ref\": \"v/n\"}}");
	autojson json_t *expected = from_text("{\"a\": \"f-1\", \"b\": [1450, 7], \"c\": \"f-1\"}");
	json_t *resolved = NULL;
	struct error err = { 0 };

	assert_fails(ref_resolve(body, &lookup, &resolved, &err), "'id' of 'v/n' is not known");
	assert_int_equal(err.code, ERROR_NOT_FOUND);
	resources_add(&known, resource_new("s", "network", "v/n", from_text("{\"mtu\": 1450}")));
	resource_set_id(known.items[0], "f-1");
	assert_ok(ref_resolve(body, &lookup, &resolved, &err));
	assert_true(json_equal(resolved, expected));
	autojson json_t *back = ref_restore(resolved, body, &lookup);
	assert_true(json_equal(back, body));
	/* a value that is another one now stays what it is */
	json_object_set_new(resolved, "a", json_string("f-2"));
	autojson json_t *other = ref_restore(resolved, body, &lookup);
	assert_string_equal(json_string_value(json_object_get(other, "a")), "f-2");
	json_decref(resolved);
}

static void assert_text(const char *json, size_t limit, const char *expected)
{
	autojson json_t *value = json ? from_text(json) : NULL;
	autofree char *text = value_text(value, limit);

	assert_string_equal(text, expected);
}

static void values_read_well(void **state)
{
	assert_text(NULL, 80, "-");
	assert_text("null", 80, "-");
	assert_text("\"plain\"", 80, "plain");
	assert_text("{\"b\": 1, \"a\": [true]}", 80, "{\"a\":[true],\"b\":1}");
	assert_text("{\"$ref\": \"v/n\", \"field\": \"id\"}", 80, "v/n (after create)");
	assert_text("{\"$ref\": \"v/n\", \"field\": \"mtu\"}", 80, "mtu of v/n (after create)");
	assert_text("{\"$secret\": \"hub\", \"digest\": \"00\"}", 80, "secret hub");
	assert_text("\"abcdefghij\"", 8, "abcde...");
	assert_text("\"abc\xc3\xa9\xc3\xa9\xc3\xa9\"", 7, "abc...");	/* not within a character */
}

static void a_secret_shows_only_a_keyed_digest(void **state)
{
	uint8_t key[32] = { 1 }, other[32] = { 2 };
	autosecret struct secret value = { 0 };
	char a[DIGEST_HEX], b[DIGEST_HEX];

	secret_set(&value, "hunter2", 7);
	secret_mark_digest(key, "hub", &value, a);
	secret_mark_digest(key, "hub", &value, b);
	assert_string_equal(a, b);
	secret_mark_digest(key, "other", &value, b);
	assert_string_not_equal(a, b);
	secret_mark_digest(other, "hub", &value, b);
	assert_string_not_equal(a, b);
	autojson json_t *mark = secret_mark_new("hub", a);
	const char *name, *digest;
	assert_true(secret_mark_is(mark, &name, &digest));
	assert_string_equal(name, "hub");
	assert_string_equal(digest, a);
}

static void coverage_needs_every_scope(void **state)
{
	CLEANUP(coverage_clear) struct coverage coverage = { 0 };

	assert_false(coverage_complete(&coverage, "network"));
	coverage_add(&coverage, "network", "a", COVERAGE_COMPLETE, NULL);
	coverage_add(&coverage, "wall", NULL, COVERAGE_ABSENT, NULL);
	assert_true(coverage_complete(&coverage, "network"));
	assert_true(coverage_complete(&coverage, "wall"));
	coverage_add(&coverage, "network", "b", COVERAGE_FORBIDDEN, "403");
	assert_false(coverage_complete(&coverage, "network"));
	assert_string_equal(coverage_reason(&coverage, "network"), "403");
	assert_non_null(coverage_reason(&coverage, "door"));
}

static void the_journal_tells_what_was_cut_short(void **state)
{
	char *dir = temp_dir_make();
	struct state *s;
	struct error err = { 0 };
	journal_entries open = { 0 };
	struct resources applied = { 0 };
	autoresource struct resource *network = resource_new("fake", "network", "v/n", NULL), *wall = resource_new("fake", "wall", "v/w", NULL);
	struct journal_entry entries[] = { { .verb = JOURNAL_CREATE, .resource = network }, { .verb = JOURNAL_UPDATE, .resource = wall } };

	assert_fails(state_open(dir, "lab", false, &s, &err), "has no state");
	assert_int_equal(err.code, ERROR_NOT_FOUND);
	assert_ok(state_open(dir, "lab", true, &s, &err));
	assert_ok(state_journal_begin(s, entries, 2, &err));
	assert_true(entries[0].id != entries[1].id);
	state_close(s);		/* as if it had died here */
	assert_ok(state_open(dir, "lab", false, &s, &err));
	assert_ok(state_journal_open(s, &open, &err));
	assert_int_equal(open.n, 2);
	assert_string_equal(open.items[0].resource->key, "v/n");
	assert_int_equal(open.items[1].verb, JOURNAL_UPDATE);
	journal_entries_clear(&open);
	/* a new intent for the key closes the old one; its end is what is applied */
	resource_set_id(network, "f-1");
	assert_ok(state_journal_begin(s, entries, 1, &err));
	assert_ok(state_journal_end(s, entries, (const bool[]){ true }, 1, &err));
	assert_ok(state_journal_open(s, &open, &err));
	assert_int_equal(open.n, 1);
	journal_entries_clear(&open);
	assert_ok(state_applied(s, &applied, &err));
	assert_int_equal(applied.n, 1);
	assert_string_equal(resources_get(&applied, "v/n")->id, "f-1");
	resources_clear(&applied);
	/* the removal of an old one with another id does not make it forget the new one */
	resource_set_id(network, "f-0");
	entries[0].verb = JOURNAL_REMOVE;
	assert_ok(state_journal_begin(s, entries, 1, &err));
	assert_ok(state_journal_end(s, entries, (const bool[]){ true }, 1, &err));
	assert_ok(state_applied(s, &applied, &err));
	assert_int_equal(applied.n, 1);
	resources_clear(&applied);
	resource_set_id(network, "f-1");
	assert_ok(state_journal_begin(s, entries, 1, &err));
	assert_ok(state_journal_end(s, entries, (const bool[]){ true }, 1, &err));
	assert_ok(state_applied(s, &applied, &err));
	assert_int_equal(applied.n, 0);
	state_close(s);
	temp_dir_remove(dir);
}

static void documents_decisions_and_the_key_stay(void **state)
{
	char *dir = temp_dir_make();
	struct state *s, *t;
	struct error err = { 0 };
	json_t *json;
	uint8_t key[32], again[32];
	autojson json_t *value = json_pack("{s:[i, i]}", "a", 1, 2);

	assert_ok(state_open(dir, "lab", true, &s, &err));
	assert_ok(state_decisions(s, &json, &err));
	assert_int_equal(json_object_size(json), 0);
	json_decref(json);
	assert_ok(state_set_document(s, "files", value, &err));
	assert_ok(state_set_decisions(s, value, &err));
	assert_ok(state_secret_key(s, key, &err));
	assert_ok(state_lock(s, 0, &err));
	assert_ok(state_open(dir, "lab", false, &t, &err));
	assert_fails(state_lock(t, 0, &err), "is being changed");
	assert_ok(state_document(t, "files", &json, &err));
	assert_true(json_equal(json, value));
	json_decref(json);
	assert_ok(state_secret_key(t, again, &err));
	assert_memory_equal(key, again, 32);
	state_close(s);
	assert_ok(state_lock(t, 0, &err));
	assert_ok(state_set_document(t, "files", NULL, &err));
	assert_ok(state_document(t, "files", &json, &err));
	assert_null(json);
	state_close(t);
	temp_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_resource_survives_its_json),
		cmocka_unit_test(a_wrong_resource_is_refused),
		cmocka_unit_test(the_tenant_is_in_the_key),
		cmocka_unit_test(the_first_of_a_key_is_found_and_all_can_be_removed),
		cmocka_unit_test(refs_are_resolved_and_found_again),
		cmocka_unit_test(values_read_well),
		cmocka_unit_test(a_secret_shows_only_a_keyed_digest),
		cmocka_unit_test(coverage_needs_every_scope),
		cmocka_unit_test(the_journal_tells_what_was_cut_short),
		cmocka_unit_test(documents_decisions_and_the_key_stay),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
