/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/disk/storage.h"

#include "base/fs.h"
#include "site/local/disk/mount.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * <tenant>/volume/<name>: a folder of the tenant's storage, or, where it has a size of its own, an ext4 image in the
 * storage that is mounted on that folder. The mark outlives a reboot and, for a volume that is kept, also the storage's
 * mount and a destroy: it is what tells that the image of the storage must stay.
 */

char *local_volume_dir(const struct site *site, const char *tenant, const char *name)
{
	return xasprintf("%s/storage/%s/volumes/%s", site->run, tenant, name);
}

static char *tenant_of(const struct resource *resource)
{
	return xstrndup(resource->key, strcspn(resource->key, "/"));
}

static char *volume_image(const struct site *site, const char *tenant, const char *name)
{
	return xasprintf("%s/storage/%s/images/%s.img", site->run, tenant, name);
}

static bool volume_is_sized(const struct resource *resource)
{
	return json_get_int(resource->body, "size", AMOUNT_NONE) != AMOUNT_NONE;
}

/* The tenant's storage must be there before anything is made on its mount point. */
static int storage_check(struct site *site, const char *tenant, struct error *err)
{
	autofree char *point = local_storage_point(site, tenant);
	bool mounted;

	if (mount_is(point, &mounted, err) < 0)
		return -1;
	return mounted ? 0 : error_set(err, ERROR_NOT_FOUND, "the storage of %s is not mounted", tenant);
}

static int folder_make(const char *path, uint32_t owner, struct error *err)
{
	struct stat st;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "cannot make %s", path);
	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return error_set(err, ERROR_CONFLICT, "%s is no folder", path);
	/* ours until it is the tenant's, who may give it to another of its users */
	if (st.st_uid == 0 && lchown(path, owner, owner) < 0)
		return error_set_errno(err, errno, "cannot give %s its owner", path);
	return 0;
}

static int volume_grow(const struct image_file *file, struct error *err)
{
	bool done;

	if (image_file_grow_online(file, &done, err) < 0)
		return -1;
	return done ? 0 : image_file_grow_offline(file, err);
}

static int volume_mount(struct site *site, const struct resource *resource, struct error *err)
{
	autofree char *tenant = tenant_of(resource);
	const char *name = json_get_string(resource->body, "name", "");
	autofree char *dir = local_volume_dir(site, tenant, name), *image = volume_image(site, tenant, name);
	autofree char *identity = xasprintf("%s/%s", site->config->deployment, resource->key);
	struct image_file file = {
		.path = image, .point = dir, .identity = identity,
		.size = json_get_int(resource->body, "size", 0), .owner = (uint32_t)json_get_int(resource->body, "owner", 0),
		.reserve = true,
	};

	if (image_file_ensure(&file, err) < 0 || volume_grow(&file, err) < 0) {
		if (err->code == ERROR_CAPACITY) {
			err->hint[0] = '\0';
			error_hint(err, "the volumes of %s are larger than its storage: raise quota.storage or make them smaller", tenant);
		}
		return error_wrap(err, "volume %s of %s", name, tenant);
	}
	return 0;
}

static int volume_create(struct site *site, struct resource *resource, struct error *err)
{
	autofree char *tenant = tenant_of(resource);
	const char *name = json_get_string(resource->body, "name", "");
	autofree char *dir = local_volume_dir(site, tenant, name), *image = volume_image(site, tenant, name);
	bool there = fs_exists(dir), has_image = fs_exists(image);

	if (storage_check(site, tenant, err) < 0)
		return -1;
	if (there && volume_is_sized(resource) && !has_image && rmdir(dir) < 0) {
		error_set(err, ERROR_UNSUPPORTED, "volume %s of %s was made without a size and holds data: it cannot be given one now", name, tenant);
		return error_hint(err, "leave its size out, or use another name for a volume with a size");
	}
	if (local_mark_write(site, MARK_KEPT, resource, err) < 0)
		return -1;
	if (folder_make(dir, (uint32_t)json_get_int(resource->body, "owner", 0), err) < 0)
		return -1;
	if ((volume_is_sized(resource) || has_image) && volume_mount(site, resource, err) < 0)
		return -1;
	resource_set_id(resource, dir);
	return 0;
}

