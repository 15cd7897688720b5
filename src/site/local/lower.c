/* SPDX-License-Identifier: Apache-2.0 */
#include "lower.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * How it works: what the whole deployment has comes first, then what each tenant has, then instances, each saying
 * what it stands on (`after`). Whatever is to be known of the machine is in the facts; images were resolved by the probe,
 * so that their digests are pinned in the plan. The network is lowered in lower_network.c.
 */

#define PIDS_DEFAULT 4096
#define BLOCK 4096

void lower_note(const struct lowering *lowering, const char *format, ...)
{
	autofree char *text = NULL;
	json_t *known;
	va_list ap;
	size_t i;

	va_start(ap, format);
	text = xvasprintf(format, ap);
	va_end(ap);
	json_array_foreach(lowering->notes, i, known)
		if (str_equal(json_string_value(known), text))
			return;
	json_add(lowering->notes, json_text(text));
}

int lower_fail(const struct mark *mark, enum error_code code, struct error *err, const char *format, ...)
{
	autofree char *text = NULL;
	va_list ap;

	va_start(ap, format);
	text = xvasprintf(format, ap);
	va_end(ap);
	if (!mark || !mark->line)
		return error_set(err, code, "%s", text);
	return error_set(err, code, "%s:%u:%u: %s", mark->file, mark->line, mark->column, text);
}

const json_t *lower_decision(const struct lowering *lowering, const char *key)
{
	return json_get_object(lowering->decisions, key);
}

struct resource *lower_add(const struct lowering *lowering, const char *kind, const char *key, const char *decision, json_t *body)
{
	struct resource *resource = resource_new("local", kind, key, body);
	json_t *value = decision ? json_object_get(lowering->decisions, decision) : NULL;

	resource->deployment = xstrdup(lowering->config->deployment);
	if (value)
		json_set(resource->body, "decisions", json_pack("{s:O}", decision, value));
	resources_add(lowering->resources, resource);
	return resource;
}

static void after(struct resource *resource, const char *format, ...) PRINTF_LIKE(2, 3);
static void after(struct resource *resource, const char *format, ...)
{
	autofree char *key = NULL;
	va_list ap;

	va_start(ap, format);
	key = xvasprintf(format, ap);
	va_end(ap);
	resource_add_after(resource, key);
}

static void set_amount(json_t *body, const char *field, int64_t amount)
{
	if (amount != AMOUNT_NONE)
		json_set_int(body, field, amount);
}

static int64_t control(const struct lowering *lowering, const char *controller)
{
	return json_get_int(json_get_object(lowering->facts, "cgroup"), controller, 0);
}

static int64_t tenant_base(const struct lowering *lowering, const char *tenant)
{
	autofree char *key = xasprintf("tenant/%s", tenant);

	return json_get_int(lower_decision(lowering, key), "ids", 0);
}

static void lower_ids(const struct lowering *lowering, const struct tenant *tenant)
{
	autofree char *key = xasprintf("%s/ids", tenant->name), *decision = xasprintf("tenant/%s", tenant->name);
	json_t *body = json_object();

	json_set_int(body, "base", tenant_base(lowering, tenant->name));
	json_set_int(body, "count", 65536);
	json_set(body, "name", json_sprintf("insula-%s.%s", lowering->config->deployment, tenant->name));
	json_set_bool(body, "registered", true);
	lower_add(lowering, "ids", key, decision, body);
}

/* A hundredth of a core is one part: a core is 100, which is also what who has no quota gets. */
static int64_t cpu_weight(const struct tenant *tenant)
{
	if (tenant->quota.cpu == AMOUNT_NONE)
		return 100;
	return MAX(1, MIN(tenant->quota.cpu / 10, 10000));
}

