/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_MONITOR_H
#define INSULA_SITE_LOCAL_MONITOR_H

/*
 * The site's side of insula-monitor: its conf, its start, what it says, its end. docs/guest.md has the protocol.
 * `dir` is an instance's folder.
 */

#include "base/base.h"
#include "base/buf.h"
#include "base/secret.h"

#include <sys/types.h>

/* One line of monitor.conf; what cannot stand in a line is escaped. A NULL value adds nothing. */
void monitor_conf_add(struct buf *conf, const char *key, const char *value);
void monitor_conf_add_int(struct buf *conf, const char *key, int64_t value);

/*
 * Starts one, or finds that one is there; it starts the container or adopts a running one. Returns when it is known
 * how that went; *ret_state is the state then. secrets: "NAME=value" with a 0 byte each, or NULL.
 */
int monitor_launch(const char *program, const char *dir, const struct secret *secrets, char **ret_state, struct error *err) WARN_UNUSED;

struct monitor_status {
	char state[16];			/* as in guest/protocol.h; "exited" also when only the exit file says so */
	char reason[256];
	bool watched;			/* a monitor is alive */
	bool settled;			/* a monitor has said that it is over: nothing is left to do */
	pid_t monitor, init;		/* alive, or 0 */
	int64_t created_ms, started_ms, ended_ms;	/* wall clock; 0: not yet */
	int64_t exit, signal;		/* -1: none */
	bool oom;
	int64_t restarts, cpu_base, memory_peak, samples;
};
/* The truth now, also when no monitor lives. ERROR_NOT_FOUND: none was ever started. */
int monitor_status(const char *dir, struct monitor_status *ret, struct error *err) WARN_UNUSED;
/* Reads a status file's text. */
int monitor_status_parse(const char *text, struct monitor_status *ret, int64_t *ret_monitor_ticks, int64_t *ret_init_ticks, struct error *err) WARN_UNUSED;

/* Asks it to stop its container and to end, and waits; kills it when it does not. The lock is held then: nobody can start another
   until *ret_lock is closed. */
int monitor_stop(const char *dir, int64_t wait_ms, int *ret_lock, struct error *err) WARN_UNUSED;

#endif
