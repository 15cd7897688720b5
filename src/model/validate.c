/* SPDX-License-Identifier: Apache-2.0 */
/* Checks that need more than one document: workloads against their tenants, volumes, secrets, methods. */
#include "spec_internal.h"

#include "base/map.h"
#include "labels.h"

#include <stdio.h>
#include <stdlib.h>

/* Their keys would be those of something else. */
static const char *const reserved_tenants[] = { "host", "image", "insula", "outside", "site", "uplink", NULL };
static const char *const reserved_workloads[] = { "gateway", "ids", "limits", "network", "storage", "volume", NULL };
/* What every instance has of its own. */
static const char *const reserved_paths[] = { "/proc", "/sys", "/dev", "/.insula", NULL };
/* Selectors and policies are made of these. */
static const char *const reserved_labels[] = { "tenant", "workload", "replica", NULL };

static bool word_in(const char *const *words, const char *word)
{
	for (; *words; words++)
		if (streq(*words, word))
			return true;
	return false;
}

static bool path_within(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return streq(folder, "/") || (starts_with(path, folder) && (path[n] == 0 || path[n] == '/'));
}

static const char *nearest_tenant(const struct intent *intent, const char *name)
{
	const char **words = xcalloc(intent->tenants.n + 1, sizeof(*words)), *nearest;

	for (size_t i = 0; i < intent->tenants.n; i++)
		words[i] = intent->tenants.items[i].name;
	nearest = nearest_word(name, words);
	free(words);
	return nearest;
}

void unknown_tenant(struct reading *reading, struct mark mark, const char *name)
{
	const char *nearest = reading->findings->items.n < FINDINGS_MAX ? nearest_tenant(reading->intent, name) : NULL;

	if (nearest)
		finding_error(reading->findings, mark, "there is no tenant '%s'; did you mean '%s'?", name, nearest);
	else
		finding_error(reading->findings, mark, "there is no tenant '%s'", name);
}

static void check_labels(struct reading *reading, const struct labels *labels, struct mark mark)
{
	for (size_t i = 0; i < labels->n; i++) {
		if (word_in(reserved_labels, labels->items[i].key))
			finding_error(reading->findings, mark, "the label '%s' is insula's own; choose another key", labels->items[i].key);
		else if (!*labels->items[i].key || strlen(labels->items[i].key) > 253)
			finding_error(reading->findings, mark, "the key of a label has 1 to 253 bytes");
	}
}

static bool secret_exists(const struct intent *intent, const char *tenant, const char *name)
{
	vec_each(&intent->secrets, secret)
		if (streq(secret->name, name) && (!secret->tenant || streq(secret->tenant, tenant)))
			return true;
	return false;
}

static void check_secret(struct reading *reading, const struct workload *workload, const char *name, struct mark mark)
{
	if (!secret_exists(reading->intent, workload->tenant, name))
		finding_error(reading->findings, mark, "there is no Secret '%s' for tenant %s", name, workload->tenant);
}

static void check_secrets(struct reading *reading, const struct workload *workload)
{
	for (size_t i = 0; i < workload->env_n; i++)
		if (workload->env[i].secret)
			check_secret(reading, workload, workload->env[i].secret, workload->env[i].mark);
	if (workload->pull_secret)
		check_secret(reading, workload, workload->pull_secret, spec_place(reading, workload->mark, "pullSecret", NULL));
}

/* Volumes */

static void check_host_path(struct reading *reading, const struct volume *volume)
{
	const struct names *allowed = &reading->intent->site.host_paths;

	for (size_t i = 0; i < allowed->n; i++)
		if (path_within(volume->host_path, allowed->items[i]))
			return;
	if (allowed->n)
		finding_error(reading->findings, volume->mark, "hostPath %s is not within the Site's hostPaths", volume->host_path);
	else
		finding_error(reading->findings, volume->mark, "hostPath %s is not allowed: no Site lists hostPaths", volume->host_path);
}

static void check_volume(struct reading *reading, const struct volume *volume)
{
	for (const char *const *path = reserved_paths; *path; path++)
		if (path_within(volume->mount_path, *path))
			finding_error(reading->findings, volume->mark, "mountPath %s is in %s, which every instance has of its own", volume->mount_path, *path);
	if (streq(volume->mount_path, "/"))
		finding_error(reading->findings, volume->mark, "mountPath may not be /, which is the image's");
	if (volume->host_path && volume->size != AMOUNT_NONE)
		finding_error(reading->findings, volume->mark, "a volume with a hostPath has no size of its own");
	if (volume->host_path)
		check_host_path(reading, volume);
	else if (!volume->name)
		finding_error(reading->findings, volume->mark, "a volume needs a name, or a hostPath");
}

static void check_volumes(struct reading *reading, const struct workload *workload)
{
	for (size_t i = 0; i < workload->volume_n; i++) {
		const struct volume *volume = &workload->volumes[i];

		check_volume(reading, volume);
		for (size_t j = 0; j < i; j++) {
			if (streq(workload->volumes[j].mount_path, volume->mount_path))
				finding_error(reading->findings, volume->mark, "mountPath %s is there twice; the first one is at line %u", volume->mount_path,
					      workload->volumes[j].mark.line);
			else if (volume->name && str_equal(workload->volumes[j].name, volume->name))
				finding_error(reading->findings, volume->mark, "volume '%s' is there twice; the first one is at line %u", volume->name,
					      workload->volumes[j].mark.line);
		}
	}
}

