/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works
 *
 * Each field of the kind's table is looked at once, with the three values it has: D (desired),
 * A (last applied) and L (live). Missing values are first replaced by what absence means (the
 * table's `absent`; the empty list for sets and maps). Then, by shape:
 *
 *   scalar, list  one change when D and L differ; of objects, one for each leaf
 *   set           members are told apart by their canonical text
 *   map           members are told apart by map_key, then compared field by field
 *
 * A member that L has and D has not is removed when we own the set whole (authoritative) or when A
 * has it; else it is somebody else's and stays. A change is drift when L is not what A says: then
 * not the file but the world has moved.
 */
#include "diff.h"

#include <stdlib.h>

#define LABEL_MAX 200	/* bytes of a set's member in a path */

struct context {
	const struct ref_lookup *lookup;
	change_list *changes;
	bool known;		/* A is there: drift can be told */
	bool immutable;
};

void change_list_clear(change_list *changes)
{
	vec_each(changes, change) {
		free(change->path);
		json_decref(change->from);
		json_decref(change->to);
	}
	vec_clear(changes);
}

static bool is_absent(const json_t *value)
{
	return !value || json_is_null(value);
}

static bool equal(const json_t *a, const json_t *b, const struct ref_lookup *lookup);

static bool equal_ref(const json_t *ref, const json_t *other, const struct ref_lookup *lookup)
{
	const char *key, *field, *other_key, *other_field;

	ref_is(ref, &key, &field);
	if (ref_is(other, &other_key, &other_field) && streq(key, other_key) && streq(field, other_field))
		return true;
	autojson json_t *value = lookup ? ref_value(lookup, key, field) : NULL;
	return value && equal(value, other, lookup);
}

static bool equal_secret(const json_t *a, const json_t *b)
{
	const char *name_a, *name_b, *digest_a, *digest_b;

	if (!secret_mark_is(a, &name_a, &digest_a) || !secret_mark_is(b, &name_b, &digest_b))
		return false;
	if (digest_a && digest_b)
		return streq(digest_a, digest_b);
	return streq(name_a, name_b);
}

static bool equal_objects(const json_t *a, const json_t *b, const struct ref_lookup *lookup)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)a, name, value)
		if (!equal(value, json_object_get(b, name), lookup))
			return false;
	json_object_foreach((json_t *)b, name, value)
		if (!is_absent(value) && is_absent(json_object_get(a, name)))
			return false;
	return true;
}

static bool equal_arrays(const json_t *a, const json_t *b, const struct ref_lookup *lookup)
{
	if (json_array_size(a) != json_array_size(b))
		return false;
	for (size_t i = 0; i < json_array_size(a); i++)
		if (!equal(json_array_get(a, i), json_array_get(b, i), lookup))
			return false;
	return true;
}

static bool equal(const json_t *a, const json_t *b, const struct ref_lookup *lookup)
{
	if (is_absent(a) || is_absent(b))
		return is_absent(a) && is_absent(b);
	if (ref_is(a, NULL, NULL))
		return equal_ref(a, b, lookup);
	if (ref_is(b, NULL, NULL))
		return equal_ref(b, a, lookup);
	if (secret_mark_is(a, NULL, NULL) || secret_mark_is(b, NULL, NULL))
		return equal_secret(a, b);
	if (json_is_object(a) && json_is_object(b))
		return equal_objects(a, b, lookup);
	if (json_is_array(a) && json_is_array(b))
		return equal_arrays(a, b, lookup);
	if (json_is_number(a) && json_is_number(b) && !(json_is_integer(a) && json_is_integer(b)))
		return json_number_value(a) == json_number_value(b);
	return json_equal(a, b);
}

/* A value with its refs replaced where they are known: members of sets are told apart by it. */
static json_t *settled(const json_t *value, const struct ref_lookup *lookup)
{
	const char *key, *field, *name;
	json_t *copy, *item;
	size_t i;

	if (ref_is(value, &key, &field)) {
		json_t *known = lookup ? ref_value(lookup, key, field) : NULL;

		return known ? known : json_deep_copy(value);
	}
	if (json_is_object(value)) {
		copy = json_object();
		json_object_foreach((json_t *)value, name, item)
			if (!is_absent(item))
				json_object_set_new(copy, name, settled(item, lookup));
		return copy;
	}
	if (json_is_array(value)) {
		copy = json_array();
		json_array_foreach(value, i, item)
			json_array_append_new(copy, settled(item, lookup));
		return copy;
	}
	return json_deep_copy(value);
}