static int volume_update(struct site *site, const struct resource *from, struct resource *to, struct error *err)
{
	int64_t had = json_get_int(from->body, "size", AMOUNT_NONE), wanted = json_get_int(to->body, "size", AMOUNT_NONE);

	if (had != AMOUNT_NONE && (wanted == AMOUNT_NONE || wanted < had)) {
		error_set(err, ERROR_INPUT, "%s cannot shrink or lose its size", to->key);
		return error_hint(err, "leave its size as it was");
	}
	return volume_create(site, to, err);
}

static int volume_unmount(struct site *site, const struct resource *resource, struct error *err)
{
	autofree char *tenant = tenant_of(resource);
	const char *name = json_get_string(resource->body, "name", "");
	autofree char *dir = local_volume_dir(site, tenant, name), *image = volume_image(site, tenant, name);

	if (!volume_is_sized(resource))
		return 0;
	return image_file_unmount(image, dir, err);
}

/* Takes the volume out of its storage, which is mounted. */
static int volume_delete(struct site *site, const struct resource *resource, const char *tenant, struct error *err)
{
	const char *name = json_get_string(resource->body, "name", "");
	autofree char *dir = local_volume_dir(site, tenant, name), *image = volume_image(site, tenant, name);

	if (volume_unmount(site, resource, err) < 0 || fs_remove_tree(dir, err) < 0)
		return -1;
	return image_file_delete(image, err);
}

/* Is there a storage that is only not mounted now (after a reboot), or did kept volumes alone keep the image? */
static bool storage_is_marked(struct site *site, const char *tenant)
{
	autofree char *key = xasprintf("%s/storage", tenant);
	autoresource struct resource *mark = NULL;
	struct error missing = { 0 };

	return local_mark_read(site, MARK_KEPT, key, &mark, &missing) == 0 || missing.code != ERROR_NOT_FOUND;
}

/* The storage is not mounted: mounts it for a moment, or deletes the image with the last volume that it was kept for. */
static int volume_delete_kept(struct site *site, const struct resource *resource, const char *tenant, struct error *err)
{
	autofree char *image = local_storage_image(site, tenant), *point = local_storage_point(site, tenant);
	struct error ignored;
	bool others;
	int status;

	if (local_mark_remove(site, MARK_KEPT, resource->key, err) < 0)
		return -1;
	if (local_volumes_kept(site, tenant, &others, err) < 0)
		return -1;
	if (!others && !storage_is_marked(site, tenant))
		return local_storage_forget(site, tenant, false, err);
	if (image_file_size(image) < 0)
		return 0;
	if (fs_make_dirs(point, 0711, err) < 0 || mount_image(image, "ext4", point, "errors=remount-ro,noinit_itable", err) < 0)
		return -1;
	status = volume_delete(site, resource, tenant, err);
	if (local_storage_forget(site, tenant, true, status < 0 ? &ignored : err) < 0)
		return -1;
	return status;
}

static int volume_remove(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	autofree char *tenant = tenant_of(resource), *point = local_storage_point(site, tenant);
	bool mounted;

	if (json_get_bool(resource->body, "keep", true) && !delete_data) {
		error_set(err, ERROR_CONFLICT, "%s holds data that is to be kept", resource->key);
		return error_hint(err, "say --delete-data to remove it too");
	}
	if (mount_is(point, &mounted, err) < 0)
		return -1;
	if (!mounted)
		return volume_delete_kept(site, resource, tenant, err);
	if (volume_delete(site, resource, tenant, err) < 0)
		return -1;
	return local_mark_remove(site, MARK_KEPT, resource->key, err);
}

