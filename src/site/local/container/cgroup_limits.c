/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup_internal.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * How it works: one function a resource, each with its v1 and v2 side, called by cgroup_limits_write. A value of
 * AMOUNT_NONE is written as the kernel's default, but not to a group that was made just now.
 */

#define PERIOD_US 100000		/* of the cpu limit: the kernel's default */
#define PERIOD_LONG_US 1000000		/* for limits under 10 thousandths: the quota may not be under 1000 us */
#define V1_UNLIMITED ((int64_t)1 << 62)	/* memory.limit_in_bytes at or above: none */

struct writer {
	struct cgroups *cgroups;
	const char *path;
	const struct cgroup_limits *limits;
	unsigned fresh, *missing;
};

static int value_write(const char *dir, const char *name, const char *value, struct error *err)
{
	autofree char *file = fs_join(dir, name);

	return fs_write_value(file, value, err);
}

static int number_write(const char *dir, const char *name, int64_t value, struct error *err)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64, value);
	return value_write(dir, name, text, err);
}

/* A file that this kernel may lack. */
static int optional_write(const char *dir, const char *name, const char *value, struct error *err)
{
	autofree char *file = fs_join(dir, name);

	return fs_exists(file) ? fs_write_value(file, value, err) : 0;
}

static int text_read(const char *dir, const char *name, char **ret, struct error *err)
{
	autofree char *file = fs_join(dir, name);

	return fs_read_file(file, CGROUP_VALUE_LIMIT, ret, NULL, err);
}

static int number_read(const char *dir, const char *name, int64_t *ret, struct error *err)
{
	autofree char *file = fs_join(dir, name);

	return fs_read_int(file, ret, err);
}

/* "name value" lines, as in memory.events; -1 when absent. */
static int64_t keyed_value(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, n) && line[n] == ' ')
			return strtoll(line + n + 1, NULL, 10);
	}
	return -1;
}

/* The folder of a controller with a version, or a bit in *missing when a limit is wanted that nothing enforces. */
static int place(const struct writer *writer, enum cgroup_controller controller, bool wanted, char **ret_dir)
{
	int version = cgroups_version(writer->cgroups, controller);

	if (!version) {
		if (wanted)
			*writer->missing |= 1u << controller;
		return 0;
	}
	if (!wanted && writer->fresh & 1u << controller)
		return 0;
	*ret_dir = cgroup_controller_dir(writer->cgroups, controller, writer->path);
	return version;
}

/* v1 refuses a quota above the parent's. */
static int64_t v1_quota_above(const char *dir)
{
	autofree char *above = fs_dirname(dir);
	int64_t quota, period;
	struct error ignored;

	if (number_read(above, "cpu.cfs_quota_us", &quota, &ignored) < 0 || number_read(above, "cpu.cfs_period_us", &period, &ignored) < 0 || period <= 0)
		return AMOUNT_NONE;
	return quota < 0 ? v1_quota_above(above) : quota * 1000 / period;
}

static int v1_cpu_set(const char *dir, int64_t milli, struct error *err)
{
	int64_t period = milli < 10 ? PERIOD_LONG_US : PERIOD_US;

	/* the quota must fit both periods in between */
	if (value_write(dir, "cpu.cfs_quota_us", "-1", err) < 0)
		return -1;
	return number_write(dir, "cpu.cfs_period_us", period, err) < 0 ? -1 :
	       number_write(dir, "cpu.cfs_quota_us", milli * period / 1000, err);
}

/* Lowers what is below and above the new limit, because v1 takes none that is less than a child's. */
static int v1_cpu_lower_children(const char *dir, int64_t milli, struct error *err)
{
	autodir DIR *stream = opendir(dir);
	struct dirent *entry;

	while (stream && (entry = readdir(stream))) {
		autofree char *child = NULL;
		int64_t quota, period;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		child = fs_join(dir, entry->d_name);
		if (v1_cpu_lower_children(child, milli, err) < 0)
			return -1;
		if (number_read(child, "cpu.cfs_quota_us", &quota, err) < 0 || number_read(child, "cpu.cfs_period_us", &period, err) < 0)
			return -1;
		if (quota > 0 && period > 0 && quota * 1000 / period > milli && v1_cpu_set(child, milli, err) < 0)
			return -1;
	}
	return 0;
}

