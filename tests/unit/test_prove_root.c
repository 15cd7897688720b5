/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proof on a small world of network namespaces that are made here: a namespace that plays the host, a router with three
 * tenants' bridges, four instances. What the walls are is written by hand, as is the world they should be: first they agree,
 * then each change of the walls must be reported, exactly.
 */
#include "helper.h"

#include "audit/prove.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HOST, ROUTER, A0, A1, B0, C0, SPACES };
static const char *const space_names[SPACES] = { "host", "", "a/w/0", "a/w/1", "b/s/0", "c/w/0" };
static int spaces[SPACES] = { -1, -1, -1, -1, -1, -1 };
/* A report of an earlier test that failed is dropped here, so that only one failure is shown. */
static struct prove_report the_report;
static bool ready;
static char why_not[600];

static int netns_make(void)
{
	int to[2], fd = -1;
	char path[64], c;
	pid_t pid;

	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) == 0 && write(to[1], "r", 1) == 1)
			pause();
		_exit(1);
	}
	close(to[1]);
	if (read(to[0], &c, 1) == 1) {
		snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		kill(pid, SIGKILL);
	}
	close(to[0]);
	waitpid(pid, NULL, 0);
	return fd;
}

static bool run_in(int space, const char *const *argv, const char *input)
{
	struct proc_options options = { .argv = argv, .netns = spaces[space], .input = input, .input_n = input ? strlen(input) : 0 };
	struct error err = { 0 };

	if (proc_check(&options, NULL, &err) == 0)
		return true;
	if (!why_not[0])
		snprintf(why_not, sizeof(why_not), "%.500s", err.message);
	return false;
}

/* One `ip` command a line; %d stands for the path of a namespace by number ("@3") */
static bool ip_batch(int space, const char *text)
{
	autofree char *batch = xstrdup("");

	for (const char *at = text; *at; at++) {
		autofree char *old = steal(&batch);
		if (*at == '@') {
			batch = xasprintf("%s/proc/%d/fd/%d", old, (int)getpid(), spaces[at[1] - '0']);
			at++;
		} else {
			batch = xasprintf("%s%c", old, *at);
		}
	}
	return run_in(space, (const char *const[]){ "ip", "-batch", "-", NULL }, batch);
}

#define PORT(name, bridge, space, address, gateway) \
	"link add " name " mtu 1400 type veth peer name eth0 mtu 1400 netns @" space "\nlink set " name " master " bridge "\nlink set " name " up\n"
#define BRIDGE(name, address) "link add " name " mtu 1400 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\naddr add " address " dev " name "\nlink set " name " up\n"
#define INSIDE(address, gateway) "link set lo up\naddr add " address " dev eth0\nlink set eth0 up\nroute add default via " gateway "\n"

static const char walls[] =
	"table inet t {\n"
	" set flows { type ipv4_addr . ipv4_addr . inet_proto . inet_service; elements = { 10.9.1.2 . 10.9.2.2 . tcp . 8501, 10.9.1.3 . 10.9.2.2 . tcp . 8501 } }\n"
	" chain forward { type filter hook forward priority filter; policy drop;\n"
	"  iifname . oifname { \"br-a\" . \"br-a\", \"br-b\" . \"br-b\", \"br-c\" . \"br-c\" } accept\n"
	"  meta nfproto ipv6 drop\n"
	"  ct state established,related accept\n"
	"  ip saddr . ip daddr . meta l4proto . th dport @flows accept\n"
	"  iifname \"wan\" ip daddr 10.9.2.2 tcp dport 8501 accept\n"
	"  iifname \"br-a\" oifname \"wan\" ip daddr != { 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, 169.254.0.0/16 } tcp dport 443 accept\n"
	" }\n"
	" chain input { type filter hook input priority filter; policy drop;\n"
	"  ct state established,related accept\n"
	"  iifname \"br-a\" ip daddr 10.9.1.1 icmp type echo-request accept\n"
	"  iifname \"br-b\" ip daddr 10.9.2.1 icmp type echo-request accept\n"
	"  iifname \"br-c\" ip daddr 10.9.3.1 icmp type echo-request accept\n"
	" }\n}\n"
	"table bridge t {\n"
	" set ok { type ifname . ether_addr . ipv4_addr; }\n"
	" chain pre { type filter hook prerouting priority -300; policy drop;\n"
	"  iifname { \"br-a\", \"br-b\", \"br-c\" } accept\n"
	"  ether type arp iifname . ether saddr . arp saddr ip @ok accept\n"
	"  ether type ip iifname . ether saddr . ip saddr @ok accept\n"
	" }\n}\n";

