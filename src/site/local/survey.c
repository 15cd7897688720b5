/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/probe/probe.h"

#define MIB ((int64_t)1 << 20)
#define RESERVE_LEAST (256 * MIB)
#define MTU_DEFAULT 1500

/* Kept for the host itself: a sixteenth of the memory, at least 256 MiB, at most half. */
static int64_t memory_reserve(int64_t memory)
{
	return MIN(MAX(memory / 16, RESERVE_LEAST), memory / 2);
}

static struct gpu gpu_of(const json_t *told, struct survey *survey)
{
	return (struct gpu){ .uuid = arena_strdup(&survey->arena, json_get_string(told, "uuid", "")),
			     .model = arena_strdup(&survey->arena, json_get_string(told, "model", "")), .memory = json_get_int(told, "memory", 0) };
}

/* Cards that answer; a card cut into parts is its parts. */
static void gpus_add(const json_t *facts, struct survey *survey, struct node *node)
{
	const json_t *cards = json_get_array(json_get_object(facts, "gpus"), "cards");
	size_t n = 0, i, k;
	json_t *card, *part;

	json_array_foreach(cards, i, card)
		n += 1 + json_array_size(json_get_array(card, "parts"));
	node->gpus = arena_array(&survey->arena, n, sizeof(*node->gpus));
	json_array_foreach(cards, i, card) {
		const json_t *parts = json_get_array(card, "parts");

		if (json_object_get(card, "error"))
			continue;
		if (!json_array_size(parts))
			node->gpus[node->gpu_n++] = gpu_of(card, survey);
		json_array_foreach(parts, k, part)
			node->gpus[node->gpu_n++] = gpu_of(part, survey);
	}
}

static void node_add(const json_t *facts, struct survey *survey)
{
	struct node *node = vec_add(&survey->nodes);
	int64_t memory = json_get_int(facts, "memory", 0);

	node->name = "self";
	node->cpu = json_get_int(facts, "cpus", 1000);
	node->memory = memory - memory_reserve(memory);
	node->pods = AMOUNT_NONE;
	node->link = WORLD_NONE;
	gpus_add(facts, survey, node);
}

static void busy_add(const json_t *facts, struct survey *survey)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_get_array(facts, "busy"), i, item) {
		struct busy_prefix busy = { .by = arena_strdup(&survey->arena, json_get_string(item, "by", "a route")) };
		struct error ignored;

		if (prefix_parse(json_get_string(item, "prefix", ""), &busy.prefix, &ignored) == 0)
			vec_push(&survey->busy, busy);
	}
	json_array_foreach(json_get_array(facts, "busyIds"), i, item)
		vec_push(&survey->busy_ids, ((struct busy_ids){ json_get_int(item, "base", 0), json_get_int(item, "count", 0),
								arena_strdup(&survey->arena, json_get_string(item, "by", "another program")) }));
}

static void addresses_add(const json_t *facts, struct survey *survey)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_get_array(facts, "addresses"), i, item) {
		struct address address;
		struct error ignored;

		if (address_parse(json_get_string(item, "address", ""), &address, &ignored) == 0 && address_class(&address) != ADDRESS_LOOPBACK)
			vec_push(&survey->addresses, address);
	}
}

int local_survey(const struct site_facts *facts, struct survey *ret, struct error *err)
{
	struct survey survey;

	survey_init(&survey);
	node_add(facts->json, &survey);
	busy_add(facts->json, &survey);
	addresses_add(facts->json, &survey);
	survey.ids_first = LOCAL_IDS_FIRST;
	survey.ids_last = LOCAL_IDS_LAST;
	survey.ids_count = LOCAL_IDS_COUNT;
	survey.uplink_mtu = json_get_int(json_get_object(facts->json, "uplink"), "mtu", MTU_DEFAULT);
	survey.methods[METHOD_CONTAINER] = json_get_object(facts->json, "runtime") || json_get_bool(facts->json, "offline", false);
	survey.method_reasons[METHOD_CONTAINER] = survey.methods[METHOD_CONTAINER] ? NULL : "no OCI runtime runs containers here (insula doctor says more)";
	survey.method_reasons[METHOD_VM] = "virtual machines come with a later version";
	survey.method_reasons[METHOD_BARE] = "bare processes come with a later version";
	*ret = survey;
	return 0;
}
