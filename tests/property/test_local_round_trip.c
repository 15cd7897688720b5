/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lift(lower(w)) is w: random files become worlds, resources of the local site and, in any order, worlds again. Both are
 * written down noun by noun, sorted, and compared. What a world knows and this site does not keep is not written down: marks of
 * the file, native names, GPUs. Policies may be said in other rules; every packet has to meet the same.
 */
#include "helper.h"

#include "audit/reach.h"
#include "base/buf.h"
#include "base/rng.h"
#include "base/vec.h"
#include "model/expand.h"
#include "model/spec.h"
#include "site/local/lower.h"
#include "site/local/probe/probe.h"

#define CASES 60
#define TENANTS 6
#define PACKETS 400

static void file_random(struct rng *rng, struct buf *text)
{
	static const char *const ports[] = { "tcp/80", "udp/5000-5100", "tcp", "tcp/1-1024", "udp/53" };

	buf_adds(text, "apiVersion: insula.dev/v1\nkind: Site\nmetadata: {name: lab}\nspec: {}\n");
	for (unsigned t = 0; t < TENANTS; t++) {
		buf_addf(text, "---\napiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: t%u}\nspec:\n  weight: 1\n", t);
		if (rng_below(rng, 2))
			buf_addf(text, "  limit: {memory: %uMi, networkBandwidth: %uMi}\n", 64 + (unsigned)rng_below(rng, 100), 1 + (unsigned)rng_below(rng, 50));
		buf_adds(text, "  network:\n    allow:\n      - {to: {cidr: 203.0.113.0/24}, ports: [tcp/22]}\n");
		if (rng_below(rng, 2))
			buf_addf(text, "      - {to: {internet: true}, ports: [%s]}\n", ports[rng_below(rng, ARRAY_LEN(ports))]);
		if (rng_below(rng, 3) == 0)
			buf_adds(text, "      - {to: {internet: true}}\n");
		for (unsigned from = 0; from < TENANTS; from++) {
			if (from == t || rng_below(rng, 3))
				continue;
			if (rng_below(rng, 4))
				buf_addf(text, "      - {from: {tenant: t%u}, ports: [%s, %s]}\n", from, ports[rng_below(rng, 2)], ports[2 + rng_below(rng, 3)]);
			else
				buf_addf(text, "      - {from: {tenant: t%u}}\n", from);
		}
		for (unsigned w = 0; w < rng_below(rng, 4); w++) {
			bool service = rng_below(rng, 2);

			buf_addf(text, "---\napiVersion: insula.dev/v1\nkind: %s\nmetadata: {name: w%u, tenant: t%u, labels: {team: red, tier: \"%u\"}}\n",
				 service ? "Service" : "Workload", w, t, (unsigned)rng_below(rng, 3));
			buf_addf(text, "spec:\n  method: container\n  image: \"rootfs:/srv/base\"\n  replicas: %u\n", 1 + (unsigned)rng_below(rng, 3));
			if (rng_below(rng, 2))
				buf_adds(text, "  resources: {cpu: 100m, memory: 16Mi}\n");
			if (service)
				buf_addf(text, "  port: %u\n", 8000 + w);
			if (service && rng_below(rng, 2))
				buf_addf(text, "  publish: {address: %s, port: %u}\n", rng_below(rng, 2) ? "0.0.0.0" : "192.0.2.2", 9000 + t * 10 + w);
		}
	}
}

/* Worlds as text */

typedef VEC(char *) text_lines;

static void address_add(struct buf *buf, const struct address *address)
{
	char text[ADDRESS_TEXT];

	address_format(address, text);
	buf_addf(buf, " %s", text);
}

static void prefix_add(struct buf *buf, const struct prefix *prefix)
{
	char text[PREFIX_TEXT];

	if (!prefix->address.family) {
		buf_adds(buf, " none");
		return;
	}
	prefix_format(prefix, text);
	buf_addf(buf, " %s", text);
}

static void labels_add(struct buf *buf, const struct labels *labels)
{
	buf_adds(buf, " {");
	for (size_t i = 0; i < labels->n; i++)
		buf_addf(buf, " %s=%s", labels->items[i].key, labels->items[i].value);
	buf_adds(buf, " }");
}

