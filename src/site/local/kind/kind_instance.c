/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/container/instance.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/vec.h"
#include "site/local/container/bundle.h"
#include "site/local/container/cgroup.h"
#include "guest/protocol.h"
#include "site/local/disk/storage.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/*
 * <tenant>/<workload>/<replica>: a container with its cgroup, its files and its monitor.
 *
 * How it works: the mark comes first and goes last. monitor.conf is written when all the rest is made, and holds the digest
 * of the body it was made from: a create that finds its own digest there only starts a monitor, which starts the
 * container, adopts it, or finds that it has ended for good; one that finds another digest or none clears away what is there and begins anew.
 * What was made half is listed with the digest "incomplete", so that a plan replaces it. An instance whose monitor has died is
 * listed with "watched" false; making that true again is an update, which starts a monitor and leaves the container alone.
 */

#define STOP_WAIT_MS 20000	/* a monitor gives its container 10 s between SIGTERM and SIGKILL */
#define RESTARTS_ACCEPTED 3	/* of a container that is waited for */
#define PROCS_LIMIT ((size_t)4 << 20)
#define INCOMPLETE "incomplete"

/* ---- what is there ---- */

static bool instance_exists(struct site *site, const struct instance_files *files)
{
	autofree char *conf = fs_join(files->dir, FILE_CONF), *bundle = fs_join(files->dir, DIR_BUNDLE);

	return fs_exists(conf) || fs_exists(bundle) || fs_exists(files->data) || cgroup_exists(site->cgroups, files->cgroup);
}

/* Puts what the machine says into what the mark says. */
static void instance_live(const struct instance_files *files, struct resource *resource)
{
	autofree char *prepared = instance_prepared(files);
	char digest[DIGEST_HEX];
	struct monitor_status status;
	struct error missing;
	json_t *detail = json_object();
	const char *state = "created";

	instance_body_digest(resource->body, digest);
	resource_set_id(resource, files->dir);
	if (monitor_status(files->dir, &status, &missing) < 0 || !str_equal(prepared, digest) || streq(status.state, STATE_FAILED) || streq(status.state, STATE_STOPPED)) {
		json_set_string(resource->body, "digest", INCOMPLETE);
	} else {
		state = status.state;
		json_set_string(detail, "reason", *status.reason ? status.reason : NULL);
		json_set_bool(resource->body, "watched", status.watched || status.settled);
		json_set_int(detail, "restarts", status.restarts);
		if (status.exit >= 0)
			json_set_int(detail, "exit", status.exit);
		if (status.signal >= 0)
			json_set_int(detail, "signal", status.signal);
	}
	json_set_string(resource->body, "state", state);
	json_set(resource->body, "detail", detail);
}

struct listing {
	struct site *site;
	resource_sink sink;
	void *arg;
	struct error *err;
};

static int list_one(void *arg, struct resource *resource)
{
	struct listing *listing = arg;
	autoresource struct resource *owned = resource;
	autoinstance_files struct instance_files files = { 0 };

	if (instance_files_of(listing->site, owned->key, &files, listing->err) < 0)
		return -1;
	if (!instance_exists(listing->site, &files))
		return 0;	/* only meant so far */
	instance_live(&files, owned);
	return listing->sink(listing->arg, steal(&owned));
}

static int instance_list(struct site *site, resource_sink sink, void *arg, struct error *err)
{
	struct listing listing = { site, sink, arg, err };

	return local_mark_each(site, MARK_UNTIL_REBOOT, "instance", list_one, &listing, err);
}

static int instance_get(struct site *site, struct resource *resource, struct error *err)
{
	autoinstance_files struct instance_files files = { 0 };
	autoresource struct resource *mark = NULL;

	if (instance_files_of(site, resource->key, &files, err) < 0 || local_mark_read(site, MARK_UNTIL_REBOOT, resource->key, &mark, err) < 0)
		return -1;
	if (!instance_exists(site, &files))
		return error_set(err, ERROR_NOT_FOUND, "there is no instance %s", resource->key);
	instance_live(&files, mark);
	json_decref(resource->body);
	resource->body = json_incref(mark->body);
	resource_set_id(resource, mark->id);
	return 0;
}

/* ---- create ---- */

/* Whole disk of a file system's device; a throttle takes no partition. */
static char *disk_of(const char *path)
{
	autofree char *partition = NULL, *above = NULL, *line = NULL;
	struct error ignored;
	struct stat st;

	if (stat(path, &st) < 0 || major(st.st_dev) == 0)
		return NULL;	/* no block device below, as with tmpfs */
	partition = xasprintf("/sys/dev/block/%u:%u/partition", major(st.st_dev), minor(st.st_dev));
	if (!fs_exists(partition))
		return xasprintf("%u:%u", major(st.st_dev), minor(st.st_dev));
	above = xasprintf("/sys/dev/block/%u:%u/../dev", major(st.st_dev), minor(st.st_dev));
	return fs_read_line(above, &line, &ignored) < 0 ? NULL : steal(&line);
}

