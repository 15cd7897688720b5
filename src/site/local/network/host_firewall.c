/* SPDX-License-Identifier: Apache-2.0 */
#include "host_firewall.h"

#include "nft.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * How it works: the router decides who reaches whom; this table joins it to the world, and is a second
 * wall before the host itself. It judges only what comes from or goes to our uplink and leaves
 * everything else to whoever has rules for it.
 *
 * What leaves the host from the pool bears the host's address. A published port is a rule in the chain
 * `published`, which both strangers' packets (prerouting) and the host's own (output) meet; tenants do not: they
 * reach each other by flows alone. A connection of the host's to its own loopback address keeps 127.0.0.1 as
 * source while it is routed, so the uplink takes route_localnet, and it is masqueraded; what arrives from the uplink for
 * 127.0.0.0/8 is dropped before any translation is undone.
 *
 * Into the uplink goes what answers, or what was published; so a neighbour on the host's network that routes the
 * pool by way of the host reaches nothing. To the host itself comes from the uplink only what answers.
 */

static int endpoint_parse(const char *text, size_t n, struct address *ret_address, uint16_t *ret_port, struct error *err)
{
	autofree char *copy = xstrndup(text, n), *port_text = NULL;
	struct port_range port = { 0 };
	char *colon = strrchr(copy, ':');

	if (!colon)
		return error_set(err, ERROR_INPUT, "'%.60s' is not of the form address:port", copy);
	*colon = '\0';
	port_text = xasprintf("tcp/%s", colon + 1);
	if (address_parse(copy, ret_address, err) < 0 || port_range_parse(port_text, &port, err) < 0)
		return -1;
	if (ret_address->family != AF_INET || port.first != port.last)
		return error_set(err, ERROR_INPUT, "'%.60s' is not one port of an IPv4 address", copy);
	*ret_port = port.first;
	return 0;
}

static int targets_parse(const char *text, struct host_published *ret, struct error *err)
{
	while (*text) {
		size_t n = strcspn(text, ",");
		struct host_target *target = vec_add(&ret->targets);

		if (endpoint_parse(text, n, &target->address, &target->port, err) < 0)
			return -1;
		if (target->port != ret->targets.items[0].port)
			return error_set(err, ERROR_INPUT, "the targets of a published port listen on different ports");
		text += n + (text[n] == ',');
	}
	if (ret->targets.n == 0)
		return error_set(err, ERROR_INPUT, "a published port leads nowhere");
	return 0;
}

static int owner_parse(const char *text, struct host_published *ret, struct error *err)
{
	if (*text && (sscanf(text, " %63[^/]/%63[^ ]", ret->tenant, ret->workload) != 2))
		return error_set(err, ERROR_INPUT, "'%.130s' is not of the form tenant/workload", text);
	return 0;
}

int host_published_parse(const char *text, struct host_published *ret, struct error *err)
{
	const char *space = strchr(text, ' '), *arrow = strstr(text, " > ");
	struct host_published published = { .text = text };
	autofree char *middle = NULL, *protocol = NULL;

	if (!space || !arrow || arrow <= space)
		return error_set(err, ERROR_INPUT, "'%.100s' is not of the form 'address:port protocol > targets'", text);
	middle = xstrndup(space + 1, (size_t)(arrow - space - 1));
	protocol = xstrndup(middle, strcspn(middle, " "));
	if (!protocol_parse(protocol, &published.protocol) || !protocol_has_ports(published.protocol))
		return error_set(err, ERROR_INPUT, "'%.100s': only tcp and udp can be published", text);
	if (owner_parse(middle + strlen(protocol), &published, err) < 0 ||
	    endpoint_parse(text, (size_t)(space - text), &published.address, &published.port, err) < 0 ||
	    targets_parse(arrow + 3, &published, err) < 0) {
		host_published_clear(&published);
		return error_wrap(err, "'%.100s'", text);
	}
	*ret = published;
	return 0;
}

void host_published_clear(struct host_published *published)
{
	vec_clear(&published->targets);
}

