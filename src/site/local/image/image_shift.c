/* SPDX-License-Identifier: Apache-2.0 */
#include "image_parts.h"

#include "base/fs.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * How the probe works: a child takes a mount namespace of its own, lets a child of its own take a user namespace, clones a mount of the
 * folder, maps it with that namespace, puts an overlay on top and looks whether the root of it has the mapped owner. All of it
 * goes when the child ends. Between fork and exit only system calls are made, for the program may have threads.
 */

#define PROBE_BASE 1000000
#define PROBE_WAIT_MS 5000

/* Holds a user namespace, and nothing else: not the locks of whoever is killed before it can end this one. */
static void __attribute__((noreturn)) wait_for_the_end(pid_t parent)
{
	syscall(SYS_close_range, 0, ~0U, 0);
	/* a parent that has died already sends no signal any more */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
		while (getppid() == parent)
			pause();
	_exit(0);
}

/* Starts the holder of a user namespace with the ids PROBE_BASE.. and opens the namespace; -1 with errno. */
static int user_namespace(pid_t *ret_holder)
{
	char path[64], map[64];
	pid_t parent = getpid();
	int fd, n;

	*ret_holder = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
	if (*ret_holder == 0)
		wait_for_the_end(parent);
	if (*ret_holder < 0)
		return -1;
	n = snprintf(map, sizeof(map), "0 %d 65536", PROBE_BASE);
	for (int gid = 0; gid < 2; gid++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", (int)*ret_holder, gid ? "gid_map" : "uid_map");
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, map, (size_t)n) != n)
			return -1;
		close(fd);
	}
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)*ret_holder);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* The steps, in a mount namespace of our own; the name of the one that failed, with errno, or NULL. */
static const char *overlay_try(const char *dir, int namespace)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)namespace };
	struct stat before, st;
	int tree;

	if (stat(dir, &before) < 0)
		return "stat";
	tree = (int)syscall(SYS_open_tree, AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return "open_tree";
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return "mount_setattr";
	/* the overlay's folders lie on a file system that vanishes with us */
	if (mount("none", dir, "tmpfs", 0, "size=64k") < 0 || chdir(dir) < 0)
		return "mount tmpfs";
	if (mkdir("lower", 0755) < 0 || mkdir("upper", 0755) < 0 || mkdir("work", 0755) < 0 || mkdir("merged", 0755) < 0)
		return "mkdir";
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, "lower", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return "move_mount";
	if (stat("lower", &st) < 0 || st.st_uid != before.st_uid + PROBE_BASE) {
		errno = EINVAL;
		return "the mapping";
	}
	if (mount("overlay", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work") < 0)
		return "mount overlay";
	return NULL;
}

static int probe_child(const char *dir, int report, pid_t parent)
{
	const char *failed;
	char text[160];
	pid_t holder = -1;
	int namespace, n;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		return 1;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		failed = "unshare";
	else if ((namespace = user_namespace(&holder)) < 0)
		failed = "a user namespace";
	else
		failed = overlay_try(dir, namespace);
	if (failed) {
		n = snprintf(text, sizeof(text), "%s: error %d", failed, errno);
		if (write(report, text, (size_t)n) < 0)
			n = 0;
	}
	if (holder > 0)
		kill(holder, SIGKILL);
	return failed ? 1 : 0;
}

bool image_idmap_works(const char *dir, char **ret_why)
{
	char text[160] = "";
	int ends[2], status = -1;
	struct pollfd wait;
	ssize_t n = 0;
	pid_t pid, parent = getpid();

	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	pid = fork();
	if (pid == 0)
		_exit(probe_child(dir, ends[1], parent));
	close(ends[1]);
	if (pid > 0) {
		wait = (struct pollfd){ .fd = ends[0], .events = POLLIN };
		if (poll(&wait, 1, PROBE_WAIT_MS) <= 0)
			kill(pid, SIGKILL);
		else
			n = read(ends[0], text, sizeof(text) - 1);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	close(ends[0]);
	text[MAX(n, 0)] = '\0';
	if (ret_why)
		*ret_why = status == 0 ? NULL : xstrdup(*text ? text : "the probe did not end");
	return status == 0;
}

/* ---- shifted copies ---- */

struct shifting { const char *from; uint32_t base; struct store_layer facts; };

static int shift_fill(void *arg, int root, const struct layer_limits *limits, struct store_layer *ret, struct error *err)
{
	struct shifting *shifting = arg;
	autolayerdisk struct layer_disk *disk = NULL;
	struct layer_counts counts;
	struct layer_sink sink;

	if (layer_disk_new(root, shifting->base, &disk, err) < 0)
		return -1;
	sink = layer_disk_sink(disk);
	if (layer_walk(shifting->from, LAYER_WALK_OURS, limits, &sink, &counts, err) < 0)
		return -1;
	*ret = shifting->facts;
	ret->bytes = counts.bytes;
	return 0;
}

static int shifted_layer(struct image_store *store, const char *layer, uint32_t base, char **ret, struct error *err)
{
	const char *diff_id = strrchr(layer, '/') + 1;
	autofree char *name = xasprintf("%s@%" PRIu32, diff_id, base);
	struct shifting shifting = { .from = layer, .base = base };

	if (store_layer_read(store, diff_id, &shifting.facts, err) < 0 || store_layer_make(store, name, shift_fill, &shifting, NULL, err) < 0)
		return error_wrap(err, "layer %.12s... for the ids from %" PRIu32, diff_id, base);
	*ret = store_path(store, "layers", name);
	return 0;
}

int image_shifted_layers(struct image_store *store, const struct image *image, uint32_t base, char ***ret_paths, struct error *err)
{
	char **paths = xcalloc(image->layer_n + 1, sizeof(*paths));
	autofd int lock = -1;
	int r = store_lock_shared(store, &lock, err);

	for (size_t i = 0; i < image->layer_n && r == 0; i++)
		r = shifted_layer(store, image->layers[i], base, &paths[i], err);
	if (r < 0) {
		for (size_t i = 0; i < image->layer_n; i++)
			free(paths[i]);
		free(paths);
		return -1;
	}
	*ret_paths = paths;
	return 0;
}
