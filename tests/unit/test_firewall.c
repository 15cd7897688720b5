/* SPDX-License-Identifier: Apache-2.0 */
/* A listing as nft gave it, read back: as it was loaded, and with one thing changed in it at a time. */
#include "helper.h"

#include "site/local/network/firewall.h"

struct golden { json_t *whole, *body, *listing, *loaded; };

#define TABLE "insula_test"

static struct golden golden_read(void)
{
	autofree char *path = source_path("tests/golden/local/firewall.nft-1.0.6.json");
	struct golden golden = { 0 };
	struct error err = { 0 };

	assert_ok(json_read_file(path, 1 << 20, &golden.whole, &err));
	golden.body = json_get_object(golden.whole, "body");
	golden.listing = json_get_array(golden.whole, "listing");
	golden.loaded = firewall_loaded(golden.listing, TABLE, golden.body);
	return golden;
}

static void golden_clear(struct golden *golden)
{
	json_decref(golden->whole);
	json_decref(golden->loaded);
}

static json_t *object_find(const struct golden *golden, const char *kind, const char *key, const char *value, size_t *ret_index)
{
	json_t *entry;
	size_t i;

	json_array_foreach(golden->listing, i, entry) {
		json_t *object = json_get_object(entry, kind);

		if (object && str_equal(json_get_string(object, key, NULL), value)) {
			if (ret_index)
				*ret_index = i;
			return object;
		}
	}
	fail_msg("the listing has no %s %s", kind, value);
	return NULL;
}

/* The changed listing reads as the body with `field` as in `wanted`, and all else as it was. */
static void assert_read(const struct golden *golden, const char *field, const char *wanted)
{
	autojson json_t *read = firewall_read(golden->listing, TABLE, golden->loaded, NULL), *expected = json_deep_copy(golden->body);

	json_set(expected, field, json_loads(wanted, 0, NULL));
	if (!json_equal(read, expected))
		fail_msg("read %s", json_canonical(read));
}

#define FLOWS "\"a>b tcp/80\", \"a>b udp/5000-5100\", \"b>a any\""

static void what_was_loaded_is_read_back(void **state)
{
	CLEANUP(golden_clear) struct golden golden = golden_read();

	assert_read(&golden, "flows", "[" FLOWS "]");
}

static void counters_and_handles_do_not_matter(void **state)
{
	CLEANUP(golden_clear) struct golden golden = golden_read();
	json_t *rule = object_find(&golden, "rule", "comment", "no IPv6", NULL), *statement;
	size_t i;

	json_set_int(rule, "handle", 4711);
	json_array_foreach(json_object_get(rule, "expr"), i, statement)
		if (json_object_get(statement, "counter"))
			json_set_int(json_object_get(statement, "counter"), "packets", 99);
	assert_read(&golden, "flows", "[" FLOWS "]");
}

static void a_rule_that_is_gone_is_missing(void **state)
{
	CLEANUP(golden_clear) struct golden golden = golden_read();
	size_t at;

	object_find(&golden, "rule", "comment", "out of order", &at);
	json_array_remove(golden.listing, at);
	assert_read(&golden, "flows", "[" FLOWS ", \"missing: rule forward: out of order\"]");
}

static void a_rule_for_a_range_that_is_gone_is_that_range_gone(void **state)
{
	CLEANUP(golden_clear) struct golden golden = golden_read();
	size_t at;

	object_find(&golden, "rule", "comment", "a>192.168.50.0/24 tcp/22", &at);
	json_array_remove(golden.listing, at);
	assert_read(&golden, "egress", "[\"a>internet icmp\", \"a>internet tcp\", \"b>internet any\"]");
}

static void a_rule_that_was_turned_is_foreign_and_its_old_self_missing(void **state)
{
	CLEANUP(golden_clear) struct golden golden = golden_read();
	json_t *rule = object_find(&golden, "rule", "comment", "nor around by the uplink", NULL);

	json_set(rule, "expr", json_loads("[{\"accept\": null}]", 0, NULL));
	assert_read(&golden, "flows", "[" FLOWS ", \"foreign: rule of forward: [{\\\"accept\\\":null}]\", \"missing: rule forward: nor around by the uplink\"]");
}

static void rules_that_changed_places_are_told(void **state)
{
	CLEANUP(golden_clear) struct golden golden = golden_read();
	size_t first, last;
	json_t *a, *b;

	object_find(&golden, "rule", "comment", "flows", &first);
	object_find(&golden, "rule", "comment", "internet, every port", &last);
	a = json_incref(json_array_get(golden.listing, first));
	b = json_incref(json_array_get(golden.listing, last));
	json_array_set_new(golden.listing, first, b);
	json_array_set_new(golden.listing, last, a);
	assert_read(&golden, "flows", "[" FLOWS ", \"changed: the order of forward\"]");
}

