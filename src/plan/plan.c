/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works
 *
 *   1. what lives is told apart by key; two of one key stop the plan
 *   2. each desired resource becomes a step, by its diff; then each that lives or was applied and is not desired
 *   3. what refers to something that is made anew is updated or replaced too, and so on (replace_dependents)
 *   4. `after`, refs and what was found give the edges; order.c sorts
 *
 * Steps own copies of their resources, so a plan outlives the lists that it was made from.
 */
#include "plan.h"

#include "diff.h"
#include "order.h"
#include "ref.h"

#include <stdio.h>
#include <stdlib.h>

#define IDS_MAX 10	/* ids named in a message */

struct builder {
	const struct kind *kinds;
	const struct resources *desired, *applied, *actual;
	const struct coverage *coverage;
	const struct plan_options *options;
	struct plan *plan;
	struct map live;	/* key to const struct resource *: ours, of this deployment */
	struct map steps;	/* key to number of the step + 1 */
	struct map leftovers;	/* the same of deletes of what an interrupted replace left */
	struct ref_lookup lookup;
};

static const char *const action_names[] = {
	[STEP_NOTHING] = "nothing", [STEP_CREATE] = "create", [STEP_UPDATE] = "update", [STEP_REPLACE] = "replace",
	[STEP_ADOPT] = "adopt", [STEP_DELETE] = "delete", [STEP_KEEP] = "keep", [STEP_ABANDONED] = "abandoned",
	[STEP_BLOCKED] = "blocked",
};

const char *step_action_name(enum step_action action) { return action_names[action]; }

bool step_acts(enum step_action action)
{
	switch (action) {
	case STEP_CREATE:
	case STEP_UPDATE:
	case STEP_REPLACE:
	case STEP_ADOPT:
	case STEP_DELETE:
		return true;
	case STEP_NOTHING:
	case STEP_KEEP:
	case STEP_ABANDONED:
	case STEP_BLOCKED:
		break;
	}
	return false;
}

void plan_init(struct plan *plan)
{
	*plan = (struct plan){
		.decisions = json_object(), .facts = json_object(), .notes = json_array(), .site = json_object(), .files = json_array(),
	};
}

void plan_clear(struct plan *plan)
{
	vec_each(&plan->steps, step) {
		resource_free(step->resource);
		resource_free(step->live);
		change_list_clear(&step->changes);
		vec_clear(&step->after);
		free(step->reason);
		json_decref(step->reset);
	}
	vec_clear(&plan->steps);
	json_decref(plan->decisions);
	json_decref(plan->facts);
	json_decref(plan->notes);
	json_decref(plan->site);
	json_decref(plan->files);
	free(plan->digest);
	*plan = (struct plan){ 0 };
}

size_t plan_count(const struct plan *plan, enum step_action action)
{
	size_t n = 0;

	vec_each(&plan->steps, step)
		n += step->action == action;
	return n;
}

size_t plan_change_count(const struct plan *plan)
{
	size_t n = 0;

	vec_each(&plan->steps, step)
		n += step_acts(step->action);
	return n;
}

void plan_recover(const journal_entries *open, struct resources *applied, struct resources *interrupted, struct resources *unfinished)
{
	vec_each(open, entry) {
		switch (entry->verb) {
		case JOURNAL_CREATE:
			resources_remove(applied, entry->resource->key);
			resources_add(unfinished, resource_copy(entry->resource));
			break;
		case JOURNAL_UPDATE:
			resources_add(unfinished, resource_copy(entry->resource));
			break;
		case JOURNAL_REMOVE:
			resources_add(interrupted, resource_copy(entry->resource));
			break;
		}
	}
}

static const struct resource *find_live(void *arg, const char *key)
{
	const struct builder *b = arg;

	return map_get(&b->live, key);
}

static bool is_shared(const struct builder *b, const struct resource *resource)
{
	const struct kind *kind = kind_find(b->kinds, resource->kind);

	return kind && kind->shared;
}

static bool is_ours(const struct builder *b, const struct resource *resource)
{
	const char *deployment = json_string_value(json_object_get(b->plan->site, "deployment"));

	if (resource->origin != ORIGIN_OURS)
		return false;
	return !deployment || !resource->deployment || streq(deployment, resource->deployment) || is_shared(b, resource);
}

/* Was its removal begun, as the old one of a replace? */
static bool is_interrupted(const struct builder *b, const struct resource *resource)
{
	const struct resources *interrupted = b->options->interrupted;

	for (size_t i = 0; interrupted && i < interrupted->n; i++)
		if (streq(interrupted->items[i]->key, resource->key) && str_equal(interrupted->items[i]->id, resource->id))
			return true;
	return false;
}

