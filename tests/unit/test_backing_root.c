/* SPDX-License-Identifier: Apache-2.0 */
#include "local_site.h"

#include "base/proc.h"
#include "site/local/disk/storage.h"
#include "site/local/probe/probe.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

/* The state folder on file systems that people have: what is said of them, and what storage is worth there. */

#define MIB (1LL << 20)

static const struct local_kind *const kinds[] = { &local_runtime, &local_ids, &local_limits, &local_storage, &local_volume };

static void program(const char *const *argv)
{
	const struct proc_options options = { .argv = argv, .timeout_ms = 60000 };
	struct error err = { 0 };

	assert_ok(proc_check(&options, NULL, &err));
}
#define PROGRAM(...) program((const char *const[]){ __VA_ARGS__, NULL })

/* The state folder of a fresh site becomes a file system of that type. */
static struct local_site *site_on(const char *type, const char *options)
{
	autofree char *make = xasprintf("mkfs.%s", type), *found = fs_find_program(PROC_PATH, make), *image = NULL;
	struct local_site *local = local_site_start();
	struct error err = { 0 };

	if (streq(type, "tmpfs")) {
		assert_int_equal(mount("insula", local->config.state_dir, "tmpfs", 0, options), 0);
	} else {
		image = xasprintf("%s/disk", local->dir);
		if (!found) {
			local_site_stop(local, NULL, 0);
			test_skip("%s is not installed", make);
		}
		PROGRAM("truncate", "-s", "400M", image);
		PROGRAM(make, "-q", image);
		PROGRAM("mount", "-t", type, "-o", options, image, local->config.state_dir);
	}
	assert_ok(fs_make_dirs(local->site.deployment_dir, 0700, &err));
	return local;
}

static void site_off(struct local_site *local)
{
	assert_int_equal(umount2(local->config.state_dir, 0), 0);
	local_site_stop(local, kinds, ARRAY_LEN(kinds));
}

/* The level of the check "backing", and its words in *ret_text (the facts' own). */
static json_t *facts_of(struct local_site *local, const char *level)
{
	struct site_facts facts = { 0 };
	struct error err = { 0 };
	json_t *item;
	size_t i;

	assert_ok(local_probe(&local->config, &facts, &err));
	json_array_foreach(json_get_array(facts.json, "checks"), i, item)
		if (streq(json_get_string(item, "id", ""), "backing")) {
			assert_string_equal(json_get_string(item, "level", ""), level);
			return facts.json;
		}
	fail_msg("nothing is said of the file system");
	return NULL;
}

static void expect(struct local_site *local, const char *type, const char *level, bool reserve)
{
	json_t *facts = facts_of(local, level);
	const json_t *backing = json_get_object(facts, "backing");

	assert_string_equal(json_get_string(backing, "type", ""), type);
	if (!json_get_bool(backing, "readOnly", false))
		assert_int_equal(json_get_bool(backing, "reserve", !reserve), reserve);
	json_decref(facts);
}

/* A tenant's storage: reserved whole, and there. */
static void storage_works(struct local_site *local, int wanted_flags)
{
	autofree char *image = local_storage_image(&local->site, "a");
	struct stat st;
	int flags = 0;

	local_make(local, &local_runtime, "host/runtime", json_object());
	local_make(local, &local_storage, "a/storage",
		   json_pack("{s:I, s:I, s:b, s:b}", "size", (json_int_t)(32 * MIB), "base", (json_int_t)1879048192, "mounted", 1, "reserved", 1));
	assert_int_equal(stat(image, &st), 0);
	assert_true((int64_t)st.st_blocks * 512 >= 32 * MIB);
	if (wanted_flags) {
		autofd int fd = open(image, O_RDONLY | O_CLOEXEC);

		assert_int_equal(ioctl(fd, FS_IOC_GETFLAGS, &flags), 0);
		assert_int_equal(flags & wanted_flags, wanted_flags);
	}
	local_take(local, &local_storage, "a/storage", true);
	local_take(local, &local_runtime, "host/runtime", false);
}

static void on(const char *type, const char *level, int wanted_flags)
{
	struct local_site *local = site_on(type, "noatime");

	expect(local, type, level, true);
	storage_works(local, wanted_flags);
	site_off(local);
}

static void ext4_is_good(void **state)
{
	on("ext4", "ok", 0);
}

static void xfs_is_good(void **state)
{
	on("xfs", "ok", 0);
}

static void btrfs_is_written_in_place(void **state)
{
	on("btrfs", "ok", FS_NOCOW_FL);
}

static void memory_is_warned_of(void **state)
{
	struct local_site *local = site_on("tmpfs", "size=64m");

	expect(local, "tmpfs", "warn", true);
	storage_works(local, 0);
	site_off(local);
}

static void what_cannot_be_written_is_refused(void **state)
{
	struct local_site *local = site_on("tmpfs", "size=64m");

	assert_int_equal(mount(NULL, local->config.state_dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	expect(local, "tmpfs", "fail", false);
	site_off(local);
}

/* No room left to try it with says nothing of what the file system can. */
static void a_full_one_is_not_called_unable(void **state)
{
	struct local_site *local = site_on("tmpfs", "size=64k");

	expect(local, "tmpfs", "warn", true);
	site_off(local);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ext4_is_good),
		cmocka_unit_test(xfs_is_good),
		cmocka_unit_test(btrfs_is_written_in_place),
		cmocka_unit_test(memory_is_warned_of),
		cmocka_unit_test(what_cannot_be_written_is_refused),
		cmocka_unit_test(a_full_one_is_not_called_unable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
