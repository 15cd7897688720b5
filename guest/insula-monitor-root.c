/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor.h"
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * How it works: the monitor has a mount namespace of its own, a slave of the machine's. In it
 *
 * - the cgroup2 mount of a hybrid machine is hidden, because crun refuses to run where it sees one with controllers. Our
 *   groups in it are held by descriptors;
 * - the deployment's run folder, a mount that is shared and below which every tenant's storage and every instance's
 *   network namespace is mounted, is left as a whole; only what this container needs is put back. So
 *   a monitor costs the same beside one neighbour or a thousand, and none is held open by another's monitor;
 * - layers appear with the container's ids: detached copies of their mounts, idmapped with a user namespace made for
 *   that. A layer "plain:" belongs to the container's ids already;
 * - what the file mounts of the machine (hostPath) is opened without following links, which a tenant who may write beside it could
 *   have put there, and put where the runtime finds it under a name of ours. What belongs to its owner belongs to the command's user
 *   inside, by an idmapped mount with that one id, so new files are the owner's too. Root is nobody's user: what is root's stays so;
 * - the overlay of them is the container's root. It is mounted once, right before the first start, so a monitor that only
 *   adopts has none.
 *
 * Nothing of this is ever seen outside, and all of it goes when the monitor and the container have gone.
 */

#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif
#ifndef MOVE_MOUNT_T_EMPTY_PATH
#define MOVE_MOUNT_T_EMPTY_PATH 0x00000040
#endif

#define KEEP_LIMIT 64
#define OPTIONS_LIMIT 4096	/* mount(2) takes one page */
#define MAP_LIMIT 192		/* four lines of three numbers */

static int tree_open(const char *path, unsigned flags)
{
	return (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);
}

static int tree_attach(int tree, int to, const char *path)
{
	unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (*path ? 0 : MOVE_MOUNT_T_EMPTY_PATH);

	return (int)syscall(SYS_move_mount, tree, "", to, path, flags);
}

/* Leaves the shared run folder but for what is kept. */
static int run_release(const struct conf *conf, struct why *why)
{
	int trees[KEEP_LIMIT];

	if (!conf->release)
		return 0;
	if (conf->keep.n > KEEP_LIMIT)
		return why_set(why, "too many mounts");
	for (size_t i = 0; i < conf->keep.n; i++) {
		trees[i] = tree_open(conf->keep.items[i], AT_RECURSIVE);
		if (trees[i] < 0)
			return why_errno(why, "cannot take %s along", conf->keep.items[i]);
	}
	if (umount2(conf->release, MNT_DETACH) < 0 && errno != EINVAL)	/* EINVAL: not a mount */
		return why_errno(why, "cannot leave %s", conf->release);
	for (size_t i = 0; i < conf->keep.n; i++) {
		if (tree_attach(trees[i], AT_FDCWD, conf->keep.items[i]) < 0)
			return why_errno(why, "cannot put %s back", conf->keep.items[i]);
		close(trees[i]);
	}
	return 0;
}

