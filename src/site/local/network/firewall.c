/* SPDX-License-Identifier: Apache-2.0 */
#include "firewall.h"

#include <stdlib.h>

static int decode_tenants(const json_t *body, struct firewall *ret, struct error *err)
{
	size_t i;
	json_t *item;

	json_array_foreach(json_get_array(body, "tenants"), i, item) {
		struct firewall_tenant *tenant = vec_add(&ret->tenants);

		if (body_string(item, "name", &tenant->name, err) < 0 || body_link(item, "bridge", tenant->bridge, err) < 0 ||
		    body_prefix(item, "prefix", &tenant->prefix, err) < 0 || body_address(item, "gateway", &tenant->gateway, err) < 0)
			return error_wrap(err, "tenants[%zu]", i);
	}
	return 0;
}

static int decode_ports(const json_t *body, struct firewall *ret, struct error *err)
{
	size_t i;
	json_t *item;

	json_array_foreach(json_get_array(body, "ports"), i, item) {
		struct firewall_port *port = vec_add(&ret->ports);

		if (body_string(item, "name", &port->name, err) < 0 || body_link(item, "link", port->link, err) < 0 ||
		    body_mac(item, "mac", port->mac, err) < 0 || body_address(item, "address", &port->address, err) < 0)
			return error_wrap(err, "ports[%zu]", i);
	}
	json_array_foreach(json_get_array(body, "rates"), i, item) {
		struct firewall_rate *rate = vec_add(&ret->rates);

		rate->rate = json_get_int(item, "rate", 0);
		if (body_link(item, "bridge", rate->bridge, err) < 0)
			return error_wrap(err, "rates[%zu]", i);
		if (rate->rate <= 0)
			return error_set(err, ERROR_INPUT, "rates[%zu]: the rate is not a number of bytes above 0", i);
	}
	return 0;
}

static bool find_tenant(const struct firewall *firewall, const char *name, size_t n, size_t *ret)
{
	for (size_t i = 0; i < firewall->tenants.n; i++) {
		if (strlen(firewall->tenants.items[i].name) == n && strncmp(firewall->tenants.items[i].name, name, n) == 0) {
			*ret = i;
			return true;
		}
	}
	return false;
}

/* "vision>audio tcp/8501": the sender, where what it reaches begins, and the ports. */
static int split_member(const struct firewall *firewall, const char *text, size_t *ret_from, const char **ret_to, size_t *ret_to_n,
			struct port_range *ret_ports, struct error *err)
{
	const char *arrow = strchr(text, '>'), *space = arrow ? strchr(arrow, ' ') : NULL;

	if (!space)
		return error_set(err, ERROR_INPUT, "'%.100s' is not of the form 'from>to ports'", text);
	if (!find_tenant(firewall, text, (size_t)(arrow - text), ret_from))
		return error_set(err, ERROR_INPUT, "'%.100s' is about a tenant that is not in the list", text);
	*ret_to = arrow + 1;
	*ret_to_n = (size_t)(space - arrow - 1);
	return port_range_parse(space + 1, ret_ports, err);
}

static int decode_flow(struct firewall *firewall, const char *text, struct error *err)
{
	struct firewall_flow flow = { 0 };
	const char *to;
	size_t to_n;

	if (split_member(firewall, text, &flow.from, &to, &to_n, &flow.ports, err) < 0)
		return -1;
	if (!find_tenant(firewall, to, to_n, &flow.to))
		return error_set(err, ERROR_INPUT, "'%.100s' is about a tenant that is not in the list", text);
	vec_push(&firewall->flows, flow);
	return 0;
}

static int decode_egress(struct firewall *firewall, const char *text, struct error *err)
{
	struct firewall_egress egress = { 0 };
	const char *to;
	size_t to_n;

	if (split_member(firewall, text, &egress.from, &to, &to_n, &egress.ports, err) < 0)
		return -1;
	egress.internet = to_n == strlen("internet") && strncmp(to, "internet", to_n) == 0;
	if (!egress.internet) {
		autofree char *prefix = xstrndup(to, to_n);

		if (prefix_parse(prefix, &egress.to, err) < 0)
			return -1;
		if (egress.to.address.family != AF_INET)
			return error_set(err, ERROR_INPUT, "'%.100s': only IPv4 leaves this site", text);
	}
	vec_push(&firewall->egress, egress);
	return 0;
}

