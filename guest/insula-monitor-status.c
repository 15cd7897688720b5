/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor.h"
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The status file: "key=value" lines, replaced whole. And what is written or read once a run: the usage record, the exit file. */

struct number { const char *name; size_t offset; };

static const struct number numbers[] = {
	{ "monitor", offsetof(struct status, monitor) },
	{ "monitor_ticks", offsetof(struct status, monitor_ticks) },
	{ "pid", offsetof(struct status, pid) },
	{ "ticks", offsetof(struct status, ticks) },
	{ "created_ms", offsetof(struct status, created_ms) },
	{ "started_ms", offsetof(struct status, started_ms) },
	{ "ended_ms", offsetof(struct status, ended_ms) },
	{ "exit", offsetof(struct status, exit) },
	{ "signal", offsetof(struct status, signal) },
	{ "oom", offsetof(struct status, oom) },
	{ "restarts", offsetof(struct status, restarts) },
	{ "backoff_ms", offsetof(struct status, backoff_ms) },
	{ "next_ms", offsetof(struct status, next_ms) },
	{ "cpu_base", offsetof(struct status, cpu_base) },
	{ "oom_base", offsetof(struct status, oom_base) },
	{ "memory_peak", offsetof(struct status, memory_peak) },
	{ "samples", offsetof(struct status, samples) },
	{ "memory_sum", offsetof(struct status, memory_sum) },
};

void status_reset(struct status *status)
{
	*status = (struct status){ .exit = -1, .signal = -1, .memory_peak = -1 };
}

static void text_set(char *to, size_t size, const char *from)
{
	size_t n = strlen(from);

	n = n < size ? n : size - 1;
	memcpy(to, from, n);
	to[n] = '\0';
}

static void pair_set(const char *line, const char *value, struct status *status)
{
	if (!strcmp(line, "state"))
		text_set(status->state, sizeof(status->state), value);
	else if (!strcmp(line, "reason"))
		text_set(status->reason, sizeof(status->reason), value);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (!strcmp(line, numbers[i].name))
			*(int64_t *)((char *)status + numbers[i].offset) = strtoll(value, NULL, 10);
}

int status_parse(char *text, struct status *ret)
{
	struct status status;

	status_reset(&status);
	for (char *line = text; *line;) {
		char *end = strchr(line, '\n'), *value;

		if (!end)
			break;
		*end = '\0';
		value = strchr(line, '=');
		if (value) {
			*value++ = '\0';
			pair_set(line, value, &status);
		}
		line = end + 1;
	}
	if (!*status.state) {
		errno = EINVAL;
		return -1;
	}
	*ret = status;
	return 0;
}

int status_read(const char *dir, struct status *ret)
{
	char path[PATH_LIMIT], text[STATUS_LIMIT];

	if (!path_make(path, dir, FILE_STATUS) || file_read(path, text, sizeof(text)) < 0)
		return -1;
	return status_parse(text, ret);
}

int status_write(const char *dir, const struct status *status)
{
	char path[PATH_LIMIT], text[STATUS_LIMIT], reason[sizeof(status->reason)];
	size_t n;

	if (!path_make(path, dir, FILE_STATUS))
		return -1;
	text_set(reason, sizeof(reason), status->reason);
	for (char *p = reason; *p; p++)
		if (*p == '\n')
			*p = ' ';
	n = (size_t)snprintf(text, sizeof(text), "state=%s\nreason=%s\n", status->state, reason);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s=%lld\n", numbers[i].name,
				      (long long)*(const int64_t *)((const char *)status + numbers[i].offset));
	return file_replace(path, text);
}

int usage_append(const struct conf *conf, const struct status *status, int64_t cpu_ns, int final)
{
	char text[1024];
	int fd = open(conf->usage, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640), n, done;

	if (fd < 0)
		return -1;
	n = snprintf(text, sizeof(text),
		     "{\"version\":1,\"key\":\"%s\",\"digest\":\"%s\",\"started\":%lld,\"ended\":%lld,\"cpu_ns\":%lld,\"memory_peak\":%lld,"
		     "\"memory_sum\":%lld,\"samples\":%lld,\"exit\":%lld,\"signal\":%lld,\"oom\":%s,\"restarts\":%lld,\"final\":%s}\n",
		     conf->key, conf->digest ? conf->digest : "", (long long)status->started_ms, (long long)status->ended_ms,
		     (long long)cpu_ns, (long long)status->memory_peak, (long long)status->memory_sum, (long long)status->samples,
		     (long long)status->exit, (long long)status->signal, status->oom ? "true" : "false", (long long)status->restarts,
		     final ? "true" : "false");
	done = n < (int)sizeof(text) && write(fd, text, (size_t)n) == n ? 0 : -1;
	close(fd);
	return done;
}

int exit_read(const char *dir, char word[16], int *ret_number)
{
	char path[PATH_LIMIT], text[64];

	if (!path_make(path, dir, FILE_EXIT) || file_read(path, text, sizeof(text)) <= 0)
		return -1;
	return sscanf(text, "%15s %d\n", word, ret_number) == 2 ? 0 : -1;
}
