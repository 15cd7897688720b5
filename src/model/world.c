/* SPDX-License-Identifier: Apache-2.0 */
#include "survey.h"

void world_init(struct world *world)
{
	*world = (struct world){ 0 };
	arena_init(&world->arena);
}

void world_clear(struct world *world)
{
	vec_clear(&world->nodes);
	vec_clear(&world->instances);
	vec_clear(&world->endpoints);
	vec_clear(&world->policies);
	vec_clear(&world->ports);
	vec_clear(&world->links);
	vec_clear(&world->publications);
	arena_clear(&world->arena);
	*world = (struct world){ 0 };
}

uint32_t world_find_instance(const struct world *world, const char *key)
{
	size_t low = 0, high = world->instances.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(world->instances.items[middle].key, key);

		if (order == 0)
			return (uint32_t)middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return WORLD_NONE;
}

uint32_t world_find_endpoint(const struct world *world, const char *name)
{
	for (size_t i = 0; i < world->endpoints.n; i++)
		if (streq(world->endpoints.items[i].name, name))
			return (uint32_t)i;
	return WORLD_NONE;
}

uint32_t world_find_link(const struct world *world, const char *name)
{
	for (size_t i = 0; i < world->links.n; i++)
		if (streq(world->links.items[i].name, name))
			return (uint32_t)i;
	return WORLD_NONE;
}

void survey_init(struct survey *survey)
{
	*survey = (struct survey){ 0 };
	arena_init(&survey->arena);
}

void survey_clear(struct survey *survey)
{
	vec_clear(&survey->nodes);
	vec_clear(&survey->busy);
	vec_clear(&survey->addresses);
	vec_clear(&survey->busy_ids);
	arena_clear(&survey->arena);
	*survey = (struct survey){ 0 };
}
