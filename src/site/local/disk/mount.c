/* SPDX-License-Identifier: Apache-2.0 */
#include "mount.h"

#include "base/clock.h"
#include "base/fs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * How it works: a loop device is bound by LOOP_CONFIGURE with LO_FLAGS_AUTOCLEAR and its descriptor
 * kept open until the file system is mounted from it. Whoever dies before that leaves nothing, because the
 * kernel frees such a device at its last close; afterwards it goes with the last mount of its file system.
 */

#define LOOP_ATTEMPTS 64
#define UNMOUNT_POLL_MS 10

int mount_is(const char *path, bool *ret, struct error *err)
{
	autofree char *parent = fs_dirname(path);
	struct statx here, above;

	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MNT_ID, &here) < 0 ||
	    statx(AT_FDCWD, parent, AT_NO_AUTOMOUNT, STATX_MNT_ID, &above) < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			return error_set_errno(err, errno, "cannot look at %s", path);
		*ret = false;
		return 0;
	}
	*ret = here.stx_mnt_id != above.stx_mnt_id;
	return 0;
}

bool mount_path_within(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static bool link_within(const char *link, const char *dir)
{
	char target[PATH_MAX];
	ssize_t n = readlink(link, target, sizeof(target) - 1);

	if (n < 0)
		return false;
	target[n] = '\0';
	return mount_path_within(target, dir);
}

static bool process_uses(const char *pid, const char *path)
{
	static const char *const links[] = { "cwd", "root", "exe" };
	autofree char *folder = xasprintf("/proc/%s/fd", pid);
	autodir DIR *fds = NULL;
	struct dirent *e;

	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		autofree char *link = xasprintf("/proc/%s/%s", pid, links[i]);

		if (link_within(link, path))
			return true;
	}
	fds = opendir(folder);
	while (fds && (e = readdir(fds))) {
		autofree char *link = xasprintf("%s/%s", folder, e->d_name);

		if (link_within(link, path))
			return true;
	}
	return false;
}

/* "process 123 (tail)", or NULL when none that can be seen uses it. */
static char *user_find(const char *path)
{
	autodir DIR *proc = opendir("/proc");
	struct dirent *e;

	while (proc && (e = readdir(proc))) {
		autofree char *comm_path = NULL, *comm = NULL;
		struct error ignored;

		if (!isdigit((unsigned char)e->d_name[0]) || !process_uses(e->d_name, path))
			continue;
		comm_path = xasprintf("/proc/%s/comm", e->d_name);
		if (fs_read_line(comm_path, &comm, &ignored) < 0)
			continue;
		return xasprintf("process %s (%s)", e->d_name, comm);
	}
	return NULL;
}

static int busy_error(const char *path, struct error *err)
{
	autofree char *user = user_find(path);

	error_set_errno(err, EBUSY, "cannot unmount %s%s%s", path, user ? ": it is used by " : "", user ? user : "");
	return error_hint(err, "end what uses it (fuser -vm %s shows all), then try again", path);
}

int mount_remove(const char *path, int64_t wait_ms, struct error *err)
{
	int64_t waited = 0;

	for (;;) {
		bool mounted;

		if (mount_is(path, &mounted, err) < 0)
			return -1;
		if (!mounted)
			return 0;
		if (umount2(path, UMOUNT_NOFOLLOW) == 0)
			continue;
		if (errno == EINVAL || errno == ENOENT)	/* gone meanwhile */
			return 0;
		if (errno != EBUSY)
			return error_set_errno(err, errno, "cannot unmount %s", path);
		if (waited >= wait_ms)
			return busy_error(path, err);
		clock_sleep_ms(&clock_system, UNMOUNT_POLL_MS);
		waited += UNMOUNT_POLL_MS;
	}
}

int mount_remove_below(const char *path, int64_t wait_ms, struct error *err)
{
	struct fs_mounts mounts CLEANUP(fs_mounts_clear) = { 0 };

	if (fs_mounts_read("/proc/self/mountinfo", &mounts, err) < 0)
		return -1;
	/* a mount is listed behind those it stands on */
	for (size_t i = mounts.n; i-- > 0;) {
		const char *point = mounts.items[i].point;

		if (mount_path_within(point, path) && !streq(point, path) && mount_remove(point, wait_ms, err) < 0)
			return -1;
	}
	return 0;
}