static int fail_twice(const struct builder *b, const char *key, struct error *err)
{
	char ids[256] = "";
	size_t n = 0, count = 0;

	for (size_t i = 0; i < b->actual->n; i++) {
		const struct resource *resource = b->actual->items[i];

		if (!streq(resource->key, key) || !is_ours(b, resource))
			continue;
		if (count++ < IDS_MAX) {
			int added = snprintf(ids + n, sizeof(ids) - n, "%s%s", n ? ", " : "", resource->id ? resource->id : "without an id");
			n = MIN(n + (size_t)MAX(added, 0), sizeof(ids) - 1);
		}
	}
	error_set(err, ERROR_CONFLICT, "'%s' exists %zu times: %s", key, count, ids);
	return error_hint(err, "remove the one that is not wanted; which one it is cannot be guessed");
}

static struct step *add_step(struct builder *b, enum step_action action, const struct resource *resource, const struct resource *live)
{
	struct step *step = vec_add(&b->plan->steps);

	step->action = action;
	step->resource = resource_copy(resource);
	step->live = live ? resource_copy(live) : NULL;
	return step;
}

static void name_step(struct builder *b, const struct step *step)
{
	map_set(&b->steps, step->resource->key, (void *)(uintptr_t)b->plan->steps.n);
}

/* The number of the step of a key, or -1. */
static int64_t find_step(const struct builder *b, const char *key)
{
	return (int64_t)(uintptr_t)map_get(&b->steps, key) - 1;
}

static int index_live(struct builder *b, struct error *err)
{
	for (size_t i = 0; i < b->actual->n; i++) {
		const struct resource *resource = b->actual->items[i];

		if (!is_ours(b, resource))
			continue;
		const struct resource *other = map_get(&b->live, resource->key);
		if (!other) {
			map_set(&b->live, resource->key, (void *)resource);
			continue;
		}
		bool this_old = is_interrupted(b, resource), other_old = is_interrupted(b, other);
		if (this_old == other_old)
			return fail_twice(b, resource->key, err);
		struct step *step = add_step(b, STEP_DELETE, this_old ? resource : other, this_old ? resource : other);
		step->reason = xstrdup("left by an interrupted replace");
		map_set(&b->leftovers, step->resource->key, (void *)(uintptr_t)b->plan->steps.n);
		if (other_old)
			map_set(&b->live, resource->key, (void *)resource);
	}
	return 0;
}

static bool in_scope(const struct builder *b, const char *key)
{
	size_t n;

	return !b->options->only_tenant || resource_in_tenant(key, b->options->only_tenant) || !resource_tenant(key, &n);
}

/* Is it below the tenant that is destroyed, or is all destroyed? */
static bool is_doomed(const struct builder *b, const char *key)
{
	return b->options->destroy && (!b->options->only_tenant || resource_in_tenant(key, b->options->only_tenant));
}

static bool same_after(const struct resource *a, const struct resource *b)
{
	if (a->after_n != b->after_n)
		return false;
	for (size_t i = 0; i < a->after_n; i++)
		if (!streq(a->after[i], b->after[i]))
			return false;
	return true;
}

static void describe_replace(struct step *step)
{
	vec_each(&step->changes, change) {
		if (change->immutable) {
			free(step->reason);
			step->reason = xasprintf("'%s' cannot be changed in place", change->path);
			return;
		}
	}
}

static bool has_immutable(const change_list *changes)
{
	vec_each(changes, change)
		if (change->immutable)
			return true;
	return false;
}

/* A desired resource that lives: what is to be done with it? */
static void add_live_step(struct builder *b, const struct kind *kind, const struct resource *desired,
			  const struct resource *applied, const struct resource *live)
{
	struct step *step = add_step(b, STEP_NOTHING, desired, live);
	bool unfinished = b->options->unfinished && resources_get(b->options->unfinished, desired->key);

	resource_set_id(step->resource, live->id);
	resource_set_revision(step->resource, live->revision);
	diff_resource(kind, desired, applied, live, &b->lookup, &step->changes);
	if (has_immutable(&step->changes)) {
		step->action = STEP_REPLACE;
		step->old_first = !kind->create_first;
		describe_replace(step);
	} else if (!applied && (!kind->shared || unfinished)) {
		step->action = STEP_ADOPT;
	} else if (step->changes.n) {
		step->action = STEP_UPDATE;
	} else if (unfinished) {
		step->action = STEP_UPDATE;
		step->reason = xstrdup("its last update was cut short");
	} else if (applied) {
		step->renew = !json_equal(applied->body, desired->body) || !str_equal(applied->id, live->id) ||
			      !same_after(applied, desired) || applied->cause != desired->cause;
	}
	if (step->action == STEP_UPDATE)
		step->reset = diff_reset(kind, desired->body, applied ? applied->body : NULL);
	name_step(b, step);
}

