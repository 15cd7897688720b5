/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_MODEL_MTU_H
#define INSULA_MODEL_MTU_H

/*
 * The ladder of MTUs: each link carries at most what its parent carries less the bytes that its
 * encapsulation adds. The MTU of the lowest link is read, never computed.
 */

#include "base/base.h"

#define MTU_ETHERNET 1500
#define MTU_IPV4_LEAST 68	/* RFC 791 */
#define MTU_IPV6_LEAST 1280	/* RFC 8200, section 5 */

struct encapsulation {
	const char *name;	/* "vxlan" */
	int64_t overhead;	/* bytes on an IPv4 underlay */
	int64_t overhead_ipv6;	/* bytes on an IPv6 underlay */
	const char *doc;	/* what the bytes are */
};

extern const struct encapsulation encapsulations[];	/* ends with name NULL */
const struct encapsulation *encapsulation_find(const char *name);	/* NULL when not known */

/* The most a child may have. */
static inline int64_t mtu_child(int64_t parent, int64_t overhead) { return parent - overhead; }

#endif
