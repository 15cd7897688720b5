/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_PLAN_REF_H
#define INSULA_PLAN_REF_H

/*
 * The two special values of a body: refs, which are known only when another resource exists, and
 * secrets, of which only a keyed digest is kept.
 *
 *   {"$ref": "vision/network", "field": "id"}
 *   {"$secret": "hub", "digest": "<64 hex digits>"}
 */

#include "base/digest.h"
#include "base/secret.h"
#include "resource.h"

/* How refs find what they point at: NULL when it is not known (yet). */
struct ref_lookup {
	const struct resource *(*find)(void *arg, const char *key);
	void *arg;
};
struct ref_lookup ref_lookup_resources(const struct resources *resources);

/* Is it a ref? The texts are borrowed from `value`; either may be NULL. */
bool ref_is(const json_t *value, const char **ret_key, const char **ret_field);
json_t *ref_new(const char *key, const char *field);

/* Calls for each ref in `value`, however deep. */
void ref_each(const json_t *value, void (*each)(void *arg, const char *key, const char *field), void *arg);

/* What the ref stands for, as a new reference; NULL when it is not known. Field "id" is the id, any other a field of the body. */
json_t *ref_value(const struct ref_lookup *lookup, const char *key, const char *field);

/* A copy of `value` with each ref replaced. ERROR_NOT_FOUND names the first that is not known. */
int ref_resolve(const json_t *value, const struct ref_lookup *lookup, json_t **ret, struct error *err) WARN_UNUSED;

/*
 * The way back, for list: a copy of `live` in which each value that `like` says by a ref, and that
 * is what this ref stands for now, is that ref again. `like` (what was desired or applied) may be NULL.
 */
json_t *ref_restore(const json_t *live, const json_t *like, const struct ref_lookup *lookup);

bool secret_mark_is(const json_t *value, const char **ret_name, const char **ret_digest);
json_t *secret_mark_new(const char *name, const char *digest);
/* HMAC-SHA-256 of name, a 0 byte and the value, with the key of the deployment's state (state_secret_key). */
void secret_mark_digest(const uint8_t key[static 32], const char *name, const struct secret *value, char hex[static DIGEST_HEX]);

/* For people, one line: "vision/network (after create)", "secret hub", text without quotes, anything else as JSON; "-" for NULL. Cut with "..." beyond `limit` bytes. Caller frees. */
char *value_text(const json_t *value, size_t limit);

#endif
