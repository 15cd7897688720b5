/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "audit/reach.h"
#include "model/capacity.h"
#include "model/expand.h"
#include "model/labels.h"
#include "model/spec.h"

struct case_ { struct intent intent; struct survey survey; json_t *decisions; struct world world; struct error err; };

static void busy(struct survey *survey, const char *prefix, const char *by)
{
	struct busy_prefix *item = vec_add(&survey->busy);
	struct error err = { 0 };

	assert_ok(prefix_parse(prefix, &item->prefix, &err));
	item->by = by;
}

static void survey_make(struct survey *survey)
{
	survey_init(survey);
	vec_push(&survey->nodes, ((struct node){ .name = "self", .cpu = 2000, .memory = 4LL << 30, .pods = AMOUNT_NONE, .link = WORLD_NONE }));
	survey->uplink_mtu = 1450;
	survey->methods[METHOD_CONTAINER] = true;
	survey->method_reasons[METHOD_VM] = "no KVM";
	survey->ids_first = 100000;
	survey->ids_count = 1000;
	survey->ids_last = 999999;
}

static void read_text(struct case_ *c, const char *text)
{
	struct source source = { "/lab/lab.yaml", text, strlen(text) };
	autofindings struct findings findings = { 0 };
	struct error err = { 0 };

	*c = (struct case_){ 0 };
	assert_ok(spec_parse(&source, 1, &c->intent, &findings, &err));
	survey_make(&c->survey);
	world_init(&c->world);
}

static void clear(struct case_ *c)
{
	json_decref(c->decisions);
	world_clear(&c->world);
	survey_clear(&c->survey);
	intent_clear(&c->intent);
}

static int decide(struct case_ *c, const json_t *old, bool keep_absent, struct error *err)
{
	json_t *made;

	if (decisions_make(&c->intent, &c->survey, old, keep_absent, &made, err) < 0)
		return -1;
	json_decref(c->decisions);
	c->decisions = made;
	return 0;
}

static const char *decision(const struct case_ *c, const char *key, const char *field)
{
	return json_get_string(json_get_object(c->decisions, key), field, "none");
}

#define TENANT(name, spec) "---\napiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: " name "}\nspec: {" spec "}\n"
#define WORK(name, tenant, spec) "---\napiVersion: insula.dev/v1\nkind: Workload\nmetadata: {name: " name ", tenant: " tenant ", labels: {app: x}}\nspec: {image: host, " spec "}\n"
#define SERVICE(name, tenant, spec) "---\napiVersion: insula.dev/v1\nkind: Service\nmetadata: {name: " name ", tenant: " tenant "}\nspec: {image: host, " spec "}\n"

static const char lab[] =
	TENANT("audio", "limit: {instances: 3}, network: {allow: [{to: {internet: true}, ports: [tcp/443]}, {to: {cidr: 192.168.0.0/16}}]}")
	TENANT("vision", "network: {allow: [{from: {tenant: audio}, ports: [tcp/8501]}, {to: {tenant: audio}, ports: [tcp/80]}]}")
	WORK("train", "vision", "replicas: 2, resources: {cpu: 500m}")
	SERVICE("model", "vision", "port: 8501, publish: {address: 0.0.0.0, port: 8080}")
	WORK("client", "audio", "");

