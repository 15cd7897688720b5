/* SPDX-License-Identifier: Apache-2.0 */
/* The probes between instances, to the gateways and the host, and from the host. */
#include "prove_internal.h"

#include "base/rng.h"

#include <ctype.h>
#include <stdlib.h>

static void add_hint(struct scene *scene, enum protocol protocol, unsigned long port)
{
	if (port < 1 || port > UINT16_MAX || scene->hints.n >= PROVE_HINTS_MAX)
		return;
	vec_each(&scene->hints, h)
		if (h->protocol == protocol && h->port == port)
			return;
	vec_push(&scene->hints, ((struct port_hint){ protocol, (uint16_t)port }));
}

static void hint_range(struct scene *scene, const struct port_range *range)
{
	static const enum protocol both[] = { PROTOCOL_TCP, PROTOCOL_UDP };

	if (range->first <= 1 && range->last == UINT16_MAX)
		return;		/* every port: the sample will do */
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		if (range->protocol != PROTOCOL_ANY && range->protocol != both[i])
			continue;
		add_hint(scene, both[i], range->first);
		add_hint(scene, both[i], range->last);
		if (range->first != range->last) {	/* beside the range, where an error by one would show */
			add_hint(scene, both[i], ((unsigned long)range->first + range->last) / 2);
			add_hint(scene, both[i], (unsigned long)range->first - 1);
			add_hint(scene, both[i], (unsigned long)range->last + 1);
		}
	}
}

static void hint_world(struct scene *scene, const struct world *world)
{
	vec_each(&world->policies, policy)
		for (size_t r = 0; r < policy->rule_n; r++)
			for (size_t i = 0; i < policy->rules[r].ports.n; i++)
				hint_range(scene, &policy->rules[r].ports.items[i]);
	vec_each(&world->publications, p)
		if (p->protocol == PROTOCOL_TCP || p->protocol == PROTOCOL_UDP)
			add_hint(scene, p->protocol, p->target_port);
}

/* "tcp/8501" and "udp/5000-5100" anywhere in the text of a body. */
static void hint_text(struct scene *scene, const char *text)
{
	for (const char *at = text; (at = strchr(at, '/')); at++) {
		enum protocol protocol = at - text < 3 ? PROTOCOL_ANY : strncmp(at - 3, "tcp", 3) == 0 ? PROTOCOL_TCP : strncmp(at - 3, "udp", 3) == 0 ? PROTOCOL_UDP : PROTOCOL_ANY;
		char *end;

		if (protocol == PROTOCOL_ANY || !isdigit((unsigned char)at[1]))
			continue;
		unsigned long first = strtoul(at + 1, &end, 10), last = first;
		if (*end == '-' && isdigit((unsigned char)end[1]))
			last = strtoul(end + 1, &end, 10);
		add_hint(scene, protocol, first);
		add_hint(scene, protocol, last);
	}
}

/* "tcp dport 7777 accept", "udp dport { 53, 5000-5100 }": a rule that somebody added by hand, in the words of a firewall. */
static void hint_rule(struct scene *scene, const char *text)
{
	for (const char *at = text; (at = strstr(at, "dport ")); at++) {
		bool tcp = at - text >= 4 && strncmp(at - 4, "tcp ", 4) == 0, udp = at - text >= 4 && strncmp(at - 4, "udp ", 4) == 0;
		const char *digits = at + 6;

		for (int n = 0; n < 32 && *(digits += strspn(digits, "{ ,-")) && isdigit((unsigned char)*digits); n++) {
			char *end;
			unsigned long port = strtoul(digits, &end, 10);

			if (tcp || !udp)
				add_hint(scene, PROTOCOL_TCP, port);
			if (udp || !tcp)
				add_hint(scene, PROTOCOL_UDP, port);
			digits = end;
		}
	}
}

static void hint_json(struct scene *scene, const json_t *json, int depth)
{
	const char *key;
	json_t *value;
	size_t i;

	if (depth > 16)
		return;
	if (json_is_string(json)) {
		hint_text(scene, json_string_value(json));
		hint_rule(scene, json_string_value(json));
	}
	json_array_foreach((json_t *)(uintptr_t)json, i, value)
		hint_json(scene, value, depth + 1);
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
		hint_json(scene, value, depth + 1);
}

