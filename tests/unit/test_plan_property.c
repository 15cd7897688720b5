/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties of plan and apply over random graphs of resources, random changes, faults and crashes.
 * The same seed gives the same run; a failure is shown at the smallest size at which it still
 * fails. INSULA_PROPERTY_RUNS sets how many (default 40), INSULA_PROPERTY_SEED the first seed.
 */
#include "helper.h"

#include "../conformance/fake_site.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/vec.h"
#include "plan/apply.h"
#include "plan/order.h"
#include "plan/ref.h"

static const char *const kind_names[] = { "wall", "network", "disk", "image", "pool", "job", "door" };

struct run {
	struct rng rng;
	char *dir;
	struct fake_world *world;
	struct site_config config;
	struct site *site;
	struct state *state;
	struct resources desired;
	uint64_t next_name;
	int crash_in;			/* crash points until the crash; -1: none */
	char problem[1024];
};

static int problem(struct run *run, const char *format, ...) PRINTF_LIKE(2, 3);
static int problem(struct run *run, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(run->problem, sizeof(run->problem), format, ap);
	va_end(ap);
	return -1;
}

static bool chance(struct run *run, unsigned percent)
{
	return rng_below(&run->rng, 100) < percent;
}

static enum stage stage_of(const struct resource *resource)
{
	return kind_find(fake_kinds, resource->kind)->stage;
}

/* May `from` need `to`? Not against the stages; and what is the whole site's needs nothing of a tenant, but for doors. */
static bool may_need(const struct resource *from, const struct resource *to)
{
	size_t n;
	bool from_site = !resource_tenant(from->key, &n), to_site = !resource_tenant(to->key, &n);

	if (stage_of(to) > stage_of(from) || (stage_of(from) == STAGE_FENCE && stage_of(to) != STAGE_FENCE))
		return false;
	return !from_site || to_site || stage_of(from) == STAGE_DOOR;
}

static const char *reference_field(struct run *run, const struct resource *from, const struct resource *to)
{
	if (streq(from->kind, "network") && streq(to->kind, "wall"))
		return "wall";
	if (streq(from->kind, "pool") && streq(to->kind, "network"))
		return "network";
	if (streq(from->kind, "job") && (streq(to->kind, "network") || streq(to->kind, "disk") || streq(to->kind, "pool")))
		return to->kind;
	if (streq(from->kind, "door"))
		return "target";
	return NULL;
}

static void set_values(struct run *run, struct resource *resource)
{
	int64_t value = (int64_t)rng_below(&run->rng, 3);

	if (streq(resource->kind, "wall")) {
		json_t *rules = json_array();

		for (int i = 0; i < 4; i++)
			if (chance(run, 50))
				json_array_append_new(rules, json_sprintf("rule %d", i));
		json_object_set_new(resource->body, "rules", rules);
	} else if (streq(resource->kind, "network")) {
		json_object_set_new(resource->body, chance(run, 70) ? "mtu" : "cidr", json_integer(value));
	} else if (streq(resource->kind, "disk")) {
		json_object_set_new(resource->body, "size", json_integer(value));
	} else if (streq(resource->kind, "pool")) {
		json_object_set_new(resource->body, "flavour", json_integer(value));
	} else if (streq(resource->kind, "job")) {
		json_object_set_new(resource->body, chance(run, 60) ? "cpu" : "image", json_integer(value));
		if (chance(run, 30))
			json_object_del(resource->body, "cpu");
	} else if (streq(resource->kind, "door")) {
		json_object_set_new(resource->body, "port", json_integer(value));
	}
}

