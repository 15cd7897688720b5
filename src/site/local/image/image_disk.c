/* SPDX-License-Identifier: Apache-2.0 */
#include "image_layer.h"

#include "base/fs.h"
#include "base/vec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/*
 * How it works: every step is relative to a descriptor of the parent folder, which openat2(2) found below the root without
 * any symbolic link, and touches one name in it without following it. So even a layer that makes a link and then writes "through" it,
 * or replaces a folder by a link between two members, cannot leave the root: at worst it meets ELOOP, and is refused.
 *
 * A file is made with O_EXCL after whatever had its name is gone; mode and times are set when its last byte is written (a write
 * would clear setuid bits), times of folders at the very end. The parent of the last member is kept open, since members of a
 * folder come together; what a member removes lies in its parent, never above, so the descriptor cannot go stale.
 */

#define WHITEOUT_DEVICE makedev(0, 0)
#define OPAQUE "trusted.overlay.opaque"

struct folder_time { char *path; struct timespec time; };

struct layer_disk {
	int root;
	uint32_t shift;
	bool opaque_root;
	int parent;			/* of the last member, or -1 */
	char parent_path[LAYER_PATH_MAX];
	int file;			/* being written, or -1 */
	char *file_path;
	struct layer_entry file_entry;	/* without strings and attributes */
	VEC(struct folder_time) folders;
};

int layer_disk_new(int root, uint32_t shift, struct layer_disk **ret, struct error *err)
{
	struct layer_disk *disk;
	int own;

	if (fchown(root, shift, shift) < 0 || fchmod(root, 0755) < 0 || (own = fcntl(root, F_DUPFD_CLOEXEC, 3)) < 0)
		return error_set_errno(err, errno, "cannot prepare the layer's folder");
	disk = xcalloc(1, sizeof(*disk));
	*disk = (struct layer_disk){ .root = own, .shift = shift, .parent = -1, .file = -1 };
	*ret = disk;
	return 0;
}

void layer_disk_free(struct layer_disk *disk)
{
	if (!disk)
		return;
	cleanup_fd(&disk->parent);
	cleanup_fd(&disk->file);
	cleanup_fd(&disk->root);
	vec_each(&disk->folders, folder)
		free(folder->path);
	vec_clear(&disk->folders);
	free(disk->file_path);
	free(disk);
}

void layer_disk_free_pp(struct layer_disk **disk)
{
	layer_disk_free(*disk);
}

bool layer_disk_opaque_root(const struct layer_disk *disk)
{
	return disk->opaque_root;
}

static int open_below(int root, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	int fd;

	do {
		fd = (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));
	} while (fd < 0 && errno == EAGAIN);
	return fd;
}

static bool is_whiteout(int folder, const char *name)
{
	struct stat st;

	return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == WHITEOUT_DEVICE;
}

static int opaque_set(int folder, const char *path, struct error *err)
{
	if (fsetxattr(folder, OPAQUE, "y", 1, 0) < 0)
		return error_set_errno(err, errno, "cannot mark folder \"%.300s\" opaque", path);
	return 0;
}

/* The folder `name` in `folder`, made when absent; one that replaces a whiteout is opaque, for it hides what is below. */
static int folder_ensure(struct layer_disk *disk, int folder, const char *name, const char *path, int *ret, struct error *err)
{
	bool whiteout = is_whiteout(folder, name), made = false;
	autofd int fd = -1;

	if (whiteout && unlinkat(folder, name, 0) < 0)
		return error_set_errno(err, errno, "cannot replace whiteout \"%.300s\"", path);
	if (mkdirat(folder, name, 0755) == 0)
		made = true;
	else if (errno != EEXIST)
		return error_set_errno(err, errno, "cannot make folder \"%.300s\"", path);
	fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return error_set(err, ERROR_INPUT, "members below \"%.300s\" are refused: an earlier member made it a link or a file", path);
	if (fd < 0)
		return error_set_errno(err, errno, "cannot open folder \"%.300s\"", path);
	if (made && (fchown(fd, disk->shift, disk->shift) < 0 || fchmod(fd, 0755) < 0))
		return error_set_errno(err, errno, "cannot set owner and mode of folder \"%.300s\"", path);
	if (whiteout && opaque_set(fd, path, err) < 0)
		return -1;
	*ret = steal_fd(&fd);
	return 0;
}

/* Part for part: for a path of which not all is there, or which something is in the way of. */
static int folders_make(struct layer_disk *disk, const char *path, int *ret, struct error *err)
{
	autofd int fd = open_below(disk->root, "", O_RDONLY | O_DIRECTORY);
	autofree char *part = xstrdup(path);

	if (fd < 0)
		return error_set_errno(err, errno, "cannot open the layer's folder");
	for (char *p = part; *p;) {
		size_t length = strcspn(p, "/");
		bool last = !p[length];
		int next;

		p[length] = '\0';
		if (folder_ensure(disk, fd, p, path, &next, err) < 0)
			return -1;
		close(fd);
		fd = next;
		p += length + !last;
	}
	*ret = steal_fd(&fd);
	return 0;
}

