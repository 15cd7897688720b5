/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "base/clock.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs `script` with sh; fails the test when it cannot be run. */
static struct proc_result sh(const char *script, struct proc_options options)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	struct proc_result result = { 0 };
	struct error err = { 0 };

	options.argv = argv;
	assert_ok(proc_run(&options, &result, &err));
	return result;
}

static void outputs_and_status_are_told(void **state)
{
	struct proc_result result = sh("echo out; echo err >&2; exit 3", (struct proc_options){ 0 });

	assert_int_equal(result.status, 3);
	assert_string_equal(result.output, "out\n");
	assert_int_equal(result.output_n, 4);
	assert_string_equal(result.errors, "err\n");
	proc_result_clear(&result);
	result = sh("kill -9 $$", (struct proc_options){ 0 });
	assert_int_equal(result.status, 128 + SIGKILL);
	assert_string_equal(result.output, "");
	proc_result_clear(&result);
}

static void input_is_handed_over(void **state)
{
	size_t n = 600000;
	autofree char *input = xmalloc(n);
	struct proc_result result;

	memset(input, 'z', n);
	result = sh("cat", (struct proc_options){ .input = input, .input_n = n, .output_limit = n });
	assert_int_equal(result.output_n, n);
	assert_memory_equal(result.output, input, n);
	proc_result_clear(&result);
	result = sh("true", (struct proc_options){ .input = input, .input_n = n });	/* never reads it */
	assert_int_equal(result.status, 0);
	proc_result_clear(&result);
	result = sh("cat", (struct proc_options){ 0 });
	assert_int_equal(result.output_n, 0);
	proc_result_clear(&result);
}

static void the_environment_is_small(void **state)
{
	static const char *const env[] = { "ONLY=this", NULL };
	struct proc_result result;

	setenv("LEAK", "1", 1);
	result = sh("env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= -e ^OLDPWD= | sort", (struct proc_options){ 0 });
	assert_string_equal(result.output, "HOME=/\nLC_ALL=C\nPATH=" PROC_PATH "\n");
	proc_result_clear(&result);
	result = sh("echo $ONLY$LEAK", (struct proc_options){ .env = env });
	assert_string_equal(result.output, "this\n");
	proc_result_clear(&result);
}

static void no_descriptor_leaks_into_the_child(void **state)
{
	struct proc_result result;
	int leaky = open("/dev/null", O_RDONLY);

	assert_true(leaky >= 0);
	result = sh("for f in /proc/self/fd/*; do echo ${f##*/}; done", (struct proc_options){ 0 });
	/* sh itself reads the folder through one */
	assert_string_equal(result.output, "0\n1\n2\n3\n");
	proc_result_clear(&result);
	close(leaky);
}

static void no_descriptor_is_left_in_the_parent(void **state)
{
	const char *const argv[] = { "no-such-program-here", NULL };
	struct proc_options options = { .argv = argv };
	struct proc_result result = { 0 };
	struct error err = { 0 };
	int before = dup(0), after;

	close(before);
	for (int i = 0; i < 3; i++) {
		result = sh("true", (struct proc_options){ 0 });
		proc_result_clear(&result);
		assert_fails(proc_run(&options, &result, &err), "not installed");
		assert_int_equal(err.code, ERROR_NOT_FOUND);
	}
	after = dup(0);
	close(after);
	assert_int_equal(after, before);
}

static void what_cannot_be_run_is_an_error(void **state)
{
	const char *const argv[] = { "/etc/passwd", NULL };
	struct proc_options options = { .argv = argv };
	struct proc_result result = { 0 };
	struct error err = { 0 };

	assert_fails(proc_run(&options, &result, &err), "cannot run /etc/passwd: Permission denied");
	assert_int_equal(err.code, ERROR_PERMISSION);
}

static void time_runs_out_for_the_whole_group(void **state)
{
	const char *const argv[] = { "sh", "-c", "sleep 60 & echo $! >&2; exec sleep 60", NULL };
	char *dir = temp_dir_make();
	autofree char *path = fs_join(dir, "pid"), *script = NULL;
	struct proc_options options = { .timeout_ms = 300 };
	const char *const argv_file[] = { "sh", "-c", NULL, NULL };
	struct proc_result result = { 0 };
	struct error err = { 0 };
	int64_t before = clock_monotonic_ns(&clock_system), pid = 0;

	options.argv = argv;
	assert_fails(proc_run(&options, &result, &err), "longer than 300 ms");
	assert_true(err.retryable);
	assert_true(clock_monotonic_ns(&clock_system) - before < 30000000000);

	script = xasprintf("sleep 60 & echo $! > %s; exec sleep 60", path);
	((const char **)argv_file)[2] = script;
	options.argv = argv_file;
	assert_fails(proc_run(&options, &result, &err), "was stopped");
	assert_ok(fs_read_int(path, &pid, &err));
	for (int i = 0; i < 200 && kill((pid_t)pid, 0) == 0; i++) {
		uint64_t ticks = 0;

		if (proc_start_ticks((pid_t)pid, &ticks, &err) < 0 || !proc_alive((pid_t)pid, ticks))
			break;	/* dead; its new parent has not reaped it yet */
		usleep(10000);
		assert_int_not_equal(i, 199);
	}
	temp_dir_remove(dir);
}

static void a_background_process_does_not_hold_the_call(void **state)
{
	int64_t before = clock_monotonic_ns(&clock_system);
	struct proc_result result = sh("setsid sleep 20 & echo $!", (struct proc_options){ 0 });

	assert_true(clock_monotonic_ns(&clock_system) - before < 15000000000);
	assert_true(atoi(result.output) > 1);
	kill(atoi(result.output), SIGKILL);
	proc_result_clear(&result);
}

