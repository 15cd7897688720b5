/* SPDX-License-Identifier: Apache-2.0 */
#include "firewall_private.h"

#include "nft.h"

#include <stdarg.h>
#include <stdlib.h>

/*
 * How it works: the rules are few and the same for any number of tenants; who may do what is in
 * sets, which one look-up answers and which change one element at a time. A tenant is known by the
 * name of its bridge (links are matched by name, so the rules stand before the links do).
 *
 * Frames meet the table of family bridge first: a port may send IPv4 and ARP only, and only from the
 * hardware and source address that are its own. So whatever comes further tells the truth about its sender.
 *
 * Packets between networks meet `forward`: clouds' addresses are out of reach first; a bridge's
 * packets must come from its own prefix; what answers an allowed packet passes; then flows,
 * published ports, egress; the rest is dropped. Packets within one bridge come here too when the host has
 * br_netfilter switched on for us: the pair (bridge, bridge) lets them pass, so both settings give the same
 * verdicts. `input` is what a tenant may ask of its gateway: names and echoes. `output` answers only.
 *
 * `rates` is a later chain of the same hook, so it counts only what the walls let through: nobody can
 * use up a neighbour's rate with packets that are dropped. The kernel's limit keeps one second's worth
 * as burst, besides the bytes given here: a short transfer may be up to a second's worth ahead.
 */

#define PORTS_ALL_FIRST 0
#define PORTS_ALL_LAST 65535
#define RATE_BURST 131072		/* two of the largest packets that offloading makes */
#define ECHO_RATE 50			/* a second and tenant */
#define QUESTION_RATE 262144		/* bytes of datagrams a second and tenant for the resolver, whose buffer all share: some 3000 questions. Bytes: merged ones count as what they are */
#define CONNECTIONS_MAX 16384		/* tracked at once for a tenant: a flood of them must not fill the table for all */

static const struct firewall_set sets[] = {
	{ "inet", "same", { "ifname", "ifname" }, NULL },
	{ "inet", "sources", { "ifname", "ipv4_addr" }, "interval" },
	{ "inet", "gateways", { "ifname", "ipv4_addr" }, NULL },
	{ "inet", "flows", { "ifname", "ifname", "inet_proto", "inet_service" }, "interval" },
	{ "inet", "flows_any", { "ifname", "ifname" }, NULL },
	{ "inet", "published", { "ipv4_addr", "inet_proto", "inet_service" }, NULL },
	{ "inet", "special", { "ipv4_addr" }, "interval" },
	{ "inet", "egress", { "ifname", "inet_proto", "inet_service" }, "interval" },
	{ "inet", "egress_any", { "ifname" }, NULL },
	{ "bridge", "hardware", { "ifname", "ether_addr" }, NULL },
	{ "bridge", "addresses", { "ifname", "ipv4_addr" }, NULL },
	{ NULL },
};

const struct firewall_set *firewall_sets(void)
{
	return sets;
}

/* Elements */

void firewall_elements_clear(struct firewall_elements *elements)
{
	vec_each(elements, element) {
		free(element->text);
		json_decref(element->value);
	}
	vec_clear(elements);
}

/* nft tells a protocol by its name where /etc/protocols has it, else by its number. */
static char *protocol_text(const json_t *value)
{
	const char *name = json_string_value(value);
	enum protocol protocol;

	if (name && protocol_parse(name, &protocol))
		return xasprintf("%d", (int)protocol);
	if (name && streq(name, "ipv6-icmp"))
		return xasprintf("%d", (int)PROTOCOL_ICMPV6);
	return firewall_value_text(value);
}

char *firewall_value_text(const json_t *value)
{
	const json_t *inner;

	if ((inner = json_object_get(value, "prefix")))
		return xasprintf("%s/%lld", json_get_string(inner, "addr", "?"), (long long)json_get_int(inner, "len", 0));
	if ((inner = json_object_get(value, "range"))) {
		autofree char *first = firewall_value_text(json_array_get(inner, 0)), *last = firewall_value_text(json_array_get(inner, 1));

		return xasprintf("%s-%s", first, last);
	}
	if (json_is_string(value))
		return xstrdup(json_string_value(value));
	if (json_is_integer(value))
		return xasprintf("%lld", (long long)json_integer_value(value));
	return value ? json_canonical(value) : xstrdup("?");
}

