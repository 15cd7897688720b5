/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "site/local/container/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

static void probe_kernel(json_t *facts)
{
	struct utsname name;
	struct error ignored;
	char boot[40];

	if (uname(&name) == 0) {
		json_set_string(facts, "kernel", name.release);
		json_set_string(facts, "machine", name.machine);
	}
	if (clock_boot_id(boot, &ignored) == 0)
		json_set_string(facts, "boot", boot);
	json_set_bool(facts, "root", geteuid() == 0);
	json_set_bool(facts, "systemd", fs_is_dir("/run/systemd/system"));
}

static void probe_size(json_t *facts)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	autofree char *text = NULL;
	unsigned long long kib;
	struct error ignored;

	json_set_int(facts, "cpus", (cpus > 0 ? cpus : 1) * 1000);
	if (fs_read_file("/proc/meminfo", 1 << 16, &text, NULL, &ignored) == 0 && sscanf(text, "MemTotal: %llu kB", &kib) == 1)
		json_set_int(facts, "memory", (int64_t)kib * 1024);
}

static void probe_cgroup(json_t *facts)
{
	static const struct { enum cgroup_controller controller; const char *name; } controllers[] = {
		{ CGROUP_CPU, "cpu" }, { CGROUP_MEMORY, "memory" }, { CGROUP_PIDS, "pids" }, { CGROUP_IO, "io" },
		{ CGROUP_CPUSET, "cpuset" }, { CGROUP_DEVICES, "devices" }, { CGROUP_FREEZER, "freezer" },
	};
	struct cgroups *cgroups;
	struct error ignored;
	json_t *cgroup = json_object();

	json_set(facts, "cgroup", cgroup);
	if (cgroups_open(&cgroups, &ignored) < 0)
		return;
	json_set_string(cgroup, "summary", cgroups_summary(cgroups));
	json_set_string(cgroup, "unified", cgroups_unified(cgroups, NULL));
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
		json_set_int(cgroup, controllers[i].name, cgroups_version(cgroups, controllers[i].controller));
	cgroups_close(cgroups);
}

char *probe_path_existing(const char *path)
{
	char *part = xstrdup(path);

	while (!fs_exists(part) && !streq(part, "/") && !streq(part, ".")) {
		char *above = fs_dirname(part);

		free(part);
		part = above;
	}
	return part;
}

/* "254:0" of the whole disk that the state folder is on: throttles take no partitions. Absent for file systems that have no device. */
static void probe_disk(const struct site_config *config, json_t *facts)
{
	autofree char *folder = probe_path_existing(config->state_dir), *link = NULL, *real = NULL, *partition = NULL, *above = NULL, *dev = NULL, *number = NULL;
	struct error ignored;
	struct stat st;

	if (stat(folder, &st) < 0 || major(st.st_dev) == 0)
		return;
	link = xasprintf("/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
	real = realpath(link, NULL);
	if (!real)
		return;
	partition = fs_join(real, "partition");
	above = fs_exists(partition) ? fs_dirname(real) : xstrdup(real);
	dev = fs_join(above, "dev");
	if (fs_read_line(dev, &number, &ignored) == 0)
		json_set_string(facts, "disk", number);
}

static void probe_programs(const struct site_config *config, json_t *facts)
{
	static const char *const programs[] = { "mke2fs", "e2fsck", "resize2fs", "nft", "crun", "runc" };
	static const char *const own[] = { "insula-init", "insula-monitor", "insula-resolver" };
	json_t *found = json_object();

	json_set(facts, "programs", found);
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		autofree char *path = fs_find_program(PROC_PATH, programs[i]);

		json_set_string(found, programs[i], path);
	}
	for (size_t i = 0; config->program_dir && i < ARRAY_LEN(own); i++) {
		autofree char *path = fs_join(config->program_dir, own[i]);

		if (access(path, X_OK) == 0)
			json_set_string(found, own[i], path);
	}
}

void probe_system(const struct site_config *config, json_t *facts)
{
	probe_kernel(facts);
	probe_size(facts);
	probe_cgroup(facts);
	probe_disk(config, facts);
	probe_programs(config, facts);
}