static const char host_walls[] =
	"table inet h {\n"
	" chain input { type filter hook input priority filter; policy accept; iifname \"lower\" ct state established,related accept; iifname \"lower\" drop; }\n"
	" chain output { type nat hook output priority -100; ip daddr 192.168.77.1 tcp dport 8080 dnat ip to 10.9.2.2:8501; }\n"
	"}\n";

static bool add_macs(void)
{
	static const char *const ports[] = { [A0] = "v-a0", [A1] = "v-a1", [B0] = "v-b0", [C0] = "v-c0" };
	static const char *const addresses[] = { [A0] = "10.9.1.2", [A1] = "10.9.1.3", [B0] = "10.9.2.2", [C0] = "10.9.3.2" };
	bool ok = true;

	for (int s = A0; s <= C0; s++) {
		struct proc_options options = { .argv = (const char *const[]){ "ip", "-br", "link", "show", "eth0", NULL }, .netns = spaces[s] };
		autofree char *line = NULL, *element = NULL;
		char name[32], state[32], mac[32];
		struct error err = { 0 };

		if (proc_check(&options, &line, &err) < 0 || sscanf(line, "%31s %31s %31s", name, state, mac) != 3)
			return false;
		element = xasprintf("add element bridge t ok { \"%s\" . %s . %s }\n", ports[s], mac, addresses[s]);
		ok = ok && run_in(ROUTER, (const char *const[]){ "nft", "-f", "-", NULL }, element);
	}
	return ok;
}

static bool nft(int space, const char *text)
{
	return run_in(space, (const char *const[]){ "nft", "-f", "-", NULL }, text);
}

static bool build(void)
{
	static const char *const forward[] = { "sysctl", "-q", "-w", "net.ipv4.ip_forward=1", NULL };

	for (int i = 0; i < SPACES; i++)
		if ((spaces[i] = netns_make()) < 0)
			return false;
	if (!ip_batch(ROUTER, "link set lo up\n" BRIDGE("br-a", "10.9.1.1/24") BRIDGE("br-b", "10.9.2.1/24") BRIDGE("br-c", "10.9.3.1/24")
		      PORT("v-a0", "br-a", "2", , ) PORT("v-a1", "br-a", "3", , ) PORT("v-b0", "br-b", "4", , ) PORT("v-c0", "br-c", "5", , )
		      "link add wan type veth peer name lower netns @0\naddr add 10.9.0.2/30 dev wan\nlink set wan up\nroute add default via 10.9.0.1\n"))
		return false;
	if (!ip_batch(HOST, "link set lo up\naddr add 10.9.0.1/30 dev lower\nlink set lower up\nroute add 10.9.0.0/16 via 10.9.0.2\n"
		      "link add lan type bridge\naddr add 192.168.77.1/24 dev lan\nlink set lan up\nroute add default dev lan\n"))
		return false;
	if (!ip_batch(A0, INSIDE("10.9.1.2/24", "10.9.1.1")) || !ip_batch(A1, INSIDE("10.9.1.3/24", "10.9.1.1")) ||
	    !ip_batch(B0, INSIDE("10.9.2.2/24", "10.9.2.1")) || !ip_batch(C0, INSIDE("10.9.3.2/24", "10.9.3.1")))
		return false;
	return run_in(ROUTER, forward, NULL) && run_in(HOST, forward, NULL) && nft(ROUTER, walls) && nft(HOST, host_walls) && add_macs();
}

static int set_up(void **state)
{
	ready = geteuid() == 0 && build();
	if (!why_not[0])
		snprintf(why_not, sizeof(why_not), "network namespaces need root");
	return 0;
}

static int tear_down(void **state)
{
	prove_report_clear(&the_report);
	for (int i = 0; i < SPACES; i++)
		if (spaces[i] >= 0)
			close(spaces[i]);
	return 0;
}

/* The world that those walls are. */

static struct labels labels1(struct world *w, const char *key, const char *value)
{
	struct label *item = arena_array(&w->arena, 2, sizeof(*item));

	item[0] = (struct label){ key, value };
	return (struct labels){ item, 1 };
}

static struct selector tenant(struct world *w, const char *name)
{
	return (struct selector){ .kind = SELECT_LABELS, .labels = labels1(w, "tenant", name) };
}

