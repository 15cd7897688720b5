/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/network/firewall.h"

#include "base/fs.h"
#include "site/local/network/nft.h"

#include <stdlib.h>
#include <unistd.h>

/*
 * host/firewall: the walls in the router.
 *
 * How it works: create loads both tables in one transaction, in place of what was there, and keeps
 * how nft tells them (firewall_read.c says why). Update changes elements where that is enough,
 * and loads everything anew where it is not, or where the elements were not as expected: at no moment
 * is there less than the old walls or the new ones. Then connections that the new walls would not have
 * let begin are forgotten by the kernel, so their next packet is dropped.
 */

#define LOADED_MAX ((size_t)64 << 20)

static char *loaded_path(const struct site *site)
{
	return xasprintf("%s/firewall.json", site->run);
}

static int list_everything(int netns, json_t **ret, struct error *err)
{
	return nft_list(netns, NULL, NULL, ret, err);
}

/* Keeps what was just loaded, as nft tells it. */
static int keep_loaded(const struct site *site, int netns, const char *table, const json_t *body, struct error *err)
{
	autofree char *path = loaded_path(site), *text = NULL;
	autojson json_t *listing = NULL, *loaded = NULL;

	if (list_everything(netns, &listing, err) < 0)
		return -1;
	loaded = firewall_loaded(listing, table, body);
	text = json_canonical(loaded);
	return fs_replace_file(path, text, strlen(text), 0600, false, err);
}

/* The rules are as they were kept; only the body is another. */
static int keep_body(const struct site *site, const json_t *body, struct error *err)
{
	autofree char *path = loaded_path(site), *text = NULL;
	autojson json_t *loaded = NULL;

	if (json_read_file(path, LOADED_MAX, &loaded, err) < 0)
		return -1;
	json_set(loaded, "body", json_deep_copy(body));
	text = json_canonical(loaded);
	return fs_replace_file(path, text, strlen(text), 0600, false, err);
}

/* Is the connection one that the walls have nothing to say about, or would let begin? */
static bool connection_ends(void *arg, const struct connection *c)
{
	const struct firewall *firewall = arg;

	vec_each(&firewall->tenants, tenant)
		if (address_equal(&tenant->gateway, &c->to))
			return false;
	return !firewall_allows(firewall, &c->from, &c->to, c->protocol, c->to_port);
}

static int load_whole(struct site *site, int netns, const struct firewall *firewall, struct error *err)
{
	autofree char *path = loaded_path(site);
	autojson json_t *commands = NULL;
	char table[80];

	local_table_name(site->config->deployment, table);
	commands = firewall_commands(firewall, table);
	/* what was kept is no longer true from here on */
	unlink(path);
	if (nft_apply(netns, commands, err) < 0)
		return -1;
	return keep_loaded(site, netns, table, firewall->body, err);
}

/* By elements; 1 when that is not enough. */
static int load_changes(struct site *site, int netns, const json_t *from, const struct firewall *to, struct error *err)
{
	struct firewall before = { 0 };
	json_t *commands = NULL;
	char table[80];
	int done = 1;

	local_table_name(site->config->deployment, table);
	if (firewall_decode(from, &before, err) < 0)
		return 1;
	commands = firewall_changes(&before, to, table);
	firewall_clear(&before);
	/* an element that is not as `from` says makes the transaction fail, and nothing has changed */
	if (commands && (json_array_size(commands) == 0 || nft_apply(netns, commands, err) == 0) && keep_body(site, to->body, err) == 0)
		done = 0;
	json_decref(commands);
	return done;
}

static int firewall_load(struct site *site, const json_t *from, struct resource *resource, struct error *err)
{
	CLEANUP(firewall_clear) struct firewall firewall = { 0 };
	autofd int netns = local_netns_open(site, "", err);
	char table[80];

	if (netns < 0 || firewall_decode(resource->body, &firewall, err) < 0)
		return error_wrap(err, "firewall");
	if (firewall.strangers)
		return error_set(err, ERROR_INPUT, "firewall: the body tells of foreign rules, which cannot be made");
	if (!from || load_changes(site, netns, from, &firewall, err) != 0) {
		if (load_whole(site, netns, &firewall, err) < 0)
			return error_wrap(err, "firewall");
	}
	if (netlink_connections_cut(netns, connection_ends, &firewall, NULL, err) < 0)
		return error_wrap(err, "firewall");
	local_table_name(site->config->deployment, table);
	resource_set_id(resource, table);
	return 0;
}

