/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/local.h"

#include "base/clock.h"
#include "base/fs.h"
#include "site/local/container/cgroup.h"
#include "site/local/disk/mount.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

/*
 * host/runtime: the run folder, bind-mounted on itself and shared, and our cgroup subtree.
 *
 * How it works: everything below the run folder is lost with a reboot where /run is a tmpfs, and is stale after
 * one where it is not; so the folder holds the id of the boot it was made in, and what an earlier boot left
 * is removed first. The bind mount is made private before it is made shared: else it would join the
 * peer group of the mount it stands on, and what is mounted in it would show up there too.
 *
 * The folders on the way to an instance's root file system are searchable by all (0711), because an OCI runtime
 * looks the path up as the tenant's mapped root; what must not be read is protected below.
 */

#define MAKE_ATTEMPTS 20
#define UNMOUNT_WAIT_MS 2000

static char *boot_path(const struct site *site)
{
	return xasprintf("%s/boot", site->run);
}

/* Is the folder of this boot? An absent or unreadable id is not. */
static bool boot_is_ours(const struct site *site)
{
	autofree char *path = boot_path(site), *kept = NULL;
	char now[40];
	struct error ignored;

	return fs_read_line(path, &kept, &ignored) == 0 && clock_boot_id(now, &ignored) == 0 && streq(kept, now);
}

static int boot_write(const struct site *site, struct error *err)
{
	autofree char *path = boot_path(site);
	char now[40];

	if (clock_boot_id(now, err) < 0)
		return -1;
	return fs_replace_file(path, now, strlen(now), 0600, false, err);
}

/* The folder and its parent; the parent may vanish between the two when another deployment is being removed. */
static int folders_make(const struct site *site, struct error *err)
{
	for (unsigned attempt = 1;; attempt++) {
		if (fs_make_dirs(site->run, 0711, err) == 0)
			return 0;
		if (err->code != ERROR_NOT_FOUND || attempt == MAKE_ATTEMPTS)
			return error_wrap(err, "cannot make the run folder");
	}
}

/* Removes what an earlier boot left in the folder. Nothing of it can be mounted. */
static int stale_remove(const struct site *site, struct error *err)
{
	autodir DIR *dir = opendir(site->run);
	struct dirent *e;

	if (!dir)
		return error_set_errno(err, errno, "cannot read %s", site->run);
	for (errno = 0; (e = readdir(dir)); errno = 0) {
		autofree char *path = xasprintf("%s/%s", site->run, e->d_name);

		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		if (fs_remove_tree(path, err) < 0)
			return error_wrap(err, "cannot remove what an earlier boot left");
	}
	return errno ? error_set_errno(err, errno, "cannot read %s", site->run) : 0;
}

static int runtime_mount(const struct site *site, struct error *err)
{
	bool mounted;

	if (mount_is(site->run, &mounted, err) < 0)
		return -1;
	if (!mounted && mount(site->run, site->run, NULL, MS_BIND, NULL) < 0)
		return error_set_errno(err, errno, "cannot bind-mount %s on itself", site->run);
	if (mount(NULL, site->run, NULL, MS_PRIVATE, NULL) < 0 || mount(NULL, site->run, NULL, MS_SHARED, NULL) < 0)
		return error_set_errno(err, errno, "cannot make %s a shared mount", site->run);
	return 0;
}

static char *cgroup_tenants(const struct site *site)
{
	return xasprintf("/insula/%s/t", site->config->deployment);
}

static char *cgroup_deployment(const struct site *site)
{
	return xasprintf("/insula/%s", site->config->deployment);
}

static const struct cgroup_limits no_limits = {
	.cpu_max = AMOUNT_NONE, .cpu_weight = AMOUNT_NONE, .memory_max = AMOUNT_NONE,
	.memory_low = AMOUNT_NONE, .pids_max = AMOUNT_NONE, .disk_bandwidth = AMOUNT_NONE,
};