static int add_desired_step(struct builder *b, const struct resource *desired, struct error *err)
{
	const struct kind *kind = kind_find(b->kinds, desired->kind);
	const struct resource *applied = resources_get(b->applied, desired->key);
	const struct resource *live = map_get(&b->live, desired->key);
	struct step *step;

	if (!kind)
		return error_set(err, ERROR_FAILED, "resource '%s': the site has no kind '%s'", desired->key, desired->kind);
	if (kind_check(kind, desired, err) < 0)
		return -1;
	if (find_step(b, desired->key) >= 0)
		return error_set(err, ERROR_FAILED, "resource '%s' is desired twice", desired->key);
	if (live) {
		add_live_step(b, kind, desired, applied, live);
		return 0;
	}
	if (!coverage_complete(b->coverage, kind->name)) {
		step = add_step(b, STEP_BLOCKED, desired, NULL);
		step->reason = xstrdup(coverage_reason(b->coverage, kind->name));
	} else {
		step = add_step(b, STEP_CREATE, desired, NULL);
		if (applied && !kind->shared)
			step->reason = xstrdup("it was there and is gone");
	}
	name_step(b, step);
	return 0;
}

static int add_desired_steps(struct builder *b, struct error *err)
{
	for (size_t i = 0; i < b->desired->n; i++) {
		const struct resource *desired = b->desired->items[i];

		if (!in_scope(b, desired->key) || is_doomed(b, desired->key))
			continue;
		if (add_desired_step(b, desired, err) < 0)
			return -1;
		/* the destroy of a tenant takes it out of what all share, and does nothing else to that */
		struct step *step = &b->plan->steps.items[b->plan->steps.n - 1];
		bool unknown = step->action == STEP_BLOCKED && resources_get(b->applied, desired->key);
		if (b->options->destroy && step->action != STEP_UPDATE && !unknown) {
			step->action = STEP_NOTHING;
			step->renew = false;
			free(step->reason);
			step->reason = NULL;
		}
	}
	return 0;
}

/* What lives or was applied and is not desired. */
static void add_other_step(struct builder *b, const struct resource *applied, const struct resource *live)
{
	const struct resource *resource = live ? live : applied;
	const struct kind *kind = kind_find(b->kinds, resource->kind);
	bool doomed = is_doomed(b, resource->key);
	enum cause cause = applied ? applied->cause : live->cause;
	bool wanted = cause == CAUSE_RUN || cause == CAUSE_SCALE;	/* by something that this plan is not for */
	struct step *step;

	if (!in_scope(b, resource->key) || find_step(b, resource->key) >= 0 || (kind && kind->shared))
		return;
	if (!doomed && (wanted || b->options->destroy))
		return;
	if (!kind || !coverage_complete(b->coverage, kind->name)) {
		if (!doomed && !b->options->prune)
			return;
		step = add_step(b, STEP_BLOCKED, resource, resource);
		step->reason = xstrdup(kind ? coverage_reason(b->coverage, kind->name) : "this version does not know its kind");
	} else if (!live) {
		step = add_step(b, STEP_NOTHING, resource, NULL);
		step->renew = true;
	} else if (resource_keep(kind, resource) && !b->options->delete_data) {
		step = add_step(b, doomed || b->options->prune ? STEP_KEEP : STEP_ABANDONED, resource, live);
		step->reason = xstrdup("data is kept; --delete-data removes it");
	} else {
		step = add_step(b, doomed || b->options->prune ? STEP_DELETE : STEP_ABANDONED, resource, live);
		if (step->action == STEP_ABANDONED)
			step->reason = xstrdup("the file no longer names it; --prune removes it");
	}
	name_step(b, step);
}

static void add_other_steps(struct builder *b)
{
	map_each(&b->live, e)
		add_other_step(b, resources_get(b->applied, e->key), e->value);
	for (size_t i = 0; i < b->applied->n; i++)
		if (!map_has(&b->live, b->applied->items[i]->key))
			add_other_step(b, b->applied->items[i], NULL);
}

/* One ref of a step's body at something that has a step too. */
struct reference {
	uint32_t to, from;
	const struct kind_field *field;
	const char *target_field;	/* borrowed from the body */
};
typedef VEC(struct reference) reference_list;

