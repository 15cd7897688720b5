/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/network/network.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>

/*
 * host/router: our network namespace, and the pair of links that joins it to the host.
 *
 * How it works: the namespace is bound to a file before anything is put into it; the pair has
 * names that follow from the deployment, so whatever a killed create left is found and
 * completed. The pool is routed to the namespace by one route on the host, and that route is the
 * last thing that is made.
 */

struct router { struct prefix pool; struct interface host, inner; uint32_t mtu; char uplink[LINK_NAME], inner_link[LINK_NAME]; };

static void router_links(const struct site *site, struct router *ret)
{
	local_link_name(site->config->deployment, LINK_UPLINK_HOST, "host/router", ret->uplink);
	local_link_name(site->config->deployment, LINK_UPLINK_ROUTER, "host/router", ret->inner_link);
}

static int router_decode(const struct site *site, const json_t *body, struct router *ret, struct error *err)
{
	router_links(site, ret);
	if (body_prefix(body, "pool", &ret->pool, err) < 0 || body_interface(body, "hostAddress", &ret->host, err) < 0 ||
	    body_interface(body, "address", &ret->inner, err) < 0 || body_mtu(body, "mtu", &ret->mtu, err) < 0)
		return error_wrap(err, "router");
	return 0;
}

/* A route of another's that has addresses of the pool; what covers half of all addresses is a default route in disguise. */
static int check_pool(struct netlink *host, const struct router *router, struct error *err)
{
	CLEANUP(routes_clear) struct routes routes = { 0 };
	struct link_state uplink = { 0 };
	struct error absent;
	char pool[PREFIX_TEXT], other[PREFIX_TEXT];

	if (netlink_link_get(host, router->uplink, &uplink, &absent) < 0)
		uplink.index = 0;
	if (netlink_routes(host, &routes, err) < 0)
		return -1;
	vec_each(&routes, route) {
		char link[IF_NAMESIZE];

		if (route->to.length <= 1 || !prefix_overlaps(&route->to, &router->pool) || (uplink.index && route->index == uplink.index))
			continue;
		prefix_format(&router->pool, pool);
		prefix_format(&route->to, other);
		error_set(err, ERROR_CONFLICT, "the address pool %s overlaps this machine's route to %s (%s)", pool, other,
			  if_indextoname(route->index, link) ? link : "no link");
		return error_hint(err, "give the Site another addressPool, such as 10.201.0.0/16");
	}
	return 0;
}