int root_enter(struct why *why)
{
	if (unshare(CLONE_NEWNS) < 0)
		return why_errno(why, "cannot make a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return why_errno(why, "cannot make the mounts slaves");
	return 0;
}

static int mounts_folder_make(const struct conf *conf, struct why *why)
{
	char mounts[PATH_LIMIT];

	if (!path_make(mounts, conf->dir, DIR_MOUNTS))
		return why_set(why, "the path %s is too long", conf->dir);
	return mkdir(mounts, 0711) < 0 && errno != EEXIST ? why_errno(why, "cannot make %s", mounts) : 0;
}

/* A folder below the mount that is about to go stays reachable through a descriptor. */
static int path_hold(const char *hide, char **path, struct why *why)
{
	size_t n = strlen(hide);
	char text[32], *held;
	int fd;

	if (!*path || strncmp(*path, hide, n) || (*path)[n] != '/')
		return 0;
	fd = open(*path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return why_errno(why, "cannot open %s", *path);
	snprintf(text, sizeof(text), "/proc/self/fd/%d", fd);
	held = strdup(text);
	if (!held)
		return why_errno(why, "cannot keep %s", *path);
	*path = held;	/* lives as long as the monitor */
	return 0;
}

static int hide(struct conf *conf, struct why *why)
{
	char empty[PATH_LIMIT];

	for (size_t i = 0; i < conf->groups.n; i++)
		if (path_hold(conf->hide, &conf->groups.items[i], why) < 0)
			return -1;
	for (size_t i = 0; i < conf->homes.n; i++)
		if (path_hold(conf->hide, &conf->homes.items[i], why) < 0)
			return -1;
	if (path_hold(conf->hide, &conf->unified, why) < 0 || path_hold(conf->hide, &conf->cpu_v2, why) < 0 ||
	    path_hold(conf->hide, &conf->memory_v2, why) < 0)
		return -1;
	/* an empty folder on top does the same as an unmount, and the kernel need not wait for readers of the mount */
	if (!path_make(empty, conf->dir, DIR_MOUNTS "/none"))
		return why_set(why, "the path %s is too long", conf->dir);
	if (mounts_folder_make(conf, why) < 0)
		return -1;
	if (mkdir(empty, 0711) < 0 && errno != EEXIST)
		return why_errno(why, "cannot make %s", empty);
	if (mount(empty, conf->hide, NULL, MS_BIND, NULL) < 0)
		return why_errno(why, "cannot hide %s", conf->hide);
	return 0;
}

int root_release(struct conf *conf, struct why *why)
{
	if (conf->hide && hide(conf, why) < 0)
		return -1;
	return run_release(conf, why);
}

struct id_map { char uids[MAP_LIMIT], gids[MAP_LIMIT]; };	/* the text of /proc/PID/uid_map and gid_map */

static int map_write(pid_t pid, const char *name, const char *map)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return file_write(path, map);
}

/* Holds a user namespace and nothing else: a monitor that is killed before it can end this one must not stay locked by it. */
static void namespace_hold(pid_t monitor) __attribute__((noreturn));
static void namespace_hold(pid_t monitor)
{
	syscall(SYS_close_range, 0, ~0U, 0);
	/* a parent that has died already sends no signal any more */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0)
		while (getppid() == monitor)
			pause();
	_exit(0);
}

/* A user namespace with these ids, by a child that lives just long enough. */
static int user_namespace_open(const struct id_map *map, struct why *why)
{
	pid_t self = getpid(), pid = (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_NEWUSER, NULL, NULL, NULL, NULL);
	char path[64];
	int fd;

	if (pid < 0)
		return why_errno(why, "cannot make a user namespace");
	if (!pid)
		namespace_hold(self);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	fd = map_write(pid, "uid_map", map->uids) < 0 || map_write(pid, "gid_map", map->gids) < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		why_errno(why, "cannot map the ids \"%s\"", map->uids);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return fd;
}

/* A detached, read-only copy of what is mounted at `path`, seen with the container's ids. */
static int mapped_open(const char *path, int users, struct why *why)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID,
		.propagation = MS_PRIVATE, .userns_fd = (uint64_t)users,
	};
	int tree = tree_open(path, 0);

	if (tree < 0)
		return why_errno(why, "cannot open the layer %s", path);
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
		why_errno(why, "cannot map the ids of %s", path);
		close(tree);
		return -1;
	}
	return tree;
}

static const char *layer_path(const char *layer, bool *ret_mapped)
{
	*ret_mapped = !strncmp(layer, "idmap:", 6);
	return *ret_mapped || !strncmp(layer, "plain:", 6) ? layer + 6 : NULL;
}

static bool wants_mapping(const struct conf *conf)
{
	bool mapped = conf->binds.n > 0;

	for (size_t i = 0; i < conf->layers.n; i++) {
		bool one = false;

		layer_path(conf->layers.items[i], &one);
		mapped |= one;
	}
	return mapped;
}