static void what_is_new_gets_the_lowest_free(void **state)
{
	struct error err = { 0 };
	struct case_ c;

	read_text(&c, lab);
	assert_ok(decide(&c, NULL, false, &err));
	assert_string_equal(decision(&c, "site", "pool"), "10.77.0.0/16");
	assert_string_equal(decision(&c, "site", "uplink"), "10.77.0.0/30");
	assert_string_equal(decision(&c, "tenant/audio", "subnet"), "10.77.0.16/28");
	assert_string_equal(decision(&c, "tenant/vision", "subnet"), "10.77.1.0/24");
	assert_int_equal(json_get_int(json_get_object(c.decisions, "tenant/vision"), "slot", -1), 1);
	assert_int_equal(json_get_int(json_get_object(c.decisions, "tenant/vision"), "ids", -1), 101000);
	assert_string_equal(decision(&c, "instance/audio/client/0", "address"), "10.77.0.18");
	assert_string_equal(decision(&c, "instance/vision/model/0", "address"), "10.77.1.2");
	assert_string_equal(decision(&c, "instance/vision/train/1", "address"), "10.77.1.4");
	assert_string_equal(decision(&c, "instance/vision/train/1", "method"), "container");
	assert_string_equal(decision(&c, "instance/vision/train/1", "node"), "self");
	assert_string_equal(decision(&c, "instance/vision/train/1", "reason"), "the cheapest that trust allows");
	clear(&c);
}

static void what_is_settled_stays(void **state)
{
	struct error err = { 0 };
	autojson json_t *old = NULL;
	struct case_ c, more;

	read_text(&c, lab);
	assert_ok(decide(&c, NULL, false, &err));
	old = json_incref(c.decisions);
	/* a tenant before the others, and audio gone */
	read_text(&more, TENANT("aaa", "") WORK("w", "aaa", "") TENANT("vision", "") WORK("train", "vision", "replicas: 3"));
	assert_ok(decide(&more, old, false, &err));
	assert_string_equal(decision(&more, "tenant/vision", "subnet"), "10.77.1.0/24");
	assert_string_equal(decision(&more, "instance/vision/train/0", "address"), "10.77.1.3");
	assert_string_equal(decision(&more, "instance/vision/train/2", "address"), "10.77.1.2");
	assert_string_equal(decision(&more, "tenant/aaa", "subnet"), "10.77.2.0/24");
	assert_int_equal(json_get_int(json_get_object(more.decisions, "tenant/aaa"), "slot", -1), 0);
	assert_null(json_get_object(more.decisions, "tenant/audio"));
	/* the same, but what is gone from the file still lives */
	assert_ok(decide(&more, old, true, &err));
	assert_int_equal(json_get_int(json_get_object(more.decisions, "tenant/aaa"), "slot", -1), 2);
	assert_string_equal(decision(&more, "tenant/audio", "subnet"), "10.77.0.16/28");
	assert_string_equal(decision(&more, "instance/audio/client/0", "address"), "10.77.0.18");
	assert_string_equal(decision(&more, "instance/vision/model/0", "address"), "10.77.1.2");
	assert_string_equal(decision(&more, "instance/vision/train/2", "address"), "10.77.1.5");
	clear(&more);
	clear(&c);
}

static void a_tenant_that_outgrows_its_network_moves(void **state)
{
	struct error err = { 0 };
	autojson json_t *old = NULL;
	struct case_ c, more;

	read_text(&c, TENANT("a", "limit: {instances: 3}") WORK("w", "a", "replicas: 3"));
	assert_ok(decide(&c, NULL, false, &err));
	old = json_incref(c.decisions);
	read_text(&more, TENANT("a", "limit: {instances: 13}") WORK("w", "a", "replicas: 13"));
	assert_ok(decide(&more, old, false, &err));
	assert_string_equal(decision(&more, "tenant/a", "subnet"), decision(&c, "tenant/a", "subnet"));
	clear(&more);
	read_text(&more, TENANT("a", "limit: {instances: 14}") WORK("w", "a", "replicas: 14"));
	assert_ok(decide(&more, old, false, &err));
	assert_string_equal(decision(&more, "tenant/a", "subnet"), "10.77.0.32/27");
	assert_string_equal(decision(&more, "instance/a/w/0", "address"), "10.77.0.34");
	clear(&more);
	clear(&c);
}

