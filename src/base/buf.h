/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_BASE_BUF_H
#define INSULA_BASE_BUF_H

/* A growable byte buffer. `data` is never NULL after the first call and always has a 0 byte behind the end. */

#include "base.h"

struct buf {
	char *data;
	size_t n, capacity;
};

void buf_clear(struct buf *buf);			/* frees */
void buf_reset(struct buf *buf);			/* empties, keeps the memory */
void buf_add(struct buf *buf, const void *data, size_t n);
void buf_adds(struct buf *buf, const char *s);
void buf_addc(struct buf *buf, char c);
void buf_addf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
char *buf_steal(struct buf *buf);			/* the string; caller frees; the buffer is empty again */
#define autobuf CLEANUP(buf_clear)

#endif
