/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_BASE_CLOCK_H
#define INSULA_BASE_CLOCK_H

/* Time as a parameter: code that needs time takes a `const struct clock *`, so tests can hold it still. */

#include "base.h"

struct clock {
	int64_t (*monotonic_ns)(void *arg);	/* CLOCK_BOOTTIME */
	int64_t (*wall_ms)(void *arg);		/* Unix time in milliseconds */
	void (*sleep_ns)(void *arg, int64_t ns);
	void *arg;
};

extern const struct clock clock_system;

int64_t clock_monotonic_ns(const struct clock *clock);
int64_t clock_wall_ms(const struct clock *clock);
void clock_sleep_ms(const struct clock *clock, int64_t ms);
/* RFC 3339 in UTC with milliseconds, "2026-11-25T10:00:00.000Z"; text must hold 32 bytes */
void clock_format(int64_t wall_ms, char text[static 32]);
/* /proc/sys/kernel/random/boot_id, which tells a reboot; text must hold 40 bytes */
int clock_boot_id(char text[static 40], struct error *err) WARN_UNUSED;

#endif
