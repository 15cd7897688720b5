/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_site.h"

#include "plan/ref.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct kind_field wall_fields[] = {
	{ "rules", FIELD_OWNED, SHAPE_SET, NULL, NULL, true, "who may pass" },
	{ "members", FIELD_OWNED, SHAPE_MAP, "name", NULL, true, "whom it protects" },
	{ "strict", FIELD_OWNED, SHAPE_SCALAR, NULL, "false", false, "drops instead of rejecting" },
	{ 0 }
};
static const struct kind_field network_fields[] = {
	{ "cidr", FIELD_IMMUTABLE, SHAPE_SCALAR, NULL, NULL, false, "its addresses" },
	{ "mtu", FIELD_OWNED, SHAPE_SCALAR, NULL, "1500", false, "bytes" },
	{ "mode", FIELD_DEFAULTED, SHAPE_SCALAR, NULL, NULL, false, "how it forwards" },
	{ "wall", FIELD_OWNED, SHAPE_SCALAR, NULL, NULL, false, "its wall" },
	{ "tags", FIELD_OWNED, SHAPE_SET, NULL, NULL, false, "words on it" },
	{ "segment", FIELD_COMPUTED, SHAPE_SCALAR, NULL, NULL, false, "number on the wire" },
	{ 0 }
};
static const struct kind_field disk_fields[] = {
	{ "size", FIELD_OWNED, SHAPE_SCALAR, NULL, NULL, false, "bytes" },
	{ "keep", FIELD_OWNED, SHAPE_SCALAR, NULL, NULL, false, "outlives a destroy" },
	{ 0 }
};
static const struct kind_field image_fields[] = {
	{ "digest", FIELD_IMMUTABLE, SHAPE_SCALAR, NULL, NULL, false, "what is in it" },
	{ 0 }
};
static const struct kind_field pool_fields[] = {
	{ "flavour", FIELD_IMMUTABLE, SHAPE_SCALAR, NULL, NULL, false, "of its machines" },
	{ "network", FIELD_OWNED, SHAPE_SCALAR, NULL, NULL, false, "where they are" },
	{ 0 }
};
static const struct kind_field job_fields[] = {
	{ "image", FIELD_IMMUTABLE, SHAPE_SCALAR, NULL, NULL, false, "what runs" },
	{ "command", FIELD_IMMUTABLE, SHAPE_LIST, NULL, NULL, false, "its arguments" },
	{ "cpu", FIELD_OWNED, SHAPE_SCALAR, NULL, "1000", false, "thousandths of a core" },
	{ "env", FIELD_OWNED, SHAPE_MAP, "name", NULL, false, "variables" },
	{ "limits", FIELD_OWNED, SHAPE_SCALAR, NULL, NULL, false, "an object, owned whole" },
	{ "network", FIELD_OWNED, SHAPE_SCALAR, NULL, NULL, false, "where it is" },
	{ "disk", FIELD_IMMUTABLE, SHAPE_SCALAR, NULL, NULL, false, "what it writes on" },
	{ "pool", FIELD_OWNED, SHAPE_SCALAR, NULL, NULL, false, "on whose machines" },
	{ "token", FIELD_SECRET, SHAPE_SCALAR, NULL, NULL, false, "of a registry" },
	{ "state", FIELD_COMPUTED, SHAPE_SCALAR, NULL, NULL, false, "what it does" },
	{ 0 }
};
static const struct kind_field door_fields[] = {
	{ "target", FIELD_OWNED, SHAPE_SCALAR, NULL, NULL, false, "what it leads to" },
	{ "port", FIELD_OWNED, SHAPE_SCALAR, NULL, NULL, false, "where it is" },
	{ 0 }
};

const struct kind fake_kinds[] = {
	{ .name = "wall", .title = "wall", .stage = STAGE_FENCE, .fields = wall_fields },
	{ .name = "network", .title = "network", .stage = STAGE_GROUND, .fields = network_fields },
	{ .name = "disk", .title = "disk", .stage = STAGE_GROUND, .keep = true, .fields = disk_fields },
	{ .name = "image", .title = "image", .stage = STAGE_GROUND, .shared = true, .fields = image_fields },
	{ .name = "pool", .title = "pool", .stage = STAGE_GROUND, .create_first = true, .fields = pool_fields },
	{ .name = "job", .title = "job", .stage = STAGE_WORK, .fields = job_fields },
	{ .name = "door", .title = "door", .stage = STAGE_DOOR, .fields = door_fields },
	{ 0 }
};

