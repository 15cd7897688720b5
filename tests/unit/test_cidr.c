/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "model/cidr.h"

static struct prefix prefix_from(const char *text)
{
	struct error err = { 0 };
	struct prefix prefix = { 0 };

	assert_ok(prefix_parse(text, &prefix, &err));
	return prefix;
}

static struct address address_from(const char *text)
{
	struct error err = { 0 };
	struct address address = { 0 };

	assert_ok(address_parse(text, &address, &err));
	return address;
}

static void prefixes_parse_and_format(void **state)
{
	static const char *const good[] = { "10.0.0.0/8", "0.0.0.0/0", "192.168.1.1/32", "2001:db8::/32", "::/0", "fe80::1/128", "10.77.0.128/25" };
	static const struct { const char *text, *message; } bad[] = {
		{ "10.0.0.0/33", "not a range" }, { "10.0.0.0/", "not a range" }, { "10.0.0/8", "not a range" }, { "10.0.0.0/08", "not a range" },
		{ "10.0.0.0/-1", "not a range" }, { "::/129", "not a range" }, { "10.0.0.1/8", "bits behind" }, { "2001:db8::1/32", "bits behind" },
		{ "fe80::1%eth0/64", "not a range" }, { "", "not a range" }, { "/8", "not a range" }, { "010.0.0.0/8", "not a range" },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa/8", "not a range" },
	};
	struct error err = { 0 };
	struct prefix prefix;
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		prefix = prefix_from(good[i]);
		prefix_format(&prefix, text);
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_fails(prefix_parse(bad[i].text, &prefix, &err), bad[i].message);
	assert_fails(prefix_parse("10.1.2.3/8", &prefix, &err), "bits behind");
	assert_non_null(strstr(err.hint, "10.0.0.0/8"));
	prefix = prefix_from("10.1.2.3");
	assert_int_equal(prefix.length, 32);
}

static void containment_and_overlap(void **state)
{
	struct prefix ten = prefix_from("10.0.0.0/8"), part = prefix_from("10.77.0.0/25"), other = prefix_from("11.0.0.0/8"), all = prefix_from("0.0.0.0/0");
	struct prefix six = prefix_from("::/0");
	struct address inside = address_from("10.77.0.127"), outside = address_from("10.77.0.128");

	assert_true(prefix_covers(&ten, &part));
	assert_false(prefix_covers(&part, &ten));
	assert_true(prefix_overlaps(&part, &ten));
	assert_false(prefix_overlaps(&ten, &other));
	assert_true(prefix_overlaps(&all, &other));
	assert_false(prefix_overlaps(&all, &six));
	assert_true(prefix_contains(&part, &inside));
	assert_false(prefix_contains(&part, &outside));
}

static void every_address_has_a_class(void **state)
{
	static const struct { const char *text; enum address_class class; } cases[] = {
		{ "8.8.8.8", ADDRESS_PUBLIC }, { "10.1.2.3", ADDRESS_PRIVATE }, { "172.15.255.255", ADDRESS_PUBLIC }, { "172.16.0.1", ADDRESS_PRIVATE },
		{ "172.31.255.255", ADDRESS_PRIVATE }, { "172.32.0.0", ADDRESS_PUBLIC }, { "192.168.0.1", ADDRESS_PRIVATE }, { "100.64.0.1", ADDRESS_SHARED },
		{ "100.128.0.0", ADDRESS_PUBLIC }, { "169.254.169.254", ADDRESS_LINK_LOCAL }, { "127.0.0.53", ADDRESS_LOOPBACK }, { "224.0.0.1", ADDRESS_MULTICAST },
		{ "239.255.255.255", ADDRESS_MULTICAST }, { "192.0.2.1", ADDRESS_DOCUMENTATION }, { "198.18.0.1", ADDRESS_RESERVED }, { "0.0.0.0", ADDRESS_RESERVED },
		{ "255.255.255.255", ADDRESS_RESERVED }, { "192.0.0.1", ADDRESS_RESERVED }, { "1.1.1.1", ADDRESS_PUBLIC }, { "223.255.255.255", ADDRESS_PUBLIC },
		{ "2606:4700::1111", ADDRESS_PUBLIC }, { "::1", ADDRESS_LOOPBACK }, { "::", ADDRESS_RESERVED }, { "fe80::1", ADDRESS_LINK_LOCAL },
		{ "fd00::1", ADDRESS_PRIVATE }, { "ff02::1", ADDRESS_MULTICAST }, { "2001:db8::1", ADDRESS_DOCUMENTATION }, { "::ffff:10.0.0.1", ADDRESS_RESERVED },
		{ "64:ff9b::a00:1", ADDRESS_RESERVED }, { "2002:a00:1::", ADDRESS_RESERVED }, { "2001::1", ADDRESS_RESERVED }, { "fec0::1", ADDRESS_RESERVED },
		{ "4000::1", ADDRESS_RESERVED }, { "3fff::1", ADDRESS_DOCUMENTATION }, { "2a00::1", ADDRESS_PUBLIC },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct address address = address_from(cases[i].text);

		if (address_class(&address) != cases[i].class)
			fail_msg("%s is %s", cases[i].text, address_class_name(address_class(&address)));
	}
}

