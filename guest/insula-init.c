/* SPDX-License-Identifier: Apache-2.0 */
/*
 * insula-init: PID 1 of a container.
 *
 * How it works: it starts the one command it was given, hands on every signal that it gets to the
 * command's process group, reaps whatever is orphaned, and ends as the command ends; then the kernel kills all
 * that is left in the pid namespace. Before that it writes into the exit file how the command ended,
 * so that this is known even when no monitor lives.
 *
 * It keeps the log FIFO open for reading and writing. Nobody reads through it; but while it lives, a writer never gets
 * SIGPIPE, and what is written stays in the FIFO until the next monitor comes. At the end it kills all that is left, and waits until
 * the FIFO is empty.
 *
 * The command must not reach these descriptors through /proc/1/fd, nor the secrets through
 * /proc/1/mem: init is not dumpable, so that the kernel wants CAP_SYS_PTRACE for that, which nobody in a container has. The secrets are
 * read in the child alone, just before the command takes its place.
 */
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND 127

extern char **environ;

static void exit_write(const char *word, int number)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%s %d\n", word, number);

	if (pwrite(INIT_FD_EXIT, text, (size_t)n, 0) == n)
		fsync(INIT_FD_EXIT);
}

/* Adds the secrets to the environment. They are used in place: the mapping goes with exec. */
static int secrets_add(void)
{
	struct stat st;
	char *text, *end, **env;
	size_t have = 0, more = 0;

	if (fstat(INIT_FD_SECRETS, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return 0;
	text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, INIT_FD_SECRETS, 0);
	if (text == MAP_FAILED)
		return -1;
	end = text + st.st_size;
	if (end[-1] != '\0') {
		errno = EINVAL;
		return -1;
	}
	while (environ[have])
		have++;
	for (char *p = text; p < end; p += strlen(p) + 1)
		more++;
	env = calloc(have + more + 1, sizeof(*env));
	if (!env)
		return -1;
	memcpy(env, environ, have * sizeof(*env));
	for (char *p = text; p < end; p += strlen(p) + 1)
		env[have++] = p;
	environ = env;
	return 0;
}

static void command_exec(char **argv, int report)
{
	sigset_t none;
	int errnum;
	ssize_t ignored;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (secrets_add() == 0)
		execvp(argv[0], argv);
	errnum = errno;
	ignored = write(report, &errnum, sizeof(errnum));
	(void)ignored;
	_exit(errnum == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN);
}

/* The command's pid, or it has written why there is none and this does not return. */
static pid_t command_start(char **argv)
{
	int report[2], errnum = 0;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		exit_write(EXIT_WORD_EXEC, errno);
		_exit(EXIT_CANNOT_RUN);
	}
	if (!pid)
		command_exec(argv, report[1]);
	close(report[1]);
	close(INIT_FD_SECRETS);
	if (read(report[0], &errnum, sizeof(errnum)) == (ssize_t)sizeof(errnum)) {
		exit_write(EXIT_WORD_EXEC, errnum);
		_exit(errnum == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN);
	}
	close(report[0]);
	return pid;
}

/* Nothing but init is left; what was said last must not go with it when no monitor reads at the moment. */
static void end(int status)
{
	unsigned pause_us = 500;
	int waiting;

	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	while (ioctl(INIT_FD_LOG, FIONREAD, &waiting) == 0 && waiting > 0) {
		usleep(pause_us);
		pause_us = pause_us < 100000 ? pause_us * 2 : pause_us;
	}
	_exit(status);
}

/* Reaps all that can be; ends with the command when that is among them. */
static void reap(pid_t command)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != command)
			continue;
		if (WIFEXITED(status)) {
			exit_write(EXIT_WORD_STATUS, WEXITSTATUS(status));
			end(WEXITSTATUS(status));
		}
		exit_write(EXIT_WORD_SIGNAL, WTERMSIG(status));
		end(128 + WTERMSIG(status));
	}
}

int main(int argc, char **argv)
{
	sigset_t all;
	pid_t command;

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_NAME, INIT_NAME, 0, 0, 0);
	for (int fd = INIT_FD_LOG; fd < INIT_FD_LOG + INIT_FD_COUNT; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	argv++;
	if (argc > 1 && !strcmp(argv[0], "--"))
		argv++;
	if (!*argv) {
		exit_write(EXIT_WORD_EXEC, EINVAL);
		return EXIT_CANNOT_RUN;
	}
	/* Blocked signals reach even PID 1, which the kernel else shields from those it has no handler for. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	command = command_start(argv);
	for (;;) {
		int signum = sigwaitinfo(&all, NULL);

		if (signum == SIGCHLD)
			reap(command);
		else if (signum > 0 && kill(-command, signum) < 0)
			kill(command, signum);	/* it has no group of its own yet */
	}
}
