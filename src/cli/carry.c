/* SPDX-License-Identifier: Apache-2.0 */
#include "carry.h"

#include "report/plan_text.h"
#include "report/progress.h"

#include <stdlib.h>

static json_t *changes_to_json(const struct step *step)
{
	json_t *changes = json_array();

	vec_each(&step->changes, change) {
		json_t *object = json_pack("{s:s, s:b}", "path", change->path, "drift", change->drift);

		json_object_set(object, "from", change->from ? change->from : json_null());
		json_object_set(object, "to", change->to ? change->to : json_null());
		json_array_append_new(changes, object);
	}
	return changes;
}

static void show_json(const struct plan *plan, const char *deployment)
{
	size_t i;
	json_t *note;

	vec_each(&plan->steps, step) {
		json_t *object = json_pack("{s:s, s:s, s:s, s:o}", "action", step_action_name(step->action), "kind", step->resource->kind, "key",
					   step->resource->key, "changes", changes_to_json(step));

		if (step->resource->id)
			json_object_set_new(object, "id", json_string(step->resource->id));
		if (step->reason)
			json_object_set_new(object, "reason", json_string(step->reason));
		output_json("step", object);
	}
	json_array_foreach(plan->notes, i, note)
		output_json("note", json_pack("{s:O}", "message", note));
	output_json("plan", json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "deployment", deployment, "digest", plan->digest ? plan->digest : "",
				      "create", (int)plan_count(plan, STEP_CREATE), "update", (int)plan_count(plan, STEP_UPDATE), "replace",
				      (int)plan_count(plan, STEP_REPLACE), "adopt", (int)plan_count(plan, STEP_ADOPT), "delete",
				      (int)plan_count(plan, STEP_DELETE), "keep", (int)plan_count(plan, STEP_KEEP), "abandoned",
				      (int)plan_count(plan, STEP_ABANDONED)));
}

void carry_show(const struct cli *cli, const struct plan *plan, const char *deployment)
{
	autobuf struct buf text = { 0 };

	if (cli->json) {
		show_json(plan, deployment);
		return;
	}
	plan_text(plan, cli->stdout_color, &text);
	if (text.n)
		fwrite(text.data, 1, text.n, stdout);
	fflush(stdout);
}

struct watcher {
	struct cli *cli;
	struct progress *progress;
};

static const char *const event_names[] = {
	[APPLY_START] = "start", [APPLY_DONE] = "done", [APPLY_RETRY] = "retry", [APPLY_FAILED] = "failed", [APPLY_SKIPPED] = "skipped",
};

static void event_json(const struct apply_event *event)
{
	json_t *object = json_pack("{s:s, s:s, s:s, s:i, s:i}", "action", step_action_name(event->step->action), "kind", event->step->resource->kind, "key",
				   event->step->resource->key, "done", (int)event->done, "total", (int)event->total);

	if (event->type != APPLY_START)
		json_object_set_new(object, "ms", json_integer(event->ms));
	if (event->step->resource->id)
		json_object_set_new(object, "id", json_string(event->step->resource->id));
	if (event->error)
		json_object_set_new(object, "error", json_pack("{s:s, s:s, s:s}", "code", error_code_name(event->error->code), "message", event->error->message,
							       "fix", event->error->hint));
	output_json(event_names[event->type], object);
}

static void event_seen(void *arg, const struct apply_event *event)
{
	struct watcher *watcher = arg;

	if (watcher->cli->json)
		event_json(event);
	else if (watcher->progress)
		progress_event(watcher->progress, event);
}

static void note_seen(void *arg, const char *key, const char *text, int64_t done, int64_t total)
{
	const struct watcher *watcher = arg;

	if (watcher->progress)
		progress_note(watcher->progress, key, text, done, total);
}

int carry_out(struct session *session, struct plan *plan, bool delete_data, struct apply_report *ret_report)
{
	struct cli *cli = session->cli;
	struct deployment *deployment = &session->deployment;
	struct watcher watcher = { .cli = cli };
	struct apply_report report = { 0 };
	struct apply_options options = {
		.delete_data = delete_data,
		.stop = &output_stop,
		.event = event_seen,
		.event_arg = &watcher,
		.clock = &clock_system,
	};
	int64_t started = clock_monotonic_ns(&clock_system);
	struct error err;
	int status = 0;

	if (!cli->json && !cli->quiet)
		watcher.progress = progress_new(stderr, cli->live, cli->color, plan_change_count(plan));
	deployment->config.progress = note_seen;
	deployment->config.progress_arg = &watcher;
	if (apply_run(plan, deployment->ops, deployment->site, deployment->state, &options, &report, &err) < 0)
		status = error_exit_status(err.code);
	deployment->config.progress = NULL;
	progress_free(watcher.progress);
	if (ret_report)
		*ret_report = report;
	if (status) {
		output_error(cli, &err);
		if (output_stop)
			status = error_exit_status(ERROR_INTERRUPTED);
		output_summary(cli, "%zu done, %zu failed, %zu not started. Nothing was rolled back; what was begun is in the journal.", report.done,
			       report.failed, report.not_started);
		output_summary(cli, "  resume: run the same command again");
		return status;
	}
	if (report.done > 0)
		output_summary(cli, "%zu done in %.1f s", report.done, (double)(clock_monotonic_ns(&clock_system) - started) / 1e9);
	return 0;
}
