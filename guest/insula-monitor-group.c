/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor.h"
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * How it works: the site has made the group; its folders come from the conf. Lists of processes are read in pieces,
 * because a fork bomb's is long. An instance's group has no groups below it.
 */

#define KILL_WAIT_MS 10000
#define PIECE 4096

int group_join(const struct strings *groups)
{
	char path[PATH_LIMIT];

	for (size_t i = 0; i < groups->n; i++)
		if (!path_make(path, groups->items[i], "cgroup.procs") || file_write(path, "0") < 0)
			return -1;
	return 0;
}

/* Calls for each pid of one folder's list until it says true; whether it did. */
static bool procs_each(const char *dir, bool (*each)(void *arg, pid_t pid), void *arg)
{
	char path[PATH_LIMIT], piece[PIECE];
	long pid = -1;
	bool stop = false;
	ssize_t n;
	int fd;

	if (!path_make(path, dir, "cgroup.procs"))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	while (!stop && (n = read(fd, piece, sizeof(piece))) > 0)
		for (ssize_t i = 0; i < n && !stop; i++) {
			if (piece[i] >= '0' && piece[i] <= '9') {
				pid = (pid < 0 ? 0 : pid * 10) + (piece[i] - '0');
			} else if (pid >= 0) {
				stop = each(arg, (pid_t)pid);
				pid = -1;
			}
		}
	close(fd);
	return stop;
}

static bool any(void *arg, pid_t pid)
{
	(void)arg;
	(void)pid;
	return true;
}

bool group_empty(const struct conf *conf)
{
	for (size_t i = 0; i < conf->groups.n; i++)
		if (procs_each(conf->groups.items[i], any, NULL))
			return false;
	return true;
}

static bool kill_one(void *arg, pid_t pid)
{
	(void)arg;
	if (pid > 1 && pid != getpid())
		kill(pid, SIGKILL);
	return false;
}

static void kill_pass(const struct conf *conf)
{
	for (size_t i = 0; i < conf->groups.n; i++)
		procs_each(conf->groups.items[i], kill_one, NULL);
}

static void freezer_set(const struct conf *conf, const char *state)
{
	char path[PATH_LIMIT];

	if (conf->freezer && path_make(path, conf->freezer, "freezer.state"))
		file_write(path, state);
}

int group_kill(const struct conf *conf)
{
	int64_t end = now_ms() + KILL_WAIT_MS;
	char path[PATH_LIMIT];
	unsigned pause_us = 500;

	while (!group_empty(conf)) {
		if (now_ms() > end) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (pause_us == 500) {
			if (conf->unified && path_make(path, conf->unified, "cgroup.kill"))
				file_write(path, "1");
			kill_pass(conf);
		} else {	/* frozen, it cannot fork away; the signal waits until it is thawed */
			freezer_set(conf, "FROZEN");
			kill_pass(conf);
			freezer_set(conf, "THAWED");
		}
		usleep(pause_us);
		pause_us = pause_us < 50000 ? pause_us * 2 : pause_us;
	}
	return 0;
}

/* Is it PID 1 of a pid namespace, and our init? */
static bool is_init(void *arg, pid_t pid)
{
	char path[64], text[4096], *line;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (file_read(path, text, sizeof(text)) <= 0 || strncmp(text, "Name:\t" INIT_NAME "\n", strlen("Name:\t" INIT_NAME "\n")))
		return false;
	line = strstr(text, "\nNSpid:");
	if (!line)
		return false;
	line++;
	line[strcspn(line, "\n")] = '\0';
	line = strrchr(line, '\t');
	if (!line || strcmp(line, "\t1"))
		return false;
	*(pid_t *)arg = pid;
	return true;
}

pid_t group_find_init(const struct conf *conf)
{
	pid_t pid = 0;

	for (size_t i = 0; i < conf->groups.n; i++)
		if (procs_each(conf->groups.items[i], is_init, &pid))
			return pid;
	return 0;
}

static int64_t number_at(const char *dir, const char *name)
{
	char path[PATH_LIMIT];

	return dir && path_make(path, dir, name) ? file_number(path) : -1;
}

/* The number behind `name ` at the start of a line. */
static int64_t keyed_at(const char *dir, const char *name, const char *key)
{
	char path[PATH_LIMIT], text[4096];
	size_t n = strlen(key);

	if (!dir || !path_make(path, dir, name) || file_read(path, text, sizeof(text)) < 0)
		return -1;
	for (char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, n) && line[n] == ' ')
			return strtoll(line + n + 1, NULL, 10);
	}
	return -1;
}

int64_t group_cpu_ns(const struct conf *conf)
{
	int64_t us;

	if (conf->cpu_v1)
		return number_at(conf->cpu_v1, "cpuacct.usage");
	us = keyed_at(conf->cpu_v2, "cpu.stat", "usage_usec");
	return us < 0 ? -1 : us * 1000;
}

int64_t group_memory(const struct conf *conf)
{
	return conf->memory_v1 ? number_at(conf->memory_v1, "memory.usage_in_bytes") : number_at(conf->memory_v2, "memory.current");
}

int64_t group_memory_peak(const struct conf *conf)
{
	return conf->memory_v1 ? number_at(conf->memory_v1, "memory.max_usage_in_bytes") : number_at(conf->memory_v2, "memory.peak");
}

void group_memory_peak_reset(const struct conf *conf)
{
	char path[PATH_LIMIT];

	if (conf->memory_v1 && path_make(path, conf->memory_v1, "memory.max_usage_in_bytes"))
		file_write(path, "0");
}

int64_t group_oom_kills(const struct conf *conf)
{
	return conf->memory_v1 ? keyed_at(conf->memory_v1, "memory.oom_control", "oom_kill") : keyed_at(conf->memory_v2, "memory.events", "oom_kill");
}

int group_oom_event(const struct conf *conf)
{
	char path[PATH_LIMIT], text[32];
	int control, event;

	if (!conf->memory_v1 || !path_make(path, conf->memory_v1, "memory.oom_control"))
		return -1;
	control = open(path, O_RDONLY | O_CLOEXEC);
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	snprintf(text, sizeof(text), "%d %d", event, control);
	if (control >= 0 && event >= 0 && path_make(path, conf->memory_v1, "cgroup.event_control") && file_write(path, text) == 0) {
		close(control);
		return event;
	}
	close(control);
	close(event);
	return -1;
}
