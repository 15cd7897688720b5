/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_TESTS_INSTANCE_FIXTURE_H
#define INSULA_TESTS_INSTANCE_FIXTURE_H

/*
 * Instances without the rest of a site: one tenant "t", whose storage is a plain folder, no network, an image of busybox.
 * All of it is in a folder of its own and in a control group of its own, and goes with them.
 */

#include "helper.h"

#include "base/clock.h"
#include "base/proc.h"
#include "guest/protocol.h"
#include "site/local/container/bundle.h"
#include "site/local/container/cgroup.h"
#include "site/local/container/instance.h"
#include "site/local/disk/storage.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIXTURE_BASE 1900544000	/* 0x71480000: in the range that is nobody's */

struct fixture {
	char *dir, *rootfs, *digest;
	struct site_config config;
	struct site site;
	char name[64];
	const char *skip;	/* why nothing can run here, or NULL */
};

static inline int fixture_secret(void *arg, const char *name, struct secret *ret, struct error *err)
{
	autofree char *value = xasprintf("the value of %s", name);

	secret_set(ret, value, strlen(value));
	return 0;
}

/* busybox alone, with the links that the tests use. */
static inline void fixture_rootfs(struct fixture *f)
{
	static const char *const folders[] = { "bin", "etc", "tmp", "var", "data" };
	static const char *const tools[] = { "sh", "cat", "sleep", "ls", "id", "true", "false", "mknod", "dd", "kill", "seq", "echo", "grep", "mount", "ps", "touch", "head", "tail", "env", "mkdir", "rm", "hostname", "stat", "yes", "wc", "chmod", "date" };
	static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:100:Ann:/data:/bin/sh\n", group[] = "root:x:0:\nusers:x:100:\nstaff:x:50:\n";
	autofree char *busybox = fs_find_program(PROC_PATH, "busybox"), *target = xasprintf("%s/bin/busybox", f->rootfs);
	autofree char *passwd_path = fs_join(f->rootfs, "etc/passwd"), *group_path = fs_join(f->rootfs, "etc/group");
	const char *const argv[] = { "cp", busybox, target, NULL };
	const struct proc_options options = { .argv = argv };
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		autofree char *path = fs_join(f->rootfs, folders[i]);

		assert_ok(fs_make_dirs(path, 0755, &err));
	}
	assert_ok(proc_check(&options, NULL, &err));
	for (size_t i = 0; i < ARRAY_LEN(tools); i++) {
		autofree char *path = xasprintf("%s/bin/%s", f->rootfs, tools[i]);

		assert_int_equal(symlink("busybox", path), 0);
	}
	assert_ok(fs_replace_file(passwd_path, passwd, strlen(passwd), 0644, false, &err));
	assert_ok(fs_replace_file(group_path, group, strlen(group), 0644, false, &err));
}

static inline void fixture_image(struct fixture *f)
{
	autofree char *reference = xasprintf("rootfs:%s", f->rootfs);
	autoimage struct image image = { 0 };
	struct image_store *store;
	struct error err;

	assert_ok(image_store_open(f->site.images, 0, &store, &err));
	assert_ok(image_import(store, reference, NULL, NULL, NULL, &image, &err));
	image_store_close(store);
	f->digest = xstrdup(image.digest);
}

