/* SPDX-License-Identifier: Apache-2.0 */
#include "lower.h"

#include "site/local/network/firewall.h"
#include "site/local/network/host_firewall.h"
#include "model/labels.h"

#include <stdlib.h>

/*
 * How it works: the bodies say the same as the world in fewer words, and each is put back into the
 * words of world_expand: a wall, "in" and "out" for each tenant of the firewall, and an ingress
 * of each published address. What is foreign in the firewall has no meaning that can be told from
 * its text; it becomes a rule that says so and selects nobody.
 */

#define TIER_WALL 0
#define TIER_TENANT 1

/* Links and endpoints are met in any order, so each is made by whoever comes first. */
static uint32_t lift_link(struct world *world, const char *name, const char *tenant)
{
	uint32_t found = world_find_link(world, name), parent;
	struct link *link;

	if (found != WORLD_NONE)
		return found;
	parent = tenant ? lift_link(world, "uplink", NULL) : WORLD_NONE;	/* first: it moves the array */
	link = vec_add(&world->links);
	link->name = arena_intern(&world->arena, name);
	link->native_kind = "link";
	link->tenant = tenant ? arena_intern(&world->arena, tenant) : NULL;
	link->parent = parent;
	return (uint32_t)world->links.n - 1;
}

static uint32_t lift_port(struct world *world, const char *instance, const char *tenant)
{
	autofree char *network = xasprintf("%s/network", tenant);
	uint32_t link = lift_link(world, network, tenant), endpoint = lift_endpoint(world, instance, ENDPOINT_INSTANCE, tenant);
	struct port *port;

	if (world->endpoints.items[endpoint].port != WORLD_NONE)
		return world->endpoints.items[endpoint].port;
	port = vec_add(&world->ports);
	port->name = arena_intern(&world->arena, instance);
	port->endpoint = endpoint;
	port->link = link;
	world->endpoints.items[endpoint].port = (uint32_t)world->ports.n - 1;
	return (uint32_t)world->ports.n - 1;
}

static void set_address(struct world *world, uint32_t endpoint, const struct address *address)
{
	struct endpoint *e = &world->endpoints.items[endpoint];

	e->addresses = arena_array(&world->arena, 1, sizeof(*e->addresses));
	e->addresses[0] = *address;
	e->address_n = 1;
}

/* The host: what the probe saw, and its end of the uplink. */
static void lift_host(const json_t *facts, struct world *world, const struct address *uplink)
{
	uint32_t node = lift_node(world, facts), host;
	json_t *known = json_get_array(facts, "addresses"), *item;
	struct endpoint *endpoint;
	struct error ignored;
	size_t i;

	if (node == WORLD_NONE)
		return;
	host = lift_endpoint(world, arena_printf(&world->arena, "host/%s", world->nodes.items[node].name), ENDPOINT_HOST, NULL);
	world->nodes.items[node].link = lift_link(world, "uplink", NULL);
	lift_endpoint(world, "outside", ENDPOINT_OUTSIDE, NULL);
	endpoint = &world->endpoints.items[host];
	endpoint->native_kind = "node";
	endpoint->native_name = endpoint->name;
	endpoint->node = node;
	endpoint->addresses = arena_array(&world->arena, json_array_size(known) + 1, sizeof(*endpoint->addresses));
	endpoint->address_n = 0;
	json_array_foreach(known, i, item) {
		struct address *address = &endpoint->addresses[endpoint->address_n];

		if (address_parse(json_get_string(item, "address", ""), address, &ignored) == 0 && address_class(address) != ADDRESS_LOOPBACK)
			endpoint->address_n++;
	}
	endpoint->addresses[endpoint->address_n++] = *uplink;
}

static int lift_router(const json_t *facts, const json_t *body, struct world *world, struct error *err)
{
	struct interface host;
	struct link *uplink;
	uint32_t mtu, index;

	if (body_interface(body, "hostAddress", &host, err) < 0 || body_mtu(body, "mtu", &mtu, err) < 0)
		return error_wrap(err, "router");
	index = lift_link(world, "uplink", NULL);	/* may move the links */
	uplink = &world->links.items[index];
	uplink->mtu = mtu;
	uplink->prefix = prefix_of(&host.address, host.length);
	uplink->gateway = host.address;
	lift_host(facts, world, &host.address);
	return 0;
}