int host_firewall_decode(const json_t *body, struct host_firewall *ret, struct error *err)
{
	struct host_firewall firewall = { .body = json_incref((json_t *)body) };
	json_t *item;
	size_t i;

	if (body_prefix(body, "pool", &firewall.pool, err) < 0 || body_link(body, "uplink", firewall.uplink, err) < 0)
		goto failed;
	json_array_foreach(json_get_array(body, "published"), i, item) {
		struct host_published published;

		if (!json_is_string(item)) {
			error_set(err, ERROR_INPUT, "published[%zu] is not text", i);
			goto failed;
		}
		if (body_is_stranger(json_string_value(item))) {
			firewall.strangers++;
			continue;
		}
		if (host_published_parse(json_string_value(item), &published, err) < 0)
			goto failed;
		vec_push(&firewall.published, published);
	}
	*ret = firewall;
	return 0;
failed:
	host_firewall_clear(&firewall);
	return error_wrap(err, "firewall of the host");
}

void host_firewall_clear(struct host_firewall *firewall)
{
	vec_each(&firewall->published, published)
		host_published_clear(published);
	vec_clear(&firewall->published);
	json_decref(firewall->body);
	firewall->body = NULL;
}

static bool is_any(const struct address *address)
{
	return address_ipv4(address) == 0;
}

bool host_firewall_loopback(const struct host_firewall *firewall)
{
	vec_each(&firewall->published, published)
		if (is_any(&published->address) || address_class(&published->address) == ADDRESS_LOOPBACK)
			return true;
	return false;
}

bool host_firewall_publishes(const struct host_firewall *firewall, const struct connection *connection)
{
	vec_each(&firewall->published, published) {
		if (published->protocol != (enum protocol)connection->protocol || published->port != connection->to_port ||
		    (!is_any(&published->address) && !address_equal(&published->address, &connection->to)))
			continue;
		vec_each(&published->targets, target)
			if (target->port == connection->answers_from_port && address_equal(&target->address, &connection->answers_from))
				return true;
	}
	return false;
}

/* Rules */

struct table { const char *name; json_t *commands; };

static void add_chain(struct table *table, const char *name, const char *type, const char *hook, int priority)
{
	json_t *chain = json_pack("{ss,ss,ss}", "family", "inet", "table", table->name, "name", name);

	if (hook) {
		json_set_string(chain, "type", type);
		json_set_string(chain, "hook", hook);
		json_set_int(chain, "prio", priority);
		json_set_string(chain, "policy", "accept");
	}
	json_add(table->commands, nft_command("add", "chain", chain));
}

/* Takes over the statements, which end with NULL. */
static void add_rule(struct table *table, const char *chain, const char *comment, ...)
{
	json_t *statements = json_array(), *statement;
	va_list ap;

	va_start(ap, comment);
	while ((statement = va_arg(ap, json_t *)))
		json_add(statements, statement);
	va_end(ap);
	json_add(table->commands, nft_command("add", "rule", json_pack("{ss,ss,ss,ss,so}", "family", "inet", "table", table->name, "chain", chain,
								       "comment", comment, "expr", statements)));
}

#define DROP nft_counter(), nft_verdict("drop"), NULL
#define ACCEPT nft_verdict("accept"), NULL
#define FROM(op, link) nft_match(op, nft_meta("iifname"), json_string(link))
#define TO(op, link) nft_match(op, nft_meta("oifname"), json_string(link))
#define IP_FROM(op, prefix) nft_match(op, nft_payload("ip", "saddr"), nft_prefix(prefix))
#define IP_TO(op, prefix) nft_match(op, nft_payload("ip", "daddr"), nft_prefix(prefix))
#define LOOPBACK "127.0.0.0/8"

static json_t *answers(void)
{
	return nft_match("in", nft_ct("state"), json_pack("[ss]", "established", "related"));
}

static json_t *target_value(const struct host_published *published)
{
	json_t *members = json_array();
	char text[ADDRESS_TEXT];

	if (published->targets.n == 1) {
		json_decref(members);
		address_format(&published->targets.items[0].address, text);
		return json_string(text);
	}
	for (size_t i = 0; i < published->targets.n; i++) {
		address_format(&published->targets.items[i].address, text);
		json_add(members, json_pack("[is]", (int)i, text));
	}
	return json_pack("{s{s{s{ss,si,si}},s{so}}}", "map", "key", "numgen", "mode", "inc", "mod", (int)published->targets.n, "offset", 0,
			 "data", "set", members);
}