/* What the user asked for by name and this machine has no control for. */
static void notes_of_limits(const struct lowering *lowering, const struct tenant *tenant)
{
	const struct { const char *word, *controller; int64_t amount; } words[] = {
		{ "limit.cpu", "cpu", tenant->limit.cpu }, { "quota.cpu", "cpu", tenant->quota.cpu }, { "limit.memory", "memory", tenant->limit.memory },
		{ "limit.pids", "pids", tenant->limit.pids }, { "limit.diskBandwidth", "io", tenant->limit.disk_bandwidth },
	};

	if (json_get_bool(lowering->facts, "offline", false))
		return;	/* nothing is known of what this machine can enforce */
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (words[i].amount != AMOUNT_NONE && !control(lowering, words[i].controller))
			lower_note(lowering, "not enforced: %s of tenant %s: this machine has no cgroup controller for %s", words[i].word, tenant->name,
				   words[i].controller);
	if (tenant->limit.disk_bandwidth != AMOUNT_NONE && control(lowering, "io") && !json_get_string(lowering->facts, "disk", NULL))
		lower_note(lowering, "not enforced: limit.diskBandwidth of tenant %s: the state folder is on no disk of its own", tenant->name);
	if (tenant->limit.disk_bandwidth != AMOUNT_NONE && control(lowering, "io") == 1)
		lower_note(lowering, "diskBandwidth is divided evenly among a tenant's instances: cgroup v1 cannot limit them together");
	if (tenant->quota.memory != AMOUNT_NONE && control(lowering, "memory") == 1)
		lower_note(lowering, "quota.memory is guaranteed by admission only: cgroup v1 has no memory.low");
	if (!json_get_bool(json_get_object(lowering->facts, "works"), "packets", false))
		lower_note(lowering, "the work on what a tenant sends is no part of its CPU share here: this kernel gives links no threads");
}

static void lower_limits(const struct lowering *lowering, const struct tenant *tenant)
{
	autofree char *key = xasprintf("%s/limits", tenant->name);
	json_t *body = json_object();

	set_amount(body, "cpuMax", tenant->limit.cpu);
	json_set_int(body, "cpuWeight", cpu_weight(tenant));
	set_amount(body, "memoryMax", tenant->limit.memory);
	set_amount(body, "memoryLow", tenant->quota.memory);
	json_set_int(body, "pidsMax", tenant->limit.pids == AMOUNT_NONE ? PIDS_DEFAULT : tenant->limit.pids);
	if (control(lowering, "io") == 2)
		set_amount(body, "diskBandwidth", tenant->limit.disk_bandwidth);
	after(lower_add(lowering, "limits", key, NULL, body), "host/runtime");
	notes_of_limits(lowering, tenant);
}

static void lower_storage(const struct lowering *lowering, const struct tenant *tenant)
{
	autofree char *key = xasprintf("%s/storage", tenant->name);
	int64_t wanted = tenant->limit.storage, there = json_get_int(json_get_object(lowering->facts, "storage"), tenant->name, 0);
	int64_t quota = tenant->quota.storage;
	const json_t *backing = json_get_object(lowering->facts, "backing");
	bool can_reserve = json_get_bool(backing, "reserve", true), reserved = can_reserve && quota != AMOUNT_NONE && quota >= wanted;
	struct resource *resource;

	if (there > wanted)
		lower_note(lowering, "the storage of tenant %s stays at %" PRId64 " MiB: it never shrinks", tenant->name, there >> 20);
	if (quota == AMOUNT_NONE)
		lower_note(lowering, "the storage of a tenant without quota.storage is a ceiling: its space is not reserved");
	else if (!can_reserve)
		lower_note(lowering, "not enforced: quota.storage of tenant %s: the state folder is on %s, which cannot reserve space", tenant->name,
			   json_get_string(backing, "type", "a file system"));
	else if (!reserved)
		lower_note(lowering, "quota.storage of tenant %s is guaranteed by admission only: space is reserved where limit.storage is no larger", tenant->name);
	resource = lower_add(lowering, "storage", key, NULL,
			     json_pack("{s:I, s:I, s:b, s:b}", "size", (json_int_t)MAX(wanted, there), "base", (json_int_t)tenant_base(lowering, tenant->name),
				       "mounted", 1, "reserved", (int)reserved));
	after(resource, "host/runtime");
	after(resource, "%s/ids", tenant->name);
}