int loops_each(int (*each)(void *arg, const struct loop *loop), void *arg, struct error *err)
{
	autodir DIR *block = opendir("/sys/block");
	struct dirent *e;

	if (!block)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "cannot read /sys/block");
	while ((e = readdir(block))) {
		autofree char *file_path = NULL, *dev_path = NULL, *file = NULL, *dev = NULL, *device = NULL;
		struct loop loop = { 0 };
		struct error ignored;

		if (!starts_with(e->d_name, "loop"))
			continue;
		file_path = xasprintf("/sys/block/%s/loop/backing_file", e->d_name);
		dev_path = xasprintf("/sys/block/%s/dev", e->d_name);
		if (fs_read_line(file_path, &file, &ignored) < 0 || fs_read_line(dev_path, &dev, &ignored) < 0)
			continue;	/* not in use */
		device = xasprintf("/dev/%s", e->d_name);
		loop.device = device;
		loop.file = file;
		if (sscanf(dev, "%u:%u", &loop.major, &loop.minor) != 2)
			continue;
		if (each(arg, &loop) != 0)
			return -1;
	}
	return 0;
}

/* Binds `file` to the device; direct I/O where the file's own file system can, so that no page is cached twice. 0 or an errno. */
static int loop_bind(int device, int file)
{
	struct loop_config config = { .fd = (uint32_t)file, .info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO };

	if (ioctl(device, LOOP_CONFIGURE, &config) == 0)
		return 0;
	if (errno != EINVAL)
		return errno;
	config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
	return ioctl(device, LOOP_CONFIGURE, &config) == 0 ? 0 : errno;
}

/* The device's descriptor, which must stay open until it is mounted, or -1. */
static int loop_open(const char *image, char **ret_device, struct error *err)
{
	autofd int file = open(image, O_RDWR | O_CLOEXEC | O_NOFOLLOW), control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (file < 0)
		return error_set_errno(err, errno, "cannot open %s", image);
	if (control < 0) {
		error_set_errno(err, errno, "cannot open /dev/loop-control");
		return error_hint(err, "load the kernel module: modprobe loop");
	}
	for (unsigned attempt = 0; attempt < LOOP_ATTEMPTS; attempt++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE), errnum;
		autofree char *path = NULL;
		autofd int device = -1;

		if (number < 0)
			return error_set_errno(err, errno, "cannot get a loop device");
		path = xasprintf("/dev/loop%d", number);
		device = open(path, O_RDWR | O_CLOEXEC);
		errnum = device < 0 ? errno : loop_bind(device, file);
		if (errnum == 0) {
			*ret_device = steal(&path);
			return steal_fd(&device);
		}
		if (errnum != EBUSY && errnum != ENXIO)	/* somebody else took it between the two calls */
			return error_set_errno(err, errnum, "cannot bind %s to %s", image, path);
	}
	return error_set(err, ERROR_FAILED, "cannot get a loop device: others took %d in a row", LOOP_ATTEMPTS);
}

struct search {
	const char *file;
	unsigned major, minor;
	bool found;
};

static int search_file(void *arg, const struct loop *loop)
{
	struct search *search = arg;

	if (!streq(loop->file, search->file))
		return 0;
	search->major = loop->major;
	search->minor = loop->minor;
	search->found = true;
	return 1;
}

bool loop_of_file(const char *file, unsigned *ret_major, unsigned *ret_minor)
{
	autofree char *real = realpath(file, NULL);	/* as the kernel names it */
	struct search search = { .file = real ? real : file };
	struct error ignored;

	if (loops_each(search_file, &search, &ignored) < 0 && !search.found)
		return false;
	if (search.found) {
		*ret_major = search.major;
		*ret_minor = search.minor;
	}
	return search.found;
}

/* Is what is mounted at `point` the file system in `image`? */
static bool image_is_at(const char *image, const char *point)
{
	unsigned major, minor;
	struct statx here;

	return loop_of_file(image, &major, &minor) && statx(AT_FDCWD, point, AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &here) == 0 &&
	       here.stx_dev_major == major && here.stx_dev_minor == minor;
}

int mount_image(const char *image, const char *type, const char *point, const char *options, struct error *err)
{
	autofree char *path = NULL;
	autofd int device = -1;
	bool mounted;

	if (mount_is(point, &mounted, err) < 0)
		return -1;
	if (mounted && image_is_at(image, point))
		return 0;
	if (mounted)
		return error_set(err, ERROR_CONFLICT, "something else than %s is mounted at %s", image, point);
	device = loop_open(image, &path, err);
	if (device < 0)
		return -1;
	if (mount(path, point, type, MS_NODEV | MS_NOSUID | MS_NOATIME, options) < 0)
		return error_set_errno(err, errno, "cannot mount %s at %s", image, point);
	return 0;
}