static int lift_bridge(const struct resource *resource, struct world *world, struct error *err)
{
	autofree char *tenant = xstrndup(resource->key, strcspn(resource->key, "/")), *gateway_name = xasprintf("%s/gateway", tenant);
	struct interface gateway;
	struct link *link;
	uint32_t mtu, endpoint, index;

	if (body_interface(resource->body, "address", &gateway, err) < 0 || body_mtu(resource->body, "mtu", &mtu, err) < 0)
		return error_wrap(err, "%s", resource->key);
	index = lift_link(world, resource->key, tenant);
	link = &world->links.items[index];
	link->mtu = mtu;
	link->prefix = prefix_of(&gateway.address, gateway.length);
	link->gateway = gateway.address;
	endpoint = lift_endpoint(world, gateway_name, ENDPOINT_GATEWAY, tenant);
	world->endpoints.items[endpoint].native_kind = "gateway";
	world->endpoints.items[endpoint].native_name = world->endpoints.items[endpoint].name;
	set_address(world, endpoint, &gateway.address);
	return 0;
}

static int lift_instance_link(const struct resource *resource, struct world *world, struct error *err)
{
	autofree char *instance = NULL;
	struct instance_key key;
	struct interface address;
	struct port *port;
	uint32_t index;
	uint8_t mac[6];

	if (!ends_with(resource->key, "/link"))
		return error_set(err, ERROR_INPUT, "'%.200s' is not the key of a link", resource->key);
	instance = xstrndup(resource->key, strlen(resource->key) - strlen("/link"));
	if (!local_instance_key(instance, &key))
		return error_set(err, ERROR_INPUT, "'%.200s' is not the key of a link", resource->key);
	if (body_interface(resource->body, "address", &address, err) < 0 || body_mac(resource->body, "mac", mac, err) < 0)
		return error_wrap(err, "%s", resource->key);
	index = lift_port(world, instance, key.tenant);
	port = &world->ports.items[index];
	memcpy(port->mac, mac, 6);
	world->endpoints.items[port->endpoint].native_kind = "instance";
	world->endpoints.items[port->endpoint].native_name = world->endpoints.items[port->endpoint].name;
	set_address(world, port->endpoint, &address.address);
	return 0;
}

/* Policies */

static struct selector select_labels(struct arena *arena, const char *key, const char *value)
{
	struct selector selector = { .kind = SELECT_LABELS };

	labels_set(arena, &selector.labels, arena_intern(arena, key), arena_intern(arena, value));
	return selector;
}

static struct selector select_prefix(struct arena *arena, const struct prefix *prefix, const struct prefix *pool)
{
	struct selector selector = { .kind = SELECT_PREFIX, .prefix = *prefix };

	if (pool && prefix_overlaps(prefix, pool)) {
		selector.except = arena_array(arena, 1, sizeof(*selector.except));
		selector.except[0] = *pool;
		selector.except_n = 1;
	}
	return selector;
}

struct rules { struct rule *items; size_t n, capacity; };

/* Ports NULL: all. */
static void add_rule(struct arena *arena, struct rules *rules, const char *name, enum action action, const struct selector *peer, const struct port_range *ports)
{
	struct rule *rule = vec_add(rules);

	rule->name = name;
	rule->action = action;
	rule->mark.file = "";
	if (peer) {
		rule->peers = arena_array(arena, 1, sizeof(*rule->peers));
		rule->peers[0] = *peer;
		rule->peer_n = 1;
	}
	if (ports && ports->protocol != PROTOCOL_ANY) {
		rule->ports.items = arena_array(arena, 1, sizeof(*rule->ports.items));
		rule->ports.items[0] = *ports;
		rule->ports.items[0].mark.file = "";
		rule->ports.n = 1;
	}
}

/* Takes the rules over. */
static void add_policy(struct world *world, const char *name, const char *native_kind, uint32_t tier, enum direction direction, struct selector applies,
		       struct rules *rules)
{
	struct policy *policy = vec_add(&world->policies);

