/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup_internal.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/vec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * How it works: a machine may have each controller on cgroup2, on a v1 hierarchy of its own, or nowhere, so
 * cgroups_open makes a list of the hierarchies that matter and an index from controller to hierarchy. A group is a
 * folder of the same path in each of them. On v2 a controller works in a group only when every group above it hands
 * it down (cgroup.subtree_control), which cgroup_create sees to; a v1 cpuset is empty until it is copied from above.
 *
 * Killing: cgroup2 has cgroup.kill, which takes everything at once, also what is frozen. v1 has nothing like it: the
 * group is frozen, so that nothing can fork away, everything listed gets SIGKILL, which waits in frozen processes
 * until they are thawed; this goes on until the lists are empty. A process may stand in some hierarchies only (whoever put it there died
 * in between), so v1's lists are always read too.
 */

#define KILL_WAIT_MS 10000
#define REMOVE_WAIT_MS 5000
#define DEPTH_LIMIT 32		/* of groups below one that is killed or removed */

static const char *const controller_names[CGROUP_CONTROLLERS] = {
	[CGROUP_CPU] = "cpu", [CGROUP_CPUACCT] = "cpuacct", [CGROUP_MEMORY] = "memory", [CGROUP_PIDS] = "pids",
	[CGROUP_IO] = "io", [CGROUP_CPUSET] = "cpuset", [CGROUP_DEVICES] = "devices", [CGROUP_FREEZER] = "freezer",
};

/* v1 calls io "blkio". */
static const char *controller_v1_name(int controller)
{
	return controller == CGROUP_IO ? "blkio" : controller_names[controller];
}

static bool word_in_list(const char *list, const char *word, char separator)
{
	size_t n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += n) {
		bool starts = p == list || p[-1] == separator;
		bool ends = p[n] == '\0' || p[n] == separator || p[n] == '\n';

		if (starts && ends)
			return true;
	}
	return false;
}

static void hierarchy_add(struct cgroups *cgroups, const char *point, bool unified, unsigned controllers)
{
	if (cgroups->n == cgroups->capacity)
		cgroups->items = vec_grow(cgroups->items, &cgroups->capacity, cgroups->n + 1, sizeof(*cgroups->items));
	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		if (controllers & 1u << i)
			cgroups->of[i] = (int)cgroups->n;
	if (unified)
		cgroups->unified = (int)cgroups->n;
	cgroups->items[cgroups->n++] = (struct cgroup_hierarchy){ xstrdup(point), unified, controllers };
}

static void v1_add(struct cgroups *cgroups, const struct fs_mount *mount)
{
	unsigned controllers = 0;

	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		if (cgroups->of[i] < 0 && word_in_list(mount->super_options, controller_v1_name(i), ','))
			controllers |= 1u << i;
	if (controllers) {
		hierarchy_add(cgroups, mount->point, false, controllers);
		return;
	}
	if (cgroups->other_n == cgroups->other_capacity)
		cgroups->others = vec_grow(cgroups->others, &cgroups->other_capacity, cgroups->other_n + 1, sizeof(*cgroups->others));
	cgroups->others[cgroups->other_n++] = xstrdup(mount->point);
}

/* cgroup2 accounts cpu time and freezes in its core, without a controller of that name; devices is a BPF matter there. */
static int unified_add(struct cgroups *cgroups, const char *point, struct error *err)
{
	autofree char *file = fs_join(point, "cgroup.controllers"), *available = NULL;
	unsigned controllers = 0;

	if (fs_read_line(file, &available, err) < 0)
		return -1;
	cgroups->hybrid = cgroups->n > 0;
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		bool core = i == CGROUP_CPUACCT || i == CGROUP_FREEZER;

		if (cgroups->of[i] < 0 && (core || word_in_list(available, controller_names[i], ' ')))
			controllers |= 1u << i;
	}
	hierarchy_add(cgroups, point, true, controllers);
	return 0;
}

static char *summary_make(const struct cgroups *cgroups)
{
	autobuf struct buf v1 = { 0 };

	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		if (cgroups_version(cgroups, i) == 1)
			buf_addf(&v1, "%s%s", v1.n ? ", " : "", controller_names[i]);
	if (!v1.n)
		return xstrdup("v2");
	if (cgroups->unified < 0)
		return xstrdup("v1");
	return xasprintf("hybrid: %s on v1", v1.data);
}

