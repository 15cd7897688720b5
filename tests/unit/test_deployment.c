/* SPDX-License-Identifier: Apache-2.0 */
/* From a file to what lives and back, with the site in memory. */
#include "helper.h"

#include "../conformance/fake_site.h"
#include "model/spec.h"
#include "plan/deployment.h"

#include <sys/stat.h>

static const struct site_ops *const sites[] = { &fake_ops, NULL };

static const char lab[] =
	"apiVersion: insula.dev/v1\n"
	"kind: Site\n"
	"metadata: {name: lab}\n"
	"spec: {addressPool: 10.77.0.0/16}\n"
	"---\n"
	"apiVersion: insula.dev/v1\n"
	"kind: Tenant\n"
	"metadata: {name: vision}\n"
	"spec:\n"
	"  quota: {cpu: 2, memory: 1Gi}\n"
	"---\n"
	"apiVersion: insula.dev/v1\n"
	"kind: Tenant\n"
	"metadata: {name: audio}\n"
	"spec:\n"
	"  quota: {cpu: 2, memory: 1Gi}\n"
	"  network: {allow: [{from: {tenant: vision}, ports: [tcp/80]}]}\n"
	"---\n"
	"apiVersion: insula.dev/v1\n"
	"kind: Workload\n"
	"metadata: {name: train, tenant: vision}\n"
	"spec: {image: host, command: [\"true\"], replicas: 2, resources: {cpu: 500m, memory: 64Mi}}\n";

struct fixture {
	char *dir;
	struct fake_world *world;
	struct deployment_options options;
};

static struct fixture *fixture_new(void)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->dir = temp_dir_make();
	f->world = fake_world_new();
	fake_world_use(f->world);
	f->options = (struct deployment_options){ .state_dir = f->dir, .run_dir = f->dir, .program_dir = f->dir, .write = true };
	return f;
}

static void fixture_free(struct fixture *f)
{
	fake_world_free(f->world);
	temp_dir_remove(f->dir);
	free(f);
}

static json_t *files_of(const char *text)
{
	return json_pack("[{s:s, s:s}]", "name", "/lab.yaml", "text", text);
}

/* Opens, plans and, when `report` is given, applies. text NULL: what the state keeps. */
static int carry(struct fixture *f, const char *text, const struct plan_options *options, struct plan *plan, struct apply_report *report, struct error *err)
{
	autojson json_t *files = text ? files_of(text) : NULL;
	struct apply_options apply_options = { 0 };
	struct deployment deployment;
	struct intent intent;
	int result = -1;

	if (text) {
		assert_int_equal(intent_from_files(files, &intent, err), 0);
		f->options.files = files;
	}
	if (deployment_open(sites, text ? &intent : NULL, "lab", &f->options, &deployment, err) < 0)
		goto out;
	if (options->only_tenant && options->destroy)
		intent_without_tenant(deployment.intent, options->only_tenant);
	if ((!options->destroy || options->only_tenant) && deployment_expand(&deployment, err) < 0)
		goto close;
	if (deployment_plan(&deployment, options, plan, err) < 0)
		goto close;
	result = report ? apply_run(plan, deployment.ops, deployment.site, deployment.state, &apply_options, report, err) : 0;
close:
	deployment_close(&deployment);
out:
	if (text)
		intent_clear(&intent);
	f->options.files = NULL;
	return result;
}

static const struct plan_options make = { 0 }, prune = { .prune = true }, destroy = { .destroy = true },
	destroy_vision = { .destroy = true, .only_tenant = "vision" };

static void a_file_becomes_what_lives(void **state)
{
	struct fixture *f = fixture_new();
	autoplan struct plan plan, again;
	struct apply_report report;
	struct error err = { 0 };

	plan_init(&plan);
	plan_init(&again);
	assert_ok(carry(f, lab, &make, &plan, &report, &err));
	assert_int_equal(report.done, 6);	/* two walls, two networks, two jobs */
	assert_non_null(json_get_object(plan.decisions, "instance/vision/train/1"));
	assert_ok(carry(f, lab, &make, &again, NULL, &err));
	assert_int_equal(plan_change_count(&again), 0);
	assert_true(json_equal(plan.decisions, again.decisions));
	assert_int_equal(f->world->violations.n, 0);
	fixture_free(f);
}

static void restore_needs_no_file(void **state)
{
	struct fixture *f = fixture_new();
	autoplan struct plan first, plan;
	struct apply_report report;
	struct error err = { 0 };

	plan_init(&first);
	plan_init(&plan);
	assert_fails(carry(f, NULL, &make, &plan, NULL, &err), "nothing was ever applied");
	assert_ok(carry(f, lab, &make, &first, &report, &err));
	/* a reboot */
	fake_world_free(f->world);
	f->world = fake_world_new();
	fake_world_use(f->world);
	plan_clear(&plan);
	plan_init(&plan);
	assert_ok(carry(f, NULL, &make, &plan, &report, &err));
	assert_int_equal(report.done, 6);
	assert_true(json_equal(first.decisions, plan.decisions));
	assert_int_equal(json_array_size(plan.files), 1);
	fixture_free(f);
}