static void a_copy_of_a_rule_at_another_place_is_foreign(void **state)
{
	CLEANUP(golden_clear) struct golden golden = golden_read();
	size_t first, copied;
	json_t *copy;

	object_find(&golden, "rule", "comment", "internet, every port", &copied);
	object_find(&golden, "rule", "comment", "not where clouds answer with credentials", &first);
	copy = json_deep_copy(json_array_get(golden.listing, copied));
	json_set(json_object_get(copy, "rule"), "handle", json_integer(999));
	json_array_insert_new(golden.listing, first, copy);
	{
		autojson json_t *read = firewall_read(golden.listing, TABLE, golden.loaded, NULL);
		json_t *flows = json_object_get(read, "flows");

		assert_true(json_array_size(flows) > 3);
		assert_true(starts_with(json_string_value(json_array_get(flows, 3)), "foreign: rule of forward: "));
	}
}

static void a_policy_that_was_turned_is_told(void **state)
{
	CLEANUP(golden_clear) struct golden golden = golden_read();

	json_set_string(object_find(&golden, "chain", "name", "forward", NULL), "policy", "accept");
	assert_read(&golden, "flows", "[" FLOWS ", \"foreign: chain inet forward\", \"missing: chain forward\"]");
}

static void elements_are_told_as_what_they_mean(void **state)
{
	CLEANUP(golden_clear) struct golden golden = golden_read();
	json_t *flows = json_object_get(object_find(&golden, "set", "name", "flows", NULL), "elem"), *egress, *special;

	json_array_remove(flows, 0);
	json_add(flows, json_loads("{\"concat\": [\"insb0000000b\", \"insb0000000a\", \"tcp\", {\"range\": [1, 9]}]}", 0, NULL));
	assert_int_equal(json_array_size(flows), 2);
	egress = firewall_read(golden.listing, TABLE, golden.loaded, NULL);
	special = json_object_get(egress, "flows");
	assert_int_equal(json_array_size(special), 3);
	assert_string_equal(json_string_value(json_array_get(special, 2)), "b>a tcp/1-9");
	json_decref(egress);
}

static void a_special_address_that_was_let_out_is_told(void **state)
{
	CLEANUP(golden_clear) struct golden golden = golden_read();
	json_t *elements = json_object_get(object_find(&golden, "set", "name", "special", NULL), "elem"), *element;
	size_t i;

	json_array_foreach(elements, i, element) {
		if (str_equal(json_get_string(json_object_get(element, "prefix"), "addr", NULL), "10.0.0.0")) {
			json_array_remove(elements, i);
			break;
		}
	}
	assert_read(&golden, "flows", "[" FLOWS ", \"missing: 10.0.0.0/8 in the set special\"]");
}

static void a_port_whose_address_was_opened_is_told(void **state)
{
	CLEANUP(golden_clear) struct golden golden = golden_read();
	json_t *elements = json_object_get(object_find(&golden, "set", "name", "addresses", NULL), "elem");

	json_add(elements, json_loads("{\"concat\": [\"insv0000000a\", \"10.77.2.2\"]}", 0, NULL));
	assert_read(&golden, "flows", "[" FLOWS ", \"foreign: insv0000000a . 10.77.2.2 in the set addresses\"]");
}

static void without_knowledge_of_what_was_loaded_nothing_is_taken_for_true(void **state)
{
	CLEANUP(golden_clear) struct golden golden = golden_read();
	autojson json_t *read = firewall_read(golden.listing, TABLE, NULL, NULL);

	assert_int_equal(json_array_size(json_object_get(read, "flows")), 1);
	assert_true(starts_with(json_string_value(json_array_get(json_object_get(read, "flows"), 0)), "changed: "));
	assert_null(firewall_read(golden.listing, "insula_other", NULL, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_loaded_is_read_back),
		cmocka_unit_test(counters_and_handles_do_not_matter),
		cmocka_unit_test(a_rule_that_is_gone_is_missing),
		cmocka_unit_test(a_rule_for_a_range_that_is_gone_is_that_range_gone),
		cmocka_unit_test(a_rule_that_was_turned_is_foreign_and_its_old_self_missing),
		cmocka_unit_test(rules_that_changed_places_are_told),
		cmocka_unit_test(a_copy_of_a_rule_at_another_place_is_foreign),
		cmocka_unit_test(a_policy_that_was_turned_is_told),
		cmocka_unit_test(elements_are_told_as_what_they_mean),
		cmocka_unit_test(a_special_address_that_was_let_out_is_told),
		cmocka_unit_test(a_port_whose_address_was_opened_is_told),
		cmocka_unit_test(without_knowledge_of_what_was_loaded_nothing_is_taken_for_true),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
