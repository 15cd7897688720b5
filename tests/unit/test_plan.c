/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Table cases in tests/golden/plan/: each has options, desired, applied, actual, coverage, and the
 * plan that comes of them ("plan", or "error"). INSULA_GOLDEN_UPDATE=1 writes what comes out.
 */
#include "helper.h"

#include "../conformance/fake_site.h"
#include "plan/diff.h"
#include "plan/order.h"
#include "plan/ref.h"

#include <dirent.h>

static void read_resources(const json_t *array, struct resources *ret)
{
	struct error err;
	const json_t *item;
	size_t i;

	json_array_foreach(array, i, item) {
		autojson json_t *whole = json_pack("{s:s}", "site", "fake");
		struct resource *resource;

		json_object_update(whole, (json_t *)item);
		if (!json_object_get(whole, "body"))
			json_object_set_new(whole, "body", json_object());
		assert_ok(resource_from_json(whole, &resource, &err));
		resources_add(ret, resource);
	}
}

static void coverage_all(struct coverage *coverage, const json_t *gaps)
{
	for (const struct kind *kind = fake_kinds; kind->name; kind++) {
		const char *reason = json_string_value(json_object_get(gaps, kind->name));

		coverage_add(coverage, kind->name, NULL, reason ? COVERAGE_FAILED : COVERAGE_COMPLETE, reason);
	}
}

/* The steps, as short as can be read. */
static json_t *brief_plan(const struct plan *plan)
{
	json_t *array = json_array();

	vec_each(&plan->steps, step) {
		json_t *object = json_object();

		json_object_set_new(object, "step", json_sprintf("%s %s", step_action_name(step->action), step->resource->key));
		if (step->reason)
			json_object_set_new(object, "why", json_string(step->reason));
		if (step->renew)
			json_object_set_new(object, "renew", json_true());
		vec_each(&step->changes, change) {
			autofree char *from = value_text(change->from, 80), *to = value_text(change->to, 80);
			json_t *changes = json_object_get(object, "changes");

			if (!changes) {
				changes = json_array();
				json_object_set_new(object, "changes", changes);
			}
			json_array_append_new(changes, json_sprintf("%s: %s -> %s%s%s", change->path, from, to,
								    change->drift ? " (drift)" : "", change->immutable ? " (immutable)" : ""));
		}
		if (step->after.n) {
			json_t *after = json_array();

			vec_each(&step->after, other)
				json_array_append_new(after, json_string(plan->steps.items[*other].resource->key));
			json_object_set_new(object, "after", after);
		}
		json_array_append_new(array, object);
	}
	return array;
}

static json_t *run_case(const json_t *input)
{
	autoresources struct resources desired = { 0 }, applied = { 0 }, actual = { 0 }, interrupted = { 0 }, unfinished = { 0 };
	CLEANUP(coverage_clear) struct coverage coverage = { 0 };
	autoplan struct plan plan;
	const json_t *options = json_object_get(input, "options");
	struct error err = { 0 };

	read_resources(json_object_get(input, "desired"), &desired);
	read_resources(json_object_get(input, "applied"), &applied);
	read_resources(json_object_get(input, "actual"), &actual);
	read_resources(json_object_get(input, "interrupted"), &interrupted);
	read_resources(json_object_get(input, "unfinished"), &unfinished);
	coverage_all(&coverage, json_object_get(input, "gaps"));
	struct plan_options plan_options = {
		.prune = json_is_true(json_object_get(options, "prune")),
		.destroy = json_is_true(json_object_get(options, "destroy")),
		.delete_data = json_is_true(json_object_get(options, "deleteData")),
		.only_tenant = json_string_value(json_object_get(options, "onlyTenant")),
		.interrupted = &interrupted,
		.unfinished = &unfinished,
	};
	plan_init(&plan);
	json_object_set_new(plan.site, "deployment", json_string("lab"));
	if (plan_make(fake_kinds, &desired, &applied, &actual, &coverage, &plan_options, &plan, &err) < 0)
		return json_pack("{s:s}", "error", err.message);
	/* a plan read back is the same plan */
	autojson json_t *json = plan_to_json(&plan);
	autoplan struct plan back;
	plan_init(&back);
	plan_clear(&back);
	assert_ok(plan_from_json(json, &back, &err));
	assert_string_equal(plan.digest, back.digest);
	assert_ok(plan_same(&plan, &back, &err));
	return json_pack("{s:o}", "plan", brief_plan(&plan));
}

static char *golden_dir(void)
{
	const char *source = getenv("INSULA_TEST_SOURCE");

	return fs_join(source ? source : ".", "tests/golden/plan");
}

static void check_case(const char *path)
{
	struct error err;
	autojson json_t *input = NULL;

	assert_ok(json_read_file(path, 1 << 20, &input, &err));
	autojson json_t *result = run_case(input);
	autojson json_t *expected = json_object();
	if (json_object_get(input, "plan"))
		json_object_set(expected, "plan", json_object_get(input, "plan"));
	if (json_object_get(input, "error"))
		json_object_set(expected, "error", json_object_get(input, "error"));
	if (json_equal(result, expected))
		return;
	if (getenv("INSULA_GOLDEN_UPDATE")) {
		json_object_del(input, "plan");
		json_object_del(input, "error");
		json_object_update(input, result);
		autofree char *text = json_dumps(input, JSON_INDENT(1));
		autofree char *line = xasprintf("%s\n", text);
		assert_ok(fs_replace_file(path, line, strlen(line), 0644, false, &err));
		return;
	}
	autofree char *got = json_pretty(result), *want = json_pretty(expected);
	fail_msg("%s:\ngot %s\nwant %s", path, got, want);
}

static void the_cases_give_their_plans(void **state)
{
	autofree char *dir = golden_dir();
	struct dirent **entries;
	int n = scandir(dir, &entries, NULL, alphasort), cases = 0;

	for (int i = 0; i < n; i++) {
		autofree char *path = fs_join(dir, entries[i]->d_name);

		if (ends_with(path, ".json")) {
			check_case(path);
			cases++;
		}
		free(entries[i]);
	}
	free(entries);
	assert_true(cases >= 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_cases_give_their_plans),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
