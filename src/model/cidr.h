/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_MODEL_CIDR_H
#define INSULA_MODEL_CIDR_H

/* Addresses and prefixes, IPv4 and IPv6: text, containment, classes, and the choice of free ones. */

#include "base/vec.h"

#include <netinet/in.h>

#define ADDRESS_TEXT 48		/* with its 0 byte */
#define PREFIX_TEXT 52

struct address { int family; uint8_t bytes[16]; };		/* AF_INET or AF_INET6, network order; family 0: none */
struct prefix { struct address address; uint8_t length; };	/* host bits are zero; family 0: none */

/* "10.0.0.1", "fe80::1"; nothing else, no zone, no leading zeros in IPv4. ERROR_INPUT. */
int address_parse(const char *text, struct address *ret, struct error *err) WARN_UNUSED;
void address_format(const struct address *address, char text[static ADDRESS_TEXT]);
bool address_equal(const struct address *a, const struct address *b);
int address_compare(const struct address *a, const struct address *b);	/* family, then bytes */

/* "10.0.0.0/8"; an address alone is its /32 or /128. Host bits that are set are an error whose hint is the prefix that was meant. */
int prefix_parse(const char *text, struct prefix *ret, struct error *err) WARN_UNUSED;
void prefix_format(const struct prefix *prefix, char text[static PREFIX_TEXT]);
struct prefix prefix_of(const struct address *address, uint8_t length);	/* host bits cleared */
bool prefix_contains(const struct prefix *prefix, const struct address *address);
bool prefix_covers(const struct prefix *outer, const struct prefix *inner);	/* inner lies in outer */
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);
bool prefix_equal(const struct prefix *a, const struct prefix *b);

/* IPv4 as numbers; the address of a prefix plus `offset` */
uint32_t address_ipv4(const struct address *address);
struct address address_from_ipv4(uint32_t value);
struct address prefix_address(const struct prefix *prefix, uint32_t offset);	/* IPv4 only */

enum address_class {
	ADDRESS_PUBLIC,		/* public unicast: what the words `internet: true` mean */
	ADDRESS_PRIVATE,	/* RFC 1918, fc00::/7 */
	ADDRESS_SHARED,		/* 100.64.0.0/10, RFC 6598 */
	ADDRESS_LINK_LOCAL,	/* 169.254.0.0/16, fe80::/10; the metadata address is one */
	ADDRESS_LOOPBACK,
	ADDRESS_MULTICAST,
	ADDRESS_DOCUMENTATION,
	ADDRESS_RESERVED,	/* the rest of the special-purpose registries, and translations that could reach another class */
};
enum address_class address_class(const struct address *address);
const char *address_class_name(enum address_class class);	/* "link-local" */

/* The special-purpose prefixes (IANA registries, RFC 6890): whatever is in none of them is public.
   IPv6 is public only within 2000::/3. The first that contains an address gives its class. */
struct special_prefix { struct prefix prefix; enum address_class class; };
const struct special_prefix *special_prefixes(size_t *ret_n);

/* 169.254.0.0/16, fe80::/10 and fd00:ec2::254: where clouds answer with credentials */
bool address_is_metadata(const struct address *address);

/*
 * Free parts of a pool, lowest first, aligned to their size. IPv4.
 *     struct prefix_pool pool = { .prefix = p }; prefix_pool_take(&pool, &taken); prefix_pool_find(&pool, 26, &ret)
 */
struct address_range { uint32_t first, last; };
struct prefix_pool { struct prefix prefix; VEC(struct address_range) taken; uint32_t from[33]; /* taken is sorted; from: nothing free of this length below */ };
void prefix_pool_clear(struct prefix_pool *pool);
bool prefix_pool_take(struct prefix_pool *pool, const struct prefix *prefix);	/* false: outside or taken already */
bool prefix_pool_find(struct prefix_pool *pool, uint8_t length, struct prefix *ret);	/* finds and takes; false: full */

/* The smallest prefix length that has room for `addresses` besides the network, the broadcast and the gateway address; 0: none has. */
uint8_t prefix_length_for(int64_t addresses);

/* A locally administered unicast MAC for an address: 02:00 and the IPv4 address, or 02 and the last five bytes. */
void address_mac(const struct address *address, uint8_t ret[static 6]);

#endif
