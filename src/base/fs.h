/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_BASE_FS_H
#define INSULA_BASE_FS_H

/* Files and folders. Every descriptor is close-on-exec. Every read has a limit. Writes that matter are atomic: temporary file, fsync, rename, fsync of the folder. */

#include "base.h"

#include <sys/types.h>

/* Whole file into memory with a 0 byte behind; fails with ERROR_INPUT when larger than `limit`. Works for /proc and /sys files. ret_n may be NULL. */
int fs_read_file(const char *path, size_t limit, char **ret, size_t *ret_n, struct error *err) WARN_UNUSED;
int fs_read_file_at(int dir, const char *path, size_t limit, char **ret, size_t *ret_n, struct error *err) WARN_UNUSED;
/* First line without its newline. */
int fs_read_line(const char *path, char **ret, struct error *err) WARN_UNUSED;
int fs_read_int(const char *path, int64_t *ret, struct error *err) WARN_UNUSED;
/* One write(2) to an existing file: cgroup, sysctl and such. */
int fs_write_value(const char *path, const char *value, struct error *err) WARN_UNUSED;
/* Atomic replace; with fsync of file and folder when `durable`. */
int fs_replace_file(const char *path, const void *data, size_t n, mode_t mode, bool durable, struct error *err) WARN_UNUSED;
int fs_write_all(int fd, const void *data, size_t n, struct error *err) WARN_UNUSED;

int fs_make_dirs(const char *path, mode_t mode, struct error *err) WARN_UNUSED;	/* like mkdir -p; what exists stays as it is */
/* Removes a tree without following links or crossing into another mount; absent is success. */
int fs_remove_tree(const char *path, struct error *err) WARN_UNUSED;
bool fs_exists(const char *path);		/* lstat */
bool fs_is_dir(const char *path);
int64_t fs_free_bytes(const char *path);	/* without what is reserved: some file systems deny that even to root; -1 when unknown */
char *fs_join(const char *a, const char *b);	/* "a/b" with one slash; b absolute gives b; caller frees */
char *fs_dirname(const char *path);
char *fs_absolute(const char *base, const char *path);	/* lexical: base + path, "." and ".." resolved by text */
/* In $PATH-like list (pass "/usr/local/sbin:..." explicitly); NULL when not found; caller frees */
char *fs_find_program(const char *path_list, const char *name);

/* An exclusive lock on a file (created when absent), held until the descriptor closes.
   wait_ms 0: fail at once; below 0: wait for ever. The failure is a retryable ERROR_CONFLICT naming the holder's pid, which is written into the file. */
int fs_lock(const char *path, int64_t wait_ms, int *ret_fd, struct error *err) WARN_UNUSED;

/* One line of /proc/self/mountinfo (proc_pid_mountinfo(5)), escapes resolved. */
struct fs_mount { int id, parent; unsigned major, minor; char *root, *point, *options, *type, *source, *super_options; };
struct fs_mounts { struct fs_mount *items; size_t n; };
int fs_mounts_read(const char *path, struct fs_mounts *ret, struct error *err) WARN_UNUSED;	/* path: "/proc/self/mountinfo" */
void fs_mounts_clear(struct fs_mounts *mounts);

#endif
