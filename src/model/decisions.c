/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: three rounds, each first keeping what is settled and still holds, then giving what
 * is new the lowest free value, in the order of names: the pool and its uplink, the tenants' slots
 * and subnets, the instances' methods and addresses. Because settled values are taken before new
 * ones are chosen, adding or removing a tenant never moves another one.
 */
#include "decisions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define POOL_LENGTH_MAX 26
#define UPLINK_LENGTH 30
#define SUBNET_LENGTH_USUAL 24
#define SUBNET_LENGTH_MAX 28
#define SLOTS_MAX 65536

static const char *const pools[] = { "10.77.0.0/16", "10.177.0.0/16", "172.29.0.0/16", "192.168.0.0/17" };

struct making {
	const struct intent *intent;
	const struct survey *survey;
	const json_t *old;
	json_t *decisions;		/* the new ones */
	bool keep_absent;
	struct prefix_pool pool;
	uint8_t *slots;			/* SLOTS_MAX: taken */
	struct error *err;
};

/* What is decided for one tenant while it is being decided. */
struct place {
	const struct tenant *tenant;
	const struct workload *workloads;	/* its part of the intent */
	size_t workload_n;
	int64_t instances;
	int64_t slot;			/* -1: not yet */
	struct prefix subnet;		/* family 0: not yet */
	VEC(const char *) absent;	/* keys of old instances that the file no longer names */
};

const char *method_name(enum method method)
{
	static const char *const names[] = { "auto", "container", "vm", "bare" };

	return names[method];
}

static bool method_from(const char *name, enum method *ret)
{
	for (int m = METHOD_CONTAINER; m <= METHOD_BARE; m++) {
		if (streq(name, method_name((enum method)m))) {
			*ret = (enum method)m;
			return true;
		}
	}
	return false;
}

static bool prefix_from(const json_t *object, const char *key, struct prefix *ret)
{
	struct error error = { 0 };

	return prefix_parse(json_get_string(object, key, ""), ret, &error) == 0 && ret->address.family == AF_INET;
}

static void set_prefix(json_t *object, const char *key, const struct prefix *prefix)
{
	char text[PREFIX_TEXT];

	prefix_format(prefix, text);
	json_set_string(object, key, text);
}

/* Pool */

static const struct busy_prefix *busy_with(const struct survey *survey, const struct prefix *prefix)
{
	vec_each(&survey->busy, busy)
		if (busy->prefix.length > 0 && prefix_overlaps(&busy->prefix, prefix))
			return busy;
	return NULL;
}

static int pool_is_busy(struct making *making, const struct prefix *pool, const struct busy_prefix *busy)
{
	const struct mark *mark = &making->intent->site.mark;
	char pool_text[PREFIX_TEXT], busy_text[PREFIX_TEXT], place[512] = "";

	prefix_format(pool, pool_text);
	prefix_format(&busy->prefix, busy_text);
	if (mark->line)
		snprintf(place, sizeof(place), "%.400s:%u:%u: ", mark->file, mark->line, mark->column);
	error_set(making->err, ERROR_INPUT, "%saddress pool %s overlaps %s, which is used by this host (%s)", place, pool_text, busy_text, busy->by);
	return error_hint(making->err, "choose another private range with addressPool in kind Site");
}

static int choose_pool(struct making *making, struct prefix *ret)
{
	const struct busy_prefix *busy;
	struct error ignored = { 0 };

	if (making->intent->site.address_pool) {
		if (prefix_parse(making->intent->site.address_pool, ret, making->err) < 0)
			return -1;
	} else if (!prefix_from(json_get_object(making->old, "site"), "pool", ret) || ret->length > POOL_LENGTH_MAX) {
		for (size_t i = 0; i < ARRAY_LEN(pools); i++)
			if (prefix_parse(pools[i], ret, &ignored) == 0 && !busy_with(making->survey, ret))
				return 0;
	}
	busy = busy_with(making->survey, ret);
	return busy ? pool_is_busy(making, ret, busy) : 0;
}

