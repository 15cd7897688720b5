/* SPDX-License-Identifier: Apache-2.0 */
#include "instance_fixture.h"

#include "base/rng.h"

#include <sys/wait.h>

/* What happens when a monitor, a container or the command that makes them is killed: nothing is lost, and the next one converges. */

#define KEY "t/w/0"

static struct fixture *f;

static int setup(void **state)
{
	f = fixture_make();
	return 0;
}

static int teardown(void **state)
{
	fixture_free(f);
	return 0;
}

static int each_setup(void **state)
{
	if (!f->skip) {
		autofree char *logs = fs_join(f->site.deployment_dir, "logs"), *usage = fs_join(f->site.deployment_dir, "usage");
		struct error err;

		assert_ok(fs_remove_tree(logs, &err));
		assert_ok(fs_remove_tree(usage, &err));
	}
	return 0;
}

static void process_kill(pid_t pid)
{
	int64_t end = clock_monotonic_ns(&clock_system) + 5000000000;
	uint64_t ticks;
	struct error gone;

	if (pid <= 0 || proc_start_ticks(pid, &ticks, &gone) < 0)
		return;
	kill(pid, SIGKILL);
	while (proc_alive(pid, ticks) && clock_monotonic_ns(&clock_system) < end)
		clock_sleep_ms(&clock_system, 1);
}

/* Lines of "seq" in the log and its old files, from `first` on without a gap; returns the last. */
static long sequence_check(const char *key, long first)
{
	autofd int out = open(f->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	autofree char *text = NULL;
	struct error err = { 0 };
	struct stat st;
	long want = first;

	assert_ok(local_logs(&f->site, key, out, false, -1, NULL, &err));
	assert_int_equal(fstat(out, &st), 0);
	text = xcalloc(1, (size_t)st.st_size + 1);
	assert_int_equal(pread(out, text, (size_t)st.st_size, 0), st.st_size);
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, want++)
		if (strtol(line, NULL, 10) != want)
			fail_msg("line %ld of the log is \"%.*s\"", want, (int)(end - line), line);
	return want - 1;
}

static void no_line_is_lost_when_monitors_die(void **state)
{
	autoresource struct resource *resource = NULL;
	struct monitor_status status;
	struct error err = { 0 };
	struct rng rng;

	fixture_need(f);
	rng_seed(&rng, 20261125);
	resource = fixture_instance(f, KEY, "i=1; while test $i -le 60; do seq $((i * 1000 - 999)) $((i * 1000)); sleep 0.02; i=$((i + 1)); done; exit 5",
				    "{'tuning': {'log.size': 65536, 'log.keep': 20}}");
	assert_ok(local_instance.create(&f->site, resource, &err));
	for (int i = 0; i < 12; i++) {
		autofree char *dir = local_instance_dir(&f->site, KEY);

		clock_sleep_ms(&clock_system, (int64_t)rng_below(&rng, 100));
		if (monitor_status(dir, &status, &err) == 0 && status.watched)
			process_kill(status.monitor);
		clock_sleep_ms(&clock_system, (int64_t)rng_below(&rng, 60));
		assert_ok(local_instance.create(&f->site, resource, &err));
	}
	status = fixture_wait(f, KEY, STATE_EXITED, 30000);
	assert_int_equal(status.exit, 5);
	assert_int_equal(status.restarts, 0);
	assert_int_equal(sequence_check(KEY, 1), 60000);
	fixture_remove(f, resource);
}

static void last_words_and_status_wait_for_the_next_monitor(void **state)
{
	autoresource struct resource *resource = NULL;
	struct monitor_status status;
	struct error err = { 0 };
	autofree char *log = NULL, *dir = NULL;

	fixture_need(f);
	dir = local_instance_dir(&f->site, KEY);
	resource = fixture_instance(f, KEY, "sleep 0.5; echo last words; exit 9", NULL);
	assert_ok(local_instance.create(&f->site, resource, &err));
	status = fixture_wait(f, KEY, STATE_RUNNING, 5000);
	process_kill(status.monitor);
	clock_sleep_ms(&clock_system, 900);
	assert_ok(monitor_status(dir, &status, &err));
	assert_false(status.watched);
	assert_ok(local_instance.create(&f->site, resource, &err));
	status = fixture_wait(f, KEY, STATE_EXITED, 5000);
	assert_int_equal(status.exit, 9);
	log = fixture_log(f, KEY);
	assert_string_equal(log, "last words\n");
	fixture_remove(f, resource);
}

