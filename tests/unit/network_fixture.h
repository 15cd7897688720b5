/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_TESTS_NETWORK_FIXTURE_H
#define INSULA_TESTS_NETWORK_FIXTURE_H

/*
 * A machine to play with: this process in a network and mount namespace of its own is "the host";
 * it has a link to a namespace "outside", which holds 9.9.9.9 (the internet), 169.254.169.254
 * (the metadata address) and 192.168.50.2. Nothing of the real machine is touched.
 */

#include "helper.h"

#include "base/proc.h"
#include "site/local/network/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

struct machine {
	struct site site;
	struct site_config config;
	struct site_intent intent;
	char *dir;
	int outside;
	bool usable;
};

static struct machine machine;

static int keep_namespace(void *arg, struct error *err)
{
	*(int *)arg = netns_open("/proc/thread-self/ns/net", err);
	return *(int *)arg < 0 ? -1 : netns_sysctl("ipv4/ip_forward", "1", err);
}

static void machine_link_up(struct netlink *netlink, const char *name, const char *const *addresses, size_t n)
{
	struct error err = { 0 };
	struct link_change up = { .up = true };
	struct link_state link;

	assert_ok(netlink_link_get(netlink, name, &link, &err));
	assert_ok(netlink_link_change(netlink, link.index, &up, &err));
	for (size_t i = 0; i < n; i++) {
		struct interface interface;

		assert_ok(interface_parse(addresses[i], &interface, &err));
		assert_ok(netlink_address_set(netlink, link.index, &interface.address, interface.length, &err));
	}
}

/* A program inside a namespace (NETNS_HERE: the host); its output, for the caller to free. */
static char *run_in(int netns, const char *const *argv)
{
	struct proc_options options = { .argv = argv, .netns = netns == NETNS_HERE ? 0 : netns, .timeout_ms = 20000 };
	struct error err = { 0 };
	char *output;

	assert_ok(proc_check(&options, &output, &err));
	return output;
}
#define RUN_IN(netns, ...) free(run_in(netns, (const char *const[]){ __VA_ARGS__, NULL }))

#define METADATA_ADDRESS "169.254.169.254"
#define HOST_ADDRESS "192.168.50.1"
#define OUTSIDE_ADDRESS "192.168.50.2"
#define INTERNET_ADDRESS "9.9.9.9"

static void machine_outside(void)
{
	static const char *const host_address[] = { HOST_ADDRESS "/24" }, *const outside_address[] = { OUTSIDE_ADDRESS "/24" };
	static const char *const internet[] = { INTERNET_ADDRESS "/32" };
	struct veth_end near = { "out0", { 2, 0, 0, 0, 1, 1 } }, far = { "in0", { 2, 0, 0, 0, 1, 2 } };
	struct prefix everything = { .address = { .family = AF_INET } };
	autonetlink struct netlink *host = NULL, *outside = NULL;
	struct error err = { 0 };
	struct link_state link;
	struct address gateway;

	assert_ok(netns_run(NETNS_NEW, keep_namespace, &machine.outside, &err));
	assert_ok(netlink_open(NETNS_HERE, &host, &err));
	assert_ok(netlink_open(machine.outside, &outside, &err));
	assert_ok(netlink_veth_create(host, &near, 0, machine.outside, &far, 1500, &err));
	machine_link_up(host, "lo", NULL, 0);
	machine_link_up(host, "out0", host_address, 1);
	machine_link_up(outside, "in0", outside_address, 1);
	machine_link_up(outside, "lo", internet, 1);
	assert_ok(address_parse(OUTSIDE_ADDRESS, &gateway, &err));
	assert_ok(netlink_link_get(host, "out0", &link, &err));
	assert_ok(netlink_route_set(host, &everything, &gateway, link.index, &err));
	RUN_IN(machine.outside, "ip", "address", "add", METADATA_ADDRESS "/32", "dev", "lo");
	/* a neighbour that knows our pool's way: what a hostile LAN can do */
	assert_ok(address_parse(HOST_ADDRESS, &gateway, &err));
	assert_ok(netlink_link_get(outside, "in0", &link, &err));
	assert_ok(netlink_route_set(outside, &everything, &gateway, link.index, &err));
}

