/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"
#include "site/local/container/cgroup.h"
#include "kinds.h"
#include "local.h"
#include "lower.h"
#include "site/local/container/instance.h"
#include "site/local/probe/probe.h"

#include <stdlib.h>

/* How it works: every verb is looked up by the kind's name in kinds.c; here are only the defaults and what all kinds share. */

static void site_free(struct site *site)
{
	if (!site)
		return;
	cgroups_close(site->cgroups);
	json_decref(site->facts);
	free(site->deployment_dir);
	free(site->run);
	free(site->images);
	free(site);
}

static void site_free_pp(struct site **site)
{
	site_free(*site);
}

static int local_open(const struct site_config *config, struct site **ret, struct error *err)
{
	CLEANUP(site_free_pp) struct site *site = xcalloc(1, sizeof(*site));

	site->config = config;
	site->deployment_dir = fs_join(config->state_dir, config->deployment);
	site->run = fs_join(config->run_dir, config->deployment);
	site->images = fs_join(config->state_dir, "images");
	if (cgroups_open(&site->cgroups, err) < 0)
		return -1;
	if (local_probe_machine(config, &site->facts, err) < 0)
		return -1;
	*ret = steal(&site);
	return 0;
}

static void local_close(struct site *site)
{
	site_free(site);
}

static int kind_of(const struct resource *resource, const struct local_kind **ret, struct error *err)
{
	*ret = local_kind_find(resource->kind);
	if (!*ret)
		return error_set(err, ERROR_UNSUPPORTED, "%s: a local site has no resources of kind \"%s\"", resource->key, resource->kind);
	return 0;
}

struct listing {
	struct site *site;
	resource_sink sink;
	void *arg;
	bool stopped;
};

static int listing_sink(void *arg, struct resource *resource)
{
	struct listing *listing = arg;

	if (!resource->deployment)
		resource->deployment = xstrdup(listing->site->config->deployment);
	if (listing->sink(listing->arg, resource) != 0) {
		listing->stopped = true;
		return -1;
	}
	return 0;
}

static int local_list(struct site *site, enum list_scope scope, resource_sink sink, void *arg, struct coverage *ret, struct error *err)
{
	struct listing listing = { .site = site, .sink = sink, .arg = arg };
	const struct local_kind *kind;

	for (size_t i = 0; (kind = local_kind_at(i)); i++) {
		struct error failure = { 0 };

		if (kind->list(site, listing_sink, &listing, &failure) == 0) {
			coverage_add(ret, kind->name, site->config->deployment, COVERAGE_COMPLETE, NULL);
			continue;
		}
		if (listing.stopped) {
			*err = failure;
			return -1;
		}
		coverage_add(ret, kind->name, site->config->deployment,
			     failure.code == ERROR_PERMISSION ? COVERAGE_FORBIDDEN : COVERAGE_FAILED, failure.message);
	}
	return 0;
}

static int local_get(struct site *site, struct resource *resource, struct error *err)
{
	const struct local_kind *kind;

	if (kind_of(resource, &kind, err) < 0)
		return -1;
	return kind->get(site, resource, err);
}

static int local_create(struct site *site, struct resource *resource, struct error *err)
{
	const struct local_kind *kind;

	if (kind_of(resource, &kind, err) < 0)
		return -1;
	return kind->create(site, resource, err);
}

static int local_update(struct site *site, const struct resource *from, struct resource *to, struct error *err)
{
	const struct local_kind *kind;

	if (kind_of(to, &kind, err) < 0)
		return -1;
	if (kind->update)
		return kind->update(site, from, to, err);
	if (kind->remove(site, from, false, err) < 0)
		return -1;
	return kind->create(site, to, err);
}

static int local_remove(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	const struct local_kind *kind;

	if (kind_of(resource, &kind, err) < 0)
		return -1;
	return kind->remove(site, resource, delete_data, err);
}

static int local_ready(struct site *site, const struct resource *resource, enum readiness *ret, struct error *err)
{
	const struct local_kind *kind;

	if (kind_of(resource, &kind, err) < 0)
		return -1;
	if (kind->ready)
		return kind->ready(site, resource, ret, err);
	*ret = READY_YES;
	return 0;
}

static int local_sweep(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	const struct local_kind *kind;

	for (size_t i = 0; (kind = local_kind_at(i)); i++)
		if (kind->sweep && kind->sweep(site, tenant, ret, err) < 0)
			return error_wrap(err, "cannot look for what is left of %s", kind->name);
	return 0;
}

static int local_enter(struct site *site, const char *endpoint, int *ret_netns, struct error *err)
{
	int fd = local_netns_open(site, endpoint, err);

	if (fd < 0)
		return -1;
	*ret_netns = fd;
	return 0;
}

const struct site_ops site_local = {
	.name = "local",
	.kinds = local_kinds,
	.probe = local_probe,
	.survey = local_survey,
	.open = local_open,
	.close = local_close,
	.lower = local_lower,
	.lift = local_lift,
	.list = local_list,
	.get = local_get,
	.create = local_create,
	.update = local_update,
	.remove = local_remove,
	.ready = local_ready,
	.exec = local_exec,
	.logs = local_logs,
	.usage = local_usage,
	.sweep = local_sweep,
	.enter = local_enter,
};
