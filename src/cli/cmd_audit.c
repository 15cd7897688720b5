/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "audit/prove.h"
#include "report/prove_text.h"

#include <stdlib.h>

static void progress_print(void *arg, const char *text, size_t done, size_t total)
{
	const struct cli *cli = arg;

	if (!cli->quiet && !cli->json && done == 0 && total > 0)
		fprintf(stderr, "  %s: %zu\n", text, total);
}

/* What lives, in the words of the model: rules that are not in the file give the proof their ports. What cannot be lifted adds none. */
static void lift_live(struct deployment *deployment, struct world *live)
{
	for (size_t i = 0; i < deployment->actual.n; i++) {
		struct error ignored = { 0 };

		if (deployment->ops->lift(&deployment->facts, deployment->actual.items[i], live, &ignored) < 0)
			continue;
	}
}

static void report_print(const struct cli *cli, const struct prove_report *report)
{
	autobuf struct buf text = { 0 };

	if (!cli->json) {
		prove_text(report, cli->stdout_color, &text);
		fputs(text.data, stdout);
		return;
	}
	vec_each(&report->rows, row)
		output_json("verdict", prove_row_json(row));
	vec_each(&report->skipped, skip)
		output_json("skipped", prove_skip_json(skip));
	output_json("summary", prove_summary_json(report));
}

static int prove(struct cli *cli, struct session *session, int64_t seed, struct error *err)
{
	struct deployment *deployment = &session->deployment;
	struct prove_options options = { .ops = deployment->ops, .site = deployment->site, .seed = (uint64_t)seed, .progress = progress_print, .progress_arg = cli };
	struct world live;
	autoprove struct prove_report report = { 0 };

	if (deployment_expand(deployment, err) < 0 || deployment_list(deployment, err) < 0)
		return -1;
	world_init(&live);
	if (deployment->ops->lift)
		lift_live(deployment, &live);
	options.desired = &deployment->world;
	options.live = &live;
	options.actual = &deployment->actual;
	int r = prove_run(&options, &report, err);
	world_clear(&live);
	if (r < 0)
		return -1;
	report_print(cli, &report);
	return report.differences ? 2 : 0;
}

static int audit_run(struct cli *cli)
{
	autosession struct session session = { 0 };
	struct error err = { 0 };
	int64_t seed;

	if (!cli_flag(cli, "prove")) {
		error_set(&err, ERROR_INPUT, "audit was not told what to do");
		error_hint(&err, "insula audit --prove FILE sends real traffic and holds what happens against the file");
		return output_error(cli, &err);
	}
	if (cli_int(cli, "seed", 0, INT64_MAX, 1, &seed, &err) < 0 || session_read(&session, cli, &err) < 0 || session_open(&session, cli, false, false, &err) < 0)
		return output_error(cli, &err);
	int status = prove(cli, &session, seed, &err);
	return status < 0 ? output_error(cli, &err) : status;
}

static const struct option options[] = {
	{ "prove", 0, NULL, "send real traffic, open devices, and hold what happens against the file" },
	{ "seed", 0, "N", "which undeclared ports are sampled (default 1; the same seed tries the same)" },
	{ NULL, 0, NULL, NULL },
};

const struct command command_audit = {
	.name = "audit",
	.operands = "[FILE]...",
	.summary = "prove who reaches whom",
	.description = "With --prove, packets are sent from the tenants' own network namespaces: between every two tenants, on every port that the\n"
		       "file or the live rules speak of and on a sample of others, by TCP, UDP and ICMP, IPv4 and IPv6; to the host, the gateways and\n"
		       "the metadata address; to public and private addresses; with forged sources; at the edge of the MTU. Names are asked for, and\n"
		       "every device that was not granted is tried from inside. Each verdict is printed beside what the file says.\n"
		       "Nothing leaves the machine, and what runs is not disturbed. A packet is known by a number that it bears.",
	.options = options,
	.examples = "  insula audit --prove lab.yaml\n  insula audit --prove lab.yaml --json | jq 'select(.ok == false)'\n",
	.exits = "0 everything is as the file says\n1 error\n2 something differs\n4 the file is wrong\n5 not permitted\n",
	.flags = COMMAND_ROOT,
	.max_operands = -1,
	.run = audit_run,
};
