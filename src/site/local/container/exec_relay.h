/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_EXEC_RELAY_H
#define INSULA_SITE_LOCAL_EXEC_RELAY_H

/*
 * Between the caller's standard descriptors and those of a command in a container: pipes. No descriptor of the caller's is ever
 * inside, where whoever holds it could go on reading the caller's terminal, or rewrite the file that the output goes to, long
 * after the command.
 */

#include "base/error.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#define RELAY_STREAMS 3
#define RELAY_BUFFER 65536

struct exec_relay {
	int inner[RELAY_STREAMS];	/* the command's 0, 1 and 2; /dev/null for an input that is not passed on */
	int ours[RELAY_STREAMS];	/* the other ends, or -1 */
	int outer[RELAY_STREAMS];	/* the caller's, borrowed */
	int signals;
	sigset_t mask;			/* the caller's */
	struct sigaction pipe;
	bool active;
	char *waiting;			/* input that the command has not taken yet */
	size_t waiting_at, waiting_n;
};

/* `owner` and `group` own the pipes, so that the command may open /dev/stdout. `outer` are the caller's 0, 1 and 2; `input`: is 0 passed on? */
int exec_relay_open(struct exec_relay *relay, const int outer[static RELAY_STREAMS], bool input, uid_t owner, gid_t group, struct error *err) WARN_UNUSED;
/* Carries until the process has ended, and then what it said last; what it left behind is cut off. SIGINT, SIGTERM and SIGHUP are handed on to it
   meanwhile. *ret_status is that of waitpid(2). */
int exec_relay_run(struct exec_relay *relay, pid_t pid, int *ret_status, struct error *err) WARN_UNUSED;
void exec_relay_clear(struct exec_relay *relay);

#endif
