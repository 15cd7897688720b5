/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_TESTS_LOCAL_SITE_H
#define INSULA_TESTS_LOCAL_SITE_H

/*
 * A local site for tests of its kinds: own state and run folders, a deployment name of this process, and a
 * private mount namespace with its own /etc. local_site_stop checks that a sweep finds nothing.
 */

#include "helper.h"

#include "plan/site.h"
#include "site/local/container/cgroup.h"
#include "site/local/kinds.h"
#include "site/local/local.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

struct local_site {
	char *dir;
	struct site_intent intent;
	struct site_config config;
	struct site site;
};

static inline void local_site_etc(const char *dir)
{
	static const char *const files[] = { "passwd", "group" };
	autofree char *etc = xasprintf("%s/etc", dir);
	struct error err = { 0 };

	assert_int_equal(mkdir(etc, 0755), 0);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		autofree char *from = xasprintf("/etc/%s", files[i]), *to = xasprintf("%s/%s", etc, files[i]), *text = NULL;
		size_t n;

		assert_ok(fs_read_file(from, 1 << 20, &text, &n, &err));
		assert_ok(fs_replace_file(to, text, n, 0644, false, &err));
	}
	assert_int_equal(mount(etc, "/etc", NULL, MS_BIND, NULL), 0);
}

/* Skips the test when this is not root or has no namespaces. */
static inline struct local_site *local_site_start(void)
{
	struct local_site *local;
	struct error err = { 0 };
	static bool unshared;

	if (geteuid() != 0)
		test_skip("this needs root");
	if (!unshared && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0))
		test_skip("this needs a mount namespace");
	unshared = true;
	local = xcalloc(1, sizeof(*local));
	local->dir = temp_dir_make();
	local_site_etc(local->dir);
	local->intent = (struct site_intent){ .name = "local" };
	local->config = (struct site_config){
		.deployment = xasprintf("test-%d", getpid()), .state_dir = xasprintf("%s/state", local->dir),
		.run_dir = xasprintf("%s/run", local->dir), .program_dir = getenv("INSULA_TEST_BUILD"), .intent = &local->intent,
	};
	local->site = (struct site){
		.config = &local->config, .deployment_dir = fs_join(local->config.state_dir, local->config.deployment),
		.run = fs_join(local->config.run_dir, local->config.deployment), .images = fs_join(local->config.state_dir, "images"),
		.facts = json_object(),
	};
	assert_ok(fs_make_dirs(local->site.deployment_dir, 0700, &err));
	assert_ok(cgroups_open(&local->site.cgroups, &err));
	return local;
}

static inline int local_site_count(void *arg, struct resource *resource)
{
	resource_free(resource);
	++*(unsigned *)arg;
	return 0;
}

/* Nothing may be left of what these kinds make. */
static inline void local_site_stop(struct local_site *local, const struct local_kind *const *kinds, size_t n)
{
	struct error err = { 0 };

	for (size_t i = 0; i < n; i++) {
		json_t *left = json_array();
		unsigned count = 0;

		if (kinds[i]->sweep)
			assert_ok(kinds[i]->sweep(&local->site, NULL, left, &err));
		if (json_array_size(left))
			fail_msg("%s: left: %s", kinds[i]->name, json_string_value(json_array_get(left, 0)));
		assert_ok(kinds[i]->list(&local->site, local_site_count, &count, &err));
		assert_int_equal(count, 0);
		json_decref(left);
	}
	assert_false(fs_exists(local->config.run_dir));
	assert_int_equal(umount2("/etc", MNT_DETACH), 0);
	cgroups_close(local->site.cgroups);
	json_decref(local->site.facts);
	free(local->site.deployment_dir);
	free(local->site.run);
	free(local->site.images);
	free((char *)local->config.deployment);
	free((char *)local->config.state_dir);
	free((char *)local->config.run_dir);
	temp_dir_remove(local->dir);
	free(local);
}

static inline struct resource *local_resource(const char *kind, const char *key, json_t *body)
{
	assert_non_null(body);
	return resource_new("local", kind, key, body);
}

/* Creates it, twice. */
static inline void local_make(struct local_site *local, const struct local_kind *kind, const char *key, json_t *body)
{
	autoresource struct resource *resource = local_resource(kind->name, key, body);
	struct error err = { 0 };

	assert_ok(kind->create(&local->site, resource, &err));
	assert_non_null(resource->id);
	assert_ok(kind->create(&local->site, resource, &err));
}

static inline int local_change(struct local_site *local, const struct local_kind *kind, const char *key, json_t *body, struct error *err)
{
	autoresource struct resource *from = local_resource(kind->name, key, json_object()), *to = local_resource(kind->name, key, body);

	if (kind->get(&local->site, from, err) < 0)
		return -1;
	return kind->update(&local->site, from, to, err);
}

/* Removes it, twice. */
static inline void local_take(struct local_site *local, const struct local_kind *kind, const char *key, bool delete_data)
{
	autoresource struct resource *resource = local_resource(kind->name, key, json_object());
	struct error err = { 0 };

	assert_ok(kind->get(&local->site, resource, &err));
	assert_ok(kind->remove(&local->site, resource, delete_data, &err));
	assert_ok(kind->remove(&local->site, resource, delete_data, &err));
}

/* What get says of it; the caller frees. */
static inline json_t *local_body(struct local_site *local, const struct local_kind *kind, const char *key)
{
	autoresource struct resource *resource = local_resource(kind->name, key, json_object());
	struct error err = { 0 };

	if (kind->get(&local->site, resource, &err) < 0)
		return NULL;
	return json_incref(resource->body);
}

static inline void local_expect(struct local_site *local, const struct local_kind *kind, const char *key, json_t *wanted)
{
	json_t *body = local_body(local, kind, key);
	char *a = body ? json_canonical(body) : xstrdup("absent"), *b = json_canonical(wanted);

	if (!streq(a, b))
		fail_msg("%s is %s, not %s", key, a, b);
	free(a);
	free(b);
	json_decref(body);
	json_decref(wanted);
}

#endif
