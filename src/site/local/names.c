/* SPDX-License-Identifier: Apache-2.0 */
#include "local.h"

#include "base/digest.h"

#include <stdio.h>
#include <stdlib.h>

void local_link_name(const char *deployment, enum link_role role, const char *key, char ret[static 16])
{
	static const char letters[] = { [LINK_BRIDGE] = 'b', [LINK_PORT] = 'v', [LINK_UPLINK_HOST] = 'u', [LINK_UPLINK_ROUTER] = 'r' };
	autofree char *text = xasprintf("%s/%s", deployment, key);
	char hex[DIGEST_HEX];

	digest_bytes(text, strlen(text), hex);
	snprintf(ret, 16, "ins%c%.8s", letters[role], hex);
}

void local_table_name(const char *deployment, char ret[static 80])
{
	snprintf(ret, 80, "insula_%s", deployment);
	for (char *p = ret; *p; p++)
		if (*p == '-')
			*p = '_';
}

/* Copies up to the next '/' (or the end); false when there is nothing, too much or a name that a path takes for something else. */
static bool key_part(const char **key, char ret[static 64])
{
	size_t n = strcspn(*key, "/");

	if (n == 0 || n >= 64)
		return false;
	memcpy(ret, *key, n);
	ret[n] = '\0';
	*key += n;
	if (**key == '/')
		(*key)++;
	return !streq(ret, ".") && !streq(ret, "..");
}

bool local_instance_key(const char *key, struct instance_key *ret)
{
	struct instance_key parts;
	char replica[64], *end;
	unsigned long value;

	if (!key_part(&key, parts.tenant) || !key_part(&key, parts.workload) || !key_part(&key, replica) || *key || key[-1] == '/')
		return false;
	if (replica[strspn(replica, "0123456789")] || strlen(replica) > 9 || (replica[0] == '0' && replica[1]))
		return false;
	value = strtoul(replica, &end, 10);
	parts.replica = (uint32_t)value;
	*ret = parts;
	return true;
}

char *local_instance_dir(const struct site *site, const char *key)
{
	return xasprintf("%s/i/%s", site->run, key);
}

char *local_cgroup_tenant(const struct site *site, const char *tenant)
{
	return xasprintf("/insula/%s/t/%s", site->config->deployment, tenant);
}

char *local_cgroup_instance(const struct site *site, const char *key)
{
	struct instance_key parts;

	if (!local_instance_key(key, &parts))
		BUG("\"%s\" is not the key of an instance", key);
	return xasprintf("/insula/%s/t/%s/%s.%u", site->config->deployment, parts.tenant, parts.workload, parts.replica);
}

char *local_cgroup_monitors(const struct site *site)
{
	return xasprintf("/insula/%s/monitors", site->config->deployment);
}