size_t firewall_element_parts(const char *set_name, const json_t *value, char *ret[static FIREWALL_PARTS_MAX])
{
	const json_t *elem = json_object_get(value, "elem"), *parts;
	const struct firewall_set *set = sets;
	size_t n;

	if (elem)
		value = json_object_get(elem, "val");
	parts = json_object_get(value, "concat");
	n = parts ? MIN(json_array_size(parts), FIREWALL_PARTS_MAX) : 1;
	while (set->family && !streq(set->name, set_name))
		set++;
	for (size_t i = 0; i < n; i++) {
		const json_t *part = parts ? json_array_get(parts, i) : value;

		ret[i] = set->family && str_equal(set->types[i], "inet_proto") ? protocol_text(part) : firewall_value_text(part);
	}
	return n;
}

char *firewall_element_text(const char *set, const json_t *value)
{
	autobuf struct buf text = { 0 };
	char *parts[FIREWALL_PARTS_MAX];
	size_t n = firewall_element_parts(set, value, parts);

	for (size_t i = 0; i < n; i++) {
		buf_addf(&text, "%s%s", i ? " . " : "", parts[i]);
		free(parts[i]);
	}
	return buf_steal(&text);
}

/* Takes over the parts. `member` (borrowed, or NULL) is the field of the body that it comes from, `index` its place there. */
static void add_element(struct firewall_elements *elements, const char *set, const char *field, size_t index, json_t *parts)
{
	struct firewall_element *element = vec_add(elements);

	element->set = set;
	element->field = field;
	element->index = index;
	element->value = nft_concat(parts);
	element->text = firewall_element_text(set, element->value);
}

static json_t *address_value(const struct address *address)
{
	char text[ADDRESS_TEXT];

	address_format(address, text);
	return json_string(text);
}

static json_t *prefix_value(const struct prefix *prefix)
{
	char text[PREFIX_TEXT];

	prefix_format(prefix, text);
	return nft_prefix(text);
}

/* A protocol without ports matches whatever is where others have theirs. */
static json_t *ports_value(const struct port_range *ports)
{
	if (!protocol_has_ports(ports->protocol))
		return nft_range(PORTS_ALL_FIRST, PORTS_ALL_LAST);
	return nft_range(ports->first, ports->last);
}

static void tenant_elements(const struct firewall *firewall, struct firewall_elements *ret)
{
	for (size_t i = 0; i < firewall->tenants.n; i++) {
		const struct firewall_tenant *tenant = &firewall->tenants.items[i];

		add_element(ret, "same", "tenants", i, json_pack("[ss]", tenant->bridge, tenant->bridge));
		add_element(ret, "sources", "tenants", i, json_pack("[so]", tenant->bridge, prefix_value(&tenant->prefix)));
		add_element(ret, "gateways", "tenants", i, json_pack("[so]", tenant->bridge, address_value(&tenant->gateway)));
	}
	for (size_t i = 0; i < firewall->ports.n; i++) {
		const struct firewall_port *port = &firewall->ports.items[i];
		char mac[MAC_TEXT];

		mac_format(port->mac, mac);
		add_element(ret, "hardware", "ports", i, json_pack("[ss]", port->link, mac));
		add_element(ret, "addresses", "ports", i, json_pack("[so]", port->link, address_value(&port->address)));
	}
}

/* The body's list has strangers in it too; a decoded member is told from the others by its text alone. */
void firewall_elements(const struct firewall *firewall, struct firewall_elements *ret)
{
	const struct special_prefix *specials;
	size_t special_n;

	tenant_elements(firewall, ret);
	for (size_t i = 0; i < firewall->flows.n; i++) {
		const struct firewall_flow *flow = &firewall->flows.items[i];
		const char *from = firewall->tenants.items[flow->from].bridge, *to = firewall->tenants.items[flow->to].bridge;

		if (flow->ports.protocol == PROTOCOL_ANY)
			add_element(ret, "flows_any", "flows", i, json_pack("[ss]", from, to));
		else
			add_element(ret, "flows", "flows", i, json_pack("[ssio]", from, to, (int)flow->ports.protocol, ports_value(&flow->ports)));
	}
	for (size_t i = 0; i < firewall->egress.n; i++) {
		const struct firewall_egress *egress = &firewall->egress.items[i];
		const char *from = firewall->tenants.items[egress->from].bridge;

		if (!egress->internet)
			continue;	/* a rule each: ranges of addresses that lie within each other cannot be elements of one set */
		if (egress->ports.protocol == PROTOCOL_ANY)
			add_element(ret, "egress_any", "egress", i, json_pack("[s]", from));
		else
			add_element(ret, "egress", "egress", i, json_pack("[sio]", from, (int)egress->ports.protocol, ports_value(&egress->ports)));
	}
	for (size_t i = 0; i < firewall->published.n; i++) {
		const struct firewall_published *published = &firewall->published.items[i];

		add_element(ret, "published", "published", i,
			    json_pack("[oii]", address_value(&published->address), (int)published->ports.protocol, (int)published->ports.first));
	}
	specials = special_prefixes(&special_n);
	for (size_t i = 0; i < special_n; i++)
		if (specials[i].prefix.address.family == AF_INET)
			add_element(ret, "special", NULL, 0, json_pack("[o]", prefix_value(&specials[i].prefix)));
}

