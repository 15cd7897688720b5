/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include "fs.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static int64_t system_monotonic_ns(void *arg)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t system_wall_ms(void *arg)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void system_sleep_ns(void *arg, int64_t ns)
{
	struct timespec rest = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	if (ns <= 0)
		return;
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, &rest) == EINTR)
		;
}

const struct clock clock_system = {
	.monotonic_ns = system_monotonic_ns,
	.wall_ms = system_wall_ms,
	.sleep_ns = system_sleep_ns,
};

int64_t clock_monotonic_ns(const struct clock *clock)
{
	return clock->monotonic_ns(clock->arg);
}

int64_t clock_wall_ms(const struct clock *clock)
{
	return clock->wall_ms(clock->arg);
}

void clock_sleep_ms(const struct clock *clock, int64_t ms)
{
	clock->sleep_ns(clock->arg, ms * 1000000);
}

void clock_format(int64_t wall_ms, char text[static 32])
{
	int64_t ms = wall_ms % 1000;
	time_t seconds;
	struct tm tm;

	if (ms < 0)
		ms += 1000;
	seconds = (wall_ms - ms) / 1000;
	if (!gmtime_r(&seconds, &tm) || tm.tm_year > 9999 - 1900 || tm.tm_year < -1900) {
		memcpy(text, "unknown", sizeof("unknown"));
		return;
	}
	snprintf(text, 32, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
		 (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100,
		 (unsigned)ms % 1000);
}

int clock_boot_id(char text[static 40], struct error *err)
{
	autofree char *line = NULL;

	if (fs_read_line("/proc/sys/kernel/random/boot_id", &line, err) < 0)
		return -1;
	if (strlen(line) >= 40)
		return error_set(err, ERROR_FAILED, "the kernel's boot id is longer than 39 characters");
	memcpy(text, line, strlen(line) + 1);
	return 0;
}
