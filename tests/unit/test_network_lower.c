/* SPDX-License-Identifier: Apache-2.0 */
/* The network lowered and lifted again: every packet meets the same in both worlds. */
#include "helper.h"

#include "audit/reach.h"
#include "model/decisions.h"
#include "model/expand.h"
#include "model/spec.h"
#include "site/local/network/firewall.h"
#include "site/local/network/host_firewall.h"
#include "site/local/lower.h"
#include "site/local/network/nft.h"
#include "site/local/probe/probe.h"

static const char lab[] =
	"apiVersion: insula.dev/v1\nkind: Site\nmetadata: {name: lab}\nspec: {dns: [192.0.2.53, \"2001:db8::53\"]}\n"
	"---\napiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: a}\nspec:\n  limit: {networkBandwidth: 10Mi}\n  network:\n    allow:\n"
	"      - {to: {internet: true}, ports: [tcp/443, udp/53]}\n"
	"      - {from: {tenant: b}, ports: [tcp/80, tcp/8000-8010, tcp/8005-8020]}\n"
	"      - {from: {tenant: b}, ports: [tcp/81]}\n"
	"---\napiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: b}\nspec:\n  network:\n    allow:\n"
	"      - {from: {tenant: c}}\n"
	"      - {from: {tenant: c}, ports: [udp/53]}\n"
	"      - {to: {cidr: 203.0.113.0/24}, ports: [tcp/22]}\n"
	"      - {to: {cidr: 10.0.0.0/8}}\n"
	"---\napiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: c}\nspec:\n  network:\n    allow:\n"
	"      - {to: {internet: true}}\n"
	"      - {from: {tenant: a}, ports: [icmp, udp]}\n"
	"---\napiVersion: insula.dev/v1\nkind: Workload\nmetadata: {name: w, tenant: a}\nspec: {method: container, image: \"rootfs:/x\", replicas: 2}\n"
	"---\napiVersion: insula.dev/v1\nkind: Workload\nmetadata: {name: w, tenant: b}\nspec: {method: container, image: \"rootfs:/x\"}\n"
	"---\napiVersion: insula.dev/v1\nkind: Service\nmetadata: {name: web, tenant: c}\n"
	"spec: {method: container, image: \"rootfs:/x\", replicas: 2, port: 8501, publish: {address: 0.0.0.0, port: 8080}}\n";

struct lowered {
	struct intent intent;
	struct site_facts facts;
	struct survey survey;
	struct world world, lifted;
	struct resources resources;
	json_t *decisions, *notes;
};

static void lowered_clear(struct lowered *l)
{
	resources_clear(&l->resources);
	world_clear(&l->world);
	world_clear(&l->lifted);
	survey_clear(&l->survey);
	json_decref(l->decisions);
	json_decref(l->notes);
	json_decref(l->facts.json);
	intent_clear(&l->intent);
}

/* Lifted from the last resource to the first when `backwards`: the order does not matter. */
static void lower_and_lift(struct lowered *l, bool backwards)
{
	struct source source = { .name = "lab.yaml", .text = lab, .n = strlen(lab) };
	autofindings struct findings findings = { 0 };
	struct site_config config;
	struct error err = { 0 };

	*l = (struct lowered){ .notes = json_array() };
	world_init(&l->lifted);
	l->facts.json = json_loads("{\"cpus\": 4000, \"memory\": 8589934592, \"runtime\": {\"name\": \"crun\"}, \"uplink\": {\"link\": \"eth0\", \"mtu\": 1400},"
				   "\"addresses\": [{\"address\": \"192.0.2.2\", \"link\": \"eth0\"}], \"images\": {\"rootfs:/x\": \"sha256:00\"}}", 0, NULL);
	assert_ok(spec_parse(&source, 1, &l->intent, &findings, &err));
	assert_ok(local_survey(&l->facts, &l->survey, &err));
	assert_ok(decisions_make(&l->intent, &l->survey, NULL, false, &l->decisions, &err));
	assert_ok(world_expand(&l->intent, &l->survey, l->decisions, &l->world, &err));
	config = (struct site_config){ .deployment = l->intent.site.name, .intent = &l->intent.site, .whole_intent = &l->intent };
	assert_ok(local_lower(&l->facts, &config, &l->intent, &l->world, l->decisions, &l->resources, l->notes, &err));
	for (size_t i = 0; i < l->resources.n; i++)
		assert_ok(local_lift(&l->facts, l->resources.items[backwards ? l->resources.n - 1 - i : i], &l->lifted, &err));
}

