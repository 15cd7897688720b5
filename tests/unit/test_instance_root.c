/* SPDX-License-Identifier: Apache-2.0 */
#include "instance_fixture.h"

#include "site/local/container/runtime.h"
#include "site/local/image/image.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

/* Real containers: how they start, end, are limited, what they may not do, and that nothing of them stays. */

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

/* Runs to the end; its log, and *ret_status when wanted. */
static char *run(const char *script, const char *more, struct monitor_status *ret_status)
{
	autoresource struct resource *resource = fixture_instance(f, KEY, script, more);
	struct monitor_status status;
	struct error err = { 0 };
	char *log;

	assert_ok(local_instance.create(&f->site, resource, &err));
	status = fixture_wait(f, KEY, STATE_EXITED, 20000);
	if (ret_status)
		*ret_status = status;
	log = fixture_log(f, KEY);
	fixture_remove(f, resource);
	return log;
}

/* Logs and usage records outlive their instance: not from one test to the next. */
static void records_forget(void)
{
	static const char *const names[] = { "logs", "usage" };
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		autofree char *path = fs_join(f->site.deployment_dir, names[i]);

		assert_ok(fs_remove_tree(path, &err));
	}
}

static int each_setup(void **state)
{
	if (!f->skip)
		records_forget();
	return 0;
}

static void what_it_prints_and_its_exit_status_are_kept(void **state)
{
	autofree char *log = NULL;
	struct monitor_status status;

	fixture_need(f);
	log = run("echo out; echo err >&2; exit 7", NULL, &status);
	assert_int_equal(status.exit, 7);
	assert_int_equal(status.signal, -1);
	assert_false(status.oom);
	assert_string_equal(log, "out\nerr\n");
}

static void a_signal_that_ends_it_is_told(void **state)
{
	autofree char *log = NULL;
	struct monitor_status status;

	fixture_need(f);
	log = run("kill -11 $$", NULL, &status);
	assert_int_equal(status.exit, -1);
	assert_int_equal(status.signal, SIGSEGV);
}

static void a_command_that_cannot_be_run_is_told(void **state)
{
	autoresource struct resource *resource = NULL;
	struct monitor_status status;
	enum readiness ready = READY_WAITING;
	struct error err = { 0 };

	fixture_need(f);
	resource = fixture_instance(f, KEY, "", "{'command': ['no-such-program']}");
	assert_ok(local_instance.create(&f->site, resource, &err));
	status = fixture_wait(f, KEY, STATE_EXITED, 10000);
	assert_int_equal(status.exit, 127);
	assert_holds(status.reason, "No such file");
	assert_ok(local_instance.ready(&f->site, resource, &ready, &err));
	assert_int_equal(ready, READY_FAILED);
	fixture_remove(f, resource);
}

static void it_has_the_environment_that_it_should(void **state)
{
	autofree char *log = NULL;

	fixture_need(f);
	log = run("env; hostname; pwd; cat /etc/hosts; cat /proc/1/comm", "{'env': [{'name': 'A', 'value': 'b c'}, {'name': 'HOME', 'value': '/data'}], 'workingDir': '/tmp'}", NULL);
	assert_holds(log, "A=b c\n");
	assert_holds(log, "HOME=/data\n");
	assert_null(strstr(log, "HOME=/root\n"));
	assert_holds(log, "INSULA_TENANT=t\n");
	assert_holds(log, "INSULA_WORKLOAD=w\n");
	assert_holds(log, "INSULA_REPLICA=0\n");
	assert_holds(log, "PATH=/usr/local/sbin");
	assert_holds(log, "\nbox\n/tmp\n");
	assert_holds(log, "127.0.0.1 localhost\n");
	assert_holds(log, "\n" INIT_NAME "\n");
}

static void it_has_no_power(void **state)
{
	autofree char *log = NULL;

	fixture_need(f);
	log = run("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; cat /proc/self/uid_map; "
		  "mount -t tmpfs none /tmp 2>/dev/null && echo BAD mount; mknod /tmp/k c 1 1 2>/dev/null && echo BAD mknod; "
		  "mknod /dev/vda b 254 0 2>/dev/null && echo BAD disk; ls /sys; echo 1 2>/dev/null >/proc/sys/kernel/sysrq && echo BAD sysctl; "
		  "hostname other 2>/dev/null && echo BAD hostname; cat /proc/kcore 2>/dev/null | head -c 1 | grep -q . && echo BAD kcore; "
		  "ls -l /proc/1/fd 2>/dev/null | grep -q log && echo BAD fds; cat /proc/1/environ >/dev/null 2>&1 && echo BAD environ; "
		  "touch /.insula/init 2>/dev/null && echo BAD init; echo x 2>/dev/null >/.insula/init && echo BAD init write; "
		  "ls /dev | grep -qE 'vd|sd|loop|kmsg|mem' && echo BAD devices; kill -9 1; echo done", NULL, NULL);
	assert_null(strstr(log, "BAD"));
	assert_holds(log, "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n");
	assert_holds(log, "NoNewPrivs:\t1\n");
	assert_holds(log, "Seccomp:\t2\n");
	assert_holds(log, "1900544000      65536\n");
	assert_holds(log, "\ndone\n");
}

