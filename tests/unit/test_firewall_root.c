/* SPDX-License-Identifier: Apache-2.0 */
#include "network_fixture.h"

#include "site/local/network/nft.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/wait.h>
#include <time.h>

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
	autoresource struct resource *forwarding = made("forwarding", "host/forwarding", "{\"ipv4\": true}");
	struct error err = { 0 };

	local_link_name("test", LINK_UPLINK_HOST, "host/router", uplink);
	local_link_name("test", LINK_UPLINK_ROUTER, "host/router", inner);
	assert_ok(local_router.create(&machine.site, router, &err));
	assert_ok(local_forwarding.create(&machine.site, forwarding, &err));
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

static struct resource *host_resource(const char *published)
{
	json_t *body = json_pack("{ss,ss,ss,ss,sb}", "pool", "10.77.0.0/16", "uplink", uplink, "hostAddress", "10.77.0.1", "address", "10.77.0.2", "masquerade", 1);

	json_set(body, "published", json_loads(published, 0, NULL));
	return resource_new("local", "host-firewall", "host/uplink", body);
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
		autoresource struct resource *router = made("router", "host/router", "{}"), *firewall = made("firewall", "host/firewall", "{}");
		autoresource struct resource *host = made("host-firewall", "host/uplink", "{}"), *forwarding = made("forwarding", "host/forwarding", "{}");
		autojson json_t *lines = json_array();

		for (unsigned i = 0; i < 4; i++) {
			autoresource struct resource *link = made("link", instances[i].link, "{}");

			close(in[i]);
			assert_ok(local_link.remove(&machine.site, link, false, &err));
		}
		assert_ok(local_host_firewall.remove(&machine.site, host, false, &err));
		assert_ok(local_firewall.remove(&machine.site, firewall, false, &err));
		assert_ok(local_firewall.sweep(&machine.site, NULL, lines, &err));
		assert_ok(local_router.remove(&machine.site, router, false, &err));
		assert_ok(local_forwarding.remove(&machine.site, forwarding, false, &err));
		assert_ok(local_forwarding.sweep(&machine.site, NULL, lines, &err));
		assert_ok(local_host_firewall.sweep(&machine.site, NULL, lines, &err));
		assert_ok(local_link.sweep(&machine.site, NULL, lines, &err));
		assert_int_equal(json_array_size(lines), 0);
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
	assert_true(reaches(in[0], METADATA_ADDRESS, 443));
	close(listener);
	assert_true(echoes(in[0], "10.77.2.1", 8));
	assert_true(echoes(in[0], "10.77.0.2", 8));
	assert_true(echoes(in[0], B0, 8));
	listener = listen_in(in[0], A0, 80);
	assert_true(reaches(machine.outside, A0, 80));
	assert_true(reaches(NETNS_HERE, A0, 80));
	close(listener);
}

/* Frames made by hand */

#define SPOOF_PORT 4000

struct frame { uint8_t bytes[128]; size_t n; };

