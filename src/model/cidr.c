/* SPDX-License-Identifier: Apache-2.0 */
#include "cidr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#define V4(a, b, c, d, len, class) { { { AF_INET, { a, b, c, d } }, len }, class }
#define V6(len, class, ...) { { { AF_INET6, { __VA_ARGS__ } }, len }, class }

/* IANA IPv4 and IPv6 Special-Purpose Address Registries; narrower ones before those that contain them. */
static const struct special_prefix specials[] = {
	V4(10, 0, 0, 0, 8, ADDRESS_PRIVATE),
	V4(172, 16, 0, 0, 12, ADDRESS_PRIVATE),
	V4(192, 168, 0, 0, 16, ADDRESS_PRIVATE),
	V4(100, 64, 0, 0, 10, ADDRESS_SHARED),
	V4(169, 254, 0, 0, 16, ADDRESS_LINK_LOCAL),
	V4(127, 0, 0, 0, 8, ADDRESS_LOOPBACK),
	V4(224, 0, 0, 0, 4, ADDRESS_MULTICAST),
	V4(192, 0, 2, 0, 24, ADDRESS_DOCUMENTATION),
	V4(198, 51, 100, 0, 24, ADDRESS_DOCUMENTATION),
	V4(203, 0, 113, 0, 24, ADDRESS_DOCUMENTATION),
	V4(0, 0, 0, 0, 8, ADDRESS_RESERVED),		/* this network */
	V4(192, 0, 0, 0, 24, ADDRESS_RESERVED),		/* protocol assignments */
	V4(192, 88, 99, 0, 24, ADDRESS_RESERVED),	/* 6to4 relays, withdrawn */
	V4(198, 18, 0, 0, 15, ADDRESS_RESERVED),	/* benchmarks */
	V4(240, 0, 0, 0, 4, ADDRESS_RESERVED),		/* future use and broadcast */
	V6(128, ADDRESS_LOOPBACK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
	V6(7, ADDRESS_PRIVATE, 0xfc),
	V6(10, ADDRESS_LINK_LOCAL, 0xfe, 0x80),
	V6(8, ADDRESS_MULTICAST, 0xff),
	V6(32, ADDRESS_DOCUMENTATION, 0x20, 0x01, 0x0d, 0xb8),
	V6(20, ADDRESS_DOCUMENTATION, 0x3f, 0xff),
	V6(23, ADDRESS_RESERVED, 0x20, 0x01),		/* protocol assignments, Teredo among them */
	V6(16, ADDRESS_RESERVED, 0x20, 0x02),		/* 6to4: holds an IPv4 address */
	V6(3, ADDRESS_RESERVED, 0x00),			/* mapped and translated IPv4, discard-only */
	V6(2, ADDRESS_RESERVED, 0x40),			/* not allocated: 4000:: to 7fff:: */
	V6(1, ADDRESS_RESERVED, 0x80),			/* not allocated: 8000:: and above */
};

int address_parse(const char *text, struct address *ret, struct error *err)
{
	struct address address = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };

	if (inet_pton(address.family, text, address.bytes) != 1) {
		error_set(err, ERROR_INPUT, "'%.60s' is not an address", text);
		return error_hint(err, "write an IPv4 address like 10.0.0.1 or an IPv6 address like 2001:db8::1");
	}
	*ret = address;
	return 0;
}

void address_format(const struct address *address, char text[static ADDRESS_TEXT])
{
	if (!inet_ntop(address->family, address->bytes, text, ADDRESS_TEXT))
		memcpy(text, "none", sizeof("none"));
}

static unsigned address_bits(const struct address *address)
{
	return address->family == AF_INET ? 32 : 128;
}

int address_compare(const struct address *a, const struct address *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, address_bits(a) / 8);
}

bool address_equal(const struct address *a, const struct address *b)
{
	return address_compare(a, b) == 0;
}

struct prefix prefix_of(const struct address *address, uint8_t length)
{
	struct prefix prefix = { *address, length };

	for (unsigned bit = length; bit < 128; bit++)
		prefix.address.bytes[bit / 8] &= (uint8_t)~(0x80u >> bit % 8);
	return prefix;
}

static int prefix_error(const char *text, struct error *err)
{
	error_set(err, ERROR_INPUT, "'%.60s' is not a range of addresses", text);
	return error_hint(err, "write it like 10.0.0.0/8 or 2001:db8::/32");
}

int prefix_parse(const char *text, struct prefix *ret, struct error *err)
{
	const char *slash = strchr(text, '/');
	char host[ADDRESS_TEXT], meant[PREFIX_TEXT];
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	struct address address;
	struct prefix prefix;
	unsigned long length;

	if (n >= sizeof(host))
		return prefix_error(text, err);
	memcpy(host, text, n);
	host[n] = 0;
	if (address_parse(host, &address, err) < 0)
		return prefix_error(text, err);
	length = address_bits(&address);
	if (slash) {
		size_t digits = strspn(slash + 1, "0123456789");

		if (!digits || digits > 3 || slash[1 + digits] || (digits > 1 && slash[1] == '0'))
			return prefix_error(text, err);
		length = strtoul(slash + 1, NULL, 10);
	}
	if (length > address_bits(&address))
		return prefix_error(text, err);
	prefix = prefix_of(&address, (uint8_t)length);
	if (!address_equal(&prefix.address, &address)) {
		prefix_format(&prefix, meant);
		error_set(err, ERROR_INPUT, "'%.60s' has bits behind its length", text);
		return error_hint(err, "the range that contains it is %s", meant);
	}
	*ret = prefix;
	return 0;
}

