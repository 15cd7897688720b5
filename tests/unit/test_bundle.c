/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "site/local/container/bundle.h"
#include "site/local/container/syscall_filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The OCI config that is made, and the verdicts of the system call filter on a process that is under it. */

static const char *const args[] = { "train", "--epochs=3", NULL };
static const char *const env[] = { "PATH=/bin", "A=1", "B=2", "A=3", NULL };
static const struct bundle_mount mounts[] = { { "/srv/data", "/data", true }, { "/run/out", "/out", false } };

static struct bundle bundle_of(const char *runtime)
{
	return (struct bundle){
		.runtime = runtime, .root = "/root/fs", .netns = "/net/ns", .init = "/lib/insula-init", .hostname = "train-0", .args = args, .env = env,
		.user = { 1000, 100, NULL }, .base = 1879048192, .count = 65536, .shm = 1 << 20, .oom_score_adj = 5, .open_files = 1024,
		.mounts = mounts, .mount_n = ARRAY_LEN(mounts),
	};
}

static void the_config_is_the_expected_one(void **state)
{
	autofree char *path = source_path("tests/data/bundle/config.json"), *want = NULL, *got = NULL;
	struct bundle bundle = bundle_of("crun");
	autojson json_t *config = NULL;
	struct error err = { 0 };

	bundle.filter = "QUJD";
	config = bundle_config(&bundle);
	got = json_pretty(config);
	if (getenv("INSULA_TEST_GOLDEN_WRITE"))
		assert_ok(fs_replace_file(path, got, strlen(got), 0644, false, &err));
	assert_ok(fs_read_file(path, 1 << 20, &want, NULL, &err));
	assert_string_equal(got, want);
}

static void no_config_gives_power(void **state)
{
	struct bundle bundle = bundle_of("runc");
	autojson json_t *config = NULL;
	const json_t *process, *section, *mounts_now;
	const char *name;
	json_t *set;

	bundle.netns = NULL;
	bundle.cgroup = "/insula/x/t/t/w.0";
	config = bundle_config(&bundle);
	process = json_get_object(config, "process");
	section = json_get_object(config, "linux");
	assert_true(json_get_bool(process, "noNewPrivileges", false));
	json_object_foreach(json_get_object(process, "capabilities"), name, set)
		assert_int_equal(json_array_size(set), 0);
	assert_int_equal(json_array_size(json_get_array(section, "namespaces")), 7);
	assert_int_equal(json_get_int(json_array_get(json_get_array(section, "uidMappings"), 0), "hostID", 0), 1879048192);
	assert_string_equal(json_get_string(section, "cgroupsPath", ""), "/insula/x/t/t/w.0");
	assert_null(json_object_get(config, "annotations"));
	/* no core files; and no volume on top of init, wherever a link of the image leads it */
	assert_string_equal(json_get_string(json_array_get(json_get_array(process, "rlimits"), 0), "type", ""), "RLIMIT_CORE");
	assert_int_equal(json_get_int(json_array_get(json_get_array(process, "rlimits"), 0), "hard", -1), 0);
	mounts_now = json_get_array(config, "mounts");
	assert_string_equal(json_get_string(json_array_get(mounts_now, json_array_size(mounts_now) - 1), "source", ""), bundle.init);
}

static void the_command_is_the_files_or_the_images(void **state)
{
	autojson json_t *image = json_pack("{s:[s,s], s:[s]}", "Entrypoint", "python3", "-u", "Cmd", "x.py"), *own = json_pack("[s,s]", "sh", "-c"), *none = json_array();
	struct error err = { 0 };
	char **command;

	assert_ok(bundle_command(own, image, &command, &err));
	assert_string_equal(command[0], "sh");
	assert_null(command[2]);
	strings_free(command);
	assert_ok(bundle_command(none, image, &command, &err));
	assert_string_equal(command[2], "x.py");
	assert_null(command[3]);
	strings_free(command);
	assert_fails(bundle_command(NULL, none, &command, &err), "no command");
}

/* ---- the filter ---- */

static void filter_load(struct sock_fprog *ret)
{
	autofd int fd = memfd_create("filter", MFD_CLOEXEC);
	struct error err = { 0 };
	off_t size;

	assert_ok(syscall_filter_compile(fd, &err));
	size = lseek(fd, 0, SEEK_END);
	assert_true(size > 0 && size % (off_t)sizeof(struct sock_filter) == 0);
	ret->len = (unsigned short)((size_t)size / sizeof(struct sock_filter));
	ret->filter = xmalloc((size_t)size);
	assert_int_equal(pread(fd, ret->filter, (size_t)size, 0), size);
}

