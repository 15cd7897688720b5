/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works
 *
 * Steps are put into groups, one for each tenant and one for the whole site, which comes first. In
 * a group steps keep the order of the plan. Several of the same action and kind without anything
 * to say about each become one line when they are more than ALIKE_MAX.
 */
#include "plan_text.h"

#include "base/arena.h"
#include "plan/ref.h"
#include "text.h"

#include <stdlib.h>

#define ALIKE_MAX 4		/* lines of the same action and kind in a group */
#define ALIKE_NAMED 3		/* names in the line that stands for more */
#define UNCHANGED_MAX 8		/* tenants without a change that are named */
#define VALUE_MAX 60		/* bytes of a value */
#define KIND_WIDTH 14
#define BRIEF_MAX 4		/* values of what is to be made */
#define BRIEF_VALUE_MAX 40	/* bytes of each: long paths say nothing here */
#define DIGEST_MIN 32		/* hex digits in a row that are a digest ... */
#define DIGEST_SHOWN 12		/* ... and as many of them as are shown */

struct group {
	const char *tenant;	/* or NULL: the whole site */
	VEC(const struct step *) steps;
	size_t shown;
};
typedef VEC(struct group) group_list;

struct writer {
	const struct plan *plan;
	bool color;
	struct buf *out;
};

static const struct { const char *symbol; enum text_color color; } looks[] = {
	[STEP_NOTHING] = { " ", TEXT_PLAIN }, [STEP_CREATE] = { "+", TEXT_GREEN }, [STEP_UPDATE] = { "~", TEXT_YELLOW },
	[STEP_REPLACE] = { "-+", TEXT_YELLOW }, [STEP_ADOPT] = { "=", TEXT_BLUE }, [STEP_DELETE] = { "-", TEXT_RED },
	[STEP_KEEP] = { "o", TEXT_BLUE }, [STEP_ABANDONED] = { "!", TEXT_YELLOW }, [STEP_BLOCKED] = { "!", TEXT_RED },
};

const char *step_symbol(enum step_action action) { return looks[action].symbol; }

static int group_compare(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	return strcmp(x->tenant ? x->tenant : "", y->tenant ? y->tenant : "");
}

static void groups_make(const struct plan *plan, struct arena *arena, group_list *ret)
{
	automap struct map numbers = { 0 };

	vec_each(&plan->steps, step) {
		size_t n;
		const char *tenant = resource_tenant(step->resource->key, &n), *name = tenant ? arena_strndup(arena, tenant, n) : "";
		size_t number = (size_t)(uintptr_t)map_get(&numbers, name);

		if (!number) {
			vec_add(ret)->tenant = tenant ? name : NULL;
			number = ret->n;
			map_set(&numbers, name, (void *)(uintptr_t)number);
		}
		struct group *group = &ret->items[number - 1];
		vec_push(&group->steps, step);
		group->shown += step->action != STEP_NOTHING;
	}
	if (ret->n)
		qsort(ret->items, ret->n, sizeof(*ret->items), group_compare);
}

static void groups_clear(group_list *groups)
{
	vec_each(groups, group)
		vec_clear(&group->steps);
	vec_clear(groups);
}

static const char *short_key(const struct group *group, const char *key)
{
	return group->tenant ? key + strlen(group->tenant) + 1 : key;
}

static void add_symbol(struct writer *w, enum step_action action)
{
	buf_adds(w->out, "  ");
	text_add_color(w->out, w->color, looks[action].color);
	buf_addf(w->out, "%-2s", looks[action].symbol);
	text_add_color(w->out, w->color, TEXT_PLAIN);
	buf_addc(w->out, ' ');
}

/* Fields of any site whose numbers are bytes, by their names: what a plan shows should read "8 GiB". */
static bool is_bytes(const char *path)
{
	const char *dot = strrchr(path, '.'), *name = dot ? dot + 1 : path;

	return strcasestr(name, "memory") || strcasestr(name, "bandwidth") || strcasestr(name, "storage") || streq(name, "size") ||
	       streq(name, "shm") || streq(name, "rate");
}

/* Digests are told apart by their first digits: a longer run of hex says nothing to a reader. */
static char *shorten_digests(char *text)
{
	char *to = text;

	for (const char *from = text; *from;) {
		size_t n = strspn(from, "0123456789abcdef"), kept = n >= DIGEST_MIN ? DIGEST_SHOWN : n;

		if (!n)
			n = kept = 1;
		memmove(to, from, kept);
		to += kept;
		from += n;
	}
	*to = '\0';
	return text;
}