/* Puts each layer where mount(2) can name it in few bytes: mnt/0, mnt/1 ...; and makes the list for overlayfs, topmost first. */
static int layers_attach(const struct conf *conf, int users, char *lower, size_t size, struct why *why)
{
	size_t n = 0;

	for (size_t i = conf->layers.n; i-- > 0;) {
		bool mapped;
		const char *path = layer_path(conf->layers.items[i], &mapped);
		char name[24];
		int tree, done;

		if (!path)
			return why_set(why, "a layer of an unknown form: %.80s", conf->layers.items[i]);
		snprintf(name, sizeof(name), "%zu", i);
		n += (size_t)snprintf(lower + n, size - n, "%s%s", n ? ":" : "", name);
		if (n >= size)
			return why_set(why, "too many layers");
		tree = mapped ? mapped_open(path, users, why) : tree_open(path, 0);
		if (tree < 0)
			return mapped ? -1 : why_errno(why, "cannot open the layer %s", path);
		if (mkdir(name, 0711) < 0 && errno != EEXIST)
			return why_errno(why, "cannot make a mount point");
		done = tree_attach(tree, AT_FDCWD, name);
		close(tree);
		if (done < 0)
			return why_errno(why, "cannot attach the layer %s", path);
	}
	return 0;
}

/* Upper and work are named by descriptor: their paths may hold what overlayfs takes for a separator. */
static int overlay_mount(const struct conf *conf, const char *lower, struct why *why)
{
	int upper = open(conf->upper, O_PATH | O_DIRECTORY | O_CLOEXEC), work = open(conf->work, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char options[OPTIONS_LIMIT];
	int n, done;

	if (upper < 0 || work < 0)
		return why_errno(why, "cannot open %s", upper < 0 ? conf->upper : conf->work);
	n = snprintf(options, sizeof(options), "lowerdir=%s,upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d", lower, upper, work);
	if (n >= (int)sizeof(options))
		return why_set(why, "too many layers");
	if (mkdir("root", 0711) < 0 && errno != EEXIST)
		return why_errno(why, "cannot make the root's mount point");
	done = mount("overlay", "root", "overlay", MS_NODEV | MS_NOSUID, options);
	close(upper);
	close(work);
	return done < 0 ? why_errno(why, "cannot mount the overlay") : 0;
}

/* A folder of the machine, read-only, onto one within the root; links are not followed, since the tenant may have made them. */
static int bind_mount(const char *bind, int users, struct why *why)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS };
	char source[PATH_LIMIT];
	const char *target = strrchr(bind, ':');
	int root, to, tree, done;

	if (!target || target - bind >= PATH_LIMIT)
		return why_set(why, "a bind of an unknown form: %.80s", bind);
	memcpy(source, bind, (size_t)(target - bind));
	source[target - bind] = '\0';
	target++;
	root = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	to = root < 0 ? -1 : (int)syscall(SYS_openat2, root, target, &how, sizeof(how));
	close(root);
	if (to < 0)
		return why_errno(why, "cannot open %s in the root", target);
	tree = mapped_open(source, users, why);
	if (tree < 0) {
		close(to);
		return -1;
	}
	done = tree_attach(tree, to, "");
	close(to);
	close(tree);
	return done < 0 ? why_errno(why, "cannot attach %s", source) : 0;
}

/* All ids stay what they are, but `id` on the disk is `to`, which then no other is. */
static void map_one(char map[static MAP_LIMIT], uint32_t id, uint32_t to)
{
	const uint32_t low = id < to ? id : to, high = id < to ? to : id, ids = UINT32_MAX;	/* the last is no id */
	int n = snprintf(map, MAP_LIMIT, "%u %u 1\n", id, to);

	if (low > 0)
		n += snprintf(map + n, MAP_LIMIT - (size_t)n, "0 0 %u\n", low);
	if (high - low > 1)
		n += snprintf(map + n, MAP_LIMIT - (size_t)n, "%u %u %u\n", low + 1, low + 1, high - low - 1);
	snprintf(map + n, MAP_LIMIT - (size_t)n, "%u %u %u\n", high + 1, high + 1, ids - high - 1);
}

