/* SPDX-License-Identifier: Apache-2.0 */
#include "network_fixture.h"

#include <netinet/ip_icmp.h>

/*
 * Three tenants on a machine of our own: "a" with two instances, "b" and "c" with one each. First
 * without walls, to show that everything reaches everything (so that a wall, not an accident, is what stops it), then with.
 */

#define A0 "10.77.1.2"
#define A1 "10.77.1.3"
#define B0 "10.77.2.2"
#define C0 "10.77.3.2"

static char bridge_name[3][16], port_name[4][16], uplink[16], inner[16];
static const char *const tenants[3] = { "a", "b", "c" };
static const struct { const char *key, *link, *address; unsigned tenant; } instances[4] = {
	{ "a/w/0", "a/w/0/link", A0, 0 }, { "a/w/1", "a/w/1/link", A1, 0 }, { "b/w/0", "b/w/0/link", B0, 1 }, { "c/w/0", "c/w/0/link", C0, 2 },
};
static int in[4];

static void make_router(void)
{
	autoresource struct resource *router = made("router", "host/router",
		"{\"pool\": \"10.77.0.0/16\", \"hostAddress\": \"10.77.0.1/30\", \"address\": \"10.77.0.2/30\", \"mtu\": 1500}");
	struct error err = { 0 };

	local_link_name("test", LINK_UPLINK_HOST, "host/router", uplink);
	local_link_name("test", LINK_UPLINK_ROUTER, "host/router", inner);
	assert_ok(local_router.create(&machine.site, router, &err));
	assert_ok(netns_sysctl("ipv4/ip_forward", "1", &err));
}

static void make_instances(void)
{
	struct error err = { 0 };

	for (unsigned i = 0; i < 3; i++) {
		autofree char *key = xasprintf("%s/network", tenants[i]), *json = NULL;
		autoresource struct resource *bridge = NULL;

		local_link_name("test", LINK_BRIDGE, key, bridge_name[i]);
		json = xasprintf("{\"link\": \"%s\", \"address\": \"10.77.%u.1/26\", \"mtu\": 1500}", bridge_name[i], i + 1);
		bridge = made("bridge", key, json);
		assert_ok(local_bridge.create(&machine.site, bridge, &err));
	}
	for (unsigned i = 0; i < 4; i++) {
		unsigned t = instances[i].tenant;
		autofree char *json = NULL;
		autoresource struct resource *link = NULL;

		local_link_name("test", LINK_PORT, instances[i].link, port_name[i]);
		json = xasprintf("{\"bridge\": \"%s\", \"port\": \"%s\", \"address\": \"%s/26\", \"gateway\": \"10.77.%u.1\", \"mac\": \"02:00:00:00:00:%02x\","
				 "\"mtu\": 1500, \"hostname\": \"w\"}", bridge_name[t], port_name[i], instances[i].address, t + 1, i + 1);
		link = made("link", instances[i].link, json);
		assert_ok(local_link.create(&machine.site, link, &err));
		in[i] = instance_netns(instances[i].key);
	}
}

/* flows and egress as JSON lists */
static struct resource *firewall_resource(const char *flows, const char *egress, const char *published)
{
	json_t *body = json_pack("{ss,ss,ss,ss,s[],s[],s[]}", "pool", "10.77.0.0/16", "uplink", inner, "address", "10.77.0.2", "hostAddress", "10.77.0.1",
				 "tenants", "ports", "rates");

	for (unsigned i = 0; i < 3; i++)
		json_add(json_object_get(body, "tenants"), json_pack("{ss,ss,so,so}", "name", tenants[i], "bridge", bridge_name[i], "prefix",
								     json_sprintf("10.77.%u.0/26", i + 1), "gateway", json_sprintf("10.77.%u.1", i + 1)));
	for (unsigned i = 0; i < 4; i++)
		json_add(json_object_get(body, "ports"), json_pack("{ss,ss,so,ss}", "name", instances[i].key, "link", port_name[i], "mac",
								   json_sprintf("02:00:00:00:00:%02x", i + 1), "address", instances[i].address));
	json_set(body, "flows", json_loads(flows, 0, NULL));
	json_set(body, "egress", json_loads(egress, 0, NULL));
	json_set(body, "published", json_loads(published, 0, NULL));
	return resource_new("local", "firewall", "host/firewall", body);
}

