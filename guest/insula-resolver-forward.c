/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * How it works: each question that goes out has a slot with a socket of its own, so the kernel chooses a new source port
 * each time, and an id of its own; an answer must come from the upstream that was asked, bear that id and repeat the
 * question. Without one in time the next upstream is asked. A tenant has a share of the slots, which others cannot use up.
 * What was asked by TCP is asked by TCP.
 */

#define FORWARDS_MAX 2048
#define SHARE_LEAST 8
#define SHARE_MOST 64
#define ATTEMPTS 4
#define ATTEMPT_MS 1200
#define ANSWER_MAX 65535

struct forward {
	bool used, tcp;
	int fd;
	struct zone *zone;
	struct client_address address;
	unsigned client, attempt;
	uint16_t id;
	struct dns_query query;
	uint8_t *message;		/* as the client sent it; for TCP with its length before it */
	size_t n, sent;
	uint8_t *answer;		/* TCP only: length and message, as far as read */
	size_t answer_n;
	int64_t deadline;
};
struct forwards {
	struct forward slots[FORWARDS_MAX];
	unsigned free[FORWARDS_MAX], free_n;
	uint8_t buffer[ANSWER_MAX];
};

struct forwards *forwards_new(void)
{
	struct forwards *forwards = calloc(1, sizeof(*forwards));

	if (!forwards)
		return NULL;
	for (unsigned i = 0; i < FORWARDS_MAX; i++)
		forwards->free[i] = FORWARDS_MAX - 1 - i;
	forwards->free_n = FORWARDS_MAX;
	return forwards;
}

static void forward_free(struct worker *worker, unsigned slot)
{
	struct forwards *forwards = worker->forwards;
	struct forward *f = &forwards->slots[slot];

	if (f->fd >= 0)
		close(f->fd);
	free(f->message);
	free(f->answer);
	f->zone->forwards--;
	memset(f, 0, sizeof(*f));
	forwards->free[forwards->free_n++] = slot;
}

static void forward_deliver(struct worker *worker, unsigned slot, uint8_t *answer, size_t n)
{
	struct forward *f = &worker->forwards->slots[slot];
	struct client_address to = f->address;
	unsigned client = f->client;
	bool tcp = f->tcp;

	dns_set_id(answer, f->query.id);
	if (!tcp && n > f->query.udp_size)
		n = dns_truncate(answer, &f->query);
	forward_free(worker, slot);
	if (tcp)
		client_answer(worker, client, answer, n);
	else
		worker_send(worker, &to, answer, n);
}

static void forward_fail(struct worker *worker, unsigned slot)
{
	struct forward *f = &worker->forwards->slots[slot];
	struct dns_reply reply = { .code = DNS_SERVFAIL };
	size_t n = dns_reply_build(f->message + (f->tcp ? 2 : 0), &f->query, &reply, worker->forwards->buffer, DNS_UDP_LEAST);

	forward_deliver(worker, slot, worker->forwards->buffer, n);
}

