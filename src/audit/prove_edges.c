/* SPDX-License-Identifier: Apache-2.0 */
/* The probes to outside, with forged sources, and at the edge of the MTU. */
#include "prove_internal.h"

#include "base/rng.h"

static const struct address public_address = { AF_INET, { 9, 9, 9, 9 } };
static const struct address metadata_address = { AF_INET, { 169, 254, 169, 254 } };
static const struct address private_addresses[] = {
	{ AF_INET, { 10, 255, 254, 253 } }, { AF_INET, { 172, 31, 254, 253 } }, { AF_INET, { 192, 168, 254, 253 } }, { AF_INET, { 100, 127, 254, 253 } },
};

/* Outside begins at the host's end of the uplink: what is seen there has left the tenants' world. It goes no further: its TTL ends there. */
static void add_outside(struct scene *scene, const struct subject *s, enum prove_topic topic, const struct address *to, enum protocol protocol, uint16_t port, const char *what)
{
	struct packet packet = { .family = AF_INET, .from = s->endpoints[0], .to = WORLD_NONE, .destination = *to, .protocol = protocol, .port = port };

	prove_add(scene, s->taps[0], &(struct trial){ .topic = topic, .what = what }, &packet, &(struct probe){ .at = scene->host_tap });
}

/* tcp and udp on the ports that rules about such addresses name, one that none names, and an echo request */
static void add_outside_ports(struct scene *scene, const struct subject *s, enum prove_topic topic, const struct address *to, const char *what)
{
	struct rng rng;

	rng_seed(&rng, scene->options->seed ^ hash_bytes(to->bytes, 4) ^ hash_bytes(s->tenant, strlen(s->tenant)));
	vec_each(&scene->hints, h)
		add_outside(scene, s, topic, to, h->protocol, h->port, what);
	add_outside(scene, s, topic, to, PROTOCOL_TCP, 80, what);
	add_outside(scene, s, topic, to, PROTOCOL_UDP, (uint16_t)(1024 + rng_below(&rng, 60000)), what);
	add_outside(scene, s, topic, to, PROTOCOL_ICMP, 0, what);
}

static struct address neighbour(const struct address *address, int step)
{
	return address_from_ipv4(address_ipv4(address) + (uint32_t)step);
}

static struct address last_of(const struct prefix *prefix)
{
	return prefix_address(prefix, prefix->length == 0 ? UINT32_MAX : (uint32_t)(((uint64_t)1 << (32 - prefix->length)) - 1));
}

static bool is_outside(const struct scene *scene, const struct address *address)
{
	if (address->bytes[0] == 127 || address->bytes[0] >= 224 || address->bytes[0] == 0)
		return false;		/* no router forwards these */
	vec_each(&scene->host_addresses, h)
		if (address_equal(&h->address, address))
			return false;
	vec_each(&scene->router_addresses, r) {
		struct prefix prefix = prefix_of(&r->address, r->length);
		if (prefix_contains(&prefix, address))
			return false;
	}
	return reach_endpoint_of(scene->world, address) == WORLD_NONE;
}

/* The first and last address of a declared range, and those just beside it. */
static void queue_ranges(struct scene *scene, const struct subject *s)
{
	vec_each(&scene->world->policies, policy)
		for (size_t r = 0; policy->direction == DIRECTION_EGRESS && r < policy->rule_n; r++)
			for (size_t k = 0; k < policy->rules[r].peer_n; k++) {
				const struct selector *peer = &policy->rules[r].peers[k];
				if (peer->kind != SELECT_PREFIX || peer->prefix.address.family != AF_INET || peer->prefix.length < 8)
					continue;
				struct address last = last_of(&peer->prefix);
				struct address tries[] = { peer->prefix.address, last, neighbour(&peer->prefix.address, -1), neighbour(&last, 1) };
				for (size_t i = 0; i < ARRAY_LEN(tries); i++)
					if (is_outside(scene, &tries[i]))
						add_outside_ports(scene, s, PROVE_CIDR, &tries[i], i < 2 ? "inside a declared range" : "beside a declared range");
			}
}

void prove_queue_outside(struct scene *scene)
{
	if (scene->host_tap == WORLD_NONE)
		return;
	vec_each(&scene->subjects, s) {
		add_outside_ports(scene, s, PROVE_METADATA, &metadata_address, NULL);
		add_outside_ports(scene, s, PROVE_INTERNET, &public_address, NULL);
		for (size_t i = 0; i < ARRAY_LEN(private_addresses); i++)
			if (is_outside(scene, &private_addresses[i]))
				add_outside_ports(scene, s, PROVE_PRIVATE, &private_addresses[i], NULL);
		queue_ranges(scene, s);
	}
}

static void add_forged(struct scene *scene, const struct subject *s, const struct packet *packet, const char *to, const char *what)
{
	prove_add(scene, s->taps[0], &(struct trial){ .topic = PROVE_SPOOFING, .to = to, .what = what }, packet, &(struct probe){ .at = WIRE_ANYWHERE });
}

/* As somebody who may: for each other pair (x may reach y on a port), s sends to y with x's address. */
static void queue_forged_flows(struct scene *scene, const struct subject *s)
{
	vec_each(&scene->subjects, x)
		vec_each(&scene->subjects, y) {
			if (x == s || y == s || x == y)
				continue;
			vec_each(&scene->hints, h) {
				struct packet packet = { .family = AF_INET, .from = x->endpoints[0], .to = y->endpoints[0], .protocol = h->protocol, .port = h->port };
				if (!reach_evaluate(scene->world, &packet).allowed)
					continue;
				packet.from = s->endpoints[0];
				packet.source = scene->wire.taps.items[x->taps[0]].address;
				add_forged(scene, s, &packet, NULL, prove_print(scene, "source address of %s", prove_endpoint_name(scene, x->endpoints[0])));
				break;
			}
		}
}

