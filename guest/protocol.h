/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_GUEST_PROTOCOL_H
#define INSULA_GUEST_PROTOCOL_H

/*
 * What the site, the monitor and init of an instance agree upon; docs/guest.md tells the whole of it.
 * No code here: the site is built with the C library of the machine, the guests are static.
 */

/* Descriptors that init finds open, in this order behind stdin (empty), stdout and stderr (the log). */
#define INIT_FD_LOG 3		/* the log FIFO, read and write: writers never meet a FIFO without a reader */
#define INIT_FD_EXIT 4		/* the exit file */
#define INIT_FD_SECRETS 5	/* "NAME=value" strings, each with a 0 byte behind it; may be empty */
#define INIT_FD_COUNT 3

#define INIT_NAME "insula-init"		/* its name in /proc/PID/comm: how a monitor knows the one it adopts */
#define INIT_PATH "/.insula/init"	/* in the container */

/* Words of the exit file: one, a space, a number, a newline. */
#define EXIT_WORD_STATUS "exit"		/* exit status of the command */
#define EXIT_WORD_SIGNAL "signal"	/* it was killed by that signal */
#define EXIT_WORD_EXEC "exec"		/* it could not be run at all: errno */

/* Files of an instance's folder. */
#define FILE_CONF "monitor.conf"
#define FILE_LOCK "lock"
#define FILE_STATUS "status"
#define FILE_EXIT "exit"
#define FILE_FIFO "log"
#define FILE_PID "pid"
#define FILE_RUNTIME_LOG "runtime.log"
#define FILE_NETNS "netns"
#define DIR_BUNDLE "bundle"
#define DIR_STATE "state"		/* the OCI runtime's own */
#define DIR_MOUNTS "mnt"		/* mount points, used in the monitor's mount namespace only */
#define DIR_ROOT "mnt/root"
#define HOST_POINT "host"		/* in DIR_MOUNTS: host0, host1 ... are the conf's hostPaths in their order */
#define CONTAINER_ID "instance"		/* the runtime's state folder is the instance's own, so one name does */

/* States in the status file. */
#define STATE_STARTING "starting"
#define STATE_RUNNING "running"
#define STATE_BACKOFF "backoff"		/* ended, and will be started again at next_ms */
#define STATE_EXITED "exited"		/* ended for good */
#define STATE_FAILED "failed"		/* could not be started; reason says why */
#define STATE_STOPPED "stopped"		/* ended because it was asked to */

/* First word of a monitor's report on its stdout, once. */
#define REPORT_OK "ok"			/* "ok <state>" */
#define REPORT_HELD "held"		/* another monitor has the lock */
#define REPORT_FAILED "failed"		/* "failed <why>" */

#define CONF_LIMIT (256 * 1024)		/* bytes of monitor.conf */
#define SECRETS_LIMIT (1024 * 1024)
#define STATUS_LIMIT 4096

#endif
