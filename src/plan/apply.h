/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_PLAN_APPLY_H
#define INSULA_PLAN_APPLY_H

/*
 * Carries out a plan: whatever can run at once does (order.h), by a pool of threads; the intents of
 * all steps that are free at one moment are committed together before action; retries with
 * back-off for what is retryable, a deadline each. A step whose predecessor failed is not started.
 * Nothing is rolled back; running again resumes.
 *
 * Refs ({"$ref"}) are resolved just before a verb from what earlier steps answered. What a verb gets:
 *   create     the desired resource, refs resolved, without an id; for an adoption with the id that lives
 *   update     `from` what lives, `to` the desired one with that id; fields that the file no longer
 *              names and we once set are in `to` with what absence means
 *   remove     what lives
 *   ready      what create or update left, until it says YES; it holds no thread meanwhile
 * Only the calling thread touches `state`, calls `event` and `crash`.
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
	unsigned retries;		/* 0: 5; back-off from 100 ms, doubled up to 10 s, each times 0.5 to 1.5 */
	uint64_t seed;			/* of that jitter; 0: from the clock */
	bool no_wait;			/* do not wait for READY */
	bool delete_data;
	const volatile bool *stop;	/* set by a signal: finish what runs, start nothing more */
	void (*event)(void *arg, const struct apply_event *event);	/* or NULL */
	void *event_arg;
	const struct clock *clock;	/* NULL: the system's */
	/* Tests: non-zero stops as a crash would, with nothing more written. Points: "intent" (committed, verb not begun),
	   "action" (verb has succeeded, nothing written), "result" (written). Or NULL. */
	int (*crash)(void *arg, const char *point, const struct step *step);
	void *crash_arg;
};

struct apply_report {
	size_t done, failed, not_started;
	struct error first;		/* the first failure */
};

/*
 * 0 when all is done; -1 with ERROR_PARTIAL (or the failure's own code when nothing was done)
 * otherwise, ERROR_INTERRUPTED after `stop`. The report is filled either way.
 *
 * `state` may be NULL (nothing is remembered). Its decisions and the documents "site", "facts" and
 * "files" are written before the first verb. For a destroy, after the last: decisions; "files" goes, or, when
 * plan->site names a "tenant", that is added to the document "destroyed" (names that restore leaves out).
 */
int apply_run(struct plan *plan, const struct site_ops *ops, struct site *site, struct state *state,
	      const struct apply_options *options, struct apply_report *report, struct error *err) WARN_UNUSED;

#endif
