/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_PLAN_ORDER_H
#define INSULA_PLAN_ORDER_H

/*
 * The graph of a plan: what must be done before what. Pure.
 *
 * Nodes are steps, the removal of the old one of a replace (its own node, because the old ones of
 * dependents go before it), and barriers, which keep stages in order without an edge between each
 * pair: n steps make O(n) edges.
 *
 * Stages, within a tenant (and within what is the whole site's):
 *   fences are made before anything else; doors after all ground and work; ground and work by `after`
 *   destroyed in reverse: doors, work, ground, fences
 * The whole site's fences are made before any tenant's ground, work and doors; its own ground and
 * fences are destroyed after all tenants'.
 *
 * A failure passes along a hard edge (what comes later is not started) and not along a soft one.
 */

#include "plan.h"

enum order_type { ORDER_STEP, ORDER_OLD, ORDER_BARRIER };

struct order_edge {
	uint32_t from, to;		/* nodes */
	bool soft;
	bool given;			/* from a step's `after`, not from stages */
	bool dropped;
};
struct order_node {
	enum order_type type;
	uint32_t step;			/* STEP, OLD */
	uint32_t waits;			/* edges into it that are not dropped */
	VEC(uint32_t) in, out;		/* edges */
};
struct order {
	VEC(struct order_node) nodes;	/* the first ones are the steps, in their order */
	VEC(struct order_edge) edges;
	VEC(char *) barrier_names;	/* "the fences of vision", for messages; of nodes from first_barrier on */
	uint32_t first_barrier;
};

/* A kind that is not in the table counts as work. */
void order_build(const struct plan *plan, const struct kind *kinds, struct order *ret);
void order_clear(struct order *order);
#define autoorder CLEANUP(order_clear)

/*
 * Brings the steps of the plan into a valid order, by key among those that are free, and renumbers
 * `after`. ERROR_FAILED names a cycle. Edges between deletes come from what was found and may
 * be nonsense: those of a cycle are dropped, so that a destroy works from any state.
 */
int order_sort(struct plan *plan, const struct kind *kinds, struct error *err) WARN_UNUSED;

#endif
