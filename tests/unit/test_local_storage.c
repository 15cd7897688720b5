/* SPDX-License-Identifier: Apache-2.0 */
#include "local_site.h"

#include "site/local/disk/mount.h"
#include "site/local/disk/storage.h"

#include <errno.h>
#include <fcntl.h>

#define MIB (1LL << 20)
#define BASE 1879048192LL

static const struct local_kind *const kinds[] = { &local_runtime, &local_ids, &local_limits, &local_storage, &local_volume };

static void runtime_make(struct local_site *local)
{
	local_make(local, &local_runtime, "host/runtime", json_object());
}

static void stop(struct local_site *local)
{
	local_take(local, &local_runtime, "host/runtime", false);
	local_site_stop(local, kinds, ARRAY_LEN(kinds));
}

static json_t *storage_body(long long mib, long long base)
{
	return json_pack("{s:I, s:I, s:b, s:b}", "size", (json_int_t)(mib * MIB), "base", (json_int_t)base, "mounted", 1, "reserved", 1);
}

static json_t *volume_body(const char *name, long long mib, bool keep, long long owner)
{
	json_t *body = json_pack("{s:s, s:b, s:I}", "name", name, "keep", (int)keep, "owner", (json_int_t)owner);

	if (mib)
		json_set_int(body, "size", mib * MIB);
	return body;
}

static void put(struct local_site *local, const char *volume, const char *name, uint32_t owner)
{
	autofree char *dir = local_volume_dir(&local->site, "a", volume), *path = fs_join(dir, name);
	autofd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "data", 4), 4);
	assert_int_equal(fchown(fd, owner, owner), 0);
}

static bool has(struct local_site *local, const char *volume, const char *name, uint32_t owner)
{
	autofree char *dir = local_volume_dir(&local->site, "a", volume), *path = fs_join(dir, name);
	struct stat st;

	return stat(path, &st) == 0 && st.st_uid == owner && st.st_gid == owner;
}

/* Writes until the disk is full; how many MiB went in. */
static long fill(struct local_site *local, const char *volume)
{
	autofree char *dir = local_volume_dir(&local->site, "a", volume), *path = fs_join(dir, "fill");
	autofd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	static const char chunk[1 << 20];
	long n = 0;

	while (n < 1000 && write(fd, chunk, sizeof(chunk)) == (ssize_t)sizeof(chunk))
		n++;
	assert_true(errno == ENOSPC || n == 1000);
	assert_int_equal(unlink(path), 0);
	return n;
}

static void the_run_folder_comes_and_goes(void **state)
{
	struct local_site *local = local_site_start();

	runtime_make(local);
	local_expect(local, &local_runtime, "host/runtime", json_pack("{s:b, s:b}", "mount", 1, "cgroups", 1));
	assert_int_equal(umount(local->site.run), 0);
	local_expect(local, &local_runtime, "host/runtime", json_pack("{s:b, s:b}", "mount", 0, "cgroups", 1));
	runtime_make(local);
	stop(local);
}

static void what_an_earlier_boot_left_is_removed(void **state)
{
	struct local_site *local = local_site_start();
	autofree char *stale = xasprintf("%s/i/a/b", local->site.run), *boot = xasprintf("%s/boot", local->site.run);
	struct error err = { 0 };

	assert_ok(fs_make_dirs(stale, 0700, &err));
	assert_ok(fs_replace_file(boot, "another", 7, 0600, false, &err));
	runtime_make(local);
	assert_false(fs_exists(stale));
	assert_ok(fs_make_dirs(stale, 0700, &err));
	runtime_make(local);
	assert_true(fs_exists(stale));
	stop(local);
}

static void ids_are_registered_beside_others(void **state)
{
	static const char before[] = "ann:100000:65536\n# odd line\nlast:200000:10";
	struct local_site *local = local_site_start();
	autofree char *name = xasprintf("insula-%s.a", local->config.deployment), *text = NULL, *wanted = NULL;
	struct error err = { 0 };

	runtime_make(local);
	assert_ok(fs_replace_file("/etc/subuid", before, strlen(before), 0640, false, &err));
	local_make(local, &local_ids, "a/ids", json_pack("{s:I, s:i, s:s}", "base", (json_int_t)BASE, "count", 65536, "name", name));
	assert_ok(fs_read_file("/etc/subuid", 4096, &text, NULL, &err));
	wanted = xasprintf("%s\n%s:1879048192:65536\n", before, name);
	assert_string_equal(text, wanted);
	local_expect(local, &local_ids, "a/ids", json_pack("{s:I, s:i, s:s, s:b}", "base", (json_int_t)BASE, "count", 65536, "name", name, "registered", 1));
	/* half of it is gone: told, and mended */
	assert_int_equal(unlink("/etc/subgid"), 0);
	local_expect(local, &local_ids, "a/ids", json_pack("{s:I, s:i, s:s, s:b}", "base", (json_int_t)BASE, "count", 65536, "name", name, "registered", 0));
	assert_ok(local_change(local, &local_ids, "a/ids", json_pack("{s:I, s:i, s:s}", "base", (json_int_t)BASE, "count", 65536, "name", name), &err));
	local_take(local, &local_ids, "a/ids", false);
	free(text);
	text = NULL;
	assert_ok(fs_read_file("/etc/subuid", 4096, &text, NULL, &err));
	free(wanted);
	wanted = xasprintf("%s\n", before);
	assert_string_equal(text, wanted);
	stop(local);
}