static void the_image_user_runs_it(void **state)
{
	autofree char *log = NULL;
	struct bundle_user user CLEANUP(bundle_user_clear) = { 0 };
	const char *const layers[] = { f->rootfs };
	struct error err = { 0 };

	fixture_need(f);
	assert_ok(bundle_user_find("ann", layers, 1, &user, &err));
	assert_int_equal(user.uid, 1000);
	assert_int_equal(user.gid, 100);
	assert_string_equal(user.home, "/data");
	bundle_user_clear(&user);
	assert_ok(bundle_user_find("1000:staff", layers, 1, &user, &err));
	assert_int_equal(user.gid, 50);
	bundle_user_clear(&user);
	assert_ok(bundle_user_find("4711", layers, 1, &user, &err));
	assert_int_equal(user.uid, 4711);
	assert_string_equal(user.home, "/");
	assert_fails(bundle_user_find("bob", layers, 1, &user, &err), "bob");
	assert_fails(bundle_user_find("ann:nobody", layers, 1, &user, &err), "nobody");
	log = run("id; echo x >/dev/stdout", NULL, NULL);
	assert_holds(log, "uid=0(root) gid=0(root)");
	assert_holds(log, "x\n");
}

static void volumes_are_mounted_as_they_should_be(void **state)
{
	autofree char *log = NULL, *rw = NULL, *ro = NULL, *made = NULL, *more = NULL;
	struct error err;
	struct stat st;

	fixture_need(f);
	rw = local_volume_dir(&f->site, "t", "out");
	ro = fs_join(f->dir, "shared");
	assert_ok(fs_make_dirs(rw, 0755, &err));
	assert_ok(fs_make_dirs(ro, 0755, &err));
	assert_int_equal(chown(rw, FIXTURE_BASE, FIXTURE_BASE), 0);
	more = xasprintf("{'mounts': [{'path': '/out', 'volume': 'out'}, {'path': '/in/here', 'hostPath': '%s', 'readOnly': true}]}", ro);
	log = run("echo kept >/out/file; echo x 2>/dev/null >/in/here/file && echo BAD; grep -E ' /(out|in/here) ' /proc/self/mounts", more, NULL);
	assert_null(strstr(log, "BAD"));
	assert_holds(log, "nosuid,nodev");
	made = fs_join(rw, "file");
	assert_int_equal(stat(made, &st), 0);
	assert_int_equal(st.st_uid, FIXTURE_BASE);
	assert_ok(fs_remove_tree(rw, &err));
}

static void secrets_reach_the_command_and_nothing_else(void **state)
{
	autoresource struct resource *resource = NULL;
	autofree char *log = NULL, *search = NULL;
	const char *argv[] = { "grep", "-rlF", "--devices=skip", "the value of hub", NULL, NULL };
	const struct proc_options options = { .argv = argv };
	CLEANUP(proc_result_clear) struct proc_result result = { 0 };
	struct monitor_status status;
	struct error err = { 0 };

	fixture_need(f);
	resource = fixture_instance(f, KEY, "test ${#TOKEN} = 16 && test \"${TOKEN#*value}\" = ' of hub' && echo right; sleep 60", "{'env': [{'name': 'TOKEN', 'value': {'$secret': 'hub', 'digest': 'x'}}]}");
	assert_ok(local_instance.create(&f->site, resource, &err));
	status = fixture_wait(f, KEY, STATE_RUNNING, 10000);
	for (int i = 0; i < 200; i++) {
		free(log);
		log = fixture_log(f, KEY);
		if (*log)
			break;
		clock_sleep_ms(&clock_system, 10);
	}
	assert_string_equal(log, "right\n");
	argv[4] = f->dir;
	assert_ok(proc_run(&options, &result, &err));
	assert_string_equal(result.output, "");
	assert_true(status.init > 0);
	search = xasprintf("/proc/%d/environ", (int)status.init);
	{
		autofree char *text = NULL;
		size_t n;

		assert_ok(fs_read_file(search, 1 << 20, &text, &n, &err));
		assert_null(memmem(text, n, "the value", 9));
	}
	fixture_remove(f, resource);
}

