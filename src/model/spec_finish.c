/* SPDX-License-Identifier: Apache-2.0 */
/* From a decoded document into the intent: what depends on several fields, and the notes. */
#include "spec_internal.h"

static const char *const tenant_words[] = { "members", "parent", "borrowingLimit", "lendingLimit", "reclaim", "order", "usageHalfLife", NULL };
static const char *const workload_words[] = { "pullSecret", "priority", "preemptible", "disruptionBudget", "minReplicas", "groups", "timeLimit", "arrival", "duration",
					"nodeSelector", "tolerations", "affinity", "antiAffinity", "topology", "mig", NULL };
static const char *const service_words[] = { "concurrency", "scale", NULL };
static const char *const site_words[] = { "starvation", NULL };

static const struct yaml_node *spec_of(const struct document *document)
{
	return yaml_get(document->node, "spec");
}

static bool given(const struct document *document, const char *key)
{
	const struct yaml_node *node = yaml_get(spec_of(document), key);

	return node && node->type != YAML_NULL;
}

/* One line for the words of a document that are checked and nothing more. */
static void note_words(struct reading *reading, const struct document *document, const char *const *words, const char *who)
{
	autobuf struct buf list = { 0 };
	size_t n = 0;

	for (; *words; words++) {
		if (given(document, *words)) {
			buf_addf(&list, "%s%s", n ? ", " : "", *words);
			n++;
		}
	}
	if (n)
		vec_push(&reading->intent->notes, (const char *)arena_printf(&reading->intent->arena, "%s %s%s%s: %s %s read and checked; nothing acts on %s yet", who,
					   document->tenant ? document->tenant : "", document->tenant ? "/" : "", document->name, list.data,
					   n > 1 ? "are" : "is", n > 1 ? "them" : "it"));
}

/* Once for each kind. */
static void note_kind(struct reading *reading, enum noted noted, const char *kind)
{
	if (reading->noted & noted)
		return;
	reading->noted |= noted;
	vec_push(&reading->intent->notes,
		 (const char *)arena_printf(&reading->intent->arena, "kind %s is read and checked; nothing acts on it yet", kind));
}

/* Tenant */

static void no_rates(struct amounts *amounts)
{
	amounts->pids = amounts->disk_bandwidth = amounts->network_bandwidth = AMOUNT_NONE;
}

static int64_t otherwise(int64_t value, int64_t other)
{
	return value == AMOUNT_NONE ? other : value;
}

/* Each line of the list says exactly one of from and to; those that do not are dropped, with a finding. */
static void check_allow(struct reading *reading, const struct document *document, struct tenant *tenant)
{
	const struct yaml_node *list = yaml_get(yaml_get(spec_of(document), "network"), "allow");
	size_t n = 0;

	for (size_t i = 0; i < tenant->allow_n; i++) {
		const struct yaml_node *item = list->items[i];
		bool from = yaml_get(item, "from"), to = yaml_get(item, "to");
		struct allow *allow = &tenant->allow[i];

		if (item->type == YAML_MAPPING && from == to)
			finding_error(reading->findings, item->mark, "tenant.spec.network.allow needs exactly one of from and to in each line");
		else if (allow->peer != PEER_TENANT || allow->tenant)
			tenant->allow[n++] = *allow;
	}
	tenant->allow_n = n;
}

void finish_tenant(struct reading *reading, const struct document *document, void *noun)
{
	struct tenant *tenant = noun;

	tenant->name = document->name;
	tenant->mark = document->mark;
	tenant->labels = document->labels;
	no_rates(&tenant->quota);
	no_rates(&tenant->borrowing_limit);
	no_rates(&tenant->lending_limit);
	tenant->limit.memory = otherwise(tenant->limit.memory, tenant->quota.memory);
	tenant->limit.instances = otherwise(tenant->limit.instances, tenant->quota.instances);
	tenant->limit.storage = otherwise(otherwise(tenant->limit.storage, tenant->quota.storage), STORAGE_DEFAULT);
	check_allow(reading, document, tenant);
	note_words(reading, document, tenant_words, "tenant");
	vec_push(&reading->intent->tenants, *tenant);
}

/* Workload */

static void sum_groups(struct reading *reading, const struct document *document, struct workload *workload)
{
	int64_t sum = 0, least = 0;

	for (size_t i = 0; i < workload->group_n; i++) {
		struct workload_group *group = &workload->groups[i];

		if (group->replicas == VALUE_NONE)
			return;
		group->min = otherwise(group->min, group->replicas);
		if (group->min > group->replicas)
			finding_error(reading->findings, group->mark, "group '%s' has min %lld and only %lld replicas", group->name ? group->name : "",
				      (long long)group->min, (long long)group->replicas);
		sum += group->replicas;
		least += group->min;
	}
	if (!workload->group_n)
		return;
	if (given(document, "replicas") && workload->replicas != sum)
		finding_error(reading->findings, yaml_get(spec_of(document), "replicas")->mark, "replicas is %lld and the groups have %lld together; leave replicas out",
			      (long long)workload->replicas, (long long)sum);
	workload->replicas = sum;
	workload->min_replicas = otherwise(workload->min_replicas, least);
}

static void drop_bad_volumes(struct workload *workload)
{
	size_t n = 0;

	for (size_t i = 0; i < workload->volume_n; i++)
		if (workload->volumes[i].mount_path)
			workload->volumes[n++] = workload->volumes[i];
	workload->volume_n = n;
}