static int line_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void instances_write(const struct world *world, text_lines *lines)
{
	vec_each(&world->instances, instance)
		vec_push(lines, xasprintf("instance %s %s %s %u %s method %d cpu %lld memory %lld at %s on %s", instance->key, instance->tenant, instance->workload,
					  instance->replica, instance->digest, instance->method, (long long)instance->cpu, (long long)instance->memory,
					  world->endpoints.items[instance->endpoint].name, world->nodes.items[instance->node].name));
}

static void endpoints_write(const struct world *world, text_lines *lines)
{
	vec_each(&world->endpoints, endpoint) {
		struct buf line = { 0 };

		buf_addf(&line, "endpoint %s kind %d tenant %s", endpoint->name, endpoint->kind, endpoint->tenant ? endpoint->tenant : "-");
		labels_add(&line, &endpoint->labels);
		for (size_t i = 0; i < endpoint->address_n; i++)
			address_add(&line, &endpoint->addresses[i]);
		vec_push(lines, buf_steal(&line));
	}
}

static void ports_write(const struct world *world, text_lines *lines)
{
	vec_each(&world->ports, port) {
		struct buf line = { 0 };

		buf_addf(&line, "port of %s on %s security %d mac %02x:%02x:%02x:%02x:%02x:%02x allowed", world->endpoints.items[port->endpoint].name,
			 world->links.items[port->link].name, port->security, port->mac[0], port->mac[1], port->mac[2], port->mac[3], port->mac[4], port->mac[5]);
		for (size_t i = 0; i < port->allowed_n; i++)
			address_add(&line, &port->allowed[i]);
		vec_push(lines, buf_steal(&line));
	}
	vec_each(&world->links, link) {
		struct buf line = { 0 };

		buf_addf(&line, "link %s of %s below %s mtu %lld", link->name, link->tenant ? link->tenant : "-",
			 link->parent == WORLD_NONE ? "-" : world->links.items[link->parent].name, (long long)link->mtu);
		prefix_add(&line, &link->prefix);
		if (link->gateway.family)
			address_add(&line, &link->gateway);
		vec_push(lines, buf_steal(&line));
	}
}

static char *world_text(const struct world *world)
{
	text_lines lines = { 0 };
	struct buf text = { 0 };

	instances_write(world, &lines);
	endpoints_write(world, &lines);
	ports_write(world, &lines);
	vec_each(&world->publications, publication) {
		struct buf line = { 0 };

		buf_adds(&line, "publication");
		address_add(&line, &publication->address);
		buf_addf(&line, " %u %d > %s/%s %u", publication->port, publication->protocol, publication->tenant, publication->workload, publication->target_port);
		vec_push(&lines, buf_steal(&line));
	}
	if (lines.n)
		qsort(lines.items, lines.n, sizeof(*lines.items), line_compare);
	buf_addf(&text, "ipv6 %d\n", world->ipv6);
	vec_each(&lines, line) {
		buf_addf(&text, "%s\n", *line);
		free(*line);
	}
	vec_clear(&lines);
	return buf_steal(&text);
}

/* Lines of `a` that are not in `b`. */
static void differ(const char *what, const char *a, const char *b)
{
	for (; *a; a += strcspn(a, "\n") + 1) {
		autofree char *line = xstrndup(a, strcspn(a, "\n") + 1);

		if (!strstr(b, line))
			printf("# only %s: %s", what, line);
	}
}

static void shuffle(struct resources *resources, struct rng *rng)
{
	for (size_t i = resources->n; i > 1; i--) {
		size_t j = rng_below(rng, i);
		struct resource *other = resources->items[j];

		resources->items[j] = resources->items[i - 1];
		resources->items[i - 1] = other;
	}
}

/* A packet that may well meet a rule. */
static struct packet packet_random(const struct world *world, struct rng *rng)
{
	static const char *const places[] = { "8.8.8.8", "203.0.113.7", "192.168.1.1", "169.254.169.254", "192.0.2.2", "10.77.0.1", "10.99.0.1" };
	static const uint16_t ports[] = { 22, 53, 80, 443, 5000, 5100, 5101, 8000, 8001, 8002, 9000, 9001, 9010, 9020, 65535 };
	static const enum protocol protocols[] = { PROTOCOL_TCP, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP };
	struct packet packet = { .family = AF_INET, .to = WORLD_NONE };
	struct error ignored;

