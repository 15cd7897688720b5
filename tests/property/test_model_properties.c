/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random files, seeded. A case is a small list of numbers; when a property fails, the case is made
 * smaller while it still fails, and the smallest one is printed with its seed, as a file.
 */
#include "helper.h"

#include "base/rng.h"
#include "base/vec.h"
#include "model/expand.h"
#include "model/ports.h"
#include "model/quantity.h"
#include "model/spec.h"

#define CASES 150
#define TENANTS 12
#define WORKLOADS 4

/* What a random file is made of. */
struct team { bool present; unsigned limit, workloads, replicas[WORKLOADS], from, published; };
struct file { struct team teams[TENANTS]; };

static struct file file_random(struct rng *rng)
{
	struct file file = { 0 };

	for (int t = 0; t < TENANTS; t++) {
		struct team *team = &file.teams[t];

		team->present = rng_below(rng, 4) > 0;
		team->limit = rng_below(rng, 3) ? 0 : 40 + (unsigned)rng_below(rng, 300);
		team->workloads = (unsigned)rng_below(rng, WORKLOADS + 1);
		for (int w = 0; w < WORKLOADS; w++)
			team->replicas[w] = (unsigned)rng_below(rng, 10);
		team->from = (unsigned)rng_below(rng, TENANTS + 1);
		team->published = (unsigned)rng_below(rng, 2);
	}
	return file;
}

static void file_text(const struct file *file, struct buf *ret)
{
	buf_adds(ret, "# made\n");
	for (int t = 0; t < TENANTS; t++) {
		const struct team *team = &file->teams[t];
		unsigned from = team->from;

		if (!team->present)
			continue;
		buf_addf(ret, "---\napiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: t%d}\nspec:\n  weight: 1\n", t);
		if (team->limit)
			buf_addf(ret, "  limit: {instances: %u}\n", team->limit);
		if (from < TENANTS && file->teams[from].present)
			buf_addf(ret, "  network: {allow: [{from: {tenant: t%u}, ports: [tcp/80]}]}\n", from);
		for (unsigned w = 0; w < team->workloads; w++) {
			bool service = team->published && w == 0;

			buf_addf(ret, "---\napiVersion: insula.dev/v1\nkind: %s\nmetadata: {name: w%u, tenant: t%d}\nspec: {image: host, replicas: %u%s",
				 service ? "Service" : "Workload", w, t, team->replicas[w], service ? ", port: 80, publish: {port: " : "");
			if (service)
				buf_addf(ret, "%d}", 8000 + t);
			buf_adds(ret, "}\n");
		}
	}
}

/* A file, decided after `old` and expanded. */
struct made { struct intent intent; struct survey survey; json_t *decisions; struct world world; };

static void make(struct made *made, const struct file *file, const json_t *old, bool keep_absent)
{
	autobuf struct buf text = { 0 };
	autofindings struct findings findings = { 0 };
	struct source source = { "/made.yaml", NULL, 0 };
	struct error err = { 0 };

	file_text(file, &text);
	source.text = text.data;
	source.n = text.n;
	*made = (struct made){ 0 };
	assert_ok(spec_parse(&source, 1, &made->intent, &findings, &err));
	survey_init(&made->survey);
	vec_push(&made->survey.nodes, ((struct node){ .name = "self", .cpu = 2000, .memory = 1 << 30, .pods = AMOUNT_NONE, .link = WORLD_NONE }));
	made->survey.uplink_mtu = 1500;
	made->survey.methods[METHOD_CONTAINER] = true;
	assert_ok(decisions_make(&made->intent, &made->survey, old, keep_absent, &made->decisions, &err));
	assert_ok(world_expand(&made->intent, &made->survey, made->decisions, &made->world, &err));
}

static void made_clear(struct made *made)
{
	json_decref(made->decisions);
	world_clear(&made->world);
	survey_clear(&made->survey);
	intent_clear(&made->intent);
}

static bool same_address(const struct world *world, size_t a, size_t b)
{
	return address_equal(&world->endpoints.items[a].addresses[0], &world->endpoints.items[b].addresses[0]);
}

