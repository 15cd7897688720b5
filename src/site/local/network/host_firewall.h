/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_HOST_FIREWALL_H
#define INSULA_SITE_LOCAL_HOST_FIREWALL_H

/* The table on the host: the body of kind `host-firewall` as a value and as nftables. Pure. */

#include "model/ports.h"
#include "network.h"

/* "0.0.0.0:8080 tcp serving/web > 10.77.1.2:8501,10.77.1.3:8501": connections go to one of the targets in turn. Whose it is may be left out. */
struct host_target { struct address address; uint16_t port; };
struct host_published {
	const char *text;		/* the member of the body */
	struct address address;		/* 0.0.0.0: every address of the host */
	uint16_t port;
	enum protocol protocol;
	char tenant[64], workload[64];	/* "" when not said */
	VEC(struct host_target) targets;
};
struct host_firewall {
	json_t *body;			/* a reference: the texts are its */
	struct prefix pool;
	char uplink[LINK_NAME];
	VEC(struct host_published) published;
	size_t strangers;		/* members that tell of foreign, missing or changed rules */
};

int host_published_parse(const char *text, struct host_published *ret, struct error *err) WARN_UNUSED;
void host_published_clear(struct host_published *published);
int host_firewall_decode(const json_t *body, struct host_firewall *ret, struct error *err) WARN_UNUSED;
void host_firewall_clear(struct host_firewall *firewall);
/* Does a loopback address of the host lead into the pool? */
bool host_firewall_loopback(const struct host_firewall *firewall);
/* Is this translated connection one that is still published? */
bool host_firewall_publishes(const struct host_firewall *firewall, const struct connection *connection);
/* The table whole, in place of what is there. */
json_t *host_firewall_commands(const struct host_firewall *firewall, const char *table);

#endif
