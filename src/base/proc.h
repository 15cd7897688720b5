/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_BASE_PROC_H
#define INSULA_BASE_PROC_H

/*
 * Other programs. No shell, ever. Children get a clean descriptor table (0, 1, 2; `child` may clear
 * FD_CLOEXEC of what it hands over), default signals, an own process group, and SIGKILL when the
 * calling thread dies. Safe in a program with threads. Background processes that a child leaves
 * are not waited for, even when they keep its outputs open; they must not write there, for nobody reads.
 */

#include "base.h"

#include <sys/types.h>

#define PROC_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct proc_options {
	const char *const *argv;	/* NULL-ended; argv[0] is looked up in PROC_PATH unless it has a slash */
	int program;			/* descriptor of what to run instead of argv[0], when > 0; argv[0] where that cannot be */
	const char *const *env;		/* NULL-ended "A=b"; NULL: PATH, HOME=/, LC_ALL=C only */
	const void *input;		/* bytes for stdin, or NULL for /dev/null */
	size_t input_n;
	size_t output_limit;		/* of stdout and of stderr each; 0 means 1 MiB; more is an error */
	int64_t timeout_ms;		/* 0: none; then SIGKILL to its process group, error retryable */
	int netns;			/* descriptor of a network namespace to enter first, when > 0 */
	int (*child)(void *arg);	/* runs in the child before exec, async-signal-safe things only; non-zero fails */
	void *child_arg;
};

struct proc_result {
	int status;			/* exit status, or 128 + signal */
	char *output, *errors;		/* never NULL after success; caller clears */
	size_t output_n;
};

/* Runs to the end. -1 only when it could not be run or timed out; a non-zero status is the caller's to judge. */
int proc_run(const struct proc_options *options, struct proc_result *ret, struct error *err) WARN_UNUSED;
void proc_result_clear(struct proc_result *result);
/* proc_run, and a non-zero status is an error that quotes the last line of stderr. ret_output may be NULL. */
int proc_check(const struct proc_options *options, char **ret_output, struct error *err) WARN_UNUSED;

/* Is pid alive and started at start_ticks (field 22 of /proc/PID/stat)? Guards against reuse of pids. */
bool proc_alive(pid_t pid, uint64_t start_ticks);
int proc_start_ticks(pid_t pid, uint64_t *ret, struct error *err) WARN_UNUSED;

#endif