/* What is there already: the size it has, AMOUNT_NONE for a folder without one; false when there is nothing. */
static bool volume_there(const struct lowering *lowering, const char *key, int64_t *ret)
{
	const json_t *value = json_object_get(json_get_object(lowering->facts, "volumes"), key);

	if (!value)
		return false;
	*ret = json_is_integer(value) ? json_integer_value(value) : AMOUNT_NONE;
	return true;
}

static int64_t volume_size(const struct lowering *lowering, const char *key, int64_t wanted)
{
	int64_t there;

	if (!volume_there(lowering, key, &there) || there == wanted)
		return wanted;
	if (there == AMOUNT_NONE) {
		lower_note(lowering, "not enforced: the size of %s: it was made without one", key);
		return AMOUNT_NONE;
	}
	if (wanted != AMOUNT_NONE && wanted > there)
		return wanted;
	lower_note(lowering, "%s stays at %" PRId64 " MiB: it never shrinks", key, there >> 20);
	return there;
}

/* Workloads of a tenant may share a volume; that its words agree was checked with the file. */
static void lower_volume(const struct lowering *lowering, const struct tenant *tenant, const struct volume *volume)
{
	autofree char *key = xasprintf("%s/volume/%s", tenant->name, volume->name);
	struct resource *resource;
	json_t *body;

	if (resources_get(lowering->resources, key))
		return;
	body = json_pack("{s:s, s:b, s:I}", "name", volume->name, "keep", (int)volume->keep, "owner", (json_int_t)tenant_base(lowering, tenant->name));
	set_amount(body, "size", volume_size(lowering, key, volume->size));
	resource = lower_add(lowering, "volume", key, NULL, body);
	after(resource, "%s/storage", tenant->name);
}

/* As the Site's aliases say. */
static const char *reference_of(const struct lowering *lowering, const char *written)
{
	const struct labels *aliases = &lowering->intent->site.images;

	for (size_t i = 0; i < aliases->n; i++)
		if (streq(aliases->items[i].key, written))
			return aliases->items[i].value;
	return written;
}

static int image_missing(const struct lowering *lowering, const struct workload *workload, struct error *err)
{
	const json_t *failures = json_get_object(lowering->facts, "imageErrors"), *failure = json_object_get(failures, workload->image);
	const char *hint = json_get_string(failure, "hint", "");

	lower_fail(&workload->mark, ERROR_INPUT, err, "%s/%s: image %s: %s", workload->tenant, workload->name, workload->image,
		   json_get_string(failure, "message", json_get_string(failures, "", "it was not looked at")));
	return *hint ? error_hint(err, "%s", hint) : -1;
}

/* "sha256:HEX" at the end of a registry's reference, or NULL */
static const char *pinned_digest(const char *reference)
{
	const char *at = starts_with(reference, "docker://") ? strchr(reference, '@') : NULL;

	return at && starts_with(at + 1, "sha256:") && digest_hex_valid(at + 1 + strlen("sha256:")) ? at + 1 : NULL;
}

/* The digest that the probe found, and the resource of the image. */
static int lower_image(const struct lowering *lowering, const struct workload *workload, char **ret_digest, struct error *err)
{
	const char *reference = reference_of(lowering, workload->image), *found = json_get_string(json_get_object(lowering->facts, "images"), workload->image, NULL);
	autofree char *key = NULL, *digest = NULL;

	if (workload->pull_secret && starts_with(reference, "docker://")) {
		lower_fail(&workload->mark, ERROR_UNSUPPORTED, err, "%s/%s: pullSecret is not used by the local site", workload->tenant, workload->name);
		return error_hint(err, "leave it out; credentials come from ~/.docker/config.json of who applies ('docker login' writes them)");
	}
	if (!found && json_get_bool(lowering->facts, "offline", false))
		found = pinned_digest(reference);
	if (!found && !json_get_bool(lowering->facts, "offline", false))
		return image_missing(lowering, workload, err);
	if (!found && starts_with(reference, "docker://"))
		lower_note(lowering, "offline: the registry was not asked what %s is; a reference that ends with @sha256:DIGEST needs no asking", reference);
	else if (!found)
		lower_note(lowering, "offline: images were not looked at, their digests are not known");
	digest = found ? xstrdup(found) : xasprintf("unknown:%s", reference);
	key = xasprintf("image/%s", digest);
	if (!resources_get(lowering->resources, key))
		lower_add(lowering, "image", key, NULL, json_pack("{s:s, s:s}", "digest", digest, "reference", reference));
	*ret_digest = steal(&digest);
	return 0;
}

