/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "guest/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * How it works: whoever holds <dir>/lock is the instance's monitor, and its pid stands in that file. The status file
 * says what the monitor knew last; when it has died since, the pid of init, guarded by its start time, and the exit file tell the rest.
 */

#define LAUNCH_TIMEOUT_MS 120000
#define HELD_WAIT_MS 60000
#define KILLED_WAIT_MS 10000

void monitor_conf_add(struct buf *conf, const char *key, const char *value)
{
	if (!value)
		return;
	buf_addf(conf, "%s=", key);
	for (const char *p = value; *p; p++) {
		if (*p == '\n')
			buf_adds(conf, "\\n");
		else if (*p == '\\')
			buf_adds(conf, "\\\\");
		else
			buf_addc(conf, *p);
	}
	buf_addc(conf, '\n');
}

void monitor_conf_add_int(struct buf *conf, const char *key, int64_t value)
{
	buf_addf(conf, "%s=%lld\n", key, (long long)value);
}

static bool lock_is_free(const char *dir)
{
	autofree char *path = fs_join(dir, FILE_LOCK);
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) == 0;
}

/* Another one has the lock: it is there, or starting, or has just died and will be gone in a moment. 1: it is gone, start again. */
static int held_wait(const char *dir, int64_t end, char **ret_state, struct error *err)
{
	for (;;) {
		struct monitor_status status;
		struct error missing;

		if (monitor_status(dir, &status, &missing) == 0 && status.watched && !streq(status.state, STATE_STARTING)) {
			*ret_state = xstrdup(status.state);
			return 0;
		}
		if (clock_monotonic_ns(&clock_system) / 1000000 > end) {
			error_set(err, ERROR_CONFLICT, "the monitor of %s does not say how its container is", dir);
			err->retryable = true;
			return -1;
		}
		if (lock_is_free(dir))
			return 1;
		clock_sleep_ms(&clock_system, 10);
	}
}

static int launch_once(const char *program, const char *dir, const struct secret *secrets, int64_t end, char **ret_state, struct error *err)
{
	const char *const argv[] = { program, dir, NULL };
	const struct proc_options options = {
		.argv = argv, .timeout_ms = LAUNCH_TIMEOUT_MS, .output_limit = 65536,
		.input = secrets && secrets->n ? secret_reveal(secrets) : NULL, .input_n = secrets ? secrets->n : 0,
	};
	CLEANUP(proc_result_clear) struct proc_result result = { 0 };
	char *text;

	if (proc_run(&options, &result, err) < 0)
		return -1;
	text = result.output;
	text[strcspn(text, "\n")] = '\0';
	if (starts_with(text, REPORT_OK " ")) {
		*ret_state = xstrdup(text + strlen(REPORT_OK " "));
		return 0;
	}
	if (starts_with(text, REPORT_HELD))
		return held_wait(dir, end, ret_state, err);
	if (starts_with(text, REPORT_FAILED " "))
		return error_set(err, ERROR_FAILED, "%s", text + strlen(REPORT_FAILED " "));
	return error_set(err, ERROR_FAILED, "%s ended with status %d and no report", program, result.status);
}

int monitor_launch(const char *program, const char *dir, const struct secret *secrets, char **ret_state, struct error *err)
{
	int64_t end = clock_monotonic_ns(&clock_system) / 1000000 + HELD_WAIT_MS;
	int r;

	do
		r = launch_once(program, dir, secrets, end, ret_state, err);
	while (r > 0);
	return r;
}

struct number { const char *name; size_t offset; };

static const struct number numbers[] = {
	{ "created_ms", offsetof(struct monitor_status, created_ms) },
	{ "started_ms", offsetof(struct monitor_status, started_ms) },
	{ "ended_ms", offsetof(struct monitor_status, ended_ms) },
	{ "exit", offsetof(struct monitor_status, exit) },
	{ "signal", offsetof(struct monitor_status, signal) },
	{ "restarts", offsetof(struct monitor_status, restarts) },
	{ "cpu_base", offsetof(struct monitor_status, cpu_base) },
	{ "memory_peak", offsetof(struct monitor_status, memory_peak) },
	{ "samples", offsetof(struct monitor_status, samples) },
};

struct status_ticks { int64_t monitor, init; };

static void status_line(const char *key, const char *value, struct monitor_status *status, struct status_ticks *ticks)
{
	int64_t number = strtoll(value, NULL, 10);

	if (streq(key, "state"))
		snprintf(status->state, sizeof(status->state), "%s", value);
	else if (streq(key, "reason"))
		snprintf(status->reason, sizeof(status->reason), "%s", value);
	else if (streq(key, "monitor"))
		status->monitor = (pid_t)number;
	else if (streq(key, "monitor_ticks"))
		ticks->monitor = number;
	else if (streq(key, "pid"))
		status->init = (pid_t)number;
	else if (streq(key, "ticks"))
		ticks->init = number;
	else if (streq(key, "oom"))
		status->oom = number != 0;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (streq(key, numbers[i].name))
			*(int64_t *)((char *)status + numbers[i].offset) = number;
}