/* Methods */

static void check_method(struct reading *reading, const struct workload *workload, const struct tenant *tenant)
{
	struct mark mark = spec_place(reading, workload->mark, "method", NULL);
	int64_t gpu = workload->resources.gpu;

	if (tenant->trust == TRUST_UNTRUSTED && (workload->method == METHOD_CONTAINER || workload->method == METHOD_BARE))
		finding_error(reading->findings, mark, "method %s is not for tenant %s, which is untrusted; vm or auto is",
			      workload->method == METHOD_BARE ? "bare" : "container", tenant->name);
	else if (tenant->trust == TRUST_NORMAL && workload->method == METHOD_BARE)
		finding_error(reading->findings, mark, "method bare is for trusted tenants only, and %s is normal; container, vm or auto will do", tenant->name);
	if (gpu == AMOUNT_NONE || gpu % 1000 == 0)
		return;
	mark = spec_place(reading, workload->mark, "resources", "gpu", NULL);
	if (workload->method == METHOD_VM || workload->method == METHOD_BARE || workload->kernel)
		finding_error(reading->findings, mark, "method %s cannot share a GPU; ask for whole ones, or choose container",
			      workload->method == METHOD_BARE ? "bare" : "vm");
	else if (tenant->trust == TRUST_UNTRUSTED)
		finding_error(reading->findings, mark, "tenant %s is untrusted, so only vm is allowed, and a vm cannot share a GPU; ask for whole ones", tenant->name);
	else if (gpu > 1000)
		finding_error(reading->findings, mark, "a fraction is of one GPU: less than 1, or a whole number");
}

static void check_replicas(struct reading *reading, const struct workload *workload)
{
	const struct service *service = workload->service;

	if (workload->min_replicas > workload->replicas)
		finding_error(reading->findings, spec_place(reading, workload->mark, "minReplicas", NULL), "minReplicas is %lld and replicas only %lld",
			      (long long)workload->min_replicas, (long long)workload->replicas);
	if (workload->replicas > REPLICAS_MAX)
		finding_error(reading->findings, workload->mark, "%lld replicas; at most %d are allowed", (long long)workload->replicas, REPLICAS_MAX);
	if (service && service->scale_min > service->scale_max)
		finding_error(reading->findings, spec_place(reading, workload->mark, "scale", NULL), "scale has min %lld and max %lld",
			      (long long)service->scale_min, (long long)service->scale_max);
	else if (service && (workload->replicas < service->scale_min || workload->replicas > service->scale_max))
		finding_error(reading->findings, spec_place(reading, workload->mark, "scale", NULL), "replicas is %lld, outside of scale's %lld to %lld",
			      (long long)workload->replicas, (long long)service->scale_min, (long long)service->scale_max);
}

static void check_neighbours(struct reading *reading, const struct workload *workload, const struct names *names, const char *key)
{
	for (size_t i = 0; i < names->n; i++)
		if (!intent_workload(reading->intent, workload->tenant, names->items[i]))
			finding_error(reading->findings, spec_place(reading, workload->mark, key, NULL), "there is no workload '%s' in tenant %s", names->items[i],
				      workload->tenant);
}

static void check_workload(struct reading *reading, const struct workload *workload)
{
	const struct tenant *tenant = intent_tenant(reading->intent, workload->tenant);

	if (word_in(reserved_workloads, workload->name))
		finding_error(reading->findings, workload->mark, "the name '%s' is insula's own; choose another one", workload->name);
	check_labels(reading, &workload->labels, spec_head_place(reading, workload->mark, "labels"));
	check_secrets(reading, workload);
	check_volumes(reading, workload);
	check_replicas(reading, workload);
	check_neighbours(reading, workload, &workload->affinity, "affinity");
	check_neighbours(reading, workload, &workload->anti_affinity, "antiAffinity");
	if (tenant)
		check_method(reading, workload, tenant);
	else
		unknown_tenant(reading, spec_head_place(reading, workload->mark, "tenant"), workload->tenant);
}

void validate_intent(struct reading *reading)
{
	struct intent *intent = reading->intent;
	__int128 instances = 0;

	vec_each(&intent->tenants, tenant) {
		if (word_in(reserved_tenants, tenant->name))
			finding_error(reading->findings, tenant->mark, "the name '%s' is insula's own; choose another one", tenant->name);
		check_labels(reading, &tenant->labels, spec_head_place(reading, tenant->mark, "labels"));
	}
	vec_each(&intent->workloads, workload) {
		check_workload(reading, workload);
		instances += workload->replicas;
	}
	if (instances > INSTANCES_MAX)
		finding_error(reading->findings, ((struct mark){ 0 }), "%lld instances in all; at most %d are allowed", (long long)instances, INSTANCES_MAX);
	vec_each(&intent->pipelines, pipeline)
		if (!intent_tenant(intent, pipeline->tenant))
			unknown_tenant(reading, spec_head_place(reading, pipeline->mark, "tenant"), pipeline->tenant);
	vec_each(&intent->secrets, secret)
		if (secret->tenant && !intent_tenant(intent, secret->tenant))
			unknown_tenant(reading, spec_head_place(reading, secret->mark, "tenant"), secret->tenant);
	validate_tenants(reading);
	validate_network(reading);
}
