/* SPDX-License-Identifier: Apache-2.0 */
#include "spec_internal.h"

#include "base/fs.h"
#include "cidr.h"
#include "quantity.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define QUANTITY_PATTERN "^[+-]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$"

static int parse_milli(const char *text, int64_t *ret, struct error *err)
{
	return quantity_parse(text, 1000, ret, err);
}

static int parse_whole(const char *text, int64_t *ret, struct error *err)
{
	return quantity_parse(text, 1, ret, err);
}

static void format_milli(int64_t value, char *text)
{
	quantity_format_milli(value, text);
}

static void format_bytes(int64_t value, char *text)
{
	quantity_format_bytes(value, text);
}

static void format_count(int64_t value, char *text)
{
	snprintf(text, QUANTITY_TEXT, "%" PRId64, value);
}

static void format_duration(int64_t value, char *text)
{
	duration_format(value, text);
}

static void format_price(int64_t value, char *text)
{
	snprintf(text, QUANTITY_TEXT, "%" PRId64 ".%06" PRId64, value / 1000000, value % 1000000);
}

const struct unit unit_cpu = { "quantity of cores", "cores; 500m is half of one", QUANTITY_PATTERN, "500m or 2", parse_milli, format_milli };
const struct unit unit_gpu = { "quantity of GPUs", "GPUs; 0.5 is half of one", QUANTITY_PATTERN, "1 or 0.5", parse_milli, format_milli };
const struct unit unit_bytes = { "quantity of bytes", "bytes", QUANTITY_PATTERN, "8Gi or 500M", parse_whole, format_bytes };
const struct unit unit_rate = { "quantity of bytes a second", "bytes a second", QUANTITY_PATTERN, "200Mi", parse_whole, format_bytes };
const struct unit unit_count = { "quantity", "pieces", QUANTITY_PATTERN, "50 or 4k", parse_whole, format_count };
const struct unit unit_duration = { "duration", "time", "^(0|([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$", "30s, 5m or 24h", duration_parse, format_duration };
const struct unit unit_price = { "price", "units of the currency", "^[0-9]+(\\.[0-9]{1,6})?$", "0.031611", micros_parse, format_price };

/* RFC 1123: what Kubernetes and DNS take as a name */
bool is_dns_label(const char *text)
{
	size_t n = strlen(text);

	return n >= 1 && n <= 63 && text[0] != '-' && text[n - 1] != '-' &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static int read_name(struct decoder *decoder, const char *text, const char **ret, struct error *err)
{
	if (!is_dns_label(text)) {
		error_set(err, ERROR_INPUT, "'%.70s' is not a name", text);
		return error_hint(err, "a name has 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -");
	}
	*ret = text;
	return 0;
}

static int read_label_value(struct decoder *decoder, const char *text, const char **ret, struct error *err)
{
	size_t n = strlen(text);

	if (n > 63 || strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != n) {
		error_set(err, ERROR_INPUT, "'%.70s' is not the value of a label", text);
		return error_hint(err, "it has up to 63 of A-Z, a-z, 0-9, -, _ and .");
	}
	*ret = text;
	return 0;
}

static int read_path(struct decoder *decoder, const char *text, const char **ret, struct error *err)
{
	autofree char *absolute = NULL;

	if (!*text)
		return error_set(err, ERROR_INPUT, "a path may not be empty");
	absolute = fs_absolute(decoder->folder, text);
	*ret = arena_strdup(decoder->arena, absolute);
	return 0;
}

static int read_absolute_path(struct decoder *decoder, const char *text, const char **ret, struct error *err)
{
	if (*text != '/')
		return error_set(err, ERROR_INPUT, "'%.60s' must be an absolute path", text);
	return read_path(decoder, text, ret, err);
}

/* Images: a path in a reference is made absolute; names stay as they are. */
static int read_image(struct decoder *decoder, const char *text, const char **ret, struct error *err)
{
	static const char *const with_path[] = { "oci:", "docker-archive:", "rootfs:" };

	if (!*text || strchr(text, ' ') || strchr(text, '\n'))
		return error_set(err, ERROR_INPUT, "'%.60s' is not an image", text);
	for (size_t i = 0; i < ARRAY_LEN(with_path); i++) {
		size_t n = strlen(with_path[i]);
		autofree char *absolute = NULL;

		if (!starts_with(text, with_path[i]))
			continue;
		if (!text[n])
			return error_set(err, ERROR_INPUT, "'%s' needs a path behind the colon", text);
		absolute = fs_absolute(decoder->folder, text + n);
		*ret = arena_printf(decoder->arena, "%s%s", with_path[i], absolute);
		return 0;
	}
	if (*text == '/' || starts_with(text, "./") || starts_with(text, "../")) {
		autofree char *absolute = fs_absolute(decoder->folder, text);

		*ret = arena_printf(decoder->arena, "rootfs:%s", absolute);
		return 0;
	}
	*ret = text;
	return 0;
}

static int read_env_name(struct decoder *decoder, const char *text, const char **ret, struct error *err)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	if (!n || text[n] || (*text >= '0' && *text <= '9')) {
		error_set(err, ERROR_INPUT, "'%.60s' is not the name of a variable", text);
		return error_hint(err, "it has letters, digits and _, and does not begin with a digit");
	}
	*ret = text;
	return 0;
}

