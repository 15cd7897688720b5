/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_BASE_VEC_H
#define INSULA_BASE_VEC_H

/*
 * A vector: `VEC(int) v = {0}; vec_push(&v, 3); for (size_t i = 0; i < v.n; i++) v.items[i]; vec_clear(&v);`
 * Elements move when it grows: keep indices, not pointers. vec_clear frees the array, not what elements own.
 */

#include "base.h"

#define VEC(type) struct { type *items; size_t n, capacity; }

void *vec_grow(void *items, size_t *capacity, size_t need, size_t size);

#define vec_reserve(v, count) \
	((v)->capacity >= (count) ? (void)0 : \
	 (void)((v)->items = vec_grow((v)->items, &(v)->capacity, (count), sizeof(*(v)->items))))
#define vec_push(v, value) (vec_reserve((v), (v)->n + 1), (v)->items[(v)->n++] = (value))
/* a new zeroed element at the end; its address */
#define vec_add(v) (vec_reserve((v), (v)->n + 1), memset(&(v)->items[(v)->n], 0, sizeof(*(v)->items)), &(v)->items[(v)->n++])
#define vec_clear(v) (cleanup_free(&(v)->items), (v)->items = NULL, (v)->n = (v)->capacity = 0)
#define vec_each(v, it) for (__typeof__((v)->items + 0) it = (v)->items; it && it < (v)->items + (v)->n; it++)

#endif
