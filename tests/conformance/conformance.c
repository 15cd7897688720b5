/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works
 *
 * Each check opens the site and a fresh state, works through plan and apply as the program does (or
 * calls the verbs itself), and takes everything down again. A check is a function that gives NULL, or what is wrong.
 */
#include "conformance.h"

#include "base/buf.h"
#include "plan/apply.h"
#include "plan/ref.h"

#include <stdio.h>
#include <stdlib.h>

struct check {
	const struct conformance *with;
	struct site *site;
	struct state *state;
	int crash_in;		/* crash points until the crash; -1: none */
	struct error err;
};

static const struct plan_options make = { .prune = true }, destroy = { .destroy = true, .delete_data = true };

/* ---- words for the checks ---- */

static int take(void *arg, struct resource *resource)
{
	resources_add(arg, resource);
	return 0;
}

static char *list(struct check *c, struct resources *actual, struct coverage *coverage)
{
	if (c->with->ops->list(c->site, LIST_OURS, take, actual, coverage, &c->err) < 0)
		return xasprintf("list fails: %s", c->err.message);
	return NULL;
}

static char *make_plan(struct check *c, const struct resources *desired, const struct plan_options *given, struct plan *plan)
{
	autoresources struct resources actual = { 0 }, applied = { 0 }, interrupted = { 0 }, unfinished = { 0 }, none = { 0 };
	CLEANUP(coverage_clear) struct coverage coverage = { 0 };
	CLEANUP(journal_entries_clear) journal_entries open = { 0 };
	struct plan_options options = *given;
	char *wrong = list(c, &actual, &coverage);

	if (wrong)
		return wrong;
	if (state_applied(c->state, &applied, &c->err) < 0 || state_journal_open(c->state, &open, &c->err) < 0)
		return xasprintf("state: %s", c->err.message);
	plan_recover(&open, &applied, &interrupted, &unfinished);
	options.interrupted = &interrupted;
	options.unfinished = &unfinished;
	plan_init(plan);
	json_set_string(plan->site, "deployment", c->with->config->deployment);
	if (plan_make(c->with->ops->kinds, options.destroy ? &none : desired, &applied, &actual, &coverage, &options, plan, &c->err) < 0)
		return xasprintf("plan: %s", c->err.message);
	return NULL;
}

static int count_down(void *arg, const char *point, const struct step *step)
{
	struct check *c = arg;

	return c->crash_in >= 0 && c->crash_in-- == 0;
}

/* ret_done: false when a crash was made */
static char *carry(struct check *c, const struct resources *desired, const struct plan_options *options, bool *ret_done)
{
	autoplan struct plan plan = { 0 };
	struct apply_report report;
	struct apply_options apply_options = { .crash = count_down, .crash_arg = c, .delete_data = options->delete_data };
	bool crashing = c->crash_in >= 0;
	char *wrong = make_plan(c, desired, options, &plan);

	*ret_done = true;
	if (wrong)
		return wrong;
	if (apply_run(&plan, c->with->ops, c->site, c->state, &apply_options, &report, &c->err) == 0)
		return NULL;
	*ret_done = false;
	return crashing ? NULL : xasprintf("apply: %s", report.failed ? report.first.message : c->err.message);
}

/* Is anything left to do? */
static char *settled(struct check *c, const struct resources *desired, const struct plan_options *options)
{
	autoplan struct plan plan = { 0 };
	char *wrong = make_plan(c, desired, options, &plan);

	if (wrong)
		return wrong;
	vec_each(&plan.steps, step) {
		if (!step_acts(step->action) && step->action != STEP_BLOCKED)
			continue;
		autobuf struct buf text = { 0 };

		buf_addf(&text, "still to do: %s %s", step_action_name(step->action), step->resource->key);
		if (step->reason)
			buf_addf(&text, ", %s", step->reason);
		if (step->changes.n) {
			const struct change *change = &step->changes.items[0];
			autofree char *from = value_text(change->from, 100), *to = value_text(change->to, 100);

			buf_addf(&text, ": %s %s -> %s", change->path, from, to);
		}
		return buf_steal(&text);
	}
	return NULL;
}