static const json_t *body_of(const struct lowered *l, const char *key)
{
	const struct resource *resource = resources_get(&l->resources, key);

	if (!resource)
		fail_msg("there is no %s", key);
	return resource->body;
}

static void assert_members(const json_t *body, const char *field, const char *wanted)
{
	autofree char *text = json_canonical(json_object_get(body, field));

	assert_string_equal(text, wanted);
}

static void words_become_members_of_sets_without_overlaps(void **state)
{
	CLEANUP(lowered_clear) struct lowered l;

	lower_and_lift(&l, false);
	assert_members(body_of(&l, "host/firewall"), "flows",
		       "[\"a>c icmp\",\"a>c udp\",\"b>a tcp/80-81\",\"b>a tcp/8000-8020\",\"c>b any\"]");
	assert_members(body_of(&l, "host/firewall"), "egress",
		       "[\"a>internet tcp/443\",\"a>internet udp/53\",\"b>10.0.0.0/8 any\",\"b>203.0.113.0/24 tcp/22\",\"c>internet any\"]");
	assert_int_equal(json_array_size(json_object_get(body_of(&l, "host/firewall"), "published")), 2);
	assert_int_equal(json_array_size(json_object_get(body_of(&l, "host/uplink"), "published")), 1);
	assert_members(body_of(&l, "host/resolver"), "upstreams", "[\"192.0.2.53\"]");
}

struct target { const char *endpoint, *address; };

static bool verdict_in(const struct world *world, const char *from, const struct target *to, enum protocol protocol, uint16_t port)
{
	struct packet packet = { .family = AF_INET, .from = world_find_endpoint(world, from), .to = WORLD_NONE, .protocol = protocol, .port = port };
	struct error err = { 0 };

	assert_int_not_equal(packet.from, WORLD_NONE);
	if (to->endpoint) {
		packet.to = world_find_endpoint(world, to->endpoint);
		assert_int_not_equal(packet.to, WORLD_NONE);
	} else {
		assert_ok(address_parse(to->address, &packet.destination, &err));
	}
	return reach_evaluate(world, &packet).allowed;
}

static void every_packet_meets_the_same(const struct lowered *l)
{
	static const char *const senders[] = { "a/w/0", "a/w/1", "b/w/0", "c/web/0", "c/web/1", "host/self" };
	static const struct target targets[] = {
		{ "a/w/0", NULL }, { "a/w/1", NULL }, { "b/w/0", NULL }, { "c/web/0", NULL }, { "c/web/1", NULL }, { "host/self", NULL },
		{ "a/gateway", NULL }, { "b/gateway", NULL }, { "c/gateway", NULL }, { NULL, "9.9.9.9" }, { NULL, "203.0.113.7" }, { NULL, "10.1.2.3" },
		{ NULL, "10.77.200.1" }, { NULL, "169.254.169.254" }, { NULL, "192.168.1.1" }, { NULL, "192.0.2.2" }, { NULL, "100.64.0.1" },
	};
	static const uint16_t ports[] = { 22, 53, 80, 81, 82, 443, 8000, 8020, 8021, 8080, 8501 };
	static const enum protocol protocols[] = { PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP };
	unsigned allowed = 0;

	for (size_t s = 0; s < ARRAY_LEN(senders); s++) {
		for (size_t t = 0; t < ARRAY_LEN(targets); t++) {
			for (size_t i = 0; i < ARRAY_LEN(protocols) * ARRAY_LEN(ports); i++) {
				enum protocol protocol = protocols[i / ARRAY_LEN(ports)];
				uint16_t port = protocol == PROTOCOL_ICMP ? 0 : ports[i % ARRAY_LEN(ports)];
				bool wanted = verdict_in(&l->world, senders[s], &targets[t], protocol, port);

				allowed += wanted;
				if (verdict_in(&l->lifted, senders[s], &targets[t], protocol, port) != wanted)
					fail_msg("%s to %s %d/%u: should be %d", senders[s], targets[t].endpoint ? targets[t].endpoint : targets[t].address,
						 (int)protocol, port, wanted);
			}
		}
	}
	assert_true(allowed > 100);
}

