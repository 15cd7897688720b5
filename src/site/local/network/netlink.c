/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink.h"

#include "netns.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netlink_private.h"

/*
 * How it works: messages are built and read with libnl's helpers; sending and receiving is done
 * here, because the kernel's own words about a failure (the extended acknowledgement) are
 * wanted, and libnl drops them. Each request asks for an acknowledgement and waits for it, so a
 * socket never holds an answer of an older request.
 */

#define RECEIVE_SIZE 65536	/* the kernel's dumps use at most 32 KiB a message */
#define DUMP_ATTEMPTS 20

struct netlink {
	int fd;
	uint32_t sequence;
	char *buffer;
};

struct socket_job { int protocol, fd; };

static int socket_open(void *arg, struct error *err)
{
	struct socket_job *job = arg;

	job->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, job->protocol);
	if (job->fd < 0)
		return error_set_errno(err, errno, "cannot open a netlink socket");
	return 0;
}

int netlink_open_protocol(int netns, int protocol, struct netlink **ret, struct error *err)
{
	struct socket_job job = { protocol, -1 };
	struct netlink *netlink;
	int one = 1;

	if ((netns == NETNS_HERE ? socket_open(&job, err) : netns_run(netns, socket_open, &job, err)) < 0)
		return -1;
	/* older kernels have neither: then errors say less */
	setsockopt(job.fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(job.fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	netlink = xcalloc(1, sizeof(*netlink));
	netlink->fd = job.fd;
	netlink->buffer = xmalloc(RECEIVE_SIZE);
	*ret = netlink;
	return 0;
}

int netlink_open(int netns, struct netlink **ret, struct error *err)
{
	return netlink_open_protocol(netns, NETLINK_ROUTE, ret, err);
}

void netlink_close(struct netlink *netlink)
{
	if (!netlink)
		return;
	close(netlink->fd);
	free(netlink->buffer);
	free(netlink);
}

void netlink_close_pp(struct netlink **netlink)
{
	netlink_close(*netlink);
}

/* Building: a message that does not fit is a fault of ours. */

struct nl_msg *netlink_message(uint16_t type, uint16_t flags, const void *header, size_t header_n)
{
	struct nl_msg *message = nlmsg_alloc_simple(type, flags);

	if (!message || nlmsg_append(message, (void *)header, header_n, NLMSG_ALIGNTO) < 0)
		BUG("no memory for a netlink message");
	return message;
}

void netlink_put(struct nl_msg *message, int attribute, const void *data, size_t n)
{
	if (nla_put(message, attribute, (int)n, data) < 0)
		BUG("a netlink message is too small for attribute %d", attribute);
}

void netlink_put_u32(struct nl_msg *message, int attribute, uint32_t value)
{
	netlink_put(message, attribute, &value, sizeof(value));
}

void netlink_put_string(struct nl_msg *message, int attribute, const char *text)
{
	netlink_put(message, attribute, text, strlen(text) + 1);
}

struct nlattr *netlink_nest(struct nl_msg *message, int attribute)
{
	struct nlattr *nest = nla_nest_start(message, attribute);

	if (!nest)
		BUG("a netlink message is too small for attribute %d", attribute);
	return nest;
}

/* The kernel's words about an error, or NULL. */
static const char *acknowledgement_text(const struct nlmsghdr *header)
{
	struct nlattr *attributes[NLMSGERR_ATTR_MAX + 1] = { 0 };
	const struct nlmsgerr *error = NLMSG_DATA(header);
	size_t skip = sizeof(*error);

	if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(header->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_ALIGN(error->msg.nlmsg_len) - sizeof(error->msg);
	if (header->nlmsg_len < NLMSG_HDRLEN + skip)
		return NULL;
	if (nla_parse(attributes, NLMSGERR_ATTR_MAX, (struct nlattr *)((char *)error + skip),
		      (int)(header->nlmsg_len - NLMSG_HDRLEN - skip), NULL) < 0 || !attributes[NLMSGERR_ATTR_MSG])
		return NULL;
	return nla_get_string(attributes[NLMSGERR_ATTR_MSG]);
}

static int acknowledged(const struct nlmsghdr *header, int *ret_errno, struct error *err)
{
	const struct nlmsgerr *error = NLMSG_DATA(header);
	const char *text;

	if (header->nlmsg_len < NLMSG_LENGTH(sizeof(*error)))
		return error_set(err, ERROR_FAILED, "a netlink answer is cut short");
	*ret_errno = -error->error;
	if (error->error == 0)
		return 0;
	text = acknowledgement_text(header);
	if (text)
		return error_set_errno(err, -error->error, "the kernel refuses (%s)", text);
	return error_set_errno(err, -error->error, "the kernel refuses");
}

/* One datagram; 1 when the request is answered in full. */
static int receive_some(struct netlink *netlink, netlink_reader reader, void *arg, int *ret_errno, struct error *err)
{
	ssize_t n = recv(netlink->fd, netlink->buffer, RECEIVE_SIZE, MSG_TRUNC);
	struct nlmsghdr *header = (struct nlmsghdr *)netlink->buffer;

	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0) {
		*ret_errno = errno;
		return error_set_errno(err, errno, "cannot read a netlink answer");
	}
	if (n > RECEIVE_SIZE)
		return error_set(err, ERROR_FAILED, "a netlink answer is too large (%zd bytes)", n);
	for (int left = (int)n; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
		if (header->nlmsg_seq != netlink->sequence)
			continue;
		if (header->nlmsg_flags & NLM_F_DUMP_INTR)
			*ret_errno = EINTR;
		if (header->nlmsg_type == NLMSG_DONE)
			return 1;
		if (header->nlmsg_type == NLMSG_ERROR)
			return acknowledged(header, ret_errno, err) < 0 ? -1 : 1;
		if (reader && reader(arg, header, err) < 0)
			return -1;
	}
	return 0;
}

int netlink_request(struct netlink *netlink, struct nl_msg *message, netlink_reader reader, void *arg, int *ret_errno, struct error *err)
{
	struct nlmsghdr *header = nlmsg_hdr(message);
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int done, errnum = 0;

	header->nlmsg_seq = ++netlink->sequence;
	header->nlmsg_pid = 0;
	header->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (sendto(netlink->fd, header, header->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
		done = error_set_errno(err, errno, "cannot send a netlink request");
	} else {
		do
			done = receive_some(netlink, reader, arg, &errnum, err);
		while (done == 0);
	}
	nlmsg_free(message);
	if (ret_errno)
		*ret_errno = errnum;
	return done < 0 ? -1 : 0;
}

int netlink_dump(struct netlink *netlink, uint16_t type, const void *header, size_t header_n, const struct netlink_dump_reader *reader, struct error *err)
{
	for (unsigned attempt = 1;; attempt++) {
		int errnum = 0;

		reader->restart(reader->arg);
		if (netlink_request(netlink, netlink_message(type, NLM_F_DUMP, header, header_n), reader->read, reader->arg, &errnum, err) < 0)
			return -1;
		if (errnum != EINTR)
			return 0;
		/* something changed while the kernel went through its table: what was read may have holes */
		if (attempt == DUMP_ATTEMPTS)
			return error_set(err, ERROR_FAILED, "the kernel's table changed in each of %d readings", DUMP_ATTEMPTS);
	}
}

/* Links */

static void link_info(struct nlattr *info, struct link_state *link)
{
	struct nlattr *attributes[IFLA_INFO_MAX + 1] = { 0 };

	if (nla_parse_nested(attributes, IFLA_INFO_MAX, info, NULL) == 0 && attributes[IFLA_INFO_KIND])
		nla_strlcpy(link->kind, attributes[IFLA_INFO_KIND], sizeof(link->kind));
}

static int link_read(const struct nlmsghdr *header, struct link_state *ret, struct error *err)
{
	struct nlattr *attributes[IFLA_MAX + 1] = { 0 };
	const struct ifinfomsg *message = NLMSG_DATA(header);
	struct link_state link = { 0 };

	if (nlmsg_parse((struct nlmsghdr *)header, sizeof(*message), attributes, IFLA_MAX, NULL) < 0 || !attributes[IFLA_IFNAME])
		return error_set(err, ERROR_FAILED, "the kernel describes a link in a way that is not understood");
	link.index = (uint32_t)message->ifi_index;
	link.up = message->ifi_flags & IFF_UP;
	nla_strlcpy(link.name, attributes[IFLA_IFNAME], sizeof(link.name));
	if (attributes[IFLA_IFALIAS])
		nla_strlcpy(link.alias, attributes[IFLA_IFALIAS], sizeof(link.alias));
	if (attributes[IFLA_MTU])
		link.mtu = nla_get_u32(attributes[IFLA_MTU]);
	if (attributes[IFLA_MASTER])
		link.master = nla_get_u32(attributes[IFLA_MASTER]);
	if (attributes[IFLA_ADDRESS] && nla_len(attributes[IFLA_ADDRESS]) == 6)
		memcpy(link.mac, nla_data(attributes[IFLA_ADDRESS]), 6);
	if (attributes[IFLA_LINKINFO])
		link_info(attributes[IFLA_LINKINFO], &link);
	*ret = link;
	return 0;
}

static int link_read_one(void *arg, const struct nlmsghdr *header, struct error *err)
{
	return header->nlmsg_type == RTM_NEWLINK ? link_read(header, arg, err) : 0;
}

int netlink_link_get(struct netlink *netlink, const char *name, struct link_state *ret, struct error *err)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	struct nl_msg *message = netlink_message(RTM_GETLINK, 0, &header, sizeof(header));
	struct link_state link = { 0 };
	int errnum;

	netlink_put_string(message, IFLA_IFNAME, name);
	if (netlink_request(netlink, message, link_read_one, &link, &errnum, err) < 0) {
		if (errnum == ENODEV)
			return error_set(err, ERROR_NOT_FOUND, "there is no link %s", name);
		return error_wrap(err, "link %s", name);
	}
	*ret = link;
	return 0;
}

static int links_add(void *arg, const struct nlmsghdr *header, struct error *err)
{
	struct link_states *links = arg;

	return header->nlmsg_type == RTM_NEWLINK ? link_read(header, vec_add(links), err) : 0;
}

static void links_restart(void *arg)
{
	((struct link_states *)arg)->n = 0;
}

int netlink_links(struct netlink *netlink, struct link_states *ret, struct error *err)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	struct link_states links = { 0 };
	struct netlink_dump_reader reader = { links_add, links_restart, &links };

	if (netlink_dump(netlink, RTM_GETLINK, &header, sizeof(header), &reader, err) < 0) {
		vec_clear(&links);
		return error_wrap(err, "cannot list links");
	}
	*ret = links;
	return 0;
}

int netlink_bridge_create(struct netlink *netlink, const char *name, const uint8_t mac[static 6], uint32_t mtu, struct error *err)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	struct nl_msg *message = netlink_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header));
	struct nlattr *info, *data;
	uint8_t off = 0;
	int errnum;

	netlink_put_string(message, IFLA_IFNAME, name);
	netlink_put(message, IFLA_ADDRESS, mac, 6);
	netlink_put_u32(message, IFLA_MTU, mtu);
	info = netlink_nest(message, IFLA_LINKINFO);
	netlink_put_string(message, IFLA_INFO_KIND, "bridge");
	data = netlink_nest(message, IFLA_INFO_DATA);
	netlink_put_u32(message, IFLA_BR_FORWARD_DELAY, 0);
	netlink_put_u32(message, IFLA_BR_STP_STATE, 0);
	netlink_put(message, IFLA_BR_MCAST_SNOOPING, &off, sizeof(off));
	nla_nest_end(message, data);
	nla_nest_end(message, info);
	if (netlink_request(netlink, message, NULL, NULL, &errnum, err) < 0 && errnum != EEXIST)
		return error_wrap(err, "cannot make the bridge %s", name);
	return 0;
}