void prefix_format(const struct prefix *prefix, char text[static PREFIX_TEXT])
{
	char address[ADDRESS_TEXT];

	address_format(&prefix->address, address);
	snprintf(text, PREFIX_TEXT, "%.46s/%u", address, prefix->length);
}

bool prefix_contains(const struct prefix *prefix, const struct address *address)
{
	unsigned whole = prefix->length / 8, rest = prefix->length % 8;

	if (!prefix->address.family || prefix->address.family != address->family ||
	    memcmp(prefix->address.bytes, address->bytes, whole) != 0)
		return false;
	return !rest || !((prefix->address.bytes[whole] ^ address->bytes[whole]) >> (8 - rest));
}

bool prefix_covers(const struct prefix *outer, const struct prefix *inner)
{
	return inner->length >= outer->length && prefix_contains(outer, &inner->address);
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
	return prefix_covers(a, b) || prefix_covers(b, a);
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return a->length == b->length && address_equal(&a->address, &b->address);
}

uint32_t address_ipv4(const struct address *address)
{
	const uint8_t *b = address->bytes;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

struct address address_from_ipv4(uint32_t value)
{
	return (struct address){ AF_INET, { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value } };
}

struct address prefix_address(const struct prefix *prefix, uint32_t offset)
{
	return address_from_ipv4(address_ipv4(&prefix->address) + offset);
}

enum address_class address_class(const struct address *address)
{
	for (size_t i = 0; i < ARRAY_LEN(specials); i++)
		if (prefix_contains(&specials[i].prefix, address))
			return specials[i].class;
	return ADDRESS_PUBLIC;
}

const char *address_class_name(enum address_class class)
{
	static const char *const names[] = { "public", "private", "shared", "link-local", "loopback", "multicast", "documentation", "reserved" };

	return names[class];
}

const struct special_prefix *special_prefixes(size_t *ret_n)
{
	*ret_n = ARRAY_LEN(specials);
	return specials;
}

bool address_is_metadata(const struct address *address)
{
	static const struct address cloud = { AF_INET6, { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 } };

	return address_class(address) == ADDRESS_LINK_LOCAL || address_equal(address, &cloud);
}

static struct address_range range_of(const struct prefix *prefix)
{
	uint32_t first = address_ipv4(&prefix->address);

	return (struct address_range){ first, first | (uint32_t)((1ULL << (32 - prefix->length)) - 1) };
}

void prefix_pool_clear(struct prefix_pool *pool)
{
	vec_clear(&pool->taken);
	memset(pool->from, 0, sizeof(pool->from));
}

/* The first taken range that ends at or behind `address`. */
static size_t taken_from(const struct prefix_pool *pool, uint32_t address)
{
	size_t low = 0, high = pool->taken.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (pool->taken.items[middle].last < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool prefix_pool_take(struct prefix_pool *pool, const struct prefix *prefix)
{
	struct address_range range = range_of(prefix);
	size_t at = taken_from(pool, range.first);

	if (!prefix_covers(&pool->prefix, prefix) || (at < pool->taken.n && pool->taken.items[at].first <= range.last))
		return false;
	(void)vec_add(&pool->taken);
	memmove(&pool->taken.items[at + 1], &pool->taken.items[at], (pool->taken.n - 1 - at) * sizeof(range));
	pool->taken.items[at] = range;
	return true;
}

bool prefix_pool_find(struct prefix_pool *pool, uint8_t length, struct prefix *ret)
{
	struct address_range whole = range_of(&pool->prefix);
	uint64_t size, first;

	if (length < pool->prefix.length || length > 32)
		return false;
	size = 1ULL << (32 - length);
	first = MAX(whole.first, pool->from[length]);
	while (first + size - 1 <= whole.last) {
		size_t at = taken_from(pool, (uint32_t)first);
		struct prefix found = { address_from_ipv4((uint32_t)first), length };

		if (at == pool->taken.n || pool->taken.items[at].first > first + size - 1) {
			pool->from[length] = (uint32_t)MIN(first + size, (uint64_t)UINT32_MAX);
			*ret = found;
			return prefix_pool_take(pool, &found);
		}
		first = ((uint64_t)pool->taken.items[at].last / size + 1) * size;
	}
	return false;
}

uint8_t prefix_length_for(int64_t addresses)
{
	for (int length = 30; length >= 1; length--)
		if ((1LL << (32 - length)) - 3 >= addresses)
			return (uint8_t)length;
	return 0;
}

void address_mac(const struct address *address, uint8_t ret[static 6])
{
	if (address->family == AF_INET) {
		ret[0] = 0x02;
		ret[1] = 0;
		memcpy(ret + 2, address->bytes, 4);
	} else {
		ret[0] = 0x02;
		memcpy(ret + 1, address->bytes + 11, 5);
	}
}
