/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/local.h"

#include "base/fs.h"
#include "site/local/container/cgroup.h"
#include "site/local/network/packets.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * <tenant>/limits: the tenant's control group, in which its instances have theirs, and the threads of its ports.
 *
 * How it works: values are read back from the kernel. Where this machine has no control for one, or the kernel
 * keeps it in coarser units, the mark tells what was asked: else it would look like drift for ever. What is not
 * enforced is said by lower, once, in the plan.
 */

#define PAGE ((int64_t)4096)

struct word { const char *name; size_t offset; };

#define WORD(field, member) { field, offsetof(struct cgroup_limits, member) }

static const struct word words[] = {
	WORD("cpuMax", cpu_max), WORD("cpuWeight", cpu_weight), WORD("memoryMax", memory_max),
	WORD("memoryLow", memory_low), WORD("pidsMax", pids_max), WORD("diskBandwidth", disk_bandwidth),
};

static int64_t *word_value(struct cgroup_limits *limits, size_t i)
{
	return (int64_t *)((char *)limits + words[i].offset);
}

static int limits_create(struct site *site, struct resource *resource, struct error *err)
{
	const char *disk = json_get_string(site->facts, "disk", NULL), *const devices[] = { disk, NULL };
	const struct cgroup_limits none = { AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, NULL, false, .leaf = true };
	struct cgroup_limits limits = { .devices = disk ? devices : NULL };
	autofree char *tenant = xstrndup(resource->key, strcspn(resource->key, "/"));
	autofree char *path = local_cgroup_tenant(site, tenant);
	autofree char *packets = fs_join(path, PACKETS_GROUP);
	unsigned missing;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		*word_value(&limits, i) = json_get_int(resource->body, words[i].name, AMOUNT_NONE);
	if (local_mark_write(site, MARK_UNTIL_REBOOT, resource, err) < 0)
		return -1;
	if (cgroup_create(site->cgroups, path, &limits, &missing, err) < 0 || cgroup_create(site->cgroups, packets, &none, NULL, err) < 0)
		return -1;
	resource_set_id(resource, path);
	return 0;
}

static int limits_update(struct site *site, const struct resource *from, struct resource *to, struct error *err)
{
	return limits_create(site, to, err);
}

/* Its last limits go, so nothing of it runs or will: its logs and usage records go too. What was used is in the receipt. */
static int records_remove(struct site *site, const char *tenant, struct error *err)
{
	static const char *const folders[] = { "logs", "usage" };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		autofree char *folder = fs_join(site->deployment_dir, folders[i]), *own = fs_join(folder, tenant);

		if (fs_remove_tree(own, err) < 0)
			return -1;
		if (rmdir(folder) < 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT)
			return error_set_errno(err, errno, "cannot remove %s", folder);
	}
	return 0;
}

static int limits_remove(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	autofree char *tenant = xstrndup(resource->key, strcspn(resource->key, "/"));
	autofree char *path = local_cgroup_tenant(site, tenant);

	if (cgroup_remove(site->cgroups, path, err) < 0 || records_remove(site, tenant, err) < 0)
		return -1;
	return local_mark_remove(site, MARK_UNTIL_REBOOT, resource->key, err);
}

/* What to report for one value: the kernel's, unless it only rounds or does not know what was asked. */
static int64_t value_told(size_t i, int64_t live, int64_t asked)
{
	if (asked == AMOUNT_NONE)
		return live;
	if (live == AMOUNT_NONE || live == asked)
		return asked;
	if (streq(words[i].name, "memoryMax") || streq(words[i].name, "memoryLow"))
		return live == asked / PAGE * PAGE ? asked : live;
	return live;
}

/* Does the kernel keep this value at all? When it does, "none" means that somebody took it away. */
static bool value_is_kept(struct site *site, size_t i)
{
	static const enum cgroup_controller controllers[] = {
		CGROUP_CPU, CGROUP_CPU, CGROUP_MEMORY, CGROUP_MEMORY, CGROUP_PIDS, CGROUP_IO,
	};
	int version = cgroups_version(site->cgroups, controllers[i]);

	if (streq(words[i].name, "memoryLow"))
		return version == 2;
	if (streq(words[i].name, "diskBandwidth"))
		return version == 2 && json_get_string(site->facts, "disk", NULL);
	return version != 0;
}

static int limits_read(struct site *site, const char *tenant, struct resource **ret, struct error *err)
{
	autofree char *path = local_cgroup_tenant(site, tenant), *key = xasprintf("%s/limits", tenant);
	autoresource struct resource *mark = NULL;
	struct resource *resource;
	struct cgroup_limits live = {
		AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, NULL, false, false,
	};
	struct error missing = { 0 };
	json_t *decisions;

	/* made in some hierarchies only, by somebody who died: told as without limits, so that an update completes it */
	if (cgroup_read_limits(site->cgroups, path, &live, &missing) < 0 && missing.code != ERROR_NOT_FOUND) {
		*err = missing;
		return -1;
	}
	if (local_mark_read(site, MARK_UNTIL_REBOOT, key, &mark, &missing) < 0 && missing.code != ERROR_NOT_FOUND) {
		*err = missing;
		return -1;
	}
	resource = resource_new("local", "limits", key, json_object());
	resource_set_id(resource, path);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		int64_t asked = json_get_int(mark ? mark->body : NULL, words[i].name, AMOUNT_NONE);
		int64_t value = *word_value(&live, i);

		if (value != AMOUNT_NONE || !value_is_kept(site, i))
			value = value_told(i, value, asked);
		if (value != AMOUNT_NONE)
			json_set_int(resource->body, words[i].name, value);
	}
	decisions = mark ? json_object_get(mark->body, "decisions") : NULL;
	if (decisions)
		json_object_set(resource->body, "decisions", decisions);
	*ret = resource;
	return 0;
}

static void names_free(char ***names)
{
	for (size_t i = 0; *names && (*names)[i]; i++)
		free((*names)[i]);
	free(*names);
}

static int limits_list(struct site *site, resource_sink sink, void *arg, struct error *err)
{
	autofree char *parent = xasprintf("/insula/%s/t", site->config->deployment);
	CLEANUP(names_free) char **tenants = NULL;

	if (!cgroup_exists(site->cgroups, parent))
		return 0;
	if (cgroup_children(site->cgroups, parent, &tenants, err) < 0)
		return -1;
	for (size_t i = 0; tenants[i]; i++) {
		struct resource *resource;

		if (limits_read(site, tenants[i], &resource, err) < 0)
			return -1;
		if (sink(arg, resource) != 0)
			return error_set(err, ERROR_INTERRUPTED, "the list was stopped");
	}
	return 0;
}

static int limits_get(struct site *site, struct resource *resource, struct error *err)
{
	autofree char *tenant = xstrndup(resource->key, strcspn(resource->key, "/"));
	autofree char *path = local_cgroup_tenant(site, tenant);
	autoresource struct resource *live = NULL;

	if (!cgroup_exists(site->cgroups, path))
		return error_set(err, ERROR_NOT_FOUND, "there is no control group %s", path);
	if (limits_read(site, tenant, &live, err) < 0)
		return -1;
	json_decref(resource->body);
	resource->body = json_incref(live->body);
	resource_set_id(resource, live->id);
	return 0;
}

const struct local_kind local_limits = {
	.name = "limits",
	.list = limits_list,
	.get = limits_get,
	.create = limits_create,
	.update = limits_update,
	.remove = limits_remove,
};