static void add_rule(struct world *w, struct policy *p, struct selector peer, enum protocol protocol, uint16_t port, const char *name)
{
	struct rule *rule = &p->rules[p->rule_n++];

	*rule = (struct rule){ .name = name, .action = ACTION_ALLOW, .peers = arena_new(&w->arena, struct selector), .peer_n = 1 };
	rule->peers[0] = peer;
	if (protocol == PROTOCOL_ANY)
		return;
	rule->ports.items = arena_new(&w->arena, struct port_range);
	rule->ports.items[0] = (struct port_range){ .protocol = protocol, .first = port, .last = port ? port : UINT16_MAX };
	rule->ports.n = 1;
}

static void add_endpoint(struct world *w, enum endpoint_kind kind, const char *name, const char *of, const char *address, uint32_t link)
{
	struct endpoint e = { .name = name, .kind = kind, .tenant = of, .node = WORLD_NONE, .port = WORLD_NONE, .address_n = 1 };
	struct error err = { 0 };

	e.addresses = arena_new(&w->arena, struct address);
	assert_ok(address_parse(address, e.addresses, &err));
	if (kind == ENDPOINT_INSTANCE) {
		e.labels = labels1(w, "tenant", of);
		e.port = (uint32_t)w->ports.n;
		vec_push(&w->ports, ((struct port){ .name = name, .endpoint = (uint32_t)w->endpoints.n, .link = link, .security = true }));
	}
	vec_push(&w->endpoints, e);
}

static void world_make(struct world *w)
{
	static const char *const names[] = { "a", "b", "c" }, *const gateways[] = { "10.9.1.1", "10.9.2.1", "10.9.3.1" };
	struct error err = { 0 };

	memset(w, 0, sizeof(*w));
	arena_init(&w->arena);
	vec_push(&w->links, ((struct link){ .name = "uplink", .mtu = 1500, .parent = WORLD_NONE }));
	for (int i = 0; i < 3; i++) {
		struct link link = { .name = names[i], .tenant = names[i], .mtu = 1400, .parent = 0 };
		assert_ok(address_parse(gateways[i], &link.gateway, &err));
		vec_push(&w->links, link);
	}
	add_endpoint(w, ENDPOINT_INSTANCE, "a/w/0", "a", "10.9.1.2", 1);
	add_endpoint(w, ENDPOINT_INSTANCE, "a/w/1", "a", "10.9.1.3", 1);
	add_endpoint(w, ENDPOINT_INSTANCE, "b/s/0", "b", "10.9.2.2", 2);
	add_endpoint(w, ENDPOINT_INSTANCE, "c/w/0", "c", "10.9.3.2", 3);
	add_endpoint(w, ENDPOINT_HOST, "host", NULL, "192.168.77.1", 0);
	for (int i = 0; i < 3; i++)
		add_endpoint(w, ENDPOINT_GATEWAY, gateways[i], names[i], gateways[i], 0);
	vec_reserve(&w->policies, 8);
	for (int i = 0; i < 3; i++)
		for (int out = 0; out < 2; out++) {
			struct policy *p = vec_add(&w->policies);
			*p = (struct policy){ .name = names[i], .direction = out ? DIRECTION_EGRESS : DIRECTION_INGRESS, .isolates = true, .applies = tenant(w, names[i]) };
			p->rules = arena_array(&w->arena, 8, sizeof(struct rule));
			add_rule(w, p, tenant(w, names[i]), PROTOCOL_ANY, 0, "same tenant");
			if (out) {
				struct address gateway;
				assert_ok(address_parse(gateways[i], &gateway, &err));
				add_rule(w, p, (struct selector){ .kind = SELECT_PREFIX, .prefix = { gateway, 32 } }, PROTOCOL_ICMP, 0, "own gateway icmp");
			}
			if (i == 0 && out) {
				add_rule(w, p, tenant(w, "b"), PROTOCOL_ANY, 0, "the receiver's word suffices");
				add_rule(w, p, (struct selector){ .kind = SELECT_INTERNET }, PROTOCOL_TCP, 443, "a: to internet tcp/443");
			}
			if (i == 1 && !out) {
				add_rule(w, p, tenant(w, "a"), PROTOCOL_TCP, 8501, "b: from a tcp/8501");
				add_rule(w, p, (struct selector){ .kind = SELECT_HOSTS }, PROTOCOL_TCP, 8501, "b: published");
			}
		}
	struct instance instance = { .key = "b/s/0", .tenant = "b", .workload = "s", .endpoint = 2 };
	vec_push(&w->instances, instance);
	struct publication published = { .port = 8080, .protocol = PROTOCOL_TCP, .tenant = "b", .workload = "s", .target_port = 8501 };
	assert_ok(address_parse("192.168.77.1", &published.address, &err));
	vec_push(&w->publications, published);
}