struct site {
	const struct site_config *config;
	struct fake_world *world;
};

static struct fake_world *current;

struct fake_world *fake_world_new(void)
{
	struct fake_world *world = xcalloc(1, sizeof(*world));

	pthread_mutex_init(&world->lock, NULL);
	return world;
}

static void free_texts(char **items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(items[i]);
	free(items);
}

void fake_world_free(struct fake_world *world)
{
	if (!world)
		return;
	vec_each(&world->things, thing) {
		resource_free(thing->resource);
		resource_free(thing->mark);
	}
	vec_clear(&world->things);
	free_texts(world->busy.items, world->busy.n);
	free_texts(world->log.items, world->log.n);
	free_texts(world->violations.items, world->violations.n);
	pthread_mutex_destroy(&world->lock);
	free(world);
}

void fake_world_use(struct fake_world *world)
{
	current = world;
}

void fake_world_forget_log(struct fake_world *world)
{
	free_texts(world->log.items, world->log.n);
	memset(&world->log, 0, sizeof(world->log));
	world->verbs = 0;
}

struct fake_thing *fake_world_find(struct fake_world *world, const char *key)
{
	vec_each(&world->things, thing)
		if (streq(thing->resource->key, key) && thing->resource->origin == ORIGIN_OURS && !str_equal(thing->resource->deployment, FAKE_OTHER))
			return thing;
	return NULL;
}

static struct fake_thing *find_id(struct fake_world *world, const char *key, const char *id)
{
	vec_each(&world->things, thing)
		if (streq(thing->resource->key, key) && (!id || streq(thing->resource->id, id)) && !str_equal(thing->resource->deployment, FAKE_OTHER))
			return thing;
	return NULL;
}

size_t fake_world_count(struct fake_world *world, const char *deployment)
{
	size_t n = 0;

	vec_each(&world->things, thing)
		n += str_equal(thing->resource->deployment, deployment);
	return n;
}

static void set_new_id(struct fake_world *world, struct resource *resource)
{
	autofree char *id = xasprintf("f-%lld", (long long)++world->next_id);

	resource_set_id(resource, id);
}

static void set_new_revision(struct fake_world *world, struct resource *resource)
{
	autofree char *revision = xasprintf("r%lld", (long long)++world->next_id);

	resource_set_revision(resource, revision);
}

void fake_world_put(struct fake_world *world, enum origin origin, const char *deployment, const char *kind, const char *key, const char *body)
{
	struct fake_thing thing = { .complete = true };

	thing.resource = resource_new("fake", kind, key, json_loads(body, 0, NULL));
	thing.resource->origin = origin;
	thing.resource->deployment = deployment ? xstrdup(deployment) : NULL;
	set_new_id(world, thing.resource);
	thing.mark = resource_copy(thing.resource);
	vec_push(&world->things, thing);
}

static void violate(struct fake_world *world, char *text)
{
	vec_push(&world->violations, text);
}

/* Is key under a verb? Otherwise it is from now on. */
static void verb_begin(struct fake_world *world, const char *verb, const char *key)
{
	pthread_mutex_lock(&world->lock);
	vec_each(&world->busy, other)
		if (streq(*other, key))
			violate(world, xasprintf("two verbs at once on %s", key));
	vec_push(&world->busy, xstrdup(key));
	vec_push(&world->log, xasprintf("%s %s", verb, key));
	pthread_mutex_unlock(&world->lock);
	if (world->slow_ns) {
		struct timespec time = { .tv_sec = world->slow_ns / 1000000000, .tv_nsec = world->slow_ns % 1000000000 };

		nanosleep(&time, NULL);
	}
	pthread_mutex_lock(&world->lock);
}

static void verb_end(struct fake_world *world, const char *key)
{
	for (size_t i = 0; i < world->busy.n; i++) {
		if (!streq(world->busy.items[i], key))
			continue;
		free(world->busy.items[i]);
		world->busy.items[i] = world->busy.items[--world->busy.n];
		break;
	}
	pthread_mutex_unlock(&world->lock);
}