static int folder_open(struct layer_disk *disk, const char *path, int *ret, struct error *err)
{
	int fd = open_below(disk->root, path, O_RDONLY | O_DIRECTORY);

	if (fd >= 0) {
		*ret = fd;
		return 0;
	}
	return folders_make(disk, path, ret, err);
}

/* The parent's descriptor, which stays the disk's; ret_name points into path. */
static int parent_open(struct layer_disk *disk, const char *path, int *ret, const char **ret_name, struct error *err)
{
	const char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) : 0;

	*ret_name = slash ? slash + 1 : path;
	if (disk->parent < 0 || strncmp(disk->parent_path, path, length) || disk->parent_path[length]) {
		cleanup_fd(&disk->parent);
		disk->parent = -1;
		memcpy(disk->parent_path, path, length);
		disk->parent_path[length] = '\0';
		if (folder_open(disk, disk->parent_path, &disk->parent, err) < 0)
			return -1;
	}
	*ret = disk->parent;
	return 0;
}

/* Removes what has the name, unless it is a folder and may stay. Sets *ret_whiteout when that was a whiteout. */
static int clear_place(struct layer_disk *disk, int folder, const char *name, const char *path, bool keep_folder, bool *ret_whiteout, struct error *err)
{
	autofree char *below = NULL;
	struct stat st;

	*ret_whiteout = false;
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "cannot look at \"%.300s\"", path);
	if (S_ISDIR(st.st_mode) && keep_folder)
		return 0;
	if (!S_ISDIR(st.st_mode)) {
		*ret_whiteout = S_ISCHR(st.st_mode);
		return unlinkat(folder, name, 0) < 0 ? error_set_errno(err, errno, "cannot replace \"%.300s\"", path) : 0;
	}
	below = xasprintf("/proc/self/fd/%d/%s", folder, name);
	return fs_remove_tree(below, err);
}

static uid_t shifted(const struct layer_disk *disk, uid_t id)
{
	return id + disk->shift;
}

static int attributes_set(int fd, const struct layer_entry *entry, struct error *err)
{
	for (size_t i = 0; i < entry->attribute_n; i++) {
		const struct layer_attribute *attribute = &entry->attributes[i];

		if (fsetxattr(fd, attribute->name, attribute->value, attribute->n, 0) == 0 || errno == EOPNOTSUPP)
			continue;
		return error_set_errno(err, errno, "cannot set attribute %.100s of \"%.300s\"", attribute->name, entry->path);
	}
	return 0;
}

static int file_finish(struct layer_disk *disk, struct error *err)
{
	const struct layer_entry *entry = &disk->file_entry;
	struct timespec times[2] = { entry->time, entry->time };
	autofree char *path = steal(&disk->file_path);
	autofd int fd = steal_fd(&disk->file);

	if (fd < 0)
		return 0;
	if (ftruncate(fd, entry->size) < 0 || fchown(fd, shifted(disk, entry->uid), shifted(disk, entry->gid)) < 0 ||
	    fchmod(fd, entry->mode) < 0 || futimens(fd, times) < 0)
		return error_set_errno(err, errno, "cannot finish file \"%.300s\"", path);
	return 0;
}

static int file_begin(struct layer_disk *disk, int folder, const char *name, const struct layer_entry *entry, struct error *err)
{
	autofd int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_set_errno(err, errno, "cannot make file \"%.300s\"", entry->path);
	if (attributes_set(fd, entry, err) < 0)
		return -1;
	disk->file_entry = *entry;
	disk->file_path = xstrdup(entry->path);
	disk->file = steal_fd(&fd);
	return 0;
}

static int folder_begin(struct layer_disk *disk, const struct layer_entry *entry, struct error *err)
{
	struct folder_time time = { .time = entry->time };
	autofd int fd = -1;

	if (folder_open(disk, entry->path, &fd, err) < 0 || attributes_set(fd, entry, err) < 0)
		return -1;
	if (fchown(fd, shifted(disk, entry->uid), shifted(disk, entry->gid)) < 0 || fchmod(fd, entry->mode) < 0)
		return error_set_errno(err, errno, "cannot set owner and mode of folder \"%.300s\"", entry->path);
	time.path = xstrdup(entry->path);
	vec_push(&disk->folders, time);
	return 0;
}

