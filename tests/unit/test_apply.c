/* SPDX-License-Identifier: Apache-2.0 */
/* Apply against the site in memory: order, faults, retries, crashes, state. */
#include "helper.h"

#include "../conformance/fake_site.h"
#include "base/rng.h"
#include "plan/apply.h"
#include "plan/ref.h"

#include <pthread.h>

struct fixture {
	char *dir;
	struct fake_world *world;
	struct site_config config;
	struct site *site;
	struct state *state;
	struct resources desired;
	int crash_after;		/* so many crash points pass; -1: none */
	int points;
	size_t events[5];
	volatile bool stop;
	size_t stop_after;
};

static struct fixture *fixture_new(void)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct error err;

	f->dir = temp_dir_make();
	f->world = fake_world_new();
	fake_world_use(f->world);
	f->config.deployment = "lab";
	f->crash_after = -1;
	assert_ok(fake_ops.open(&f->config, &f->site, &err));
	assert_ok(state_open(f->dir, "lab", true, &f->state, &err));
	assert_ok(state_lock(f->state, 0, &err));
	return f;
}

static void fixture_free(struct fixture *f)
{
	fake_ops.close(f->site);
	state_close(f->state);
	resources_clear(&f->desired);
	fake_world_free(f->world);
	temp_dir_remove(f->dir);
	free(f);
}

static struct resource *want(struct fixture *f, const char *kind, const char *key, json_t *body)
{
	struct resource *resource = resource_new("fake", kind, key, body);

	resources_add(&f->desired, resource);
	return resource;
}

static void want_lab(struct fixture *f)
{
	resources_clear(&f->desired);
	want(f, "wall", "vision/wall", json_pack("{s:[s]}", "rules", "a>b"));
	want(f, "network", "vision/network", json_pack("{s:s, s:o}", "cidr", "10.0.0.0/24", "wall", ref_new("vision/wall", "id")));
	want(f, "disk", "vision/disk", json_pack("{s:i}", "size", 5));
	for (int i = 0; i < 3; i++) {
		autofree char *key = xasprintf("vision/train/%d", i);

		resource_add_after(want(f, "job", key, json_pack("{s:s, s:o, s:o}", "image", "i1", "network", ref_new("vision/network", "id"),
								"disk", ref_new("vision/disk", "id"))), "vision/network");
	}
	want(f, "door", "vision/door", json_pack("{s:o}", "target", ref_new("vision/train/0", "id")));
}

static int sink(void *arg, struct resource *resource)
{
	resources_add(arg, resource);
	return 0;
}

/* As deployment_list does it: what a crash left is told by the journal. */
static void make_plan(struct fixture *f, const struct plan_options *given, struct plan *plan)
{
	autoresources struct resources actual = { 0 }, applied = { 0 }, interrupted = { 0 }, unfinished = { 0 }, none = { 0 };
	CLEANUP(coverage_clear) struct coverage coverage = { 0 };
	CLEANUP(journal_entries_clear) journal_entries open = { 0 };
	struct plan_options options = *given;
	struct error err;

	assert_ok(fake_ops.list(f->site, LIST_OURS, sink, &actual, &coverage, &err));
	assert_ok(state_applied(f->state, &applied, &err));
	assert_ok(state_journal_open(f->state, &open, &err));
	plan_recover(&open, &applied, &interrupted, &unfinished);
	options.interrupted = &interrupted;
	options.unfinished = &unfinished;
	plan_init(plan);
	json_object_set_new(plan->site, "deployment", json_string("lab"));
	assert_ok(plan_make(fake_kinds, options.destroy ? &none : &f->desired, &applied, &actual, &coverage, &options, plan, &err));
}

static void on_event(void *arg, const struct apply_event *event)
{
	struct fixture *f = arg;

	f->events[event->type]++;
	if (f->stop_after && event->type == APPLY_DONE && f->events[APPLY_DONE] == f->stop_after)
		f->stop = true;
}

static int on_crash(void *arg, const char *point, const struct step *step)
{
	struct fixture *f = arg;

	return f->crash_after >= 0 && f->points++ == f->crash_after;
}

