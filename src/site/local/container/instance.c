/* SPDX-License-Identifier: Apache-2.0 */
#include "instance.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/vec.h"
#include "bundle.h"
#include "cgroup_internal.h"
#include "guest/protocol.h"
#include "runtime.h"
#include "site/local/disk/storage.h"
#include "syscall_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define OPEN_FILES_MAX 65536
#define CONF_HEAD_LIMIT ((size_t)CONF_LIMIT)
#define RECORD_LIMIT ((ssize_t)4096)	/* of one usage record */
#define ID_COUNT 65536
#define FOLDER_ATTEMPTS 20

void instance_files_clear(struct instance_files *files)
{
	free(files->dir);
	free(files->data);
	free(files->log);
	free(files->usage);
	free(files->cgroup);
	*files = (struct instance_files){ 0 };
}

int instance_files_of(const struct site *site, const char *key, struct instance_files *ret, struct error *err)
{
	struct instance_files files = { 0 };
	autofree char *point = NULL;

	if (!local_instance_key(key, &files.key))
		return error_set(err, ERROR_INPUT, "'%.200s' is not the key of an instance: it is TENANT/WORKLOAD/REPLICA", key);
	point = local_storage_point(site, files.key.tenant);
	files.dir = local_instance_dir(site, key);
	files.data = xasprintf("%s/instances/%s.%u", point, files.key.workload, files.key.replica);
	files.log = xasprintf("%s/logs/%s/%s/%u.log", site->deployment_dir, files.key.tenant, files.key.workload, files.key.replica);
	files.usage = xasprintf("%s/usage/%s/%s/%u", site->deployment_dir, files.key.tenant, files.key.workload, files.key.replica);
	files.cgroup = local_cgroup_instance(site, key);
	*ret = files;
	return 0;
}

void instance_body_digest(const json_t *body, char hex[static DIGEST_HEX])
{
	static const char *const computed[] = { "labels", "state", "detail", "decisions", "watched" };
	autojson json_t *copy = json_copy((json_t *)body);

	for (size_t i = 0; i < ARRAY_LEN(computed); i++)
		json_object_del(copy, computed[i]);
	json_digest(copy, hex);
}

char *instance_prepared(const struct instance_files *files)
{
	autofree char *path = fs_join(files->dir, FILE_CONF), *text = NULL;
	const char *line;
	struct error absent;

	if (fs_read_file(path, CONF_HEAD_LIMIT, &text, NULL, &absent) < 0 || !(line = strstr(text, "\ndigest=")))
		return NULL;
	line += strlen("\ndigest=");
	return xstrndup(line, strcspn(line, "\n"));
}

/* The last whole line of the usage records, as JSON; NULL when there is none that reads. */
static json_t *record_last(const char *path)
{
	char text[RECORD_LIMIT + 1], *line, *end;
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	json_t *record = NULL;
	struct error broken;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || (n = pread(fd, text, RECORD_LIMIT, MAX(st.st_size - RECORD_LIMIT, 0))) <= 0)
		return NULL;
	text[n] = '\0';
	end = strrchr(text, '\n');
	if (!end)
		return NULL;
	*end = '\0';
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	return json_parse(path, line, strlen(line), RECORD_LIMIT, &record, &broken) < 0 ? NULL : record;
}

int instance_recall(const struct instance_files *files, const char *digest, struct error *err)
{
	static const struct { const char *status, *record; } words[] = {
		{ "started_ms", "started" }, { "ended_ms", "ended" }, { "exit", "exit" }, { "signal", "signal" }, { "restarts", "restarts" },
		{ "memory_peak", "memory_peak" }, { "memory_sum", "memory_sum" }, { "samples", "samples" },
	};
	autojson json_t *record = record_last(files->usage);
	autofree char *path = fs_join(files->dir, FILE_STATUS);
	autobuf struct buf text = { 0 };

	if (!json_get_bool(record, "final", false) || !streq(json_get_string(record, "digest", ""), digest))
		return 0;
	buf_addf(&text, "state=%s\noom=%d\n", STATE_EXITED, json_get_bool(record, "oom", false));
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		buf_addf(&text, "%s=%lld\n", words[i].status, (long long)json_get_int(record, words[i].record, -1));
	return fs_replace_file(path, text.data, text.n, 0600, false, err);
}