static void a_dead_monitor_is_seen_and_replaced_by_an_update(void **state)
{
	autoresource struct resource *resource = NULL, *got = NULL;
	struct monitor_status before, after;
	struct error err = { 0 };

	fixture_need(f);
	resource = fixture_instance(f, KEY, "sleep 100", NULL);
	assert_ok(local_instance.create(&f->site, resource, &err));
	before = fixture_wait(f, KEY, STATE_RUNNING, 5000);
	process_kill(before.monitor);
	got = resource_new("local", "instance", KEY, json_object());
	assert_ok(local_instance.get(&f->site, got, &err));
	assert_false(json_get_bool(got->body, "watched", true));
	assert_ok(local_instance.update(&f->site, got, resource, &err));
	after = fixture_wait(f, KEY, STATE_RUNNING, 5000);
	assert_true(after.watched);
	assert_int_equal(after.init, before.init);
	assert_int_not_equal(after.monitor, before.monitor);
	assert_ok(local_instance.get(&f->site, got, &err));
	assert_true(json_get_bool(got->body, "watched", false));
	fixture_remove(f, resource);
}

static void when_both_die_the_next_one_knows(void **state)
{
	autoresource struct resource *resource = NULL, *got = NULL;
	struct monitor_status status;
	struct error err = { 0 };

	fixture_need(f);
	resource = fixture_instance(f, KEY, "sleep 100", NULL);
	assert_ok(local_instance.create(&f->site, resource, &err));
	status = fixture_wait(f, KEY, STATE_RUNNING, 5000);
	process_kill(status.monitor);
	process_kill(status.init);
	status = fixture_wait(f, KEY, STATE_EXITED, 5000);	/* the exit file is empty: killed */
	assert_int_equal(status.signal, SIGKILL);
	/* nobody has accounted for it yet: that is an update to do */
	got = resource_new("local", "instance", KEY, json_object());
	assert_ok(local_instance.get(&f->site, got, &err));
	assert_false(json_get_bool(got->body, "watched", true));
	assert_ok(local_instance.create(&f->site, resource, &err));
	status = fixture_wait(f, KEY, STATE_EXITED, 5000);
	assert_int_equal(status.signal, SIGKILL);
	assert_ok(local_instance.get(&f->site, got, &err));
	assert_true(json_get_bool(got->body, "watched", false));
	fixture_remove(f, resource);
}

static void log_wait(const char *text)
{
	autofree char *log = NULL;

	for (int i = 0; i < 500; i++) {
		free(log);
		log = fixture_log(f, KEY);
		if (streq(log, text))
			return;
		clock_sleep_ms(&clock_system, 10);
	}
	fail_msg("the log is \"%s\", not \"%s\"", log, text);
}

static void a_restart_after_both_died_has_its_secrets(void **state)
{
	autoresource struct resource *resource = NULL;
	struct monitor_status status;
	struct error err = { 0 };

	fixture_need(f);
	resource = fixture_instance(f, KEY, "echo ${#TOKEN}; sleep 100",
				    "{'restart': 'always', 'env': [{'name': 'TOKEN', 'value': {'$secret': 'hub', 'digest': 'x'}}], 'tuning': {'backoff.first_ms': 20}}");
	assert_ok(local_instance.create(&f->site, resource, &err));
	log_wait("16\n");
	status = fixture_wait(f, KEY, STATE_RUNNING, 5000);
	process_kill(status.monitor);
	process_kill(status.init);
	assert_ok(local_instance.create(&f->site, resource, &err));
	log_wait("16\n16\n");
	status = fixture_wait(f, KEY, STATE_RUNNING, 5000);
	assert_int_equal(status.restarts, 1);
	fixture_remove(f, resource);
}

static void a_killed_container_is_started_again(void **state)
{
	autoresource struct resource *resource = NULL;
	struct monitor_status first, status;
	struct error err = { 0 };

	fixture_need(f);
	resource = fixture_instance(f, KEY, "sleep 100", "{'restart': 'always', 'tuning': {'backoff.first_ms': 20}}");
	assert_ok(local_instance.create(&f->site, resource, &err));
	first = fixture_wait(f, KEY, STATE_RUNNING, 5000);
	process_kill(first.init);
	clock_sleep_ms(&clock_system, 100);
	status = fixture_wait(f, KEY, STATE_RUNNING, 5000);
	assert_int_not_equal(status.init, first.init);
	assert_int_equal(status.monitor, first.monitor);
	fixture_remove(f, resource);
}