static int read_address(struct decoder *decoder, const char *text, const char **ret, struct error *err)
{
	struct address address;

	if (address_parse(text, &address, err) < 0)
		return -1;
	*ret = text;
	return 0;
}

static int read_prefix(struct decoder *decoder, const char *text, const char **ret, struct error *err)
{
	struct prefix prefix;
	char formatted[PREFIX_TEXT];

	if (prefix_parse(text, &prefix, err) < 0)
		return -1;
	prefix_format(&prefix, formatted);
	*ret = arena_strdup(decoder->arena, formatted);
	return 0;
}

/* POSIX user and group names as shadow takes them */
static int read_user(struct decoder *decoder, const char *text, const char **ret, struct error *err)
{
	size_t n = strlen(text);

	if (!n || n > 64 || *text == '-' || strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@$") != n)
		return error_set(err, ERROR_INPUT, "'%.70s' is not the name of a user or group", text);
	*ret = text;
	return 0;
}

static int read_date(struct decoder *decoder, const char *text, const char **ret, struct error *err)
{
	int year, month, day, end = 0;

	if (strlen(text) != 10 || sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &end) != 3 || end != 10 ||
	    month < 1 || month > 12 || day < 1 || day > 31)
		return error_set(err, ERROR_INPUT, "'%.60s' is not a date like 2026-11-25", text);
	*ret = text;
	return 0;
}

static int read_currency(struct decoder *decoder, const char *text, const char **ret, struct error *err)
{
	if (strlen(text) != 3 || strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3)
		return error_set(err, ERROR_INPUT, "'%.60s' is not a currency of three letters like EUR", text);
	*ret = text;
	return 0;
}

static int read_word(const char *text, const char *const *words, const char **ret, struct error *err)
{
	for (; *words; words++) {
		if (streq(text, *words)) {
			*ret = text;
			return 0;
		}
	}
	return error_set(err, ERROR_INPUT, "'%.60s' is not known", text);
}

static int read_operator(struct decoder *decoder, const char *text, const char **ret, struct error *err)
{
	static const char *const words[] = { "Equal", "Exists", NULL };

	return read_word(text, words, ret, err) < 0 ? error_hint(err, "valid are Equal and Exists") : 0;
}

static int read_effect(struct decoder *decoder, const char *text, const char **ret, struct error *err)
{
	static const char *const words[] = { "NoSchedule", "PreferNoSchedule", "NoExecute", NULL };

	return read_word(text, words, ret, err) < 0 ? error_hint(err, "valid are NoSchedule, PreferNoSchedule and NoExecute") : 0;
}

static int read_method(struct decoder *decoder, const char *text, const char **ret, struct error *err)
{
	static const char *const words[] = { "bare", "vm", "container", NULL };

	return read_word(text, words, ret, err) < 0 ? error_hint(err, "valid are bare, vm and container") : 0;
}

static int read_api_version(struct decoder *decoder, const char *text, const char **ret, struct error *err)
{
	static const char *const words[] = { API_VERSION, NULL };

	return read_word(text, words, ret, err) < 0 ? error_hint(err, "valid is " API_VERSION) : 0;
}

const struct form form_operator = { "text", "^(Equal|Exists)$", 0, read_operator };
const struct form form_effect = { "text", "^(NoSchedule|PreferNoSchedule|NoExecute)$", 0, read_effect };
const struct form form_method = { "text", "^(bare|vm|container)$", 0, read_method };
const struct form form_api_version = { "text", "^insula\\.dev/v1$", 0, read_api_version };
const struct form form_name = { "DNS label", "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", 0, read_name };
const struct form form_label_value = { "label value", "^[-A-Za-z0-9_.]{0,63}$", 0, read_label_value };
const struct form form_path = { "path", NULL, 0, read_path };
const struct form form_absolute_path = { "absolute path", "^/", 0, read_absolute_path };
const struct form form_image = { "image reference", NULL, 0, read_image };
const struct form form_env_value = { "text", NULL, 128 << 10, NULL };
const struct form form_argument = { "text", NULL, 128 << 10, NULL };
const struct form form_address = { "address", NULL, 0, read_address };
const struct form form_prefix = { "range of addresses", NULL, 0, read_prefix };
const struct form form_user = { "user or group", NULL, 0, read_user };
const struct form form_env_name = { "name of a variable", "^[A-Za-z_][A-Za-z0-9_]*$", 0, read_env_name };
const struct form form_date = { "date", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", 0, read_date };
const struct form form_currency = { "currency", "^[A-Z]{3}$", 0, read_currency };