/* Ports that the file or the live rules speak of; each pair is tried on all of them. What is live and not in the file comes first. */
void prove_collect_hints(struct scene *scene)
{
	const struct prove_options *options = scene->options;

	if (options->live)
		hint_world(scene, options->live);
	for (size_t i = 0; options->actual && i < options->actual->n; i++)
		hint_json(scene, options->actual->items[i]->body, 0);
	hint_world(scene, scene->world);
	if (scene->hints.n == PROVE_HINTS_MAX)
		prove_skip(scene, "ports", "more than %d ports are spoken of: the first ones are tried for each pair", PROVE_HINTS_MAX);
}

static uint32_t tap_of(const struct scene *scene, uint32_t endpoint)
{
	vec_each(&scene->subjects, s)
		for (int i = 0; i < 2; i++)
			if (s->endpoints[i] == endpoint && endpoint != WORLD_NONE)
				return s->taps[i];
	return WORLD_NONE;
}

static void add_flow(struct scene *scene, enum prove_topic topic, uint32_t from, uint32_t to, enum protocol protocol, uint16_t port, const char *what)
{
	struct packet packet = { .family = AF_INET, .from = from, .to = to, .protocol = protocol, .port = port };
	struct probe probe = { .at = tap_of(scene, to), .need_answer = protocol != PROTOCOL_UDP };

	prove_add(scene, tap_of(scene, from), &(struct trial){ .topic = topic, .what = what }, &packet, &probe);
}

/* The address that a link forms from its hardware address (RFC 4291, appendix A). */
static struct address link_local(const uint8_t mac[6])
{
	struct address a = { .family = AF_INET6, .bytes = { 0xfe, 0x80 } };

	a.bytes[8] = mac[0] ^ 2;
	a.bytes[9] = mac[1];
	a.bytes[10] = mac[2];
	a.bytes[11] = 0xff;
	a.bytes[12] = 0xfe;
	a.bytes[13] = mac[3];
	a.bytes[14] = mac[4];
	a.bytes[15] = mac[5];
	return a;
}

/* IPv6 as frames, past the sender's own stack, which may know no IPv6. With addresses where the world has them, else link-local ones. */
static void add_flow6(struct scene *scene, enum prove_topic topic, const struct subject *subject, uint32_t from, uint32_t to, bool same_link, enum protocol protocol, uint16_t port)
{
	uint32_t sender = tap_of(scene, from), receiver = tap_of(scene, to);
	const struct address *own = reach_address_of(scene->world, from, AF_INET6), *other = reach_address_of(scene->world, to, AF_INET6);
	const uint8_t *next_mac = same_link ? scene->wire.taps.items[receiver].mac : subject->gateway_mac;
	struct packet packet = { .family = AF_INET6, .from = from, .to = to, .protocol = protocol, .port = port };
	struct probe probe = { .at = receiver, .frame = true, .need_answer = protocol != PROTOCOL_UDP };

	packet.source = own ? *own : link_local(scene->wire.taps.items[sender].mac);
	packet.destination = other ? *other : link_local(scene->wire.taps.items[receiver].mac);
	memcpy(probe.frame_from, scene->wire.taps.items[sender].mac, 6);
	memcpy(probe.frame_to, next_mac, 6);
	prove_add(scene, sender, &(struct trial){ .topic = topic, .what = own ? NULL : "frame with a link-local source" }, &packet, &probe);
}

/* To all nodes of the link: seen by any instance but the sender, it leaked. */
static void add_multicast6(struct scene *scene, uint32_t from)
{
	uint32_t sender = tap_of(scene, from);
	struct packet packet = { .family = AF_INET6, .from = from, .to = WORLD_NONE, .protocol = PROTOCOL_ICMPV6,
				 .destination = { AF_INET6, { 0xff, 0x02, [15] = 1 } } };
	struct probe probe = { .at = WIRE_INSTANCES, .frame = true, .frame_to = { 0x33, 0x33, 0, 0, 0, 1 } };

	packet.source = link_local(scene->wire.taps.items[sender].mac);
	memcpy(probe.frame_from, scene->wire.taps.items[sender].mac, 6);
	prove_add(scene, sender, &(struct trial){ .topic = PROVE_WITHIN, .what = "to all nodes of the link" }, &packet, &probe);
}

static uint16_t sampled_port(struct rng *rng)
{
	return (uint16_t)(1024 + rng_below(rng, 65536 - 1024));
}

/* The undeclared ports of a pair follow from the seed and the two names alone: the same each run, whatever else the file holds. */
static void seed_pair(const struct scene *scene, uint32_t from, uint32_t to, struct rng *rng)
{
	const char *a = prove_endpoint_name(scene, from), *b = prove_endpoint_name(scene, to);

	rng_seed(rng, scene->options->seed ^ hash_bytes(a, strlen(a)) ^ (hash_bytes(b, strlen(b)) * 31));
}