static int runtime_create(struct site *site, struct resource *resource, struct error *err)
{
	autofree char *tenants = cgroup_tenants(site), *monitors = local_cgroup_monitors(site);
	unsigned missing;
	bool mounted;

	if (folders_make(site, err) < 0 || mount_is(site->run, &mounted, err) < 0)
		return -1;
	if (!boot_is_ours(site)) {
		if (!mounted && stale_remove(site, err) < 0)
			return -1;
		if (boot_write(site, err) < 0)
			return -1;
	}
	if (runtime_mount(site, err) < 0)
		return -1;
	if (cgroup_create(site->cgroups, tenants, &no_limits, &missing, err) < 0 ||
	    cgroup_create(site->cgroups, monitors, &no_limits, &missing, err) < 0)
		return -1;
	resource_set_id(resource, site->run);
	return 0;
}

static int runtime_update(struct site *site, const struct resource *from, struct resource *to, struct error *err)
{
	return runtime_create(site, to, err);
}

/* What is there of it; NULL when nothing is. */
static int runtime_read(struct site *site, struct resource **ret, struct error *err)
{
	autofree char *deployment = cgroup_deployment(site), *tenants = cgroup_tenants(site), *monitors = local_cgroup_monitors(site);
	bool mounted = false, cgroups = cgroup_exists(site->cgroups, tenants) && cgroup_exists(site->cgroups, monitors);
	struct resource *resource;

	if (fs_is_dir(site->run) && mount_is(site->run, &mounted, err) < 0)
		return -1;
	if (!mounted && !cgroup_exists(site->cgroups, deployment) && !boot_is_ours(site)) {
		*ret = NULL;
		return 0;
	}
	resource = resource_new("local", "runtime", "host/runtime",
				json_pack("{s:b, s:b}", "mount", (int)mounted, "cgroups", (int)cgroups));
	resource_set_id(resource, site->run);
	*ret = resource;
	return 0;
}

static int runtime_list(struct site *site, resource_sink sink, void *arg, struct error *err)
{
	struct resource *resource;

	if (runtime_read(site, &resource, err) < 0)
		return -1;
	if (resource && sink(arg, resource) != 0)
		return error_set(err, ERROR_INTERRUPTED, "the list was stopped");
	return 0;
}

static int runtime_get(struct site *site, struct resource *resource, struct error *err)
{
	autoresource struct resource *live = NULL;

	if (runtime_read(site, &live, err) < 0)
		return -1;
	if (!live)
		return error_set(err, ERROR_NOT_FOUND, "the run folder %s is not made yet", site->run);
	json_decref(resource->body);
	resource->body = json_incref(live->body);
	resource_set_id(resource, live->id);
	return 0;
}

/* Removes /insula from every hierarchy unless another deployment is in it. */
static int cgroup_parent_remove(struct error *err)
{
	struct fs_mounts mounts CLEANUP(fs_mounts_clear) = { 0 };

	if (fs_mounts_read("/proc/self/mountinfo", &mounts, err) < 0)
		return -1;
	for (size_t i = 0; i < mounts.n; i++) {
		autofree char *path = NULL;

		if (!streq(mounts.items[i].type, "cgroup") && !streq(mounts.items[i].type, "cgroup2"))
			continue;
		path = fs_join(mounts.items[i].point, "insula");
		if (rmdir(path) < 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EBUSY)
			return error_set_errno(err, errno, "cannot remove control group %s", path);
	}
	return 0;
}

/* What the probe kept goes with the last deployment. */
static int probe_files_remove(const char *run_dir, struct error *err)
{
	autodir DIR *dir = opendir(run_dir);
	struct dirent *e;

	if (!dir)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "cannot read %s", run_dir);
	while ((e = readdir(dir)))
		if (!streq(e->d_name, ".") && !streq(e->d_name, "..") && !starts_with(e->d_name, "probe-"))
			return 0;
	rewinddir(dir);
	while ((e = readdir(dir)))
		if (starts_with(e->d_name, "probe-") && unlinkat(dirfd(dir), e->d_name, 0) < 0 && errno != ENOENT)
			return error_set_errno(err, errno, "cannot remove %s/%s", run_dir, e->d_name);
	return 0;
}

