/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_RUNTIME_H
#define INSULA_SITE_LOCAL_RUNTIME_H

/* The OCI runtime: crun where it works (a start takes half the time and a tenth of the memory), else runc. */

#include "base/base.h"

struct runtime { char *name, *path, *version, *reason; };	/* owned; reason: why crun was passed over, or NULL */
void runtime_clear(struct runtime *runtime);
#define autoruntime CLEANUP(runtime_clear)

/* Asks each for its version and features, 5 s at most each. ERROR_UNSUPPORTED when none will do. */
int runtime_probe(struct runtime *ret, struct error *err) WARN_UNUSED;

/* What crun must not see on this machine: the mount point of a cgroup2 that has controllers beside v1 ones, or NULL. Caller frees. */
struct cgroups;
char *runtime_hidden_mount(const struct cgroups *cgroups);

#endif