/* ["python3", "train.py"] as one would type it */
static char *shown_words(const json_t *list)
{
	struct buf text = { 0 };
	size_t i;
	json_t *item;

	buf_adds(&text, "");
	json_array_foreach(list, i, item) {
		if (!json_is_string(item)) {
			buf_clear(&text);
			return xstrdup("");
		}
		buf_addf(&text, "%s%s", i ? " " : "", json_string_value(item));
	}
	if (text.n > BRIEF_VALUE_MAX) {
		text.data[BRIEF_VALUE_MAX - 3] = '\0';
		text.n = BRIEF_VALUE_MAX - 3;
		buf_adds(&text, "...");
	}
	return buf_steal(&text);
}

static char *shown_value(const char *path, const json_t *value)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	json_int_t n = json_integer_value(value);
	size_t unit = 0;

	if (!json_is_integer(value) || n < 1024 || !is_bytes(path))
		return shorten_digests(value_text(value, VALUE_MAX));
	/* only what stays exact, or is large enough for one digit to say it */
	double shown = (double)n;
	while (unit + 1 < ARRAY_LEN(units) && shown >= 1024) {
		shown /= 1024;
		unit++;
	}
	return xasprintf(shown == (double)(json_int_t)shown ? "%.0f %s" : "%.1f %s", shown, units[unit]);
}

/* Some of what is said of a thing that is to be made: its plain values. */
static void add_brief(struct writer *w, const struct resource *resource)
{
	size_t n = 0;
	const char *name;
	json_t *value;

	json_object_foreach(resource->body, name, value) {
		if (n == BRIEF_MAX || (!json_is_string(value) && !json_is_integer(value) && !json_is_array(value)))
			continue;
		autofree char *text = json_is_array(value) ? shown_words(value) : shown_value(name, value);
		if (strlen(text) > BRIEF_VALUE_MAX || !*text)
			continue;
		buf_adds(w->out, n++ ? ", " : "  ");
		text_add_safe(w->out, name);
		buf_addc(w->out, ' ');
		text_add_safe(w->out, text);
	}
}

static void add_change(struct writer *w, const struct step *step, const struct change *change)
{
	autofree char *from = shown_value(change->path, change->from), *to = shown_value(change->path, change->to);
	const char *secret;

	buf_adds(w->out, "       ");
	text_add_safe(w->out, change->path);
	if (change->from || step->action != STEP_ADOPT) {
		buf_adds(w->out, "  ");
		text_add_safe(w->out, from);
	}
	buf_adds(w->out, " -> ");
	text_add_safe(w->out, to);
	if (secret_mark_is(change->from, &secret, NULL) && secret_mark_is(change->to, &secret, NULL))
		buf_adds(w->out, ", another value");
	text_add_color(w->out, w->color, TEXT_DIM);
	if (change->immutable)
		buf_adds(w->out, "  (only by making it anew)");
	if (change->drift)
		buf_adds(w->out, "  (changed by other hands)");
	text_add_color(w->out, w->color, TEXT_PLAIN);
	buf_addc(w->out, '\n');
}

static void add_step(struct writer *w, const struct group *group, const struct step *step)
{
	add_symbol(w, step->action);
	text_add_padded(w->out, step->resource->kind, KIND_WIDTH, false);
	buf_addc(w->out, ' ');
	autofree char *key = shorten_digests(xstrdup(short_key(group, step->resource->key)));
	text_add_safe(w->out, key);
	text_add_color(w->out, w->color, TEXT_DIM);
	if (step->action == STEP_CREATE)
		add_brief(w, step->resource);
	if (step->reason) {
		buf_adds(w->out, "  ");
		text_add_safe(w->out, step->reason);
	}
	text_add_color(w->out, w->color, TEXT_PLAIN);
	buf_addc(w->out, '\n');
	vec_each(&step->changes, change)
		add_change(w, step, change);
}

static bool is_alike(const struct step *a, const struct step *b)
{
	return a->action == b->action && streq(a->resource->kind, b->resource->kind) && !b->changes.n && str_equal(a->reason, b->reason);
}

/* One line for all that are like `first`: their number and the names of some. */
static void add_alike(struct writer *w, const struct group *group, const struct step *first, size_t n)
{
	size_t named = 0;

	add_symbol(w, first->action);
	text_add_padded(w->out, first->resource->kind, KIND_WIDTH, false);
	buf_addf(w->out, " %zu:", n);
	vec_each(&group->steps, step) {
		if (named == ALIKE_NAMED || !is_alike(first, *step))
			continue;
		buf_adds(w->out, named++ ? ", " : " ");
		text_add_safe(w->out, short_key(group, (*step)->resource->key));
	}
	buf_addf(w->out, " and %zu more", n - named);
	if (first->reason) {
		buf_adds(w->out, "  ");
		text_add_safe(w->out, first->reason);
	}
	buf_addc(w->out, '\n');
}