int instance_forget(const struct instance_files *files, struct error *err)
{
	autojson json_t *record = record_last(files->usage);
	autofree char *line = NULL, *text = NULL;
	autofd int fd = -1;

	if (!json_get_bool(record, "final", false))
		return 0;
	/* of two records of one run the last counts */
	json_set_bool(record, "final", false);
	text = json_canonical(record);
	line = xasprintf("%s\n", text);
	fd = open(files->usage, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return error_set_errno(err, errno, "cannot open %s", files->usage);
	return fs_write_all(fd, line, strlen(line), err);
}

/* ---- what the steps below work on ---- */

struct preparation {
	struct site *site;
	const struct resource *resource;
	const json_t *body;
	const struct instance_files *files;
	int64_t base;
	struct image image;
	struct image_host_root *roots;
	size_t root_n;
	char **shifted;			/* layers with owners shifted, or NULL: layers are id-mapped */
	struct runtime runtime;
	char *address, *gateway, *netns;	/* or NULL: no network */
};

static void preparation_clear(struct preparation *prep)
{
	image_clear(&prep->image);
	image_host_roots_free(prep->roots, prep->root_n);
	strings_free(prep->shifted);
	runtime_clear(&prep->runtime);
	free(prep->address);
	free(prep->gateway);
	free(prep->netns);
}

static int runtime_get(struct preparation *prep, struct error *err)
{
	const json_t *facts = json_get_object(prep->site->facts, "runtime");
	const char *name = json_get_string(facts, "name", NULL), *path = json_get_string(facts, "path", NULL);

	if (!name || !path)
		return runtime_probe(&prep->runtime, err);
	prep->runtime.name = xstrdup(name);
	prep->runtime.path = xstrdup(path);
	return 0;
}

static int image_load(struct preparation *prep, struct error *err)
{
	const char *digest = json_get_string(prep->body, "image", "");
	const json_t *works = json_get_object(prep->site->facts, "works");
	bool is_host = starts_with(digest, "host:"), idmap = json_get_bool(works, "idmap", true);
	struct image_store *store;
	int status;

	if (image_store_open(prep->site->images, prep->site->config->intent ? MAX(0, prep->site->config->intent->image_store_limit) : 0, &store, err) < 0)
		return -1;
	status = image_get(store, digest, &prep->image, err);
	if (status == 0 && is_host)
		status = image_host_roots(&prep->roots, &prep->root_n, err);
	else if (status == 0 && !idmap)
		status = image_shifted_layers(store, &prep->image, (uint32_t)prep->base, &prep->shifted, err);
	image_store_close(store);
	if (status == 0 && is_host && !idmap)
		return error_set(err, ERROR_UNSUPPORTED, "the image \"host\" needs id-mapped mounts, which this machine's file system does not have");
	return status;
}

/* The address and gateway that its link has; none without a link. */
static int network_load(struct preparation *prep, struct error *err)
{
	autofree char *key = xasprintf("%s/link", prep->resource->key), *netns = fs_join(prep->files->dir, FILE_NETNS);
	autoresource struct resource *link = resource_new("local", "link", key, json_object());
	struct error missing = { 0 };
	const char *address;

	if (local_link.get(prep->site, link, &missing) < 0) {
		if (missing.code == ERROR_NOT_FOUND)
			return 0;
		*err = missing;
		return -1;
	}
	if (!fs_exists(netns))
		return error_set(err, ERROR_CONFLICT, "%s has a link but no network namespace", prep->resource->key);
	address = json_get_string(link->body, "address", "");
	prep->address = xstrndup(address, strcspn(address, "/"));
	prep->gateway = xstrdup(json_get_string(link->body, "gateway", ""));
	prep->netns = steal(&netns);
	return 0;
}

/* ---- folders and files ---- */

/* The end of another instance may take an empty folder away between the making of two levels. */
static int folder_ensure(const char *path, mode_t mode, struct error *err)
{
	for (unsigned attempt = 1;; attempt++) {
		if (fs_make_dirs(path, mode, err) == 0)
			return 0;
		if (err->code != ERROR_NOT_FOUND || attempt == FOLDER_ATTEMPTS)
			return -1;
	}
}

/* Upper and work, fresh: an instance begins as its image is. */
static int data_make(const struct preparation *prep, struct error *err)
{
	static const char *const names[] = { "upper", "work" };
	autofree char *point = local_storage_point(prep->site, prep->files->key.tenant);

	if (!fs_is_dir(point)) {
		error_set(err, ERROR_CONFLICT, "the storage of %s is not mounted", prep->files->key.tenant);
		return error_hint(err, "after a reboot say: insula restore");
	}
	if (fs_remove_tree(prep->files->data, err) < 0 || folder_ensure(prep->files->data, 0700, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		autofree char *path = fs_join(prep->files->data, names[i]);

		if (mkdir(path, 0755) < 0)
			return error_set_errno(err, errno, "cannot make %s", path);
		if (chown(path, (uid_t)prep->base, (gid_t)prep->base) < 0)
			return error_set_errno(err, errno, "cannot give %s its owner", path);
	}
	return 0;
}

static int folders_make(const struct preparation *prep, struct error *err)
{
	autofree char *bundle = fs_join(prep->files->dir, DIR_BUNDLE), *log_dir = fs_dirname(prep->files->log), *usage_dir = fs_dirname(prep->files->usage);

	/* the runtime goes this way as the tenant's mapped root */
	if (folder_ensure(prep->files->dir, 0711, err) < 0 || fs_make_dirs(bundle, 0700, err) < 0)
		return -1;
	if (chmod(prep->files->dir, 0711) < 0)
		return error_set_errno(err, errno, "cannot set the mode of %s", prep->files->dir);
	return fs_make_dirs(log_dir, 0750, err) < 0 || fs_make_dirs(usage_dir, 0750, err) < 0 ? -1 : 0;
}

/* Belongs to the container's user, so that a program may open /dev/stdout, and to nobody else. */
static int fifo_make(const struct preparation *prep, const struct bundle_user *user, struct error *err)
{
	autofree char *path = fs_join(prep->files->dir, FILE_FIFO);

	if (unlink(path) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "cannot remove %s", path);
	if (mkfifo(path, 0600) < 0)
		return error_set_errno(err, errno, "cannot make %s", path);
	if (lchown(path, (uid_t)(prep->base + user->uid), (gid_t)(prep->base + user->gid)) < 0)
		return error_set_errno(err, errno, "cannot give %s its owner", path);
	return 0;
}

static int skeleton_prepare(const struct preparation *prep, const char *path, struct error *err)
{
	const struct skeleton skeleton = {
		.path = path, .owner = prep->base, .tenant = prep->files->key.tenant,
		.hostname = json_get_string(prep->body, "hostname", "insula"), .address = prep->address, .gateway = prep->gateway,
		.roots = prep->roots, .root_n = prep->root_n,
	};

	return fs_remove_tree(path, err) < 0 ? -1 : skeleton_make(&skeleton, err);
}

/* ---- the bundle ---- */

struct texts { char **items; size_t n, capacity; };

static void texts_clear(struct texts *texts)
{
	for (size_t i = 0; i < texts->n; i++)
		free(texts->items[i]);
	free(texts->items);
}

static void texts_add(struct texts *texts, char *text)
{
	vec_push(texts, text);
}

/* Defaults, then the image's, then the file's, then ours: a later one of the same name wins. Secrets do not come this way. */
static void env_make(const struct preparation *prep, const char *home, struct texts *env)
{
	const json_t *image = json_get_array(prep->image.config, "Env"), *own = json_get_array(prep->body, "env");
	size_t index;
	json_t *item;

	texts_add(env, xstrdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
	texts_add(env, xasprintf("HOME=%s", home));
	json_array_foreach((json_t *)image, index, item)
		if (json_is_string(item))
			texts_add(env, xstrdup(json_string_value(item)));
	json_array_foreach((json_t *)own, index, item) {
		const char *name = json_get_string(item, "name", NULL), *value = json_get_string(item, "value", NULL);

		if (name && value)
			texts_add(env, xasprintf("%s=%s", name, value));
	}
	texts_add(env, xasprintf("INSULA_TENANT=%s", prep->files->key.tenant));
	texts_add(env, xasprintf("INSULA_WORKLOAD=%s", prep->files->key.workload));
	texts_add(env, xasprintf("INSULA_REPLICA=%u", prep->files->key.replica));
	texts_add(env, NULL);
}

/* Links are not followed: a tenant who may write beside a folder could replace it by one. The monitor holds to it too; here it is told well. */
static int host_path_check(const char *path, struct error *err)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
	autofd int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	if (fd >= 0)
		return 0;
	if (errno == ELOOP) {
		error_set(err, ERROR_PERMISSION, "hostPath %s is a symbolic link or leads through one, which is not followed", path);
		return error_hint(err, "name the folder itself, here and in the Site's hostPaths: realpath %s says which it is", path);
	}
	if (errno == ENOENT)
		return error_set(err, ERROR_CONFLICT, "hostPath %s does not exist", path);
	return error_set_errno(err, errno, "cannot open hostPath %s", path);
}

/* What is mounted for an item of the body, as the runtime sees it; NULL: error. Caller frees. */
static char *mount_source(const struct preparation *prep, const json_t *item, size_t *host_n, struct error *err)
{
	const char *volume = json_get_string(item, "volume", NULL), *host = json_get_string(item, "hostPath", "");
	autofree char *source = NULL;

	if (!volume)
		return host_path_check(host, err) < 0 ? NULL : xasprintf("%s/" DIR_MOUNTS "/" HOST_POINT "%zu", prep->files->dir, (*host_n)++);
	source = local_volume_dir(prep->site, prep->files->key.tenant, volume);
	if (fs_exists(source))
		return steal(&source);
	error_set(err, ERROR_CONFLICT, "%s does not exist, which should be mounted at %s", source, json_get_string(item, "path", "?"));
	return NULL;
}

/* Volumes and folders of the host; `sources` owns the paths. */
static int mounts_make(const struct preparation *prep, struct texts *sources, struct bundle_mount **ret, size_t *ret_n, struct error *err)
{
	const json_t *array = json_get_array(prep->body, "mounts");
	autofree struct bundle_mount *mounts = xcalloc(json_array_size(array) + 1, sizeof(*mounts));
	size_t index, host_n = 0;
	json_t *item;

	json_array_foreach((json_t *)array, index, item) {
		char *source = mount_source(prep, item, &host_n, err);

		if (!source)
			return -1;
		texts_add(sources, source);
		mounts[index] = (struct bundle_mount){ source, json_get_string(item, "path", "/"), json_get_bool(item, "readOnly", false) };
	}
	*ret = steal(&mounts);
	*ret_n = json_array_size(array);
	return 0;
}

static int64_t open_files_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	return (int64_t)MIN(limit.rlim_max, (rlim_t)OPEN_FILES_MAX);
}

/* Not less than ours, which only a privilege that we may lack could lower. */
static int64_t oom_score(void)
{
	struct error ignored;
	int64_t own;

	return fs_read_int("/proc/self/oom_score_adj", &own, &ignored) < 0 ? 0 : MAX(own, (int64_t)0);
}

/* Layers as the image's user is looked up in, topmost last. */
static int user_find(const struct preparation *prep, const char *skeleton, struct bundle_user *ret, struct error *err)
{
	const char *const own[] = { skeleton };
	bool is_host = prep->roots != NULL;

	return bundle_user_find(json_get_string(prep->image.config, "User", ""), is_host ? own : (const char *const *)prep->image.layers,
				is_host ? 1 : prep->image.layer_n, ret, err);
}

static int bundle_write(const struct preparation *prep, struct bundle *bundle, struct error *err)
{
	autofree char *path = xasprintf("%s/" DIR_BUNDLE "/config.json", prep->files->dir), *text = NULL, *filter = NULL;
	autofree char *filter_dir = fs_join(prep->site->config->state_dir, "seccomp");
	autojson json_t *config = NULL;
	bool is_crun = streq(prep->runtime.name, "crun");

	if (is_crun && syscall_filter_base64(filter_dir, &filter, err) < 0)
		return -1;
	bundle->filter = filter;
	bundle->cgroup = is_crun ? NULL : prep->files->cgroup;
	config = bundle_config(bundle);
	if (!is_crun)
		json_set(json_get_object(config, "linux"), "seccomp", syscall_filter_profile());
	text = json_canonical(config);
	return fs_replace_file(path, text, strlen(text), 0600, false, err);
}

static int bundle_prepare(const struct preparation *prep, const struct bundle_user *user, struct error *err)
{
	autofree char *root = fs_join(prep->files->dir, DIR_ROOT), *init = fs_join(prep->site->config->program_dir, INIT_NAME);
	CLEANUP(texts_clear) struct texts env = { 0 }, sources = { 0 };
	autofree struct bundle_mount *mounts = NULL;
	const char *dir = json_get_string(prep->body, "workingDir", NULL);
	struct bundle bundle = {
		.runtime = prep->runtime.name, .root = root, .netns = prep->netns, .init = init,
		.hostname = json_get_string(prep->body, "hostname", "insula"),
		.working_dir = dir ? dir : json_get_string(prep->image.config, "WorkingDir", "/"),
		.user = *user, .base = prep->base, .count = ID_COUNT, .shm = json_get_int(prep->body, "shm", 64 << 20),
		.oom_score_adj = oom_score(), .open_files = open_files_limit(),
	};
	char **args;
	int status;

	env_make(prep, user->home, &env);
	if (mounts_make(prep, &sources, &mounts, &bundle.mount_n, err) < 0)
		return -1;
	if (bundle_command(json_get_array(prep->body, "command"), prep->image.config, &args, err) < 0)
		return -1;
	bundle.env = (const char *const *)env.items;
	bundle.mounts = mounts;
	bundle.args = (const char *const *)args;
	status = bundle_write(prep, &bundle, err);
	strings_free(args);
	return status;
}

/* ---- monitor.conf ---- */

static void conf_add_groups(const struct preparation *prep, struct buf *conf)
{
	static const struct { enum cgroup_controller controller; const char *v1, *v2; } named[] = {
		{ CGROUP_MEMORY, "memory.v1", "memory.v2" }, { CGROUP_CPUACCT, "cpu.v1", "cpu.v2" }, { CGROUP_FREEZER, "freezer", NULL },
	};
	const struct cgroups *cgroups = prep->site->cgroups;
	autofree char *monitors = local_cgroup_monitors(prep->site), *hidden = runtime_hidden_mount(cgroups);

	for (size_t i = 0; i < cgroups->n; i++) {
		autofree char *group = cgroup_dir(&cgroups->items[i], prep->files->cgroup), *home = cgroup_dir(&cgroups->items[i], monitors);

		monitor_conf_add(conf, "group", group);
		monitor_conf_add(conf, "home", home);
		if (cgroups->items[i].unified)
			monitor_conf_add(conf, "unified", group);
	}
	for (size_t i = 0; i < ARRAY_LEN(named); i++) {
		autofree char *dir = cgroup_controller_dir(cgroups, named[i].controller, prep->files->cgroup);
		const char *key = cgroups_version(cgroups, named[i].controller) == 1 ? named[i].v1 : named[i].v2;

		if (dir && key)
			monitor_conf_add(conf, key, dir);
	}
	monitor_conf_add(conf, "hide", hidden);
}

static void conf_add_root(const struct preparation *prep, const char *skeleton, struct buf *conf)
{
	autofree char *upper = fs_join(prep->files->data, "upper"), *work = fs_join(prep->files->data, "work");
	autofree char *point = local_storage_point(prep->site, prep->files->key.tenant), *top = xasprintf("plain:%s", skeleton);
	const json_t *mounts = json_get_array(prep->body, "mounts");
	size_t index;
	json_t *item;

	for (size_t i = 0; i < prep->image.layer_n; i++) {
		autofree char *layer = prep->shifted ? xasprintf("plain:%s", prep->shifted[i]) : xasprintf("idmap:%s", prep->image.layers[i]);

		monitor_conf_add(conf, "layer", layer);
	}
	monitor_conf_add(conf, "layer", top);
	for (size_t i = 0; i < prep->root_n; i++) {
		autofree char *bind = xasprintf("%s:%s", prep->roots[i].path, prep->roots[i].path);

		if (!prep->roots[i].is_link)
			monitor_conf_add(conf, "bind", bind);
	}
	for (const char *const *shown = skeleton_etc_shown; prep->roots && *shown; shown++) {
		autofree char *bind = xasprintf("%s:%s", *shown, *shown);

		if (fs_is_dir(*shown))
			monitor_conf_add(conf, "bind", bind);
	}
	json_array_foreach((json_t *)mounts, index, item) {
		autofree char *host = xasprintf("%s:%s", json_get_bool(item, "readOnly", false) ? "ro" : "rw", json_get_string(item, "hostPath", ""));

		if (!json_get_string(item, "volume", NULL))
			monitor_conf_add(conf, "host", host);
	}
	monitor_conf_add(conf, "upper", upper);
	monitor_conf_add(conf, "work", work);
	monitor_conf_add(conf, "release", prep->site->run);
	monitor_conf_add(conf, "keep", point);
	monitor_conf_add(conf, "keep", prep->netns);
	monitor_conf_add_int(conf, "base", prep->base);
	monitor_conf_add_int(conf, "count", ID_COUNT);
}

/* Times and sizes that a test makes smaller: computed fields that no plan writes. */
static void conf_add_tuning(const struct preparation *prep, struct buf *conf)
{
	const json_t *tuning = json_get_object(prep->body, "tuning");
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)tuning, key, value)
		if (json_is_integer(value))
			monitor_conf_add_int(conf, key, json_integer_value(value));
}

