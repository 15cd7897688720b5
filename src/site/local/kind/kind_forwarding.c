/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/network/network.h"

#include "base/clock.h"
#include "base/fs.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * host/forwarding: the host's net.ipv4.ip_forward.
 *
 * How it works: the setting is the whole machine's, and several deployments may need it. A file
 * beside them, <state>/.forwarding (no deployment has such a name), names those that do and the value before the first came; the last one to
 * go puts that back. The file is written before the setting is changed. After a reboot the
 * machine's own value counts as the one before.
 */

#define SETTING "/proc/sys/net/ipv4/ip_forward"
#define LOCK_WAIT_MS 10000
#define FILE_MAX 65536

struct users { json_t *json; int lock; };	/* {"before": 0, "boot": "...", "users": ["lab"]} */

static char *users_path(const struct site *site)
{
	return xasprintf("%s/.forwarding", site->config->state_dir);
}

static void users_close(struct users *users)
{
	json_decref(users->json);
	cleanup_fd(&users->lock);
}

static int users_read(const char *path, json_t **ret, struct error *err)
{
	if (json_read_file(path, FILE_MAX, ret, err) == 0)
		return 0;
	if (err->code != ERROR_NOT_FOUND)
		return -1;
	*ret = json_pack("{s[]}", "users");
	return 0;
}

/* The last user takes the lock's file away too, so a lock counts only while its file is still the one at its path. */
static int users_lock(const char *path, int *ret, struct error *err)
{
	for (;;) {
		autofd int fd = -1;
		struct stat held, there;

		if (fs_lock(path, LOCK_WAIT_MS, &fd, err) < 0)
			return -1;
		if (fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_ino == there.st_ino && held.st_dev == there.st_dev) {
			*ret = steal_fd(&fd);
			return 0;
		}
	}
}

static int users_open(const struct site *site, struct users *ret, struct error *err)
{
	autofree char *path = users_path(site), *lock = xasprintf("%s.lock", path);

	if (fs_make_dirs(site->config->state_dir, 0711, err) < 0 || users_lock(lock, &ret->lock, err) < 0)
		return -1;
	return users_read(path, &ret->json, err);
}

static int users_write(const struct site *site, const struct users *users, struct error *err)
{
	autofree char *path = users_path(site), *text = json_canonical(users->json);

	return fs_replace_file(path, text, strlen(text), 0600, true, err);
}

static json_t *users_list(const struct users *users)
{
	if (!json_get_array(users->json, "users"))
		json_set(users->json, "users", json_array());
	return json_get_array(users->json, "users");
}

/* Its place, or the list's size */
static size_t users_find(json_t *list, const char *deployment)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item)
		if (str_equal(json_string_value(item), deployment))
			break;
	return i;
}

static int forwarding_create(struct site *site, struct resource *resource, struct error *err)
{
	CLEANUP(users_close) struct users users = { .lock = -1 };
	const char *deployment = site->config->deployment;
	json_t *list;
	char boot[40];
	int64_t now;

	if (clock_boot_id(boot, err) < 0 || fs_read_int(SETTING, &now, err) < 0 || users_open(site, &users, err) < 0)
		return error_wrap(err, "forwarding");
	list = users_list(&users);
	if (json_array_size(list) == 0 || !streq(json_get_string(users.json, "boot", ""), boot)) {
		json_set_int(users.json, "before", now);
		json_set_string(users.json, "boot", boot);
	}
	if (users_find(list, deployment) == json_array_size(list))
		json_add(list, json_text(deployment));
	if (users_write(site, &users, err) < 0 || (now != 1 && fs_write_value(SETTING, "1", err) < 0))
		return error_wrap(err, "forwarding");
	resource_set_id(resource, "ip_forward");
	return 0;
}

static int forwarding_update(struct site *site, const struct resource *from, struct resource *to, struct error *err)
{
	(void)from;
	return forwarding_create(site, to, err);
}

/* NULL when this deployment does not use it. */
static int forwarding_live(struct site *site, struct resource **ret, struct error *err)
{
	autofree char *path = users_path(site);
	CLEANUP(users_close) struct users users = { .lock = -1 };
	json_t *list;
	int64_t now;

	if (users_read(path, &users.json, err) < 0 || fs_read_int(SETTING, &now, err) < 0)
		return error_wrap(err, "forwarding");
	list = users_list(&users);
	*ret = NULL;
	if (users_find(list, site->config->deployment) < json_array_size(list))
		*ret = network_resource(site, "forwarding", "host/forwarding", "ip_forward",
					json_pack("{sb,sI}", "ipv4", now == 1, "before", (json_int_t)json_get_int(users.json, "before", 0)));
	return 0;
}

static int forwarding_list(struct site *site, resource_sink sink, void *arg, struct error *err)
{
	struct resource *live;

	if (forwarding_live(site, &live, err) < 0)
		return -1;
	return live ? sink(arg, live) : 0;
}

static int forwarding_get(struct site *site, struct resource *resource, struct error *err)
{
	autoresource struct resource *live = NULL;

	if (forwarding_live(site, &live, err) < 0)
		return -1;
	if (!live)
		return error_set(err, ERROR_NOT_FOUND, "this deployment does not use IP forwarding");
	json_decref(resource->body);
	resource->body = json_incref(live->body);
	resource_set_id(resource, live->id);
	return 0;
}

static int forwarding_remove(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	autofree char *path = users_path(site), *lock = xasprintf("%s.lock", path);
	CLEANUP(users_close) struct users users = { .lock = -1 };
	json_t *list;
	size_t place;

	(void)resource;
	(void)delete_data;
	if (!fs_exists(path))
		return 0;
	if (users_open(site, &users, err) < 0)
		return error_wrap(err, "forwarding");
	list = users_list(&users);
	place = users_find(list, site->config->deployment);
	if (place == json_array_size(list))
		return 0;
	json_array_remove(list, place);
	if (json_array_size(list))
		return users_write(site, &users, err);
	/* put back first: if that is cut short, the file still says what to do */
	if (json_get_int(users.json, "before", 1) == 0 && fs_write_value(SETTING, "0", err) < 0)
		return error_wrap(err, "forwarding");
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "cannot remove %s", path);
	unlink(lock);
	return 0;
}

static int forwarding_sweep(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	struct resource *live;

	if (tenant)
		return 0;
	if (forwarding_live(site, &live, err) < 0)
		return -1;
	if (live)
		json_add(ret, json_text("ip_forward has not been put back"));
	resource_free(live);
	return 0;
}

const struct local_kind local_forwarding = {
	.name = "forwarding",
	.list = forwarding_list,
	.get = forwarding_get,
	.create = forwarding_create,
	.update = forwarding_update,
	.remove = forwarding_remove,
	.sweep = forwarding_sweep,
};
