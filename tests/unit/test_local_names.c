/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "site/local/local.h"
#include "site/local/disk/mount.h"

static void test_link_name(void **state)
{
	char bridge[16], port[16], again[16], other[16];

	local_link_name("lab", LINK_BRIDGE, "vision/network", bridge);
	local_link_name("lab", LINK_PORT, "vision/network", port);
	local_link_name("lab", LINK_BRIDGE, "vision/network", again);
	local_link_name("lab2", LINK_BRIDGE, "vision/network", other);
	/* printf lab/vision/network | sha256sum */
	assert_string_equal(bridge, "insb65d10280");
	assert_string_equal(port, "insv65d10280");
	assert_string_equal(again, bridge);
	assert_string_not_equal(other, bridge);
}

static void test_table_name(void **state)
{
	char table[80];

	local_table_name("my-lab", table);
	assert_string_equal(table, "insula_my_lab");
}

static void test_instance_key(void **state)
{
	static const char *const wrong[] = {
		"", "vision", "vision/train", "vision/train/", "vision/train/0/", "vision/train/0/link", "/train/0", "vision//0",
		"vision/train/x", "vision/train/-1", "vision/train/01", "vision/train/9999999999", "../train/0", "vision/../0",
		"0123456789012345678901234567890123456789012345678901234567890123/train/0",
	};
	struct instance_key key;

	assert_true(local_instance_key("vision/train/12", &key));
	assert_string_equal(key.tenant, "vision");
	assert_string_equal(key.workload, "train");
	assert_int_equal(key.replica, 12);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(local_instance_key(wrong[i], &key));
}

static void test_paths(void **state)
{
	struct site_config config = { .deployment = "lab" };
	struct site site = { .config = &config, .run = (char *)"/run/insula/lab" };
	autofree char *dir = local_instance_dir(&site, "vision/train/0"), *tenant = local_cgroup_tenant(&site, "vision");
	autofree char *instance = local_cgroup_instance(&site, "vision/train/0"), *monitors = local_cgroup_monitors(&site);

	assert_string_equal(dir, "/run/insula/lab/i/vision/train/0");
	assert_string_equal(tenant, "/insula/lab/t/vision");
	assert_string_equal(instance, "/insula/lab/t/vision/train.0");
	assert_string_equal(monitors, "/insula/lab/monitors");
}

static void test_path_within(void **state)
{
	assert_true(mount_path_within("/run/a", "/run/a"));
	assert_true(mount_path_within("/run/a/b", "/run/a"));
	assert_false(mount_path_within("/run/ab", "/run/a"));
	assert_false(mount_path_within("/run", "/run/a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link_name),
		cmocka_unit_test(test_table_name),
		cmocka_unit_test(test_instance_key),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_path_within),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
