/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_BASE_BASE_H
#define INSULA_BASE_BASE_H

/*
 * The small words of the language used here: allocation that cannot fail, ownership, cleanup.
 *
 * Memory: x*() abort the process when memory runs out; every size that comes from outside has a
 * limit long before that. Locals free themselves: `autofree char *s = xstrdup(...)`; hand out
 * with `*ret = steal(&s)`.
 */

#include "error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define UNUSED __attribute__((unused))
#define CLEANUP(function) __attribute__((cleanup(function)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xreallocarray(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *format, ...) PRINTF_LIKE(1, 2);
char *xvasprintf(const char *format, va_list ap) PRINTF_LIKE(1, 0);

/* Clean-up functions take the address of the variable. */
void cleanup_free(void *p);		/* void ** */
void cleanup_fd(int *fd);		/* closes when >= 0, keeps errno */
void cleanup_file(void *file);		/* FILE ** */
void cleanup_dir(void *dir);		/* DIR ** */

#define autofree CLEANUP(cleanup_free)
#define autofd CLEANUP(cleanup_fd)
#define autofile CLEANUP(cleanup_file)
#define autodir CLEANUP(cleanup_dir)

/* Takes the pointer out of the variable: the caller owns it now. */
#define steal(pp) ({ __typeof__(*(pp)) *steal_p_ = (pp); __typeof__(*(pp)) steal_v_ = *steal_p_; *steal_p_ = NULL; steal_v_; })
static inline int steal_fd(int *fd) { int v = *fd; *fd = -1; return v; }

static inline bool streq(const char *a, const char *b) { return strcmp(a, b) == 0; }
static inline bool starts_with(const char *s, const char *prefix) { return strncmp(s, prefix, strlen(prefix)) == 0; }
bool ends_with(const char *s, const char *suffix);
/* a == b, where each may be NULL */
bool str_equal(const char *a, const char *b);

/* "a typo for": the nearest of `words` (NULL-ended) by edit distance when near enough to be meant, else NULL. */
const char *nearest_word(const char *word, const char *const *words);

/* Stops the program: a fault of ours, never of the user. */
void bug(const char *file, int line, const char *format, ...) __attribute__((noreturn)) PRINTF_LIKE(3, 4);
#define BUG(...) bug(__FILE__, __LINE__, __VA_ARGS__)

#endif
