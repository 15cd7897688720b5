/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices: from inside an instance, every device of the host is made and opened.
 *
 * How it works: a process of the instance is found by its network namespace. A child of ours joins that process's cgroups,
 * then its user, mount and other namespaces, where it holds every capability of the instance's own root and more than its
 * processes have. There it makes a node for each number that the host's /dev has (mknod) and, should that succeed, opens it;
 * and it opens every node that the instance's own /dev holds. Only the harmless standard ones may open.
 * Watchdogs are made but never opened: opening one starts it.
 */
#include "prove_internal.h"

#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEVICES_MAX 4096
#define INSIDE_MAX 512
#define CHILD_MS 20000

struct device { char path[96]; mode_t type; dev_t number; };
typedef VEC(struct device) devices;

/* The devices of every OCI container (runtime specification, "Default Devices"), and pseudo-terminals. */
static bool is_standard(const struct device *device)
{
	unsigned ma = major(device->number), mi = minor(device->number);

	if (device->type != S_IFCHR)
		return false;
	if (ma == 1)
		return mi == 3 || mi == 5 || mi == 7 || mi == 8 || mi == 9;
	return (ma == 5 && (mi == 0 || mi == 1 || mi == 2)) || (ma >= 136 && ma <= 143);
}

static bool is_watchdog(const struct device *device)
{
	return strstr(device->path, "watchdog") != NULL;
}

static void walk(devices *list, const char *folder, int depth)
{
	autodir DIR *dir = depth > 4 ? NULL : opendir(folder);
	struct dirent *entry;

	while (dir && list->n < DEVICES_MAX && (entry = readdir(dir))) {
		struct device device = { 0 };
		struct stat st;

		if (streq(entry->d_name, ".") || streq(entry->d_name, "..") || strlen(folder) + strlen(entry->d_name) + 2 > sizeof(device.path))
			continue;
		snprintf(device.path, sizeof(device.path), "%.*s/%.*s", 63, folder, 31, entry->d_name);
		if (lstat(device.path, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode) && !streq(entry->d_name, "shm") && !streq(entry->d_name, "mqueue"))
			walk(list, device.path, depth + 1);
		if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
			continue;
		device.type = st.st_mode & S_IFMT;
		device.number = st.st_rdev;
		vec_push(list, device);
	}
}

static int compare_devices(const void *a, const void *b)
{
	return strcmp(((const struct device *)a)->path, ((const struct device *)b)->path);
}

/* A process in this network namespace, or 0. Its descriptor keeps it from being mistaken for a later one. */
static pid_t find_process(int netns, int *ret_pidfd)
{
	struct stat wanted, st;
	autodir DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (!proc || fstat(netns, &wanted) < 0)
		return 0;
	while ((entry = readdir(proc))) {
		char path[64];
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
		if (pid <= 0 || stat(path, &st) < 0 || st.st_ino != wanted.st_ino || st.st_dev != wanted.st_dev)
			continue;
		int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (pidfd < 0)
			continue;
		if (stat(path, &st) == 0 && st.st_ino == wanted.st_ino) {
			*ret_pidfd = pidfd;
			return pid;
		}
		close(pidfd);
	}
	return 0;
}

/* "5:devices:/a/b" and "0::/a/b" to the cgroup.procs files of a process. */
static void procs_files(pid_t pid, const struct fs_mounts *mounts, struct arena *arena, const char **files, size_t limit)
{
	char path[64];
	autofree char *text = NULL;
	struct error err = { 0 };
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (fs_read_file(path, 65536, &text, NULL, &err) < 0)
		return;
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n")) && n + 1 < limit;) {
		char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;

		if (!group)
			continue;
		*group++ = 0;
		names++;
		for (size_t i = 0; i < mounts->n; i++) {
			const struct fs_mount *m = &mounts->items[i];
			autofree char *options = xasprintf(",%s,", m->super_options), *wanted = xasprintf(",%s,", names);
			bool is = *names ? streq(m->type, "cgroup") && strstr(options, wanted) : streq(m->type, "cgroup2");

			if (!is)
				continue;
			const char *below = streq(m->root, "/") ? group : starts_with(group, m->root) ? group + strlen(m->root) : NULL;
			if (below)
				files[n++] = arena_printf(arena, "%s%s/cgroup.procs", m->point, below);
			break;
		}
	}
}