int cgroups_open_from(const char *mountinfo, struct cgroups **ret, struct error *err)
{
	struct fs_mounts mounts CLEANUP(fs_mounts_clear) = { 0 };
	autocgroups struct cgroups *cgroups = xcalloc(1, sizeof(*cgroups));
	const char *unified = NULL;

	cgroups->unified = -1;
	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		cgroups->of[i] = -1;
	if (fs_mounts_read(mountinfo, &mounts, err) < 0)
		return error_wrap(err, "cannot tell where control groups are");
	for (size_t i = 0; i < mounts.n; i++) {
		const struct fs_mount *mount = &mounts.items[i];

		if (streq(mount->type, "cgroup"))
			v1_add(cgroups, mount);
		else if (streq(mount->type, "cgroup2") && !unified)
			unified = mount->point;
	}
	if (unified && unified_add(cgroups, unified, err) < 0)
		return -1;
	if (!cgroups->n) {
		error_set(err, ERROR_UNSUPPORTED, "no control groups are mounted");
		return error_hint(err, "mount -t cgroup2 none /sys/fs/cgroup");
	}
	cgroups->summary = summary_make(cgroups);
	*ret = steal(&cgroups);
	return 0;
}

int cgroups_open(struct cgroups **ret, struct error *err)
{
	return cgroups_open_from("/proc/self/mountinfo", ret, err);
}

void cgroups_close(struct cgroups *cgroups)
{
	if (!cgroups)
		return;
	for (size_t i = 0; i < cgroups->n; i++)
		free(cgroups->items[i].point);
	for (size_t i = 0; i < cgroups->other_n; i++)
		free(cgroups->others[i]);
	free(cgroups->items);
	free(cgroups->others);
	free(cgroups->summary);
	free(cgroups);
}

void cgroups_close_pp(struct cgroups **cgroups)
{
	cgroups_close(*cgroups);
}

int cgroups_version(const struct cgroups *cgroups, enum cgroup_controller controller)
{
	int index = cgroups->of[controller];

	return index < 0 ? 0 : cgroups->items[index].unified ? 2 : 1;
}

const char *cgroups_summary(const struct cgroups *cgroups)
{
	return cgroups->summary;
}

const char *cgroups_unified(const struct cgroups *cgroups, bool *ret_hybrid)
{
	if (ret_hybrid)
		*ret_hybrid = cgroups->hybrid && cgroups->unified >= 0;
	return cgroups->unified < 0 ? NULL : cgroups->items[cgroups->unified].point;
}

/* On a host with systemd the subtree is a delegated one, whose path would stand between the mount point and ours. */
char *cgroup_dir(const struct cgroup_hierarchy *hierarchy, const char *path)
{
	return xasprintf("%s%s", hierarchy->point, path);
}

char *cgroup_controller_dir(const struct cgroups *cgroups, enum cgroup_controller controller, const char *path)
{
	int index = cgroups->of[controller];

	return index < 0 ? NULL : cgroup_dir(&cgroups->items[index], path);
}

static int path_check(const char *path, struct error *err)
{
	if (path[0] != '/' || path[1] == '\0' || strstr(path, "/../") || ends_with(path, "/..") || strstr(path, "//") || ends_with(path, "/"))
		return error_set(err, ERROR_FAILED, "\"%s\" is not the path of a control group", path);
	return 0;
}

/* Hands down what the hierarchy has, from this group to those below it. */
static int controllers_enable(const struct cgroup_hierarchy *hierarchy, const char *dir, struct error *err)
{
	autofree char *file = fs_join(dir, "cgroup.subtree_control"), *enabled = NULL;

	if (!(hierarchy->controllers & ~(1u << CGROUP_CPUACCT | 1u << CGROUP_FREEZER)))
		return 0;
	if (fs_read_line(file, &enabled, err) < 0)
		return -1;
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		autofree char *word = xasprintf("+%s", controller_names[i]);

		if (!(hierarchy->controllers & 1u << i) || i == CGROUP_CPUACCT || i == CGROUP_FREEZER || i == CGROUP_DEVICES)
			continue;
		if (word_in_list(enabled, controller_names[i], ' '))
			continue;
		if (fs_write_value(file, word, err) < 0) {
			error_hint(err, "processes in %s keep its controllers from the groups below: move them into a group of their own", dir);
			return -1;
		}
	}
	return 0;
}

