/* SPDX-License-Identifier: Apache-2.0 */
#include "buf.h"

#include <stdio.h>
#include <stdlib.h>

static void buf_need(struct buf *buf, size_t more)
{
	size_t need, grown;

	if (__builtin_add_overflow(buf->n, more, &need) || __builtin_add_overflow(need, 1, &need))
		BUG("buffer of more than the address space");
	if (need <= buf->capacity)
		return;
	grown = MAX(need, buf->capacity + buf->capacity / 2);
	grown = MAX(grown, (size_t)64);
	buf->data = xreallocarray(buf->data, grown, 1);
	buf->capacity = grown;
	buf->data[buf->n] = '\0';
}

void buf_clear(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){ 0 };
}

void buf_reset(struct buf *buf)
{
	buf_need(buf, 0);
	buf->n = 0;
	buf->data[0] = '\0';
}

void buf_add(struct buf *buf, const void *data, size_t n)
{
	buf_need(buf, n);
	if (n)
		memcpy(buf->data + buf->n, data, n);
	buf->n += n;
	buf->data[buf->n] = '\0';
}

void buf_adds(struct buf *buf, const char *s)
{
	buf_add(buf, s, strlen(s));
}

void buf_addc(struct buf *buf, char c)
{
	buf_add(buf, &c, 1);
}

void buf_addf(struct buf *buf, const char *format, ...)
{
	va_list ap, again;
	size_t space;
	int n;

	buf_need(buf, 0);
	space = buf->capacity - buf->n;
	va_start(ap, format);
	va_copy(again, ap);
	n = vsnprintf(buf->data + buf->n, space, format, ap);
	va_end(ap);
	if (n < 0)
		BUG("cannot format \"%s\"", format);
	if ((size_t)n >= space) {
		buf_need(buf, (size_t)n);
		vsnprintf(buf->data + buf->n, (size_t)n + 1, format, again);
	}
	va_end(again);
	buf->n += (size_t)n;
}

char *buf_steal(struct buf *buf)
{
	char *s;

	buf_need(buf, 0);
	s = buf->data;
	*buf = (struct buf){ 0 };
	return s;
}
