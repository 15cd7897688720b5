/* SPDX-License-Identifier: Apache-2.0 */
#include "lower.h"
#include "site/local/probe/probe.h"

#include <stdlib.h>

/*
 * Resources to ground. Each is lifted by itself, in any order: what several tell of (an endpoint has its labels from the
 * instance, its address from the link) is made by the first and completed by the others.
 */

uint32_t lift_endpoint(struct world *world, const char *name, enum endpoint_kind kind, const char *tenant)
{
	uint32_t found = world_find_endpoint(world, name);
	struct endpoint *endpoint;

	if (found != WORLD_NONE)
		return found;
	endpoint = vec_add(&world->endpoints);
	endpoint->name = arena_intern(&world->arena, name);
	endpoint->kind = kind;
	endpoint->tenant = tenant ? arena_intern(&world->arena, tenant) : NULL;
	endpoint->node = WORLD_NONE;
	endpoint->port = WORLD_NONE;
	return (uint32_t)world->endpoints.n - 1;
}

uint32_t lift_node(struct world *world, const json_t *facts)
{
	struct survey survey;
	struct site_facts all = { (json_t *)facts };
	struct error ignored;
	struct node *node;

	if (world->nodes.n)
		return 0;
	if (local_survey(&all, &survey, &ignored) < 0)
		return WORLD_NONE;
	node = vec_add(&world->nodes);
	*node = survey.nodes.items[0];
	node->name = arena_intern(&world->arena, node->name);
	survey_clear(&survey);
	return 0;
}

static enum method method_of(const char *name)
{
	return streq(name, "vm") ? METHOD_VM : streq(name, "bare") ? METHOD_BARE : METHOD_CONTAINER;
}


static int label_compare(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->key, ((const struct label *)b)->key);
}

/* The labels of the world: the user's, and who it is. */
static struct labels labels_lift(struct world *world, const json_t *own, const struct instance_key *key)
{
	struct labels labels = { .items = arena_array(&world->arena, json_object_size(own) + 3, sizeof(struct label)) };
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)own, name, value)
		labels.items[labels.n++] = (struct label){ arena_intern(&world->arena, name), arena_intern(&world->arena, json_string_value(value)) };
	labels.items[labels.n++] = (struct label){ "tenant", arena_intern(&world->arena, key->tenant) };
	labels.items[labels.n++] = (struct label){ "workload", arena_intern(&world->arena, key->workload) };
	labels.items[labels.n++] = (struct label){ "replica", arena_printf(&world->arena, "%u", key->replica) };
	qsort(labels.items, labels.n, sizeof(*labels.items), label_compare);
	return labels;
}

/* The world keeps its instances sorted by key. */
static struct instance *instance_add(struct world *world, const char *key)
{
	size_t at = world->instances.n;

	vec_add(&world->instances);
	while (at > 0 && strcmp(world->instances.items[at - 1].key, key) > 0)
		at--;
	memmove(&world->instances.items[at + 1], &world->instances.items[at], (world->instances.n - 1 - at) * sizeof(struct instance));
	world->instances.items[at] = (struct instance){ .key = arena_intern(&world->arena, key) };
	return &world->instances.items[at];
}

static int lift_instance(const json_t *facts, const struct resource *resource, struct world *world, struct error *err)
{
	struct instance_key key;
	struct instance *instance;
	struct endpoint *endpoint;
	uint32_t found, node;

	if (!local_instance_key(resource->key, &key))
		return error_set(err, ERROR_INPUT, "\"%s\" is not the key of an instance", resource->key);
	node = lift_node(world, facts);
	found = lift_endpoint(world, resource->key, ENDPOINT_INSTANCE, key.tenant);
	endpoint = &world->endpoints.items[found];
	endpoint->node = node;
	endpoint->labels = labels_lift(world, json_get_object(resource->body, "labels"), &key);
	instance = instance_add(world, resource->key);
	instance->tenant = arena_intern(&world->arena, key.tenant);
	instance->workload = arena_intern(&world->arena, key.workload);
	instance->replica = key.replica;
	instance->digest = arena_intern(&world->arena, json_get_string(resource->body, "digest", ""));
	instance->method = method_of(json_get_string(resource->body, "method", "container"));
	instance->node = node;
	instance->endpoint = found;
	instance->cpu = json_get_int(resource->body, "cpu", AMOUNT_NONE);
	instance->memory = json_get_int(resource->body, "memory", AMOUNT_NONE);
	instance->gpu = AMOUNT_NONE;
	return 0;
}

int local_lift(const struct site_facts *facts, const struct resource *resource, struct world *into, struct error *err)
{
	if (streq(resource->kind, "instance"))
		return lift_instance(facts->json, resource, into, err);
	return local_lift_network(facts, resource, into, err);
}
