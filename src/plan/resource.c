/* SPDX-License-Identifier: Apache-2.0 */
#include "resource.h"

#include <stdlib.h>

#define KEY_MAX 1024		/* bytes of a key, id, revision or name in JSON from outside */
#define AFTER_MAX 65536

static const char *const origin_names[] = { "ours", "derived", "foreign" };
static const char *const cause_names[] = { "file", "decision", "run", "scale" };
static const char *const stage_names[] = { "fence", "ground", "work", "door" };

const char *origin_name(enum origin origin) { return origin_names[origin]; }
const char *cause_name(enum cause cause) { return cause_names[cause]; }
const char *stage_name(enum stage stage) { return stage_names[stage]; }

struct resource *resource_new(const char *site, const char *kind, const char *key, json_t *body)
{
	struct resource *resource = xcalloc(1, sizeof(*resource));

	resource->site = xstrdup(site);
	resource->kind = xstrdup(kind);
	resource->key = xstrdup(key);
	resource->body = body ? body : json_object();
	return resource;
}

void resource_free(struct resource *resource)
{
	if (!resource)
		return;
	free(resource->site);
	free(resource->kind);
	free(resource->key);
	free(resource->id);
	free(resource->revision);
	free(resource->deployment);
	json_decref(resource->body);
	for (size_t i = 0; i < resource->after_n; i++)
		free(resource->after[i]);
	free(resource->after);
	free(resource);
}

void resource_free_pp(struct resource **resource)
{
	resource_free(*resource);
	*resource = NULL;
}

static char *copy_or_null(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

struct resource *resource_copy(const struct resource *resource)
{
	struct resource *copy = resource_new(resource->site, resource->kind, resource->key, json_deep_copy(resource->body));

	copy->id = copy_or_null(resource->id);
	copy->revision = copy_or_null(resource->revision);
	copy->deployment = copy_or_null(resource->deployment);
	copy->origin = resource->origin;
	copy->cause = resource->cause;
	if (resource->after_n) {
		copy->after = xcalloc(resource->after_n + 1, sizeof(*copy->after));
		for (size_t i = 0; i < resource->after_n; i++)
			copy->after[i] = xstrdup(resource->after[i]);
		copy->after_n = resource->after_n;
	}
	return copy;
}

void resource_set_id(struct resource *resource, const char *id)
{
	char *copy = copy_or_null(id);

	free(resource->id);
	resource->id = copy;
}

void resource_set_revision(struct resource *resource, const char *revision)
{
	char *copy = copy_or_null(revision);

	free(resource->revision);
	resource->revision = copy;
}

void resource_add_after(struct resource *resource, const char *key)
{
	for (size_t i = 0; i < resource->after_n; i++)
		if (streq(resource->after[i], key))
			return;
	resource->after = xreallocarray(resource->after, resource->after_n + 2, sizeof(*resource->after));
	resource->after[resource->after_n++] = xstrdup(key);
	resource->after[resource->after_n] = NULL;
}

void resources_clear(struct resources *resources)
{
	for (size_t i = 0; i < resources->n; i++)
		resource_free(resources->items[i]);
	free(resources->items);
	map_clear(&resources->by_key);
	*resources = (struct resources){ 0 };
}

void resources_add(struct resources *resources, struct resource *resource)
{
	if (resources->n == resources->capacity) {
		resources->capacity = resources->capacity ? resources->capacity * 2 : 16;
		resources->items = xreallocarray(resources->items, resources->capacity, sizeof(*resources->items));
	}
	resources->items[resources->n++] = resource;
	if (!map_has(&resources->by_key, resource->key))
		map_set(&resources->by_key, resource->key, resource);
}

struct resource *resources_get(const struct resources *resources, const char *key)
{
	return map_get(&resources->by_key, key);
}

void resources_remove(struct resources *resources, const char *key)
{
	autofree char *gone = xstrdup(key);	/* key may belong to the one that goes */
	size_t n = 0;

	if (!map_remove(&resources->by_key, key))
		return;
	for (size_t i = 0; i < resources->n; i++) {
		if (streq(resources->items[i]->key, gone))
			resource_free(resources->items[i]);
		else
			resources->items[n++] = resources->items[i];
	}
	resources->n = n;
}

static int resource_compare(const void *a, const void *b)
{
	const struct resource *x = *(struct resource *const *)a, *y = *(struct resource *const *)b;
	int order = strcmp(x->key, y->key);

	if (order)
		return order;
	return strcmp(x->id ? x->id : "", y->id ? y->id : "");
}

void resources_sort(struct resources *resources)
{
	if (resources->n)
		qsort(resources->items, resources->n, sizeof(*resources->items), resource_compare);
}

const char *resource_tenant(const char *key, size_t *ret_n)
{
	const char *slash = strchr(key, '/');

	*ret_n = 0;
	if (!slash || slash == key || starts_with(key, "host/") || starts_with(key, "image/") || starts_with(key, "site/"))
		return NULL;
	*ret_n = (size_t)(slash - key);
	return key;
}

bool resource_in_tenant(const char *key, const char *tenant)
{
	size_t n;
	const char *name = resource_tenant(key, &n);

	return name && strlen(tenant) == n && memcmp(name, tenant, n) == 0;
}

bool resource_keep(const struct kind *kind, const struct resource *resource)
{
	const json_t *keep = json_object_get(resource->body, "keep");

	if (json_is_boolean(keep))
		return json_is_true(keep);
	return kind && kind->keep;
}

const struct kind *kind_find(const struct kind *kinds, const char *name)
{
	for (; kinds->name; kinds++)
		if (streq(kinds->name, name))
			return kinds;
	return NULL;
}

const struct kind_field *kind_field_find(const struct kind *kind, const char *name)
{
	for (const struct kind_field *field = kind->fields; field->name; field++)
		if (streq(field->name, name))
			return field;
	return NULL;
}

int kind_check(const struct kind *kind, const struct resource *resource, struct error *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(resource->body, name, value) {
		if (!streq(name, "decisions") && !kind_field_find(kind, name))
			return error_set(err, ERROR_FAILED, "resource '%s': kind '%s' has no field '%s' in its table",
					 resource->key, kind->name, name);
	}
	return 0;
}

static void set_text(json_t *object, const char *name, const char *text)
{
	if (text)
		json_object_set_new(object, name, json_text(text));
}

json_t *resource_to_json(const struct resource *resource)
{
	json_t *object = json_object();

	set_text(object, "site", resource->site);
	set_text(object, "kind", resource->kind);
	set_text(object, "key", resource->key);
	set_text(object, "id", resource->id);
	set_text(object, "revision", resource->revision);
	set_text(object, "deployment", resource->deployment);
	if (resource->origin != ORIGIN_OURS)
		set_text(object, "origin", origin_names[resource->origin]);
	if (resource->cause != CAUSE_FILE)
		set_text(object, "cause", cause_names[resource->cause]);
	json_object_set(object, "body", resource->body);
	if (resource->after_n) {
		json_t *after = json_array();

		for (size_t i = 0; i < resource->after_n; i++)
			json_array_append_new(after, json_text(resource->after[i]));
		json_object_set_new(object, "after", after);
	}
	return object;
}

/* A text field of at most KEY_MAX bytes; *ret is NULL when it is absent and may be. */
static int get_text(const json_t *object, const char *name, bool needed, const char **ret, struct error *err)
{
	const json_t *value = json_object_get(object, name);

	*ret = NULL;
	if (!value && !needed)
		return 0;
	if (!json_is_string(value))
		return error_set(err, ERROR_INPUT, "resource: '%s' is %s", name, value ? "not a text" : "missing");
	if (json_string_length(value) == 0 || json_string_length(value) > KEY_MAX)
		return error_set(err, ERROR_INPUT, "resource: '%s' must have 1 to %d bytes", name, KEY_MAX);
	*ret = json_string_value(value);
	return 0;
}

static int get_word(const json_t *object, const char *name, const char *const *words, size_t n, unsigned *ret, struct error *err)
{
	const char *text;

	*ret = 0;
	if (get_text(object, name, false, &text, err) < 0)
		return -1;
	if (!text)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (streq(words[i], text)) {
			*ret = (unsigned)i;
			return 0;
		}
	}
	return error_set(err, ERROR_INPUT, "resource: '%s' is '%s', which is not known", name, text);
}