struct verdict { const char *name; long number, a; int errnum; };	/* errnum 0: allowed; -1: anything but a refusal of the filter */

static const struct verdict verdicts[] = {
	{ "getpid", SYS_getpid, 0, 0 },
	{ "socket unix", SYS_socket, AF_UNIX, -1 },
	{ "socket inet", SYS_socket, AF_INET, -1 },
	{ "socket packet", SYS_socket, 17, EAFNOSUPPORT },
	{ "socket vsock", SYS_socket, 40, EAFNOSUPPORT },
	{ "socket alg", SYS_socket, 38, EAFNOSUPPORT },
	{ "socket appletalk", SYS_socket, 5, EAFNOSUPPORT },
	{ "mount", SYS_mount, 0, EPERM },
	{ "umount2", SYS_umount2, 0, EPERM },
	{ "unshare", SYS_unshare, CLONE_NEWUSER, EPERM },
	{ "setns", SYS_setns, -1, EPERM },
	{ "bpf", SYS_bpf, 0, EPERM },
	{ "ptrace", SYS_ptrace, 0, EPERM },
	{ "keyctl", SYS_keyctl, 0, EPERM },
	{ "perf_event_open", SYS_perf_event_open, 0, EPERM },
	{ "userfaultfd", SYS_userfaultfd, 0, EPERM },
	{ "open_by_handle_at", SYS_open_by_handle_at, -1, EPERM },
	{ "kexec_load", SYS_kexec_load, 0, EPERM },
	{ "finit_module", SYS_finit_module, -1, EPERM },
	{ "reboot", SYS_reboot, 0, EPERM },
	{ "swapon", SYS_swapon, 0, EPERM },
	{ "clone3", SYS_clone3, 0, ENOSYS },
	{ "io_uring_setup", 425, 1, ENOSYS },
	{ "a call of the future", 9999, 0, ENOSYS },
	{ "clone newuser", SYS_clone, CLONE_NEWUSER, EPERM },
	{ "clone newnet", SYS_clone, CLONE_NEWNET | CLONE_FS, EPERM },
	{ "personality asks", SYS_personality, 0xffffffff, 0 },
	{ "personality of SVR4", SYS_personality, 1, ENOSYS },
};

/* In a child under the filter; the status is 1 + the first verdict that is wrong. */
static int child_judge(const struct sock_fprog *program)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program) < 0)
		return 255;
	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
		long result;

		errno = 0;
		result = syscall(verdicts[i].number, verdicts[i].a, 0, 0, 0, 0);
		if (verdicts[i].errnum == -1 ? errno == ENOSYS || errno == EAFNOSUPPORT :
		    verdicts[i].errnum ? result != -1 || errno != verdicts[i].errnum : result == -1)
			return (int)i + 1;
	}
	return 0;
}

static void the_filter_judges_as_the_policy_says(void **state)
{
	struct sock_fprog program;
	int status;
	pid_t pid;

	filter_load(&program);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(child_judge(&program));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	free(program.filter);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 255)
		test_skip("cannot load a filter here");
	if (WEXITSTATUS(status))
		fail_msg("the filter's verdict on %s is wrong", verdicts[WEXITSTATUS(status) - 1].name);
}

static void name_check(void *arg, const char *name, bool allowed)
{
	json_t *seen = arg;

	if (json_object_get(seen, name))
		fail_msg("%s is in the policy twice", name);
	json_set_bool(seen, name, allowed);
}

static void the_policy_names_each_call_once(void **state)
{
	autojson json_t *seen = json_object();

	syscall_policy_each(name_check, seen);
	assert_true(json_object_size(seen) > 300);
	assert_true(json_get_bool(seen, "execve", false));
	assert_false(json_get_bool(seen, "mount", true));
}

static void the_filter_is_kept(void **state)
{
	char *dir = temp_dir_make();
	autofree char *first = NULL, *second = NULL, *text = NULL;
	struct error err = { 0 };
	size_t n, again;

	assert_ok(syscall_filter_get(dir, (void **)&first, &n, &err));
	assert_ok(syscall_filter_get(dir, (void **)&second, &again, &err));
	assert_int_equal(n, again);
	assert_memory_equal(first, second, n);
	assert_ok(syscall_filter_base64(dir, &text, &err));
	assert_int_equal(strlen(text), (n + 2) / 3 * 4);
	temp_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_config_is_the_expected_one),
		cmocka_unit_test(no_config_gives_power),
		cmocka_unit_test(the_command_is_the_files_or_the_images),
		cmocka_unit_test(the_filter_judges_as_the_policy_says),
		cmocka_unit_test(the_policy_names_each_call_once),
		cmocka_unit_test(the_filter_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