static int runtime_remove(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	autofree char *cgroup = cgroup_deployment(site);

	if (cgroup_remove(site->cgroups, cgroup, err) < 0 || cgroup_parent_remove(err) < 0)
		return -1;
	if (mount_remove_below(site->run, UNMOUNT_WAIT_MS, err) < 0 || mount_remove(site->run, UNMOUNT_WAIT_MS, err) < 0)
		return -1;
	if (fs_remove_tree(site->run, err) < 0 || probe_files_remove(site->config->run_dir, err) < 0)
		return -1;
	if (rmdir(site->config->run_dir) < 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST && errno != EBUSY)
		return error_set_errno(err, errno, "cannot remove %s", site->config->run_dir);
	return 0;
}

static int sweep_mounts(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	struct fs_mounts mounts CLEANUP(fs_mounts_clear) = { 0 };
	autofree char *below = tenant ? xasprintf("%s/storage/%s", site->run, tenant) : xstrdup(site->run);
	autofree char *instances = tenant ? xasprintf("%s/i/%s", site->run, tenant) : xstrdup(site->run);

	if (fs_mounts_read("/proc/self/mountinfo", &mounts, err) < 0)
		return -1;
	for (size_t i = 0; i < mounts.n; i++) {
		const char *point = mounts.items[i].point;

		if (mount_path_within(point, below) || mount_path_within(point, instances))
			json_add(ret, json_sprintf("mount %s", point));
	}
	return 0;
}

static int sweep_cgroups(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	struct fs_mounts mounts CLEANUP(fs_mounts_clear) = { 0 };

	if (fs_mounts_read("/proc/self/mountinfo", &mounts, err) < 0)
		return -1;
	for (size_t i = 0; i < mounts.n; i++) {
		autofree char *path = NULL;

		if (!streq(mounts.items[i].type, "cgroup") && !streq(mounts.items[i].type, "cgroup2"))
			continue;
		path = tenant ? xasprintf("%s/insula/%s/t/%s", mounts.items[i].point, site->config->deployment, tenant)
			      : xasprintf("%s/insula/%s", mounts.items[i].point, site->config->deployment);
		if (fs_exists(path))
			json_add(ret, json_sprintf("control group %s", path));
	}
	return 0;
}

/* Is it one of our programs that works for this deployment (its arguments name a path of ours)? */
static bool process_is_ours(const char *pid, const char *program_dir, const char *below)
{
	autofree char *exe_path = xasprintf("/proc/%s/exe", pid), *arguments_path = xasprintf("/proc/%s/cmdline", pid), *arguments = NULL;
	char exe[PATH_MAX];
	ssize_t n = readlink(exe_path, exe, sizeof(exe) - 1);
	struct error ignored;
	size_t length;

	if (n < 0)
		return false;
	exe[n] = '\0';
	if (!mount_path_within(exe, program_dir) || fs_read_file(arguments_path, 1 << 20, &arguments, &length, &ignored) < 0)
		return false;
	for (size_t at = 0; at < length; at += strlen(arguments + at) + 1)
		if (strstr(arguments + at, below))
			return true;
	return false;
}

static int sweep_processes(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	autofree char *below = tenant ? xasprintf("%s/i/%s/", site->run, tenant) : xasprintf("%s/", site->run);
	autofree char *programs = realpath(site->config->program_dir ? site->config->program_dir : "/", NULL);
	autodir DIR *proc = opendir("/proc");
	struct dirent *e;

	if (!proc || !programs)
		return proc ? 0 : error_set_errno(err, errno, "cannot read /proc");
	while ((e = readdir(proc)))
		if (isdigit((unsigned char)e->d_name[0]) && process_is_ours(e->d_name, programs, below))
			json_add(ret, json_sprintf("process %s", e->d_name));
	return 0;
}

static int runtime_sweep(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	if (sweep_mounts(site, tenant, ret, err) < 0 || sweep_cgroups(site, tenant, ret, err) < 0 || sweep_processes(site, tenant, ret, err) < 0)
		return -1;
	if (!tenant && fs_exists(site->run))
		json_add(ret, json_sprintf("folder %s", site->run));
	return 0;
}

const struct local_kind local_runtime = {
	.name = "runtime",
	.list = runtime_list,
	.get = runtime_get,
	.create = runtime_create,
	.update = runtime_update,
	.remove = runtime_remove,
	.sweep = runtime_sweep,
};