/* One that is being killed, or a command that only looks, may have the lock for a moment and be gone. */
static void a_lock_that_becomes_free_is_taken(void **state)
{
	autoresource struct resource *resource = NULL;
	autofree char *dir = NULL, *path = NULL;
	struct monitor_status status;
	struct error err = { 0 };
	int64_t holder;
	pid_t pid;

	fixture_need(f);
	dir = local_instance_dir(&f->site, KEY);
	path = fs_join(dir, FILE_LOCK);
	resource = fixture_instance(f, KEY, "sleep 100", NULL);
	assert_ok(local_instance.create(&f->site, resource, &err));
	status = fixture_wait(f, KEY, STATE_RUNNING, 5000);
	process_kill(status.monitor);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		int fd = -1;

		if (fs_lock(path, 5000, &fd, &err) < 0)
			_exit(1);
		clock_sleep_ms(&clock_system, 500);
		_exit(0);
	}
	for (int i = 0; i < 500 && (fs_read_int(path, &holder, &err) < 0 || holder != pid); i++)
		clock_sleep_ms(&clock_system, 1);
	assert_ok(local_instance.create(&f->site, resource, &err));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	status = fixture_wait(f, KEY, STATE_RUNNING, 5000);
	assert_true(status.watched);
	fixture_remove(f, resource);
}

/* A child makes the instance and is killed at a random moment; monitors too, every other time. The next create must bring it up. */
static void any_moment_is_a_good_one_to_be_killed(void **state)
{
	static const char *const scripts[] = { "sleep 100", "sleep 101" };
	unsigned moments = getenv("INSULA_TEST_FULL") ? 100 : 12;
	autoresource struct resource *last = NULL;
	struct error err = { 0 };
	struct rng rng;

	fixture_need(f);
	rng_seed(&rng, 4711);
	for (unsigned i = 0; i < moments; i++) {
		autoresource struct resource *resource = fixture_instance(f, KEY, scripts[i % 2], NULL);
		autofree char *dir = local_instance_dir(&f->site, KEY);
		struct monitor_status status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid) {
			struct error ignored;

			if (rng_below(&rng, 3) == 0)
				_exit(local_instance.remove(&f->site, resource, false, &ignored) < 0);
			_exit(local_instance.create(&f->site, resource, &ignored) < 0);
		}
		rng_next(&rng);
		clock_sleep_ms(&clock_system, (int64_t)rng_below(&rng, 60));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		if (i % 2 && monitor_status(dir, &status, &err) == 0 && status.watched)
			process_kill(status.monitor);
		if (i % 5 == 4) {
			fixture_remove(f, resource);
			continue;
		}
		if (local_instance.create(&f->site, resource, &err) < 0)
			fail_msg("moment %u: %s", i, err.message);
		status = fixture_wait(f, KEY, STATE_RUNNING, 10000);
		assert_true(status.watched);
		assert_true(status.init > 0);
	}
	last = fixture_instance(f, KEY, scripts[0], NULL);
	fixture_remove(f, last);
}

static void a_monitor_is_small(void **state)
{
	autoresource struct resource *resource = NULL;
	struct monitor_status status;
	autofree char *path = NULL, *text = NULL;
	struct error err = { 0 };
	long private_kb = 0;

	fixture_need(f);
	resource = fixture_instance(f, KEY, "seq 1 20000; sleep 100", NULL);
	assert_ok(local_instance.create(&f->site, resource, &err));
	status = fixture_wait(f, KEY, STATE_RUNNING, 5000);
	clock_sleep_ms(&clock_system, 200);
	path = xasprintf("/proc/%d/smaps_rollup", (int)status.monitor);
	assert_ok(fs_read_file(path, 65536, &text, NULL, &err));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (starts_with(line, "Private_"))
			private_kb += strtol(strchr(line, ':') + 1, NULL, 10);
	print_message("# a monitor has %ld kB of private memory\n", private_kb);
	assert_in_range(private_kb, 1, 1024);
	fixture_remove(f, resource);
}

int main(void)
{
#define each(test) cmocka_unit_test_setup(test, each_setup)
	const struct CMUnitTest tests[] = {
		each(no_line_is_lost_when_monitors_die),
		each(last_words_and_status_wait_for_the_next_monitor),
		each(a_dead_monitor_is_seen_and_replaced_by_an_update),
		each(when_both_die_the_next_one_knows),
		each(a_restart_after_both_died_has_its_secrets),
		each(a_killed_container_is_started_again),
		each(a_lock_that_becomes_free_is_taken),
		each(any_moment_is_a_good_one_to_be_killed),
		each(a_monitor_is_small),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
