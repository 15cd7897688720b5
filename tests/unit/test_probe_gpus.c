/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "base/buf.h"
#include "site/local/probe/probe.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* The GPUs of a machine that has none, told by a stand-in for the vendor's library (tests/stub/nvml.c). */

struct stand { char *dir, *library, *programs; struct site_intent intent; struct site_config config; };

static int setup(void **state)
{
	autofree char *built = xasprintf("%s/tests/libstub_nvml.so", getenv("INSULA_TEST_BUILD")), *text = NULL;
	struct stand *stand = xcalloc(1, sizeof(*stand));
	struct error err = { 0 };
	size_t n;

	stand->dir = temp_dir_make();
	stand->library = fs_join(stand->dir, "libnvidia-ml.so.1");
	stand->programs = xasprintf("%s/guest", getenv("INSULA_TEST_BUILD"));
	assert_ok(fs_read_file(built, 4 << 20, &text, &n, &err));
	assert_ok(fs_replace_file(stand->library, text, n, 0755, false, &err));
	stand->intent = (struct site_intent){ .name = "test" };
	stand->config = (struct site_config){
		.deployment = "test", .state_dir = stand->dir, .run_dir = stand->dir, .program_dir = stand->programs, .intent = &stand->intent, .nvml = stand->library,
	};
	*state = stand;
	return 0;
}

static int teardown(void **state)
{
	struct stand *stand = *state;

	temp_dir_remove(stand->dir);
	free(stand->library);
	free(stand->programs);
	free(stand);
	return 0;
}

static void says(struct stand *stand, const char *text)
{
	autofree char *path = xasprintf("%s.conf", stand->library);
	struct error err = { 0 };

	assert_ok(fs_replace_file(path, text, strlen(text), 0644, false, &err));
}

static json_t *facts_of(struct stand *stand)
{
	json_t *facts = json_object();

	json_set_bool(facts, "root", true);
	probe_gpus(&stand->config, facts);
	probe_checks(&stand->config, facts);
	return facts;
}

/* All lines of doctor about GPUs, "level: text" each. */
static char *words(const json_t *facts)
{
	autobuf struct buf text = { 0 };
	json_t *item;
	size_t i;

	buf_adds(&text, "");
	json_array_foreach(json_get_array(facts, "checks"), i, item)
		if (streq(json_get_string(item, "id", ""), "gpu"))
			buf_addf(&text, "%s: %s\n", json_get_string(item, "level", ""), json_get_string(item, "text", ""));
	return buf_steal(&text);
}

#define CARD(n, more) "card uuid=GPU-" #n " name=NVIDIA_A100-SXM4-80GB total=85899345920 free=85899345920 minor=" #n " pci=00000000:0" #n ":00.0 " more "\n"

static void mixed_cards_are_told(void **state)
{
	autojson json_t *facts = NULL;
	autofree char *text = NULL;
	struct site_facts site = { 0 };
	struct survey survey;
	struct error err = { 0 };

	says(*state, "driver 550.54.15\n" CARD(0, "mig=off link=00000000:01:00.0") CARD(1, "mig=on part=MIG-1:NVIDIA_A100_1g.10gb:10737418240 part=MIG-2:NVIDIA_A100_2g.20gb:21474836480")
	     "card uuid=GPU-t4 name=Tesla_T4 total=16106127360 free=16106127360 minor=2 pci=00000000:02:00.0\n");
	site.json = facts = facts_of(*state);
	assert_string_equal(json_get_string(json_get_object(facts, "gpus"), "driver", ""), "550.54.15");
	text = words(facts);
	assert_string_equal(text, "ok: GPU 0: NVIDIA A100-SXM4-80GB, 81920 MiB, 81920 MiB free\n"
				  "ok: GPU 1: NVIDIA A100-SXM4-80GB, 81920 MiB, 81920 MiB free, cut into parts (MIG)\n"
				  "ok: GPU 2: Tesla T4, 15360 MiB, 15360 MiB free\n");
	assert_ok(local_survey(&site, &survey, &err));
	assert_int_equal(survey.nodes.items[0].gpu_n, 4);
	assert_string_equal(survey.nodes.items[0].gpus[0].uuid, "GPU-0");
	assert_string_equal(survey.nodes.items[0].gpus[1].uuid, "MIG-1");
	assert_string_equal(survey.nodes.items[0].gpus[2].model, "NVIDIA A100 2g.20gb");
	assert_int_equal(survey.nodes.items[0].gpus[3].memory, 16106127360);
	survey_clear(&survey);
}

