/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_TESTS_HELPER_H
#define INSULA_TESTS_HELPER_H

/*
 * What every unit test includes. One cmocka group a program; the name of a test is a sentence in
 * snake case that says what holds. A test that cannot run prints why with test_skip.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/fs.h"

#include <stdio.h>
#include <stdlib.h>

/* A line of TAP's comments, which the runner shows beside the skip, then cmocka's own skip, which jumps: free first what is held. */
#define test_skip(...) \
	do { \
		printf("# skip: " __VA_ARGS__); \
		printf("\n"); \
		fflush(stdout); \
		skip(); \
	} while (0)

#define assert_ok(call) \
	do { \
		if ((call) < 0) \
			fail_msg("%s: %s", #call, err.message); \
	} while (0)

/* The call fails and its message holds `text`. */
#define assert_fails(call, text) \
	do { \
		err = (struct error){ 0 }; \
		assert_int_equal((call), -1); \
		if (!strstr(err.message, (text))) \
			fail_msg("\"%s\" should hold \"%s\"", err.message, (text)); \
	} while (0)

/* A fresh folder; temp_dir_remove takes it away and frees the name. */
static inline char *temp_dir_make(void)
{
	const char *base = getenv("TMPDIR");
	char *path = xasprintf("%s/insula-test-XXXXXX", base && *base ? base : "/tmp");

	if (!mkdtemp(path))
		fail_msg("cannot make a folder %s", path);
	return path;
}

static inline void temp_dir_remove(char *path)
{
	struct error err = { 0 };

	if (fs_remove_tree(path, &err) < 0)
		fail_msg("%s", err.message);
	free(path);
}

/* A file of tests/data or examples, by its path from the top of the source; caller frees. */
static inline char *source_path(const char *path)
{
	const char *top = getenv("INSULA_TEST_SOURCE");

	return fs_join(top ? top : ".", path);
}

#define assert_holds(text, part) \
	do { \
		if (!strstr((text), (part))) \
			fail_msg("\"%s\" should hold \"%s\"", (text), (part)); \
	} while (0)

#endif
