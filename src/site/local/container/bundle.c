/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle.h"

#include "base/fs.h"
#include "base/vec.h"
#include "guest/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PASSWD_LIMIT ((size_t)1 << 20)
#define ID_MAX 65535

void strings_free(char **strings)
{
	for (char **s = strings; s && *s; s++)
		free(*s);
	free(strings);
}

void bundle_user_clear(struct bundle_user *user)
{
	free(user->home);
	user->home = NULL;
}

static json_t *words(const char *const *items)
{
	json_t *array = json_array();

	for (; items && *items; items++)
		json_add(array, json_text(*items));
	return array;
}

static json_t *mount_json(const char *target, const char *type, const char *source, const char *const *options)
{
	json_t *mount = json_object();

	json_set_string(mount, "destination", target);
	json_set_string(mount, "type", type);
	json_set_string(mount, "source", source);
	json_set(mount, "options", words(options));
	return mount;
}

#define OPTIONS(...) (const char *const[]){ __VA_ARGS__, NULL }

static json_t *mounts_json(const struct bundle *bundle)
{
	autofree char *shm = xasprintf("size=%lld", (long long)bundle->shm);
	json_t *mounts = json_array();

	json_add(mounts, mount_json("/proc", "proc", "proc", OPTIONS("nosuid", "noexec", "nodev")));
	json_add(mounts, mount_json("/dev", "tmpfs", "tmpfs", OPTIONS("nosuid", "noexec", "strictatime", "mode=755", "size=65536k")));
	json_add(mounts, mount_json("/dev/pts", "devpts", "devpts", OPTIONS("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")));
	json_add(mounts, mount_json("/dev/shm", "tmpfs", "shm", OPTIONS("nosuid", "nodev", "noexec", "mode=1777", shm)));
	json_add(mounts, mount_json("/dev/mqueue", "mqueue", "mqueue", OPTIONS("nosuid", "noexec", "nodev")));
	json_add(mounts, mount_json("/sys", "tmpfs", "tmpfs", OPTIONS("ro", "nosuid", "noexec", "nodev", "size=0k")));
	for (size_t i = 0; i < bundle->mount_n; i++) {
		const struct bundle_mount *mount = &bundle->mounts[i];

		json_add(mounts, mount_json(mount->target, "bind", mount->source, OPTIONS("rbind", mount->read_only ? "ro" : "rw", "nosuid", "nodev")));
	}
	/* last: where a link of the image leads a volume onto it, the tenant's file there would be PID 1, with our descriptors */
	json_add(mounts, mount_json(INIT_PATH, "bind", bundle->init, OPTIONS("bind", "ro", "nosuid", "nodev")));
	return mounts;
}

static json_t *namespaces_json(const struct bundle *bundle)
{
	static const char *const types[] = { "user", "pid", "mount", "ipc", "uts", "cgroup", "network" };
	json_t *namespaces = json_array();

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		json_t *namespace = json_object();

		json_set_string(namespace, "type", types[i]);
		if (streq(types[i], "network"))
			json_set_string(namespace, "path", bundle->netns);
		json_add(namespaces, namespace);
	}
	return namespaces;
}

static json_t *id_map_json(const struct bundle *bundle)
{
	json_t *maps = json_array(), *map = json_object();

	json_set_int(map, "containerID", 0);
	json_set_int(map, "hostID", bundle->base);
	json_set_int(map, "size", bundle->count);
	json_add(maps, map);
	return maps;
}

static json_t *linux_json(const struct bundle *bundle)
{
	static const char *const masked[] = {
		"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/latency_stats", "/proc/sched_debug",
		"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/proc/kallsyms", "/proc/config.gz", NULL,
	};
	static const char *const read_only[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL };
	json_t *section = json_object();

	json_set(section, "namespaces", namespaces_json(bundle));
	json_set(section, "uidMappings", id_map_json(bundle));
	json_set(section, "gidMappings", id_map_json(bundle));
	json_set(section, "maskedPaths", words(masked));
	json_set(section, "readonlyPaths", words(read_only));
	json_set_string(section, "rootfsPropagation", "private");
	if (bundle->cgroup)
		json_set_string(section, "cgroupsPath", bundle->cgroup);
	return section;
}