static int v1_cpu_write(const char *dir, int64_t milli, struct error *err)
{
	int64_t above, quota;
	struct error refused;

	if (milli == AMOUNT_NONE)
		return value_write(dir, "cpu.cfs_quota_us", "-1", err);
	above = v1_quota_above(dir);
	if (above != AMOUNT_NONE)
		milli = MIN(milli, above);
	if (number_read(dir, "cpu.cfs_quota_us", &quota, err) < 0)
		return -1;
	if (quota < 0 && milli >= 10 && number_write(dir, "cpu.cfs_quota_us", milli * (PERIOD_US / 1000), &refused) == 0)
		return 0;	/* the common case: a new group with the default period */
	if (v1_cpu_lower_children(dir, milli, err) < 0)
		return -1;
	return v1_cpu_set(dir, milli, err);
}

static int cpu_write(const struct writer *writer, struct error *err)
{
	const struct cgroup_limits *limits = writer->limits;
	autofree char *dir = NULL;
	int64_t period = limits->cpu_max < 10 ? PERIOD_LONG_US : PERIOD_US;
	char text[64];

	switch (place(writer, CGROUP_CPU, limits->cpu_max != AMOUNT_NONE, &dir)) {
	case 1:
		return v1_cpu_write(dir, limits->cpu_max, err);
	case 2:
		if (limits->cpu_max == AMOUNT_NONE)
			return value_write(dir, "cpu.max", "max", err);
		snprintf(text, sizeof(text), "%" PRId64 " %" PRId64, limits->cpu_max * period / 1000, period);
		return value_write(dir, "cpu.max", text, err);
	default:
		return 0;
	}
}

/* shares = weight * 1024 / 100, so that the default of one is the default of the other (as systemd does it). */
static int weight_write(const struct writer *writer, struct error *err)
{
	int64_t weight = writer->limits->cpu_weight;
	bool wanted = weight != AMOUNT_NONE;
	autofree char *dir = NULL;

	weight = wanted ? MAX(1, MIN(weight, 10000)) : 100;
	switch (place(writer, CGROUP_CPU, wanted, &dir)) {
	case 1:
		return number_write(dir, "cpu.shares", (weight * 1024 + 50) / 100, err);
	case 2:
		return number_write(dir, "cpu.weight", weight, err);
	default:
		return 0;
	}
}

/* memsw, of memory and swap together, may never be less than memory: so lower memory first, and raise memsw first. */
static int v1_memory_write(const char *dir, int64_t max, struct error *err)
{
	static const char memory[] = "memory.limit_in_bytes", both[] = "memory.memsw.limit_in_bytes";
	int64_t value = max == AMOUNT_NONE ? -1 : max, now;
	autofree char *both_file = fs_join(dir, both);
	bool raise;

	if (!fs_exists(both_file))	/* no swap accounting: at least nothing is swapped gladly */
		return number_write(dir, memory, value, err) < 0 ? -1 : optional_write(dir, "memory.swappiness", "0", err);
	if (number_read(dir, memory, &now, err) < 0)
		return -1;
	raise = value < 0 || value > now;
	if (number_write(dir, raise ? both : memory, value, err) < 0)
		return -1;
	return number_write(dir, raise ? memory : both, value, err);
}

static int v2_memory_write(const struct writer *writer, const char *dir, struct error *err)
{
	const struct cgroup_limits *limits = writer->limits;

	if (optional_write(dir, "memory.swap.max", "0", err) < 0)
		return -1;
	if (optional_write(dir, "memory.oom.group", limits->group_oom ? "1" : "0", err) < 0)
		return -1;
	if (number_write(dir, "memory.low", limits->memory_low == AMOUNT_NONE ? 0 : limits->memory_low, err) < 0)
		return -1;
	if (limits->memory_max == AMOUNT_NONE)
		return value_write(dir, "memory.max", "max", err);
	return number_write(dir, "memory.max", limits->memory_max, err);
}

static int memory_write(const struct writer *writer, struct error *err)
{
	const struct cgroup_limits *limits = writer->limits;
	autofree char *dir = NULL;
	struct writer always = *writer;

	if (cgroups_version(writer->cgroups, CGROUP_MEMORY) == 2)
		always.fresh = 0;	/* swap has no limit by default */
	switch (place(&always, CGROUP_MEMORY, limits->memory_max != AMOUNT_NONE, &dir)) {
	case 1:
		if (v1_memory_write(dir, limits->memory_max, err) == 0)
			return 0;
		if (err->sys_errno == EBUSY)
			error_hint(err, "more memory than the new limit is in use and cannot be reclaimed: end some of it first");
		return -1;
	case 2:
		return v2_memory_write(writer, dir, err);
	default:
		return 0;
	}
}

