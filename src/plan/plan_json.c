/* SPDX-License-Identifier: Apache-2.0 */
/* Plans as JSON: saved, read back, told to be the same. */
#include "plan.h"

#include "base/arena.h"
#include "base/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define PLAN_VERSION 1
#define PLAN_BYTES_MAX ((size_t)256 << 20)
#define STEPS_MAX 1000000
#define DIFFERENCES_MAX 5	/* named in a message */

static json_t *changes_to_json(const change_list *changes)
{
	json_t *array = json_array();

	vec_each(changes, change) {
		json_t *object = json_object();

		json_object_set_new(object, "path", json_text(change->path));
		if (change->from)
			json_object_set(object, "from", change->from);
		if (change->to)
			json_object_set(object, "to", change->to);
		if (change->drift)
			json_object_set_new(object, "drift", json_true());
		if (change->immutable)
			json_object_set_new(object, "immutable", json_true());
		json_array_append_new(array, object);
	}
	return array;
}

static json_t *step_to_json(const struct step *step)
{
	json_t *object = json_object();

	json_object_set_new(object, "action", json_text(step_action_name(step->action)));
	json_object_set_new(object, "resource", resource_to_json(step->resource));
	if (step->live)
		json_object_set_new(object, "live", resource_to_json(step->live));
	if (step->changes.n)
		json_object_set_new(object, "changes", changes_to_json(&step->changes));
	if (step->after.n) {
		json_t *after = json_array();

		vec_each(&step->after, other)
			json_array_append_new(after, json_integer(*other));
		json_object_set_new(object, "after", after);
	}
	if (step->reason)
		json_object_set_new(object, "reason", json_text(step->reason));
	if (step->reset)
		json_object_set(object, "reset", step->reset);
	if (step->old_first)
		json_object_set_new(object, "oldFirst", json_true());
	if (step->renew)
		json_object_set_new(object, "renew", json_true());
	return object;
}

/* Everything that the digest covers. */
static json_t *content_to_json(const struct plan *plan)
{
	json_t *object = json_object(), *steps = json_array();

	json_object_set_new(object, "apiVersion", json_text("insula.dev/v1"));
	json_object_set_new(object, "kind", json_text("Plan"));
	json_object_set_new(object, "version", json_integer(PLAN_VERSION));
	json_object_set_new(object, "destroy", json_boolean(plan->destroy));
	json_object_set(object, "site", plan->site);
	vec_each(&plan->steps, step)
		json_array_append_new(steps, step_to_json(step));
	json_object_set_new(object, "steps", steps);
	json_object_set(object, "decisions", plan->decisions);
	json_object_set(object, "facts", plan->facts);
	json_object_set(object, "notes", plan->notes);
	json_object_set(object, "files", plan->files);
	return object;
}

void plan_seal(struct plan *plan)
{
	autojson json_t *content = content_to_json(plan);
	char hex[DIGEST_HEX];

	json_digest(content, hex);
	free(plan->digest);
	plan->digest = xstrdup(hex);
}

json_t *plan_to_json(const struct plan *plan)
{
	json_t *object = content_to_json(plan);

	json_object_set_new(object, "madeAt", json_integer(plan->made_ms));
	if (plan->digest)
		json_object_set_new(object, "digest", json_text(plan->digest));
	return object;
}

static int read_changes(const json_t *json, struct step *step, struct error *err)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json, i, item) {
		const char *path = json_string_value(json_object_get(item, "path"));

		if (!path)
			return error_set(err, ERROR_INPUT, "plan: a change of '%s' has no path", step->resource->key);
		struct change *change = vec_add(&step->changes);
		change->path = xstrdup(path);
		change->from = json_deep_copy(json_object_get(item, "from"));
		change->to = json_deep_copy(json_object_get(item, "to"));
		change->drift = json_is_true(json_object_get(item, "drift"));
		change->immutable = json_is_true(json_object_get(item, "immutable"));
	}
	return 0;
}

static int read_action(const json_t *json, enum step_action *ret, struct error *err)
{
	const char *text = json_string_value(json_object_get(json, "action"));

	for (enum step_action action = STEP_NOTHING; text && action <= STEP_BLOCKED; action++) {
		if (streq(text, step_action_name(action))) {
			*ret = action;
			return 0;
		}
	}
	return error_set(err, ERROR_INPUT, "plan: a step's action '%s' is not known", text ? text : "");
}

