/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdlib.h>

#include "netlink_private.h"

static int address_read(void *arg, const struct nlmsghdr *header, struct error *err)
{
	struct link_addresses *addresses = arg;
	struct nlattr *attributes[IFA_MAX + 1] = { 0 };
	const struct ifaddrmsg *message = NLMSG_DATA(header);
	struct link_address *address;
	struct nlattr *local;

	if (header->nlmsg_type != RTM_NEWADDR || message->ifa_family != AF_INET)
		return 0;
	if (nlmsg_parse((struct nlmsghdr *)header, sizeof(*message), attributes, IFA_MAX, NULL) < 0)
		return error_set(err, ERROR_FAILED, "the kernel describes an address in a way that is not understood");
	local = attributes[IFA_LOCAL] ? attributes[IFA_LOCAL] : attributes[IFA_ADDRESS];
	if (!local || nla_len(local) != 4)
		return 0;
	address = vec_add(addresses);
	address->index = message->ifa_index;
	address->length = message->ifa_prefixlen;
	address->address.family = AF_INET;
	memcpy(address->address.bytes, nla_data(local), 4);
	return 0;
}

static void addresses_restart(void *arg)
{
	((struct link_addresses *)arg)->n = 0;
}

int netlink_addresses(struct netlink *netlink, struct link_addresses *ret, struct error *err)
{
	struct ifaddrmsg header = { .ifa_family = AF_INET };
	struct link_addresses addresses = { 0 };
	struct netlink_dump_reader reader = { address_read, addresses_restart, &addresses };

	if (netlink_dump(netlink, RTM_GETADDR, &header, sizeof(header), &reader, err) < 0) {
		vec_clear(&addresses);
		return error_wrap(err, "cannot list addresses");
	}
	*ret = addresses;
	return 0;
}

static int address_change(struct netlink *netlink, uint16_t type, uint16_t flags, const struct link_address *address, int tolerated, struct error *err)
{
	struct ifaddrmsg header = { .ifa_family = AF_INET, .ifa_prefixlen = address->length, .ifa_index = address->index };
	struct nl_msg *message = netlink_message(type, flags, &header, sizeof(header));
	uint32_t broadcast;
	int errnum;

	netlink_put(message, IFA_LOCAL, address->address.bytes, 4);
	netlink_put(message, IFA_ADDRESS, address->address.bytes, 4);
	if (type == RTM_NEWADDR && address->length <= 30) {
		memcpy(&broadcast, address->address.bytes, 4);
		broadcast |= htonl((1u << (32 - address->length)) - 1);
		netlink_put_u32(message, IFA_BROADCAST, broadcast);
	}
	if (netlink_request(netlink, message, NULL, NULL, &errnum, err) < 0 && errnum != tolerated)
		return -1;
	return 0;
}

int netlink_address_set(struct netlink *netlink, uint32_t index, const struct address *address, uint8_t length, struct error *err)
{
	CLEANUP(link_addresses_clear) struct link_addresses addresses = { 0 };
	struct link_address wanted = { index, *address, length };
	bool there = false;

	if (netlink_addresses(netlink, &addresses, err) < 0)
		return -1;
	vec_each(&addresses, a) {
		if (a->index != index)
			continue;
		if (a->length == length && address_equal(&a->address, address))
			there = true;
		else if (address_change(netlink, RTM_DELADDR, 0, a, EADDRNOTAVAIL, err) < 0)
			return error_wrap(err, "cannot remove an address of link %u", index);
	}
	if (!there && address_change(netlink, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &wanted, EEXIST, err) < 0) {
		char text[ADDRESS_TEXT];

		address_format(address, text);
		return error_wrap(err, "cannot give link %u the address %s/%u", index, text, length);
	}
	return 0;
}

static int route_read(void *arg, const struct nlmsghdr *header, struct error *err)
{
	struct routes *routes = arg;
	struct nlattr *attributes[RTA_MAX + 1] = { 0 };
	const struct rtmsg *message = NLMSG_DATA(header);
	struct route *route;

	if (header->nlmsg_type != RTM_NEWROUTE || message->rtm_family != AF_INET || message->rtm_flags & RTM_F_CLONED)
		return 0;
	if (nlmsg_parse((struct nlmsghdr *)header, sizeof(*message), attributes, RTA_MAX, NULL) < 0)
		return error_set(err, ERROR_FAILED, "the kernel describes a route in a way that is not understood");
	route = vec_add(routes);
	route->type = message->rtm_type;
	route->table = attributes[RTA_TABLE] ? nla_get_u32(attributes[RTA_TABLE]) : message->rtm_table;
	route->to.length = message->rtm_dst_len;
	route->to.address.family = AF_INET;
	if (attributes[RTA_DST] && nla_len(attributes[RTA_DST]) == 4)
		memcpy(route->to.address.bytes, nla_data(attributes[RTA_DST]), 4);
	if (attributes[RTA_GATEWAY] && nla_len(attributes[RTA_GATEWAY]) == 4) {
		route->gateway.family = AF_INET;
		memcpy(route->gateway.bytes, nla_data(attributes[RTA_GATEWAY]), 4);
	}
	if (attributes[RTA_OIF])
		route->index = nla_get_u32(attributes[RTA_OIF]);
	return 0;
}

static void routes_restart(void *arg)
{
	((struct routes *)arg)->n = 0;
}

int netlink_routes(struct netlink *netlink, struct routes *ret, struct error *err)
{
	struct rtmsg header = { .rtm_family = AF_INET };
	struct routes routes = { 0 };
	struct netlink_dump_reader reader = { route_read, routes_restart, &routes };

	if (netlink_dump(netlink, RTM_GETROUTE, &header, sizeof(header), &reader, err) < 0) {
		vec_clear(&routes);
		return error_wrap(err, "cannot list routes");
	}
	*ret = routes;
	return 0;
}

int netlink_route_set(struct netlink *netlink, const struct prefix *to, const struct address *gateway, uint32_t index, struct error *err)
{
	struct rtmsg header = {
		.rtm_family = AF_INET, .rtm_dst_len = to->length, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST,
	};
	struct nl_msg *message = netlink_message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof(header));

	if (to->length)
		netlink_put(message, RTA_DST, to->address.bytes, 4);
	netlink_put(message, RTA_GATEWAY, gateway->bytes, 4);
	netlink_put_u32(message, RTA_OIF, index);
	if (netlink_request(netlink, message, NULL, NULL, NULL, err) < 0) {
		char text[PREFIX_TEXT];

		prefix_format(to, text);
		return error_wrap(err, "cannot set the route to %s", text);
	}
	return 0;
}