static void world_drop(struct world *w)
{
	vec_clear(&w->links);
	vec_clear(&w->endpoints);
	vec_clear(&w->ports);
	vec_clear(&w->policies);
	vec_clear(&w->instances);
	vec_clear(&w->publications);
	arena_clear(&w->arena);
}

static int enter(struct site *site, const char *endpoint, int *ret, struct error *err)
{
	for (int i = 0; i < SPACES; i++)
		if (streq(space_names[i], endpoint)) {
			*ret = fcntl(spaces[i], F_DUPFD_CLOEXEC, 3);
			return *ret < 0 ? error_set_errno(err, errno, "cannot duplicate") : 0;
		}
	return error_set(err, ERROR_NOT_FOUND, "no namespace %s", endpoint);
}

static const struct site_ops ops = { .name = "test", .enter = enter };

static struct prove_report *prove(const struct resources *actual)
{
	struct prove_report *report = &the_report;
	struct prove_options options = { .ops = &ops, .seed = 5, .no_devices = true, .actual = actual };
	struct error err = { 0 };
	struct world world;

	world_make(&world);
	options.desired = &world;
	prove_report_clear(report);
	int r = prove_run(&options, report, &err);
	world_drop(&world);
	assert_ok(r);
	return report;
}

/* The differences, one line each, in order; caller frees. */
static char *differences(const struct prove_report *report)
{
	char *text = xstrdup("");

	vec_each(&report->rows, row) {
		if (row->ok)
			continue;
		autofree char *old = text;
		text = xasprintf("%s%s: %s > %s %s/%u%s%s: file %s, seen %s (%s)\n", old, prove_topic_name(row->topic), row->from, row->to, row->protocol, row->port,
				 row->what ? " " : "", row->what ? row->what : "", row->expected ? "yes" : "no", row->observed ? "yes" : "no", row->detail);
	}
	return text;
}

static size_t count(const struct prove_report *report, enum prove_topic topic, bool expected)
{
	size_t n = 0;

	vec_each(&report->rows, row)
		n += row->topic == topic && row->expected == expected;
	return n;
}

static void walls_as_declared_give_no_difference(void **state)
{
	struct prove_report *report;

	if (!ready)
		test_skip("%s", why_not);
	report = prove(NULL);
	autofree char *text = differences(report);
	assert_string_equal(text, "");
	assert_int_equal(report->differences, 0);
	/* and it was about something: both answers occur where they can */
	for (int topic = 0; topic < PROVE_NAMES; topic++)
		if (topic != PROVE_CIDR)
			assert_true(count(report, topic, false) + count(report, topic, true) > 0);
	assert_int_equal(count(report, PROVE_BETWEEN, true), 1);
	assert_true(count(report, PROVE_BETWEEN, false) > 50);
	assert_true(count(report, PROVE_WITHIN, true) > 8 && count(report, PROVE_WITHIN, false) >= 6);
	assert_int_equal(count(report, PROVE_INTERNET, true), 1);
	assert_int_equal(count(report, PROVE_METADATA, true), 0);
	assert_int_equal(count(report, PROVE_PUBLISHED, true), 1);
	assert_true(count(report, PROVE_MTU, true) >= 5);
}

static void a_rule_added_and_a_rule_deleted_are_exactly_what_is_reported(void **state)
{
	autoresources struct resources actual = { 0 };
	struct prove_report *report;

	if (!ready)
		test_skip("%s", why_not);
	resources_add(&actual, resource_new("test", "firewall", "host/firewall", json_pack("{s:[s]}", "flows", "c>b tcp/7777")));
	assert_true(nft(ROUTER, "delete element inet t flows { 10.9.1.2 . 10.9.2.2 . tcp . 8501 }\nadd element inet t flows { 10.9.3.2 . 10.9.2.2 . tcp . 7777 }\n"));
	report = prove(&actual);
	autofree char *text = differences(report);
	if (!strstr(text, "between: a/w/0 > b/s/0 tcp/8501: file yes, seen no (did not arrive)\n") ||
	    !strstr(text, "between: c/w/0 > b/s/0 tcp/7777: file no, seen yes (arrived at b/s/0") || report->differences != 2)
		fail_msg("%s", text);
	assert_true(nft(ROUTER, "add element inet t flows { 10.9.1.2 . 10.9.2.2 . tcp . 8501 }\ndelete element inet t flows { 10.9.3.2 . 10.9.2.2 . tcp . 7777 }\n"));
}