/* Puts the machine's values into what the mark says; false when there is nothing of it. */
static bool volume_live(struct site *site, struct resource *resource)
{
	autofree char *tenant = tenant_of(resource), *point = local_storage_point(site, tenant), *storage = local_storage_image(site, tenant);
	const char *name = json_get_string(resource->body, "name", "");
	autofree char *dir = local_volume_dir(site, tenant, name), *image = volume_image(site, tenant, name);
	int64_t size, asked = json_get_int(resource->body, "size", AMOUNT_NONE);
	bool storage_mounted = false, mounted = false;
	struct error ignored;

	if (image_file_size(storage) < 0)
		return false;
	resource_set_id(resource, dir);
	if (mount_is(point, &storage_mounted, &ignored) < 0 || !storage_mounted)
		return true;	/* kept, or after a reboot: the storage is mounted first */
	if (!fs_is_dir(dir))
		return false;
	size = image_file_size(image);
	if (asked != AMOUNT_NONE && (mount_is(dir, &mounted, &ignored) < 0 || !mounted))
		return false;
	if (asked != AMOUNT_NONE && size != asked / 4096 * 4096)
		json_set_int(resource->body, "size", size);
	return true;
}

struct volume_walk {
	struct site *site;
	resource_sink sink;
	void *arg;
	bool found;
	int status;
	struct error *err;
	int (*each)(struct site *site, const struct resource *resource, struct error *err);
};

static int volume_hand_over(void *arg, struct resource *found)
{
	autoresource struct resource *resource = found;
	struct volume_walk *walk = arg;

	if (!volume_live(walk->site, resource))
		return 0;
	return walk->sink(walk->arg, steal(&resource));
}

static int volume_list(struct site *site, resource_sink sink, void *arg, struct error *err)
{
	struct volume_walk walk = { .site = site, .sink = sink, .arg = arg };

	return local_mark_each(site, MARK_KEPT, "volume", volume_hand_over, &walk, err);
}

static int volume_get(struct site *site, struct resource *resource, struct error *err)
{
	autoresource struct resource *live = NULL;

	if (local_mark_read(site, MARK_KEPT, resource->key, &live, err) < 0)
		return -1;
	if (!volume_live(site, live))
		return error_set(err, ERROR_NOT_FOUND, "there is no %s", resource->key);
	json_decref(resource->body);
	resource->body = json_incref(live->body);
	resource_set_id(resource, live->id);
	return 0;
}

static int kept_find(void *arg, struct resource *found)
{
	autoresource struct resource *resource = found;
	struct volume_walk *walk = arg;

	if (json_get_bool(resource->body, "keep", true))
		walk->found = true;
	return 0;
}

int local_volumes_kept(struct site *site, const char *tenant, bool *ret, struct error *err)
{
	struct volume_walk walk = { .site = site };

	if (local_mark_each_of(site, MARK_KEPT, "volume", tenant, kept_find, &walk, err) < 0)
		return -1;
	*ret = walk.found;
	return 0;
}

static int walk_call(void *arg, struct resource *found)
{
	autoresource struct resource *resource = found;
	struct volume_walk *walk = arg;

	if (walk->status == 0)
		walk->status = walk->each(walk->site, resource, walk->err);
	return 0;
}

static int volumes_call(struct site *site, const char *tenant, int (*each)(struct site *site, const struct resource *resource, struct error *err),
			struct error *err)
{
	struct volume_walk walk = { .site = site, .each = each, .err = err };

	if (local_mark_each_of(site, MARK_KEPT, "volume", tenant, walk_call, &walk, err) < 0)
		return -1;
	return walk.status;
}

/* Only what is there already: a volume that was marked and not made is made by its own create. */
static int volume_mount_again(struct site *site, const struct resource *resource, struct error *err)
{
	autofree char *tenant = tenant_of(resource), *image = volume_image(site, tenant, json_get_string(resource->body, "name", ""));

	if (!volume_is_sized(resource) || !fs_exists(image))
		return 0;
	return volume_mount(site, resource, err);
}

int local_volumes_mount(struct site *site, const char *tenant, struct error *err)
{
	return volumes_call(site, tenant, volume_mount_again, err);
}

int local_volumes_unmount(struct site *site, const char *tenant, struct error *err)
{
	return volumes_call(site, tenant, volume_unmount, err);
}

const struct local_kind local_volume = {
	.name = "volume",
	.list = volume_list,
	.get = volume_get,
	.create = volume_create,
	.update = volume_update,
	.remove = volume_remove,
};