/* The fault of this verb, if it is its turn. The lock is held. */
static enum fake_fault next_fault(struct fake_world *world, const char *key)
{
	size_t last = world->fault_at + MAX(world->fault_n, (size_t)1) - 1;

	world->verbs++;
	if (world->fault_key && streq(world->fault_key, key))
		return world->fault;
	if (world->fault_at && world->verbs >= world->fault_at && world->verbs <= last)
		return world->fault;
	return FAKE_NONE;
}

static int fail(enum fake_fault fault, const char *verb, const char *key, struct error *err)
{
	error_set(err, ERROR_FAILED, "cannot %s %s: the site says no", verb, key);
	err->retryable = fault == FAKE_RETRY;
	return -1;
}

static int fake_probe(const struct site_config *config, struct site_facts *ret, struct error *err)
{
	ret->json = json_pack("{s:s, s:[{s:s, s:s, s:s}]}", "kernel", "none", "checks", "id", "memory", "level", "ok", "text", "in memory");
	return 0;
}

static int fake_survey(const struct site_facts *facts, struct survey *ret, struct error *err)
{
	struct node *node = vec_add(&ret->nodes);

	node->name = "self";
	node->cpu = 64000;
	node->memory = (int64_t)256 << 30;
	node->pods = AMOUNT_NONE;
	node->link = WORLD_NONE;
	ret->uplink_mtu = 1500;
	ret->methods[METHOD_CONTAINER] = true;
	return 0;
}

static int fake_open(const struct site_config *config, struct site **ret, struct error *err)
{
	struct site *site = xcalloc(1, sizeof(*site));

	site->config = config;
	site->world = current;
	*ret = site;
	return 0;
}

static void fake_close(struct site *site)
{
	free(site);
}

/* Tenants become a wall and a network, instances become jobs. */
static int fake_lower(const struct site_facts *facts, const struct site_config *config, const struct intent *intent,
		      const struct world *world, const json_t *decisions, struct resources *ret, json_t *notes, struct error *err)
{
	vec_each(&intent->tenants, tenant) {
		autofree char *wall = xasprintf("%s/wall", tenant->name), *network = xasprintf("%s/network", tenant->name);
		autofree char *decision = xasprintf("tenant/%s", tenant->name);
		struct resource *resource = resource_new("fake", "wall", wall, json_pack("{s:[]}", "rules"));
		json_t *decided = json_object_get(decisions, decision);

		if (decided)
			json_object_set_new(resource->body, "decisions", json_pack("{s:O}", decision, decided));
		resources_add(ret, resource);
		resource = resource_new("fake", "network", network, json_pack("{s:i}", "mtu", 1450));
		json_object_set_new(resource->body, "wall", ref_new(wall, "id"));
		resources_add(ret, resource);
	}
	vec_each(&world->instances, instance) {
		autofree char *network = xasprintf("%s/network", instance->tenant), *decision = xasprintf("instance/%s", instance->key);
		struct resource *resource = resource_new("fake", "job", instance->key, json_pack("{s:s}", "image", instance->digest));
		json_t *decided = json_object_get(decisions, decision);

		json_object_set_new(resource->body, "network", ref_new(network, "id"));
		if (decided)
			json_object_set_new(resource->body, "decisions", json_pack("{s:O}", decision, decided));
		resources_add(ret, resource);
	}
	return 0;
}

static struct resource *listed(struct fake_world *world, const struct fake_thing *thing)
{
	struct resource *copy = resource_copy(thing->resource);

	if (world->no_back_edges) {
		for (size_t i = 0; i < copy->after_n; i++)
			free(copy->after[i]);
		free(copy->after);
		copy->after = NULL;
		copy->after_n = 0;
	}
	return copy;
}