static void add_forged_arp(struct scene *scene, const struct subject *s, const struct address *claimed, const char *whose)
{
	struct packet packet = { .family = AF_INET, .from = s->endpoints[0], .source = *claimed, .to = s->gateway, .destination = s->gateway_address, .protocol = PROTOCOL_UDP };
	struct probe probe = { .at = WIRE_ANYWHERE, .arp = true };

	memcpy(probe.frame_from, scene->wire.taps.items[s->taps[0]].mac, 6);
	prove_add(scene, s->taps[0], &(struct trial){ .topic = PROVE_SPOOFING, .to = "its network", .what = prove_print(scene, "ARP claims the address of %s", whose) }, &packet, &probe);
	scene->report->rows.items[scene->report->rows.n - 1].protocol = "arp";
}

/* An echo request to the own gateway, which passes with the own address, in a frame with another one. */
static void add_forged_mac(struct scene *scene, const struct subject *s)
{
	const struct tap *tap = &scene->wire.taps.items[s->taps[0]];
	struct probe probe = { .at = WIRE_ANYWHERE, .frame = true };
	uint8_t mac[6];

	memcpy(mac, tap->mac, 6);
	mac[5] ^= 0x55;
	memcpy(probe.frame_from, mac, 6);
	memcpy(probe.frame_to, s->gateway_mac, 6);
	struct packet packet = { .family = AF_INET, .from = s->endpoints[0], .mac = mac, .to = s->gateway, .destination = s->gateway_address, .protocol = PROTOCOL_ICMP };
	prove_add(scene, s->taps[0], &(struct trial){ .topic = PROVE_SPOOFING, .to = prove_print(scene, "the gateway of %s", s->tenant), .what = "another hardware address" }, &packet, &probe);
}

void prove_queue_spoofing(struct scene *scene)
{
	vec_each(&scene->subjects, s) {
		uint32_t peer = s->endpoints[1];
		struct address unused = neighbour(&scene->wire.taps.items[s->taps[0]].address, 40);

		queue_forged_flows(scene, s);
		if (!s->gateway_address.family)
			continue;
		struct packet to_gateway = { .family = AF_INET, .from = s->endpoints[0], .source = unused, .to = s->gateway, .destination = s->gateway_address, .protocol = PROTOCOL_ICMP };
		add_forged(scene, s, &to_gateway, prove_print(scene, "the gateway of %s", s->tenant), "an address that nobody has");
		if (peer != WORLD_NONE) {
			struct packet to_peer = { .family = AF_INET, .from = s->endpoints[0], .source = s->gateway_address, .to = peer, .protocol = PROTOCOL_UDP, .port = 9 };
			add_forged(scene, s, &to_peer, NULL, "source address of the gateway");
			add_forged_arp(scene, s, &scene->wire.taps.items[s->taps[1]].address, prove_endpoint_name(scene, peer));
		}
		add_forged_arp(scene, s, &s->gateway_address, "the gateway");
		if (s->gateway_mac_known)
			add_forged_mac(scene, s);
	}
}

/* The largest packet that the file's world lets through to the destination, and one byte more. */
static void add_edge(struct scene *scene, uint32_t tap, struct packet packet, const char *to, struct probe probe)
{
	int64_t fits = 68, too_large = 65001;		/* every IPv4 link takes 68 bytes (RFC 791) */

	packet.dont_fragment = true;
	while (too_large - fits > 1) {
		packet.size = (fits + too_large) / 2;
		if (reach_evaluate(scene->world, &packet).reason == REACH_TOO_LARGE)
			too_large = packet.size;
		else
			fits = packet.size;
	}
	if (fits == 65000)
		return;		/* no link on the way has an MTU */
	packet.size = fits;
	for (int i = 0; i < 2; i++, packet.size++) {
		struct trial trial = { .topic = PROVE_MTU, .to = to, .what = prove_print(scene, "%lld bytes, do not fragment", (long long)packet.size) };
		prove_add(scene, tap, &trial, &packet, &probe);
	}
}

void prove_queue_mtu(struct scene *scene)
{
	vec_each(&scene->subjects, s) {
		if (s->gateway_address.family) {
			struct packet packet = { .family = AF_INET, .from = s->endpoints[0], .to = s->gateway, .destination = s->gateway_address, .protocol = PROTOCOL_ICMP };
			add_edge(scene, s->taps[0], packet, prove_print(scene, "the gateway of %s", s->tenant), (struct probe){ .by_answer = true, .need_answer = true });
		}
		if (s->endpoints[1] != WORLD_NONE) {
			struct packet packet = { .family = AF_INET, .from = s->endpoints[0], .to = s->endpoints[1], .protocol = PROTOCOL_ICMP };
			add_edge(scene, s->taps[0], packet, NULL, (struct probe){ .at = s->taps[1], .need_answer = true });
		}
		vec_each(&scene->subjects, other)
			vec_each(&scene->hints, h) {
				struct packet packet = { .family = AF_INET, .from = s->endpoints[0], .to = other->endpoints[0], .protocol = h->protocol, .port = h->port };
				if (other == s || !reach_evaluate(scene->world, &packet).allowed)
					continue;
				add_edge(scene, s->taps[0], packet, NULL, (struct probe){ .at = other->taps[0] });
				break;
			}
	}
}
