/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works
 *
 * The scene: for each tenant up to two instances with a tap on their links, a tap on each tenant's link in the router,
 * one on the host's end of the uplink. Then controls are sent: echo requests that surely pass. What they show (the hardware
 * address of the gateway, that every tap sees) is needed by the rest; a tap whose control stays unanswered is a difference by
 * itself, for nothing that it does not see proves anything.
 *
 * Then all probes of all topics are queued, each with a row that says what the file says (reach_evaluate), sent at once
 * (wire_run), and each row is closed with what was seen. Names and devices have their own ways and add their rows last.
 */
#include "prove_internal.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TRIES 6
#define CONTROL_TRIES 12
#define PUBLISHED_TAPS_MAX 64

static const struct { const char *name, *title; } topics[PROVE_TOPICS] = {
	[PROVE_CONTROL] = { "control", "controls" },
	[PROVE_BETWEEN] = { "between", "between tenants" },
	[PROVE_WITHIN] = { "within", "within a tenant" },
	[PROVE_HOST] = { "host", "services of the host and the gateways" },
	[PROVE_METADATA] = { "metadata", "metadata address" },
	[PROVE_INTERNET] = { "internet", "public addresses" },
	[PROVE_PRIVATE] = { "private", "private ranges outside" },
	[PROVE_CIDR] = { "cidr", "declared address ranges" },
	[PROVE_PUBLISHED] = { "published", "published ports" },
	[PROVE_FROM_HOST] = { "from-host", "from the host" },
	[PROVE_SPOOFING] = { "spoofing", "spoofed sources" },
	[PROVE_MTU] = { "mtu", "do-not-fragment at the MTU's edge" },
	[PROVE_NAMES] = { "names", "names" },
	[PROVE_DEVICES] = { "devices", "devices" },
};

const char *prove_topic_name(enum prove_topic topic) { return topics[topic].name; }
const char *prove_topic_title(enum prove_topic topic) { return topics[topic].title; }

void prove_report_clear(struct prove_report *report)
{
	vec_clear(&report->rows);
	vec_clear(&report->skipped);
	arena_clear(&report->arena);
}

const char *prove_print(struct scene *scene, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	autofree char *text = xvasprintf(format, ap);
	va_end(ap);
	return arena_intern(&scene->report->arena, text);
}

void prove_skip(struct scene *scene, const char *what, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	autofree char *why = xvasprintf(format, ap);
	va_end(ap);
	vec_push(&scene->report->skipped, ((struct prove_skip){ arena_strdup(&scene->report->arena, what), arena_strdup(&scene->report->arena, why) }));
}

void prove_progress(const struct scene *scene, const char *text, size_t done, size_t total)
{
	if (scene->options->progress)
		scene->options->progress(scene->options->progress_arg, text, done, total);
}

const char *prove_address_text(struct scene *scene, const struct address *address)
{
	char text[INET6_ADDRSTRLEN] = "?";

	inet_ntop(address->family, address->bytes, text, sizeof(text));
	return arena_intern(&scene->report->arena, text);
}

const char *prove_endpoint_name(const struct scene *scene, uint32_t endpoint)
{
	return endpoint == WORLD_NONE ? NULL : scene->world->endpoints.items[endpoint].name;
}

static const char *intern(struct scene *scene, const char *s)
{
	return s ? arena_intern(&scene->report->arena, s) : NULL;
}

struct prove_row *prove_add_row(struct scene *scene, enum prove_topic topic, const char *from, const char *from_tenant, const char *to, const char *to_tenant)
{
	struct prove_row *row = vec_add(&scene->report->rows);

	row->topic = topic;
	row->from = intern(scene, from);
	row->from_tenant = intern(scene, from_tenant);
	row->to = intern(scene, to);
	row->to_tenant = intern(scene, to_tenant);
	return row;
}

void prove_finish_row(struct prove_row *row, bool observed, const char *detail)
{
	row->observed = observed;
	row->ok = observed == row->expected;
	row->detail = detail;
}