static void publish_rule(struct table *table, const struct host_published *published)
{
	json_t *to, *port = nft_match("==", nft_payload(protocol_name(published->protocol), "dport"), json_integer(published->port));
	json_t *translate = json_pack("{s{ss,so,si}}", "dnat", "family", "ip", "addr", target_value(published), "port", (int)published->targets.items[0].port);
	autofree char *comment = xasprintf("%.127s", published->text);	/* the longest that a rule can bear */
	char text[ADDRESS_TEXT];

	if (is_any(&published->address)) {
		to = nft_match("==", json_pack("{s{ss,s[s]}}", "fib", "result", "type", "flags", "daddr"), json_string("local"));
	} else {
		address_format(&published->address, text);
		to = IP_TO("==", text);
	}
	add_rule(table, "published", comment, nft_match("==", nft_meta("nfproto"), json_string("ipv4")), to, port, translate, NULL);
}

static void walls(struct table *table, const char *uplink, const char *pool)
{
	add_chain(table, "early", "filter", "prerouting", -300);
	add_rule(table, "early", "no IPv6", FROM("==", uplink), nft_match("==", nft_meta("nfproto"), json_string("ipv6")), DROP);
	add_rule(table, "early", "nothing for the host's loopback", FROM("==", uplink), IP_TO("==", LOOPBACK), DROP);
	add_rule(table, "early", "the pool is behind the uplink", nft_match("!=", nft_meta("iifname"), json_pack("{s[ss]}", "set", uplink, "lo")),
		 IP_FROM("==", pool), DROP);
	add_chain(table, "input", "filter", "input", 0);
	add_rule(table, "input", "answers", FROM("==", uplink), answers(), ACCEPT);
	add_rule(table, "input", "tenants do not reach the host", FROM("==", uplink), DROP);
	add_chain(table, "forward", "filter", "forward", 0);
	add_rule(table, "forward", "not where clouds answer with credentials", FROM("==", uplink), IP_TO("==", "169.254.0.0/16"), DROP);
	add_rule(table, "forward", "no way around the router", FROM("==", uplink), IP_TO("==", pool), DROP);
	add_rule(table, "forward", "answers", TO("==", uplink), answers(), ACCEPT);
	add_rule(table, "forward", "published ports", TO("==", uplink), nft_match("in", nft_ct("status"), json_string("dnat")), ACCEPT);
	add_rule(table, "forward", "nothing else reaches tenants", TO("==", uplink), DROP);
}

static void translations(struct table *table, const struct host_firewall *firewall, const char *pool)
{
	const char *uplink = firewall->uplink;

	add_chain(table, "published", NULL, NULL, 0);
	vec_each(&firewall->published, published)
		publish_rule(table, published);
	add_chain(table, "prerouting", "nat", "prerouting", -100);
	add_rule(table, "prerouting", "published ports", FROM("!=", uplink), json_pack("{s{ss}}", "jump", "target", "published"), NULL);
	add_chain(table, "output", "nat", "output", -100);
	add_rule(table, "output", "published ports", json_pack("{s{ss}}", "jump", "target", "published"), NULL);
	add_chain(table, "postrouting", "nat", "postrouting", 100);
	add_rule(table, "postrouting", "out into the world", TO("!=", uplink), IP_FROM("==", pool), IP_TO("!=", pool), json_pack("{sn}", "masquerade"), NULL);
	add_rule(table, "postrouting", "from the host's loopback", TO("==", uplink), IP_FROM("==", LOOPBACK), json_pack("{sn}", "masquerade"), NULL);
}

json_t *host_firewall_commands(const struct host_firewall *firewall, const char *table)
{
	struct table t = { table, json_array() };
	static const char *const verbs[] = { "add", "delete", "add" };
	char pool[PREFIX_TEXT];

	/* added first, so that its absence is no failure of the deletion */
	for (size_t v = 0; v < ARRAY_LEN(verbs); v++)
		json_add(t.commands, nft_command(verbs[v], "table", json_pack("{ss,ss}", "family", "inet", "name", table)));
	prefix_format(&firewall->pool, pool);
	walls(&t, firewall->uplink, pool);
	translations(&t, firewall, pool);
	return t.commands;
}
