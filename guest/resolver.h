/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_GUEST_RESOLVER_H
#define INSULA_GUEST_RESOLVER_H

/*
 * The parts of insula-resolver; docs/local.md, "Resolver", is its manual.
 *
 * Zones are a text, one thing a line:
 *     digest HEX                      first: what `loaded` will hold once these zones are in use
 *     upstream ADDRESS                in the order they are asked
 *     zone TENANT PREFIX GATEWAY 0|1  who asks from where; 1: names of the world too
 *     name NAME ADDRESS               what the zone above may know
 */

#include "dns.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DOMAIN_OURS "insula"
#define TTL_OURS 5
#define UPSTREAMS_MAX 3
#define ZONES_MAX 65536
#define ZONE_TEXT_MAX ((size_t)64 << 20)
#define QUERY_MAX 4096			/* bytes of a question; larger ones are not answered */

struct zone_name { const char *name; uint32_t address; };	/* network order */
struct zone {
	uint32_t network, mask, gateway;	/* network order */
	bool egress;
	struct zone_name *names;		/* sorted by name */
	size_t name_n;
	/* what the tenant has in use, and its rate */
	unsigned forwards, clients;
	int64_t tokens, filled_ms;
};
struct zones {
	char *text;				/* all names point into it */
	char digest[65];
	struct zone *zones;			/* sorted by network */
	size_t n;
	struct zone_name *names;
	size_t name_n;
	uint32_t upstreams[UPSTREAMS_MAX];
	size_t upstream_n;
};
/* Takes over the text. -1: it is not of the form above; *ret is untouched, the text is freed. */
int zones_parse(char *text, struct zones *ret);
void zones_clear(struct zones *zones);
struct zone *zones_find(struct zones *zones, uint32_t address);		/* whose address is it? */
/* The first of the names that are equal to `name`; how many in *ret_n. */
const struct zone_name *zone_lookup(const struct zone *zone, const char *name, size_t *ret_n);

/* ---- what to do with a question; pure but for the rotation ---- */

#define ANSWERS_MAX 64
enum verdict_kind { VERDICT_REPLY, VERDICT_FORWARD };
struct verdict {
	enum verdict_kind kind;
	struct dns_reply reply;
	uint32_t addresses[ANSWERS_MAX];
	const char *names[1];
};
void resolver_judge(struct zones *zones, const struct zone *zone, const struct dns_query *query, unsigned rotation, struct verdict *ret);

/* ---- the worker: answers until its control socket ends ---- */

int worker_run(int udp, int tcp, int control);

/* ---- parts of the worker ---- */

struct forwards;
struct clients;
struct worker {
	int epoll, udp, tcp, control;
	struct zones zones;
	struct forwards *forwards;
	struct clients *clients;
	uint64_t random[32];			/* from the kernel, used once each */
	size_t random_left;
	unsigned rotation;
};

int64_t worker_now(void);			/* ms */
uint16_t worker_random_id(struct worker *worker);
/* Tags of what epoll tells of: kind in the upper half, slot in the lower. */
enum { TAG_UDP = 1, TAG_TCP, TAG_CONTROL, TAG_FORWARD, TAG_CLIENT };
#define TAG(kind, slot) ((uint64_t)(kind) << 32 | (uint32_t)(slot))
int worker_watch(struct worker *worker, int fd, uint32_t events, uint64_t tag);		/* adds, or changes what is there */
bool zone_takes(struct zone *zone, int64_t now);	/* is the tenant within its rate of questions? */

struct client_address { uint32_t address, gateway; uint16_t port; };	/* network order; the gateway is whom it asked */
void worker_send(struct worker *worker, const struct client_address *to, const uint8_t *message, size_t n);

struct forwards *forwards_new(void);
/* Asks upstream for a client that asked by UDP (address), or by TCP (address NULL; its slot). -1: no room. */
int forward_start(struct worker *worker, struct zone *zone, const struct client_address *address, unsigned client, const uint8_t *message, size_t n,
		  const struct dns_query *query);
void forward_event(struct worker *worker, unsigned slot, uint32_t events);
void forwards_expire(struct worker *worker, int64_t now);
void forwards_drop_client(struct worker *worker, unsigned client);
void forwards_drop(struct worker *worker);

struct clients *clients_new(void);
void clients_accept(struct worker *worker);
void client_event(struct worker *worker, unsigned slot, uint32_t events);
void clients_expire(struct worker *worker, int64_t now);
void clients_drop(struct worker *worker);
void client_answer(struct worker *worker, unsigned slot, const uint8_t *message, size_t n);	/* to what it asked last */

#endif
