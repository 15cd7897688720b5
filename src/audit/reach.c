/* SPDX-License-Identifier: Apache-2.0 */
#include "reach.h"

#include <arpa/inet.h>
#include <stdio.h>

struct known_prefix { int family; uint8_t bytes[16]; uint8_t length; };

/* IPv4: what is not public unicast (RFC 6890 and its registry, RFC 5771, RFC 1112). */
static const struct known_prefix not_public4[] = {
	{ AF_INET, { 0 }, 8 }, { AF_INET, { 10 }, 8 }, { AF_INET, { 100, 64 }, 10 }, { AF_INET, { 127 }, 8 },
	{ AF_INET, { 169, 254 }, 16 }, { AF_INET, { 172, 16 }, 12 }, { AF_INET, { 192, 0, 0 }, 24 }, { AF_INET, { 192, 0, 2 }, 24 },
	{ AF_INET, { 192, 88, 99 }, 24 }, { AF_INET, { 192, 168 }, 16 }, { AF_INET, { 198, 18 }, 15 }, { AF_INET, { 198, 51, 100 }, 24 },
	{ AF_INET, { 203, 0, 113 }, 24 }, { AF_INET, { 224 }, 4 }, { AF_INET, { 240 }, 4 },
};

/* IPv6: only 2000::/3 is global unicast (RFC 4291), and of it not protocol assignments, documentation and 6to4, which carries IPv4 addresses. */
static const struct known_prefix public6 = { AF_INET6, { 0x20 }, 3 };
static const struct known_prefix not_public6[] = {
	{ AF_INET6, { 0x20, 0x01, 0x00 }, 23 }, { AF_INET6, { 0x20, 0x01, 0x0d, 0xb8 }, 32 },
	{ AF_INET6, { 0x20, 0x02 }, 16 }, { AF_INET6, { 0x3f, 0xff }, 20 },
};

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	if (memcmp(a, b, bits / 8) != 0)
		return false;
	if (bits % 8 == 0)
		return true;
	uint8_t mask = (uint8_t)(0xff << (8 - bits % 8));
	return (a[bits / 8] & mask) == (b[bits / 8] & mask);
}

static bool within_known(const struct address *address, const struct known_prefix *known, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (known[i].family == address->family && bits_equal(address->bytes, known[i].bytes, known[i].length))
			return true;
	return false;
}

bool address_within(const struct address *address, const struct prefix *prefix)
{
	return address->family == prefix->address.family && bits_equal(address->bytes, prefix->address.bytes, prefix->length);
}

bool address_is_public(const struct address *address)
{
	if (address->family == AF_INET)
		return !within_known(address, not_public4, ARRAY_LEN(not_public4));
	return within_known(address, &public6, 1) && !within_known(address, not_public6, ARRAY_LEN(not_public6));
}

uint32_t reach_endpoint_of(const struct world *world, const struct address *address)
{
	for (size_t i = 0; i < world->endpoints.n; i++)
		for (size_t k = 0; k < world->endpoints.items[i].address_n; k++)
			if (address_equal(&world->endpoints.items[i].addresses[k], address))
				return (uint32_t)i;
	return WORLD_NONE;
}

const struct address *reach_address_of(const struct world *world, uint32_t endpoint, int family)
{
	const struct endpoint *e = &world->endpoints.items[endpoint];

	for (size_t i = 0; i < e->address_n; i++)
		if (e->addresses[i].family == family)
			return &e->addresses[i];
	return NULL;
}

const char *protocol_text(enum protocol protocol)
{
	switch (protocol) {
	case PROTOCOL_ANY: return "any";
	case PROTOCOL_TCP: return "tcp";
	case PROTOCOL_UDP: return "udp";
	case PROTOCOL_ICMP: return "icmp";
	case PROTOCOL_ICMPV6: return "icmpv6";
	}
	return "unknown protocol";
}

static bool has_labels(const struct endpoint *endpoint, const struct labels *wanted)
{
	for (size_t i = 0; i < wanted->n; i++) {
		bool found = false;

		for (size_t k = 0; k < endpoint->labels.n && !found; k++)
			found = streq(endpoint->labels.items[k].key, wanted->items[i].key) &&
				streq(endpoint->labels.items[k].value, wanted->items[i].value);
		if (!found)
			return false;
	}
	return true;
}