static void a_fork_bomb_stays_inside(void **state)
{
	autoresource struct resource *bomb = NULL, *neighbour = NULL;
	autofree char *group = NULL;
	struct cgroup_usage usage;
	struct error err = { 0 };

	fixture_need(f);
	neighbour = fixture_instance(f, "t/other/0", "sleep 100", NULL);
	assert_ok(local_instance.create(&f->site, neighbour, &err));
	bomb = fixture_instance(f, KEY, "(sleep 0.2; b() { b & b; }; b) & exec sleep 100", "{'pids': 64}");
	assert_ok(local_instance.create(&f->site, bomb, &err));
	clock_sleep_ms(&clock_system, 500);
	group = local_cgroup_instance(&f->site, KEY);
	assert_ok(cgroup_usage_read(f->site.cgroups, group, &usage, &err));
	if (usage.pids >= 0)
		assert_in_range(usage.pids, 1, 64);
	fixture_wait(f, "t/other/0", STATE_RUNNING, 1000);
	fixture_remove(f, bomb);
	fixture_remove(f, neighbour);
}

static void a_memory_hog_is_killed_as_a_whole(void **state)
{
	autofree char *log = NULL;
	struct monitor_status status;

	fixture_need(f);
	/* the hog is a child: without group OOM only it would die, and the rest live on */
	log = run("sleep 1000 & (head -c 200m /dev/zero | tail); sleep 1000", "{'memory': 33554432, 'pids': 50}", &status);
	assert_true(status.oom);
	assert_int_equal(status.signal, SIGKILL);
	assert_true(status.memory_peak < 0 || status.memory_peak > 16 << 20);
}

static void it_is_started_again_with_growing_pauses(void **state)
{
	autoresource struct resource *resource = NULL;
	autofree char *log = NULL;
	struct monitor_status status;
	struct error err = { 0 };
	int64_t start;

	fixture_need(f);
	start = clock_monotonic_ns(&clock_system) / 1000000;
	resource = fixture_instance(f, KEY, "echo run; exit 1", "{'restart': 'onFailure', 'tuning': {'restart.max': 4, 'backoff.first_ms': 50, 'backoff.cap_ms': 200}}");
	assert_ok(local_instance.create(&f->site, resource, &err));
	status = fixture_wait(f, KEY, STATE_EXITED, 20000);
	assert_int_equal(status.restarts, 4);
	assert_int_equal(status.exit, 1);
	/* 50 + 100 + 200 + 200 */
	assert_true(clock_monotonic_ns(&clock_system) / 1000000 - start >= 550);
	log = fixture_log(f, KEY);
	assert_string_equal(log, "run\nrun\nrun\nrun\nrun\n");
	fixture_remove(f, resource);
}

static void success_ends_what_restarts_on_failure(void **state)
{
	autofree char *log = NULL;
	struct monitor_status status;

	fixture_need(f);
	log = run("echo once", "{'restart': 'onFailure'}", &status);
	assert_int_equal(status.restarts, 0);
	assert_string_equal(log, "once\n");
}

static void what_it_wrote_outlives_a_restart_but_not_a_create(void **state)
{
	static const char script[] = "cat /tmp/n 2>/dev/null; echo x >>/tmp/n; test $(wc -l </tmp/n) -ge 3";
	autofree char *log = NULL, *again = NULL;

	fixture_need(f);
	log = run(script, "{'restart': 'onFailure', 'tuning': {'backoff.first_ms': 10}}", NULL);
	assert_string_equal(log, "x\nx\nx\n");
	records_forget();
	again = run(script, "{'restart': 'onFailure', 'tuning': {'backoff.first_ms': 10}}", NULL);
	assert_string_equal(again, "x\nx\nx\n");
}

static void the_log_is_rotated_between_lines(void **state)
{
	autoinstance_files struct instance_files files = { 0 };
	autofree char *log = NULL, *one = NULL, *two = NULL, *three = NULL;
	struct error err = { 0 };
	struct stat st;

	fixture_need(f);
	assert_ok(instance_files_of(&f->site, KEY, &files, &err));
	log = run("seq 100000 120000", "{'tuning': {'log.size': 32768, 'log.keep': 2}}", NULL);
	one = xasprintf("%s.1", files.log);
	two = xasprintf("%s.2", files.log);
	three = xasprintf("%s.3", files.log);
	assert_int_equal(stat(one, &st), 0);
	assert_in_range(st.st_size, 32768 - 7, 32768 + 7);
	assert_int_equal(stat(two, &st), 0);
	assert_false(fs_exists(three));
	{
		autofree char *first = NULL, *second = NULL, *all = NULL;
		long want = 0;

		assert_ok(fs_read_file(two, 1 << 20, &second, NULL, &err));
		assert_ok(fs_read_file(one, 1 << 20, &first, NULL, &err));
		all = xasprintf("%s%s%s", second, first, log);
		for (char *line = strtok(all, "\n"); line; line = strtok(NULL, "\n")) {
			assert_int_equal(strlen(line), 6);
			assert_true(!want || strtol(line, NULL, 10) == want);
			want = strtol(line, NULL, 10) + 1;
		}
		assert_int_equal(want, 120001);
	}
}