static char *reach(struct check *c, const struct resources *desired, const struct plan_options *options)
{
	bool done;
	char *wrong;

	c->crash_in = -1;
	wrong = carry(c, desired, options, &done);
	return wrong ? wrong : settled(c, desired, options);
}

static char *reach_nothing(struct check *c)
{
	autoresources struct resources actual = { 0 };
	CLEANUP(coverage_clear) struct coverage coverage = { 0 };
	autojson json_t *left = json_array();
	char *wrong = reach(c, NULL, &destroy);

	if (!wrong)
		wrong = list(c, &actual, &coverage);
	if (wrong)
		return wrong;
	for (size_t i = 0; i < actual.n; i++)
		if (!kind_find(c->with->ops->kinds, actual.items[i]->kind)->shared)
			return xasprintf("after destroy there is still %s", actual.items[i]->key);
	if (c->with->ops->sweep && c->with->ops->sweep(c->site, NULL, left, &c->err) < 0)
		return xasprintf("sweep: %s", c->err.message);
	if (json_array_size(left))
		return xasprintf("left after destroy: %s", json_string_value(json_array_get(left, 0)));
	return NULL;
}

/* A fresh copy with refs resolved, as apply hands it to a verb. NULL: a ref is not known. */
static struct resource *for_verb(const struct resource *resource, const struct resources *actual, struct error *err)
{
	struct ref_lookup lookup = ref_lookup_resources(actual);
	struct resource *copy = resource_copy(resource);
	json_t *body;

	if (ref_resolve(resource->body, &lookup, &body, err) < 0) {
		resource_free(copy);
		return NULL;
	}
	json_decref(copy->body);
	copy->body = body;
	return copy;
}

/* ---- checks ---- */

static char *list_covers_every_kind(struct check *c)
{
	autoresources struct resources actual = { 0 };
	CLEANUP(coverage_clear) struct coverage coverage = { 0 };
	char *wrong = list(c, &actual, &coverage);

	if (wrong)
		return wrong;
	for (const struct kind *kind = c->with->ops->kinds; kind->name; kind++)
		if (!coverage_complete(&coverage, kind->name))
			return xasprintf("the list of kind %s is not complete: %s", kind->name, coverage_reason(&coverage, kind->name));
	for (size_t i = 0; i < actual.n; i++)
		if (!kind_find(c->with->ops->kinds, actual.items[i]->kind)->shared)
			return xasprintf("%s is there before anything was made", actual.items[i]->key);
	return NULL;
}

static char *list_finds_all_with_marks(struct check *c)
{
	autoresources struct resources actual = { 0 };
	CLEANUP(coverage_clear) struct coverage coverage = { 0 };
	char *wrong = reach(c, c->with->desired, &make);

	if (!wrong)
		wrong = list(c, &actual, &coverage);
	if (wrong)
		return wrong;
	for (size_t i = 0; i < c->with->desired->n; i++) {
		const struct resource *desired = c->with->desired->items[i], *live = resources_get(&actual, desired->key);
		bool shared = kind_find(c->with->ops->kinds, desired->kind)->shared;

		if (!live)
			return xasprintf("list does not find %s", desired->key);
		if (!streq(live->kind, desired->kind) || live->origin != ORIGIN_OURS || !live->id)
			return xasprintf("%s is listed with the wrong kind or origin, or without an id", desired->key);
		if (!shared && !str_equal(live->deployment, c->with->config->deployment))
			return xasprintf("%s is listed as of deployment %s", desired->key, live->deployment ? live->deployment : "(none)");
		if (json_object_get(desired->body, "decisions") && !json_equal(json_object_get(desired->body, "decisions"), json_object_get(live->body, "decisions")))
			return xasprintf("%s does not give its decisions back", desired->key);
		autoresource struct resource *got = resource_new(live->site, live->kind, live->key, NULL);
		resource_set_id(got, live->id);
		if (c->with->ops->get && c->with->ops->get(c->site, got, &c->err) < 0)
			return xasprintf("get of %s: %s", desired->key, c->err.message);
		if (c->with->ops->get && !str_equal(got->id, live->id))
			return xasprintf("get of %s answers another id", desired->key);
	}
	if (actual.n != actual.by_key.n)
		return xstrdup("list gives a key twice");
	return NULL;
}

