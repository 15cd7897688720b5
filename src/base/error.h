/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_BASE_ERROR_H
#define INSULA_BASE_ERROR_H

/*
 * Errors.
 *
 * What can fail returns 0 or -1, takes `struct error *err` last and is WARN_UNUSED.
 * The error is a fixed-size struct on the caller's stack; success never touches it; it owns no
 * memory and needs no clean-up. The code is the kind of failure, and is also the exit status
 * (error_exit_status). A message says what and why, in one line, without a final full stop;
 * the hint says what to try.
 *
 *     if (fs_write_file(path, data, n, 0600, err) < 0)
 *             return error_wrap(err, "tenant %s", name);        // "tenant vision: cannot write ..."
 */

#include <stdbool.h>
#include <stddef.h>

#define WARN_UNUSED __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

enum error_code {
	ERROR_NONE = 0,
	ERROR_FAILED,		/* anything else; exit 1 */
	ERROR_PARTIAL,		/* some of it was done; running again resumes; exit 3 */
	ERROR_INPUT,		/* the user's file, option or value is wrong; exit 4 */
	ERROR_PERMISSION,	/* not root, EPERM, 401, 403; exit 5 */
	ERROR_CAPACITY,		/* a quota, ENOSPC, no node fits; exit 6 */
	ERROR_LEFTOVER,		/* something is left that should be gone; exit 7 */
	ERROR_INTERRUPTED,	/* SIGINT or SIGTERM; exit 130 */
	ERROR_NOT_FOUND,	/* the named thing does not exist; exit 1 */
	ERROR_CONFLICT,		/* the world moved, a name is taken twice, someone else holds the lock; exit 1 */
	ERROR_UNSUPPORTED,	/* this machine or this version cannot; exit 1 */
};

struct error {
	enum error_code code;
	int sys_errno;		/* errno, or 0 */
	int http_status;	/* or 0 */
	bool retryable;		/* the same call may succeed later */
	char message[1024];	/* cut with "..." when longer */
	char hint[512];		/* "" or what to try */
	char request_id[80];	/* of a remote site, or "" */
};

/* Each returns -1, so that `return error_set(...)` reads well. err may not be NULL. */
int error_set(struct error *err, enum error_code code, const char *format, ...) PRINTF_LIKE(3, 4);
/* Message plus ": " plus strerror(errnum). Code from errno: EPERM/EACCES PERMISSION, ENOSPC/EDQUOT/ENOMEM CAPACITY, ENOENT NOT_FOUND, EINTR INTERRUPTED, EAGAIN/EBUSY retryable. */
int error_set_errno(struct error *err, int errnum, const char *format, ...) PRINTF_LIKE(3, 4);
/* Puts "<text>: " in front of the message. */
int error_wrap(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3);
/* Sets the hint, unless one is set already (the deepest knows best). */
int error_hint(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* Tells the compiler what a caller knows: these always give -1. */
static inline int error_minus_one(int ignored) { (void)ignored; return -1; }
#define error_set(...) error_minus_one((error_set)(__VA_ARGS__))
#define error_set_errno(...) error_minus_one((error_set_errno)(__VA_ARGS__))
#define error_wrap(...) error_minus_one((error_wrap)(__VA_ARGS__))
#define error_hint(...) error_minus_one((error_hint)(__VA_ARGS__))

int error_exit_status(enum error_code code);
const char *error_code_name(enum error_code code);	/* "capacity": the stable word in JSON */

#endif
