/* SPDX-License-Identifier: Apache-2.0 */
#include "storage.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "mount.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

/*
 * How it works: an image is made under another name: truncated to its size, given an ext4 by mke2fs, then
 * its holes are reserved by fallocate (which keeps what mke2fs wrote) where that is asked for, and it is renamed. The inode
 * tables are holes, which read as zeros, so neither mke2fs nor the kernel has to write them (lazy_itable_init,
 * noinit_itable).
 *
 * While an image grows, "<image>.growing" stands beside it: the file may be larger then than the file system in it, whose
 * superblock is asked for the size, so that growth which a crash interrupted is still to be done for the plan.
 *
 * An online resize needs CAP_SYS_RESOURCE, which a root in a container often lacks; then the file system is
 * unmounted, checked, grown and mounted again, which is refused while an instance has it.
 */

#define BLOCK 4096			/* sizes of images are multiples of it */
#define MIB ((int64_t)1 << 20)
#define GIB ((int64_t)1 << 30)
#define TOOL_TIMEOUT_MS 120000
#define UNMOUNT_WAIT_MS 2000
#define LOOP_GONE_POLL_MS 5
#define MOUNT_OPTIONS "errors=remount-ro,noinit_itable"
#define SUPERBLOCK 1024			/* its place and fields: linux, Documentation/filesystems/ext4/super.rst; little endian */
#define BLOCKS_LOW 0x4
#define BLOCKS_HIGH 0x150
#define LOG_BLOCK_SIZE 0x18		/* 1024 << this */
#define STATE 0x3a			/* 1 cleanly unmounted, 2 errors detected */
#define STATE_CLEAN 1
#define STATE_ERRORS 2
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)	/* kernel: Documentation/filesystems/ext4, ioctls */
#define MISSING_TOOLS "apt-get install e2fsprogs"

static char *growing_path(const char *path)
{
	return xasprintf("%s.growing", path);
}

static uint64_t le_read(int fd, off_t offset, size_t n)
{
	uint64_t value = 0;

	return pread(fd, &value, n, offset) == (ssize_t)n ? le64toh(value) : 0;
}

int64_t image_file_size(const char *path)
{
	autofree char *growing = growing_path(path);
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -1;
	if (!fs_exists(growing))
		return st.st_size;
	return (int64_t)((le_read(fd, SUPERBLOCK + BLOCKS_LOW, 4) | le_read(fd, SUPERBLOCK + BLOCKS_HIGH, 4) << 32)
			 << (10 + (le_read(fd, SUPERBLOCK + LOG_BLOCK_SIZE, 4) & 15)));
}

/* Makes the file at least that large, all of it reserved when it is to be; on a file system that cannot reserve it is sparse. */
static int space_take(const struct image_file *file, const char *path, struct error *err)
{
	autofd int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	int64_t size = file->size / BLOCK * BLOCK;

	if (fd < 0)
		return error_set_errno(err, errno, "cannot open %s", path);
	if (!file->reserve && image_file_size(path) < size && ftruncate(fd, size) < 0)
		return error_set_errno(err, errno, "cannot give %s its size", path);
	if (file->reserve && fallocate(fd, 0, 0, size) < 0 && (errno != EOPNOTSUPP || (image_file_size(path) < size && ftruncate(fd, size) < 0))) {
		int errnum = errno;

		error_set_errno(err, errnum, "cannot reserve %" PRId64 " MiB for %s", size >> 20, path);
		if (errnum == ENOSPC) {
			autofree char *folder = fs_dirname(path);

			error_hint(err, "%" PRId64 " MiB are free there: make room, or give the tenants less storage",
				   fs_free_bytes(folder) >> 20);
		}
		return -1;
	}
	return 0;
}

/* A file system may never be larger than its file, so the file's size is brought to the disk before the file system grows.
   (A new one needs no such care: mke2fs itself does it, and space that is not reserved after all is noticed.) */
static int space_settle(const char *path, struct error *err)
{
	autofd int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || fsync(fd) < 0)
		return error_set_errno(err, errno, "cannot bring %s to the disk", path);
	return 0;
}

/* The last line with something in it, without its newline; cuts `text`. */
static const char *last_line(char *text)
{
	size_t n = strlen(text);
	char *start;

	while (n && strchr("\n\r\t ", text[n - 1]))
		text[--n] = '\0';
	start = strrchr(text, '\n');
	return start ? start + 1 : text;
}

static int tool_run(const char *const *argv, int accept, struct error *err)
{
	struct proc_options options = { .argv = argv, .timeout_ms = TOOL_TIMEOUT_MS };
	struct proc_result result CLEANUP(proc_result_clear) = { 0 };

	if (proc_run(&options, &result, err) < 0) {
		if (err->code == ERROR_NOT_FOUND)
			error_hint(err, "%s", MISSING_TOOLS);
		return -1;
	}
	if (result.status > accept)
		return error_set(err, ERROR_FAILED, "%s ended with status %d: %.400s", argv[0], result.status,
				 last_line(*result.errors ? result.errors : result.output));
	return 0;
}

