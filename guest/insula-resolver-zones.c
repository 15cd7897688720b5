/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* The next word of a line, cut out; NULL at its end. */
static char *word(char **at)
{
	char *start = *at + strspn(*at, " ");
	size_t n = strcspn(start, " ");

	if (n == 0)
		return NULL;
	*at = start + n;
	if (**at)
		*(*at)++ = '\0';
	return start;
}

static bool read_address(const char *text, uint32_t *ret)
{
	struct in_addr address;

	if (!text || inet_pton(AF_INET, text, &address) != 1)
		return false;
	*ret = address.s_addr;
	return true;
}

static bool read_prefix(char *text, struct zone *zone)
{
	char *slash = text ? strchr(text, '/') : NULL;
	long length;
	char *end;

	if (!slash)
		return false;
	*slash = '\0';
	length = strtol(slash + 1, &end, 10);
	if (*end || end == slash + 1 || length < 1 || length > 32 || !read_address(text, &zone->network))
		return false;
	zone->mask = htonl(0xffffffffu << (32 - length));
	return (zone->network & ~zone->mask) == 0;
}

static bool read_zone(char *rest, struct zones *zones)
{
	struct zone *zone = &zones->zones[zones->n];
	const char *egress;

	memset(zone, 0, sizeof(*zone));
	zone->names = zones->names + zones->name_n;
	if (!word(&rest) || !read_prefix(word(&rest), zone) || !read_address(word(&rest), &zone->gateway))
		return false;
	egress = word(&rest);
	zone->egress = egress && strcmp(egress, "1") == 0;
	zones->n++;
	return true;
}

static bool read_name(char *rest, struct zones *zones)
{
	struct zone_name *name = &zones->names[zones->name_n];

	if (zones->n == 0)
		return false;
	name->name = word(&rest);
	if (!name->name || strlen(name->name) >= DNS_NAME_MAX || !read_address(word(&rest), &name->address))
		return false;
	zones->name_n++;
	zones->zones[zones->n - 1].name_n++;
	return true;
}

static bool read_line(char *line, struct zones *zones)
{
	char *rest = line, *what = word(&rest);

	if (!what)
		return true;
	if (strcmp(what, "zone") == 0)
		return read_zone(rest, zones);
	if (strcmp(what, "name") == 0)
		return read_name(rest, zones);
	if (strcmp(what, "upstream") == 0)
		return zones->upstream_n >= UPSTREAMS_MAX || (read_address(word(&rest), &zones->upstreams[zones->upstream_n]) && ++zones->upstream_n);
	if (strcmp(what, "digest") == 0) {
		const char *digest = word(&rest);

		if (!digest || strlen(digest) >= sizeof(zones->digest))
			return false;
		memcpy(zones->digest, digest, strlen(digest) + 1);
		return true;
	}
	return false;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct zone_name *)a)->name, ((const struct zone_name *)b)->name);
}

static int compare_zones(const void *left, const void *right)
{
	uint32_t a = ntohl(((const struct zone *)left)->network), b = ntohl(((const struct zone *)right)->network);

	return a < b ? -1 : a > b;
}

static size_t count_lines(const char *text, const char *what)
{
	size_t n = 0, length = strlen(what);

	for (; text; text = strchr(text, '\n'), text = text ? text + 1 : NULL)
		n += strncmp(text, what, length) == 0;
	return n;
}

int zones_parse(char *text, struct zones *ret)
{
	struct zones zones = { .text = text };
	bool good;

	zones.zones = calloc(count_lines(text, "zone ") + 1, sizeof(*zones.zones));
	zones.names = calloc(count_lines(text, "name ") + 1, sizeof(*zones.names));
	good = zones.zones && zones.names;
	for (char *line = text, *end; good && *line; line = end) {
		end = line + strcspn(line, "\n");
		if (*end)
			*end++ = '\0';
		good = read_line(line, &zones);
	}
	if (!good) {
		zones_clear(&zones);
		return -1;
	}
	for (size_t i = 0; i < zones.n; i++)
		qsort(zones.zones[i].names, zones.zones[i].name_n, sizeof(struct zone_name), compare_names);
	qsort(zones.zones, zones.n, sizeof(*zones.zones), compare_zones);
	*ret = zones;
	return 0;
}

void zones_clear(struct zones *zones)
{
	free(zones->text);
	free(zones->zones);
	free(zones->names);
	memset(zones, 0, sizeof(*zones));
}

struct zone *zones_find(struct zones *zones, uint32_t address)
{
	size_t low = 0, high = zones->n;
	struct zone *zone;

	/* the last one whose network is not above the address; they do not overlap */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ntohl(zones->zones[middle].network) <= ntohl(address))
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	zone = &zones->zones[low - 1];
	return (address & zone->mask) == zone->network ? zone : NULL;
}

const struct zone_name *zone_lookup(const struct zone *zone, const char *name, size_t *ret_n)
{
	size_t low = 0, high = zone->name_n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(zone->names[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_n = 0;
	while (low + *ret_n < zone->name_n && strcmp(zone->names[low + *ret_n].name, name) == 0)
		(*ret_n)++;
	return &zone->names[low];
}

/* The longest name of an address is the one of the replica. */
static const char *name_of(const struct zone *zone, uint32_t address)
{
	const char *best = NULL;

	for (size_t i = 0; i < zone->name_n; i++)
		if (zone->names[i].address == address && (!best || strlen(zone->names[i].name) > strlen(best)))
			best = zone->names[i].name;
	return best;
}

static void judge_own_name(const struct zone *zone, const struct dns_query *query, unsigned rotation, struct verdict *ret)
{
	size_t n;
	const struct zone_name *found = zone_lookup(zone, query->name, &n);

	if (n == 0) {
		ret->reply.code = DNS_NXDOMAIN;
		return;
	}
	/* another kind of record: the name is there, the record is not */
	if (query->type != DNS_TYPE_A && query->type != DNS_TYPE_ANY)
		return;
	ret->reply.address_n = n < ANSWERS_MAX ? n : ANSWERS_MAX;
	for (size_t i = 0; i < ret->reply.address_n; i++)
		ret->addresses[i] = found[(i + rotation) % n].address;
	ret->reply.addresses = ret->addresses;
}

void resolver_judge(struct zones *zones, const struct zone *zone, const struct dns_query *query, unsigned rotation, struct verdict *ret)
{
	uint32_t address;

	memset(ret, 0, sizeof(*ret));
	ret->reply.ttl = TTL_OURS;
	ret->reply.authoritative = true;
	if (query->class != DNS_CLASS_IN) {
		ret->reply.code = DNS_REFUSED;
	} else if (dns_name_within(query->name, DOMAIN_OURS)) {
		judge_own_name(zone, query, rotation, ret);
	} else if (dns_reverse_name(query->name, &address) && zones_find(zones, address)) {
		ret->names[0] = name_of(zone, address);
		if (!ret->names[0])
			ret->reply.code = DNS_NXDOMAIN;
		else if (query->type == DNS_TYPE_PTR || query->type == DNS_TYPE_ANY)
			ret->reply.name_n = 1;
		ret->reply.names = ret->names;
	} else if (!zone->egress || zones->upstream_n == 0) {
		ret->reply.authoritative = false;
		ret->reply.code = DNS_REFUSED;
	} else {
		ret->kind = VERDICT_FORWARD;
	}
}
