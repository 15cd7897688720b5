/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_GUEST_DNS_H
#define INSULA_GUEST_DNS_H

/*
 * DNS messages (RFC 1035, EDNS of RFC 6891), as much as the resolver needs: one question in, an answer of ours out,
 * and the check that somebody else's answer is about the question that was asked. Over libc alone, no memory of its own.
 * Any bytes are welcome.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_MAX 256		/* "a.b.c" with its 0 byte: at most 253 characters */
#define DNS_HEADER 12
#define DNS_UDP_LEAST 512		/* what every client takes */
#define DNS_UDP_OURS 1232		/* what we say we take: fits in an unfragmented packet everywhere */

enum { DNS_NOERROR = 0, DNS_FORMERR = 1, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3, DNS_NOTIMP = 4, DNS_REFUSED = 5 };
enum { DNS_TYPE_A = 1, DNS_TYPE_PTR = 12, DNS_TYPE_AAAA = 28, DNS_TYPE_OPT = 41, DNS_TYPE_ANY = 255 };
enum { DNS_CLASS_IN = 1 };

struct dns_query {
	uint16_t id, type, class;
	bool recursion;			/* desired */
	char name[DNS_NAME_MAX];	/* lower case, without the final dot; "" is the root */
	size_t question_n;		/* bytes of the question, which begins behind the header */
	bool edns;
	uint16_t udp_size;		/* what the client takes, at least 512 */
};

/* 0: read. A DNS_* code: it is to be refused with that (id, question_n may be 0). -1: not a query at all, to be dropped. */
int dns_query_parse(const uint8_t *message, size_t n, struct dns_query *ret);

/* Answers: addresses (network order) for A, or names for PTR. capacity is what the client takes; what does not fit is left
   out and the message says so (TC). Gives its length, at least the header. */
struct dns_reply {
	int code;			/* DNS_NOERROR ... */
	bool authoritative;
	const uint32_t *addresses;
	size_t address_n;
	const char *const *names;
	size_t name_n;
	uint32_t ttl;			/* seconds */
};
size_t dns_reply_build(const uint8_t *message, const struct dns_query *query, const struct dns_reply *reply, uint8_t *into, size_t capacity);

/* Is it an answer to `query`, sent with `id`: same question, one of it? */
bool dns_answer_fits(const uint8_t *answer, size_t n, uint16_t id, const uint8_t *message, const struct dns_query *query);

/* Cuts a message down to its question, and says so in it (TC). Its new length. */
size_t dns_truncate(uint8_t *message, const struct dns_query *query);

uint16_t dns_id(const uint8_t *message);
void dns_set_id(uint8_t *message, uint16_t id);

/* "2.1.77.10.in-addr.arpa" to 10.77.1.2 in network order */
bool dns_reverse_name(const char *name, uint32_t *ret);
/* Is `name` the domain or within it? "a.insula" is within "insula", "ainsula" is not. */
bool dns_name_within(const char *name, const char *domain);

#endif