static int64_t fake_now;
static int64_t fake_monotonic(void *arg) { return __atomic_load_n(&fake_now, __ATOMIC_SEQ_CST); }
static int64_t fake_wall(void *arg) { return 1000; }
static void fake_sleep(void *arg, int64_t ns) { __atomic_add_fetch(&fake_now, ns, __ATOMIC_SEQ_CST); }
static const struct clock fake_clock = { fake_monotonic, fake_wall, fake_sleep, NULL };

static int apply(struct fixture *f, const struct plan_options *options, struct apply_report *report, struct error *err)
{
	autoplan struct plan plan;
	struct apply_options apply_options = {
		.event = on_event, .event_arg = f, .clock = &fake_clock, .seed = 7, .stop = &f->stop, .threads = 4,
		.crash = on_crash, .crash_arg = f, .delete_data = options->delete_data,
	};

	make_plan(f, options, &plan);
	memset(f->events, 0, sizeof(f->events));
	*err = (struct error){ 0 };
	return apply_run(&plan, &fake_ops, f->site, f->state, &apply_options, report, err);
}

static const struct plan_options make = { 0 }, prune = { .prune = true }, destroy = { .destroy = true },
	destroy_data = { .destroy = true, .delete_data = true };

static void assert_changes(struct fixture *f, const struct plan_options *options, size_t n)
{
	autoplan struct plan plan;

	make_plan(f, options, &plan);
	if (plan_change_count(&plan) != n) {
		vec_each(&plan.steps, step)
			printf("# %s %s %s\n", step_action_name(step->action), step->resource->key, step->reason ? step->reason : "");
		fail_msg("%zu changes, not %zu", plan_change_count(&plan), n);
	}
}

static void assert_no_violation(struct fixture *f)
{
	if (f->world->violations.n)
		fail_msg("%s", f->world->violations.items[0]);
}

static void apply_makes_all_and_the_second_changes_nothing(void **state)
{
	struct fixture *f = fixture_new();
	struct apply_report report;
	struct error err;

	want_lab(f);
	assert_ok(apply(f, &make, &report, &err));
	assert_int_equal(report.done, 7);
	assert_int_equal(f->events[APPLY_START], 7);
	assert_int_equal(f->events[APPLY_DONE], 7);
	assert_string_equal(f->world->log.items[0] + 7, "vision/wall");
	assert_string_equal(f->world->log.items[6], "create vision/door");
	assert_no_violation(f);
	assert_changes(f, &make, 0);
	fake_world_forget_log(f->world);
	assert_ok(apply(f, &make, &report, &err));
	assert_int_equal(f->world->log.n, 0);
	fixture_free(f);
}

static void destroy_leaves_what_is_kept(void **state)
{
	struct fixture *f = fixture_new();
	struct apply_report report;
	struct error err;

	want_lab(f);
	assert_ok(apply(f, &make, &report, &err));
	assert_ok(apply(f, &destroy, &report, &err));
	assert_int_equal(fake_world_count(f->world, "lab"), 1);
	assert_ok(apply(f, &destroy_data, &report, &err));
	assert_int_equal(fake_world_count(f->world, "lab"), 0);
	assert_no_violation(f);
	fixture_free(f);
}

static void a_retryable_failure_is_tried_again(void **state)
{
	struct fixture *f = fixture_new();
	struct apply_report report;
	struct error err;

	want_lab(f);
	f->world->fault = FAKE_RETRY;
	f->world->fault_at = 2;
	f->world->fault_n = 3;
	assert_ok(apply(f, &make, &report, &err));
	assert_int_equal(f->events[APPLY_RETRY], 3);
	/* one that never ends is given up */
	fake_world_forget_log(f->world);
	f->world->fault_at = 0;
	f->world->fault_key = "vision/train/1";
	json_object_set_new(resources_get(&f->desired, "vision/train/1")->body, "cpu", json_integer(5));
	assert_fails(apply(f, &make, &report, &err), "vision/train/1: cannot update");
	assert_int_equal(f->events[APPLY_RETRY], 5);
	assert_int_equal(report.failed, 1);
	fixture_free(f);
}

static void what_waits_for_a_failure_is_not_started(void **state)
{
	struct fixture *f = fixture_new();
	struct apply_report report;
	struct error err;

	want_lab(f);
	f->world->fault = FAKE_FAIL;
	f->world->fault_key = "vision/network";
	assert_fails(apply(f, &make, &report, &err), "2 done, 1 failed, 4 not started: vision/network");
	assert_int_equal(err.code, ERROR_PARTIAL);
	assert_int_equal(f->events[APPLY_SKIPPED], 4);
	assert_int_equal(f->events[APPLY_RETRY], 0);
	f->world->fault_key = NULL;
	assert_ok(apply(f, &make, &report, &err));
	assert_int_equal(report.done, 5);
	assert_no_violation(f);
	fixture_free(f);
}