static void logs_give_the_tail_and_follow_to_the_end(void **state)
{
	autoresource struct resource *resource = NULL;
	autofd int out = memfd_create("log", MFD_CLOEXEC);
	char text[4096] = "";
	struct error err = { 0 };

	fixture_need(f);
	resource = fixture_instance(f, KEY, "seq 1 5; sleep 0.3; seq 6 1000; sleep 0.3; echo end", "{'tuning': {'log.size': 4096, 'log.keep': 3}}");
	assert_ok(local_instance.create(&f->site, resource, &err));
	assert_ok(local_logs(&f->site, KEY, out, true, -1, NULL, &err));
	{
		autofree char *all = xcalloc(1, 65536);
		int want = 1;

		assert_true(pread(out, all, 65535, 0) > 0);
		for (char *line = strtok(all, "\n"); line; line = strtok(NULL, "\n"), want++)
			if (want <= 1000)
				assert_int_equal(strtol(line, NULL, 10), want);
			else
				assert_string_equal(line, "end");
		assert_int_equal(want, 1002);
	}
	assert_int_equal(ftruncate(out, 0), 0);
	assert_int_equal(lseek(out, 0, SEEK_SET), 0);
	assert_ok(local_logs(&f->site, KEY, out, false, 3, NULL, &err));
	assert_true(pread(out, text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(text, "999\n1000\nend\n");
	assert_int_equal(ftruncate(out, 0), 0);
	assert_int_equal(lseek(out, 0, SEEK_SET), 0);
	assert_ok(local_logs(&f->site, KEY, out, false, 0, NULL, &err));
	assert_int_equal(pread(out, text, sizeof(text) - 1, 0), 0);
	assert_fails(local_logs(&f->site, "t/none/0", out, false, -1, NULL, &err), "no log");
	fixture_remove(f, resource);
}

/* A tenant may write beside what is mounted, and mounts may be below it. */
static void a_folder_of_the_host_is_no_link_and_wholly_read_only(void **state)
{
	autoresource struct resource *resource = NULL, *through = NULL;
	autofree char *below = NULL, *link = NULL, *more = NULL, *bad = NULL;
	struct monitor_status status;
	struct error err = { 0 };

	fixture_need(f);
	below = fs_join(f->dir, "real/below");
	link = fs_join(f->dir, "link");
	more = xasprintf("{'mounts': [{'path': '/in', 'hostPath': '%s/real', 'readOnly': true}]}", f->dir);
	bad = xasprintf("{'mounts': [{'path': '/in', 'hostPath': '%s/below', 'readOnly': true}]}", link);
	assert_ok(fs_make_dirs(below, 0755, &err));
	assert_int_equal(symlink("real", link), 0);
	assert_int_equal(mount("none", below, "tmpfs", 0, "mode=777,size=1m"), 0);
	resource = fixture_instance(f, KEY, "touch /in/below/x; busybox test -e /in/below/x && exit 3; exit 4", more);
	assert_ok(local_instance.create(&f->site, resource, &err));
	status = fixture_wait(f, KEY, STATE_EXITED, 5000);
	fixture_remove(f, resource);
	through = fixture_instance(f, KEY, "exit 0", bad);
	assert_fails(local_instance.create(&f->site, through, &err), "symbolic link");
	assert_int_equal(err.code, ERROR_PERMISSION);
	fixture_remove(f, through);
	assert_int_equal(umount2(below, MNT_DETACH), 0);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(status.exit, 4);
}

static void share_file(const char *folder, const char *name, mode_t mode, uid_t owner)
{
	autofree char *path = fs_join(folder, name);
	autofd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "here\n", 5), 5);
	assert_int_equal(fchown(fd, owner, owner), 0);
	assert_int_equal(fchmod(fd, mode), 0);
}

/* A person's folder: hers are ours inside and ours are hers outside; others' and root's are not. */
static void a_folder_of_the_host_is_its_owners(void **state)
{
	autofree char *share = fs_join(f->dir, "share"), *roots = fs_join(f->dir, "roots"), *new = NULL, *more = NULL, *log = NULL;
	struct monitor_status status;
	struct error err = { 0 };
	struct stat st;

	fixture_need(f);
	assert_ok(fs_make_dirs(share, 0700, &err));
	assert_ok(fs_make_dirs(roots, 0700, &err));
	share_file(share, "hers", 0600, 1234);
	share_file(share, "other", 0600, 4321);
	share_file(share, "root", 0600, 0);
	share_file(roots, "root", 0600, 0);
	assert_int_equal(chown(share, 1234, 0), 0);
	more = xasprintf("{'mounts': [{'path': '/in', 'hostPath': '%s', 'readOnly': false}, {'path': '/roots', 'hostPath': '%s', 'readOnly': false}]}", share, roots);
	log = run("cat /in/hers; busybox stat -c %u:%g /in/hers; echo new >/in/new || echo BAD new; for i in /in/other /in/root /roots/root; do cat $i 2>/dev/null && echo BAD $i; done; "
		  "touch /roots/mine 2>/dev/null && echo BAD touch; busybox chown 5:5 /in/new 2>/dev/null && echo BAD chown; exit 0", more, &status);
	if (!strstr(log, "here")) {
		autofree char *why = NULL;

		if (!image_idmap_works(f->dir, &why))
			test_skip("no id-mapped mounts here: %s", why);
	}
	assert_string_equal(log, "here\n0:0\n");
	new = fs_join(share, "new");
	assert_int_equal(stat(new, &st), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 1234);
	assert_ok(fs_remove_tree(share, &err));
	assert_ok(fs_remove_tree(roots, &err));
}