/* Rules */

struct ruleset { const char *table; json_t *commands; };

static void add_chain(struct ruleset *r, const char *family, const char *name, const char *hook, int priority, const char *policy)
{
	json_t *chain = json_pack("{ss,ss,ss}", "family", family, "table", r->table, "name", name);

	if (hook) {
		json_set_string(chain, "type", "filter");
		json_set_string(chain, "hook", hook);
		json_set_int(chain, "prio", priority);
		json_set_string(chain, "policy", policy);
	}
	json_add(r->commands, nft_command("add", "chain", chain));
}

/* Takes over the statements, which end with NULL. */
static void add_rule(struct ruleset *r, const char *family, const char *chain, const char *comment, ...)
{
	json_t *statements = json_array(), *statement;
	va_list ap;

	va_start(ap, comment);
	while ((statement = va_arg(ap, json_t *)))
		json_add(statements, statement);
	va_end(ap);
	json_add(r->commands, nft_command("add", "rule",
					  json_pack("{ss,ss,ss,ss,so}", "family", family, "table", r->table, "chain", chain,
						    "comment", comment, "expr", statements)));
}

#define DROP nft_counter(), nft_verdict("drop"), NULL
#define ACCEPT nft_verdict("accept"), NULL
#define FROM nft_meta("iifname")
#define TO nft_meta("oifname")
#define PROTOCOL nft_meta("l4proto")
#define TO_PORT nft_payload("th", "dport")
#define IP_FROM nft_payload("ip", "saddr")
#define IP_TO nft_payload("ip", "daddr")

static json_t *in_set(const char *set, json_t *parts)
{
	return nft_match("==", nft_concat(parts), json_string(set));
}

static json_t *not_in_set(const char *set, json_t *parts)
{
	return nft_match("!=", nft_concat(parts), json_string(set));
}

static json_t *is(json_t *left, const char *right)
{
	return nft_match("==", left, json_string(right));
}

static json_t *is_not(json_t *left, const char *right)
{
	return nft_match("!=", left, json_string(right));
}

/* By number: names need /etc/protocols, which not every machine has. */
static json_t *is_protocol(enum protocol protocol)
{
	return nft_match("==", nft_meta("l4proto"), json_integer(protocol));
}

static json_t *state_is(const char *a, const char *b)
{
	return nft_match("in", nft_ct("state"), b ? json_pack("[ss]", a, b) : json_string(a));
}

/* A statement that every sender's bridge has its own count of. (A set with the flag "dynamic" says the same, but older nft reads it in its own language only.) */
static json_t *each_sender(const char *name, json_t *statement)
{
	return json_pack("{s{ss,so,so}}", "meter", "name", name, "key", FROM, "stmt", statement);
}

static json_t *limit_over(int64_t rate, const char *unit, int64_t burst)
{
	json_t *limit = json_pack("{sI,sI,ss,sb}", "rate", (json_int_t)rate, "burst", (json_int_t)burst, "per", "second", "inv", 1);

	if (unit) {
		json_set_string(limit, "rate_unit", unit);
		json_set_string(limit, "burst_unit", unit);
	}
	return json_pack("{so}", "limit", limit);
}