static bool forward_connect(struct worker *worker, unsigned slot)
{
	struct forward *f = &worker->forwards->slots[slot];
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(53) };

	if (f->fd >= 0)
		close(f->fd);
	f->sent = f->answer_n = 0;
	f->deadline = worker_now() + ATTEMPT_MS;
	f->id = worker_random_id(worker);
	dns_set_id(f->message + (f->tcp ? 2 : 0), f->id);
	to.sin_addr.s_addr = worker->zones.upstreams[f->attempt % worker->zones.upstream_n];
	f->fd = socket(AF_INET, (f->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (f->fd < 0 || (connect(f->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS))
		return false;
	if (!f->tcp && send(f->fd, f->message, f->n, 0) != (ssize_t)f->n)
		return false;
	return worker_watch(worker, f->fd, f->tcp ? EPOLLOUT : EPOLLIN, TAG(TAG_FORWARD, slot)) == 0;
}

/* The next upstream, as long as there are attempts left. */
static void forward_again(struct worker *worker, unsigned slot)
{
	struct forward *f = &worker->forwards->slots[slot];

	while (++f->attempt < ATTEMPTS)
		if (forward_connect(worker, slot))
			return;
	forward_fail(worker, slot);
}

static unsigned share(const struct worker *worker)
{
	size_t each = worker->zones.n ? FORWARDS_MAX / worker->zones.n : FORWARDS_MAX;

	return each < SHARE_LEAST ? SHARE_LEAST : each > SHARE_MOST ? SHARE_MOST : (unsigned)each;
}

int forward_start(struct worker *worker, struct zone *zone, const struct client_address *address, unsigned client, const uint8_t *message, size_t n,
		  const struct dns_query *query)
{
	struct forwards *forwards = worker->forwards;
	size_t before = address ? 0 : 2;
	struct forward *f;
	unsigned slot;

	if (forwards->free_n == 0 || zone->forwards >= share(worker))
		return -1;
	slot = forwards->free[forwards->free_n - 1];
	f = &forwards->slots[slot];
	*f = (struct forward){ .used = true, .tcp = !address, .fd = -1, .zone = zone, .client = client, .query = *query, .n = n + before };
	if (address)
		f->address = *address;
	f->message = malloc(n + before);
	if (!f->message) {
		f->used = false;
		return -1;
	}
	memcpy(f->message + before, message, n);
	if (before) {
		f->message[0] = (uint8_t)(n >> 8);
		f->message[1] = (uint8_t)n;
	}
	forwards->free_n--;
	zone->forwards++;
	if (!forward_connect(worker, slot))
		forward_again(worker, slot);
	return 0;
}

static void udp_answer(struct worker *worker, unsigned slot)
{
	struct forward *f = &worker->forwards->slots[slot];
	ssize_t n = recv(f->fd, worker->forwards->buffer, sizeof(worker->forwards->buffer), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		/* nobody is there */
		forward_again(worker, slot);
		return;
	}
	/* what does not fit was not meant for us, or is a forgery: the true one may still come */
	if (dns_answer_fits(worker->forwards->buffer, (size_t)n, f->id, f->message, &f->query))
		forward_deliver(worker, slot, worker->forwards->buffer, (size_t)n);
}

static void tcp_send(struct worker *worker, unsigned slot)
{
	struct forward *f = &worker->forwards->slots[slot];
	ssize_t n = send(f->fd, f->message + f->sent, f->n - f->sent, MSG_NOSIGNAL);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			forward_again(worker, slot);
		return;
	}
	f->sent += (size_t)n;
	if (f->sent == f->n && worker_watch(worker, f->fd, EPOLLIN, TAG(TAG_FORWARD, slot)) < 0)
		forward_again(worker, slot);
}

static void tcp_answer(struct worker *worker, unsigned slot)
{
	struct forward *f = &worker->forwards->slots[slot];
	size_t want;
	ssize_t n;

	if (!f->answer)
		f->answer = malloc(2 + ANSWER_MAX);
	if (!f->answer) {
		forward_fail(worker, slot);
		return;
	}
	want = f->answer_n < 2 ? 2 : 2 + (size_t)(f->answer[0] << 8 | f->answer[1]);
	n = recv(f->fd, f->answer + f->answer_n, want - f->answer_n, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		forward_again(worker, slot);
		return;
	}
	f->answer_n += (size_t)n;
	if (f->answer_n == 2 && (f->answer[0] | f->answer[1]) == 0)
		forward_again(worker, slot);
	else if (f->answer_n > 2 && f->answer_n == 2 + (size_t)(f->answer[0] << 8 | f->answer[1])) {
		if (!dns_answer_fits(f->answer + 2, f->answer_n - 2, f->id, f->message + 2, &f->query)) {
			forward_again(worker, slot);
			return;
		}
		memcpy(worker->forwards->buffer, f->answer + 2, f->answer_n - 2);
		forward_deliver(worker, slot, worker->forwards->buffer, f->answer_n - 2);
	}
}

void forward_event(struct worker *worker, unsigned slot, uint32_t events)
{
	struct forward *f = &worker->forwards->slots[slot];

	if (!f->used)
		return;
	if (!f->tcp)
		udp_answer(worker, slot);
	else if (f->sent < f->n && events & (EPOLLERR | EPOLLHUP))
		forward_again(worker, slot);
	else if (f->sent < f->n)
		tcp_send(worker, slot);
	else
		tcp_answer(worker, slot);
}

void forwards_expire(struct worker *worker, int64_t now)
{
	for (unsigned i = 0; i < FORWARDS_MAX; i++)
		if (worker->forwards->slots[i].used && worker->forwards->slots[i].deadline <= now)
			forward_again(worker, i);
}

void forwards_drop_client(struct worker *worker, unsigned client)
{
	for (unsigned i = 0; i < FORWARDS_MAX; i++)
		if (worker->forwards->slots[i].used && worker->forwards->slots[i].tcp && worker->forwards->slots[i].client == client)
			forward_free(worker, i);
}

void forwards_drop(struct worker *worker)
{
	for (unsigned i = 0; i < FORWARDS_MAX; i++)
		if (worker->forwards->slots[i].used)
			forward_free(worker, i);
}
