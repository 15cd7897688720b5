/* SPDX-License-Identifier: Apache-2.0 */
#include "carry.h"

#include "base/fs.h"

#include <stdlib.h>

struct used { const char *tenant; json_t *records; };

static int used_seen(void *arg, const struct usage_record *record)
{
	struct used *used = arg;
	char started[32], ended[32];

	if (used->tenant && !streq(used->tenant, record->tenant))
		return 0;
	clock_format(record->started_ms, started);
	clock_format(record->ended_ms ? record->ended_ms : clock_wall_ms(&clock_system), ended);
	json_array_append_new(used->records, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:I}", "key", record->key, "method", record->method, "started", started,
						       "ended", ended, "cpu_ns", (json_int_t)record->cpu_ns, "memory_peak", (json_int_t)record->memory_peak,
						       "exit", record->exit_status, "restarts", (json_int_t)record->restarts));
	return 0;
}

/* What instances have used so far: their records go with them, so the receipt keeps the figures. */
static json_t *used_until_now(struct session *session, const char *tenant)
{
	struct deployment *deployment = &session->deployment;
	struct used used = { tenant, json_array() };
	struct error ignored;	/* a record that does not read must not keep anything from being taken down */

	if (deployment->ops->usage && deployment->ops->usage(deployment->site, true, used_seen, &used, &ignored) < 0)
		json_array_append_new(used.records, json_pack("{s:s}", "incomplete", ignored.message));
	return used.records;
}

/* What was removed, what was kept and why, for whoever asks later. */
static int receipt_write(struct session *session, const struct plan *plan, const char *scope, json_t *used, json_t *left, struct error *err)
{
	const struct site_config *config = &session->deployment.config;
	int64_t now = clock_wall_ms(&clock_system);
	char when[32];
	json_t *removed = json_array(), *kept = json_array();

	vec_each(&plan->steps, step) {
		json_t *line = json_pack("{s:s, s:s}", "kind", step->resource->kind, "key", step->resource->key);

		if (step->resource->id)
			json_object_set_new(line, "id", json_string(step->resource->id));
		if (step->action == STEP_KEEP) {
			json_object_set_new(line, "why", json_string(step->reason ? step->reason : "kept on purpose"));
			json_array_append_new(kept, line);
		} else if (step->action == STEP_DELETE) {
			json_array_append_new(removed, line);
		} else {
			json_decref(line);
		}
	}
	clock_format(now, when);
	autojson json_t *receipt = json_pack("{s:i, s:s, s:s, s:s, s:o, s:o, s:O, s:O}", "v", JSON_VERSION, "deployment", config->deployment, "destroyed", scope,
					     "when", when, "removed", removed, "kept", kept, "used", used, "left", left);
	autofree char *text = json_dumps(receipt, JSON_INDENT(1) | JSON_SORT_KEYS);
	autofree char *dir = xasprintf("%s/%s/receipts", config->state_dir, config->deployment);
	autofree char *path = xasprintf("%s/destroy-%s-%lld.json", dir, scope, (long long)now);

	if (fs_make_dirs(dir, 0700, err) < 0 || fs_replace_file(path, text, strlen(text), 0600, true, err) < 0)
		return error_wrap(err, "the receipt");
	output_summary(session->cli, "receipt: %s", path);
	return 0;
}

/* The last look: nothing of ours may be left. */
static int sweep(struct session *session, const char *tenant, json_t *left, struct error *err)
{
	struct deployment *deployment = &session->deployment;
	size_t i;
	json_t *line;

	if (!deployment->ops->sweep)
		return 0;
	if (deployment->ops->sweep(deployment->site, tenant, left, err) < 0)
		return -1;
	json_array_foreach(left, i, line)
		output_warning(session->cli, "left: %s", json_string_value(line));
	if (json_array_size(left) == 0)
		return 0;
	error_set(err, ERROR_LEFTOVER, "%zu thing%s left that should be gone", json_array_size(left), json_array_size(left) == 1 ? " is" : "s are");
	return error_hint(err, "run the same command again; if it stays, the lines above name it");
}

static bool confirmed(const struct cli *cli, const struct plan *plan, const char *word)
{
	autofree char *prompt = xasprintf("%zu things will be removed, %zu kept. Type %s to go on", plan_count(plan, STEP_DELETE), plan_count(plan, STEP_KEEP), word);

	return cli_flag(cli, "yes") || output_confirm(prompt, word);
}