static json_t *limit_json(const char *type, int64_t value)
{
	json_t *limit = json_object();

	json_set_string(limit, "type", type);
	json_set_int(limit, "soft", value);
	json_set_int(limit, "hard", value);
	return limit;
}

json_t *bundle_process(const struct bundle_user *user, const char *const *args, const char *const *env, const char *working_dir,
		       bool tty, int64_t open_files, int64_t oom_score_adj)
{
	static const char *const sets[] = { "bounding", "effective", "inheritable", "permitted", "ambient" };
	json_t *process = json_object(), *ids = json_object(), *capabilities = json_object(), *limits = json_array();

	json_set_bool(process, "terminal", tty);
	json_set_int(ids, "uid", user->uid);
	json_set_int(ids, "gid", user->gid);
	json_set(process, "user", ids);
	json_set(process, "args", words(args));
	json_set(process, "env", words(env));
	json_set_string(process, "cwd", working_dir && *working_dir ? working_dir : "/");
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		json_set(capabilities, sets[i], json_array());
	json_set(process, "capabilities", capabilities);
	json_set_bool(process, "noNewPrivileges", true);
	json_set_int(process, "oomScoreAdj", oom_score_adj);
	json_add(limits, limit_json("RLIMIT_CORE", 0));	/* a core file holds secrets; the machine's own collector would keep it outside */
	if (open_files > 0)
		json_add(limits, limit_json("RLIMIT_NOFILE", open_files));
	json_set(process, "rlimits", limits);
	return process;
}

/* Does an earlier one of the same name have to give way to this one? */
static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return !strncmp(a, b, n) && (b[n] == '=' || b[n] == '\0');
}

static bool env_is_last(const char *const *env)
{
	for (const char *const *later = env + 1; *later; later++)
		if (same_name(*env, *later))
			return false;
	return true;
}

static json_t *process_json(const struct bundle *bundle)
{
	VEC(const char *) args = { 0 }, env = { 0 };
	json_t *process;

	vec_push(&args, INIT_PATH);
	vec_push(&args, "--");
	for (const char *const *arg = bundle->args; *arg; arg++)
		vec_push(&args, *arg);
	vec_push(&args, NULL);
	for (const char *const *one = bundle->env; one && *one; one++)
		if (env_is_last(one))
			vec_push(&env, *one);
	vec_push(&env, NULL);
	process = bundle_process(&bundle->user, args.items, env.items, bundle->working_dir, false, bundle->open_files, bundle->oom_score_adj);
	vec_clear(&args);
	vec_clear(&env);
	return process;
}

json_t *bundle_config(const struct bundle *bundle)
{
	json_t *config = json_object(), *root = json_object(), *section = linux_json(bundle);

	json_set_string(config, "ociVersion", "1.0.0");
	json_set(config, "process", process_json(bundle));
	json_set_string(root, "path", bundle->root);
	json_set_bool(root, "readonly", false);
	json_set(config, "root", root);
	json_set_string(config, "hostname", bundle->hostname);
	json_set(config, "mounts", mounts_json(bundle));
	if (bundle->filter) {
		json_t *annotations = json_object(), *seccomp = json_object();

		/* crun wants the section there to load the filter of the annotation instead of it */
		json_set_string(seccomp, "defaultAction", "SCMP_ACT_ALLOW");
		json_set(section, "seccomp", seccomp);
		json_set_string(annotations, "run.oci.seccomp_bpf_data", bundle->filter);
		json_set(config, "annotations", annotations);
	}
	json_set(config, "linux", section);
	return config;
}

static void texts_push(const json_t *array, char **texts, size_t *n)
{
	size_t index;
	json_t *item;

	json_array_foreach((json_t *)array, index, item)
		if (json_is_string(item))
			texts[(*n)++] = xstrdup(json_string_value(item));
}

