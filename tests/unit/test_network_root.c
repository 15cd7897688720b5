/* SPDX-License-Identifier: Apache-2.0 */
#include "network_fixture.h"

#include "base/clock.h"

#include <sys/wait.h>

/* The router, the bridges and the links, made, listed, changed and removed on a machine of our own. */

#define ROUTER "{\"pool\": \"10.77.0.0/16\", \"hostAddress\": \"10.77.0.1/30\", \"address\": \"10.77.0.2/30\", \"mtu\": 1500}"

static struct resource *bridge_resource(unsigned n, unsigned mtu)
{
	autofree char *key = xasprintf("t%u/network", n), *json = NULL;
	char name[16];

	local_link_name("test", LINK_BRIDGE, key, name);
	json = xasprintf("{\"link\": \"%s\", \"address\": \"10.77.%u.1/26\", \"mtu\": %u}", name, n + 1, mtu);
	return made("bridge", key, json);
}

static struct resource *link_resource(unsigned n, unsigned replica, unsigned mtu)
{
	autofree char *key = xasprintf("t%u/w/%u/link", n, replica), *network = xasprintf("t%u/network", n), *json = NULL;
	char bridge[16], port[16];

	local_link_name("test", LINK_BRIDGE, network, bridge);
	local_link_name("test", LINK_PORT, key, port);
	json = xasprintf("{\"bridge\": \"%s\", \"port\": \"%s\", \"address\": \"10.77.%u.%u/26\", \"gateway\": \"10.77.%u.1\","
			 "\"mac\": \"02:00:0a:4d:%02x:%02x\", \"mtu\": %u, \"hostname\": \"w-%u\"}",
			 bridge, port, n + 1, replica + 2, n + 1, n + 1, replica + 2, mtu, replica);
	return made("link", key, json);
}

static void assert_live(const struct local_kind *kind, const struct resource *wanted)
{
	autoresource struct resource *live = resource_new("local", wanted->kind, wanted->key, json_object());
	autoresources struct resources listed = { 0 };
	struct error err = { 0 };
	struct resource *found;

	assert_ok(kind->get(&machine.site, live, &err));
	assert_ok(kind->list(&machine.site, collect, &listed, &err));
	found = resources_get(&listed, wanted->key);
	if (!found)
		fail_msg("%s is not listed", wanted->key);
	if (!json_equal(live->body, wanted->body) || !json_equal(found->body, wanted->body))
		fail_msg("%s: wanted %s, got %s, listed %s", wanted->key, json_canonical(wanted->body), json_canonical(live->body),
			 json_canonical(found->body));
	assert_string_equal(found->deployment, "test");
}

static size_t swept(void)
{
	static const struct local_kind *const kinds[] = { &local_link, &local_bridge, &local_router };
	autojson json_t *lines = json_array();
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		assert_ok(kinds[i]->sweep(&machine.site, NULL, lines, &err));
	return json_array_size(lines);
}

static size_t listed(const struct local_kind *kind)
{
	autoresources struct resources all = { 0 };
	struct error err = { 0 };

	assert_ok(kind->list(&machine.site, collect, &all, &err));
	return all.n;
}

static void an_island_of_two_instances_comes_up_is_listed_and_goes(void **state)
{
	autoresource struct resource *router = made("router", "host/router", ROUTER), *bridge = bridge_resource(0, 1500);
	autoresource struct resource *a = link_resource(0, 0, 1500), *b = link_resource(0, 1, 1500);
	struct error err = { 0 };
	int in_a, in_b, listener;

	machine_needed();
	for (int twice = 0; twice < 2; twice++) {
		assert_ok(local_router.create(&machine.site, router, &err));
		assert_ok(local_bridge.create(&machine.site, bridge, &err));
		assert_ok(local_link.create(&machine.site, a, &err));
		assert_ok(local_link.create(&machine.site, b, &err));
	}
	assert_live(&local_router, router);
	assert_live(&local_bridge, bridge);
	assert_live(&local_link, a);
	assert_live(&local_link, b);
	in_a = instance_netns("t0/w/0");
	in_b = instance_netns("t0/w/1");
	listener = listen_in(in_b, "10.77.1.3", 80);
	assert_true(reaches(in_a, "10.77.1.3", 80));
	assert_false(reaches(in_a, "10.77.1.3", 81));
	close(listener);
	close(in_a);
	close(in_b);
	for (int twice = 0; twice < 2; twice++) {
		assert_ok(local_link.remove(&machine.site, a, false, &err));
		assert_ok(local_link.remove(&machine.site, b, false, &err));
		assert_ok(local_bridge.remove(&machine.site, bridge, false, &err));
		assert_ok(local_router.remove(&machine.site, router, false, &err));
	}
	assert_int_equal(swept(), 0);
	assert_int_equal(listed(&local_link) + listed(&local_bridge) + listed(&local_router), 0);
}

