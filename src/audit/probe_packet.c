/* SPDX-License-Identifier: Apache-2.0 */
#include "probe_packet.h"

#define MARK "insulaPR"
#define MARK_SIZE 16
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define TCP_HEADER 20
#define UDP_HEADER 8
#define ICMP_HEADER 8
#define TYPE_IPV4 0x0800
#define TYPE_ARP 0x0806
#define TYPE_IPV6 0x86dd
#define FLAG_SYN 0x02
#define FLAG_RST 0x04
#define FLAG_ACK 0x10

static void put16(uint8_t *at, uint16_t v) { at[0] = (uint8_t)(v >> 8); at[1] = (uint8_t)v; }
static void put32(uint8_t *at, uint32_t v) { put16(at, (uint16_t)(v >> 16)); put16(at + 2, (uint16_t)v); }
static uint16_t get16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }
static uint32_t get32(const uint8_t *at) { return (uint32_t)get16(at) << 16 | get16(at + 2); }

static uint32_t sum(const uint8_t *data, size_t n, uint32_t start)
{
	uint32_t total = start;

	for (size_t i = 0; i + 1 < n; i += 2)
		total += get16(data + i);
	if (n % 2)
		total += (uint32_t)data[n - 1] << 8;
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return total;
}

/* RFC 1071, over the pseudo-header of RFC 9293 and RFC 8200 too where `shape` is not NULL. */
static uint16_t checksum(const struct probe_shape *shape, const uint8_t *data, size_t n)
{
	uint32_t total = 0;

	if (shape) {
		size_t length = shape->family == AF_INET ? 4 : 16;

		total = sum(shape->source.bytes, length, (uint32_t)shape->protocol + (uint32_t)n);
		total = sum(shape->destination.bytes, length, total);
	}
	return (uint16_t)~sum(data, n, total);
}

static void put_mark(uint8_t *at, uint32_t nonce, uint32_t index)
{
	memcpy(at, MARK, 8);
	put32(at + 8, nonce);
	put32(at + 12, index);
}

bool probe_read_payload(const uint8_t *payload, size_t n, uint32_t nonce, uint32_t *ret_index)
{
	if (n < MARK_SIZE || memcmp(payload, MARK, 8) != 0 || get32(payload + 8) != nonce)
		return false;
	*ret_index = get32(payload + 12);
	return true;
}

static void build_transport(const struct probe_shape *shape, uint8_t *at, size_t n)
{
	switch (shape->protocol) {
	case PROTOCOL_TCP:
		put16(at, shape->source_port);
		put16(at + 2, shape->port);
		put32(at + 4, shape->nonce + shape->index);
		at[12] = TCP_HEADER / 4 << 4;
		at[13] = FLAG_SYN;
		put16(at + 14, 1024);
		put16(at + 16, checksum(shape, at, n));
		break;
	case PROTOCOL_UDP: {
		put16(at, shape->source_port);
		put16(at + 2, shape->port);
		put16(at + 4, (uint16_t)n);
		put_mark(at + UDP_HEADER, shape->nonce, shape->index);
		uint16_t c = checksum(shape, at, n);
		put16(at + 6, c ? c : 0xffff);
		break;
	}
	default:
		at[0] = shape->protocol == PROTOCOL_ICMP ? 8 : 128;	/* echo request */
		put16(at + 4, (uint16_t)shape->nonce);
		put16(at + 6, (uint16_t)shape->index);
		put_mark(at + ICMP_HEADER, shape->nonce, shape->index);
		put16(at + 2, checksum(shape->protocol == PROTOCOL_ICMP ? NULL : shape, at, n));
	}
}

size_t probe_build_ip(const struct probe_shape *shape, uint8_t *into, size_t capacity)
{
	bool four = shape->family == AF_INET;
	size_t header = four ? IPV4_HEADER : IPV6_HEADER;
	size_t least = header + (shape->protocol == PROTOCOL_TCP ? TCP_HEADER : (size_t)UDP_HEADER + MARK_SIZE);
	size_t size = MAX(shape->size, least);

	if (size > capacity || size > 65535)
		return 0;
	memset(into, 0, size);
	if (four) {
		into[0] = 0x45;
		put16(into + 2, (uint16_t)size);
		put16(into + 4, (uint16_t)(shape->index + 1));	/* 0 would be filled in by the kernel, after the checksum */
		put16(into + 6, shape->dont_fragment ? 0x4000 : 0);
		into[8] = shape->ttl;
		into[9] = (uint8_t)shape->protocol;
		memcpy(into + 12, shape->source.bytes, 4);
		memcpy(into + 16, shape->destination.bytes, 4);
		put16(into + 10, checksum(NULL, into, IPV4_HEADER));
	} else {
		into[0] = 0x60;
		put16(into + 4, (uint16_t)(size - IPV6_HEADER));
		into[6] = (uint8_t)shape->protocol;
		into[7] = shape->ttl;
		memcpy(into + 8, shape->source.bytes, 16);
		memcpy(into + 24, shape->destination.bytes, 16);
	}
	build_transport(shape, into + header, size - header);
	return size;
}

