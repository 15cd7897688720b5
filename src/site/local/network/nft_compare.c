/* SPDX-License-Identifier: Apache-2.0 */
#include "nft_compare.h"

#include "base/map.h"
#include "base/vec.h"

#include <stdlib.h>

/* Without what changes by itself: handles and counters. */
static json_t *plain(const json_t *value)
{
	const char *key;
	json_t *ret, *item;
	size_t i;

	if (json_is_array(value)) {
		ret = json_array();
		json_array_foreach(value, i, item)
			json_add(ret, plain(item));
		return ret;
	}
	if (!json_is_object(value))
		return json_incref((json_t *)value);
	ret = json_object();
	json_object_foreach((json_t *)value, key, item) {
		if (streq(key, "counter"))
			json_set(ret, key, json_null());
		else if (!streq(key, "handle") && !streq(key, "index"))
			json_set(ret, key, plain(item));
	}
	return ret;
}

bool nft_object_read(const json_t *entry, struct nft_object *ret)
{
	static const char *const kinds[] = { "table", "chain", "set", "map", "rule" };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		ret->what = json_get_object(entry, kinds[i]);
		if (ret->what) {
			ret->kind = kinds[i];
			ret->family = json_get_string(ret->what, "family", "");
			ret->name = json_get_string(ret->what, streq(kinds[i], "rule") ? "chain" : "name", "");
			ret->comment = json_get_string(ret->what, "comment", "");
			return true;
		}
	}
	return false;
}

bool nft_object_ours(const struct nft_object *object, const char *table)
{
	return str_equal(json_get_string(object->what, streq(object->kind, "table") ? "name" : "table", NULL), table) &&
	       (streq(object->family, "inet") || streq(object->family, "bridge"));
}

bool nft_listing_has(const json_t *listing, const char *table)
{
	struct nft_object object;
	json_t *entry;
	size_t i;

	json_array_foreach(listing, i, entry)
		if (nft_object_read(entry, &object) && nft_object_ours(&object, table))
			return true;
	return false;
}

static char *object_text(const struct nft_object *object)
{
	autojson json_t *rest = plain(object->what);

	if (streq(object->kind, "set"))
		json_object_del(rest, "elem");
	return json_canonical(rest);
}

json_t *nft_snapshot(const json_t *listing, const char *table)
{
	json_t *snapshot = json_array(), *entry;
	struct nft_object object;
	size_t i;

	json_array_foreach(listing, i, entry) {
		autofree char *text = NULL;

		if (!nft_object_read(entry, &object) || !nft_object_ours(&object, table))
			continue;
		text = object_text(&object);
		json_add(snapshot, json_pack("{ss,ss,ss,ss}", "kind", object.kind, "name", object.name, "comment", object.comment, "text", text));
	}
	return snapshot;
}

static void tell_foreign(const struct nft_differences *differences, const char *table, const struct nft_object *object)
{
	autofree char *text = NULL, *line = NULL;

	if (!streq(object->kind, "rule")) {
		line = xasprintf("foreign: %s %s %s", object->kind, object->family, object->name);
	} else {
		if (differences->rule_text)
			text = differences->rule_text(differences->arg, object->family, table, object->name, json_get_int(object->what, "handle", 0));
		if (!text)
			text = json_canonical(json_object_get(object->what, "expr"));
		line = xasprintf("foreign: rule of %s: %s", object->name, text);
	}
	differences->told(differences->arg, line);
}

struct texts { char **items; size_t n, capacity; };

static void texts_clear(struct texts *texts)
{
	vec_each(texts, text)
		free(*text);
	vec_clear(texts);
}

/* Tells what is there and was not loaded; gives the texts of all that is there, in order. */
static void compare_live(const json_t *listing, const char *table, const json_t *snapshot, const struct nft_differences *differences,
			 struct texts *ret)
{
	automap struct map loaded = { 0 }, seen = { 0 };
	struct nft_object object;
	json_t *entry, *kept;
	size_t i;

	json_array_foreach(snapshot, i, kept)
		map_set(&loaded, json_get_string(kept, "text", ""), kept);
	json_array_foreach(listing, i, entry) {
		if (!nft_object_read(entry, &object))
			continue;
		if (nft_object_ours(&object, table)) {
			char *text = object_text(&object);

			vec_push(ret, text);
			/* ours are there once: a second one, at another place, is not ours */
			if (map_has(&loaded, text) && !map_set(&seen, text, text))
				continue;
		} else if (!streq(object.kind, "table")) {
			continue;
		}
		tell_foreign(differences, table, &object);
	}
}

void nft_compare(const json_t *listing, const char *table, const json_t *snapshot, const struct nft_differences *differences)
{
	CLEANUP(texts_clear) struct texts live = { 0 };
	automap struct map present = { 0 };
	json_t *kept;
	size_t i, next = 0;

	compare_live(listing, table, snapshot, differences, &live);
	vec_each(&live, text)
		map_set(&present, *text, *text);
	json_array_foreach(snapshot, i, kept) {
		const char *text = json_get_string(kept, "text", ""), *name = json_get_string(kept, "name", "");

		if (!map_has(&present, text)) {
			differences->missing(differences->arg, json_get_string(kept, "kind", ""), name, json_get_string(kept, "comment", ""));
			continue;
		}
		/* the order within a chain decides: those that are still there come as they were loaded */
		while (next < live.n && !streq(live.items[next], text))
			next++;
		if (next == live.n) {
			autofree char *line = xasprintf("changed: the order of %s", name);

			differences->told(differences->arg, line);
			return;
		}
	}
}
