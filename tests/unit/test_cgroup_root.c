/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "base/proc.h"
#include "site/local/container/cgroup.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* The machine's own hierarchies: limits hold, nothing that was killed or removed is left. */

static const struct cgroup_limits none = { AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, NULL, false, false };
static struct cgroups *cgroups;
static char top[64];

static int setup(void **state)
{
	struct error err = { 0 };

	snprintf(top, sizeof(top), "/insula-test-%d", (int)getpid());
	if (geteuid() || cgroups_open(&cgroups, &err) < 0)
		cgroups = NULL;
	return 0;
}

static int teardown(void **state)
{
	struct error err = { 0 };

	if (cgroups && cgroup_remove(cgroups, top, &err) < 0)
		print_error("%s\n", err.message);
	cgroups_close(cgroups);
	return 0;
}

static void need(void)
{
	autofree char *path = xasprintf("%s/probe", top);
	struct error err = { 0 };

	if (!cgroups)
		test_skip("needs root and control groups");
	if (cgroup_create(cgroups, path, &none, NULL, &err) < 0)
		test_skip("cannot make control groups here: %s", err.message);
	assert_ok(cgroup_remove(cgroups, path, &err));
}

/* A child in the group that runs `body` and never returns. */
static pid_t child_in(const char *path, void (*body)(void))
{
	char **files = cgroup_procs_files(cgroups, path);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		struct error err;

		for (char **file = files; *file; file++)
			if (fs_write_value(*file, "0", &err) < 0)
				_exit(99);
		body();
		_exit(0);
	}
	for (char **file = files; *file; file++)
		free(*file);
	free(files);
	return pid;
}

static void forever(void)
{
	for (;;)
		pause();
}

static void fork_without_end(void)
{
	for (;;)
		if (fork() < 0)
			usleep(100);
}

static void eat_memory(void)
{
	for (;;) {
		char *p = malloc(1 << 20);

		memset(p, 1, 1 << 20);
		__asm__ volatile("" : : "r"(p) : "memory");
	}
}

static void limits_are_set_read_back_and_changed(void **state)
{
	autofree char *path = xasprintf("%s/t", top), *leaf = xasprintf("%s/t/i", top);
	struct cgroup_limits limits = none, read;
	struct error err = { 0 };
	unsigned missing = 0;

	need();
	limits.cpu_max = 500;
	limits.cpu_weight = 200;
	limits.memory_max = 64 << 20;
	limits.pids_max = 50;
	assert_ok(cgroup_create(cgroups, path, &limits, &missing, &err));
	assert_ok(cgroup_read_limits(cgroups, path, &read, &err));
	if (!(missing & 1u << CGROUP_CPU)) {
		assert_int_equal(read.cpu_max, 500);
		assert_int_equal(read.cpu_weight, 200);
	}
	if (!(missing & 1u << CGROUP_MEMORY))
		assert_int_equal(read.memory_max, 64 << 20);
	if (!(missing & 1u << CGROUP_PIDS))
		assert_int_equal(read.pids_max, 50);
	limits.leaf = true;
	limits.cpu_max = 4000;		/* more than the parent's: v1 clamps, v2 takes it */
	assert_ok(cgroup_create(cgroups, leaf, &limits, NULL, &err));
	limits.leaf = false;
	limits.cpu_max = 5;
	limits.memory_max = 32 << 20;
	assert_ok(cgroup_create(cgroups, path, &limits, NULL, &err));
	assert_ok(cgroup_read_limits(cgroups, path, &read, &err));
	if (!(missing & 1u << CGROUP_CPU))
		assert_int_equal(read.cpu_max, 5);
	assert_ok(cgroup_create(cgroups, path, &none, NULL, &err));
	assert_ok(cgroup_read_limits(cgroups, path, &read, &err));
	assert_true(read.cpu_max == AMOUNT_NONE);
	assert_true(read.memory_max == AMOUNT_NONE);
	assert_true(read.pids_max == AMOUNT_NONE);
	assert_ok(cgroup_remove(cgroups, path, &err));
	assert_false(cgroup_exists(cgroups, path));
	assert_ok(cgroup_remove(cgroups, path, &err));	/* absent is success */
}

static void a_fork_bomb_is_killed_and_removed(void **state)
{
	autofree char *path = xasprintf("%s/bomb", top), *leaf = xasprintf("%s/bomb/i", top);
	struct cgroup_limits limits = none;
	struct cgroup_usage usage;
	struct error err = { 0 };
	char **children;
	pid_t pid;

	need();
	limits.pids_max = 200;
	assert_ok(cgroup_create(cgroups, path, &limits, NULL, &err));
	limits.leaf = true;
	assert_ok(cgroup_create(cgroups, leaf, &limits, NULL, &err));
	assert_ok(cgroup_children(cgroups, path, &children, &err));
	assert_string_equal(children[0], "i");
	assert_null(children[1]);
	free(children[0]);
	free(children);
	pid = child_in(leaf, fork_without_end);
	usleep(200000);
	assert_ok(cgroup_usage_read(cgroups, leaf, &usage, &err));
	if (usage.pids >= 0)
		assert_in_range(usage.pids, 2, 200);
	assert_true(usage.cpu_ns != 0);
	assert_ok(cgroup_kill(cgroups, path, &err));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	assert_ok(cgroup_remove(cgroups, path, &err));
	assert_false(cgroup_exists(cgroups, path));
}

static void the_memory_limit_kills(void **state)
{
	autofree char *path = xasprintf("%s/hog", top);
	struct cgroup_limits limits = none;
	struct cgroup_usage usage;
	struct error err = { 0 };
	int status;
	pid_t pid;

	need();
	if (!cgroups_version(cgroups, CGROUP_MEMORY))
		test_skip("no memory controller");
	limits.memory_max = 32 << 20;
	limits.group_oom = limits.leaf = true;
	assert_ok(cgroup_create(cgroups, path, &limits, NULL, &err));
	pid = child_in(path, eat_memory);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_ok(cgroup_usage_read(cgroups, path, &usage, &err));
	assert_true(usage.oom_kills >= 1);
	if (usage.memory_peak >= 0)
		assert_in_range(usage.memory_peak, 16 << 20, 33 << 20);
	assert_ok(cgroup_remove(cgroups, path, &err));
}

static void attaching_from_outside_moves_the_process(void **state)
{
	autofree char *path = xasprintf("%s/a", top), *other = xasprintf("%s/b", top);
	struct error err = { 0 };
	int status;
	pid_t pid;

	need();
	assert_ok(cgroup_create(cgroups, path, &none, NULL, &err));
	assert_ok(cgroup_create(cgroups, other, &none, NULL, &err));
	pid = child_in(path, forever);
	usleep(20000);
	assert_ok(cgroup_attach(cgroups, other, pid, &err));
	assert_ok(cgroup_remove(cgroups, path, &err));
	assert_int_equal(kill(pid, 0), 0);
	assert_ok(cgroup_remove(cgroups, other, &err));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_are_set_read_back_and_changed),
		cmocka_unit_test(a_fork_bomb_is_killed_and_removed),
		cmocka_unit_test(the_memory_limit_kills),
		cmocka_unit_test(attaching_from_outside_moves_the_process),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
