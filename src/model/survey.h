/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_MODEL_SURVEY_H
#define INSULA_MODEL_SURVEY_H

/* What a site can offer, in the model's words: read from its probe, before anything is decided. */

#include "world.h"

struct busy_prefix { struct prefix prefix; const char *by; };	/* by: "route via eth0" */
struct busy_ids { int64_t base, count; const char *by; };	/* user and group ids that belong to somebody else; by: "ann in /etc/subuid" */
struct survey {
	struct arena arena;
	VEC(struct node) nodes;
	VEC(struct busy_prefix) busy;	/* addresses that the site uses for something else */
	VEC(struct address) addresses;	/* of the hosts themselves, loopback left out */
	int64_t ids_first, ids_last, ids_count;	/* tenants get ranges of ids_count ids within first..last; count 0: this site has no ids */
	VEC(struct busy_ids) busy_ids;
	int64_t uplink_mtu;		/* bytes */
	bool methods[4];		/* by enum method: can this site run it? */
	const char *method_reasons[4];	/* why not, or NULL */
	bool ipv6;			/* will instances have IPv6? */
};

void survey_init(struct survey *survey);
void survey_clear(struct survey *survey);

#endif
