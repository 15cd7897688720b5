/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_BASE_DIGEST_H
#define INSULA_BASE_DIGEST_H

/* SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104), from libcrypto. Text form is 64 lower-case hex digits; OCI writes "sha256:" before it. */

#include "base.h"

#define DIGEST_HEX 65	/* 64 digits and a 0 byte */

struct digest;	/* running */

struct digest *digest_new(void);
void digest_update(struct digest *digest, const void *data, size_t n);
void digest_final(struct digest *digest, char hex[static DIGEST_HEX]);	/* and frees */
void digest_free(struct digest *digest);
void digest_bytes(const void *data, size_t n, char hex[static DIGEST_HEX]);
int digest_file(const char *path, char hex[static DIGEST_HEX], struct error *err) WARN_UNUSED;
void digest_keyed(const void *key, size_t key_n, const void *data, size_t n, char hex[static DIGEST_HEX]);
bool digest_hex_valid(const char *hex);		/* exactly 64 of [0-9a-f] */

#endif