static void ready_is_waited_for_up_to_the_deadline(void **state)
{
	struct fixture *f = fixture_new();
	struct apply_report report;
	struct error err;

	want_lab(f);
	f->world->ready_polls = 20;
	assert_ok(apply(f, &make, &report, &err));
	assert_int_equal(report.done, 7);
	vec_each(&f->world->things, thing)
		assert_int_equal(thing->polls, 21);
	f->world->ready_polls = 1000000;
	want(f, "wall", "audio/wall", json_object());
	assert_fails(apply(f, &make, &report, &err), "audio/wall: it was made, but is not ready after 300 s");
	fixture_free(f);
}

static void a_stop_ends_what_runs_and_starts_nothing_more(void **state)
{
	struct fixture *f = fixture_new();
	struct apply_report report;
	struct error err;

	want_lab(f);
	f->stop_after = 2;
	assert_fails(apply(f, &make, &report, &err), "interrupted");
	assert_int_equal(err.code, ERROR_INTERRUPTED);
	assert_true(report.done >= 2 && report.done < 7);
	assert_int_equal(report.done + report.not_started, 7);
	f->stop = false;
	f->stop_after = 0;
	assert_ok(apply(f, &make, &report, &err));
	assert_changes(f, &make, 0);
	fixture_free(f);
}

static size_t log_index(const struct fixture *f, const char *text)
{
	for (size_t i = 0; i < f->world->log.n; i++)
		if (streq(f->world->log.items[i], text))
			return i;
	fail_msg("'%s' did not happen", text);
	return 0;
}

static void replace_goes_in_the_right_order(void **state)
{
	struct fixture *f = fixture_new();
	struct apply_report report;
	struct error err;

	want_lab(f);
	assert_ok(apply(f, &make, &report, &err));
	fake_world_forget_log(f->world);
	json_object_set_new(resources_get(&f->desired, "vision/network")->body, "cidr", json_string("10.9.0.0/24"));
	assert_ok(apply(f, &make, &report, &err));
	assert_no_violation(f);
	/* network, three jobs and the door, both halves each */
	assert_int_equal(f->world->log.n, 10);
	assert_int_equal(report.done, 5);
	assert_int_equal(f->events[APPLY_START], 5);
	assert_int_equal(f->events[APPLY_DONE], 5);
	assert_true(log_index(f, "remove vision/door") < log_index(f, "remove vision/train/0"));
	assert_string_equal(f->world->log.items[4], "remove vision/network");
	assert_string_equal(f->world->log.items[5], "create vision/network");
	assert_changes(f, &make, 0);
	fixture_free(f);
}

static void want_pool(struct fixture *f, const char *flavour)
{
	resources_clear(&f->desired);
	want(f, "pool", "v/pool", json_pack("{s:s}", "flavour", flavour));
	want(f, "job", "v/job", json_pack("{s:o}", "pool", ref_new("v/pool", "id")));
}

static void create_first_moves_over_before_the_old_goes(void **state)
{
	struct fixture *f = fixture_new();
	struct apply_report report;
	struct error err;

	want_pool(f, "small");
	assert_ok(apply(f, &make, &report, &err));
	fake_world_forget_log(f->world);
	want_pool(f, "large");
	assert_ok(apply(f, &make, &report, &err));
	assert_int_equal(f->world->log.n, 3);
	assert_string_equal(f->world->log.items[0], "create v/pool");
	assert_string_equal(f->world->log.items[1], "update v/job");
	assert_string_equal(f->world->log.items[2], "remove v/pool");
	assert_int_equal(report.done, 2);
	assert_no_violation(f);
	assert_changes(f, &make, 0);
	fixture_free(f);
}

