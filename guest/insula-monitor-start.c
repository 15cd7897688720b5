/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor.h"
#include "program.h"
#include "protocol.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * How it works: a child joins the instance's cgroup and becomes the OCI runtime, which makes the container and goes. So everything that
 * comes of it, half-made or whole, is found and killed by the cgroup, whoever dies in between. runc insists on
 * moving the container itself, to the same path, and is tied to the monitor's life instead.
 */

#define FD_ABOVE 16		/* descriptors to hand over are kept above those they go to */
#define TREE_DEPTH 8

/* Of the child, before the runtime takes its place. */
#define STATUS_NOT_JOINED 101
#define STATUS_NOT_RUN 102
#define STATUS_NOT_WANTED 103

struct handed { int null, out, log, exit; };

static bool is_runc(const struct conf *conf)
{
	return !strcmp(conf->runtime, "runc");
}

static void tree_remove(int dir, const char *name, int depth)
{
	int fd = depth > TREE_DEPTH ? -1 : openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (stream && (entry = readdir(stream))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (unlinkat(fd, entry->d_name, 0) < 0 && (errno == EISDIR || errno == EPERM))
			tree_remove(fd, entry->d_name, depth + 1);
	}
	if (stream)
		closedir(stream);
	else if (fd >= 0)
		close(fd);
	unlinkat(dir, name, AT_REMOVEDIR);
}

static int open_above(const char *dir, const char *name, int flags)
{
	char path[PATH_LIMIT];
	int fd, above;

	if (!path_make(path, dir, name)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -1;
	above = fcntl(fd, F_DUPFD_CLOEXEC, FD_ABOVE);
	close(fd);
	return above;
}

static void handed_close(struct handed *handed)
{
	close(handed->null);
	close(handed->out);
	close(handed->log);
	close(handed->exit);
}

static int handed_open(const struct conf *conf, struct handed *handed, struct why *why)
{
	handed->null = open_above("/dev", "null", O_RDWR);
	handed->log = open_above(conf->dir, FILE_FIFO, O_RDWR);	/* first: then opening it for writing does not wait */
	handed->out = open_above(conf->dir, FILE_FIFO, O_WRONLY);
	handed->exit = open_above(conf->dir, FILE_EXIT, O_RDWR | O_CREAT | O_TRUNC);
	if (handed->null >= 0 && handed->log >= 0 && handed->out >= 0 && handed->exit >= 0)
		return 0;
	why_errno(why, "cannot open what the container inherits");
	handed_close(handed);
	return -1;
}

/* program_open, above the descriptors that are handed over; -1 as there. */
static int program_open_above(const char *path)
{
	int tree = program_open(path), above = tree < 0 ? -1 : fcntl(tree, F_DUPFD_CLOEXEC, FD_ABOVE);

	if (tree >= 0)
		close(tree);
	return above;
}

static void runtime_exec(const struct conf *conf, int program)
{
	static char path_env[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char root[PATH_LIMIT], bundle[PATH_LIMIT], pid[PATH_LIMIT], log[PATH_LIMIT], preserve[16];
	char *crun[] = { conf->runtime, "--cgroup-manager=disabled", "--root", root, "--log", log, "run", "--detach",
			 "--preserve-fds", preserve, "--pid-file", pid, "--bundle", bundle, CONTAINER_ID, NULL };
	char *runc[] = { conf->runtime, "--root", root, "--log", log, "run", "--detach", "--preserve-fds", preserve,
			 "--pid-file", pid, "--bundle", bundle, CONTAINER_ID, NULL };
	char *env[] = { path_env, NULL }, **argv = is_runc(conf) ? runc : crun;

	path_make(root, conf->dir, DIR_STATE);
	path_make(bundle, conf->dir, DIR_BUNDLE);
	path_make(pid, conf->dir, FILE_PID);
	path_make(log, conf->dir, FILE_RUNTIME_LOG);
	snprintf(preserve, sizeof(preserve), "%d", INIT_FD_COUNT);
	if (program >= 0)
		syscall(SYS_execveat, program, "", argv, env, AT_EMPTY_PATH);
	execve(conf->program, argv, env);
}

/* Joining costs the kernel some 10 ms of waiting; meanwhile the monitor makes the mounts, which this process shares. */
static void child_run(const struct conf *conf, const struct handed *handed, int secrets, int program, int go) __attribute__((noreturn));
static void child_run(const struct conf *conf, const struct handed *handed, int secrets, int program, int go)
{
	sigset_t none;
	char byte;

	if (!is_runc(conf) && group_join(&conf->groups) < 0)
		_exit(STATUS_NOT_JOINED);
	prctl(PR_SET_PDEATHSIG, is_runc(conf) ? SIGKILL : 0);
	if (read(go, &byte, 1) != 1)
		_exit(STATUS_NOT_WANTED);
	dup2(handed->null, 0);
	dup2(handed->out, 1);
	dup2(handed->out, 2);
	dup2(handed->log, INIT_FD_LOG);
	dup2(handed->exit, INIT_FD_EXIT);
	dup2(secrets >= 0 ? secrets : handed->null, INIT_FD_SECRETS);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	runtime_exec(conf, program);
	_exit(STATUS_NOT_RUN);
}

/* The runtime's own words: the last line of its log. */
static int why_runtime(const struct conf *conf, int status, struct why *why)
{
	char path[PATH_LIMIT], text[8192], *line = text;
	ssize_t n = path_make(path, conf->dir, FILE_RUNTIME_LOG) ? file_read(path, text, sizeof(text)) : -1;

	if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_NOT_JOINED)
		return why_set(why, "cannot join the instance's control group");
	if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_NOT_RUN)
		return why_set(why, "cannot run %s", conf->program);
	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	if (n <= 0)
		return why_set(why, "%s ended with status 0x%x and said nothing", conf->runtime, (unsigned)status);
	for (char *p = text; *p; p++)
		if (*p == '\n')
			line = p + 1;
	return why_set(why, "%s: %s", conf->runtime, line);
}

