/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_CGROUP_H
#define INSULA_SITE_LOCAL_CGROUP_H

/*
 * Control groups, v2 first, v1 and hybrid too: per controller, not per machine. A group is named by its path
 * below the mount points ("/insula/lab/t/vision"), the same in every hierarchy; where a cgroup2 mount exists, the group
 * exists there as well even when it has no controllers (kill, freeze, events).
 * Facts in cgroups(7), the kernel's admin-guide/cgroup-v2 and cgroup-v1.
 */

#include "base/base.h"
#include "model/intent.h"	/* AMOUNT_NONE */

struct cgroups;

enum cgroup_controller { CGROUP_CPU, CGROUP_CPUACCT, CGROUP_MEMORY, CGROUP_PIDS, CGROUP_IO, CGROUP_CPUSET, CGROUP_DEVICES, CGROUP_FREEZER, CGROUP_CONTROLLERS };

/* What this machine has, read from /proc/self/mountinfo. */
int cgroups_open(struct cgroups **ret, struct error *err) WARN_UNUSED;
/* The same from a file of mountinfo's form (tests). */
int cgroups_open_from(const char *mountinfo, struct cgroups **ret, struct error *err) WARN_UNUSED;
void cgroups_close(struct cgroups *cgroups);
void cgroups_close_pp(struct cgroups **cgroups);
#define autocgroups CLEANUP(cgroups_close_pp)
/* 2: on cgroup2; 1: a v1 hierarchy; 0: nowhere */
int cgroups_version(const struct cgroups *cgroups, enum cgroup_controller controller);
const char *cgroups_summary(const struct cgroups *cgroups);	/* "v2", "v1", "hybrid: cpu, memory, pids on v1" */
/* The mount point of the cgroup2 hierarchy, or NULL; hybrid: true when controllers are on v1 and this one is /sys/fs/cgroup/unified */
const char *cgroups_unified(const struct cgroups *cgroups, bool *ret_hybrid);

struct cgroup_limits {			/* AMOUNT_NONE (INT64_MIN): no limit of its own */
	int64_t cpu_max;		/* thousandths of a core */
	int64_t cpu_weight;		/* 1..10000, v2's scale; v1 shares are converted as systemd and runc do */
	int64_t memory_max, memory_low;	/* bytes; swap is never allowed on top */
	int64_t pids_max;
	int64_t disk_bandwidth;		/* bytes a second, for each device in `devices`, read and write each */
	const char *const *devices;	/* "254:0", NULL-ended, or NULL */
	bool group_oom;			/* v2: memory.oom.group */
	bool leaf;			/* an instance: nothing is made below it. v1 throttles a disk only here */
};

/* Makes the group in every hierarchy (controllers enabled down the path on v2); limits it; idempotent. What could not be
   enforced is set in *ret_missing (may be NULL) as a bit set of 1 << controller. Values that are AMOUNT_NONE are reset to
   the kernel's defaults. memory_low has no equal on v1 and is left out there without a bit: admission is its guarantee.
   The kernel rounds: memory down to pages, and a v1 cpu limit above its parent's is clamped to that. */
int cgroup_create(struct cgroups *cgroups, const char *path, const struct cgroup_limits *limits, unsigned *ret_missing, struct error *err) WARN_UNUSED;
int cgroup_read_limits(struct cgroups *cgroups, const char *path, struct cgroup_limits *ret, struct error *err) WARN_UNUSED;
bool cgroup_exists(struct cgroups *cgroups, const char *path);
/* All processes in it and below, in every hierarchy, are killed; returns when none is left. */
int cgroup_kill(struct cgroups *cgroups, const char *path, struct error *err) WARN_UNUSED;
/* cgroup_kill, then removes it and all below, retrying EBUSY for up to 5 s. Absent is success. */
int cgroup_remove(struct cgroups *cgroups, const char *path, struct error *err) WARN_UNUSED;
/* The cgroup.procs files that a process must write itself to, to be in the group; NULL-ended; caller frees each and the array. */
char **cgroup_procs_files(struct cgroups *cgroups, const char *path);
/* A thread of the kernel, by its controllers of time only: whoever kills the group sends it back to the root. */
int cgroup_attach_kernel_thread(struct cgroups *cgroups, const char *path, int pid, struct error *err) WARN_UNUSED;
int cgroup_attach(struct cgroups *cgroups, const char *path, int pid, struct error *err) WARN_UNUSED;

struct cgroup_usage { int64_t cpu_ns, memory_now, memory_peak, pids, oom_kills; };	/* -1: unknown */
int cgroup_usage_read(struct cgroups *cgroups, const char *path, struct cgroup_usage *ret, struct error *err) WARN_UNUSED;
int cgroup_children(struct cgroups *cgroups, const char *path, char ***ret /* NULL-ended, caller frees */, struct error *err) WARN_UNUSED;

#endif
