/* SPDX-License-Identifier: Apache-2.0 */
#include "firewall_private.h"

#include <stdlib.h>

/*
 * How it works: nft's words for a rule differ between its versions, so they are not guessed: right
 * after loading, the listing is kept ("loaded": the body, and every chain, set and rule as nft
 * tells it). Later listings are compared with that, rule by rule. Elements of sets are compared with what the
 * body comes to. The answer is the body that was loaded with each difference put in where a reader
 * looks for it: a flow that is missing is missing, an element that reads as a flow is one more flow, and what
 * has no such word is told as text.
 */

/* A chain, set, map or rule without what changes by itself: handles, counters, the elements of sets. */
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

struct listed { const char *object, *family, *name; json_t *what; };	/* borrowed from a listing */

static bool listed_read(const json_t *entry, struct listed *ret)
{
	static const char *const objects[] = { "table", "chain", "set", "map", "rule" };

	for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
		ret->what = json_get_object(entry, objects[i]);
		if (ret->what) {
			ret->object = objects[i];
			ret->family = json_get_string(ret->what, "family", "");
			ret->name = json_get_string(ret->what, streq(objects[i], "rule") ? "chain" : "name", "");
			return true;
		}
	}
	return false;
}

static bool of_table(const struct listed *listed, const char *table)
{
	return str_equal(json_get_string(listed->what, streq(listed->object, "table") ? "name" : "table", NULL), table) &&
	       (streq(listed->family, "inet") || streq(listed->family, "bridge"));
}

/* "set inet flows" without its elements, "rule inet forward <comment>" ...: the canonical text of what was loaded. */
static char *object_text(const struct listed *listed)
{
	autojson json_t *rest = plain(listed->what);

	if (streq(listed->object, "set"))
		json_object_del(rest, "elem");
	return json_canonical(rest);
}

json_t *firewall_loaded(const json_t *listing, const char *table, const json_t *body)
{
	json_t *loaded = json_object(), *objects = json_array(), *entry;
	struct listed listed;
	size_t i;

	json_array_foreach(listing, i, entry) {
		autofree char *text = NULL;

		if (!listed_read(entry, &listed) || !of_table(&listed, table))
			continue;
		text = object_text(&listed);
		json_add(objects, json_pack("{ss,ss,ss,ss,ss}", "object", listed.object, "family", listed.family, "name", listed.name,
					    "comment", json_get_string(listed.what, "comment", ""), "text", text));
	}
	json_set(loaded, "objects", objects);
	json_set(loaded, "body", json_deep_copy(body));
	return loaded;
}

struct reading {
	const char *table;
	const struct firewall_reader *reader;
	struct firewall firewall;		/* as loaded */
	json_t *body;				/* the answer */
};

/* Takes over the text. */
static void tell(struct reading *reading, const char *what, char *text)
{
	json_add(json_object_get(reading->body, "flows"), json_sprintf("%s: %s", what, text));
	free(text);
}

/* Rules, chains, sets */

static void tell_foreign(struct reading *reading, const struct listed *listed)
{
	int64_t handle = json_get_int(listed->what, "handle", 0);
	char *text = NULL;

	if (!streq(listed->object, "rule")) {
		tell(reading, "foreign", xasprintf("%s %s %s", listed->object, listed->family, listed->name));
		return;
	}
	if (reading->reader)
		text = reading->reader->rule_text(reading->reader->arg, listed->family, reading->table, listed->name, handle);
	if (!text)
		text = json_canonical(json_object_get(listed->what, "expr"));
	tell(reading, "foreign", xasprintf("rule of %s: %s", listed->name, text));
	free(text);
}

/* A rule that stands for a member of the body's egress: its comment is that member. */
static bool remove_member(json_t *body, const char *field, const char *member)
{
	json_t *list = json_object_get(body, field), *item;
	size_t i;

	json_array_foreach(list, i, item) {
		if (str_equal(json_string_value(item), member)) {
			json_array_remove(list, i);
			return true;
		}
	}
	return false;
}

static void tell_missing(struct reading *reading, const json_t *object)
{
	const char *name = json_get_string(object, "name", ""), *comment = json_get_string(object, "comment", "");

	if (streq(name, "ranges") && remove_member(reading->body, "egress", comment))
		return;
	tell(reading, "missing", xasprintf("%s %s%s%s", json_get_string(object, "object", ""), name, *comment ? ": " : "", comment));
}

