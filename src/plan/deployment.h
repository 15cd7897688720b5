/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_PLAN_DEPLOYMENT_H
#define INSULA_PLAN_DEPLOYMENT_H

/*
 * A deployment joins the parts: file -> intent -> decisions -> world -> desired resources -> plan,
 * and list -> actual. What 'plan', 'apply', 'status', 'destroy' and 'audit' have in common.
 *
 * Decisions: those of the state; what it lacks is read from the bodies of what lives (resource.h),
 * so that a lost state costs nothing; the rest is made anew. Those of tenants and instances that the file no
 * longer names stay as long as something of them stays (kept volumes: their owner's uid range may
 * not be given to another); a plan drops them with the last one.
 *
 * Secrets: a body names one as {"$secret": "hub"} or {"$secret": "vision/hub"}; here it gets its digest, keyed by the state.
 */

#include "apply.h"

struct deployment {
	struct site_config config;
	const struct site_ops *ops;
	struct site *site;
	struct state *state;
	struct intent *intent;		/* or NULL: none was read, and none was ever applied or it no longer reads (stored_error) */
	struct site_facts facts;
	struct survey survey;
	bool surveyed;
	json_t *decisions;		/* made or stored */
	struct world world;		/* desired */
	bool expanded;
	struct resources desired, applied, actual;
	struct coverage coverage;
	bool listed;
	json_t *notes;
	json_t *files;			/* the texts of intent, as spec_sources gives them */
	bool offline;
	/* the deployment's own */
	struct resources interrupted, unfinished;	/* of the journal: plan_options */
	struct intent stored;		/* the last applied one, when none was given */
	bool has_stored;
	struct error stored_error;	/* why it could not be read; code ERROR_NONE otherwise */
	struct site_intent site_default;
	const char *(*environment)(void *arg, const char *name);
	void *environment_arg;
};

struct deployment_options {
	const char *state_dir, *run_dir, *program_dir, *nvml;	/* as in struct site_config */
	bool offline;			/* nothing of the machine is read, state neither: facts are {"offline": true}, everything is shown as to be made */
	bool write;			/* take the writer's lock */
	int64_t lock_wait_ms;
	const json_t *files;		/* spec_sources of intent: kept by apply for restore and plans; or NULL */
	/* Value of an environment variable for secrets that are `fromEnv`; NULL: there is none to be read */
	const char *(*environment)(void *arg, const char *name);
	void *environment_arg;
};

/* A Site of default values, as when the file has none: driver local. `name` is borrowed. */
void site_intent_default(struct site_intent *site, const char *name);

/*
 * `intent` may be NULL; then `name` says which deployment ("local" when NULL too), and its last applied files are read, without
 * the tenants that were destroyed since. Takes no ownership of intent, which lives until deployment_close. The strings of
 * options are copied. ERROR_UNSUPPORTED when no site of `sites` has the driver. `ret` may not be moved: the site points into it.
 *
 * Reading (without options->write) makes no state where there is none: deployment->state is NULL then.
 */
int deployment_open(const struct site_ops *const *sites /* NULL-ended */, struct intent *intent, const char *name,
		    const struct deployment_options *options, struct deployment *ret, struct error *err) WARN_UNUSED;
void deployment_close(struct deployment *deployment);

/* Probe, survey, decide, expand, lower. ERROR_NOT_FOUND when there is no intent. Lists first when the state may lack decisions. */
int deployment_expand(struct deployment *deployment, struct error *err) WARN_UNUSED;
/* Actual, coverage, applied; again at each call. Offline nothing lives and all is complete. */
int deployment_list(struct deployment *deployment, struct error *err) WARN_UNUSED;
/*
 * `ret` is initialised (plan_init) and empty. Without deployment_expand before, nothing is desired: for a destroy of all. For the destroy of one
 * tenant, expand an intent without it. `interrupted` and `unfinished` of options are set here.
 */
int deployment_plan(struct deployment *deployment, const struct plan_options *options, struct plan *ret, struct error *err) WARN_UNUSED;

/* Reads the texts that a plan or the state keeps ([{"name", "text"}]). ret is initialised by this, also on failure. */
int intent_from_files(const json_t *files, struct intent *ret, struct error *err) WARN_UNUSED;
/* Takes a tenant, what it runs and what others say about it out of an intent. */
void intent_without_tenant(struct intent *intent, const char *name);

#endif
