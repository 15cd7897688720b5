/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_AUDIT_WIRE_H
#define INSULA_AUDIT_WIRE_H

/*
 * Sends probes from network namespaces and sees where they come out.
 *
 * A tap is one link in one namespace, watched by a packet socket: it sees what arrives whether or not anybody
 * listens, so no port is bound in an instance and nothing that runs there is disturbed. What nobody but the kernel of
 * the receiver answers (SYN-ACK, RST, echo reply) comes back by itself.
 *
 * Needs CAP_SYS_ADMIN and CAP_NET_RAW. Namespaces are entered by a thread of their own: the caller's stays where it is.
 */

#include "base/vec.h"
#include "probe_packet.h"

#define WIRE_TAPS_MAX 1024
#define WIRE_PROBES_MAX 2000000

#define WIRE_ANYWHERE UINT32_MAX		/* as `at`: any tap but the sender's, or a listener */
#define WIRE_INSTANCES (UINT32_MAX - 1)		/* any tap of an instance but the sender's */

struct probe {
	/* what to send; nonce and index are filled in */
	struct probe_shape shape;		/* source family 0: the tap's own address */
	uint32_t from;				/* tap */
	bool frame;				/* as a frame past the sender's own network stack, which could refuse it */
	uint8_t frame_from[6], frame_to[6];
	bool arp;				/* an ARP reply that claims shape.source; `frame_from` sends it */
	/* what counts */
	uint32_t at;				/* the tap where it counts as arrived, or WIRE_ANYWHERE */
	uint32_t group;				/* or, when not 0: any tap of this group */
	bool any_port;				/* its port may change on the way (a publication) */
	bool by_answer;				/* it has arrived when an answer comes back, whatever a tap saw */
	bool wanted;				/* it should arrive: tried again more often */
	bool need_answer;			/* and be answered */
	/* what was seen */
	bool left, arrived, answered, reset, refused;	/* left: the sender's link; refused: an ICMP error came back */
	uint32_t arrived_at;			/* tap; WIRE_ANYWHERE: a listener */
	int send_errno;				/* the sender's own kernel refused it */
	uint8_t error_type, error_code;		/* refused */
	uint8_t answer_mac[6];
	unsigned sent;
};

struct tap {
	char *name;
	int netns, packet_fd, raw_fd;		/* owned */
	int tcp_fd, udp_fd;			/* listeners, or -1 */
	uint16_t tcp_port, udp_port;
	int index;				/* of the link */
	uint8_t mac[6];
	int64_t mtu;
	struct address address;			/* IPv4 */
	uint32_t group;				/* 0: none */
	bool instance;				/* else a router's or a host's */
};

struct wire {
	uint32_t nonce;
	VEC(struct tap) taps;
	int64_t wait_ms;			/* how long absence is waited for; 150 by default */
};

int wire_init(struct wire *wire, struct error *err) WARN_UNUSED;
void wire_clear(struct wire *wire);
#define autowire CLEANUP(wire_clear)

/* A tap on the link that has this IPv4 address in the namespace. Takes the descriptor in any case. The caller sets group and instance. */
int wire_add_tap(struct wire *wire, const char *name, int netns, const struct address *address, uint32_t *ret, struct error *err) WARN_UNUSED;
/* Opens listeners on free TCP and UDP ports of all addresses in the tap's namespace. */
int wire_listen(struct wire *wire, uint32_t tap, struct error *err) WARN_UNUSED;
/* Sends all and waits; probes that are not wanted are sent twice, wanted ones until they arrive or `tries` are over.
   `barriers` are probes that surely are answered: sent behind the others in each round, which does not end before their answers are
   back (or two seconds are over), however slow the machine is. */
int wire_run(struct wire *wire, struct probe *probes, size_t n, const struct probe *barriers, size_t barrier_n, unsigned tries, struct error *err) WARN_UNUSED;

/* Calls `function` by a thread that has entered the namespace. */
int netns_call(int netns, int (*function)(void *arg, struct error *err), void *arg, struct error *err) WARN_UNUSED;

struct netns_address { char link[16]; struct address address; uint8_t length; };	/* IPv4, without loopback */
typedef VEC(struct netns_address) netns_addresses;
int netns_read_addresses(int netns, netns_addresses *ret, struct error *err) WARN_UNUSED;

#endif