/* The members of a list by what tells them apart. The texts are owned by `names`. */
struct members {
	struct map by_name;	/* name to json_t *, borrowed */
	VEC(char *) names;
};

static void members_clear(struct members *members)
{
	vec_each(&members->names, name)
		free(*name);
	vec_clear(&members->names);
	map_clear(&members->by_name);
}

#define automembers CLEANUP(members_clear)

static char *member_name(const json_t *member, const char *map_key, const struct ref_lookup *lookup)
{
	const json_t *named = map_key ? json_object_get(member, map_key) : member;
	autojson json_t *value = settled(named ? named : member, lookup);

	if (json_is_string(value))
		return xstrdup(json_string_value(value));
	return json_canonical(value);
}

static void members_read(struct members *members, const json_t *list, const char *map_key, const struct ref_lookup *lookup)
{
	json_t *member;
	size_t i;

	json_array_foreach(list, i, member) {
		char *name = member_name(member, map_key, lookup);

		vec_push(&members->names, name);
		if (!map_has(&members->by_name, name))
			map_set(&members->by_name, name, member);
	}
}

static void add_change(const struct context *context, char *path, const json_t *from, const json_t *to, bool drift)
{
	struct change *change = vec_add(context->changes);

	change->path = path;
	change->from = is_absent(from) ? NULL : json_deep_copy(from);
	change->to = is_absent(to) ? NULL : json_deep_copy(to);
	change->drift = drift;
	change->immutable = context->immutable;
}

struct unknown_scan { const struct ref_lookup *lookup; bool unknown; };

static void note_unknown(void *arg, const char *key, const char *field)
{
	struct unknown_scan *scan = arg;
	autojson json_t *value = scan->lookup ? ref_value(scan->lookup, key, field) : NULL;

	scan->unknown |= !value;
}

/* Is what lives not what we last applied? Where that was said by a ref to something that is gone, nobody can tell. */
static bool is_drift(const struct context *context, const json_t *applied, const json_t *live)
{
	struct unknown_scan scan = { context->lookup, false };

	if (!context->known || equal(applied, live, context->lookup))
		return false;
	ref_each(applied, note_unknown, &scan);
	return !scan.unknown;
}

/* Of two objects, one change for each leaf that differs. */
static void compare_whole(const struct context *context, const char *path, const json_t *desired, const json_t *applied, const json_t *live)
{
	const char *name;
	json_t *value;

	if (equal(desired, live, context->lookup))
		return;
	bool leaf = !json_is_object(desired) || !json_is_object(live) ||
		    ref_is(desired, NULL, NULL) || ref_is(live, NULL, NULL) ||
		    secret_mark_is(desired, NULL, NULL) || secret_mark_is(live, NULL, NULL);
	if (leaf) {
		add_change(context, xstrdup(path), live, desired, is_drift(context, applied, live));
		return;
	}
	json_object_foreach((json_t *)desired, name, value) {
		autofree char *below = xasprintf("%s.%s", path, name);

		compare_whole(context, below, value, json_object_get(applied, name), json_object_get(live, name));
	}
	json_object_foreach((json_t *)live, name, value) {
		autofree char *below = xasprintf("%s.%s", path, name);

		if (is_absent(json_object_get(desired, name)))
			compare_whole(context, below, NULL, json_object_get(applied, name), value);
	}
}

static char *member_path(const char *field, const char *name)
{
	if (strlen(name) <= LABEL_MAX)
		return xasprintf("%s[%s]", field, name);
	return xasprintf("%s[%.*s...]", field, LABEL_MAX, name);
}

/* A member of a map that both have: three-way, field by field. */
static void compare_member(const struct context *context, const char *path, const json_t *desired, const json_t *applied, const json_t *live)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)desired, name, value) {
		autofree char *below = xasprintf("%s.%s", path, name);

		compare_whole(context, below, value, json_object_get(applied, name), json_object_get(live, name));
	}
	json_object_foreach((json_t *)applied, name, value) {
		autofree char *below = xasprintf("%s.%s", path, name);

		if (is_absent(json_object_get(desired, name)) && !is_absent(value))
			compare_whole(context, below, NULL, value, json_object_get(live, name));
	}
}

