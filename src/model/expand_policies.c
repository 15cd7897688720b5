/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of `network` as policies. Two tiers:
 *
 *   TIER_WALL    egress of every tenant: its own gateway's resolver and echo are allowed, then the metadata
 *                addresses, the hosts and all gateways are denied, whatever the file says
 *   TIER_TENANT  isolates both ways: the own tenant, what `from` lets in and so lets out at the sender, `to`,
 *                and the ports of published services, which come in by the hosts or from outside
 */
#include "expand_internal.h"

#include "ports.h"

#include <stdio.h>

#define TIER_WALL 0
#define TIER_TENANT 1

static struct selector select_tenant(struct arena *arena, const char *tenant)
{
	struct selector selector = { .kind = SELECT_LABELS, .labels = { arena_array(arena, 1, sizeof(struct label)), 1 } };

	selector.labels.items[0] = (struct label){ "tenant", arena_intern(arena, tenant) };
	return selector;
}

static struct selector select_prefix(const struct prefix *prefix)
{
	return (struct selector){ .kind = SELECT_PREFIX, .prefix = *prefix };
}

/* A range of addresses without our own pool: who is in there is told by tenant. */
static struct selector select_beyond_pool(struct expansion *expansion, const struct prefix *prefix)
{
	struct selector selector = select_prefix(prefix);

	if (!prefix_overlaps(prefix, &expansion->pool))
		return selector;
	selector.except = arena_array(&expansion->world->arena, 1, sizeof(*selector.except));
	selector.except[0] = expansion->pool;
	selector.except_n = 1;
	return selector;
}

struct rules { VEC(struct rule) items; };

static struct rule *add_rule(struct expansion *expansion, struct rules *rules, const char *name, enum action action, struct selector peer)
{
	struct rule *rule = vec_add(&rules->items);

	rule->name = name;
	rule->action = action;
	rule->peers = arena_array(&expansion->world->arena, 1, sizeof(*rule->peers));
	rule->peers[0] = peer;
	rule->peer_n = 1;
	rule->mark = (struct mark){ "", 0, 0 };
	return rule;
}

static struct port_ranges copy_ports(struct arena *arena, const struct port_ranges *ports)
{
	struct port_ranges copy = { arena_array(arena, ports->n, sizeof(*copy.items)), ports->n };

	for (size_t i = 0; i < ports->n; i++) {
		copy.items[i] = ports->items[i];
		copy.items[i].mark.file = arena_intern(arena, ports->items[i].mark.file);
	}
	return copy;
}

static struct port_ranges one_range(struct arena *arena, enum protocol protocol, uint16_t first, uint16_t last)
{
	struct port_ranges ports = { arena_array(arena, 1, sizeof(*ports.items)), 1 };

	ports.items[0] = (struct port_range){ protocol, first, last, { "", 0, 0 } };
	return ports;
}

static struct mark copy_mark(struct arena *arena, struct mark mark)
{
	mark.file = arena_intern(arena, mark.file);
	return mark;
}

/* "audio: from vision tcp/8501, udp"; what of the file, as the user wrote it */
static const char *rule_name(struct arena *arena, const char *tenant, const char *direction, const char *peer, const struct port_ranges *ports)
{
	autobuf struct buf text = { 0 };
	char range[PORT_TEXT];

	buf_addf(&text, "%s: %s %s", tenant, direction, peer);
	for (size_t i = 0; i < ports->n && i < 4; i++) {
		port_range_format(&ports->items[i], range);
		buf_addf(&text, "%s%s", i ? ", " : " ", range);
	}
	if (ports->n > 4)
		buf_adds(&text, ", ...");
	return arena_strdup(arena, text.data);
}

static void add_policy(struct expansion *expansion, const char *name, uint32_t tier, enum direction direction, struct selector applies, struct rules *rules)
{
	struct arena *arena = &expansion->world->arena;
	struct policy policy = { .name = name, .native_kind = "policy", .native_name = name, .tier = tier, .direction = direction,
				 .isolates = tier == TIER_TENANT, .applies = applies, .rule_n = rules->items.n };

	policy.rules = arena_array(arena, rules->items.n, sizeof(*policy.rules));
	if (rules->items.n)
		memcpy(policy.rules, rules->items.items, rules->items.n * sizeof(*policy.rules));
	vec_clear(&rules->items);
	vec_push(&expansion->world->policies, policy);
}

static void add_wall(struct expansion *expansion, const struct tenant *tenant, const struct link *link)
{
	struct arena *arena = &expansion->world->arena;
	struct prefix gateway = { link->gateway, 32 };
	struct rules rules = { 0 };

	add_rule(expansion, &rules, arena_printf(arena, "%s: resolver of the own gateway, udp/53", tenant->name), ACTION_ALLOW, select_prefix(&gateway))->ports =
		one_range(arena, PROTOCOL_UDP, 53, 53);
	add_rule(expansion, &rules, arena_printf(arena, "%s: resolver of the own gateway, tcp/53", tenant->name), ACTION_ALLOW, select_prefix(&gateway))->ports =
		one_range(arena, PROTOCOL_TCP, 53, 53);
	add_rule(expansion, &rules, arena_printf(arena, "%s: echo of the own gateway", tenant->name), ACTION_ALLOW, select_prefix(&gateway))->ports =
		one_range(arena, PROTOCOL_ICMP, 0, 65535);
	add_rule(expansion, &rules, arena_printf(arena, "%s: never the metadata address", tenant->name), ACTION_DENY, (struct selector){ .kind = SELECT_METADATA });
	add_rule(expansion, &rules, arena_printf(arena, "%s: never hosts and gateways", tenant->name), ACTION_DENY, (struct selector){ .kind = SELECT_HOSTS });
	add_policy(expansion, arena_printf(arena, "%s wall", tenant->name), TIER_WALL, DIRECTION_EGRESS, select_tenant(arena, tenant->name), &rules);
}