	policy->name = policy->native_name = name;
	policy->native_kind = native_kind;
	policy->tier = tier;
	policy->direction = direction;
	policy->isolates = tier == TIER_TENANT;
	policy->applies = applies;
	policy->rules = arena_array(&world->arena, rules->n, sizeof(*policy->rules));
	policy->rule_n = rules->n;
	if (rules->n)
		memcpy(policy->rules, rules->items, rules->n * sizeof(*policy->rules));
	vec_clear(rules);
}

static void lift_wall(struct world *world, const struct firewall_tenant *tenant)
{
	static const struct port_range names[] = { { .protocol = PROTOCOL_UDP, .first = 53, .last = 53 }, { .protocol = PROTOCOL_TCP, .first = 53, .last = 53 },
						   { .protocol = PROTOCOL_ICMP, .first = 0, .last = 65535 } };
	struct selector gateway = { .kind = SELECT_PREFIX, .prefix = { tenant->gateway, 32 } };
	struct selector metadata = { .kind = SELECT_METADATA }, hosts = { .kind = SELECT_HOSTS };
	struct arena *arena = &world->arena;
	struct rules rules = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		add_rule(arena, &rules, arena_printf(arena, "%s: own gateway, %s", tenant->name, protocol_name(names[i].protocol)), ACTION_ALLOW, &gateway, &names[i]);
	add_rule(arena, &rules, arena_printf(arena, "%s: never the metadata address", tenant->name), ACTION_DENY, &metadata, NULL);
	add_rule(arena, &rules, arena_printf(arena, "%s: never hosts and gateways", tenant->name), ACTION_DENY, &hosts, NULL);
	add_policy(world, arena_printf(arena, "%s wall", tenant->name), "policy", TIER_WALL, DIRECTION_EGRESS, select_labels(arena, "tenant", tenant->name), &rules);
}

static const char *flow_name(struct arena *arena, const char *tenant, const char *direction, const char *peer, const struct port_range *ports)
{
	char text[PORT_TEXT];

	port_range_format(ports, text);
	return arena_printf(arena, "%s: %s %s %s", tenant, direction, peer, text);
}

static void lift_tenant(struct world *world, const struct firewall *firewall, size_t index)
{
	const struct firewall_tenant *tenant = &firewall->tenants.items[index];
	struct selector own = select_labels(&world->arena, "tenant", tenant->name), internet = { .kind = SELECT_INTERNET };
	struct rules in = { 0 }, out = { 0 };
	struct arena *arena = &world->arena;
	char prefix[PREFIX_TEXT];

	add_rule(arena, &in, arena_printf(arena, "%s: same tenant", tenant->name), ACTION_ALLOW, &own, NULL);
	add_rule(arena, &out, arena_printf(arena, "%s: same tenant", tenant->name), ACTION_ALLOW, &own, NULL);
	vec_each(&firewall->flows, flow) {
		const char *from = firewall->tenants.items[flow->from].name, *to = firewall->tenants.items[flow->to].name;
		struct selector sender = select_labels(arena, "tenant", from), receiver = select_labels(arena, "tenant", to);

		if (flow->to == index)
			add_rule(arena, &in, flow_name(arena, to, "from", from, &flow->ports), ACTION_ALLOW, &sender, &flow->ports);
		if (flow->from == index)
			add_rule(arena, &out, flow_name(arena, to, "from", from, &flow->ports), ACTION_ALLOW, &receiver, &flow->ports);
	}
	vec_each(&firewall->egress, egress) {
		struct selector range = select_prefix(arena, &egress->to, &firewall->pool);

		if (egress->from != index)
			continue;
		prefix_format(&egress->to, prefix);
		add_rule(arena, &out, flow_name(arena, tenant->name, "to", egress->internet ? "internet" : prefix, &egress->ports), ACTION_ALLOW,
			 egress->internet ? &internet : &range, &egress->ports);
	}
	lift_wall(world, tenant);
	add_policy(world, arena_printf(arena, "%s in", tenant->name), "policy", TIER_TENANT, DIRECTION_INGRESS, own, &in);
	add_policy(world, arena_printf(arena, "%s out", tenant->name), "policy", TIER_TENANT, DIRECTION_EGRESS, own, &out);
}

