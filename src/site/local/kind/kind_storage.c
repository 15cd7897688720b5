/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/disk/storage.h"

#include "base/buf.h"
#include "base/fs.h"
#include "site/local/container/cgroup.h"
#include "site/local/disk/mount.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * <tenant>/storage: an ext4 in an image file, mounted in the run folder; in it
 *
 *   volumes/<name>        a volume; a mount point when it has a size of its own
 *   images/<name>.img     the image of such a volume
 *
 * and whatever instances keep while they live. An image that holds kept volumes stays when the storage is removed:
 * the mark goes, so that the storage counts as absent, and the next create finds the image.
 */

char *local_storage_image(const struct site *site, const char *tenant)
{
	return xasprintf("%s/storage/%s.img", site->deployment_dir, tenant);
}

char *local_storage_point(const struct site *site, const char *tenant)
{
	return xasprintf("%s/storage/%s", site->run, tenant);
}

static char *tenant_of(const struct resource *resource)
{
	return xstrndup(resource->key, strcspn(resource->key, "/"));
}

static int folder_own(const char *point, const char *name, mode_t mode, uint32_t owner, struct error *err)
{
	autofree char *path = fs_join(point, name);

	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "cannot make %s", path);
	if (lchown(path, owner, owner) < 0)
		return error_set_errno(err, errno, "cannot give %s its owner", path);
	return 0;
}

/* The root folder is searchable for its owner alone: nobody on the host comes by it. */
static int layout_make(const char *point, uint32_t base, struct error *err)
{
	if (chown(point, base, base) < 0 || chmod(point, 0700) < 0)
		return error_set_errno(err, errno, "cannot give %s its owner", point);
	if (folder_own(point, "volumes", 0700, base, err) < 0)
		return -1;
	return folder_own(point, "images", 0700, 0, err);
}

static void names_free(char ***names)
{
	for (size_t i = 0; *names && (*names)[i]; i++)
		free((*names)[i]);
	free(*names);
}

/* "train.0, train.1": the tenant's instances that have processes. */
static char *instances_running(struct site *site, const char *tenant)
{
	autofree char *parent = local_cgroup_tenant(site, tenant);
	CLEANUP(names_free) char **groups = NULL;
	autobuf struct buf text = { 0 };
	struct error ignored;

	buf_adds(&text, "");
	if (!cgroup_exists(site->cgroups, parent) || cgroup_children(site->cgroups, parent, &groups, &ignored) < 0)
		return buf_steal(&text);
	for (size_t i = 0; groups[i]; i++) {
		autofree char *path = fs_join(parent, groups[i]);
		struct cgroup_usage usage;

		if (cgroup_usage_read(site->cgroups, path, &usage, &ignored) == 0 && usage.pids > 0)
			buf_addf(&text, "%s%s", text.n ? ", " : "", groups[i]);
	}
	return buf_steal(&text);
}

/* Waiting does not help while they run, so this is not to be tried again. */
static int instances_check(struct site *site, const char *tenant, struct error *err)
{
	autofree char *running = instances_running(site, tenant);

	if (!*running)
		return 0;
	error_set(err, ERROR_CONFLICT, "the storage of %s can only grow while its instances are stopped; these run: %s", tenant, running);
	return error_hint(err, "insula destroy %s (volumes that are kept stay), then apply again; or leave limit.storage as it was", tenant);
}

/* Online where the kernel lets us, else with all unmounted for a moment. */
static int storage_grow(struct site *site, const char *tenant, const struct image_file *file, struct error *err)
{
	struct error again;
	bool done;

	if (image_file_grow_online(file, &done, err) < 0)
		return -1;
	if (done)
		return 0;
	if (instances_check(site, tenant, err) < 0)
		return -1;
	if (local_volumes_unmount(site, tenant, err) == 0 && image_file_grow_offline(file, err) == 0)
		return 0;
	if (local_volumes_mount(site, tenant, &again) < 0)
		error_wrap(err, "%s", again.message);
	return -1;
}