static void what_differs_is_seen_and_mended(void **state)
{
	autoresource struct resource *router = made("router", "host/router", ROUTER), *bridge = bridge_resource(0, 1400);
	autoresource struct resource *before = link_resource(0, 0, 1500), *after = link_resource(0, 0, 1400);
	autonetlink struct netlink *netlink = NULL;
	struct error err = { 0 };

	machine_needed();
	assert_ok(local_router.create(&machine.site, router, &err));
	assert_ok(local_bridge.create(&machine.site, bridge, &err));
	assert_ok(local_link.create(&machine.site, before, &err));
	assert_ok(local_link.update(&machine.site, before, after, &err));
	assert_live(&local_link, after);
	/* the port is taken away by hand: the namespace is still listed, and create completes it */
	assert_ok(router_open(&machine.site, &netlink, NULL, &err));
	assert_ok(netlink_link_remove(netlink, json_string_value(json_object_get(after->body, "port")), &err));
	assert_int_equal(listed(&local_link), 1);
	assert_ok(local_link.create(&machine.site, after, &err));
	assert_live(&local_link, after);
	assert_ok(local_link.remove(&machine.site, after, false, &err));
	assert_ok(local_bridge.remove(&machine.site, bridge, false, &err));
	assert_ok(local_router.remove(&machine.site, router, false, &err));
	assert_int_equal(swept(), 0);
}

static void a_pool_that_this_machine_routes_elsewhere_is_refused(void **state)
{
	autoresource struct resource *router = made("router", "host/router",
		"{\"pool\": \"192.168.0.0/16\", \"hostAddress\": \"192.168.0.1/30\", \"address\": \"192.168.0.2/30\", \"mtu\": 1500}");
	struct error err = { 0 };

	machine_needed();
	assert_fails(local_router.create(&machine.site, router, &err), "overlaps this machine's route to 192.168.50.0/24 (out0)");
	assert_int_equal(swept(), 0);
}

static void a_create_that_is_killed_at_any_moment_is_completed(void **state)
{
	autoresource struct resource *router = made("router", "host/router", ROUTER), *bridge = bridge_resource(0, 1500), *link = link_resource(0, 0, 1500);
	struct error err = { 0 };

	machine_needed();
	for (unsigned i = 0; i < 40; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			int done = local_router.create(&machine.site, router, &err) < 0 || local_bridge.create(&machine.site, bridge, &err) < 0 ||
				   local_link.create(&machine.site, link, &err) < 0;

			_exit(done);
		}
		usleep(i * 150);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		assert_ok(local_router.create(&machine.site, router, &err));
		assert_ok(local_bridge.create(&machine.site, bridge, &err));
		assert_ok(local_link.create(&machine.site, link, &err));
		assert_live(&local_router, router);
		assert_live(&local_bridge, bridge);
		assert_live(&local_link, link);
		assert_ok(local_link.remove(&machine.site, link, false, &err));
		assert_ok(local_bridge.remove(&machine.site, bridge, false, &err));
		assert_ok(local_router.remove(&machine.site, router, false, &err));
		assert_int_equal(swept(), 0);
	}
}

static void ipv6_is_off_everywhere(void **state)
{
	autoresource struct resource *router = made("router", "host/router", ROUTER), *bridge = bridge_resource(0, 1500), *link = link_resource(0, 0, 1500);
	struct error err = { 0 };
	autofree char *value = NULL, *path = NULL;
	char uplink[16];

	machine_needed();
	assert_ok(local_router.create(&machine.site, router, &err));
	assert_ok(local_bridge.create(&machine.site, bridge, &err));
	assert_ok(local_link.create(&machine.site, link, &err));
	local_link_name("test", LINK_UPLINK_HOST, "host/router", uplink);
	path = xasprintf("/proc/sys/net/ipv6/conf/%s/disable_ipv6", uplink);
	if (fs_exists(path)) {
		assert_ok(fs_read_line(path, &value, &err));
		assert_string_equal(value, "1");
	}
	assert_ok(local_link.remove(&machine.site, link, false, &err));
	assert_ok(local_bridge.remove(&machine.site, bridge, false, &err));
	assert_ok(local_router.remove(&machine.site, router, false, &err));
}

static int64_t ip_forward(void)
{
	struct error err = { 0 };
	int64_t value;

	assert_ok(fs_read_int("/proc/sys/net/ipv4/ip_forward", &value, &err));
	return value;
}

