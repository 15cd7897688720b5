/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include "base/fs.h"
#include "site/local/network/netlink.h"
#include "site/local/network/netns.h"

#include <linux/rtnetlink.h>

struct network {
	struct link_states links;
	struct link_addresses addresses;
	struct routes routes;
	char uplink[16];		/* our own, on the host */
};

static void network_clear(struct network *network)
{
	vec_clear(&network->links);
	vec_clear(&network->addresses);
	vec_clear(&network->routes);
}

static const struct link_state *link_by_index(const struct network *network, uint32_t index)
{
	vec_each(&network->links, link)
		if (link->index == index)
			return link;
	return NULL;
}

/* The uplink of this deployment is not in its own way. */
static bool link_is_own(const struct network *network, uint32_t index)
{
	const struct link_state *link = link_by_index(network, index);

	return link && streq(link->name, network->uplink);
}

static json_t *link_addresses_of(const struct network *network, uint32_t index)
{
	json_t *list = json_array();

	vec_each(&network->addresses, address) {
		char text[ADDRESS_TEXT];

		if (address->index != index)
			continue;
		address_format(&address->address, text);
		json_add(list, json_sprintf("%s/%u", text, address->length));
	}
	return list;
}

static void uplink_add(const struct network *network, json_t *facts)
{
	vec_each(&network->routes, route) {
		const struct link_state *link = link_by_index(network, route->index);

		if (route->to.length != 0 || route->table != RT_TABLE_MAIN || route->type != RTN_UNICAST || !link)
			continue;
		json_set(facts, "uplink", json_pack("{s:s, s:i, s:o}", "link", link->name, "mtu", (int)link->mtu,
						    "addresses", link_addresses_of(network, link->index)));
		return;
	}
}

static void busy_add(const struct network *network, json_t *facts)
{
	json_t *busy = json_array(), *addresses = json_array();

	json_set(facts, "busy", busy);
	json_set(facts, "addresses", addresses);
	vec_each(&network->routes, route) {
		const struct link_state *link = link_by_index(network, route->index);
		char text[PREFIX_TEXT];

		if (route->to.length == 0 || route->table == RT_TABLE_LOCAL || link_is_own(network, route->index))
			continue;
		prefix_format(&route->to, text);
		json_add(busy, json_pack("{s:s, s:o}", "prefix", text, "by", json_sprintf("route via %s", link ? link->name : "no link")));
	}
	vec_each(&network->addresses, address) {
		const struct link_state *link = link_by_index(network, address->index);
		struct prefix prefix = prefix_of(&address->address, address->length);
		char text[PREFIX_TEXT];

		if (!link || link_is_own(network, address->index))
			continue;
		address_format(&address->address, text);
		json_add(addresses, json_pack("{s:s, s:s}", "address", text, "link", link->name));
		prefix_format(&prefix, text);
		json_add(busy, json_pack("{s:s, s:o}", "prefix", text, "by", json_sprintf("address of %s", link->name)));
	}
}

static bool sysctl_is_on(const char *path)
{
	struct error ignored;
	int64_t value;

	return fs_read_int(path, &value, &ignored) == 0 && value != 0;
}

/* "nameserver ADDRESS" lines (resolv.conf(5)) that are not of this machine itself. */
static void resolvers_read(const char *path, json_t *resolvers)
{
	autofree char *text = NULL;
	char *rest, *line;
	struct error ignored;

	if (fs_read_file(path, 1 << 16, &text, NULL, &ignored) < 0)
		return;
	for (rest = text; (line = strsep(&rest, "\n"));) {
		char address_text[ADDRESS_TEXT];
		struct address address;

		if (!starts_with(line, "nameserver"))
			continue;
		line += strlen("nameserver");
		line += strspn(line, " \t");
		line[strcspn(line, " \t#;%")] = '\0';
		if (address_parse(line, &address, &ignored) < 0 || address_class(&address) == ADDRESS_LOOPBACK)
			continue;
		address_format(&address, address_text);
		json_add(resolvers, json_text(address_text));
	}
}

/* Behind a resolver on the loopback (127.0.0.53) systemd tells the real ones in a file of its own. */
static void resolvers_add(json_t *facts)
{
	json_t *resolvers = json_array();

	json_set(facts, "resolvers", resolvers);
	resolvers_read("/etc/resolv.conf", resolvers);
	if (!json_array_size(resolvers))
		resolvers_read("/run/systemd/resolve/resolv.conf", resolvers);
}

int probe_network(const struct site_config *config, json_t *facts, struct error *err)
{
	struct network network CLEANUP(network_clear) = { 0 };
	autonetlink struct netlink *netlink = NULL;

	local_link_name(config->deployment, LINK_UPLINK_HOST, "host/router", network.uplink);
	if (netlink_open(NETNS_HERE, &netlink, err) < 0 || netlink_links(netlink, &network.links, err) < 0 ||
	    netlink_addresses(netlink, &network.addresses, err) < 0 || netlink_routes(netlink, &network.routes, err) < 0)
		return error_wrap(err, "cannot look at the network");
	uplink_add(&network, facts);
	busy_add(&network, facts);
	json_set_bool(facts, "ipForward", sysctl_is_on("/proc/sys/net/ipv4/ip_forward"));
	json_set_bool(facts, "bridgeFilter", sysctl_is_on("/proc/sys/net/bridge/bridge-nf-call-iptables"));
	resolvers_add(facts);
	return 0;
}