static void put_veth_end(struct nl_msg *message, const struct veth_end *end, uint32_t mtu)
{
	netlink_put_string(message, IFLA_IFNAME, end->name);
	netlink_put(message, IFLA_ADDRESS, end->mac, 6);
	netlink_put_u32(message, IFLA_MTU, mtu);
}

int netlink_veth_create(struct netlink *netlink, const struct veth_end *near, uint32_t master, int netns, const struct veth_end *far,
			uint32_t mtu, struct error *err)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC }, peer_header = header;
	struct nl_msg *message = netlink_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header));
	struct nlattr *info, *data, *peer;

	put_veth_end(message, near, mtu);
	if (master)
		netlink_put_u32(message, IFLA_MASTER, master);
	info = netlink_nest(message, IFLA_LINKINFO);
	netlink_put_string(message, IFLA_INFO_KIND, "veth");
	data = netlink_nest(message, IFLA_INFO_DATA);
	peer = netlink_nest(message, VETH_INFO_PEER);
	if (nlmsg_append(message, &peer_header, sizeof(peer_header), NLMSG_ALIGNTO) < 0)
		BUG("a netlink message is too small for a veth pair");
	put_veth_end(message, far, mtu);
	netlink_put_u32(message, IFLA_NET_NS_FD, (uint32_t)netns);
	nla_nest_end(message, peer);
	nla_nest_end(message, data);
	nla_nest_end(message, info);
	if (netlink_request(netlink, message, NULL, NULL, NULL, err) < 0)
		return error_wrap(err, "cannot make the pair of links %s and %s", near->name, far->name);
	return 0;
}

