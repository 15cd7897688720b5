/* SPDX-License-Identifier: Apache-2.0 */
#include "network_fixture.h"

#include "dns_message.h"

#include <sys/prctl.h>
#include <sys/wait.h>

/* Two tenants on a machine of our own, the real resolver, and a name server outside: "a" may ask for the names of the world and of b, b for its own. */

#define A0 "10.77.1.2"
#define B0 "10.77.2.2"

static int in[2];
static pid_t upstream;

static void make_tenant(unsigned i, const char *name)
{
	autofree char *network = xasprintf("%s/network", name), *link = xasprintf("%s/w/0/link", name), *instance = xasprintf("%s/w/0", name);
	autofree char *bridge_json = NULL, *link_json = NULL;
	autoresource struct resource *bridge = NULL, *port = NULL;
	char bridge_name[16], port_name[16];
	struct error err = { 0 };

	local_link_name("test", LINK_BRIDGE, network, bridge_name);
	local_link_name("test", LINK_PORT, link, port_name);
	bridge_json = xasprintf("{\"link\": \"%s\", \"address\": \"10.77.%u.1/26\", \"mtu\": 1500}", bridge_name, i + 1);
	link_json = xasprintf("{\"bridge\": \"%s\", \"port\": \"%s\", \"address\": \"10.77.%u.2/26\", \"gateway\": \"10.77.%u.1\", \"mac\": \"02:00:00:00:00:%02x\","
			      "\"mtu\": 1500, \"hostname\": \"w-0\"}", bridge_name, port_name, i + 1, i + 1, i + 1);
	bridge = made("bridge", network, bridge_json);
	port = made("link", link, link_json);
	assert_ok(local_bridge.create(&machine.site, bridge, &err));
	assert_ok(local_link.create(&machine.site, port, &err));
	in[i] = instance_netns(instance);
}


/* A name server that knows one address for every name; of "big..." by UDP only that there is more; of "slow..." nothing. */
static size_t server_answer(uint8_t *message, size_t n, bool tcp)
{
	static const uint8_t record[16] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 1, 2, 3, 4 };
	bool big = message[12] == 3 && memcmp(message + 13, "big", 3) == 0;

	if (message[12] == 4 && memcmp(message + 13, "slow", 4) == 0)
		return 0;
	n = 12 + strlen((char *)message + 12) + 1 + 4;		/* without an OPT record */
	message[2] |= 0x80;
	message[11] = 0;
	if (big && !tcp) {
		message[2] |= 2;
		return n;
	}
	message[7] = big ? 100 : 1;
	for (unsigned i = 0; i < message[7]; i++, n += sizeof(record))
		memcpy(message + n, record, sizeof(record));
	return n;
}

static void server_tcp(int listener)
{
	int fd = accept(listener, NULL, NULL);
	uint8_t message[8192];
	size_t n;

	if (recv(fd, message, 2, MSG_WAITALL) == 2 && (n = (size_t)(message[0] << 8 | message[1])) < 1000 &&
	    recv(fd, message + 2, n, MSG_WAITALL) == (ssize_t)n && (n = server_answer(message + 2, n, true))) {
		message[0] = (uint8_t)(n >> 8);
		message[1] = (uint8_t)n;
		if (send(fd, message, n + 2, MSG_NOSIGNAL) < 0)
			_exit(1);
	}
	close(fd);
}

static void server_run(int udp, int tcp)
{
	for (;;) {
		struct pollfd waiting[2] = { { udp, POLLIN, 0 }, { tcp, POLLIN, 0 } };
		struct sockaddr_in from;
		socklen_t from_n = sizeof(from);
		uint8_t message[8192];
		ssize_t n;

		if (poll(waiting, 2, -1) < 0)
			_exit(1);
		if (waiting[1].revents)
			server_tcp(tcp);
		if (!waiting[0].revents)
			continue;
		n = recvfrom(udp, message, 1000, 0, (struct sockaddr *)&from, &from_n);
		if (n > 12 && (n = (ssize_t)server_answer(message, (size_t)n, false)) > 0 &&
		    sendto(udp, message, (size_t)n, 0, (struct sockaddr *)&from, from_n) < 0)
			_exit(1);
	}
}

static void start_upstream(void)
{
	struct sockaddr_in at = socket_address(OUTSIDE_ADDRESS, 53);
	int tcp = listen_in(machine.outside, OUTSIDE_ADDRESS, 53), udp = socket_in(machine.outside, SOCK_DGRAM);

	assert_int_equal(bind(udp, (struct sockaddr *)&at, sizeof(at)), 0);
	upstream = fork();
	if (upstream == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		server_run(udp, tcp);
	}
	close(tcp);
	close(udp);
}

