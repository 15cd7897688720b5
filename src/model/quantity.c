/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: a quantity is digits * 10^e * 2^b * scale. The digits, at most DIGITS_MAX of them,
 * go into a small big number; multiplications come first, then one division by a power of ten with
 * a sticky remainder, which rounds up. So every intermediate value is exact.
 */
#include "quantity.h"

#include <stdio.h>
#include <stdlib.h>

#define DIGITS_MAX 64
#define EXPONENT_MAX 64
#define LIMBS 24	/* 768 bits: 10^(64 + 64) * 2^60 * 10^6 needs 506 */

struct big { uint32_t limbs[LIMBS]; };	/* least first */

static void big_multiply_add(struct big *big, uint32_t factor, uint32_t addend)
{
	uint64_t carry = addend;

	for (size_t i = 0; i < LIMBS; i++) {
		carry += (uint64_t)big->limbs[i] * factor;
		big->limbs[i] = (uint32_t)carry;
		carry >>= 32;
	}
}

static uint32_t big_divide(struct big *big, uint32_t divisor)
{
	uint64_t rest = 0;

	for (size_t i = LIMBS; i-- > 0;) {
		rest = rest << 32 | big->limbs[i];
		big->limbs[i] = (uint32_t)(rest / divisor);
		rest %= divisor;
	}
	return (uint32_t)rest;
}

/* false: does not fit an int64_t */
static bool big_value(const struct big *big, bool round_up, int64_t *ret)
{
	uint64_t value = (uint64_t)big->limbs[1] << 32 | big->limbs[0];

	for (size_t i = 2; i < LIMBS; i++)
		if (big->limbs[i])
			return false;
	if (value > INT64_MAX - (uint64_t)round_up)
		return false;
	*ret = (int64_t)(value + round_up);
	return true;
}

struct number { struct big digits; int exponent; bool negative, zero; };

/* Sign, digits and point; the address of what follows, or NULL when it is no number. */
static const char *read_number(const char *text, struct number *ret)
{
	const char *s = text;
	int count = 0, significant = 0;
	bool point = false;

	*ret = (struct number){ .zero = true };
	if (*s == '-' || *s == '+')
		ret->negative = *s++ == '-';
	for (; (*s >= '0' && *s <= '9') || (*s == '.' && !point); s++) {
		if (*s == '.') {
			point = true;
			continue;
		}
		count++;
		if (*s != '0')
			ret->zero = false;
		if (!ret->zero && ++significant > DIGITS_MAX)
			return NULL;
		big_multiply_add(&ret->digits, 10, (uint32_t)(*s - '0'));
		if (point && --ret->exponent < -DIGITS_MAX)
			return NULL;
	}
	return count ? s : NULL;
}

static bool read_exponent(const char *s, int *ret)
{
	bool negative = *s == '-';
	int value = 0;

	s += *s == '-' || *s == '+';
	if (!*s)
		return false;
	for (; *s >= '0' && *s <= '9'; s++)
		value = MIN(value * 10 + (*s - '0'), 10 * EXPONENT_MAX);
	*ret = negative ? -value : value;
	return *s == 0;
}