/* A v1 cpuset starts empty and takes no process until it has cores and memory nodes. */
static int cpuset_inherit(const char *parent, const char *dir, struct error *err)
{
	static const char *const files[] = { "cpuset.mems", "cpuset.cpus" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		autofree char *own = fs_join(dir, files[i]), *above = fs_join(parent, files[i]), *value = NULL, *inherited = NULL;

		if (fs_read_line(own, &value, err) < 0)
			return -1;
		if (*value)
			continue;
		if (fs_read_line(above, &inherited, err) < 0 || fs_write_value(own, inherited, err) < 0)
			return -1;
	}
	return 0;
}

/* Makes one level; *ret_fresh when it was not there. */
static int level_make(const struct cgroup_hierarchy *hierarchy, const char *parent, const char *dir, bool *ret_fresh, struct error *err)
{
	*ret_fresh = mkdir(dir, 0755) == 0;
	if (!*ret_fresh && errno != EEXIST)
		return error_set_errno(err, errno, "cannot make control group %s", dir);
	if (hierarchy->controllers & 1u << CGROUP_CPUSET && !hierarchy->unified)
		return cpuset_inherit(parent, dir, err);
	if (hierarchy->controllers & 1u << CGROUP_MEMORY && !hierarchy->unified && *ret_fresh) {
		autofree char *file = fs_join(dir, "memory.use_hierarchy");
		struct error ignored;

		if (fs_write_value(file, "1", &ignored) < 0)	/* always on since Linux 5.11 */
			(void)ignored;
	}
	return 0;
}

static int hierarchy_make(const struct cgroup_hierarchy *hierarchy, const char *path, bool *ret_fresh, struct error *err)
{
	autofree char *above = xstrdup(hierarchy->point);
	size_t end = 0;

	while (path[end]) {
		autofree char *part = NULL, *dir = NULL;

		end += 1 + strcspn(path + end + 1, "/");
		part = xstrndup(path, end);
		dir = cgroup_dir(hierarchy, part);
		if (hierarchy->unified && controllers_enable(hierarchy, above, err) < 0)
			return -1;
		if (level_make(hierarchy, above, dir, ret_fresh, err) < 0)
			return -1;
		free(above);
		above = steal(&dir);
	}
	return 0;
}

int cgroup_create(struct cgroups *cgroups, const char *path, const struct cgroup_limits *limits, unsigned *ret_missing, struct error *err)
{
	unsigned fresh = 0, missing = 0;

	if (path_check(path, err) < 0)
		return -1;
	for (size_t i = 0; i < cgroups->n; i++) {
		bool made;

		if (hierarchy_make(&cgroups->items[i], path, &made, err) < 0)
			return -1;
		if (made)
			fresh |= cgroups->items[i].controllers;
	}
	if (cgroup_limits_write(cgroups, path, limits, fresh, &missing, err) < 0)
		return error_wrap(err, "control group %s", path);
	if (ret_missing)
		*ret_missing = missing;
	return 0;
}

bool cgroup_exists(struct cgroups *cgroups, const char *path)
{
	for (size_t i = 0; i < cgroups->n; i++) {
		autofree char *dir = cgroup_dir(&cgroups->items[i], path);

		if (fs_is_dir(dir))
			return true;
	}
	return false;
}

typedef int (*group_visitor)(void *arg, const char *dir, struct error *err);

/* Calls for each group below `dir` and then for itself; what vanishes meanwhile is passed over. */
static int groups_visit(const char *dir, int depth, group_visitor visit, void *arg, struct error *err)
{
	autodir DIR *stream = opendir(dir);
	struct dirent *entry;

	if (!stream)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "cannot list %s", dir);
	if (depth > DEPTH_LIMIT)
		return error_set(err, ERROR_FAILED, "control groups are nested too deeply at %s", dir);
	while ((entry = readdir(stream))) {
		autofree char *child = NULL;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		child = fs_join(dir, entry->d_name);
		if (groups_visit(child, depth + 1, visit, arg, err) < 0)
			return -1;
	}
	return visit(arg, dir, err);
}