static struct resource *resolver_resource(bool b_knows_a)
{
	autofree char *json = xasprintf("{\"upstreams\": [\"" OUTSIDE_ADDRESS "\"], \"zones\": ["
		"{\"tenant\": \"a\", \"prefix\": \"10.77.1.0/26\", \"gateway\": \"10.77.1.1\", \"egress\": true, \"names\": ["
		"{\"name\": \"w.a.insula\", \"address\": \"" A0 "\"}, {\"name\": \"0.w.a.insula\", \"address\": \"" A0 "\"},"
		"{\"name\": \"w.b.insula\", \"address\": \"" B0 "\"}]},"
		"{\"tenant\": \"b\", \"prefix\": \"10.77.2.0/26\", \"gateway\": \"10.77.2.1\", \"egress\": false, \"names\": ["
		"{\"name\": \"w.b.insula\", \"address\": \"" B0 "\"}%s]}]}", b_knows_a ? ", {\"name\": \"w.a.insula\", \"address\": \"" A0 "\"}" : "");

	return made("resolver", "host/resolver", json);
}

static int setup(void **state)
{
	autoresource struct resource *router = NULL;
	struct error err = { 0 };

	if (machine_setup(state) < 0)
		return -1;
	if (!machine.usable)
		return 0;
	machine.config.program_dir = xasprintf("%s/guest", getenv("INSULA_TEST_BUILD"));
	router = made("router", "host/router", "{\"pool\": \"10.77.0.0/16\", \"hostAddress\": \"10.77.0.1/30\", \"address\": \"10.77.0.2/30\", \"mtu\": 1500}");
	assert_ok(local_router.create(&machine.site, router, &err));
	make_tenant(0, "a");
	make_tenant(1, "b");
	start_upstream();
	return 0;
}

static int teardown(void **state)
{
	static const char *const links[] = { "a/w/0/link", "b/w/0/link" };
	struct error err = { 0 };

	if (machine.usable) {
		autoresource struct resource *router = made("router", "host/router", "{}");

		kill(upstream, SIGKILL);
		waitpid(upstream, NULL, 0);
		for (unsigned i = 0; i < 2; i++) {
			autoresource struct resource *link = made("link", links[i], "{}");

			close(in[i]);
			assert_ok(local_link.remove(&machine.site, link, false, &err));
		}
		assert_ok(local_router.remove(&machine.site, router, false, &err));
		free((char *)machine.config.program_dir);
	}
	return machine_teardown(state);
}

#define ASK_MS 3000

/* Length of the answer, 0 when there is none. */
static size_t ask_udp(int netns, const char *gateway, const char *name, uint16_t type, int patience, uint8_t answer[static 4096])
{
	struct sockaddr_in to = socket_address(gateway, 53);
	int fd = socket_in(netns, SOCK_DGRAM);
	struct pollfd waiting = { fd, POLLIN, 0 };
	uint8_t message[512];
	size_t n = question_make(message, 77, name, type, false);
	ssize_t got = 0;

	/* connected: an answer from another address than the one that was asked is not seen */
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(send(fd, message, n, 0), n);
	if (poll(&waiting, 1, patience) == 1)
		got = recv(fd, answer, 4096, 0);
	close(fd);
	if (got > 0)
		assert_int_equal(answer[0] << 8 | answer[1], 77);
	return got > 0 ? (size_t)got : 0;
}

static size_t ask_tcp(int netns, const char *gateway, const char *name, uint8_t answer[static 4096])
{
	int fd = connect_in(netns, gateway, 53);
	uint8_t message[512];
	size_t n = question_make(message + 2, 78, name, 1, false), got = 0;

	if (fd < 0)
		return 0;
	fcntl(fd, F_SETFL, 0);
	message[0] = 0;
	message[1] = (uint8_t)n;
	assert_int_equal(send(fd, message, n + 2, 0), n + 2);
	if (recv(fd, answer, 2, MSG_WAITALL) == 2) {
		got = (size_t)(answer[0] << 8 | answer[1]);
		if (got > 4096 || recv(fd, answer, got, MSG_WAITALL) != (ssize_t)got)
			got = 0;
	}
	close(fd);
	return got;
}

static const char *last_address(const uint8_t *answer, size_t n)
{
	static char text[INET_ADDRSTRLEN];

	return inet_ntop(AF_INET, answer + n - 4, text, sizeof(text));
}