static void queue_pair(struct scene *scene, enum prove_topic topic, const struct subject *subject, uint32_t from, uint32_t to)
{
	unsigned sample = scene->options->sample ? scene->options->sample : 3;
	bool same_link = topic == PROVE_WITHIN;
	struct rng rng;

	vec_each(&scene->hints, h)
		add_flow(scene, topic, from, to, h->protocol, h->port, NULL);
	seed_pair(scene, from, to, &rng);
	for (unsigned i = 0; i < sample; i++) {
		add_flow(scene, topic, from, to, PROTOCOL_TCP, sampled_port(&rng), "sampled port");
		add_flow(scene, topic, from, to, PROTOCOL_UDP, sampled_port(&rng), "sampled port");
	}
	add_flow(scene, topic, from, to, PROTOCOL_ICMP, 0, NULL);
	uint16_t port6 = scene->hints.n ? scene->hints.items[0].port : sampled_port(&rng);
	add_flow6(scene, topic, subject, from, to, same_link, PROTOCOL_TCP, port6);
	add_flow6(scene, topic, subject, from, to, same_link, PROTOCOL_UDP, port6);
	add_flow6(scene, topic, subject, from, to, same_link, PROTOCOL_ICMPV6, 0);
}

void prove_queue_controls(struct scene *scene)
{
	vec_each(&scene->subjects, s)
		for (int i = 0; i < 2; i++) {
			struct packet packet = { .family = AF_INET, .from = s->endpoints[i], .to = s->gateway, .destination = s->gateway_address, .protocol = PROTOCOL_ICMP };

			if (s->endpoints[i] == WORLD_NONE)
				continue;
			if (!s->gateway_address.family) {
				prove_skip(scene, prove_endpoint_name(scene, s->endpoints[i]), "no gateway to try a control with");
				continue;
			}
			prove_add(scene, s->taps[i], &(struct trial){ .topic = PROVE_CONTROL, .to = prove_print(scene, "the gateway of %s", s->tenant) },
				  &packet, &(struct probe){ .by_answer = true, .need_answer = true });
		}
}

void prove_queue_between(struct scene *scene)
{
	vec_each(&scene->subjects, a)
		vec_each(&scene->subjects, b)
			if (a != b)
				queue_pair(scene, PROVE_BETWEEN, a, a->endpoints[0], b->endpoints[0]);
}

void prove_queue_within(struct scene *scene)
{
	vec_each(&scene->subjects, s) {
		add_multicast6(scene, s->endpoints[0]);
		if (s->endpoints[1] == WORLD_NONE)
			continue;
		queue_pair(scene, PROVE_WITHIN, s, s->endpoints[0], s->endpoints[1]);
		queue_pair(scene, PROVE_WITHIN, s, s->endpoints[1], s->endpoints[0]);
	}
}

/* One address of a router or a host: the listeners that the proof opened there, and an echo request. Only an answer counts. */
static void queue_services(struct scene *scene, const struct subject *s, uint32_t to, const struct address *address, const char *name, uint32_t listener_tap)
{
	const struct tap *listener = &scene->wire.taps.items[listener_tap];
	struct trial trial = { .topic = PROVE_HOST, .to = name, .what = "a listener of the proof" };
	struct packet packet = { .family = AF_INET, .from = s->endpoints[0], .to = to, .destination = *address, .protocol = PROTOCOL_TCP, .port = listener->tcp_port };
	struct probe probe = { .by_answer = true, .need_answer = true };

	prove_add(scene, s->taps[0], &trial, &packet, &probe);
	packet.protocol = PROTOCOL_UDP;
	packet.port = listener->udp_port;
	probe.need_answer = false;
	prove_add(scene, s->taps[0], &trial, &packet, &probe);
	packet.protocol = PROTOCOL_ICMP;
	packet.port = 0;
	probe.need_answer = true;
	trial.what = NULL;
	prove_add(scene, s->taps[0], &trial, &packet, &probe);
}

/* Ports of the gateway that the file's meaning opens (its resolver): there somebody listens already. */
static void queue_resolver(struct scene *scene, const struct subject *s)
{
	struct packet packet = { .family = AF_INET, .from = s->endpoints[0], .to = s->gateway, .destination = s->gateway_address, .protocol = PROTOCOL_TCP, .port = 53 };

	prove_add(scene, s->taps[0], &(struct trial){ .topic = PROVE_HOST, .to = prove_print(scene, "the gateway of %s", s->tenant), .what = "the resolver" },
		  &packet, &(struct probe){ .by_answer = true, .need_answer = true });
}

