/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: nodes and the uplink first; then, tenant by tenant in the order of names, its link
 * and gateway, its instances with endpoint and port, and its policies (expand_policies.c); last the
 * publications. Every text is copied or interned, so that the world needs neither intent nor decisions afterwards.
 */
#include "expand_internal.h"

#include "labels.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const json_t *decision_of(const struct expansion *expansion, const char *kind, const char *name)
{
	autofree char *key = xasprintf("%s/%s", kind, name);

	return json_get_object(expansion->decisions, key);
}

static int undecided(struct expansion *expansion, const char *what, const char *name)
{
	return error_set(expansion->err, ERROR_FAILED, "nothing is decided about %s %s", what, name);
}

/* Copies what another arena owns. */
static struct labels copy_labels(struct arena *arena, const struct labels *labels)
{
	struct labels copy = { arena_array(arena, labels->n, sizeof(*copy.items)), labels->n };

	for (size_t i = 0; i < labels->n; i++)
		copy.items[i] = (struct label){ arena_intern(arena, labels->items[i].key), arena_intern(arena, labels->items[i].value) };
	return copy;
}

static void add_nodes(struct expansion *expansion, uint32_t uplink)
{
	struct world *world = expansion->world;
	struct arena *arena = &world->arena;

	vec_each(&expansion->survey->nodes, from) {
		struct node *node = vec_add(&world->nodes);

		*node = *from;
		node->name = arena_intern(arena, from->name);
		node->labels = copy_labels(arena, &from->labels);
		node->gpus = arena_array(arena, from->gpu_n, sizeof(*node->gpus));
		for (size_t i = 0; i < from->gpu_n; i++) {
			node->gpus[i] = from->gpus[i];
			node->gpus[i].uuid = arena_strdup(arena, from->gpus[i].uuid);
			node->gpus[i].model = arena_strdup(arena, from->gpus[i].model);
		}
		node->link = uplink;
	}
}

/* A host has its end of the uplink and whatever else the survey saw; with several nodes those belong to none in particular. */
static void add_hosts(struct expansion *expansion, const struct link *uplink)
{
	struct world *world = expansion->world;
	const struct survey *survey = expansion->survey;

	for (size_t i = 0; i < world->nodes.n; i++) {
		struct endpoint *host = vec_add(&world->endpoints);
		size_t n = i == 0 ? survey->addresses.n : 0;

		host->name = host->native_name = arena_printf(&world->arena, "host/%s", world->nodes.items[i].name);
		host->native_kind = "node";
		host->kind = ENDPOINT_HOST;
		host->addresses = arena_array(&world->arena, n + 1, sizeof(*host->addresses));
		if (n)
			memcpy(host->addresses, survey->addresses.items, n * sizeof(*host->addresses));
		if (i == 0)
			host->addresses[n++] = uplink->gateway;
		host->address_n = n;
		host->node = (uint32_t)i;
		host->port = WORLD_NONE;
	}
	vec_push(&world->endpoints, ((struct endpoint){ .name = "outside", .native_kind = "outside", .native_name = "outside", .kind = ENDPOINT_OUTSIDE,
							.node = WORLD_NONE, .port = WORLD_NONE }));
}

static int add_site(struct expansion *expansion)
{
	const json_t *site = json_get_object(expansion->decisions, "site");
	struct world *world = expansion->world;
	struct link uplink = { .name = "uplink", .native_kind = "link", .mtu = expansion->survey->uplink_mtu, .parent = WORLD_NONE };

	if (!site || prefix_parse(json_get_string(site, "pool", ""), &expansion->pool, expansion->err) < 0 ||
	    prefix_parse(json_get_string(site, "uplink", ""), &uplink.prefix, expansion->err) < 0)
		return undecided(expansion, "the site", expansion->intent->site.name);
	uplink.gateway = prefix_address(&uplink.prefix, 1);
	vec_push(&world->links, uplink);
	add_nodes(expansion, 0);
	add_hosts(expansion, &uplink);
	world->ipv6 = expansion->survey->ipv6;
	return 0;
}

static int add_network(struct expansion *expansion, const struct tenant *tenant, uint32_t *ret_link)
{
	const json_t *decision = decision_of(expansion, "tenant", tenant->name);
	struct world *world = expansion->world;
	struct link link = { .native_kind = "link", .parent = 0, .mtu = world->links.items[0].mtu - world->links.items[0].overhead };
	struct endpoint *gateway;

	if (!decision || prefix_parse(json_get_string(decision, "subnet", ""), &link.prefix, expansion->err) < 0)
		return undecided(expansion, "tenant", tenant->name);
	link.name = arena_printf(&world->arena, "%s/network", tenant->name);
	link.tenant = arena_intern(&world->arena, tenant->name);
	link.gateway = prefix_address(&link.prefix, 1);
	*ret_link = (uint32_t)world->links.n;
	vec_push(&world->links, link);
	gateway = vec_add(&world->endpoints);
	gateway->name = gateway->native_name = arena_printf(&world->arena, "%s/gateway", tenant->name);
	gateway->native_kind = "gateway";
	gateway->kind = ENDPOINT_GATEWAY;
	gateway->tenant = link.tenant;
	gateway->addresses = arena_array(&world->arena, 1, sizeof(*gateway->addresses));
	gateway->addresses[0] = link.gateway;
	gateway->address_n = 1;
	gateway->node = gateway->port = WORLD_NONE;
	return 0;
}

/* Instances */