static bool read_suffix(const char *s, int *exponent, int *bits)
{
	static const struct { const char *text; int exponent, bits; } suffixes[] = {
		{ "", 0, 0 }, { "m", -3, 0 }, { "k", 3, 0 }, { "M", 6, 0 }, { "G", 9, 0 }, { "T", 12, 0 }, { "P", 15, 0 },
		{ "E", 18, 0 }, { "Ki", 0, 10 }, { "Mi", 0, 20 }, { "Gi", 0, 30 }, { "Ti", 0, 40 }, { "Pi", 0, 50 },
		{ "Ei", 0, 60 }, { "u", -6, 0 }, { "n", -9, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		if (streq(s, suffixes[i].text)) {
			*exponent = suffixes[i].exponent;
			*bits = suffixes[i].bits;
			return true;
		}
	}
	*bits = 0;
	return (*s == 'e' || *s == 'E') && read_exponent(s + 1, exponent);
}

/* number * 10^exponent * 2^bits * scale, rounded away from zero; false: too large */
static bool number_scale(struct number *number, int exponent, int bits, int64_t scale, int64_t *ret)
{
	bool rest = false;

	if (number->zero) {
		*ret = 0;
		return true;
	}
	exponent += number->exponent;
	if (exponent > EXPONENT_MAX)
		return false;
	for (; bits > 0; bits -= 10)
		big_multiply_add(&number->digits, 1024, 0);
	big_multiply_add(&number->digits, (uint32_t)scale, 0);
	for (; exponent > 0; exponent--)
		big_multiply_add(&number->digits, 10, 0);
	for (; exponent < 0; exponent++)
		rest |= big_divide(&number->digits, 10) != 0;
	if (!big_value(&number->digits, rest, ret))
		return false;
	if (number->negative)
		*ret = -*ret;
	return true;
}

int quantity_parse(const char *text, int64_t scale, int64_t *ret, struct error *err)
{
	struct number number;
	const char *suffix = read_number(text, &number);
	int exponent, bits;

	if (!suffix) {
		error_set(err, ERROR_INPUT, "'%.60s' is not a quantity", text);
		return error_hint(err, "a quantity is a number with m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi or Ei: 500m, 1.5, 2Gi");
	}
	if (!read_suffix(suffix, &exponent, &bits)) {
		error_set(err, ERROR_INPUT, "unit '%.20s' of '%.60s' is not known", suffix, text);
		return error_hint(err, "units are m, k, M, G, T, P, E (thousands) and Ki, Mi, Gi, Ti, Pi, Ei (powers of 1024)");
	}
	if (!number_scale(&number, exponent, bits, scale, ret))
		return error_set(err, ERROR_INPUT, "'%.60s' is too large", text);
	return 0;
}

/* Keeps `candidate` when it is shorter; earlier ones win among equals. */
static void shorter(char text[static QUANTITY_TEXT], const char *candidate)
{
	if (!*text || strlen(candidate) < strlen(text))
		snprintf(text, QUANTITY_TEXT, "%s", candidate);
}

/* value / unit in decimals when three places are enough, with its suffix */
static void try_unit(char text[static QUANTITY_TEXT], int64_t value, int64_t unit, const char *suffix, bool whole)
{
	char candidate[QUANTITY_TEXT];
	int64_t integer = value / unit, rest = value % unit, decimals = 0;
	int places = 0;

	while (rest && places < 3) {
		int64_t wide;

		if (__builtin_mul_overflow(rest, 10, &wide))
			return;
		decimals = decimals * 10 + wide / unit;
		rest = wide % unit;
		places++;
	}
	if (rest || (places == 0) != whole)
		return;
	if (places)
		snprintf(candidate, sizeof(candidate), "%lld.%0*lld%s", (long long)integer, places, (long long)decimals, suffix);
	else
		snprintf(candidate, sizeof(candidate), "%lld%s", (long long)integer, suffix);
	shorter(text, candidate);
}

static void with_sign(int64_t value, char text[static QUANTITY_TEXT], void (*format)(int64_t, char *))
{
	char positive[QUANTITY_TEXT] = "";

	if (value == INT64_MIN)
		BUG("a quantity of INT64_MIN is AMOUNT_NONE and has no text");
	format(value < 0 ? -value : value, positive);
	snprintf(text, QUANTITY_TEXT, "%s%.30s", value < 0 ? "-" : "", positive);
}

static void format_milli(int64_t milli, char *text)
{
	char suffixed[QUANTITY_TEXT];

	try_unit(text, milli, 1000, "", true);
	snprintf(suffixed, sizeof(suffixed), "%lldm", (long long)milli);
	shorter(text, suffixed);
	try_unit(text, milli, 1000, "", false);
}

static void format_bytes(int64_t bytes, char *text)
{
	static const struct { const char *suffix; int64_t unit; } units[] = {
		{ "Ki", 1LL << 10 }, { "Mi", 1LL << 20 }, { "Gi", 1LL << 30 }, { "Ti", 1LL << 40 }, { "Pi", 1LL << 50 }, { "Ei", 1LL << 60 },
		{ "k", 1000LL }, { "M", 1000000LL }, { "G", 1000000000LL }, { "T", 1000000000000LL },
		{ "P", 1000000000000000LL }, { "E", 1000000000000000000LL },
	};

	try_unit(text, bytes, 1, "", true);
	for (int whole = 1; whole >= 0; whole--)
		for (size_t i = 0; i < ARRAY_LEN(units); i++)
			if (bytes / units[i].unit || !whole)
				try_unit(text, bytes, units[i].unit, units[i].suffix, whole);
}

void quantity_format_milli(int64_t milli, char text[static QUANTITY_TEXT])
{
	with_sign(milli, text, format_milli);
}

void quantity_format_bytes(int64_t bytes, char text[static QUANTITY_TEXT])
{
	with_sign(bytes, text, format_bytes);
}

static const struct { const char *name; int64_t ms; } duration_units[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};

static int duration_error(const char *text, const char *why, struct error *err)
{
	error_set(err, ERROR_INPUT, "'%.60s' is not a duration: %s", text, why);
	return error_hint(err, "a duration is whole numbers with d, h, m, s or ms, the largest first: 30s, 5m, 1h30m, 7d");
}

int duration_parse(const char *text, int64_t *ret_ms, struct error *err)
{
	const char *s = text;
	size_t next = 0;
	int64_t sum = 0;

	if (streq(text, "0")) {
		*ret_ms = 0;
		return 0;
	}
	if (!*s)
		return duration_error(text, "it is empty", err);
	while (*s) {
		int64_t value = 0, part;
		size_t digits = strspn(s, "0123456789"), letters, i;

		if (!digits)
			return duration_error(text, "a number is missing", err);
		for (i = 0; i < digits; i++)
			if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, s[i] - '0', &value))
				return duration_error(text, "it is too large", err);
		s += digits;
		letters = strspn(s, "abcdefghijklmnopqrstuvwxyz");
		for (i = 0; i < ARRAY_LEN(duration_units); i++)
			if (letters == strlen(duration_units[i].name) && memcmp(s, duration_units[i].name, letters) == 0)
				break;
		if (i == ARRAY_LEN(duration_units))
			return duration_error(text, letters ? "its unit is not known" : "it needs a unit", err);
		if (i < next)
			return duration_error(text, "units go from the largest to the smallest, each once", err);
		if (__builtin_mul_overflow(value, duration_units[i].ms, &part) || __builtin_add_overflow(sum, part, &sum))
			return duration_error(text, "it is too large", err);
		next = i + 1;
		s += letters;
	}
	*ret_ms = sum;
	return 0;
}