static void add_random(struct run *run)
{
	const char *kind = kind_names[rng_below(&run->rng, ARRAY_LEN(kind_names))];
	uint64_t tenant = rng_below(&run->rng, 4), number = run->next_name++;
	autofree char *key = streq(kind, "image") ? xasprintf("image/%llu", (unsigned long long)number)
			   : tenant == 0 ? xasprintf("host/%s%llu", kind, (unsigned long long)number)
					 : xasprintf("t%llu/%s%llu", (unsigned long long)tenant, kind, (unsigned long long)number);
	struct resource *resource = resource_new("fake", kind, key, NULL);
	size_t needs = rng_below(&run->rng, 4);

	set_values(run, resource);
	for (size_t i = 0; i < needs && run->desired.n; i++) {
		const struct resource *other = run->desired.items[rng_below(&run->rng, run->desired.n)];
		const char *field = reference_field(run, resource, other);

		if (!may_need(resource, other))
			continue;
		if (field && chance(run, 70))
			json_object_set_new(resource->body, field, ref_new(other->key, "id"));
		else
			resource_add_after(resource, other->key);
	}
	resources_add(&run->desired, resource);
}

struct search { const char *key; bool found; };

static void find_reference(void *arg, const char *key, const char *field)
{
	struct search *search = arg;

	search->found |= streq(search->key, key);
}

static bool is_needed(const struct run *run, const char *key)
{
	for (size_t i = 0; i < run->desired.n; i++) {
		const struct resource *other = run->desired.items[i];
		struct search search = { key, false };

		for (size_t k = 0; k < other->after_n; k++)
			search.found |= streq(other->after[k], key);
		ref_each(other->body, find_reference, &search);
		if (search.found)
			return true;
	}
	return false;
}

static void change_randomly(struct run *run, size_t n)
{
	for (size_t i = 0; i < n && run->desired.n; i++) {
		size_t at = rng_below(&run->rng, run->desired.n);
		struct resource *resource = run->desired.items[at];

		if (chance(run, 25))
			add_random(run);
		else if (chance(run, 30) && !is_needed(run, resource->key))
			resources_remove(&run->desired, resource->key);
		else
			set_values(run, resource);
	}
}

/* Other hands: a thing vanishes, a value changes, a foreign rule appears. */
static void meddle(struct run *run)
{
	if (!run->world->things.n)
		return;
	struct fake_thing *thing = &run->world->things.items[rng_below(&run->rng, run->world->things.n)];
	if (streq(thing->resource->kind, "wall"))
		json_object_set_new(thing->resource->body, "rules", json_pack("[s]", "evil"));
	else if (streq(thing->resource->kind, "job"))
		json_object_set_new(thing->resource->body, "cpu", json_integer(99));
}

static int sink(void *arg, struct resource *resource)
{
	resources_add(arg, resource);
	return 0;
}

/* A plan of what lives now, and that its order respects what each resource says it comes after. */
static int make_plan(struct run *run, const struct plan_options *given, struct plan *plan)
{
	autoresources struct resources actual = { 0 }, applied = { 0 }, interrupted = { 0 }, unfinished = { 0 }, none = { 0 };
	CLEANUP(coverage_clear) struct coverage coverage = { 0 };
	CLEANUP(journal_entries_clear) journal_entries open = { 0 };
	automap struct map places = { 0 };
	struct plan_options options = *given;
	struct error err = { 0 };

	if (fake_ops.list(run->site, LIST_OURS, sink, &actual, &coverage, &err) < 0 || state_applied(run->state, &applied, &err) < 0 ||
	    state_journal_open(run->state, &open, &err) < 0)
		return problem(run, "%s", err.message);
	plan_recover(&open, &applied, &interrupted, &unfinished);
	options.interrupted = &interrupted;
	options.unfinished = &unfinished;
	json_object_set_new(plan->site, "deployment", json_string("lab"));
	if (plan_make(fake_kinds, options.destroy ? &none : &run->desired, &applied, &actual, &coverage, &options, plan, &err) < 0)
		return problem(run, "plan: %s", err.message);
	for (size_t i = 0; i < plan->steps.n; i++)
		if (plan->steps.items[i].action != STEP_DELETE)
			map_set(&places, plan->steps.items[i].resource->key, (void *)(uintptr_t)(i + 1));
	for (size_t i = 0; i < plan->steps.n; i++) {
		const struct resource *resource = plan->steps.items[i].resource;

		if (!step_acts(plan->steps.items[i].action) || plan->steps.items[i].action == STEP_DELETE)
			continue;
		for (size_t k = 0; k < resource->after_n; k++)
			if ((uintptr_t)map_get(&places, resource->after[k]) > i)
				return problem(run, "%s comes before %s in the plan", resource->key, resource->after[k]);
	}
	return 0;
}

