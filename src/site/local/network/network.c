/* SPDX-License-Identifier: Apache-2.0 */
#include "network.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int body_string(const json_t *body, const char *field, const char **ret, struct error *err)
{
	const char *text = json_get_string(body, field, NULL);

	if (!text)
		return error_set(err, ERROR_INPUT, "the field %s is missing", field);
	*ret = text;
	return 0;
}

int body_address(const json_t *body, const char *field, struct address *ret, struct error *err)
{
	const char *text;

	if (body_string(body, field, &text, err) < 0)
		return -1;
	if (address_parse(text, ret, err) < 0)
		return error_wrap(err, "field %s", field);
	return 0;
}

int interface_parse(const char *text, struct interface *ret, struct error *err)
{
	const char *slash = strchr(text, '/');
	char address[ADDRESS_TEXT];
	unsigned long length;
	char *end;

	if (!slash || (size_t)(slash - text) >= sizeof(address) || slash[1] < '0' || slash[1] > '9')
		return error_set(err, ERROR_INPUT, "'%.60s' is not an address with the length of its network", text);
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	length = strtoul(slash + 1, &end, 10);
	if (address_parse(address, &ret->address, err) < 0)
		return -1;
	if (*end || length > 32 || ret->address.family != AF_INET)
		return error_set(err, ERROR_INPUT, "'%.60s' is not an IPv4 address with the length of its network", text);
	ret->length = (uint8_t)length;
	return 0;
}

int body_interface(const json_t *body, const char *field, struct interface *ret, struct error *err)
{
	const char *text;

	if (body_string(body, field, &text, err) < 0)
		return -1;
	if (interface_parse(text, ret, err) < 0)
		return error_wrap(err, "field %s", field);
	return 0;
}

int body_prefix(const json_t *body, const char *field, struct prefix *ret, struct error *err)
{
	const char *text;

	if (body_string(body, field, &text, err) < 0)
		return -1;
	if (prefix_parse(text, ret, err) < 0)
		return error_wrap(err, "field %s", field);
	return 0;
}

int mac_parse(const char *text, uint8_t ret[static 6], struct error *err)
{
	unsigned byte[6];
	int end = 0;

	if (strlen(text) != 17 ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4], &byte[5], &end) != 6 || end != 17)
		return error_set(err, ERROR_INPUT, "'%.30s' is not a MAC address", text);
	for (int i = 0; i < 6; i++)
		ret[i] = (uint8_t)byte[i];
	return 0;
}

void mac_format(const uint8_t mac[static 6], char text[static MAC_TEXT])
{
	snprintf(text, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

int body_mac(const json_t *body, const char *field, uint8_t ret[static 6], struct error *err)
{
	const char *text;

	if (body_string(body, field, &text, err) < 0)
		return -1;
	if (mac_parse(text, ret, err) < 0)
		return error_wrap(err, "field %s", field);
	return 0;
}

int body_mtu(const json_t *body, const char *field, uint32_t *ret, struct error *err)
{
	int64_t mtu = json_get_int(body, field, 0);

	/* the least of IPv4 (RFC 791) and the most that an IP packet can be */
	if (mtu < 68 || mtu > 65535)
		return error_set(err, ERROR_INPUT, "the field %s is %lld: an MTU is 68 to 65535 bytes", field, (long long)mtu);
	*ret = (uint32_t)mtu;
	return 0;
}

int body_link(const json_t *body, const char *field, char ret[static LINK_NAME], struct error *err)
{
	const char *text;

	if (body_string(body, field, &text, err) < 0)
		return -1;
	if (!*text || strlen(text) >= LINK_NAME || strpbrk(text, "/ \t\n\"*"))
		return error_set(err, ERROR_INPUT, "field %s: '%.40s' cannot be the name of a link", field, text);
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

void body_set_address(json_t *body, const char *field, const struct address *address)
{
	char text[ADDRESS_TEXT];

	address_format(address, text);
	json_set_string(body, field, text);
}

void body_set_interface(json_t *body, const char *field, const struct address *address, uint8_t length)
{
	char text[ADDRESS_TEXT];
	autofree char *whole = NULL;

	address_format(address, text);
	whole = xasprintf("%s/%u", text, length);
	json_set_string(body, field, whole);
}

void body_set_mac(json_t *body, const char *field, const uint8_t mac[static 6])
{
	char text[MAC_TEXT];

	mac_format(mac, text);
	json_set_string(body, field, text);
}

bool body_is_stranger(const char *member)
{
	return starts_with(member, "foreign: ") || starts_with(member, "missing: ") || starts_with(member, "changed: ");
}

void link_alias(const struct site *site, const char *key, char ret[static LINK_ALIAS])
{
	/* names are at most 63 bytes each, and a key has two of them: it fits */
	if (snprintf(ret, LINK_ALIAS, "insula/%s/%s", site->config->deployment, key) >= LINK_ALIAS)
		BUG("the mark of %s is too long for a link", key);
}

const char *link_alias_key(const struct site *site, const char *alias)
{
	size_t n = strlen(site->config->deployment);

	if (!starts_with(alias, "insula/") || strncmp(alias + 7, site->config->deployment, n) != 0 || alias[7 + n] != '/')
		return NULL;
	return alias + 7 + n + 1;
}

char *router_path(const struct site *site)
{
	return xasprintf("%s/router", site->run);
}

int router_open(const struct site *site, struct netlink **ret, int *ret_netns, struct error *err)
{
	autofree char *path = router_path(site);
	autofd int netns = netns_open(path, err);

	if (netns < 0 || netlink_open(netns, ret, err) < 0)
		return -1;
	if (ret_netns)
		*ret_netns = steal_fd(&netns);
	return 0;
}

struct resource *network_resource(const struct site *site, const char *kind, const char *key, const char *id, json_t *body)
{
	struct resource *resource = resource_new("local", kind, key, body);

	resource_set_id(resource, id);
	resource->deployment = xstrdup(site->config->deployment);
	resource->origin = ORIGIN_OURS;
	return resource;
}

int local_netns_open(const struct site *site, const char *name, struct error *err)
{
	autofree char *folder = NULL, *path = NULL;
	struct instance_key parts;

	if (streq(name, "host"))
		return netns_open("/proc/thread-self/ns/net", err);
	if (!*name) {
		path = router_path(site);
		return netns_open(path, err);
	}
	if (!local_instance_key(name, &parts))
		return error_set(err, ERROR_INPUT, "'%.200s' is not the key of an instance", name);
	folder = local_instance_dir(site, name);
	path = xasprintf("%s/netns", folder);
	return netns_open(path, err);
}
