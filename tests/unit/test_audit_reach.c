/* SPDX-License-Identifier: Apache-2.0 */
/* The evaluator against small worlds whose answers are known, and against laws that hold in any world. */
#include "audit/reach.h"
#include "base/rng.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

static struct address address(const char *text)
{
	struct address a = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };

	assert_int_equal(inet_pton(a.family, text, a.bytes), 1);
	return a;
}

static struct prefix prefix(const char *text, uint8_t length)
{
	return (struct prefix){ .address = address(text), .length = length };
}

static struct labels labels1(struct world *world, const char *key, const char *value)
{
	struct label *item = arena_new(&world->arena, struct label);

	*item = (struct label){ .key = key, .value = value };
	return (struct labels){ .items = item, .n = 1 };
}

static uint32_t add_link(struct world *world, const char *name, int64_t mtu, int64_t overhead, uint32_t parent)
{
	vec_push(&world->links, ((struct link){ .name = name, .mtu = mtu, .overhead = overhead, .parent = parent }));
	return (uint32_t)world->links.n - 1;
}

static uint32_t add_endpoint(struct world *world, enum endpoint_kind kind, const char *name, const char *tenant, const char *ip, uint32_t link)
{
	uint32_t index = (uint32_t)world->endpoints.n;
	struct endpoint e = { .name = name, .kind = kind, .tenant = tenant, .node = WORLD_NONE, .port = WORLD_NONE };

	e.addresses = arena_new(&world->arena, struct address);
	e.addresses[0] = address(ip);
	e.address_n = 1;
	if (tenant && kind == ENDPOINT_INSTANCE)
		e.labels = labels1(world, "tenant", tenant);
	if (kind == ENDPOINT_INSTANCE) {
		e.port = (uint32_t)world->ports.n;
		vec_push(&world->ports, ((struct port){ .name = name, .endpoint = index, .link = link, .mac = { 2, 0, 0, 0, 0, (uint8_t)index }, .security = true }));
	}
	vec_push(&world->endpoints, e);
	return index;
}

static struct rule rule(struct world *world, enum action action, struct selector peer, const char *name)
{
	struct rule r = { .name = name, .action = action, .peer_n = 1 };

	r.peers = arena_new(&world->arena, struct selector);
	r.peers[0] = peer;
	return r;
}

static struct rule on_ports(struct world *world, struct rule r, enum protocol protocol, uint16_t first, uint16_t last)
{
	r.ports.items = arena_new(&world->arena, struct port_range);
	r.ports.items[0] = (struct port_range){ .protocol = protocol, .first = first, .last = last };
	r.ports.n = 1;
	return r;
}

static struct policy *add_policy(struct world *world, const char *name, uint32_t tier, uint32_t priority, enum direction direction, bool isolates, struct selector applies)
{
	vec_push(&world->policies, ((struct policy){ .name = name, .tier = tier, .priority = priority, .direction = direction, .isolates = isolates, .applies = applies }));
	struct policy *policy = &world->policies.items[world->policies.n - 1];
	policy->rules = arena_array(&world->arena, 16, sizeof(struct rule));
	return policy;
}

static void add_rule(struct policy *policy, struct rule r) { policy->rules[policy->rule_n++] = r; }

static struct selector of_tenant(struct world *world, const char *tenant)
{
	return (struct selector){ .kind = SELECT_LABELS, .labels = labels1(world, "tenant", tenant) };
}

/* Two tenants a (two instances) and b, their gateways, a host; who may reach whom is as an isolated site has it. */
struct lab { struct world world; uint32_t a0, a1, b0, host, gateway; struct policy *a_in, *a_out, *b_in, *b_out; };