static void what_does_not_hold_says_why(void **state)
{
	struct error err = { 0 };
	autojson json_t *old = json_pack("{s:{s:i}}", "tenant/audio", "slot", 0);
	struct case_ c;

	read_text(&c, lab);
	c.survey.methods[METHOD_CONTAINER] = false;
	c.survey.method_reasons[METHOD_CONTAINER] = "no runtime";
	assert_fails(decide(&c, NULL, false, &err), "/lab/lab.yaml:");
	assert_int_equal(err.code, ERROR_UNSUPPORTED);
	assert_non_null(strstr(err.message, "no runtime"));
	c.survey.methods[METHOD_CONTAINER] = true;
	vec_push(&c.survey.busy_ids, ((struct busy_ids){ 100500, 10, "ann in /etc/subuid" }));
	assert_fails(decide(&c, old, false, &err), "ann in /etc/subuid");
	assert_int_equal(err.code, ERROR_CONFLICT);
	assert_ok(decide(&c, NULL, false, &err));
	assert_int_equal(json_get_int(json_get_object(c.decisions, "tenant/audio"), "slot", -1), 1);
	clear(&c);
	read_text(&c, TENANT("a", "limit: {instances: 1}") WORK("w", "a", "replicas: 2"));
	assert_fails(decide(&c, NULL, false, &err), "its limit is 1");
	assert_int_equal(err.code, ERROR_CAPACITY);
	clear(&c);
	read_text(&c, TENANT("a", "trust: untrusted") WORK("w", "a", ""));
	assert_fails(decide(&c, NULL, false, &err), "the only one for an untrusted tenant, and this site cannot run it: no KVM");
	clear(&c);
}

static void the_pool_avoids_what_is_used(void **state)
{
	struct error err = { 0 };
	struct case_ c;

	read_text(&c, TENANT("a", ""));
	busy(&c.survey, "0.0.0.0/0", "route via eth0");
	busy(&c.survey, "10.0.0.0/8", "route via vpn0");
	assert_ok(decide(&c, NULL, false, &err));
	assert_string_equal(decision(&c, "site", "pool"), "172.29.0.0/16");
	busy(&c.survey, "172.29.5.0/24", "address of docker0");
	assert_fails(decide(&c, c.decisions, false, &err), "172.29.5.0/24, which is used by this host (address of docker0)");
	assert_int_equal(err.code, ERROR_INPUT);
	clear(&c);
	read_text(&c, "apiVersion: insula.dev/v1\nkind: Site\nmetadata: {name: s}\nspec: {addressPool: 10.9.0.0/24}\n" TENANT("a", "limit: {instances: 300}") TENANT("b", "limit: {instances: 60}"));
	assert_ok(decide(&c, NULL, false, &err));
	assert_string_equal(decision(&c, "tenant/a", "subnet"), "10.9.0.128/25");
	assert_string_equal(decision(&c, "tenant/b", "subnet"), "10.9.0.64/26");
	busy(&c.survey, "10.9.0.128/25", "route via wg0");
	assert_fails(decide(&c, NULL, false, &err), "/lab/lab.yaml:3:18: address pool 10.9.0.0/24 overlaps 10.9.0.128/25");
	clear(&c);
}

static void strange_old_decisions_do_no_harm(void **state)
{
	static const char *const olds[] = {
		"{}", "{\"site\": 1, \"tenant/audio\": [], \"instance/\": {}}",
		"{\"site\": {\"pool\": \"::/0\"}, \"tenant/audio\": {\"slot\": -5, \"subnet\": \"10.77.0.0/8\"}, \"tenant/vision\": {\"slot\": 99999999999, \"subnet\": 3}}",
		"{\"tenant/audio\": {\"slot\": 4, \"subnet\": \"10.77.8.0/24\"}, \"tenant/vision\": {\"slot\": 4, \"subnet\": \"10.77.8.0/24\"}, \"tenant/x\": {\"slot\": 4}}",
		"{\"instance/vision/train/0\": {\"address\": \"10.77.1.1\"}, \"instance/vision/train/1\": {\"address\": \"10.77.1.255\", \"method\": \"bare\", \"node\": \"gone\"}}",
		"{\"instance/vision/train/0\": {\"address\": \"10.77.1.9\"}, \"instance/vision/train/1\": {\"address\": \"10.77.1.9\"}, \"instance/a\": {}, \"instance/vision/train/x\": {}}",
	};

	for (size_t i = 0; i < ARRAY_LEN(olds); i++) {
		autojson json_t *old = json_loads(olds[i], 0, NULL);
		struct error err = { 0 };
		struct case_ c;

		assert_non_null(old);
		for (int keep = 0; keep < 2; keep++) {
			read_text(&c, lab);
			assert_ok(decide(&c, old, keep, &err));
			assert_ok(world_expand(&c.intent, &c.survey, c.decisions, &c.world, &err));
			assert_string_not_equal(decision(&c, "instance/vision/train/0", "address"), decision(&c, "instance/vision/train/1", "address"));
			assert_string_not_equal(decision(&c, "tenant/vision", "subnet"), decision(&c, "tenant/audio", "subnet"));
			clear(&c);
		}
	}
}

