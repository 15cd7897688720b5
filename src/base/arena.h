/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_BASE_ARENA_H
#define INSULA_BASE_ARENA_H

/*
 * An arena: memory that is freed all at once; one per document, plan or report.
 * Zeroed memory; strings from arena_intern are shared, so equal strings have equal pointers
 * within one arena. Not for use by two threads at once.
 */

#include "base.h"

struct arena {
	struct arena_block *block;	/* newest */
	struct arena_strings *strings;	/* intern table or NULL */
	size_t allocated;		/* bytes handed out */
};

void arena_init(struct arena *arena);
void arena_clear(struct arena *arena);	/* frees everything; usable again */

void *arena_alloc(struct arena *arena, size_t size);	/* zeroed, aligned for any type */
void *arena_array(struct arena *arena, size_t n, size_t size);
char *arena_strdup(struct arena *arena, const char *s);	/* NULL gives NULL */
char *arena_strndup(struct arena *arena, const char *s, size_t n);
char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
const char *arena_intern(struct arena *arena, const char *s);

#define arena_new(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define autoarena CLEANUP(arena_clear)

#endif
