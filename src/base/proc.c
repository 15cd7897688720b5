/* SPDX-License-Identifier: Apache-2.0 */
#include "proc.h"

#include "buf.h"
#include "clock.h"
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * How it works: everything that needs memory (the program's path, arguments, pipes, the input in
 * a memfd) is made before fork(2), because another thread may hold the allocator's lock at that
 * moment; the child makes only system calls. It tells a failure before exec through a pipe that
 * exec closes. The parent polls both outputs, that pipe and a pidfd. The end of the process ends
 * the call, not the end of its outputs: what it left running in the background (a monitor, a
 * container) may keep them open.
 */

#define OUTPUT_LIMIT ((size_t)1 << 20)

static const char *const default_env[] = { "PATH=" PROC_PATH, "HOME=/", "LC_ALL=C", NULL };

enum child_stage { STAGE_SETUP, STAGE_NETNS, STAGE_CALLBACK, STAGE_EXEC };

struct child_failure {
	enum child_stage stage;
	int errnum;
};

struct running {
	const struct proc_options *options;
	const char *name;
	char *program;
	int input, out[2], err[2], failure[2], pid_fd;
	pid_t pid;
	struct buf output, errors;
	struct child_failure failed;
	bool has_failed;
	int wait_status;
};

static void running_clear(struct running *run)
{
	int *fds[] = { &run->input, &run->out[0], &run->out[1], &run->err[0], &run->err[1], &run->failure[0], &run->failure[1], &run->pid_fd };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		cleanup_fd(fds[i]);
		*fds[i] = -1;
	}
	free(run->program);
	buf_clear(&run->output);
	buf_clear(&run->errors);
}

/* A descriptor that is above 2 even when the caller runs with those closed, else the child's dup2 would destroy it. */
static int fd_above(int fd)
{
	int above;

	if (fd < 0 || fd > 2)
		return fd;
	above = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	close(fd);
	return above;
}

static int pipe_make(int fds[2], struct error *err)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "cannot make a pipe");
	fds[0] = fd_above(pair[0]);
	fds[1] = fd_above(pair[1]);
	if (fds[0] < 0 || fds[1] < 0)
		return error_set_errno(err, errno, "cannot make a pipe");
	if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0)
		return error_set_errno(err, errno, "cannot set up a pipe");
	return 0;
}

static int input_make(const struct proc_options *options, int *ret, struct error *err)
{
	autofd int fd = -1;

	if (!options->input) {
		fd = fd_above(open("/dev/null", O_RDWR | O_CLOEXEC));
		if (fd < 0)
			return error_set_errno(err, errno, "cannot open /dev/null");
		*ret = steal_fd(&fd);
		return 0;
	}
	fd = fd_above(memfd_create("insula-input", MFD_CLOEXEC));
	if (fd < 0)
		return error_set_errno(err, errno, "cannot make a memory file");
	if (fs_write_all(fd, options->input, options->input_n, err) < 0)
		return -1;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_set_errno(err, errno, "cannot rewind a memory file");
	*ret = steal_fd(&fd);
	return 0;
}

static int running_prepare(struct running *run, struct error *err)
{
	const char *name = run->options->argv[0];

	if (strchr(name, '/'))
		run->program = xstrdup(name);
	else
		run->program = fs_find_program(PROC_PATH, name);
	if (!run->program) {
		error_set(err, ERROR_NOT_FOUND, "the program %s is not installed", name);
		return error_hint(err, "install it, or see what is missing with: insula doctor");
	}
	if (input_make(run->options, &run->input, err) < 0 || pipe_make(run->out, err) < 0 ||
	    pipe_make(run->err, err) < 0 || pipe_make(run->failure, err) < 0)
		return error_wrap(err, "cannot run %s", name);
	return 0;
}

