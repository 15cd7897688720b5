/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_FIREWALL_H
#define INSULA_SITE_LOCAL_FIREWALL_H

/*
 * The walls in the router: the body of kind `firewall` as a value, as nftables, back from
 * nftables, and asked about one connection. Pure but for memory.
 *
 * Two tables of the name local_table_name: family inet (who may reach whom, rates) and family
 * bridge (which frames a port may send). firewall_rules.c tells how they work.
 */

#include "model/ports.h"
#include "network.h"

struct firewall_tenant { const char *name; char bridge[LINK_NAME]; struct prefix prefix; struct address gateway; };
struct firewall_flow { size_t from, to; struct port_range ports; };			/* indices of tenants */
struct firewall_egress { size_t from; bool internet; struct prefix to; struct port_range ports; };
struct firewall_port { const char *name; char link[LINK_NAME]; uint8_t mac[6]; struct address address; };
struct firewall_published { struct address address; struct port_range ports; };	/* one port */
struct firewall_rate { char bridge[LINK_NAME]; int64_t rate; };

struct firewall {
	json_t *body;				/* a reference: the strings are its */
	struct prefix pool;
	char uplink[LINK_NAME];
	struct address address, host_address;	/* the router's and the host's on the uplink */
	VEC(struct firewall_tenant) tenants;
	VEC(struct firewall_flow) flows;
	VEC(struct firewall_egress) egress;
	VEC(struct firewall_port) ports;
	VEC(struct firewall_published) published;
	VEC(struct firewall_rate) rates;
	size_t strangers;			/* members that tell of foreign, missing or changed rules */
};

int firewall_decode(const json_t *body, struct firewall *ret, struct error *err) WARN_UNUSED;
void firewall_clear(struct firewall *firewall);

/* May a packet that begins this connection pass the router? What it sends itself is not asked. */
bool firewall_allows(const struct firewall *firewall, const struct address *from, const struct address *to, uint8_t protocol, uint16_t port);

/* Both tables whole, in place of what is there, as one transaction: commands for nft_apply. */
json_t *firewall_commands(const struct firewall *firewall, const char *table);
/* From one to the other by elements alone; NULL when the rules themselves differ and firewall_commands is needed. */
json_t *firewall_changes(const struct firewall *from, const struct firewall *to, const char *table);

/*
 * The body that a listing of the whole namespace (nft_list of everything) comes to. Static fields
 * and the text of rules come from `loaded`, what firewall_loaded made of the listing right after loading
 * (or NULL: lost). Whatever differs from that is a member of "flows" that starts with
 * "foreign: ", "missing: " or "changed: "; `rule_text` (or NULL) gives a rule in nft's words.
 */
struct firewall_reader {
	char *(*rule_text)(void *arg, const char *family, const char *table, const char *chain, int64_t handle);
	void *arg;
};
json_t *firewall_read(const json_t *listing, const char *table, const json_t *loaded, const struct firewall_reader *reader);
json_t *firewall_loaded(const json_t *listing, const char *table, const json_t *body);

#endif