static int make_site(struct making *making)
{
	json_t *site;
	struct prefix uplink;

	if (choose_pool(making, &making->pool.prefix) < 0)
		return -1;
	uplink = prefix_of(&making->pool.prefix.address, UPLINK_LENGTH);
	if (!prefix_pool_take(&making->pool, &uplink))
		return error_set(making->err, ERROR_INPUT, "the address pool is too small");
	site = json_object();
	set_prefix(site, "pool", &making->pool.prefix);
	set_prefix(site, "uplink", &uplink);
	json_set(making->decisions, "site", site);
	return 0;
}

/* Slots */

static const struct busy_ids *ids_busy(const struct survey *survey, int64_t slot)
{
	int64_t first = survey->ids_first + slot * survey->ids_count, last = first + survey->ids_count - 1;

	if (!survey->ids_count)
		return NULL;
	vec_each(&survey->busy_ids, busy)
		if (busy->base <= last && busy->base + busy->count - 1 >= first)
			return busy;
	return NULL;
}

static bool slot_exists(const struct survey *survey, int64_t slot)
{
	return slot >= 0 && slot < SLOTS_MAX &&
	       (!survey->ids_count || survey->ids_first + (slot + 1) * survey->ids_count - 1 <= survey->ids_last);
}

static int keep_slot(struct making *making, struct place *place, const json_t *old)
{
	int64_t slot = json_get_int(old, "slot", -1);
	const struct busy_ids *busy;

	if (!slot_exists(making->survey, slot) || making->slots[slot])
		return 0;
	busy = ids_busy(making->survey, slot);
	if (busy) {
		error_set(making->err, ERROR_CONFLICT, "the user ids of tenant %s, from %" PRId64 " on, are used by somebody else too (%s)", place->tenant->name,
			  making->survey->ids_first + slot * making->survey->ids_count, busy->by);
		return error_hint(making->err, "give the other one another range, or destroy the tenant and apply again");
	}
	making->slots[slot] = 1;
	place->slot = slot;
	return 0;
}

static int give_slot(struct making *making, struct place *place)
{
	int64_t slot = 0;

	while (slot_exists(making->survey, slot) && (making->slots[slot] || ids_busy(making->survey, slot)))
		slot++;
	if (!slot_exists(making->survey, slot)) {
		error_set(making->err, ERROR_CAPACITY, "no free range of user ids is left for tenant %s", place->tenant->name);
		return error_hint(making->err, "insula doctor says which ranges are used");
	}
	making->slots[slot] = 1;
	place->slot = slot;
	return 0;
}

/* Subnets */

static uint8_t least_length(const struct place *place)
{
	return MIN(prefix_length_for(place->instances + 1), SUBNET_LENGTH_MAX);
}

static uint8_t wanted_length(const struct place *place)
{
	int64_t limit = place->tenant->limit.instances;
	uint8_t length = limit == AMOUNT_NONE ? SUBNET_LENGTH_USUAL : MIN(prefix_length_for(limit + 1), SUBNET_LENGTH_MAX);

	return MIN(length, least_length(place));
}

static void keep_subnet(struct making *making, struct place *place, const json_t *old)
{
	struct prefix subnet;

	if (!prefix_from(old, "subnet", &subnet) || !prefix_pool_take(&making->pool, &subnet))
		return;
	/* one that is too small is left, but nobody else gets it in the same round */
	if (subnet.length <= SUBNET_LENGTH_MAX && (1LL << (32 - subnet.length)) - 3 >= place->instances)
		place->subnet = subnet;
}

static int give_subnet(struct making *making, struct place *place)
{
	char pool[PREFIX_TEXT];

	for (uint8_t length = wanted_length(place); length <= least_length(place); length++)
		if (prefix_pool_find(&making->pool, length, &place->subnet))
			return 0;
	prefix_format(&making->pool.prefix, pool);
	error_set(making->err, ERROR_CAPACITY, "tenant %s needs a /%u network for %" PRId64 " instances, and the address pool %s has none left",
		  place->tenant->name, least_length(place), place->instances, pool);
	return error_hint(making->err, "choose a larger addressPool in kind Site, or smaller limit.instances");
}