static int64_t quick_now;
static int64_t quick_monotonic(void *arg) { return __atomic_load_n(&quick_now, __ATOMIC_SEQ_CST); }
static int64_t quick_wall(void *arg) { return 0; }
static void quick_sleep(void *arg, int64_t ns) { __atomic_add_fetch(&quick_now, ns, __ATOMIC_SEQ_CST); }
static const struct clock quick_clock = { quick_monotonic, quick_wall, quick_sleep, NULL };

static int count_down(void *arg, const char *point, const struct step *step)
{
	struct run *run = arg;

	return run->crash_in >= 0 && run->crash_in-- == 0;
}

/* ret: of apply_run. -1 only when the engine did something that it may not do. */
static int apply(struct run *run, const struct plan_options *options, int *ret, struct error *err)
{
	autoplan struct plan plan = { 0 };
	struct apply_report report;
	struct apply_options apply_options = {
		.clock = &quick_clock, .seed = 1, .threads = 3, .crash = count_down, .crash_arg = run, .delete_data = options->delete_data,
	};

	plan_init(&plan);
	if (make_plan(run, options, &plan) < 0)
		return -1;
	*err = (struct error){ 0 };
	*ret = apply_run(&plan, &fake_ops, run->site, run->state, &apply_options, &report, err);
	if (run->world->violations.n)
		return problem(run, "%s", run->world->violations.items[0]);
	return 0;
}

/* Without faults it must succeed, and then nothing is left to do. */
static int converge(struct run *run, const struct plan_options *options)
{
	autoplan struct plan plan = { 0 };
	struct error err;
	int result;

	run->crash_in = -1;
	run->world->fault_at = 0;
	if (apply(run, options, &result, &err) < 0)
		return -1;
	if (result < 0)
		return problem(run, "does not converge: %s", err.message);
	plan_init(&plan);
	if (make_plan(run, options, &plan) < 0)
		return -1;
	vec_each(&plan.steps, step)
		if (step_acts(step->action) || step->renew)
			return problem(run, "still to do: %s %s (%s)", step_action_name(step->action), step->resource->key, step->reason ? step->reason : "");
	vec_each(&run->world->things, thing)
		if (!thing->complete)
			return problem(run, "%s stays half made", thing->resource->key);
	return 0;
}

static void trouble(struct run *run)
{
	if (chance(run, 50)) {
		run->crash_in = (int)rng_below(&run->rng, 30);
	} else {
		run->world->fault = (enum fake_fault)(FAKE_FAIL + rng_below(&run->rng, 3));
		run->world->fault_at = run->world->verbs + 1 + rng_below(&run->rng, 20);
		run->world->fault_n = 1 + rng_below(&run->rng, 8);
	}
}

static int live(struct run *run, size_t size)
{
	const struct plan_options prune = { .prune = true }, destroy = { .destroy = true }, all = { .destroy = true, .delete_data = true };
	struct error err;
	int result;

	for (size_t i = 0; i < size; i++)
		add_random(run);
	for (int round = 0; round < 3; round++) {
		trouble(run);
		if (apply(run, &prune, &result, &err) < 0 || converge(run, &prune) < 0)
			return -1;
		change_randomly(run, 1 + size / 4);
		if (chance(run, 50))
			meddle(run);
	}
	trouble(run);
	if (apply(run, &destroy, &result, &err) < 0 || converge(run, &destroy) < 0)
		return -1;
	vec_each(&run->world->things, thing)
		if (!streq(thing->resource->kind, "disk") && !streq(thing->resource->kind, "image"))
			return problem(run, "%s outlives the destroy", thing->resource->key);
	if (converge(run, &all) < 0)
		return -1;
	if (fake_world_count(run->world, "lab"))
		return problem(run, "something is left");
	return 0;
}