static size_t count_alike(const struct group *group, const struct step *step)
{
	size_t n = 0;

	vec_each(&group->steps, other)
		n += is_alike(step, *other);
	return n;
}

static void add_group(struct writer *w, const struct group *group)
{
	VEC(const struct step *) gathered = { 0 };	/* those whose like were shown together */

	text_add_color(w->out, w->color, TEXT_BOLD);
	if (group->tenant)
		buf_adds(w->out, "tenant ");
	text_add_safe(w->out, group->tenant ? group->tenant : json_get_string(w->plan->site, "deployment", "site"));
	text_add_color(w->out, w->color, TEXT_PLAIN);
	buf_adds(w->out, group->shown ? "\n" : "  no change\n");
	vec_each(&group->steps, place) {
		const struct step *step = *place;
		bool done = step->action == STEP_NOTHING;

		for (size_t i = 0; i < gathered.n && !step->changes.n; i++)
			done |= is_alike(gathered.items[i], step);
		if (done)
			continue;
		size_t alike = step->changes.n ? 1 : count_alike(group, step);
		if (alike > ALIKE_MAX) {
			add_alike(w, group, step, alike);
			vec_push(&gathered, step);
		} else {
			add_step(w, group, step);
		}
	}
	vec_clear(&gathered);
}

static void add_notes(struct writer *w)
{
	size_t i;
	json_t *note;

	json_array_foreach(w->plan->notes, i, note) {
		const char *text = json_string_value(note);

		if (!text)
			continue;
		bool serious = starts_with(text, "not enforced");
		text_add_color(w->out, w->color, serious ? TEXT_RED : TEXT_DIM);
		buf_adds(w->out, serious ? "!    " : "note ");
		text_add_color(w->out, w->color, TEXT_PLAIN);
		text_add_safe(w->out, text);
		buf_addc(w->out, '\n');
	}
}

void plan_summary_text(const struct plan *plan, struct buf *ret)
{
	size_t keep = plan_count(plan, STEP_KEEP), abandoned = plan_count(plan, STEP_ABANDONED), blocked = plan_count(plan, STEP_BLOCKED);

	if (plan->destroy)
		buf_addf(ret, "Destroy: %zu delete, %zu update, %zu keep", plan_count(plan, STEP_DELETE), plan_count(plan, STEP_UPDATE), keep);
	else
		buf_addf(ret, "Plan: %zu create, %zu update, %zu adopt, %zu replace, %zu delete", plan_count(plan, STEP_CREATE),
			 plan_count(plan, STEP_UPDATE), plan_count(plan, STEP_ADOPT), plan_count(plan, STEP_REPLACE), plan_count(plan, STEP_DELETE));
	if (keep && !plan->destroy)
		buf_addf(ret, ", %zu keep", keep);
	if (abandoned)
		buf_addf(ret, ", %zu no longer in the file", abandoned);
	if (blocked)
		buf_addf(ret, ", %zu cannot be planned", blocked);
	buf_addc(ret, '.');
}

void plan_text(const struct plan *plan, bool color, struct buf *ret)
{
	struct writer writer = { .plan = plan, .color = color, .out = ret };
	CLEANUP(groups_clear) group_list groups = { 0 };
	autoarena struct arena arena;
	size_t unchanged = 0;

	arena_init(&arena);
	groups_make(plan, &arena, &groups);
	vec_each(&groups, group)
		unchanged += !group->shown;
	vec_each(&groups, group)
		if (group->shown || (unchanged <= UNCHANGED_MAX && group->tenant && unchanged < groups.n))
			add_group(&writer, group);
	if (unchanged > UNCHANGED_MAX && unchanged < groups.n)
		buf_addf(ret, "%zu more  no change\n", unchanged);
	add_notes(&writer);
	if (unchanged == groups.n) {
		buf_adds(ret, plan->destroy ? "Nothing is there to be destroyed.\n" : "No changes: what is there is what the file says.\n");
		return;
	}
	plan_summary_text(plan, ret);
	if (plan->digest)
		buf_addf(ret, "  sha256:%.12s", plan->digest);
	buf_addc(ret, '\n');
}