/* A new image beside one that was deleted under its mount would replace the tenant's data at the next reboot, without a word. */
static int image_check(const char *tenant, const char *image, const char *point, struct error *err)
{
	bool mounted;

	if (mount_is(point, &mounted, err) < 0)
		return -1;
	if (!mounted || fs_exists(image))
		return 0;
	error_set(err, ERROR_CONFLICT, "%s, the storage of %s, was deleted while it is in use: what is in it lasts until it is unmounted", image, tenant);
	return error_hint(err, "copy what is needed out of %s, then: insula destroy %s --delete-data, and apply", point, tenant);
}

static int storage_create(struct site *site, struct resource *resource, struct error *err)
{
	autofree char *tenant = tenant_of(resource), *image = local_storage_image(site, tenant), *point = local_storage_point(site, tenant);
	autofree char *identity = xasprintf("%s/%s", site->config->deployment, resource->key);
	struct image_file file = {
		.path = image, .point = point, .identity = identity,
		.size = json_get_int(resource->body, "size", 0), .owner = (uint32_t)json_get_int(resource->body, "base", 0),
		.reserve = json_get_bool(resource->body, "reserved", false),
	};

	if (image_check(tenant, image, point, err) < 0 || local_mark_write(site, MARK_KEPT, resource, err) < 0)
		return -1;
	if (image_file_ensure(&file, err) < 0 || storage_grow(site, tenant, &file, err) < 0)
		return -1;
	if (layout_make(point, file.owner, err) < 0 || local_volumes_mount(site, tenant, err) < 0)
		return -1;
	resource_set_id(resource, image);
	return 0;
}

static int storage_update(struct site *site, const struct resource *from, struct resource *to, struct error *err)
{
	autofree char *tenant = tenant_of(to), *image = local_storage_image(site, tenant);
	int64_t now = image_file_size(image), wanted = json_get_int(to->body, "size", 0);

	if (now > wanted) {
		error_set(err, ERROR_INPUT, "the storage of %s cannot shrink from %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT " MiB",
			  tenant, (json_int_t)(now >> 20), (json_int_t)(wanted >> 20));
		return error_hint(err, "leave the limit as it was, or destroy the tenant with --delete-data first");
	}
	return storage_create(site, to, err);
}

/* Removes all in the storage but the volumes. */
static int scratch_remove(const char *point, struct error *err)
{
	autodir DIR *dir = opendir(point);
	struct dirent *e;

	if (!dir)
		return error_set_errno(err, errno, "cannot read %s", point);
	for (errno = 0; (e = readdir(dir)); errno = 0) {
		autofree char *path = fs_join(point, e->d_name);

		if (streq(e->d_name, ".") || streq(e->d_name, "..") || streq(e->d_name, "lost+found") ||
		    streq(e->d_name, "volumes") || streq(e->d_name, "images"))
			continue;
		if (fs_remove_tree(path, err) < 0)
			return -1;
	}
	return errno ? error_set_errno(err, errno, "cannot read %s", point) : 0;
}

static int folder_remove_empty(const char *path, struct error *err)
{
	if (rmdir(path) < 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST && errno != EBUSY)
		return error_set_errno(err, errno, "cannot remove %s", path);
	return 0;
}

int local_storage_forget(struct site *site, const char *tenant, bool keep_image, struct error *err)
{
	autofree char *image = local_storage_image(site, tenant), *folder = fs_dirname(image);
	autofree char *point = local_storage_point(site, tenant), *points = fs_dirname(point);

	if (image_file_unmount(image, point, err) < 0)
		return -1;
	/* the run folder itself stays busy as long as `runtime` has it mounted; after a reboot nobody but us has made it */
	if (folder_remove_empty(point, err) < 0 || folder_remove_empty(points, err) < 0 || folder_remove_empty(site->run, err) < 0)
		return -1;
	if (!keep_image && image_file_delete(image, err) < 0)
		return -1;
	return folder_remove_empty(folder, err);
}

