/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * How it works: a client sends a length and a question, and gets a length and an answer; then it may ask again. One
 * question at a time: the next is read when the last is answered. Each tenant has a share of the places.
 */

#define CLIENTS_MAX 1024
#define SHARE_LEAST 4
#define SHARE_MOST 32
#define IDLE_MS 8000
#define ACCEPTS_AT_ONCE 16
#define MESSAGE_MAX 65535

struct client {
	bool waiting;			/* the question is with an upstream */
	int fd;
	struct zone *zone;
	uint8_t question[2 + QUERY_MAX];
	size_t question_n;
	uint8_t *answer;		/* or NULL: reading */
	size_t answer_n, sent;
	int64_t deadline;
};
struct clients {
	struct client *slots[CLIENTS_MAX];
	uint8_t buffer[MESSAGE_MAX];
};

struct clients *clients_new(void)
{
	return calloc(1, sizeof(struct clients));
}

static void client_free(struct worker *worker, unsigned slot)
{
	struct client *client = worker->clients->slots[slot];

	if (!client)
		return;
	if (client->waiting)
		forwards_drop_client(worker, slot);
	client->zone->clients--;
	close(client->fd);
	free(client->answer);
	free(client);
	worker->clients->slots[slot] = NULL;
}

static unsigned share(const struct worker *worker)
{
	size_t each = worker->zones.n ? CLIENTS_MAX / worker->zones.n : CLIENTS_MAX;

	return each < SHARE_LEAST ? SHARE_LEAST : each > SHARE_MOST ? SHARE_MOST : (unsigned)each;
}

/* Who is it, and did it ask its own gateway? */
static struct zone *zone_of(struct worker *worker, int fd, const struct sockaddr_in *peer)
{
	struct zone *zone = zones_find(&worker->zones, peer->sin_addr.s_addr);
	struct sockaddr_in own;
	socklen_t n = sizeof(own);

	if (!zone || getsockname(fd, (struct sockaddr *)&own, &n) < 0 || own.sin_addr.s_addr != zone->gateway)
		return NULL;
	return zone;
}

static bool client_add(struct worker *worker, int fd, struct zone *zone)
{
	for (unsigned slot = 0; slot < CLIENTS_MAX; slot++) {
		struct client *client;

		if (worker->clients->slots[slot])
			continue;
		client = calloc(1, sizeof(*client));
		if (!client || worker_watch(worker, fd, EPOLLIN, TAG(TAG_CLIENT, slot)) < 0) {
			free(client);
			return false;
		}
		client->fd = fd;
		client->zone = zone;
		client->deadline = worker_now() + IDLE_MS;
		zone->clients++;
		worker->clients->slots[slot] = client;
		return true;
	}
	return false;
}

void clients_accept(struct worker *worker)
{
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		struct sockaddr_in peer;
		socklen_t n = sizeof(peer);
		int fd = accept4(worker->tcp, (struct sockaddr *)&peer, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct zone *zone;

		if (fd < 0)
			return;
		zone = zone_of(worker, fd, &peer);
		if (!zone || zone->clients >= share(worker) || !client_add(worker, fd, zone))
			close(fd);
	}
}

static void client_send(struct worker *worker, unsigned slot)
{
	struct client *client = worker->clients->slots[slot];
	ssize_t n = send(client->fd, client->answer + client->sent, client->answer_n - client->sent, MSG_NOSIGNAL);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			client_free(worker, slot);
		else if (worker_watch(worker, client->fd, EPOLLOUT, TAG(TAG_CLIENT, slot)) < 0)
			client_free(worker, slot);
		return;
	}
	client->sent += (size_t)n;
	if (client->sent < client->answer_n) {
		if (worker_watch(worker, client->fd, EPOLLOUT, TAG(TAG_CLIENT, slot)) < 0)
			client_free(worker, slot);
		return;
	}
	free(client->answer);
	client->answer = NULL;
	client->question_n = client->sent = client->answer_n = 0;
	if (worker_watch(worker, client->fd, EPOLLIN, TAG(TAG_CLIENT, slot)) < 0)
		client_free(worker, slot);
}

void client_answer(struct worker *worker, unsigned slot, const uint8_t *message, size_t n)
{
	struct client *client = worker->clients->slots[slot];

	if (!client || client->answer || n > MESSAGE_MAX)
		return;
	client->waiting = false;
	client->deadline = worker_now() + IDLE_MS;
	client->answer = malloc(n + 2);
	if (!client->answer) {
		client_free(worker, slot);
		return;
	}
	client->answer[0] = (uint8_t)(n >> 8);
	client->answer[1] = (uint8_t)n;
	memcpy(client->answer + 2, message, n);
	client->answer_n = n + 2;
	client_send(worker, slot);
}

static void client_asked(struct worker *worker, unsigned slot)
{
	struct client *client = worker->clients->slots[slot];
	const uint8_t *message = client->question + 2;
	size_t n = client->question_n - 2;
	struct dns_query query;
	struct verdict verdict = { 0 };
	int code = dns_query_parse(message, n, &query);

	if (code < 0 || !zone_takes(client->zone, worker_now())) {
		client_free(worker, slot);
		return;
	}
	if (code == 0)
		resolver_judge(&worker->zones, client->zone, &query, worker->rotation++, &verdict);
	else
		verdict.reply.code = code;
	if (verdict.kind == VERDICT_FORWARD) {
		/* nothing more is read until it is answered; that it hung up shows then */
		client->waiting = true;
		client->deadline = worker_now() + 2 * IDLE_MS;
		if (worker_watch(worker, client->fd, 0, TAG(TAG_CLIENT, slot)) < 0) {
			client_free(worker, slot);
			return;
		}
		if (forward_start(worker, client->zone, NULL, slot, message, n, &query) == 0)
			return;
		verdict.reply = (struct dns_reply){ .code = DNS_SERVFAIL };
	}
	client_answer(worker, slot, worker->clients->buffer,
		      dns_reply_build(message, &query, &verdict.reply, worker->clients->buffer, sizeof(worker->clients->buffer)));
}

static void client_read(struct worker *worker, unsigned slot)
{
	struct client *client = worker->clients->slots[slot];
	size_t want = client->question_n < 2 ? 2 : 2 + (size_t)(client->question[0] << 8 | client->question[1]);
	ssize_t n = recv(client->fd, client->question + client->question_n, want - client->question_n, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_free(worker, slot);
		return;
	}
	client->question_n += (size_t)n;
	if (client->question_n < 2)
		return;
	want = 2 + (size_t)(client->question[0] << 8 | client->question[1]);
	if (want > sizeof(client->question) || want < 2 + DNS_HEADER)
		client_free(worker, slot);
	else if (client->question_n == want)
		client_asked(worker, slot);
}

void client_event(struct worker *worker, unsigned slot, uint32_t events)
{
	struct client *client = worker->clients->slots[slot];

	if (!client)
		return;
	if (client->waiting || events & EPOLLERR)
		client_free(worker, slot);	/* it hung up */
	else if (client->answer)
		client_send(worker, slot);
	else
		client_read(worker, slot);
}

void clients_expire(struct worker *worker, int64_t now)
{
	for (unsigned slot = 0; slot < CLIENTS_MAX; slot++)
		if (worker->clients->slots[slot] && worker->clients->slots[slot]->deadline <= now)
			client_free(worker, slot);
}

void clients_drop(struct worker *worker)
{
	for (unsigned slot = 0; slot < CLIENTS_MAX; slot++)
		client_free(worker, slot);
}
