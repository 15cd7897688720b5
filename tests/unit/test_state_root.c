/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "plan/state.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

/* A disk of our own, in a mount namespace of our own, that is full. */

#define DISK "size=4m"

static void fill(const char *dir)
{
	autofree char *path = fs_join(dir, "fill");
	autofd int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	static const char zeros[4096];

	assert_true(fd >= 0);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
	assert_int_equal(errno, ENOSPC);
}

static bool disk_make(const char *dir)
{
	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mount("none", dir, "tmpfs", 0, DISK) == 0;
}

static void changes_fit_on_a_full_disk(void **state)
{
	char *dir = temp_dir_make();
	autofree char *folder = fs_join(dir, "lab"), *reserve = fs_join(folder, "reserve");
	autojson json_t *value = json_pack("{s:s}", "some", "thing");
	struct state *lab = NULL;
	struct error err = { 0 };

	if (geteuid() || !disk_make(dir)) {
		print_message("skipped: it needs root and a mount namespace\n");
		temp_dir_remove(dir);
		skip();
	}
	assert_ok(state_open(dir, "lab", true, &lab, &err));
	state_close(lab);
	assert_true(fs_exists(reserve));
	fill(dir);
	for (int round = 0; round < 3; round++) {
		autofree char *name = xasprintf("document%d", round);

		assert_ok(state_open(dir, "lab", false, &lab, &err));
		assert_ok(state_lock(lab, 0, &err));
		assert_ok(state_set_document(lab, name, value, &err));
		state_close(lab);
		assert_true(fs_exists(reserve));	/* taken, and put back */
	}
	assert_int_equal(unlink(reserve), 0);
	fill(dir);
	assert_fails(state_open(dir, "lab", false, &lab, &err), "state of deployment 'lab'");
	assert_int_equal(err.code, ERROR_CAPACITY);
	assert_non_null(strstr(err.hint, "make room"));
	assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_fails(state_open(dir, "lab", false, &lab, &err), "Read-only");
	assert_non_null(strstr(err.hint, "writable"));
	assert_int_equal(umount2(dir, MNT_DETACH), 0);
	temp_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_fit_on_a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