/* PF_KTHREAD of the kernel's sched.h, among the flags of /proc/PID/stat. */
static bool is_kernel_thread(long pid)
{
	autofree char *path = xasprintf("/proc/%ld/stat", pid), *line = NULL;
	unsigned flags = 0;
	struct error gone;
	char *end;

	if (fs_read_line(path, &line, &gone) < 0 || !(end = strrchr(line, ')')))
		return false;
	return sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) == 1 && flags & 0x00200000;
}

struct killing { const char *root; size_t count; };	/* of one hierarchy: its mount point; processes seen */

/* SIGKILL to each process of one group; a thread of the kernel, which does not die of it, goes to the root. */
static int group_signal(void *arg, const char *dir, struct error *err)
{
	struct killing *killing = arg;
	autofree char *root = fs_join(killing->root, "cgroup.procs");
	autofree char *file = fs_join(dir, "cgroup.procs"), *text = NULL;
	struct error missing;

	if (fs_read_file(file, CGROUP_VALUE_LIMIT, &text, NULL, &missing) < 0) {
		if (missing.sys_errno == ENOENT || missing.sys_errno == ENODEV)
			return 0;
		*err = missing;
		return -1;
	}
	for (char *p = text; *p;) {
		long pid = strtol(p, &p, 10);

		if (pid == getpid())
			return error_set(err, ERROR_FAILED, "this very process is in the control group %s that it should kill", dir);
		if (pid > 0 && is_kernel_thread(pid)) {
			autofree char *number = xasprintf("%ld", pid);
			struct error gone;

			if (fs_write_value(root, number, &gone) == 0)
				continue;
		} else if (pid > 0) {
			kill((pid_t)pid, SIGKILL);
		}
		killing->count++;	/* also those of another pid namespace, which show as 0 */
		p += strspn(p, "\n");
	}
	return 0;
}

static void freezer_set(struct cgroups *cgroups, const char *path, const char *state)
{
	autofree char *dir = NULL, *file = NULL;
	struct error ignored;

	if (cgroups_version(cgroups, CGROUP_FREEZER) != 1)
		return;
	dir = cgroup_controller_dir(cgroups, CGROUP_FREEZER, path);
	file = fs_join(dir, "freezer.state");
	if (fs_write_value(file, state, &ignored) < 0)	/* absent: the lists decide all the same */
		(void)ignored;
}

/* One pass over every hierarchy; *ret_count processes were still there. */
static int kill_pass(struct cgroups *cgroups, const char *path, size_t *ret_count, struct error *err)
{
	size_t count = 0;

	for (size_t i = 0; i < cgroups->n; i++) {
		struct killing killing = { .root = cgroups->items[i].point };
		autofree char *dir = cgroup_dir(&cgroups->items[i], path);

		if (groups_visit(dir, 0, group_signal, &killing, err) < 0)
			return -1;
		count += killing.count;
	}
	*ret_count = count;
	return 0;
}

static void unified_kill(struct cgroups *cgroups, const char *path)
{
	autofree char *dir = NULL, *file = NULL;
	struct error ignored;

	if (cgroups->unified < 0)
		return;
	dir = cgroup_dir(&cgroups->items[cgroups->unified], path);
	file = fs_join(dir, "cgroup.kill");
	if (fs_write_value(file, "1", &ignored) < 0)	/* before Linux 5.14: the passes do it */
		(void)ignored;
}

int cgroup_kill(struct cgroups *cgroups, const char *path, struct error *err)
{
	int64_t end = clock_monotonic_ns(&clock_system) / 1000000 + KILL_WAIT_MS;
	int64_t pause = 1;
	size_t count;

	if (path_check(path, err) < 0)
		return -1;
	unified_kill(cgroups, path);
	for (;;) {
		if (kill_pass(cgroups, path, &count, err) < 0)
			return -1;
		if (!count)
			return 0;
		if (pause > 1) {	/* not on the first pass: mostly all is dying already */
			freezer_set(cgroups, path, "FROZEN");
			if (kill_pass(cgroups, path, &count, err) < 0) {
				freezer_set(cgroups, path, "THAWED");
				return -1;
			}
			freezer_set(cgroups, path, "THAWED");
		}
		if (clock_monotonic_ns(&clock_system) / 1000000 > end) {
			error_set(err, ERROR_FAILED, "%zu processes of control group %s do not die", count, path);
			err->retryable = true;
			return error_hint(err, "see whether they wait for a disk: ps -o pid,stat,wchan,cmd");
		}
		clock_sleep_ms(&clock_system, pause);
		pause = MIN(pause * 2, 50);
	}
}