/* Every action but making something needs what lives; `after` points at other steps. */
static int check_step(const struct step *step, const json_t *after, size_t index, size_t n, struct error *err)
{
	bool bad_reset = step->reset && !json_is_object(step->reset);
	bool needs_live = step->action == STEP_UPDATE || step->action == STEP_REPLACE || step->action == STEP_ADOPT || step->action == STEP_DELETE;

	if (bad_reset)
		return error_set(err, ERROR_INPUT, "plan: 'reset' of '%s' must be an object", step->resource->key);
	if (needs_live && !step->live)
		return error_set(err, ERROR_INPUT, "plan: the step of '%s' lacks what lives", step->resource->key);
	for (size_t i = 0; i < json_array_size(after); i++) {
		const json_t *item = json_array_get(after, i);
		json_int_t other = json_integer_value(item);

		if (!json_is_integer(item) || other < 0 || (size_t)other >= n || (size_t)other == index)
			return error_set(err, ERROR_INPUT, "plan: the step of '%s' comes after a step that is not there", step->resource->key);
	}
	return 0;
}

static int read_step(const json_t *json, size_t index, size_t n, struct plan *plan, struct error *err)
{
	struct step *step = vec_add(&plan->steps);
	const json_t *live = json_object_get(json, "live"), *after = json_object_get(json, "after"), *item;
	const char *reason = json_string_value(json_object_get(json, "reason"));
	size_t i;

	step->reset = json_deep_copy(json_object_get(json, "reset"));
	if (read_action(json, &step->action, err) < 0 ||
	    resource_from_json(json_object_get(json, "resource"), &step->resource, err) < 0 ||
	    (live && resource_from_json(live, &step->live, err) < 0) ||
	    read_changes(json_object_get(json, "changes"), step, err) < 0 ||
	    check_step(step, after, index, n, err) < 0)
		return -1;
	json_array_foreach(after, i, item)
		vec_push(&step->after, (uint32_t)json_integer_value(item));
	step->reason = reason ? xstrdup(reason) : NULL;
	step->old_first = json_is_true(json_object_get(json, "oldFirst"));
	step->renew = json_is_true(json_object_get(json, "renew"));
	return 0;
}

static int take(const json_t *json, const char *name, bool array, json_t **into, struct error *err)
{
	json_t *value = json_object_get(json, name);

	if (array ? !json_is_array(value) : !json_is_object(value))
		return error_set(err, ERROR_INPUT, "plan: '%s' is missing or of the wrong type", name);
	json_decref(*into);
	*into = json_deep_copy(value);
	return 0;
}

static int read_plan(const json_t *json, struct plan *plan, struct error *err)
{
	const json_t *steps = json_object_get(json, "steps"), *step;
	const char *kind = json_string_value(json_object_get(json, "kind"));
	size_t i;

	if (!kind || !streq(kind, "Plan"))
		return error_set(err, ERROR_INPUT, "this is not a plan");
	if (json_integer_value(json_object_get(json, "version")) != PLAN_VERSION) {
		error_set(err, ERROR_INPUT, "the plan was written by another version");
		return error_hint(err, "make it again with this one");
	}
	if (take(json, "decisions", false, &plan->decisions, err) < 0 || take(json, "facts", false, &plan->facts, err) < 0 ||
	    take(json, "notes", true, &plan->notes, err) < 0 || take(json, "site", false, &plan->site, err) < 0 ||
	    take(json, "files", true, &plan->files, err) < 0)
		return -1;
	if (!json_is_array(steps) || json_array_size(steps) > STEPS_MAX)
		return error_set(err, ERROR_INPUT, "plan: 'steps' must be a list of at most %d", STEPS_MAX);
	json_array_foreach(steps, i, step)
		if (read_step(step, i, json_array_size(steps), plan, err) < 0)
			return -1;
	plan->destroy = json_is_true(json_object_get(json, "destroy"));
	plan->made_ms = json_integer_value(json_object_get(json, "madeAt"));
	plan_seal(plan);
	return 0;
}

int plan_from_json_unsealed(const json_t *json, struct plan *ret, struct error *err)
{
	struct plan plan;

	plan_init(&plan);
	if (read_plan(json, &plan, err) < 0) {
		plan_clear(&plan);
		return -1;
	}
	*ret = plan;
	return 0;
}

int plan_from_json(const json_t *json, struct plan *ret, struct error *err)
{
	const char *digest = json_get_string(json, "digest", "");
	struct plan plan;

	if (plan_from_json_unsealed(json, &plan, err) < 0)
		return -1;
	if (!streq(digest, plan.digest)) {
		plan_clear(&plan);
		error_set(err, ERROR_INPUT, "the plan was changed after it was made: its digest does not fit");
		return error_hint(err, "make it again");
	}
	*ret = plan;
	return 0;
}