static int64_t amount(const json_t *body, const char *name)
{
	int64_t value = json_get_int(body, name, AMOUNT_NONE);

	return value > 0 ? value : AMOUNT_NONE;
}

static int limits_set(struct site *site, const json_t *body, const struct instance_files *files, struct error *err)
{
	autofree char *point = local_storage_point(site, files->key.tenant), *storage = disk_of(point), *images = disk_of(site->images);
	const char *const devices[] = { storage ? storage : images, storage && images && !streq(storage, images) ? images : NULL, NULL };
	const struct cgroup_limits limits = {
		.cpu_max = amount(body, "cpu"), .cpu_weight = AMOUNT_NONE, .memory_max = amount(body, "memory"), .memory_low = AMOUNT_NONE,
		.pids_max = amount(body, "pids"), .disk_bandwidth = amount(body, "diskBandwidth"),
		.devices = devices, .group_oom = true, .leaf = true,
	};

	return cgroup_create(site->cgroups, files->cgroup, &limits, NULL, err);
}

/* The values of the secrets among the variables, as the monitor takes them. */
static int secrets_load(struct site *site, const json_t *body, struct secret *ret, struct error *err)
{
	size_t index;
	json_t *item;
	struct buf text = { 0 };
	int status = 0;

	json_array_foreach(json_get_array(body, "env"), index, item) {
		const char *name = json_get_string(item, "name", ""), *secret_name = json_get_string(json_get_object(item, "value"), "$secret", NULL);
		autosecret struct secret secret = { 0 };

		if (!secret_name)
			continue;
		if (!site->config->secret)
			status = error_set(err, ERROR_FAILED, "the secret %s cannot be read here", secret_name);
		else
			status = site->config->secret(site->config->secret_arg, secret_name, &secret, err);
		if (status == 0 && memchr(secret_reveal(&secret), '\0', secret.n))
			status = error_set(err, ERROR_INPUT, "the secret %s holds a 0 byte, which no variable can", secret_name);
		if (status == 0 && text.n + strlen(name) + secret.n + 2 > SECRETS_LIMIT)
			status = error_set(err, ERROR_INPUT, "the secrets of an instance are larger than %d bytes together", SECRETS_LIMIT);
		if (status < 0)
			break;
		buf_addf(&text, "%s=", name);
		buf_add(&text, secret_reveal(&secret), secret.n + 1);
	}
	if (status == 0 && text.n)
		secret_set(ret, text.data, text.n);
	if (text.data)
		explicit_bzero(text.data, text.capacity);
	buf_clear(&text);
	return status;
}

static int instance_start(struct site *site, const json_t *body, const struct instance_files *files, struct error *err)
{
	autofree char *program = fs_join(site->config->program_dir, "insula-monitor"), *state = NULL;
	autosecret struct secret secrets = { 0 };

	if (secrets_load(site, body, &secrets, err) < 0)
		return -1;
	return monitor_launch(program, files->dir, &secrets, &state, err);
}

/* ---- remove ---- */

/* Files of ours in the folder that the link shares with us. */
static int files_remove(const struct instance_files *files, struct error *err)
{
	/* monitor.conf first: without it no monitor starts; the lock last: we hold it */
	static const char *const names[] = {
		FILE_CONF, FILE_STATUS, FILE_STATUS ".new", FILE_EXIT, FILE_FIFO, FILE_PID, FILE_RUNTIME_LOG, DIR_BUNDLE, DIR_STATE, DIR_MOUNTS, "skeleton", FILE_LOCK,
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		autofree char *path = fs_join(files->dir, names[i]);

		if (fs_remove_tree(path, err) < 0)
			return -1;
	}
	return fs_remove_tree(files->data, err);
}

/* Takes empty folders away, up to the run folder; another's instance may just be making its own there, which tries again then. */
static void folders_remove(const struct site *site, const struct instance_files *files)
{
	autofree char *top = xasprintf("%s/i", site->run), *path = xstrdup(files->dir);

	while (strlen(path) >= strlen(top) && rmdir(path) == 0) {
		char *above = fs_dirname(path);

		free(path);
		path = above;
	}
	free(path);
	path = fs_dirname(files->data);
	if (rmdir(path) < 0)
		return;		/* the tenant has other instances */
}

/* Everything but the mark. */
static int instance_clear(struct site *site, const struct instance_files *files, struct error *err)
{
	autofd int lock = -1;

	if (fs_is_dir(files->dir) && monitor_stop(files->dir, STOP_WAIT_MS, &lock, err) < 0)
		return -1;
	if (cgroup_remove(site->cgroups, files->cgroup, err) < 0)
		return -1;
	return files_remove(files, err);
}

