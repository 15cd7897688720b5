/* SPDX-License-Identifier: Apache-2.0 */
#include "lower.h"

#include "base/buf.h"
#include "model/ports.h"
#include "site/local/network/network.h"

#include <stdlib.h>

/*
 * How it works: links of the world become bridges, ports of instances become links, and what the tenants'
 * policies allow becomes members of the firewall's sets. Sets know tenants, not instances: whatever the
 * words of the file can say is said by tenant. Ranges of ports of one pair are merged, so that the same
 * words in another order give the same body, and no two elements of a set overlap.
 */

#define KEY_ROUTER "host/router"

static const char *deployment_of(const struct lowering *lowering)
{
	return lowering->config->deployment;
}

static void set_link(const struct lowering *lowering, json_t *body, const char *field, enum link_role role, const char *key)
{
	char name[16];

	local_link_name(deployment_of(lowering), role, key, name);
	json_set_string(body, field, name);
}

static void set_bridge(const struct lowering *lowering, json_t *body, const char *field, const char *tenant)
{
	autofree char *key = xasprintf("%s/network", tenant);

	set_link(lowering, body, field, LINK_BRIDGE, key);
}

static void set_prefix(json_t *body, const char *field, const struct prefix *prefix)
{
	char text[PREFIX_TEXT];

	prefix_format(prefix, text);
	json_set_string(body, field, text);
}

/* Ranges of ports */

static int range_compare(const void *left, const void *right)
{
	const struct port_range *a = left, *b = right;

	if (a->protocol != b->protocol)
		return a->protocol < b->protocol ? -1 : 1;
	return a->first != b->first ? (a->first < b->first ? -1 : 1) : (int)a->last - (int)b->last;
}

struct ranges { struct port_range *items; size_t n, capacity; };

static void ranges_add(struct ranges *ranges, const struct port_ranges *more)
{
	static const struct port_range any = { .protocol = PROTOCOL_ANY, .last = 65535 };

	if (more->n == 0)
		vec_push(ranges, any);
	for (size_t i = 0; i < more->n; i++) {
		struct port_range range = more->items[i];

		if (!protocol_has_ports(range.protocol)) {
			range.first = 0;
			range.last = 65535;
		}
		vec_push(ranges, range);
	}
}

/* Sorted, without overlaps; everything is one range. */
static void ranges_merge(struct ranges *ranges)
{
	size_t kept = 0;

	qsort(ranges->items, ranges->n, sizeof(*ranges->items), range_compare);
	for (size_t i = 0; i < ranges->n; i++) {
		struct port_range *last = kept ? &ranges->items[kept - 1] : NULL, range = ranges->items[i];

		if (last && last->protocol == range.protocol && range.first <= (unsigned)last->last + 1)
			last->last = MAX(last->last, range.last);
		else
			ranges->items[kept++] = range;
	}
	/* "any" sorts first */
	ranges->n = kept && ranges->items[0].protocol == PROTOCOL_ANY ? 1 : kept;
}

/* Who may reach what: all rules of one pair together. */
struct pair { char *text; struct ranges ranges; };	/* "vision>audio" */
struct pairs { struct pair *items; size_t n, capacity; };

static void pairs_clear(struct pairs *pairs)
{
	vec_each(pairs, pair) {
		free(pair->text);
		vec_clear(&pair->ranges);
	}
	vec_clear(pairs);
}

/* Takes over the text. */
static void pairs_add(struct pairs *pairs, char *text, const struct port_ranges *ports)
{
	struct pair *found = NULL;

	vec_each(pairs, pair)
		if (streq(pair->text, text))
			found = pair;
	if (found) {
		free(text);
	} else {
		found = vec_add(pairs);
		found->text = text;
	}
	ranges_add(&found->ranges, ports);
}

static int pair_compare(const void *a, const void *b)
{
	return strcmp(((const struct pair *)a)->text, ((const struct pair *)b)->text);
}

static json_t *pairs_members(struct pairs *pairs)
{
	json_t *members = json_array();
	char ports[PORT_TEXT];

	if (pairs->n)
		qsort(pairs->items, pairs->n, sizeof(*pairs->items), pair_compare);
	vec_each(pairs, pair) {
		ranges_merge(&pair->ranges);
		vec_each(&pair->ranges, range) {
			port_range_format(range, ports);
			json_add(members, json_sprintf("%s %s", pair->text, ports));
		}
	}
	return members;
}

/* The tenant that a selector stands for as a whole, or NULL. */
static const char *selected_tenant(const struct selector *selector)
{
	if (selector->kind != SELECT_LABELS || selector->labels.n != 1 || !streq(selector->labels.items[0].key, "tenant"))
		return NULL;
	return selector->labels.items[0].value;
}