static void lab_init(struct lab *lab)
{
	struct world *w = &lab->world;

	memset(lab, 0, sizeof(*lab));
	arena_init(&w->arena);
	vec_reserve(&w->policies, 64);		/* pointers to policies stay good */
	uint32_t uplink = add_link(w, "uplink", 1500, 0, WORLD_NONE);
	uint32_t la = add_link(w, "a/network", 1450, 50, uplink), lb = add_link(w, "b/network", 1400, 0, uplink);
	lab->a0 = add_endpoint(w, ENDPOINT_INSTANCE, "a/w/0", "a", "10.77.1.2", la);
	lab->a1 = add_endpoint(w, ENDPOINT_INSTANCE, "a/w/1", "a", "10.77.1.3", la);
	lab->b0 = add_endpoint(w, ENDPOINT_INSTANCE, "b/s/0", "b", "10.77.2.2", lb);
	lab->gateway = add_endpoint(w, ENDPOINT_GATEWAY, "a/gateway", "a", "10.77.1.1", la);
	lab->host = add_endpoint(w, ENDPOINT_HOST, "self", NULL, "192.168.5.9", WORLD_NONE);
	lab->a_out = add_policy(w, "a out", 10, 0, DIRECTION_EGRESS, true, of_tenant(w, "a"));
	lab->a_in = add_policy(w, "a in", 10, 0, DIRECTION_INGRESS, true, of_tenant(w, "a"));
	lab->b_out = add_policy(w, "b out", 10, 0, DIRECTION_EGRESS, true, of_tenant(w, "b"));
	lab->b_in = add_policy(w, "b in", 10, 0, DIRECTION_INGRESS, true, of_tenant(w, "b"));
	add_rule(lab->a_out, rule(w, ACTION_ALLOW, of_tenant(w, "a"), "same tenant"));
	add_rule(lab->a_in, rule(w, ACTION_ALLOW, of_tenant(w, "a"), "same tenant"));
	add_rule(lab->a_out, on_ports(w, rule(w, ACTION_ALLOW, of_tenant(w, "b"), "a: to b"), PROTOCOL_TCP, 8501, 8501));
	add_rule(lab->b_in, on_ports(w, rule(w, ACTION_ALLOW, of_tenant(w, "a"), "b: from a tcp/8501"), PROTOCOL_TCP, 8501, 8501));
}

static void lab_clear(struct lab *lab)
{
	struct world *w = &lab->world;

	vec_clear(&w->endpoints); vec_clear(&w->policies); vec_clear(&w->ports); vec_clear(&w->links); vec_clear(&w->publications);
	arena_clear(&w->arena);
}

static struct packet tcp(uint32_t from, uint32_t to, uint16_t port)
{
	return (struct packet){ .family = AF_INET, .from = from, .to = to, .protocol = PROTOCOL_TCP, .port = port };
}

static struct packet to_address(uint32_t from, const char *ip, enum protocol protocol, uint16_t port)
{
	return (struct packet){ .family = AF_INET, .from = from, .to = WORLD_NONE, .destination = address(ip), .protocol = protocol, .port = port };
}

static void check(struct lab *lab, struct packet packet, bool allowed, enum reach_reason reason)
{
	struct verdict verdict = reach_evaluate(&lab->world, &packet);

	if (verdict.allowed != allowed || verdict.reason != reason)
		fail_msg("port %u: %s (reason %d)", packet.port, verdict.text, (int)verdict.reason);
	assert_int_equal(reach_evaluate_answer(&lab->world, &packet).allowed, allowed);
}

static void test_tenants(void **state)
{
	struct lab lab;

	lab_init(&lab);
	check(&lab, tcp(lab.a0, lab.a1, 22), true, REACH_RULE);
	check(&lab, tcp(lab.a0, lab.b0, 8501), true, REACH_RULE);
	check(&lab, tcp(lab.a0, lab.b0, 8502), false, REACH_ISOLATED);
	check(&lab, tcp(lab.b0, lab.a0, 8501), false, REACH_ISOLATED);
	struct packet udp = tcp(lab.a0, lab.b0, 8501);
	udp.protocol = PROTOCOL_UDP;
	check(&lab, udp, false, REACH_ISOLATED);
	struct packet icmp = tcp(lab.a0, lab.b0, 0);
	icmp.protocol = PROTOCOL_ICMP;
	check(&lab, icmp, false, REACH_ISOLATED);
	struct packet unknown = tcp(WORLD_NONE, lab.b0, 8501);
	unknown.source = address("198.51.100.7");
	check(&lab, unknown, false, REACH_ISOLATED);
	/* the receiver's word is the one that is named */
	struct packet good = tcp(lab.a0, lab.b0, 8501);
	assert_string_equal(reach_evaluate(&lab.world, &good).rule->name, "b: from a tcp/8501");
	lab_clear(&lab);
}