static int pids_write(const struct writer *writer, struct error *err)
{
	int64_t max = writer->limits->pids_max;
	autofree char *dir = NULL;

	if (!place(writer, CGROUP_PIDS, max != AMOUNT_NONE, &dir))
		return 0;
	return max == AMOUNT_NONE ? value_write(dir, "pids.max", "max", err) : number_write(dir, "pids.max", max, err);
}

/* v1: a throttle counts only where the processes are; 0 takes it away. */
static int io_write(const struct writer *writer, struct error *err)
{
	int64_t rate = writer->limits->disk_bandwidth;
	const char *const *devices = writer->limits->devices;
	autofree char *dir = NULL;
	int version = place(writer, CGROUP_IO, rate != AMOUNT_NONE, &dir);

	if (!version)
		return 0;
	if (rate != AMOUNT_NONE && (!devices || !*devices || (version == 1 && !writer->limits->leaf))) {
		*writer->missing |= 1u << CGROUP_IO;
		return 0;
	}
	for (; devices && *devices; devices++) {
		char text[128];

		if (version == 1) {
			snprintf(text, sizeof(text), "%s %" PRId64, *devices, rate == AMOUNT_NONE ? 0 : rate);
			if (value_write(dir, "blkio.throttle.read_bps_device", text, err) < 0 ||
			    value_write(dir, "blkio.throttle.write_bps_device", text, err) < 0)
				return -1;
			continue;
		}
		if (rate == AMOUNT_NONE)
			snprintf(text, sizeof(text), "%s rbps=max wbps=max", *devices);
		else
			snprintf(text, sizeof(text), "%s rbps=%" PRId64 " wbps=%" PRId64, *devices, rate, rate);
		if (value_write(dir, "io.max", text, err) < 0)
			return -1;
	}
	return 0;
}

int cgroup_limits_write(struct cgroups *cgroups, const char *path, const struct cgroup_limits *limits, unsigned fresh,
			unsigned *missing, struct error *err)
{
	const struct writer writer = { cgroups, path, limits, fresh, missing };

	if (cpu_write(&writer, err) < 0 || weight_write(&writer, err) < 0 || memory_write(&writer, err) < 0)
		return -1;
	return pids_write(&writer, err) < 0 || io_write(&writer, err) < 0 ? -1 : 0;
}

static int cpu_read(int version, const char *dir, struct cgroup_limits *ret, struct error *err)
{
	int64_t quota, period, shares;
	autofree char *text = NULL;

	if (version == 2) {
		if (text_read(dir, "cpu.max", &text, err) < 0)
			return -1;
		if (sscanf(text, "%" SCNd64 " %" SCNd64, &quota, &period) == 2 && period > 0)
			ret->cpu_max = quota * 1000 / period;
		return number_read(dir, "cpu.weight", &ret->cpu_weight, err);
	}
	if (number_read(dir, "cpu.cfs_quota_us", &quota, err) < 0 || number_read(dir, "cpu.cfs_period_us", &period, err) < 0 ||
	    number_read(dir, "cpu.shares", &shares, err) < 0)
		return -1;
	if (quota >= 0 && period > 0)
		ret->cpu_max = quota * 1000 / period;
	ret->cpu_weight = (shares * 100 + 512) / 1024;
	return 0;
}

static int max_or_number_read(const char *dir, const char *name, int64_t *ret, struct error *err)
{
	autofree char *text = NULL;

	if (text_read(dir, name, &text, err) < 0)
		return -1;
	if (strncmp(text, "max", 3))
		*ret = strtoll(text, NULL, 10);
	return 0;
}

