/* SPDX-License-Identifier: Apache-2.0 */
#include "dns.h"

#include <arpa/inet.h>
#include <string.h>

/* Flags of the second header word */
#define FLAG_RESPONSE 0x8000
#define FLAG_OPCODE 0x7800
#define FLAG_AUTHORITATIVE 0x0400
#define FLAG_TRUNCATED 0x0200
#define FLAG_RECURSION 0x0100
#define FLAG_RECURSION_AVAILABLE 0x0080

#define QUESTION_POINTER 0xc00c		/* the name at offset 12 */
#define OPT_SIZE 11

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

uint16_t dns_id(const uint8_t *message)
{
	return get16(message);
}

void dns_set_id(uint8_t *message, uint16_t id)
{
	put16(message, id);
}

/* A name without pointers, as a question has it: bytes used, or 0. A byte that would not be one of a dotted text makes the name unlike any of ours. */
static size_t name_read(const uint8_t *p, size_t n, char name[static DNS_NAME_MAX])
{
	size_t at = 0, length = 0;

	for (;;) {
		size_t label;

		if (at >= n)
			return 0;
		label = p[at++];
		if (label == 0)
			break;
		if (label > 63 || label > n - at || length + label + 2 > DNS_NAME_MAX)
			return 0;
		if (length)
			name[length++] = '.';
		for (size_t i = 0; i < label; i++) {
			uint8_t c = p[at + i];

			name[length++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c > 32 && c < 127 && c != '.' ? (char)c : '?';
		}
		at += label;
	}
	name[length] = '\0';
	return at;
}

/* Over a name that may have pointers: bytes used, or 0. */
static size_t name_skip(const uint8_t *p, size_t n)
{
	size_t at = 0;

	while (at < n) {
		if ((p[at] & 0xc0) == 0xc0)
			return at + 2 <= n ? at + 2 : 0;
		if (p[at] > 63)
			return 0;
		if (p[at] == 0)
			return at + 1;
		at += (size_t)p[at] + 1;
	}
	return 0;
}

/* Looks through the records behind the question for the client's OPT; false when they are not well-formed. */
static bool records_read(const uint8_t *message, size_t n, size_t at, unsigned records, struct dns_query *ret)
{
	while (records-- > 0) {
		size_t name = name_skip(message + at, n - at), data;

		if (!name || n - at - name < 10)
			return false;
		at += name;
		data = get16(message + at + 8);
		if (get16(message + at) == DNS_TYPE_OPT) {
			if (ret->edns || name != 1)
				return false;
			ret->edns = true;
			ret->udp_size = get16(message + at + 2);
			if (ret->udp_size < DNS_UDP_LEAST)
				ret->udp_size = DNS_UDP_LEAST;
		}
		at += 10;
		if (data > n - at)
			return false;
		at += data;
	}
	return true;
}

int dns_query_parse(const uint8_t *message, size_t n, struct dns_query *ret)
{
	uint16_t flags;
	size_t name;

	memset(ret, 0, sizeof(*ret));
	ret->udp_size = DNS_UDP_LEAST;
	if (n < DNS_HEADER)
		return -1;
	ret->id = get16(message);
	flags = get16(message + 2);
	if (flags & FLAG_RESPONSE)
		return -1;
	ret->recursion = flags & FLAG_RECURSION;
	if (flags & FLAG_OPCODE)
		return DNS_NOTIMP;
	if (get16(message + 4) != 1)
		return DNS_FORMERR;
	name = name_read(message + DNS_HEADER, n - DNS_HEADER, ret->name);
	if (!name || n - DNS_HEADER - name < 4)
		return DNS_FORMERR;
	ret->type = get16(message + DNS_HEADER + name);
	ret->class = get16(message + DNS_HEADER + name + 2);
	ret->question_n = name + 4;
	if (!records_read(message, n, DNS_HEADER + ret->question_n,
			  (unsigned)get16(message + 6) + get16(message + 8) + get16(message + 10), ret)) {
		ret->edns = false;
		ret->udp_size = DNS_UDP_LEAST;
		return DNS_FORMERR;
	}
	return 0;
}

/* Answers */

struct writer { uint8_t *into; size_t n, capacity; };

/* The start of a record about the name of the question; NULL when it and `data` bytes do not fit. */
static uint8_t *record_start(struct writer *w, uint16_t type, uint32_t ttl, size_t data)
{
	uint8_t *p = w->into + w->n;

	if (12 + data > w->capacity - w->n)
		return NULL;
	put16(p, QUESTION_POINTER);
	put16(p + 2, type);
	put16(p + 4, DNS_CLASS_IN);
	put16(p + 6, (uint16_t)(ttl >> 16));
	put16(p + 8, (uint16_t)ttl);
	put16(p + 10, (uint16_t)data);
	w->n += 12 + data;
	return p + 12;
}

/* The wire form of a dotted name: its length, or 0 when it is not one. */
static size_t name_write(const char *name, uint8_t into[static DNS_NAME_MAX])
{
	size_t n = 0;

	while (*name) {
		size_t label = strcspn(name, ".");

		if (label == 0 || label > 63 || n + label + 2 > DNS_NAME_MAX - 1)
			return 0;
		into[n++] = (uint8_t)label;
		memcpy(into + n, name, label);
		n += label;
		name += label + (name[label] == '.');
	}
	into[n++] = 0;
	return n;
}

static bool add_address(struct writer *w, uint32_t address, uint32_t ttl)
{
	uint8_t *data = record_start(w, DNS_TYPE_A, ttl, 4);

	if (data)
		memcpy(data, &address, 4);
	return data;
}

static bool add_name(struct writer *w, const char *name, uint32_t ttl)
{
	uint8_t wire[DNS_NAME_MAX], *data;
	size_t n = name_write(name, wire);

	if (!n)
		return true;
	data = record_start(w, DNS_TYPE_PTR, ttl, n);
	if (data)
		memcpy(data, wire, n);
	return data;
}

static void add_opt(struct writer *w)
{
	uint8_t *p = w->into + w->n;

	memset(p, 0, OPT_SIZE);
	put16(p + 1, DNS_TYPE_OPT);
	put16(p + 3, DNS_UDP_OURS);
	w->n += OPT_SIZE;
}

size_t dns_reply_build(const uint8_t *message, const struct dns_query *query, const struct dns_reply *reply, uint8_t *into, size_t capacity)
{
	size_t reserved = query->edns ? OPT_SIZE : 0;
	uint16_t flags = (uint16_t)(FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | (reply->code & 15)), answers = 0;
	struct writer w = { into, DNS_HEADER, 0 };
	bool fits = true;

	if (capacity < DNS_HEADER)
		return 0;
	memset(into, 0, DNS_HEADER);
	put16(into, query->id);
	flags |= (uint16_t)((query->recursion ? FLAG_RECURSION : 0) | (reply->authoritative ? FLAG_AUTHORITATIVE : 0));
	if (query->question_n && DNS_HEADER + query->question_n + reserved <= capacity) {
		memcpy(into + DNS_HEADER, message + DNS_HEADER, query->question_n);
		w.n += query->question_n;
		put16(into + 4, 1);
		w.capacity = capacity - reserved;
		for (size_t i = 0; i < reply->address_n && (fits = add_address(&w, reply->addresses[i], reply->ttl)); i++)
			answers++;
		for (size_t i = 0; i < reply->name_n && fits && (fits = add_name(&w, reply->names[i], reply->ttl)); i++)
			answers++;
		if (query->edns) {
			add_opt(&w);
			put16(into + 10, 1);
		}
	}
	put16(into + 6, answers);
	put16(into + 2, (uint16_t)(flags | (fits ? 0 : FLAG_TRUNCATED)));
	return w.n;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool dns_answer_fits(const uint8_t *answer, size_t n, uint16_t id, const uint8_t *message, const struct dns_query *query)
{
	if (n < DNS_HEADER + query->question_n || get16(answer) != id || !(get16(answer + 2) & FLAG_RESPONSE) || get16(answer + 4) != 1)
		return false;
	for (size_t i = DNS_HEADER; i < DNS_HEADER + query->question_n; i++)
		if (lower(answer[i]) != lower(message[i]))
			return false;
	return true;
}

size_t dns_truncate(uint8_t *message, const struct dns_query *query)
{
	put16(message + 2, get16(message + 2) | FLAG_TRUNCATED);
	memset(message + 6, 0, 6);
	return DNS_HEADER + query->question_n;
}

bool dns_reverse_name(const char *name, uint32_t *ret)
{
	uint32_t address = 0;

	for (int i = 0; i < 4; i++) {
		unsigned value = 0, digits = 0;

		while (*name >= '0' && *name <= '9' && digits < 4) {
			value = value * 10 + (unsigned)(*name++ - '0');
			digits++;
		}
		if (!digits || digits > 3 || value > 255 || *name++ != '.')
			return false;
		address |= value << (8 * i);
	}
	if (strcmp(name, "in-addr.arpa") != 0)
		return false;
	*ret = htonl(address);
	return true;
}

bool dns_name_within(const char *name, const char *domain)
{
	size_t n = strlen(name), d = strlen(domain);

	return n >= d && strcmp(name + n - d, domain) == 0 && (n == d || name[n - d - 1] == '.');
}