static void lower_ingress(const struct rule *rule, const char *tenant, struct pairs *flows)
{
	for (size_t i = 0; i < rule->peer_n; i++) {
		const char *from = selected_tenant(&rule->peers[i]);

		if (from && !streq(from, tenant))
			pairs_add(flows, xasprintf("%s>%s", from, tenant), &rule->ports);
	}
}

static void lower_egress(const struct lowering *lowering, const struct rule *rule, const char *tenant, struct pairs *egress)
{
	char prefix[PREFIX_TEXT];

	for (size_t i = 0; i < rule->peer_n; i++) {
		const struct selector *peer = &rule->peers[i];

		if (peer->kind == SELECT_INTERNET) {
			pairs_add(egress, xasprintf("%s>internet", tenant), &rule->ports);
		} else if (peer->kind == SELECT_PREFIX && peer->prefix.address.family == AF_INET) {
			prefix_format(&peer->prefix, prefix);
			pairs_add(egress, xasprintf("%s>%s", tenant, prefix), &rule->ports);
		} else if (peer->kind == SELECT_PREFIX) {
			prefix_format(&peer->prefix, prefix);
			lower_note(lowering, "tenant %s: %s is not reached: this site has no IPv6", tenant, prefix);
		}
	}
}

static void lower_policies(const struct lowering *lowering, struct pairs *flows, struct pairs *egress)
{
	vec_each(&lowering->world->policies, policy) {
		const char *tenant = selected_tenant(&policy->applies);

		/* the walls that stand before all are the firewall's own rules, published ports are its set */
		if (!tenant || !policy->isolates)
			continue;
		for (size_t i = 0; i < policy->rule_n; i++) {
			if (policy->rules[i].action != ACTION_ALLOW)
				continue;
			if (policy->direction == DIRECTION_INGRESS)
				lower_ingress(&policy->rules[i], tenant, flows);
			else
				lower_egress(lowering, &policy->rules[i], tenant, egress);
		}
	}
}

/* Instances on the network: bare ones live in the host's. */
static bool is_linked(const struct instance *instance)
{
	return instance->method != METHOD_BARE && instance->endpoint != WORLD_NONE;
}

static const struct endpoint *endpoint_of(const struct lowering *lowering, const struct instance *instance)
{
	return &lowering->world->endpoints.items[instance->endpoint];
}

static const struct port *port_of(const struct lowering *lowering, const struct instance *instance)
{
	return &lowering->world->ports.items[endpoint_of(lowering, instance)->port];
}

static json_t *firewall_tenants(const struct lowering *lowering)
{
	json_t *tenants = json_array();

	vec_each(&lowering->world->links, link) {
		json_t *tenant;

		if (!link->tenant)
			continue;
		tenant = json_pack("{s:s}", "name", link->tenant);
		set_bridge(lowering, tenant, "bridge", link->tenant);
		set_prefix(tenant, "prefix", &link->prefix);
		body_set_address(tenant, "gateway", &link->gateway);
		json_add(tenants, tenant);
	}
	return tenants;
}

static json_t *firewall_ports(const struct lowering *lowering)
{
	json_t *ports = json_array();

	vec_each(&lowering->world->instances, instance) {
		autofree char *key = xasprintf("%s/link", instance->key);
		json_t *port;

		if (!is_linked(instance))
			continue;
		port = json_pack("{s:s}", "name", instance->key);
		set_link(lowering, port, "link", LINK_PORT, key);
		body_set_mac(port, "mac", port_of(lowering, instance)->mac);
		body_set_address(port, "address", &endpoint_of(lowering, instance)->addresses[0]);
		json_add(ports, port);
	}
	return ports;
}

static json_t *firewall_rates(const struct lowering *lowering)
{
	json_t *rates = json_array();

	vec_each(&lowering->intent->tenants, tenant) {
		json_t *rate;

		if (tenant->limit.network_bandwidth == AMOUNT_NONE)
			continue;
		rate = json_pack("{s:I}", "rate", (json_int_t)MAX(1, tenant->limit.network_bandwidth));
		set_bridge(lowering, rate, "bridge", tenant->name);
		json_add(rates, rate);
	}
	return rates;
}

static bool publishes(const struct publication *publication, const struct instance *instance)
{
	return is_linked(instance) && str_equal(publication->tenant, instance->tenant) && str_equal(publication->workload, instance->workload);
}

/* Each target once, however many addresses of the host lead to it. */
static json_t *firewall_published(const struct lowering *lowering)
{
	autojson json_t *seen = json_object();
	json_t *published = json_array();

	vec_each(&lowering->world->publications, publication) {
		vec_each(&lowering->world->instances, instance) {
			char address[ADDRESS_TEXT];
			autofree char *text = NULL;

			if (!publishes(publication, instance))
				continue;
			address_format(&endpoint_of(lowering, instance)->addresses[0], address);
			text = xasprintf("%s %s/%u", address, protocol_name(publication->protocol), publication->target_port);
			if (json_object_get(seen, text))
				continue;
			json_set_bool(seen, text, true);
			json_add(published, json_text(text));
		}
	}
	return published;
}