static int memory_read(int version, const char *dir, struct cgroup_limits *ret, struct error *err)
{
	autofree char *group = NULL;
	struct error ignored;
	int64_t value;

	if (version == 1) {
		if (number_read(dir, "memory.limit_in_bytes", &value, err) < 0)
			return -1;
		if (value < V1_UNLIMITED)
			ret->memory_max = value;
		return 0;
	}
	if (max_or_number_read(dir, "memory.max", &ret->memory_max, err) < 0 || number_read(dir, "memory.low", &value, err) < 0)
		return -1;
	if (value)
		ret->memory_low = value;
	ret->group_oom = text_read(dir, "memory.oom.group", &group, &ignored) == 0 && *group == '1';
	return 0;
}

/* The first device's write rate: we set all alike. */
static int io_read(int version, const char *dir, struct cgroup_limits *ret, struct error *err)
{
	autofree char *text = NULL;
	const char *rate;

	if (text_read(dir, version == 1 ? "blkio.throttle.write_bps_device" : "io.max", &text, err) < 0)
		return -1;
	rate = version == 1 ? strchr(text, ' ') : strstr(text, "wbps=");
	if (!rate)
		return 0;
	rate += version == 1 ? 1 : 5;
	if (*rate >= '0' && *rate <= '9')
		ret->disk_bandwidth = strtoll(rate, NULL, 10);
	return 0;
}

int cgroup_read_limits(struct cgroups *cgroups, const char *path, struct cgroup_limits *ret, struct error *err)
{
	struct cgroup_limits limits = { AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, NULL, false, false };
	static const enum cgroup_controller wanted[] = { CGROUP_CPU, CGROUP_MEMORY, CGROUP_PIDS, CGROUP_IO };

	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		int version = cgroups_version(cgroups, wanted[i]), status = 0;
		autofree char *dir = cgroup_controller_dir(cgroups, wanted[i], path);

		if (!version)
			continue;
		if (wanted[i] == CGROUP_CPU)
			status = cpu_read(version, dir, &limits, err);
		else if (wanted[i] == CGROUP_MEMORY)
			status = memory_read(version, dir, &limits, err);
		else if (wanted[i] == CGROUP_PIDS)
			status = max_or_number_read(dir, "pids.max", &limits.pids_max, err);
		else
			status = io_read(version, dir, &limits, err);
		if (status < 0)
			return error_wrap(err, "control group %s", path);
	}
	*ret = limits;
	return 0;
}

static int64_t number_or_unknown(const char *dir, const char *name)
{
	struct error ignored;
	int64_t value;

	return number_read(dir, name, &value, &ignored) < 0 ? -1 : value;
}

static int64_t keyed_or_unknown(const char *dir, const char *name, const char *key)
{
	autofree char *text = NULL;
	struct error ignored;

	return text_read(dir, name, &text, &ignored) < 0 ? -1 : keyed_value(text, key);
}

int cgroup_usage_read(struct cgroups *cgroups, const char *path, struct cgroup_usage *ret, struct error *err)
{
	struct cgroup_usage usage = { -1, -1, -1, -1, -1 };
	autofree char *cpu = cgroup_controller_dir(cgroups, CGROUP_CPUACCT, path);
	autofree char *memory = cgroup_controller_dir(cgroups, CGROUP_MEMORY, path);
	autofree char *pids = cgroup_controller_dir(cgroups, CGROUP_PIDS, path);

	if (!cgroup_exists(cgroups, path))
		return error_set(err, ERROR_NOT_FOUND, "there is no control group %s", path);
	if (cpu && cgroups_version(cgroups, CGROUP_CPUACCT) == 1) {
		usage.cpu_ns = number_or_unknown(cpu, "cpuacct.usage");
	} else if (cpu) {
		int64_t us = keyed_or_unknown(cpu, "cpu.stat", "usage_usec");

		usage.cpu_ns = us < 0 ? -1 : us * 1000;
	}
	if (memory && cgroups_version(cgroups, CGROUP_MEMORY) == 1) {
		usage.memory_now = number_or_unknown(memory, "memory.usage_in_bytes");
		usage.memory_peak = number_or_unknown(memory, "memory.max_usage_in_bytes");
		usage.oom_kills = keyed_or_unknown(memory, "memory.oom_control", "oom_kill");
	} else if (memory) {
		usage.memory_now = number_or_unknown(memory, "memory.current");
		usage.memory_peak = number_or_unknown(memory, "memory.peak");
		usage.oom_kills = keyed_or_unknown(memory, "memory.events", "oom_kill");
	}
	if (pids)
		usage.pids = number_or_unknown(pids, "pids.current");
	*ret = usage;
	return 0;
}