static void it_starts_and_is_listed(void **state)
{
	autoresource struct resource *resolver = NULL, *live = resource_new("local", "resolver", "host/resolver", json_object());
	enum readiness readiness;
	struct error err = { 0 };

	machine_needed();
	resolver = resolver_resource(false);
	for (int twice = 0; twice < 2; twice++)
		assert_ok(local_resolver.create(&machine.site, resolver, &err));
	assert_ok(local_resolver.get(&machine.site, live, &err));
	if (!json_equal(live->body, resolver->body))
		fail_msg("wanted %s, got %s", json_canonical(resolver->body), json_canonical(live->body));
	assert_ok(local_resolver.ready(&machine.site, resolver, &readiness, &err));
	assert_int_equal(readiness, READY_YES);
}

static void names_of_the_tenant_and_along_flows_are_answered(void **state)
{
	uint8_t answer[4096];
	size_t n;

	machine_needed();
	n = ask_udp(in[0], "10.77.1.1", "w.a.insula", 1, ASK_MS, answer);
	assert_int_equal(answer_count(answer), 1);
	assert_string_equal(last_address(answer, n), A0);
	n = ask_udp(in[0], "10.77.1.1", "W.B.insula", 1, ASK_MS, answer);
	assert_string_equal(last_address(answer, n), B0);
	n = ask_tcp(in[0], "10.77.1.1", "0.w.a.insula", answer);
	assert_string_equal(last_address(answer, n), A0);
	assert_true(ask_udp(in[1], "10.77.2.1", "w.a.insula", 1, ASK_MS, answer));
	assert_int_equal(answer_code(answer), 3);
	assert_true(ask_udp(in[0], "10.77.1.1", "w.a.insula", 28, ASK_MS, answer));
	assert_int_equal(answer_code(answer), 0);
	assert_int_equal(answer_count(answer), 0);
	assert_true(ask_udp(in[0], "10.77.1.1", "2.1.77.10.in-addr.arpa", 12, ASK_MS, answer));
	assert_int_equal(answer_count(answer), 1);
}

static void names_of_the_world_are_for_who_reaches_it(void **state)
{
	uint8_t answer[4096];
	size_t n;

	machine_needed();
	n = ask_udp(in[0], "10.77.1.1", "example.org", 1, ASK_MS, answer);
	assert_true(n);
	assert_string_equal(last_address(answer, n), "1.2.3.4");
	assert_true(ask_udp(in[1], "10.77.2.1", "example.org", 1, ASK_MS, answer));
	assert_int_equal(answer_code(answer), 5);
	assert_true(ask_udp(in[0], "10.77.1.1", "nobody.insula", 1, ASK_MS, answer));
	assert_int_equal(answer_code(answer), 3);
	/* what is too long for a datagram is had by TCP */
	assert_true(ask_udp(in[0], "10.77.1.1", "big.example.org", 1, ASK_MS, answer));
	assert_true(answer_cut(answer));
	n = ask_tcp(in[0], "10.77.1.1", "big.example.org", answer);
	assert_int_equal(answer_count(answer), 100);
	assert_true(n > 1600);
	assert_true(ask_tcp(in[1], "10.77.2.1", "example.org", answer));
	assert_int_equal(answer_code(answer), 5);
	/* who is never answered is told so */
	assert_true(ask_udp(in[0], "10.77.1.1", "slow.example.org", 1, 8000, answer));
	assert_int_equal(answer_code(answer), 2);
}

static void strangers_and_other_gateways_hear_nothing(void **state)
{
	uint8_t answer[4096];

	machine_needed();
	assert_int_equal(ask_udp(in[0], "10.77.2.1", "w.a.insula", 1, 300, answer), 0);
	assert_int_equal(ask_udp(NETNS_HERE, "10.77.0.2", "w.a.insula", 1, 300, answer), 0);
	assert_int_equal(ask_udp(NETNS_HERE, "10.77.1.1", "example.org", 1, 300, answer), 0);
	assert_int_equal(ask_tcp(in[0], "10.77.2.1", "w.a.insula", answer), 0);
}

/* One tenant asks as much as it can; the other is answered all the same. */
static void a_flood_of_questions_of_one_tenant_does_not_stop_another(void **state)
{
	struct sockaddr_in to = { 0 };
	uint8_t message[512], answer[4096];
	int fd, answered = 0;
	size_t n;

	machine_needed();
	to = socket_address("10.77.1.1", 53);
	fd = socket_in(in[0], SOCK_DGRAM);
	n = question_make(message, 1, "slow.example.org", 1, false);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 500; i++)
			sendto(fd, message, n, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to));
		answered += ask_udp(in[1], "10.77.2.1", "w.b.insula", 1, 1000, answer) > 0;
	}
	close(fd);
	assert_true(answered >= 18);
}