	packet.from = (uint32_t)rng_below(rng, world->endpoints.n);
	packet.protocol = protocols[rng_below(rng, ARRAY_LEN(protocols))];
	packet.port = packet.protocol == PROTOCOL_ICMP ? 0 : ports[rng_below(rng, ARRAY_LEN(ports))];
	packet.dont_fragment = rng_below(rng, 8) == 0;
	packet.size = packet.dont_fragment ? 1300 + (int64_t)rng_below(rng, 200) : 0;
	if (rng_below(rng, 3))
		packet.to = (uint32_t)rng_below(rng, world->endpoints.n);
	else if (address_parse(places[rng_below(rng, ARRAY_LEN(places))], &packet.destination, &ignored) < 0)
		fail();
	if (rng_below(rng, 10) == 0 && address_parse("10.77.0.18", &packet.source, &ignored) < 0)
		fail();
	return packet;
}

static uint32_t same_endpoint(const struct world *world, const struct world *other, uint32_t endpoint)
{
	return endpoint == WORLD_NONE ? WORLD_NONE : world_find_endpoint(other, world->endpoints.items[endpoint].name);
}

static bool packets_meet_the_same(const struct world *world, const struct world *lifted, struct rng *rng)
{
	for (unsigned i = 0; i < PACKETS; i++) {
		struct packet packet = packet_random(world, rng), other = packet;
		struct verdict here, there;

		other.from = same_endpoint(world, lifted, packet.from);
		other.to = same_endpoint(world, lifted, packet.to);
		here = reach_evaluate(world, &packet);
		there = reach_evaluate(lifted, &other);
		if (here.allowed != there.allowed || (!here.allowed && here.reason != there.reason)) {
			printf("# world:  %s\n# lifted: %s\n", here.text, there.text);
			return false;
		}
	}
	return true;
}

static bool case_holds(uint64_t seed, const struct site_facts *facts)
{
	autobuf struct buf text = { 0 };
	autofindings struct findings findings = { 0 };
	autoresources struct resources resources = { 0 };
	autojson json_t *decisions = NULL, *notes = json_array();
	struct error err = { 0 };
	struct intent intent;
	struct survey survey;
	struct world world, lifted;
	struct rng rng;
	bool same;

	rng_seed(&rng, seed);
	file_random(&rng, &text);
	struct source source = { .name = "made.yaml", .text = text.data, .n = text.n };
	assert_ok(spec_parse(&source, 1, &intent, &findings, &err));
	assert_ok(local_survey(facts, &survey, &err));
	assert_ok(decisions_make(&intent, &survey, NULL, false, &decisions, &err));
	assert_ok(world_expand(&intent, &survey, decisions, &world, &err));
	struct site_config config = { .deployment = "lab", .intent = &intent.site, .whole_intent = &intent };
	assert_ok(local_lower(facts, &config, &intent, &world, decisions, &resources, notes, &err));
	shuffle(&resources, &rng);
	world_init(&lifted);
	for (size_t i = 0; i < resources.n; i++)
		assert_ok(local_lift(facts, resources.items[i], &lifted, &err));
	autofree char *a = world_text(&world), *b = world_text(&lifted);
	same = streq(a, b);
	if (!same) {
		printf("%s\n", text.data);
		differ("in the world", a, b);
		differ("lifted", b, a);
	}
	same = same && packets_meet_the_same(&world, &lifted, &rng);
	world_clear(&lifted);
	world_clear(&world);
	survey_clear(&survey);
	intent_clear(&intent);
	return same;
}

static void what_was_lowered_is_lifted_as_it_was(void **state)
{
	autofree char *path = source_path("tests/golden/local/v1.facts.json");
	struct site_facts facts = { 0 };
	struct error err = { 0 };

	assert_ok(json_read_file(path, 1 << 20, &facts.json, &err));
	json_set(facts.json, "images", json_pack("{s:s}", "rootfs:/srv/base", "sha256:1111111111111111111111111111111111111111111111111111111111111111"));
	json_set(facts.json, "storage", json_object());
	for (uint64_t seed = 1; seed <= CASES; seed++)
		if (!case_holds(seed, &facts))
			fail_msg("seed %d", (int)seed);
	json_decref(facts.json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_lowered_is_lifted_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