static void add_flow(struct expansion *expansion, struct rules *rules, const struct tenant *tenant, const struct allow *allow, const char *direction,
		     const char *peer_name, struct selector peer)
{
	struct arena *arena = &expansion->world->arena;
	struct rule *rule = add_rule(expansion, rules, rule_name(arena, tenant->name, direction, peer_name, &allow->ports), ACTION_ALLOW, peer);

	rule->ports = copy_ports(arena, &allow->ports);
	rule->mark = copy_mark(arena, allow->mark);
}

static void add_ingress(struct expansion *expansion, const struct tenant *tenant)
{
	struct arena *arena = &expansion->world->arena;
	struct rules rules = { 0 };

	add_rule(expansion, &rules, arena_printf(arena, "%s: same tenant", tenant->name), ACTION_ALLOW, select_tenant(arena, tenant->name));
	for (size_t i = 0; i < tenant->allow_n; i++)
		if (!tenant->allow[i].to)
			add_flow(expansion, &rules, tenant, &tenant->allow[i], "from", tenant->allow[i].tenant, select_tenant(arena, tenant->allow[i].tenant));
	add_policy(expansion, arena_printf(arena, "%s in", tenant->name), TIER_TENANT, DIRECTION_INGRESS, select_tenant(arena, tenant->name), &rules);
}

/* What receivers let this tenant do: their word suffices, so the sender's side follows. */
static void add_welcomes(struct expansion *expansion, const struct tenant *tenant, struct rules *rules)
{
	vec_each(&expansion->intent->tenants, receiver)
		for (size_t i = 0; i < receiver->allow_n; i++)
			if (!receiver->allow[i].to && receiver != tenant && streq(receiver->allow[i].tenant, tenant->name))
				add_flow(expansion, rules, receiver, &receiver->allow[i], "from", tenant->name, select_tenant(&expansion->world->arena, receiver->name));
}

static int add_egress(struct expansion *expansion, const struct tenant *tenant)
{
	struct arena *arena = &expansion->world->arena;
	struct rules rules = { 0 };

	add_rule(expansion, &rules, arena_printf(arena, "%s: same tenant", tenant->name), ACTION_ALLOW, select_tenant(arena, tenant->name));
	add_welcomes(expansion, tenant, &rules);
	for (size_t i = 0; i < tenant->allow_n; i++) {
		const struct allow *allow = &tenant->allow[i];
		struct prefix prefix;

		if (allow->peer == PEER_INTERNET) {
			add_flow(expansion, &rules, tenant, allow, "to", "internet", (struct selector){ .kind = SELECT_INTERNET });
		} else if (allow->peer == PEER_CIDR) {
			if (prefix_parse(allow->cidr, &prefix, expansion->err) < 0) {
				vec_clear(&rules.items);
				return -1;
			}
			add_flow(expansion, &rules, tenant, allow, "to", allow->cidr, select_beyond_pool(expansion, &prefix));
		}
	}
	add_policy(expansion, arena_printf(arena, "%s out", tenant->name), TIER_TENANT, DIRECTION_EGRESS, select_tenant(arena, tenant->name), &rules);
	return 0;
}

/* The host leads whoever reaches it to the service; so its port is open to hosts and to what is not ours. */
static void add_published(struct expansion *expansion, const struct workload *workload)
{
	struct arena *arena = &expansion->world->arena;
	struct selector applies = { .kind = SELECT_LABELS, .labels = { arena_array(arena, 2, sizeof(struct label)), 2 } };
	struct prefix everything = { { AF_INET, { 0 } }, 0 };
	const struct service *service = workload->service;
	struct rules rules = { 0 };
	struct rule *rule;
	const char *name;

	applies.labels.items[0] = (struct label){ "tenant", arena_intern(arena, workload->tenant) };
	applies.labels.items[1] = (struct label){ "workload", arena_intern(arena, workload->name) };
	name = arena_printf(arena, "%s/%s: published %s/%u", workload->tenant, workload->name, protocol_name(service->protocol), service->port);
	rule = add_rule(expansion, &rules, name, ACTION_ALLOW, (struct selector){ .kind = SELECT_HOSTS });
	rule->peers = arena_array(arena, 2, sizeof(*rule->peers));
	rule->peers[0] = (struct selector){ .kind = SELECT_HOSTS };
	rule->peers[1] = select_beyond_pool(expansion, &everything);
	rule->peer_n = 2;
	rule->ports = one_range(arena, service->protocol, service->port, service->port);
	rule->mark = copy_mark(arena, workload->mark);
	add_policy(expansion, arena_printf(arena, "%s/%s published", workload->tenant, workload->name), TIER_TENANT, DIRECTION_INGRESS, applies, &rules);
}

int expand_policies(struct expansion *expansion)
{
	struct world *world = expansion->world;

	for (size_t i = 0; i < expansion->intent->tenants.n; i++) {
		const struct tenant *tenant = &expansion->intent->tenants.items[i];

		add_wall(expansion, tenant, &world->links.items[i + 1]);
		add_ingress(expansion, tenant);
		if (add_egress(expansion, tenant) < 0)
			return -1;
	}
	vec_each(&expansion->intent->workloads, workload)
		if (workload->service && workload->service->publish_address)
			add_published(expansion, workload);
	return 0;
}