static void adoption_completes_what_is_half_there(void **state)
{
	struct fixture *f = fixture_new();
	struct apply_report report;
	struct error err;

	want_lab(f);
	f->world->fault = FAKE_HALF;
	f->world->fault_key = "vision/network";
	assert_int_equal(apply(f, &make, &report, &err), -1);
	assert_false(fake_world_find(f->world, "vision/network")->complete);
	f->world->fault_key = NULL;
	assert_ok(apply(f, &make, &report, &err));
	assert_true(fake_world_find(f->world, "vision/network")->complete);
	assert_no_violation(f);
	assert_changes(f, &make, 0);
	fixture_free(f);
}

/* Every crash point of every kind of plan: the next run converges. */
static void converge(struct fixture *f, const struct plan_options *options)
{
	struct apply_report report;
	struct error err;

	f->crash_after = -1;
	assert_ok(apply(f, options, &report, &err));
	assert_changes(f, options, 0);
	assert_no_violation(f);
	vec_each(&f->world->things, thing)
		assert_true(thing->complete);
}

static void a_crash_anywhere_converges(void **state)
{
	for (int point = 0;; point++) {
		struct fixture *f = fixture_new();
		struct apply_report report;
		struct error err;

		want_lab(f);
		f->crash_after = point;
		int result = apply(f, &make, &report, &err);
		converge(f, &make);
		assert_int_equal(fake_world_count(f->world, "lab"), 7);
		/* from here to another network, and crash again */
		json_object_set_new(resources_get(&f->desired, "vision/network")->body, "cidr", json_string("10.9.0.0/24"));
		json_object_set_new(resources_get(&f->desired, "vision/train/1")->body, "image", json_string("i2"));
		f->points = 0;
		f->crash_after = point;
		result &= apply(f, &make, &report, &err);
		converge(f, &make);
		f->points = 0;
		f->crash_after = point;
		result &= apply(f, &destroy_data, &report, &err);
		converge(f, &destroy_data);
		assert_int_equal(fake_world_count(f->world, "lab"), 0);
		fixture_free(f);
		if (result == 0)
			break;
	}
}

static void a_crash_in_a_create_first_replace_converges(void **state)
{
	for (int point = 0;; point++) {
		struct fixture *f = fixture_new();
		struct apply_report report;
		struct error err;

		want_pool(f, "small");
		assert_ok(apply(f, &make, &report, &err));
		want_pool(f, "large");
		f->points = 0;
		f->crash_after = point;
		int result = apply(f, &make, &report, &err);
		converge(f, &make);
		assert_int_equal(fake_world_count(f->world, "lab"), 2);
		fixture_free(f);
		if (result == 0)
			break;
	}
}

/* The N-th verb fails, for every N, in three ways. */
static void the_nth_failure_leaves_nothing_behind(void **state)
{
	for (enum fake_fault fault = FAKE_FAIL; fault <= FAKE_HALF; fault++) {
		for (size_t n = 1;; n++) {
			struct fixture *f = fixture_new();
			struct apply_report report;
			struct error err;

			want_lab(f);
			f->world->fault = fault;
			f->world->fault_at = n;
			int result = apply(f, &make, &report, &err);
			bool reached = f->world->verbs >= n;
			f->world->fault_at = 0;
			converge(f, &make);
			f->world->fault_at = f->world->verbs + n;
			result = apply(f, &destroy_data, &report, &err);
			f->world->fault_at = 0;
			converge(f, &destroy_data);
			assert_int_equal(fake_world_count(f->world, "lab"), 0);
			fixture_free(f);
			(void)result;
			if (!reached)
				break;
		}
	}
}

static void foreign_things_stay(void **state)
{
	struct fixture *f = fixture_new();
	struct apply_report report;
	struct error err;

	want_lab(f);
	fake_world_put(f->world, ORIGIN_FOREIGN, NULL, "network", "theirs", "{}");
	fake_world_put(f->world, ORIGIN_OURS, "other", "network", "vision/network", "{\"cidr\": \"1.0.0.0/8\"}");
	fake_world_put(f->world, ORIGIN_OURS, NULL, "image", "image/abc", "{\"digest\": \"abc\"}");
	want(f, "image", "image/abc", json_pack("{s:s}", "digest", "abc"));
	assert_ok(apply(f, &make, &report, &err));
	assert_int_equal(report.done, 7);
	assert_int_equal(fake_world_count(f->world, "lab"), 7);
	assert_ok(apply(f, &destroy_data, &report, &err));
	assert_int_equal(fake_world_count(f->world, "lab"), 0);
	assert_int_equal(fake_world_count(f->world, "other"), 1);
	assert_int_equal(fake_world_count(f->world, NULL), 2);
	fixture_free(f);
}

