/* SPDX-License-Identifier: Apache-2.0 */
#include "ports.h"

#include <stdio.h>

static const struct { const char *name; enum protocol protocol; bool ports; } protocols[] = {
	{ "tcp", PROTOCOL_TCP, true },
	{ "udp", PROTOCOL_UDP, true },
	{ "icmp", PROTOCOL_ICMP, false },
	{ "icmpv6", PROTOCOL_ICMPV6, false },
	{ "any", PROTOCOL_ANY, false },
};

const char *protocol_name(enum protocol protocol)
{
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
		if (protocols[i].protocol == protocol)
			return protocols[i].name;
	return "unknown";
}

bool protocol_has_ports(enum protocol protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP;
}

bool protocol_parse(const char *text, enum protocol *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
		if (streq(text, protocols[i].name)) {
			*ret = protocols[i].protocol;
			return true;
		}
	}
	return false;
}

static int range_error(const char *text, const char *why, struct error *err)
{
	error_set(err, ERROR_INPUT, "'%.60s' is not a port: %s", text, why);
	return error_hint(err, "write tcp/8501, udp/5000-5100, or tcp, udp, icmp, icmpv6 for all of it");
}

/* Digits without leading zeros, 1 to 65535; the address behind them or NULL. */
static const char *read_port(const char *s, uint16_t *ret)
{
	size_t digits = strspn(s, "0123456789");
	unsigned value = 0;

	if (!digits || digits > 5 || *s == '0')
		return NULL;
	for (size_t i = 0; i < digits; i++)
		value = value * 10 + (unsigned)(s[i] - '0');
	if (value > 65535)
		return NULL;
	*ret = (uint16_t)value;
	return s + digits;
}

int port_range_parse(const char *text, struct port_range *ret, struct error *err)
{
	const char *slash = strchr(text, '/'), *rest;
	struct port_range range = { .first = 0, .last = 65535, .mark = ret->mark };
	char name[8];
	size_t n = slash ? (size_t)(slash - text) : strlen(text);

	if (n >= sizeof(name))
		return range_error(text, "its protocol is not known", err);
	memcpy(name, text, n);
	name[n] = 0;
	if (!protocol_parse(name, &range.protocol))
		return range_error(text, strspn(text, "0123456789") ? "its protocol is missing" : "its protocol is not known", err);
	if (slash) {
		if (!protocol_has_ports(range.protocol))
			return range_error(text, "this protocol has no ports", err);
		rest = read_port(slash + 1, &range.first);
		if (!rest)
			return range_error(text, "port numbers go from 1 to 65535", err);
		range.last = range.first;
		if (*rest == '-') {
			rest = read_port(rest + 1, &range.last);
			if (!rest)
				return range_error(text, "port numbers go from 1 to 65535", err);
		}
		if (*rest)
			return range_error(text, "there is something behind the number", err);
		if (range.last < range.first)
			return range_error(text, "the range runs backwards", err);
	}
	*ret = range;
	return 0;
}

void port_range_format(const struct port_range *range, char text[static PORT_TEXT])
{
	const char *name = protocol_name(range->protocol);

	if (range->first == 0 && range->last == 65535)
		snprintf(text, PORT_TEXT, "%s", name);
	else if (range->first == range->last)
		snprintf(text, PORT_TEXT, "%s/%u", name, range->first);
	else
		snprintf(text, PORT_TEXT, "%s/%u-%u", name, range->first, range->last);
}

bool port_range_contains(const struct port_range *range, enum protocol protocol, uint16_t port)
{
	if (range->protocol != PROTOCOL_ANY && range->protocol != protocol)
		return false;
	return !protocol_has_ports(protocol) || (port >= range->first && port <= range->last);
}

bool port_ranges_contain(const struct port_ranges *ranges, enum protocol protocol, uint16_t port)
{
	for (size_t i = 0; i < ranges->n; i++)
		if (port_range_contains(&ranges->items[i], protocol, port))
			return true;
	return ranges->n == 0;
}