int netlink_link_change(struct netlink *netlink, uint32_t index, const struct link_change *change, struct error *err)
{
	struct ifinfomsg header = {
		.ifi_family = AF_UNSPEC, .ifi_index = (int)index,
		.ifi_flags = change->up ? IFF_UP : 0, .ifi_change = change->up ? IFF_UP : 0,
	};
	struct nl_msg *message = netlink_message(RTM_SETLINK, 0, &header, sizeof(header));

	if (change->mac)
		netlink_put(message, IFLA_ADDRESS, change->mac, 6);
	if (change->mtu)
		netlink_put_u32(message, IFLA_MTU, change->mtu);
	if (change->alias)
		netlink_put(message, IFLA_IFALIAS, change->alias, strlen(change->alias));
	if (change->master)
		netlink_put_u32(message, IFLA_MASTER, change->master);
	if (netlink_request(netlink, message, NULL, NULL, NULL, err) < 0)
		return error_wrap(err, "cannot change link %u", index);
	return 0;
}

int netlink_link_remove(struct netlink *netlink, const char *name, struct error *err)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	struct nl_msg *message = netlink_message(RTM_DELLINK, 0, &header, sizeof(header));
	int errnum;

	netlink_put_string(message, IFLA_IFNAME, name);
	if (netlink_request(netlink, message, NULL, NULL, &errnum, err) < 0 && errnum != ENODEV)
		return error_wrap(err, "cannot remove link %s", name);
	return 0;
}
