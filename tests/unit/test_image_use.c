/* SPDX-License-Identifier: Apache-2.0 */
#include "image_fixture.h"

#include "site/local/local.h"

/* What others take from the store: layers for a range of ids, the image of the host, the resource of a plan. */

static void shifted_copies_belong_to_a_range(void **state)
{
	struct fixture *f = *state;
	autofree char *top = rootfs_make(f, "one"), *reference = xasprintf("rootfs:%s", top);
	autoimage struct image image = { 0 };
	struct error err = { 0 };
	char **paths = NULL;
	int64_t freed;
	struct stat st, other;

	assert_ok(image_import(f->store, reference, "base", NULL, NULL, &image, &err));
	for (int i = 0; i < 2; i++) {
		autofree char *file = NULL, *hard = NULL;

		assert_ok(image_shifted_layers(f->store, &image, 1000000, &paths, &err));
		assert_null(paths[1]);
		file = fs_join(paths[0], "bin/a");
		hard = fs_join(paths[0], "bin/b");
		assert_int_equal(lstat(file, &st), 0);
		assert_int_equal(st.st_uid, 1000003);
		assert_int_equal(st.st_gid, 1000004);
		assert_int_equal(st.st_mode & 07777, 04711);
		assert_int_equal(lstat(hard, &other), 0);
		assert_int_equal(st.st_ino, other.st_ino);
		assert_int_equal(lstat(paths[0], &st), 0);
		assert_int_equal(st.st_uid, 1000000);
		free(paths[0]);
		free(paths);
	}
	{
		const char *used[] = { image.digest, NULL };

		assert_ok(image_prune(f->store, used, false, false, &freed, NULL, NULL, &err));
		assert_int_equal(count(f->store_dir, "layers"), 4);
	}
	/* named but unused: the layer stays, its copies are made again when needed */
	assert_ok(image_prune(f->store, NULL, false, false, &freed, NULL, NULL, &err));
	assert_int_equal(count(f->store_dir, "layers"), 2);
	prune_all(f);
}

static void the_idmap_probe_answers_and_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct fs_mounts before = { 0 }, after = { 0 };
	struct error err = { 0 };
	char *why = NULL;
	bool works;

	assert_ok(fs_mounts_read("/proc/self/mountinfo", &before, &err));
	works = image_idmap_works(f->store_dir, &why);
	printf("# id-mapped layers on this file system: %s\n", works ? "yes" : why);
	assert_true(works == !why);
	free(why);
	assert_ok(fs_mounts_read("/proc/self/mountinfo", &after, &err));
	assert_int_equal(before.n, after.n);
	assert_int_equal(count(f->dir, "store"), 6);
	fs_mounts_clear(&before);
	fs_mounts_clear(&after);
	why = NULL;
	assert_false(image_idmap_works("/nowhere/at/all", &why));
	assert_non_null(why);
	free(why);
}

static void the_host_shows_its_programs_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	autoimage struct image image = { 0 }, got = { 0 };
	autofree char *digest = NULL;
	struct image_host_root *roots;
	struct error err = { 0 };
	bool usr = false;
	size_t n;

	assert_ok(image_host_roots(&roots, &n, &err));
	for (size_t i = 0; i < n; i++) {
		assert_true(starts_with(roots[i].path, "/usr") || starts_with(roots[i].path, "/bin") || starts_with(roots[i].path, "/sbin") ||
			    starts_with(roots[i].path, "/lib") || starts_with(roots[i].path, "/opt"));
		assert_int_equal(roots[i].is_link, roots[i].target != NULL);
		usr |= streq(roots[i].path, "/usr");
	}
	assert_true(usr);
	image_host_roots_free(roots, n);
	assert_ok(image_resolve(f->store, "host", &digest, &err));
	assert_true(starts_with(digest, "host:"));
	assert_ok(image_import(f->store, "host", NULL, NULL, NULL, &image, &err));
	assert_string_equal(image.digest, digest);
	assert_int_equal(image.layer_n, 0);
	assert_null(image.layers[0]);
	assert_ok(image_get(f->store, digest, &got, &err));
	image_clear(&got);
	assert_fails(image_get(f->store, "host:0000000000000000000000000000000000000000000000000000000000000000", &got, &err), "not what it was");
	assert_int_equal(err.code, ERROR_CONFLICT);
	assert_fails(image_import(f->store, "host", "mine", NULL, NULL, &got, &err), "not kept under a name");
}

struct kinds_seen { const char *digest; bool image, host; };

static int kind_seen(void *arg, struct resource *resource)
{
	struct kinds_seen *seen = arg;

	if (str_equal(resource->id, seen->digest)) {
		seen->image = true;
		assert_string_equal(resource->key + strlen("image/"), seen->digest);
	}
	seen->host |= starts_with(resource->key, "image/host:");
	resource_free(resource);
	return 0;
}

static void a_resource_is_the_image_that_was_planned(void **state)
{
	struct fixture *f = *state;
	autofree char *top = rootfs_make(f, "one"), *reference = xasprintf("rootfs:%s", top), *digest = NULL, *key = NULL;
	struct label alias = { "base", reference };
	struct site_intent intent = { .name = "t", .images = { &alias, 1 } };
	struct site_config config = { .deployment = "t", .state_dir = f->dir, .intent = &intent };
	struct site site = { .config = &config, .images = f->store_dir };
	autoresource struct resource *planned = NULL, *other = NULL;
	struct kinds_seen seen = { 0 };
	struct error err = { 0 };

	assert_ok(image_resolve(f->store, reference, &digest, &err));
	seen.digest = digest;
	key = xasprintf("image/%s", digest);
	planned = resource_new("local", "image", key, json_pack("{s:s, s:s}", "digest", digest, "reference", "base"));
	assert_fails(local_image.get(&site, planned, &err), "not in the store");
	assert_int_equal(err.code, ERROR_NOT_FOUND);
	assert_ok(local_image.list(&site, kind_seen, &seen, &err));
	assert_true(seen.host && !seen.image);
	for (int i = 0; i < 2; i++) {
		assert_ok(local_image.create(&site, planned, &err));
		assert_string_equal(planned->id, digest);
	}
	assert_ok(local_image.list(&site, kind_seen, &seen, &err));
	assert_true(seen.image);
	assert_ok(local_image.get(&site, planned, &err));
	/* destroyed: it stays in the store */
	assert_ok(local_image.remove(&site, planned, true, &err));
	assert_ok(local_image.get(&site, planned, &err));
	/* the folder changed since the plan */
	other = resource_new("local", "image", "image/x", json_pack("{s:s, s:s}", "digest",
								     "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "reference", reference));
	assert_fails(local_image.create(&site, other, &err), "not what was planned");
	assert_int_equal(err.code, ERROR_CONFLICT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(shifted_copies_belong_to_a_range, setup, teardown),
		cmocka_unit_test_setup_teardown(the_idmap_probe_answers_and_leaves_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_resource_is_the_image_that_was_planned, setup, teardown),
		cmocka_unit_test_setup_teardown(the_host_shows_its_programs_and_nothing_else, setup, teardown),
	};

	if (geteuid() != 0) {
		printf("1..0 # SKIP the image store is root's\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