static int method_check(const struct instance *instance, const struct workload *workload, struct error *err)
{
	static const char *const names[] = { [METHOD_AUTO] = "auto", [METHOD_CONTAINER] = "container", [METHOD_VM] = "vm", [METHOD_BARE] = "bare" };

	if (workload->resources.gpu != AMOUNT_NONE && workload->resources.gpu > 0) {
		lower_fail(&workload->mark, ERROR_UNSUPPORTED, err, "%s/%s: GPUs come with a later version of the local site", workload->tenant, workload->name);
		return error_hint(err, "leave resources.gpu out to run it on cores");
	}
	if (instance->method != METHOD_CONTAINER || !workload->image) {
		lower_fail(&workload->mark, ERROR_UNSUPPORTED, err, "%s/%s: method %s comes with a later version", workload->tenant, workload->name,
			   workload->image ? names[instance->method] : "vm (a kernel without an image)");
		return error_hint(err, "method: container works");
	}
	return 0;
}

/* Of the tenant when it has a secret of this name, else of all. */
static json_t *secret_mark(const struct lowering *lowering, const struct workload *workload, const char *name)
{
	vec_each(&lowering->intent->secrets, secret)
		if (secret->tenant && streq(secret->tenant, workload->tenant) && streq(secret->name, name))
			return json_pack("{s:o}", "$secret", json_sprintf("%s/%s", workload->tenant, name));
	return json_pack("{s:s}", "$secret", name);
}

static json_t *instance_env(const struct lowering *lowering, const struct workload *workload)
{
	json_t *env = json_array();

	for (size_t i = 0; i < workload->env_n; i++) {
		const struct env *item = &workload->env[i];

		json_add(env, json_pack("{s:o, s:o}", "name", json_text(item->name), "value",
					item->secret ? secret_mark(lowering, workload, item->secret) : json_text(item->value)));
	}
	return env;
}

static json_t *instance_mounts(const struct workload *workload)
{
	json_t *mounts = json_array();

	for (size_t i = 0; i < workload->volume_n; i++) {
		const struct volume *volume = &workload->volumes[i];
		json_t *mount = json_pack("{s:o, s:b}", "path", json_text(volume->mount_path), "readOnly", (int)volume->read_only);

		if (volume->host_path)
			json_set_string(mount, "hostPath", volume->host_path);
		else
			json_set_string(mount, "volume", volume->name);
		json_add(mounts, mount);
	}
	return mounts;
}

static int64_t instances_of(const struct lowering *lowering, const char *tenant)
{
	int64_t n = 0;

	vec_each(&lowering->world->instances, instance)
		n += streq(instance->tenant, tenant);
	return n;
}

/* As large as the memory it may use: its own limit, its tenant's, or half of the machine's. */
static int64_t instance_shm(const struct lowering *lowering, const struct tenant *tenant, const struct instance *instance)
{
	if (instance->memory != AMOUNT_NONE && instance->memory > 0)
		return instance->memory;
	if (tenant->limit.memory != AMOUNT_NONE)
		return tenant->limit.memory;
	return json_get_int(lowering->facts, "memory", (int64_t)1 << 30) / 2;
}

static json_t *labels_json(const struct labels *labels)
{
	json_t *object = json_object();

	for (size_t i = 0; i < labels->n; i++)
		json_set_string(object, labels->items[i].key, labels->items[i].value);
	return object;
}

