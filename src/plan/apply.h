/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_PLAN_APPLY_H
#define INSULA_PLAN_APPLY_H

/*
 * Carries out a plan: waves of steps that can run at once, their intents committed before action,
 * a pool of threads, retries with back-off for what is retryable, a deadline each. A step whose
 * predecessor failed is not started. Nothing is rolled back; running again resumes.
 * Refs ({"$ref"}) are resolved just before a verb from what earlier steps answered.
 */

#include "base/clock.h"
#include "plan.h"

enum apply_event_type { APPLY_START, APPLY_DONE, APPLY_RETRY, APPLY_FAILED, APPLY_SKIPPED };
struct apply_event {
	enum apply_event_type type;
	const struct step *step;
	size_t index, total, done;
	int64_t ms;			/* it took */
	const struct error *error;	/* FAILED, RETRY */
};

struct apply_options {
	unsigned threads;		/* 0: twice the cores, at most 16 */
	int64_t step_timeout_ms;	/* 0: 300 s; of the retries and the wait for READY together */
	unsigned retries;		/* 0: 5 */
	bool delete_data;
	const volatile bool *stop;	/* set by a signal: finish what runs, start nothing more */
	void (*event)(void *arg, const struct apply_event *event);	/* called under a lock, one at a time */
	void *event_arg;
	const struct clock *clock;
	int (*crash)(void *arg, const char *point, const struct step *step);	/* tests: non-zero stops as a crash would */
	void *crash_arg;
};

struct apply_report {
	size_t done, failed, not_started;
	struct error first;		/* the first failure */
};

/* 0 when all is done; -1 with ERROR_PARTIAL (or the failure's own code when nothing was done) otherwise. The report is filled either way. */
int apply_run(struct plan *plan, const struct site_ops *ops, struct site *site, struct state *state,
	      const struct apply_options *options, struct apply_report *report, struct error *err) WARN_UNUSED;

#endif
