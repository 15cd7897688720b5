/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/network/host_firewall.h"

#include "base/fs.h"
#include "site/local/network/nft_compare.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * host/uplink: our one table on the host, loaded whole each time in one transaction.
 *
 * How it works: as for the firewall in the router, how nft tells what was just loaded is kept in the
 * run folder, and list compares with it. Rules of the chain `published` bear their member of the body as
 * comment, so one that is gone is that member gone. Only our table is read and changed, whatever else the host has.
 */

#define LOADED_MAX ((size_t)16 << 20)
#define COMMENT_MAX 127

static char *loaded_path(const struct site *site)
{
	return xasprintf("%s/host-firewall.json", site->run);
}

static char *localnet_name(const char *uplink)
{
	return xasprintf("ipv4/conf/%s/route_localnet", uplink);
}

static int keep_loaded(const struct site *site, const char *table, const json_t *body, struct error *err)
{
	autofree char *path = loaded_path(site), *text = NULL;
	autojson json_t *listing = NULL, *loaded = NULL;

	if (nft_list(NETNS_HERE, "inet", table, &listing, err) < 0)
		return -1;
	loaded = json_pack("{so,so}", "objects", nft_snapshot(listing, table), "body", json_deep_copy(body));
	text = json_canonical(loaded);
	return fs_replace_file(path, text, strlen(text), 0600, false, err);
}

/* A connection into the pool that was translated for a port which is published no more. */
static bool connection_ends(void *arg, const struct connection *connection)
{
	const struct host_firewall *firewall = arg;

	return prefix_contains(&firewall->pool, &connection->answers_from) && !address_equal(&connection->to, &connection->answers_from) &&
	       !host_firewall_publishes(firewall, connection);
}

/* Does a process of the host listen there? What decides is whether we could. */
static bool port_taken(const struct host_published *published)
{
	bool tcp = published->protocol == PROTOCOL_TCP;
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(published->port) };
	autofd int fd = -1;
	int on = 1;

	if (published->address.family != AF_INET)
		return false;
	memcpy(&name.sin_addr, published->address.bytes, sizeof(name.sin_addr));
	fd = socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (tcp)	/* connections that ended are no obstacle */
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 && errno == EADDRINUSE;
}

static bool publishes_already(const struct host_firewall *before, const struct host_published *published)
{
	vec_each(&before->published, old)
		if (old->port == published->port && old->protocol == published->protocol && address_equal(&old->address, &published->address))
			return true;
	return false;
}

/* A port that is published anew takes nobody's place: its rules would hide whatever listens there, without a word. */
static int ports_check(const char *loaded_path, const struct host_firewall *firewall, struct error *err)
{
	CLEANUP(host_firewall_clear) struct host_firewall before = { 0 };
	autojson json_t *loaded = NULL;
	struct error unknown;

	if (json_read_file(loaded_path, LOADED_MAX, &loaded, &unknown) < 0 || host_firewall_decode(json_object_get(loaded, "body"), &before, &unknown) < 0)
		before = (struct host_firewall){ 0 };
	vec_each(&firewall->published, published) {
		char address[ADDRESS_TEXT];

		if (publishes_already(&before, published) || !port_taken(published))
			continue;
		address_format(&published->address, address);
		error_set(err, ERROR_CONFLICT, "port %u/%s of %s cannot be published: a process of this machine listens there", published->port,
			  protocol_name(published->protocol), address);
		return error_hint(err, "publish another port, or stop that process; it is told by: ss -lpn 'sport = :%u'", published->port);
	}
	return 0;
}

static int host_firewall_create(struct site *site, struct resource *resource, struct error *err)
{
	CLEANUP(host_firewall_clear) struct host_firewall firewall = { 0 };
	autofree char *path = loaded_path(site), *localnet = NULL;
	autojson json_t *commands = NULL;
	char table[80];

	if (host_firewall_decode(resource->body, &firewall, err) < 0)
		return -1;
	if (firewall.strangers)
		return error_set(err, ERROR_INPUT, "firewall of the host: the body tells of foreign rules, which cannot be made");
	local_table_name(site->config->deployment, table);
	commands = host_firewall_commands(&firewall, table);
	localnet = localnet_name(firewall.uplink);
	if (ports_check(path, &firewall, err) < 0)
		return error_wrap(err, "firewall of the host");
	unlink(path);
	/* the wall for 127.0.0.0/8 stands before the uplink may carry it */
	if (nft_apply(NETNS_HERE, commands, err) < 0 || keep_loaded(site, table, resource->body, err) < 0 ||
	    netns_sysctl(localnet, host_firewall_loopback(&firewall) ? "1" : "0", err) < 0 ||
	    netlink_connections_cut(NETNS_HERE, connection_ends, &firewall, NULL, err) < 0)
		return error_wrap(err, "firewall of the host");
	resource_set_id(resource, table);
	return 0;
}