bool selector_matches(const struct world *world, const struct selector *selector, uint32_t endpoint, const struct address *address)
{
	const struct endpoint *e = endpoint == WORLD_NONE ? NULL : &world->endpoints.items[endpoint];

	switch (selector->kind) {
	case SELECT_ALL:
		return true;
	case SELECT_LABELS:
		return e && e->kind == ENDPOINT_INSTANCE && has_labels(e, &selector->labels);
	case SELECT_PREFIX:
		if (!address || !address_within(address, &selector->prefix))
			return false;
		for (size_t i = 0; i < selector->except_n; i++)
			if (address_within(address, &selector->except[i]))
				return false;
		return true;
	case SELECT_INTERNET:
		return address && address_is_public(address);
	case SELECT_METADATA:
		return address && address_is_metadata(address);
	case SELECT_HOSTS:
		return e && (e->kind == ENDPOINT_HOST || e->kind == ENDPOINT_GATEWAY);
	}
	return false;
}

bool port_ranges_match(const struct port_ranges *ports, enum protocol protocol, uint16_t port)
{
	bool has_ports = protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP;

	if (ports->n == 0)
		return true;
	for (size_t i = 0; i < ports->n; i++) {
		const struct port_range *range = &ports->items[i];

		if (range->protocol != PROTOCOL_ANY && range->protocol != protocol)
			continue;
		if (has_ports ? port >= range->first && port <= range->last
			      : range->protocol == protocol || (range->first <= 1 && range->last == UINT16_MAX))
			return true;
	}
	return false;
}

/* Does policy `a` come before `b`? Tier, then priority, then the order in the world. */
static bool comes_before(const struct world *world, size_t a, size_t b)
{
	const struct policy *pa = &world->policies.items[a], *pb = &world->policies.items[b];

	if (pa->tier != pb->tier)
		return pa->tier < pb->tier;
	if (pa->priority != pb->priority)
		return pa->priority < pb->priority;
	return a < b;
}

/* The policy that is asked after `last` (WORLD_NONE: the first one), among those of a direction that select the endpoint. */
static uint32_t next_policy(const struct world *world, enum direction direction, uint32_t endpoint, const struct address *own, uint32_t last)
{
	uint32_t best = WORLD_NONE;

	for (uint32_t i = 0; i < world->policies.n; i++) {
		const struct policy *policy = &world->policies.items[i];

		if (policy->direction != direction || !selector_matches(world, &policy->applies, endpoint, own))
			continue;
		if (last != WORLD_NONE && !comes_before(world, last, i))
			continue;
		if (best == WORLD_NONE || comes_before(world, i, best))
			best = i;
	}
	return best;
}

static const struct rule *first_match(const struct world *world, const struct policy *policy, uint32_t peer,
				      const struct address *peer_address, const struct packet *packet)
{
	for (size_t i = 0; i < policy->rule_n; i++) {
		const struct rule *rule = &policy->rules[i];

		if (!port_ranges_match(&rule->ports, packet->protocol, packet->port))
			continue;
		for (size_t k = 0; k < rule->peer_n; k++)
			if (selector_matches(world, &rule->peers[k], peer, peer_address))
				return rule;
	}
	return NULL;
}

static const char *name_of(const struct world *world, uint32_t endpoint, const struct address *address, char text[static INET6_ADDRSTRLEN])
{
	if (endpoint != WORLD_NONE)
		return world->endpoints.items[endpoint].name;
	if (!address || !inet_ntop(address->family, address->bytes, text, INET6_ADDRSTRLEN))
		snprintf(text, INET6_ADDRSTRLEN, "an unknown address");
	return text;
}

