/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_AUDIT_REACH_H
#define INSULA_AUDIT_REACH_H

/*
 * What should meet one packet: the words of model/world.h, read literally, one packet at a time.
 *
 * No index, no cache, no cleverness: a reader must be able to check it against those words, because faster
 * evaluators are held against this one. A call costs (policies x rules x peers).
 *
 * Order of the questions, the first "no" decides:
 *   1. IPv6 where the world has none
 *   2. the sender's port: a source address or hardware address that is not its own
 *   3. a do-not-fragment packet that is larger than a link on its way
 *   4. the sender's egress policies, asked with the destination as the peer
 *   5. a publication of the destination: from here on the packet is for the service
 *   6. the receiver's ingress policies, asked with the source as the peer
 */

#include "model/world.h"

struct packet {
	int family;			/* AF_INET or AF_INET6 */
	uint32_t from;			/* the endpoint that sends, or WORLD_NONE: a machine that the world does not know */
	struct address source;		/* family 0: the sender's own address; another one: spoofed, or that unknown machine's */
	const uint8_t *mac;		/* 6 bytes, or NULL: the sender's own hardware address */
	uint32_t to;			/* the endpoint that is meant, or WORLD_NONE: the one that has the address */
	struct address destination;	/* family 0: the first address of `to` */
	enum protocol protocol;		/* PROTOCOL_TCP, _UDP, _ICMP (echo request) or _ICMPV6 */
	uint16_t port;			/* destination; 0 for ICMP */
	int64_t size;			/* bytes from the IP header on; 0: small */
	bool dont_fragment;
};

enum reach_reason {
	REACH_NOTHING_AGAINST,		/* no policy selects either end */
	REACH_RULE,			/* a rule allowed or denied it */
	REACH_ISOLATED,			/* policies isolate the endpoint and no rule allowed it */
	REACH_PUBLISHED,		/* a publication leads it in */
	REACH_IPV6_OFF,
	REACH_SPOOFED_ADDRESS,
	REACH_SPOOFED_MAC,
	REACH_TOO_LARGE,
	REACH_NO_ADDRESS,		/* an end has no address of this family */
};

struct verdict {
	bool allowed;
	enum reach_reason reason;
	enum direction direction;	/* RULE, ISOLATED: whose word it was */
	const struct policy *policy;	/* RULE: the rule's; ISOLATED: the first that isolates; else NULL */
	const struct rule *rule;	/* RULE: the one that decided; when both ends have one, the receiver's */
	char text[256];			/* one line for people: "denied: audio is isolated and no rule allows vision tcp/22" */
};

struct verdict reach_evaluate(const struct world *world, const struct packet *packet);
/* The answer to a packet, sent by whoever got it: answers to what passed pass, and only those. */
struct verdict reach_evaluate_answer(const struct world *world, const struct packet *packet);

/* The words of struct selector. `endpoint` may be WORLD_NONE (an address that is nobody's here), `address` may be NULL (only the endpoint counts). */
bool selector_matches(const struct world *world, const struct selector *selector, uint32_t endpoint, const struct address *address);
/* n 0: all. A range of PROTOCOL_ANY that does not span every port is about TCP and UDP. */
bool port_ranges_match(const struct port_ranges *ports, enum protocol protocol, uint16_t port);

bool address_within(const struct address *address, const struct prefix *prefix);
bool address_is_public(const struct address *address);		/* SELECT_INTERNET */
uint32_t reach_endpoint_of(const struct world *world, const struct address *address);	/* or WORLD_NONE */
/* The first address of the family, or NULL */
const struct address *reach_address_of(const struct world *world, uint32_t endpoint, int family);

const char *protocol_text(enum protocol protocol);		/* "tcp" */

#endif
