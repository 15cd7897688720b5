/* SPDX-License-Identifier: Apache-2.0 */
#include "exec_relay.h"

#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * How it works: one loop waits for the end of the process, signals, input of the caller and output of the command. Output is written at once,
 * waiting when the caller is slow; input waits in a buffer until the command takes it, so that a command which
 * writes before it reads is never stuck.
 */

static const int handed_on[] = { SIGINT, SIGTERM, SIGHUP };

static void end_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void exec_relay_clear(struct exec_relay *relay)
{
	if (!relay->active)
		return;
	for (size_t i = 0; i < RELAY_STREAMS; i++) {
		end_close(&relay->inner[i]);
		end_close(&relay->ours[i]);
	}
	if (relay->signals >= 0) {
		struct signalfd_siginfo info;

		while (read(relay->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))	/* none is left to act later */
			;
		end_close(&relay->signals);
		sigaction(SIGPIPE, &relay->pipe, NULL);
		sigprocmask(SIG_SETMASK, &relay->mask, NULL);
	}
	free(relay->waiting);
	relay->active = false;
}

static int pipe_make(struct exec_relay *relay, size_t stream, uid_t owner, gid_t group, struct error *err)
{
	bool input = stream == 0;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "cannot make a pipe");
	relay->inner[stream] = ends[input ? 0 : 1];
	relay->ours[stream] = ends[input ? 1 : 0];
	if (fchown(ends[0], owner, group) < 0)
		return error_set_errno(err, errno, "cannot give a pipe its owner");
	if (fcntl(relay->ours[stream], F_SETFL, O_NONBLOCK) < 0)
		return error_set_errno(err, errno, "cannot set up a pipe");
	return 0;
}

static int signals_open(struct exec_relay *relay, struct error *err)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(handed_on); i++)
		sigaddset(&set, handed_on[i]);
	relay->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (relay->signals < 0)
		return error_set_errno(err, errno, "cannot wait for signals");
	sigprocmask(SIG_BLOCK, &set, &relay->mask);
	sigaction(SIGPIPE, &ignore, &relay->pipe);
	return 0;
}

int exec_relay_open(struct exec_relay *relay, const int outer[static RELAY_STREAMS], bool input, uid_t owner, gid_t group, struct error *err)
{
	*relay = (struct exec_relay){ .signals = -1, .active = true };
	for (size_t i = 0; i < RELAY_STREAMS; i++) {
		relay->inner[i] = relay->ours[i] = -1;
		relay->outer[i] = outer[i];
	}
	for (size_t i = input ? 0 : 1; i < RELAY_STREAMS; i++)
		if (pipe_make(relay, i, owner, group, err) < 0)
			return -1;
	if (!input && (relay->inner[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
		return error_set_errno(err, errno, "cannot open /dev/null");
	relay->waiting = xmalloc(RELAY_BUFFER);
	return signals_open(relay, err);
}

/* False when nobody takes it any more. */
static bool all_written(int fd, const char *data, size_t n)
{
	while (n) {
		ssize_t done = write(fd, data, n);
		struct pollfd slow = { .fd = fd, .events = POLLOUT };

		if (done < 0 && errno == EAGAIN)
			poll(&slow, 1, -1);
		else if (done < 0 && errno != EINTR)
			return false;
		data += done < 0 ? 0 : done;
		n -= done < 0 ? 0 : (size_t)done;
	}
	return true;
}

/* One piece of output, of at most `limit` bytes; how many there were. */
static size_t output_move(struct exec_relay *relay, size_t stream, size_t limit)
{
	char data[RELAY_BUFFER];
	ssize_t n = read(relay->ours[stream], data, MIN(limit, sizeof(data)));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0 || !all_written(relay->outer[stream], data, (size_t)n)) {
		end_close(&relay->ours[stream]);	/* the command gets SIGPIPE, as it would without us */
		return 0;
	}
	return (size_t)n;
}

static void input_move(struct exec_relay *relay)
{
	ssize_t n;

	if (!relay->waiting_n) {
		n = read(relay->outer[0], relay->waiting, RELAY_BUFFER);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			return;
		if (n <= 0) {
			end_close(&relay->ours[0]);
			return;
		}
		relay->waiting_at = 0;
		relay->waiting_n = (size_t)n;
	}
	n = write(relay->ours[0], relay->waiting + relay->waiting_at, relay->waiting_n);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		relay->waiting_n = 0;
		end_close(&relay->ours[0]);
	} else if (n > 0) {
		relay->waiting_at += (size_t)n;
		relay->waiting_n -= (size_t)n;
	}
}

static void signals_pass(struct exec_relay *relay, pid_t pid)
{
	struct signalfd_siginfo info;

	while (read(relay->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		kill(pid, (int)info.ssi_signo);
}

/* What is in the pipes now; whatever comes later is of processes that were left behind. */
static void output_drain(struct exec_relay *relay)
{
	for (size_t i = 1; i < RELAY_STREAMS; i++) {
		int left = 0;
		size_t n;

		if (relay->ours[i] < 0 || ioctl(relay->ours[i], FIONREAD, &left) < 0)
			continue;
		while (left > 0 && (n = output_move(relay, i, (size_t)left)) > 0)
			left -= (int)n;
	}
}

int exec_relay_run(struct exec_relay *relay, pid_t pid, int *ret_status, struct error *err)
{
	autofd int process = (int)syscall(SYS_pidfd_open, pid, 0);
	int status;

	for (size_t i = 0; i < RELAY_STREAMS; i++)
		end_close(&relay->inner[i]);
	while (process >= 0) {
		bool waits = relay->waiting_n > 0, input = relay->ours[0] >= 0;
		struct pollfd fds[] = {
			{ .fd = process, .events = POLLIN },
			{ .fd = relay->signals, .events = POLLIN },
			{ .fd = relay->ours[1], .events = POLLIN },
			{ .fd = relay->ours[2], .events = POLLIN },
			{ .fd = !input ? -1 : waits ? relay->ours[0] : relay->outer[0], .events = waits ? POLLOUT : POLLIN },
		};

		if (poll(fds, ARRAY_LEN(fds), -1) < 0)
			continue;
		if (fds[1].revents)
			signals_pass(relay, pid);
		for (size_t i = 1; i < RELAY_STREAMS; i++)
			if (fds[i + 1].revents)
				output_move(relay, i, RELAY_BUFFER);
		if (fds[4].revents)
			input_move(relay);
		if (fds[0].revents)
			break;
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set_errno(err, errno, "cannot wait for process %d", (int)pid);
	output_drain(relay);
	*ret_status = status;
	return 0;
}
