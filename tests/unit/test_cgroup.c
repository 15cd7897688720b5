/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "site/local/container/cgroup.h"

#include <sys/stat.h>

/* Folders that look like hierarchies, and a mountinfo that points at them: detection and values without a kernel's say. */

struct fixture { char *dir, *mountinfo; };

static void file_make(const char *dir, const char *name, const char *text)
{
	autofree char *path = fs_join(dir, name), *folder = fs_dirname(path);
	struct error err;

	assert_ok(fs_make_dirs(folder, 0755, &err));
	assert_ok(fs_replace_file(path, text, strlen(text), 0644, false, &err));
}

static char *file_get(const char *dir, const char *name)
{
	autofree char *path = fs_join(dir, name);
	struct error err;
	char *line;

	assert_ok(fs_read_line(path, &line, &err));
	return line;
}

#define assert_file(dir, name, value) \
	do { \
		autofree char *got_ = file_get(dir, name); \
		assert_string_equal(got_, value); \
	} while (0)

static struct fixture fixture_make(const char *lines)
{
	struct fixture fixture = { temp_dir_make(), NULL };
	autofree char *text = NULL;
	struct error err;

	text = xasprintf(lines, fixture.dir, fixture.dir, fixture.dir);
	fixture.mountinfo = fs_join(fixture.dir, "mountinfo");
	assert_ok(fs_replace_file(fixture.mountinfo, text, strlen(text), 0644, false, &err));
	return fixture;
}

static void fixture_clear(struct fixture *fixture)
{
	free(fixture->mountinfo);
	temp_dir_remove(fixture->dir);
}

static const struct cgroup_limits none = { AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, NULL, false, true };