static int decode_published(struct firewall *firewall, const char *text, struct error *err)
{
	struct firewall_published *published = vec_add(&firewall->published);
	const char *space = strchr(text, ' ');
	autofree char *address = xstrndup(text, space ? (size_t)(space - text) : strlen(text));

	if (!space)
		return error_set(err, ERROR_INPUT, "'%.100s' is not of the form 'address protocol/port'", text);
	if (address_parse(address, &published->address, err) < 0)
		return -1;
	return port_range_parse(space + 1, &published->ports, err);
}

static int decode_members(const json_t *body, const char *field, struct firewall *firewall,
			  int (*decode)(struct firewall *firewall, const char *text, struct error *err), struct error *err)
{
	size_t i;
	json_t *item;

	json_array_foreach(json_get_array(body, field), i, item) {
		if (!json_is_string(item))
			return error_set(err, ERROR_INPUT, "%s[%zu] is not text", field, i);
		if (body_is_stranger(json_string_value(item)))
			firewall->strangers++;
		else if (decode(firewall, json_string_value(item), err) < 0)
			return error_wrap(err, "%s", field);
	}
	return 0;
}

int firewall_decode(const json_t *body, struct firewall *ret, struct error *err)
{
	struct firewall firewall = { .body = json_incref((json_t *)body) };

	if (body_prefix(body, "pool", &firewall.pool, err) < 0 || body_link(body, "uplink", firewall.uplink, err) < 0 ||
	    body_address(body, "address", &firewall.address, err) < 0 || body_address(body, "hostAddress", &firewall.host_address, err) < 0 ||
	    decode_tenants(body, &firewall, err) < 0 || decode_ports(body, &firewall, err) < 0 ||
	    decode_members(body, "flows", &firewall, decode_flow, err) < 0 || decode_members(body, "egress", &firewall, decode_egress, err) < 0 ||
	    decode_members(body, "published", &firewall, decode_published, err) < 0) {
		firewall_clear(&firewall);
		return error_wrap(err, "firewall");
	}
	*ret = firewall;
	return 0;
}

void firewall_clear(struct firewall *firewall)
{
	vec_clear(&firewall->tenants);
	vec_clear(&firewall->flows);
	vec_clear(&firewall->egress);
	vec_clear(&firewall->ports);
	vec_clear(&firewall->published);
	vec_clear(&firewall->rates);
	json_decref(firewall->body);
	firewall->body = NULL;
}

static const struct firewall_tenant *tenant_of(const struct firewall *firewall, const struct address *address)
{
	vec_each(&firewall->tenants, tenant)
		if (prefix_contains(&tenant->prefix, address))
			return tenant;
	return NULL;
}

static bool flow_allowed(const struct firewall *firewall, size_t from, size_t to, uint8_t protocol, uint16_t port)
{
	vec_each(&firewall->flows, flow)
		if (flow->from == from && flow->to == to && port_range_contains(&flow->ports, protocol, port))
			return true;
	return false;
}

static bool egress_allowed(const struct firewall *firewall, size_t from, const struct address *to, uint8_t protocol, uint16_t port)
{
	if (prefix_contains(&firewall->pool, to))
		return false;
	vec_each(&firewall->egress, egress) {
		if (egress->from != from || !port_range_contains(&egress->ports, protocol, port))
			continue;
		if (egress->internet ? address_class(to) == ADDRESS_PUBLIC : prefix_contains(&egress->to, to))
			return true;
	}
	return false;
}

bool firewall_allows(const struct firewall *firewall, const struct address *from, const struct address *to, uint8_t protocol, uint16_t port)
{
	const struct firewall_tenant *sender = tenant_of(firewall, from), *receiver = tenant_of(firewall, to);

	if (address_is_metadata(to))
		return false;
	if (sender && sender == receiver)
		return true;
	if (sender && receiver)
		return flow_allowed(firewall, (size_t)(sender - firewall->tenants.items), (size_t)(receiver - firewall->tenants.items), protocol, port);
	if (sender)
		return egress_allowed(firewall, (size_t)(sender - firewall->tenants.items), to, protocol, port);
	vec_each(&firewall->published, p)
		if (receiver && address_equal(&p->address, to) && port_range_contains(&p->ports, protocol, port))
			return true;
	return false;
}
