/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works
 *
 * Each group (a tenant, or the whole site as group 0) has seven barriers. Arrows are edges; F, G,
 * W, D are the steps of a stage:
 *
 *   making     F -> fences made -> G -> ground made -> D,   W .> work made .> D   (.> soft)
 *                   fences made -> W
 *   deleting   D .> doors gone .> W -> work gone -> G -> ground gone -> F -> fences gone
 *
 * and between groups: the site's "fences made" -> each tenant's; each tenant's "work made" .> the
 * site's; each tenant's "ground gone" -> the site's "work gone", "fences gone" -> "ground gone".
 *
 * A replace is two nodes: the step makes the new one, ORDER_OLD removes the old one, first or last
 * as the step says (old_first). Sorting is Kahn's algorithm with a heap, so the
 * result depends on nothing but the keys.
 */
#include "order.h"

#include <stdio.h>
#include <stdlib.h>

enum barrier {
	FENCES_MADE, GROUND_MADE, WORK_MADE,
	DOORS_GONE, WORK_GONE, GROUND_GONE, FENCES_GONE,
	BARRIERS
};
static const char *const barrier_texts[BARRIERS] = {
	"all fences", "all ground", "all work",
	"removal of all doors", "removal of all work", "removal of all ground", "removal of all fences",
};

struct builder {
	const struct plan *plan;
	const struct kind *kinds;
	struct order *order;
	struct map groups;		/* tenant to group number + 1 */
	VEC(char *) group_names;
	uint32_t *group;		/* of each step */
	uint32_t *old;			/* node of the old half of each step, or UINT32_MAX */
};

static void add_edge(struct order *order, uint32_t from, uint32_t to, bool soft, bool given)
{
	uint32_t i = (uint32_t)order->edges.n;

	vec_push(&order->edges, ((struct order_edge){ .from = from, .to = to, .soft = soft, .given = given }));
	vec_push(&order->nodes.items[from].out, i);
	vec_push(&order->nodes.items[to].in, i);
	order->nodes.items[to].waits++;
}

static uint32_t add_node(struct order *order, enum order_type type, uint32_t step)
{
	struct order_node *node = vec_add(&order->nodes);

	node->type = type;
	node->step = step;
	return (uint32_t)order->nodes.n - 1;
}

static enum stage stage_of(const struct builder *b, const struct step *step)
{
	const struct kind *kind = kind_find(b->kinds, step->resource->kind);

	return kind ? kind->stage : STAGE_WORK;
}

static uint32_t group_of(struct builder *b, const char *key)
{
	size_t n;
	const char *tenant = resource_tenant(key, &n);

	if (!tenant)
		return 0;
	autofree char *name = xstrndup(tenant, n);
	uintptr_t found = (uintptr_t)map_get(&b->groups, name);
	if (found)
		return (uint32_t)found - 1;
	uint32_t group = (uint32_t)b->group_names.n;
	vec_push(&b->group_names, steal(&name));
	map_set(&b->groups, b->group_names.items[group], (void *)(uintptr_t)(group + 1));
	return group;
}

static uint32_t barrier(const struct builder *b, uint32_t group, enum barrier which)
{
	return b->order->first_barrier + group * BARRIERS + which;
}

static void add_barriers(struct builder *b)
{
	struct order *order = b->order;

	order->first_barrier = (uint32_t)order->nodes.n;
	for (uint32_t g = 0; g < b->group_names.n; g++) {
		for (int which = 0; which < BARRIERS; which++) {
			add_node(order, ORDER_BARRIER, 0);
			vec_push(&order->barrier_names, xasprintf("%s of %s", barrier_texts[which],
								   g ? b->group_names.items[g] : "the site"));
		}
	}
	for (uint32_t g = 0; g < b->group_names.n; g++) {
		add_edge(order, barrier(b, g, FENCES_MADE), barrier(b, g, GROUND_MADE), false, false);
		add_edge(order, barrier(b, g, DOORS_GONE), barrier(b, g, WORK_GONE), true, false);
		add_edge(order, barrier(b, g, WORK_GONE), barrier(b, g, GROUND_GONE), false, false);
		add_edge(order, barrier(b, g, GROUND_GONE), barrier(b, g, FENCES_GONE), false, false);
		if (g == 0)
			continue;
		add_edge(order, barrier(b, 0, FENCES_MADE), barrier(b, g, FENCES_MADE), false, false);
		add_edge(order, barrier(b, g, WORK_MADE), barrier(b, 0, WORK_MADE), true, false);
		add_edge(order, barrier(b, g, GROUND_GONE), barrier(b, 0, WORK_GONE), false, false);
		add_edge(order, barrier(b, g, FENCES_GONE), barrier(b, 0, GROUND_GONE), false, false);
	}
}