static void exec_runs_beside_and_gives_its_status(void **state)
{
	autoresource struct resource *resource = NULL;
	autofd int out = memfd_create("out", MFD_CLOEXEC), in = memfd_create("in", MFD_CLOEXEC);
	static const char *const argv[] = { "sh", "-c", "cat; echo $B; grep -E '^(CapEff|Seccomp:|NoNewPrivs)' /proc/self/status; pwd; exit 42", NULL };
	static const char *const missing[] = { "no-such-program", NULL };
	static const char *const env[] = { "B=more", NULL };
	struct exec_request request = { .key = KEY, .argv = argv, .env = env, .working_dir = "/etc", .interactive = true, .stdout_fd = -1 };
	char text[4096] = "";
	struct error err = { 0 };
	int status = -1;

	fixture_need(f);
	resource = fixture_instance(f, KEY, "sleep 100", NULL);
	assert_ok(local_instance.create(&f->site, resource, &err));
	assert_int_equal(write(in, "typed\n", 6), 6);
	assert_int_equal(lseek(in, 0, SEEK_SET), 0);
	request.stdin_fd = in;
	request.stdout_fd = request.stderr_fd = out;
	assert_ok(local_exec(&f->site, &request, &status, &err));
	assert_true(pread(out, text, sizeof(text) - 1, 0) > 0);
	assert_int_equal(status, 42);
	assert_holds(text, "typed\nmore\nCapEff:\t0000000000000000\n");
	assert_holds(text, "NoNewPrivs:\t1\nSeccomp:\t2\n");
	assert_holds(text, "/etc\n");
	request.argv = missing;
	request.stdout_fd = request.stderr_fd = out;
	assert_fails(local_exec(&f->site, &request, &status, &err), "no-such-program");
	fixture_remove(f, resource);
	assert_fails(local_exec(&f->site, &request, &status, &err), "no instance");
}

/* What the command leaves behind would else read what the user types long after. */
static void exec_lets_nothing_of_the_caller_inside(void **state)
{
	static const char *const argv[] = { "sh", "-c", "for i in 0 1 2; do busybox test -t $i && echo \"$i is a terminal\"; busybox readlink /proc/self/fd/$i; done; echo again >/dev/stdout; exit 0", NULL };
	autoresource struct resource *resource = NULL;
	autofd int outer = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), inner = -1;
	struct error err = { 0 };
	char text[4096] = "";
	int exit_status = -1;

	fixture_need(f);
	assert_true(outer >= 0 && grantpt(outer) == 0 && unlockpt(outer) == 0);
	inner = open(ptsname(outer), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(inner >= 0);
	resource = fixture_instance(f, KEY, "sleep 100", NULL);
	assert_ok(local_instance.create(&f->site, resource, &err));
	for (int interactive = 0; interactive < 2; interactive++) {
		struct exec_request request = { .key = KEY, .argv = argv, .interactive = interactive, .stdin_fd = inner, .stdout_fd = inner, .stderr_fd = inner };

		assert_ok(local_exec(&f->site, &request, &exit_status, &err));
		assert_int_equal(exit_status, 0);
		assert_true(read(outer, text, sizeof(text) - 1) > 0);
		assert_holds(text, "pipe:");
		assert_holds(text, "again");
		assert_null(strstr(text, "terminal"));
		assert_null(strstr(text, "pts"));
	}
	fixture_remove(f, resource);
}

/* The names of the files made in /tmp since the watch began that are a runtime's. */
static bool runtime_files_seen(int watch)
{
	char events[16384] __attribute__((aligned(8)));
	ssize_t n = read(watch, events, sizeof(events));
	bool seen = false;

	for (ssize_t i = 0; i < n;) {
		const struct inotify_event *event = (const struct inotify_event *)(events + i);

		seen |= event->len && (starts_with(event->name, "crun.") || starts_with(event->name, "runc."));
		i += (ssize_t)(sizeof(*event) + event->len);
	}
	return seen;
}