/* What every world must be; NULL or what is wrong. */
static const char *world_fault(const struct world *world)
{
	for (size_t i = 0; i < world->links.n; i++) {
		const struct link *link = &world->links.items[i];

		if (link->parent != WORLD_NONE && link->mtu > world->links.items[link->parent].mtu - world->links.items[link->parent].overhead)
			return "a link is larger than its parent";
		for (size_t j = 0; j < i; j++)
			if (prefix_overlaps(&link->prefix, &world->links.items[j].prefix))
				return "two links overlap";
	}
	for (size_t i = 0; i < world->endpoints.n; i++) {
		const struct endpoint *endpoint = &world->endpoints.items[i];
		const struct link *link;

		for (size_t j = 0; j < i; j++)
			if (endpoint->address_n && world->endpoints.items[j].address_n && same_address(world, i, j))
				return "an address is there twice";
		if (endpoint->kind != ENDPOINT_INSTANCE)
			continue;
		link = &world->links.items[world->ports.items[endpoint->port].link];
		if (!prefix_contains(&link->prefix, &endpoint->addresses[0]) || !streq(link->tenant, endpoint->tenant))
			return "an instance is outside of its tenant's network";
		if (world->ports.items[endpoint->port].endpoint != i || !world->ports.items[endpoint->port].security)
			return "a port belongs to another endpoint, or is not checked";
	}
	for (size_t i = 1; i < world->instances.n; i++)
		if (strcmp(world->instances.items[i - 1].key, world->instances.items[i].key) >= 0)
			return "instances are not sorted";
	return NULL;
}

static const char *worlds_are_whole(const struct file *file, const struct file *next UNUSED)
{
	struct made made;
	const char *fault;

	make(&made, file, NULL, false);
	fault = world_fault(&made.world);
	made_clear(&made);
	return fault;
}

static const char *worlds_are_deterministic(const struct file *file, const struct file *next UNUSED)
{
	struct made one, two;
	const char *fault = NULL;

	make(&one, file, NULL, false);
	make(&two, file, one.decisions, false);
	if (!json_equal(one.decisions, two.decisions))
		fault = "deciding again changes something";
	else if (one.world.instances.n != two.world.instances.n || one.world.policies.n != two.world.policies.n)
		fault = "expanding again changes something";
	for (size_t i = 0; i < one.world.instances.n && !fault; i++)
		if (!streq(one.world.instances.items[i].digest, two.world.instances.items[i].digest))
			fault = "a digest changes";
	made_clear(&one);
	made_clear(&two);
	return fault;
}

/* Whoever is in both files, and fits, keeps what is settled. */
static const char *settled_stays(const struct file *file, const struct file *next)
{
	struct made before, after;
	const char *fault, *key;
	json_t *value;

	make(&before, file, NULL, false);
	make(&after, next, before.decisions, true);
	fault = world_fault(&after.world);
	json_object_foreach(before.decisions, key, value) {
		const json_t *now = json_object_get(after.decisions, key);

		if (fault)
			break;
		if (!now)
			fault = "what lives has lost its decision";
		else if (!json_equal(now, value) && starts_with(key, "tenant/") && json_get_int(now, "slot", -1) != json_get_int(value, "slot", -2))
			fault = "a slot changed";
		else if (!json_equal(now, value) && starts_with(key, "instance/")) {
			autofree char *tenant = xasprintf("tenant/%.*s", (int)strcspn(key + 9, "/"), key + 9);

			if (json_equal(json_object_get(before.decisions, tenant), json_object_get(after.decisions, tenant)))
				fault = "an instance moved and its network did not";
		}
	}
	made_clear(&before);
	made_clear(&after);
	return fault;
}

typedef const char *(*property)(const struct file *file, const struct file *next);

/* Takes tenants and workloads away while it still fails. */
static void shrink(property holds, struct file *file, struct file *next)
{
	struct file *both[] = { file, next };

	for (bool smaller = true; smaller;) {
		smaller = false;
		for (size_t f = 0; f < 2; f++) {
			for (int t = 0; t < TENANTS; t++) {
				struct team was = both[f]->teams[t];

				if (!was.present)
					continue;
				if (was.workloads)
					both[f]->teams[t].workloads--;
				else
					both[f]->teams[t].present = false;
				if (holds(file, next))
					smaller = true;
				else
					both[f]->teams[t] = was;
			}
		}
	}
}

static void check(property holds, uint64_t seed)
{
	struct rng rng;

	rng_seed(&rng, seed);
	for (int i = 0; i < CASES; i++) {
		struct file file = file_random(&rng), next = file_random(&rng);
		const char *fault = holds(&file, &next);
		autobuf struct buf text = { 0 };

		if (!fault)
			continue;
		shrink(holds, &file, &next);
		file_text(&file, &text);
		buf_adds(&text, "# then\n");
		file_text(&next, &text);
		fail_msg("seed %llu, case %d: %s:\n%s", (unsigned long long)seed, i, fault, text.data);
	}
}

static void every_world_is_whole(void **state)
{
	check(worlds_are_whole, 1);
}

static void the_same_file_gives_the_same_world(void **state)
{
	check(worlds_are_deterministic, 2);
}