static int storage_remove(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	autofree char *tenant = tenant_of(resource), *point = local_storage_point(site, tenant);
	bool kept = false, mounted;

	if (!delete_data && local_volumes_kept(site, tenant, &kept, err) < 0)
		return -1;
	if (mount_is(point, &mounted, err) < 0 || local_volumes_unmount(site, tenant, err) < 0)
		return -1;
	if (kept && mounted && scratch_remove(point, err) < 0)
		return -1;
	if (local_storage_forget(site, tenant, kept, err) < 0)
		return -1;
	return local_mark_remove(site, MARK_KEPT, resource->key, err);
}

struct storage_list {
	struct site *site;
	resource_sink sink;
	void *arg;
};

/* Puts the machine's values into what the mark says; false when there is nothing of it. */
static bool storage_live(struct site *site, struct resource *resource)
{
	autofree char *tenant = tenant_of(resource), *image = local_storage_image(site, tenant), *point = local_storage_point(site, tenant);
	int64_t size = image_file_size(image), asked = json_get_int(resource->body, "size", 0);
	struct error ignored;
	bool mounted = false;
	struct stat st;

	if (mount_is(point, &mounted, &ignored) < 0 || (size < 0 && !mounted))
		return false;
	if (size != asked / 4096 * 4096)	/* rounded to blocks is what was asked */
		json_set_int(resource->body, "size", MAX(size, 0));	/* 0: deleted while it is in use */
	if (mounted && stat(point, &st) == 0)
		json_set_int(resource->body, "base", st.st_uid);
	json_set_bool(resource->body, "mounted", mounted);
	resource_set_id(resource, image);
	return true;
}

static int storage_each(void *arg, struct resource *found)
{
	autoresource struct resource *resource = found;
	struct storage_list *list = arg;

	if (!storage_live(list->site, resource))
		return 0;
	return list->sink(list->arg, steal(&resource));
}

static int storage_list(struct site *site, resource_sink sink, void *arg, struct error *err)
{
	struct storage_list list = { .site = site, .sink = sink, .arg = arg };

	return local_mark_each(site, MARK_KEPT, "storage", storage_each, &list, err);
}

static int storage_get(struct site *site, struct resource *resource, struct error *err)
{
	autoresource struct resource *live = NULL;

	if (local_mark_read(site, MARK_KEPT, resource->key, &live, err) < 0)
		return -1;
	if (!storage_live(site, live))
		return error_set(err, ERROR_NOT_FOUND, "there is no image for %s", resource->key);
	json_decref(resource->body);
	resource->body = json_incref(live->body);
	resource_set_id(resource, live->id);
	return 0;
}

static int loop_report(void *arg, const struct loop *loop)
{
	void **args = arg;

	if (mount_path_within(loop->file, args[0]))
		json_add(args[1], json_sprintf("loop device %s of %s", loop->device, loop->file));
	return 0;
}

/* Images without a volume that is kept, and loop devices of any of them. */
static int storage_sweep(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	autofree char *folder = fs_join(site->deployment_dir, "storage");
	autofree char *real = realpath(folder, NULL), *only = tenant ? xasprintf("%s.img", tenant) : NULL;
	autofree char *loops_below = only ? xasprintf("%s/%s", real ? real : folder, only) : xstrdup(real ? real : folder);
	void *args[] = { loops_below, ret };
	autodir DIR *dir = NULL;
	struct dirent *e;

	if (loops_each(loop_report, args, err) < 0)
		return -1;
	dir = opendir(folder);
	if (!dir)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "cannot read %s", folder);
	while ((e = readdir(dir))) {
		autofree char *owner = NULL;
		bool kept;

		if (e->d_name[0] == '.' || (only && !streq(e->d_name, only)))
			continue;
		owner = xstrndup(e->d_name, strcspn(e->d_name, "."));
		if (local_volumes_kept(site, owner, &kept, err) < 0)
			return -1;
		if (!kept || !ends_with(e->d_name, ".img"))
			json_add(ret, json_sprintf("image %s/%s", folder, e->d_name));
	}
	return 0;
}

const struct local_kind local_storage = {
	.name = "storage",
	.list = storage_list,
	.get = storage_get,
	.create = storage_create,
	.update = storage_update,
	.remove = storage_remove,
	.sweep = storage_sweep,
};