/* A runtime copies itself by a mount under /tmp, unless it cannot be written to; killed in between, it would leave that on the machine. */
static void the_runtime_makes_no_mount_of_its_own(void **state)
{
	static const char *const argv[] = { "true", NULL };
	autofd int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct exec_request request = { .key = KEY, .argv = argv, .stdin_fd = null, .stdout_fd = null, .stderr_fd = null };
	autoresource struct resource *resource = NULL;
	autoruntime struct runtime runtime = { 0 };
	struct error err = { 0 };
	int status = -1;

	fixture_need(f);
	assert_true(inotify_add_watch(watch, "/tmp", IN_CREATE) >= 0);
	assert_ok(runtime_probe(&runtime, &err));
	assert_false(runtime_files_seen(watch));
	resource = fixture_instance(f, KEY, "sleep 100", NULL);
	assert_ok(local_instance.create(&f->site, resource, &err));
	assert_false(runtime_files_seen(watch));
	assert_ok(local_exec(&f->site, &request, &status, &err));
	assert_false(runtime_files_seen(watch));
	fixture_remove(f, resource);
	assert_false(runtime_files_seen(watch));
}

static void exec_gives_a_terminal_of_the_callers_size(void **state)
{
	static const char *const argv[] = { "sh", "-c", "busybox tty; busybox stty size; exit 7", NULL };
	autoresource struct resource *resource = NULL;
	autofd int outer = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), inner = -1;
	struct winsize size = { .ws_row = 40, .ws_col = 100 };
	struct monitor_status status;
	struct error err = { 0 };
	char text[4096] = "";
	int exit_status;
	ssize_t n;

	fixture_need(f);
	assert_true(outer >= 0 && grantpt(outer) == 0 && unlockpt(outer) == 0);
	inner = open(ptsname(outer), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(inner >= 0);
	assert_int_equal(ioctl(inner, TIOCSWINSZ, &size), 0);
	resource = fixture_instance(f, KEY, "sleep 100", NULL);
	assert_ok(local_instance.create(&f->site, resource, &err));
	/* no monitor is needed */
	status = fixture_wait(f, KEY, STATE_RUNNING, 5000);
	kill(status.monitor, SIGKILL);
	{
		struct exec_request request = { .key = KEY, .argv = argv, .tty = true, .interactive = true, .stdin_fd = inner, .stdout_fd = inner, .stderr_fd = inner };

		assert_ok(local_exec(&f->site, &request, &exit_status, &err));
	}
	assert_int_equal(exit_status, 7);
	assert_int_equal(fcntl(outer, F_SETFL, O_NONBLOCK), 0);
	n = read(outer, text, sizeof(text) - 1);
	assert_true(n > 0);
	assert_holds(text, "/dev/pts/0");
	assert_holds(text, "40 100");
	fixture_remove(f, resource);
}

struct seen { int n; int64_t cpu, started; int exit; char state[16]; };

static int usage_sink(void *arg, const struct usage_record *record)
{
	struct seen *seen = arg;

	seen->n++;
	seen->cpu = record->cpu_ns;
	seen->exit = record->exit_status;
	seen->started = record->started_ms;
	snprintf(seen->state, sizeof(seen->state), "%s", record->state);
	assert_string_equal(record->key, KEY);
	assert_string_equal(record->tenant, "t");
	return 0;
}

static void usage_tells_of_now_and_of_what_has_ended(void **state)
{
	autoresource struct resource *resource = NULL;
	struct seen seen = { 0 };
	struct error err = { 0 };

	fixture_need(f);
	resource = fixture_instance(f, KEY, "i=0; while test $i -lt 20000; do i=$((i+1)); done; sleep 1; exit 3", NULL);
	assert_ok(local_instance.create(&f->site, resource, &err));
	assert_ok(local_usage(&f->site, false, usage_sink, &seen, &err));
	assert_int_equal(seen.n, 1);
	assert_string_equal(seen.state, STATE_RUNNING);
	assert_int_equal(seen.exit, -1);
	fixture_wait(f, KEY, STATE_EXITED, 10000);
	seen = (struct seen){ 0 };
	assert_ok(local_usage(&f->site, true, usage_sink, &seen, &err));
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.exit, 3);
	assert_true(seen.cpu > 1000000);
	assert_true(seen.started > 0);
	fixture_remove(f, resource);
	seen = (struct seen){ 0 };
	assert_ok(local_usage(&f->site, true, usage_sink, &seen, &err));
	assert_int_equal(seen.n, 1);
}

static int list_sink(void *arg, struct resource *resource)
{
	struct resource **ret = arg;

	assert_null(*ret);
	*ret = resource;
	return 0;
}

