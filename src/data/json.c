/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include "base/buf.h"
#include "base/fs.h"

#include <stdlib.h>

void json_cleanup(json_t **json)
{
	json_decref(*json);
}

/* Before jansson recurses: are the brackets outside of strings nested too deep? */
static int depth_check(const char *name, const char *text, size_t n, struct error *err)
{
	size_t depth = 0, line = 1, start = 0;
	bool in_string = false;

	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > JSON_DEPTH_MAX)
				return error_set(err, ERROR_INPUT, "%s:%zu:%zu: more than %d levels of arrays and objects", name, line,
						 i - start + 1, JSON_DEPTH_MAX);
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		}
		if (c == '\n') {
			line++;
			start = i + 1;
		}
	}
	return 0;
}

int json_parse(const char *name, const char *text, size_t n, size_t limit, json_t **ret, struct error *err)
{
	json_error_t fault;
	json_t *json;

	if (n > limit)
		return error_set(err, ERROR_INPUT, "%s is larger than the limit of %zu bytes", name, limit);
	if (depth_check(name, text, n, err) < 0)
		return -1;
	json = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
	if (!json)
		return error_set(err, ERROR_INPUT, "%s:%d:%d: %s", name, MAX(fault.line, 1), MAX(fault.column, 1), fault.text);
	*ret = json;
	return 0;
}

int json_read_file(const char *path, size_t limit, json_t **ret, struct error *err)
{
	autofree char *text = NULL;
	size_t n;

	if (fs_read_file(path, limit, &text, &n, err) < 0)
		return -1;
	return json_parse(path, text, n, limit, ret, err);
}

static char *dump(const json_t *json, size_t flags)
{
	char *text = json_dumps(json, flags | JSON_SORT_KEYS | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));

	if (!text)
		BUG("a JSON value cannot be written");
	return text;
}

char *json_canonical(const json_t *json)
{
	return dump(json, JSON_COMPACT);
}

char *json_pretty(const json_t *json)
{
	autofree char *text = dump(json, JSON_INDENT(2));

	return xasprintf("%s\n", text);
}

void json_digest(const json_t *json, char hex[static DIGEST_HEX])
{
	autofree char *text = json_canonical(json);

	digest_bytes(text, strlen(text), hex);
}

const char *json_get_string(const json_t *object, const char *key, const char *otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_string(value) ? json_string_value(value) : otherwise;
}

int64_t json_get_int(const json_t *object, const char *key, int64_t otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

double json_get_real(const json_t *object, const char *key, double otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : otherwise;
}

bool json_get_bool(const json_t *object, const char *key, bool otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

json_t *json_get_object(const json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	return json_is_object(value) ? value : NULL;
}

json_t *json_get_array(const json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	return json_is_array(value) ? value : NULL;
}

/* The length of the UTF-8 character at s, or 0 (RFC 3629: no surrogates, nothing above U+10FFFF, nothing overlong). */
static size_t utf8_length(const unsigned char *s)
{
	static const struct { unsigned char first, last, low, high; size_t length; } forms[] = {
		{ 0x01, 0x7f, 0, 0, 1 },
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (s[0] < forms[i].first || s[0] > forms[i].last)
			continue;
		if (forms[i].length > 1 && (s[1] < forms[i].low || s[1] > forms[i].high))
			return 0;
		for (size_t k = 2; k < forms[i].length; k++)
			if (s[k] < 0x80 || s[k] > 0xbf)
				return 0;
		return forms[i].length;
	}
	return 0;
}

json_t *json_text(const char *s)
{
	autobuf struct buf buf = { 0 };
	json_t *json;

	if (!s)
		return json_null();
	buf_reset(&buf);
	while (*s) {
		size_t n = utf8_length((const unsigned char *)s);

		if (n)
			buf_add(&buf, s, n);
		else
			buf_adds(&buf, "\xef\xbf\xbd");
		s += MAX(n, (size_t)1);
	}
	json = json_string_nocheck(buf.data);
	if (!json)
		BUG("out of memory for a JSON string");
	return json;
}

void json_set(json_t *object, const char *key, json_t *value)
{
	if (!value)
		json_object_del(object, key);
	else if (json_object_set_new(object, key, value) < 0)
		BUG("cannot set \"%s\" in a JSON value", key);
}

void json_set_string(json_t *object, const char *key, const char *s)
{
	json_set(object, key, s ? json_text(s) : NULL);
}

void json_set_int(json_t *object, const char *key, int64_t value)
{
	json_set(object, key, json_integer(value));
}

void json_set_bool(json_t *object, const char *key, bool value)
{
	json_set(object, key, json_boolean(value));
}

void json_add(json_t *array, json_t *value)
{
	if (json_array_append_new(array, value) < 0)
		BUG("cannot add to a JSON array");
}
