/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_AUDIT_PROBE_PACKET_H
#define INSULA_AUDIT_PROBE_PACKET_H

/*
 * The packets of a proof: built here, and known again wherever they are seen. Pure.
 *
 * Each probe bears its number, so that nothing has to be bound and no listener is disturbed:
 *   TCP          a SYN whose sequence number is nonce + index; its answer acknowledges that + 1
 *   UDP, ICMP    the mark "insulaPR", nonce and index (big endian) as the first 16 bytes of the payload
 *   ARP          the same 16 bytes in the padding of the frame
 * ICMP errors are known by the packet that they quote. The nonce is new in each run.
 */

#include "model/world.h"

#define PROBE_PACKET_MAX 65536		/* bytes of a frame */
#define PROBE_FRAME_HEADER 14		/* Ethernet */

struct probe_shape {
	uint32_t nonce, index;
	int family;
	enum protocol protocol;		/* TCP, UDP, ICMP (echo request), ICMPV6 (echo request) */
	struct address source, destination;
	uint16_t source_port, port;
	uint8_t ttl;
	bool dont_fragment;
	size_t size;			/* of the IP packet; what is less than the least is the least */
};

/* The IP packet, with checksums; its length, or 0 when it does not fit. */
size_t probe_build_ip(const struct probe_shape *shape, uint8_t *into, size_t capacity);
/* The same in an Ethernet frame. */
size_t probe_build_frame(const struct probe_shape *shape, const uint8_t from[static 6], const uint8_t to[static 6], uint8_t *into, size_t capacity);
/* An ARP reply to everyone that claims: `claimed` (IPv4) is at `from`. 60 bytes. */
size_t probe_build_arp(uint32_t nonce, uint32_t index, const uint8_t from[static 6], const struct address *claimed, uint8_t *into, size_t capacity);

enum probe_seen_kind {
	SEEN_PROBE,		/* the probe itself */
	SEEN_ANSWER,		/* SYN-ACK or echo reply */
	SEEN_RESET,		/* TCP RST: someone is there, nobody listens */
	SEEN_ERROR,		/* an ICMP error about it */
};
struct probe_seen {
	enum probe_seen_kind kind;
	uint32_t index;
	uint16_t port;			/* the probe's destination port as this packet has it; 0: none, or not known */
	uint8_t type, code;		/* SEEN_ERROR: of ICMP */
	uint8_t from_mac[6];
};
/* Is this frame about a probe of this run? Any bytes are welcome. */
bool probe_read_frame(const uint8_t *frame, size_t n, uint32_t nonce, struct probe_seen *ret);
/* The payload of a probe as a listener gets it. */
bool probe_read_payload(const uint8_t *payload, size_t n, uint32_t nonce, uint32_t *ret_index);

#endif
