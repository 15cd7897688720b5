/* SPDX-License-Identifier: Apache-2.0 */
#include "map.h"

#include <stdlib.h>

/*
 * How it works: `entries` holds the pairs in order of insertion. `slots` is an open-addressed
 * table (a power of two, linear probing) of 1 + index into entries; 0 is empty. A removed pair
 * keeps its place with key NULL, so its slot still leads the probing past it; the next rebuild
 * drops it. At most half of the slots are in use.
 */

#define ABSENT UINT32_MAX

uint64_t hash_bytes(const void *data, size_t n)
{
	const unsigned char *p = data;
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * 0x100000001b3;
	return hash;
}

static uint32_t key_hash(const char *key)
{
	uint64_t hash = hash_bytes(key, strlen(key));

	return (uint32_t)(hash ^ hash >> 32);
}

void map_clear(struct map *map)
{
	free(map->entries);
	free(map->slots);
	*map = (struct map){ 0 };
}

static uint32_t map_find(const struct map *map, const char *key, uint32_t hash)
{
	if (!map->slot_count)
		return ABSENT;
	for (size_t i = hash & (map->slot_count - 1);; i = (i + 1) & (map->slot_count - 1)) {
		const struct map_entry *e;

		if (!map->slots[i])
			return ABSENT;
		e = &map->entries[map->slots[i] - 1];
		if (e->key && e->hash == hash && streq(e->key, key))
			return map->slots[i] - 1;
	}
}

static void slot_put(struct map *map, uint32_t index)
{
	size_t i = map->entries[index].hash & (map->slot_count - 1);

	while (map->slots[i])
		i = (i + 1) & (map->slot_count - 1);
	map->slots[i] = index + 1;
}

/* Drops removed pairs and makes room for one more. */
static void map_rebuild(struct map *map)
{
	size_t capacity = MAX((size_t)8, map->n * 2), kept = 0;

	if (capacity >= ABSENT / 2)
		BUG("map of more than 2^31 entries");
	for (size_t i = 0; i < map->used; i++)
		if (map->entries[i].key)
			map->entries[kept++] = map->entries[i];
	map->used = kept;
	map->entries = xreallocarray(map->entries, capacity, sizeof(*map->entries));
	map->capacity = capacity;
	for (map->slot_count = 16; map->slot_count < capacity * 2; map->slot_count *= 2)
		;
	free(map->slots);
	map->slots = xcalloc(map->slot_count, sizeof(*map->slots));
	for (size_t i = 0; i < map->used; i++)
		slot_put(map, (uint32_t)i);
}

void *map_get(const struct map *map, const char *key)
{
	uint32_t i = map_find(map, key, key_hash(key));

	return i == ABSENT ? NULL : map->entries[i].value;
}

bool map_has(const struct map *map, const char *key)
{
	return map_find(map, key, key_hash(key)) != ABSENT;
}

bool map_set(struct map *map, const char *key, void *value)
{
	uint32_t hash = key_hash(key), i = map_find(map, key, hash);

	if (i != ABSENT) {
		map->entries[i].value = value;
		return true;
	}
	if (map->used == map->capacity)
		map_rebuild(map);
	map->entries[map->used] = (struct map_entry){ .key = key, .value = value, .hash = hash };
	slot_put(map, (uint32_t)map->used);
	map->used++;
	map->n++;
	return false;
}

bool map_remove(struct map *map, const char *key)
{
	uint32_t i = map_find(map, key, key_hash(key));

	if (i == ABSENT)
		return false;
	map->entries[i].key = NULL;
	map->entries[i].value = NULL;
	map->n--;
	return true;
}