static void new_zones_are_in_use_when_update_returns(void **state)
{
	autoresource struct resource *before = NULL, *after = NULL;
	struct error err = { 0 };
	uint8_t answer[4096];
	size_t n;

	machine_needed();
	before = resolver_resource(false);
	after = resolver_resource(true);
	assert_ok(local_resolver.update(&machine.site, before, after, &err));
	n = ask_udp(in[1], "10.77.2.1", "w.a.insula", 1, ASK_MS, answer);
	assert_string_equal(last_address(answer, n), A0);
	assert_ok(local_resolver.update(&machine.site, after, before, &err));
	assert_true(ask_udp(in[1], "10.77.2.1", "w.a.insula", 1, ASK_MS, answer));
	assert_int_equal(answer_code(answer), 3);
}

static pid_t keeper_pid(void)
{
	autofree char *path = xasprintf("%s/resolver/pid", machine.site.run), *line = NULL;
	struct error err = { 0 };

	assert_ok(fs_read_line(path, &line, &err));
	return atoi(line);
}

static pid_t worker_of(pid_t keeper)
{
	autofree char *path = xasprintf("/proc/%d/task/%d/children", (int)keeper, (int)keeper), *line = NULL;
	struct error err = { 0 };

	return fs_read_line(path, &line, &err) == 0 ? atoi(line) : 0;
}

static bool answers_within(int ms)
{
	uint8_t answer[4096];

	for (int waited = 0; waited < ms; waited += 100)
		if (ask_udp(in[0], "10.77.1.1", "w.a.insula", 1, 100, answer))
			return true;
	return false;
}

static void the_worker_has_no_rights_and_is_replaced_when_it_ends(void **state)
{
	autofree char *path = NULL, *status = NULL;
	struct error err = { 0 };
	pid_t worker;

	machine_needed();
	worker = worker_of(keeper_pid());
	assert_true(worker > 1);
	path = xasprintf("/proc/%d/status", (int)worker);
	assert_ok(fs_read_file(path, 65536, &status, NULL, &err));
	assert_non_null(strstr(status, "Uid:\t65534\t65534\t65534\t65534"));
	assert_non_null(strstr(status, "Groups:\t \n"));
	assert_non_null(strstr(status, "CapPrm:\t0000000000000000"));
	assert_non_null(strstr(status, "CapEff:\t0000000000000000"));
	assert_non_null(strstr(status, "NoNewPrivs:\t1"));
	kill(worker, SIGKILL);
	assert_true(answers_within(3000));
	assert_int_not_equal(worker_of(keeper_pid()), worker);
}

static void one_that_was_killed_is_seen_and_started_again(void **state)
{
	autoresource struct resource *resolver = NULL, *live = resource_new("local", "resolver", "host/resolver", json_object());
	struct error err = { 0 };
	pid_t keeper, worker;
	uint64_t ticks;

	machine_needed();
	resolver = resolver_resource(false);
	keeper = keeper_pid();
	worker = worker_of(keeper);
	assert_ok(proc_start_ticks(worker, &ticks, &err));
	kill(keeper, SIGKILL);
	for (int waited = 0; waited < 200 && proc_alive(worker, ticks); waited++)
		usleep(10000);
	assert_false(proc_alive(worker, ticks));	/* it does not outlive its keeper */
	assert_ok(local_resolver.get(&machine.site, live, &err));
	assert_int_equal(json_array_size(json_object_get(live->body, "zones")), 0);
	assert_ok(local_resolver.update(&machine.site, live, resolver, &err));
	assert_true(answers_within(1000));
}

static void it_goes_without_a_trace(void **state)
{
	autoresource struct resource *resolver = NULL;
	autojson json_t *lines = json_array();
	struct error err = { 0 };
	uint64_t ticks;
	pid_t keeper;

	machine_needed();
	resolver = resolver_resource(false);
	keeper = keeper_pid();
	assert_ok(proc_start_ticks(keeper, &ticks, &err));
	for (int twice = 0; twice < 2; twice++)
		assert_ok(local_resolver.remove(&machine.site, resolver, false, &err));
	assert_ok(local_resolver.sweep(&machine.site, NULL, lines, &err));
	assert_int_equal(json_array_size(lines), 0);
	assert_false(proc_alive(keeper, ticks));
	assert_false(answers_within(200));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_starts_and_is_listed),
		cmocka_unit_test(names_of_the_tenant_and_along_flows_are_answered),
		cmocka_unit_test(names_of_the_world_are_for_who_reaches_it),
		cmocka_unit_test(strangers_and_other_gateways_hear_nothing),
		cmocka_unit_test(a_flood_of_questions_of_one_tenant_does_not_stop_another),
		cmocka_unit_test(new_zones_are_in_use_when_update_returns),
		cmocka_unit_test(the_worker_has_no_rights_and_is_replaced_when_it_ends),
		cmocka_unit_test(one_that_was_killed_is_seen_and_started_again),
		cmocka_unit_test(it_goes_without_a_trace),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