static int machine_setup(void **state)
{
	struct error err = { 0 };

	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		return 0;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	machine.dir = temp_dir_make();
	machine.intent = (struct site_intent){ .name = "test" };
	machine.config = (struct site_config){ .deployment = "test", .state_dir = machine.dir, .run_dir = machine.dir, .intent = &machine.intent,
					       .program_dir = getenv("INSULA_TEST_BUILD") };
	machine.site = (struct site){ .config = &machine.config };
	machine.site.run = xasprintf("%s/run", machine.dir);
	machine.site.deployment_dir = xasprintf("%s/state", machine.dir);
	assert_ok(fs_make_dirs(machine.site.run, 0711, &err));
	assert_ok(fs_make_dirs(machine.site.deployment_dir, 0700, &err));
	if (mount(machine.site.run, machine.site.run, NULL, MS_BIND, NULL) < 0 || mount(NULL, machine.site.run, NULL, MS_SHARED, NULL) < 0)
		return -1;
	machine_outside();
	machine.usable = true;
	(void)state;
	return 0;
}

static int machine_teardown(void **state)
{
	(void)state;
	if (!machine.usable)
		return 0;
	close(machine.outside);
	umount2(machine.site.run, MNT_DETACH);
	free(machine.site.run);
	free(machine.site.deployment_dir);
	temp_dir_remove(machine.dir);
	return 0;
}

#define machine_needed() \
	do { \
		if (!machine.usable) \
			test_skip("needs root and new namespaces"); \
	} while (0)

/* Resources */

static inline struct resource *made(const char *kind, const char *key, const char *json)
{
	json_t *body = json_loads(json, 0, NULL);

	if (!body)
		fail_msg("bad JSON: %s", json);
	return resource_new("local", kind, key, body);
}

static inline int collect(void *arg, struct resource *resource)
{
	resources_add(arg, resource);
	return 0;
}

/* Sockets of other namespaces */

struct socket_place { int type, fd; };

static int open_socket(void *arg, struct error *err)
{
	struct socket_place *place = arg;

	place->fd = socket(AF_INET, place->type | SOCK_CLOEXEC, 0);
	return place->fd < 0 ? error_set_errno(err, errno, "socket") : 0;
}

static inline int open_ping(void *arg, struct error *err)
{
	struct socket_place *place = arg;

	place->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
	return place->fd < 0 ? error_set_errno(err, errno, "ping socket") : 0;
}

static int socket_in(int netns, int type)
{
	struct socket_place place = { type, -1 };
	struct error err = { 0 };

	assert_ok(netns == NETNS_HERE ? open_socket(&place, &err) : netns_run(netns, open_socket, &place, &err));
	return place.fd;
}

static struct sockaddr_in socket_address(const char *address, uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };

	assert_int_equal(inet_pton(AF_INET, address, &to.sin_addr), 1);
	return to;
}

static inline int listen_in(int netns, const char *address, uint16_t port)
{
	struct sockaddr_in to = socket_address(address, port);
	int fd = socket_in(netns, SOCK_STREAM), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0 || listen(fd, 64) < 0)
		fail_msg("cannot listen on %s:%u: %s", address, port, strerror(errno));
	return fd;
}

#define CONNECT_MS 200

/* A connected descriptor, or -1: no answer, or a refusal */
static int connect_in(int netns, const char *address, uint16_t port)
{
	struct sockaddr_in to = socket_address(address, port);
	int fd = socket_in(netns, SOCK_STREAM | SOCK_NONBLOCK), failure = 0;
	struct pollfd waiting = { fd, POLLOUT, 0 };
	socklen_t n = sizeof(failure);

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	if (poll(&waiting, 1, CONNECT_MS) != 1 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &n) < 0 || failure) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline bool reaches(int netns, const char *address, uint16_t port)
{
	int fd = connect_in(netns, address, port);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Does an echo come back? payload bytes, never in fragments; the ICMP header is 8, IPv4's 20. From instances only: others may not ask this way. */
static inline bool echoes(int netns, const char *address, size_t payload)
{
	struct sockaddr_in to = socket_address(address, 0);
	struct socket_place place = { SOCK_DGRAM, -1 };
	struct error err = { 0 };
	char packet[2048] = { 8 }, answer[2048];
	int never = IP_PMTUDISC_PROBE;
	struct pollfd waiting;
	bool ret;

	assert_ok(netns_run(netns, open_ping, &place, &err));
	waiting = (struct pollfd){ place.fd, POLLIN, 0 };
	setsockopt(place.fd, IPPROTO_IP, IP_MTU_DISCOVER, &never, sizeof(never));
	ret = sendto(place.fd, packet, 8 + payload, 0, (struct sockaddr *)&to, sizeof(to)) == (ssize_t)(8 + payload) &&
	      poll(&waiting, 1, CONNECT_MS) == 1 && recv(place.fd, answer, sizeof(answer), 0) == (ssize_t)(8 + payload) && answer[0] == 0;
	close(place.fd);
	return ret;
}

static inline int instance_netns(const char *key)
{
	struct error err = { 0 };
	int fd = local_netns_open(&machine.site, key, &err);

	if (fd < 0)
		fail_msg("%s", err.message);
	return fd;
}

#endif
