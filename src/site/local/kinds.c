/* SPDX-License-Identifier: Apache-2.0 */
#include "kinds.h"

#include "local.h"

/* One row a field, so that docs/local.md, the diff and the words of a plan are about the same things. */
#define OWNED(field, text)		{ .name = field, .class = FIELD_OWNED, .doc = text }
#define OWNED_OR(field, value, text)	{ .name = field, .class = FIELD_OWNED, .absent = value, .doc = text }
#define OWNED_LIST(field, text)		{ .name = field, .class = FIELD_OWNED, .shape = SHAPE_LIST, .absent = "[]", .doc = text }
#define WHOLE_SET(field, text)		{ .name = field, .class = FIELD_OWNED, .shape = SHAPE_SET, .absent = "[]", .authoritative = true, .doc = text }
#define WHOLE_MAP(field, by, text)	{ .name = field, .class = FIELD_OWNED, .shape = SHAPE_MAP, .map_key = by, .absent = "[]", .authoritative = true, .doc = text }
#define IMMUTABLE(field, text)		{ .name = field, .class = FIELD_IMMUTABLE, .doc = text }
#define IMMUTABLE_OR(field, value, text) { .name = field, .class = FIELD_IMMUTABLE, .absent = value, .doc = text }
#define IMMUTABLE_LIST(field, text)	{ .name = field, .class = FIELD_IMMUTABLE, .shape = SHAPE_LIST, .absent = "[]", .doc = text }
#define IMMUTABLE_MAP(field, by, text)	{ .name = field, .class = FIELD_IMMUTABLE, .shape = SHAPE_MAP, .map_key = by, .absent = "[]", .doc = text }
#define COMPUTED(field, text)		{ .name = field, .class = FIELD_COMPUTED, .doc = text }
#define DECISIONS			COMPUTED("decisions", "the decisions this comes from, so that what lives can tell them when the state is lost")
#define END				{ .name = NULL }

static const struct kind_field runtime_fields[] = {
	OWNED("mount", "the run folder is a shared mount of its own"),
	OWNED("cgroups", "our control groups are there"),
	DECISIONS, END,
};
static const struct kind_field forwarding_fields[] = {
	OWNED("ipv4", "the host forwards IPv4"),
	COMPUTED("before", "the value that destroy puts back"),
	DECISIONS, END,
};
static const struct kind_field router_fields[] = {
	IMMUTABLE("pool", "the addresses of all tenants"),
	IMMUTABLE("hostAddress", "the host's end of the uplink"),
	IMMUTABLE("address", "the router's end of the uplink"),
	OWNED("mtu", "of the uplink, in bytes"),
	DECISIONS, END,
};
static const struct kind_field firewall_fields[] = {
	OWNED("pool", "the addresses of all tenants"),
	OWNED("uplink", "the router's link towards the host"),
	OWNED("address", "the router's address on the uplink"),
	OWNED("hostAddress", "the host's address on the uplink"),
	WHOLE_MAP("tenants", "name", "each tenant's bridge, prefix and gateway"),
	WHOLE_SET("flows", "who may reach whom, between tenants"),
	WHOLE_SET("egress", "who may reach what beyond the uplink"),
	WHOLE_MAP("ports", "name", "the only hardware and source address that each port may use"),
	WHOLE_SET("published", "ports that the host forwards to"),
	WHOLE_MAP("rates", "bridge", "network bandwidth of a tenant, in bytes a second, each direction"),
	DECISIONS, END,
};
static const struct kind_field host_firewall_fields[] = {
	OWNED("pool", "the addresses of all tenants"),
	OWNED("uplink", "the host's link towards the router"),
	OWNED("hostAddress", "the host's address on the uplink"),
	OWNED("address", "the router's address on the uplink"),
	OWNED("masquerade", "what leaves the host bears the host's address"),
	WHOLE_SET("published", "addresses and ports of the host that lead to an instance"),
	DECISIONS, END,
};
static const struct kind_field ids_fields[] = {
	IMMUTABLE("base", "the first uid and gid: the tenant's root"),
	IMMUTABLE("count", "how many"),
	IMMUTABLE("name", "under which subuid and subgid have it"),
	OWNED("registered", "both files have it"),
	DECISIONS, END,
};
static const struct kind_field limits_fields[] = {
	OWNED_OR("cpuMax", "null", "ceiling, in thousandths of a core"),
	OWNED_OR("cpuWeight", "100", "share when cores are short, 1 to 10000"),
	OWNED_OR("memoryMax", "null", "ceiling, in bytes"),
	OWNED_OR("memoryLow", "0", "guarantee, in bytes"),
	OWNED_OR("pidsMax", "null", "processes and threads"),
	OWNED_OR("diskBandwidth", "null", "bytes a second, read and write each"),
	DECISIONS, END,
};
static const struct kind_field bridge_fields[] = {
	IMMUTABLE("link", "its name in the router"),
	IMMUTABLE("address", "the gateway's address and the subnet's length"),
	OWNED("mtu", "in bytes"),
	DECISIONS, END,
};
static const struct kind_field storage_fields[] = {
	OWNED("size", "of the image, in bytes; grows, never shrinks"),
	OWNED("base", "uid of the tenant's root, which owns what is in it"),
	OWNED_OR("reserved", "false", "its space is taken from the disk at once: a guarantee, not a ceiling"),
	OWNED("mounted", "it is there for instances"),
	DECISIONS, END,
};
static const struct kind_field volume_fields[] = {
	IMMUTABLE("name", "its folder in the tenant's storage"),
	OWNED_OR("size", "null", "of its own image, in bytes; none: as large as the storage allows"),
	OWNED_OR("keep", "true", "outlives destroy"),
	OWNED("owner", "uid of the tenant's root"),
	DECISIONS, END,
};
static const struct kind_field image_fields[] = {
	IMMUTABLE("digest", "of its manifest, or of the host's roots"),
	COMPUTED("reference", "as the file has it"),
	DECISIONS, END,
};
static const struct kind_field resolver_fields[] = {
	WHOLE_MAP("zones", "tenant", "who may ask, and which names are answered"),
	OWNED_LIST("upstreams", "asked for all other names"),
	DECISIONS, END,
};
static const struct kind_field link_fields[] = {
	IMMUTABLE("bridge", "the tenant's bridge"),
	IMMUTABLE("port", "the end in the router"),
	IMMUTABLE("address", "of the instance, with the subnet's length"),
	IMMUTABLE("gateway", "the default route"),
	IMMUTABLE("mac", "the hardware address"),
	OWNED("mtu", "in bytes"),
	IMMUTABLE("hostname", "what the instance calls itself"),
	DECISIONS, END,
};
static const struct kind_field instance_fields[] = {
	IMMUTABLE("method", "container"),
	IMMUTABLE("digest", "of all of its spec"),
	IMMUTABLE("image", "digest of the image"),
	IMMUTABLE_LIST("command", "what it runs; none: what the image says"),
	IMMUTABLE_MAP("env", "name", "variables"),
	IMMUTABLE_OR("workingDir", "null", "where the command starts"),
	IMMUTABLE_MAP("mounts", "path", "volumes and folders of the host"),
	IMMUTABLE_OR("cpu", "null", "its own ceiling, in thousandths of a core"),
	IMMUTABLE_OR("memory", "null", "its own ceiling, in bytes"),
	IMMUTABLE_OR("pids", "null", "processes and threads"),
	IMMUTABLE_OR("diskBandwidth", "null", "bytes a second, read and write each"),
	IMMUTABLE("restart", "never, onFailure or always"),
	IMMUTABLE("base", "uid of the tenant's root"),
	IMMUTABLE("hostname", "what the instance calls itself"),
	IMMUTABLE("link", "the link it lives behind: when that is made anew, so is the instance"),
	IMMUTABLE("shm", "size of its /dev/shm, in bytes"),
	COMPUTED("labels", "of the workload"),
	COMPUTED("state", "running, exited, ..."),
	COMPUTED("detail", "how it ended, how often it was started again, why"),
	COMPUTED("tuning", "times and sizes of its monitor that are not the usual ones"),
	OWNED_OR("watched", "true", "a monitor is beside it, or it has ended for good"),
	DECISIONS, END,
};

