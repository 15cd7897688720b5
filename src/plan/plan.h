/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_PLAN_PLAN_H
#define INSULA_PLAN_PLAN_H

/*
 * The diff of what is desired against what is, and the order of its steps. Pure.
 *
 * Three-way: desired, what was last applied, live. A field absent from the desired body is left
 * alone unless the last apply set it (then it goes to its `absent` value). Sets marked
 * authoritative are owned whole.
 *
 * Identity: no live resource with the key means create; one means adopt (when state did not know
 * it), update, replace or nothing; two or more is an error that lists their ids. What was applied
 * and is no longer desired is STEP_ABANDONED, or STEP_DELETE with `prune`. Foreign and other
 * deployments' resources are never steps.
 */

#include "site.h"
#include "state.h"

enum step_action {
	STEP_NOTHING, STEP_CREATE, STEP_UPDATE, STEP_REPLACE, STEP_ADOPT, STEP_DELETE,
	STEP_KEEP,		/* destroy: stays on purpose (volumes) */
	STEP_ABANDONED,		/* no longer in the file; stays without --prune */
	STEP_BLOCKED,		/* its list is not complete: nothing can be said; reason says why */
};

struct change {
	char *path;		/* "memoryMax", "flows[vision>audio tcp/80]" */
	json_t *from, *to;	/* NULL: absent */
	bool drift;		/* live differs from what we last applied: someone else changed it */
	bool immutable;
};

struct step {
	enum step_action action;
	struct resource *resource;	/* desired; for DELETE, KEEP, ABANDONED: live or last applied */
	struct resource *live;		/* or NULL */
	VEC(struct change) changes;
	VEC(uint32_t) after;		/* indices of steps that must be done first */
	char *reason;			/* or NULL */
};

struct plan {
	VEC(struct step) steps;		/* in a valid order of execution */
	json_t *decisions;		/* to be stored when applied */
	json_t *facts;
	json_t *notes;			/* strings for the user; "not enforced ..." need --accept */
	json_t *site;			/* {"deployment": ..., "driver": ...} */
	json_t *files;			/* the text of the files it was made from: [{"name":..., "text":...}] */
	char *digest;			/* sha256 of the canonical JSON of all of the above */
	bool destroy;
	int64_t made_ms;
};

void plan_init(struct plan *plan);
void plan_clear(struct plan *plan);
#define autoplan CLEANUP(plan_clear)

struct plan_options { bool prune, destroy, delete_data; const char *only_tenant; };

/* desired is empty for a destroy. `actual` is what list gave. */
int plan_make(const struct kind *kinds, const struct resources *desired, const struct resources *applied, const struct resources *actual,
	      const struct coverage *coverage, const struct plan_options *options, struct plan *into, struct error *err) WARN_UNUSED;

size_t plan_count(const struct plan *plan, enum step_action action);
size_t plan_change_count(const struct plan *plan);	/* steps that do something */
const char *step_action_name(enum step_action action);	/* "create" */

/* A saved plan is a contract. */
json_t *plan_to_json(const struct plan *plan);
int plan_from_json(const json_t *json, struct plan *ret, struct error *err) WARN_UNUSED;
int plan_save(const struct plan *plan, const char *path, struct error *err) WARN_UNUSED;
int plan_load(const char *path, struct plan *ret, struct error *err) WARN_UNUSED;
/* Is `now`, made afresh from the same files, the same as `saved`? ERROR_CONFLICT says what moved. */
int plan_same(const struct plan *saved, const struct plan *now, struct error *err) WARN_UNUSED;

#endif