static void a_destroyed_tenant_is_not_restored(void **state)
{
	struct fixture *f = fixture_new();
	autoplan struct plan first, second, third, fourth;
	struct apply_report report;
	struct error err = { 0 };

	plan_init(&first);
	plan_init(&second);
	plan_init(&third);
	plan_init(&fourth);
	assert_ok(carry(f, lab, &make, &first, &report, &err));
	assert_ok(carry(f, NULL, &destroy_vision, &second, &report, &err));
	assert_int_equal(report.done, 4);
	assert_int_equal(fake_world_count(f->world, "lab"), 2);
	assert_null(json_get_object(second.decisions, "tenant/vision"));
	assert_null(json_get_object(second.decisions, "instance/vision/train/0"));
	assert_non_null(json_get_object(second.decisions, "tenant/audio"));
	assert_ok(carry(f, NULL, &make, &third, NULL, &err));
	assert_int_equal(plan_change_count(&third), 0);
	/* applying a file that names it makes it again, with a free slot */
	assert_ok(carry(f, lab, &make, &fourth, &report, &err));
	assert_int_equal(report.done, 4);
	fixture_free(f);
}

static void destroy_needs_neither_file_nor_state(void **state)
{
	struct fixture *f = fixture_new();
	autoplan struct plan first, plan, last;
	struct apply_report report;
	struct error err = { 0 };

	plan_init(&first);
	plan_init(&plan);
	plan_init(&last);
	assert_ok(carry(f, lab, &make, &first, &report, &err));
	autofree char *folder = fs_join(f->dir, "lab");
	assert_ok(fs_remove_tree(folder, &err));
	assert_ok(carry(f, NULL, &destroy, &plan, &report, &err));
	assert_int_equal(fake_world_count(f->world, "lab"), 0);
	assert_int_equal(json_object_size(plan.decisions), 0);
	assert_ok(carry(f, NULL, &destroy, &last, &report, &err));
	assert_int_equal(report.done, 0);
	fixture_free(f);
}

static void lost_decisions_are_read_from_what_lives(void **state)
{
	struct fixture *f = fixture_new();
	autoplan struct plan first, plan;
	struct apply_report report;
	struct error err = { 0 };
	autofree char *shifted = NULL;

	plan_init(&first);
	plan_init(&plan);
	assert_ok(carry(f, lab, &make, &first, &report, &err));
	autofree char *folder = fs_join(f->dir, "lab");
	assert_ok(fs_remove_tree(folder, &err));
	/* another tenant, whose name comes first and who would get the first slot if all were decided anew */
	shifted = xasprintf("%s---\napiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: aaa}\nspec: {quota: {cpu: 1, memory: 1Gi}}\n", lab);
	assert_ok(carry(f, shifted, &make, &plan, &report, &err));
	assert_true(json_equal(json_get_object(first.decisions, "tenant/vision"), json_get_object(plan.decisions, "tenant/vision")));
	assert_true(json_equal(json_get_object(first.decisions, "tenant/audio"), json_get_object(plan.decisions, "tenant/audio")));
	assert_int_equal(plan_count(&plan, STEP_ADOPT), 6);
	assert_int_equal(plan_count(&plan, STEP_CREATE), 2);
	fixture_free(f);
}

static void decisions_go_with_the_last_thing_of_theirs(void **state)
{
	struct fixture *f = fixture_new();
	autoplan struct plan first, second, third;
	struct apply_report report;
	struct error err = { 0 };
	autofree char *fewer = xstrdup(lab);

	memcpy(strstr(fewer, "replicas: 2"), "replicas: 1", 11);
	plan_init(&first);
	plan_init(&second);
	plan_init(&third);
	assert_ok(carry(f, lab, &make, &first, &report, &err));
	assert_ok(carry(f, fewer, &make, &second, &report, &err));
	assert_int_equal(plan_count(&second, STEP_ABANDONED), 1);
	assert_non_null(json_get_object(second.decisions, "instance/vision/train/1"));
	assert_ok(carry(f, fewer, &prune, &third, &report, &err));
	assert_int_equal(plan_count(&third, STEP_DELETE), 1);
	assert_null(json_get_object(third.decisions, "instance/vision/train/1"));
	assert_non_null(json_get_object(third.decisions, "instance/vision/train/0"));
	fixture_free(f);
}

static void offline_all_is_to_be_made_and_nothing_is_read(void **state)
{
	struct fixture *f = fixture_new();
	autoplan struct plan first, plan;
	struct apply_report report;
	struct error err = { 0 };

	plan_init(&first);
	plan_init(&plan);
	assert_ok(carry(f, lab, &make, &first, &report, &err));
	f->options.offline = true;
	f->options.write = false;
	assert_ok(carry(f, lab, &make, &plan, NULL, &err));
	assert_int_equal(plan_count(&plan, STEP_CREATE), 6);
	assert_true(json_get_bool(plan.facts, "offline", false));
	fixture_free(f);
}

