/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole path on a machine of its own (network and mount namespace): file, plan, apply, list, an empty second plan,
 * destroy, and a sweep that finds nothing. Two tenants run busybox; what they say is read from their logs.
 */
#include "islands_fixture.h"

#include "model/spec.h"
#include "plan/deployment.h"

static const struct site_ops *const sites[] = { &site_local, NULL };

/* One command of the user, as the command line does it. */
struct session {
	struct intent intent;
	struct deployment deployment;
	struct plan plan;
	json_t *files;
	char *state_dir, *run_dir, *program_dir;
};

static void session_start(struct session *session, const char *text)
{
	autofindings struct findings findings = { 0 };
	struct source source = { .name = "lab.yaml", .text = text, .n = text ? strlen(text) : 0 };
	const char *build = getenv("INSULA_TEST_BUILD");
	struct deployment_options options;
	struct error err = { 0 };

	*session = (struct session){ 0 };
	session->state_dir = fs_join(machine.dir, "state");
	session->run_dir = fs_join(machine.dir, "run");
	session->program_dir = fs_join(build ? build : ".", "guest");
	options = (struct deployment_options){
		.state_dir = session->state_dir, .run_dir = session->run_dir, .program_dir = session->program_dir, .write = true, .lock_wait_ms = 5000,
	};
	plan_init(&session->plan);
	if (text) {
		assert_ok(spec_parse(&source, 1, &session->intent, &findings, &err));
		session->files = json_pack("[{s:s, s:s}]", "name", "lab.yaml", "text", text);
		options.files = session->files;
	}
	assert_ok(deployment_open(sites, text ? &session->intent : NULL, machine.name, &options, &session->deployment, &err));
}

static void session_end(struct session *session)
{
	plan_clear(&session->plan);
	deployment_close(&session->deployment);
	if (session->files)
		intent_clear(&session->intent);
	json_decref(session->files);
	free(session->state_dir);
	free(session->run_dir);
	free(session->program_dir);
}

static void plan_show(const struct plan *plan)
{
	vec_each(&plan->steps, step) {
		if (step->action == STEP_NOTHING)
			continue;
		printf("#   %s %s %s\n", step_action_name(step->action), step->resource->key, step->reason ? step->reason : "");
		vec_each(&step->changes, change) {
			char *from = change->from ? json_canonical(change->from) : xstrdup("-"), *to = change->to ? json_canonical(change->to) : xstrdup("-");

			printf("#     %s: %s > %s\n", change->path, from, to);
			free(from);
			free(to);
		}
	}
}

static void event_show(void *arg, const struct apply_event *event)
{
	if (event->type == APPLY_FAILED || event->type == APPLY_RETRY)
		printf("#   %s %s: %s (%s)\n", event->type == APPLY_FAILED ? "failed" : "again", event->step->resource->key, event->error->message, event->error->hint);
}

static size_t planned(struct session *session, const struct plan_options *options)
{
	struct error err = { 0 };

	assert_ok(deployment_list(&session->deployment, &err));
	vec_each(&session->deployment.coverage.entries, entry)
		if (entry->state != COVERAGE_COMPLETE)
			printf("#   list of %s: %s\n", entry->kind, entry->reason ? entry->reason : "");
	if (!options->destroy)
		assert_ok(deployment_expand(&session->deployment, &err));
	assert_ok(deployment_plan(&session->deployment, options, &session->plan, &err));
	return plan_change_count(&session->plan);
}

static void carry_out(struct session *session, bool delete_data)
{
	struct apply_options options = { .event = event_show, .delete_data = delete_data };
	struct apply_report report = { 0 };
	struct error err = { 0 };

	if (apply_run(&session->plan, session->deployment.ops, session->deployment.site, session->deployment.state, &options, &report, &err) < 0)
		fail_msg("%s (%s)", err.message, err.hint);
}

/* How many changes it took. */
static size_t apply(const char *text)
{
	struct plan_options options = { .prune = true };
	struct session session;
	int64_t before = clock_monotonic_ns(&clock_system), planned_at;
	size_t n;

	session_start(&session, text);
	n = planned(&session, &options);
	planned_at = clock_monotonic_ns(&clock_system);
	if (n)
		carry_out(&session, false);
	printf("# apply: %zu changes; plan %d ms, apply %d ms\n", n, (int)((planned_at - before) / 1000000),
	       (int)((clock_monotonic_ns(&clock_system) - planned_at) / 1000000));
	session_end(&session);
	return n;
}

static void nothing_to_do(const char *text)
{
	struct plan_options options = { .prune = true };
	struct session session;

	session_start(&session, text);
	if (planned(&session, &options)) {
		plan_show(&session.plan);
		fail_msg("a second plan has changes");
	}
	session_end(&session);
}

static void destroy(bool delete_data)
{
	struct plan_options options = { .destroy = true, .delete_data = delete_data };
	json_t *left = json_array();
	struct session session;
	struct error err = { 0 };

	session_start(&session, NULL);
	planned(&session, &options);
	carry_out(&session, delete_data);
	assert_ok(session.deployment.ops->sweep(session.deployment.site, NULL, left, &err));
	for (size_t i = 0; i < json_array_size(left); i++)
		printf("#   left: %s\n", json_string_value(json_array_get(left, i)));
	assert_int_equal(json_array_size(left), 0);
	json_decref(left);
	session_end(&session);
	{
		autofree char *run = fs_join(machine.dir, "run");

		assert_false(fs_exists(run));
	}
}

static char *log_of(const char *key)
{
	autofree char *path = xasprintf("%s/state/%s/logs/%s.log", machine.dir, machine.name, key);
	struct error ignored;
	char *text;

	return fs_read_file(path, 1 << 20, &text, NULL, &ignored) < 0 ? xstrdup("") : text;
}

static void log_waits_for(const char *key, const char *wanted)
{
	for (int i = 0; i < 500; i++) {
		autofree char *text = log_of(key);

		if (strstr(text, wanted))
			return;
		clock_sleep_ms(&clock_system, 20);
	}
	autofree char *text = log_of(key);
	fail_msg("the log of %s does not say \"%s\" but \"%s\"", key, wanted, text);
}

static void two_tenants_come_and_go(void **state)
{
	machine_needed();
	autofree char *text = xasprintf(SITE
		TENANT("a", "") TENANT("b", ", network: {allow: [{from: {tenant: a}, ports: [tcp/8501]}]}")
		WORKLOAD("Workload", "one", "a", "id -u; cat /proc/self/uid_map; echo kept > /out/file; echo done; sleep 1000", ", volumes: [{name: out, mountPath: /out}]")
		WORKLOAD("Service", "web", "b", "echo serving; sleep 1000", ", port: 8501"),
		machine.name, machine.rootfs, machine.rootfs);

	assert_true(apply(text) > 10);
	log_waits_for("a/one/0", "done");
	log_waits_for("b/web/0", "serving");
	nothing_to_do(text);
	destroy(false);
	/* the volume was kept: it is there again */
	autofree char *again = xasprintf(SITE TENANT("a", "")
		WORKLOAD("Workload", "one", "a", "cat /out/file; echo again", ", restart: never, volumes: [{name: out, mountPath: /out}]"), machine.name, machine.rootfs);

	apply(again);
	log_waits_for("a/one/0", "kept\nagain");
	nothing_to_do(again);
	destroy(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_tenants_come_and_go),
	};

	return cmocka_run_group_tests(tests, machine_setup, machine_teardown);
}
