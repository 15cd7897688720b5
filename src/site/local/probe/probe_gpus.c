/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include "base/fs.h"
#include "base/proc.h"

#include <dirent.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>

/*
 * GPUs of this machine, as the vendor's management library tells them (guest/insula-nvml.c, which may hang or crash alone), and
 * who has them: a card that a stranger works on is not free, whatever nobody has claimed.
 *
 * Cards that the PCI bus has and no library tells of are told of too: they lack a driver.
 */

#define PROGRAM "insula-nvml"
#define TIMEOUT_MS 8000			/* a sick card can make the driver wait for ever */
#define OUTPUT_LIMIT ((size_t)4 << 20)
#define PCI_DEVICES "/sys/bus/pci/devices"
#define VENDOR_NVIDIA "0x10de"
#define CLASS_DISPLAY "0x03"		/* VGA, 3D: PCI Code and ID Assignment Specification */
#define DRIVER_VERSION "/proc/driver/nvidia/version"

static bool pci_line_is(const char *device, const char *name, const char *start)
{
	autofree char *path = xasprintf(PCI_DEVICES "/%s/%s", device, name), *line = NULL;
	struct error gone;

	return fs_read_line(path, &line, &gone) == 0 && starts_with(line, start);
}

static int64_t pci_count(void)
{
	autodir DIR *dir = opendir(PCI_DEVICES);
	struct dirent *entry;
	int64_t n = 0;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && pci_line_is(entry->d_name, "vendor", VENDOR_NVIDIA) && pci_line_is(entry->d_name, "class", CLASS_DISPLAY))
			n++;
	return n;
}

/* Adds "name" and "user" of a process, or "ours" when it runs in one of our control groups. */
static void process_tell(json_t *process)
{
	int64_t pid = json_get_int(process, "pid", 0);
	autofree char *base = xasprintf("/proc/%lld", (long long)pid), *group_path = fs_join(base, "cgroup"), *name_path = fs_join(base, "comm");
	autofree char *groups = NULL, *name = NULL, *user = NULL;
	struct passwd entry, *found = NULL;
	char room[4096];
	struct error gone;
	struct stat st;

	if (fs_read_file(group_path, 1 << 16, &groups, NULL, &gone) == 0 && strstr(groups, "/insula/"))
		json_set_bool(process, "ours", true);
	if (fs_read_line(name_path, &name, &gone) == 0)
		json_set(process, "name", json_text(name));
	if (stat(base, &st) < 0)
		return;
	getpwuid_r(st.st_uid, &entry, room, sizeof(room), &found);
	user = found ? xstrdup(found->pw_name) : xasprintf("%u", (unsigned)st.st_uid);
	json_set(process, "user", json_text(user));
}

static void processes_tell(json_t *cards)
{
	json_t *card, *process;
	size_t i, k;

	json_array_foreach(cards, i, card)
		json_array_foreach(json_object_get(card, "processes"), k, process)
			process_tell(process);
}

static json_t *ask(const char *program, const char *library, struct error *err)
{
	const char *const argv[] = { program, library, NULL };
	const struct proc_options options = { .argv = argv, .timeout_ms = TIMEOUT_MS, .output_limit = OUTPUT_LIMIT };
	CLEANUP(proc_result_clear) struct proc_result result = { 0 };
	autojson json_t *told = NULL;

	if (proc_run(&options, &result, err) < 0)
		return NULL;
	if (result.status > 1) {
		error_set(err, ERROR_FAILED, "NVIDIA's library ended with status %d", result.status);
		return NULL;
	}
	return json_parse(PROGRAM, result.output, result.output_n, OUTPUT_LIMIT, &told, err) < 0 ? NULL : json_incref(told);
}

void probe_gpus(const struct site_config *config, json_t *facts)
{
	autofree char *program = config->program_dir ? fs_join(config->program_dir, PROGRAM) : NULL, *version = NULL;
	autojson json_t *told = NULL;
	json_t *gpus = json_object();
	struct error err = { 0 };

	json_set(facts, "gpus", gpus);
	json_set_int(gpus, "onBus", pci_count());
	if (fs_read_line(DRIVER_VERSION, &version, &err) == 0)
		json_set(gpus, "kernelDriver", json_text(version));
	if (!program || !fs_exists(program))
		return;
	told = ask(program, config->nvml, &err);
	if (!told) {
		json_set_string(gpus, "reason", "other");
		json_set(gpus, "error", json_text(err.message));
		return;
	}
	processes_tell(json_object_get(told, "cards"));
	json_object_update(gpus, told);
}