static void too_much_output_is_an_error(void **state)
{
	const char *const argv[] = { "sh", "-c", "while :; do echo 0123456789; done", NULL };
	struct proc_options options = { .argv = argv, .output_limit = 1000 };
	struct proc_result result = { 0 };
	struct error err = { 0 };

	assert_fails(proc_run(&options, &result, &err), "more than the limit of 1000 bytes");
}

static void signals_are_normal_in_the_child(void **state)
{
	struct proc_result result;
	sigset_t block;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigprocmask(SIG_BLOCK, &block, NULL);
	result = sh("grep -E '^Sig(Blk|Ign)' /proc/self/status", (struct proc_options){ 0 });
	assert_string_equal(result.output, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	proc_result_clear(&result);
	sigprocmask(SIG_UNBLOCK, &block, NULL);
	signal(SIGPIPE, SIG_DFL);
}

static int child_fails(void *arg)
{
	errno = *(int *)arg;
	return -1;
}

static int child_says(void *arg)
{
	return write(1, arg, strlen(arg)) < 0;
}

static void the_callback_runs_in_the_child(void **state)
{
	const char *const argv[] = { "true", NULL };
	int errnum = ENOSPC;
	struct proc_options options = { .argv = argv, .child = child_fails, .child_arg = &errnum };
	struct proc_result result = { 0 };
	struct error err = { 0 };
	char hello[] = "hello ";

	assert_fails(proc_run(&options, &result, &err), "cannot prepare the process of true: No space left");
	assert_int_equal(err.code, ERROR_CAPACITY);
	result = sh("echo world", (struct proc_options){ .child = child_says, .child_arg = hello });
	assert_string_equal(result.output, "hello world\n");
	proc_result_clear(&result);
}

static void a_failure_quotes_the_last_line(void **state)
{
	const char *argv[] = { "sh", "-c", "echo first >&2; echo 'no such table' >&2; exit 1", NULL };
	struct proc_options options = { .argv = argv };
	autofree char *output = NULL;
	struct error err = { 0 };

	assert_fails(proc_check(&options, &output, &err), "sh failed with status 1: no such table");
	argv[2] = "exit 9";
	assert_fails(proc_check(&options, NULL, &err), "sh failed with status 9");
	argv[2] = "echo yes";
	assert_ok(proc_check(&options, &output, &err));
	assert_string_equal(output, "yes\n");
	assert_ok(proc_check(&options, NULL, &err));
}

static void *many_runs(void *arg)
{
	intptr_t wrong = 0;

	for (int i = 0; i < 20; i++) {
		const char *const argv[] = { "/bin/sh", "-c", "read x; echo $x", NULL };
		autofree char *text = xasprintf("%d-%p\n", i, arg);
		struct proc_options options = { .argv = argv, .input = text, .input_n = strlen(text), .timeout_ms = 60000 };
		struct proc_result result = { 0 };
		struct error err = { 0 };

		if (proc_run(&options, &result, &err) < 0 || result.status || !streq(result.output, text))
			wrong++;
		proc_result_clear(&result);
	}
	return (void *)wrong;
}

static void threads_may_run_programs_at_once(void **state)
{
	pthread_t threads[6];

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, many_runs, (void *)(i + 1)), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *wrong = NULL;

		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
}

static void closed_standard_descriptors_do_no_harm(void **state)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		const char *const argv[] = { "sh", "-c", "read x; echo $x", NULL };
		struct proc_options options = { .argv = argv, .input = "in\n", .input_n = 3 };
		struct proc_result result = { 0 };
		struct error err;

		close(0);
		close(1);
		close(2);
		if (proc_run(&options, &result, &err) < 0)
			_exit(1);
		_exit(result.status || !streq(result.output, "in\n") ? 2 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_process_is_known_by_its_start(void **state)
{
	struct error err = { 0 };
	uint64_t ticks = 0;
	pid_t pid;

	assert_ok(proc_start_ticks(getpid(), &ticks, &err));
	assert_true(proc_alive(getpid(), ticks));
	assert_false(proc_alive(getpid(), ticks + 1));
	assert_false(proc_alive(0, ticks));
	pid = fork();
	if (pid == 0)
		_exit(0);
	waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	assert_ok(proc_start_ticks(pid, &ticks, &err));
	assert_false(proc_alive(pid, ticks));	/* a zombie is dead */
	waitpid(pid, NULL, 0);
	assert_fails(proc_start_ticks(pid, &ticks, &err), "cannot open");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outputs_and_status_are_told),
		cmocka_unit_test(input_is_handed_over),
		cmocka_unit_test(the_environment_is_small),
		cmocka_unit_test(no_descriptor_leaks_into_the_child),
		cmocka_unit_test(no_descriptor_is_left_in_the_parent),
		cmocka_unit_test(what_cannot_be_run_is_an_error),
		cmocka_unit_test(time_runs_out_for_the_whole_group),
		cmocka_unit_test(a_background_process_does_not_hold_the_call),
		cmocka_unit_test(too_much_output_is_an_error),
		cmocka_unit_test(signals_are_normal_in_the_child),
		cmocka_unit_test(the_callback_runs_in_the_child),
		cmocka_unit_test(a_failure_quotes_the_last_line),
		cmocka_unit_test(threads_may_run_programs_at_once),
		cmocka_unit_test(closed_standard_descriptors_do_no_harm),
		cmocka_unit_test(a_process_is_known_by_its_start),
	};

	return cmocka_run_group_tests_name("base_proc", tests, NULL, NULL);
}
