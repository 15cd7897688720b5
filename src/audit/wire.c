/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works
 *
 * Every tap has two sockets, opened by a short-lived thread inside its namespace and used from outside from then on
 * (a socket stays in the namespace it was made in): a packet socket on the link, which sees frames in both directions,
 * and a raw IP socket, by which probes go through the sender's own routes and neighbours.
 *
 * A probe is found again by the number it bears (probe_packet.h). Seen outgoing on its sender's tap, it has left: so
 * "did not arrive" never means "was never sent". Seen incoming on another tap, it has arrived. All probes are sent before
 * anything is waited for: the wait for absence is paid once a round, not once a probe. A round ends when some time is over and what was
 * sent behind all others, and surely is answered, has been: so a busy machine that is late with packets is not taken for a wall.
 */
#include "wire.h"

#include "base/clock.h"
#include "base/rng.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SNAP 192			/* enough of a frame for an ICMP error with the mark in its quotation */
#define RECEIVE_BUFFER (8 << 20)
#define DRAIN_EVERY 64			/* sends between two looks at the taps */
#define BARRIER_NS INT64_C(2000000000)

int wire_init(struct wire *wire, struct error *err)
{
	*wire = (struct wire){ .wait_ms = 150 };
	return rng_secret(&wire->nonce, sizeof(wire->nonce), err);
}

void wire_clear(struct wire *wire)
{
	vec_each(&wire->taps, tap) {
		free(tap->name);
		cleanup_fd(&tap->netns);
		cleanup_fd(&tap->packet_fd);
		cleanup_fd(&tap->raw_fd);
		cleanup_fd(&tap->tcp_fd);
		cleanup_fd(&tap->udp_fd);
	}
	vec_clear(&wire->taps);
}

struct netns_call { int netns, result; int (*function)(void *arg, struct error *err); void *arg; struct error *err; };

static void *netns_thread(void *arg)
{
	struct netns_call *call = arg;

	if (setns(call->netns, CLONE_NEWNET) < 0)
		call->result = error_set_errno(call->err, errno, "cannot enter a network namespace");
	else
		call->result = call->function(call->arg, call->err);
	return NULL;
}

int netns_call(int netns, int (*function)(void *arg, struct error *err), void *arg, struct error *err)
{
	struct netns_call call = { .netns = netns, .function = function, .arg = arg, .err = err };
	pthread_t thread;
	int r = pthread_create(&thread, NULL, netns_thread, &call);

	if (r != 0)
		return error_set_errno(err, r, "cannot start a thread");
	pthread_join(thread, NULL);
	return call.result;
}

static int read_addresses(void *arg, struct error *err)
{
	netns_addresses *list = arg;
	struct ifaddrs *all;

	if (getifaddrs(&all) < 0)
		return error_set_errno(err, errno, "cannot read the addresses of a network namespace");
	for (struct ifaddrs *a = all; a && list->n < 65536; a = a->ifa_next) {
		if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET || (a->ifa_flags & IFF_LOOPBACK))
			continue;
		struct netns_address *item = vec_add(list);
		uint32_t mask = a->ifa_netmask ? ntohl(((struct sockaddr_in *)a->ifa_netmask)->sin_addr.s_addr) : UINT32_MAX;

		snprintf(item->link, sizeof(item->link), "%s", a->ifa_name);
		item->address.family = AF_INET;
		memcpy(item->address.bytes, &((struct sockaddr_in *)a->ifa_addr)->sin_addr, 4);
		item->length = (uint8_t)__builtin_popcount(mask);
	}
	freeifaddrs(all);
	return 0;
}

int netns_read_addresses(int netns, netns_addresses *ret, struct error *err)
{
	netns_addresses list = { 0 };

	if (netns_call(netns, read_addresses, &list, err) < 0) {
		vec_clear(&list);
		return -1;
	}
	*ret = list;
	return 0;
}