/* Its owner is the command's user inside. File systems that cannot (NFS, overlayfs) leave it as it is: all belong to nobody there.
   A group of root's would be the tenant's to give away, so that of the owner's number stands for it. */
static void host_map(const struct conf *conf, int tree)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
	struct why ignored;
	struct id_map map;
	struct stat st;
	int users;

	if (fstat(tree, &st) < 0 || st.st_uid == 0 || (st.st_uid >= conf->base && st.st_uid < conf->base + conf->count))
		return;
	map_one(map.uids, st.st_uid, (uint32_t)(conf->base + conf->uid));
	map_one(map.gids, st.st_gid ? st.st_gid : st.st_uid, (uint32_t)(conf->base + conf->gid));
	users = user_namespace_open(&map, &ignored);
	if (users < 0)
		return;
	attr.userns_fd = (uint64_t)users;
	syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr));
	close(users);
}

/* With all that is mounted below it: read-only means that too. */
static int host_open(const struct conf *conf, const char *path, bool read_only, struct why *why)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | (read_only ? MOUNT_ATTR_RDONLY : 0), .propagation = MS_PRIVATE };
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	int tree = fd < 0 ? -1 : (int)syscall(SYS_open_tree, fd, "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0)
		return why_errno(why, "cannot open the hostPath %s", path);
	close(fd);
	if (tree < 0)
		return why_errno(why, "cannot take the hostPath %s", path);
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0) {
		why_errno(why, "cannot restrict the hostPath %s", path);
		close(tree);
		return -1;
	}
	host_map(conf, tree);
	return tree;
}

static int host_point_make(int tree, const char *name)
{
	struct stat st;
	int fd;

	if (fstat(tree, &st) < 0)
		return -1;
	if (S_ISDIR(st.st_mode))
		return mkdir(name, 0711) < 0 && errno != EEXIST ? -1 : 0;
	fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : 0;
}

static int hosts_attach(const struct conf *conf, struct why *why)
{
	for (size_t i = 0; i < conf->hosts.n; i++) {
		const char *host = conf->hosts.items[i];
		char name[32];
		int tree, done;

		if (strncmp(host, "ro:", 3) && strncmp(host, "rw:", 3))
			return why_set(why, "a hostPath of an unknown form: %.80s", host);
		tree = host_open(conf, host + 3, host[1] == 'o', why);
		if (tree < 0)
			return -1;
		snprintf(name, sizeof(name), HOST_POINT "%zu", i);
		done = host_point_make(tree, name) < 0 ? -1 : tree_attach(tree, AT_FDCWD, name);
		close(tree);
		if (done < 0)
			return why_errno(why, "cannot attach the hostPath %s", host + 3);
	}
	return 0;
}

static int mounts_make(const struct conf *conf, int users, struct why *why)
{
	char lower[OPTIONS_LIMIT / 2];

	if (hosts_attach(conf, why) < 0 || layers_attach(conf, users, lower, sizeof(lower), why) < 0 || overlay_mount(conf, lower, why) < 0)
		return -1;
	for (size_t i = 0; i < conf->binds.n; i++)
		if (bind_mount(conf->binds.items[i], users, why) < 0)
			return -1;
	return 0;
}

int root_mount(const struct conf *conf, struct why *why)
{
	struct id_map map;
	char mounts[PATH_LIMIT];
	int users = -1, done;

	if (mounts_folder_make(conf, why) < 0)
		return -1;
	if (!path_make(mounts, conf->dir, DIR_MOUNTS) || chdir(mounts) < 0)
		return why_errno(why, "cannot enter %s", mounts);
	snprintf(map.uids, sizeof(map.uids), "0 %lld %lld", (long long)conf->base, (long long)conf->count);
	snprintf(map.gids, sizeof(map.gids), "%s", map.uids);
	if (wants_mapping(conf))
		users = user_namespace_open(&map, why);
	done = wants_mapping(conf) && users < 0 ? -1 : mounts_make(conf, users, why);
	if (users >= 0)
		close(users);
	if (chdir("/") < 0 && done == 0)
		done = why_errno(why, "cannot leave %s", mounts);
	return done;
}