struct answer { int32_t made, opened; };	/* errno of each, 0: it worked, -1: not tried */
struct inside { struct device device; struct answer answer; };

static struct answer try_host_device(const struct device *device)
{
	static const char *const folders[] = { "/dev/shm", "/tmp", "/var/tmp", "/dev", "" };
	struct answer answer = { EROFS, -1 };
	char path[64];

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		snprintf(path, sizeof(path), "%s/.insula-proof-%d", folders[i], (int)getpid());
		answer.made = mknod(path, device->type | 0600, device->number) < 0 ? errno : 0;
		if (answer.made == EROFS || answer.made == ENOENT || answer.made == EACCES)
			continue;
		if (answer.made == 0) {
			int fd = is_watchdog(device) ? -1 : open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
			answer.opened = is_watchdog(device) ? -1 : fd < 0 ? errno : 0;
			if (fd >= 0)
				close(fd);
			unlink(path);
		}
		break;
	}
	return answer;
}

static void send_all(int fd, const void *data, size_t n)
{
	for (const char *at = data; n > 0;) {
		ssize_t w = write(fd, at, n);
		if (w <= 0)
			_exit(3);
		at += w;
		n -= (size_t)w;
	}
}

/* In the child: never returns. First the number of answers about the host's devices and those, then what its own /dev holds. */
static void look_from_inside(int pidfd, const char *const *files, const devices *host, int out)
{
	devices own = { 0 };

	for (; *files; files++) {
		int fd = open(*files, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "0", 1) != 1)
			_exit(4);
		close(fd);
	}
	if (setns(pidfd, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		_exit(5);
	if (setgid(0) < 0 || setuid(0) < 0)
		_exit(6);
	for (size_t i = 0; i < host->n; i++) {
		struct answer answer = try_host_device(&host->items[i]);
		send_all(out, &answer, sizeof(answer));
	}
	walk(&own, "/dev", 0);
	for (size_t i = 0; i < own.n && i < INSIDE_MAX; i++) {
		struct inside inside = { .device = own.items[i], .answer = { -1, -1 } };
		if (!is_watchdog(&inside.device)) {
			int fd = open(inside.device.path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
			inside.answer.opened = fd < 0 ? errno : 0;
			if (fd >= 0)
				close(fd);
		}
		send_all(out, &inside, sizeof(inside));
	}
	_exit(0);
}

/* Reads until the end or the deadline; the bytes, or -1. */
static ssize_t read_all(int fd, char *into, size_t capacity)
{
	size_t n = 0;

	while (n < capacity) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		if (poll(&p, 1, CHILD_MS) <= 0)
			return -1;
		ssize_t r = read(fd, into + n, capacity - n);
		if (r < 0)
			return -1;
		if (r == 0)
			break;
		n += (size_t)r;
	}
	return (ssize_t)n;
}

static void add_host_rows(struct scene *scene, const struct subject *s, uint32_t endpoint, const devices *host, const struct answer *answers)
{
	for (size_t i = 0; i < host->n; i++) {
		const struct device *d = &host->items[i];
		const struct answer *a = &answers[i];

		if (is_standard(d))
			continue;
		struct prove_row *row = prove_add_row(scene, PROVE_DEVICES, prove_endpoint_name(scene, endpoint), s->tenant, d->path, NULL);
		row->protocol = "device";
		row->what = prove_print(scene, "%s %u:%u made and opened", d->type == S_IFCHR ? "char" : "block", major(d->number), minor(d->number));
		row->reason = "denied: not granted";
		bool opened = a->made == 0 && (a->opened == 0 || is_watchdog(d) || a->opened == ENXIO || a->opened == ENODEV || a->opened == EBUSY || a->opened == EIO);
		prove_finish_row(row, opened, a->made ? prove_print(scene, "mknod: %s", strerror(a->made))
				: a->opened > 0 ? prove_print(scene, "made, open: %s", strerror(a->opened)) : a->opened < 0 ? "made" : "made and opened");
	}
}

static void add_own_rows(struct scene *scene, const struct subject *s, uint32_t endpoint, const struct inside *inside, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct inside *in = &inside[i];
		struct device d = in->device;

		d.path[sizeof(d.path) - 1] = 0;
		struct prove_row *row = prove_add_row(scene, PROVE_DEVICES, prove_endpoint_name(scene, endpoint), s->tenant, d.path, NULL);
		row->protocol = "device";
		row->what = prove_print(scene, "%s %u:%u in its own /dev", d.type == S_IFCHR ? "char" : "block", major(d.number), minor(d.number));
		row->expected = is_standard(&d);
		row->reason = row->expected ? "allowed: a standard device" : "denied: not granted";
		/* a terminal that is not there answers ENXIO or EIO: it was let through to the driver */
		bool opened = in->answer.opened == 0 || in->answer.opened == ENXIO || in->answer.opened == EIO;
		prove_finish_row(row, opened, in->answer.opened < 0 ? "not tried" : in->answer.opened ? prove_print(scene, "open: %s", strerror(in->answer.opened)) : "opened");
	}
}