static void what_is_lifted_means_the_same(void **state)
{
	for (int backwards = 0; backwards < 2; backwards++) {
		CLEANUP(lowered_clear) struct lowered l;

		lower_and_lift(&l, backwards);
		every_packet_meets_the_same(&l);
	}
}

static void links_addresses_and_publications_come_back(void **state)
{
	CLEANUP(lowered_clear) struct lowered l;

	lower_and_lift(&l, true);
	assert_int_equal(l.lifted.links.n, l.world.links.n);
	vec_each(&l.world.links, link) {
		const struct link *back = &l.lifted.links.items[world_find_link(&l.lifted, link->name)];

		assert_int_equal(back->mtu, link->mtu);
		assert_true(prefix_equal(&back->prefix, &link->prefix));
		assert_true(address_equal(&back->gateway, &link->gateway));
		assert_true(str_equal(back->tenant, link->tenant));
	}
	vec_each(&l.world.instances, instance) {
		const struct endpoint *endpoint = &l.world.endpoints.items[instance->endpoint];
		const struct endpoint *back = &l.lifted.endpoints.items[world_find_endpoint(&l.lifted, instance->key)];

		assert_true(address_equal(&back->addresses[0], &endpoint->addresses[0]));
		assert_memory_equal(l.lifted.ports.items[back->port].mac, l.world.ports.items[endpoint->port].mac, 6);
		assert_true(l.lifted.ports.items[back->port].security);
	}
	assert_int_equal(l.lifted.publications.n, 1);
	assert_string_equal(l.lifted.publications.items[0].tenant, "c");
	assert_string_equal(l.lifted.publications.items[0].workload, "web");
	assert_int_equal(l.lifted.publications.items[0].port, 8080);
	assert_int_equal(l.lifted.publications.items[0].target_port, 8501);
}

/* The firewall asked directly says the same as the ground: it decides which established connections are cut. */
static void the_firewall_asked_about_a_connection_agrees(void **state)
{
	static const char *const addresses[] = { "9.9.9.9", "203.0.113.7", "10.1.2.3", "169.254.169.254", "192.168.1.1" };
	CLEANUP(firewall_clear) struct firewall firewall = { 0 };
	CLEANUP(lowered_clear) struct lowered l;
	struct error err = { 0 };

	lower_and_lift(&l, false);
	assert_ok(firewall_decode(body_of(&l, "host/firewall"), &firewall, &err));
	vec_each(&l.world.instances, from) {
		const struct endpoint *sender = &l.world.endpoints.items[from->endpoint];

		for (uint32_t port = 1; port < 9000; port += port < 100 ? 1 : 97) {
			vec_each(&l.world.instances, to) {
				struct target target = { .endpoint = to->key };
				const struct endpoint *receiver = &l.world.endpoints.items[to->endpoint];

				if (from != to)
					assert_int_equal(firewall_allows(&firewall, &sender->addresses[0], &receiver->addresses[0], PROTOCOL_TCP, (uint16_t)port),
							 verdict_in(&l.world, from->key, &target, PROTOCOL_TCP, (uint16_t)port));
			}
			for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
				struct target target = { .address = addresses[i] };
				struct address address;

				assert_ok(address_parse(addresses[i], &address, &err));
				assert_int_equal(firewall_allows(&firewall, &sender->addresses[0], &address, PROTOCOL_UDP, (uint16_t)port),
						 verdict_in(&l.world, from->key, &target, PROTOCOL_UDP, (uint16_t)port));
			}
		}
	}
}

