/* SPDX-License-Identifier: Apache-2.0 */
#include "digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <unistd.h>

#define DIGEST_BYTES 32

/* Of libcrypto's own steps only lack of memory can fail, which stops the program as everywhere. */

static EVP_MD_CTX *context(struct digest *digest)
{
	return (EVP_MD_CTX *)digest;
}

static void hex_put(const unsigned char *bytes, char hex[static DIGEST_HEX])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < DIGEST_BYTES; i++) {
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	hex[2 * DIGEST_BYTES] = '\0';
}

struct digest *digest_new(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		BUG("libcrypto has no SHA-256");
	return (struct digest *)ctx;
}

void digest_update(struct digest *digest, const void *data, size_t n)
{
	if (EVP_DigestUpdate(context(digest), data, n) != 1)
		BUG("SHA-256 failed");
}

void digest_final(struct digest *digest, char hex[static DIGEST_HEX])
{
	unsigned char bytes[DIGEST_BYTES];

	if (EVP_DigestFinal_ex(context(digest), bytes, NULL) != 1)
		BUG("SHA-256 failed");
	hex_put(bytes, hex);
	digest_free(digest);
}

void digest_free(struct digest *digest)
{
	EVP_MD_CTX_free(context(digest));
}

void digest_bytes(const void *data, size_t n, char hex[static DIGEST_HEX])
{
	struct digest *digest = digest_new();

	digest_update(digest, data, n);
	digest_final(digest, hex);
}

int digest_file(const char *path, char hex[static DIGEST_HEX], struct error *err)
{
	enum { CHUNK = 1 << 17 };
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	autofree char *chunk = NULL;
	struct digest *digest;

	if (fd < 0)
		return error_set_errno(err, errno, "cannot open %s", path);
	chunk = xmalloc(CHUNK);
	digest = digest_new();
	for (;;) {
		ssize_t n = read(fd, chunk, CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			digest_free(digest);
			return error_set_errno(err, errno, "cannot read %s", path);
		}
		if (n == 0)
			break;
		digest_update(digest, chunk, (size_t)n);
	}
	digest_final(digest, hex);
	return 0;
}

void digest_keyed(const void *key, size_t key_n, const void *data, size_t n, char hex[static DIGEST_HEX])
{
	unsigned char bytes[EVP_MAX_MD_SIZE];

	if (key_n > INT32_MAX)
		BUG("a key of %zu bytes", key_n);
	if (!HMAC(EVP_sha256(), key_n ? key : "", (int)key_n, n ? data : (const void *)"", n, bytes, NULL))
		BUG("HMAC-SHA-256 failed");
	hex_put(bytes, hex);
}

bool digest_hex_valid(const char *hex)
{
	return strlen(hex) == DIGEST_HEX - 1 && strspn(hex, "0123456789abcdef") == DIGEST_HEX - 1;
}