static void ids_of_others_are_not_taken(void **state)
{
	struct local_site *local = local_site_start();
	struct { const char *path, *text, *says; } cases[] = {
		{ "/etc/subuid", "ann:1879113727:1\n", "ann" },
		{ "/etc/subgid", "bob:1879000000:100000\n", "bob" },
		{ "/etc/passwd", "root:x:0:0::/:/bin/sh\neve:x:1879048200:100::/:/bin/sh\n", "eve" },
	};
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoresource struct resource *resource = local_resource("ids", "a/ids", json_pack("{s:I, s:i, s:s}", "base", (json_int_t)BASE, "count", 65536, "name", "insula-x.a"));
		autofree char *kept = NULL;
		size_t n = 0;

		if (fs_read_file(cases[i].path, 1 << 20, &kept, &n, &err) < 0)
			kept = xstrdup("");
		assert_ok(fs_replace_file(cases[i].path, cases[i].text, strlen(cases[i].text), 0644, false, &err));
		assert_fails(local_ids.create(&local->site, resource, &err), cases[i].says);
		assert_int_equal(err.code, ERROR_CONFLICT);
		assert_ok(fs_replace_file(cases[i].path, kept, n, 0644, false, &err));
		assert_ok(local_ids.remove(&local->site, resource, false, &err));
	}
	local_site_stop(local, kinds, ARRAY_LEN(kinds));
}

static void limits_are_read_back(void **state)
{
	struct local_site *local = local_site_start();
	json_t *body = json_pack("{s:i, s:i, s:I, s:i}", "cpuMax", 1500, "cpuWeight", 250, "memoryMax", (json_int_t)(64 * MIB + 1), "pidsMax", 77);
	struct error err = { 0 };

	if (!cgroups_version(local->site.cgroups, CGROUP_CPU) || !cgroups_version(local->site.cgroups, CGROUP_MEMORY))
		test_skip("no control of cpu or memory here");
	runtime_make(local);
	local_make(local, &local_limits, "a/limits", json_incref(body));
	local_expect(local, &local_limits, "a/limits", json_incref(body));
	json_set_int(body, "pidsMax", 78);
	json_set_int(body, "cpuMax", 500);
	assert_ok(local_change(local, &local_limits, "a/limits", json_incref(body), &err));
	local_expect(local, &local_limits, "a/limits", json_incref(body));
	local_take(local, &local_limits, "a/limits", false);
	json_decref(body);
	stop(local);
}

static void a_storage_is_as_large_as_it_says(void **state)
{
	struct local_site *local = local_site_start();
	autofree char *image = local_storage_image(&local->site, "a");
	struct stat st;
	long n;

	runtime_make(local);
	local_make(local, &local_storage, "a/storage", storage_body(64, BASE));
	local_expect(local, &local_storage, "a/storage", storage_body(64, BASE));
	assert_int_equal(stat(image, &st), 0);
	assert_int_equal(st.st_size, 64 * MIB);
	assert_true(st.st_blocks * 512 >= 63 * MIB);	/* reserved, not sparse */
	local_make(local, &local_volume, "a/volume/out", volume_body("out", 0, true, BASE));
	n = fill(local, "out");
	assert_true(n > 40 && n < 64);
	local_take(local, &local_volume, "a/volume/out", true);
	local_take(local, &local_storage, "a/storage", false);
	assert_false(fs_exists(image));
	stop(local);
}

/* A new image in its place would be found at the next reboot instead of the tenant's data. */
static void a_deleted_image_is_told_and_not_replaced(void **state)
{
	struct local_site *local = local_site_start();
	autofree char *image = local_storage_image(&local->site, "a");
	autojson json_t *told = storage_body(0, BASE);
	struct error err = { 0 };

	runtime_make(local);
	local_make(local, &local_storage, "a/storage", storage_body(64, BASE));
	assert_int_equal(unlink(image), 0);
	local_expect(local, &local_storage, "a/storage", json_incref(told));
	assert_fails(local_change(local, &local_storage, "a/storage", storage_body(64, BASE), &err), "was deleted while it is in use");
	assert_false(fs_exists(image));
	local_take(local, &local_storage, "a/storage", true);
	local_make(local, &local_storage, "a/storage", storage_body(64, BASE));
	local_take(local, &local_storage, "a/storage", true);
	stop(local);
}

