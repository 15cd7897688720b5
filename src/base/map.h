/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_BASE_MAP_H
#define INSULA_BASE_MAP_H

/*
 * A hash map from strings to pointers. Keys are not copied: they live as long as the map.
 * Iteration is in order of insertion (removals keep the order), so that output is stable.
 */

#include "base.h"

struct map {
	struct map_entry *entries;	/* in order of insertion; key NULL when removed */
	uint32_t *slots;
	size_t n, used, capacity, slot_count;
};

struct map_entry {
	const char *key;
	void *value;
	uint32_t hash;
};

void map_clear(struct map *map);
void *map_get(const struct map *map, const char *key);			/* NULL when absent */
bool map_has(const struct map *map, const char *key);
bool map_set(struct map *map, const char *key, void *value);		/* true when the key was there and its value is replaced */
bool map_remove(struct map *map, const char *key);
#define map_each(map, e) \
	for (struct map_entry *e = (map)->entries; e && e < (map)->entries + (map)->used; e++) if (e->key)
#define automap CLEANUP(map_clear)

uint64_t hash_bytes(const void *data, size_t n);	/* FNV-1a, for tables only */

#endif