static void metadata_is_known(void **state)
{
	struct address four = address_from("169.254.169.254"), six = address_from("fd00:ec2::254"), private = address_from("fd00::1");

	assert_true(address_is_metadata(&four));
	assert_true(address_is_metadata(&six));
	assert_false(address_is_metadata(&private));
}

static void a_pool_gives_the_lowest_aligned_free_part(void **state)
{
	struct prefix_pool pool = { .prefix = prefix_from("10.77.0.0/24") };
	struct prefix got, uplink = prefix_from("10.77.0.0/30"), beyond = prefix_from("10.78.0.0/30");
	char text[PREFIX_TEXT];

	assert_true(prefix_pool_take(&pool, &uplink));
	assert_false(prefix_pool_take(&pool, &uplink));
	assert_false(prefix_pool_take(&pool, &beyond));
	assert_true(prefix_pool_find(&pool, 26, &got));
	prefix_format(&got, text);
	assert_string_equal(text, "10.77.0.64/26");
	assert_true(prefix_pool_find(&pool, 28, &got));
	prefix_format(&got, text);
	assert_string_equal(text, "10.77.0.16/28");
	assert_true(prefix_pool_find(&pool, 25, &got));
	prefix_format(&got, text);
	assert_string_equal(text, "10.77.0.128/25");
	assert_false(prefix_pool_find(&pool, 26, &got));
	assert_true(prefix_pool_find(&pool, 30, &got));
	prefix_format(&got, text);
	assert_string_equal(text, "10.77.0.4/30");
	prefix_pool_clear(&pool);
}

static void a_pool_ends_at_the_last_address(void **state)
{
	struct prefix_pool pool = { .prefix = prefix_from("255.255.255.0/24") };
	struct prefix got;
	int n = 0;

	while (prefix_pool_find(&pool, 26, &got))
		n++;
	assert_int_equal(n, 4);
	assert_false(prefix_pool_find(&pool, 8, &got));
	prefix_pool_clear(&pool);
}

static void lengths_and_macs(void **state)
{
	struct address four = address_from("10.77.1.2"), six = address_from("2001:db8::1");
	uint8_t mac[6];

	assert_int_equal(prefix_length_for(1), 30);
	assert_int_equal(prefix_length_for(13), 28);
	assert_int_equal(prefix_length_for(14), 27);
	assert_int_equal(prefix_length_for(253), 24);
	address_mac(&four, mac);
	assert_memory_equal(mac, ((uint8_t[]){ 2, 0, 10, 77, 1, 2 }), 6);
	address_mac(&six, mac);
	assert_int_equal(mac[0], 2);
	assert_int_equal(mac[5], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefixes_parse_and_format),
		cmocka_unit_test(containment_and_overlap),
		cmocka_unit_test(every_address_has_a_class),
		cmocka_unit_test(metadata_is_known),
		cmocka_unit_test(a_pool_gives_the_lowest_aligned_free_part),
		cmocka_unit_test(a_pool_ends_at_the_last_address),
		cmocka_unit_test(lengths_and_macs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