static void test_hosts_metadata_internet(void **state)
{
	struct lab lab;

	lab_init(&lab);
	struct world *w = &lab.world;
	check(&lab, to_address(lab.a0, "192.168.5.9", PROTOCOL_TCP, 22), false, REACH_ISOLATED);
	add_rule(lab.a_out, on_ports(w, rule(w, ACTION_ALLOW, (struct selector){ .kind = SELECT_PREFIX, .prefix = prefix("10.77.1.1", 32) }, "own resolver"), PROTOCOL_UDP, 53, 53));
	add_rule(lab.a_out, on_ports(w, rule(w, ACTION_ALLOW, (struct selector){ .kind = SELECT_INTERNET }, "internet tcp/443"), PROTOCOL_TCP, 443, 443));
	check(&lab, to_address(lab.a0, "10.77.1.1", PROTOCOL_UDP, 53), true, REACH_RULE);
	check(&lab, to_address(lab.a0, "10.77.1.1", PROTOCOL_TCP, 443), false, REACH_ISOLATED);
	check(&lab, to_address(lab.a0, "9.9.9.9", PROTOCOL_TCP, 443), true, REACH_RULE);
	check(&lab, to_address(lab.a0, "9.9.9.9", PROTOCOL_TCP, 80), false, REACH_ISOLATED);
	check(&lab, to_address(lab.b0, "9.9.9.9", PROTOCOL_TCP, 443), false, REACH_ISOLATED);
	const char *private[] = { "10.1.1.1", "172.16.0.1", "172.31.255.254", "192.168.0.1", "100.64.0.1", "169.254.169.254", "127.0.0.1", "224.0.0.1", "203.0.113.1", "0.0.0.0", "255.255.255.255" };
	for (size_t i = 0; i < ARRAY_LEN(private); i++)
		check(&lab, to_address(lab.a0, private[i], PROTOCOL_TCP, 443), false, REACH_ISOLATED);
	check(&lab, to_address(lab.a0, "172.32.0.1", PROTOCOL_TCP, 443), true, REACH_RULE);
	check(&lab, to_address(lab.a0, "100.128.0.1", PROTOCOL_TCP, 443), true, REACH_RULE);

	/* an earlier tier's word about metadata and hosts comes before what the tenant allows */
	add_rule(lab.a_out, rule(w, ACTION_ALLOW, (struct selector){ .kind = SELECT_ALL }, "everything"));
	check(&lab, to_address(lab.a0, "169.254.169.254", PROTOCOL_TCP, 80), true, REACH_RULE);
	check(&lab, to_address(lab.a0, "192.168.5.9", PROTOCOL_TCP, 22), true, REACH_RULE);
	struct policy *wall = add_policy(w, "wall", 0, 0, DIRECTION_EGRESS, false, (struct selector){ .kind = SELECT_ALL });
	add_rule(wall, rule(w, ACTION_DENY, (struct selector){ .kind = SELECT_METADATA }, "no metadata"));
	add_rule(wall, rule(w, ACTION_DENY, (struct selector){ .kind = SELECT_HOSTS }, "no hosts"));
	check(&lab, to_address(lab.a0, "169.254.169.254", PROTOCOL_TCP, 80), false, REACH_RULE);
	check(&lab, to_address(lab.a0, "192.168.5.9", PROTOCOL_TCP, 22), false, REACH_RULE);
	check(&lab, to_address(lab.a0, "10.77.1.1", PROTOCOL_UDP, 53), false, REACH_RULE);
	lab_clear(&lab);
}