/* Words that only one method knows; `auto` may still become it. */
static void check_method_words(struct reading *reading, const struct document *document, const struct workload *workload)
{
	static const struct { const char *key; enum method method; const char *name; } words[] = {
		{ "kernel", METHOD_VM, "vm" }, { "allowEmulation", METHOD_VM, "vm" }, { "packages", METHOD_VM, "vm" }, { "cores", METHOD_BARE, "bare" },
	};
	static const char *const names[] = { "auto", "container", "vm", "bare" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		bool may_be = workload->method == words[i].method || (workload->method == METHOD_AUTO && words[i].method == METHOD_VM);

		if (given(document, words[i].key) && !may_be)
			finding_error(reading->findings, yaml_get(spec_of(document), words[i].key)->mark, "%s is for method %s only, and the method is %s",
				      words[i].key, words[i].name, names[workload->method]);
	}
	if (spec_of(document) && !given(document, "image") && !given(document, "kernel"))
		finding_error(reading->findings, spec_of(document)->mark,
			      "%s/%s has no image; give an image, or a kernel for a unikernel", workload->tenant, workload->name);
}

static void note_gpu(struct reading *reading, const struct workload *workload)
{
	if (workload->resources.gpu != AMOUNT_NONE && workload->resources.gpu > 0)
		vec_push(&reading->intent->notes, (const char *)arena_printf(&reading->intent->arena,
			 "workload %s/%s: resources.gpu is read and checked; nothing acts on it yet", workload->tenant, workload->name));
}

static void fill_workload(struct reading *reading, const struct document *document, struct workload *workload)
{
	workload->name = document->name;
	workload->tenant = document->tenant;
	workload->mark = document->mark;
	workload->labels = document->labels;
	drop_bad_volumes(workload);
	sum_groups(reading, document, workload);
	workload->min_replicas = otherwise(workload->min_replicas, workload->replicas);
	check_method_words(reading, document, workload);
	note_gpu(reading, workload);
	note_words(reading, document, workload_words, workload->service ? "service" : "workload");
}

void finish_workload(struct reading *reading, const struct document *document, void *noun)
{
	struct workload *workload = noun;

	if (!document->tenant)
		return;
	fill_workload(reading, document, workload);
	vec_push(&reading->intent->workloads, *workload);
}

void finish_service(struct reading *reading, const struct document *document, void *noun)
{
	struct service_noun *block = noun;
	struct service *service = &block->service;

	if (!document->tenant)
		return;
	block->workload.service = service;
	fill_workload(reading, document, &block->workload);
	service->port = block->port == VALUE_NONE ? 0 : (uint16_t)block->port;
	if (given(document, "publish")) {
		service->publish_address = service->publish_address ? service->publish_address : "127.0.0.1";
		service->publish_port = block->publish_port == VALUE_NONE ? service->port : (uint16_t)block->publish_port;
	}
	service->scale_max = otherwise(service->scale_max, service->scale_min == VALUE_NONE ? block->workload.replicas : MAX(service->scale_min, block->workload.replicas));
	service->scale_min = otherwise(service->scale_min, MIN(service->scale_max, block->workload.replicas));
	note_words(reading, document, service_words, "service");
	vec_push(&reading->intent->workloads, block->workload);
}

/* What describes */

void finish_pipeline(struct reading *reading, const struct document *document, void *noun)
{
	struct pipeline *pipeline = noun;

	if (!document->tenant)
		return;
	pipeline->name = document->name;
	pipeline->tenant = document->tenant;
	pipeline->mark = document->mark;
	note_kind(reading, NOTED_PIPELINE, "Pipeline");
	vec_push(&reading->intent->pipelines, *pipeline);
}

void finish_site(struct reading *reading, const struct document *document, void *noun)
{
	struct site_intent *site = noun;

	site->name = document->name;
	site->mark = document->mark;
	if (reading->has_site) {
		finding_error(reading->findings, document->mark, "there is a second Site; the first one is at %s:%u:%u", reading->intent->site.mark.file,
			      reading->intent->site.mark.line, reading->intent->site.mark.column);
		return;
	}
	reading->has_site = true;
	note_words(reading, document, site_words, "site");
	reading->intent->site = *site;
}

void finish_node(struct reading *reading, const struct document *document, void *noun)
{
	struct node_declared *node = noun;

	node->name = document->name;
	node->mark = document->mark;
	note_kind(reading, NOTED_NODE, "Node");
	vec_push(&reading->intent->nodes, *node);
}

void finish_study(struct reading *reading, const struct document *document, void *noun)
{
	struct study *study = noun;

	study->name = document->name;
	study->mark = document->mark;
	note_kind(reading, NOTED_STUDY, "Study");
	vec_push(&reading->intent->studies, *study);
}

void finish_prices(struct reading *reading, const struct document *document, void *noun)
{
	struct prices *prices = noun;

	prices->mark = document->mark;
	if (reading->intent->prices) {
		finding_error(reading->findings, document->mark, "there is a second Prices; the first one is at %s:%u:%u", reading->intent->prices->mark.file,
			      reading->intent->prices->mark.line, reading->intent->prices->mark.column);
		return;
	}
	note_kind(reading, NOTED_PRICES, "Prices");
	reading->intent->prices = prices;
}

void finish_secret(struct reading *reading, const struct document *document, void *noun)
{
	struct secret_source *secret = noun;

	secret->name = document->name;
	secret->tenant = document->tenant;
	secret->mark = document->mark;
	if (spec_of(document) && given(document, "fromFile") == given(document, "fromEnv"))
		finding_error(reading->findings, spec_of(document)->mark, "secret.spec needs exactly one of fromFile and fromEnv");
	vec_push(&reading->intent->secrets, *secret);
}