static void live_decisions_fill_a_lost_state(void **state)
{
	autojson json_t *decisions = json_object(), *live = json_pack("{s:s}", "pool", "10.9.0.0/16");

	decisions_merge_live(decisions, "site", live);
	decisions_merge_live(decisions, "other", live);
	decisions_merge_live(decisions, "tenant/a", json_null());
	json_set_string(live, "pool", "10.10.0.0/16");
	decisions_merge_live(decisions, "site", live);
	assert_int_equal(json_object_size(decisions), 1);
	assert_string_equal(json_get_string(json_get_object(decisions, "site"), "pool", ""), "10.9.0.0/16");
}

static void intent_becomes_ground(void **state)
{
	struct error err = { 0 };
	struct case_ c;
	uint32_t i, e;
	const struct link *link;

	read_text(&c, lab);
	assert_ok(decide(&c, NULL, false, &err));
	assert_ok(world_expand(&c.intent, &c.survey, c.decisions, &c.world, &err));
	assert_int_equal(c.world.instances.n, 4);
	assert_int_equal(c.world.links.n, 3);
	assert_string_equal(c.world.instances.items[0].key, "audio/client/0");
	i = world_find_instance(&c.world, "vision/train/1");
	assert_int_not_equal(i, WORLD_NONE);
	assert_int_equal(c.world.instances.items[i].cpu, 500);
	assert_int_equal(c.world.instances.items[i].memory, AMOUNT_NONE);
	assert_int_equal(strlen(c.world.instances.items[i].digest), 64);
	assert_string_equal(c.world.instances.items[i].digest, c.world.instances.items[i - 1].digest);
	e = c.world.instances.items[i].endpoint;
	assert_int_equal(world_find_endpoint(&c.world, "vision/train/1"), e);
	assert_string_equal(labels_get(&c.world.endpoints.items[e].labels, "replica"), "1");
	assert_string_equal(labels_get(&c.world.endpoints.items[e].labels, "app"), "x");
	assert_memory_equal(c.world.ports.items[c.world.endpoints.items[e].port].mac, ((uint8_t[]){ 2, 0, 10, 77, 1, 4 }), 6);
	link = &c.world.links.items[world_find_link(&c.world, "vision/network")];
	assert_int_equal(link->mtu, 1450);
	assert_int_equal(link->parent, 0);
	assert_int_equal(c.world.publications.n, 1);
	assert_int_equal(c.world.publications.items[0].target_port, 8501);
	assert_int_not_equal(world_find_endpoint(&c.world, "host/self"), WORLD_NONE);
	assert_int_not_equal(world_find_endpoint(&c.world, "audio/gateway"), WORLD_NONE);
	assert_int_equal(world_find_endpoint(&c.world, "nobody"), WORLD_NONE);
	json_object_del(c.decisions, "instance/audio/client/0");
	world_clear(&c.world);
	assert_fails(world_expand(&c.intent, &c.survey, c.decisions, &c.world, &err), "nothing is decided about instance audio/client/0");
	clear(&c);
}