static void a_change_of_sets_is_a_change_of_elements_and_nothing_more(void **state)
{
	CLEANUP(firewall_clear) struct firewall before = { 0 }, after = { 0 }, other = { 0 };
	autojson json_t *changes = NULL, *same = NULL, *body = NULL, *rates = NULL;
	CLEANUP(lowered_clear) struct lowered l;
	struct error err = { 0 };

	lower_and_lift(&l, false);
	body = json_deep_copy(body_of(&l, "host/firewall"));
	assert_ok(firewall_decode(body_of(&l, "host/firewall"), &before, &err));
	same = firewall_changes(&before, &before, "insula_lab");
	assert_int_equal(json_array_size(same), 0);
	json_array_remove(json_object_get(body, "flows"), 0);
	json_add(json_object_get(body, "egress"), json_text("a>internet udp/123"));
	assert_ok(firewall_decode(body, &after, &err));
	changes = firewall_changes(&before, &after, "insula_lab");
	assert_int_equal(json_array_size(changes), 2);
	assert_non_null(json_object_get(json_object_get(json_array_get(changes, 0), "delete"), "element"));
	assert_non_null(json_object_get(json_object_get(json_array_get(changes, 1), "add"), "element"));
	/* another rate is another rule */
	rates = json_deep_copy(body);
	json_array_clear(json_object_get(rates, "rates"));
	assert_ok(firewall_decode(rates, &other, &err));
	assert_null(firewall_changes(&before, &other, "insula_lab"));
}

static void members_that_make_no_sense_are_refused(void **state)
{
	static const char *const wrong[] = {
		"0.0.0.0:8080 tcp 10.77.1.2:8501", "0.0.0.0 tcp > 10.77.1.2:80", "0.0.0.0:80 icmp > 10.77.1.2:80", "0.0.0.0:80 tcp > ", "x:80 tcp > 10.77.1.2:80",
		"0.0.0.0:80 tcp > 10.77.1.2:80,10.77.1.3:81", "0.0.0.0:80 tcp a > 10.77.1.2:80", "0.0.0.0:0 tcp > 10.77.1.2:80", "0.0.0.0:80 tcp > 10.77.1.2:99999",
	};
	static const char *const flows[] = { "a>b", "a>z tcp/1", "a>b tcp/99999", "a b tcp/1", "z>a any" };
	struct host_published published;
	CLEANUP(lowered_clear) struct lowered l;
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(host_published_parse(wrong[i], &published, &err), -1);
	assert_ok(host_published_parse("127.0.0.1:80 udp a/b > 10.77.1.2:80,10.77.1.3:80", &published, &err));
	assert_int_equal(published.targets.n, 2);
	assert_string_equal(published.workload, "b");
	host_published_clear(&published);
	lower_and_lift(&l, false);
	for (size_t i = 0; i < ARRAY_LEN(flows); i++) {
		autojson json_t *body = json_deep_copy(body_of(&l, "host/firewall"));
		struct firewall firewall;

		json_add(json_object_get(body, "flows"), json_text(flows[i]));
		assert_int_equal(firewall_decode(body, &firewall, &err), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_become_members_of_sets_without_overlaps),
		cmocka_unit_test(what_is_lifted_means_the_same),
		cmocka_unit_test(links_addresses_and_publications_come_back),
		cmocka_unit_test(the_firewall_asked_about_a_connection_agrees),
		cmocka_unit_test(a_change_of_sets_is_a_change_of_elements_and_nothing_more),
		cmocka_unit_test(members_that_make_no_sense_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
