/* SPDX-License-Identifier: Apache-2.0 */
#include "fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * How it works: every step is relative to an open folder and never follows a link, so a tree that
 * changes while it is removed cannot lead outside of it. Each folder's mount id is compared with
 * that of the folder above the tree. Each level takes one descriptor; a folder below DEPTH_MAX
 * levels is first moved up into the top folder, which is read again until it is empty, so that
 * the deepest tree that somebody else may have made needs few descriptors and little stack.
 */

#define DEPTH_MAX 32

struct removal {
	const char *path;	/* for messages */
	int top;
	uint64_t mount;
	unsigned moved;		/* folders moved up so far */
};

static int mount_of(int fd, uint64_t *ret)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &stx) < 0)
		return -1;
	*ret = stx.stx_mnt_id;
	return 0;
}

static int entry_remove(struct removal *removal, int folder, const char *name, unsigned depth, struct error *err);

/* Removes what is in `fd`, which is closed. Sets *ret_any when there was something. */
static int folder_empty(struct removal *removal, int fd, unsigned depth, bool *ret_any, struct error *err)
{
	autodir DIR *dir = fdopendir(fd);
	struct dirent *e;

	if (!dir) {
		int errnum = errno;

		close(fd);
		return error_set_errno(err, errnum, "cannot read a folder in %s", removal->path);
	}
	for (;;) {
		errno = 0;
		e = readdir(dir);
		if (!e)
			break;
		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		*ret_any = true;
		if (entry_remove(removal, dirfd(dir), e->d_name, depth, err) < 0)
			return -1;
	}
	if (errno)
		return error_set_errno(err, errno, "cannot read a folder in %s", removal->path);
	return 0;
}

static int folder_move_up(struct removal *removal, int folder, const char *name, struct error *err)
{
	for (;;) {
		char above[40];

		snprintf(above, sizeof(above), ".insula-removed-%u", removal->moved++);
		if (renameat2(folder, name, removal->top, above, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return error_set_errno(err, errno, "cannot move folder %s up to remove %s", name, removal->path);
	}
}

static int entry_remove(struct removal *removal, int folder, const char *name, unsigned depth, struct error *err)
{
	uint64_t mount;
	bool any;
	int fd;

	if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return error_set_errno(err, errno, "cannot remove %s in %s", name, removal->path);
	fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, errno, "cannot open folder %s in %s", name, removal->path);
	if (mount_of(fd, &mount) < 0 || mount != removal->mount) {
		close(fd);
		return error_set_errno(err, EBUSY, "cannot remove %s: %s in it is a mount point", removal->path, name);
	}
	if (depth >= DEPTH_MAX) {
		close(fd);
		return folder_move_up(removal, folder, name, err);
	}
	if (folder_empty(removal, fd, depth + 1, &any, err) < 0)
		return -1;
	if (unlinkat(folder, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "cannot remove folder %s in %s", name, removal->path);
	return 0;
}

static int tree_open(const char *path, const char *parent, int *ret, uint64_t *ret_mount, struct error *err)
{
	autofd int above = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autofd int top = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	uint64_t mount, own;

	if (above < 0 || top < 0 || mount_of(above, &mount) < 0 || mount_of(top, &own) < 0)
		return error_set_errno(err, errno, "cannot open folder %s", path);
	if (own != mount)
		return error_set_errno(err, EBUSY, "cannot remove %s: it is a mount point", path);
	*ret = steal_fd(&top);
	*ret_mount = mount;
	return 0;
}

int fs_remove_tree(const char *path, struct error *err)
{
	autofree char *parent = fs_dirname(path);
	struct removal removal = { .path = path };
	autofd int top = -1;
	bool any;

	if (unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR)
		return 0;
	if (errno != EISDIR)
		return error_set_errno(err, errno, "cannot remove %s", path);
	if (tree_open(path, parent, &top, &removal.mount, err) < 0)
		return -1;
	removal.top = top;
	do {
		int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			return error_set_errno(err, errno, "cannot open folder %s", path);
		any = false;
		if (folder_empty(&removal, fd, 0, &any, err) < 0)
			return -1;
	} while (any);
	if (rmdir(path) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "cannot remove folder %s", path);
	return 0;
}
