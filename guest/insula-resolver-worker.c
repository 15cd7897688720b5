/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/*
 * The worker: has no rights and no files, only sockets. Questions come in by two that live in the router's namespace,
 * go out by those it makes itself, which are in the host's; zones come by the control socket, and their digest goes back.
 */

#define TICK_MS 200
#define QUESTIONS_AT_ONCE 64
#define RATE 2000			/* questions a second and tenant, and at once */
#define CONTROL_TIMEOUT_S 10

int64_t worker_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint16_t worker_random_id(struct worker *worker)
{
	if (worker->random_left == 0) {
		while (getrandom(worker->random, sizeof(worker->random), 0) != (ssize_t)sizeof(worker->random))
			;
		worker->random_left = sizeof(worker->random) / sizeof(worker->random[0]);
	}
	return (uint16_t)worker->random[--worker->random_left];
}

int worker_watch(struct worker *worker, int fd, uint32_t events, uint64_t tag)
{
	struct epoll_event event = { .events = events, .data.u64 = tag };

	if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
		return 0;
	return errno == EEXIST ? epoll_ctl(worker->epoll, EPOLL_CTL_MOD, fd, &event) : -1;
}

bool zone_takes(struct zone *zone, int64_t now)
{
	zone->tokens += (now - zone->filled_ms) * RATE / 1000;
	zone->filled_ms = now;
	if (zone->tokens > RATE)
		zone->tokens = RATE;
	if (zone->tokens <= 0)
		return false;
	zone->tokens--;
	return true;
}

void worker_send(struct worker *worker, const struct client_address *to, const uint8_t *message, size_t n)
{
	struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = to->port, .sin_addr.s_addr = to->address };
	struct iovec part = { (void *)message, n };
	union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(struct in_pktinfo))]; } control = { 0 };
	struct in_pktinfo info = { .ipi_spec_dst.s_addr = to->gateway };
	struct msghdr m = { .msg_name = &peer, .msg_namelen = sizeof(peer), .msg_iov = &part, .msg_iovlen = 1,
			    .msg_control = &control, .msg_controllen = sizeof(control) };

	/* from the address that was asked, whatever the route would choose */
	control.header.cmsg_level = IPPROTO_IP;
	control.header.cmsg_type = IP_PKTINFO;
	control.header.cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(&control.header), &info, sizeof(info));
	/* an answer that cannot be sent is lost, as a datagram may be */
	if (sendmsg(worker->udp, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

/* The address that a datagram came to; 0 when the kernel does not say. */
static uint32_t asked_address(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct in_pktinfo info;

		if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO)
			continue;
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		return info.ipi_addr.s_addr;
	}
	return 0;
}

static void udp_question(struct worker *worker, const struct client_address *from, const uint8_t *message, size_t n)
{
	struct zone *zone = zones_find(&worker->zones, from->address);
	uint8_t answer[DNS_UDP_OURS];
	struct verdict verdict = { 0 };
	struct dns_query query;
	int code;

	/* strangers, and who asks another's gateway, hear nothing */
	if (!zone || zone->gateway != from->gateway || !zone_takes(zone, worker_now()))
		return;
	code = dns_query_parse(message, n, &query);
	if (code < 0)
		return;
	if (code == 0)
		resolver_judge(&worker->zones, zone, &query, worker->rotation++, &verdict);
	else
		verdict.reply.code = code;
	if (verdict.kind == VERDICT_FORWARD) {
		if (forward_start(worker, zone, from, 0, message, n, &query) == 0)
			return;
		verdict.reply = (struct dns_reply){ .code = DNS_SERVFAIL };
	}
	n = dns_reply_build(message, &query, &verdict.reply, answer, query.udp_size < sizeof(answer) ? query.udp_size : sizeof(answer));
	worker_send(worker, from, answer, n);
}

static void udp_event(struct worker *worker)
{
	for (int i = 0; i < QUESTIONS_AT_ONCE; i++) {
		uint8_t message[QUERY_MAX + 1];
		char control[256];
		struct sockaddr_in peer;
		struct iovec part = { message, sizeof(message) };
		struct msghdr m = { .msg_name = &peer, .msg_namelen = sizeof(peer), .msg_iov = &part, .msg_iovlen = 1,
				    .msg_control = control, .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(worker->udp, &m, MSG_DONTWAIT);
		struct client_address from;

		if (n < 0)
			return;
		if (n > QUERY_MAX || m.msg_namelen != sizeof(peer) || peer.sin_family != AF_INET)
			continue;
		from = (struct client_address){ .address = peer.sin_addr.s_addr, .port = peer.sin_port, .gateway = asked_address(&m) };
		udp_question(worker, &from, message, (size_t)n);
	}
}

static bool read_whole(int fd, void *data, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t got = recv(fd, (char *)data + done, n - done, 0);

		if (got == 0 || (got < 0 && errno != EINTR))
			return false;
		if (got > 0)
			done += (size_t)got;
	}
	return true;
}

/* New zones: what was in flight was judged by the old ones, and is dropped. */
static bool control_event(struct worker *worker)
{
	struct zones zones;
	uint64_t n;
	char *text;

	if (!read_whole(worker->control, &n, sizeof(n)) || n > ZONE_TEXT_MAX || !(text = malloc((size_t)n + 1)))
		return false;
	if (!read_whole(worker->control, text, (size_t)n)) {
		free(text);
		return false;
	}
	text[n] = '\0';
	if (zones_parse(text, &zones) == 0) {
		forwards_drop(worker);
		clients_drop(worker);
		zones_clear(&worker->zones);
		worker->zones = zones;
	}
	return send(worker->control, worker->zones.digest, sizeof(worker->zones.digest), MSG_NOSIGNAL) == (ssize_t)sizeof(worker->zones.digest);
}

static bool worker_event(struct worker *worker, const struct epoll_event *event)
{
	unsigned slot = (unsigned)event->data.u64;

	switch (event->data.u64 >> 32) {
	case TAG_UDP:
		udp_event(worker);
		return true;
	case TAG_TCP:
		clients_accept(worker);
		return true;
	case TAG_FORWARD:
		forward_event(worker, slot, event->events);
		return true;
	case TAG_CLIENT:
		client_event(worker, slot, event->events);
		return true;
	default:
		return control_event(worker);
	}
}

int worker_run(int udp, int tcp, int control)
{
	struct worker worker = { .epoll = epoll_create1(EPOLL_CLOEXEC), .udp = udp, .tcp = tcp, .control = control,
				 .forwards = forwards_new(), .clients = clients_new() };
	struct timeval patience = { .tv_sec = CONTROL_TIMEOUT_S };
	struct epoll_event events[64];
	int64_t swept = 0;

	if (worker.epoll < 0 || !worker.forwards || !worker.clients || setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    worker_watch(&worker, udp, EPOLLIN, TAG(TAG_UDP, 0)) < 0 || worker_watch(&worker, tcp, EPOLLIN, TAG(TAG_TCP, 0)) < 0 ||
	    worker_watch(&worker, control, EPOLLIN, TAG(TAG_CONTROL, 0)) < 0)
		return 1;
	for (;;) {
		int n = epoll_wait(worker.epoll, events, sizeof(events) / sizeof(events[0]), TICK_MS);
		int64_t now = worker_now();

		if (n < 0 && errno != EINTR)
			return 1;
		for (int i = 0; i < n; i++)
			if (!worker_event(&worker, &events[i]))
				return 0;
		if (now - swept >= TICK_MS) {
			forwards_expire(&worker, now);
			clients_expire(&worker, now);
			swept = now;
		}
	}
}