void prove_add(struct scene *scene, uint32_t tap, const struct trial *trial, const struct packet *packet, const struct probe *probe)
{
	struct verdict verdict = reach_evaluate(scene->world, packet);
	struct probe p = *probe;
	struct address destination = packet->destination;

	if (!destination.family && packet->to != WORLD_NONE) {
		const struct address *own = reach_address_of(scene->world, packet->to, packet->family);
		if (own)
			destination = *own;
	}
	const struct endpoint *from = packet->from == WORLD_NONE ? NULL : &scene->world->endpoints.items[packet->from];
	const struct endpoint *to = packet->to == WORLD_NONE ? NULL : &scene->world->endpoints.items[packet->to];
	struct prove_row *row = prove_add_row(scene, trial->topic, from ? from->name : scene->wire.taps.items[tap].name, from ? from->tenant : NULL,
					      trial->to ? trial->to : to ? to->name : prove_address_text(scene, &destination),
					      trial->to_tenant ? trial->to_tenant : to && to->kind == ENDPOINT_INSTANCE ? to->tenant : NULL);
	row->protocol = protocol_text(packet->protocol);
	row->family = packet->family;
	row->port = packet->port;
	row->what = intern(scene, trial->what);
	row->expected = verdict.allowed;
	row->rule = intern(scene, verdict.rule ? verdict.rule->name : NULL);
	row->reason = intern(scene, verdict.text);

	p.from = tap;
	p.shape.family = packet->family;
	p.shape.protocol = packet->protocol;
	p.shape.port = packet->port;
	p.shape.destination = destination;
	p.shape.source = packet->source;
	p.shape.size = (size_t)packet->size;
	p.shape.dont_fragment = packet->dont_fragment;
	p.shape.ttl = p.shape.ttl ? p.shape.ttl : PROVE_TTL;
	p.wanted = verdict.allowed;
	vec_push(&scene->probes, p);
	vec_push(&scene->probe_rows, (uint32_t)scene->report->rows.n - 1);
}

/* "arrived, answered", "did not arrive", "refused by its own network stack: Message too long" */
static const char *probe_detail(struct scene *scene, const struct probe *p)
{
	const char *at = !p->arrived || p->arrived_at == WIRE_ANYWHERE ? "" : scene->wire.taps.items[p->arrived_at].name;

	if (p->arrived)
		return prove_print(scene, "arrived%s%s%s", *at ? " at " : "", at,
				   p->reset ? ", answered: nobody listens" : p->answered ? ", answered" : p->need_answer ? ", but no answer came back" : "");
	if (p->send_errno)
		return prove_print(scene, "refused by its own network stack: %s", strerror(p->send_errno));
	if (p->refused)
		return prove_print(scene, "refused: ICMP type %u code %u", p->error_type, p->error_code);
	return p->left ? "did not arrive" : "did not leave: no neighbour there";
}

static int run_probes(struct scene *scene, unsigned tries, struct error *err)
{
	if (wire_run(&scene->wire, scene->probes.items, scene->probes.n, scene->barriers.items, scene->barriers.n, tries, err) < 0)
		return -1;
	for (size_t i = 0; i < scene->probes.n; i++) {
		struct probe *p = &scene->probes.items[i];
		bool observed = p->arrived && (!p->wanted || !p->need_answer || p->answered);

		prove_finish_row(&scene->report->rows.items[scene->probe_rows.items[i]], observed, probe_detail(scene, p));
	}
	return 0;
}

static int compare_endpoints(const void *a, const void *b, void *arg)
{
	const struct world *world = arg;

	return strcmp(world->endpoints.items[*(const uint32_t *)a].name, world->endpoints.items[*(const uint32_t *)b].name);
}

/* A tap in an instance; false: it cannot be entered (says why in the report). */
static bool add_instance_tap(struct scene *scene, uint32_t endpoint, uint32_t *ret)
{
	const struct prove_options *options = scene->options;
	const char *name = prove_endpoint_name(scene, endpoint);
	const struct address *address = reach_address_of(scene->world, endpoint, AF_INET);
	struct error err = { 0 };
	int netns = -1;

	if (!address) {
		prove_skip(scene, name, "it has no IPv4 address");
		return false;
	}
	if (options->ops->enter(options->site, name, &netns, &err) < 0 ||
	    wire_add_tap(&scene->wire, name, netns, address, ret, &err) < 0) {
		prove_skip(scene, name, "no instance: %s", err.message);
		return false;
	}
	scene->wire.taps.items[*ret].instance = true;
	return true;
}

