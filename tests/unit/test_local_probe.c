/* SPDX-License-Identifier: Apache-2.0 */
#include "local_site.h"

#include "base/clock.h"
#include "site/local/probe/probe.h"

#include <sys/wait.h>

static json_t *probe(struct local_site *local)
{
	struct site_facts facts = { 0 };
	struct error err = { 0 };

	assert_ok(local_probe(&local->config, &facts, &err));
	return facts.json;
}

static const json_t *check(const json_t *facts, const char *id)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_get_array(facts, "checks"), i, item)
		if (streq(json_get_string(item, "id", ""), id))
			return item;
	return NULL;
}

static void a_look_leaves_nothing_behind(void **state)
{
	struct local_site *local = local_site_start();
	json_t *facts = probe(local);

	assert_true(json_get_int(facts, "cpus", 0) >= 1000);
	assert_true(json_get_int(facts, "memory", 0) > 1 << 20);
	assert_true(json_get_bool(facts, "root", false));
	assert_non_null(json_get_object(facts, "works"));
	assert_non_null(check(facts, "kernel"));
	assert_false(fs_exists(local->config.run_dir));
	json_decref(facts);
	local_site_stop(local, NULL, 0);
}

static void every_check_has_its_words(void **state)
{
	struct local_site *local = local_site_start();
	json_t *facts = probe(local), *item;
	size_t i;

	json_array_foreach(json_get_array(facts, "checks"), i, item) {
		const char *level = json_get_string(item, "level", "");

		assert_true(*json_get_string(item, "id", "") && *json_get_string(item, "text", ""));
		assert_true(streq(level, "ok") || streq(level, "warn") || streq(level, "fail"));
		if (!streq(level, "ok"))
			assert_true(*json_get_string(item, "fix", ""));
		if (getenv("INSULA_TEST_SHOW"))
			printf("# %s %s: %s\n", level, json_get_string(item, "id", ""), json_get_string(item, "text", ""));
	}
	json_decref(facts);
	local_site_stop(local, NULL, 0);
}

static void what_was_tried_is_kept_while_something_is_deployed(void **state)
{
	struct local_site *local = local_site_start();
	static const struct local_kind *const kinds[] = { &local_runtime };
	struct error err = { 0 };
	json_t *first, *second;
	int64_t before, tried, kept;

	local_make(local, &local_runtime, "host/runtime", json_object());
	before = clock_monotonic_ns(&clock_system);
	assert_ok(local_probe_machine(&local->config, &first, &err));
	tried = clock_monotonic_ns(&clock_system) - before;
	before = clock_monotonic_ns(&clock_system);
	assert_ok(local_probe_machine(&local->config, &second, &err));
	kept = clock_monotonic_ns(&clock_system) - before;
	printf("# tried in %d us, kept in %d us\n", (int)(tried / 1000), (int)(kept / 1000));
	assert_true(json_equal(first, second));
	json_decref(first);
	json_decref(second);
	local_take(local, &local_runtime, "host/runtime", false);
	local_site_stop(local, kinds, 1);
}

static void ids_of_others_are_told(void **state)
{
	static const char text[] = "ann:100000:65536\nbob:1879048192:65536\n";
	struct local_site *local = local_site_start();
	autofree char *own = xasprintf("%sinsula-%s.a:1879113728:65536\n", text, local->config.deployment);
	struct error err = { 0 };
	json_t *facts, *busy;

	assert_ok(fs_replace_file("/etc/subuid", own, strlen(own), 0644, false, &err));
	facts = probe(local);
	busy = json_get_array(facts, "busyIds");
	assert_int_equal(json_array_size(busy), 1);
	assert_int_equal(json_get_int(json_array_get(busy, 0), "base", 0), 1879048192);
	assert_string_equal(json_get_string(json_array_get(busy, 0), "by", ""), "bob in /etc/subuid");
	json_decref(facts);
	local_site_stop(local, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_look_leaves_nothing_behind),
		cmocka_unit_test(every_check_has_its_words),
		cmocka_unit_test(what_was_tried_is_kept_while_something_is_deployed),
		cmocka_unit_test(ids_of_others_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
