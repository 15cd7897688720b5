/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
	char *dir;
	char path[512];		/* of the last at() */
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->dir = temp_dir_make();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	temp_dir_remove(f->dir);
	free(f);
	return 0;
}

static const char *at(struct fixture *f, const char *name)
{
	snprintf(f->path, sizeof(f->path), "%s/%s", f->dir, name);
	return f->path;
}

static void files_are_read_within_the_limit(void **state)
{
	struct fixture *f = *state;
	autofree char *text = NULL;
	struct error err = { 0 };
	size_t n = 0;

	assert_ok(fs_replace_file(at(f, "a"), "12\0\n", 4, 0640, true, &err));
	assert_ok(fs_read_file(at(f, "a"), 4, &text, &n, &err));
	assert_int_equal(n, 4);
	assert_memory_equal(text, "12\0\n\0", 5);
	free(steal(&text));
	assert_fails(fs_read_file(at(f, "a"), 3, &text, &n, &err), "larger than the limit of 3 bytes");
	assert_int_equal(err.code, ERROR_INPUT);
	assert_null(text);
	assert_fails(fs_read_file(at(f, "none"), 3, &text, &n, &err), "No such file");
	assert_int_equal(err.code, ERROR_NOT_FOUND);
}

static void kernel_files_are_read(void **state)
{
	autofree char *text = NULL, *line = NULL;
	struct error err = { 0 };
	int64_t number = 0;

	assert_ok(fs_read_file("/proc/self/status", 65536, &text, NULL, &err));
	assert_non_null(strstr(text, "Name:"));
	assert_ok(fs_read_line("/proc/sys/kernel/ostype", &line, &err));
	assert_string_equal(line, "Linux");
	assert_ok(fs_read_int("/proc/sys/kernel/pid_max", &number, &err));
	assert_true(number > 100);
}

static void whole_numbers_only(void **state)
{
	static const char *const bad[] = { "", "x", "1x", "1.5", "99999999999999999999" };
	struct fixture *f = *state;
	struct error err = { 0 };
	int64_t number = 7;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_ok(fs_replace_file(at(f, "n"), bad[i], strlen(bad[i]), 0600, false, &err));
		assert_fails(fs_read_int(f->path, &number, &err), "whole number");
	}
	assert_int_equal(number, 7);
	assert_ok(fs_replace_file(f->path, "-12 \n", 5, 0600, false, &err));
	assert_ok(fs_read_int(f->path, &number, &err));
	assert_int_equal(number, -12);
}

static void replacing_is_whole_and_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	struct stat st;

	umask(077);
	assert_ok(fs_replace_file(at(f, "a"), "old", 3, 0644, false, &err));
	assert_ok(fs_replace_file(at(f, "a"), "new", 3, 0604, true, &err));
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0604);
	assert_fails(fs_replace_file(at(f, "no/a"), "x", 1, 0600, false, &err), "cannot create a file in");
	assert_int_equal(mkdir(at(f, "d"), 0700), 0);
	assert_fails(fs_replace_file(f->path, "x", 1, 0600, false, &err), "cannot replace");
	assert_int_equal(rmdir(f->path), 0);
	assert_int_equal(unlink(at(f, "a")), 0);
	assert_int_equal(rmdir(f->dir), 0);	/* no temporary file was left */
	assert_int_equal(mkdir(f->dir, 0700), 0);
}

static void a_value_is_written_to_what_exists(void **state)
{
	struct fixture *f = *state;
	autofree char *line = NULL;
	struct error err = { 0 };

	assert_fails(fs_write_value(at(f, "v"), "1", &err), "No such file");
	assert_ok(fs_replace_file(at(f, "v"), "0", 1, 0600, false, &err));
	assert_ok(fs_write_value(at(f, "v"), "max", &err));
	assert_ok(fs_read_line(f->path, &line, &err));
	assert_string_equal(line, "max");
}