/* Waits for the runtime; kills it when it takes too long. */
static int runtime_wait(const struct conf *conf, pid_t pid, struct why *why)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0), status = 0;
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	bool late = fd < 0 || poll(&poll_fd, 1, (int)conf->start_ms) == 0;

	if (late && fd >= 0)
		kill(pid, SIGKILL);
	if (fd >= 0)
		close(fd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (late)
		return why_set(why, "%s took longer than %lld ms to make the container", conf->runtime, (long long)conf->start_ms);
	return status ? why_runtime(conf, status, why) : 0;
}

int container_prepare(const struct conf *conf, int secrets, struct starting *ret, struct why *why)
{
	struct handed handed;
	char path[PATH_LIMIT];
	int go[2], program;

	tree_remove(AT_FDCWD, path_make(path, conf->dir, DIR_STATE) ? path : "", 0);
	if (path_make(path, conf->dir, FILE_RUNTIME_LOG))
		unlink(path);
	if (handed_open(conf, &handed, why) < 0)
		return -1;
	program = program_open_above(conf->program);
	if (pipe2(go, O_CLOEXEC) < 0) {
		handed_close(&handed);
		close(program);
		return why_errno(why, "cannot make a pipe");
	}
	ret->pid = fork();
	if (!ret->pid) {
		close(go[1]);
		child_run(conf, &handed, secrets, program, go[0]);
	}
	handed_close(&handed);
	close(program);
	close(go[0]);
	ret->go = go[1];
	if (ret->pid < 0) {
		close(go[1]);
		return why_errno(why, "cannot fork");
	}
	return 0;
}

void container_abandon(struct starting *starting)
{
	close(starting->go);
	while (waitpid(starting->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

int container_start(const struct conf *conf, struct starting *starting, pid_t *ret_pid, struct why *why)
{
	char path[PATH_LIMIT];
	int64_t pid;
	ssize_t written = write(starting->go, "", 1);

	close(starting->go);
	if (runtime_wait(conf, starting->pid, why) < 0)
		return -1;
	if (written != 1 || !path_make(path, conf->dir, FILE_PID) || (pid = file_number(path)) <= 0)
		return why_set(why, "%s wrote no pid", conf->runtime);
	*ret_pid = (pid_t)pid;
	return 0;
}