static void a_lost_card_is_no_loss_of_the_others(void **state)
{
	autojson json_t *facts = NULL;
	autofree char *text = NULL;
	struct site_facts site = { 0 };
	struct survey survey;
	struct error err = { 0 };

	says(*state, "driver 1\n" CARD(0, "") "card status=15\n" CARD(2, ""));
	site.json = facts = facts_of(*state);
	text = words(facts);
	assert_string_equal(text, "ok: GPU 0: NVIDIA A100-SXM4-80GB, 81920 MiB, 81920 MiB free\nwarn: GPU 1 does not answer: GPU is lost; the others can be used\n"
				  "ok: GPU 2: NVIDIA A100-SXM4-80GB, 81920 MiB, 81920 MiB free\n");
	assert_ok(local_survey(&site, &survey, &err));
	assert_int_equal(survey.nodes.items[0].gpu_n, 2);
	survey_clear(&survey);
}

static void strangers_are_named(void **state)
{
	autofree char *conf = NULL, *text = NULL, *wanted = NULL;
	autojson json_t *facts = NULL;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		for (;;)
			pause();
	conf = xasprintf("driver 1\ncard uuid=GPU-0 name=T4 total=16106127360 free=1 minor=0 pci=00000000:02:00.0 process=%d:1073741824\n", (int)pid);
	says(*state, conf);
	facts = facts_of(*state);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	text = words(facts);
	wanted = xasprintf("warn: GPU 0: 1024 MiB are held by test_probe_gpus (pid %d) of ", (int)pid);
	assert_holds(text, wanted);
}

static void a_mismatch_needs_a_reboot(void **state)
{
	autojson json_t *facts = NULL;
	autofree char *text = NULL;

	says(*state, "init 18\n");
	facts = facts_of(*state);
	text = words(facts);
	assert_holds(text, "warn: the host needs a reboot");
}

static void without_a_library_there_is_nothing_to_say(void **state)
{
	struct stand *stand = *state;
	autojson json_t *facts = NULL;
	autofree char *text = NULL, *none = fs_join(stand->dir, "none.so");

	stand->config.nvml = none;
	facts = facts_of(stand);
	text = words(facts);
	assert_string_equal(json_get_string(json_get_object(facts, "gpus"), "reason", ""), "absent");
	if (json_get_int(json_get_object(facts, "gpus"), "onBus", 0) == 0)
		assert_string_equal(text, "");
}

static void a_library_that_crashes_does_so_alone(void **state)
{
	autojson json_t *facts = NULL;
	autofree char *text = NULL;

	says(*state, "crash\n");
	facts = facts_of(*state);
	text = words(facts);
	assert_holds(text, "warn: GPUs cannot be asked: ");
}

static void a_library_that_hangs_is_left(void **state)
{
	autojson json_t *facts = NULL;
	autofree char *text = NULL;

	says(*state, "hang\n");
	facts = facts_of(*state);
	text = words(facts);
	assert_holds(text, "warn: GPUs cannot be asked: ");
}

int main(void)
{
#define each(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		each(mixed_cards_are_told),
		each(a_lost_card_is_no_loss_of_the_others),
		each(strangers_are_named),
		each(a_mismatch_needs_a_reboot),
		each(without_a_library_there_is_nothing_to_say),
		each(a_library_that_crashes_does_so_alone),
		each(a_library_that_hangs_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