/* rmdir, with patience: the kernel says EBUSY for some ms after the last process has gone. */
static int group_remove(void *arg, const char *dir, struct error *err)
{
	const int64_t *end = arg;

	while (rmdir(dir) < 0 && errno != ENOENT) {
		if (errno != EBUSY || clock_monotonic_ns(&clock_system) / 1000000 > *end) {
			error_set_errno(err, errno, "cannot remove control group %s", dir);
			return -1;
		}
		clock_sleep_ms(&clock_system, 2);
	}
	return 0;
}

int cgroup_remove(struct cgroups *cgroups, const char *path, struct error *err)
{
	int64_t end;

	if (cgroup_kill(cgroups, path, err) < 0)
		return -1;
	end = clock_monotonic_ns(&clock_system) / 1000000 + REMOVE_WAIT_MS;
	for (size_t i = 0; i < cgroups->n; i++) {
		autofree char *dir = cgroup_dir(&cgroups->items[i], path);

		if (groups_visit(dir, 0, group_remove, &end, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < cgroups->other_n; i++) {
		autofree char *dir = xasprintf("%s%s", cgroups->others[i], path);

		if (groups_visit(dir, 0, group_remove, &end, err) < 0)
			return -1;
	}
	return 0;
}

char **cgroup_procs_files(struct cgroups *cgroups, const char *path)
{
	char **files = xcalloc(cgroups->n + 1, sizeof(*files));

	for (size_t i = 0; i < cgroups->n; i++) {
		autofree char *dir = cgroup_dir(&cgroups->items[i], path);

		files[i] = fs_join(dir, "cgroup.procs");
	}
	return files;
}

int cgroup_attach(struct cgroups *cgroups, const char *path, int pid, struct error *err)
{
	autofree char *text = xasprintf("%d", pid);

	for (size_t i = 0; i < cgroups->n; i++) {
		autofree char *dir = cgroup_dir(&cgroups->items[i], path), *file = fs_join(dir, "cgroup.procs");

		if (fs_write_value(file, text, err) < 0)
			return error_wrap(err, "cannot move process %d", pid);
	}
	return 0;
}

int cgroup_attach_kernel_thread(struct cgroups *cgroups, const char *path, int pid, struct error *err)
{
	static const enum cgroup_controller controllers[] = { CGROUP_CPU, CGROUP_CPUACCT };
	autofree char *text = xasprintf("%d", pid);

	for (size_t i = 0; i < ARRAY_LEN(controllers); i++) {
		autofree char *dir = cgroup_controller_dir(cgroups, controllers[i], path), *file = dir ? fs_join(dir, "cgroup.procs") : NULL;

		if (file && fs_write_value(file, text, err) < 0)
			return error_wrap(err, "cannot move thread %d", pid);
	}
	return 0;
}

static bool names_hold(char **names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (streq(names[i], name))
			return true;
	return false;
}

int cgroup_children(struct cgroups *cgroups, const char *path, char ***ret, struct error *err)
{
	VEC(char *) names = { 0 };

	for (size_t i = 0; i < cgroups->n; i++) {
		autofree char *dir = cgroup_dir(&cgroups->items[i], path);
		autodir DIR *stream = opendir(dir);
		struct dirent *entry;

		if (!stream && errno != ENOENT) {
			error_set_errno(err, errno, "cannot list %s", dir);
			for (size_t k = 0; k < names.n; k++)
				free(names.items[k]);
			vec_clear(&names);
			return -1;
		}
		while (stream && (entry = readdir(stream)))
			if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && !names_hold(names.items, names.n, entry->d_name))
				vec_push(&names, xstrdup(entry->d_name));
	}
	vec_push(&names, NULL);
	*ret = names.items;
	return 0;
}