static void kept_volumes_outlive_the_storage(void **state)
{
	struct local_site *local = local_site_start();
	autofree char *image = local_storage_image(&local->site, "a");
	struct error err = { 0 };

	runtime_make(local);
	local_make(local, &local_storage, "a/storage", storage_body(64, BASE));
	local_make(local, &local_volume, "a/volume/out", volume_body("out", 0, true, BASE));
	local_make(local, &local_volume, "a/volume/sized", volume_body("sized", 16, true, BASE));
	local_make(local, &local_volume, "a/volume/gone", volume_body("gone", 16, false, BASE));
	put(local, "out", "file", BASE);
	put(local, "sized", "file", BASE + 7);
	{
		autoresource struct resource *kept = local_resource("volume", "a/volume/out", volume_body("out", 0, true, BASE));

		assert_fails(local_volume.remove(&local->site, kept, false, &err), "kept");
	}
	local_take(local, &local_volume, "a/volume/gone", false);
	local_take(local, &local_storage, "a/storage", false);
	assert_true(fs_exists(image));
	assert_null(local_body(local, &local_storage, "a/storage"));
	/* again, by another range of ids: all is there, and belongs to the new range */
	local_make(local, &local_storage, "a/storage", storage_body(64, BASE + 65536));
	local_make(local, &local_volume, "a/volume/out", volume_body("out", 0, true, BASE + 65536));
	local_make(local, &local_volume, "a/volume/sized", volume_body("sized", 16, true, BASE + 65536));
	assert_true(has(local, "out", "file", BASE + 65536));
	assert_true(has(local, "sized", "file", BASE + 65536 + 7));
	local_take(local, &local_storage, "a/storage", false);
	/* one of two goes while the storage is away, then the other, and the image with it */
	local_take(local, &local_volume, "a/volume/out", true);
	assert_true(fs_exists(image));
	local_make(local, &local_storage, "a/storage", storage_body(64, BASE));
	assert_false(has(local, "out", "file", BASE));
	local_take(local, &local_storage, "a/storage", false);
	local_take(local, &local_volume, "a/volume/sized", true);
	assert_false(fs_exists(image));
	stop(local);
}

static void a_volume_with_a_size_is_held_to_it(void **state)
{
	struct local_site *local = local_site_start();
	struct error err = { 0 };
	long small, large;

	runtime_make(local);
	local_make(local, &local_storage, "a/storage", storage_body(128, BASE));
	local_make(local, &local_volume, "a/volume/v", volume_body("v", 16, true, BASE));
	small = fill(local, "v");
	assert_true(small > 5 && small < 16);
	put(local, "v", "file", BASE);
	assert_ok(local_change(local, &local_volume, "a/volume/v", volume_body("v", 48, true, BASE), &err));
	large = fill(local, "v");
	assert_true(large > small + 20 && large < 48);
	assert_true(has(local, "v", "file", BASE));
	assert_fails(local_change(local, &local_volume, "a/volume/v", volume_body("v", 16, true, BASE), &err), "shrink");
	{
		autoresource struct resource *too_large = local_resource("volume", "a/volume/w", volume_body("w", 500, true, BASE));

		assert_fails(local_volume.create(&local->site, too_large, &err), "volume w");
		assert_int_equal(err.code, ERROR_CAPACITY);
		assert_ok(local_volume.remove(&local->site, too_large, true, &err));
	}
	local_take(local, &local_volume, "a/volume/v", true);
	local_take(local, &local_storage, "a/storage", false);
	stop(local);
}

static void a_storage_grows_and_never_shrinks(void **state)
{
	struct local_site *local = local_site_start();
	struct error err = { 0 };

	runtime_make(local);
	local_make(local, &local_storage, "a/storage", storage_body(64, BASE));
	local_make(local, &local_volume, "a/volume/v", volume_body("v", 16, false, BASE));
	put(local, "v", "file", BASE);
	assert_ok(local_change(local, &local_storage, "a/storage", storage_body(128, BASE), &err));
	local_expect(local, &local_storage, "a/storage", storage_body(128, BASE));
	assert_true(has(local, "v", "file", BASE));
	assert_fails(local_change(local, &local_storage, "a/storage", storage_body(64, BASE), &err), "shrink");
	local_take(local, &local_volume, "a/volume/v", false);
	local_take(local, &local_storage, "a/storage", false);
	stop(local);
}

