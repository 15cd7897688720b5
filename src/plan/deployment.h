/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_PLAN_DEPLOYMENT_H
#define INSULA_PLAN_DEPLOYMENT_H

/*
 * A deployment joins the parts: file -> intent -> decisions -> world -> desired resources -> plan,
 * and list -> actual. What 'plan', 'apply', 'status', 'destroy' and 'audit' have in common.
 */

#include "apply.h"

struct deployment {
	struct site_config config;
	const struct site_ops *ops;
	struct site *site;
	struct state *state;
	struct intent *intent;		/* or NULL: none was read (status, destroy) */
	struct site_facts facts;
	struct survey survey;
	bool surveyed;
	json_t *decisions;		/* made or stored */
	struct world world;		/* desired */
	bool expanded;
	struct resources desired, applied, actual;
	struct coverage coverage;
	json_t *notes;
};

struct deployment_options {
	const char *state_dir, *run_dir, *program_dir;
	bool offline;			/* no probe of what lives, no list: everything is shown as to be made */
	bool write;			/* take the writer's lock */
	int64_t lock_wait_ms;
};

/* `intent` may be NULL; then `name` says which deployment, and its last applied files are read. Takes no ownership of intent. */
int deployment_open(const struct site_ops *const *sites /* NULL-ended */, struct intent *intent, const char *name,
		    const struct deployment_options *options, struct deployment *ret, struct error *err) WARN_UNUSED;
void deployment_close(struct deployment *deployment);

int deployment_expand(struct deployment *deployment, struct error *err) WARN_UNUSED;	/* probe, survey, decide, expand, lower */
int deployment_list(struct deployment *deployment, struct error *err) WARN_UNUSED;	/* actual, coverage */
int deployment_plan(struct deployment *deployment, const struct plan_options *options, struct plan *ret, struct error *err) WARN_UNUSED;

#endif
