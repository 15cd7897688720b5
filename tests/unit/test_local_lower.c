/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lower against golden files: tests/golden/local/lab.yaml on the machines whose facts are beside it. With
 * INSULA_TEST_UPDATE=1 the files are written anew, to be read before they are committed.
 */
#include "helper.h"

#include "model/decisions.h"
#include "model/expand.h"
#include "model/spec.h"
#include "site/local/lower.h"
#include "site/local/probe/probe.h"

struct lowered {
	struct intent intent;
	struct site_facts facts;
	struct survey survey;
	struct world world;
	struct resources resources;
	json_t *decisions, *notes;
};

static void lowered_clear(struct lowered *lowered)
{
	resources_clear(&lowered->resources);
	world_clear(&lowered->world);
	survey_clear(&lowered->survey);
	json_decref(lowered->decisions);
	json_decref(lowered->notes);
	json_decref(lowered->facts.json);
	intent_clear(&lowered->intent);
}

static int lower_text(const char *text, const char *facts_path, struct lowered *ret, struct error *ret_err)
{
	struct error err = { 0 };
	struct source source = { .name = "lab.yaml", .text = text, .n = strlen(text) };
	autofindings struct findings findings = { 0 };
	struct site_config config;

	*ret = (struct lowered){ .notes = json_array() };
	assert_ok(json_read_file(facts_path, 1 << 20, &ret->facts.json, &err));
	assert_ok(spec_parse(&source, 1, &ret->intent, &findings, &err));
	assert_ok(local_survey(&ret->facts, &ret->survey, &err));
	assert_ok(decisions_make(&ret->intent, &ret->survey, NULL, false, &ret->decisions, &err));
	assert_ok(world_expand(&ret->intent, &ret->survey, ret->decisions, &ret->world, &err));
	config = (struct site_config){ .deployment = ret->intent.site.name, .intent = &ret->intent.site, .whole_intent = &ret->intent };
	return local_lower(&ret->facts, &config, &ret->intent, &ret->world, ret->decisions, &ret->resources, ret->notes, ret_err);
}

static json_t *lowered_json(struct lowered *lowered)
{
	json_t *all = json_array();

	resources_sort(&lowered->resources);
	for (size_t i = 0; i < lowered->resources.n; i++)
		json_add(all, resource_to_json(lowered->resources.items[i]));
	return json_pack("{s:o, s:O}", "resources", all, "notes", lowered->notes);
}

static char *golden_text(const char *name)
{
	autofree char *relative = xasprintf("tests/golden/local/%s", name), *path = source_path(relative);
	struct error err = { 0 };
	char *text;

	assert_ok(fs_read_file(path, 1 << 20, &text, NULL, &err));
	return text;
}

static void golden_check(const char *machine)
{
	autofree char *facts_name = xasprintf("tests/golden/local/%s.facts.json", machine), *facts_path = source_path(facts_name);
	autofree char *name = xasprintf("%s.lowered.json", machine), *relative = xasprintf("tests/golden/local/%s", name);
	autofree char *path = source_path(relative), *text = golden_text("lab.yaml"), *found = NULL, *expected = NULL;
	struct error err = { 0 };
	struct lowered lowered;
	json_t *json;

	assert_ok(lower_text(text, facts_path, &lowered, &err));
	json = lowered_json(&lowered);
	found = json_pretty(json);
	json_decref(json);
	lowered_clear(&lowered);
	if (getenv("INSULA_TEST_UPDATE"))
		assert_ok(fs_replace_file(path, found, strlen(found), 0644, false, &err));
	expected = golden_text(name);
	assert_string_equal(found, expected);
}

static void lower_on_a_machine_with_v2(void **state)
{
	golden_check("v2");
}

/* Also: a storage that is larger than its limit, a volume made without its size, one made larger. */
static void lower_on_a_machine_with_v1_and_things_on_it(void **state)
{
	golden_check("v1");
}

static void every_field_is_in_its_table(void **state)
{
	autofree char *text = golden_text("lab.yaml"), *facts_path = source_path("tests/golden/local/v1.facts.json");
	struct error err = { 0 };
	struct lowered lowered;

	assert_ok(lower_text(text, facts_path, &lowered, &err));
	for (size_t i = 0; i < lowered.resources.n; i++) {
		const struct resource *resource = lowered.resources.items[i];
		const struct kind *kind = kind_find(site_local.kinds, resource->kind);
		const char *name;
		json_t *value;

		assert_non_null(kind);
		json_object_foreach(resource->body, name, value) {
			const struct kind_field *field = kind->fields;

			while (field->name && !streq(field->name, name))
				field++;
			if (!field->name)
				fail_msg("%s: %s is not in the table of %s", resource->key, name, resource->kind);
		}
		for (size_t j = 0; j < resource->after_n; j++)
			if (!resources_get(&lowered.resources, resource->after[j]))
				fail_msg("%s comes after %s, which does not exist", resource->key, resource->after[j]);
	}
	lowered_clear(&lowered);
}

#define HEAD \
	"apiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: a}\nspec: {trust: trusted, limit: {gpu: 2}}\n---\n" \
	"apiVersion: insula.dev/v1\nkind: Workload\nmetadata: {name: w, tenant: a}\nspec:\n"

static void what_comes_later_is_refused_by_name(void **state)
{
	static const struct { const char *spec, *says; } cases[] = {
		{ "  method: container\n  image: docker://debian\n", "lab.yaml:8:" },
		{ "  method: container\n  image: docker://debian\n  pullSecret: s\n---\napiVersion: insula.dev/v1\nkind: Secret\nmetadata: {name: s}\nspec: {fromFile: ./token}\n", "pullSecret is not used" },
		{ "  method: container\n  image: base\n  resources: {gpu: 1}\n", "GPUs come with a later version" },
		{ "  method: container\n  image: \"rootfs:/nowhere\"\n", "image rootfs:/nowhere" },
	};
	autofree char *facts_path = source_path("tests/golden/local/v2.facts.json");

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofree char *text = xasprintf(HEAD "%s", cases[i].spec);
		struct error err = { 0 };
		struct lowered lowered;

		assert_fails(lower_text(text, facts_path, &lowered, &err), cases[i].says);
		lowered_clear(&lowered);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lower_on_a_machine_with_v2),
		cmocka_unit_test(lower_on_a_machine_with_v1_and_things_on_it),
		cmocka_unit_test(every_field_is_in_its_table),
		cmocka_unit_test(what_comes_later_is_refused_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