struct reference_scan { struct builder *b; reference_list *list; uint32_t from; const struct kind_field *field; };

static void note_reference(void *arg, const char *key, const char *field)
{
	struct reference_scan *scan = arg;
	int64_t to = find_step(scan->b, key);

	if (to >= 0 && (uint32_t)to != scan->from)
		vec_push(scan->list, ((struct reference){ (uint32_t)to, scan->from, scan->field, field }));
}

static int reference_compare(const void *a, const void *b)
{
	const struct reference *x = a, *y = b;

	return x->to != y->to ? (x->to > y->to) - (x->to < y->to) : (x->from > y->from) - (x->from < y->from);
}

static void find_references(struct builder *b, reference_list *list)
{
	for (uint32_t i = 0; i < b->plan->steps.n; i++) {
		const struct step *step = &b->plan->steps.items[i];
		const struct kind *kind = kind_find(b->kinds, step->resource->kind);
		const char *name;
		json_t *value;

		if (!kind || !step->live || !resources_get(b->desired, step->resource->key))
			continue;
		json_object_foreach(step->resource->body, name, value) {
			struct reference_scan scan = { b, list, i, kind_field_find(kind, name) };

			if (scan.field && scan.field->class != FIELD_COMPUTED)
				ref_each(value, note_reference, &scan);
		}
	}
	if (list->n)
		qsort(list->items, list->n, sizeof(*list->items), reference_compare);
}

static bool has_change(const struct step *step, const char *field)
{
	size_t n = strlen(field);

	vec_each(&step->changes, change)
		if (starts_with(change->path, field) && strchr(".[", change->path[n]))	/* strchr finds the end, too */
			return true;
	return false;
}

/* `step` refers to `target`, which is made anew. Does that change what becomes of it? */
static bool follow_reference(const struct builder *b, struct step *step, const struct step *target, const struct reference *reference)
{
	const char *field = reference->field->name;
	bool is_id = streq(reference->target_field, "id");
	bool lets_go = is_id && target->action == STEP_REPLACE && target->old_first;	/* before the old target can be removed */
	bool replace = lets_go || reference->field->class == FIELD_IMMUTABLE;
	bool was_replace = step->action == STEP_REPLACE, was_first = step->old_first;

	/* a field that is said, not answered by the site, is known already: the diff has compared it */
	if (!is_id && json_object_get(target->resource->body, reference->target_field))
		return false;
	if (!has_change(step, field)) {
		struct change *change = vec_add(&step->changes);

		change->path = xstrdup(field);
		change->from = json_deep_copy(json_object_get(step->live->body, field));
		change->to = json_deep_copy(json_object_get(step->resource->body, field));
		change->immutable = reference->field->class == FIELD_IMMUTABLE;
	}
	if (replace && !was_replace) {
		step->action = STEP_REPLACE;
		free(step->reason);
		step->reason = xasprintf("'%s' is %s", target->resource->key, target->action == STEP_REPLACE ? "replaced" : "made anew");
		step->old_first = !kind_find(b->kinds, step->resource->kind)->create_first;
	} else if (step->action == STEP_NOTHING) {
		step->action = STEP_UPDATE;
		step->renew = false;
	}
	step->old_first |= lets_go;
	return (replace && !was_replace) || step->old_first != was_first;
}

static void replace_dependents(struct builder *b)
{
	reference_list list = { 0 };
	VEC(uint32_t) work = { 0 };

	find_references(b, &list);
	autofree size_t *first = xcalloc(b->plan->steps.n + 2, sizeof(*first));
	for (size_t i = 0; i < list.n; i++)
		first[list.items[i].to + 1]++;
	for (size_t i = 0; i <= b->plan->steps.n; i++)
		first[i + 1] += i < b->plan->steps.n ? first[i] : 0;
	for (uint32_t i = 0; i < b->plan->steps.n; i++)
		if (b->plan->steps.items[i].action == STEP_REPLACE || b->plan->steps.items[i].action == STEP_CREATE)
			vec_push(&work, i);
	while (work.n) {
		uint32_t target = work.items[--work.n];

		for (size_t i = first[target]; i < list.n && list.items[i].to == target; i++) {
			struct step *step = &b->plan->steps.items[list.items[i].from];

			if (step->action != STEP_NOTHING && step->action != STEP_UPDATE && step->action != STEP_ADOPT && step->action != STEP_REPLACE)
				continue;
			if (follow_reference(b, step, &b->plan->steps.items[target], &list.items[i]))
				vec_push(&work, list.items[i].from);
		}
	}
	vec_clear(&work);
	vec_clear(&list);
}

