/* SPDX-License-Identifier: Apache-2.0 */
#include "arena.h"

#include "map.h"

#include <stdalign.h>
#include <stdlib.h>

#define BLOCK_FIRST ((size_t)4096)
#define BLOCK_MOST ((size_t)1 << 20)

struct arena_block {
	struct arena_block *older;
	size_t n, capacity;
	alignas(max_align_t) char bytes[];
};

struct arena_strings {
	struct map map;	/* each string to itself */
};

void arena_init(struct arena *arena)
{
	*arena = (struct arena){ 0 };
}

void arena_clear(struct arena *arena)
{
	if (arena->strings) {
		map_clear(&arena->strings->map);
		free(arena->strings);
	}
	while (arena->block) {
		struct arena_block *older = arena->block->older;

		free(arena->block);
		arena->block = older;
	}
	*arena = (struct arena){ 0 };
}

static struct arena_block *block_new(struct arena *arena, size_t size)
{
	size_t capacity = arena->block ? MIN(arena->block->capacity * 2, BLOCK_MOST) : BLOCK_FIRST, whole;
	struct arena_block *block;

	capacity = MAX(capacity, size);
	if (__builtin_add_overflow(capacity, sizeof(*block), &whole))
		BUG("arena block of more than the address space");
	block = xcalloc(1, whole);
	block->capacity = capacity;
	block->older = arena->block;
	arena->block = block;
	return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->block;
	size_t rounded;
	void *p;

	if (__builtin_add_overflow(size ? size : 1, alignof(max_align_t) - 1, &rounded))
		BUG("arena allocation of more than the address space");
	rounded &= ~(alignof(max_align_t) - 1);
	if (!block || block->capacity - block->n < rounded)
		block = block_new(arena, rounded);
	p = block->bytes + block->n;
	block->n += rounded;
	arena->allocated += size;
	return p;
}

void *arena_array(struct arena *arena, size_t n, size_t size)
{
	size_t whole;

	if (__builtin_mul_overflow(n, size, &whole))
		BUG("arena array of more than the address space");
	return arena_alloc(arena, whole);
}

char *arena_strndup(struct arena *arena, const char *s, size_t n)
{
	char *copy;

	if (!s)
		return NULL;
	n = strnlen(s, n);
	copy = arena_alloc(arena, n + 1);
	memcpy(copy, s, n);
	return copy;
}

char *arena_strdup(struct arena *arena, const char *s)
{
	return s ? arena_strndup(arena, s, strlen(s)) : NULL;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	autofree char *s = NULL;
	va_list ap;

	va_start(ap, format);
	s = xvasprintf(format, ap);
	va_end(ap);
	return arena_strdup(arena, s);
}

const char *arena_intern(struct arena *arena, const char *s)
{
	char *known;

	if (!s)
		return NULL;
	if (!arena->strings)
		arena->strings = xcalloc(1, sizeof(*arena->strings));
	known = map_get(&arena->strings->map, s);
	if (!known) {
		known = arena_strdup(arena, s);
		map_set(&arena->strings->map, known, known);
	}
	return known;
}