static int prepare_router(void *arg, struct error *err)
{
	static const struct { const char *name, *value; } settings[] = {
		{ "ipv4/ip_forward", "1" },
		{ "ipv4/conf/all/rp_filter", "1" },		/* a source that is not behind the link it came from is dropped */
		{ "ipv4/conf/default/rp_filter", "1" },
		{ "ipv4/conf/all/send_redirects", "0" },
		{ "ipv4/conf/default/send_redirects", "0" },
		{ "ipv4/conf/all/accept_redirects", "0" },
		{ "ipv4/conf/default/accept_redirects", "0" },
		{ "ipv4/conf/all/accept_source_route", "0" },
		{ "ipv4/conf/all/arp_ignore", "1" },		/* a tenant's bridge answers for its own gateway only */
		{ "ipv4/conf/all/arp_announce", "2" },
	};

	static const char *const bridge_settings[] = { "bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables", "bridge/bridge-nf-call-arptables" };

	(void)arg;
	if (netns_disable_ipv6(err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		if (netns_sysctl(settings[i].name, settings[i].value, err) < 0)
			return -1;
	/* bridged frames need no second way through the IP rules; these hold with it and without it, so a kernel that refuses does no harm */
	for (size_t i = 0; i < ARRAY_LEN(bridge_settings); i++) {
		struct error ignored;

		if (netns_sysctl(bridge_settings[i], "0", &ignored) < 0)
			break;
	}
	return 0;
}

/* Both ends, or neither: half of a pair is a stranger's. */
static int ensure_pair(struct netlink *host, struct netlink *inner, int netns, const struct router *router, struct link_state *ret_host,
		       struct link_state *ret_inner, struct error *err)
{
	struct veth_end near = { .name = router->uplink }, far = { .name = router->inner_link };
	bool has_host, has_inner;
	struct error absent;

	has_host = netlink_link_get(host, router->uplink, ret_host, &absent) == 0;
	has_inner = netlink_link_get(inner, router->inner_link, ret_inner, &absent) == 0;
	if (has_host && has_inner)
		return 0;
	if (has_host && netlink_link_remove(host, router->uplink, err) < 0)
		return -1;
	if (has_inner && netlink_link_remove(inner, router->inner_link, err) < 0)
		return -1;
	address_mac(&router->host.address, near.mac);
	address_mac(&router->inner.address, far.mac);
	if (netlink_veth_create(host, &near, 0, netns, &far, router->mtu, err) < 0 || netlink_link_get(host, router->uplink, ret_host, err) < 0)
		return -1;
	return netlink_link_get(inner, router->inner_link, ret_inner, err);
}

static int prepare_uplink(const struct router *router, struct error *err)
{
	static const struct { const char *family, *name, *value; } settings[] = {
		{ "ipv6", "disable_ipv6", "1" },
		{ "ipv4", "rp_filter", "1" },
		{ "ipv4", "send_redirects", "0" },
		{ "ipv4", "accept_redirects", "0" },
		{ "ipv4", "arp_ignore", "1" },
	};

	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		autofree char *name = xasprintf("%s/conf/%s/%s", settings[i].family, router->uplink, settings[i].name);

		if (netns_sysctl(name, settings[i].value, err) < 0)
			return -1;
	}
	return 0;
}

static int ensure_uplink(struct site *site, struct netlink *host, int netns, const struct router *router, struct error *err)
{
	autonetlink struct netlink *inner = NULL;
	struct link_state near, far;
	struct link_change change = { .mtu = router->mtu, .up = true };
	struct prefix everything = { .address = { .family = AF_INET } };
	char alias[LINK_ALIAS];

	link_alias(site, "host/router", alias);
	change.alias = alias;
	if (netlink_open(netns, &inner, err) < 0 || ensure_pair(host, inner, netns, router, &near, &far, err) < 0)
		return -1;
	if (prepare_uplink(router, err) < 0)
		return -1;
	if (netlink_address_set(host, near.index, &router->host.address, router->host.length, err) < 0 ||
	    netlink_link_change(host, near.index, &change, err) < 0 ||
	    netlink_address_set(inner, far.index, &router->inner.address, router->inner.length, err) < 0 ||
	    netlink_link_change(inner, far.index, &change, err) < 0 ||
	    netlink_route_set(inner, &everything, &router->host.address, far.index, err) < 0)
		return -1;
	return netlink_route_set(host, &router->pool, &router->inner.address, near.index, err);
}

static int router_create(struct site *site, struct resource *resource, struct error *err)
{
	autofree char *path = router_path(site);
	autonetlink struct netlink *host = NULL;
	autofd int netns = -1;
	struct router router;

	if (router_decode(site, resource->body, &router, err) < 0 || local_mark_write(site, MARK_UNTIL_REBOOT, resource, err) < 0 ||
	    netlink_open(NETNS_HERE, &host, err) < 0 || check_pool(host, &router, err) < 0 || netns_create(path, prepare_router, NULL, &netns, err) < 0 ||
	    ensure_uplink(site, host, netns, &router, err) < 0)
		return error_wrap(err, "router");
	resource_set_id(resource, router.uplink);
	return 0;
}

static int router_update(struct site *site, const struct resource *from, struct resource *to, struct error *err)
{
	(void)from;
	return router_create(site, to, err);
}

/* What is on the host's end: into the body. */
static int read_host_end(struct netlink *host, const struct router *router, json_t *body, struct error *err)
{
	CLEANUP(link_addresses_clear) struct link_addresses addresses = { 0 };
	CLEANUP(routes_clear) struct routes routes = { 0 };
	struct link_state link;
	char text[PREFIX_TEXT];

	if (netlink_link_get(host, router->uplink, &link, err) < 0)
		return -1;
	json_set_int(body, "mtu", link.mtu);
	if (netlink_addresses(host, &addresses, err) < 0 || netlink_routes(host, &routes, err) < 0)
		return -1;
	vec_each(&addresses, a)
		if (a->index == link.index)
			body_set_interface(body, "hostAddress", &a->address, a->length);
	vec_each(&routes, route) {
		if (route->index == link.index && route->table == RT_TABLE_MAIN && route->gateway.family) {
			prefix_format(&route->to, text);
			json_set_string(body, "pool", text);
		}
	}
	return 0;
}

static int read_inner_end(const struct site *site, const struct router *router, json_t *body, struct error *err)
{
	CLEANUP(link_addresses_clear) struct link_addresses addresses = { 0 };
	autonetlink struct netlink *inner = NULL;
	struct link_state link;

	if (router_open(site, &inner, NULL, err) < 0 || netlink_link_get(inner, router->inner_link, &link, err) < 0 ||
	    netlink_addresses(inner, &addresses, err) < 0)
		return -1;
	if (link.mtu != (uint32_t)json_get_int(body, "mtu", 0))
		json_set_int(body, "mtu", link.mtu);
	vec_each(&addresses, a)
		if (a->index == link.index)
			body_set_interface(body, "address", &a->address, a->length);
	return 0;
}

/* The machine does not hold them; the mark does. */
static int read_decisions(struct site *site, json_t *body, struct error *err)
{
	autoresource struct resource *mark = NULL;
	json_t *decisions;

	if (local_mark_read(site, MARK_UNTIL_REBOOT, "host/router", &mark, err) < 0)
		return err->code == ERROR_NOT_FOUND ? 0 : -1;
	decisions = json_object_get(mark->body, "decisions");
	if (decisions)
		json_object_set(body, "decisions", decisions);
	return 0;
}

/* NULL when nothing of it exists; what is half there has a body with holes. */
static int router_read(struct site *site, struct resource **ret, struct error *err)
{
	autonetlink struct netlink *host = NULL;
	autojson json_t *body = json_object();
	struct router router = { 0 };
	bool any = false;

	router_links(site, &router);
	if (netlink_open(NETNS_HERE, &host, err) < 0)
		return -1;
	if (read_host_end(host, &router, body, err) == 0)
		any = true;
	else if (err->code != ERROR_NOT_FOUND)
		return -1;
	if (read_inner_end(site, &router, body, err) == 0) {
		any = true;
	} else if (err->code == ERROR_NOT_FOUND) {
		autofree char *path = router_path(site);

		any = any || netns_exists(path);
	} else {
		return -1;
	}
	if (any && read_decisions(site, body, err) < 0)
		return -1;
	*ret = any ? network_resource(site, "router", "host/router", router.uplink, steal(&body)) : NULL;
	return 0;
}

static int router_list(struct site *site, resource_sink sink, void *arg, struct error *err)
{
	struct resource *router;

	if (router_read(site, &router, err) < 0)
		return error_wrap(err, "router");
	return router ? sink(arg, router) : 0;
}

static int router_get(struct site *site, struct resource *resource, struct error *err)
{
	autoresource struct resource *live = NULL;

	if (router_read(site, &live, err) < 0)
		return error_wrap(err, "router");
	if (!live)
		return error_set(err, ERROR_NOT_FOUND, "there is no router");
	json_decref(resource->body);
	resource->body = json_incref(live->body);
	resource_set_id(resource, live->id);
	return 0;
}

static int router_remove(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	autofree char *path = router_path(site);
	autonetlink struct netlink *host = NULL;
	struct router router;

	(void)resource;
	(void)delete_data;
	router_links(site, &router);
	if (netlink_open(NETNS_HERE, &host, err) < 0 || netlink_link_remove(host, router.uplink, err) < 0 || netns_remove(path, err) < 0 ||
	    local_mark_remove(site, MARK_UNTIL_REBOOT, "host/router", err) < 0)
		return error_wrap(err, "router");
	return 0;
}

static int router_sweep(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	autofree char *path = router_path(site);
	autonetlink struct netlink *host = NULL;
	struct router router;
	struct link_state link;

	if (tenant)
		return 0;
	router_links(site, &router);
	if (netlink_open(NETNS_HERE, &host, err) < 0)
		return -1;
	if (netlink_link_get(host, router.uplink, &link, err) == 0)
		json_add(ret, json_sprintf("link %s on the host", router.uplink));
	else if (err->code != ERROR_NOT_FOUND)
		return -1;
	if (netns_exists(path))
		json_add(ret, json_sprintf("network namespace %s", path));
	return 0;
}

const struct local_kind local_router = {
	.name = "router",
	.list = router_list,
	.get = router_get,
	.create = router_create,
	.update = router_update,
	.remove = router_remove,
	.sweep = router_sweep,
};