static void close_on_exec_from(unsigned first)
{
	if (syscall(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
		return;
	for (int fd = (int)first; fd < 65536; fd++)	/* before Linux 5.11 */
		fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void child_fail(const struct running *run, enum child_stage stage, int errnum)
{
	struct child_failure failure = { stage, errnum };
	ssize_t ignored = write(run->failure[1], &failure, sizeof(failure));

	(void)ignored;
	_exit(127);
}

/* All, by the system call: the C library keeps 32 and 33 for itself, and make starts programs with 32 ignored. */
static void signals_reset(void)
{
	static const char kernel_default[64];	/* struct kernel_sigaction: SIG_DFL, no flags, an empty mask are all 0 */

	for (int signal = 1; signal <= 64; signal++)
		syscall(SYS_rt_sigaction, signal, kernel_default, NULL, 8L);
}

/* In the child of a program with threads: system calls only. */
static void child_run(const struct running *run, pid_t parent) __attribute__((noreturn));
static void child_run(const struct running *run, pid_t parent)
{
	const struct proc_options *options = run->options;
	char *const *env;
	sigset_t none;

	signals_reset();
	setpgid(0, 0);
	/* dies with the thread that waits for it, so that a killed command leaves no half-run tool behind */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		child_fail(run, STAGE_SETUP, errno);
	if (dup2(run->input, 0) < 0 || dup2(run->out[1], 1) < 0 || dup2(run->err[1], 2) < 0)
		child_fail(run, STAGE_SETUP, errno);
	close_on_exec_from(3);
	if (options->netns > 0 && setns(options->netns, CLONE_NEWNET) < 0)
		child_fail(run, STAGE_NETNS, errno);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	errno = 0;
	if (options->child && options->child(options->child_arg) != 0)
		child_fail(run, STAGE_CALLBACK, errno);
	env = (char *const *)(options->env ? options->env : default_env);
	if (options->program > 0)
		syscall(SYS_execveat, options->program, "", options->argv, env, AT_EMPTY_PATH);
	execve(run->program, (char *const *)options->argv, env);
	child_fail(run, STAGE_EXEC, errno);
	_exit(127);
}

static int running_start(struct running *run, struct error *err)
{
	sigset_t all, before;
	pid_t parent = getpid();

	/* no handler of ours may run in the child */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	run->pid = fork();
	if (run->pid == 0)
		child_run(run, parent);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (run->pid < 0)
		return error_set_errno(err, errno, "cannot start %s", run->name);
	setpgid(run->pid, run->pid);	/* also here: whoever is first */
	close(steal_fd(&run->out[1]));
	close(steal_fd(&run->err[1]));
	close(steal_fd(&run->failure[1]));
	run->pid_fd = (int)syscall(SYS_pidfd_open, run->pid, 0);
	if (run->pid_fd < 0)
		return error_set_errno(err, errno, "cannot watch process %d of %s", (int)run->pid, run->name);
	return 0;
}

/* Takes what is there. Closes the descriptor at its end. */
static int output_take(struct running *run, int *fd, struct buf *buf, struct error *err)
{
	size_t limit = run->options->output_limit ? run->options->output_limit : OUTPUT_LIMIT;
	char chunk[16384];

	while (*fd >= 0) {
		ssize_t n = read(*fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return error_set_errno(err, errno, "cannot read the output of %s", run->name);
		if (n == 0) {
			close(steal_fd(fd));
			return 0;
		}
		if ((size_t)n > limit - buf->n)
			return error_set(err, ERROR_FAILED, "%s wrote more than the limit of %zu bytes", run->name, limit);
		buf_add(buf, chunk, (size_t)n);
	}
	return 0;
}

static int outputs_take(struct running *run, struct error *err)
{
	if (output_take(run, &run->out[0], &run->output, err) < 0 || output_take(run, &run->err[0], &run->errors, err) < 0)
		return -1;
	if (run->failure[0] >= 0) {
		struct child_failure failure;
		ssize_t n = read(run->failure[0], &failure, sizeof(failure));

		if (n == sizeof(failure)) {
			run->failed = failure;
			run->has_failed = true;
		}
		if (n >= 0)
			close(steal_fd(&run->failure[0]));
	}
	return 0;
}

static int poll_timeout(int64_t end_ms)
{
	int64_t left;

	if (end_ms < 0)
		return -1;
	left = end_ms - clock_monotonic_ns(&clock_system) / 1000000;
	return (int)MIN(MAX(left, (int64_t)0), (int64_t)INT32_MAX);
}

static int running_watch(struct running *run, struct error *err)
{
	int64_t timeout = run->options->timeout_ms;
	int64_t end_ms = timeout > 0 ? clock_monotonic_ns(&clock_system) / 1000000 + timeout : -1;

	for (;;) {
		struct pollfd fds[] = {
			{ .fd = run->pid_fd, .events = POLLIN },
			{ .fd = run->out[0], .events = POLLIN },	/* poll passes by what is negative */
			{ .fd = run->err[0], .events = POLLIN },
			{ .fd = run->failure[0], .events = POLLIN },
		};
		int n = poll(fds, ARRAY_LEN(fds), poll_timeout(end_ms));

		if (n < 0 && errno != EINTR)
			return error_set_errno(err, errno, "cannot wait for %s", run->name);
		if (n < 0)
			continue;
		if (outputs_take(run, err) < 0)
			return -1;
		if (fds[0].revents)
			return outputs_take(run, err);	/* what it wrote between the two */
		if (n == 0 || (end_ms >= 0 && poll_timeout(end_ms) == 0)) {
			error_set(err, ERROR_FAILED, "%s took longer than %lld ms and was stopped", run->name, (long long)timeout);
			err->retryable = true;
			return -1;
		}
	}
}

static int running_reap(struct running *run, struct error *err)
{
	pid_t pid;

	do {
		pid = waitpid(run->pid, &run->wait_status, 0);
	} while (pid < 0 && errno == EINTR);
	if (pid < 0)
		return error_set_errno(err, errno, "cannot learn how %s ended", run->name);
	return 0;
}

static int failure_tell(const struct running *run, struct error *err)
{
	int errnum = run->failed.errnum;

	switch (run->failed.stage) {
	case STAGE_NETNS:
		return error_set_errno(err, errnum, "cannot enter the network namespace for %s", run->name);
	case STAGE_CALLBACK:
		return error_set_errno(err, errnum ? errnum : EINVAL, "cannot prepare the process of %s", run->name);
	case STAGE_EXEC:
		return error_set_errno(err, errnum, "cannot run %s", run->program);
	case STAGE_SETUP:
		break;
	}
	return error_set_errno(err, errnum ? errnum : ESRCH, "cannot set up the process of %s", run->name);
}

int proc_run(const struct proc_options *options, struct proc_result *ret, struct error *err)
{
	CLEANUP(running_clear) struct running run = {
		.options = options,
		.name = options->argv[0],
		.input = -1, .out = { -1, -1 }, .err = { -1, -1 }, .failure = { -1, -1 }, .pid_fd = -1,
	};

	if (running_prepare(&run, err) < 0)
		return -1;
	if (running_start(&run, err) < 0 || running_watch(&run, err) < 0) {
		if (run.pid > 0) {
			struct error ignored;

			/* not reaped yet, so neither number can be another's */
			kill(-run.pid, SIGKILL);
			kill(run.pid, SIGKILL);
			if (running_reap(&run, &ignored) < 0)
				return -1;
		}
		return -1;
	}
	if (running_reap(&run, err) < 0)
		return -1;
	if (run.has_failed)
		return failure_tell(&run, err);
	ret->status = WIFSIGNALED(run.wait_status) ? 128 + WTERMSIG(run.wait_status) : WEXITSTATUS(run.wait_status);
	ret->output_n = run.output.n;
	ret->output = buf_steal(&run.output);
	ret->errors = buf_steal(&run.errors);
	return 0;
}

void proc_result_clear(struct proc_result *result)
{
	free(result->output);
	free(result->errors);
	*result = (struct proc_result){ 0 };
}

/* The last line that says something, in place. */
static const char *last_line(char *text)
{
	size_t n = strlen(text);
	char *start;

	while (n && strchr(" \t\r\n", text[n - 1]))
		n--;
	text[n] = '\0';
	start = strrchr(text, '\n');
	return start ? start + 1 : text;
}

int proc_check(const struct proc_options *options, char **ret_output, struct error *err)
{
	CLEANUP(proc_result_clear) struct proc_result result = { 0 };

	if (proc_run(options, &result, err) < 0)
		return -1;
	if (result.status != 0) {
		const char *line = last_line(result.errors);

		if (*line)
			return error_set(err, ERROR_FAILED, "%s failed with status %d: %s", options->argv[0], result.status, line);
		return error_set(err, ERROR_FAILED, "%s failed with status %d", options->argv[0], result.status);
	}
	if (ret_output)
		*ret_output = steal(&result.output);
	return 0;
}

/* Field 3 (state) and 22 (starttime) of /proc/PID/stat; the name in field 2 may hold anything, so count from its last ')'. */
static int stat_read(pid_t pid, char *ret_state, uint64_t *ret_ticks, struct error *err)
{
	autofree char *text = NULL;
	unsigned long long ticks;
	char path[64], *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (fs_read_file(path, 8192, &text, NULL, err) < 0)
		return -1;
	p = strrchr(text, ')');
	if (!p || sscanf(p + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", ret_state, &ticks) != 2)
		return error_set(err, ERROR_FAILED, "%s does not look like proc_pid_stat(5)", path);
	*ret_ticks = ticks;
	return 0;
}

bool proc_alive(pid_t pid, uint64_t start_ticks)
{
	struct error ignored;
	uint64_t ticks;
	char state;

	return pid > 0 && stat_read(pid, &state, &ticks, &ignored) == 0 && ticks == start_ticks && state != 'Z' && state != 'X';
}

int proc_start_ticks(pid_t pid, uint64_t *ret, struct error *err)
{
	char state;

	return stat_read(pid, &state, ret, err);
}
