/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_NETLINK_H
#define INSULA_SITE_LOCAL_NETLINK_H

/*
 * Links, addresses, routes and tracked connections of one network namespace, over netlink(7).
 * A socket belongs to the namespace it was made in, wherever its user is. Not for two threads at once.
 * Every change is idempotent: what is as wanted is success. Addresses are IPv4.
 */

#include "base/vec.h"
#include "model/cidr.h"

#define LINK_NAME 16	/* IFNAMSIZ */
#define LINK_ALIAS 256	/* IFALIASZ */

struct netlink;
/* netns: a descriptor or NETNS_HERE (netns.h) */
int netlink_open(int netns, struct netlink **ret, struct error *err) WARN_UNUSED;
void netlink_close(struct netlink *netlink);
void netlink_close_pp(struct netlink **netlink);
#define autonetlink CLEANUP(netlink_close_pp)

struct link_state {
	uint32_t index, master, mtu;	/* master 0: none */
	char name[LINK_NAME], kind[16], alias[LINK_ALIAS];
	uint8_t mac[6];
	bool up;
};
struct link_states { struct link_state *items; size_t n, capacity; };	/* vec.h */

int netlink_link_get(struct netlink *netlink, const char *name, struct link_state *ret, struct error *err) WARN_UNUSED;	/* ERROR_NOT_FOUND */
int netlink_links(struct netlink *netlink, struct link_states *ret, struct error *err) WARN_UNUSED;

/* A bridge without spanning tree, multicast snooping and delay; down. One of this name that exists is success. */
int netlink_bridge_create(struct netlink *netlink, const char *name, const uint8_t mac[static 6], uint32_t mtu, struct error *err) WARN_UNUSED;

struct veth_end { const char *name; uint8_t mac[6]; };
/* Both down: `near` in the socket's namespace, a port of `master` when that is not 0; `far` in the namespace `netns`. */
int netlink_veth_create(struct netlink *netlink, const struct veth_end *near, uint32_t master, int netns, const struct veth_end *far,
			uint32_t mtu, struct error *err) WARN_UNUSED;

struct link_change {
	const uint8_t *mac;	/* or NULL: as it is */
	uint32_t mtu;		/* 0: as it is */
	const char *alias;	/* or NULL: as it is */
	uint32_t master;	/* 0: as it is */
	bool up;		/* false: as it is */
};
int netlink_link_change(struct netlink *netlink, uint32_t index, const struct link_change *change, struct error *err) WARN_UNUSED;
/* Absent is success. A pair goes with either end. */
int netlink_link_remove(struct netlink *netlink, const char *name, struct error *err) WARN_UNUSED;

struct link_address { uint32_t index; struct address address; uint8_t length; };
struct link_addresses { struct link_address *items; size_t n, capacity; };	/* vec.h */
int netlink_addresses(struct netlink *netlink, struct link_addresses *ret, struct error *err) WARN_UNUSED;
/* This one address and no other on the link. */
int netlink_address_set(struct netlink *netlink, uint32_t index, const struct address *address, uint8_t length, struct error *err) WARN_UNUSED;

struct route { struct prefix to; struct address gateway; uint32_t index, table; uint8_t type; };	/* gateway family 0: none; index 0: none; type: RTN_* */
struct routes { struct route *items; size_t n, capacity; };	/* vec.h */
int netlink_routes(struct netlink *netlink, struct routes *ret, struct error *err) WARN_UNUSED;		/* all tables, IPv4 */
/* In the main table; to.length 0 is the default route. Replaces another one to the same prefix. */
int netlink_route_set(struct netlink *netlink, const struct prefix *to, const struct address *gateway, uint32_t index, struct error *err) WARN_UNUSED;

/* A tracked connection: the first packet's words, and where the answers come from (another address when the destination was translated). */
struct connection { struct address from, to, answers_from; uint8_t protocol; uint16_t from_port, to_port, answers_from_port; };
/* Ends the tracking of every IPv4 connection that `ends` is true for: its next packet is judged as a first one. netns: a descriptor or NETNS_HERE. */
int netlink_connections_cut(int netns, bool (*ends)(void *arg, const struct connection *connection), void *arg, size_t *ret_n, struct error *err) WARN_UNUSED;

/* For the cleanup attribute. */
static inline void link_states_clear(struct link_states *v) { vec_clear(v); }
static inline void link_addresses_clear(struct link_addresses *v) { vec_clear(v); }
static inline void routes_clear(struct routes *v) { vec_clear(v); }

#endif
