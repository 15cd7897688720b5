/* SPDX-License-Identifier: Apache-2.0 */
/*
 * insula-monitor DIR: stands beside one instance for as long as that lives.
 *
 * How it works: the site starts it with the secrets on stdin and reads one line of report from stdout; by then the
 * container runs, or it is known why not. The first process only waits for that line; the monitor
 * is its child, in a session of its own and in the monitors' cgroup, so that it outlives the command that made it and the
 * tenant's limits do not reach it.
 *
 * All that it must remember is in the status file, so that another one can take over at any moment: it takes the lock, looks
 * whether the instance's cgroup still holds an init, and goes on from the state it finds. How a
 * container ended that nobody watched is told by the exit file, which init writes.
 *
 * One loop waits for: the end of init (a pidfd), bytes in the log's FIFO, a signal, the v1 out-of-memory event, and the
 * nearest of its times. SIGTERM means stop: the container gets SIGTERM, and SIGKILL when it has not ended in stop_ms.
 */
#include "monitor.h"
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_FULL 65536		/* a piece that large means that there is more than can be kept up with: */
#define LOG_PAUSE_MS 2		/* then pause, so that no tenant's log takes a core that is not its own */
#define OOM_WATCH_MS 2000	/* after the event; the kernel counts the victim a little later */
#define OOM_LOOK_MS 20
#define KILL_RETRY_MS 1000

struct monitor {
	struct conf conf;
	struct status status;
	struct log log;
	int report;		/* to the one who started us, or -1 when it has been told */
	int secrets, signals, init, oom;
	bool mounted, stopping, done;
	int64_t stop_at, sample_at, oom_until, log_at, start_at;	/* of now_ms(); 0: not set */
};

static void report(struct monitor *monitor, const char *word, const char *text)
{
	char line[320];
	int n = snprintf(line, sizeof(line), "%s %s\n", word, text);
	ssize_t ignored;

	if (monitor->report < 0)
		return;
	ignored = write(monitor->report, line, (size_t)(n < (int)sizeof(line) ? n : (int)sizeof(line) - 1));
	(void)ignored;
	close(monitor->report);
	monitor->report = -1;
}

static void state_set(struct monitor *monitor, const char *state, const char *reason)
{
	snprintf(monitor->status.state, sizeof(monitor->status.state), "%s", state);
	snprintf(monitor->status.reason, sizeof(monitor->status.reason), "%s", reason);
	status_write(monitor->conf.dir, &monitor->status);
}

static void final(struct monitor *monitor, const char *state, const char *reason)
{
	state_set(monitor, state, reason);
	if (!strcmp(state, STATE_FAILED))
		report(monitor, REPORT_FAILED, reason);
	else
		report(monitor, REPORT_OK, state);
	monitor->done = true;
}

static void sample(struct monitor *monitor)
{
	int64_t now = group_memory(&monitor->conf), peak = group_memory_peak(&monitor->conf);

	if (now >= 0) {
		monitor->status.memory_sum += now;
		monitor->status.samples++;
	}
	peak = peak > now ? peak : now;
	if (peak > monitor->status.memory_peak)
		monitor->status.memory_peak = peak;
}

/* From now on that init is watched. */
static void watch(struct monitor *monitor, pid_t pid)
{
	monitor->status.pid = pid;
	monitor->status.ticks = (int64_t)start_ticks(pid);
	monitor->init = (int)syscall(SYS_pidfd_open, pid, 0);
	monitor->oom = group_oom_event(&monitor->conf);
	monitor->sample_at = now_ms() + monitor->conf.sample_ms;
}

static void unwatch(struct monitor *monitor)
{
	if (monitor->init >= 0)
		close(monitor->init);
	if (monitor->oom >= 0)
		close(monitor->oom);
	monitor->init = monitor->oom = -1;
	monitor->sample_at = monitor->stop_at = monitor->oom_until = 0;
	monitor->status.pid = monitor->status.ticks = 0;
}

static void run_begin(struct monitor *monitor)
{
	struct status *status = &monitor->status;

	group_memory_peak_reset(&monitor->conf);
	status->started_ms = wall_ms();
	if (!status->created_ms)
		status->created_ms = status->started_ms;
	status->ended_ms = status->next_ms = 0;
	status->exit = status->signal = status->memory_peak = -1;
	status->oom = status->samples = status->memory_sum = 0;
	status->cpu_base = group_cpu_ns(&monitor->conf);
	status->oom_base = group_oom_kills(&monitor->conf);
	state_set(monitor, STATE_STARTING, "");
}