static int conf_write(const struct preparation *prep, const char *skeleton, const struct bundle_user *user, struct error *err)
{
	autofree char *path = fs_join(prep->files->dir, FILE_CONF);
	autobuf struct buf conf = { 0 };
	char digest[DIGEST_HEX];

	instance_body_digest(prep->body, digest);
	monitor_conf_add(&conf, "key", prep->resource->key);
	monitor_conf_add(&conf, "digest", digest);
	monitor_conf_add(&conf, "dir", prep->files->dir);
	monitor_conf_add(&conf, "runtime", prep->runtime.name);
	monitor_conf_add(&conf, "program", prep->runtime.path);
	conf_add_groups(prep, &conf);
	conf_add_root(prep, skeleton, &conf);
	monitor_conf_add_int(&conf, "uid", user->uid);
	monitor_conf_add_int(&conf, "gid", user->gid);
	monitor_conf_add(&conf, "log", prep->files->log);
	monitor_conf_add(&conf, "usage", prep->files->usage);
	monitor_conf_add(&conf, "restart", json_get_string(prep->body, "restart", "never"));
	conf_add_tuning(prep, &conf);
	if (conf.n > CONF_LIMIT)
		return error_set(err, ERROR_INPUT, "the image of %s has too many layers", prep->resource->key);
	return fs_replace_file(path, conf.data, conf.n, 0600, false, err);
}

int instance_prepare(struct site *site, const struct resource *resource, const struct instance_files *files, struct error *err)
{
	CLEANUP(preparation_clear) struct preparation prep = {
		.site = site, .resource = resource, .body = resource->body, .files = files, .base = json_get_int(resource->body, "base", 0),
	};
	CLEANUP(bundle_user_clear) struct bundle_user user = { 0 };
	autofree char *skeleton = fs_join(files->dir, "skeleton");

	if (prep.base <= 0)
		return error_set(err, ERROR_FAILED, "%s has no range of user ids", resource->key);
	if (runtime_get(&prep, err) < 0 || image_load(&prep, err) < 0 || network_load(&prep, err) < 0)
		return -1;
	if (folders_make(&prep, err) < 0 || data_make(&prep, err) < 0 || skeleton_prepare(&prep, skeleton, err) < 0)
		return -1;
	if (user_find(&prep, skeleton, &user, err) < 0 || fifo_make(&prep, &user, err) < 0)
		return -1;
	if (bundle_prepare(&prep, &user, err) < 0)
		return -1;
	return conf_write(&prep, skeleton, &user, err);
}