static char *create_twice_is_once(struct check *c)
{
	autoresources struct resources before = { 0 }, after = { 0 };
	CLEANUP(coverage_clear) struct coverage coverage = { 0 };
	char *wrong = reach(c, c->with->desired, &make);

	if (!wrong)
		wrong = list(c, &before, &coverage);
	for (size_t i = 0; !wrong && i < c->with->desired->n; i++) {
		const struct resource *live = resources_get(&before, c->with->desired->items[i]->key);
		autoresource struct resource *again = live ? for_verb(c->with->desired->items[i], &before, &c->err) : NULL;

		if (!again)
			return xasprintf("%s is not there, or refers to nothing", c->with->desired->items[i]->key);
		if (c->with->ops->create(c->site, again, &c->err) < 0)
			return xasprintf("the second create of %s: %s", again->key, c->err.message);
		if (!str_equal(again->id, live->id))
			return xasprintf("the second create of %s makes another: %s, not %s", again->key, again->id ? again->id : "(none)", live->id);
	}
	if (!wrong)
		wrong = list(c, &after, &coverage);
	if (!wrong && after.n != before.n)
		return xasprintf("there are %zu, not %zu, after the second create of all", after.n, before.n);
	return wrong ? wrong : settled(c, c->with->desired, &make);
}

static char *remove_twice_is_once(struct check *c)
{
	autoplan struct plan plan = { 0 };
	char *wrong = reach(c, c->with->desired, &make);

	if (!wrong)
		wrong = make_plan(c, NULL, &destroy, &plan);
	if (wrong)
		return wrong;
	vec_each(&plan.steps, step) {
		if (step->action != STEP_DELETE)
			continue;
		for (int n = 1; n <= 2; n++)
			if (c->with->ops->remove(c->site, step->live, true, &c->err) < 0)
				return xasprintf("remove number %d of %s: %s", n, step->live->key, c->err.message);
		autoresource struct resource *got = resource_copy(step->live);
		if (c->with->ops->get && (c->with->ops->get(c->site, got, &c->err) == 0 || c->err.code != ERROR_NOT_FOUND))
			return xasprintf("get of %s after its removal does not say that it is not found", got->key);
	}
	return NULL;
}

static char *change_is_carried_out(struct check *c)
{
	char *wrong = reach(c, c->with->desired, &make);

	if (!wrong && c->with->changed)
		wrong = reach(c, c->with->changed, &make);
	if (!wrong && c->with->changed)
		wrong = reach(c, c->with->desired, &make);
	return wrong;
}

/* Crashes at many points on the way from `from` to `to` (NULL: nothing): each time the next run gets there. */
static char *crash_between(struct check *c, const struct resources *from, const struct resources *to)
{
	const struct plan_options *options = to ? &make : &destroy;
	size_t largest = MAX(c->with->desired->n, (size_t)1) * 3;	/* three points a step, at most two halves */
	size_t stride = c->with->crashes ? MAX(largest / c->with->crashes, (size_t)1) : 1;

	for (size_t point = 0;; point += stride) {
		bool done;
		char *wrong = from ? reach(c, from, &make) : reach_nothing(c);

		if (wrong)
			return wrong;
		c->crash_in = (int)point;
		wrong = carry(c, to, options, &done);
		if (!wrong)
			wrong = to ? reach(c, to, options) : reach_nothing(c);
		if (wrong) {
			char *where = xasprintf("after a crash at point %zu: %s", point, wrong);

			free(wrong);
			return where;
		}
		if (done)
			return NULL;
	}
}

static char *crash_while_making_converges(struct check *c) { return crash_between(c, NULL, c->with->desired); }
static char *crash_while_destroying_converges(struct check *c) { return crash_between(c, c->with->desired, NULL); }
static char *crash_while_changing_converges(struct check *c)
{
	return c->with->changed ? crash_between(c, c->with->desired, c->with->changed) : NULL;
}