static struct subject *subject_of(struct scene *scene, const char *tenant)
{
	vec_each(&scene->subjects, s)
		if (streq(s->tenant, tenant))
			return s;
	struct subject *s = vec_add(&scene->subjects);
	*s = (struct subject){ .tenant = tenant, .endpoints = { WORLD_NONE, WORLD_NONE }, .taps = { WORLD_NONE, WORLD_NONE }, .gateway = WORLD_NONE, .gateway_tap = WORLD_NONE };
	return s;
}

static void find_gateway(struct scene *scene, struct subject *subject)
{
	const struct world *world = scene->world;
	uint32_t port = world->endpoints.items[subject->endpoints[0]].port;

	if (port != WORLD_NONE && world->ports.items[port].link != WORLD_NONE)
		subject->gateway_address = world->links.items[world->ports.items[port].link].gateway;
	for (uint32_t i = 0; i < world->endpoints.n; i++) {
		const struct endpoint *e = &world->endpoints.items[i];
		const struct address *address = e->kind == ENDPOINT_GATEWAY && e->tenant && streq(e->tenant, subject->tenant) ? reach_address_of(world, i, AF_INET) : NULL;
		if (address) {
			subject->gateway = i;
			subject->gateway_address = *address;
		}
	}
}

/* Does a live rule, in the words of a firewall, name this address? */
static bool rule_names(const json_t *json, const char *address, int depth)
{
	const char *key, *text = json_string_value(json), *at;
	json_t *value;
	size_t i;

	if (text && strstr(text, "dport ") && (at = strstr(text, address)))
		return !strchr("0123456789", at[strlen(address)]) || !at[strlen(address)];
	if (depth > 16)
		return false;
	json_array_foreach((json_t *)(uintptr_t)json, i, value)
		if (rule_names(value, address, depth + 1))
			return true;
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
		if (rule_names(value, address, depth + 1))
			return true;
	return false;
}

static bool named_by_a_rule(struct scene *scene, uint32_t endpoint)
{
	const struct resources *actual = scene->options->actual;
	const struct address *address = reach_address_of(scene->world, endpoint, AF_INET);

	for (size_t i = 0; address && actual && i < actual->n; i++)
		if (rule_names(actual->items[i]->body, prove_address_text(scene, address), 0))
			return true;
	return false;
}

typedef VEC(uint32_t) endpoints;

/* Instances by name; those that a rule added by hand names come first, so that it is tried with them. */
static void order_endpoints(struct scene *scene, endpoints *order)
{
	const struct world *world = scene->world;
	endpoints all = { 0 };

	for (uint32_t i = 0; i < world->endpoints.n; i++)
		if (world->endpoints.items[i].kind == ENDPOINT_INSTANCE && world->endpoints.items[i].tenant)
			vec_push(&all, i);
	if (all.n)
		qsort_r(all.items, all.n, sizeof(uint32_t), compare_endpoints, (void *)(uintptr_t)world);
	for (int named = 1; named >= 0; named--)
		vec_each(&all, e)
			if (named_by_a_rule(scene, *e) == named)
				vec_push(order, *e);
	vec_clear(&all);
}

static int compare_subjects(const void *a, const void *b)
{
	return strcmp(((const struct subject *)a)->tenant, ((const struct subject *)b)->tenant);
}

/* Each tenant with its first two instances that can be entered. */
static void build_subjects(struct scene *scene)
{
	const struct world *world = scene->world;
	endpoints order = { 0 };

	order_endpoints(scene, &order);
	vec_each(&order, e) {
		struct subject *s = subject_of(scene, world->endpoints.items[*e].tenant);
		int slot = s->endpoints[0] == WORLD_NONE ? 0 : 1;

		if (s->endpoints[1] == WORLD_NONE && add_instance_tap(scene, *e, &s->taps[slot]))
			s->endpoints[slot] = *e;
	}
	vec_clear(&order);
	size_t kept = 0;
	for (size_t i = 0; i < scene->subjects.n; i++)
		if (scene->subjects.items[i].endpoints[0] != WORLD_NONE)
			scene->subjects.items[kept++] = scene->subjects.items[i];
		else
			prove_skip(scene, scene->subjects.items[i].tenant, "not proven: the tenant has no instance here");
	scene->subjects.n = kept;
	if (kept)
		qsort(scene->subjects.items, kept, sizeof(struct subject), compare_subjects);
	vec_each(&scene->subjects, s)
		find_gateway(scene, s);
}