static int instance_remove(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	autoinstance_files struct instance_files files = { 0 };

	if (instance_files_of(site, resource->key, &files, err) < 0 || instance_clear(site, &files, err) < 0 || instance_forget(&files, err) < 0)
		return error_wrap(err, "cannot remove %s", resource->key);
	folders_remove(site, &files);
	return local_mark_remove(site, MARK_UNTIL_REBOOT, resource->key, err);
}

static int instance_create(struct site *site, struct resource *resource, struct error *err)
{
	autoinstance_files struct instance_files files = { 0 };
	autofree char *prepared = NULL;
	char digest[DIGEST_HEX];

	if (instance_files_of(site, resource->key, &files, err) < 0 || local_mark_write(site, MARK_UNTIL_REBOOT, resource, err) < 0)
		return -1;
	prepared = instance_prepared(&files);
	instance_body_digest(resource->body, digest);
	if (!str_equal(prepared, digest)) {
		if (instance_exists(site, &files) && instance_clear(site, &files, err) < 0)
			return -1;
		if (limits_set(site, resource->body, &files, err) < 0 || instance_prepare(site, resource, &files, err) < 0 ||
		    instance_recall(&files, digest, err) < 0)
			return error_wrap(err, "cannot make %s", resource->key);
	} else if (limits_set(site, resource->body, &files, err) < 0) {
		return -1;
	}
	if (instance_start(site, resource->body, &files, err) < 0)
		return error_wrap(err, "cannot start %s", resource->key);
	resource_set_id(resource, files.dir);
	return 0;
}

/* All but "watched" is immutable. */
static int instance_update(struct site *site, const struct resource *from, struct resource *to, struct error *err)
{
	return instance_create(site, to, err);
}

static int instance_ready(struct site *site, const struct resource *resource, enum readiness *ret, struct error *err)
{
	autoinstance_files struct instance_files files = { 0 };
	struct monitor_status status;

	if (instance_files_of(site, resource->key, &files, err) < 0 || monitor_status(files.dir, &status, err) < 0)
		return -1;
	*ret = READY_WAITING;
	if (streq(status.state, STATE_RUNNING))
		*ret = READY_YES;
	else if (streq(status.state, STATE_FAILED) || ((status.exit == 126 || status.exit == 127) && *status.reason))
		*ret = READY_FAILED;
	else if (streq(status.state, STATE_EXITED))
		*ret = READY_YES;
	else if (streq(status.state, STATE_BACKOFF) && status.restarts >= RESTARTS_ACCEPTED)
		*ret = READY_FAILED;
	if (*ret == READY_FAILED) {
		error_set(err, ERROR_FAILED, "%s: %s", resource->key, *status.reason ? status.reason : "its command ends again and again");
		error_hint(err, "see what it says: insula logs %s", resource->key);
	}
	return 0;
}

/* ---- sweep ---- */

static int sweep_cgroups(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	autofree char *group = local_cgroup_tenant(site, tenant);
	char **children;

	if (cgroup_children(site->cgroups, group, &children, err) < 0)
		return -1;
	for (char **child = children; *child; child++) {
		json_add(ret, json_sprintf("control group %s/%s", group, *child));
		free(*child);
	}
	free(children);
	return 0;
}

static int sweep_folders(const struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	autofree char *path = xasprintf("%s/i/%s", site->run, tenant);
	autodir DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "cannot read %s", path);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			json_add(ret, json_sprintf("folder %s/%s", path, entry->d_name));
	return 0;
}

static int sweep_tenant(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	return sweep_cgroups(site, tenant, ret, err) < 0 ? -1 : sweep_folders(site, tenant, ret, err);
}

/* Monitors without an instance. Dead ones that nobody has reaped yet are counted by the pids controller, but not listed. */
static int sweep_monitors(struct site *site, json_t *ret, struct error *err)
{
	autofree char *group = local_cgroup_monitors(site);
	char **files = cgroup_procs_files(site->cgroups, group);
	bool found = false;

	for (char **file = files; *file && !found; file++) {
		autofree char *text = NULL;
		struct error absent;

		found = fs_read_file(*file, PROCS_LIMIT, &text, NULL, &absent) == 0 && *text;
	}
	strings_free(files);
	if (found)
		json_add(ret, json_sprintf("processes in control group %s", group));
	return 0;
}

static int instance_sweep(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	autofree char *all = xasprintf("/insula/%s/t", site->config->deployment);
	char **tenants;
	int status = 0;

	if (tenant)
		return sweep_tenant(site, tenant, ret, err);
	if (cgroup_children(site->cgroups, all, &tenants, err) < 0)
		return -1;
	for (char **one = tenants; *one; one++) {
		if (status == 0)
			status = sweep_tenant(site, *one, ret, err);
		free(*one);
	}
	free(tenants);
	return status < 0 ? -1 : sweep_monitors(site, ret, err);
}

const struct local_kind local_instance = {
	.name = "instance",
	.list = instance_list,
	.get = instance_get,
	.create = instance_create,
	.update = instance_update,
	.remove = instance_remove,
	.ready = instance_ready,
	.sweep = instance_sweep,
};
