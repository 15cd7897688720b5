/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "model/mtu.h"
#include "model/ports.h"
#include "model/quantity.h"

static void quantities_are_exact_and_round_up(void **state)
{
	static const struct { const char *text; int64_t scale, value; } cases[] = {
		{ "500m", 1000, 500 }, { "0.5", 1000, 500 }, { "2", 1000, 2000 }, { "1.5", 1000, 1500 }, { "0", 1000, 0 }, { "+1", 1, 1 },
		{ "2Gi", 1, 2147483648 }, { "1.5Gi", 1, 1610612736 }, { "200Mi", 1, 209715200 }, { "1k", 1, 1000 }, { "1Ki", 1, 1024 },
		{ "1M", 1, 1000000 }, { "1G", 1, 1000000000 }, { "1T", 1, 1000000000000 }, { "1P", 1, 1000000000000000 },
		{ "1E", 1, 1000000000000000000 }, { "1e3", 1, 1000 }, { "1E3", 1, 1000 }, { "12e-1", 1, 2 }, { "5Ei", 1, 5764607523034234880 },
		{ "0.1m", 1000, 1 }, { "1.0001m", 1000, 2 }, { "1n", 1, 1 }, { "100u", 1000, 1 }, { "1m", 1, 1 }, { ".5", 1000, 500 }, { "5.", 1, 5 },
		{ "9223372036854775807", 1, INT64_MAX }, { "9223372036854775807000m", 1, INT64_MAX }, { "-1.5", 1, -2 }, { "-0", 1, 0 },
		{ "0.000000000000000000000000000000000001", 1, 1 }, { "00012", 1, 12 }, { "1e-60", 1, 1 }, { "0e9999", 1, 0 },
	};
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t value = 0;

		assert_ok(quantity_parse(cases[i].text, cases[i].scale, &value, &err));
		if (value != cases[i].value)
			fail_msg("%s is %lld, expected %lld", cases[i].text, (long long)value, (long long)cases[i].value);
	}
}

static void bad_quantities_say_what_is_valid(void **state)
{
	static const struct { const char *text, *message; } cases[] = {
		{ "", "not a quantity" }, { "abc", "not a quantity" }, { ".", "not a quantity" }, { "-", "not a quantity" }, { " 1", "not a quantity" },
		{ "2GB", "unit 'GB'" }, { "1K", "unit 'K'" }, { "1e", "unit 'e'" }, { "1e+", "unit 'e+'" }, { "1 Gi", "unit ' Gi'" }, { "1.2.3", "unit '.3'" },
		{ "1gi", "unit 'gi'" }, { "1mi", "unit 'mi'" }, { "0x10", "unit 'x10'" }, { "9223372036854775808", "too large" }, { "8Ei", "too large" },
		{ "10E", "too large" }, { "1e99999999999999999999", "too large" }, { "9223372036854775807.1", "too large" },
	};
	struct error err = { 0 };
	int64_t value = 77;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_fails(quantity_parse(cases[i].text, 1, &value, &err), cases[i].message);
	assert_int_equal(value, 77);
	assert_fails(quantity_parse("2GB", 1, &value, &err), "unit");
	assert_non_null(strstr(err.hint, "Gi"));
}

static void the_shortest_exact_form_is_written(void **state)
{
	static const struct { int64_t value; const char *text; } milli[] = {
		{ 0, "0" }, { 500, "0.5" }, { 2000, "2" }, { 1500, "1.5" }, { 250, "250m" }, { 5, "5m" }, { 1234, "1234m" }, { -500, "-0.5" },
	};
	static const struct { int64_t value; const char *text; } bytes[] = {
		{ 0, "0" }, { 1024, "1Ki" }, { 1610612736, "1.5Gi" }, { 1000000, "1M" }, { 1500, "1500" }, { 200 << 20, "200Mi" },
		{ 1LL << 60, "1Ei" }, { INT64_MAX, "9223372036854775807" }, { 1, "1" }, { -1024, "-1Ki" }, { 10240, "10Ki" },
	};
	static const struct { int64_t value; const char *text; } durations[] = {
		{ 0, "0" }, { 30000, "30s" }, { 300000, "5m" }, { 90000, "90s" }, { 86400000, "1d" }, { 604800000, "7d" }, { 5400000, "90m" },
		{ 500, "500ms" }, { 1500, "1500ms" }, { 90061001, "90061001ms" }, { 129600000, "36h" },
	};
	char text[QUANTITY_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(milli); i++) {
		quantity_format_milli(milli[i].value, text);
		assert_string_equal(text, milli[i].text);
	}
	for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
		quantity_format_bytes(bytes[i].value, text);
		assert_string_equal(text, bytes[i].text);
	}
	for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
		duration_format(durations[i].value, text);
		assert_string_equal(text, durations[i].text);
	}
}

