/* SPDX-License-Identifier: Apache-2.0 */
/* Who may reach whom, as far as the words of the file can be wrong. */
#include "spec_internal.h"

#include "cidr.h"
#include "ports.h"

#include <stdio.h>
#include <stdlib.h>

/* Is everything that `wanted` names in `given`? An interval of ports counts when one interval of `given` covers it. */
static bool ports_cover(const struct port_ranges *given, const struct port_ranges *wanted)
{
	if (!given->n)
		return true;
	for (size_t i = 0; i < wanted->n; i++) {
		const struct port_range *range = &wanted->items[i];
		bool found = false;

		for (size_t j = 0; j < given->n && !found; j++)
			found = (given->items[j].protocol == PROTOCOL_ANY || given->items[j].protocol == range->protocol) &&
				given->items[j].first <= range->first && given->items[j].last >= range->last;
		if (!found)
			return false;
	}
	return wanted->n > 0;
}

static bool receiver_agrees(const struct tenant *receiver, const char *sender, const struct port_ranges *ports)
{
	for (size_t i = 0; i < receiver->allow_n; i++) {
		const struct allow *allow = &receiver->allow[i];

		if (!allow->to && streq(allow->tenant, sender) && ports_cover(&allow->ports, ports))
			return true;
	}
	return false;
}

static void check_peer_tenant(struct reading *reading, const struct tenant *tenant, const struct allow *allow)
{
	const struct tenant *other = intent_tenant(reading->intent, allow->tenant);

	if (!other)
		unknown_tenant(reading, allow->mark, allow->tenant);
	else if (other == tenant)
		finding_warning(reading->findings, allow->mark, "within a tenant everything is allowed already");
	else if (allow->to && !receiver_agrees(other, tenant->name, &allow->ports))
		finding_warning(reading->findings, allow->mark, "this opens nothing: the word of the receiver counts, and tenant %s has no from: {tenant: %s} for it",
				other->name, tenant->name);
}

/* Addresses that nobody may be given a way to: credentials of clouds, the machine itself, groups. */
static void check_cidr(struct reading *reading, const struct allow *allow)
{
	static const enum address_class refused[] = { ADDRESS_LINK_LOCAL, ADDRESS_LOOPBACK, ADDRESS_MULTICAST };
	const struct special_prefix *specials;
	struct error error = { 0 };
	struct prefix prefix;
	char text[PREFIX_TEXT];
	size_t n;

	if (prefix_parse(allow->cidr, &prefix, &error) < 0)
		return;		/* the form said so */
	specials = special_prefixes(&n);
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < ARRAY_LEN(refused); j++) {
			if (specials[i].class != refused[j] || !prefix_overlaps(&specials[i].prefix, &prefix))
				continue;
			prefix_format(&specials[i].prefix, text);
			finding_error(reading->findings, allow->mark, "cidr %s touches %s (%s), which is never allowed%s", allow->cidr, text,
				      address_class_name(refused[j]), prefix.length == 0 ? "; for public addresses write internet: true" : "");
			return;
		}
	}
	if (prefix.length == 128 && address_is_metadata(&prefix.address))
		finding_error(reading->findings, allow->mark, "cidr %s is a metadata address, which is never allowed", allow->cidr);
}

static void check_tenant(struct reading *reading, const struct tenant *tenant)
{
	for (size_t i = 0; i < tenant->allow_n; i++) {
		const struct allow *allow = &tenant->allow[i];

		if (allow->peer == PEER_TENANT)
			check_peer_tenant(reading, tenant, allow);
		else if (allow->peer == PEER_CIDR)
			check_cidr(reading, allow);
	}
}

/* Published ports */

static bool same_door(const struct service *a, const struct service *b)
{
	struct error error = { 0 };
	struct address x, y;
	bool all_x, all_y;

	if (a->publish_port != b->publish_port || a->protocol != b->protocol || address_parse(a->publish_address, &x, &error) < 0 ||
	    address_parse(b->publish_address, &y, &error) < 0 || x.family != y.family)
		return false;
	all_x = streq(a->publish_address, "0.0.0.0") || streq(a->publish_address, "::");
	all_y = streq(b->publish_address, "0.0.0.0") || streq(b->publish_address, "::");
	return all_x || all_y || address_equal(&x, &y);
}

static int by_port(const void *a, const void *b)
{
	const struct workload *x = *(const struct workload *const *)a, *y = *(const struct workload *const *)b;

	if (x->service->publish_port != y->service->publish_port)
		return x->service->publish_port < y->service->publish_port ? -1 : 1;
	return x < y ? -1 : 1;
}

static void check_published(struct reading *reading)
{
	VEC(const struct workload *) published = { 0 };

	vec_each(&reading->intent->workloads, workload)
		if (workload->service && workload->service->publish_address)
			vec_push(&published, (const struct workload *)workload);
	if (published.n > 1)
		qsort(published.items, published.n, sizeof(*published.items), by_port);
	for (size_t i = 1; i < published.n && reading->findings->items.n < FINDINGS_MAX; i++) {
		const struct workload *late = published.items[i];

		for (size_t j = i; j-- > 0 && published.items[j]->service->publish_port == late->service->publish_port;) {
			const struct workload *early = published.items[j];

			if (!same_door(early->service, late->service))
				continue;
			finding_error(reading->findings, spec_place(reading, late->mark, "publish", NULL), "%s:%u %s is published by %s/%s too (%s:%u)",
				      late->service->publish_address, late->service->publish_port, protocol_name(late->service->protocol), early->tenant, early->name,
				      early->mark.file, early->mark.line);
			break;
		}
	}
	vec_clear(&published);
}

static void check_pool(struct reading *reading)
{
	const struct site_intent *site = &reading->intent->site;
	struct mark mark = spec_place(reading, site->mark, "addressPool", NULL);
	struct error error = { 0 };
	struct prefix prefix;

	if (!site->address_pool || prefix_parse(site->address_pool, &prefix, &error) < 0)
		return;
	if (prefix.address.family != AF_INET || (address_class(&prefix.address) != ADDRESS_PRIVATE && address_class(&prefix.address) != ADDRESS_SHARED))
		finding_error(reading->findings, mark, "addressPool %s must be private IPv4: within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10",
			      site->address_pool);
	else if (prefix.length < 8 || prefix.length > 26)
		finding_error(reading->findings, mark, "addressPool %s must have a length from 8 to 26", site->address_pool);
}

void validate_network(struct reading *reading)
{
	vec_each(&reading->intent->tenants, tenant)
		check_tenant(reading, tenant);
	check_published(reading);
	check_pool(reading);
}