static uint32_t node_index(const struct world *world, const char *name)
{
	for (size_t i = 0; i < world->nodes.n; i++)
		if (streq(world->nodes.items[i].name, name))
			return (uint32_t)i;
	return WORLD_NONE;
}

static enum method method_of(const json_t *decision)
{
	const char *name = json_get_string(decision, "method", "");

	for (int m = METHOD_CONTAINER; m <= METHOD_BARE; m++)
		if (streq(name, method_name((enum method)m)))
			return (enum method)m;
	return METHOD_AUTO;
}

static void add_endpoint(struct expansion *expansion, const struct workload *workload, struct instance *instance, const struct address *address, uint32_t link)
{
	struct world *world = expansion->world;
	struct arena *arena = &world->arena;
	struct endpoint endpoint = { .name = instance->key, .native_kind = "instance", .native_name = instance->key, .kind = ENDPOINT_INSTANCE,
				     .tenant = instance->tenant, .node = instance->node, .port = (uint32_t)world->ports.n };
	struct port port = { .name = instance->key, .endpoint = (uint32_t)world->endpoints.n, .link = link, .security = true };

	endpoint.labels = copy_labels(arena, &workload->labels);
	labels_set(arena, &endpoint.labels, "tenant", instance->tenant);
	labels_set(arena, &endpoint.labels, "workload", instance->workload);
	labels_set(arena, &endpoint.labels, "replica", arena_printf(arena, "%" PRIu32, instance->replica));
	endpoint.addresses = arena_array(arena, 1, sizeof(*endpoint.addresses));
	endpoint.addresses[0] = *address;
	endpoint.address_n = 1;
	address_mac(address, port.mac);
	instance->endpoint = port.endpoint;
	vec_push(&world->endpoints, endpoint);
	vec_push(&world->ports, port);
}

static int add_instance(struct expansion *expansion, const struct workload *workload, uint32_t replica, const char *const *digests, uint32_t link)
{
	struct world *world = expansion->world;
	struct instance instance = {
		.tenant = arena_intern(&world->arena, workload->tenant), .workload = arena_intern(&world->arena, workload->name), .replica = replica,
		.cpu = workload->resources.cpu, .memory = workload->resources.memory, .gpu = workload->resources.gpu,
	};
	const json_t *decision;
	struct address address;

	instance.key = arena_printf(&world->arena, "%s/%s/%" PRIu32, workload->tenant, workload->name, replica);
	decision = decision_of(expansion, "instance", instance.key);
	if (!decision || method_of(decision) == METHOD_AUTO || address_parse(json_get_string(decision, "address", ""), &address, expansion->err) < 0)
		return undecided(expansion, "instance", instance.key);
	instance.method = method_of(decision);
	instance.digest = digests[instance.method];
	instance.node = node_index(world, json_get_string(decision, "node", ""));
	add_endpoint(expansion, workload, &instance, &address, link);
	vec_push(&world->instances, instance);
	return 0;
}

static int add_workload(struct expansion *expansion, const struct workload *workload, uint32_t link)
{
	const char *digests[METHOD_BARE + 1];
	struct world *world = expansion->world;

	for (int m = METHOD_AUTO; m <= METHOD_BARE; m++)
		digests[m] = workload_digest(&world->arena, workload, (enum method)m);
	for (int64_t replica = 0; replica < workload->replicas; replica++)
		if (add_instance(expansion, workload, (uint32_t)replica, digests, link) < 0)
			return -1;
	return 0;
}

static int instance_compare(const void *a, const void *b)
{
	return strcmp(((const struct instance *)a)->key, ((const struct instance *)b)->key);
}

static int add_publications(struct expansion *expansion)
{
	struct world *world = expansion->world;

	vec_each(&expansion->intent->workloads, workload) {
		const struct service *service = workload->service;
		struct publication publication;

		if (!service || !service->publish_address)
			continue;
		publication = (struct publication){ .port = service->publish_port, .protocol = service->protocol, .target_port = service->port,
						    .tenant = arena_intern(&world->arena, workload->tenant), .workload = arena_intern(&world->arena, workload->name) };
		if (address_parse(service->publish_address, &publication.address, expansion->err) < 0)
			return -1;
		vec_push(&world->publications, publication);
	}
	return 0;
}

static int expand_all(struct expansion *expansion)
{
	const struct intent *intent = expansion->intent;
	size_t next = 0;

	if (add_site(expansion) < 0)
		return -1;
	for (size_t i = 0; i < intent->tenants.n; i++) {
		const struct tenant *tenant = &intent->tenants.items[i];
		uint32_t link;

		if (add_network(expansion, tenant, &link) < 0)
			return -1;
		for (; next < intent->workloads.n && streq(intent->workloads.items[next].tenant, tenant->name); next++)
			if (add_workload(expansion, &intent->workloads.items[next], link) < 0)
				return -1;
	}
	if (expand_policies(expansion) < 0 || add_publications(expansion) < 0)
		return -1;
	if (expansion->world->instances.n > 1)
		qsort(expansion->world->instances.items, expansion->world->instances.n, sizeof(struct instance), instance_compare);
	return 0;
}

int world_expand(const struct intent *intent, const struct survey *survey, const json_t *decisions, struct world *ret, struct error *err)
{
	struct world world;
	struct expansion expansion = { .intent = intent, .survey = survey, .decisions = decisions, .world = &world, .err = err };

	world_init(&world);
	if (expand_all(&expansion) < 0) {
		world_clear(&world);
		return -1;
	}
	*ret = world;
	return 0;
}