static void durations_have_units(void **state)
{
	static const struct { const char *text; int64_t ms; } good[] = {
		{ "30s", 30000 }, { "1h30m", 5400000 }, { "7d", 604800000 }, { "1d2h3m4s5ms", 93784005 }, { "0", 0 }, { "0s", 0 }, { "250ms", 250 },
	};
	static const struct { const char *text, *message; } bad[] = {
		{ "30", "needs a unit" }, { "", "empty" }, { "s", "number is missing" }, { "1x", "unit is not known" }, { "1m1h", "largest to the smallest" },
		{ "1m1m", "each once" }, { "9999999999999999999s", "too large" }, { "999999999999999999d", "too large" }, { "-1s", "number is missing" },
		{ "1.5h", "needs a unit" },
	};
	struct error err = { 0 };
	int64_t ms = 0;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_ok(duration_parse(good[i].text, &ms, &err));
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_fails(duration_parse(bad[i].text, &ms, &err), bad[i].message);
}

static void prices_are_millionths(void **state)
{
	struct error err = { 0 };
	int64_t value = 0;

	assert_ok(micros_parse("0.031611", &value, &err));
	assert_int_equal(value, 31611);
	assert_ok(micros_parse("3", &value, &err));
	assert_int_equal(value, 3000000);
	assert_fails(micros_parse("0.0000001", &value, &err), "six decimal places");
	assert_fails(micros_parse("-1", &value, &err), "not a price");
	assert_fails(micros_parse("1m", &value, &err), "not a price");
	assert_fails(micros_parse("99999999999999", &value, &err), "too large");
}

static void ports_parse_and_format(void **state)
{
	static const struct { const char *text; enum protocol protocol; uint16_t first, last; } good[] = {
		{ "tcp/8501", PROTOCOL_TCP, 8501, 8501 }, { "udp/5000-5100", PROTOCOL_UDP, 5000, 5100 }, { "tcp", PROTOCOL_TCP, 0, 65535 },
		{ "icmp", PROTOCOL_ICMP, 0, 65535 }, { "any", PROTOCOL_ANY, 0, 65535 }, { "tcp/1-65535", PROTOCOL_TCP, 1, 65535 },
	};
	static const struct { const char *text, *message; } bad[] = {
		{ "8501", "protocol is missing" }, { "sctp/1", "not known" }, { "tcp/0", "1 to 65535" }, { "tcp/65536", "1 to 65535" }, { "tcp/", "1 to 65535" },
		{ "tcp/20-10", "backwards" }, { "tcp/80x", "behind the number" }, { "icmp/3", "no ports" }, { "tcp/80-", "1 to 65535" }, { "TCP/80", "not known" },
		{ "", "not known" },
	};
	struct port_range range = { 0 };
	struct error err = { 0 };
	char text[PORT_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_ok(port_range_parse(good[i].text, &range, &err));
		assert_int_equal(range.protocol, good[i].protocol);
		assert_int_equal(range.first, good[i].first);
		assert_int_equal(range.last, good[i].last);
		port_range_format(&range, text);
		assert_string_equal(text, good[i].text);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_fails(port_range_parse(bad[i].text, &range, &err), bad[i].message);
}

static void ranges_contain_by_protocol(void **state)
{
	struct port_range items[] = { { PROTOCOL_TCP, 80, 90, { 0 } }, { PROTOCOL_ICMP, 0, 65535, { 0 } } };
	struct port_ranges some = { items, 2 }, all = { NULL, 0 };

	assert_true(port_ranges_contain(&some, PROTOCOL_TCP, 80));
	assert_true(port_ranges_contain(&some, PROTOCOL_TCP, 90));
	assert_false(port_ranges_contain(&some, PROTOCOL_TCP, 91));
	assert_false(port_ranges_contain(&some, PROTOCOL_UDP, 85));
	assert_true(port_ranges_contain(&some, PROTOCOL_ICMP, 0));
	assert_true(port_ranges_contain(&all, PROTOCOL_UDP, 1));
}

static void overheads_are_known(void **state)
{
	assert_int_equal(mtu_child(MTU_ETHERNET, encapsulation_find("vxlan")->overhead), 1450);
	assert_int_equal(mtu_child(MTU_ETHERNET, encapsulation_find("geneve")->overhead), 1442);
	assert_int_equal(mtu_child(MTU_ETHERNET, encapsulation_find("wireguard")->overhead), 1440);
	assert_null(encapsulation_find("carrier-pigeon"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quantities_are_exact_and_round_up),
		cmocka_unit_test(bad_quantities_say_what_is_valid),
		cmocka_unit_test(the_shortest_exact_form_is_written),
		cmocka_unit_test(durations_have_units),
		cmocka_unit_test(prices_are_millionths),
		cmocka_unit_test(ports_parse_and_format),
		cmocka_unit_test(ranges_contain_by_protocol),
		cmocka_unit_test(overheads_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
