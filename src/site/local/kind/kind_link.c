/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/network/network.h"

#include "base/fs.h"
#include "base/log.h"
#include "site/local/container/cgroup.h"
#include "site/local/network/packets.h"

#include <dirent.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * <instance>/link: an instance's network namespace, and the pair of links that joins it to the
 * tenant's bridge.
 *
 * How it works: the namespace is bound to <instance folder>/netns, whose path is its identity; the
 * port on the bridge has the key as its alias, `eth0` inside has the host name as its. A killed
 * create leaves at most a namespace without links, or a pair of links whose settings are not all
 * there: both are found by path and name, and the next create goes on. What is inside belongs to
 * the host's user namespace, so a container's root can change nothing of it.
 */

#define FOLDER_ATTEMPTS 20

struct instance_link {
	char bridge[LINK_NAME], port[LINK_NAME];
	struct interface address;
	struct address gateway;
	uint8_t mac[6];
	uint32_t mtu;
	const char *hostname;
};

static int link_decode(const json_t *body, struct instance_link *ret, struct error *err)
{
	if (body_link(body, "bridge", ret->bridge, err) < 0 || body_link(body, "port", ret->port, err) < 0 ||
	    body_interface(body, "address", &ret->address, err) < 0 || body_address(body, "gateway", &ret->gateway, err) < 0 ||
	    body_mac(body, "mac", ret->mac, err) < 0 || body_mtu(body, "mtu", &ret->mtu, err) < 0 ||
	    body_string(body, "hostname", &ret->hostname, err) < 0)
		return -1;
	if (strlen(ret->hostname) > 64)
		return error_set(err, ERROR_INPUT, "the host name '%.80s' is longer than 64 bytes", ret->hostname);
	return 0;
}

/* "vision/train/0/link" to "vision/train/0"; NULL when it is not of that form. Caller frees. */
static char *instance_of(const char *key)
{
	struct instance_key parts;
	autofree char *instance = NULL;

	if (!ends_with(key, "/link"))
		return NULL;
	instance = xstrndup(key, strlen(key) - strlen("/link"));
	return local_instance_key(instance, &parts) ? steal(&instance) : NULL;
}

static int instance_folder(const struct site *site, const char *key, char **ret, struct error *err)
{
	autofree char *instance = instance_of(key);

	if (!instance)
		return error_set(err, ERROR_INPUT, "'%.200s' is not the key of a link", key);
	*ret = local_instance_dir(site, instance);
	return 0;
}

/* Inside the instance's namespace: settings that a container expects, and a socket to go on with. */
static int prepare_instance(void *arg, struct error *err)
{
	struct netlink **socket = arg;

	if (netns_disable_ipv6(err) < 0 || netns_sysctl("ipv4/ip_unprivileged_port_start", "0", err) < 0 ||
	    netns_sysctl("ipv4/ping_group_range", "0 2147483647", err) < 0)
		return -1;
	return netlink_open(NETNS_HERE, socket, err);
}

static int ensure_namespace(const char *folder, struct netlink **ret_inner, int *ret_netns, struct error *err)
{
	autofree char *path = xasprintf("%s/netns", folder);

	for (unsigned attempt = 1;; attempt++) {
		autonetlink struct netlink *inner = NULL;

		if (fs_make_dirs(folder, 0711, err) == 0 && netns_create(path, prepare_instance, &inner, ret_netns, err) == 0) {
			*ret_inner = steal(&inner);
			return 0;
		}
		/* a neighbour's remove may have taken an empty folder on the way */
		if (err->code != ERROR_NOT_FOUND || attempt == FOLDER_ATTEMPTS)
			return -1;
	}
}

/* Both ends, or neither. */
static int ensure_pair(struct netlink *router, uint32_t bridge, struct netlink *inner, int netns, const struct instance_link *wanted,
		       struct link_state *ret_port, struct link_state *ret_inner, struct error *err)
{
	struct veth_end near = { .name = wanted->port }, far = { .name = "eth0" };
	bool has_port, has_inner;
	struct error absent;

