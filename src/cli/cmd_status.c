/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "report/table.h"

#include <stdlib.h>

struct view {
	struct cli *cli;
	const char *only;		/* a tenant or NULL */
	const char *names;		/* "tenants", "instances" or NULL */
	json_t *decisions;		/* where addresses are */
	struct table *table;
	int64_t now;
	size_t shown, running, failed;
	char last[64];
};

static const char *instance_address(struct view *view, const char *key)
{
	json_t *decision;
	autofree char *name = xasprintf("instance/%s", key);

	decision = json_object_get(view->decisions, name);
	return json_string_value(json_object_get(decision, "address"));
}

static void state_text(const struct usage_record *record, char *text, size_t n)
{
	if (streq(record->state, "exited") && record->exit_status >= 0)
		snprintf(text, n, "%s %d%s%s", record->exit_status == 0 ? "done" : "failed", record->exit_status, record->detail ? ": " : "",
			 record->detail ? record->detail : "");
	else
		snprintf(text, n, "%s%s%s", record->state, record->detail ? ": " : "", record->detail ? record->detail : "");
}

static void row_json(struct view *view, const struct usage_record *record)
{
	const char *address = instance_address(view, record->key);
	json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "key", record->key, "tenant", record->tenant, "workload", record->workload,
				   "method", record->method, "state", record->state, "started_ms", (json_int_t)record->started_ms, "restarts",
				   (json_int_t)record->restarts, "cpu_ns", (json_int_t)record->cpu_ns, "memory", (json_int_t)record->memory_now,
				   "memory_peak", (json_int_t)record->memory_peak);

	if (record->exit_status >= 0)
		json_object_set_new(object, "exit", json_integer(record->exit_status));
	if (record->ended_ms)
		json_object_set_new(object, "ended_ms", json_integer(record->ended_ms));
	if (record->detail)
		json_object_set_new(object, "detail", json_string(record->detail));
	if (address)
		json_object_set_new(object, "address", json_string(address));
	output_json("instance", object);
}

static int row_seen(void *arg, const struct usage_record *record)
{
	struct view *view = arg;
	const char *address;
	char state[192], age[32], memory[32], peak[32], cpu[32];

	if (view->only && !streq(view->only, record->tenant))
		return 0;
	view->shown++;
	view->running += streq(record->state, "running");
	view->failed += streq(record->state, "failed") || (streq(record->state, "exited") && record->exit_status > 0);
	if (view->names) {
		if (streq(view->names, "instances"))
			printf("%s\n", record->key);
		else if (!streq(view->last, record->tenant))
			printf("%s\n", record->tenant);
		snprintf(view->last, sizeof(view->last), "%s", record->tenant);
		return 0;
	}
	if (view->cli->json) {
		row_json(view, record);
		return 0;
	}
	state_text(record, state, sizeof(state));
	output_age((record->ended_ms ? record->ended_ms : view->now) - record->started_ms, age);
	output_bytes(record->memory_now, memory);
	output_bytes(record->memory_peak, peak);
	snprintf(cpu, sizeof(cpu), record->cpu_ns < 0 ? "-" : "%.1f s", (double)record->cpu_ns / 1e9);
	address = instance_address(view, record->key);
	table_row(view->table, (const char *const[]){ record->key, record->method, state, age, cpu, memory, peak, address ? address : "-", NULL });
	return 0;
}

static int status_run(struct cli *cli)
{
	autosession struct session session = { 0 };
	struct view view = { .cli = cli, .now = clock_wall_ms(&clock_system), .names = cli_value(cli, "names") };
	struct error err;
	int r;

	if (cli->operand_n)
		view.only = cli->operands[0];
	if (session_open(&session, cli, false, false, &err) < 0)
		return output_error(cli, &err);
	if (!session.deployment.intent && !view.names) {
		output_summary(cli, "nothing is applied here. A first file: insula init");
		return 0;
	}
	if (view.only && session_tenant(&session, view.only, &err) < 0)
		return output_error(cli, &err);
	if (session.deployment.state && state_decisions(session.deployment.state, &view.decisions, &err) < 0)
		return output_error(cli, &err);
	view.table = table_new((const char *const[]){ "INSTANCE", "METHOD", "STATE", "AGE", "CPU", "MEMORY", "PEAK", "ADDRESS", NULL });
	r = session.deployment.ops->usage(session.deployment.site, false, row_seen, &view, &err);
	if (r == 0 && !cli->json && !view.names && view.shown)
		table_print(view.table, stdout);
	table_free(view.table);
	json_decref(view.decisions);
	if (r < 0)
		return output_error(cli, &err);
	size_t tenants = session.deployment.intent ? session.deployment.intent->tenants.n : 0;
	output_summary(cli, "%s: %zu tenant%s, %zu instance%s, %zu running, %zu failed", session.deployment.config.deployment, tenants,
		       tenants == 1 ? "" : "s", view.shown, view.shown == 1 ? "" : "s", view.running, view.failed);
	return 0;
}

static const struct option options[] = {
	{ "names", 0, "WHICH", "only the names, one a line: tenants or instances" },
	{ NULL, 0, NULL, NULL },
};

const struct command command_status = {
	.name = "status",
	.operands = "[TENANT]",
	.summary = "what runs, since when, and how it ended",
	.description = "Lists the instances of a deployment: how each runs, its state, age, use of cpu and memory, and its address.",
	.options = options,
	.examples = "  insula status\n  insula status vision --json\n",
	.exits = "0 done\n1 error\n4 no such tenant\n5 not permitted\n",
	.flags = COMMAND_ROOT,
	.max_operands = 1,
	.run = status_run,
};