/* Only what can be about a probe: bulk traffic of the tenants stays in the kernel. Offsets from the Ethernet header. */
static int attach_filter(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_ARP, 12, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 11, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 9),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),		/* x: length of the IPv4 header */
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMP, 7, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 4),
		BPF_STMT(BPF_LD | BPF_B | BPF_IND, 14 + 13),		/* TCP flags */
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x06, 3, 2),	/* SYN or RST */
		BPF_STMT(BPF_LD | BPF_W | BPF_IND, 14 + 8),		/* first word of a UDP payload */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x696e7375, 1, 0),	/* "insu" */
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, SNAP),
	};
	struct sock_fprog program = { .len = ARRAY_LEN(code), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static int find_link(struct tap *tap, char name[static 16], struct error *err)
{
	netns_addresses list = { 0 };
	char text[INET_ADDRSTRLEN] = "";
	bool found = false;

	if (read_addresses(&list, err) < 0)
		return -1;
	vec_each(&list, a) {
		if (memcmp(a->address.bytes, tap->address.bytes, 4) != 0)
			continue;
		memcpy(name, a->link, 16);
		found = true;
	}
	vec_clear(&list);
	inet_ntop(AF_INET, tap->address.bytes, text, sizeof(text));
	return found ? 0 : error_set(err, ERROR_NOT_FOUND, "no link of %s has the address %s", tap->name, text);
}

static int open_tap(void *arg, struct error *err)
{
	struct tap *tap = arg;
	struct ifreq request = { 0 };
	int size = RECEIVE_BUFFER, on = 1;

	if (find_link(tap, request.ifr_name, err) < 0)
		return -1;
	tap->index = (int)if_nametoindex(request.ifr_name);
	tap->packet_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (tap->packet_fd < 0)
		return error_set_errno(err, errno, "cannot open a packet socket in %s", tap->name);
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = tap->index };
	if (attach_filter(tap->packet_fd) < 0 || bind(tap->packet_fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return error_set_errno(err, errno, "cannot watch the link %s of %s", request.ifr_name, tap->name);
	if (setsockopt(tap->packet_fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(tap->packet_fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (ioctl(tap->packet_fd, SIOCGIFMTU, &request) < 0)
		return error_set_errno(err, errno, "cannot read the MTU of %s", tap->name);
	tap->mtu = request.ifr_mtu;
	if (ioctl(tap->packet_fd, SIOCGIFHWADDR, &request) < 0)
		return error_set_errno(err, errno, "cannot read the hardware address of %s", tap->name);
	memcpy(tap->mac, request.ifr_hwaddr.sa_data, 6);
	tap->raw_fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
	if (tap->raw_fd < 0 || setsockopt(tap->raw_fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) < 0)
		return error_set_errno(err, errno, "cannot open a raw socket in %s", tap->name);
	return 0;
}

int wire_add_tap(struct wire *wire, const char *name, int netns, const struct address *address, uint32_t *ret, struct error *err)
{
	struct tap tap = { .name = xstrdup(name), .netns = netns, .packet_fd = -1, .raw_fd = -1, .tcp_fd = -1, .udp_fd = -1, .address = *address };

	if (wire->taps.n >= WIRE_TAPS_MAX)
		error_set(err, ERROR_CAPACITY, "more than %d network namespaces in one proof", WIRE_TAPS_MAX);
	else if (netns_call(netns, open_tap, &tap, err) == 0) {
		*ret = (uint32_t)wire->taps.n;
		vec_push(&wire->taps, tap);
		return 0;
	}
	free(tap.name);
	cleanup_fd(&tap.netns);
	cleanup_fd(&tap.packet_fd);
	cleanup_fd(&tap.raw_fd);
	return -1;
}

static int open_listener(int type, uint16_t *ret_port, int *ret_fd, struct error *err)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t n = sizeof(at);
	autofd int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || (type == SOCK_STREAM && listen(fd, 64) < 0) ||
	    getsockname(fd, (struct sockaddr *)&at, &n) < 0)
		return error_set_errno(err, errno, "cannot open a listener");
	*ret_port = ntohs(at.sin_port);
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int open_listeners(void *arg, struct error *err)
{
	struct tap *tap = arg;

	if (open_listener(SOCK_STREAM, &tap->tcp_port, &tap->tcp_fd, err) < 0)
		return -1;
	return open_listener(SOCK_DGRAM, &tap->udp_port, &tap->udp_fd, err);
}

int wire_listen(struct wire *wire, uint32_t tap, struct error *err)
{
	return netns_call(wire->taps.items[tap].netns, open_listeners, &wire->taps.items[tap], err);
}

static bool counts_at(const struct wire *wire, const struct probe *p, uint32_t at)
{
	const struct tap *tap = &wire->taps.items[at];

	if (p->group)
		return tap->group == p->group;
	if (p->at == WIRE_ANYWHERE)
		return at != p->from;
	return p->at == WIRE_INSTANCES ? at != p->from && tap->instance : at == p->at;
}

static void see(struct wire *wire, struct probe *probes, size_t n, uint32_t at, bool outgoing, const struct probe_seen *seen)
{
	if (seen->index >= n)
		return;
	struct probe *p = &probes[seen->index];
	if (!p->any_port && seen->port && seen->port != p->shape.port)
		return;
	if (outgoing) {
		p->left |= at == p->from && seen->kind == SEEN_PROBE;
		return;
	}
	if (seen->kind == SEEN_PROBE) {
		if (counts_at(wire, p, at) && !p->by_answer) {
			p->arrived = true;
			p->arrived_at = at;
		}
		return;
	}
	if (at != p->from)
		return;
	if (seen->kind == SEEN_ERROR) {
		p->refused = true;
		p->error_type = seen->type;
		p->error_code = seen->code;
		return;
	}
	p->answered = true;
	p->reset |= seen->kind == SEEN_RESET;
	memcpy(p->answer_mac, seen->from_mac, 6);
	if (p->by_answer && !p->arrived) {
		p->arrived = true;
		p->arrived_at = WIRE_ANYWHERE;
	}
}

static void drain_tap(struct wire *wire, uint32_t at, struct probe *probes, size_t n)
{
	struct tap *tap = &wire->taps.items[at];
	uint8_t frame[SNAP];
	struct sockaddr_ll who;

	for (;;) {
		socklen_t who_n = sizeof(who);
		ssize_t r = recvfrom(tap->packet_fd, frame, sizeof(frame), MSG_DONTWAIT, (struct sockaddr *)&who, &who_n);
		struct probe_seen seen;

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			break;
		if (probe_read_frame(frame, (size_t)r, wire->nonce, &seen))
			see(wire, probes, n, at, who.sll_pkttype == PACKET_OUTGOING, &seen);
	}
	while (tap->udp_fd >= 0) {
		ssize_t r = recv(tap->udp_fd, frame, sizeof(frame), MSG_DONTWAIT);
		uint32_t index;

		if (r < 0)
			break;
		if (probe_read_payload(frame, (size_t)r, wire->nonce, &index) && index < n && probes[index].shape.port == tap->udp_port) {
			probes[index].arrived = true;
			probes[index].arrived_at = WIRE_ANYWHERE;
		}
	}
}

static void drain(struct wire *wire, struct pollfd *fds, struct probe *probes, size_t n, int timeout_ms)
{
	if (poll(fds, wire->taps.n * 2, timeout_ms) <= 0)
		return;
	for (uint32_t i = 0; i < wire->taps.n; i++)
		if (fds[2 * i].revents || fds[2 * i + 1].revents)
			drain_tap(wire, i, probes, n);
}

static int send_probe(struct wire *wire, struct probe *p, uint32_t index, uint8_t *buffer, struct error *err)
{
	struct tap *tap = &wire->taps.items[p->from];
	size_t n;
	ssize_t r;

	p->shape.nonce = wire->nonce;
	p->shape.index = index;
	if (!p->shape.source.family)
		p->shape.source = tap->address;
	if (!p->shape.source_port)	/* differs from run to run, so that no connection of an earlier one is met */
		p->shape.source_port = (uint16_t)(16384 + (wire->nonce % 45000 + index) % 45000);
	if (p->arp)
		n = probe_build_arp(wire->nonce, index, p->frame_from, &p->shape.source, buffer, PROBE_PACKET_MAX);
	else if (p->frame)
		n = probe_build_frame(&p->shape, p->frame_from, p->frame_to, buffer, PROBE_PACKET_MAX);
	else
		n = probe_build_ip(&p->shape, buffer, PROBE_PACKET_MAX);
	if (n == 0)
		return error_set(err, ERROR_INPUT, "a probe of %zu bytes cannot be built", p->shape.size);
	if (p->frame || p->arp) {
		struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = tap->index, .sll_halen = 6 };
		r = sendto(tap->packet_fd, buffer, n, 0, (struct sockaddr *)&to, sizeof(to));
	} else {
		struct sockaddr_in to = { .sin_family = AF_INET };
		memcpy(&to.sin_addr, p->shape.destination.bytes, 4);
		r = sendto(tap->raw_fd, buffer, n, 0, (struct sockaddr *)&to, sizeof(to));
	}
	p->send_errno = r < 0 ? errno : 0;
	p->left |= r >= 0 && (p->frame || p->arp);	/* a packet socket does not see what it sends itself */
	p->sent++;
	return 0;
}

static bool settled(const struct probe *p, unsigned round)
{
	if (p->wanted)
		return p->arrived && (p->answered || !p->need_answer);
	return p->arrived || round >= 2;
}

static bool all_settled(const struct probe *probes, size_t n, unsigned round)
{
	for (size_t i = 0; i < n; i++)
		if (!settled(&probes[i], round))
			return false;
	return true;
}

struct run {
	struct wire *wire;
	struct probe *probes;			/* the caller's, then the barriers of each round */
	size_t n, all_n, barrier_n;
	struct pollfd *fds;
	uint8_t *buffer;
};

static int send_round(struct run *run, unsigned round, struct error *err)
{
	size_t sent = 0, barrier = run->n + round * run->barrier_n;

	for (uint32_t i = 0; i < run->n; i++) {
		if (settled(&run->probes[i], round))
			continue;
		if (send_probe(run->wire, &run->probes[i], i, run->buffer, err) < 0)
			return -1;
		if (++sent % DRAIN_EVERY == 0)
			drain(run->wire, run->fds, run->probes, run->all_n, 0);
	}
	for (size_t i = barrier; i < barrier + run->barrier_n; i++)
		if (send_probe(run->wire, &run->probes[i], (uint32_t)i, run->buffer, err) < 0)
			return -1;
	return 0;
}

/* What must not arrive is waited for to the end, what must only until it has. */
static void wait_round(struct run *run, unsigned round)
{
	const struct probe *barriers = run->probes + run->n + round * run->barrier_n;
	int64_t start = clock_monotonic_ns(&clock_system);
	int64_t until = start + (run->wire->wait_ms + 30 * (int64_t)round) * 1000000, latest = start + BARRIER_NS;

	for (;;) {
		int64_t now = clock_monotonic_ns(&clock_system);
		bool back = true;

		for (size_t i = 0; i < run->barrier_n; i++)
			back = back && barriers[i].answered;
		if ((now >= until && (back || now >= latest)) || all_settled(run->probes, run->n, round >= 2 ? round : 0))
			break;
		drain(run->wire, run->fds, run->probes, run->all_n, (int)(((now < until ? until : latest) - now) / 1000000) + 1);
	}
}

int wire_run(struct wire *wire, struct probe *probes, size_t n, const struct probe *barriers, size_t barrier_n, unsigned tries, struct error *err)
{
	struct run run = { .wire = wire, .n = n, .all_n = n + tries * barrier_n, .barrier_n = barrier_n };
	int r = 0;

	if (run.all_n > WIRE_PROBES_MAX)
		return error_set(err, ERROR_CAPACITY, "more than %d probes in one proof", WIRE_PROBES_MAX);
	autofree uint8_t *buffer = xmalloc(PROBE_PACKET_MAX);
	autofree struct pollfd *fds = xcalloc(MAX(wire->taps.n, 1) * 2, sizeof(*fds));
	autofree struct probe *all = xcalloc(MAX(run.all_n, 1), sizeof(*all));
	if (n)
		memcpy(all, probes, n * sizeof(*all));
	for (size_t i = 0; i < tries * barrier_n; i++)
		all[n + i] = barriers[i % barrier_n];
	for (uint32_t i = 0; i < wire->taps.n; i++) {
		fds[2 * i] = (struct pollfd){ .fd = wire->taps.items[i].packet_fd, .events = POLLIN };
		fds[2 * i + 1] = (struct pollfd){ .fd = wire->taps.items[i].udp_fd, .events = POLLIN };
	}
	run.buffer = buffer;
	run.fds = fds;
	run.probes = all;
	for (unsigned round = 0; r == 0 && round < tries && !all_settled(all, n, round); round++) {
		r = send_round(&run, round, err);
		if (r == 0)
			wait_round(&run, round);
	}
	if (n)
		memcpy(probes, all, n * sizeof(*all));
	return r;
}
