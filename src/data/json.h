/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_DATA_JSON_H
#define INSULA_DATA_JSON_H

/*
 * JSON: jansson with the few things that are missing in it. Ownership is jansson's: a `json_t *`
 * from a function that makes one belongs to the caller (`autojson`, json_decref); what
 * json_get_* and json_object_get answer is borrowed. json_equal (jansson's) compares deeply; 1 and 1.0 differ.
 */

#include "base/base.h"
#include "base/digest.h"

#include <jansson.h>

#define JSON_DEPTH_MAX 200			/* arrays and objects within each other */
#define JSON_SIZE_MAX ((size_t)64 << 20)	/* for readers that know no smaller limit */

void json_cleanup(json_t **json);
#define autojson CLEANUP(json_cleanup)

/* One value of any type from n bytes; `name` (of the file, or what it is) starts the message, then line and column.
   A key that is there twice, a byte behind the value, bad UTF-8, a NUL in a string, a number beyond 64 bits, more than `limit`
   bytes or JSON_DEPTH_MAX levels are ERROR_INPUT. */
int json_parse(const char *name, const char *text, size_t n, size_t limit, json_t **ret, struct error *err) WARN_UNUSED;
int json_read_file(const char *path, size_t limit, json_t **ret, struct error *err) WARN_UNUSED;

/* Text; caller frees. Canonical: keys sorted by bytes, no white space, reals with 17 digits; equal values give equal bytes. */
char *json_canonical(const json_t *json);
char *json_pretty(const json_t *json);		/* sorted, indented by 2, with a newline at the end */
void json_digest(const json_t *json, char hex[static DIGEST_HEX]);	/* SHA-256 of the canonical text */

/* The value of `key`, or the other one when the key is absent, of another type or `object` is no object (or NULL). */
const char *json_get_string(const json_t *object, const char *key, const char *otherwise);
int64_t json_get_int(const json_t *object, const char *key, int64_t otherwise);
double json_get_real(const json_t *object, const char *key, double otherwise);	/* also takes an integer */
bool json_get_bool(const json_t *object, const char *key, bool otherwise);
json_t *json_get_object(const json_t *object, const char *key);	/* borrowed, or NULL */
json_t *json_get_array(const json_t *object, const char *key);	/* borrowed, or NULL */

/* New values and settings that cannot fail. A byte that is not UTF-8 becomes U+FFFD. */
json_t *json_text(const char *s);				/* NULL gives null */
void json_set_string(json_t *object, const char *key, const char *s);	/* NULL removes the key */
void json_set_int(json_t *object, const char *key, int64_t value);
void json_set_bool(json_t *object, const char *key, bool value);
void json_set(json_t *object, const char *key, json_t *value);	/* takes over the value; NULL removes the key */
void json_add(json_t *array, json_t *value);			/* takes over the value */

#endif