static int container_run(struct monitor *monitor, pid_t *ret_pid, struct why *why)
{
	struct starting starting;

	if (container_prepare(&monitor->conf, monitor->secrets, &starting, why) < 0)
		return -1;
	if (!monitor->mounted && root_mount(&monitor->conf, why) < 0) {
		container_abandon(&starting);
		return -1;
	}
	monitor->mounted = true;
	return container_start(&monitor->conf, &starting, ret_pid, why);
}

static void start(struct monitor *monitor)
{
	struct why why = { "" };
	pid_t pid;

	monitor->start_at = 0;
	if (group_kill(&monitor->conf) < 0) {
		final(monitor, STATE_FAILED, "processes of an earlier run do not die");
		return;
	}
	run_begin(monitor);
	if (container_run(monitor, &pid, &why) < 0) {
		group_kill(&monitor->conf);
		log_drain(&monitor->log, &monitor->conf);
		final(monitor, STATE_FAILED, why.text);
		return;
	}
	watch(monitor, pid);
	state_set(monitor, STATE_RUNNING, "");
	report(monitor, REPORT_OK, STATE_RUNNING);
}

/* How it ended, from what init wrote; what it could not write is a SIGKILL. */
static void end_find(struct monitor *monitor, char *exec_reason, size_t size)
{
	struct status *status = &monitor->status;
	char word[16];
	int number;

	*exec_reason = '\0';
	status->exit = status->signal = -1;
	if (exit_read(monitor->conf.dir, word, &number) < 0) {
		status->signal = SIGKILL;
	} else if (!strcmp(word, EXIT_WORD_STATUS)) {
		status->exit = number;
	} else if (!strcmp(word, EXIT_WORD_SIGNAL)) {
		status->signal = number;
	} else {
		status->exit = number == ENOENT ? 127 : 126;
		snprintf(exec_reason, size, "cannot run the command: %s", strerror(number));
	}
	if (status->oom_base >= 0 && group_oom_kills(&monitor->conf) > status->oom_base)
		status->oom = 1;
}

static bool wants_restart(const struct monitor *monitor)
{
	const struct status *status = &monitor->status;
	bool bad = status->exit != 0;	/* also -1: a signal */

	if (monitor->conf.restart == RESTART_NEVER || (monitor->conf.restart == RESTART_ON_FAILURE && !bad))
		return false;
	return monitor->conf.restart_max < 0 || status->restarts < monitor->conf.restart_max;
}

/* The pause doubles from one run to the next, and begins anew behind one that lasted. */
static void backoff(struct monitor *monitor, const char *reason)
{
	struct status *status = &monitor->status;
	const struct conf *conf = &monitor->conf;

	if (!status->backoff_ms || status->ended_ms - status->started_ms >= conf->backoff_reset_ms)
		status->backoff_ms = conf->backoff_first_ms;
	else
		status->backoff_ms = status->backoff_ms > conf->backoff_cap_ms / 2 ? conf->backoff_cap_ms : status->backoff_ms * 2;
	status->restarts++;
	status->next_ms = wall_ms() + status->backoff_ms;
	monitor->start_at = now_ms() + status->backoff_ms;
	state_set(monitor, STATE_BACKOFF, reason);
	report(monitor, REPORT_OK, STATE_BACKOFF);
}

/* The container has ended: nothing of it stays, its last words are kept, the run is accounted for. */
static void ended(struct monitor *monitor)
{
	struct status *status = &monitor->status;
	char reason[sizeof(status->reason)];
	int64_t cpu;
	bool again;

	if (group_kill(&monitor->conf) < 0) {
		monitor->stop_at = now_ms() + KILL_RETRY_MS;	/* something waits for a disk: try again */
		return;
	}
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	log_drain(&monitor->log, &monitor->conf);
	sample(monitor);
	end_find(monitor, reason, sizeof(reason));
	status->ended_ms = wall_ms();
	again = wants_restart(monitor);
	cpu = group_cpu_ns(&monitor->conf);
	usage_append(&monitor->conf, status, cpu >= 0 && status->cpu_base >= 0 ? cpu - status->cpu_base : -1, !monitor->stopping && !again && status->signal < 0);
	unwatch(monitor);
	if (status->oom)
		snprintf(reason, sizeof(reason), "out of memory");
	if (monitor->stopping)
		final(monitor, STATE_STOPPED, reason);
	else if (again)
		backoff(monitor, reason);
	else
		final(monitor, STATE_EXITED, reason);
}