static void join_making(const struct builder *b, uint32_t node, uint32_t group, enum stage stage)
{
	struct order *order = b->order;

	switch (stage) {
	case STAGE_FENCE:
		add_edge(order, node, barrier(b, group, FENCES_MADE), false, false);
		break;
	case STAGE_GROUND:
		add_edge(order, barrier(b, group, FENCES_MADE), node, false, false);
		add_edge(order, node, barrier(b, group, GROUND_MADE), false, false);
		break;
	case STAGE_WORK:
		add_edge(order, barrier(b, group, FENCES_MADE), node, false, false);
		add_edge(order, node, barrier(b, group, WORK_MADE), true, false);
		break;
	case STAGE_DOOR:
		add_edge(order, barrier(b, group, GROUND_MADE), node, false, false);
		add_edge(order, barrier(b, group, WORK_MADE), node, true, false);
		break;
	}
}

static void join_deleting(const struct builder *b, uint32_t node, uint32_t group, enum stage stage)
{
	struct order *order = b->order;

	switch (stage) {
	case STAGE_FENCE:
		add_edge(order, barrier(b, group, GROUND_GONE), node, false, false);
		add_edge(order, node, barrier(b, group, FENCES_GONE), false, false);
		break;
	case STAGE_GROUND:
		add_edge(order, barrier(b, group, WORK_GONE), node, false, false);
		add_edge(order, node, barrier(b, group, GROUND_GONE), false, false);
		break;
	case STAGE_WORK:
		add_edge(order, barrier(b, group, DOORS_GONE), node, true, false);
		add_edge(order, node, barrier(b, group, WORK_GONE), false, false);
		break;
	case STAGE_DOOR:
		add_edge(order, node, barrier(b, group, DOORS_GONE), true, false);
		break;
	}
}

/* The edges of "step i comes after step j". */
static void add_after(struct builder *b, uint32_t i, uint32_t j)
{
	const struct step *step = &b->plan->steps.items[i], *other = &b->plan->steps.items[j];
	struct order *order = b->order;

	if (step->action == STEP_DELETE) {
		/* whoever used it has to let go: a replaced one does so with its old half */
		add_edge(order, other->action == STEP_REPLACE ? b->old[j] : j, i, false, true);
	} else if (other->action == STEP_DELETE) {
		add_edge(order, j, step->action == STEP_REPLACE ? b->old[i] : i, false, true);
	} else {
		add_edge(order, j, i, false, true);
		if (other->action != STEP_REPLACE)
			return;
		if (!other->old_first)
			add_edge(order, i, b->old[j], false, true);
		else if (step->action == STEP_REPLACE && step->old_first)
			add_edge(order, b->old[i], b->old[j], false, true);
	}
}

static void add_nodes(struct builder *b)
{
	const struct plan *plan = b->plan;

	for (uint32_t i = 0; i < plan->steps.n; i++) {
		add_node(b->order, ORDER_STEP, i);
		b->group[i] = group_of(b, plan->steps.items[i].resource->key);
	}
	for (uint32_t i = 0; i < plan->steps.n; i++)
		b->old[i] = plan->steps.items[i].action == STEP_REPLACE ? add_node(b->order, ORDER_OLD, i) : UINT32_MAX;
}

static void add_step_edges(struct builder *b, uint32_t i)
{
	const struct step *step = &b->plan->steps.items[i];
	enum stage stage = stage_of(b, step);

	if (step->action == STEP_DELETE || (step->action == STEP_BLOCKED && step->live))
		join_deleting(b, i, b->group[i], stage);
	else if (step_acts(step->action) || step->action == STEP_BLOCKED)
		join_making(b, i, b->group[i], stage);
	if (step->action == STEP_REPLACE) {
		if (step->old_first)
			add_edge(b->order, b->old[i], i, false, false);
		else
			add_edge(b->order, i, b->old[i], false, false);
	}
	vec_each(&step->after, other)
		add_after(b, i, *other);
}

