/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_SYSCALL_FILTER_H
#define INSULA_SITE_LOCAL_SYSCALL_FILTER_H

/*
 * The system calls that a container may use: one table, an allow-list. What is not in it fails with ENOSYS, so that
 * a C library falls back to an older call; what is dangerous and well known fails with EPERM.
 *
 * crun takes the filter compiled: libseccomp needs some 20 ms for three architectures, more than the rest of a start. It
 * is compiled once and kept as <dir>/<digest of the policy>-<version of libseccomp>.bpf. runc takes the table as JSON.
 */

#include "data/json.h"

/* The filter's instructions (struct sock_filter) from the cache or compiled into it; caller frees. Safe with several at once. */
int syscall_filter_get(const char *dir, void **ret, size_t *ret_n, struct error *err) WARN_UNUSED;
/* The same as base64 text. */
int syscall_filter_base64(const char *dir, char **ret, struct error *err) WARN_UNUSED;
/* linux.seccomp of an OCI config. */
json_t *syscall_filter_profile(void);

/* Tests: compiles to a file; calls for each name of the table. */
int syscall_filter_compile(int fd, struct error *err) WARN_UNUSED;
void syscall_policy_each(void (*each)(void *arg, const char *name, bool allowed), void *arg);

#endif