static void test_tiers_and_pass(void **state)
{
	struct lab lab;

	lab_init(&lab);
	struct world *w = &lab.world;
	/* tier 5: pass from a on 8501, deny everything else; a later policy of the same tier would allow */
	struct policy *first = add_policy(w, "admin", 5, 10, DIRECTION_INGRESS, false, of_tenant(w, "b"));
	struct policy *second = add_policy(w, "admin 2", 5, 20, DIRECTION_INGRESS, false, of_tenant(w, "b"));
	add_rule(first, on_ports(w, rule(w, ACTION_PASS, of_tenant(w, "a"), "pass"), PROTOCOL_TCP, 8000, 9000));
	add_rule(second, rule(w, ACTION_DENY, (struct selector){ .kind = SELECT_ALL }, "deny the rest"));
	check(&lab, tcp(lab.a0, lab.b0, 8501), true, REACH_RULE);
	check(&lab, tcp(lab.a0, lab.b0, 8502), false, REACH_ISOLATED);
	add_rule(lab.a_out, rule(w, ACTION_ALLOW, of_tenant(w, "b"), "a: to b any"));
	check(&lab, tcp(lab.a0, lab.b0, 8502), false, REACH_ISOLATED);	/* passed the tier, nothing below allows */
	check(&lab, tcp(lab.a0, lab.b0, 22), false, REACH_RULE);		/* not passed: denied above */
	/* priority within a tier: a smaller number is asked first, whatever the order in the world */
	struct policy *zeroth = add_policy(w, "admin 0", 5, 1, DIRECTION_INGRESS, false, of_tenant(w, "b"));
	add_rule(zeroth, on_ports(w, rule(w, ACTION_ALLOW, of_tenant(w, "a"), "first word"), PROTOCOL_TCP, 22, 22));
	check(&lab, tcp(lab.a0, lab.b0, 22), true, REACH_RULE);
	/* rules in order */
	struct policy *order = add_policy(w, "order", 4, 0, DIRECTION_INGRESS, false, of_tenant(w, "b"));
	add_rule(order, on_ports(w, rule(w, ACTION_DENY, of_tenant(w, "a"), "no"), PROTOCOL_TCP, 22, 22));
	add_rule(order, on_ports(w, rule(w, ACTION_ALLOW, of_tenant(w, "a"), "yes"), PROTOCOL_TCP, 22, 22));
	check(&lab, tcp(lab.a0, lab.b0, 22), false, REACH_RULE);
	lab_clear(&lab);
}

static void test_prefix_except_and_ports(void **state)
{
	struct lab lab;

	lab_init(&lab);
	struct world *w = &lab.world;
	struct prefix except[] = { prefix("203.0.113.128", 25) };
	add_rule(lab.a_out, rule(w, ACTION_ALLOW, (struct selector){ .kind = SELECT_PREFIX, .prefix = prefix("203.0.113.0", 24), .except = except, .except_n = 1 }, "cidr"));
	check(&lab, to_address(lab.a0, "203.0.113.127", PROTOCOL_UDP, 9), true, REACH_RULE);
	check(&lab, to_address(lab.a0, "203.0.113.128", PROTOCOL_UDP, 9), false, REACH_ISOLATED);
	check(&lab, to_address(lab.a0, "203.0.112.255", PROTOCOL_UDP, 9), false, REACH_ISOLATED);
	check(&lab, to_address(lab.a0, "203.0.113.1", PROTOCOL_ICMP, 0), true, REACH_RULE);

	struct port_range tcp_all = { .protocol = PROTOCOL_TCP, .first = 0, .last = 65535 }, any = { .protocol = PROTOCOL_ANY, .first = 53, .last = 53 };
	struct port_ranges one = { .items = &tcp_all, .n = 1 }, none = { 0 }, two = { .items = &any, .n = 1 };
	assert_true(port_ranges_match(&one, PROTOCOL_TCP, 65535));
	assert_false(port_ranges_match(&one, PROTOCOL_UDP, 1));
	assert_false(port_ranges_match(&one, PROTOCOL_ICMP, 0));
	assert_true(port_ranges_match(&none, PROTOCOL_ICMP, 0));
	assert_true(port_ranges_match(&two, PROTOCOL_UDP, 53));
	assert_false(port_ranges_match(&two, PROTOCOL_ICMP, 0));
	assert_true(port_ranges_match(&(struct port_ranges){ .items = &(struct port_range){ .protocol = PROTOCOL_ICMP }, .n = 1 }, PROTOCOL_ICMP, 0));
	lab_clear(&lab);
}