void order_build(const struct plan *plan, const struct kind *kinds, struct order *ret)
{
	autofree uint32_t *group = xcalloc(plan->steps.n + 1, sizeof(*group));
	autofree uint32_t *old = xcalloc(plan->steps.n + 1, sizeof(*old));
	struct builder b = { .plan = plan, .kinds = kinds, .order = ret, .group = group, .old = old };

	*ret = (struct order){ 0 };
	vec_push(&b.group_names, NULL);
	add_nodes(&b);
	add_barriers(&b);
	for (uint32_t i = 0; i < plan->steps.n; i++)
		add_step_edges(&b, i);
	map_clear(&b.groups);
	vec_each(&b.group_names, name)
		free(*name);
	vec_clear(&b.group_names);
}

void order_clear(struct order *order)
{
	vec_each(&order->nodes, node) {
		vec_clear(&node->in);
		vec_clear(&node->out);
	}
	vec_clear(&order->nodes);
	vec_clear(&order->edges);
	vec_each(&order->barrier_names, name)
		free(*name);
	vec_clear(&order->barrier_names);
}

/* A heap of nodes, the smallest rank first. */
struct heap { VEC(uint32_t) items; const uint32_t *rank; };

static void heap_push(struct heap *heap, uint32_t node)
{
	size_t i = heap->items.n;

	vec_push(&heap->items, node);
	while (i > 0 && heap->rank[heap->items.items[(i - 1) / 2]] > heap->rank[node]) {
		heap->items.items[i] = heap->items.items[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	heap->items.items[i] = node;
}

static uint32_t heap_pop(struct heap *heap)
{
	uint32_t *items = heap->items.items, top = items[0], last = items[--heap->items.n];
	size_t i = 0, n = heap->items.n;

	while (2 * i + 1 < n) {
		size_t child = 2 * i + 1;

		if (child + 1 < n && heap->rank[items[child + 1]] < heap->rank[items[child]])
			child++;
		if (heap->rank[items[child]] >= heap->rank[last])
			break;
		items[i] = items[child];
		i = child;
	}
	if (n)
		items[i] = last;
	return top;
}

struct rank_key { const char *key; uint32_t step; };

static int rank_compare(const void *a, const void *b)
{
	const struct rank_key *x = a, *y = b;
	int order = strcmp(x->key, y->key);

	return order ? order : (x->step > y->step) - (x->step < y->step);
}

/* Barriers first (they cost nothing and set others free), then steps and old halves by key. */
static uint32_t *ranks_make(const struct plan *plan, const struct order *order)
{
	uint32_t *rank = xcalloc(order->nodes.n + 1, sizeof(*rank));
	autofree struct rank_key *keys = xcalloc(plan->steps.n + 1, sizeof(*keys));
	autofree uint32_t *step_rank = xcalloc(plan->steps.n + 1, sizeof(*step_rank));

	for (uint32_t i = 0; i < plan->steps.n; i++)
		keys[i] = (struct rank_key){ plan->steps.items[i].resource->key, i };
	qsort(keys, plan->steps.n, sizeof(*keys), rank_compare);
	for (uint32_t i = 0; i < plan->steps.n; i++)
		step_rank[keys[i].step] = i;
	for (uint32_t i = 0; i < order->nodes.n; i++)
		if (order->nodes.items[i].type != ORDER_BARRIER)
			rank[i] = 1 + step_rank[order->nodes.items[i].step];
	return rank;
}

static const char *node_name(const struct plan *plan, const struct order *order, uint32_t node)
{
	const struct order_node *n = &order->nodes.items[node];

	if (n->type == ORDER_BARRIER)
		return order->barrier_names.items[node - order->first_barrier];
	return plan->steps.items[n->step].resource->key;
}

/* Some edge into `node` whose other end is not done. */
static uint32_t open_edge(const struct order *order, const bool *done, uint32_t node)
{
	const struct order_node *n = &order->nodes.items[node];

	vec_each(&n->in, e) {
		const struct order_edge *edge = &order->edges.items[*e];

		if (!edge->dropped && !done[edge->from])
			return *e;
	}
	BUG("a node that waits has no open edge");
}

typedef VEC(uint32_t) index_list;

/* The edges of a cycle among the nodes that are not done, walking backwards from one that waits. */
static void find_cycle(const struct order *order, const bool *done, index_list *ret)
{
	autofree uint32_t *seen_at = xcalloc(order->nodes.n, sizeof(*seen_at));	/* place in the walk + 1 */
	uint32_t node = 0;

	while (done[node])
		node++;
	while (!seen_at[node]) {
		uint32_t edge = open_edge(order, done, node);

		vec_push(ret, edge);
		seen_at[node] = (uint32_t)ret->n;
		node = order->edges.items[edge].from;
	}
	size_t first = seen_at[node] - 1;
	memmove(ret->items, ret->items + first, (ret->n - first) * sizeof(*ret->items));
	ret->n -= first;
}

static void forget_after(struct plan *plan, const struct order *order, const struct order_edge *edge)
{
	uint32_t from = order->nodes.items[edge->from].step;
	struct step *step = &plan->steps.items[order->nodes.items[edge->to].step];

	for (size_t i = 0; i < step->after.n; i++) {
		if (step->after.items[i] != from)
			continue;
		memmove(&step->after.items[i], &step->after.items[i + 1], (step->after.n - i - 1) * sizeof(*step->after.items));
		step->after.n--;
		return;
	}
}

/* Drops an edge of the cycle that only a delete waits for; the node at its end, or an error that names the cycle. */
static int break_cycle(struct plan *plan, struct order *order, const bool *done, uint32_t *ret_freed, struct error *err)
{
	index_list cycle = { 0 };
	char text[768] = "";
	size_t n = 0;
	int result = -1;

	find_cycle(order, done, &cycle);
	vec_each(&cycle, e) {
		struct order_edge *edge = &order->edges.items[*e];
		const struct order_node *to = &order->nodes.items[edge->to];

		if (edge->given && to->type == ORDER_STEP && plan->steps.items[to->step].action == STEP_DELETE) {
			edge->dropped = true;
			forget_after(plan, order, edge);
			*ret_freed = edge->to;
			result = 0;
			break;
		}
		int added = snprintf(text + n, sizeof(text) - n, "%s%s", n ? " waits for " : "", node_name(plan, order, edge->to));
		n = MIN(n + (size_t)MAX(added, 0), sizeof(text) - 1);
	}
	if (result < 0)
		error_set(err, ERROR_FAILED, "these wait for each other: %s waits for %s", text,
			  node_name(plan, order, order->edges.items[cycle.items[0]].to));
	vec_clear(&cycle);
	return result;
}

/* Kahn's algorithm; `sequence` gets the steps in their order. */
static int sort_nodes(struct plan *plan, struct order *order, const uint32_t *rank, uint32_t *sequence, struct error *err)
{
	autofree uint32_t *waits = xcalloc(order->nodes.n + 1, sizeof(*waits));
	autofree bool *done = xcalloc(order->nodes.n + 1, sizeof(*done));
	struct heap heap = { .rank = rank };
	size_t done_n = 0, placed = 0;
	uint32_t freed;
	int result = -1;

	for (uint32_t i = 0; i < order->nodes.n; i++) {
		waits[i] = order->nodes.items[i].waits;
		if (waits[i] == 0)
			heap_push(&heap, i);
	}
	while (done_n < order->nodes.n) {
		if (heap.items.n == 0) {
			if (break_cycle(plan, order, done, &freed, err) < 0)
				goto out;
			if (--waits[freed] == 0)
				heap_push(&heap, freed);
			continue;
		}
		uint32_t i = heap_pop(&heap);
		const struct order_node *node = &order->nodes.items[i];

		done[i] = true;
		done_n++;
		if (node->type == ORDER_STEP)
			sequence[placed++] = node->step;
		vec_each(&node->out, e) {
			const struct order_edge *edge = &order->edges.items[*e];

			if (!edge->dropped && --waits[edge->to] == 0)
				heap_push(&heap, edge->to);
		}
	}
	result = 0;
out:
	vec_clear(&heap.items);
	return result;
}

static int index_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int order_sort(struct plan *plan, const struct kind *kinds, struct error *err)
{
	autoorder struct order order = { 0 };
	size_t n = plan->steps.n;
	autofree uint32_t *sequence = xcalloc(n + 1, sizeof(*sequence));
	autofree uint32_t *place = xcalloc(n + 1, sizeof(*place));

	order_build(plan, kinds, &order);
	autofree uint32_t *rank = ranks_make(plan, &order);
	if (sort_nodes(plan, &order, rank, sequence, err) < 0)
		return -1;
	struct step *sorted = xcalloc(n + 1, sizeof(*sorted));
	for (uint32_t i = 0; i < n; i++) {
		sorted[i] = plan->steps.items[sequence[i]];
		place[sequence[i]] = i;
	}
	for (uint32_t i = 0; i < n; i++) {
		vec_each(&sorted[i].after, other)
			*other = place[*other];
		if (sorted[i].after.n)
			qsort(sorted[i].after.items, sorted[i].after.n, sizeof(uint32_t), index_compare);
	}
	free(plan->steps.items);
	plan->steps.items = sorted;
	plan->steps.capacity = n + 1;
	return 0;
}