static inline struct fixture *fixture_make(void)
{
	static const struct cgroup_limits none = { AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, NULL, false, false };
	struct fixture *f = xcalloc(1, sizeof(*f));
	autofree char *busybox = fs_find_program(PROC_PATH, "busybox"), *crun = fs_find_program(PROC_PATH, "crun"), *runc = fs_find_program(PROC_PATH, "runc");
	autofree char *point = NULL, *monitors = NULL, *build = NULL;
	struct error err = { 0 };

	if (geteuid())
		f->skip = "needs root";
	else if (!busybox)
		f->skip = "needs busybox-static";
	else if (!crun && !runc)
		f->skip = "needs an OCI runtime (crun)";
	if (f->skip)
		return f;
	f->dir = xstrdup("/tmp/insula-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chmod(f->dir, 0711), 0);
	snprintf(f->name, sizeof(f->name), "test-%d", (int)getpid());
	build = xasprintf("%s/guest", getenv("INSULA_TEST_BUILD") ? getenv("INSULA_TEST_BUILD") : "build");
	f->rootfs = fs_join(f->dir, "rootfs");
	f->config = (struct site_config){ .deployment = f->name, .secret = fixture_secret };
	f->config.state_dir = fs_join(f->dir, "state");
	f->config.run_dir = fs_join(f->dir, "run");
	f->config.program_dir = steal(&build);
	f->site.config = &f->config;
	f->site.deployment_dir = fs_join(f->config.state_dir, f->name);
	f->site.run = fs_join(f->config.run_dir, f->name);
	f->site.images = fs_join(f->config.state_dir, "images");
	f->site.facts = json_object();
	assert_ok(cgroups_open(&f->site.cgroups, &err));
	assert_ok(fs_make_dirs(f->site.run, 0711, &err));
	assert_ok(fs_make_dirs(f->site.deployment_dir, 0700, &err));
	point = local_storage_point(&f->site, "t");
	assert_ok(fs_make_dirs(point, 0711, &err));
	monitors = local_cgroup_monitors(&f->site);
	assert_ok(cgroup_create(f->site.cgroups, monitors, &none, NULL, &err));
	fixture_rootfs(f);
	fixture_image(f);
	return f;
}

static inline void fixture_free(struct fixture *f)
{
	if (!f->skip) {
		autofree char *group = xasprintf("/insula/%s", f->name);
		struct error err = { 0 };
		char **others;

		assert_ok(cgroup_remove(f->site.cgroups, group, &err));
		if (cgroup_children(f->site.cgroups, "/insula", &others, &err) == 0) {
			bool empty = !*others;

			strings_free(others);
			if (empty)
				assert_ok(cgroup_remove(f->site.cgroups, "/insula", &err));
		}
		cgroups_close(f->site.cgroups);
		temp_dir_remove(f->dir);
		free(f->rootfs);
		free(f->digest);
		free((char *)f->config.state_dir);
		free((char *)f->config.run_dir);
		free((char *)f->config.program_dir);
		free(f->site.deployment_dir);
		free(f->site.run);
		free(f->site.images);
		json_decref(f->site.facts);
	}
	free(f);
}

#define fixture_need(f) \
	do { \
		if ((f)->skip) \
			test_skip("%s", (f)->skip ? (f)->skip : ""); \
	} while (0)

/* A body with a shell command; `more` (JSON text, single quotes for double ones, or NULL) is laid over it. */
static inline struct resource *fixture_instance(struct fixture *f, const char *key, const char *script, const char *more)
{
	json_t *body = json_pack("{s:s, s:s, s:s, s:[s,s,s], s:[], s:[], s:s, s:I, s:s, s:I}", "method", "container", "digest", "d", "image", f->digest,
				 "command", "sh", "-c", script, "env", "mounts", "restart", "never", "base", (json_int_t)FIXTURE_BASE,
				 "hostname", "box", "shm", (json_int_t)(1 << 20));

	assert_non_null(body);
	if (more) {
		autofree char *text = xstrdup(more);
		autojson json_t *over = NULL;
		struct error err;

		for (char *p = text; *p; p++)
			if (*p == '\'')
				*p = '"';
		assert_ok(json_parse("more", text, strlen(text), 65536, &over, &err));
		json_object_update(body, over);
	}
	return resource_new("local", "instance", key, body);
}

/* Waits until the instance is in that state; its status then. */
static inline struct monitor_status fixture_wait(struct fixture *f, const char *key, const char *state, int64_t ms)
{
	autofree char *dir = local_instance_dir(&f->site, key);
	int64_t end = clock_monotonic_ns(&clock_system) / 1000000 + ms;
	struct monitor_status status = { 0 };
	struct error err = { 0 };

	while (clock_monotonic_ns(&clock_system) / 1000000 < end) {
		if (monitor_status(dir, &status, &err) == 0 && streq(status.state, state))
			return status;
		clock_sleep_ms(&clock_system, 5);
	}
	fail_msg("%s is %s (%s), not %s", key, status.state, *status.reason ? status.reason : err.message, state);
	return status;
}

static inline char *fixture_log(struct fixture *f, const char *key)
{
	autoinstance_files struct instance_files files = { 0 };
	struct error err;
	char *text;

	assert_ok(instance_files_of(&f->site, key, &files, &err));
	if (fs_read_file(files.log, 64 << 20, &text, NULL, &err) < 0)
		return xstrdup("");
	return text;
}

static inline void fixture_remove(struct fixture *f, const struct resource *resource)
{
	autofree char *dir = local_instance_dir(&f->site, resource->key), *group = local_cgroup_instance(&f->site, resource->key);
	struct error err = { 0 };

	assert_ok(local_instance.remove(&f->site, resource, false, &err));
	assert_false(fs_exists(dir));
	assert_false(cgroup_exists(f->site.cgroups, group));
}

#endif