	has_port = netlink_link_get(router, wanted->port, ret_port, &absent) == 0;
	has_inner = netlink_link_get(inner, "eth0", ret_inner, &absent) == 0;
	if (has_port && has_inner)
		return 0;
	if (has_port && netlink_link_remove(router, wanted->port, err) < 0)
		return -1;
	if (has_inner && netlink_link_remove(inner, "eth0", err) < 0)
		return -1;
	memcpy(far.mac, wanted->mac, 6);
	memcpy(near.mac, wanted->mac, 6);
	near.mac[0] = 0xfe;	/* the port's own, which no frame of a tenant's ever bears */
	if (netlink_veth_create(router, &near, bridge, netns, &far, wanted->mtu, err) < 0 ||
	    netlink_link_get(router, wanted->port, ret_port, err) < 0)
		return -1;
	return netlink_link_get(inner, "eth0", ret_inner, err);
}

static int configure_inner(struct netlink *inner, const struct link_state *link, const struct instance_link *wanted, struct error *err)
{
	struct link_change change = { .alias = wanted->hostname, .up = true }, up = { .up = true };
	struct prefix everything = { .address = { .family = AF_INET } };

	change.mac = memcmp(link->mac, wanted->mac, 6) == 0 ? NULL : wanted->mac;
	change.mtu = link->mtu == wanted->mtu ? 0 : wanted->mtu;
	/* the loopback link is the first of each namespace */
	if (netlink_link_change(inner, 1, &up, err) < 0 || netlink_link_change(inner, link->index, &change, err) < 0 ||
	    netlink_address_set(inner, link->index, &wanted->address.address, wanted->address.length, err) < 0)
		return -1;
	return netlink_route_set(inner, &everything, &wanted->gateway, link->index, err);
}

struct charging { const char *port; pid_t thread; };

static int charge_work(void *arg, struct error *err)
{
	struct charging *charging = arg;

	return packets_thread(charging->port, &charging->thread, err);
}

/* What the instance sends is worked on at its tenant's expense. Where that cannot be, the plan has said so. */
static void charge(struct site *site, const char *key, int router, const char *port)
{
	autofree char *tenant = xstrndup(key, strcspn(key, "/")), *group = local_cgroup_tenant(site, tenant), *packets = fs_join(group, PACKETS_GROUP);
	struct charging charging = { .port = port };
	struct error cannot;

	if (!json_get_bool(json_get_object(site->facts, "works"), "packets", false))
		return;
	if (netns_run(router, charge_work, &charging, &cannot) < 0 ||
	    cgroup_attach_kernel_thread(site->cgroups, packets, charging.thread, &cannot) < 0)
		log_write(LOG_LEVEL_WARNING, "%s: its packets are not charged to its tenant: %s", key, cannot.message);
}

static int link_ensure(struct site *site, const char *key, const json_t *body, struct error *err)
{
	autonetlink struct netlink *router = NULL, *inner = NULL;
	struct link_state bridge, port, eth;
	struct instance_link wanted;
	autofree char *folder = NULL;
	char alias[LINK_ALIAS];
	struct link_change change = { .alias = alias, .up = true };
	autofd int netns = -1, router_netns = -1;

	if (link_decode(body, &wanted, err) < 0 || instance_folder(site, key, &folder, err) < 0 ||
	    router_open(site, &router, &router_netns, err) < 0 || netlink_link_get(router, wanted.bridge, &bridge, err) < 0 ||
	    ensure_namespace(folder, &inner, &netns, err) < 0 ||
	    ensure_pair(router, bridge.index, inner, netns, &wanted, &port, &eth, err) < 0)
		return -1;
	link_alias(site, key, alias);
	change.mtu = port.mtu == wanted.mtu ? 0 : wanted.mtu;
	change.master = port.master == bridge.index ? 0 : bridge.index;
	if (configure_inner(inner, &eth, &wanted, err) < 0)
		return -1;
	if (netlink_link_change(router, port.index, &change, err) < 0)
		return -1;
	charge(site, key, router_netns, wanted.port);
	return 0;
}

static int link_create(struct site *site, struct resource *resource, struct error *err)
{
	if (link_ensure(site, resource->key, resource->body, err) < 0)
		return error_wrap(err, "%s", resource->key);
	resource_set_id(resource, json_get_string(resource->body, "port", NULL));
	return 0;
}

static int link_update(struct site *site, const struct resource *from, struct resource *to, struct error *err)
{
	(void)from;
	return link_create(site, to, err);
}

/* Listing */

struct inner_reading { json_t *body; uint32_t port_mtu; };