static void folders_are_made_with_their_parents(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };

	assert_ok(fs_make_dirs(at(f, "a/b//c/"), 0700, &err));
	assert_true(fs_is_dir(at(f, "a/b/c")));
	assert_ok(fs_make_dirs(f->path, 0700, &err));
	assert_ok(fs_make_dirs("/", 0700, &err));
	assert_ok(fs_replace_file(at(f, "file"), "", 0, 0600, false, &err));
	assert_fails(fs_make_dirs(at(f, "file/x"), 0700, &err), "Not a directory");
	assert_fails(fs_make_dirs("", 0700, &err), "without a name");
}

static void trees_are_removed_without_following_links(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };

	assert_ok(fs_make_dirs(at(f, "kept"), 0700, &err));
	assert_ok(fs_replace_file(at(f, "kept/file"), "", 0, 0600, false, &err));
	assert_ok(fs_make_dirs(at(f, "tree/a/b"), 0700, &err));
	assert_int_equal(symlink("../kept", at(f, "tree/link")), 0);
	assert_int_equal(symlink("/nowhere", at(f, "tree/a/broken")), 0);
	assert_int_equal(mkfifo(at(f, "tree/a/fifo"), 0600), 0);
	assert_ok(fs_remove_tree(at(f, "tree"), &err));
	assert_false(fs_exists(f->path));
	assert_true(fs_exists(at(f, "kept/file")));
	assert_int_equal(symlink("kept", at(f, "link")), 0);
	assert_ok(fs_remove_tree(at(f, "link"), &err));
	assert_false(fs_exists(f->path));
	assert_true(fs_exists(at(f, "kept/file")));
	assert_ok(fs_remove_tree(at(f, "absent"), &err));
	assert_ok(fs_remove_tree(at(f, "absent/below"), &err));
}

static void deep_trees_are_removed(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	int fd, count_before, count_after;

	count_before = dup(0);
	close(count_before);
	assert_int_equal(mkdir(at(f, "deep"), 0700), 0);
	fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3000; i++) {
		int below;

		assert_int_equal(mkdirat(fd, "x", 0700), 0);
		below = openat(fd, "x", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(below >= 0);
		close(fd);
		fd = below;
	}
	close(fd);
	assert_ok(fs_remove_tree(at(f, "deep"), &err));
	assert_false(fs_exists(f->path));
	count_after = dup(0);
	close(count_after);
	assert_int_equal(count_after, count_before);	/* no descriptor was left open */
}

static void check_path(char *got, const char *expected)
{
	assert_string_equal(got, expected);
	free(got);
}

static void paths_are_joined_and_resolved(void **state)
{
	check_path(fs_join("a", "b"), "a/b");
	check_path(fs_join("a/", "b"), "a/b");
	check_path(fs_join("/", "b"), "/b");
	check_path(fs_join("", "b"), "b");
	check_path(fs_join("a", "/b"), "/b");
	check_path(fs_dirname("/a/b"), "/a");
	check_path(fs_dirname("/a/b/"), "/a");
	check_path(fs_dirname("/a"), "/");
	check_path(fs_dirname("/"), "/");
	check_path(fs_dirname("a"), ".");
	check_path(fs_dirname("a//b"), "a");
	check_path(fs_absolute("/x/y", "a/./b"), "/x/y/a/b");
	check_path(fs_absolute("/x/y", "../../../a"), "/a");
	check_path(fs_absolute("/x/y", "/a/..b/..."), "/a/..b/...");
	check_path(fs_absolute("/x/y", "../.."), "/");
	check_path(fs_absolute("/", ""), "/");
}

static void programs_are_found(void **state)
{
	struct fixture *f = *state;
	autofree char *list = xasprintf("::/nowhere:%s:/bin", f->dir);
	struct error err = { 0 };

	check_path(fs_find_program("/usr/bin:/bin", "sh"), "/usr/bin/sh");
	assert_null(fs_find_program(list, "no-such-program"));
	assert_ok(fs_replace_file(at(f, "tool"), "", 0, 0600, false, &err));
	if (geteuid() != 0)
		assert_null(fs_find_program(list, "tool"));
	assert_int_equal(chmod(f->path, 0700), 0);
	check_path(fs_find_program(list, "tool"), f->path);
	assert_null(fs_find_program(list, "../tool"));
	assert_null(fs_find_program(list, ""));
}

