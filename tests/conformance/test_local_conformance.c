/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance suite of all sites on this machine: two tenants, one of each kind. */
#include "islands_fixture.h"

#include "conformance.h"
#include "model/expand.h"
#include "model/spec.h"

static const char *const sites_files[] = {
	SITE TENANT("a", "") TENANT("b", ", network: {allow: [{from: {tenant: a}, ports: [tcp/8501]}]}")
	WORKLOAD("Workload", "one", "a", "sleep 1000", ", volumes: [{name: out, mountPath: /out, keep: false}, {name: sized, mountPath: /sized, size: 16Mi, keep: false}]")
	WORKLOAD("Service", "web", "b", "sleep 1000", ", port: 8501, publish: {address: 127.0.0.1, port: 18501}"),

	SITE TENANT("a", ", limit: {pids: 77}") TENANT("b", ", network: {allow: [{from: {tenant: a}, ports: [tcp/8502]}]}")
	WORKLOAD("Workload", "one", "a", "sleep 1001", ", volumes: [{name: out, mountPath: /out, keep: false}, {name: sized, mountPath: /sized, size: 16Mi, keep: false}]")
	WORKLOAD("Service", "web", "b", "sleep 1000", ", port: 8501, publish: {address: 127.0.0.1, port: 18502}"),
};

struct desired {
	struct intent intent;
	struct resources resources;
};

/* From a file to resources, with the facts of this machine. */
static void desired_make(const struct site_config *like, const char *text, struct desired *ret)
{
	struct source source = { .name = "lab.yaml", .text = text, .n = strlen(text) };
	autofindings struct findings findings = { 0 };
	struct site_config config = *like;
	struct site_facts facts = { 0 };
	json_t *decisions, *notes = json_array();
	struct survey survey;
	struct world world;
	struct error err = { 0 };

	assert_ok(spec_parse(&source, 1, &ret->intent, &findings, &err));
	config.intent = &ret->intent.site;
	config.whole_intent = &ret->intent;
	assert_ok(site_local.probe(&config, &facts, &err));
	assert_ok(site_local.survey(&facts, &survey, &err));
	assert_ok(decisions_make(&ret->intent, &survey, NULL, false, &decisions, &err));
	assert_ok(world_expand(&ret->intent, &survey, decisions, &world, &err));
	assert_ok(site_local.lower(&facts, &config, &ret->intent, &world, decisions, &ret->resources, notes, &err));
	world_clear(&world);
	survey_clear(&survey);
	json_decref(decisions);
	json_decref(notes);
	json_decref(facts.json);
}

static void lines_add(struct buf *text, const char *const *argv)
{
	struct proc_options options = { .argv = argv, .timeout_ms = 10000 };
	autofree char *output = NULL;
	struct error err = { 0 };

	assert_ok(proc_check(&options, &output, &err));
	buf_adds(text, output);
}

/* Links, rules, forwarding, ids, mounts below our folders: as they were. */
static char *foreign(void *arg)
{
	static const char *const links[] = { "ip", "-o", "link", "show", NULL }, *const rules[] = { "nft", "list", "ruleset", NULL };
	static const char *const forward[] = { "cat", "/proc/sys/net/ipv4/ip_forward", NULL };
	autobuf struct buf text = { 0 };
	autofree char *ids = NULL, *line = NULL;
	struct error ignored;

	buf_adds(&text, "");
	/* the name of a link's other end and counters move; its own name is what counts */
	{
		struct proc_options options = { .argv = links, .timeout_ms = 10000 };
		autofree char *output = NULL;
		struct error err = { 0 };
		char *rest, *one;

		assert_ok(proc_check(&options, &output, &err));
		for (rest = output; (one = strsep(&rest, "\n"));)
			buf_addf(&text, "%.*s\n", (int)strcspn(one, "@<"), one + strcspn(one, " "));
	}
	lines_add(&text, rules);
	lines_add(&text, forward);
	if (fs_read_file("/etc/subuid", 1 << 20, &ids, NULL, &ignored) == 0)
		buf_adds(&text, ids);
	return buf_steal(&text);
}

static unsigned failures;

static void say(void *arg, const char *check, const char *detail)
{
	printf("# %s: %s\n", check, detail ? detail : "holds");
	fflush(stdout);
	failures += detail != NULL;
}

static void the_local_site_conforms(void **state)
{
	machine_needed();
	autofree char *state_dir = fs_join(machine.dir, "state"), *run_dir = fs_join(machine.dir, "run");
	const char *build = getenv("INSULA_TEST_BUILD");
	autofree char *program_dir = fs_join(build ? build : ".", "guest");
	struct site_config config = { .deployment = machine.name, .state_dir = state_dir, .run_dir = run_dir, .program_dir = program_dir };
	struct desired desired = { 0 }, changed = { 0 };
	autofree char *text = xasprintf(sites_files[0], machine.name, machine.rootfs, machine.rootfs);
	autofree char *other = xasprintf(sites_files[1], machine.name, machine.rootfs, machine.rootfs);
	struct conformance conformance = {
		.ops = &site_local, .config = &config, .desired = &desired.resources, .changed = &changed.resources, .foreign = foreign, .say = say,
		.crashes = getenv("INSULA_TEST_FULL") ? 0 : 4,
	};

	desired_make(&config, text, &desired);
	desired_make(&config, other, &changed);
	config.intent = &desired.intent.site;
	conformance_run(&conformance);
	resources_clear(&desired.resources);
	resources_clear(&changed.resources);
	intent_clear(&desired.intent);
	intent_clear(&changed.intent);
	assert_int_equal(failures, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_local_site_conforms),
	};

	return cmocka_run_group_tests(tests, machine_setup, machine_teardown);
}
