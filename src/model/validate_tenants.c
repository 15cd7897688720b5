/* SPDX-License-Identifier: Apache-2.0 */
/* What tenants have against what their workloads ask for. */
#include "spec_internal.h"

#include "quantity.h"

#include <stdio.h>

struct amount_name { const char *key; size_t offset, claim; const struct unit *unit; };
#define NO_CLAIM SIZE_MAX

static const struct amount_name amount_names[] = {
	{ "cpu", offsetof(struct amounts, cpu), offsetof(struct resources_claim, cpu), &unit_cpu },
	{ "memory", offsetof(struct amounts, memory), offsetof(struct resources_claim, memory), &unit_bytes },
	{ "gpu", offsetof(struct amounts, gpu), offsetof(struct resources_claim, gpu), &unit_gpu },
	{ "storage", offsetof(struct amounts, storage), NO_CLAIM, &unit_bytes },
	{ "instances", offsetof(struct amounts, instances), NO_CLAIM, &unit_count },
};

static int64_t amount(const struct amounts *amounts, const struct amount_name *name)
{
	return *(const int64_t *)(const void *)((const char *)amounts + name->offset);
}

static int64_t claim(const struct workload *workload, const struct amount_name *name)
{
	return *(const int64_t *)(const void *)((const char *)&workload->resources + name->claim);
}

static void check_quota(struct reading *reading, const struct tenant *tenant)
{
	for (size_t i = 0; i < ARRAY_LEN(amount_names); i++) {
		int64_t quota = amount(&tenant->quota, &amount_names[i]), limit = amount(&tenant->limit, &amount_names[i]);
		char quota_text[QUANTITY_TEXT], limit_text[QUANTITY_TEXT];

		if (quota == AMOUNT_NONE || limit == AMOUNT_NONE || quota <= limit)
			continue;
		amount_names[i].unit->format(quota, quota_text);
		amount_names[i].unit->format(limit, limit_text);
		finding_error(reading->findings, spec_place(reading, tenant->mark, "limit", amount_names[i].key, NULL),
			      "tenant %s: quota.%s %s is more than limit.%s %s", tenant->name, amount_names[i].key, quota_text, amount_names[i].key, limit_text);
	}
}

static void check_parent(struct reading *reading, const struct tenant *tenant)
{
	const struct tenant *next = tenant;
	struct mark mark = spec_place(reading, tenant->mark, "parent", NULL);

	if (!tenant->parent)
		return;
	if (!intent_tenant(reading->intent, tenant->parent)) {
		unknown_tenant(reading, mark, tenant->parent);
		return;
	}
	for (size_t steps = 0; next && next->parent; steps++) {
		next = intent_tenant(reading->intent, next->parent);
		if (next == tenant) {
			finding_error(reading->findings, mark, "tenant %s is its own parent%s", tenant->name, steps ? ", through others" : "");
			return;
		}
		if (steps > reading->intent->tenants.n)
			return;		/* a circle further up; those in it report it */
	}
}

/* Workloads against the limit */

static void check_claims(struct reading *reading, const struct tenant *tenant, const struct workload *workload)
{
	for (size_t i = 0; i < ARRAY_LEN(amount_names); i++) {
		const struct amount_name *name = &amount_names[i];
		int64_t limit = amount(&tenant->limit, name), one = name->claim == NO_CLAIM ? AMOUNT_NONE : claim(workload, name);
		struct mark mark;
		char one_text[QUANTITY_TEXT], limit_text[QUANTITY_TEXT];

		if (one == AMOUNT_NONE || limit == AMOUNT_NONE || one == 0)
			continue;
		mark = spec_place(reading, workload->mark, "resources", name->key, NULL);
		name->unit->format(one, one_text);
		name->unit->format(limit, limit_text);
		if (limit == 0)
			finding_error(reading->findings, mark, "%s/%s asks for %s %s, and tenant %s has none", tenant->name, workload->name, name->key, one_text, tenant->name);
		else if (one > limit)
			finding_error(reading->findings, mark, "%s/%s asks for %s %s, more than the limit %s of tenant %s", tenant->name, workload->name, name->key, one_text,
				      limit_text, tenant->name);
		else if (workload->gang && (__int128)one * workload->min_replicas > limit)
			finding_error(reading->findings, mark, "%s/%s is a gang of %lld with %s %s each, together more than the limit %s of tenant %s, so it can never run",
				      tenant->name, workload->name, (long long)workload->min_replicas, name->key, one_text, limit_text, tenant->name);
	}
}