static void cidr_rules(struct ruleset *r, const struct firewall *firewall)
{
	for (size_t i = 0; i < firewall->egress.n; i++) {
		const struct firewall_egress *egress = &firewall->egress.items[i];
		const struct firewall_tenant *from = &firewall->tenants.items[egress->from];
		char prefix[PREFIX_TEXT], ports[PORT_TEXT];
		autofree char *comment = NULL;

		if (egress->internet)
			continue;
		prefix_format(&egress->to, prefix);
		port_range_format(&egress->ports, ports);
		comment = xasprintf("%s>%s %s", from->name, prefix, ports);
		if (egress->ports.protocol == PROTOCOL_ANY)
			add_rule(r, "inet", "ranges", comment, is(FROM, from->bridge), nft_match("==", IP_TO, prefix_value(&egress->to)), ACCEPT);
		else if (protocol_has_ports(egress->ports.protocol))
			add_rule(r, "inet", "ranges", comment, is(FROM, from->bridge), nft_match("==", IP_TO, prefix_value(&egress->to)),
				 is_protocol(egress->ports.protocol), nft_match("==", TO_PORT, ports_value(&egress->ports)), ACCEPT);
		else
			add_rule(r, "inet", "ranges", comment, is(FROM, from->bridge), nft_match("==", IP_TO, prefix_value(&egress->to)),
				 is_protocol(egress->ports.protocol), ACCEPT);
	}
}

static void forward_rules(struct ruleset *r, const struct firewall *firewall)
{
	add_rule(r, "inet", "forward", "no IPv6", is(nft_meta("nfproto"), "ipv6"), DROP);
	add_rule(r, "inet", "forward", "not where clouds answer with credentials", nft_match("==", IP_TO, nft_prefix("169.254.0.0/16")), DROP);
	add_rule(r, "inet", "forward", "within a tenant", in_set("@same", json_pack("[oo]", FROM, TO)), ACCEPT);
	add_rule(r, "inet", "forward", "a tenant's packets come from its prefix", is_not(FROM, firewall->uplink),
		 not_in_set("@sources", json_pack("[oo]", FROM, IP_FROM)), DROP);
	add_rule(r, "inet", "forward", "nothing outside has an address of the pool", is(FROM, firewall->uplink),
		 nft_match("==", IP_FROM, prefix_value(&firewall->pool)), nft_match("!=", IP_FROM, address_value(&firewall->host_address)), DROP);
	add_rule(r, "inet", "forward", "answers", state_is("established", "related"), ACCEPT);
	add_rule(r, "inet", "forward", "out of order", state_is("invalid", NULL), DROP);
	add_rule(r, "inet", "forward", "connections at once", is_not(FROM, firewall->uplink),
		 each_sender("connections", json_pack("{s{si,sb}}", "ct count", "val", CONNECTIONS_MAX, "inv", 1)), DROP);
	add_rule(r, "inet", "forward", "flows", in_set("@flows", json_pack("[oooo]", FROM, TO, PROTOCOL, TO_PORT)), ACCEPT);
	add_rule(r, "inet", "forward", "flows of every port", in_set("@flows_any", json_pack("[oo]", FROM, TO)), ACCEPT);
	add_rule(r, "inet", "forward", "published ports", is(FROM, firewall->uplink),
		 in_set("@published", json_pack("[ooo]", IP_TO, PROTOCOL, TO_PORT)), ACCEPT);
	add_rule(r, "inet", "forward", "no other way between tenants", is_not(TO, firewall->uplink), DROP);
	add_rule(r, "inet", "forward", "nor around by the uplink", nft_match("==", IP_TO, prefix_value(&firewall->pool)), DROP);
	add_rule(r, "inet", "forward", "ranges of addresses", json_pack("{s{ss}}", "jump", "target", "ranges"), NULL);
	add_rule(r, "inet", "forward", "special addresses are not the internet", in_set("@special", json_pack("[o]", IP_TO)), DROP);
	add_rule(r, "inet", "forward", "internet", in_set("@egress", json_pack("[ooo]", FROM, PROTOCOL, TO_PORT)), ACCEPT);
	add_rule(r, "inet", "forward", "internet, every port", in_set("@egress_any", json_pack("[o]", FROM)), ACCEPT);
	add_rule(r, "inet", "forward", "everything else", DROP);
}

