/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdlib.h>

#include "netlink_private.h"

/*
 * How it works: a rule that is taken away stops first packets only; what the kernel tracks as
 * established goes on. So the table of connections is read whole, and what may no longer be is
 * named back to the kernel by the very attributes it was described with.
 */

struct doomed { char *tuple; uint16_t tuple_n; uint32_t id; bool has_id; uint16_t zone; };
struct reading {
	bool (*ends)(void *arg, const struct connection *connection);
	void *arg;
	VEC(struct doomed) doomed;
};

static bool read_tuple(struct nlattr *nest, struct address *ret_from, struct address *ret_to, uint8_t *ret_protocol,
		       uint16_t *ret_from_port, uint16_t *ret_to_port)
{
	struct nlattr *tuple[CTA_TUPLE_MAX + 1] = { 0 }, *ip[CTA_IP_MAX + 1] = { 0 }, *proto[CTA_PROTO_MAX + 1] = { 0 };

	if (nla_parse_nested(tuple, CTA_TUPLE_MAX, nest, NULL) < 0 || !tuple[CTA_TUPLE_IP] || !tuple[CTA_TUPLE_PROTO] ||
	    nla_parse_nested(ip, CTA_IP_MAX, tuple[CTA_TUPLE_IP], NULL) < 0 || !ip[CTA_IP_V4_SRC] || !ip[CTA_IP_V4_DST] ||
	    nla_parse_nested(proto, CTA_PROTO_MAX, tuple[CTA_TUPLE_PROTO], NULL) < 0 || !proto[CTA_PROTO_NUM])
		return false;
	*ret_from = (struct address){ .family = AF_INET };
	*ret_to = (struct address){ .family = AF_INET };
	memcpy(ret_from->bytes, nla_data(ip[CTA_IP_V4_SRC]), 4);
	memcpy(ret_to->bytes, nla_data(ip[CTA_IP_V4_DST]), 4);
	*ret_protocol = nla_get_u8(proto[CTA_PROTO_NUM]);
	*ret_from_port = proto[CTA_PROTO_SRC_PORT] ? ntohs(nla_get_u16(proto[CTA_PROTO_SRC_PORT])) : 0;
	*ret_to_port = proto[CTA_PROTO_DST_PORT] ? ntohs(nla_get_u16(proto[CTA_PROTO_DST_PORT])) : 0;
	return true;
}

static int connection_read(void *arg, const struct nlmsghdr *header, struct error *err)
{
	struct reading *reading = arg;
	struct nlattr *attributes[CTA_MAX + 1] = { 0 };
	struct connection c = { 0 };
	struct doomed *doomed;
	struct address back_to;
	uint16_t back_port;
	uint8_t back_protocol;

	if (nlmsg_parse((struct nlmsghdr *)header, sizeof(struct nfgenmsg), attributes, CTA_MAX, NULL) < 0 ||
	    !attributes[CTA_TUPLE_ORIG] || !attributes[CTA_TUPLE_REPLY] ||
	    !read_tuple(attributes[CTA_TUPLE_ORIG], &c.from, &c.to, &c.protocol, &c.from_port, &c.to_port) ||
	    !read_tuple(attributes[CTA_TUPLE_REPLY], &c.answers_from, &back_to, &back_protocol, &c.answers_from_port, &back_port))
		return 0;
	if (!reading->ends(reading->arg, &c))
		return 0;
	doomed = vec_add(&reading->doomed);
	doomed->tuple_n = (uint16_t)nla_len(attributes[CTA_TUPLE_ORIG]);
	doomed->tuple = xmalloc(doomed->tuple_n);
	memcpy(doomed->tuple, nla_data(attributes[CTA_TUPLE_ORIG]), doomed->tuple_n);
	doomed->has_id = attributes[CTA_ID];
	if (doomed->has_id)
		doomed->id = nla_get_u32(attributes[CTA_ID]);
	if (attributes[CTA_ZONE])
		doomed->zone = nla_get_u16(attributes[CTA_ZONE]);
	return 0;
}

static void reading_restart(void *arg)
{
	struct reading *reading = arg;

	vec_each(&reading->doomed, d)
		free(d->tuple);
	reading->doomed.n = 0;
}

static void reading_clear(struct reading *reading)
{
	reading_restart(reading);
	vec_clear(&reading->doomed);
}

static int connection_delete(struct netlink *netlink, const struct doomed *doomed, struct error *err)
{
	struct nfgenmsg header = { .nfgen_family = AF_INET, .version = NFNETLINK_V0 };
	struct nl_msg *message = netlink_message(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, 0, &header, sizeof(header));
	int errnum;

	netlink_put(message, CTA_TUPLE_ORIG | NLA_F_NESTED, doomed->tuple, doomed->tuple_n);
	if (doomed->zone)
		netlink_put(message, CTA_ZONE, &doomed->zone, sizeof(doomed->zone));
	/* with its id, so that a new connection with the same words is left alone */
	if (doomed->has_id)
		netlink_put_u32(message, CTA_ID, doomed->id);
	if (netlink_request(netlink, message, NULL, NULL, &errnum, err) < 0 && errnum != ENOENT)
		return error_wrap(err, "cannot end a tracked connection");
	return 0;
}

int netlink_connections_cut(int netns, bool (*ends)(void *arg, const struct connection *connection), void *arg, size_t *ret_n, struct error *err)
{
	struct nfgenmsg header = { .nfgen_family = AF_INET, .version = NFNETLINK_V0 };
	CLEANUP(reading_clear) struct reading reading = { .ends = ends, .arg = arg };
	struct netlink_dump_reader reader = { connection_read, reading_restart, &reading };
	autonetlink struct netlink *netlink = NULL;

	if (netlink_open_protocol(netns, NETLINK_NETFILTER, &netlink, err) < 0)
		return -1;
	if (netlink_dump(netlink, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, &header, sizeof(header), &reader, err) < 0)
		return error_wrap(err, "cannot list tracked connections");
	vec_each(&reading.doomed, doomed)
		if (connection_delete(netlink, doomed, err) < 0)
			return -1;
	if (ret_n)
		*ret_n = reading.doomed.n;
	return 0;
}