static const char *child_failure(int status)
{
	if (!WIFEXITED(status))
		return "the look from inside was killed";
	switch (WEXITSTATUS(status)) {
	case 4: return "its cgroups could not be joined";
	case 5: return "its namespaces could not be joined";
	case 6: return "its root could not be taken";
	default: return "the look from inside ended early";
	}
}

static int prove_instance(struct scene *scene, const struct subject *s, uint32_t endpoint, const devices *host, pid_t pid, int pidfd, struct error *err)
{
	struct fs_mounts mounts = { 0 };
	struct arena arena;
	const char *files[32] = { NULL };
	size_t capacity = host->n * sizeof(struct answer) + INSIDE_MAX * sizeof(struct inside);
	autofree char *data = xmalloc(capacity);
	int pipe_fds[2], status = 0;

	if (fs_mounts_read("/proc/self/mountinfo", &mounts, err) < 0)
		return -1;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
		fs_mounts_clear(&mounts);
		return error_set_errno(err, errno, "cannot make a pipe");
	}
	arena_init(&arena);
	procs_files(pid, &mounts, &arena, files, ARRAY_LEN(files));
	fs_mounts_clear(&mounts);
	pid_t child = fork();
	if (child == 0) {
		alarm(CHILD_MS / 1000);
		look_from_inside(pidfd, files, host, pipe_fds[1]);
	}
	close(pipe_fds[1]);
	ssize_t n = child < 0 ? -1 : read_all(pipe_fds[0], data, capacity);
	close(pipe_fds[0]);
	if (child > 0) {
		if (n < 0)
			kill(child, SIGKILL);
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
	}
	arena_clear(&arena);
	size_t first = host->n * sizeof(struct answer);
	if (n < 0 || (size_t)n < first || status != 0) {
		prove_skip(scene, prove_endpoint_name(scene, endpoint), "devices: %s", child_failure(status));
		return 0;
	}
	add_host_rows(scene, s, endpoint, host, (const struct answer *)data);
	add_own_rows(scene, s, endpoint, (const struct inside *)(data + first), ((size_t)n - first) / sizeof(struct inside));
	return 0;
}

int prove_devices(struct scene *scene, struct error *err)
{
	devices host = { 0 };
	int r = 0;

	walk(&host, "/dev", 0);
	if (host.n)
		qsort(host.items, host.n, sizeof(*host.items), compare_devices);
	for (size_t i = 0; r == 0 && i < scene->subjects.n; i++) {
		const struct subject *s = &scene->subjects.items[i];
		bool found = false;

		for (int k = 0; k < 2 && !found && s->endpoints[k] != WORLD_NONE; k++) {
			autofd int pidfd = -1;
			pid_t pid = find_process(scene->wire.taps.items[s->taps[k]].netns, &pidfd);

			found = pid > 0;
			if (found)
				r = prove_instance(scene, s, s->endpoints[k], &host, pid, pidfd, err);
		}
		if (!found)
			prove_skip(scene, s->tenant, "devices: none of its instances runs");
		prove_progress(scene, "devices", i + 1, scene->subjects.n);
	}
	vec_clear(&host);
	return r;
}