/* One tenant, or all of them (tenant NULL). */
static int destroy_scope(struct cli *cli, const char *tenant)
{
	autosession struct session session = { 0 };
	autoplan struct plan plan;
	struct plan_options options = {
		.destroy = true,
		.prune = true,
		.delete_data = cli_flag(cli, "delete-data"),
		.only_tenant = tenant,
	};
	autojson json_t *left = json_array();
	autojson json_t *used = NULL;
	struct error err;
	int status;

	plan_init(&plan);
	if (session_open(&session, cli, true, false, &err) < 0 || (tenant && session_tenant(&session, tenant, &err) < 0))
		return output_error(cli, &err);
	/* What stays is what the last file says without this tenant. Where that file no longer reads, what all share stays as it is. */
	if (tenant && session.deployment.intent) {
		intent_without_tenant(session.deployment.intent, tenant);
		if (deployment_expand(&session.deployment, &err) < 0)
			return output_error(cli, &err);
	}
	if (deployment_list(&session.deployment, &err) < 0 || deployment_plan(&session.deployment, &options, &plan, &err) < 0)
		return output_error(cli, &err);
	used = used_until_now(&session, tenant);
	if (plan_change_count(&plan) > 0) {
		if (!cli->quiet)
			carry_show(cli, &plan, session.deployment.config.deployment);
		if (!confirmed(cli, &plan, tenant ? tenant : session.deployment.config.deployment)) {
			error_set(&err, ERROR_INPUT, "not confirmed: nothing was removed");
			error_hint(&err, "type the name when asked, or say --yes");
			return output_error(cli, &err);
		}
	} else {
		output_summary(cli, "nothing to remove%s%s", tenant ? " of " : "", tenant ? tenant : "");
	}
	/* also without anything to remove: what the state remembers goes, as after a destroy that was cut short at its very end */
	status = carry_out(&session, &plan, options.delete_data, NULL);
	if (status)
		return status;
	status = sweep(&session, tenant, left, &err) < 0 ? output_error(cli, &err) : 0;
	if ((plan_change_count(&plan) > 0 || status) && receipt_write(&session, &plan, tenant ? tenant : "all", used, left, &err) < 0)
		return output_error(cli, &err);
	if (status == 0)
		output_summary(cli, "sweep: nothing is left%s", plan_count(&plan, STEP_KEEP) ? " but what is kept (--delete-data removes that too)" : "");
	return status;
}

static int destroy_run(struct cli *cli)
{
	struct error err;

	if (cli_flag(cli, "all") == (cli->operand_n > 0)) {
		error_set(&err, ERROR_INPUT, cli->operand_n ? "name tenants or say --all, not both" : "what should be destroyed?");
		error_hint(&err, "insula destroy TENANT, or insula destroy --all");
		return output_error(cli, &err);
	}
	if (cli->operand_n == 0)
		return destroy_scope(cli, NULL);
	for (int i = 0; i < cli->operand_n; i++) {
		int status = destroy_scope(cli, cli->operands[i]);

		if (status)
			return status;
	}
	return 0;
}

static const struct option options[] = {
	{ "all", 'a', NULL, "every tenant, and what they shared" },
	{ "yes", 'y', NULL, "do not ask" },
	{ "delete-data", 0, NULL, "kept volumes too" },
	{ NULL, 0, NULL, NULL },
};

const struct command command_destroy = {
	.name = "destroy",
	.operands = "TENANT... | --all",
	.summary = "take tenants down, and prove that nothing is left",
	.description = "Stops what runs, then removes networks, storage, limits and walls, each only when what it protected is gone.\n"
		       "Volumes with keep (the default) stay unless --delete-data is given. It ends with a sweep over everything that\n"
		       "insula makes, and writes a receipt of what was removed and kept. Asks for the name, unless --yes is given.",
	.options = options,
	.examples = "  insula destroy vision\n  insula destroy --all --yes\n  insula destroy --all --yes --delete-data\n",
	.exits = "0 done, nothing is left\n1 error\n3 partly done; the same command resumes\n4 not confirmed, or no such tenant\n5 not permitted\n7 something is left\n130 interrupted\n",
	.flags = COMMAND_ROOT,
	.max_operands = -1,
	.run = destroy_run,
};
