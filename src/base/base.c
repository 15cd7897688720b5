/* SPDX-License-Identifier: Apache-2.0 */
#include "base.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NEAREST_MAX 64	/* longer words are never compared */

void bug(const char *file, int line, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "insula: fault at %s:%d: ", file, line);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

void *xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);
	if (!p)
		BUG("out of memory for %zu bytes", size);
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);
	if (!p)
		BUG("out of memory for %zu times %zu bytes", n, size);
	return p;
}

void *xreallocarray(void *p, size_t n, size_t size)
{
	void *q = reallocarray(p, n ? n : 1, size ? size : 1);
	if (!q)
		BUG("out of memory for %zu times %zu bytes", n, size);
	return q;
}

char *xstrdup(const char *s)
{
	return s ? xstrndup(s, strlen(s)) : NULL;
}

char *xstrndup(const char *s, size_t n)
{
	char *copy;

	n = strnlen(s, n);
	copy = xmalloc(n + 1);
	memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

char *xvasprintf(const char *format, va_list ap)
{
	char *s;

	if (vasprintf(&s, format, ap) < 0)
		BUG("cannot format \"%s\"", format);
	return s;
}

char *xasprintf(const char *format, ...)
{
	va_list ap;
	char *s;

	va_start(ap, format);
	s = xvasprintf(format, ap);
	va_end(ap);
	return s;
}

void cleanup_free(void *p)
{
	free(*(void **)p);
}

void cleanup_fd(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
	}
}

void cleanup_file(void *file)
{
	FILE *f = *(FILE **)file;

	if (f) {
		int saved = errno;

		fclose(f);
		errno = saved;
	}
}

void cleanup_dir(void *dir)
{
	DIR *d = *(DIR **)dir;

	if (d) {
		int saved = errno;

		closedir(d);
		errno = saved;
	}
}

bool ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n >= k && memcmp(s + n - k, suffix, k) == 0;
}

bool str_equal(const char *a, const char *b)
{
	return a == b || (a && b && streq(a, b));
}

/* Edits between a and b: insertion, deletion, change, swap of neighbours (optimal string alignment); case is ignored. */
static unsigned edit_distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned rows[3][NEAREST_MAX + 1];
	unsigned *older = rows[0], *last = rows[1], *row = rows[2];

	for (size_t j = 0; j <= m; j++)
		last[j] = j;
	for (size_t i = 1; i <= n; i++) {
		unsigned *spare;

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
			unsigned best = last[j - 1] + (x != y);

			best = MIN(best, last[j] + 1);
			best = MIN(best, row[j - 1] + 1);
			if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
			    tolower((unsigned char)a[i - 2]) == y)
				best = MIN(best, older[j - 2] + 1);
			row[j] = best;
		}
		spare = older;
		older = last;
		last = row;
		row = spare;
	}
	return last[m];
}

const char *nearest_word(const char *word, const char *const *words)
{
	size_t n = strlen(word);
	unsigned best = n <= 3 ? 2 : MIN(n / 3, 3u) + 1;	/* strictly below this is near enough */
	const char *nearest = NULL;

	if (n == 0 || n > NEAREST_MAX)
		return NULL;
	for (; *words; words++) {
		size_t m = strlen(*words);
		unsigned distance;

		if (m > NEAREST_MAX)
			continue;
		distance = edit_distance(word, n, *words, m);
		if (distance < best && distance < MAX(n, m)) {
			best = distance;
			nearest = *words;
		}
	}
	return nearest;
}
