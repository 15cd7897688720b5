/* SPDX-License-Identifier: Apache-2.0 */
#include "ref.h"

#include <stdlib.h>

static const struct resource *find_in_resources(void *arg, const char *key)
{
	return resources_get(arg, key);
}

struct ref_lookup ref_lookup_resources(const struct resources *resources)
{
	return (struct ref_lookup){ .find = find_in_resources, .arg = (void *)resources };
}

bool ref_is(const json_t *value, const char **ret_key, const char **ret_field)
{
	const char *key = json_string_value(json_object_get(value, "$ref"));
	const char *field;

	if (!key)
		return false;
	field = json_string_value(json_object_get(value, "field"));
	if (ret_key)
		*ret_key = key;
	if (ret_field)
		*ret_field = field ? field : "id";
	return true;
}

json_t *ref_new(const char *key, const char *field)
{
	json_t *ref = json_object();

	json_object_set_new(ref, "$ref", json_text(key));
	json_object_set_new(ref, "field", json_text(field));
	return ref;
}

void ref_each(const json_t *value, void (*each)(void *arg, const char *key, const char *field), void *arg)
{
	const char *key, *field;
	json_t *item;
	size_t i;

	if (ref_is(value, &key, &field)) {
		each(arg, key, field);
	} else if (json_is_object(value)) {
		json_object_foreach((json_t *)value, key, item)
			ref_each(item, each, arg);
	} else if (json_is_array(value)) {
		json_array_foreach(value, i, item)
			ref_each(item, each, arg);
	}
}

json_t *ref_value(const struct ref_lookup *lookup, const char *key, const char *field)
{
	const struct resource *resource = lookup->find ? lookup->find(lookup->arg, key) : NULL;

	if (!resource)
		return NULL;
	if (streq(field, "id"))
		return resource->id ? json_text(resource->id) : NULL;
	return json_deep_copy(json_object_get(resource->body, field));
}

static int resolve_object(const json_t *value, const struct ref_lookup *lookup, json_t **ret, struct error *err)
{
	autojson json_t *object = json_object();
	const char *name;
	json_t *item, *resolved;

	json_object_foreach((json_t *)value, name, item) {
		if (ref_resolve(item, lookup, &resolved, err) < 0)
			return -1;
		json_object_set_new(object, name, resolved);
	}
	*ret = steal(&object);
	return 0;
}

int ref_resolve(const json_t *value, const struct ref_lookup *lookup, json_t **ret, struct error *err)
{
	const char *key, *field;
	json_t *item, *resolved;
	size_t i;

	if (ref_is(value, &key, &field)) {
		resolved = ref_value(lookup, key, field);
		if (!resolved)
			return error_set(err, ERROR_NOT_FOUND, "'%s' of '%s' is not known", field, key);
		*ret = resolved;
		return 0;
	}
	if (json_is_object(value))
		return resolve_object(value, lookup, ret, err);
	if (json_is_array(value)) {
		autojson json_t *array = json_array();

		json_array_foreach(value, i, item) {
			if (ref_resolve(item, lookup, &resolved, err) < 0)
				return -1;
			json_array_append_new(array, resolved);
		}
		*ret = steal(&array);
		return 0;
	}
	*ret = json_deep_copy(value);
	return 0;
}

json_t *ref_restore(const json_t *live, const json_t *like, const struct ref_lookup *lookup)
{
	const char *key, *field, *name;
	json_t *copy, *item;
	size_t i;

	if (ref_is(like, &key, &field)) {
		autojson json_t *now = ref_value(lookup, key, field);

		return now && json_equal(now, live) ? json_deep_copy(like) : json_deep_copy(live);
	}
	if (json_is_object(live) && json_is_object(like)) {
		copy = json_object();
		json_object_foreach((json_t *)live, name, item)
			json_object_set_new(copy, name, ref_restore(item, json_object_get(like, name), lookup));
		return copy;
	}
	if (json_is_array(live) && json_is_array(like)) {
		copy = json_array();
		json_array_foreach(live, i, item)
			json_array_append_new(copy, ref_restore(item, json_array_get(like, i), lookup));
		return copy;
	}
	return json_deep_copy(live);
}

bool secret_mark_is(const json_t *value, const char **ret_name, const char **ret_digest)
{
	const char *name = json_string_value(json_object_get(value, "$secret"));

	if (!name)
		return false;
	if (ret_name)
		*ret_name = name;
	if (ret_digest)
		*ret_digest = json_string_value(json_object_get(value, "digest"));
	return true;
}

json_t *secret_mark_new(const char *name, const char *digest)
{
	json_t *mark = json_object();

	json_object_set_new(mark, "$secret", json_text(name));
	if (digest)
		json_object_set_new(mark, "digest", json_text(digest));
	return mark;
}

void secret_mark_digest(const uint8_t key[static 32], const char *name, const struct secret *value, char hex[static DIGEST_HEX])
{
	size_t name_n = strlen(name) + 1;
	struct secret both = { .bytes_ = xmalloc(name_n + value->n + 1), .n = name_n + value->n };

	memcpy(both.bytes_, name, name_n);
	if (value->n)
		memcpy(both.bytes_ + name_n, secret_reveal(value), value->n);
	digest_keyed(key, 32, both.bytes_, both.n, hex);
	secret_clear(&both);
}

static char *value_whole(const json_t *value)
{
	const char *key, *field, *name;

	if (!value || json_is_null(value))
		return xstrdup("-");
	if (ref_is(value, &key, &field))
		return streq(field, "id") ? xasprintf("%s (after create)", key) : xasprintf("%s of %s (after create)", field, key);
	if (secret_mark_is(value, &name, NULL))
		return xasprintf("secret %s", name);
	if (json_is_string(value))
		return xstrdup(json_string_value(value));
	return json_canonical(value);
}

char *value_text(const json_t *value, size_t limit)
{
	char *text = value_whole(value);
	size_t n = strlen(text);

	if (n > limit && limit > 3) {
		n = limit - 3;
		/* never cut within a character of UTF-8 */
		while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
		memcpy(text + n, "...", 4);
	}
	return text;
}