static void list_and_get_tell_what_lives(void **state)
{
	autoresource struct resource *resource = NULL, *listed = NULL, *got = NULL;
	autojson json_t *left = json_array();
	struct error err = { 0 };

	fixture_need(f);
	resource = fixture_instance(f, KEY, "sleep 100", NULL);
	assert_ok(local_instance.list(&f->site, list_sink, &listed, &err));
	assert_null(listed);
	assert_ok(local_instance.create(&f->site, resource, &err));
	assert_ok(local_instance.list(&f->site, list_sink, &listed, &err));
	assert_non_null(listed);
	assert_string_equal(json_get_string(listed->body, "digest", ""), "d");
	assert_string_equal(json_get_string(listed->body, "state", ""), STATE_RUNNING);
	assert_true(json_get_bool(listed->body, "watched", false));
	got = resource_new("local", "instance", KEY, json_object());
	assert_ok(local_instance.get(&f->site, got, &err));
	assert_true(json_equal(got->body, listed->body));
	assert_ok(local_instance.sweep(&f->site, NULL, left, &err));
	assert_true(json_array_size(left) > 0);
	fixture_remove(f, resource);
	json_array_clear(left);
	assert_ok(local_instance.sweep(&f->site, NULL, left, &err));
	if (json_array_size(left))
		fail_msg("left: %s", json_string_value(json_array_get(left, 0)));
	assert_int_equal(local_instance.get(&f->site, got, &err), -1);
	assert_int_equal(err.code, ERROR_NOT_FOUND);
	assert_ok(local_instance.remove(&f->site, resource, false, &err));	/* absent is success */
}

static void creating_twice_starts_once_and_another_spec_replaces(void **state)
{
	autoresource struct resource *resource = NULL, *other = NULL;
	struct monitor_status first, second;
	struct error err = { 0 };

	fixture_need(f);
	resource = fixture_instance(f, KEY, "sleep 100", NULL);
	assert_ok(local_instance.create(&f->site, resource, &err));
	first = fixture_wait(f, KEY, STATE_RUNNING, 5000);
	assert_ok(local_instance.create(&f->site, resource, &err));
	second = fixture_wait(f, KEY, STATE_RUNNING, 5000);
	assert_int_equal(first.init, second.init);
	assert_int_equal(first.monitor, second.monitor);
	other = fixture_instance(f, KEY, "sleep 200", NULL);
	assert_ok(local_instance.create(&f->site, other, &err));
	second = fixture_wait(f, KEY, STATE_RUNNING, 5000);
	assert_int_not_equal(first.init, second.init);
	assert_int_equal(kill(first.init, 0), -1);
	fixture_remove(f, other);
}

static void a_finished_one_is_not_started_again(void **state)
{
	autoresource struct resource *resource = NULL;
	autofree char *log = NULL;
	struct error err = { 0 };

	fixture_need(f);
	resource = fixture_instance(f, KEY, "echo once", NULL);
	assert_ok(local_instance.create(&f->site, resource, &err));
	fixture_wait(f, KEY, STATE_EXITED, 5000);
	assert_ok(local_instance.create(&f->site, resource, &err));
	fixture_wait(f, KEY, STATE_EXITED, 5000);
	log = fixture_log(f, KEY);
	assert_string_equal(log, "once\n");
	fixture_remove(f, resource);
}

static void stopping_lets_it_say_goodbye(void **state)
{
	autoresource struct resource *resource = NULL;
	autofree char *log = NULL;
	struct error err = { 0 };

	fixture_need(f);
	resource = fixture_instance(f, KEY, "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done", NULL);
	assert_ok(local_instance.create(&f->site, resource, &err));
	for (int i = 0; i < 200; i++) {
		free(log);
		log = fixture_log(f, KEY);
		if (*log)
			break;
		clock_sleep_ms(&clock_system, 10);
	}
	fixture_remove(f, resource);
	free(log);
	log = fixture_log(f, KEY);
	assert_holds(log, "up\n");
	assert_holds(log, "bye\n");
}

static void orphans_go_with_the_instance(void **state)
{
	autofree char *log = NULL;
	struct error err;

	fixture_need(f);
	log = run("(sleep 4711 & ) ; (trap '' TERM HUP; sleep 4712) & echo started", NULL, NULL);
	assert_string_equal(log, "started\n");
	{
		static const char *const argv[] = { "pgrep", "-f", "^sleep 471[12]$", NULL };
		const struct proc_options options = { .argv = argv };
		CLEANUP(proc_result_clear) struct proc_result result = { 0 };

		assert_ok(proc_run(&options, &result, &err));
		assert_string_equal(result.output, "");
	}
}

static void the_image_host_shows_the_machine_but_not_its_secrets(void **state)
{
	struct image_host_root *roots;
	struct image_store *store;
	autofree char *digest = NULL, *more = NULL, *log = NULL;
	struct monitor_status status;
	struct error err = { 0 };
	size_t n;

	fixture_need(f);
	if (!fs_exists("/usr/bin/python3"))
		test_skip("needs python3");
	assert_ok(image_host_roots(&roots, &n, &err));
	image_host_roots_free(roots, n);
	assert_ok(image_store_open(f->site.images, 0, &store, &err));
	assert_ok(image_resolve(store, "host", &digest, &err));
	image_store_close(store);
	more = xasprintf("{'image': '%s', 'env': []}", digest);
	log = run("python3 -c 'import ssl, ctypes, subprocess; print(2**100)'; echo x >/etc/mine && cat /etc/mine; "
		  "touch /usr/mine 2>/dev/null && echo BAD usr; cat /etc/shadow 2>/dev/null && echo BAD shadow; ls /home /root /run /var/log; "
		  "grep -c . /etc/passwd; stat -c %u /usr/bin/python3; ls /etc/ssl/certs | grep -q . && echo certs", more, &status);
	assert_int_equal(status.exit, 0);
	assert_null(strstr(log, "BAD"));
	assert_holds(log, "1267650600228229401496703205376\nx\n");
	assert_holds(log, "/home:\n\n/root:\n\n/run:\n\n/var/log:\n2\n0\n");
}