static int read_inner_parts(struct netlink *inner, struct inner_reading *reading, struct error *err)
{
	CLEANUP(link_addresses_clear) struct link_addresses addresses = { 0 };
	CLEANUP(routes_clear) struct routes routes = { 0 };
	struct link_state link;

	if (netlink_link_get(inner, "eth0", &link, err) < 0)
		return err->code == ERROR_NOT_FOUND ? 0 : -1;
	if (netlink_addresses(inner, &addresses, err) < 0 || netlink_routes(inner, &routes, err) < 0)
		return -1;
	body_set_mac(reading->body, "mac", link.mac);
	json_set_string(reading->body, "hostname", link.alias);
	/* the two ends are aligned, or the one that is not as the other shows */
	json_set_int(reading->body, "mtu", MIN(link.mtu, reading->port_mtu));
	vec_each(&addresses, a)
		if (a->index == link.index)
			body_set_interface(reading->body, "address", &a->address, a->length);
	vec_each(&routes, route)
		if (route->to.length == 0 && route->table == RT_TABLE_MAIN && route->gateway.family)
			body_set_address(reading->body, "gateway", &route->gateway);
	return 0;
}

static int read_inner(void *arg, struct error *err)
{
	autonetlink struct netlink *inner = NULL;

	if (netlink_open(NETNS_HERE, &inner, err) < 0)
		return -1;
	return read_inner_parts(inner, arg, err);
}

/* What is there of one link, in the router (port, or NULL) and in the instance's namespace. */
static int link_body(const struct link_states *links, const struct link_state *port, const char *folder, json_t **ret, bool *ret_any, struct error *err)
{
	autofree char *path = xasprintf("%s/netns", folder);
	autojson json_t *body = json_object();
	struct inner_reading reading = { body, port ? port->mtu : UINT32_MAX };
	autofd int netns = netns_open(path, err);

	if (netns < 0 && err->code != ERROR_NOT_FOUND)
		return -1;
	if (port) {
		json_set_string(body, "port", port->name);
		vec_each(links, l)
			if (l->index == port->master)
				json_set_string(body, "bridge", l->name);
	}
	if (netns >= 0 && netns_run(netns, read_inner, &reading, err) < 0)
		return -1;
	*ret_any = port || netns >= 0;
	*ret = steal(&body);
	return 0;
}

struct link_listing {
	struct site *site;
	struct link_states links;
	resource_sink sink;
	void *arg;
};

static const struct link_state *find_port(const struct link_states *links, const char *name)
{
	vec_each(links, link)
		if (streq(link->name, name))
			return link;
	return NULL;
}

static int list_one(struct link_listing *listing, const char *key, struct error *err)
{
	autofree char *folder = NULL;
	autojson json_t *body = NULL;
	char port[LINK_NAME];
	bool any;

	local_link_name(listing->site->config->deployment, LINK_PORT, key, port);
	if (instance_folder(listing->site, key, &folder, err) < 0 ||
	    link_body(&listing->links, find_port(&listing->links, port), folder, &body, &any, err) < 0)
		return error_wrap(err, "%s", key);
	return any ? listing->sink(listing->arg, network_resource(listing->site, "link", key, port, steal(&body))) : 0;
}

/* Every instance's folder: <run>/i/<tenant>/<workload>/<replica>; `depth` names are still to come. */
static int walk_folders(const char *path, const char *key, int depth, int (*each)(void *arg, const char *key, struct error *err), void *arg,
			struct error *err)
{
	autodir DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir)
		return errno == ENOENT || errno == ENOTDIR ? 0 : error_set_errno(err, errno, "cannot read the folder %s", path);
	while ((entry = readdir(dir))) {
		autofree char *below = NULL, *below_key = NULL;
		int done;

		if (entry->d_name[0] == '.')
			continue;
		below = xasprintf("%s/%s", path, entry->d_name);
		below_key = xasprintf("%s%s%s", key, *key ? "/" : "", entry->d_name);
		done = depth > 1 ? walk_folders(below, below_key, depth - 1, each, arg, err) : each(arg, below_key, err);
		if (done)
			return done;
	}
	return 0;
}

static int list_folder(void *arg, const char *instance, struct error *err)
{
	struct link_listing *listing = arg;
	autofree char *key = xasprintf("%s/link", instance), *folder = local_instance_dir(listing->site, instance);
	autofree char *path = xasprintf("%s/netns", folder);
	struct instance_key parts;

	if (!local_instance_key(instance, &parts) || !netns_exists(path))
		return 0;
	return list_one(listing, key, err);
}

