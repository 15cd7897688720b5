/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_GUEST_MONITOR_H
#define INSULA_GUEST_MONITOR_H

/*
 * The parts of insula-monitor. It is one small static program over libc, so that hundreds of them cost little:
 * no buffers that outlive a call, no threads. docs/guest.md is its manual.
 *
 * Functions that fail return -1 with errno set, or write why into a `struct why`.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifndef ARRAY_LEN
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#endif
#define PATH_LIMIT 1024

struct why { char text[256]; };
int why_set(struct why *why, const char *format, ...) __attribute__((format(printf, 2, 3)));	/* -1 */
int why_errno(struct why *why, const char *format, ...) __attribute__((format(printf, 2, 3)));	/* "...: strerror(errno)" */

/* ---- conf: monitor.conf, one "key=value" a line; \n and \\ in values; a key may come several times where it is a list ---- */

struct strings { char **items; size_t n; };

enum restart { RESTART_NEVER, RESTART_ON_FAILURE, RESTART_ALWAYS };

struct conf {
	char *text;			/* all strings point into it */
	char *key;			/* "vision/train/0" */
	char *dir;			/* the instance's folder */
	char *runtime;			/* "crun" or "runc" */
	char *program;			/* its path */
	struct strings groups;		/* the instance's cgroup in each hierarchy */
	struct strings homes;		/* the monitors' cgroup in each hierarchy */
	char *unified;			/* of groups, the one on cgroup2, or NULL */
	char *freezer;			/* on v1, or NULL */
	char *memory_v1, *memory_v2;	/* one of them, or both NULL */
	char *cpu_v1, *cpu_v2;
	char *hide;			/* a mount point that the runtime must not see, or NULL */
	char *release;			/* the deployment's shared mount, left so that nobody else's mounts are held, or NULL */
	struct strings keep;		/* mounts below `release` that the container needs */
	struct strings layers;		/* lowest first: "plain:PATH" or "idmap:PATH" */
	struct strings hosts;		/* "ro:PATH" or "rw:PATH": of the machine, put at mnt/host0, mnt/host1 ...; no part of PATH may be a link */
	struct strings binds;		/* "SOURCE:TARGET": read-only, idmapped, TARGET within the root */
	char *upper, *work;
	int64_t base, count;		/* ids of the container: 0.. is base.. on the machine */
	int64_t uid, gid;		/* of the command, in the container */
	char *log;
	int64_t log_size, log_keep;	/* rotate at; old files to keep */
	char *usage;			/* record file */
	char *digest;			/* of the instance's spec, for the record */
	int64_t restart;		/* enum restart */
	int64_t restart_max;		/* -1: no end */
	int64_t backoff_first_ms, backoff_cap_ms, backoff_reset_ms;
	int64_t stop_ms;		/* between SIGTERM and SIGKILL */
	int64_t start_ms;		/* the runtime may take that long */
	int64_t sample_ms;
};

int conf_read(const char *path, struct conf *ret, struct why *why);
/* Parses `text` in place and keeps pointers into it; on failure the caller still owns it. */
int conf_parse(char *text, struct conf *ret, struct why *why);
void conf_clear(struct conf *conf);

/* ---- small words ---- */

int64_t now_ms(void);			/* CLOCK_BOOTTIME */
int64_t wall_ms(void);
/* Whole of a small file with a 0 byte behind; its length, or -1. */
ssize_t file_read(const char *path, char *text, size_t size);
int64_t file_number(const char *path);	/* -1 when it cannot be read */
int file_write(const char *path, const char *text);	/* one write(2) to what exists */
int file_replace(const char *path, const char *text);	/* atomic, mode 0600 */
/* path must hold PATH_LIMIT; false when it is too long */
bool path_make(char *path, const char *dir, const char *name);
uint64_t start_ticks(pid_t pid);	/* field 22 of /proc/PID/stat; 0 when gone */

/* ---- group: the instance's cgroup ---- */

int group_join(const struct strings *groups);		/* this process; async-signal-safe */
int group_kill(const struct conf *conf);		/* all of it; returns when none is left, or -1 after 10 s */
bool group_empty(const struct conf *conf);
pid_t group_find_init(const struct conf *conf);		/* the running insula-init in it, or 0 */
int64_t group_cpu_ns(const struct conf *conf);
int64_t group_memory(const struct conf *conf);
int64_t group_memory_peak(const struct conf *conf);
void group_memory_peak_reset(const struct conf *conf);	/* where the kernel can (v1) */
int64_t group_oom_kills(const struct conf *conf);
/* v1: an eventfd that becomes readable when the limit of the instance or of its tenant is hit; -1 where there is none */
int group_oom_event(const struct conf *conf);

/* ---- root: the container's root file system, in this process's own mount namespace ---- */

int root_enter(struct why *why);	/* the namespace; first of all: what is opened earlier would pin the machine's mounts */
int root_release(struct conf *conf, struct why *why);	/* leaves what does not concern this instance */
int root_mount(const struct conf *conf, struct why *why);

/* ---- log: from the FIFO to the file ---- */

struct log {
	int fifo, file, peek[2];
	off_t size;
	bool copies;			/* the file system cannot splice: read and write */
	bool line_open;			/* the file does not end with a newline */
};
int log_open(struct log *log, const struct conf *conf, struct why *why);
/* Moves what is there, at most about 64 KiB; bytes moved, 0 when there is none. */
ssize_t log_move(struct log *log, const struct conf *conf);
void log_drain(struct log *log, const struct conf *conf);	/* the rest after the end */

/* ---- status ---- */

struct status {
	char state[16], reason[256];
	int64_t monitor, monitor_ticks;	/* pid and start of the monitor */
	int64_t pid, ticks;		/* of insula-init, 0: none */
	int64_t created_ms;		/* wall clock: first start */
	int64_t started_ms, ended_ms;	/* of the last run; ended 0: runs */
	int64_t exit, signal;		/* -1: none */
	int64_t oom;			/* 1: out of memory */
	int64_t restarts;
	int64_t backoff_ms;		/* the last pause */
	int64_t next_ms;		/* wall clock, in "backoff" */
	int64_t cpu_base;		/* of the group when this run began, ns */
	int64_t oom_base;
	int64_t memory_peak, samples, memory_sum;	/* of this run; the sum is of bytes at each sample */
};
void status_reset(struct status *status);
int status_parse(char *text, struct status *ret);	/* unknown keys are passed over */
int status_read(const char *dir, struct status *ret);	/* -1 when absent or broken */
int status_write(const char *dir, const struct status *status);
/* One line of JSON behind the others. */
/* final: it ended by itself, by no signal (which may be that of a shutdown), and is not started again: it has finished, also after a reboot */
int usage_append(const struct conf *conf, const struct status *status, int64_t cpu_ns, int final);
/* What init wrote: 0 and word and number, or -1 when it has written nothing (yet). */
int exit_read(const char *dir, char word[16], int *ret_number);

/* ---- start ---- */

/* A child that is about to become the OCI runtime. Between the two the caller makes the mounts. */
struct starting { pid_t pid; int go; };
int container_prepare(const struct conf *conf, int secrets, struct starting *ret, struct why *why);
/* Lets it go on; 0 with *ret_pid, the pid of the container's init. Ends `starting` either way, as abandon does. */
int container_start(const struct conf *conf, struct starting *starting, pid_t *ret_pid, struct why *why);
void container_abandon(struct starting *starting);

#endif
