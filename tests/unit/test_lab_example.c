/* SPDX-License-Identifier: Apache-2.0 */
/* examples/lab, read as it is: no finding, and its words mean what its README says. */
#include "helper.h"

#include "audit/reach.h"
#include "model/expand.h"
#include "model/spec.h"

#include <netinet/in.h>

static void a_machine(struct survey *survey)
{
	survey_init(survey);
	vec_push(&survey->nodes, ((struct node){ .name = "self", .cpu = 2000, .memory = (int64_t)8 << 30, .pods = AMOUNT_NONE, .link = WORLD_NONE }));
	survey->uplink_mtu = 1500;
	survey->methods[METHOD_CONTAINER] = true;
}

static void check(const struct world *world, const char *from, const char *to, const char *address, enum protocol protocol, uint16_t port, bool allowed)
{
	struct packet packet = { .family = AF_INET, .from = world_find_endpoint(world, from), .to = to ? world_find_endpoint(world, to) : WORLD_NONE, .protocol = protocol, .port = port };
	struct error err = { 0 };

	assert_true(packet.from != WORLD_NONE && (!to || packet.to != WORLD_NONE));
	if (address)
		assert_ok(address_parse(address, &packet.destination, &err));
	struct verdict verdict = reach_evaluate(world, &packet);
	if (verdict.allowed != allowed)
		fail_msg("%s > %s %s/%u: %s", from, to ? to : address, protocol_text(protocol), port, verdict.text);
}

static void the_lab_means_what_it_says(void **state)
{
	autofree char *path = source_path("examples/lab");
	const char *paths[] = { path };
	struct findings findings = { 0 };
	struct error err = { 0 };
	struct intent intent;
	struct survey survey;
	struct world world;
	json_t *decisions = NULL;

	intent_init(&intent);
	if (spec_read(paths, 1, &intent, &findings, &err) < 0 || findings.items.n)
		fail_msg("%s", findings.items.n ? findings.items.items[0].text : err.message);
	a_machine(&survey);
	assert_ok(decisions_make(&intent, &survey, NULL, false, &decisions, &err));
	assert_ok(world_expand(&intent, &survey, decisions, &world, &err));

	check(&world, "vision/desk/0", "serving/digits/0", NULL, PROTOCOL_TCP, 8501, true);
	check(&world, "vision/train/0", "serving/digits/0", NULL, PROTOCOL_TCP, 8501, true);
	check(&world, "vision/desk/0", "serving/digits/0", NULL, PROTOCOL_TCP, 8502, false);
	check(&world, "vision/desk/0", "serving/digits/0", NULL, PROTOCOL_UDP, 8501, false);
	check(&world, "audio/desk/0", "serving/digits/0", NULL, PROTOCOL_TCP, 8501, false);
	check(&world, "serving/digits/0", "vision/desk/0", NULL, PROTOCOL_TCP, 8501, false);
	check(&world, "vision/train/0", "vision/desk/0", NULL, PROTOCOL_TCP, 1, true);
	check(&world, "vision/train/0", NULL, "9.9.9.9", PROTOCOL_TCP, 443, false);
	check(&world, "vision/train/0", NULL, "169.254.169.254", PROTOCOL_TCP, 80, false);
	/* the gateways: the own one answers names and echoes, and nothing else */
	uint32_t port = world.endpoints.items[world_find_endpoint(&world, "audio/desk/0")].port;
	const struct link *link = &world.links.items[world.ports.items[port].link];
	char gateway[ADDRESS_TEXT];
	address_format(&link->gateway, gateway);
	check(&world, "audio/desk/0", NULL, gateway, PROTOCOL_UDP, 53, true);
	check(&world, "audio/desk/0", NULL, gateway, PROTOCOL_TCP, 53, true);
	check(&world, "audio/desk/0", NULL, gateway, PROTOCOL_ICMP, 0, true);
	check(&world, "audio/desk/0", NULL, gateway, PROTOCOL_TCP, 22, false);
	check(&world, "vision/desk/0", NULL, gateway, PROTOCOL_UDP, 53, false);
	/* published at 127.0.0.1 of the host */
	assert_int_equal(world.publications.n, 1);
	for (uint32_t i = 0; i < world.endpoints.n; i++)
		if (world.endpoints.items[i].kind == ENDPOINT_HOST) {
			check(&world, world.endpoints.items[i].name, NULL, "127.0.0.1", PROTOCOL_TCP, 8501, true);
			check(&world, world.endpoints.items[i].name, "vision/desk/0", NULL, PROTOCOL_TCP, 22, false);
			check(&world, world.endpoints.items[i].name, "serving/digits/0", NULL, PROTOCOL_TCP, 22, false);
		}
	world_clear(&world);
	json_decref(decisions);
	survey_clear(&survey);
	intent_clear(&intent);
	findings_clear(&findings);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_lab_means_what_it_says) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