size_t probe_build_frame(const struct probe_shape *shape, const uint8_t from[static 6], const uint8_t to[static 6], uint8_t *into, size_t capacity)
{
	if (capacity <= PROBE_FRAME_HEADER)
		return 0;
	size_t n = probe_build_ip(shape, into + PROBE_FRAME_HEADER, capacity - PROBE_FRAME_HEADER);
	if (n == 0)
		return 0;
	memcpy(into, to, 6);
	memcpy(into + 6, from, 6);
	put16(into + 12, shape->family == AF_INET ? TYPE_IPV4 : TYPE_IPV6);
	return n + PROBE_FRAME_HEADER;
}

size_t probe_build_arp(uint32_t nonce, uint32_t index, const uint8_t from[static 6], const struct address *claimed, uint8_t *into, size_t capacity)
{
	static const uint8_t head[] = { 0, 1, 8, 0, 6, 4, 0, 2 };	/* Ethernet, IPv4, reply (RFC 826) */
	const size_t size = 60;

	if (capacity < size)
		return 0;
	memset(into, 0, size);
	memset(into, 0xff, 6);
	memcpy(into + 6, from, 6);
	put16(into + 12, TYPE_ARP);
	memcpy(into + 14, head, sizeof(head));
	memcpy(into + 22, from, 6);
	memcpy(into + 28, claimed->bytes, 4);
	memset(into + 32, 0xff, 6);
	memcpy(into + 38, claimed->bytes, 4);
	put_mark(into + 42, nonce, index);
	return size;
}

static bool read_tcp(const uint8_t *at, size_t n, uint32_t nonce, bool quoted, struct probe_seen *ret)
{
	if (n < (quoted ? 8 : TCP_HEADER))
		return false;
	uint8_t flags = quoted ? FLAG_SYN : at[13] & (FLAG_SYN | FLAG_RST | FLAG_ACK);
	if (flags == FLAG_SYN) {
		ret->kind = SEEN_PROBE;
		ret->index = get32(at + 4) - nonce;
		ret->port = get16(at + 2);
		return true;
	}
	if (!(flags & FLAG_ACK))
		return false;
	ret->kind = flags & FLAG_RST ? SEEN_RESET : SEEN_ANSWER;
	ret->index = get32(at + 8) - 1 - nonce;
	ret->port = get16(at);
	return flags & (FLAG_SYN | FLAG_RST);
}

static bool read_ip(const uint8_t *at, size_t n, uint32_t nonce, bool quoted, struct probe_seen *ret);

static bool read_icmp(const uint8_t *at, size_t n, bool four, uint32_t nonce, bool quoted, struct probe_seen *ret)
{
	if (n < ICMP_HEADER)
		return false;
	uint8_t request = four ? 8 : 128, reply = four ? 0 : 129;
	bool error = four ? at[0] == 3 || at[0] == 11 || at[0] == 12 : at[0] >= 1 && at[0] <= 4;
	if (error && !quoted) {
		if (!read_ip(at + ICMP_HEADER, n - ICMP_HEADER, nonce, true, ret))
			return false;
		ret->kind = SEEN_ERROR;
		ret->type = at[0];
		ret->code = at[1];
		return true;
	}
	if (at[0] != request && at[0] != reply)
		return false;
	ret->kind = at[0] == request ? SEEN_PROBE : SEEN_ANSWER;
	ret->port = 0;
	return probe_read_payload(at + ICMP_HEADER, n - ICMP_HEADER, nonce, &ret->index);
}

static bool read_ip(const uint8_t *at, size_t n, uint32_t nonce, bool quoted, struct probe_seen *ret)
{
	if (n < IPV4_HEADER)
		return false;
	bool four = at[0] >> 4 == 4;
	size_t header = four ? (size_t)(at[0] & 15) * 4 : IPV6_HEADER;
	if ((!four && at[0] >> 4 != 6) || header < IPV4_HEADER || n < header)
		return false;
	if (four && get16(at + 6) & 0x1fff)
		return false;		/* a later fragment has no ports */
	uint8_t protocol = four ? at[9] : at[6];
	const uint8_t *inner = at + header;
	size_t inner_n = n - header;
	if (protocol == PROTOCOL_TCP)
		return read_tcp(inner, inner_n, nonce, quoted, ret);
	if (protocol == (four ? PROTOCOL_ICMP : PROTOCOL_ICMPV6))
		return read_icmp(inner, inner_n, four, nonce, quoted, ret);
	if (protocol != PROTOCOL_UDP || inner_n < UDP_HEADER)
		return false;
	ret->kind = SEEN_PROBE;
	ret->port = get16(inner + 2);
	return probe_read_payload(inner + UDP_HEADER, inner_n - UDP_HEADER, nonce, &ret->index);
}

bool probe_read_frame(const uint8_t *frame, size_t n, uint32_t nonce, struct probe_seen *ret)
{
	struct probe_seen seen = { 0 };
	bool known = false;

	if (n < PROBE_FRAME_HEADER)
		return false;
	uint16_t type = get16(frame + 12);
	memcpy(seen.from_mac, frame + 6, 6);
	if (type == TYPE_IPV4 || type == TYPE_IPV6)
		known = read_ip(frame + PROBE_FRAME_HEADER, n - PROBE_FRAME_HEADER, nonce, false, &seen);
	else if (type == TYPE_ARP && n >= 42)
		known = probe_read_payload(frame + 42, n - 42, nonce, &seen.index);
	if (known)
		*ret = seen;
	return known;
}