static void a_lock_has_one_holder_and_names_it(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	char holder[32];
	int first = -1, second = -1;

	assert_ok(fs_lock(at(f, "lock"), 0, &first, &err));
	assert_int_equal(fcntl(first, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	snprintf(holder, sizeof(holder), "process %d", (int)getpid());
	assert_fails(fs_lock(f->path, 0, &second, &err), holder);
	assert_int_equal(err.code, ERROR_CONFLICT);
	assert_true(err.retryable);
	assert_fails(fs_lock(f->path, 60, &second, &err), holder);
	close(first);
	assert_ok(fs_lock(f->path, 0, &second, &err));
	close(second);
}

static void a_lock_can_be_waited_for(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	int fd = -1;
	pid_t pid;

	assert_ok(fs_lock(at(f, "lock"), 0, &fd, &err));
	pid = fork();
	if (pid == 0) {
		usleep(100000);
		_exit(0);	/* the last holder of the inherited descriptor */
	}
	close(fd);
	fd = -1;
	assert_ok(fs_lock(f->path, 10000, &fd, &err));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(fd);
}

static void mountinfo_is_read_with_its_escapes(void **state)
{
	static const char text[] =
		"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue\n"
		"37 36 0:25 / /a\\040b\\134c\\011d\\012e rw - tmpfs  rw,mode=755\n";
	struct fixture *f = *state;
	struct fs_mounts mounts = { 0 };
	struct error err = { 0 };

	assert_ok(fs_replace_file(at(f, "m"), text, sizeof(text) - 1, 0600, false, &err));
	assert_ok(fs_mounts_read(f->path, &mounts, &err));
	assert_int_equal(mounts.n, 2);
	assert_int_equal(mounts.items[0].id, 36);
	assert_int_equal(mounts.items[0].parent, 35);
	assert_int_equal(mounts.items[0].major, 98);
	assert_string_equal(mounts.items[0].root, "/mnt1");
	assert_string_equal(mounts.items[0].point, "/mnt2");
	assert_string_equal(mounts.items[0].options, "rw,noatime");
	assert_string_equal(mounts.items[0].type, "ext3");
	assert_string_equal(mounts.items[0].source, "/dev/root");
	assert_string_equal(mounts.items[0].super_options, "rw,errors=continue");
	assert_string_equal(mounts.items[1].point, "/a b\\c\td\ne");
	assert_int_equal(mounts.items[1].minor, 25);
	assert_string_equal(mounts.items[1].source, "");
	fs_mounts_clear(&mounts);
}

static void what_is_not_mountinfo_is_refused(void **state)
{
	static const char *const bad[] = { "36 35 98:0 /mnt1 /mnt2 rw\n", "36 35 x / / rw - ext4 a rw\n", "x\n", "36 35 98:0 / / rw shared:1 ext4 a rw\n" };
	struct fixture *f = *state;
	struct fs_mounts mounts = { 0 };
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_ok(fs_replace_file(at(f, "m"), bad[i], strlen(bad[i]), 0600, false, &err));
		assert_fails(fs_mounts_read(f->path, &mounts, &err), "not a line of mountinfo");
	}
	assert_ok(fs_mounts_read("/proc/self/mountinfo", &mounts, &err));
	assert_true(mounts.n > 0);
	fs_mounts_clear(&mounts);
}

static void free_space_is_known(void **state)
{
	assert_true(fs_free_bytes("/") > 0);
	assert_int_equal(fs_free_bytes("/no/such/folder"), -1);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(files_are_read_within_the_limit),
		test(kernel_files_are_read),
		test(whole_numbers_only),
		test(replacing_is_whole_and_leaves_nothing),
		test(a_value_is_written_to_what_exists),
		test(folders_are_made_with_their_parents),
		test(trees_are_removed_without_following_links),
		test(deep_trees_are_removed),
		test(paths_are_joined_and_resolved),
		test(programs_are_found),
		test(a_lock_has_one_holder_and_names_it),
		test(a_lock_can_be_waited_for),
		test(mountinfo_is_read_with_its_escapes),
		test(what_is_not_mountinfo_is_refused),
		test(free_space_is_known),
	};

	return cmocka_run_group_tests_name("base_fs", tests, NULL, NULL);
}
