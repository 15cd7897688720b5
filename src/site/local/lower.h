/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_LOWER_H
#define INSULA_SITE_LOCAL_LOWER_H

/*
 * World to resources and back; pure. What a round trip gives back is in docs/local.md, "From resources to ground".
 */

#include "local.h"

struct lowering {
	const json_t *facts;
	const struct site_config *config;
	const struct intent *intent;
	const struct world *world;
	const json_t *decisions;
	struct resources *resources;
	json_t *notes;
};

int local_lower(const struct site_facts *facts, const struct site_config *config, const struct intent *intent, const struct world *world,
		const json_t *decisions, struct resources *ret, json_t *notes, struct error *err) WARN_UNUSED;
int local_lift(const struct site_facts *facts, const struct resource *resource, struct world *into, struct error *err) WARN_UNUSED;

/* A new resource of ours, added; borrowed. `decision`: the key whose decision it carries, or NULL. Takes over the body. */
struct resource *lower_add(const struct lowering *lowering, const char *kind, const char *key, const char *decision, json_t *body);
const json_t *lower_decision(const struct lowering *lowering, const char *key);	/* {} when there is none */
void lower_note(const struct lowering *lowering, const char *format, ...) PRINTF_LIKE(2, 3);	/* each text once */
/* An error at a place of the file: "lab.yaml:12:3: ..." */
int lower_fail(const struct mark *mark, enum error_code code, struct error *err, const char *format, ...) PRINTF_LIKE(4, 5);

/* Endpoints are met in any order, so each is made by whoever comes first. */
uint32_t lift_endpoint(struct world *world, const char *name, enum endpoint_kind kind, const char *tenant);
uint32_t lift_node(struct world *world, const json_t *facts);	/* this machine */

/* forwarding, router, firewall, host-firewall, bridge, resolver, link (lower_network.c, lift_network.c) */
int local_lower_network(const struct lowering *lowering, struct error *err) WARN_UNUSED;
int local_lift_network(const struct site_facts *facts, const struct resource *resource, struct world *into, struct error *err) WARN_UNUSED;

#endif