static json_t *host_published(const struct lowering *lowering)
{
	json_t *published = json_array();

	vec_each(&lowering->world->publications, publication) {
		autobuf struct buf text = { 0 };
		char address[ADDRESS_TEXT];
		const char *separator = " > ";

		address_format(&publication->address, address);
		if (publication->address.family != AF_INET) {
			lower_note(lowering, "%s/%s is not published on %s: this site has no IPv6", publication->tenant, publication->workload, address);
			continue;
		}
		buf_addf(&text, "%s:%u %s %s/%s", address, publication->port, protocol_name(publication->protocol), publication->tenant, publication->workload);
		vec_each(&lowering->world->instances, instance) {
			if (!publishes(publication, instance))
				continue;
			address_format(&endpoint_of(lowering, instance)->addresses[0], address);
			buf_addf(&text, "%s%s:%u", separator, address, publication->target_port);
			separator = ",";
		}
		/* without a replica there is nowhere to lead to */
		if (*separator == ',')
			json_add(published, json_text(text.data));
	}
	return published;
}

/* The two ends of the uplink. */
struct uplink { struct prefix pool, prefix; struct address host, inner; int64_t mtu; };

static int uplink_of(const struct lowering *lowering, struct uplink *ret, struct error *err)
{
	const json_t *site = lower_decision(lowering, "site");
	uint32_t link = world_find_link(lowering->world, "uplink");

	if (link == WORLD_NONE || prefix_parse(json_get_string(site, "pool", ""), &ret->pool, err) < 0 ||
	    prefix_parse(json_get_string(site, "uplink", ""), &ret->prefix, err) < 0)
		return error_set(err, ERROR_FAILED, "nothing is decided about the network of the site");
	ret->host = prefix_address(&ret->prefix, 1);
	ret->inner = prefix_address(&ret->prefix, 2);
	ret->mtu = lowering->world->links.items[link].mtu;
	return 0;
}

static void lower_router(const struct lowering *lowering, const struct uplink *uplink)
{
	json_t *body = json_object();
	struct resource *resource;

	set_prefix(body, "pool", &uplink->pool);
	body_set_interface(body, "hostAddress", &uplink->host, uplink->prefix.length);
	body_set_interface(body, "address", &uplink->inner, uplink->prefix.length);
	json_set_int(body, "mtu", uplink->mtu);
	resource = lower_add(lowering, "router", KEY_ROUTER, "site", body);
	resource_add_after(resource, "host/runtime");
	lower_add(lowering, "forwarding", "host/forwarding", NULL, json_pack("{s:b}", "ipv4", 1));
}

static json_t *uplink_body(const struct lowering *lowering, const struct uplink *uplink, enum link_role end)
{
	json_t *body = json_object();

	set_prefix(body, "pool", &uplink->pool);
	set_link(lowering, body, "uplink", end, KEY_ROUTER);
	body_set_address(body, "hostAddress", &uplink->host);
	body_set_address(body, "address", &uplink->inner);
	return body;
}

static void lower_firewalls(const struct lowering *lowering, const struct uplink *uplink)
{
	json_t *inner = uplink_body(lowering, uplink, LINK_UPLINK_ROUTER), *outer = uplink_body(lowering, uplink, LINK_UPLINK_HOST);
	CLEANUP(pairs_clear) struct pairs flows = { 0 }, egress = { 0 };
	struct resource *resource;

	lower_policies(lowering, &flows, &egress);
	json_set(inner, "tenants", firewall_tenants(lowering));
	json_set(inner, "flows", pairs_members(&flows));
	json_set(inner, "egress", pairs_members(&egress));
	json_set(inner, "ports", firewall_ports(lowering));
	json_set(inner, "published", firewall_published(lowering));
	json_set(inner, "rates", firewall_rates(lowering));
	resource = lower_add(lowering, "firewall", "host/firewall", NULL, inner);
	resource_add_after(resource, KEY_ROUTER);
	json_set_bool(outer, "masquerade", true);
	json_set(outer, "published", host_published(lowering));
	resource = lower_add(lowering, "host-firewall", "host/uplink", NULL, outer);
	resource_add_after(resource, "host/firewall");
	resource_add_after(resource, "host/forwarding");
}

static void lower_bridges(const struct lowering *lowering)
{
	vec_each(&lowering->world->links, link) {
		autofree char *key = link->tenant ? xasprintf("%s/network", link->tenant) : NULL;
		struct resource *resource;
		json_t *body;

		if (!key)
			continue;
		body = json_object();
		set_link(lowering, body, "link", LINK_BRIDGE, key);
		body_set_interface(body, "address", &link->gateway, link->prefix.length);
		json_set_int(body, "mtu", link->mtu);
		resource = lower_add(lowering, "bridge", key, NULL, body);
		resource_add_after(resource, "host/firewall");
	}
}

