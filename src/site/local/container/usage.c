/* SPDX-License-Identifier: Apache-2.0 */
#include "instance.h"

#include "base/fs.h"
#include "cgroup.h"
#include "guest/protocol.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

/*
 * usage: what instances use now, from their cgroups and status files; with history also the runs that have ended, from
 * the records that monitors append. A run is told by its start: of two records of one start (a monitor was killed right behind
 * writing one) the last counts.
 */

#define RECORDS_LIMIT ((size_t)64 << 20)
#define RECORD_LIMIT ((size_t)4096)

struct walk {
	struct site *site;
	int (*sink)(void *arg, const struct usage_record *record);
	void *arg;
	bool history;
	struct error *err;
};

/* ---- now ---- */

static int exit_status(const struct monitor_status *status)
{
	return status->signal > 0 ? 128 + (int)status->signal : (int)status->exit;
}

static int now_one(void *arg, struct resource *resource)
{
	struct walk *walk = arg;
	autoresource struct resource *owned = resource;
	autoinstance_files struct instance_files files = { 0 };
	struct cgroup_usage usage = { -1, -1, -1, -1, -1 };
	struct monitor_status status;
	struct error absent;
	struct usage_record record = { 0 };

	if (instance_files_of(walk->site, owned->key, &files, walk->err) < 0)
		return -1;
	if (monitor_status(files.dir, &status, &absent) < 0)
		return 0;
	if (walk->history && status.ended_ms)
		return 0;	/* its record has been told */
	if (cgroup_usage_read(walk->site->cgroups, files.cgroup, &usage, &absent) < 0)
		usage = (struct cgroup_usage){ -1, -1, -1, -1, -1 };
	record = (struct usage_record){
		.tenant = files.key.tenant, .workload = files.key.workload, .key = owned->key,
		.method = json_get_string(owned->body, "method", "container"),
		.started_ms = status.started_ms, .ended_ms = status.ended_ms,
		.cpu_ns = usage.cpu_ns >= 0 && status.cpu_base >= 0 ? usage.cpu_ns - status.cpu_base : -1,
		.memory_peak = MAX(usage.memory_peak, status.memory_peak), .memory_now = usage.memory_now, .samples = status.samples,
		.exit_status = status.ended_ms ? exit_status(&status) : -1, .restarts = status.restarts, .state = status.state,
		.detail = status.oom ? "out of memory" : *status.reason ? status.reason : NULL,
	};
	return walk->sink(walk->arg, &record);
}

/* ---- history ---- */

static int record_one(const struct walk *walk, const struct instance_key *key, const json_t *line)
{
	const char *name = json_get_string(line, "key", "");
	int64_t signal = json_get_int(line, "signal", -1);
	const struct usage_record record = {
		.tenant = key->tenant, .workload = key->workload, .key = name, .method = json_get_string(line, "method", "container"),
		.started_ms = json_get_int(line, "started", 0), .ended_ms = json_get_int(line, "ended", 0),
		.cpu_ns = json_get_int(line, "cpu_ns", -1), .memory_peak = json_get_int(line, "memory_peak", -1), .memory_now = -1,
		.samples = json_get_int(line, "samples", 0),
		.exit_status = signal > 0 ? 128 + (int)signal : (int)json_get_int(line, "exit", -1),
		.restarts = json_get_int(line, "restarts", 0), .state = STATE_EXITED,
		.detail = json_get_bool(line, "oom", false) ? "out of memory" : NULL,
	};

	return walk->sink(walk->arg, &record);
}

/* One instance's file. A last line that is cut, or one that is no record, is passed over: the disk was full then. */
static int records_read(const struct walk *walk, const char *path)
{
	autofree char *text = NULL;
	autojson json_t *before = NULL;
	struct instance_key key;
	char *rest, *line;
	int status = 0;

	if (fs_read_file(path, RECORDS_LIMIT, &text, NULL, walk->err) < 0)
		return -1;
	rest = text;
	while (status == 0 && (line = strsep(&rest, "\n"))) {
		autojson json_t *record = NULL;
		struct error broken;

		if (!*line || json_parse(path, line, strlen(line), RECORD_LIMIT, &record, &broken) < 0 ||
		    !local_instance_key(json_get_string(record, "key", ""), &key))
			continue;
		if (before && json_get_int(before, "started", 0) != json_get_int(record, "started", 0) &&
		    local_instance_key(json_get_string(before, "key", ""), &key))
			status = record_one(walk, &key, before);
		json_decref(before);
		before = steal(&record);
	}
	if (status == 0 && before && local_instance_key(json_get_string(before, "key", ""), &key))
		status = record_one(walk, &key, before);
	return status;
}

/* depth 0: tenants, 1: workloads, 2: replicas */
static int folder_read(const struct walk *walk, const char *path, int depth)
{
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort), status = 0;

	if (n < 0)
		return errno == ENOENT ? 0 : error_set_errno(walk->err, errno, "cannot read %s", path);
	for (int i = 0; i < n; i++) {
		autofree char *child = fs_join(path, entries[i]->d_name);

		if (status == 0 && entries[i]->d_name[0] != '.')
			status = depth == 2 ? records_read(walk, child) : folder_read(walk, child, depth + 1);
		free(entries[i]);
	}
	free(entries);
	return status;
}

int local_usage(struct site *site, bool history, int (*sink)(void *arg, const struct usage_record *record), void *arg, struct error *err)
{
	struct walk walk = { site, sink, arg, history, err };
	autofree char *records = fs_join(site->deployment_dir, "usage");

	if (history && folder_read(&walk, records, 0) != 0)
		return -1;
	return local_mark_each(site, MARK_UNTIL_REBOOT, "instance", now_one, &walk, err);
}