static void check_gpu(struct reading *reading, const struct tenant *tenant, const struct workload *workload)
{
	const struct resources_claim *claims = &workload->resources;
	bool wants = claims->gpu != AMOUNT_NONE && claims->gpu > 0;

	if (wants && tenant->limit.gpu == AMOUNT_NONE && (tenant->quota.gpu == AMOUNT_NONE || tenant->quota.gpu == 0))
		finding_error(reading->findings, spec_place(reading, workload->mark, "resources", "gpu", NULL),
			      "%s/%s asks for a GPU, and tenant %s has neither quota.gpu nor limit.gpu", tenant->name, workload->name, tenant->name);
	if (!wants && (claims->gpu_memory != AMOUNT_NONE || claims->gpu_models.n || workload->mig))
		finding_error(reading->findings, spec_place(reading, workload->mark, "resources", NULL),
			      "%s/%s names what its GPU must be, and asks for none; give resources.gpu", tenant->name, workload->name);
}

static void check_instances(struct reading *reading, const struct tenant *tenant, const struct workload *workload, int64_t *total)
{
	int64_t limit = tenant->limit.instances;

	*total += workload->replicas;
	if (limit == AMOUNT_NONE)
		return;
	if (workload->gang && workload->min_replicas > limit)
		finding_error(reading->findings, spec_place(reading, workload->mark, "replicas", NULL),
			      "%s/%s is a gang of %lld, more than the %lld instances of tenant %s, so it can never run", tenant->name, workload->name,
			      (long long)workload->min_replicas, (long long)limit, tenant->name);
	else if (*total > limit && *total - workload->replicas <= limit)
		finding_warning(reading->findings, spec_place(reading, workload->mark, "replicas", NULL),
				"with %s/%s the workloads of tenant %s have %lld instances, more than its limit of %lld", tenant->name, workload->name,
				tenant->name, (long long)*total, (long long)limit);
}

/* Volumes */

/* The same volume, named by an earlier workload of the tenant? Then its words must agree, and it counts once. */
static bool seen_before(struct reading *reading, const struct workload *first, const struct workload *workload, const struct volume *volume)
{
	for (const struct workload *w = first; w < workload; w++) {
		for (size_t i = 0; i < w->volume_n; i++) {
			const struct volume *other = &w->volumes[i];

			if (other->host_path || !str_equal(other->name, volume->name))
				continue;
			if (other->size != volume->size || other->keep != volume->keep)
				finding_error(reading->findings, volume->mark, "volume '%s' of tenant %s has another size or keep at %s:%u:%u", volume->name,
					      workload->tenant, other->mark.file, other->mark.line, other->mark.column);
			return true;
		}
	}
	return false;
}

static void check_storage(struct reading *reading, const struct tenant *tenant, const struct workload *first, const struct workload *workload, __int128 *total)
{
	char sum[QUANTITY_TEXT], limit[QUANTITY_TEXT];

	for (size_t i = 0; i < workload->volume_n; i++) {
		const struct volume *volume = &workload->volumes[i];
		__int128 before = *total;

		if (volume->host_path || !volume->name || seen_before(reading, first, workload, volume) || volume->size == AMOUNT_NONE)
			continue;
		*total += volume->size;
		if (*total <= tenant->limit.storage || before > tenant->limit.storage)
			continue;
		quantity_format_bytes((int64_t)MIN(*total, (__int128)INT64_MAX), sum);
		quantity_format_bytes(tenant->limit.storage, limit);
		finding_error(reading->findings, volume->mark, "with volume '%s' the volumes of tenant %s come to %s, more than its storage of %s", volume->name,
			      tenant->name, sum, limit);
	}
}

/* All workloads of one tenant, from `at` on; the index behind them. */
static size_t check_workloads(struct reading *reading, size_t at)
{
	const struct workload *items = reading->intent->workloads.items, *first = &items[at];
	const struct tenant *tenant = intent_tenant(reading->intent, first->tenant);
	__int128 storage = 0;
	int64_t instances = 0;

	for (; at < reading->intent->workloads.n && streq(items[at].tenant, first->tenant); at++) {
		if (!tenant)
			continue;
		check_claims(reading, tenant, &items[at]);
		check_gpu(reading, tenant, &items[at]);
		check_instances(reading, tenant, &items[at], &instances);
		check_storage(reading, tenant, first, &items[at], &storage);
	}
	return at;
}

void validate_tenants(struct reading *reading)
{
	vec_each(&reading->intent->tenants, tenant) {
		check_quota(reading, tenant);
		check_parent(reading, tenant);
	}
	for (size_t at = 0; at < reading->intent->workloads.n;)
		at = check_workloads(reading, at);
}