static uint16_t ones_sum(const uint8_t *bytes, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void frame_ethernet(struct frame *frame, unsigned to, unsigned from, uint16_t type)
{
	const uint8_t header[14] = { 2, 0, 0, 0, 0, (uint8_t)to, 2, 0, 0, 0, 0, (uint8_t)from, (uint8_t)(type >> 8), (uint8_t)type };

	memset(frame, 0, sizeof(*frame));
	memcpy(frame->bytes, header, sizeof(header));
	frame->n = 14;
}

/* A datagram for a1's SPOOF_PORT from whatever source. */
static struct frame datagram(unsigned from_mac, const char *from)
{
	struct frame frame;
	uint8_t *ip, *udp;
	struct in_addr address;

	frame_ethernet(&frame, 2, from_mac, 0x0800);
	ip = frame.bytes + 14;
	ip[0] = 0x45;
	ip[3] = 20 + 8 + 4;
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	inet_pton(AF_INET, from, &address);
	memcpy(ip + 12, &address, 4);
	inet_pton(AF_INET, A1, &address);
	memcpy(ip + 16, &address, 4);
	ip[10] = (uint8_t)(ones_sum(ip, 20) >> 8);
	ip[11] = (uint8_t)ones_sum((uint8_t[20]){ ip[0], ip[1], ip[2], ip[3], ip[4], ip[5], ip[6], ip[7], ip[8], ip[9], 0, 0, ip[12], ip[13],
						  ip[14], ip[15], ip[16], ip[17], ip[18], ip[19] }, 20);
	udp = ip + 20;
	udp[0] = SPOOF_PORT >> 8;
	udp[1] = SPOOF_PORT & 255;
	udp[2] = SPOOF_PORT >> 8;
	udp[3] = SPOOF_PORT & 255;
	udp[5] = 12;
	memcpy(udp + 8, "true", 4);
	frame.n += 32;
	return frame;
}

/* "I am `address`, at 02:..:<mac>", from a port with the hardware address 02:..:<from> */
static struct frame claim(unsigned from, unsigned mac, const char *address)
{
	static const uint8_t fixed[8] = { 0, 1, 8, 0, 6, 4, 0, 2 };
	struct frame frame;
	uint8_t *arp;
	struct in_addr ip;

	frame_ethernet(&frame, 2, from, 0x0806);
	arp = frame.bytes + 14;
	memcpy(arp, fixed, sizeof(fixed));
	memcpy(arp + 8, (uint8_t[6]){ 2, 0, 0, 0, 0, (uint8_t)mac }, 6);
	inet_pton(AF_INET, address, &ip);
	memcpy(arp + 14, &ip, 4);
	memcpy(arp + 18, (uint8_t[6]){ 2, 0, 0, 0, 0, 2 }, 6);
	inet_pton(AF_INET, A1, &ip);
	memcpy(arp + 24, &ip, 4);
	frame.n = 60;
	return frame;
}

static struct frame ipv6_datagram(void)
{
	struct frame frame;

	frame_ethernet(&frame, 2, 1, 0x86dd);
	frame.bytes[14] = 0x60;
	frame.bytes[14 + 5] = 8;
	frame.bytes[14 + 6] = IPPROTO_UDP;
	frame.bytes[14 + 7] = 64;
	frame.bytes[14 + 8] = frame.bytes[14 + 24] = 0xfe;
	frame.bytes[14 + 9] = frame.bytes[14 + 25] = 0x80;
	frame.n = 14 + 40 + 8;
	return frame;
}

static int open_packet(void *arg, struct error *err)
{
	struct socket_place *place = arg;
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex("eth0") };

	place->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	if (place->fd < 0 || bind(place->fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return error_set_errno(err, errno, "packet socket");
	return 0;
}

/* Does the frame, sent by a0 by hand, come out at a1? */
static bool frame_arrives(const struct frame *frame)
{
	struct socket_place sender = { 0, -1 }, receiver = { 0, -1 };
	struct error err = { 0 };
	bool ret = false;
	uint8_t got[2048];

	assert_ok(netns_run(in[0], open_packet, &sender, &err));
	assert_ok(netns_run(in[1], open_packet, &receiver, &err));
	assert_int_equal(send(sender.fd, frame->bytes, frame->n, 0), frame->n);
	for (;;) {
		struct pollfd waiting = { receiver.fd, POLLIN, 0 };

		if (poll(&waiting, 1, CONNECT_MS / 2) != 1)
			break;
		if (recv(receiver.fd, got, sizeof(got), 0) >= (ssize_t)frame->n && memcmp(got, frame->bytes, frame->n) == 0)
			ret = true;
	}
	close(sender.fd);
	close(receiver.fd);
	return ret;
}

/* Bits of what arrives: the truth, a foreign address, a foreign hardware address, true and false words about addresses, IPv6 */
static unsigned spoofs(void)
{
	const struct frame frames[] = {
		datagram(1, A0), claim(1, 1, A0),							/* true ones */
		datagram(1, B0), datagram(1, "10.77.1.9"), datagram(9, A0), datagram(3, A0),
		claim(1, 1, "10.77.1.1"), claim(1, 9, A0), claim(9, 9, A0), ipv6_datagram(),
	};
	unsigned ret = 0;

	for (unsigned i = 0; i < ARRAY_LEN(frames); i++)
		if (frame_arrives(&frames[i]))
			ret |= 1u << i;
	return ret;
}

static void without_walls_every_frame_arrives(void **state)
{
	machine_needed();
	assert_int_equal(spoofs(), 0x3ff);
	for (unsigned i = 0; i < 4; i++)
		RUN_IN(in[i], "ip", "neighbour", "flush", "all");	/* the false words were believed */
}

#define FLOWS "[\"a>b tcp/80\", \"c>b tcp/8000-8010\", \"b>c any\"]"
#define EGRESS "[\"a>internet tcp/443\", \"c>192.168.50.0/24 any\", \"b>internet any\"]"
#define PUBLISHED "[\"" A0 " tcp/80\", \"" A1 " tcp/80\"]"
#define HOST_PUBLISHED "[\"0.0.0.0:8080 tcp > " A0 ":80," A1 ":80\"]"

static void the_walls_are_made_and_read_back(void **state)
{
	autoresource struct resource *walls = NULL, *host = NULL, *live = resource_new("local", "host-firewall", "host/uplink", json_object());
	struct error err = { 0 };

	machine_needed();
	walls = firewall_resource(FLOWS, EGRESS, PUBLISHED);
	host = host_resource(HOST_PUBLISHED);
	for (int twice = 0; twice < 2; twice++) {
		assert_ok(local_firewall.create(&machine.site, walls, &err));
		assert_ok(local_host_firewall.create(&machine.site, host, &err));
	}
	assert_firewall(walls);
	assert_ok(local_host_firewall.get(&machine.site, live, &err));
	if (!json_equal(live->body, host->body))
		fail_msg("wanted %s, got %s", json_canonical(host->body), json_canonical(live->body));
}

static void tenants_reach_what_is_declared_and_nothing_else(void **state)
{
	machine_needed();
	assert_int_equal(reach_matrix(80), WITHIN_A | BIT(0, 2) | BIT(1, 2) | BIT(2, 3));
	assert_int_equal(reach_matrix(8005), WITHIN_A | BIT(3, 2) | BIT(2, 3));
	assert_int_equal(reach_matrix(81), WITHIN_A | BIT(2, 3));
	assert_true(echoes(in[0], A1, 8));
	assert_false(echoes(in[0], B0, 8));
	assert_true(echoes(in[2], C0, 8));
	assert_false(echoes(in[3], B0, 8));
}

static void the_same_holds_when_bridged_frames_pass_the_ip_rules(void **state)
{
	autofd int router = -1;
	struct error err = { 0 };

	machine_needed();
	router = local_netns_open(&machine.site, "", &err);
	if (!fs_exists("/proc/sys/net/bridge/bridge-nf-call-iptables"))
		test_skip("this kernel has no br_netfilter");
	RUN_IN(router, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1", "net.bridge.bridge-nf-call-arptables=1");
	assert_int_equal(reach_matrix(80), WITHIN_A | BIT(0, 2) | BIT(1, 2) | BIT(2, 3));
	assert_int_equal(reach_matrix(81), WITHIN_A | BIT(2, 3));
	assert_int_equal(spoofs(), 3);
	RUN_IN(router, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-arptables=0");
}

static void no_port_sends_what_is_not_its_own(void **state)
{
	machine_needed();
	assert_int_equal(spoofs(), 3);
}

static void neither_the_host_nor_a_gateway_is_reached(void **state)
{
	autofd int router = -1;
	struct error err = { 0 };
	int listener, inner_listener;

	machine_needed();
	router = local_netns_open(&machine.site, "", &err);
	listener = listen_in(NETNS_HERE, "0.0.0.0", 22);
	inner_listener = listen_in(router, "0.0.0.0", 22);
	for (unsigned i = 0; i < 4; i++) {
		static const char *const walls[] = { HOST_ADDRESS, "10.77.0.1", "10.77.0.2", "10.77.1.1", "10.77.2.1", "10.77.3.1" };

		for (unsigned j = 0; j < ARRAY_LEN(walls); j++)
			assert_false(reaches(in[i], walls[j], 22));
	}
	close(listener);
	close(inner_listener);
	/* the own gateway answers for names and echoes, no other does */
	inner_listener = listen_in(router, "0.0.0.0", 53);
	assert_true(reaches(in[0], "10.77.1.1", 53));
	assert_false(reaches(in[0], "10.77.2.1", 53));
	assert_false(reaches(in[0], "10.77.0.2", 53));
	assert_false(reaches(NETNS_HERE, "10.77.0.2", 53));
	close(inner_listener);
	assert_true(echoes(in[0], "10.77.1.1", 8));
	assert_false(echoes(in[0], "10.77.2.1", 8));
	assert_false(echoes(in[0], "10.77.0.2", 8));
	assert_false(echoes(in[0], "10.77.0.1", 8));
	assert_false(echoes(in[0], HOST_ADDRESS, 8));
}

static void what_leaves_is_declared_and_bears_the_hosts_address(void **state)
{
	struct sockaddr_in peer;
	socklen_t n = sizeof(peer);
	int listener, client, server;
	char text[INET_ADDRSTRLEN];

	machine_needed();
	listener = listen_in(machine.outside, "0.0.0.0", 443);
	client = connect_in(in[0], INTERNET_ADDRESS, 443);
	assert_true(client >= 0);
	server = accept(listener, (struct sockaddr *)&peer, &n);
	assert_string_equal(inet_ntop(AF_INET, &peer.sin_addr, text, sizeof(text)), HOST_ADDRESS);
	close(client);
	close(server);
	assert_false(reaches(in[3], INTERNET_ADDRESS, 443));
	assert_false(reaches(in[0], OUTSIDE_ADDRESS, 443));
	assert_true(reaches(in[3], OUTSIDE_ADDRESS, 443));
	assert_true(reaches(in[2], INTERNET_ADDRESS, 443));
	for (unsigned i = 0; i < 4; i++)
		assert_false(reaches(in[i], METADATA_ADDRESS, 443));
	close(listener);
	listener = listen_in(machine.outside, "0.0.0.0", 444);
	assert_false(reaches(in[0], INTERNET_ADDRESS, 444));
	close(listener);
}

static void packets_as_large_as_the_mtu_pass_and_larger_ones_do_not(void **state)
{
	machine_needed();
	assert_true(echoes(in[0], A1, 1472));
	assert_false(echoes(in[0], A1, 1473));
	assert_true(echoes(in[2], C0, 1472));
	assert_false(echoes(in[2], C0, 1473));
	assert_true(echoes(in[2], INTERNET_ADDRESS, 1472));
	assert_false(echoes(in[2], INTERNET_ADDRESS, 1473));
}

static void a_published_port_is_reached_by_the_hosts_address_and_in_no_other_way(void **state)
{
	int listeners[2], other, found = 0;

	machine_needed();
	listeners[0] = listen_in(in[0], A0, 80);
	listeners[1] = listen_in(in[1], A1, 80);
	for (unsigned i = 0; i < 4; i++)
		assert_true(reaches(machine.outside, HOST_ADDRESS, 8080));
	for (unsigned i = 0; i < 2; i++) {
		struct pollfd waiting = { listeners[i], POLLIN, 0 };

		found += poll(&waiting, 1, 0);
	}
	assert_int_equal(found, 2);	/* each replica had its turn */
	assert_true(reaches(NETNS_HERE, "127.0.0.1", 8080));
	assert_true(reaches(NETNS_HERE, HOST_ADDRESS, 8080));
	assert_false(reaches(machine.outside, A0, 80));
	assert_false(reaches(in[2], HOST_ADDRESS, 8080));
	assert_false(reaches(in[2], "10.77.0.1", 8080));
	assert_false(reaches(in[0], HOST_ADDRESS, 8080));
	other = listen_in(in[0], A0, 81);
	assert_false(reaches(machine.outside, A0, 81));
	assert_false(reaches(NETNS_HERE, A0, 81));
	close(other);
	close(listeners[0]);
	close(listeners[1]);
}

/* Drift and change */

static json_t *live_flows(struct resource *live)
{
	struct error err = { 0 };

	assert_ok(local_firewall.get(&machine.site, live, &err));
	return json_object_get(live->body, "flows");
}

static void exactly_what_was_changed_by_hand_is_told_and_mended(void **state)
{
	autoresource struct resource *live = resource_new("local", "firewall", "host/firewall", json_object()), *wanted = NULL;
	autofree char *wall = NULL, *element = NULL;
	autofd int router = -1;
	struct error err = { 0 };
	json_t *flows;
	int listener;

	machine_needed();
	wanted = firewall_resource(FLOWS, EGRESS, PUBLISHED);
	router = local_netns_open(&machine.site, "", &err);
	element = xasprintf("{ \"%s\" . \"%s\" . tcp . 80 }", bridge_name[0], bridge_name[1]);
	RUN_IN(router, "nft", "insert", "rule", "inet", "insula_test", "forward", "iifname", bridge_name[2], "accept");
	RUN_IN(router, "nft", "delete", "element", "inet", "insula_test", "flows", element);
	flows = live_flows(live);
	assert_int_equal(json_array_size(flows), 3);
	assert_string_equal(json_string_value(json_array_get(flows, 0)), "c>b tcp/8000-8010");
	assert_string_equal(json_string_value(json_array_get(flows, 1)), "b>c any");
	wall = xasprintf("foreign: rule of forward: iifname \"%s\" accept", bridge_name[2]);
	assert_string_equal(json_string_value(json_array_get(flows, 2)), wall);
	json_object_set(live->body, "flows", json_object_get(wanted->body, "flows"));
	assert_true(json_equal(live->body, wanted->body));	/* nothing else was told */
	listener = listen_in(in[0], A0, 9);
	assert_true(reaches(in[3], A0, 9));			/* the foreign rule is a door indeed */
	live_flows(live);
	assert_ok(local_firewall.update(&machine.site, live, wanted, &err));
	assert_firewall(wanted);
	assert_false(reaches(in[3], A0, 9));
	close(listener);
}

static void other_changes_by_hand_are_told(void **state)
{
	autoresource struct resource *live = resource_new("local", "firewall", "host/firewall", json_object()), *wanted = NULL;
	autofree char *element = NULL;
	autofd int router = -1;
	struct error err = { 0 };
	json_t *flows;

	machine_needed();
	wanted = firewall_resource(FLOWS, EGRESS, PUBLISHED);
	router = local_netns_open(&machine.site, "", &err);
	element = xasprintf("{ \"%s\" . \"%s\" }", bridge_name[0], bridge_name[2]);
	RUN_IN(router, "nft", "add", "element", "inet", "insula_test", "same", element);
	RUN_IN(router, "nft", "add", "element", "inet", "insula_test", "flows_any", element);
	RUN_IN(router, "nft", "flush", "chain", "inet", "insula_test", "output");
	RUN_IN(router, "nft", "add", "table", "ip", "stranger");
	flows = live_flows(live);
	assert_int_equal(json_array_size(flows), 3 + 2 + 3 + 1);
	assert_string_equal(json_string_value(json_array_get(flows, 3)), ({
		static char text[100];
		snprintf(text, sizeof(text), "foreign: %s . %s in the set same", bridge_name[0], bridge_name[2]);
		text;
	}));
	assert_string_equal(json_string_value(json_array_get(flows, 4)), "a>c any");
	assert_string_equal(json_string_value(json_array_get(flows, 5)), "foreign: table ip stranger");
	assert_string_equal(json_string_value(json_array_get(flows, 6)), "missing: rule output: no IPv6");
	RUN_IN(router, "nft", "delete", "table", "ip", "stranger");
	live_flows(live);
	assert_ok(local_firewall.update(&machine.site, live, wanted, &err));
	assert_firewall(wanted);
}

static int64_t rule_handle(int router)
{
	autojson json_t *listing = NULL;
	struct error err = { 0 };
	json_t *entry;
	size_t i;

	assert_ok(nft_list(router, "inet", "insula_test", &listing, &err));
	json_array_foreach(listing, i, entry)
		if (json_get_object(entry, "rule"))
			return json_get_int(json_get_object(entry, "rule"), "handle", 0);
	return 0;
}

static void a_change_of_flows_changes_elements_and_cuts_what_was_established(void **state)
{
	autoresource struct resource *before = NULL, *after = NULL;
	struct pollfd waiting = { -1, POLLIN, 0 };
	int listener, client, server;
	autofd int router = -1;
	struct error err = { 0 };
	int64_t handle;

	machine_needed();
	before = firewall_resource(FLOWS, EGRESS, PUBLISHED);
	after = firewall_resource("[\"b>c any\", \"a>c udp/53\"]", EGRESS, PUBLISHED);
	router = local_netns_open(&machine.site, "", &err);
	handle = rule_handle(router);
	listener = listen_in(in[2], B0, 80);
	client = connect_in(in[0], B0, 80);
	server = accept(listener, NULL, NULL);
	assert_true(client >= 0 && server >= 0);
	waiting.fd = server;
	assert_int_equal(send(client, "1", 1, 0), 1);
	assert_int_equal(poll(&waiting, 1, 1000), 1);
	assert_int_equal(recv(server, &(char){ 0 }, 1, 0), 1);
	assert_ok(local_firewall.update(&machine.site, before, after, &err));
	assert_firewall(after);
	assert_int_equal(rule_handle(router), handle);		/* not loaded anew */
	assert_int_equal(send(client, "2", 1, 0), 1);
	assert_int_equal(poll(&waiting, 1, 500), 0);
	close(client);
	close(server);
	close(listener);
	assert_ok(local_firewall.update(&machine.site, after, before, &err));
	assert_firewall(before);
	assert_int_equal(reach_matrix(80), WITHIN_A | BIT(0, 2) | BIT(1, 2) | BIT(2, 3));
}

static void ranges_grow_and_shrink(void **state)
{
	static const char *const steps[] = {
		"[\"a>b tcp/80-81\"]", "[\"a>b tcp/80-90\"]", "[\"a>b tcp/85\", \"a>b udp\", \"a>b icmp\", \"b>c icmpv6\"]", "[\"a>b tcp\"]", "[\"a>b any\"]", "[]",
	};
	autoresource struct resource *before = NULL;
	struct error err = { 0 };

	machine_needed();
	before = firewall_resource(FLOWS, EGRESS, PUBLISHED);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct resource *after = firewall_resource(steps[i], EGRESS, PUBLISHED);

		assert_ok(local_firewall.update(&machine.site, before, after, &err));
		assert_firewall(after);
		resource_free(before);
		before = after;
	}
}

/* nft knows protocols by name only where a file tells it. */
static void the_walls_do_not_need_a_list_of_protocols(void **state)
{
	autoresource struct resource *walls = NULL;
	struct error err = { 0 };

	machine_needed();
	walls = firewall_resource(FLOWS, EGRESS, PUBLISHED);
	if (fs_exists("/etc/protocols"))
		assert_int_equal(mount("/dev/null", "/etc/protocols", NULL, MS_BIND, NULL), 0);
	assert_ok(local_firewall.create(&machine.site, walls, &err));
	assert_firewall(walls);
	if (fs_exists("/etc/protocols"))
		assert_int_equal(umount2("/etc/protocols", 0), 0);
	assert_ok(local_firewall.create(&machine.site, walls, &err));
	assert_firewall(walls);
}

/* Where a process of the host listens, nothing is published anew; what was published stays in the way of no update. */
static void taken_is_not_hidden(void)
{
	autoresource struct resource *wanted = host_resource("[\"127.0.0.1:18998 tcp > 10.77.1.2:80\"]"), *moved = host_resource("[\"127.0.0.1:18998 tcp > 10.77.1.3:80\"]");
	int listener = listen_in(NETNS_HERE, "127.0.0.1", 18998);
	struct error err = { 0 };

	assert_fails(local_host_firewall.update(&machine.site, wanted, wanted, &err), "a process of this machine listens there");
	assert_int_equal(err.code, ERROR_CONFLICT);
	close(listener);
	assert_ok(local_host_firewall.update(&machine.site, wanted, wanted, &err));
	listener = listen_in(NETNS_HERE, "127.0.0.1", 18998);
	assert_ok(local_host_firewall.update(&machine.site, wanted, moved, &err));
	close(listener);
}

static void a_port_that_is_published_no_more_is_closed_at_once(void **state)
{
	autoresource struct resource *none = NULL, *live = resource_new("local", "host-firewall", "host/uplink", json_object());
	int listener, client, server;
	struct pollfd waiting = { -1, POLLIN, 0 };
	struct error err = { 0 };

	machine_needed();
	none = host_resource("[]");
	listener = listen_in(in[0], A0, 80);
	do
		client = connect_in(machine.outside, HOST_ADDRESS, 8080);	/* until it is the turn of the first replica */
	while (client < 0);
	server = accept(listener, NULL, NULL);
	waiting.fd = server;
	assert_int_equal(send(client, "1", 1, 0), 1);
	assert_int_equal(poll(&waiting, 1, 1000), 1);
	assert_int_equal(recv(server, &(char){ 0 }, 1, 0), 1);
	assert_ok(local_host_firewall.update(&machine.site, none, none, &err));
	assert_int_equal(send(client, "2", 1, 0), 1);
	assert_int_equal(poll(&waiting, 1, 500), 0);
	assert_false(reaches(machine.outside, HOST_ADDRESS, 8080));
	assert_false(reaches(NETNS_HERE, "127.0.0.1", 8080));
	assert_ok(local_host_firewall.get(&machine.site, live, &err));
	assert_true(json_equal(live->body, none->body));
	RUN_IN(NETNS_HERE, "nft", "add", "rule", "inet", "insula_test", "forward", "accept");
	assert_ok(local_host_firewall.get(&machine.site, live, &err));
	assert_string_equal(json_string_value(json_array_get(json_object_get(live->body, "published"), 0)), "foreign: rule of forward: accept");
	assert_ok(local_host_firewall.create(&machine.site, none, &err));
	taken_is_not_hidden();
	assert_ok(local_host_firewall.create(&machine.site, none, &err));
	close(client);
	close(server);
	close(listener);
}

/* A load that is killed leaves the old walls or the new ones; whichever, the next update makes them right. */
static void a_load_that_is_killed_at_any_moment_is_mended(void **state)
{
	autoresource struct resource *one = NULL, *two = NULL, *host = NULL, *live = resource_new("local", "firewall", "host/firewall", json_object());
	struct error err = { 0 };
	int listener;

	machine_needed();
	one = firewall_resource(FLOWS, EGRESS, PUBLISHED);
	two = firewall_resource("[\"a>b tcp/80\"]", EGRESS, "[]");
	json_add(json_object_get(two->body, "rates"), json_pack("{ss,si}", "bridge", bridge_name[0], "rate", 1000000));
	host = host_resource(HOST_PUBLISHED);
	listener = listen_in(in[0], A0, 81);
	assert_ok(local_firewall.create(&machine.site, one, &err));
	for (unsigned i = 0; i < 20; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(local_firewall.update(&machine.site, one, two, &err) < 0 || local_host_firewall.create(&machine.site, host, &err) < 0);
		usleep(i * 6000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		assert_false(reaches(in[3], A0, 81));
		assert_ok(local_firewall.get(&machine.site, live, &err));
		assert_ok(local_firewall.update(&machine.site, live, one, &err));
		assert_firewall(one);
		assert_ok(local_host_firewall.create(&machine.site, host, &err));
	}
	close(listener);
}

/* Bandwidth */

#define RATE 4000000	/* bytes a second */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Sends as fast as it goes for some time; how much arrived. */
static int64_t pump(int client, int server, int64_t ms)
{
	static char data[65536];
	int64_t end = now_ms() + ms, arrived = 0;

	while (now_ms() < end) {
		struct pollfd waiting = { server, POLLIN, 0 };
		ssize_t n;

		while (send(client, data, sizeof(data), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
			;
		poll(&waiting, 1, 10);
		while ((n = recv(server, data, sizeof(data), MSG_DONTWAIT)) > 0)
			arrived += n;
	}
	return arrived;
}

/* Bytes a second from a0 to b0, after the burst of the first moments. */
static double throughput(void)
{
	int listener = listen_in(in[2], B0, 80), client = connect_in(in[0], B0, 80), server;
	int64_t arrived, start;
	double rate;

	assert_true(client >= 0);
	server = accept(listener, NULL, NULL);
	pump(client, server, 1500);
	start = now_ms();
	arrived = pump(client, server, 3000);
	rate = (double)arrived * 1000 / (double)(now_ms() - start);
	close(client);
	close(server);
	close(listener);
	return rate;
}

static void a_tenants_rate_holds_in_each_direction(void **state)
{
	machine_needed();
	for (unsigned limited = 0; limited < 2; limited++) {
		autoresource struct resource *walls = firewall_resource(FLOWS, EGRESS, PUBLISHED);
		struct error err = { 0 };
		double rate;

		json_add(json_object_get(walls->body, "rates"), json_pack("{ss,sI}", "bridge", bridge_name[limited], "rate", (json_int_t)RATE));
		assert_ok(local_firewall.create(&machine.site, walls, &err));
		assert_firewall(walls);
		rate = throughput();
		printf("# limited to %.1f MB/s as %s: %.2f MB/s\n", RATE / 1e6, limited ? "receiver" : "sender", rate / 1e6);
		assert_true(rate > RATE * 0.85 && rate < RATE * 1.15);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_walls_everything_is_reached),
		cmocka_unit_test(without_walls_every_frame_arrives),
		cmocka_unit_test(the_walls_are_made_and_read_back),
		cmocka_unit_test(tenants_reach_what_is_declared_and_nothing_else),
		cmocka_unit_test(the_same_holds_when_bridged_frames_pass_the_ip_rules),
		cmocka_unit_test(no_port_sends_what_is_not_its_own),
		cmocka_unit_test(neither_the_host_nor_a_gateway_is_reached),
		cmocka_unit_test(what_leaves_is_declared_and_bears_the_hosts_address),
		cmocka_unit_test(packets_as_large_as_the_mtu_pass_and_larger_ones_do_not),
		cmocka_unit_test(a_published_port_is_reached_by_the_hosts_address_and_in_no_other_way),
		cmocka_unit_test(exactly_what_was_changed_by_hand_is_told_and_mended),
		cmocka_unit_test(other_changes_by_hand_are_told),
		cmocka_unit_test(a_change_of_flows_changes_elements_and_cuts_what_was_established),
		cmocka_unit_test(ranges_grow_and_shrink),
		cmocka_unit_test(the_walls_do_not_need_a_list_of_protocols),
		cmocka_unit_test(a_port_that_is_published_no_more_is_closed_at_once),
		cmocka_unit_test(a_load_that_is_killed_at_any_moment_is_mended),
		cmocka_unit_test(a_tenants_rate_holds_in_each_direction),
	};

	return cmocka_run_group_tests(tests, topology_setup, topology_teardown);
}