static int get_after(const json_t *object, struct resource *resource, struct error *err)
{
	const json_t *after = json_object_get(object, "after");
	size_t n = json_array_size(after);

	if (!after)
		return 0;
	if (!json_is_array(after) || n > AFTER_MAX)
		return error_set(err, ERROR_INPUT, "resource '%s': 'after' must be a list of at most %d keys", resource->key, AFTER_MAX);
	resource->after = xcalloc(n + 1, sizeof(*resource->after));
	for (size_t i = 0; i < n; i++) {
		const json_t *key = json_array_get(after, i);

		if (!json_is_string(key) || json_string_length(key) > KEY_MAX)
			return error_set(err, ERROR_INPUT, "resource '%s': 'after' holds something that is no key", resource->key);
		resource->after[resource->after_n++] = xstrdup(json_string_value(key));
	}
	return 0;
}

int resource_from_json(const json_t *json, struct resource **ret, struct error *err)
{
	autoresource struct resource *resource = NULL;
	const char *site, *kind, *key, *id, *revision, *deployment;
	unsigned origin, cause;
	const json_t *body = json_object_get(json, "body");

	if (get_text(json, "site", true, &site, err) < 0 ||
	    get_text(json, "kind", true, &kind, err) < 0 ||
	    get_text(json, "key", true, &key, err) < 0 ||
	    get_text(json, "id", false, &id, err) < 0 ||
	    get_text(json, "revision", false, &revision, err) < 0 ||
	    get_text(json, "deployment", false, &deployment, err) < 0 ||
	    get_word(json, "origin", origin_names, ARRAY_LEN(origin_names), &origin, err) < 0 ||
	    get_word(json, "cause", cause_names, ARRAY_LEN(cause_names), &cause, err) < 0)
		return -1;
	if (!json_is_object(body))
		return error_set(err, ERROR_INPUT, "resource '%s': 'body' must be an object", key);
	resource = resource_new(site, kind, key, json_deep_copy(body));
	resource->id = copy_or_null(id);
	resource->revision = copy_or_null(revision);
	resource->deployment = copy_or_null(deployment);
	resource->origin = (enum origin)origin;
	resource->cause = (enum cause)cause;
	if (get_after(json, resource, err) < 0)
		return -1;
	*ret = steal(&resource);
	return 0;
}