static void assert_firewall(const struct resource *wanted)
{
	autoresource struct resource *live = resource_new("local", "firewall", "host/firewall", json_object());
	struct error err = { 0 };

	assert_ok(local_firewall.get(&machine.site, live, &err));
	if (!json_equal(live->body, wanted->body))
		fail_msg("wanted %s, got %s", json_canonical(wanted->body), json_canonical(live->body));
}

static int topology_setup(void **state)
{
	if (machine_setup(state) < 0)
		return -1;
	if (machine.usable) {
		make_router();
		make_instances();
	}
	return 0;
}

static int topology_teardown(void **state)
{
	struct error err = { 0 };

	if (machine.usable) {
		autoresource struct resource *router = made("router", "host/router", "{}");

		for (unsigned i = 0; i < 4; i++) {
			autoresource struct resource *link = made("link", instances[i].link, "{}");

			close(in[i]);
			assert_ok(local_link.remove(&machine.site, link, false, &err));
		}
		assert_ok(local_router.remove(&machine.site, router, false, &err));
	}
	return machine_teardown(state);
}

/* Who of four may open port 80 of which of four: one bit each, in rows of senders. */
static unsigned reach_matrix(uint16_t port)
{
	unsigned ret = 0;

	for (unsigned to = 0; to < 4; to++) {
		int listener = listen_in(in[to], instances[to].address, port);

		for (unsigned from = 0; from < 4; from++)
			if (from != to && reaches(in[from], instances[to].address, port))
				ret |= 1u << (from * 4 + to);
		close(listener);
	}
	return ret;
}

#define BIT(from, to) (1u << ((from) * 4 + (to)))
#define WITHIN_A (BIT(0, 1) | BIT(1, 0))

static void without_walls_everything_is_reached(void **state)
{
	int listener;

	machine_needed();
	assert_int_equal(reach_matrix(80), 0xffff & ~(BIT(0, 0) | BIT(1, 1) | BIT(2, 2) | BIT(3, 3)));
	listener = listen_in(NETNS_HERE, "0.0.0.0", 22);
	assert_true(reaches(in[0], HOST_ADDRESS, 22));
	assert_true(reaches(in[0], "10.77.0.1", 22));
	close(listener);
	listener = listen_in(machine.outside, "0.0.0.0", 443);
	assert_true(reaches(in[0], INTERNET_ADDRESS, 443));
	assert_true(reaches(in[0], OUTSIDE_ADDRESS, 443));
	close(listener);
}

static void the_walls_let_through_what_is_declared_and_nothing_else(void **state)
{
	autoresource struct resource *walls = NULL;
	struct error err = { 0 };
	int listener;

	machine_needed();
	walls = firewall_resource("[\"a>b tcp/80\", \"c>b tcp/8000-8010\", \"b>c any\"]", "[\"a>internet tcp/443\", \"c>192.168.50.0/24 any\"]", "[\"" A0 " tcp/80\"]");
	assert_ok(local_firewall.create(&machine.site, walls, &err));
	assert_firewall(walls);
	assert_int_equal(reach_matrix(80), WITHIN_A | BIT(0, 2) | BIT(1, 2) | BIT(2, 3));
	assert_int_equal(reach_matrix(8005), WITHIN_A | BIT(3, 2) | BIT(2, 3));
	assert_int_equal(reach_matrix(81), WITHIN_A | BIT(2, 3));
	listener = listen_in(machine.outside, "0.0.0.0", 443);
	assert_true(reaches(in[0], INTERNET_ADDRESS, 443));
	assert_false(reaches(in[2], INTERNET_ADDRESS, 443));
	assert_false(reaches(in[3], INTERNET_ADDRESS, 443));
	assert_false(reaches(in[0], OUTSIDE_ADDRESS, 443));
	assert_true(reaches(in[3], OUTSIDE_ADDRESS, 443));
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_walls_everything_is_reached),
		cmocka_unit_test(the_walls_let_through_what_is_declared_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, topology_setup, topology_teardown);
}
