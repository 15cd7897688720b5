/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_BASE_SECRET_H
#define INSULA_BASE_SECRET_H

/* A secret value: its own type, so that it cannot be printed by accident; wiped when cleared. */

#include "base.h"

#define SECRET_MAX (1 << 20)

struct secret { char *bytes_; size_t n; };

void secret_set(struct secret *secret, const void *data, size_t n);	/* copies; a 0 byte behind the end */
const char *secret_reveal(const struct secret *secret);		/* only where it is handed over */
void secret_clear(struct secret *secret);			/* explicit_bzero, then free */
#define autosecret CLEANUP(secret_clear)

#endif