int monitor_status_parse(const char *text, struct monitor_status *ret, int64_t *ret_monitor_ticks, int64_t *ret_init_ticks, struct error *err)
{
	struct monitor_status status = { .exit = -1, .signal = -1, .memory_peak = -1 };
	autofree char *copy = xstrdup(text);
	struct status_ticks ticks = { 0 };
	char *rest = copy, *line;

	while ((line = strsep(&rest, "\n"))) {
		char *value = strchr(line, '=');

		if (!value)
			continue;
		*value = '\0';
		status_line(line, value + 1, &status, &ticks);
	}
	if (!*status.state)
		return error_set(err, ERROR_FAILED, "the status of an instance has no state");
	*ret_monitor_ticks = ticks.monitor;
	*ret_init_ticks = ticks.init;
	*ret = status;
	return 0;
}

/* Nobody was there to write down how it ended. */
static void status_from_exit_file(const char *dir, struct monitor_status *status)
{
	autofree char *path = fs_join(dir, FILE_EXIT), *line = NULL;
	struct error ignored;
	char word[16];
	int number;

	snprintf(status->state, sizeof(status->state), "%s", STATE_EXITED);
	status->exit = status->signal = -1;
	if (fs_read_line(path, &line, &ignored) < 0 || sscanf(line, "%15s %d", word, &number) != 2) {
		status->signal = SIGKILL;
	} else if (streq(word, EXIT_WORD_STATUS)) {
		status->exit = number;
	} else if (streq(word, EXIT_WORD_SIGNAL)) {
		status->signal = number;
	} else {
		status->exit = number == ENOENT ? 127 : 126;
		snprintf(status->reason, sizeof(status->reason), "cannot run the command: %s", strerror(number));
	}
}

int monitor_status(const char *dir, struct monitor_status *ret, struct error *err)
{
	autofree char *path = fs_join(dir, FILE_STATUS), *text = NULL;
	struct monitor_status status;
	int64_t monitor_ticks, init_ticks;
	bool running;

	if (fs_read_file(path, STATUS_LIMIT, &text, NULL, err) < 0)
		return -1;
	if (monitor_status_parse(text, &status, &monitor_ticks, &init_ticks, err) < 0)
		return error_wrap(err, "%s", path);
	status.watched = proc_alive(status.monitor, (uint64_t)monitor_ticks);
	if (!status.watched)
		status.monitor = 0;
	if (!proc_alive(status.init, (uint64_t)init_ticks))
		status.init = 0;
	status.settled = streq(status.state, STATE_EXITED) || streq(status.state, STATE_FAILED) || streq(status.state, STATE_STOPPED);
	running = streq(status.state, STATE_RUNNING) || streq(status.state, STATE_STARTING);
	if (running && !status.watched && !status.init)
		status_from_exit_file(dir, &status);
	*ret = status;
	return 0;
}

/* The one in the lock file, as a pidfd; -1: there is none. Whoever has its number now, but not the lock, is not meant: the caller holds no lock yet, so look again behind it. */
static int holder_open(const char *lock)
{
	int64_t pid;
	struct error ignored;

	if (fs_read_int(lock, &pid, &ignored) < 0 || pid <= 1 || pid > INT32_MAX || pid == getpid())
		return -1;
	return (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
}

static bool is_monitor(const char *lock)
{
	autofree char *path = NULL, *name = NULL;
	struct error ignored;
	int64_t pid;

	if (fs_read_int(lock, &pid, &ignored) < 0)
		return false;
	path = xasprintf("/proc/%lld/comm", (long long)pid);
	return fs_read_line(path, &name, &ignored) == 0 && starts_with(name, "insula-monitor");
}

int monitor_stop(const char *dir, int64_t wait_ms, int *ret_lock, struct error *err)
{
	autofree char *path = fs_join(dir, FILE_LOCK);
	static const int signals[] = { SIGTERM, SIGKILL };

	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		autofd int holder = -1;
		struct pollfd fd;

		if (fs_lock(path, 0, ret_lock, err) == 0)
			return 0;
		if (!err->retryable)
			return -1;
		holder = holder_open(path);
		if (holder < 0 || !is_monitor(path))
			break;
		syscall(SYS_pidfd_send_signal, holder, signals[i], NULL, 0);
		fd = (struct pollfd){ .fd = holder, .events = POLLIN };
		poll(&fd, 1, (int)(i ? KILLED_WAIT_MS : wait_ms));
	}
	/* it may just be starting and not have written its number yet, or be another command that looks */
	return fs_lock(path, KILLED_WAIT_MS, ret_lock, err);
}