static void add_after(struct builder *b, uint32_t step, uint32_t other)
{
	if (step != other)
		vec_push(&b->plan->steps.items[step].after, other);
}

/* What an interrupted replace left of this key goes after all that use the key have moved over to the new one. */
static void note_leftover(struct builder *b, const char *key, uint32_t user)
{
	uintptr_t leftover = (uintptr_t)map_get(&b->leftovers, key);

	if (leftover)
		add_after(b, (uint32_t)leftover - 1, user);
}

/* What a desired step needs must be made before it. */
struct need_scan { struct builder *b; uint32_t step; const char *missing; };

static void note_need(void *arg, const char *key, const char *field)
{
	struct need_scan *scan = arg;
	int64_t other = find_step(scan->b, key);

	if (!resources_get(scan->b->desired, key))
		scan->missing = key;
	else if (other >= 0)
		add_after(scan->b, scan->step, (uint32_t)other);
	note_leftover(scan->b, key, scan->step);
}

/* What was found says who used whom: a delete waits for those that used it; a replace for deletes of those that did. */
static void note_use(void *arg, const char *key, const char *field)
{
	struct need_scan *scan = arg;
	int64_t other = find_step(scan->b, key);

	if (other < 0 || (uint32_t)other == scan->step)
		return;
	note_leftover(scan->b, key, scan->step);
	enum step_action used = scan->b->plan->steps.items[other].action, user = scan->b->plan->steps.items[scan->step].action;
	if (user == STEP_NOTHING || user == STEP_KEEP || user == STEP_ABANDONED)
		return;
	if (used == STEP_DELETE || (used == STEP_REPLACE && user == STEP_DELETE))
		add_after(scan->b, (uint32_t)other, scan->step);
}

static void scan_resource(const struct resource *resource, void (*note)(void *, const char *, const char *), struct need_scan *scan)
{
	if (!resource)
		return;
	for (size_t i = 0; i < resource->after_n; i++)
		note(scan, resource->after[i], "id");
	ref_each(resource->body, note, scan);
}

static int index_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int add_edges(struct builder *b, struct error *err)
{
	for (uint32_t i = 0; i < b->plan->steps.n; i++) {
		const struct step *step = &b->plan->steps.items[i];
		struct need_scan scan = { b, i, NULL };

		if (step->action != STEP_DELETE && step->action != STEP_KEEP && step->action != STEP_ABANDONED &&
		    resources_get(b->desired, step->resource->key))
			scan_resource(step->resource, note_need, &scan);
		if (scan.missing && !b->options->only_tenant)
			return error_set(err, ERROR_FAILED, "resource '%s' needs '%s', which nothing makes", step->resource->key, scan.missing);
		if (step->action != STEP_DELETE || find_step(b, step->resource->key) == i)
			note_leftover(b, step->resource->key, i);
		scan_resource(step->live, note_use, &scan);
		scan_resource(resources_get(b->applied, step->resource->key), note_use, &scan);
	}
	vec_each(&b->plan->steps, step) {
		size_t n = 0;

		if (step->after.n == 0)
			continue;
		qsort(step->after.items, step->after.n, sizeof(uint32_t), index_compare);
		for (size_t i = 0; i < step->after.n; i++)
			if (n == 0 || step->after.items[n - 1] != step->after.items[i])
				step->after.items[n++] = step->after.items[i];
		step->after.n = n;
	}
	return 0;
}

static int build(struct builder *b, struct error *err)
{
	if (index_live(b, err) < 0)
		return -1;
	if (add_desired_steps(b, err) < 0)
		return -1;
	add_other_steps(b);
	replace_dependents(b);
	if (add_edges(b, err) < 0)
		return -1;
	if (order_sort(b->plan, b->kinds, err) < 0)
		return -1;
	plan_seal(b->plan);
	return 0;
}

int plan_make(const struct kind *kinds, const struct resources *desired, const struct resources *applied, const struct resources *actual,
	      const struct coverage *coverage, const struct plan_options *options, struct plan *into, struct error *err)
{
	struct builder b = {
		.kinds = kinds, .desired = desired, .applied = applied, .actual = actual,
		.coverage = coverage, .options = options, .plan = into,
	};

	b.lookup = (struct ref_lookup){ .find = find_live, .arg = &b };
	into->destroy = options->destroy;
	int result = build(&b, err);
	map_clear(&b.live);
	map_clear(&b.steps);
	map_clear(&b.leftovers);
	return result;
}