static void a_storage_in_use_cannot_grow(void **state)
{
	struct local_site *local = local_site_start();
	struct error err = { 0 };

	runtime_make(local);
	local_make(local, &local_storage, "a/storage", storage_body(64, BASE));
	local_make(local, &local_volume, "a/volume/v", volume_body("v", 0, false, BASE));
	{
		autofree char *dir = local_volume_dir(&local->site, "a", "v"), *path = fs_join(dir, "open");
		autofd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		/* where the kernel lets us, it grows while it is in use; else it is refused and stays as it was */
		if (local_change(local, &local_storage, "a/storage", storage_body(128, BASE), &err) < 0) {
			assert_true(err.retryable);
			assert_non_null(strstr(err.message, "test_local_stor"));
		}
		assert_int_equal(write(fd, "x", 1), 1);
	}
	assert_ok(local_change(local, &local_storage, "a/storage", storage_body(128, BASE), &err));
	local_take(local, &local_volume, "a/volume/v", false);
	local_take(local, &local_storage, "a/storage", false);
	stop(local);
}

static void after_a_reboot_the_storage_is_found_again(void **state)
{
	struct local_site *local = local_site_start();
	struct error err = { 0 };
	json_t *body;

	runtime_make(local);
	local_make(local, &local_storage, "a/storage", storage_body(64, BASE));
	local_make(local, &local_volume, "a/volume/v", volume_body("v", 16, true, BASE));
	put(local, "v", "file", BASE);
	assert_ok(local_volumes_unmount(&local->site, "a", &err));
	{
		autofree char *image = local_storage_image(&local->site, "a"), *point = local_storage_point(&local->site, "a");

		assert_ok(image_file_unmount(image, point, &err));
	}
	body = local_body(local, &local_storage, "a/storage");
	assert_false(json_get_bool(body, "mounted", true));
	json_decref(body);
	assert_ok(local_change(local, &local_storage, "a/storage", storage_body(64, BASE), &err));
	assert_true(has(local, "v", "file", BASE));
	local_take(local, &local_volume, "a/volume/v", true);
	local_take(local, &local_storage, "a/storage", true);
	stop(local);
}

static void a_half_made_image_is_no_image(void **state)
{
	struct local_site *local = local_site_start();
	autofree char *image = local_storage_image(&local->site, "a"), *half = xasprintf("%s.new", image), *folder = fs_dirname(image);
	json_t *left = json_array();
	struct error err = { 0 };

	runtime_make(local);
	assert_ok(fs_make_dirs(folder, 0700, &err));
	assert_ok(fs_replace_file(half, "half", 4, 0600, false, &err));
	assert_ok(local_storage.sweep(&local->site, "a", left, &err));
	local_make(local, &local_storage, "a/storage", storage_body(64, BASE));
	assert_false(fs_exists(half));
	local_take(local, &local_storage, "a/storage", false);
	json_decref(left);
	stop(local);
}

static void the_smallest_volumes_can_be_made(void **state)
{
	static const int64_t sizes[] = { 1, 4, 8, 63, 64 };
	struct local_site *local = local_site_start();
	struct error err = { 0 };

	runtime_make(local);
	local_make(local, &local_storage, "a/storage", storage_body(256, BASE));
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		local_make(local, &local_volume, "a/volume/v", volume_body("v", sizes[i], false, BASE));
		put(local, "v", "file", BASE);
		assert_true(fill(local, "v") <= sizes[i]);
		assert_ok(local_change(local, &local_volume, "a/volume/v", volume_body("v", sizes[i] + 8, false, BASE), &err));
		local_expect(local, &local_volume, "a/volume/v", volume_body("v", sizes[i] + 8, false, BASE));
		assert_true(has(local, "v", "file", BASE));
		local_take(local, &local_volume, "a/volume/v", false);
	}
	local_take(local, &local_storage, "a/storage", false);
	stop(local);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_run_folder_comes_and_goes),
		cmocka_unit_test(what_an_earlier_boot_left_is_removed),
		cmocka_unit_test(ids_are_registered_beside_others),
		cmocka_unit_test(ids_of_others_are_not_taken),
		cmocka_unit_test(limits_are_read_back),
		cmocka_unit_test(a_storage_is_as_large_as_it_says),
		cmocka_unit_test(a_deleted_image_is_told_and_not_replaced),
		cmocka_unit_test(kept_volumes_outlive_the_storage),
		cmocka_unit_test(a_volume_with_a_size_is_held_to_it),
		cmocka_unit_test(the_smallest_volumes_can_be_made),
		cmocka_unit_test(a_storage_grows_and_never_shrinks),
		cmocka_unit_test(a_storage_in_use_cannot_grow),
		cmocka_unit_test(after_a_reboot_the_storage_is_found_again),
		cmocka_unit_test(a_half_made_image_is_no_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