static int host_firewall_update(struct site *site, const struct resource *from, struct resource *to, struct error *err)
{
	(void)from;
	return host_firewall_create(site, to, err);
}

static void told(void *arg, const char *text)
{
	json_t *body = arg;

	json_add(json_object_get(body, "published"), json_text(text));
}

static void missing(void *arg, const char *kind, const char *name, const char *comment)
{
	json_t *body = arg, *list = json_object_get(body, "published"), *item;
	autofree char *text = NULL;
	size_t i;

	if (streq(name, "published") && *comment) {
		json_array_foreach(list, i, item) {
			if (strncmp(json_string_value(item), comment, COMMENT_MAX) == 0) {
				json_array_remove(list, i);
				return;
			}
		}
	}
	text = xasprintf("missing: %s %s%s%s", kind, name, *comment ? ": " : "", comment);
	told(body, text);
}

static char *rule_text(void *arg, const char *family, const char *table, const char *chain, int64_t handle)
{
	struct error err;
	char *text;

	(void)arg;
	return nft_rule_text(NETNS_HERE, family, table, chain, handle, &text, &err) == 0 ? text : NULL;
}

/* The one setting that the table needs beside it. */
static void check_localnet(json_t *body)
{
	CLEANUP(host_firewall_clear) struct host_firewall firewall = { 0 };
	autofree char *name = NULL, *path = NULL;
	struct error err;
	int64_t value;

	if (host_firewall_decode(body, &firewall, &err) < 0)
		return;
	name = localnet_name(firewall.uplink);
	path = xasprintf("/proc/sys/net/%s", name);
	if (fs_read_int(path, &value, &err) == 0 && value != host_firewall_loopback(&firewall))
		told(body, "changed: route_localnet of the uplink");
}

static int host_firewall_live(struct site *site, struct resource **ret, struct error *err)
{
	autofree char *path = loaded_path(site);
	autojson json_t *listing = NULL, *loaded = NULL, *body = NULL;
	struct nft_differences differences = { NULL, missing, told, rule_text };
	struct error unknown;
	char table[80];

	*ret = NULL;
	local_table_name(site->config->deployment, table);
	if (nft_list(NETNS_HERE, "inet", table, &listing, err) < 0)
		return -1;
	if (!listing)
		return 0;
	if (json_read_file(path, LOADED_MAX, &loaded, &unknown) == 0) {
		body = json_deep_copy(json_object_get(loaded, "body"));
		check_localnet(body);
		differences.arg = body;
		nft_compare(listing, table, json_get_array(loaded, "objects"), &differences);
	} else {
		body = json_pack("{s[s]}", "published", "changed: the rules, as far as can be told");
	}
	*ret = network_resource(site, "host-firewall", "host/uplink", table, steal(&body));
	return 0;
}

static int host_firewall_list(struct site *site, resource_sink sink, void *arg, struct error *err)
{
	struct resource *live;

	if (host_firewall_live(site, &live, err) < 0)
		return error_wrap(err, "firewall of the host");
	return live ? sink(arg, live) : 0;
}

static int host_firewall_get(struct site *site, struct resource *resource, struct error *err)
{
	autoresource struct resource *live = NULL;

	if (host_firewall_live(site, &live, err) < 0)
		return error_wrap(err, "firewall of the host");
	if (!live)
		return error_set(err, ERROR_NOT_FOUND, "there is no table of ours on the host");
	json_decref(resource->body);
	resource->body = json_incref(live->body);
	resource_set_id(resource, live->id);
	return 0;
}

static int host_firewall_remove(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	autofree char *path = loaded_path(site);
	char table[80];

	(void)resource;
	(void)delete_data;
	local_table_name(site->config->deployment, table);
	if (nft_remove_table(NETNS_HERE, "inet", table, err) < 0)
		return error_wrap(err, "firewall of the host");
	unlink(path);
	return 0;
}

static int host_firewall_sweep(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	autojson json_t *listing = NULL;
	char table[80];

	if (tenant)
		return 0;
	local_table_name(site->config->deployment, table);
	if (nft_list(NETNS_HERE, "inet", table, &listing, err) < 0)
		return -1;
	if (listing)
		json_add(ret, json_sprintf("nftables table %s on the host", table));
	return 0;
}

const struct local_kind local_host_firewall = {
	.name = "host-firewall",
	.list = host_firewall_list,
	.get = host_firewall_get,
	.create = host_firewall_create,
	.update = host_firewall_update,
	.remove = host_firewall_remove,
	.sweep = host_firewall_sweep,
};