static int fake_list(struct site *site, enum list_scope scope, resource_sink sink, void *arg, struct coverage *ret, struct error *err)
{
	struct fake_world *world = site->world;
	int result = 0;

	pthread_mutex_lock(&world->lock);
	for (const struct kind *kind = fake_kinds; kind->name; kind++) {
		bool gap = world->gap_kind && streq(world->gap_kind, kind->name);

		coverage_add(ret, kind->name, NULL, gap ? COVERAGE_FAILED : COVERAGE_COMPLETE, gap ? "the list of it timed out" : NULL);
	}
	for (size_t i = 0; i < world->things.n && result == 0; i++) {
		const struct fake_thing *thing = &world->things.items[i];
		bool shared = kind_find(fake_kinds, thing->resource->kind)->shared;
		bool ours = thing->resource->origin == ORIGIN_OURS && (shared || str_equal(thing->resource->deployment, site->config->deployment));

		if (world->gap_kind && streq(world->gap_kind, thing->resource->kind))
			continue;
		if (scope == LIST_ALL || ours)
			result = sink(arg, listed(world, thing));
	}
	pthread_mutex_unlock(&world->lock);
	return result;
}

static int fake_get(struct site *site, struct resource *resource, struct error *err)
{
	struct fake_world *world = site->world;
	int result = 0;

	pthread_mutex_lock(&world->lock);
	const struct fake_thing *thing = find_id(world, resource->key, resource->id);
	if (thing) {
		resource_set_id(resource, thing->resource->id);
		resource_set_revision(resource, thing->resource->revision);
		json_decref(resource->body);
		resource->body = json_deep_copy(thing->resource->body);
	} else {
		result = error_set(err, ERROR_NOT_FOUND, "there is no '%s'", resource->key);
	}
	pthread_mutex_unlock(&world->lock);
	return result;
}

static void fill_computed(struct fake_world *world, struct resource *resource)
{
	if (streq(resource->kind, "network")) {
		json_object_set_new(resource->body, "segment", json_integer(++world->next_id));
		if (!json_object_get(resource->body, "mode"))
			json_object_set_new(resource->body, "mode", json_string("bridged"));
	}
	if (streq(resource->kind, "job"))
		json_object_set_new(resource->body, "state", json_string("running"));
}

static void check_value(void *arg, const char *key, const char *field)
{
	violate(arg, xasprintf("an unresolved ref to %s", key));
}

static void check_needs(struct fake_world *world, const struct resource *resource)
{
	for (size_t i = 0; i < resource->after_n; i++) {
		const struct fake_thing *other = fake_world_find(world, resource->after[i]);

		if (!other || !other->complete)
			violate(world, xasprintf("%s is made before %s", resource->key, resource->after[i]));
	}
	ref_each(resource->body, check_value, world);
}

static bool body_holds(const json_t *value, const char *text)
{
	const char *name;
	json_t *item;
	size_t i;

	if (json_is_string(value))
		return streq(json_string_value(value), text);
	json_object_foreach((json_t *)value, name, item)
		if (body_holds(item, text))
			return true;
	json_array_foreach(value, i, item)
		if (body_holds(item, text))
			return true;
	return false;
}

static void check_unused(struct fake_world *world, const struct fake_thing *thing)
{
	vec_each(&world->things, other)
		if (other != thing && other->resource->origin == ORIGIN_OURS && body_holds(other->resource->body, thing->resource->id))
			violate(world, xasprintf("%s is removed, but %s still uses it", thing->resource->key, other->resource->key));
}

/* What create has to do with what is there: a create_first kind makes a second one beside a different one. */
static struct fake_thing *find_existing(struct fake_world *world, const struct resource *resource)
{
	bool create_first = kind_find(fake_kinds, resource->kind)->create_first;

	vec_each(&world->things, thing) {
		if (!streq(thing->resource->key, resource->key) || thing->resource->origin != ORIGIN_OURS ||
		    str_equal(thing->resource->deployment, FAKE_OTHER))
			continue;
		if (!create_first || json_equal(json_object_get(thing->resource->body, "flavour"), json_object_get(resource->body, "flavour")))
			return thing;
	}
	return NULL;
}

static void make(struct site *site, struct resource *resource, bool complete)
{
	struct fake_world *world = site->world;
	struct fake_thing *thing = find_existing(world, resource);

	if (!thing) {
		thing = vec_add(&world->things);
		thing->resource = resource_copy(resource);
		set_new_id(world, thing->resource);
		if (!kind_find(fake_kinds, resource->kind)->shared)
			thing->resource->deployment = xstrdup(site->config->deployment);
		thing->mark = resource_copy(resource);
	}
	if (complete && !thing->complete)
		fill_computed(world, thing->resource);
	thing->complete = thing->complete || complete;
	set_new_revision(world, thing->resource);
	resource_set_id(resource, thing->resource->id);
	resource_set_revision(resource, thing->resource->revision);
	if (complete) {
		json_decref(resource->body);
		resource->body = json_deep_copy(thing->resource->body);
	}
}