void duration_format(int64_t ms, char text[static QUANTITY_TEXT])
{
	char candidate[QUANTITY_TEXT] = "";
	int64_t rest = ms;
	size_t n = 0;

	if (ms < 0)
		BUG("a negative duration has no text");
	snprintf(text, QUANTITY_TEXT, "%s", ms ? "" : "0");
	for (size_t i = 0; i < ARRAY_LEN(duration_units) && ms; i++) {
		if (ms % duration_units[i].ms == 0) {
			snprintf(candidate, sizeof(candidate), "%lld%s", (long long)(ms / duration_units[i].ms), duration_units[i].name);
			shorter(text, candidate);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(duration_units) && rest; i++) {
		if (rest < duration_units[i].ms)
			continue;
		n += (size_t)snprintf(candidate + n, sizeof(candidate) - n, "%lld%s",
				      (long long)(rest / duration_units[i].ms), duration_units[i].name);
		rest %= duration_units[i].ms;
	}
	if (ms)
		shorter(text, candidate);
}

int micros_parse(const char *text, int64_t *ret, struct error *err)
{
	struct number number;
	const char *rest = read_number(text, &number);

	if (!rest || *rest || number.negative) {
		error_set(err, ERROR_INPUT, "'%.60s' is not a price", text);
		return error_hint(err, "a price is a decimal number of at least 0 with up to six places: 0.031611");
	}
	if (number.exponent < -6)
		return error_set(err, ERROR_INPUT, "'%.60s' has more than six decimal places", text);
	if (!number_scale(&number, 0, 0, 1000000, ret))
		return error_set(err, ERROR_INPUT, "'%.60s' is too large", text);
	return 0;
}