static int run_once(uint64_t seed, size_t size, char text[static 1024])
{
	struct run run = { .crash_in = -1 };
	struct error err;

	rng_seed(&run.rng, seed);
	run.dir = temp_dir_make();
	run.world = fake_world_new();
	fake_world_use(run.world);
	run.config.deployment = "lab";
	assert_ok(fake_ops.open(&run.config, &run.site, &err));
	assert_ok(state_open(run.dir, "lab", true, &run.state, &err));
	int result = live(&run, size);
	if (result < 0)
		snprintf(text, 1024, "%s", run.problem);
	fake_ops.close(run.site);
	state_close(run.state);
	resources_clear(&run.desired);
	fake_world_free(run.world);
	temp_dir_remove(run.dir);
	return result;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void graphs_converge_from_anything(void **state)
{
	uint64_t first = number_of("INSULA_PROPERTY_SEED", 1), runs = number_of("INSULA_PROPERTY_RUNS", 40);
	char text[1024];

	for (uint64_t seed = first; seed < first + runs; seed++) {
		if (run_once(seed, 1 + seed % 40, text) == 0)
			continue;
		for (size_t size = 1; size <= 1 + seed % 40; size++)
			if (run_once(seed, size, text) < 0)
				fail_msg("seed %llu, size %zu: %s", (unsigned long long)seed, size, text);
		fail_msg("seed %llu: %s (not again)", (unsigned long long)seed, text);
	}
}

/* 256 tenants with ten resources each: the graph stays linear, and planning is quick. */
static void a_large_plan_is_linear(void **state)
{
	autoresources struct resources desired = { 0 }, none = { 0 };
	CLEANUP(coverage_clear) struct coverage coverage = { 0 };
	const struct plan_options options = { 0 };
	autoplan struct plan plan = { 0 };
	autoorder struct order order = { 0 };
	struct error err;

	for (const struct kind *kind = fake_kinds; kind->name; kind++)
		coverage_add(&coverage, kind->name, NULL, COVERAGE_COMPLETE, NULL);
	resources_add(&desired, resource_new("fake", "wall", "host/wall", NULL));
	for (int t = 0; t < 256; t++) {
		autofree char *wall = xasprintf("t%d/wall", t), *network = xasprintf("t%d/network", t);

		resources_add(&desired, resource_new("fake", "wall", wall, NULL));
		resources_add(&desired, resource_new("fake", "network", network, json_pack("{s:o}", "wall", ref_new(wall, "id"))));
		for (int i = 0; i < 8; i++) {
			autofree char *job = xasprintf("t%d/job/%d", t, i);
			struct resource *resource = resource_new("fake", i < 7 ? "job" : "door", job, NULL);

			json_object_set_new(resource->body, i < 7 ? "network" : "target", ref_new(network, "id"));
			resource_add_after(resource, network);
			resources_add(&desired, resource);
		}
	}
	plan_init(&plan);
	int64_t start = clock_monotonic_ns(&clock_system);
	assert_ok(plan_make(fake_kinds, &desired, &none, &none, &coverage, &options, &plan, &err));
	printf("# %zu steps planned in %.1f ms\n", plan.steps.n, (double)(clock_monotonic_ns(&clock_system) - start) / 1e6);
	assert_int_equal(plan.steps.n, 2561);
	order_build(&plan, fake_kinds, &order);
	printf("# %zu nodes, %zu edges\n", order.nodes.n, order.edges.n);
	assert_true(order.nodes.n < 2 * plan.steps.n);
	assert_true(order.edges.n < 6 * plan.steps.n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(graphs_converge_from_anything),
		cmocka_unit_test(a_large_plan_is_linear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