static void a_driver_without_a_site_is_said(void **state)
{
	struct fixture *f = fixture_new();
	autoplan struct plan plan;
	struct error err = { 0 };
	static const char cloud[] = "apiVersion: insula.dev/v1\nkind: Site\nmetadata: {name: lab}\nspec: {driver: openstack, cloud: lab}\n";

	plan_init(&plan);
	assert_fails(carry(f, cloud, &make, &plan, NULL, &err), "driver openstack is read and checked; nothing acts on it yet");
	assert_int_equal(err.code, ERROR_UNSUPPORTED);
	fixture_free(f);
}

static void a_second_writer_is_told_of_the_first(void **state)
{
	struct fixture *f = fixture_new();
	struct deployment first, second;
	struct error err = { 0 };

	assert_ok(deployment_open(sites, NULL, "lab", &f->options, &first, &err));
	assert_fails(deployment_open(sites, NULL, "lab", &f->options, &second, &err), "deployment 'lab' is being changed");
	assert_int_equal(err.code, ERROR_CONFLICT);
	f->options.write = false;
	assert_ok(deployment_open(sites, NULL, "lab", &f->options, &second, &err));
	deployment_close(&second);
	deployment_close(&first);
	assert_fails(deployment_open(sites, NULL, "../x", &f->options, &second, &err), "no name of a deployment");
	fixture_free(f);
}

static void a_damaged_state_says_the_way_out(void **state)
{
	struct fixture *f = fixture_new();
	autofree char *folder = fs_join(f->dir, "lab"), *path = fs_join(folder, "state.db");
	struct deployment deployment;
	struct error err = { 0 };

	assert_ok(fs_make_dirs(folder, 0700, &err));
	assert_ok(fs_replace_file(path, "this is no database at all, but some text of more than a few bytes", 66, 0600, false, &err));
	assert_fails(deployment_open(sites, NULL, "lab", &f->options, &deployment, &err), "state of deployment 'lab'");
	assert_non_null(strstr(err.hint, "away"));
	fixture_free(f);
}

/* A saved plan is a contract: it is the same as long as nothing moved. */
static void a_saved_plan_tells_what_moved(void **state)
{
	struct fixture *f = fixture_new();
	autoplan struct plan saved, same, moved;
	struct apply_report report;
	struct error err = { 0 };
	autofree char *path = fs_join(f->dir, "plan");
	autoplan struct plan first;
	autofree char *fewer = xstrdup(lab);

	memcpy(strstr(fewer, "replicas: 2"), "replicas: 3", 11);
	plan_init(&first);
	plan_init(&saved);
	plan_init(&same);
	plan_init(&moved);
	assert_ok(carry(f, lab, &make, &first, &report, &err));
	assert_ok(carry(f, fewer, &make, &saved, NULL, &err));
	assert_ok(plan_save(&saved, path, &err));
	autofree char *pipe = fs_join(f->dir, "pipe");
	assert_int_equal(mkfifo(pipe, 0600), 0);
	assert_fails(plan_save(&saved, pipe, &err), "no ordinary file");
	plan_clear(&saved);
	assert_ok(plan_load(path, &saved, &err));
	assert_ok(carry(f, fewer, &make, &same, NULL, &err));
	assert_ok(plan_same(&saved, &same, &err));
	json_object_set_new(fake_world_find(f->world, "audio/network")->resource->body, "mtu", json_integer(9000));
	assert_ok(carry(f, fewer, &make, &moved, NULL, &err));
	assert_fails(plan_same(&saved, &moved, &err), "'audio/network' was to be: nothing, is now: update");
	assert_int_equal(err.code, ERROR_CONFLICT);
	/* and one that was edited is refused */
	autofree char *text = NULL;
	size_t n;
	assert_ok(fs_read_file(path, 1 << 20, &text, &n, &err));
	strstr(text, "vision/train/2")[7] = 'b';
	assert_ok(fs_replace_file(path, text, n, 0600, false, &err));
	plan_clear(&same);
	assert_fails(plan_load(path, &same, &err), "was changed after it was made");
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_becomes_what_lives),
		cmocka_unit_test(restore_needs_no_file),
		cmocka_unit_test(a_destroyed_tenant_is_not_restored),
		cmocka_unit_test(destroy_needs_neither_file_nor_state),
		cmocka_unit_test(lost_decisions_are_read_from_what_lives),
		cmocka_unit_test(decisions_go_with_the_last_thing_of_theirs),
		cmocka_unit_test(offline_all_is_to_be_made_and_nothing_is_read),
		cmocka_unit_test(a_driver_without_a_site_is_said),
		cmocka_unit_test(a_second_writer_is_told_of_the_first),
		cmocka_unit_test(a_damaged_state_says_the_way_out),
		cmocka_unit_test(a_saved_plan_tells_what_moved),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