int plan_save(const struct plan *plan, const char *path, struct error *err)
{
	autojson json_t *json = plan_to_json(plan);
	autofree char *text = json_pretty(json);
	struct stat st;

	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode)) {	/* a rename onto /dev/null would take its place */
		error_set(err, ERROR_INPUT, "%s is no ordinary file: a plan is not saved in its place", path);
		return error_hint(err, "name a file that may be made or replaced");
	}
	return fs_replace_file(path, text, strlen(text), 0600, true, err);
}

int plan_load(const char *path, struct plan *ret, struct error *err)
{
	autojson json_t *json = NULL;

	if (json_read_file(path, PLAN_BYTES_MAX, &json, err) < 0)
		return -1;
	if (plan_from_json(json, ret, err) < 0)
		return error_wrap(err, "%s", path);
	return 0;
}

/* What of a live resource may not move between plan and apply: its id, and its revision or, without one, its body. */
static bool same_live(const struct step *a, const struct step *b)
{
	if (!a->live || !b->live)
		return !a->live && !b->live;
	if (!str_equal(a->live->id, b->live->id))
		return false;
	if (a->live->revision || b->live->revision)
		return str_equal(a->live->revision, b->live->revision);
	return true;
}

static bool same_changes(const struct step *a, const struct step *b)
{
	autojson json_t *x = changes_to_json(&a->changes), *y = changes_to_json(&b->changes);

	return json_equal(x, y);
}

/* NULL when the step is the same now; else what moved. Caller frees. */
static char *describe_move(const struct step *saved, const struct step *now)
{
	const char *key = saved->resource->key;

	if (!now)
		return step_acts(saved->action) ? xasprintf("'%s' (%s) needs nothing any more", key, step_action_name(saved->action)) : NULL;
	if (saved->action != now->action)
		return xasprintf("'%s' was to be: %s, is now: %s", key, step_action_name(saved->action), step_action_name(now->action));
	if (!step_acts(saved->action))
		return NULL;
	if (!same_live(saved, now))
		return xasprintf("'%s' changed since", key);
	if (!same_changes(saved, now))
		return xasprintf("'%s' would change otherwise now", key);
	if (saved->action != STEP_DELETE && !json_equal(saved->resource->body, now->resource->body))
		return xasprintf("'%s' would be made otherwise now", key);
	return NULL;
}

struct differences { char text[900]; size_t n, count; };

static void add_difference(struct differences *differences, char *text)
{
	autofree char *owned = text;

	if (!owned || ++differences->count > DIFFERENCES_MAX)
		return;
	int added = snprintf(differences->text + differences->n, sizeof(differences->text) - differences->n, "%s%s",
			     differences->n ? "; " : "", owned);
	differences->n = MIN(differences->n + (size_t)MAX(added, 0), sizeof(differences->text) - 1);
}

/* A key has one step, but for the old one that an interrupted replace left: that is told by its id. */
static const char *step_name(struct arena *arena, const struct step *step)
{
	if (step->action != STEP_DELETE)
		return step->resource->key;
	return arena_printf(arena, "%s %s", step->resource->key, step->live->id ? step->live->id : "");
}

static void compare_steps(const struct plan *saved, const struct plan *now, struct differences *differences)
{
	automap struct map steps = { 0 };
	autoarena struct arena arena;

	arena_init(&arena);
	vec_each(&now->steps, step)
		map_set(&steps, step_name(&arena, step), (void *)step);
	vec_each(&saved->steps, step) {
		const char *name = step_name(&arena, step);

		add_difference(differences, describe_move(step, map_get(&steps, name)));
		map_remove(&steps, name);
	}
	map_each(&steps, e) {
		const struct step *step = e->value;

		if (step_acts(step->action))
			add_difference(differences, xasprintf("'%s' (%s) is new", step->resource->key, step_action_name(step->action)));
	}
}

int plan_same(const struct plan *saved, const struct plan *now, struct error *err)
{
	struct differences differences = { 0 };

	if (saved->destroy != now->destroy)
		return error_set(err, ERROR_CONFLICT, "one of the plans is a destroy, the other is not");
	if (!json_equal(saved->site, now->site))
		return error_set(err, ERROR_CONFLICT, "the plan was made for another site");
	compare_steps(saved, now, &differences);
	if (!json_equal(saved->decisions, now->decisions))
		add_difference(&differences, xstrdup("the decisions are others"));
	if (!json_equal(saved->notes, now->notes))
		add_difference(&differences, xstrdup("the notes are others"));
	if (!differences.count)
		return 0;
	if (differences.count > DIFFERENCES_MAX)
		error_set(err, ERROR_CONFLICT, "the world has moved since the plan was made: %s; and %zu more", differences.text,
			  differences.count - DIFFERENCES_MAX);
	else
		error_set(err, ERROR_CONFLICT, "the world has moved since the plan was made: %s", differences.text);
	return error_hint(err, "make the plan again and look at it");
}