#define OTHER_GATEWAYS 3
#define HOST_ADDRESSES 8

static void queue_host_of(struct scene *scene, const struct subject *s)
{
	size_t others = 0;

	if (scene->router_tap != WORLD_NONE && s->gateway_address.family) {
		queue_services(scene, s, s->gateway, &s->gateway_address, prove_print(scene, "the gateway of %s", s->tenant), scene->router_tap);
		queue_resolver(scene, s);
		vec_each(&scene->router_addresses, r) {
			uint32_t known = reach_endpoint_of(scene->world, &r->address);
			if (address_equal(&r->address, &s->gateway_address) || others++ >= OTHER_GATEWAYS)
				continue;
			queue_services(scene, s, known, &r->address, prove_print(scene, "router %s", prove_address_text(scene, &r->address)), scene->router_tap);
		}
	}
	if (scene->host_tap == WORLD_NONE)
		return;
	for (size_t i = 0; i < scene->host_addresses.n && i < HOST_ADDRESSES; i++) {
		const struct address *address = &scene->host_addresses.items[i].address;
		queue_services(scene, s, scene->host, address, prove_print(scene, "host %s", prove_address_text(scene, address)), scene->host_tap);
	}
}

void prove_queue_host(struct scene *scene)
{
	vec_each(&scene->subjects, s)
		queue_host_of(scene, s);
	if (scene->host_tap == WORLD_NONE)
		return;
	vec_each(&scene->subjects, s) {
		struct rng rng;
		struct packet packet = { .family = AF_INET, .from = scene->host, .source = scene->wire.taps.items[scene->host_tap].address, .to = s->endpoints[0] };
		struct probe probe = { .at = s->taps[0], .need_answer = true };
		struct trial trial = { .topic = PROVE_FROM_HOST };

		rng_seed(&rng, scene->options->seed ^ hash_bytes(s->tenant, strlen(s->tenant)));
		packet.protocol = PROTOCOL_TCP;
		vec_each(&scene->hints, h) {
			packet.protocol = h->protocol;
			packet.port = h->port;
			probe.need_answer = h->protocol == PROTOCOL_TCP;
			prove_add(scene, scene->host_tap, &trial, &packet, &probe);
		}
		trial.what = "sampled port";
		packet.protocol = PROTOCOL_TCP;
		packet.port = sampled_port(&rng);
		probe.need_answer = true;
		prove_add(scene, scene->host_tap, &trial, &packet, &probe);
		packet.protocol = PROTOCOL_ICMP;
		packet.port = 0;
		trial.what = NULL;
		prove_add(scene, scene->host_tap, &trial, &packet, &probe);
	}
}

/* The address by which the host itself reaches a publication. */
static struct address reachable(const struct scene *scene, const struct address *published)
{
	static const uint8_t zero[16];
	struct address a = *published;

	if (memcmp(published->bytes, zero, sizeof(zero)) != 0)
		return a;
	a = scene->wire.taps.items[scene->host_tap].address;
	vec_each(&scene->host_addresses, h)	/* rather an address that users would use than the uplink's */
		if (!address_equal(&h->address, &scene->wire.taps.items[scene->host_tap].address))
			return h->address;
	return a;
}

void prove_queue_published(struct scene *scene)
{
	const struct world *world = scene->world;

	for (uint32_t i = 0; scene->host_tap != WORLD_NONE && i < world->publications.n; i++) {
		const struct publication *p = &world->publications.items[i];
		struct address address = reachable(scene, &p->address);
		struct packet packet = { .family = AF_INET, .from = scene->host, .to = scene->host, .destination = address, .protocol = p->protocol, .port = p->port };
		struct probe probe = { .group = prove_publication_group(world, i), .any_port = true };
		struct trial trial = { .topic = PROVE_PUBLISHED, .to = prove_print(scene, "host %s", prove_address_text(scene, &address)),
				       .what = prove_print(scene, "published %s/%s", p->tenant, p->workload) };

		if (address.family != AF_INET)
			continue;
		/* what the host sends to itself bears the destination as its source */
		packet.source = address.bytes[0] == 127 ? address : scene->wire.taps.items[scene->host_tap].address;
		prove_add(scene, scene->host_tap, &trial, &packet, &probe);
		if (address.bytes[0] == 127)
			continue;	/* an instance's loopback is its own */
		vec_each(&scene->subjects, s) {
			packet.from = s->endpoints[0];
			packet.source = (struct address){ 0 };
			prove_add(scene, s->taps[0], &trial, &packet, &probe);
		}
	}
}