/* One end's word: its policies of one direction, asked about the other end. */
static void ask_policies(const struct world *world, enum direction direction, uint32_t endpoint, const struct address *own,
			 uint32_t peer, const struct address *peer_address, const struct packet *packet, struct verdict *verdict)
{
	const struct policy *isolating = NULL;
	int64_t passed_tier = -1;	/* a `pass` ended this tier */
	char text[INET6_ADDRSTRLEN];

	for (uint32_t i = next_policy(world, direction, endpoint, own, WORLD_NONE); i != WORLD_NONE;
	     i = next_policy(world, direction, endpoint, own, i)) {
		const struct policy *policy = &world->policies.items[i];

		if (policy->isolates && !isolating)
			isolating = policy;
		if (policy->tier == passed_tier)
			continue;
		const struct rule *rule = first_match(world, policy, peer, peer_address, packet);
		if (!rule)
			continue;
		if (rule->action == ACTION_PASS) {
			passed_tier = policy->tier;
			continue;
		}
		verdict->allowed = rule->action == ACTION_ALLOW;
		verdict->reason = REACH_RULE;
		verdict->direction = direction;
		verdict->policy = policy;
		verdict->rule = rule;
		snprintf(verdict->text, sizeof(verdict->text), "%s by rule \"%s\"", verdict->allowed ? "allowed" : "denied", rule->name);
		return;
	}
	if (!isolating)
		return;		/* nothing said: as it was */
	verdict->allowed = false;
	verdict->reason = REACH_ISOLATED;
	verdict->direction = direction;
	verdict->policy = isolating;
	verdict->rule = NULL;
	snprintf(verdict->text, sizeof(verdict->text), "denied: no rule of %s allows %s %s %s/%u",
		 world->endpoints.items[endpoint].name, direction == DIRECTION_INGRESS ? "from" : "to",
		 name_of(world, peer, peer_address, text), protocol_text(packet->protocol), packet->port);
}

static const struct port *port_of(const struct world *world, uint32_t endpoint)
{
	if (endpoint == WORLD_NONE || world->endpoints.items[endpoint].port == WORLD_NONE)
		return NULL;
	return &world->ports.items[world->endpoints.items[endpoint].port];
}

static bool may_use_source(const struct world *world, uint32_t endpoint, const struct port *port, const struct address *source)
{
	const struct endpoint *e = &world->endpoints.items[endpoint];

	for (size_t i = 0; i < port->allowed_n; i++)
		if (address_equal(&port->allowed[i], source))
			return true;
	for (size_t i = 0; i < e->address_n && port->allowed_n == 0; i++)
		if (address_equal(&e->addresses[i], source))
			return true;
	return false;
}

static bool is_above(const struct world *world, uint32_t link, uint32_t of)
{
	size_t steps = 0;

	for (; of != WORLD_NONE && steps <= world->links.n; of = world->links.items[of].parent, steps++)
		if (of == link)
			return true;
	return false;
}

/*
 * The first link that is too small, from the endpoint's own link up; what a child adds (overhead) makes the packet larger for
 * its parent. It climbs until a link that is also above (or is) the other end's: there the packet turns down, without crossing
 * that link itself unless it is the one both ends sit on.
 */
static const struct link *link_too_small(const struct world *world, uint32_t link, uint32_t other, int64_t size)
{
	size_t steps = 0;

	for (uint32_t at = link; at != WORLD_NONE && steps <= world->links.n; at = world->links.items[at].parent, steps++) {
		const struct link *l = &world->links.items[at];

		if (at != link && other != WORLD_NONE && is_above(world, at, other))
			return NULL;
		if (size > l->mtu)
			return l;
		if (at == other)
			return NULL;
		size += l->overhead;
	}
	return NULL;
}

static bool too_large(const struct world *world, uint32_t from, uint32_t to, const struct packet *packet, struct verdict *verdict)
{
	const struct port *sender = port_of(world, from), *receiver = port_of(world, to);
	uint32_t a = sender ? sender->link : WORLD_NONE, b = receiver ? receiver->link : WORLD_NONE;
	const struct link *small = link_too_small(world, a, b, packet->size);

	if (!small && a != b)
		small = link_too_small(world, b, a, packet->size);
	if (!small)
		return false;
	verdict->allowed = false;
	verdict->reason = REACH_TOO_LARGE;
	snprintf(verdict->text, sizeof(verdict->text), "denied: %lld bytes do not fit %s, whose MTU is %lld",
		 (long long)packet->size, small->name, (long long)small->mtu);
	return true;
}

