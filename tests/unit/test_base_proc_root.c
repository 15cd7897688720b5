/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A descriptor of a network namespace that lives as long as the descriptor. */
static int netns_make(void)
{
	int ready[2], fd = -1;
	char path[64], c;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) < 0)
			_exit(1);
		if (write(ready[1], "r", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) == 1) {
		snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		kill(pid, SIGKILL);
	}
	close(ready[0]);
	waitpid(pid, NULL, 0);
	return fd;
}

static void a_program_enters_a_network_namespace(void **state)
{
	const char *const argv[] = { "readlink", "/proc/self/ns/net", NULL };
	struct proc_options options = { .argv = argv };
	autofree char *inside = NULL, *outside = NULL;	/* still NULL at the skip, which jumps past clean-up */
	struct error err = { 0 };
	struct stat st;
	char name[64];
	int fd = netns_make();

	if (fd < 0)
		test_skip("a network namespace needs root");
	assert_int_equal(fstat(fd, &st), 0);
	snprintf(name, sizeof(name), "net:[%llu]\n", (unsigned long long)st.st_ino);
	assert_ok(proc_check(&options, &outside, &err));
	options.netns = fd;
	assert_ok(proc_check(&options, &inside, &err));
	assert_string_equal(inside, name);
	assert_string_not_equal(outside, name);
	close(fd);
	options.netns = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_fails(proc_check(&options, NULL, &err), "cannot enter the network namespace");
	close(options.netns);
}

/* In a process with a mount namespace of its own: 0, or the number of the step that went wrong. */
static int mounted_tree_check(const char *tree, const char *point, const char *kept)
{
	struct error err = { 0 };

	if (mount("/tmp", point, NULL, MS_BIND, NULL) < 0)	/* the same file system: only the mount id tells */
		return 1;
	if (mount("insula-test", point, "tmpfs", 0, "size=64k") < 0 || fs_replace_file(kept, "", 0, 0600, false, &err) < 0)
		return 2;
	if (fs_remove_tree(tree, &err) == 0 || !strstr(err.message, "mount point"))
		return 3;
	if (fs_remove_tree(point, &err) == 0 || !strstr(err.message, "mount point"))
		return 4;
	if (!fs_exists(kept) || umount(point) < 0)
		return 5;
	if (fs_remove_tree(point, &err) == 0 || !strstr(err.message, "mount point"))
		return 6;	/* the bind mount below */
	return umount(point) < 0 || fs_remove_tree(tree, &err) < 0 ? 7 : 0;
}

static void a_mount_in_a_tree_stops_its_removal(void **state)
{
	char *dir = temp_dir_make();
	char *tree = fs_join(dir, "tree"), *point = fs_join(dir, "tree/point"), *kept = fs_join(dir, "tree/point/kept");
	struct error err = { 0 };
	int status, cannot = 77;
	pid_t pid;

	assert_ok(fs_make_dirs(point, 0700, &err));
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			_exit(cannot);
		_exit(mounted_tree_check(tree, point, kept));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	free(tree);
	free(point);
	free(kept);
	temp_dir_remove(dir);
	if (WIFEXITED(status) && WEXITSTATUS(status) == cannot)
		test_skip("a mount namespace needs root");
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_enters_a_network_namespace),
		cmocka_unit_test(a_mount_in_a_tree_stops_its_removal),
	};

	return cmocka_run_group_tests_name("base_proc_root", tests, NULL, NULL);
}
