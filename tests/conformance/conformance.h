/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_TESTS_CONFORMANCE_H
#define INSULA_TESTS_CONFORMANCE_H

/*
 * What every site has to hold, whatever it is made of: verbs are idempotent, list finds all that is
 * ours with its marks, an interruption at any moment converges, nothing foreign is touched, and a
 * destroy leaves nothing. One suite for all sites; each says what it wants to have made.
 */

#include "plan/site.h"

struct conformance {
	const struct site_ops *ops;
	const struct site_config *config;	/* state_dir: a folder of the test's own */
	/* What is made: best one of each kind; refs and `after` as lower gives them. It may not exist before. */
	const struct resources *desired;
	/* The same keys with other values, at least one to be updated and one to be replaced; or NULL */
	const struct resources *changed;
	/* Everything on the site that is not ours, as text, to be compared before and after; caller frees; or NULL */
	char *(*foreign)(void *arg);
	void *arg;
	unsigned crashes;			/* crash points tried of each make and destroy; 0: all */
	/* What came of each check: detail is NULL when it holds. */
	void (*say)(void *arg, const char *check, const char *detail);
};

/* Runs all checks, each from nothing to nothing; how many failed. */
unsigned conformance_run(const struct conformance *conformance);

#endif