/* from, to: an endpoint's name or an address */
struct flow { const char *from, *to; enum protocol protocol; uint16_t port; bool allowed; };

static void check_flow(const struct world *world, const struct flow *flow)
{
	struct packet packet = { .family = AF_INET, .protocol = flow->protocol, .port = flow->port };
	struct verdict verdict;
	struct error err = { 0 };

	packet.from = world_find_endpoint(world, flow->from);
	if (packet.from == WORLD_NONE)
		assert_ok(address_parse(flow->from, &packet.source, &err));
	packet.to = world_find_endpoint(world, flow->to);
	if (packet.to == WORLD_NONE)
		assert_ok(address_parse(flow->to, &packet.destination, &err));
	verdict = reach_evaluate(world, &packet);
	if (verdict.allowed != flow->allowed)
		fail_msg("%s > %s %d/%u: %s", flow->from, flow->to, flow->protocol, flow->port, verdict.text);
}

static void the_words_mean_what_they_say(void **state)
{
	static const struct flow flows[] = {
		/* within a tenant */
		{ "vision/train/0", "vision/train/1", PROTOCOL_TCP, 22, true }, { "vision/train/0", "vision/model/0", PROTOCOL_UDP, 9, true },
		/* the receiver's word, and only its ports */
		{ "audio/client/0", "vision/train/0", PROTOCOL_TCP, 8501, true }, { "audio/client/0", "vision/train/0", PROTOCOL_TCP, 8502, false },
		{ "audio/client/0", "vision/train/0", PROTOCOL_UDP, 8501, false }, { "audio/client/0", "vision/train/0", PROTOCOL_ICMP, 0, false },
		/* the sender's word alone opens nothing */
		{ "vision/train/0", "audio/client/0", PROTOCOL_TCP, 80, false },
		/* internet: public only, on these ports only, for who says so only */
		{ "audio/client/0", "8.8.8.8", PROTOCOL_TCP, 443, true }, { "audio/client/0", "8.8.8.8", PROTOCOL_TCP, 80, false },
		{ "audio/client/0", "10.1.2.3", PROTOCOL_TCP, 443, false }, { "audio/client/0", "100.64.0.1", PROTOCOL_TCP, 443, false },
		{ "vision/train/0", "8.8.8.8", PROTOCOL_TCP, 443, false },
		{ "audio/client/0", "169.254.169.254", PROTOCOL_TCP, 443, false }, { "audio/client/0", "169.254.169.254", PROTOCOL_TCP, 80, false },
		/* a range, but never the host in it */
		{ "audio/client/0", "192.168.7.7", PROTOCOL_TCP, 5432, true }, { "audio/client/0", "192.168.1.5", PROTOCOL_TCP, 22, false },
		/* gateways: resolver and echo of the own one */
		{ "audio/client/0", "audio/gateway", PROTOCOL_UDP, 53, true }, { "audio/client/0", "audio/gateway", PROTOCOL_TCP, 53, true },
		{ "audio/client/0", "audio/gateway", PROTOCOL_ICMP, 0, true }, { "audio/client/0", "audio/gateway", PROTOCOL_TCP, 22, false },
		{ "audio/client/0", "vision/gateway", PROTOCOL_UDP, 53, false }, { "audio/client/0", "vision/gateway", PROTOCOL_ICMP, 0, false },
		{ "audio/client/0", "host/self", PROTOCOL_TCP, 22, false }, { "audio/client/0", "10.77.0.1", PROTOCOL_ICMP, 0, false },
		/* published: by the host's address, for whoever reaches it; instances do not */
		{ "203.0.113.9", "192.168.1.5", PROTOCOL_TCP, 8080, true }, { "203.0.113.9", "10.77.1.2", PROTOCOL_TCP, 8501, true },
		{ "host/self", "vision/model/0", PROTOCOL_TCP, 8501, true }, { "host/self", "vision/model/0", PROTOCOL_TCP, 22, false },
		{ "host/self", "vision/train/0", PROTOCOL_TCP, 8501, false }, { "203.0.113.9", "10.77.1.3", PROTOCOL_TCP, 8501, false },
		{ "audio/client/0", "192.168.1.5", PROTOCOL_TCP, 8080, false }, { "203.0.113.9", "audio/client/0", PROTOCOL_TCP, 80, false },
	};
	struct error err = { 0 };
	struct address own;
	struct case_ c;

	read_text(&c, lab);
	assert_ok(address_parse("192.168.1.5", &own, &err));
	vec_push(&c.survey.addresses, own);
	assert_ok(decide(&c, NULL, false, &err));
	assert_ok(world_expand(&c.intent, &c.survey, c.decisions, &c.world, &err));
	for (size_t i = 0; i < ARRAY_LEN(flows); i++)
		check_flow(&c.world, &flows[i]);
	clear(&c);
}