static bool in_subnet(const struct netns_address *of, const struct address *address)
{
	struct prefix prefix = prefix_of(&of->address, of->length);

	return of->length > 0 && of->length < 32 && prefix_contains(&prefix, address);
}

/* The router's links to the tenants, and the host's link that shares a network with the router. */
static int build_router_and_host(struct scene *scene, struct error *err)
{
	const struct prove_options *options = scene->options;
	autofd int router = -1, host = -1;

	if (options->ops->enter(options->site, "", &router, err) < 0 || options->ops->enter(options->site, "host", &host, err) < 0 ||
	    netns_read_addresses(router, &scene->router_addresses, err) < 0 || netns_read_addresses(host, &scene->host_addresses, err) < 0)
		return -1;
	vec_each(&scene->subjects, s) {
		if (!s->gateway_address.family)
			continue;
		struct error ignored = { 0 };
		if (wire_add_tap(&scene->wire, prove_print(scene, "the gateway of %s", s->tenant), dup(router), &s->gateway_address, &s->gateway_tap, &ignored) < 0)
			s->gateway_tap = WORLD_NONE;
		else
			scene->router_tap = s->gateway_tap;
	}
	vec_each(&scene->host_addresses, h)
		vec_each(&scene->router_addresses, r)
			if (scene->host_tap == WORLD_NONE && in_subnet(h, &r->address) &&
			    wire_add_tap(&scene->wire, "host", dup(host), &h->address, &scene->host_tap, err) < 0)
				return -1;
	if (scene->router_tap != WORLD_NONE && wire_listen(&scene->wire, scene->router_tap, err) < 0)
		return -1;
	if (scene->host_tap == WORLD_NONE)
		prove_skip(scene, "host", "no link of the host shares a network with the router: nothing is proven about the host and outside");
	else if (wire_listen(&scene->wire, scene->host_tap, err) < 0)
		return -1;
	for (uint32_t i = 0; i < scene->world->endpoints.n; i++)
		if (scene->world->endpoints.items[i].kind == ENDPOINT_HOST && scene->host == WORLD_NONE)
			scene->host = i;
	return 0;
}

uint32_t prove_publication_group(const struct world *world, uint32_t publication)
{
	const struct publication *p = &world->publications.items[publication];

	for (uint32_t i = 0; i < publication; i++)
		if (streq(world->publications.items[i].tenant, p->tenant) && streq(world->publications.items[i].workload, p->workload))
			return i + 1;
	return publication + 1;
}

/* A publication leads to any instance of its workload: each needs a tap, in one group. */
static void build_published(struct scene *scene)
{
	const struct world *world = scene->world;
	size_t added = 0;

	for (uint32_t p = 0; p < world->publications.n; p++)
		for (uint32_t i = 0; i < world->instances.n; i++) {
			const struct instance *instance = &world->instances.items[i];
			uint32_t tap = WORLD_NONE;

			if (!streq(instance->tenant, world->publications.items[p].tenant) || !streq(instance->workload, world->publications.items[p].workload))
				continue;
			for (uint32_t t = 0; t < scene->wire.taps.n; t++)
				if (streq(scene->wire.taps.items[t].name, instance->key))
					tap = t;
			if (tap == WORLD_NONE && instance->endpoint != WORLD_NONE && added++ < PUBLISHED_TAPS_MAX)
				if (!add_instance_tap(scene, instance->endpoint, &tap))
					tap = WORLD_NONE;
			if (tap != WORLD_NONE)
				scene->wire.taps.items[tap].group = prove_publication_group(world, p);
		}
}

