/* SPDX-License-Identifier: Apache-2.0 */
#include "secret.h"

#include <stdlib.h>

void secret_set(struct secret *secret, const void *data, size_t n)
{
	char *bytes;

	if (n > SECRET_MAX)
		BUG("a secret of %zu bytes", n);
	bytes = xmalloc(n + 1);
	if (n)
		memcpy(bytes, data, n);
	bytes[n] = '\0';
	secret_clear(secret);
	secret->bytes_ = bytes;
	secret->n = n;
}

const char *secret_reveal(const struct secret *secret)
{
	return secret->bytes_ ? secret->bytes_ : "";
}

void secret_clear(struct secret *secret)
{
	if (secret->bytes_) {
		explicit_bzero(secret->bytes_, secret->n);
		free(secret->bytes_);
	}
	*secret = (struct secret){ 0 };
}