static int fake_create(struct site *site, struct resource *resource, struct error *err)
{
	struct fake_world *world = site->world;
	int result = 0;

	verb_begin(world, "create", resource->key);
	enum fake_fault fault = next_fault(world, resource->key);
	check_needs(world, resource);
	if (fault == FAKE_NONE || fault == FAKE_HALF)
		make(site, resource, fault == FAKE_NONE);
	if (fault != FAKE_NONE)
		result = fail(fault, "create", resource->key, err);
	verb_end(world, resource->key);
	return result;
}

static int fake_update(struct site *site, const struct resource *from, struct resource *to, struct error *err)
{
	struct fake_world *world = site->world;
	int result = 0;

	verb_begin(world, "update", to->key);
	enum fake_fault fault = next_fault(world, to->key);
	struct fake_thing *thing = find_id(world, to->key, from->id);
	check_needs(world, to);
	if (fault != FAKE_NONE) {
		result = fail(fault, "update", to->key, err);
	} else if (!thing) {
		result = error_set(err, ERROR_NOT_FOUND, "there is no '%s'", to->key);
	} else {
		const char *name;
		json_t *value;

		json_object_foreach(thing->resource->body, name, value) {
			const struct kind_field *field = kind_field_find(kind_find(fake_kinds, to->kind), name);

			if (field && (field->class == FIELD_COMPUTED || field->class == FIELD_DEFAULTED) && !json_object_get(to->body, name))
				json_object_set(to->body, name, value);
		}
		json_decref(thing->resource->body);
		thing->resource->body = json_deep_copy(to->body);
		set_new_revision(world, thing->resource);
		resource_set_revision(to, thing->resource->revision);
	}
	verb_end(world, to->key);
	return result;
}

static int fake_remove(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	struct fake_world *world = site->world;
	int result = 0;

	verb_begin(world, "remove", resource->key);
	enum fake_fault fault = next_fault(world, resource->key);
	struct fake_thing *thing = find_id(world, resource->key, resource->id);
	if (fault != FAKE_NONE) {
		result = fail(fault, "remove", resource->key, err);
	} else if (thing) {
		check_unused(world, thing);
		resource_free(thing->resource);
		resource_free(thing->mark);
		size_t i = (size_t)(thing - world->things.items);
		memmove(thing, thing + 1, (world->things.n - i - 1) * sizeof(*thing));
		world->things.n--;
	}
	verb_end(world, resource->key);
	return result;
}

static int fake_ready(struct site *site, const struct resource *resource, enum readiness *ret, struct error *err)
{
	struct fake_world *world = site->world;

	pthread_mutex_lock(&world->lock);
	struct fake_thing *thing = find_id(world, resource->key, resource->id);
	*ret = !thing ? READY_FAILED : thing->polls++ < world->ready_polls ? READY_WAITING : READY_YES;
	pthread_mutex_unlock(&world->lock);
	return 0;
}

static int fake_sweep(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	struct fake_world *world = site->world;

	pthread_mutex_lock(&world->lock);
	vec_each(&world->things, thing) {
		const struct kind *kind = kind_find(fake_kinds, thing->resource->kind);

		if (!str_equal(thing->resource->deployment, site->config->deployment) || resource_keep(kind, thing->resource))
			continue;
		if (!tenant || resource_in_tenant(thing->resource->key, tenant))
			json_array_append_new(ret, json_string(thing->resource->key));
	}
	pthread_mutex_unlock(&world->lock);
	return 0;
}

const struct site_ops fake_ops = {
	.name = "local",
	.kinds = fake_kinds,
	.probe = fake_probe,
	.survey = fake_survey,
	.open = fake_open,
	.close = fake_close,
	.lower = fake_lower,
	.list = fake_list,
	.get = fake_get,
	.create = fake_create,
	.update = fake_update,
	.remove = fake_remove,
	.ready = fake_ready,
	.sweep = fake_sweep,
};