int bundle_command(const json_t *command, const json_t *image_config, char ***ret, struct error *err)
{
	const json_t *entrypoint = json_get_array(image_config, "Entrypoint"), *cmd = json_get_array(image_config, "Cmd");
	bool own = json_array_size(command) > 0;
	char **texts;
	size_t n = 0;

	texts = xcalloc(json_array_size(command) + json_array_size(entrypoint) + json_array_size(cmd) + 1, sizeof(*texts));
	if (own) {
		texts_push(command, texts, &n);
	} else {
		texts_push(entrypoint, texts, &n);
		texts_push(cmd, texts, &n);
	}
	if (!n || !*texts[0]) {
		strings_free(texts);
		error_set(err, ERROR_INPUT, "there is no command: neither the workload nor its image says one");
		return error_hint(err, "give the workload a command: [program, argument]");
	}
	*ret = texts;
	return 0;
}

static bool id_parse(const char *text, size_t n, int64_t *ret)
{
	int64_t value = 0;

	if (!n || n > 6)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (text[i] - '0');
	}
	*ret = value;
	return true;
}

/* A file of an unpacked layer, all links taken as within it; NULL when it has none. */
static char *layer_file(const char *layer, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	autofd int dir = open(layer, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
	autofree char *in_proc = NULL;
	struct error ignored;
	char *text;

	fd = dir < 0 ? -1 : (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	if (fd < 0)
		return NULL;
	in_proc = xasprintf("/proc/self/fd/%d", fd);
	return fs_read_file(in_proc, PASSWD_LIMIT, &text, NULL, &ignored) == 0 ? text : NULL;
}

static char *topmost_file(const char *const *layers, size_t n, const char *path)
{
	char *text = NULL;

	while (n-- > 0 && !text)
		text = layer_file(layers[n], path);
	return text;
}

/* Splits a line of passwd or group in place. */
static size_t fields_split(char *line, char *fields[8])
{
	size_t n = 0;

	while (line && n < 8)
		fields[n++] = strsep(&line, ":");
	return n;
}

/* The line whose name or id (field 2) is `what`; split into fields. */
static bool line_find(char *text, const char *what, size_t n, char *fields[8], size_t least)
{
	int64_t id = -1;
	bool numeric = id_parse(what, n, &id);

	while (text && *text) {
		char *line = strsep(&text, "\n");
		int64_t line_id;

		if (fields_split(line, fields) < least || !id_parse(fields[2], strlen(fields[2]), &line_id))
			continue;
		if (numeric ? line_id == id : strlen(fields[0]) == n && !strncmp(fields[0], what, n))
			return true;
	}
	return false;
}

static int group_find(const char *group, const char *const *layers, size_t layer_n, int64_t *ret, struct error *err)
{
	autofree char *text = NULL;
	char *fields[8];

	if (id_parse(group, strlen(group), ret))
		return 0;
	text = topmost_file(layers, layer_n, "etc/group");
	if (!line_find(text, group, strlen(group), fields, 3))
		return error_set(err, ERROR_INPUT, "the image's group %s is not in its /etc/group", group);
	id_parse(fields[2], strlen(fields[2]), ret);
	return 0;
}

int bundle_user_find(const char *user, const char *const *layers, size_t layer_n, struct bundle_user *ret, struct error *err)
{
	struct bundle_user found = { 0, 0, NULL };
	const char *name = user && *user ? user : "0", *colon = strchr(name, ':');
	size_t n = colon ? (size_t)(colon - name) : strlen(name);
	autofree char *text = topmost_file(layers, layer_n, "etc/passwd");
	char *fields[8];
	bool listed = line_find(text, name, n, fields, 6), numeric = id_parse(name, n, &found.uid);

	if (!listed && !numeric)
		return error_set(err, ERROR_INPUT, "the image's user %.*s is not in its /etc/passwd", (int)n, name);
	if (listed) {
		id_parse(fields[2], strlen(fields[2]), &found.uid);
		id_parse(fields[3], strlen(fields[3]), &found.gid);
	}
	if (colon && group_find(colon + 1, layers, layer_n, &found.gid, err) < 0)
		return -1;
	if (found.uid > ID_MAX || found.gid > ID_MAX)
		return error_set(err, ERROR_INPUT, "the image's user %s has an id above %d, which no tenant's range holds", name, ID_MAX);
	found.home = xstrdup(listed && fields[5][0] == '/' ? fields[5] : "/");
	*ret = found;
	return 0;
}