static void a_rule_in_the_words_of_a_firewall_is_tried(void **state)
{
	autoresources struct resources actual = { 0 };
	struct prove_report *report;

	if (!ready)
		test_skip("%s", why_not);
	/* for the second instance alone, which is tried because the rule names it */
	resources_add(&actual, resource_new("test", "firewall", "host/firewall",
					    json_pack("{s:[s]}", "flows", "foreign: rule of forward: ip saddr 10.9.1.3 ip daddr 10.9.3.2 udp dport { 53, 6100-6102 } accept")));
	assert_true(nft(ROUTER, "insert rule inet t forward ip saddr 10.9.1.3 ip daddr 10.9.3.2 udp dport { 53, 6100-6102 } accept\n"));
	report = prove(&actual);
	autofree char *text = differences(report);
	if (!strstr(text, "between: a/w/1 > c/w/0 udp/6100: file no, seen yes") || !strstr(text, "between: a/w/1 > c/w/0 udp/53: file no, seen yes") || report->differences != 3)
		fail_msg("%s", text);
	assert_true(nft(ROUTER, "flush ruleset\n") && nft(ROUTER, walls) && add_macs());
}

static void a_missing_wall_is_reported(void **state)
{
	struct prove_report *report;

	if (!ready)
		test_skip("%s", why_not);
	/* no wall on the bridge: forged sources and IPv6 frames pass */
	assert_true(nft(ROUTER, "flush chain bridge t pre\nadd rule bridge t pre accept\n"));
	report = prove(NULL);
	autofree char *text = differences(report);
	bool all = strstr(text, "ARP claims the address of the gateway") && strstr(text, "another hardware address") && strstr(text, "source address of the gateway") &&
		strstr(text, "source address of a/w/0") && strstr(text, "icmpv6") && strstr(text, "to all nodes of the link");
	if (!all)
		fail_msg("%s", text);
	assert_true(nft(ROUTER, "flush chain bridge t pre\nadd rule bridge t pre iifname { \"br-a\", \"br-b\", \"br-c\" } accept\n"
			"add rule bridge t pre ether type arp iifname . ether saddr . arp saddr ip @ok accept\nadd rule bridge t pre ether type ip iifname . ether saddr . ip saddr @ok accept\n"));

	/* the metadata address and private ranges are open */
	assert_true(nft(ROUTER, "insert rule inet t forward iifname \"br-c\" oifname \"wan\" accept\n"));
	report = prove(NULL);
	autofree char *open = differences(report);
	if (!strstr(open, "metadata: c/w/0 > 169.254.169.254 tcp/80: file no, seen yes") || !strstr(open, "private: c/w/0") || !strstr(open, "internet: c/w/0") || strstr(open, "/w/0 > b/"))
		fail_msg("%s", open);
}

static void a_smaller_link_and_a_dead_prover_are_reported(void **state)
{
	struct prove_report *report;

	if (!ready)
		test_skip("%s", why_not);
	assert_true(nft(ROUTER, "flush ruleset\n") && nft(ROUTER, walls) && add_macs());
	assert_true(ip_batch(B0, "link set eth0 mtu 1300\n"));
	report = prove(NULL);
	autofree char *text = differences(report);
	if (!strstr(text, "mtu: b/s/0 > the gateway of b icmp/0 1400 bytes, do not fragment: file yes, seen no (refused by its own network stack: Message too long)"))
		fail_msg("%s", text);
	assert_true(ip_batch(B0, "link set eth0 mtu 1400\n") && ip_batch(C0, "link set eth0 down\n"));
	report = prove(NULL);
	autofree char *dead = differences(report);
	if (!strstr(dead, "control: c/w/0 > the gateway of c") || !strstr(dead, "proves nothing"))
		fail_msg("%s", dead);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walls_as_declared_give_no_difference),
		cmocka_unit_test(a_rule_added_and_a_rule_deleted_are_exactly_what_is_reported),
		cmocka_unit_test(a_rule_in_the_words_of_a_firewall_is_tried),
		cmocka_unit_test(a_missing_wall_is_reported),
		cmocka_unit_test(a_smaller_link_and_a_dead_prover_are_reported),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