static const struct publication *publication_of(const struct world *world, const struct packet *packet, uint32_t to, const struct address *destination)
{
	bool to_host = to != WORLD_NONE && world->endpoints.items[to].kind == ENDPOINT_HOST;

	for (size_t i = 0; i < world->publications.n; i++) {
		const struct publication *p = &world->publications.items[i];
		const uint8_t zero[16] = { 0 };
		bool wildcard = memcmp(p->address.bytes, zero, sizeof(zero)) == 0;

		if (p->protocol != packet->protocol || p->port != packet->port || p->address.family != destination->family)
			continue;
		if (wildcard ? to_host : address_equal(&p->address, destination))
			return p;
	}
	return NULL;
}

static struct verdict no(enum reach_reason reason, const char *text)
{
	struct verdict verdict = { .allowed = false, .reason = reason };

	snprintf(verdict.text, sizeof(verdict.text), "%s", text);
	return verdict;
}

struct verdict reach_evaluate(const struct world *world, const struct packet *packet)
{
	struct verdict verdict = { .allowed = true, .reason = REACH_NOTHING_AGAINST, .text = "allowed: no policy is about it" };
	const struct address *own = packet->from == WORLD_NONE ? NULL : reach_address_of(world, packet->from, packet->family);
	const struct address *source = packet->source.family ? &packet->source : own;
	const struct address *destination = packet->destination.family ? &packet->destination
		: packet->to == WORLD_NONE ? NULL : reach_address_of(world, packet->to, packet->family);
	const struct port *sender = port_of(world, packet->from);

	if (packet->family == AF_INET6 && !world->ipv6)
		return no(REACH_IPV6_OFF, "denied: IPv6 is off");
	if (!source || !destination)
		return no(REACH_NO_ADDRESS, "denied: one end has no address of this family");
	if (sender && sender->security && packet->mac && memcmp(packet->mac, sender->mac, 6) != 0)
		return no(REACH_SPOOFED_MAC, "denied: a hardware address that is not the sender's own");
	if (sender && sender->security && !may_use_source(world, packet->from, sender, source))
		return no(REACH_SPOOFED_ADDRESS, "denied: a source address that is not the sender's own");

	uint32_t to = packet->to != WORLD_NONE ? packet->to : reach_endpoint_of(world, destination);
	if (packet->dont_fragment && too_large(world, packet->from, to, packet, &verdict))
		return verdict;
	if (packet->from != WORLD_NONE && (!sender || sender->security)) {
		ask_policies(world, DIRECTION_EGRESS, packet->from, own, to, destination, packet, &verdict);
		if (!verdict.allowed)
			return verdict;
	}
	const struct publication *publication = publication_of(world, packet, to, destination);
	if (publication) {
		verdict.reason = REACH_PUBLISHED;
		verdict.policy = NULL;
		verdict.rule = NULL;
		snprintf(verdict.text, sizeof(verdict.text), "allowed: %s/%s is published there", publication->tenant, publication->workload);
		return verdict;
	}
	const struct port *receiver = port_of(world, to);
	if (to != WORLD_NONE && (!receiver || receiver->security)) {
		/* the receiver sees only the address that the packet bears; a machine without a port may bear more than the world knows */
		bool itself = packet->from != WORLD_NONE && (!sender || !packet->source.family);
		uint32_t seen = itself ? packet->from : reach_endpoint_of(world, source);
		ask_policies(world, DIRECTION_INGRESS, to, destination, seen, source, packet, &verdict);
	}
	return verdict;
}

struct verdict reach_evaluate_answer(const struct world *world, const struct packet *packet)
{
	struct verdict verdict = reach_evaluate(world, packet);
	char text[sizeof(verdict.text)];

	snprintf(text, sizeof(text), "%s", verdict.text);
	snprintf(verdict.text, sizeof(verdict.text), "%s: its question was %.200s",
		 verdict.allowed ? "allowed" : "denied", text);
	return verdict;
}
