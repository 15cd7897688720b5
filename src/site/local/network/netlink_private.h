/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_NETLINK_PRIVATE_H
#define INSULA_SITE_LOCAL_NETLINK_PRIVATE_H

/* What netlink's own files share: building a message, asking, reading a table. */

#include "netlink.h"

struct nl_msg;
struct nlattr;
struct nlmsghdr;

int netlink_open_protocol(int netns, int protocol, struct netlink **ret, struct error *err) WARN_UNUSED;

/* A message that does not fit is a fault of ours and stops the program. */
struct nl_msg *netlink_message(uint16_t type, uint16_t flags, const void *header, size_t header_n);
void netlink_put(struct nl_msg *message, int attribute, const void *data, size_t n);
void netlink_put_u32(struct nl_msg *message, int attribute, uint32_t value);
void netlink_put_string(struct nl_msg *message, int attribute, const char *text);
struct nlattr *netlink_nest(struct nl_msg *message, int attribute);

typedef int (*netlink_reader)(void *arg, const struct nlmsghdr *header, struct error *err);
/* Sends, frees the message, and reads until the acknowledgement. ret_errno (or NULL): the kernel's, 0 when it agreed. */
int netlink_request(struct netlink *netlink, struct nl_msg *message, netlink_reader reader, void *arg, int *ret_errno, struct error *err) WARN_UNUSED;

/* A whole table; begins again (`restart` drops what was read) when the table changed meanwhile. */
struct netlink_dump_reader { netlink_reader read; void (*restart)(void *arg); void *arg; };
int netlink_dump(struct netlink *netlink, uint16_t type, const void *header, size_t header_n, const struct netlink_dump_reader *reader,
		 struct error *err) WARN_UNUSED;

#endif