/* The order within a chain decides, so a rule is the same only at its own place among those that are still there. */
static void compare_objects(struct reading *reading, const json_t *listing, const json_t *objects)
{
	CLEANUP(map_clear) struct map live = { 0 };
	VEC(char *) texts = { 0 };
	json_t *entry, *object;
	struct listed listed;
	size_t i, next = 0;

	json_array_foreach(objects, i, object)
		map_set(&live, json_get_string(object, "text", ""), object);
	json_array_foreach(listing, i, entry) {
		char *text;

		if (!listed_read(entry, &listed))
			continue;
		if (!of_table(&listed, reading->table)) {
			if (streq(listed.object, "table"))
				tell_foreign(reading, &listed);
			continue;
		}
		text = object_text(&listed);
		vec_push(&texts, text);
		if (!map_has(&live, text))
			tell_foreign(reading, &listed);
	}
	map_clear(&live);
	vec_each(&texts, t)
		map_set(&live, *t, *t);
	json_array_foreach(objects, i, object) {
		const char *text = json_get_string(object, "text", "");

		if (!map_has(&live, text)) {
			tell_missing(reading, object);
			continue;
		}
		/* those that are there come in the order they were loaded in */
		while (next < texts.n && !streq(texts.items[next], text))
			next++;
		if (next == texts.n) {
			tell(reading, "changed", xasprintf("the order of %s", json_get_string(object, "name", "")));
			break;
		}
	}
	vec_each(&texts, t)
		free(*t);
	vec_clear(&texts);
}

/* Elements */

static const struct firewall_tenant *tenant_of_bridge(const struct firewall *firewall, const char *bridge)
{
	vec_each(&firewall->tenants, tenant)
		if (streq(tenant->bridge, bridge))
			return tenant;
	return NULL;
}

/* "tcp" and "8501" to "tcp/8501"; every port of it to "tcp" */
static char *ports_text(const char *protocol, const char *ports)
{
	return streq(ports, "0-65535") ? xstrdup(protocol) : xasprintf("%s/%s", protocol, ports);
}

/* A live element that was not loaded: in the words of the body where it has some. */
static bool add_as_member(struct reading *reading, const char *set, const json_t *value)
{
	const json_t *parts = json_object_get(value, "concat");
	autofree char *a = firewall_value_text(parts ? json_array_get(parts, 0) : value), *b = firewall_value_text(json_array_get(parts, 1));
	autofree char *c = firewall_value_text(json_array_get(parts, 2)), *d = firewall_value_text(json_array_get(parts, 3));
	const struct firewall_tenant *from = tenant_of_bridge(&reading->firewall, a), *to = tenant_of_bridge(&reading->firewall, b);
	autofree char *flow_ports = ports_text(c, d), *ports = ports_text(b, c);
	json_t *flows = json_object_get(reading->body, "flows"), *egress = json_object_get(reading->body, "egress");

	if (streq(set, "flows") && from && to)
		json_add(flows, json_sprintf("%s>%s %s", from->name, to->name, flow_ports));
	else if (streq(set, "flows_any") && from && to)
		json_add(flows, json_sprintf("%s>%s any", from->name, to->name));
	else if (streq(set, "egress") && from)
		json_add(egress, json_sprintf("%s>internet %s", from->name, ports));
	else if (streq(set, "egress_any") && from)
		json_add(egress, json_sprintf("%s>internet any", from->name));
	else if (streq(set, "published"))
		json_add(json_object_get(reading->body, "published"), json_sprintf("%s %s", a, ports));
	else
		return false;
	return true;
}

static void add_foreign_element(struct reading *reading, const char *set, const json_t *value)
{
	const json_t *inner = json_object_get(value, "elem");

	if (inner)
		value = json_object_get(inner, "val");
	if (!add_as_member(reading, set, value))
		tell(reading, "foreign", ({
			autofree char *text = firewall_value_text(value);
			xasprintf("%s in the set %s", text, set);
		}));
}

/* The set of ours that an entry of a listing is, or NULL. */
static const char *static_set(const json_t *entry, const char *table)
{
	struct listed listed;

	if (!listed_read(entry, &listed) || !streq(listed.object, "set") || !of_table(&listed, table))
		return NULL;
	for (const struct firewall_set *set = firewall_sets(); set->family; set++)
		if (streq(set->name, listed.name) && streq(set->family, listed.family))
			return set->name;
	return NULL;
}