static int firewall_create(struct site *site, struct resource *resource, struct error *err)
{
	return firewall_load(site, NULL, resource, err);
}

static int firewall_update(struct site *site, const struct resource *from, struct resource *to, struct error *err)
{
	return firewall_load(site, from->body, to, err);
}

struct rule_place { int netns; };

static char *rule_text(void *arg, const char *family, const char *table, const char *chain, int64_t handle)
{
	struct rule_place *place = arg;
	struct error err;
	char *text;

	return nft_rule_text(place->netns, family, table, chain, handle, &text, &err) == 0 ? text : NULL;
}

/* NULL when there is none. */
static int firewall_live(struct site *site, struct resource **ret, struct error *err)
{
	autofd int netns = local_netns_open(site, "", err);
	autofree char *path = loaded_path(site);
	autojson json_t *listing = NULL, *loaded = NULL;
	struct rule_place place = { netns };
	struct firewall_reader reader = { rule_text, &place };
	struct error unknown;
	char table[80];
	json_t *body;

	if (netns < 0) {
		if (err->code != ERROR_NOT_FOUND)
			return -1;
		*ret = NULL;
		return 0;
	}
	if (list_everything(netns, &listing, err) < 0)
		return -1;
	if (json_read_file(path, LOADED_MAX, &loaded, &unknown) < 0)
		loaded = NULL;
	local_table_name(site->config->deployment, table);
	body = firewall_read(listing, table, loaded, &reader);
	*ret = body ? network_resource(site, "firewall", "host/firewall", table, body) : NULL;
	return 0;
}

static int firewall_list(struct site *site, resource_sink sink, void *arg, struct error *err)
{
	struct resource *live;

	if (firewall_live(site, &live, err) < 0)
		return error_wrap(err, "firewall");
	return live ? sink(arg, live) : 0;
}

static int firewall_get(struct site *site, struct resource *resource, struct error *err)
{
	autoresource struct resource *live = NULL;

	if (firewall_live(site, &live, err) < 0)
		return error_wrap(err, "firewall");
	if (!live)
		return error_set(err, ERROR_NOT_FOUND, "there is no firewall in the router");
	json_decref(resource->body);
	resource->body = json_incref(live->body);
	resource_set_id(resource, live->id);
	return 0;
}

static int firewall_remove(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	autofd int netns = local_netns_open(site, "", err);
	autofree char *path = loaded_path(site);
	autojson json_t *commands = json_array();
	static const char *const families[] = { "inet", "bridge" }, *const verbs[] = { "add", "delete" };
	char table[80];

	(void)resource;
	(void)delete_data;
	unlink(path);
	if (netns < 0)
		return err->code == ERROR_NOT_FOUND ? 0 : error_wrap(err, "firewall");
	local_table_name(site->config->deployment, table);
	for (size_t v = 0; v < ARRAY_LEN(verbs); v++)
		for (size_t f = 0; f < ARRAY_LEN(families); f++)
			json_add(commands, nft_command(verbs[v], "table", json_pack("{ss,ss}", "family", families[f], "name", table)));
	if (nft_apply(netns, commands, err) < 0)
		return error_wrap(err, "firewall");
	return 0;
}

static int firewall_sweep(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	struct resource *live;

	if (tenant)
		return 0;
	if (firewall_live(site, &live, err) < 0)
		return -1;
	if (live)
		json_add(ret, json_sprintf("nftables table %s in the router", live->id));
	resource_free(live);
	return 0;
}

const struct local_kind local_firewall = {
	.name = "firewall",
	.list = firewall_list,
	.get = firewall_get,
	.create = firewall_create,
	.update = firewall_update,
	.remove = firewall_remove,
	.sweep = firewall_sweep,
};
