/* SPDX-License-Identifier: Apache-2.0 */
/* Intent from the texts that plans and states keep. */
#include "deployment.h"

#include "model/spec.h"

#define FILES_MAX 1000

int intent_from_files(const json_t *files, struct intent *ret, struct error *err)
{
	size_t n = json_array_size(files);
	autofree struct source *sources = xcalloc(n + 1, sizeof(*sources));
	struct findings findings = { 0 };
	int result;

	intent_init(ret);
	if (n > FILES_MAX)
		return error_set(err, ERROR_INPUT, "more than %d files", FILES_MAX);
	for (size_t i = 0; i < n; i++) {
		const json_t *file = json_array_get(files, i), *text = json_object_get(file, "text");

		sources[i] = (struct source){ json_get_string(file, "name", NULL), json_string_value(text), json_string_length(text) };
		if (!sources[i].name || !sources[i].text)
			return error_set(err, ERROR_INPUT, "the kept copy of file %zu is damaged", i + 1);
	}
	result = spec_parse(sources, n, ret, &findings, err);
	findings_clear(&findings);
	return result;
}

static void drop_allows(struct tenant *tenant, const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < tenant->allow_n; i++)
		if (!str_equal(tenant->allow[i].tenant, name))
			tenant->allow[kept++] = tenant->allow[i];
	tenant->allow_n = kept;
}

void intent_without_tenant(struct intent *intent, const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < intent->tenants.n; i++)
		if (!streq(intent->tenants.items[i].name, name))
			intent->tenants.items[kept++] = intent->tenants.items[i];
	intent->tenants.n = kept;
	kept = 0;
	for (size_t i = 0; i < intent->workloads.n; i++)
		if (!streq(intent->workloads.items[i].tenant, name))
			intent->workloads.items[kept++] = intent->workloads.items[i];
	intent->workloads.n = kept;
	kept = 0;
	for (size_t i = 0; i < intent->pipelines.n; i++)
		if (!streq(intent->pipelines.items[i].tenant, name))
			intent->pipelines.items[kept++] = intent->pipelines.items[i];
	intent->pipelines.n = kept;
	vec_each(&intent->tenants, tenant)
		drop_allows(tenant, name);
}

void site_intent_default(struct site_intent *site, const char *name)
{
	struct intent intent;
	struct findings findings = { 0 };
	struct error ignored;

	/* no file at all: whatever the tables say. A site of defaults has no memory of its own but its name. */
	*site = (struct site_intent){ .name = name };
	if (spec_parse(NULL, 0, &intent, &findings, &ignored) == 0) {
		site->driver = intent.site.driver;
		site->image_store_limit = intent.site.image_store_limit;
		site->strangers = intent.site.strangers;
		site->starvation = intent.site.starvation;
		intent_clear(&intent);
	}
	findings_clear(&findings);
}