static void forwarding_is_put_back_by_the_last_that_needs_it(void **state)
{
	autoresource struct resource *one = made("forwarding", "host/forwarding", "{\"ipv4\": true}"), *two = resource_copy(one), *live = resource_copy(one);
	struct site_config other_config;
	struct site other;
	struct error err = { 0 };

	machine_needed();
	other_config = machine.config;
	other_config.deployment = "other";
	other = machine.site;
	other.config = &other_config;
	/* a new namespace begins with what the machine has, and a deployment may run there */
	assert_ok(fs_write_value("/proc/sys/net/ipv4/ip_forward", "0", &err));
	for (int twice = 0; twice < 2; twice++)
		assert_ok(local_forwarding.create(&machine.site, one, &err));
	assert_ok(local_forwarding.create(&other, two, &err));
	assert_int_equal(ip_forward(), 1);
	assert_ok(local_forwarding.get(&machine.site, live, &err));
	assert_true(json_is_true(json_object_get(live->body, "ipv4")));
	assert_int_equal(json_integer_value(json_object_get(live->body, "before")), 0);
	RUN_IN(NETNS_HERE, "sysctl", "-qw", "net.ipv4.ip_forward=0");
	assert_ok(local_forwarding.get(&machine.site, live, &err));
	assert_true(json_is_false(json_object_get(live->body, "ipv4")));
	assert_ok(local_forwarding.update(&machine.site, live, one, &err));
	assert_int_equal(ip_forward(), 1);
	assert_ok(local_forwarding.remove(&machine.site, one, false, &err));
	assert_int_equal(ip_forward(), 1);
	assert_fails(local_forwarding.get(&machine.site, live, &err), "does not use");
	for (int twice = 0; twice < 2; twice++)
		assert_ok(local_forwarding.remove(&other, two, false, &err));
	assert_int_equal(ip_forward(), 0);
	/* where it was on before, it stays on */
	RUN_IN(NETNS_HERE, "sysctl", "-qw", "net.ipv4.ip_forward=1");
	assert_ok(local_forwarding.create(&machine.site, one, &err));
	assert_ok(local_forwarding.remove(&machine.site, one, false, &err));
	assert_int_equal(ip_forward(), 1);
	RUN_IN(NETNS_HERE, "sysctl", "-qw", "net.ipv4.ip_forward=0");
}

static void sixty_four_tenants_come_up_quickly(void **state)
{
	enum { N = 64 };
	autoresource struct resource *router = made("router", "host/router", ROUTER);
	struct resource *bridges[N], *links[N];
	struct error err = { 0 };
	int64_t start, up;

	machine_needed();
	for (unsigned i = 0; i < N; i++) {
		bridges[i] = bridge_resource(i, 1500);
		links[i] = link_resource(i, 0, 1500);
	}
	start = clock_monotonic_ns(&clock_system);
	assert_ok(local_router.create(&machine.site, router, &err));
	for (unsigned i = 0; i < N; i++) {
		assert_ok(local_bridge.create(&machine.site, bridges[i], &err));
		assert_ok(local_link.create(&machine.site, links[i], &err));
	}
	up = clock_monotonic_ns(&clock_system) - start;
	printf("# %d tenants with a link each: %.1f ms\n", N, (double)up / 1e6);
	assert_true(up < 6000000000);
	start = clock_monotonic_ns(&clock_system);
	assert_int_equal(listed(&local_link), N);
	printf("# list: %.1f ms\n", (double)(clock_monotonic_ns(&clock_system) - start) / 1e6);
	start = clock_monotonic_ns(&clock_system);
	for (unsigned i = 0; i < N; i++) {
		assert_ok(local_link.remove(&machine.site, links[i], false, &err));
		assert_ok(local_bridge.remove(&machine.site, bridges[i], false, &err));
		resource_free(links[i]);
		resource_free(bridges[i]);
	}
	assert_ok(local_router.remove(&machine.site, router, false, &err));
	printf("# remove: %.1f ms\n", (double)(clock_monotonic_ns(&clock_system) - start) / 1e6);
	assert_int_equal(swept(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_island_of_two_instances_comes_up_is_listed_and_goes),
		cmocka_unit_test(what_differs_is_seen_and_mended),
		cmocka_unit_test(a_pool_that_this_machine_routes_elsewhere_is_refused),
		cmocka_unit_test(a_create_that_is_killed_at_any_moment_is_completed),
		cmocka_unit_test(ipv6_is_off_everywhere),
		cmocka_unit_test(forwarding_is_put_back_by_the_last_that_needs_it),
		cmocka_unit_test(sixty_four_tenants_come_up_quickly),
	};

	return cmocka_run_group_tests(tests, machine_setup, machine_teardown);
}
