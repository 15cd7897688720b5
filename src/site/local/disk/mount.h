/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_MOUNT_H
#define INSULA_SITE_LOCAL_MOUNT_H

/* Mounts and loop devices, by system calls only. Paths are absolute and without links. */

#include "base/base.h"

/* Is `path` itself a mount point? (by mount id against its parent's: cheap, however many mounts there are) */
int mount_is(const char *path, bool *ret, struct error *err) WARN_UNUSED;
/* Is `path` the folder `dir` or something below it? By text. */
bool mount_path_within(const char *path, const char *dir);

/* Unmounts all that is mounted at `path`; waits up to wait_ms while it is busy, then fails with a retryable error
   that names a process that uses it. Nothing mounted is success. */
int mount_remove(const char *path, int64_t wait_ms, struct error *err) WARN_UNUSED;
/* The same for every mount point below `path`, deepest first. */
int mount_remove_below(const char *path, int64_t wait_ms, struct error *err) WARN_UNUSED;

/*
 * Mounts the file system in an image file, nodev and nosuid, through a loop device that goes away with
 * the mount. Already mounted from this file at this point is success. options: of the file system ("" for none).
 */
int mount_image(const char *image, const char *type, const char *point, const char *options, struct error *err) WARN_UNUSED;

/* A loop device in use and its file as the kernel names it; "(deleted)" may follow the path. */
struct loop { char *device, *file; unsigned major, minor; };
/* Non-zero from `each` stops, and gives -1. */
int loops_each(int (*each)(void *arg, const struct loop *loop), void *arg, struct error *err) WARN_UNUSED;
bool loop_of_file(const char *file, unsigned *ret_major, unsigned *ret_minor);	/* false: no device has it */

#endif