/* Ports whose instance has no namespace any more. */
static int list_lonely(struct link_listing *listing, struct error *err)
{
	vec_each(&listing->links, link) {
		const char *key = link_alias_key(listing->site, link->alias);
		autofree char *folder = NULL, *path = NULL;
		struct error ignored;
		int done;

		if (!key || !ends_with(key, "/link") || instance_folder(listing->site, key, &folder, &ignored) < 0)
			continue;
		path = xasprintf("%s/netns", folder);
		if (netns_exists(path))
			continue;
		done = list_one(listing, key, err);
		if (done)
			return done;
	}
	return 0;
}

static int router_links(const struct site *site, struct link_states *ret, struct error *err)
{
	autonetlink struct netlink *router = NULL;

	if (router_open(site, &router, NULL, err) < 0)
		return err->code == ERROR_NOT_FOUND ? 0 : -1;
	return netlink_links(router, ret, err);
}

static int link_list(struct site *site, resource_sink sink, void *arg, struct error *err)
{
	struct link_listing listing = { .site = site, .sink = sink, .arg = arg };
	autofree char *root = xasprintf("%s/i", site->run);
	int done;

	if (router_links(site, &listing.links, err) < 0)
		return error_wrap(err, "links");
	done = walk_folders(root, "", 3, list_folder, &listing, err);
	if (done == 0)
		done = list_lonely(&listing, err);
	vec_clear(&listing.links);
	return done;
}

static int link_get(struct site *site, struct resource *resource, struct error *err)
{
	CLEANUP(link_states_clear) struct link_states links = { 0 };
	autofree char *folder = NULL;
	char port[LINK_NAME];
	json_t *body;
	bool any;

	local_link_name(site->config->deployment, LINK_PORT, resource->key, port);
	if (instance_folder(site, resource->key, &folder, err) < 0 || router_links(site, &links, err) < 0 ||
	    link_body(&links, find_port(&links, port), folder, &body, &any, err) < 0)
		return error_wrap(err, "%s", resource->key);
	if (!any) {
		json_decref(body);
		return error_set(err, ERROR_NOT_FOUND, "there is no link %s", resource->key);
	}
	json_decref(resource->body);
	resource->body = body;
	resource_set_id(resource, port);
	return 0;
}

static int link_remove(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	autonetlink struct netlink *router = NULL;
	autofree char *folder = NULL, *path = NULL;
	char port[LINK_NAME];

	(void)delete_data;
	if (instance_folder(site, resource->key, &folder, err) < 0)
		return -1;
	local_link_name(site->config->deployment, LINK_PORT, resource->key, port);
	if (router_open(site, &router, NULL, err) == 0) {
		if (netlink_link_remove(router, port, err) < 0)
			return error_wrap(err, "%s", resource->key);
	} else if (err->code != ERROR_NOT_FOUND) {
		return error_wrap(err, "%s", resource->key);
	}
	path = xasprintf("%s/netns", folder);
	if (netns_remove(path, err) < 0)
		return error_wrap(err, "%s", resource->key);
	/* the folders on the way, where nothing else is in them */
	for (int i = 0; i < 3 && rmdir(folder) == 0; i++)
		*strrchr(folder, '/') = '\0';
	return 0;
}

struct sweeping { struct site *site; const char *tenant; json_t *ret; };

static bool of_tenant(const char *key, const char *tenant)
{
	return !tenant || (starts_with(key, tenant) && key[strlen(tenant)] == '/');
}

static int sweep_folder(void *arg, const char *instance, struct error *err)
{
	struct sweeping *sweeping = arg;
	autofree char *folder = local_instance_dir(sweeping->site, instance);
	autofree char *path = xasprintf("%s/netns", folder);

	(void)err;
	if (of_tenant(instance, sweeping->tenant) && netns_exists(path))
		json_add(sweeping->ret, json_sprintf("network namespace %s", path));
	return 0;
}

static int link_sweep(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	CLEANUP(link_states_clear) struct link_states links = { 0 };
	struct sweeping sweeping = { site, tenant, ret };
	autofree char *root = xasprintf("%s/i", site->run);

	if (walk_folders(root, "", 3, sweep_folder, &sweeping, err) < 0 || router_links(site, &links, err) < 0)
		return -1;
	vec_each(&links, link) {
		const char *key = link_alias_key(site, link->alias);

		if (key && ends_with(key, "/link") && of_tenant(key, tenant))
			json_add(ret, json_sprintf("link %s in the router (%s)", link->name, key));
	}
	return 0;
}

const struct local_kind local_link = {
	.name = "link",
	.list = link_list,
	.get = link_get,
	.create = link_create,
	.update = link_update,
	.remove = link_remove,
	.sweep = link_sweep,
};
