/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/network/network.h"

/* <tenant>/network: the tenant's bridge in our router, with the gateway's address. */

struct bridge { char link[LINK_NAME]; struct interface gateway; uint32_t mtu; };

static int bridge_decode(const json_t *body, struct bridge *ret, struct error *err)
{
	if (body_link(body, "link", ret->link, err) < 0 || body_interface(body, "address", &ret->gateway, err) < 0 ||
	    body_mtu(body, "mtu", &ret->mtu, err) < 0)
		return -1;
	return 0;
}

static int bridge_ensure(struct site *site, const char *key, const json_t *body, struct error *err)
{
	autonetlink struct netlink *netlink = NULL;
	struct bridge bridge;
	struct link_state link;
	char alias[LINK_ALIAS];
	uint8_t mac[6];
	struct link_change change = { .alias = alias, .up = true };

	if (bridge_decode(body, &bridge, err) < 0 || router_open(site, &netlink, NULL, err) < 0)
		return -1;
	/* an own address: else a bridge takes that of a port, and the gateway's would change while instances come and go */
	address_mac(&bridge.gateway.address, mac);
	if (netlink_link_get(netlink, bridge.link, &link, err) < 0) {
		if (err->code != ERROR_NOT_FOUND || netlink_bridge_create(netlink, bridge.link, mac, bridge.mtu, err) < 0 ||
		    netlink_link_get(netlink, bridge.link, &link, err) < 0)
			return -1;
	}
	link_alias(site, key, alias);
	change.mac = memcmp(mac, link.mac, 6) == 0 ? NULL : mac;
	change.mtu = link.mtu == bridge.mtu ? 0 : bridge.mtu;
	if (netlink_link_change(netlink, link.index, &change, err) < 0)
		return -1;
	return netlink_address_set(netlink, link.index, &bridge.gateway.address, bridge.gateway.length, err);
}

static int bridge_create(struct site *site, struct resource *resource, struct error *err)
{
	if (bridge_ensure(site, resource->key, resource->body, err) < 0)
		return error_wrap(err, "%s", resource->key);
	resource_set_id(resource, json_get_string(resource->body, "link", NULL));
	return 0;
}

/* An address that moves to another network takes the link's old one away; a link of another name is another link. */
static int bridge_update(struct site *site, const struct resource *from, struct resource *to, struct error *err)
{
	(void)from;
	return bridge_create(site, to, err);
}

static json_t *bridge_body(const struct link_state *link, const struct link_addresses *addresses)
{
	json_t *body = json_object();

	json_set_string(body, "link", link->name);
	json_set_int(body, "mtu", link->mtu);
	vec_each(addresses, a)
		if (a->index == link->index)
			body_set_interface(body, "address", &a->address, a->length);
	return body;
}

static int bridge_list(struct site *site, resource_sink sink, void *arg, struct error *err)
{
	CLEANUP(link_addresses_clear) struct link_addresses addresses = { 0 };
	CLEANUP(link_states_clear) struct link_states links = { 0 };
	autonetlink struct netlink *netlink = NULL;

	if (router_open(site, &netlink, NULL, err) < 0)
		return err->code == ERROR_NOT_FOUND ? 0 : error_wrap(err, "bridges");
	if (netlink_links(netlink, &links, err) < 0 || netlink_addresses(netlink, &addresses, err) < 0)
		return error_wrap(err, "bridges");
	vec_each(&links, link) {
		const char *key = link_alias_key(site, link->alias);
		int stopped;

		if (!key || !streq(link->kind, "bridge"))
			continue;
		stopped = sink(arg, network_resource(site, "bridge", key, link->name, bridge_body(link, &addresses)));
		if (stopped)
			return stopped;
	}
	return 0;
}

static int bridge_get(struct site *site, struct resource *resource, struct error *err)
{
	CLEANUP(link_addresses_clear) struct link_addresses addresses = { 0 };
	autonetlink struct netlink *netlink = NULL;
	char name[LINK_NAME];
	struct link_state link;

	local_link_name(site->config->deployment, LINK_BRIDGE, resource->key, name);
	if (router_open(site, &netlink, NULL, err) < 0 || netlink_link_get(netlink, name, &link, err) < 0 ||
	    netlink_addresses(netlink, &addresses, err) < 0)
		return error_wrap(err, "%s", resource->key);
	json_decref(resource->body);
	resource->body = bridge_body(&link, &addresses);
	resource_set_id(resource, link.name);
	return 0;
}

static int bridge_remove(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	autonetlink struct netlink *netlink = NULL;
	char name[LINK_NAME];

	(void)delete_data;
	local_link_name(site->config->deployment, LINK_BRIDGE, resource->key, name);
	/* without a router there is no bridge */
	if (router_open(site, &netlink, NULL, err) < 0)
		return err->code == ERROR_NOT_FOUND ? 0 : error_wrap(err, "%s", resource->key);
	if (netlink_link_remove(netlink, name, err) < 0)
		return error_wrap(err, "%s", resource->key);
	return 0;
}

static int bridge_sweep(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	CLEANUP(link_states_clear) struct link_states links = { 0 };
	autonetlink struct netlink *netlink = NULL;
	char name[LINK_NAME] = "";

	if (router_open(site, &netlink, NULL, err) < 0)
		return err->code == ERROR_NOT_FOUND ? 0 : -1;
	if (netlink_links(netlink, &links, err) < 0)
		return -1;
	if (tenant) {
		autofree char *key = xasprintf("%s/network", tenant);

		local_link_name(site->config->deployment, LINK_BRIDGE, key, name);
	}
	vec_each(&links, link)
		if (streq(link->kind, "bridge") && (!tenant || streq(link->name, name)))
			json_add(ret, json_sprintf("bridge %s in the router", link->name));
	return 0;
}

const struct local_kind local_bridge = {
	.name = "bridge",
	.list = bridge_list,
	.get = bridge_get,
	.create = bridge_create,
	.update = bridge_update,
	.remove = bridge_remove,
	.sweep = bridge_sweep,
};