static int hard_link(struct layer_disk *disk, int folder, const char *name, const struct layer_entry *entry, struct error *err)
{
	autofree char *parent = strchr(entry->target, '/') ? fs_dirname(entry->target) : xstrdup("");
	const char *slash = strrchr(entry->target, '/');
	const char *base = slash ? slash + 1 : entry->target;
	autofd int from = open_below(disk->root, parent, O_PATH | O_DIRECTORY);
	struct stat st, old;
	bool whiteout;

	if (from < 0 || fstatat(from, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(err, ERROR_INPUT, "member \"%.300s\" is refused: a hard link to \"%.300s\", which no earlier member of the layer is",
				 entry->path, entry->target);
	if (S_ISDIR(st.st_mode) || S_ISCHR(st.st_mode))
		return error_set(err, ERROR_INPUT, "member \"%.300s\" is refused: a hard link to \"%.300s\", which is no file", entry->path, entry->target);
	if (fstatat(folder, name, &old, AT_SYMLINK_NOFOLLOW) == 0 && old.st_dev == st.st_dev && old.st_ino == st.st_ino)
		return 0;
	if (clear_place(disk, folder, name, entry->path, false, &whiteout, err) < 0)
		return -1;
	if (linkat(from, base, folder, name, 0) < 0)
		return error_set_errno(err, errno, "cannot make hard link \"%.300s\" to \"%.300s\"", entry->path, entry->target);
	return 0;
}

static int whiteout_make(struct layer_disk *disk, int folder, const char *name, const char *path, struct error *err)
{
	autofd int fd = -1;

	/* since Linux 5.8 this device needs no privilege anywhere but of the file system */
	if (mknodat(folder, name, S_IFCHR, WHITEOUT_DEVICE) == 0)
		return 0;
	if (errno != EEXIST)
		return error_set_errno(err, errno, "cannot make a whiteout for \"%.300s\"", path);
	/* the layer has something of that name itself: a folder must not show what lower layers have in theirs */
	fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? 0 : opaque_set(fd, path, err);
}

static int opaque_make(struct layer_disk *disk, const char *path, struct error *err)
{
	autofd int fd = -1;

	if (!*path) {
		disk->opaque_root = true;
		return 0;
	}
	if (folder_open(disk, path, &fd, err) < 0)
		return -1;
	return opaque_set(fd, path, err);
}

/* A symlink or FIFO, whose place is free. */
static int node_make(struct layer_disk *disk, int folder, const char *name, const struct layer_entry *entry, struct error *err)
{
	struct timespec times[2] = { entry->time, entry->time };
	bool link = entry->kind == LAYER_SYMLINK;

	if ((link ? symlinkat(entry->target, folder, name) : mkfifoat(folder, name, 0600)) < 0 ||
	    fchownat(folder, name, shifted(disk, entry->uid), shifted(disk, entry->gid), AT_SYMLINK_NOFOLLOW) < 0 ||
	    (!link && fchmodat(folder, name, entry->mode, 0) < 0) ||
	    utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set_errno(err, errno, "cannot make \"%.300s\"", entry->path);
	return 0;
}

static int disk_entry(void *arg, const struct layer_entry *entry, struct error *err)
{
	struct layer_disk *disk = arg;
	bool whiteout = false, folder = entry->kind == LAYER_FOLDER;
	const char *name;
	int parent;

	if (file_finish(disk, err) < 0)
		return -1;
	if (entry->kind == LAYER_OPAQUE)
		return opaque_make(disk, entry->path, err);
	if (folder && !*entry->path)
		return folder_begin(disk, entry, err);
	if (parent_open(disk, entry->path, &parent, &name, err) < 0)
		return -1;
	if (entry->kind == LAYER_WHITEOUT)
		return whiteout_make(disk, parent, name, entry->path, err);
	if (entry->kind == LAYER_HARD_LINK)
		return hard_link(disk, parent, name, entry, err);
	if (!folder && clear_place(disk, parent, name, entry->path, false, &whiteout, err) < 0)
		return -1;
	if (folder) {
		struct stat st;

		/* a link or file of that name gives way; a whiteout is turned into an opaque folder by folder_ensure */
		if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode) && !S_ISCHR(st.st_mode) &&
		    clear_place(disk, parent, name, entry->path, true, &whiteout, err) < 0)
			return -1;
		return folder_begin(disk, entry, err);
	}
	return entry->kind == LAYER_FILE ? file_begin(disk, parent, name, entry, err) : node_make(disk, parent, name, entry, err);
}

static int disk_data(void *arg, int64_t offset, const void *data, size_t n, struct error *err)
{
	struct layer_disk *disk = arg;
	const char *p = data;

	while (n) {
		ssize_t done = pwrite(disk->file, p, n, offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return error_set_errno(err, errno, "cannot write \"%.300s\"", disk->file_path);
		p += done;
		n -= (size_t)done;
		offset += done;
	}
	return 0;
}

static int disk_end(void *arg, struct error *err)
{
	struct layer_disk *disk = arg;

	if (file_finish(disk, err) < 0)
		return -1;
	vec_each(&disk->folders, folder) {
		struct timespec times[2] = { folder->time, folder->time };
		autofd int fd = open_below(disk->root, folder->path, O_RDONLY | O_DIRECTORY);

		/* what a later member replaced has no time of its own any more */
		if (fd >= 0 && futimens(fd, times) < 0)
			return error_set_errno(err, errno, "cannot set the time of \"%.300s\"", folder->path);
	}
	return 0;
}

struct layer_sink layer_disk_sink(struct layer_disk *disk)
{
	return (struct layer_sink){ disk_entry, disk_data, disk_end, disk };
}