static int run_controls(struct scene *scene, struct error *err)
{
	prove_queue_controls(scene);
	prove_progress(scene, "controls", 0, scene->probes.n);
	if (run_probes(scene, CONTROL_TRIES, err) < 0)
		return -1;
	for (size_t i = 0; i < scene->probes.n; i++) {
		const struct probe *p = &scene->probes.items[i];
		struct prove_row *row = &scene->report->rows.items[scene->probe_rows.items[i]];

		vec_each(&scene->subjects, s) {
			if (p->from != s->taps[0] || !p->answered)
				continue;
			memcpy(s->gateway_mac, p->answer_mac, 6);
			s->gateway_mac_known = s->controlled = true;
		}
		if (!row->observed) {
			row->detail = prove_print(scene, "%s: what it does not see proves nothing", row->detail);
			continue;
		}
		struct probe barrier = { .shape = p->shape, .from = p->from, .by_answer = true, .wanted = true, .need_answer = true };
		barrier.shape.source_port = 0;
		vec_push(&scene->barriers, barrier);
	}
	vec_clear(&scene->probes);
	vec_clear(&scene->probe_rows);
	return 0;
}

/* Where a flow does not pass at all, its packets of the largest size say nothing more: they are not a second difference. */
static void drop_dependent(struct scene *scene)
{
	struct prove_report *report = scene->report;
	size_t kept = 0;

	for (size_t i = 0; i < report->rows.n; i++) {
		struct prove_row row = report->rows.items[i];
		bool depends = false;

		for (size_t k = 0; row.topic == PROVE_MTU && !row.ok && k < kept && !depends; k++) {
			const struct prove_row *base = &report->rows.items[k];
			depends = base->topic == PROVE_BETWEEN && !base->ok && base->from == row.from && base->to == row.to && base->port == row.port && streq(base->protocol, row.protocol);
		}
		if (depends)
			prove_skip(scene, prove_print(scene, "%s > %s %s/%u", row.from, row.to, row.protocol, row.port), "%s: its flow does not pass", row.what);
		else
			report->rows.items[kept++] = row;
	}
	report->rows.n = kept;
}

static int run_scene(struct scene *scene, struct error *err)
{
	prove_progress(scene, "opening namespaces", 0, 0);
	build_subjects(scene);
	if (scene->subjects.n == 0) {
		(void)error_set(err, ERROR_NOT_FOUND, "nothing to prove: no tenant has an instance here");
		return error_hint(err, "run 'insula apply' first");
	}
	if (build_router_and_host(scene, err) < 0)
		return -1;
	build_published(scene);
	prove_collect_hints(scene);
	if (run_controls(scene, err) < 0)
		return -1;
	prove_queue_between(scene);
	prove_queue_within(scene);
	prove_queue_host(scene);
	prove_queue_outside(scene);
	prove_queue_published(scene);
	prove_queue_spoofing(scene);
	prove_queue_mtu(scene);
	prove_progress(scene, "packets", 0, scene->probes.n);
	if (run_probes(scene, TRIES, err) < 0)
		return -1;
	drop_dependent(scene);
	prove_progress(scene, "names", 0, 0);
	if (prove_names(scene, err) < 0)
		return -1;
	if (scene->options->no_devices)
		return 0;
	prove_progress(scene, "devices", 0, 0);
	return prove_devices(scene, err);
}

int prove_run(const struct prove_options *options, struct prove_report *ret, struct error *err)
{
	struct prove_report report = { .seed = options->seed };
	struct scene scene = { .options = options, .world = options->desired, .report = &report,
			       .host = WORLD_NONE, .host_tap = WORLD_NONE, .router_tap = WORLD_NONE };
	int64_t started = clock_monotonic_ns(&clock_system);

	if (!options->ops->enter)
		return error_set(err, ERROR_UNSUPPORTED, "the site %s has no proof: its networks cannot be entered", options->ops->name);
	arena_init(&report.arena);
	int r = wire_init(&scene.wire, err);
	if (r == 0)
		r = run_scene(&scene, err);
	wire_clear(&scene.wire);
	vec_clear(&scene.probes);
	vec_clear(&scene.probe_rows);
	vec_clear(&scene.barriers);
	vec_clear(&scene.subjects);
	vec_clear(&scene.hints);
	vec_clear(&scene.host_addresses);
	vec_clear(&scene.router_addresses);
	if (r < 0) {
		prove_report_clear(&report);
		return -1;
	}
	vec_each(&report.rows, row)
		report.differences += !row->ok;
	report.ms = (clock_monotonic_ns(&clock_system) - started) / 1000000;
	*ret = report;
	return 0;
}
