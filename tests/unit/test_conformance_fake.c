/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance suite against the site in memory; and that the suite finds what is wrong with a site. */
#include "helper.h"

#include "../conformance/conformance.h"
#include "../conformance/fake_site.h"
#include "plan/ref.h"

struct fixture { struct fake_world *world; unsigned failed; char first[200]; bool loud; };

static char *foreign(void *arg)
{
	struct fixture *f = arg;
	autojson json_t *array = json_array();

	vec_each(&f->world->things, thing)
		if (thing->resource->origin != ORIGIN_OURS || !str_equal(thing->resource->deployment, "conform"))
			if (!kind_find(fake_kinds, thing->resource->kind)->shared)
				json_add(array, resource_to_json(thing->resource));
	return json_pretty(array);
}

static void say(void *arg, const char *check, const char *detail)
{
	struct fixture *f = arg;

	if (detail && !f->failed++)
		snprintf(f->first, sizeof(f->first), "%s", check);
	if (f->loud || !detail)
		printf("# %s: %s\n", check, detail ? detail : "holds");
}

static void add(struct resources *into, const char *kind, const char *key, json_t *body, const char *after)
{
	struct resource *resource = resource_new("fake", kind, key, body);

	if (after)
		resource_add_after(resource, after);
	resources_add(into, resource);
}

static void want(struct resources *into, bool changed)
{
	add(into, "image", "image/abc", json_pack("{s:s}", "digest", "abc"), NULL);
	add(into, "wall", "v/wall", json_pack("{s:[s], s:{s:{s:i}}}", "rules", changed ? "b" : "a", "decisions", "tenant/v", "slot", 1), NULL);
	add(into, "network", "v/network", json_pack("{s:s, s:o}", "cidr", changed ? "10.1.0.0/24" : "10.0.0.0/24", "wall", ref_new("v/wall", "id")), NULL);
	add(into, "pool", "v/pool", json_pack("{s:s, s:o}", "flavour", changed ? "large" : "small", "network", ref_new("v/wall", "id")), "v/network");
	add(into, "disk", "v/disk", json_pack("{s:i}", "size", 1), NULL);
	add(into, "job", "v/job/0", json_pack("{s:s, s:o, s:o, s:o}", "image", "i", "network", ref_new("v/network", "id"), "disk", ref_new("v/disk", "id"),
					   "pool", ref_new("v/pool", "id")), "image/abc");
	add(into, "door", "v/door", json_pack("{s:i, s:o}", "port", changed ? 81 : 80, "target", ref_new("v/job/0", "id")), NULL);
}

static unsigned run(struct fixture *f, const struct site_ops *ops)
{
	autoresources struct resources desired = { 0 }, changed = { 0 };
	char *dir = temp_dir_make();
	const struct site_config config = { .deployment = "conform", .state_dir = dir, .run_dir = dir, .program_dir = dir };
	const struct conformance conformance = {
		.ops = ops, .config = &config, .desired = &desired, .changed = &changed, .foreign = foreign, .arg = f, .say = say,
	};

	f->world = fake_world_new();
	fake_world_use(f->world);
	fake_world_put(f->world, ORIGIN_FOREIGN, NULL, "network", "theirs", "{}");
	fake_world_put(f->world, ORIGIN_OURS, "other", "network", "v/network", "{\"cidr\": \"1.0.0.0/8\"}");
	want(&desired, false);
	want(&changed, true);
	unsigned failed = conformance_run(&conformance);
	if (f->world->violations.n && f->loud)
		fail_msg("%s", f->world->violations.items[0]);
	fake_world_free(f->world);
	temp_dir_remove(dir);
	return failed;
}

static void the_site_in_memory_conforms(void **state)
{
	struct fixture f = { .loud = true };

	if (run(&f, &fake_ops))
		fail_msg("%u checks failed, first: %s", f.failed, f.first);
}

/* Sites that are wrong in one way each. */
static int create_anew(struct site *site, struct resource *resource, struct error *err)
{
	if (fake_ops.create(site, resource, err) < 0)
		return -1;
	autofree char *id = xasprintf("%s-again", resource->id);
	resource_set_id(resource, id);
	return 0;
}

static int remove_nothing(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	return streq(resource->kind, "door") ? 0 : fake_ops.remove(site, resource, delete_data, err);
}

static int update_nothing(struct site *site, const struct resource *from, struct resource *to, struct error *err)
{
	return 0;
}

struct picky { resource_sink sink; void *arg; };

static int all_but_walls(void *arg, struct resource *resource)
{
	struct picky *picky = arg;

	if (!streq(resource->kind, "wall"))
		return picky->sink(picky->arg, resource);
	resource_free(resource);
	return 0;
}

static int list_without_walls(struct site *site, enum list_scope scope, resource_sink sink, void *arg, struct coverage *ret, struct error *err)
{
	struct picky picky = { sink, arg };

	return fake_ops.list(site, scope, all_but_walls, &picky, ret, err);
}

static void a_site_that_is_wrong_is_found_out(void **state)
{
	struct site_ops ops = fake_ops;
	struct fixture f = { 0 };

	ops.create = create_anew;
	assert_true(run(&f, &ops) > 0);
	f = (struct fixture){ 0 };
	ops = fake_ops;
	ops.remove = remove_nothing;
	assert_true(run(&f, &ops) > 0);
	f = (struct fixture){ 0 };
	ops = fake_ops;
	ops.update = update_nothing;
	assert_true(run(&f, &ops) > 0);
	f = (struct fixture){ 0 };
	ops = fake_ops;
	ops.list = list_without_walls;
	assert_true(run(&f, &ops) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_site_in_memory_conforms),
		cmocka_unit_test(a_site_that_is_wrong_is_found_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