static void losing_the_state_loses_nothing(void **state)
{
	struct fixture *f = fixture_new();
	struct apply_report report;
	struct error err;

	want_lab(f);
	assert_ok(apply(f, &make, &report, &err));
	state_close(f->state);
	assert_ok(fs_remove_tree(f->dir, &err));
	assert_ok(state_open(f->dir, "lab", true, &f->state, &err));
	assert_ok(apply(f, &make, &report, &err));
	assert_int_equal(fake_world_count(f->world, "lab"), 7);
	assert_changes(f, &make, 0);
	state_close(f->state);
	assert_ok(fs_remove_tree(f->dir, &err));
	assert_ok(state_open(f->dir, "lab", true, &f->state, &err));
	f->world->no_back_edges = true;
	assert_ok(apply(f, &destroy_data, &report, &err));
	assert_int_equal(fake_world_count(f->world, "lab"), 0);
	assert_no_violation(f);
	fixture_free(f);
}

static void prune_removes_what_the_file_no_longer_names(void **state)
{
	struct fixture *f = fixture_new();
	struct apply_report report;
	struct error err;

	want_lab(f);
	assert_ok(apply(f, &make, &report, &err));
	resources_clear(&f->desired);
	want(f, "wall", "vision/wall", json_pack("{s:[s]}", "rules", "a>b"));
	assert_ok(apply(f, &make, &report, &err));
	assert_int_equal(fake_world_count(f->world, "lab"), 7);
	assert_ok(apply(f, &prune, &report, &err));
	assert_int_equal(fake_world_count(f->world, "lab"), 2);	/* the disk is kept */
	assert_no_violation(f);
	fixture_free(f);
}

static void a_gap_makes_it_partial(void **state)
{
	struct fixture *f = fixture_new();
	struct apply_report report;
	struct error err;

	want_lab(f);
	f->world->gap_kind = "disk";
	assert_fails(apply(f, &make, &report, &err), "2 of 7 done");
	assert_int_equal(err.code, ERROR_PARTIAL);
	assert_int_equal(report.not_started, 5);
	f->world->gap_kind = NULL;
	assert_ok(apply(f, &make, &report, &err));
	assert_no_violation(f);
	fixture_free(f);
}

static void many_slow_steps_run_at_once(void **state)
{
	struct fixture *f = fixture_new();
	struct apply_report report;
	struct error err;

	for (int i = 0; i < 200; i++) {
		autofree char *wall = xasprintf("t%d/wall", i), *network = xasprintf("t%d/network", i);

		want(f, "wall", wall, json_object());
		want(f, "network", network, json_pack("{s:o}", "wall", ref_new(wall, "id")));
	}
	f->world->slow_ns = 200000;
	assert_ok(apply(f, &make, &report, &err));
	assert_int_equal(report.done, 400);
	assert_no_violation(f);
	assert_ok(apply(f, &destroy, &report, &err));
	assert_int_equal(fake_world_count(f->world, "lab"), 0);
	assert_no_violation(f);
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(apply_makes_all_and_the_second_changes_nothing),
		cmocka_unit_test(destroy_leaves_what_is_kept),
		cmocka_unit_test(a_retryable_failure_is_tried_again),
		cmocka_unit_test(what_waits_for_a_failure_is_not_started),
		cmocka_unit_test(ready_is_waited_for_up_to_the_deadline),
		cmocka_unit_test(a_stop_ends_what_runs_and_starts_nothing_more),
		cmocka_unit_test(replace_goes_in_the_right_order),
		cmocka_unit_test(create_first_moves_over_before_the_old_goes),
		cmocka_unit_test(adoption_completes_what_is_half_there),
		cmocka_unit_test(a_crash_anywhere_converges),
		cmocka_unit_test(a_crash_in_a_create_first_replace_converges),
		cmocka_unit_test(the_nth_failure_leaves_nothing_behind),
		cmocka_unit_test(foreign_things_stay),
		cmocka_unit_test(losing_the_state_loses_nothing),
		cmocka_unit_test(prune_removes_what_the_file_no_longer_names),
		cmocka_unit_test(a_gap_makes_it_partial),
		cmocka_unit_test(many_slow_steps_run_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
