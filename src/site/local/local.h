/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_LOCAL_H
#define INSULA_SITE_LOCAL_LOCAL_H

/*
 * The local site: what its files share. docs/local.md is the map: paths, names, kinds, bodies.
 *
 * Each resource kind has one file with its verbs (struct local_kind), found by kinds.c; the
 * machinery under them (netlink, nft, cgroups, images, bundles) has a file and header each.
 */

#include "plan/site.h"

struct site {
	const struct site_config *config;
	char *deployment_dir;		/* <state_dir>/<deployment> */
	char *run;			/* <run_dir>/<deployment> */
	char *images;			/* <state_dir>/images */
	struct cgroups *cgroups;	/* cgroup.h: where each controller is on this machine */
	json_t *facts;			/* of the machine (local_probe_machine), as probed at open */
};

/* The verbs of one kind; what is NULL has a default: update is remove and create, ready is READY_YES. */
struct local_kind {
	const char *name;
	/* Every live one of ours, from the machine itself; body as docs/local.md says. */
	int (*list)(struct site *site, resource_sink sink, void *arg, struct error *err);
	int (*get)(struct site *site, struct resource *resource, struct error *err);
	int (*create)(struct site *site, struct resource *resource, struct error *err);
	int (*update)(struct site *site, const struct resource *from, struct resource *to, struct error *err);
	int (*remove)(struct site *site, const struct resource *resource, bool delete_data, struct error *err);
	int (*ready)(struct site *site, const struct resource *resource, enum readiness *ret, struct error *err);
	/* A line into `ret` for each thing of ours that is left (tenant NULL: of all). */
	int (*sweep)(struct site *site, const char *tenant, json_t *ret, struct error *err);
};

extern const struct local_kind local_runtime, local_forwarding, local_router, local_firewall, local_host_firewall,
	local_ids, local_limits, local_bridge, local_storage, local_volume, local_image, local_resolver, local_link, local_instance;

extern const struct site_ops site_local;

/* Names (names.c); ret holds 16 bytes, IFNAMSIZ. key: of the resource that makes the link
   ("vision/network", "vision/train/0/link", "host/router" for both ends of the uplink). */
enum link_role { LINK_BRIDGE, LINK_PORT, LINK_UPLINK_HOST, LINK_UPLINK_ROUTER };
void local_link_name(const char *deployment, enum link_role role, const char *key, char ret[static 16]);
void local_table_name(const char *deployment, char ret[static 80]);		/* "insula_<deployment>" */
char *local_instance_dir(const struct site *site, const char *key);		/* /run/...; caller frees */
char *local_cgroup_tenant(const struct site *site, const char *tenant);		/* "/insula/<deployment>/t/<tenant>" */
char *local_cgroup_instance(const struct site *site, const char *key);		/* "/insula/<deployment>/t/<tenant>/<workload>.<replica>" */
char *local_cgroup_monitors(const struct site *site);
/* "vision/train/0" to its parts; false when it is not of that form */
struct instance_key { char tenant[64], workload[64]; uint32_t replica; };
bool local_instance_key(const char *key, struct instance_key *ret);

/* Our mark with what list must give back but the machine does not hold: the body as applied, in
   <run>/marks/<kind>/<key with / as %2F> (or <deployment_dir>/marks for what outlives a reboot). Written before the thing is made. */
enum mark_life { MARK_UNTIL_REBOOT, MARK_KEPT };
int local_mark_write(struct site *site, enum mark_life life, const struct resource *resource, struct error *err) WARN_UNUSED;
int local_mark_read(struct site *site, enum mark_life life, const char *key, struct resource **ret, struct error *err) WARN_UNUSED;
int local_mark_remove(struct site *site, enum mark_life life, const char *key, struct error *err) WARN_UNUSED;
int local_mark_each(struct site *site, enum mark_life life, const char *kind, int (*each)(void *arg, struct resource *resource /* stolen */), void *arg, struct error *err) WARN_UNUSED;
/* Only those of one tenant: keys that start with "<tenant>/". */
int local_mark_each_of(struct site *site, enum mark_life life, const char *kind, const char *tenant,
		       int (*each)(void *arg, struct resource *resource /* stolen */), void *arg, struct error *err) WARN_UNUSED;

/* A network namespace's descriptor of ours: "" router, "host", or an instance's key. */
int local_netns_open(const struct site *site, const char *name, struct error *err) WARN_UNUSED;	/* fd or -1 */

#endif