static void compare_members(const struct context *context, const struct kind_field *field,
			    const json_t *desired, const json_t *applied, const json_t *live)
{
	automembers struct members want = { 0 }, had = { 0 }, has = { 0 };
	const char *map_key = field->shape == SHAPE_MAP ? field->map_key : NULL;

	members_read(&want, desired, map_key, context->lookup);
	members_read(&had, applied, map_key, context->lookup);
	members_read(&has, live, map_key, context->lookup);
	map_each(&want.by_name, e) {
		const json_t *wanted = e->value, *member = map_get(&has.by_name, e->key);
		autofree char *path = member_path(field->name, e->key);

		if (!member)
			add_change(context, steal(&path), NULL, wanted, map_has(&had.by_name, e->key));
		else if (map_key && json_is_object(wanted) && json_is_object(member))
			compare_member(context, path, wanted, map_get(&had.by_name, e->key), member);
	}
	map_each(&has.by_name, e) {
		bool ours = map_has(&had.by_name, e->key);

		if (!map_has(&want.by_name, e->key) && (ours || field->authoritative))
			add_change(context, member_path(field->name, e->key), e->value, NULL, context->known && !ours);
	}
}

static bool is_members(const struct kind_field *field)
{
	return field->shape == SHAPE_SET || field->shape == SHAPE_MAP;
}

bool diff_equal(const struct kind_field *field, const json_t *a, const json_t *b, const struct ref_lookup *lookup)
{
	if (!field || !is_members(field) || !json_is_array(a) || !json_is_array(b))
		return equal(a, b, lookup);
	automembers struct members in_a = { 0 }, in_b = { 0 };
	const char *map_key = field->shape == SHAPE_MAP ? field->map_key : NULL;

	members_read(&in_a, a, map_key, lookup);
	members_read(&in_b, b, map_key, lookup);
	if (in_a.by_name.n != in_b.by_name.n)
		return false;
	map_each(&in_a.by_name, e) {
		const json_t *other = map_get(&in_b.by_name, e->key);

		if (!other || (map_key && !equal(e->value, other, lookup)))
			return false;
	}
	return true;
}

static void compare_secret(const struct context *context, const char *path, const json_t *desired, const json_t *applied, const json_t *live)
{
	const json_t *seen = is_absent(live) ? applied : live;

	if (!equal(desired, seen, context->lookup))
		add_change(context, xstrdup(path), seen, desired, !is_absent(live) && is_drift(context, applied, live));
}

/* What absence means, as a new reference; NULL when the table does not say. */
static json_t *absent_value(const struct kind_field *field)
{
	if (field->absent)
		return json_loads(field->absent, JSON_DECODE_ANY, NULL);
	return is_members(field) ? json_array() : NULL;
}

static bool is_compared(const struct kind_field *field, const json_t *desired, const json_t *applied)
{
	if (field->class == FIELD_COMPUTED)
		return false;
	if (!is_absent(desired))
		return true;
	if (field->authoritative && is_members(field) && field->class != FIELD_DEFAULTED)
		return true;
	/* a defaulted field that nobody wants any more is the site's again, unless the table says what it goes back to */
	return !is_absent(applied) && (field->class != FIELD_DEFAULTED || field->absent);
}

void diff_resource(const struct kind *kind, const struct resource *desired, const struct resource *applied, const struct resource *live,
		   const struct ref_lookup *lookup, change_list *ret)
{
	struct context context = { .lookup = lookup, .changes = ret, .known = applied != NULL };

	for (const struct kind_field *field = kind->fields; field->name; field++) {
		json_t *want = json_object_get(desired->body, field->name);
		json_t *had = applied ? json_object_get(applied->body, field->name) : NULL;
		json_t *has = json_object_get(live->body, field->name);

		if (!is_compared(field, want, had))
			continue;
		autojson json_t *absent = absent_value(field);

		context.immutable = field->class == FIELD_IMMUTABLE;
		if (field->class == FIELD_SECRET) {
			compare_secret(&context, field->name, want, had, has);
			continue;
		}
		want = is_absent(want) ? absent : want;
		had = is_absent(had) ? absent : had;
		has = is_absent(has) ? absent : has;
		if (is_members(field) && json_is_array(want) && json_is_array(has))
			compare_members(&context, field, want, had, has);
		else
			compare_whole(&context, field->name, want, had, has);
	}
}

json_t *diff_reset(const struct kind *kind, const json_t *body, const json_t *applied)
{
	json_t *reset = NULL;

	for (const struct kind_field *field = kind->fields; field->name; field++) {
		const json_t *want = json_object_get(body, field->name);
		json_t *absent;

		if (!is_absent(want) || !is_compared(field, want, json_object_get(applied, field->name)) || !(absent = absent_value(field)))
			continue;
		if (!reset)
			reset = json_object();
		json_set(reset, field->name, absent);
	}
	return reset;
}