static json_t *instance_body(const struct lowering *lowering, const struct tenant *tenant, const struct instance *instance, const struct workload *workload,
			     const char *image)
{
	static const char *const restarts[] = { [RESTART_NEVER] = "never", [RESTART_ON_FAILURE] = "onFailure", [RESTART_ALWAYS] = "always" };
	json_t *body = json_object(), *command = json_array();

	for (size_t i = 0; i < workload->command.n; i++)
		json_add(command, json_text(workload->command.items[i]));
	json_set_string(body, "method", "container");
	json_set_string(body, "image", image);
	json_set(body, "command", command);
	json_set(body, "env", instance_env(lowering, workload));
	json_set_string(body, "workingDir", workload->working_dir);
	json_set(body, "mounts", instance_mounts(workload));
	if (instance->cpu != AMOUNT_NONE && instance->cpu > 0)
		json_set_int(body, "cpu", instance->cpu);
	if (instance->memory != AMOUNT_NONE && instance->memory > 0)
		json_set_int(body, "memory", instance->memory);
	json_set_string(body, "digest", instance->digest);
	if (tenant->limit.disk_bandwidth != AMOUNT_NONE && control(lowering, "io") == 1)
		json_set_int(body, "diskBandwidth", MAX(BLOCK, tenant->limit.disk_bandwidth / MAX(1, instances_of(lowering, tenant->name))));
	json_set_string(body, "restart", restarts[workload->restart]);
	json_set_int(body, "base", tenant_base(lowering, tenant->name));
	json_set(body, "hostname", json_sprintf("%s-%u", workload->name, instance->replica));
	json_set(body, "link", json_pack("{s:o, s:s}", "$ref", json_sprintf("%s/link", instance->key), "field", "id"));
	json_set_int(body, "shm", instance_shm(lowering, tenant, instance));
	return body;
}

static int lower_instance(const struct lowering *lowering, const struct instance *instance, struct error *err)
{
	const struct tenant *tenant = intent_tenant(lowering->intent, instance->tenant);
	const struct workload *workload = intent_workload(lowering->intent, instance->tenant, instance->workload);
	autofree char *image = NULL, *decision = xasprintf("instance/%s", instance->key);
	struct resource *resource;
	json_t *body;

	if (!tenant || !workload)
		BUG("instance %s is of no workload of the file", instance->key);
	if (method_check(instance, workload, err) < 0 || lower_image(lowering, workload, &image, err) < 0)
		return -1;
	body = instance_body(lowering, tenant, instance, workload, image);
	json_set_bool(body, "watched", true);
	json_set(body, "labels", labels_json(&workload->labels));
	resource = lower_add(lowering, "instance", instance->key, decision, body);
	after(resource, "image/%s", image);
	after(resource, "%s/limits", tenant->name);
	after(resource, "%s/storage", tenant->name);
	after(resource, "%s/link", instance->key);
	for (size_t i = 0; i < workload->volume_n; i++)
		if (!workload->volumes[i].host_path)
			after(resource, "%s/volume/%s", tenant->name, workload->volumes[i].name);
	return 0;
}

static void lower_tenant(const struct lowering *lowering, const struct tenant *tenant)
{
	lower_ids(lowering, tenant);
	lower_limits(lowering, tenant);
	lower_storage(lowering, tenant);
	vec_each(&lowering->intent->workloads, workload)
		for (size_t i = 0; streq(workload->tenant, tenant->name) && i < workload->volume_n; i++)
			if (!workload->volumes[i].host_path)
				lower_volume(lowering, tenant, &workload->volumes[i]);
}

int local_lower(const struct site_facts *facts, const struct site_config *config, const struct intent *intent, const struct world *world,
		const json_t *decisions, struct resources *ret, json_t *notes, struct error *err)
{
	struct lowering lowering = { facts->json, config, intent, world, decisions, ret, notes };

	lower_add(&lowering, "runtime", "host/runtime", NULL, json_pack("{s:b, s:b}", "mount", 1, "cgroups", 1));
	if (local_lower_network(&lowering, err) < 0)
		return -1;
	vec_each(&intent->tenants, tenant)
		lower_tenant(&lowering, tenant);
	vec_each(&world->instances, instance)
		if (lower_instance(&lowering, instance, err) < 0)
			return -1;
	return 0;
}