static void test_spoofing(void **state)
{
	struct lab lab;

	lab_init(&lab);
	struct packet packet = tcp(lab.a0, lab.b0, 8501);
	packet.source = address("10.77.1.3");
	check(&lab, packet, false, REACH_SPOOFED_ADDRESS);
	packet.source = address("10.77.1.2");
	check(&lab, packet, true, REACH_RULE);
	uint8_t other[6] = { 2, 0, 0, 0, 0, 99 };
	packet.mac = other;
	check(&lab, packet, false, REACH_SPOOFED_MAC);
	packet.mac = NULL;

	/* allowed addresses replace the own one */
	struct address allowed[] = { address("10.77.1.9") };
	struct port *port = &lab.world.ports.items[lab.world.endpoints.items[lab.a0].port];
	port->allowed = allowed;
	port->allowed_n = 1;
	packet.source = address("10.77.1.9");
	check(&lab, packet, false, REACH_ISOLATED);	/* may send it, but b does not know that address as a's */
	/* without security nothing is checked at this port; the receiver judges what it sees */
	port->security = false;
	packet.source = address("10.77.1.3");
	check(&lab, packet, true, REACH_RULE);
	packet.source = address("10.77.2.2");
	check(&lab, packet, false, REACH_ISOLATED);
	lab.world.ports.items[lab.world.endpoints.items[lab.b0].port].security = false;
	check(&lab, packet, true, REACH_NOTHING_AGAINST);
	lab_clear(&lab);
}

static void test_mtu(void **state)
{
	struct lab lab;

	lab_init(&lab);
	add_rule(lab.a_out, rule(&lab.world, ACTION_ALLOW, (struct selector){ .kind = SELECT_INTERNET }, "internet"));
	struct packet packet = tcp(lab.a0, lab.a1, 1);
	packet.dont_fragment = true;
	packet.size = 1450;
	check(&lab, packet, true, REACH_RULE);
	packet.size = 1451;
	check(&lab, packet, false, REACH_TOO_LARGE);
	packet.dont_fragment = false;
	check(&lab, packet, true, REACH_RULE);
	packet = tcp(lab.a0, lab.b0, 8501);
	packet.dont_fragment = true;
	packet.size = 1400;
	check(&lab, packet, true, REACH_RULE);
	packet.size = 1401;				/* fits the sender's link, not the receiver's */
	check(&lab, packet, false, REACH_TOO_LARGE);
	packet = to_address(lab.a0, "9.9.9.9", PROTOCOL_UDP, 1);
	packet.dont_fragment = true;
	packet.size = 1450;				/* with its overhead of 50 exactly the uplink's */
	check(&lab, packet, true, REACH_RULE);
	lab.world.links.items[0].mtu = 1499;
	check(&lab, packet, false, REACH_TOO_LARGE);
	lab_clear(&lab);
}