/* A UUID of version 8 (RFC 9562) from the identity, so that an image tells whose it is. */
static void identity_uuid(const char *identity, char ret[static 37])
{
	char hex[DIGEST_HEX];

	digest_bytes(identity, strlen(identity), hex);
	hex[12] = '8';
	hex[16] = 'a';
	snprintf(ret, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* Small journals, and blocks, for small images: a journal of the default size would take much of them. */
struct shape { int64_t below; const char *block, *option, *value; };

static const struct shape shapes[] = {
	{ 4 * MIB, "1024", "-O", "^has_journal" },	/* no room for the least journal */
	{ 64 * MIB, "1024", "-J", "size=1" },
	{ GIB, "4096", "-J", "size=4" },
	{ 16 * GIB, "4096", "-J", "size=16" },
	{ INT64_MAX, "4096", "-J", "size=64" },
};

static const struct shape *shape_for(int64_t size)
{
	const struct shape *shape = shapes;

	while (size >= shape->below && shape->below != INT64_MAX)
		shape++;
	return shape;
}

static int file_system_make(const struct image_file *file, const char *path, struct error *err)
{
	const struct shape *shape = shape_for(file->size);
	char uuid[37], extended[128];
	const char *argv[] = {
		"mke2fs", "-q", "-F", "-t", "ext4", "-b", shape->block, "-m", "0", "-L", "insula", "-U", uuid,
		shape->option, shape->value, "-E", extended, path, NULL,
	};

	identity_uuid(file->identity, uuid);
	snprintf(extended, sizeof(extended), "lazy_itable_init=1,lazy_journal_init=1,root_owner=%u:%u", file->owner, file->owner);
	return tool_run(argv, 0, err);
}

/* Where writing again takes new space (btrfs), space is reserved only for a file that is written in place. It must be empty still. */
static void write_in_place(int fd)
{
	struct statfs where;
	int flags;

	if (fstatfs(fd, &where) < 0 || where.f_type != BTRFS_SUPER_MAGIC || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return;
	flags |= FS_NOCOW_FL;
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0)
		log_write(LOG_LEVEL_WARNING, "a storage image on btrfs is not written in place: %s", strerror(errno));
}

static int image_make_at(const struct image_file *file, const char *path, struct error *err)
{
	autofd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return error_set_errno(err, errno, "cannot create %s", path);
	write_in_place(fd);
	if (ftruncate(fd, file->size / BLOCK * BLOCK) < 0)
		return error_set_errno(err, errno, "cannot give %s its size", path);
	if (file_system_make(file, path, err) < 0 || space_take(file, path, err) < 0)
		return -1;
	if (rename(path, file->path) < 0)
		return error_set_errno(err, errno, "cannot rename %s", path);
	return 0;
}

static int image_make(const struct image_file *file, struct error *err)
{
	autofree char *folder = fs_dirname(file->path), *half = xasprintf("%s.new", file->path);

	if (fs_make_dirs(folder, 0700, err) < 0)
		return -1;
	if (unlink(half) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "cannot remove %s", half);
	if (image_make_at(file, half, err) < 0) {
		unlink(half);
		return -1;
	}
	return 0;
}

static int image_check(const char *path, struct error *err)
{
	const char *argv[] = { "e2fsck", "-f", "-y", path, NULL };

	return tool_run(argv, 3, err);	/* 1: errors were mended; 2: and the system should be rebooted, were it mounted */
}

/* Does the file system itself say that it must be checked? A journal that is to be replayed is no reason. */
static bool image_is_dirty(const char *path)
{
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	uint64_t state = fd < 0 ? 0 : le_read(fd, SUPERBLOCK + STATE, 2);

	return !(state & STATE_CLEAN) || state & STATE_ERRORS;
}

static int growth_begin(const struct image_file *file, struct error *err)
{
	autofree char *growing = growing_path(file->path);

	return fs_replace_file(growing, "", 0, 0600, true, err);
}

static int growth_end(const struct image_file *file, struct error *err)
{
	autofree char *growing = growing_path(file->path);

	if (unlink(growing) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "cannot remove %s", growing);
	return 0;
}

/* The file was enlarged in vain: as it was. */
static int growth_undo(const struct image_file *file, int64_t before, struct error *err)
{
	if (truncate(file->path, before) < 0)
		return error_set_errno(err, errno, "cannot give %s its size back", file->path);
	return growth_end(file, err);
}

static int image_enlarge(const struct image_file *file, struct error *err)
{
	int64_t before = image_file_size(file->path);
	struct error undo;

	if (growth_begin(file, err) < 0)
		return -1;
	if (space_take(file, file->path, err) == 0 && space_settle(file->path, err) == 0)
		return 0;
	return growth_undo(file, before, &undo) < 0 ? error_wrap(err, "%s", undo.message) : -1;
}

static int image_grow_unmounted(const struct image_file *file, struct error *err)
{
	const char *argv[] = { "resize2fs", file->path, NULL };

	if (image_enlarge(file, err) < 0 || image_check(file->path, err) < 0 || tool_run(argv, 0, err) < 0)
		return -1;
	return growth_end(file, err);
}

static int image_mount(const struct image_file *file, struct error *err)
{
	struct error first;

	if (fs_make_dirs(file->point, 0711, err) < 0)
		return -1;
	if (mount_image(file->path, "ext4", file->point, MOUNT_OPTIONS, &first) == 0)
		return 0;
	if (first.sys_errno != EINVAL && first.sys_errno != EUCLEAN && first.sys_errno != EIO) {
		*err = first;
		return -1;
	}
	if (image_check(file->path, err) < 0)
		return error_wrap(err, "%s", first.message);
	return mount_image(file->path, "ext4", file->point, MOUNT_OPTIONS, err);
}

/* The root folder is its owner's alone; what another id range left (a kept image, a lost state) is shifted to this one's. */
static int image_own(const struct image_file *file, struct error *err)
{
	struct stat st;

	if (stat(file->point, &st) < 0)
		return error_set_errno(err, errno, "cannot look at %s", file->point);
	if (st.st_uid != file->owner && tree_shift_owner(file->point, st.st_uid, file->owner, err) < 0)
		return -1;
	return 0;
}

/* Does it have (about) as many blocks as bytes? */
static bool image_is_reserved(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_blocks * 512 >= st.st_size - (st.st_size >> 6);
}

/* Programs take a folder with it for one that holds data; e2fsck makes it again if it ever needs it. */
static void lost_and_found_remove(const char *point)
{
	autofree char *path = fs_join(point, "lost+found");

	if (rmdir(path) < 0 && errno != ENOENT)
		log_debug("%s stays: %s", path, strerror(errno));
}

int image_file_ensure(const struct image_file *file, struct error *err)
{
	int64_t size = image_file_size(file->path);
	bool mounted;

	if (mount_is(file->point, &mounted, err) < 0)
		return -1;
	if (size < 0 && image_make(file, err) < 0)
		return -1;
	if (!mounted && size >= 0 && image_is_dirty(file->path) && image_check(file->path, err) < 0)
		return -1;
	if (!mounted && size >= 0 && size < file->size / BLOCK * BLOCK && image_grow_unmounted(file, err) < 0)
		return -1;
	if (file->reserve && !image_is_reserved(file->path) && space_take(file, file->path, err) < 0)
		return -1;
	if (image_mount(file, err) < 0 || image_own(file, err) < 0)
		return -1;
	if (size < 0)
		lost_and_found_remove(file->point);
	return 0;
}

int image_file_delete(const char *path, struct error *err)
{
	static const char *const suffixes[] = { "", ".new", ".growing" };

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		autofree char *name = xasprintf("%s%s", path, suffixes[i]);

		if (unlink(name) < 0 && errno != ENOENT)
			return error_set_errno(err, errno, "cannot remove %s", name);
	}
	return 0;
}

int image_file_unmount(const char *path, const char *point, struct error *err)
{
	unsigned major, minor;

	if (mount_remove(point, UNMOUNT_WAIT_MS, err) < 0)
		return -1;
	for (int64_t waited = 0; loop_of_file(path, &major, &minor); waited += LOOP_GONE_POLL_MS) {
		if (waited >= UNMOUNT_WAIT_MS) {
			error_set(err, ERROR_CONFLICT, "%s is still in use", path);
			err->retryable = true;
			return error_hint(err, "an instance or a mount in another namespace has it; stop the tenant's instances first");
		}
		clock_sleep_ms(&clock_system, LOOP_GONE_POLL_MS);
	}
	return 0;
}

int image_file_grow_online(const struct image_file *file, bool *ret_done, struct error *err)
{
	int64_t before = image_file_size(file->path), size = file->size / BLOCK * BLOCK;
	autofree char *device_path = NULL;
	autofd int device = -1, root = -1;
	unsigned major, minor;
	struct statvfs st;
	uint64_t blocks;

	*ret_done = before >= size;
	if (*ret_done || !loop_of_file(file->path, &major, &minor))
		return 0;
	device_path = xasprintf("/dev/block/%u:%u", major, minor);
	device = open(device_path, O_RDONLY | O_CLOEXEC);
	root = open(file->point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (device < 0 || root < 0 || fstatvfs(root, &st) < 0)
		return 0;
	blocks = (uint64_t)size / st.f_bsize;
	if (image_enlarge(file, err) < 0)
		return -1;
	*ret_done = ioctl(device, LOOP_SET_CAPACITY) == 0 && ioctl(root, EXT4_IOC_RESIZE_FS, &blocks) == 0;
	if (*ret_done)
		return growth_end(file, err);
	if (growth_undo(file, before, err) < 0)
		return -1;
	(void)ioctl(device, LOOP_SET_CAPACITY);
	return 0;
}

int image_file_grow_offline(const struct image_file *file, struct error *err)
{
	struct error mount_failed;

	if (image_file_unmount(file->path, file->point, err) < 0)
		return image_mount(file, &mount_failed) < 0 ? error_wrap(err, "%s", mount_failed.message) : -1;
	return image_grow_unmounted(file, err) < 0 ? -1 : image_mount(file, err);
}