static void stop(struct monitor *monitor)
{
	monitor->stopping = true;
	if (monitor->init < 0) {
		final(monitor, STATE_STOPPED, monitor->status.reason);
		return;
	}
	syscall(SYS_pidfd_send_signal, monitor->init, SIGTERM, NULL, 0);
	monitor->stop_at = now_ms() + monitor->conf.stop_ms;
}

/* Goes on from where the one before was. */
static void resume(struct monitor *monitor)
{
	const char *state = monitor->status.state;
	pid_t pid = group_find_init(&monitor->conf);
	char word[16];
	int number;

	if (pid) {
		if (!monitor->status.started_ms)
			run_begin(monitor);
		watch(monitor, pid);
		state_set(monitor, STATE_RUNNING, "");
		report(monitor, REPORT_OK, STATE_RUNNING);
	} else if (!strcmp(state, STATE_RUNNING) ||
		   (!strcmp(state, STATE_STARTING) && exit_read(monitor->conf.dir, word, &number) == 0)) {
		ended(monitor);
	} else if (!strcmp(state, STATE_BACKOFF)) {
		int64_t left = monitor->status.next_ms - wall_ms();

		if (left > monitor->conf.backoff_cap_ms)
			left = monitor->conf.backoff_cap_ms;	/* the wall clock was put back */
		monitor->start_at = now_ms() + (left > 0 ? left : 0);
		report(monitor, REPORT_OK, STATE_BACKOFF);
	} else if (!strcmp(state, STATE_EXITED)) {
		group_kill(&monitor->conf);
		report(monitor, REPORT_OK, STATE_EXITED);
		monitor->done = true;
	} else {
		start(monitor);
	}
}

static int64_t nearest(int64_t a, int64_t b)
{
	return !b || (a && a < b) ? a : b;
}