static char *lost_state_is_found_again(struct check *c)
{
	const struct site_config *config = c->with->config;
	char *wrong = reach(c, c->with->desired, &make);

	if (wrong)
		return wrong;
	state_close(c->state);
	c->state = NULL;
	autofree char *path = xasprintf("%s/%s/state.db", config->state_dir, config->deployment), *wal = xasprintf("%s-wal", path),
		      *shm = xasprintf("%s-shm", path);
	remove(path);
	remove(wal);
	remove(shm);
	if (state_open(config->state_dir, config->deployment, true, &c->state, &c->err) < 0)
		return xasprintf("state: %s", c->err.message);
	autoplan struct plan plan = { 0 };
	wrong = make_plan(c, c->with->desired, &make, &plan);
	if (wrong)
		return wrong;
	vec_each(&plan.steps, step)
		if (step_acts(step->action) && (step->action != STEP_ADOPT || step->changes.n))
			return xasprintf("without state %s is to be: %s%s%s", step->resource->key, step_action_name(step->action),
					 step->changes.n ? ", because of " : "", step->changes.n ? step->changes.items[0].path : "");
	return reach(c, c->with->desired, &make);
}

static char *refs_find_their_way_back(struct check *c)
{
	autoresources struct resources actual = { 0 };
	CLEANUP(coverage_clear) struct coverage coverage = { 0 };
	char *wrong = reach(c, c->with->desired, &make);

	if (!wrong)
		wrong = list(c, &actual, &coverage);
	for (size_t i = 0; !wrong && i < c->with->desired->n; i++) {
		autoresource struct resource *resolved = for_verb(c->with->desired->items[i], &actual, &c->err);

		if (!resolved)
			return xasprintf("%s: %s", c->with->desired->items[i]->key, c->err.message);
	}
	return wrong;
}

static const struct { const char *name; char *(*run)(struct check *); } checks[] = {
	{ "list covers every kind, and nothing is there at first", list_covers_every_kind },
	{ "list finds all that was made, with its marks", list_finds_all_with_marks },
	{ "create twice makes one", create_twice_is_once },
	{ "remove twice succeeds, and then it is absent", remove_twice_is_once },
	{ "refs can be resolved from what list gives", refs_find_their_way_back },
	{ "a change is carried out, there and back", change_is_carried_out },
	{ "without its state everything is adopted as it is", lost_state_is_found_again },
	{ "a crash while making converges", crash_while_making_converges },
	{ "a crash while changing converges", crash_while_changing_converges },
	{ "a crash while destroying converges", crash_while_destroying_converges },
};

static char *run_check(const struct conformance *with, char *(*run)(struct check *))
{
	struct check c = { .with = with, .crash_in = -1 };
	autofree char *before = with->foreign ? with->foreign(with->arg) : NULL;
	char *wrong = NULL;

	if (state_open(with->config->state_dir, with->config->deployment, true, &c.state, &c.err) < 0)
		return xasprintf("state: %s", c.err.message);
	if (with->ops->open(with->config, &c.site, &c.err) < 0) {
		wrong = xasprintf("open: %s", c.err.message);
	} else {
		wrong = run(&c);
		/* whatever came of it, the next check begins with nothing */
		char *left = reach_nothing(&c);
		if (wrong)
			free(left);
		else
			wrong = left;
		with->ops->close(c.site);
	}
	state_close(c.state);
	autofree char *after = with->foreign ? with->foreign(with->arg) : NULL;
	if (!wrong && !str_equal(before, after))
		wrong = xasprintf("what is not ours was changed; before:\n%s\nafter:\n%s", before, after);
	return wrong;
}

unsigned conformance_run(const struct conformance *conformance)
{
	unsigned failed = 0;

	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		autofree char *wrong = run_check(conformance, checks[i].run);

		failed += wrong != NULL;
		if (conformance->say)
			conformance->say(conformance->arg, checks[i].name, wrong);
	}
	return failed;
}
