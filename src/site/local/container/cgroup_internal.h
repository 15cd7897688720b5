/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_CGROUP_INTERNAL_H
#define INSULA_SITE_LOCAL_CGROUP_INTERNAL_H

/* Shared by cgroup.c (hierarchies, processes) and cgroup_limits.c (values). */

#include "cgroup.h"

#include "base/fs.h"

#define CGROUP_VALUE_LIMIT ((size_t)4 << 20)	/* of one file of a group: cgroup.procs of a fork bomb is the largest */

/* One mounted hierarchy that a group is made in. */
struct cgroup_hierarchy {
	char *point;			/* mount point */
	bool unified;			/* cgroup2 */
	unsigned controllers;		/* 1 << controller */
};

struct cgroups {
	struct cgroup_hierarchy *items;	/* the unified one last, so that what is populated there is complete everywhere */
	size_t n, capacity;
	char **others;			/* mount points of v1 hierarchies without a controller of ours (name=systemd, perf_event): runc goes there too */
	size_t other_n, other_capacity;
	int of[CGROUP_CONTROLLERS];	/* index into items, or -1 */
	int unified;			/* index into items, or -1 */
	bool hybrid;
	char *summary;
};

/* The folder of a group in one hierarchy: the one place that knows how our names are mapped to the machine's. */
char *cgroup_dir(const struct cgroup_hierarchy *hierarchy, const char *path);
/* The same for the hierarchy of a controller; NULL when it is nowhere. */
char *cgroup_controller_dir(const struct cgroups *cgroups, enum cgroup_controller controller, const char *path);
/* fresh: the controllers whose group was made just now and holds the kernel's defaults. */
int cgroup_limits_write(struct cgroups *cgroups, const char *path, const struct cgroup_limits *limits, unsigned fresh,
			unsigned *missing, struct error *err) WARN_UNUSED;

#endif