/* What the file no longer names but still lives keeps its part. */
static void keep_absent_tenants(struct making *making)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)making->old, key, value) {
		struct prefix subnet;
		int64_t slot = json_get_int(value, "slot", -1);

		if (!starts_with(key, "tenant/") || !json_is_object(value) || intent_tenant(making->intent, key + strlen("tenant/")))
			continue;
		if (slot >= 0 && slot < SLOTS_MAX)
			making->slots[slot] = 1;
		if (prefix_from(value, "subnet", &subnet))
			(void)prefix_pool_take(&making->pool, &subnet);
		json_set(making->decisions, key, json_deep_copy(value));
	}
}

static const json_t *old_tenant(const struct making *making, const struct tenant *tenant)
{
	autofree char *key = xasprintf("tenant/%s", tenant->name);

	return json_get_object(making->old, key);
}

static void add_tenant(struct making *making, const struct place *place)
{
	autofree char *key = xasprintf("tenant/%s", place->tenant->name);
	json_t *value = json_object();

	json_set_int(value, "slot", place->slot);
	if (making->survey->ids_count)
		json_set_int(value, "ids", making->survey->ids_first + place->slot * making->survey->ids_count);
	set_prefix(value, "subnet", &place->subnet);
	json_set(making->decisions, key, value);
}

static int check_instances(struct making *making, const struct place *place)
{
	int64_t limit = place->tenant->limit.instances;

	if (limit == AMOUNT_NONE || place->instances <= limit)
		return 0;
	error_set(making->err, ERROR_CAPACITY, "tenant %s has %" PRId64 " instances, and its limit is %" PRId64, place->tenant->name, place->instances, limit);
	return error_hint(making->err, "raise limit.instances of the tenant, or lower replicas");
}

static int make_tenants(struct making *making, struct place *places)
{
	size_t n = making->intent->tenants.n;

	if (making->keep_absent)
		keep_absent_tenants(making);
	for (size_t i = 0; i < n; i++) {
		const json_t *old = old_tenant(making, places[i].tenant);

		if (check_instances(making, &places[i]) < 0 || (old && keep_slot(making, &places[i], old) < 0))
			return -1;
		if (old)
			keep_subnet(making, &places[i], old);
	}
	for (size_t i = 0; i < n; i++) {
		if (places[i].slot < 0 && give_slot(making, &places[i]) < 0)
			return -1;
		if (!places[i].subnet.address.family && give_subnet(making, &places[i]) < 0)
			return -1;
		add_tenant(making, &places[i]);
	}
	return 0;
}

/* Methods */

static bool trust_allows(enum trust trust, enum method method)
{
	return method == METHOD_VM || (method == METHOD_CONTAINER && trust != TRUST_UNTRUSTED) || (method == METHOD_BARE && trust == TRUST_TRUSTED);
}

static int no_method(struct making *making, const struct workload *workload, enum method method, const char *why_this)
{
	const char *reason = making->survey->method_reasons[method];

	error_set(making->err, ERROR_UNSUPPORTED, "%s:%u:%u: workload %s/%s: method %s %s, and this site cannot run it%s%s", workload->mark.file, workload->mark.line,
		  workload->mark.column, workload->tenant, workload->name, method_name(method), why_this, reason ? ": " : "", reason ? reason : "");
	return error_hint(making->err, "insula doctor says what this machine can run and how to mend it");
}

static int choose_method(struct making *making, const struct tenant *tenant, const struct workload *workload, const json_t *old, enum method *ret,
			 const char **ret_reason)
{
	bool vm_only = tenant->trust == TRUST_UNTRUSTED || workload->kernel;
	enum method settled;

	if (workload->method != METHOD_AUTO) {
		*ret = workload->method;
		*ret_reason = "the file says so";
		return making->survey->methods[*ret] ? 0 : no_method(making, workload, *ret, "is asked for");
	}
	if (old && method_from(json_get_string(old, "method", ""), &settled) && trust_allows(tenant->trust, settled) && making->survey->methods[settled] &&
	    settled != METHOD_BARE && (!workload->kernel || settled == METHOD_VM)) {
		*ret = settled;
		*ret_reason = json_get_string(old, "reason", "settled before");
		return 0;
	}
	if (vm_only) {
		*ret = METHOD_VM;
		*ret_reason = workload->kernel ? "it brings its own kernel" : "the tenant is untrusted";
		return making->survey->methods[METHOD_VM] ? 0 : no_method(making, workload, METHOD_VM, workload->kernel ? "is needed for its kernel" : "is the only one for an untrusted tenant");
	}
	*ret = METHOD_CONTAINER;
	*ret_reason = "the cheapest that trust allows";
	if (making->survey->methods[METHOD_CONTAINER])
		return 0;
	if (!making->survey->methods[METHOD_VM] || (workload->resources.gpu != AMOUNT_NONE && workload->resources.gpu % 1000 != 0))
		return no_method(making, workload, METHOD_CONTAINER, "is the choice");
	*ret = METHOD_VM;
	*ret_reason = "this site runs no containers";
	return 0;
}