static void lower_link(const struct lowering *lowering, const struct instance *instance)
{
	const struct port *port = port_of(lowering, instance);
	const struct link *link = &lowering->world->links.items[port->link];
	autofree char *key = xasprintf("%s/link", instance->key), *network = xasprintf("%s/network", instance->tenant);
	autofree char *limits = xasprintf("%s/limits", instance->tenant);
	json_t *body = json_object();
	struct resource *resource;

	set_bridge(lowering, body, "bridge", instance->tenant);
	set_link(lowering, body, "port", LINK_PORT, key);
	body_set_interface(body, "address", &endpoint_of(lowering, instance)->addresses[0], link->prefix.length);
	body_set_address(body, "gateway", &link->gateway);
	body_set_mac(body, "mac", port->mac);
	json_set_int(body, "mtu", link->mtu);
	json_set(body, "hostname", json_sprintf("%s-%u", instance->workload, instance->replica));
	resource = lower_add(lowering, "link", key, NULL, body);
	resource_add_after(resource, network);
	resource_add_after(resource, limits);
	resource_add_after(resource, "host/firewall");
}

/* Resolver */

static void add_name(json_t *names, const char *name, const char *address)
{
	json_add(names, json_pack("{s:s, s:s}", "name", name, "address", address));
}

static void add_names_of(const struct lowering *lowering, json_t *names, const char *tenant)
{
	vec_each(&lowering->world->instances, instance) {
		autofree char *all = NULL, *one = NULL;
		char address[ADDRESS_TEXT];

		if (!is_linked(instance) || !streq(instance->tenant, tenant))
			continue;
		address_format(&endpoint_of(lowering, instance)->addresses[0], address);
		all = xasprintf("%s.%s.insula", instance->workload, instance->tenant);
		one = xasprintf("%u.%s", instance->replica, all);
		add_name(names, all, address);
		add_name(names, one, address);
	}
}

/* Does a declared flow lead from one to the other? */
static bool flow_leads(const json_t *flows, const char *from, const char *to)
{
	autofree char *start = xasprintf("%s>%s ", from, to);
	json_t *member;
	size_t i;

	json_array_foreach(flows, i, member)
		if (starts_with(json_string_value(member), start))
			return true;
	return false;
}

static json_t *zone_of(const struct lowering *lowering, const struct link *link, const json_t *firewall)
{
	autofree char *internet = xasprintf("%s>", link->tenant);
	json_t *zone = json_pack("{s:s}", "tenant", link->tenant), *names = json_array(), *member;
	bool egress = false;
	size_t i;

	set_prefix(zone, "prefix", &link->prefix);
	body_set_address(zone, "gateway", &link->gateway);
	json_array_foreach(json_get_array(firewall, "egress"), i, member)
		egress = egress || starts_with(json_string_value(member), internet);
	json_set_bool(zone, "egress", egress);
	vec_each(&lowering->world->links, other)
		if (other->tenant && (other == link || flow_leads(json_get_array(firewall, "flows"), link->tenant, other->tenant)))
			add_names_of(lowering, names, other->tenant);
	json_set(zone, "names", names);
	return zone;
}

static void lower_resolver(const struct lowering *lowering)
{
	const struct resource *firewall = resources_get(lowering->resources, "host/firewall");
	const struct names *dns = &lowering->intent->site.dns;
	json_t *zones = json_array(), *upstreams = json_array();
	struct resource *resource;

	vec_each(&lowering->world->links, link)
		if (link->tenant)
			json_add(zones, zone_of(lowering, link, firewall->body));
	for (size_t i = 0; i < dns->n; i++) {
		if (strchr(dns->items[i], ':'))
			lower_note(lowering, "the resolver does not ask %s: it speaks IPv4", dns->items[i]);
		else
			json_add(upstreams, json_text(dns->items[i]));
	}
	resource = lower_add(lowering, "resolver", "host/resolver", NULL, json_pack("{s:o, s:o}", "zones", zones, "upstreams", upstreams));
	resource_add_after(resource, "host/firewall");
}

int local_lower_network(const struct lowering *lowering, struct error *err)
{
	struct uplink uplink;

	if (uplink_of(lowering, &uplink, err) < 0)
		return -1;
	lower_router(lowering, &uplink);
	lower_firewalls(lowering, &uplink);
	lower_bridges(lowering);
	vec_each(&lowering->world->instances, instance)
		if (is_linked(instance))
			lower_link(lowering, instance);
	lower_resolver(lowering);
	return 0;
}
