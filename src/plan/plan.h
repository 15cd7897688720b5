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
	STEP_BLOCKED,		/* its list is not complete: nothing can be said; reason says why; with `live` it was to be deleted */
};

struct change {
	char *path;		/* "memoryMax", "flows[vision>audio tcp/80]", "tenants[vision].bridge" */
	json_t *from, *to;	/* NULL: absent */
	bool drift;		/* live differs from what we last applied: someone else changed it */
	bool immutable;
};
typedef VEC(struct change) change_list;
void change_list_clear(change_list *changes);

/*
 * `after` holds what must be done before the step itself: of a step that makes, what it needs; of a
 * delete, those that still used it. Stages come on top: order.h makes the whole graph.
 */
struct step {
	enum step_action action;
	struct resource *resource;	/* desired; for DELETE, KEEP, ABANDONED: live or last applied */
	struct resource *live;		/* or NULL */
	change_list changes;
	json_t *reset;			/* UPDATE: fields that the file no longer names and we once set, with what absence means; or NULL */
	VEC(uint32_t) after;		/* indices of steps that must be done first */
	char *reason;			/* or NULL */
	bool old_first;			/* REPLACE: the old one goes before the new one is made: by its kind, or because what it refers to has to */
	bool renew;			/* NOTHING, KEEP: what state remembers of it is out of date (forgotten when live is NULL); apply writes it anew */
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

struct plan_options {
	bool prune, destroy, delete_data;
	/*
	 * Only keys below "<tenant>/" are planned, and the whole site's. With `destroy` the former are
	 * deleted whatever is desired, and of the latter only updates are steps: the caller passes
	 * what shall remain as desired.
	 */
	const char *only_tenant;
	/* What a crash left, of the journal; or NULL: resources whose removal was begun, told by key and id ... */
	const struct resources *interrupted;
	/* ... and those whose making or update was begun: they are adopted or updated once more, even when nothing seems to differ. */
	const struct resources *unfinished;
};

/*
 * desired is empty for a destroy of the whole. `actual` is what list gave. When into->site names a
 * deployment, live resources of another one are not ours. Sorts the steps and fills digest, but not
 * decisions, facts, notes, site and files (the caller sets those first; plan_seal renews the digest).
 *
 * What depends by a ref on the id of a replaced resource is replaced too; by another ref to
 * something that will be made anew it is updated (or replaced, where that field is immutable);
 * by `after` alone it is only ordered.
 */
int plan_make(const struct kind *kinds, const struct resources *desired, const struct resources *applied, const struct resources *actual,
	      const struct coverage *coverage, const struct plan_options *options, struct plan *into, struct error *err) WARN_UNUSED;

/*
 * What the open intents of the journal mean for the next plan. Resources whose removal was begun are
 * added to `interrupted`, others to `unfinished`; those whose making was begun are taken out of
 * `applied` as well, so that they are adopted if they live, and adoption calls create, which completes them.
 */
void plan_recover(const journal_entries *open, struct resources *applied, struct resources *interrupted, struct resources *unfinished);

size_t plan_count(const struct plan *plan, enum step_action action);
size_t plan_change_count(const struct plan *plan);	/* steps that do something */
const char *step_action_name(enum step_action action);	/* "create" */
bool step_acts(enum step_action action);		/* does apply call a verb for it? */
void plan_seal(struct plan *plan);			/* computes digest */

/* A saved plan is a contract. */
json_t *plan_to_json(const struct plan *plan);
int plan_from_json(const json_t *json, struct plan *ret, struct error *err) WARN_UNUSED;
/* The same, but the digest is computed, not held against the one that is there. */
int plan_from_json_unsealed(const json_t *json, struct plan *ret, struct error *err) WARN_UNUSED;
int plan_save(const struct plan *plan, const char *path, struct error *err) WARN_UNUSED;
int plan_load(const char *path, struct plan *ret, struct error *err) WARN_UNUSED;
/* Is `now`, made afresh from the same files, the same as `saved`? ERROR_CONFLICT says what moved. */
int plan_same(const struct plan *saved, const struct plan *now, struct error *err) WARN_UNUSED;

#endif
