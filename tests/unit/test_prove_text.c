/* SPDX-License-Identifier: Apache-2.0 */
/* A proof as people read it and as programs do. */
#include "helper.h"

#include "report/prove_text.h"

#include <netinet/in.h>

static void add(struct prove_report *report, struct prove_row row)
{
	row.ok = row.expected == row.observed;
	report->differences += !row.ok;
	row.from = arena_intern(&report->arena, row.from);
	row.to = arena_intern(&report->arena, row.to);
	vec_push(&report->rows, row);
}

static void fill(struct prove_report *report)
{
	arena_init(&report->arena);
	report->seed = 7;
	report->ms = 1234;
	for (uint16_t port = 8501; port < 8504; port++)
		add(report, (struct prove_row){ .topic = PROVE_BETWEEN, .from = "vision/train/0", .to = "audio/serve/0", .from_tenant = "vision", .to_tenant = "audio", .protocol = "tcp",
						.family = AF_INET, .port = port, .expected = port == 8501, .observed = port <= 8502,
						.reason = port == 8501 ? "allowed by rule \"audio: from vision tcp/8501\"" : "denied: no rule", .detail = "arrived" });
	add(report, (struct prove_row){ .topic = PROVE_BETWEEN, .from = "audio/serve/0", .to = "vision/train/0", .from_tenant = "audio", .to_tenant = "vision", .protocol = "icmp",
					.family = AF_INET, .reason = "denied: no rule", .detail = "did not arrive" });
	for (int i = 0; i < 3; i++)
		add(report, (struct prove_row){ .topic = PROVE_DEVICES, .from = "vision/train/0", .to = i ? "/dev/kvm" : "/dev/sda", .protocol = "device", .what = "made", .reason = "denied: not granted" });
	vec_push(&report->skipped, ((struct prove_skip){ "serving", "not proven: no instance" }));
}

static void people_see_each_verdict_beside_the_file(void **state)
{
	autoprove struct prove_report report = { 0 };
	autobuf struct buf text = { 0 };

	fill(&report);
	prove_text(&report, false, &text);
	static const char *const lines[] = {
		"  vision    -           tcp/8501,tcp/8502!\n",
		"  audio     closed      -         \n",
		"  ok    vision/train/0 > audio/serve/0  tcp/8501 open | the file: allowed by rule \"audio: from vision tcp/8501\"\n",
		"  DIFF  vision/train/0 > audio/serve/0  tcp/8502 open | the file: denied: no rule\n",
		"  ok    vision/train/0 > audio/serve/0  tcp/8503 closed | the file: denied: no rule\n",
		"  ok    vision/train/0 > its and the host's devices  3 closed | the file: denied: not granted\n",
		"  serving: not proven: no instance\n",
		"  vision/train/0 > audio/serve/0 tcp/8502\n    the file: denied: no rule\n    seen:     open: arrived\n",
		"\n7 tried: 2 open, 5 closed, 1 other than the file says; 1 not proven; 1.2 s, seed 7\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (!strstr(text.data, lines[i]))
			fail_msg("no line \"%s\" in:\n%s", lines[i], text.data);
	assert_null(strstr(text.data, "\033"));
}

static void many_ports_of_one_verdict_are_cut(void **state)
{
	autoprove struct prove_report report = { 0 };
	autobuf struct buf text = { 0 };

	arena_init(&report.arena);
	for (uint16_t port = 1000; port < 1100; port++)
		add(&report, (struct prove_row){ .topic = PROVE_BETWEEN, .from = "a/a/0", .to = "b/b/0", .from_tenant = "a", .to_tenant = "b", .protocol = "tcp", .family = AF_INET, .port = port, .reason = "denied" });
	prove_text(&report, false, &text);
	assert_non_null(strstr(text.data, "more closed | the file: denied\n"));
	assert_null(strstr(text.data, "tcp/1099"));
}

static void programs_see_stable_names(void **state)
{
	autoprove struct prove_report report = { 0 };

	fill(&report);
	autojson json_t *row = prove_row_json(&report.rows.items[1]), *skip = prove_skip_json(&report.skipped.items[0]), *summary = prove_summary_json(&report);
	assert_string_equal(json_get_string(row, "topic", ""), "between");
	assert_string_equal(json_get_string(row, "from_tenant", ""), "vision");
	assert_string_equal(json_get_string(row, "family", ""), "ipv4");
	assert_int_equal(json_get_int(row, "port", 0), 8502);
	assert_true(json_get_bool(row, "observed", false) && !json_get_bool(row, "expected", true) && !json_get_bool(row, "ok", true));
	assert_null(json_object_get(row, "rule"));
	assert_string_equal(json_get_string(skip, "what", ""), "serving");
	assert_int_equal(json_get_int(summary, "differences", 0), 1);
	assert_int_equal(json_get_int(summary, "tried", 0), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(people_see_each_verdict_beside_the_file), cmocka_unit_test(many_ports_of_one_verdict_are_cut), cmocka_unit_test(programs_see_stable_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