static void a_digest_is_of_what_it_is(void **state)
{
	static const char *const same[] = { "replicas: 2", "replicas: 5", "priority: 9", "gang: true" };
	static const char *const other[] = { "command: [a]", "env: {A: b}", "restart: always", "resources: {cpu: 1}", "workingDir: /x", "volumes: [{name: v, mountPath: /v}]" };
	char first[DIGEST_HEX];
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(same) + ARRAY_LEN(other); i++) {
		bool equal = i < ARRAY_LEN(same);
		autofree char *text = xasprintf(TENANT("a", "") WORK("w", "a", "%s"), equal ? same[i] : other[i - ARRAY_LEN(same)]);
		struct case_ c;

		read_text(&c, text);
		assert_ok(decide(&c, NULL, false, &err));
		assert_ok(world_expand(&c.intent, &c.survey, c.decisions, &c.world, &err));
		if (i == 0)
			memcpy(first, c.world.instances.items[0].digest, DIGEST_HEX);
		if (streq(first, c.world.instances.items[0].digest) != equal)
			fail_msg("%s", text);
		clear(&c);
	}
}

static void what_is_guaranteed_must_be_there(void **state)
{
	struct case_ c;
	struct error err = { 0 };
	json_t *notes = json_array();

	(void)state;
	read_text(&c, "apiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: a}\nspec: {quota: {cpu: 1500m, memory: 3Gi}}\n---\n"
		      "apiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: b}\nspec: {quota: {cpu: 2500m, memory: 1Gi}}\n");
	assert_ok(capacity_check(&c.intent, &c.survey, notes, &err));
	assert_int_equal(json_array_size(notes), 1);
	assert_non_null(strstr(json_string_value(json_array_get(notes, 0)), "4.000 cores and there are 2.000: when all are busy, each gets 50 %"));
	c.survey.nodes.items[0].memory = (4LL << 30) - 1;
	assert_int_equal(capacity_check(&c.intent, &c.survey, notes, &err), -1);
	assert_int_equal(err.code, ERROR_CAPACITY);
	assert_non_null(strstr(err.hint, "the largest is a's (/lab/lab.yaml:"));
	/* a machine that was not looked at is not judged */
	c.survey.nodes.n = 0;
	json_array_clear(notes);
	assert_ok(capacity_check(&c.intent, &c.survey, notes, &err));
	assert_int_equal(json_array_size(notes), 0);
	json_decref(notes);
	clear(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_guaranteed_must_be_there),
		cmocka_unit_test(what_is_new_gets_the_lowest_free),
		cmocka_unit_test(what_is_settled_stays),
		cmocka_unit_test(a_tenant_that_outgrows_its_network_moves),
		cmocka_unit_test(what_does_not_hold_says_why),
		cmocka_unit_test(the_pool_avoids_what_is_used),
		cmocka_unit_test(strange_old_decisions_do_no_harm),
		cmocka_unit_test(live_decisions_fill_a_lost_state),
		cmocka_unit_test(intent_becomes_ground),
		cmocka_unit_test(the_words_mean_what_they_say),
		cmocka_unit_test(a_digest_is_of_what_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