struct identities { struct map map; VEC(char *) texts; };

static void identities_add(struct identities *identities, const char *set, char *text, void *value)
{
	char *identity = xasprintf("%s %s", set, text);

	vec_push(&identities->texts, identity);
	map_set(&identities->map, identity, value);
}

static void identities_clear(struct identities *identities)
{
	map_clear(&identities->map);
	vec_each(&identities->texts, text)
		free(*text);
	vec_clear(&identities->texts);
}

static void live_elements(const json_t *listing, const char *table, struct identities *ret)
{
	json_t *entry, *value;
	size_t i, j;

	json_array_foreach(listing, i, entry) {
		const char *set = static_set(entry, table);

		if (!set)
			continue;
		json_array_foreach(json_get_array(json_object_get(entry, "set"), "elem"), j, value) {
			autofree char *text = firewall_value_text(value);

			identities_add(ret, set, text, value);
		}
	}
}

/* Takes the members of `field` out whose place in `lost` is set. */
static void remove_lost(json_t *body, const char *field, const struct firewall_elements *lost)
{
	json_t *old = json_object_get(body, field), *rest = json_array(), *item;
	size_t i;

	json_array_foreach(old, i, item) {
		bool gone = false;

		vec_each(lost, element)
			gone = gone || (element->index == i && str_equal(element->field, field));
		if (!gone)
			json_array_append(rest, item);
	}
	json_set(body, field, rest);
}

static void compare_elements(struct reading *reading, const json_t *listing)
{
	static const char *const fields[] = { "tenants", "ports", "flows", "egress", "published" };
	CLEANUP(firewall_elements_clear) struct firewall_elements wanted = { 0 };
	CLEANUP(identities_clear) struct identities live = { 0 }, known = { 0 };
	struct firewall_elements lost = { 0 };

	firewall_elements(&reading->firewall, &wanted);
	live_elements(listing, reading->table, &live);
	vec_each(&wanted, element) {
		autofree char *identity = xasprintf("%s %s", element->set, element->text);

		identities_add(&known, element->set, element->text, element);
		if (map_has(&live.map, identity))
			continue;
		if (element->field)
			vec_push(&lost, *element);
		else
			tell(reading, "missing", xasprintf("%s in the set %s", element->text, element->set));
	}
	if (lost.n)
		for (size_t i = 0; i < ARRAY_LEN(fields); i++)
			remove_lost(reading->body, fields[i], &lost);
	vec_clear(&lost);
	map_each(&live.map, e) {
		autofree char *set = xstrndup(e->key, strcspn(e->key, " "));

		if (!map_has(&known.map, e->key))
			add_foreign_element(reading, set, e->value);
	}
}

/* What was loaded is not known: everything is as good as foreign, and is loaded again. */
static json_t *unknown_body(const json_t *listing, const char *table)
{
	json_t *entry;
	size_t i;
	struct listed listed;

	json_array_foreach(listing, i, entry)
		if (listed_read(entry, &listed) && of_table(&listed, table))
			return json_pack("{s[s],s[],s[],s[],s[],s[]}", "flows", "changed: the rules, as far as it can be told", "egress", "published",
					 "tenants", "ports", "rates");
	return NULL;
}

json_t *firewall_read(const json_t *listing, const char *table, const json_t *loaded, const struct firewall_reader *reader)
{
	static const char *const lists[] = { "tenants", "ports", "flows", "egress", "published", "rates" };
	struct reading reading = { .table = table, .reader = reader };
	json_t *body = json_get_object(loaded, "body"), *entry;
	bool any = false;
	struct listed listed;
	struct error err;
	size_t i;

	json_array_foreach(listing, i, entry)
		any = any || (listed_read(entry, &listed) && of_table(&listed, table));
	if (!any)
		return NULL;
	if (!body || firewall_decode(body, &reading.firewall, &err) < 0 || reading.firewall.strangers)
		return unknown_body(listing, table);
	reading.body = json_deep_copy(body);
	for (i = 0; i < ARRAY_LEN(lists); i++)
		if (!json_get_array(reading.body, lists[i]))
			json_set(reading.body, lists[i], json_array());
	compare_elements(&reading, listing);
	compare_objects(&reading, listing, json_get_array(loaded, "objects"));
	firewall_clear(&reading.firewall);
	return reading.body;
}
