/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_NETNS_H
#define INSULA_SITE_LOCAL_NETNS_H

/*
 * Network namespaces, kept alive by a bind mount on a file of ours.
 *
 * setns(2) and unshare(2) change the calling thread only, so whatever has to happen inside a
 * namespace happens in a thread made for it: a caller's thread never leaves its namespace.
 */

#include "base/base.h"

#define NETNS_HERE (-1)	/* where the caller is */
#define NETNS_NEW (-2)	/* one made for this */

/* Runs `work` in a thread inside the namespace; its answer is the answer. /proc/sys/net shows that namespace there. */
int netns_run(int netns, int (*work)(void *arg, struct error *err), void *arg, struct error *err) WARN_UNUSED;

/*
 * The namespace that is bound to `path`, made when there is none. `prepare` (or NULL) runs inside
 * before the path is bound, and again in one that exists: so a bound namespace is a prepared one.
 * The folder must exist.
 */
int netns_create(const char *path, int (*prepare)(void *arg, struct error *err), void *arg, int *ret_fd, struct error *err) WARN_UNUSED;
/* A descriptor, or -1: ERROR_NOT_FOUND when no namespace is bound to `path` */
int netns_open(const char *path, struct error *err) WARN_UNUSED;
bool netns_exists(const char *path);
/* Takes the mount and the file away; absent is success. The namespace goes when nothing else is in it. */
int netns_remove(const char *path, struct error *err) WARN_UNUSED;

/* /proc/sys/net/<name> of the calling thread's namespace. What this kernel does not have is success: it cannot do it then either. */
int netns_sysctl(const char *name, const char *value, struct error *err) WARN_UNUSED;
/* No IPv6 on any link that is here or comes later. Fails when the kernel has IPv6 and does not let it go. */
int netns_disable_ipv6(struct error *err) WARN_UNUSED;

#endif