static void v2_files(const char *dir)
{
	static const char *const files[] = { "cpu.max", "cpu.weight", "memory.max", "memory.low", "memory.swap.max", "memory.oom.group", "pids.max", "io.max" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		file_make(dir, files[i], "0\n");
}

static void v2_takes_every_limit(void **state)
{
	struct fixture f = fixture_make("30 20 0:26 / %s/two rw - cgroup2 cgroup2 rw\n%.0s%.0s");
	autofree char *top = fs_join(f.dir, "two"), *group = fs_join(top, "a/b"), *above = fs_join(top, "a");
	static const char *const devices[] = { "254:0", NULL };
	struct cgroup_limits limits = { 1500, 300, 1 << 30, 1 << 20, 64, 10 << 20, devices, true, true }, read;
	autocgroups struct cgroups *cgroups = NULL;
	struct error err = { 0 };
	unsigned missing = ~0u;
	bool hybrid;

	file_make(top, "cgroup.controllers", "cpuset cpu io memory pids\n");
	file_make(top, "cgroup.subtree_control", "cpuset cpu io memory pids\n");
	file_make(above, "cgroup.subtree_control", "cpuset cpu io memory pids\n");
	v2_files(group);
	assert_ok(cgroups_open_from(f.mountinfo, &cgroups, &err));
	assert_string_equal(cgroups_summary(cgroups), "v2");
	assert_int_equal(cgroups_version(cgroups, CGROUP_MEMORY), 2);
	assert_int_equal(cgroups_version(cgroups, CGROUP_DEVICES), 0);
	assert_string_equal(cgroups_unified(cgroups, &hybrid), top);
	assert_false(hybrid);
	assert_ok(cgroup_create(cgroups, "/a/b", &limits, &missing, &err));
	assert_int_equal(missing, 0);
	assert_file(group, "cpu.max", "150000 100000");
	assert_file(group, "cpu.weight", "300");
	assert_file(group, "memory.max", "1073741824");
	assert_file(group, "memory.low", "1048576");
	assert_file(group, "memory.swap.max", "0");
	assert_file(group, "memory.oom.group", "1");
	assert_file(group, "pids.max", "64");
	assert_file(group, "io.max", "254:0 rbps=10485760 wbps=10485760");
	assert_ok(cgroup_read_limits(cgroups, "/a/b", &read, &err));
	assert_int_equal(read.cpu_max, 1500);
	assert_int_equal(read.cpu_weight, 300);
	assert_int_equal(read.memory_max, 1 << 30);
	assert_int_equal(read.memory_low, 1 << 20);
	assert_int_equal(read.pids_max, 64);
	assert_int_equal(read.disk_bandwidth, 10 << 20);
	assert_true(read.group_oom);
	fixture_clear(&f);
}

static void v2_resets_what_is_no_longer_wanted(void **state)
{
	struct fixture f = fixture_make("30 20 0:26 / %s/two rw - cgroup2 cgroup2 rw\n%.0s%.0s");
	autofree char *top = fs_join(f.dir, "two"), *group = fs_join(top, "a");
	autocgroups struct cgroups *cgroups = NULL;
	struct error err = { 0 };

	file_make(top, "cgroup.controllers", "cpu memory pids\n");
	file_make(top, "cgroup.subtree_control", "cpu memory pids\n");
	v2_files(group);
	assert_ok(cgroups_open_from(f.mountinfo, &cgroups, &err));
	assert_ok(cgroup_create(cgroups, "/a", &none, NULL, &err));
	assert_file(group, "cpu.max", "max");
	assert_file(group, "cpu.weight", "100");
	assert_file(group, "memory.max", "max");
	assert_file(group, "pids.max", "max");
	fixture_clear(&f);
}

static void v2_hands_controllers_down(void **state)
{
	struct fixture f = fixture_make("30 20 0:26 / %s/two rw - cgroup2 cgroup2 rw\n%.0s%.0s");
	autofree char *top = fs_join(f.dir, "two"), *group = fs_join(top, "a");
	autocgroups struct cgroups *cgroups = NULL;
	struct error err = { 0 };

	file_make(top, "cgroup.controllers", "pids\n");
	file_make(top, "cgroup.subtree_control", "");
	v2_files(group);
	assert_ok(cgroups_open_from(f.mountinfo, &cgroups, &err));
	assert_ok(cgroup_create(cgroups, "/a", &none, NULL, &err));
	assert_file(top, "cgroup.subtree_control", "+pids");
	fixture_clear(&f);
}

static void hybrid_is_told_per_controller(void **state)
{
	struct fixture f = fixture_make("31 20 0:27 / %s/memory rw - cgroup cgroup rw,memory\n"
					"32 20 0:28 / %s/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
					"33 20 0:29 / %s/unified rw - cgroup2 cgroup2 rw\n");
	autofree char *unified = fs_join(f.dir, "unified");
	autocgroups struct cgroups *cgroups = NULL;
	struct error err = { 0 };
	bool hybrid;

	file_make(unified, "cgroup.controllers", "pids io\n");
	assert_ok(cgroups_open_from(f.mountinfo, &cgroups, &err));
	assert_string_equal(cgroups_summary(cgroups), "hybrid: cpu, cpuacct, memory on v1");
	assert_int_equal(cgroups_version(cgroups, CGROUP_CPU), 1);
	assert_int_equal(cgroups_version(cgroups, CGROUP_CPUACCT), 1);
	assert_int_equal(cgroups_version(cgroups, CGROUP_MEMORY), 1);
	assert_int_equal(cgroups_version(cgroups, CGROUP_PIDS), 2);
	assert_int_equal(cgroups_version(cgroups, CGROUP_IO), 2);
	assert_int_equal(cgroups_version(cgroups, CGROUP_CPUSET), 0);
	assert_string_equal(cgroups_unified(cgroups, &hybrid), unified);
	assert_true(hybrid);
	fixture_clear(&f);
}

static void v1_clamps_and_orders(void **state)
{
	struct fixture f = fixture_make("31 20 0:27 / %s/memory rw - cgroup cgroup rw,memory\n"
					"32 20 0:28 / %s/cpu rw - cgroup cgroup rw,cpu\n%.0s");
	autofree char *memory = fs_join(f.dir, "memory/t/i"), *tenant = fs_join(f.dir, "cpu/t"), *cpu = fs_join(tenant, "i");
	struct cgroup_limits limits = none, read;
	autocgroups struct cgroups *cgroups = NULL;
	struct error err = { 0 };
	unsigned missing;

	file_make(memory, "memory.limit_in_bytes", "0\n");
	file_make(memory, "memory.memsw.limit_in_bytes", "0\n");
	file_make(tenant, "cpu.cfs_quota_us", "50000\n");
	file_make(tenant, "cpu.cfs_period_us", "100000\n");
	file_make(cpu, "cpu.cfs_quota_us", "-1\n");
	file_make(cpu, "cpu.cfs_period_us", "100000\n");
	file_make(cpu, "cpu.shares", "2\n");
	limits.cpu_max = 2000;
	limits.cpu_weight = 1;
	limits.memory_max = 64 << 20;
	limits.pids_max = 5;
	assert_ok(cgroups_open_from(f.mountinfo, &cgroups, &err));
	assert_ok(cgroup_create(cgroups, "/t/i", &limits, &missing, &err));
	assert_int_equal(missing, 1u << CGROUP_PIDS);
	assert_file(cpu, "cpu.cfs_quota_us", "50000");
	assert_file(cpu, "cpu.shares", "10");
	assert_file(memory, "memory.limit_in_bytes", "67108864");
	assert_file(memory, "memory.memsw.limit_in_bytes", "67108864");
	assert_ok(cgroup_read_limits(cgroups, "/t/i", &read, &err));
	assert_int_equal(read.cpu_max, 500);
	assert_int_equal(read.cpu_weight, 1);
	assert_int_equal(read.memory_max, 64 << 20);
	assert_true(read.pids_max == AMOUNT_NONE);
	/* lowering the parent lowers the child first */
	limits.cpu_max = 200;
	file_make(tenant, "cpu.shares", "2\n");
	file_make(f.dir, "memory/t/memory.limit_in_bytes", "0\n");
	assert_ok(cgroup_create(cgroups, "/t", &limits, &missing, &err));
	assert_file(cpu, "cpu.cfs_quota_us", "20000");
	assert_file(tenant, "cpu.cfs_quota_us", "20000");
	fixture_clear(&f);
}

static void what_runc_made_elsewhere_goes_too(void **state)
{
	struct fixture f = fixture_make("31 20 0:27 / %s/pids rw - cgroup cgroup rw,pids\n32 20 0:28 / %s/systemd rw - cgroup cgroup rw,xattr,name=systemd\n%.0s");
	autofree char *other = fs_join(f.dir, "systemd/a/b"), *top = fs_join(f.dir, "systemd/a");
	autocgroups struct cgroups *cgroups = NULL;
	struct error err = { 0 };

	assert_ok(fs_make_dirs(other, 0755, &err));
	assert_ok(cgroups_open_from(f.mountinfo, &cgroups, &err));
	assert_string_equal(cgroups_summary(cgroups), "v1");
	assert_ok(cgroup_remove(cgroups, "/a", &err));
	assert_false(fs_exists(top));
	fixture_clear(&f);
}

static void paths_that_are_none_are_refused(void **state)
{
	struct fixture f = fixture_make("32 20 0:28 / %s/cpu rw - cgroup cgroup rw,cpu\n%.0s%.0s");
	static const char *const wrong[] = { "/", "", "a", "/a/../b", "/a/..", "/a//b", "/a/" };
	autocgroups struct cgroups *cgroups = NULL;
	struct error err = { 0 };

	assert_ok(cgroups_open_from(f.mountinfo, &cgroups, &err));
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_fails(cgroup_create(cgroups, wrong[i], &none, NULL, &err), "control group");
		assert_fails(cgroup_remove(cgroups, wrong[i], &err), "control group");
	}
	fixture_clear(&f);
}

static void a_machine_without_any_is_said(void **state)
{
	struct fixture f = fixture_make("32 20 0:28 / %s rw - tmpfs tmpfs rw\n%.0s%.0s");
	autocgroups struct cgroups *cgroups = NULL;
	struct error err = { 0 };

	assert_fails(cgroups_open_from(f.mountinfo, &cgroups, &err), "no control groups");
	assert_int_equal(err.code, ERROR_UNSUPPORTED);
	fixture_clear(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v2_takes_every_limit),
		cmocka_unit_test(v2_resets_what_is_no_longer_wanted),
		cmocka_unit_test(v2_hands_controllers_down),
		cmocka_unit_test(hybrid_is_told_per_controller),
		cmocka_unit_test(v1_clamps_and_orders),
		cmocka_unit_test(what_runc_made_elsewhere_goes_too),
		cmocka_unit_test(paths_that_are_none_are_refused),
		cmocka_unit_test(a_machine_without_any_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