/* Which instance a published address is: by the firewall's own ports, so that it does not matter what was lifted before. */
static void lift_published(struct world *world, const struct firewall *firewall, const struct firewall_published *published)
{
	struct prefix everything = { { AF_INET, { 0 } }, 0 };
	struct arena *arena = &world->arena;
	struct selector applies = { .kind = SELECT_LABELS };
	struct instance_key key;
	struct rules rules = { 0 };
	struct rule *rule;

	vec_each(&firewall->ports, port) {
		if (!address_equal(&port->address, &published->address) || !local_instance_key(port->name, &key))
			continue;
		labels_set(arena, &applies.labels, "tenant", arena_intern(arena, key.tenant));
		labels_set(arena, &applies.labels, "workload", arena_intern(arena, key.workload));
		labels_set(arena, &applies.labels, "replica", arena_printf(arena, "%u", key.replica));
		add_rule(arena, &rules, flow_name(arena, port->name, "published", "", &published->ports), ACTION_ALLOW, NULL, &published->ports);
		rule = &rules.items[0];
		rule->peers = arena_array(arena, 2, sizeof(*rule->peers));
		rule->peers[0] = (struct selector){ .kind = SELECT_HOSTS };
		rule->peers[1] = select_prefix(arena, &everything, &firewall->pool);
		rule->peer_n = 2;
		add_policy(world, arena_printf(arena, "%s published", port->name), "policy", TIER_TENANT, DIRECTION_INGRESS, applies, &rules);
		return;
	}
}

static void lift_strangers(struct world *world, const json_t *body)
{
	struct rules rules = { 0 };
	json_t *member;
	size_t i;

	json_array_foreach(json_get_array(body, "flows"), i, member)
		if (body_is_stranger(json_string_value(member)))
			add_rule(&world->arena, &rules, arena_intern(&world->arena, json_string_value(member)), ACTION_PASS, NULL, NULL);
	if (rules.n)
		add_policy(world, "what is not ours in the firewall", "nftables", TIER_WALL, DIRECTION_EGRESS, (struct selector){ .kind = SELECT_ALL }, &rules);
}

static int lift_firewall(const json_t *body, struct world *world, struct error *err)
{
	CLEANUP(firewall_clear) struct firewall firewall = { 0 };
	struct instance_key key;

	lift_strangers(world, body);
	/* of rules that are not known at all, only that is told */
	if (!json_get_string(body, "pool", NULL))
		return 0;
	if (firewall_decode(body, &firewall, err) < 0)
		return -1;
	for (size_t i = 0; i < firewall.tenants.n; i++)
		lift_tenant(world, &firewall, i);
	vec_each(&firewall.published, published)
		lift_published(world, &firewall, published);
	/* a port whose frames are checked */
	vec_each(&firewall.ports, port) {
		if (!local_instance_key(port->name, &key))
			continue;
		uint32_t index = lift_port(world, port->name, key.tenant);
		world->ports.items[index].security = true;
	}
	return 0;
}

static int lift_host_firewall(const json_t *body, struct world *world, struct error *err)
{
	CLEANUP(host_firewall_clear) struct host_firewall firewall = { 0 };

	if (!json_get_string(body, "pool", NULL))
		return 0;
	if (host_firewall_decode(body, &firewall, err) < 0)
		return -1;
	vec_each(&firewall.published, published) {
		struct publication *publication = vec_add(&world->publications);

		publication->address = published->address;
		publication->port = published->port;
		publication->protocol = published->protocol;
		publication->target_port = published->targets.items[0].port;
		publication->tenant = *published->tenant ? arena_intern(&world->arena, published->tenant) : NULL;
		publication->workload = *published->workload ? arena_intern(&world->arena, published->workload) : NULL;
	}
	return 0;
}

int local_lift_network(const struct site_facts *facts, const struct resource *resource, struct world *into, struct error *err)
{
	if (streq(resource->kind, "router"))
		return lift_router(facts->json, resource->body, into, err);
	if (streq(resource->kind, "bridge"))
		return lift_bridge(resource, into, err);
	if (streq(resource->kind, "link"))
		return lift_instance_link(resource, into, err);
	if (streq(resource->kind, "firewall"))
		return lift_firewall(resource->body, into, err);
	if (streq(resource->kind, "host-firewall"))
		return lift_host_firewall(resource->body, into, err);
	return 0;
}