static int timeout(const struct monitor *monitor)
{
	int64_t at = nearest(nearest(monitor->stop_at, monitor->sample_at), nearest(monitor->start_at, monitor->log_at));
	int64_t left;

	if (monitor->oom_until)
		at = nearest(at, now_ms() + OOM_LOOK_MS);
	if (!at)
		return -1;
	left = at - now_ms();
	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

/* A kernel without group OOM kills one process and leaves the rest lame: so the whole instance goes. */
static void oom_look(struct monitor *monitor)
{
	if (group_oom_kills(&monitor->conf) > monitor->status.oom_base) {
		monitor->oom_until = 0;
		monitor->status.oom = 1;
		group_kill(&monitor->conf);
	} else if (now_ms() > monitor->oom_until) {
		monitor->oom_until = 0;
	}
}

static void times_look(struct monitor *monitor)
{
	int64_t now = now_ms();

	if (monitor->start_at && now >= monitor->start_at)
		start(monitor);
	if (monitor->sample_at && now >= monitor->sample_at) {
		sample(monitor);
		status_write(monitor->conf.dir, &monitor->status);
		monitor->sample_at = now + monitor->conf.sample_ms;
	}
	if (monitor->stop_at && now >= monitor->stop_at) {
		monitor->stop_at = now + KILL_RETRY_MS;
		group_kill(&monitor->conf);
	}
	if (monitor->oom_until)
		oom_look(monitor);
}

static void log_look(struct monitor *monitor)
{
	ssize_t n = log_move(&monitor->log, &monitor->conf);

	monitor->log_at = n >= LOG_FULL || n < 0 ? now_ms() + LOG_PAUSE_MS : 0;
}

static void signals_look(struct monitor *monitor)
{
	struct signalfd_siginfo info;

	while (!monitor->done && read(monitor->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo == SIGCHLD) {
			while (waitpid(-1, NULL, WNOHANG) > 0)	/* orphans: we are their subreaper */
				;
		} else if (!monitor->stopping) {
			stop(monitor);
		}
}

static void loop(struct monitor *monitor)
{
	while (!monitor->done) {
		bool log_waits = monitor->log_at != 0;
		struct pollfd fds[] = {
			{ .fd = monitor->signals, .events = POLLIN },
			{ .fd = monitor->init, .events = POLLIN },
			{ .fd = monitor->oom, .events = POLLIN },
			{ .fd = log_waits ? -1 : monitor->log.fifo, .events = POLLIN },
		};
		uint64_t events;

		if (poll(fds, ARRAY_LEN(fds), timeout(monitor)) < 0 && errno != EINTR)
			return;
		if (fds[2].revents && read(monitor->oom, &events, sizeof(events)) == (ssize_t)sizeof(events))
			monitor->oom_until = now_ms() + OOM_WATCH_MS;
		if (fds[3].revents || (log_waits && now_ms() >= monitor->log_at))
			log_look(monitor);
		times_look(monitor);
		if (fds[1].revents && monitor->init >= 0)
			ended(monitor);
		signals_look(monitor);
	}
}

static int lock_take(const char *dir)
{
	char path[PATH_LIMIT], text[32];
	int fd, n;

	if (!path_make(path, dir, FILE_LOCK))
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -1;
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	return ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n ? -1 : 0;	/* held until we end */
}

static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int prepare(struct monitor *monitor, const char *dir, struct why *why)
{
	char path[PATH_LIMIT];

	if (!path_make(path, dir, FILE_CONF))
		return why_set(why, "the path %s is too long", dir);
	if (conf_read(path, &monitor->conf, why) < 0)
		return -1;
	if (strcmp(monitor->conf.dir, dir))
		return why_set(why, "%s is of another folder", path);
	file_write("/proc/self/oom_score_adj", "-500");	/* where we may; the container gets its own value */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return why_errno(why, "cannot become a subreaper");
	monitor->signals = signals_open();
	if (monitor->signals < 0)
		return why_errno(why, "cannot wait for signals");
	if (root_release(&monitor->conf, why) < 0)
		return -1;
	return log_open(&monitor->log, &monitor->conf, why);
}

static int run(const char *dir, int secrets, int report_fd)
{
	struct monitor monitor = { .report = report_fd, .secrets = secrets, .signals = -1, .init = -1, .oom = -1 };
	struct why why = { "" };

	status_reset(&monitor.status);
	if (root_enter(&why) < 0) {
		report(&monitor, REPORT_FAILED, why.text);
		return 1;
	}
	if (lock_take(dir) < 0) {
		report(&monitor, errno == EWOULDBLOCK ? REPORT_HELD : REPORT_FAILED, errno == EWOULDBLOCK ? "" : strerror(errno));
		return 1;
	}
	if (prepare(&monitor, dir, &why) < 0) {
		report(&monitor, REPORT_FAILED, why.text);
		return 1;
	}
	status_read(dir, &monitor.status);
	monitor.status.monitor = getpid();
	monitor.status.monitor_ticks = (int64_t)start_ticks(getpid());
	resume(&monitor);
	/* not earlier: the container's process has just paid the wait that the kernel asks for this */
	if (group_join(&monitor.conf.homes) < 0 && !monitor.done)
		state_set(&monitor, monitor.status.state, "the monitor could not leave the control group that it was started in");
	loop(&monitor);
	return 0;
}

/* All of stdin into memory that cannot be changed any more, or -1 when it is empty; never on a disk. */
static int secrets_take(void)
{
	char piece[4096];
	size_t total = 0;
	int fd = -1, above;
	ssize_t n;

	while ((n = read(0, piece, sizeof(piece))) > 0 || (n < 0 && errno == EINTR)) {
		if (n < 0)
			continue;
		if (fd < 0)
			fd = memfd_create("insula-secrets", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		total += (size_t)n;
		if (fd < 0 || total > SECRETS_LIMIT || write(fd, piece, (size_t)n) != n)
			_exit(1);
	}
	explicit_bzero(piece, sizeof(piece));
	if (fd < 0)
		return -1;
	fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	above = fcntl(fd, F_DUPFD_CLOEXEC, 16);
	close(fd);
	return above;
}

/* Out of the starter's reach: its session, its terminal, its descriptors. */
static void detach(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	umask(0022);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

int main(int argc, char **argv)
{
	int pipe_fds[2], secrets;
	char line[512];
	ssize_t n, done;
	pid_t pid;

	if (argc != 2 || argv[1][0] != '/') {
		static const char usage[] = "usage: insula-monitor DIR (started by insula)\n";

		done = write(2, usage, sizeof(usage) - 1);
		return done < 0 ? 2 : 1;
	}
	secrets = secrets_take();
	if (chdir("/") < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		return 1;
	if (!pid) {
		close(pipe_fds[0]);
		detach();
		return run(argv[1], secrets, pipe_fds[1]);
	}
	close(pipe_fds[1]);
	n = read(pipe_fds[0], line, sizeof(line));
	if (n <= 0)
		n = snprintf(line, sizeof(line), REPORT_FAILED " the monitor died\n");
	done = write(1, line, (size_t)n);
	return done == n ? 0 : 1;
}
