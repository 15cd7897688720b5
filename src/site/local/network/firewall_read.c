/* SPDX-License-Identifier: Apache-2.0 */
#include "firewall_private.h"

#include "nft_compare.h"

#include <stdlib.h>

/*
 * How it works: nft_compare tells which rules differ from those that were loaded; elements of sets
 * are compared with what the body comes to. The answer is the body that was loaded with each
 * difference put in where a reader looks for it: a flow that is missing is missing, an element
 * that reads as a flow is one more flow, and what has no such word is told as text.
 */

struct reading {
	const char *table;
	const struct firewall_reader *reader;
	struct firewall firewall;		/* as loaded */
	json_t *body;				/* the answer */
};

json_t *firewall_loaded(const json_t *listing, const char *table, const json_t *body)
{
	return json_pack("{so,so}", "objects", nft_snapshot(listing, table), "body", json_deep_copy(body));
}

/* Rules, chains, sets */

static void told(void *arg, const char *text)
{
	struct reading *reading = arg;

	json_add(json_object_get(reading->body, "flows"), json_text(text));
}

/* Takes over the text. */
static void tell(struct reading *reading, const char *what, char *text)
{
	autofree char *line = xasprintf("%s: %s", what, text);

	told(reading, line);
	free(text);
}

static bool remove_member(json_t *list, const char *member)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		if (str_equal(json_string_value(item), member)) {
			json_array_remove(list, i);
			return true;
		}
	}
	return false;
}

/* A rule of the chain `ranges` stands for a member of the body's egress: its comment is that member. */
static void missing(void *arg, const char *kind, const char *name, const char *comment)
{
	struct reading *reading = arg;

	if (streq(name, "ranges") && remove_member(json_object_get(reading->body, "egress"), comment))
		return;
	tell(reading, "missing", xasprintf("%s %s%s%s", kind, name, *comment ? ": " : "", comment));
}

static char *rule_text(void *arg, const char *family, const char *table, const char *chain, int64_t handle)
{
	const struct reading *reading = arg;

	return reading->reader ? reading->reader->rule_text(reading->reader->arg, family, table, chain, handle) : NULL;
}

/* Elements */

static const struct firewall_tenant *tenant_of_bridge(const struct firewall *firewall, const char *bridge)
{
	vec_each(&firewall->tenants, tenant)
		if (streq(tenant->bridge, bridge))
			return tenant;
	return NULL;
}

/* "6" and "8501" to "tcp/8501"; every port of it to "tcp" */
static char *ports_text(const char *protocol, const char *ports)
{
	const char *name = protocol_name((enum protocol)strtol(protocol, NULL, 10));

	return streq(ports, "0-65535") ? xstrdup(name) : xasprintf("%s/%s", name, ports);
}

/* A live element that was not loaded: in the words of the body where it has some. */
static bool add_as_member(struct reading *reading, const char *set, char *const *parts, size_t n)
{
	const struct firewall_tenant *from = tenant_of_bridge(&reading->firewall, parts[0]);
	const struct firewall_tenant *to = n > 1 ? tenant_of_bridge(&reading->firewall, parts[1]) : NULL;
	autofree char *ports = n > 2 ? ports_text(parts[n - 2], parts[n - 1]) : NULL;
	const char *field;
	json_t *member;

	if (streq(set, "flows") && from && to && ports) {
		field = "flows";
		member = json_sprintf("%s>%s %s", from->name, to->name, ports);
	} else if (streq(set, "flows_any") && from && to) {
		field = "flows";
		member = json_sprintf("%s>%s any", from->name, to->name);
	} else if (streq(set, "egress") && from && ports) {
		field = "egress";
		member = json_sprintf("%s>internet %s", from->name, ports);
	} else if (streq(set, "egress_any") && from) {
		field = "egress";
		member = json_sprintf("%s>internet any", from->name);
	} else if (streq(set, "published") && ports) {
		field = "published";
		member = json_sprintf("%s %s", parts[0], ports);
	} else {
		return false;
	}
	json_add(json_object_get(reading->body, field), member);
	return true;
}

static void add_foreign_element(struct reading *reading, const char *set, const json_t *value)
{
	char *parts[FIREWALL_PARTS_MAX];
	size_t n = firewall_element_parts(set, value, parts);

	if (!add_as_member(reading, set, parts, n)) {
		autofree char *text = firewall_element_text(set, value);

		tell(reading, "foreign", xasprintf("%s in the set %s", text, set));
	}
	for (size_t i = 0; i < n; i++)
		free(parts[i]);
}

/* The set of ours that an entry of a listing is, or NULL. */
static const char *set_of(const json_t *entry, const char *table)
{
	struct nft_object object;

	if (!nft_object_read(entry, &object) || !streq(object.kind, "set") || !nft_object_ours(&object, table))
		return NULL;
	for (const struct firewall_set *set = firewall_sets(); set->family; set++)
		if (streq(set->name, object.name) && streq(set->family, object.family))
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
		const char *set = set_of(entry, table);

		if (!set)
			continue;
		json_array_foreach(json_get_array(json_object_get(entry, "set"), "elem"), j, value) {
			autofree char *text = firewall_element_text(set, value);

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

json_t *firewall_read(const json_t *listing, const char *table, const json_t *loaded, const struct firewall_reader *reader)
{
	static const char *const lists[] = { "tenants", "ports", "flows", "egress", "published", "rates" };
	struct reading reading = { .table = table, .reader = reader };
	struct nft_differences differences = { &reading, missing, told, rule_text };
	json_t *body = json_get_object(loaded, "body");
	struct error err;

	if (!nft_listing_has(listing, table))
		return NULL;
	reading.body = body ? json_deep_copy(body) : json_object();
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (!json_get_array(reading.body, lists[i]))
			json_set(reading.body, lists[i], json_array());
	if (!body || firewall_decode(body, &reading.firewall, &err) < 0) {
		/* everything is as good as foreign, and will be loaded again */
		told(&reading, "changed: the rules, as far as can be told");
		return reading.body;
	}
	compare_elements(&reading, listing);
	nft_compare(listing, table, json_get_array(loaded, "objects"), &differences);
	firewall_clear(&reading.firewall);
	return reading.body;
}