static void test_publications_and_ipv6(void **state)
{
	struct lab lab;

	lab_init(&lab);
	vec_push(&lab.world.publications, ((struct publication){ .address = address("192.168.5.9"), .port = 8080, .protocol = PROTOCOL_TCP, .tenant = "b", .workload = "s", .target_port = 8501 }));
	struct packet packet = to_address(WORLD_NONE, "192.168.5.9", PROTOCOL_TCP, 8080);
	packet.source = address("198.51.100.7");
	check(&lab, packet, true, REACH_PUBLISHED);
	check(&lab, to_address(lab.host, "192.168.5.9", PROTOCOL_TCP, 8080), true, REACH_PUBLISHED);
	check(&lab, to_address(lab.a0, "192.168.5.9", PROTOCOL_TCP, 8080), false, REACH_ISOLATED);
	check(&lab, tcp(lab.host, lab.b0, 8501), false, REACH_ISOLATED);
	lab.world.publications.items[0].address = address("0.0.0.0");
	check(&lab, packet, true, REACH_PUBLISHED);
	packet.port = 8081;
	check(&lab, packet, true, REACH_NOTHING_AGAINST);

	struct packet six = { .family = AF_INET6, .from = lab.a0, .to = lab.a1, .destination = address("fe80::1"), .source = address("fe80::2"), .protocol = PROTOCOL_TCP, .port = 1 };
	check(&lab, six, false, REACH_IPV6_OFF);
	lab.world.ipv6 = true;
	check(&lab, six, false, REACH_SPOOFED_ADDRESS);
	six.source.family = 0;
	check(&lab, six, false, REACH_NO_ADDRESS);
	vec_clear(&lab.world.publications);
	lab_clear(&lab);
}

static void test_classes_of_addresses(void **state)
{
	const char *public[] = { "1.1.1.1", "9.9.9.9", "172.15.0.1", "192.167.255.255", "223.255.255.255", "2606:4700::1111", "2a00::1" };
	const char *other[] = { "10.0.0.1", "192.0.0.8", "198.19.0.1", "240.0.0.1", "::1", "fc00::1", "fe80::1", "ff02::1", "2001:db8::1", "2002:a00:1::1", "64:ff9b::a00:1", "::ffff:10.0.0.1" };
	for (size_t i = 0; i < ARRAY_LEN(public); i++)
		assert_true(address_is_public(&(struct address[]){ address(public[i]) }[0]));
	for (size_t i = 0; i < ARRAY_LEN(other); i++)
		assert_false(address_is_public(&(struct address[]){ address(other[i]) }[0]));
	struct address m[] = { address("169.254.169.254"), address("fe80::1"), address("febf::1"), address("fd00:ec2::254"), address("fd00:ec2::253"), address("169.253.0.1"), address("fec0::1") };
	for (size_t i = 0; i < ARRAY_LEN(m); i++)
		assert_int_equal(address_is_metadata(&m[i]), i < 4);
}

/* Laws, over random worlds. */

#define INSTANCES 5
static const uint16_t some_ports[] = { 22, 80, 443, 8501 };

static struct selector random_selector(struct world *w, struct rng *rng)
{
	static const char *tenants[] = { "a", "b", "c" };

	switch (rng_below(rng, 5)) {
	case 0: return (struct selector){ .kind = SELECT_ALL };
	case 1: return (struct selector){ .kind = SELECT_PREFIX, .prefix = prefix("10.77.1.0", 30) };
	case 2: return (struct selector){ .kind = SELECT_HOSTS };
	default: return of_tenant(w, tenants[rng_below(rng, 3)]);
	}
}

static struct rule random_rule(struct world *w, struct rng *rng, enum action action)
{
	struct rule r = rule(w, action, random_selector(w, rng), "random");

	if (rng_below(rng, 2)) {
		uint16_t first = some_ports[rng_below(rng, 4)];
		r = on_ports(w, r, rng_below(rng, 2) ? PROTOCOL_TCP : PROTOCOL_ANY, first, (uint16_t)(first + rng_below(rng, 500)));
	}
	return r;
}

