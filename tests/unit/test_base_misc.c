/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/secret.h"

#include <errno.h>

static void errors_say_what_and_why(void **state)
{
	struct error err = { 0 };

	assert_int_equal(error_set_errno(&err, ENOENT, "cannot open %s", "x"), -1);
	assert_string_equal(err.message, "cannot open x: No such file or directory");
	assert_int_equal(err.code, ERROR_NOT_FOUND);
	assert_int_equal(err.sys_errno, ENOENT);
	assert_int_equal(error_wrap(&err, "tenant %s", "vision"), -1);
	assert_string_equal(err.message, "tenant vision: cannot open x: No such file or directory");
	assert_int_equal(err.code, ERROR_NOT_FOUND);
	error_hint(&err, "first");
	error_hint(&err, "second");
	assert_string_equal(err.hint, "first");
	error_set_errno(&err, EBUSY, "busy");
	assert_true(err.retryable);
	assert_string_equal(err.hint, "");
}

static void an_error_may_quote_itself(void **state)
{
	struct error err = { 0 };

	error_set(&err, ERROR_FAILED, "inner");
	error_set(&err, ERROR_PARTIAL, "outer: %s", err.message);
	assert_string_equal(err.message, "outer: inner");
}

static void long_errors_are_cut(void **state)
{
	struct error err = { 0 };
	char text[3000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	error_set(&err, ERROR_FAILED, "%s", text);
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
	assert_true(ends_with(err.message, "..."));
	error_wrap(&err, "%s", text);
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
	assert_true(ends_with(err.message, "..."));
	error_hint(&err, "%s", text);
	assert_int_equal(strlen(err.hint), sizeof(err.hint) - 1);
}

static void codes_are_exit_statuses(void **state)
{
	assert_int_equal(error_exit_status(ERROR_NONE), 0);
	assert_int_equal(error_exit_status(ERROR_INPUT), 4);
	assert_int_equal(error_exit_status(ERROR_LEFTOVER), 7);
	assert_int_equal(error_exit_status(ERROR_INTERRUPTED), 130);
	assert_int_equal(error_exit_status((enum error_code)99), 1);
	assert_string_equal(error_code_name(ERROR_CAPACITY), "capacity");
	for (int code = ERROR_NONE; code <= ERROR_UNSUPPORTED; code++)
		assert_non_null(error_code_name(code));
}

static void digests_match_the_standards(void **state)
{
	char hex[DIGEST_HEX];
	struct digest *digest;
	autofree char *key = xstrdup("Jefe");

	digest_bytes("abc", 3, hex);	/* FIPS 180-4 */
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest_bytes(NULL, 0, hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	digest = digest_new();
	digest_update(digest, "a", 1);
	digest_update(digest, "bc", 2);
	digest_final(digest, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest_keyed(key, 4, "what do ya want for nothing?", 28, hex);	/* RFC 4231, case 2 */
	assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	digest_keyed(NULL, 0, NULL, 0, hex);
	assert_string_equal(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
	digest_free(NULL);
}

static void digest_of_a_file(void **state)
{
	char *dir = temp_dir_make();
	autofree char *path = fs_join(dir, "f");
	char hex[DIGEST_HEX], same[DIGEST_HEX];
	autofree char *data = xcalloc(1, 300000);
	struct error err = { 0 };

	data[299999] = 1;
	assert_ok(fs_replace_file(path, data, 300000, 0600, false, &err));
	assert_ok(digest_file(path, hex, &err));
	digest_bytes(data, 300000, same);
	assert_string_equal(hex, same);
	assert_fails(digest_file(dir, hex, &err), "Is a directory");
	temp_dir_remove(dir);
}

static void digest_text_is_checked(void **state)
{
	assert_true(digest_hex_valid("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
	assert_false(digest_hex_valid("BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
	assert_false(digest_hex_valid("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015adb"));
	assert_false(digest_hex_valid("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a"));
	assert_false(digest_hex_valid(""));
}

static void the_same_seed_gives_the_same_numbers(void **state)
{
	struct rng rng;

	rng_seed(&rng, 0);
	assert_true(rng.s[0] == 0xe220a8397b1dcdaf);	/* the first of splitmix64 */
	assert_true(rng_next(&rng) == 0x99ec5f36cb75f2b4);
}

static void random_numbers_stay_below_and_spread(void **state)
{
	size_t counts[7] = { 0 };
	double sum = 0;
	struct rng rng;

	rng_seed(&rng, 1);
	for (int i = 0; i < 70000; i++)
		counts[rng_below(&rng, 7)]++;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		assert_in_range(counts[i], 9600, 10400);	/* four standard deviations are 370 */
	for (int i = 0; i < 10000; i++) {
		double x = rng_double(&rng);

		assert_true(x >= 0 && x < 1);
		sum += x;
	}
	assert_true(sum > 4880 && sum < 5120);
	assert_int_equal(rng_below(&rng, 1), 0);
}

static void secret_randomness_differs(void **state)
{
	unsigned char a[32] = { 0 }, b[32] = { 0 };
	struct error err = { 0 };

	assert_ok(rng_secret(a, sizeof(a), &err));
	assert_ok(rng_secret(b, sizeof(b), &err));
	assert_memory_not_equal(a, b, sizeof(a));
}

static void secrets_are_held_and_cleared(void **state)
{
	autosecret struct secret secret = { 0 };

	assert_string_equal(secret_reveal(&secret), "");
	secret_set(&secret, "pass\0word", 9);
	assert_int_equal(secret.n, 9);
	assert_memory_equal(secret_reveal(&secret), "pass\0word", 10);
	secret_set(&secret, secret_reveal(&secret), 4);	/* from itself */
	assert_string_equal(secret_reveal(&secret), "pass");
	secret_clear(&secret);
	assert_int_equal(secret.n, 0);
}

static void times_are_rfc_3339(void **state)
{
	char text[32];

	clock_format(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	clock_format(1795687200007, text);
	assert_string_equal(text, "2026-11-26T10:00:00.007Z");
	clock_format(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999Z");
	clock_format(INT64_MAX, text);
	assert_string_equal(text, "unknown");
}

static int64_t held_ns(void *arg)
{
	return *(int64_t *)arg;
}

static void held_sleep(void *arg, int64_t ns)
{
	*(int64_t *)arg += ns;
}

static void a_clock_can_be_held(void **state)
{
	int64_t now = 5;
	const struct clock clock = { .monotonic_ns = held_ns, .wall_ms = held_ns, .sleep_ns = held_sleep, .arg = &now };

	clock_sleep_ms(&clock, 3);
	assert_int_equal(clock_monotonic_ns(&clock), 3000005);
}

static void the_system_clock_runs(void **state)
{
	int64_t before = clock_monotonic_ns(&clock_system);

	clock_sleep_ms(&clock_system, 2);
	assert_true(clock_monotonic_ns(&clock_system) - before >= 2000000);
	assert_true(clock_wall_ms(&clock_system) > 1700000000000);
}

static void the_boot_id_is_stable(void **state)
{
	char a[40], b[40];
	struct error err = { 0 };

	assert_ok(clock_boot_id(a, &err));
	assert_ok(clock_boot_id(b, &err));
	assert_string_equal(a, b);
	assert_int_equal(strlen(a), 36);
}

static void sink_into(void *arg, enum log_level level, const char *text)
{
	snprintf(arg, 64, "%d:%s", (int)level, text);
}

static void the_log_filters_by_level(void **state)
{
	char last[64] = "";

	log_debug("lost");
	log_set_sink(sink_into, last, LOG_LEVEL_INFO);
	log_debug("no");
	assert_string_equal(last, "");
	log_write(LOG_LEVEL_WARNING, "x%d", 3);
	assert_string_equal(last, "2:x3");
	log_set_sink(NULL, NULL, LOG_LEVEL_DEBUG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_say_what_and_why),
		cmocka_unit_test(an_error_may_quote_itself),
		cmocka_unit_test(long_errors_are_cut),
		cmocka_unit_test(codes_are_exit_statuses),
		cmocka_unit_test(digests_match_the_standards),
		cmocka_unit_test(digest_of_a_file),
		cmocka_unit_test(digest_text_is_checked),
		cmocka_unit_test(the_same_seed_gives_the_same_numbers),
		cmocka_unit_test(random_numbers_stay_below_and_spread),
		cmocka_unit_test(secret_randomness_differs),
		cmocka_unit_test(secrets_are_held_and_cleared),
		cmocka_unit_test(times_are_rfc_3339),
		cmocka_unit_test(a_clock_can_be_held),
		cmocka_unit_test(the_system_clock_runs),
		cmocka_unit_test(the_boot_id_is_stable),
		cmocka_unit_test(the_log_filters_by_level),
	};

	return cmocka_run_group_tests_name("base_misc", tests, NULL, NULL);
}