static void others_come_and_go_and_what_is_settled_stays(void **state)
{
	check(settled_stays, 3);
}

/* Round trips of texts. */

static int64_t random_amount(struct rng *rng)
{
	int64_t value = (int64_t)(rng_next(rng) >> 1 >> rng_below(rng, 62));

	/* round ones are as likely as others */
	for (uint64_t i = rng_below(rng, 4); i > 0; i--)
		value = value / 1024 * 1000;
	return rng_below(rng, 8) ? value : value / 1024 * 1024;
}

static void amounts_come_back(void **state)
{
	struct error err = { 0 };
	struct rng rng;

	rng_seed(&rng, 4);
	for (int i = 0; i < 20000; i++) {
		int64_t value = random_amount(&rng), again = -1;
		char text[QUANTITY_TEXT];

		quantity_format_bytes(value, text);
		assert_ok(quantity_parse(text, 1, &again, &err));
		assert_int_equal(value, again);
		quantity_format_milli(value, text);
		assert_ok(quantity_parse(text, 1000, &again, &err));
		assert_int_equal(value, again);
		duration_format(value, text);
		assert_ok(duration_parse(text, &again, &err));
		assert_int_equal(value, again);
	}
}

static void addresses_and_ports_come_back(void **state)
{
	static const enum protocol protocols[] = { PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_ANY };
	struct error err = { 0 };
	struct rng rng;

	rng_seed(&rng, 5);
	for (int i = 0; i < 20000; i++) {
		struct address address = { .family = rng_below(&rng, 2) ? AF_INET : AF_INET6 }, address_again;
		struct port_range range = { .protocol = protocols[rng_below(&rng, ARRAY_LEN(protocols))], .last = 65535 }, range_again = { 0 };
		char text[PREFIX_TEXT];
		struct prefix prefix, prefix_again;

		for (size_t b = 0; b < (address.family == AF_INET ? 4 : 16); b++)
			address.bytes[b] = rng_below(&rng, 3) ? (uint8_t)rng_next(&rng) : 0;
		address_format(&address, text);
		assert_ok(address_parse(text, &address_again, &err));
		assert_true(address_equal(&address, &address_again));
		prefix = prefix_of(&address, (uint8_t)rng_below(&rng, address.family == AF_INET ? 33 : 129));
		assert_true(prefix_contains(&prefix, &address));
		prefix_format(&prefix, text);
		assert_ok(prefix_parse(text, &prefix_again, &err));
		assert_true(prefix_equal(&prefix, &prefix_again));
		if (protocol_has_ports(range.protocol) && rng_below(&rng, 4)) {
			range.first = (uint16_t)(1 + rng_below(&rng, 65535));
			range.last = (uint16_t)(range.first + rng_below(&rng, 65536u - range.first));
		}
		port_range_format(&range, text);
		assert_ok(port_range_parse(text, &range_again, &err));
		assert_true(range.protocol == range_again.protocol && range.first == range_again.first && range.last == range_again.last);
	}
}

/* Parts of a pool never overlap, and none is refused while there is room. */
static void pools_are_used_up_without_overlap(void **state)
{
	struct error err = { 0 };
	struct rng rng;

	rng_seed(&rng, 6);
	for (int i = 0; i < 200; i++) {
		struct prefix_pool pool = { 0 };
		VEC(struct prefix) parts = { 0 };
		uint64_t used = 0;
		struct prefix part;

		assert_ok(prefix_parse("10.77.0.0/20", &pool.prefix, &err));
		for (int j = 0; j < 40; j++) {
			uint8_t length = (uint8_t)(22 + rng_below(&rng, 9));

			if (prefix_pool_find(&pool, length, &part))
				vec_push(&parts, part);
		}
		while (prefix_pool_find(&pool, 30, &part))
			vec_push(&parts, part);
		for (size_t a = 0; a < parts.n; a++) {
			used += 1ULL << (32 - parts.items[a].length);
			assert_true(prefix_covers(&pool.prefix, &parts.items[a]));
			for (size_t b = 0; b < a && a < 200; b++)
				assert_false(prefix_overlaps(&parts.items[a], &parts.items[b]));
		}
		assert_int_equal(used, 4096);
		vec_clear(&parts);
		prefix_pool_clear(&pool);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_world_is_whole),
		cmocka_unit_test(the_same_file_gives_the_same_world),
		cmocka_unit_test(others_come_and_go_and_what_is_settled_stays),
		cmocka_unit_test(amounts_come_back),
		cmocka_unit_test(addresses_and_ports_come_back),
		cmocka_unit_test(pools_are_used_up_without_overlap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