static void random_world(struct lab *lab, struct rng *rng)
{
	static const char *names[INSTANCES] = { "a/0", "a/1", "b/0", "b/1", "c/0" }, *tenants[INSTANCES] = { "a", "a", "b", "b", "c" };
	static const char *addresses[INSTANCES] = { "10.77.1.2", "10.77.1.3", "10.77.2.2", "10.77.2.3", "10.77.3.2" };
	struct world *w = &lab->world;

	memset(lab, 0, sizeof(*lab));
	arena_init(&w->arena);
	vec_reserve(&w->policies, 64);
	add_link(w, "l", 1500, 0, WORLD_NONE);
	for (size_t i = 0; i < INSTANCES; i++)
		add_endpoint(w, ENDPOINT_INSTANCE, names[i], tenants[i], addresses[i], 0);
	add_endpoint(w, ENDPOINT_HOST, "host", NULL, "192.168.5.9", WORLD_NONE);
	for (size_t i = 0, n = 1 + rng_below(rng, 6); i < n; i++) {
		struct policy *p = add_policy(w, "p", (uint32_t)rng_below(rng, 3), (uint32_t)rng_below(rng, 3), rng_below(rng, 2) ? DIRECTION_INGRESS : DIRECTION_EGRESS,
					      rng_below(rng, 2), random_selector(w, rng));
		for (size_t k = 0, m = rng_below(rng, 4); k < m; k++)
			add_rule(p, random_rule(w, rng, (enum action)rng_below(rng, 3)));
	}
}

typedef bool reached[INSTANCES + 1][INSTANCES + 1][ARRAY_LEN(some_ports)];

static void evaluate_all(struct world *w, reached r)
{
	for (uint32_t from = 0; from <= INSTANCES; from++)
		for (uint32_t to = 0; to <= INSTANCES; to++)
			for (size_t p = 0; p < ARRAY_LEN(some_ports); p++) {
				struct packet packet = tcp(from, to, some_ports[p]);
				r[from][to][p] = reach_evaluate(w, &packet).allowed;
			}
}

/* before => after, for each packet */
static void assert_grows(reached before, reached after, uint64_t seed)
{
	for (size_t i = 0; i < sizeof(reached); i++)
		if (((bool *)before)[i] && !((bool *)after)[i])
			fail_msg("seed %llu: a packet that passed is denied", (unsigned long long)seed);
}

static void test_laws(void **state)
{
	size_t changed_by_allow = 0, changed_by_deny = 0;

	for (uint64_t seed = 1; seed <= 3000; seed++) {
		struct rng rng;
		struct lab lab;
		reached before, after;

		rng_seed(&rng, seed);
		random_world(&lab, &rng);
		evaluate_all(&lab.world, before);
		struct policy *p = &lab.world.policies.items[rng_below(&rng, lab.world.policies.n)];
		size_t at = rng_below(&rng, p->rule_n + 1);

		/* an allow rule, anywhere, never takes anything away */
		memmove(p->rules + at + 1, p->rules + at, (p->rule_n - at) * sizeof(struct rule));
		p->rules[at] = random_rule(&lab.world, &rng, ACTION_ALLOW);
		p->rule_n++;
		evaluate_all(&lab.world, after);
		assert_grows(before, after, seed);
		changed_by_allow += memcmp(before, after, sizeof(before)) != 0;

		/* the same as a deny rule never gives anything */
		p->rules[at].action = ACTION_DENY;
		evaluate_all(&lab.world, after);
		assert_grows(after, before, seed);
		changed_by_deny += memcmp(before, after, sizeof(before)) != 0;

		/* a rule about no one changes nothing */
		p->rules[at].peer_n = 0;
		evaluate_all(&lab.world, after);
		assert_memory_equal(before, after, sizeof(before));

		/* to isolate never gives anything */
		bool was = p->isolates;
		p->isolates = true;
		evaluate_all(&lab.world, after);
		assert_grows(after, before, seed);
		p->isolates = was;

		/* in a world without policies everything passes */
		lab.world.policies.n = 0;
		evaluate_all(&lab.world, after);
		assert_grows(before, after, seed);
		lab_clear(&lab);
	}
	assert_true(changed_by_allow > 100 && changed_by_deny > 100);	/* else the laws were about nothing */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tenants), cmocka_unit_test(test_hosts_metadata_internet), cmocka_unit_test(test_tiers_and_pass),
		cmocka_unit_test(test_prefix_except_and_ports), cmocka_unit_test(test_spoofing), cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_publications_and_ipv6), cmocka_unit_test(test_classes_of_addresses), cmocka_unit_test(test_laws),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