const struct kind local_kinds[] = {
	{ .name = "runtime", .title = "run folder", .stage = STAGE_FENCE, .fields = runtime_fields },
	{ .name = "forwarding", .title = "IP forwarding", .stage = STAGE_FENCE, .fields = forwarding_fields },
	{ .name = "router", .title = "router", .stage = STAGE_FENCE, .fields = router_fields },
	{ .name = "firewall", .title = "firewall", .stage = STAGE_FENCE, .fields = firewall_fields },
	{ .name = "host-firewall", .title = "firewall of the host", .stage = STAGE_FENCE, .fields = host_firewall_fields },
	{ .name = "ids", .title = "user ids", .stage = STAGE_FENCE, .fields = ids_fields },
	{ .name = "limits", .title = "limits", .stage = STAGE_FENCE, .fields = limits_fields },
	{ .name = "bridge", .title = "network", .stage = STAGE_GROUND, .fields = bridge_fields },
	{ .name = "storage", .title = "storage", .stage = STAGE_GROUND, .fields = storage_fields },
	{ .name = "volume", .title = "volume", .stage = STAGE_GROUND, .fields = volume_fields },
	{ .name = "image", .title = "image", .stage = STAGE_GROUND, .shared = true, .fields = image_fields },
	{ .name = "resolver", .title = "resolver", .stage = STAGE_GROUND, .fields = resolver_fields },
	{ .name = "link", .title = "link", .stage = STAGE_GROUND, .fields = link_fields },
	{ .name = "instance", .title = "instance", .stage = STAGE_WORK, .fields = instance_fields },
	{ .name = NULL },
};

static const struct local_kind *const verbs[] = {
	&local_runtime, &local_forwarding, &local_router, &local_firewall, &local_host_firewall, &local_ids, &local_limits, &local_bridge,
	&local_storage, &local_volume, &local_image, &local_resolver, &local_link, &local_instance,
};

const struct local_kind *local_kind_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (streq(verbs[i]->name, name))
			return verbs[i];
	return NULL;
}

const struct local_kind *local_kind_at(size_t i)
{
	return i < ARRAY_LEN(verbs) ? verbs[i] : NULL;
}