static void gateway_rules(struct ruleset *r)
{
	add_rule(r, "inet", "input", "no IPv6", is(nft_meta("nfproto"), "ipv6"), DROP);
	add_rule(r, "inet", "input", "a tenant's packets come from its prefix", not_in_set("@sources", json_pack("[oo]", FROM, IP_FROM)), DROP);
	add_rule(r, "inet", "input", "only the own gateway", not_in_set("@gateways", json_pack("[oo]", FROM, IP_TO)), DROP);
	add_rule(r, "inet", "input", "too many questions", is_protocol(PROTOCOL_UDP), nft_match("==", TO_PORT, json_integer(53)),
		 each_sender("questions", limit_over(QUESTION_RATE, "bytes", RATE_BURST)), DROP);
	add_rule(r, "inet", "input", "names", nft_match("==", PROTOCOL, json_pack("{s[ii]}", "set", PROTOCOL_TCP, PROTOCOL_UDP)), nft_match("==", TO_PORT, json_integer(53)), ACCEPT);
	add_rule(r, "inet", "input", "too many echoes", is(nft_payload("icmp", "type"), "echo-request"),
		 each_sender("echoes", limit_over(ECHO_RATE, NULL, ECHO_RATE)), DROP);
	add_rule(r, "inet", "input", "echoes", is(nft_payload("icmp", "type"), "echo-request"), ACCEPT);
	add_rule(r, "inet", "input", "everything else", DROP);
	add_rule(r, "inet", "output", "no IPv6", is(nft_meta("nfproto"), "ipv6"), DROP);
	add_rule(r, "inet", "output", "answers", state_is("established", "related"), ACCEPT);
	add_rule(r, "inet", "output", "everything else", DROP);
}

static void frame_rules(struct ruleset *r)
{
	add_rule(r, "bridge", "frames", "no IPv6", is(nft_payload("ether", "type"), "ip6"), DROP);
	add_rule(r, "bridge", "frames", "the port's own hardware address", not_in_set("@hardware", json_pack("[oo]", FROM, nft_payload("ether", "saddr"))), DROP);
	add_rule(r, "bridge", "frames", "a true word about who has an address", is(nft_payload("ether", "type"), "arp"),
		 in_set("@hardware", json_pack("[oo]", FROM, nft_payload("arp", "saddr ether"))),
		 in_set("@addresses", json_pack("[oo]", FROM, nft_payload("arp", "saddr ip"))), ACCEPT);
	add_rule(r, "bridge", "frames", "the port's own address", is(nft_payload("ether", "type"), "ip"),
		 in_set("@addresses", json_pack("[oo]", FROM, IP_FROM)), ACCEPT);
	add_rule(r, "bridge", "frames", "everything else", DROP);
}

static void rate_chain(struct ruleset *r, const struct firewall_rate *rate, const char *direction, json_t *map)
{
	autofree char *chain = xasprintf("%s_%s", direction, rate->bridge);

	add_chain(r, "inet", chain, NULL, 0, NULL);
	add_rule(r, "inet", chain, "over the rate", limit_over(rate->rate, "bytes", RATE_BURST), DROP);
	json_add(map, json_pack("[s{s{ss}}]", rate->bridge, "jump", "target", chain));
}

static void add_map(struct ruleset *r, const char *name, json_t *elements)
{
	json_t *map = json_pack("{ss,ss,ss,ss,ss}", "family", "inet", "table", r->table, "name", name, "type", "ifname", "map", "verdict");

	if (json_array_size(elements))
		json_set(map, "elem", elements);
	else
		json_decref(elements);
	json_add(r->commands, nft_command("add", "map", map));
}

static void rate_rules(struct ruleset *r, const struct firewall *firewall)
{
	json_t *from = json_array(), *to = json_array();

	vec_each(&firewall->rates, rate) {
		rate_chain(r, rate, "from", from);
		rate_chain(r, rate, "to", to);
	}
	add_map(r, "rates_from", from);
	add_map(r, "rates_to", to);
	add_rule(r, "inet", "rates", "within a tenant", in_set("@same", json_pack("[oo]", FROM, TO)), ACCEPT);
	add_rule(r, "inet", "rates", "what tenants send", json_pack("{s{so,ss}}", "vmap", "key", FROM, "data", "@rates_from"), NULL);
	add_rule(r, "inet", "rates", "what tenants receive", json_pack("{s{so,ss}}", "vmap", "key", TO, "data", "@rates_to"), NULL);
}