/* Instances */

struct addresses { struct prefix subnet; uint8_t *taken; uint32_t n, next; };

/* The offset of an old address in the subnet when it can stay, else 0. */
static uint32_t settled_offset(const struct addresses *addresses, const json_t *old)
{
	struct address address;
	struct error error = { 0 };
	uint32_t offset;

	if (!old || address_parse(json_get_string(old, "address", ""), &address, &error) < 0 || !prefix_contains(&addresses->subnet, &address))
		return 0;
	offset = address_ipv4(&address) - address_ipv4(&addresses->subnet.address);
	return offset >= 2 && offset < addresses->n - 1 && !addresses->taken[offset] ? offset : 0;
}

static uint32_t free_offset(struct addresses *addresses)
{
	while (addresses->next < addresses->n - 1 && addresses->taken[addresses->next])
		addresses->next++;
	return addresses->next < addresses->n - 1 ? addresses->next : 0;
}

static void settle_address(json_t *value, const struct addresses *addresses, uint32_t offset)
{
	struct address address = prefix_address(&addresses->subnet, offset);
	char text[ADDRESS_TEXT];

	addresses->taken[offset] = 1;
	address_format(&address, text);
	json_set_string(value, "address", text);
}

static const char *node_for(const struct making *making, const json_t *old)
{
	const char *settled = json_get_string(old, "node", "");

	vec_each(&making->survey->nodes, node)
		if (streq(node->name, settled))
			return node->name;
	return making->survey->nodes.n ? making->survey->nodes.items[0].name : "self";
}

/* Everything but the address, which comes when all settled ones are known; the key goes into the decisions. */
static int add_instance(struct making *making, const struct place *place, const struct workload *workload, const char *key, struct addresses *addresses)
{
	const json_t *old = json_get_object(making->old, key);
	enum method method;
	const char *reason;
	json_t *value;
	uint32_t offset;

	if (choose_method(making, place->tenant, workload, old, &method, &reason) < 0)
		return -1;
	value = json_object();
	json_set_string(value, "method", method_name(method));
	json_set_string(value, "reason", reason);
	json_set_string(value, "node", node_for(making, old));
	offset = settled_offset(addresses, old);
	if (offset)
		settle_address(value, addresses, offset);
	json_set(making->decisions, key, value);
	return 0;
}

/* Does the file have the instance of this key, "instance/vision/train/0"? */
static bool names_instance(const struct intent *intent, const char *key)
{
	char tenant[64], workload[64];
	const struct workload *found;
	int64_t replica;
	int end = 0;

	if (sscanf(key, "instance/%63[a-z0-9-]/%63[a-z0-9-]/%" SCNd64 "%n", tenant, workload, &replica, &end) != 3 || key[end])
		return false;
	found = intent_workload(intent, tenant, workload);
	return found && replica >= 0 && replica < found->replicas;
}

/* What still lives keeps its address. */
static void keep_absent_instances(struct making *making, const struct place *place, struct addresses *addresses)
{
	vec_each(&place->absent, key) {
		const json_t *value = json_get_object(making->old, *key);
		uint32_t offset = settled_offset(addresses, value);

		if (offset)
			addresses->taken[offset] = 1;
		json_set(making->decisions, *key, json_deep_copy(value));
	}
}