static void runc_does_it_too(void **state)
{
	static const char *const argv[] = { "sh", "-c", "grep -E '^(CapEff|Seccomp:)' /proc/self/status; exit 4", NULL };
	autoresource struct resource *resource = NULL;
	autofree char *runc = fs_find_program(PROC_PATH, "runc"), *log = NULL;
	autofd int out = memfd_create("out", MFD_CLOEXEC);
	struct exec_request request = { .key = KEY, .argv = argv, .stdout_fd = out, .stderr_fd = out };
	struct monitor_status status;
	struct cgroup_usage usage;
	autofree char *group = NULL;
	struct error err = { 0 };
	char text[4096] = "";
	int exit_status;

	fixture_need(f);
	if (!runc)
		test_skip("needs runc");
	group = local_cgroup_instance(&f->site, KEY);
	json_set(f->site.facts, "runtime", json_pack("{s:s, s:s}", "name", "runc", "path", runc));
	log = run("echo hello; grep -E '^(CapEff|Seccomp:|NoNewPrivs)' /proc/self/status; cat /proc/1/comm; exit 3", "{'memory': 67108864, 'pids': 100}", &status);
	assert_int_equal(status.exit, 3);
	assert_holds(log, "hello\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n" INIT_NAME "\n");
	resource = fixture_instance(f, KEY, "sleep 100", "{'pids': 100}");
	assert_ok(local_instance.create(&f->site, resource, &err));
	/* init and its command; the command may be about to come, some of runc's on their way out */
	for (int i = 0; i < 500; i++) {
		assert_ok(cgroup_usage_read(f->site.cgroups, group, &usage, &err));
		if (usage.pids == 2 || usage.pids < 0)
			break;
		clock_sleep_ms(&clock_system, 10);
	}
	assert_true(usage.pids == 2 || usage.pids < 0);
	assert_ok(local_exec(&f->site, &request, &exit_status, &err));
	assert_int_equal(exit_status, 4);
	assert_true(pread(out, text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(text, "CapEff:\t0000000000000000\nSeccomp:\t2\n");
	status = fixture_wait(f, KEY, STATE_RUNNING, 5000);
	kill(status.monitor, SIGKILL);
	clock_sleep_ms(&clock_system, 100);
	assert_ok(local_instance.create(&f->site, resource, &err));
	assert_true(fixture_wait(f, KEY, STATE_RUNNING, 5000).watched);
	fixture_remove(f, resource);
	json_set(f->site.facts, "runtime", NULL);
}

int main(void)
{
#define each(test) cmocka_unit_test_setup(test, each_setup)
	const struct CMUnitTest tests[] = {
		each(what_it_prints_and_its_exit_status_are_kept),
		each(a_signal_that_ends_it_is_told),
		each(a_command_that_cannot_be_run_is_told),
		each(it_has_the_environment_that_it_should),
		each(it_has_no_power),
		each(the_image_user_runs_it),
		each(volumes_are_mounted_as_they_should_be),
		each(secrets_reach_the_command_and_nothing_else),
		each(a_fork_bomb_stays_inside),
		each(a_memory_hog_is_killed_as_a_whole),
		each(it_is_started_again_with_growing_pauses),
		each(success_ends_what_restarts_on_failure),
		each(what_it_wrote_outlives_a_restart_but_not_a_create),
		each(the_log_is_rotated_between_lines),
		each(logs_give_the_tail_and_follow_to_the_end),
		each(a_folder_of_the_host_is_no_link_and_wholly_read_only),
		each(a_folder_of_the_host_is_its_owners),
		each(exec_runs_beside_and_gives_its_status),
		each(exec_lets_nothing_of_the_caller_inside),
		each(exec_gives_a_terminal_of_the_callers_size),
		each(usage_tells_of_now_and_of_what_has_ended),
		each(list_and_get_tell_what_lives),
		each(creating_twice_starts_once_and_another_spec_replaces),
		each(a_finished_one_is_not_started_again),
		each(stopping_lets_it_say_goodbye),
		each(orphans_go_with_the_instance),
		each(the_image_host_shows_the_machine_but_not_its_secrets),
		each(the_runtime_makes_no_mount_of_its_own),
		each(runc_does_it_too),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