static void add_sets(struct ruleset *r)
{
	for (const struct firewall_set *set = sets; set->family; set++) {
		json_t *types = json_array();
		json_t *what;

		for (size_t i = 0; i < ARRAY_LEN(set->types) && set->types[i]; i++)
			json_add(types, json_string(set->types[i]));
		what = json_pack("{ss,ss,ss}", "family", set->family, "table", r->table, "name", set->name);
		if (json_array_size(types) == 1) {
			json_object_set(what, "type", json_array_get(types, 0));
			json_decref(types);
		} else {
			json_set(what, "type", types);
		}
		if (set->flag)
			json_set(what, "flags", json_pack("[s]", set->flag));
		json_add(r->commands, nft_command("add", "set", what));
	}
}

/* All but the elements of sets. */
static json_t *skeleton(const struct firewall *firewall, const char *table)
{
	struct ruleset r = { table, json_array() };

	add_sets(&r);
	add_chain(&r, "inet", "ranges", NULL, 0, NULL);
	add_chain(&r, "inet", "forward", "forward", 0, "drop");
	add_chain(&r, "inet", "rates", "forward", 10, "accept");
	add_chain(&r, "inet", "input", "input", 0, "drop");
	add_chain(&r, "inet", "output", "output", 0, "drop");
	add_chain(&r, "bridge", "frames", "prerouting", -300, "drop");
	cidr_rules(&r, firewall);
	forward_rules(&r, firewall);
	gateway_rules(&r);
	rate_rules(&r, firewall);
	frame_rules(&r);
	return r.commands;
}

static const char *family_of(const char *set)
{
	for (const struct firewall_set *s = sets; s->family; s++)
		if (streq(s->name, set))
			return s->family;
	BUG("no set %s", set);
}

/* One command a set that has any. `skip` (or NULL): elements that are left out. */
static void element_commands(json_t *commands, const char *verb, const char *table, const struct firewall_elements *elements, const struct map *skip)
{
	for (const struct firewall_set *set = sets; set->family; set++) {
		json_t *values = json_array();

		vec_each(elements, element) {
			autofree char *identity = xasprintf("%s %s", element->set, element->text);

			if (streq(element->set, set->name) && !(skip && map_has(skip, identity)))
				json_array_append(values, element->value);
		}
		if (json_array_size(values))
			json_add(commands, nft_element(verb, family_of(set->name), table, set->name, values));
		else
			json_decref(values);
	}
}

json_t *firewall_commands(const struct firewall *firewall, const char *table)
{
	CLEANUP(firewall_elements_clear) struct firewall_elements elements = { 0 };
	static const char *const families[] = { "inet", "bridge" }, *const verbs[] = { "add", "delete", "add" };
	autojson json_t *rules = skeleton(firewall, table);
	json_t *commands = json_array();

	/* added first, so that its absence is no failure of the deletion */
	for (size_t v = 0; v < ARRAY_LEN(verbs); v++)
		for (size_t f = 0; f < ARRAY_LEN(families); f++)
			json_add(commands, nft_command(verbs[v], "table", json_pack("{ss,ss}", "family", families[f], "name", table)));
	json_array_extend(commands, rules);
	firewall_elements(firewall, &elements);
	element_commands(commands, "add", table, &elements, NULL);
	return commands;
}

struct identities { struct map map; VEC(char *) texts; };

static void identities_of(const struct firewall_elements *elements, struct identities *ret)
{
	vec_each(elements, element) {
		char *identity = xasprintf("%s %s", element->set, element->text);

		vec_push(&ret->texts, identity);
		map_set(&ret->map, identity, identity);
	}
}

static void identities_clear(struct identities *identities)
{
	map_clear(&identities->map);
	vec_each(&identities->texts, text)
		free(*text);
	vec_clear(&identities->texts);
}

json_t *firewall_changes(const struct firewall *from, const struct firewall *to, const char *table)
{
	CLEANUP(firewall_elements_clear) struct firewall_elements before = { 0 }, after = { 0 };
	CLEANUP(identities_clear) struct identities old = { 0 }, new = { 0 };
	autojson json_t *rules_before = skeleton(from, table), *rules_after = skeleton(to, table);
	json_t *commands;

	if (from->strangers || !json_equal(rules_before, rules_after))
		return NULL;
	firewall_elements(from, &before);
	firewall_elements(to, &after);
	identities_of(&before, &old);
	identities_of(&after, &new);
	commands = json_array();
	element_commands(commands, "delete", table, &before, &new.map);
	element_commands(commands, "add", table, &after, &old.map);
	return commands;
}