static int give_addresses(struct making *making, const struct place *place, struct addresses *addresses)
{
	for (size_t i = 0; i < place->workload_n; i++) {
		for (int64_t replica = 0; replica < place->workloads[i].replicas; replica++) {
			autofree char *key = xasprintf("instance/%s/%s/%" PRId64, place->tenant->name, place->workloads[i].name, replica);
			json_t *value = json_get_object(making->decisions, key);
			uint32_t offset;

			if (json_object_get(value, "address"))
				continue;
			offset = free_offset(addresses);
			if (!offset) {
				error_set(making->err, ERROR_CAPACITY, "the network of tenant %s has no free address for %s", place->tenant->name, key + strlen("instance/"));
				return error_hint(making->err, "apply with --prune, so that what the file no longer names gives its addresses back");
			}
			settle_address(value, addresses, offset);
		}
	}
	return 0;
}

static int make_instances(struct making *making, const struct place *place)
{
	struct addresses addresses = { .subnet = place->subnet, .n = 1u << (32 - place->subnet.length), .next = 2 };
	int status = 0;

	addresses.taken = xcalloc(addresses.n, 1);
	for (size_t i = 0; i < place->workload_n && status == 0; i++) {
		for (int64_t replica = 0; replica < place->workloads[i].replicas && status == 0; replica++) {
			autofree char *key = xasprintf("instance/%s/%s/%" PRId64, place->tenant->name, place->workloads[i].name, replica);

			status = add_instance(making, place, &place->workloads[i], key, &addresses);
		}
	}
	if (status == 0) {
		keep_absent_instances(making, place, &addresses);
		status = give_addresses(making, place, &addresses);
	}
	free(addresses.taken);
	return status;
}

static struct place *places_of(const struct intent *intent)
{
	struct place *places = xcalloc(intent->tenants.n, sizeof(*places));
	size_t next = 0;

	for (size_t i = 0; i < intent->tenants.n; i++) {
		struct place *place = &places[i];

		place->tenant = &intent->tenants.items[i];
		place->slot = -1;
		place->workloads = next < intent->workloads.n ? &intent->workloads.items[next] : NULL;
		while (next < intent->workloads.n && streq(intent->workloads.items[next].tenant, place->tenant->name)) {
			place->instances += intent->workloads.items[next++].replicas;
			place->workload_n++;
		}
	}
	return places;
}

/* Old instances that the file no longer names: to their tenant, or, when that is gone too, kept as they are. */
static void find_absent(struct making *making, struct place *places)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)making->old, key, value) {
		const char *name = key + strlen("instance/");
		const struct tenant *tenant;
		autofree char *tenant_name = NULL;

		if (!starts_with(key, "instance/") || !json_is_object(value) || names_instance(making->intent, key))
			continue;
		tenant_name = xstrndup(name, strcspn(name, "/"));
		tenant = intent_tenant(making->intent, tenant_name);
		if (tenant)
			vec_push(&places[tenant - making->intent->tenants.items].absent, key);
		else
			json_set(making->decisions, key, json_deep_copy(value));
	}
}

int decisions_make(const struct intent *intent, const struct survey *survey, const json_t *old, bool keep_absent, json_t **ret, struct error *err)
{
	struct making making = { .intent = intent, .survey = survey, .old = old, .keep_absent = keep_absent, .decisions = json_object(), .err = err };
	struct place *places = places_of(intent);
	int status;

	making.slots = xcalloc(SLOTS_MAX, 1);
	if (keep_absent)
		find_absent(&making, places);
	status = make_site(&making) < 0 || make_tenants(&making, places) < 0 ? -1 : 0;
	for (size_t i = 0; i < intent->tenants.n && status == 0; i++)
		status = make_instances(&making, &places[i]);
	prefix_pool_clear(&making.pool);
	free(making.slots);
	for (size_t i = 0; i < intent->tenants.n; i++)
		vec_clear(&places[i].absent);
	free(places);
	if (status < 0)
		json_decref(making.decisions);
	else
		*ret = making.decisions;
	return status;
}

void decisions_merge_live(json_t *decisions, const char *key, const json_t *value)
{
	bool known = streq(key, "site") || starts_with(key, "tenant/") || starts_with(key, "instance/");

	if (known && json_is_object(value) && !json_object_get(decisions, key))
		json_set(decisions, key, json_deep_copy(value));
}
