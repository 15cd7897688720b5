/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_NETWORK_H
#define INSULA_SITE_LOCAL_NETWORK_H

/* What the network kinds share: fields of bodies as values, marks on links, our router's namespace. */

#include "site/local/local.h"
#include "netlink.h"
#include "netns.h"

struct interface { struct address address; uint8_t length; };	/* "10.77.1.1/26": an address and its network */

/* A field of a body; what is absent or malformed is ERROR_INPUT naming it. Strings are borrowed. */
int body_string(const json_t *body, const char *field, const char **ret, struct error *err) WARN_UNUSED;
int body_address(const json_t *body, const char *field, struct address *ret, struct error *err) WARN_UNUSED;
int body_interface(const json_t *body, const char *field, struct interface *ret, struct error *err) WARN_UNUSED;
int body_prefix(const json_t *body, const char *field, struct prefix *ret, struct error *err) WARN_UNUSED;
int body_mac(const json_t *body, const char *field, uint8_t ret[static 6], struct error *err) WARN_UNUSED;
int body_mtu(const json_t *body, const char *field, uint32_t *ret, struct error *err) WARN_UNUSED;
int body_link(const json_t *body, const char *field, char ret[static LINK_NAME], struct error *err) WARN_UNUSED;

int interface_parse(const char *text, struct interface *ret, struct error *err) WARN_UNUSED;
int mac_parse(const char *text, uint8_t ret[static 6], struct error *err) WARN_UNUSED;
#define MAC_TEXT 18
void mac_format(const uint8_t mac[static 6], char text[static MAC_TEXT]);
void body_set_address(json_t *body, const char *field, const struct address *address);
void body_set_interface(json_t *body, const char *field, const struct address *address, uint8_t length);
void body_set_mac(json_t *body, const char *field, const uint8_t mac[static 6]);

/* A member of a set that tells of what is not as it was made: only list gives such. */
bool body_is_stranger(const char *member);

/* The mark of a link is its alias: "insula/<deployment>/<key>". */
void link_alias(const struct site *site, const char *key, char ret[static LINK_ALIAS]);
const char *link_alias_key(const struct site *site, const char *alias);	/* the key within `alias`, or NULL: not ours */

char *router_path(const struct site *site);
/* A socket in the router, and its namespace; ERROR_NOT_FOUND when there is none. ret_netns may be NULL. */
int router_open(const struct site *site, struct netlink **ret, int *ret_netns, struct error *err) WARN_UNUSED;

/* A live one of ours. Takes over the body. */
struct resource *network_resource(const struct site *site, const char *kind, const char *key, const char *id, json_t *body);

#endif
