/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-start BUILD ROUNDS: the start of a container through insula against the bare OCI runtime.
 *
 * How it works: in each round, in an order that alternates,
 *
 *   bare    crun run: the same bundle (user namespace, no capabilities, the same compiled filter, the same limits, a network namespace by path
 *           without a link), on a root file system that is a plain folder mounted already; crun makes the control groups and
 *           sets their limits itself, in a mount namespace where the cgroup2 mount that it refuses to run beside is hidden
 *   insula  the create verb of kind instance: files, control group, monitor, overlay, init
 *
 * run one static program that prints CLOCK_BOOTTIME as its first act. Time is from before the call to that. Both are taken down in between, off the
 * clock. What insula does before (the commit of the intent, the network's namespace and pair of links) is timed beside it.
 * The interval of the ratio of medians is a bootstrap's: 2000 resamples of rounds, percentiles 2.5 and 97.5.
 */
#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/rng.h"
#include "guest/protocol.h"
#include "plan/state.h"
#include "site/local/container/bundle.h"
#include "site/local/container/cgroup.h"
#include "site/local/image/image.h"
#include "site/local/container/instance.h"
#include "site/local/network/netns.h"
#include "site/local/container/runtime.h"
#include "site/local/disk/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY "t/w/0"
#define BASE 1900609536LL
#define MEMORY (64LL << 20)
#define PIDS 64
#define CPU 1000
#define RESAMPLES 2000
#define ROUNDS_MAX 10000

struct bench {
	char *dir, *root, *digest, *init;
	struct site_config config;
	struct site_intent intent;
	struct site site;
	struct runtime runtime;
	struct state *state;
	char name[64];
};

enum part { PART_BARE, PART_INSULA, PART_COMMIT, PART_NETWORK, PART_PREPARE, PART_LAUNCH, PARTS };
static const char *const part_names[PARTS] = {
	"bare runtime: call to first instruction", "insula: create to first instruction", "before it: commit of the intent", "before it: namespace and links",
	"  of it: control group and files", "  of it: monitor, runtime, init",
};

static void check(int status, const struct error *err)
{
	if (status == 0)
		return;
	fprintf(stderr, "bench-start: %s\n", err->message);
	exit(1);
}

static int64_t now(void)
{
	return clock_monotonic_ns(&clock_system);
}

/* ---- what both need ---- */

static struct resource *resource_of(const char *kind, const char *key, json_t *body)
{
	if (!body)
		BUG("the body of %s is not JSON", key);
	return resource_new("local", kind, key, body);
}

static struct resource *resource_runtime(void) { return resource_of("runtime", "host/runtime", json_object()); }

static struct resource *resource_router(void)
{
	return resource_of("router", "host/router", json_pack("{s:s, s:s, s:s, s:i}", "pool", "10.77.0.0/16", "hostAddress", "10.77.0.1/30", "address", "10.77.0.2/30", "mtu", 1500));
}

static struct resource *resource_bridge(const struct bench *bench)
{
	char bridge[16];

	local_link_name(bench->name, LINK_BRIDGE, "t/network", bridge);
	return resource_of("bridge", "t/network", json_pack("{s:s, s:s, s:i}", "link", bridge, "address", "10.77.1.1/26", "mtu", 1500));
}

static struct resource *resource_link(const struct bench *bench)
{
	char bridge[16], port[16];

	local_link_name(bench->name, LINK_BRIDGE, "t/network", bridge);
	local_link_name(bench->name, LINK_PORT, KEY "/link", port);
	return resource_of("link", KEY "/link", json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s}", "bridge", bridge, "port", port, "address", "10.77.1.2/26",
							     "gateway", "10.77.1.1", "mac", "02:00:00:00:00:02", "mtu", 1500, "hostname", "w-0"));
}

static struct resource *resource_instance(const struct bench *bench)
{
	return resource_of("instance", KEY, json_pack("{s:s, s:s, s:s, s:[s], s:[], s:[], s:s, s:I, s:s, s:I, s:I, s:i, s:i}", "method", "container", "digest", "d",
						      "image", bench->digest, "command", "/stamp", "env", "mounts", "restart", "never",
						      "base", (json_int_t)BASE, "hostname", "w-0", "shm", (json_int_t)MEMORY,
						      "memory", (json_int_t)MEMORY, "pids", PIDS, "cpu", CPU));
}

static void root_make(struct bench *bench, const char *build)
{
	static const char *const folders[] = { "proc", "sys", "dev", "etc", "tmp", ".insula" };
	autofree char *reference = xasprintf("rootfs:%s", bench->root), *stamp = xasprintf("%s/bench/bench-stamp", build), *target = fs_join(bench->root, "stamp");
	autofree char *data = NULL;
	autoimage struct image image = { 0 };
	struct image_store *store;
	struct error err = { 0 };
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		autofree char *path = fs_join(bench->root, folders[i]);

		check(fs_make_dirs(path, 0755, &err), &err);
	}
	check(fs_read_file(stamp, 1 << 24, &data, &n, &err), &err);
	check(fs_replace_file(target, data, n, 0755, false, &err), &err);
	check(image_store_open(bench->site.images, 0, &store, &err), &err);
	check(image_import(store, reference, NULL, NULL, NULL, &image, &err), &err);
	image_store_close(store);
	bench->digest = xstrdup(image.digest);
}

static void bench_open(struct bench *bench, const char *build)
{
	autofree char *point = NULL;
	autoresource struct resource *runtime = NULL, *router = NULL, *bridge = NULL;
	struct error err = { 0 };

	bench->dir = xstrdup("/var/tmp/insula-bench.XXXXXX");
	if (!mkdtemp(bench->dir) || chmod(bench->dir, 0711) < 0)
		check(error_set_errno(&err, errno, "cannot make %s", bench->dir), &err);
	snprintf(bench->name, sizeof(bench->name), "bench-%d", (int)getpid());
	bench->root = fs_join(bench->dir, "root");
	bench->init = xasprintf("%s/guest/insula-init", build);
	bench->intent = (struct site_intent){ .name = bench->name };
	bench->config = (struct site_config){ .deployment = bench->name, .intent = &bench->intent };
	bench->config.state_dir = fs_join(bench->dir, "state");
	bench->config.run_dir = xasprintf("/run/insula-%s", bench->name);
	bench->config.program_dir = xasprintf("%s/guest", build);
	bench->site.config = &bench->config;
	bench->site.deployment_dir = fs_join(bench->config.state_dir, bench->name);
	bench->site.run = fs_join(bench->config.run_dir, bench->name);
	bench->site.images = fs_join(bench->config.state_dir, "images");
	check(cgroups_open(&bench->site.cgroups, &err), &err);
	check(runtime_probe(&bench->runtime, &err), &err);
	bench->site.facts = json_pack("{s:{s:s, s:s}}", "runtime", "name", bench->runtime.name, "path", bench->runtime.path);
	check(fs_make_dirs(bench->site.deployment_dir, 0700, &err), &err);
	check(state_open(bench->config.state_dir, bench->name, true, &bench->state, &err), &err);
	check(state_lock(bench->state, 0, &err), &err);
	runtime = resource_runtime();
	router = resource_router();
	bridge = resource_bridge(bench);
	check(local_runtime.create(&bench->site, runtime, &err), &err);
	check(local_router.create(&bench->site, router, &err), &err);
	check(local_bridge.create(&bench->site, bridge, &err), &err);
	point = local_storage_point(&bench->site, "t");
	check(fs_make_dirs(point, 0711, &err), &err);
	root_make(bench, build);
}

static void bench_close(struct bench *bench)
{
	autoresource struct resource *runtime = resource_runtime(), *router = resource_router(), *bridge = resource_bridge(bench);
	struct error err = { 0 };

	check(local_bridge.remove(&bench->site, bridge, true, &err), &err);
	check(local_router.remove(&bench->site, router, true, &err), &err);
	{
		autofree char *storage = fs_join(bench->site.run, "storage"), *tenant = local_cgroup_tenant(&bench->site, "t");

		check(fs_remove_tree(storage, &err), &err);
		check(cgroup_remove(bench->site.cgroups, tenant, &err), &err);
	}
	check(local_runtime.remove(&bench->site, runtime, true, &err), &err);
	state_close(bench->state);
	check(fs_remove_tree(bench->config.run_dir, &err), &err);
	check(fs_remove_tree(bench->dir, &err), &err);
}

/* ---- bare ---- */

struct bare { char *bundle, *state, *netns, *output, *cgroup, *hidden; };

/* The bundle that insula makes, without init, with the limits for crun to set. */
static void bare_prepare(struct bench *bench, struct bare *bare)
{
	autofree char *config_path = NULL, *own = xasprintf("%s/i/" KEY "/" DIR_BUNDLE "/config.json", bench->site.run), *text = NULL;
	autojson json_t *config = NULL;
	json_t *mounts, *mount;
	struct error err = { 0 };
	autofd int netns = -1;
	size_t index;

	bare->bundle = fs_join(bench->dir, "bundle");
	bare->state = fs_join(bench->dir, "crun");
	bare->netns = fs_join(bench->dir, "netns");
	bare->output = fs_join(bench->dir, "output");
	bare->cgroup = xasprintf("/insula/%s/bare/i", bench->name);
	bare->hidden = runtime_hidden_mount(bench->site.cgroups);
	check(json_read_file(own, 1 << 22, &config, &err), &err);
	json_set(json_get_object(config, "process"), "args", json_pack("[s]", "/stamp"));
	json_set_string(json_get_object(config, "root"), "path", bench->root);
	mounts = json_get_array(config, "mounts");
	json_array_foreach(mounts, index, mount)
		if (streq(json_get_string(mount, "destination", ""), INIT_PATH))
			json_array_remove(mounts, index--);
	json_array_foreach(json_get_array(json_get_object(config, "linux"), "namespaces"), index, mount)
		if (streq(json_get_string(mount, "type", ""), "network"))
			json_set_string(mount, "path", bare->netns);
	json_set_string(json_get_object(config, "linux"), "cgroupsPath", bare->cgroup);
	json_set(json_get_object(config, "linux"), "resources", json_pack("{s:{s:I, s:I}, s:{s:i, s:i}, s:{s:i}}", "memory", "limit", (json_int_t)MEMORY,
		 "swap", (json_int_t)MEMORY, "cpu", "quota", CPU * 100, "period", 100000, "pids", "limit", PIDS));
	config_path = fs_join(bare->bundle, "config.json");
	text = json_canonical(config);
	check(fs_make_dirs(bare->bundle, 0755, &err), &err);
	check(fs_replace_file(config_path, text, strlen(text), 0600, false, &err), &err);
	check(netns_create(bare->netns, NULL, NULL, &netns, &err), &err);
	/* the root is the container's own: no id mapping needed */
	check(tree_shift_owner(bench->root, 0, (uint32_t)BASE, &err), &err);
}

static void bare_exec(const struct bench *bench, const struct bare *bare)
{
	const char *const argv[] = { bench->runtime.name, "--cgroup-manager=cgroupfs", "--root", bare->state, "run", "--bundle", bare->bundle, "bare", NULL };
	const char *const env[] = { "PATH=" PROC_PATH, NULL };
	int out = open(bare->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (bare->hidden && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 || mount(bare->bundle, bare->hidden, NULL, MS_BIND, NULL) < 0))
		_exit(99);
	if (out < 0 || dup2(out, 1) < 0)
		_exit(98);
	execve(bench->runtime.path, (char *const *)argv, (char *const *)env);
	_exit(97);
}

static int64_t stamp_read(const char *path)
{
	struct error err = { 0 };
	int64_t stamp;

	check(fs_read_int(path, &stamp, &err), &err);
	return stamp;
}

static int64_t bare_run(const struct bench *bench, const struct bare *bare)
{
	int64_t start = now();
	struct error err = { 0 };
	pid_t pid = fork();
	int status;

	if (!pid)
		bare_exec(bench, bare);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		check(error_set(&err, ERROR_FAILED, "the bare runtime ended with status 0x%x", (unsigned)status), &err);
	return stamp_read(bare->output) - start;
}

static void bare_clear(struct bench *bench, struct bare *bare)
{
	autofree char *above = fs_dirname(bare->cgroup);
	struct error err = { 0 };

	check(netns_remove(bare->netns, &err), &err);
	check(cgroup_remove(bench->site.cgroups, above, &err), &err);
	free(bare->bundle);
	free(bare->state);
	free(bare->netns);
	free(bare->output);
	free(bare->cgroup);
	free(bare->hidden);
}

/* ---- insula ---- */

static int64_t stamp_wait(const struct instance_files *files)
{
	int64_t end = now() + 10000000000LL;
	struct monitor_status status;
	struct error err = { 0 };

	while (monitor_status(files->dir, &status, &err) < 0 || !streq(status.state, STATE_EXITED) || status.watched) {
		if (now() > end)
			check(error_set(&err, ERROR_FAILED, "the container does not end: it is %s", status.state), &err);
		clock_sleep_ms(&clock_system, 1);
	}
	return stamp_read(files->log);
}

static void insula_run(struct bench *bench, int64_t ns[static PARTS])
{
	autoresource struct resource *link = resource_link(bench), *instance = resource_instance(bench);
	autoinstance_files struct instance_files files = { 0 };
	struct journal_entry entry = { .verb = JOURNAL_CREATE, .resource = instance };
	struct error err = { 0 };
	bool done = true;
	int64_t start = now(), linked, committed;

	check(local_link.create(&bench->site, link, &err), &err);
	linked = now();
	check(state_journal_begin(bench->state, &entry, 1, &err), &err);
	committed = now();
	check(local_instance.create(&bench->site, instance, &err), &err);
	ns[PART_NETWORK] = linked - start;
	ns[PART_COMMIT] = committed - linked;
	check(state_journal_end(bench->state, &entry, &done, 1, &err), &err);
	check(instance_files_of(&bench->site, KEY, &files, &err), &err);
	ns[PART_INSULA] = stamp_wait(&files) - committed;
}

static void insula_clear(struct bench *bench)
{
	autoresource struct resource *link = resource_link(bench), *instance = resource_instance(bench);
	autoinstance_files struct instance_files files = { 0 };
	struct error err = { 0 };

	check(instance_files_of(&bench->site, KEY, &files, &err), &err);
	check(local_instance.remove(&bench->site, instance, true, &err), &err);
	check(local_link.remove(&bench->site, link, true, &err), &err);
	unlink(files.log);
}

/* The same steps as the create verb's, one by one, for the parts. */
static void parts_run(struct bench *bench, int64_t ns[static PARTS])
{
	const struct cgroup_limits limits = { CPU, AMOUNT_NONE, MEMORY, AMOUNT_NONE, PIDS, AMOUNT_NONE, NULL, true, true };
	autoresource struct resource *link = resource_link(bench), *instance = resource_instance(bench);
	autofree char *monitor = fs_join(bench->config.program_dir, "insula-monitor"), *state = NULL;
	autoinstance_files struct instance_files files = { 0 };
	struct error err = { 0 };
	int64_t start, prepared;

	check(local_link.create(&bench->site, link, &err), &err);
	check(instance_files_of(&bench->site, KEY, &files, &err), &err);
	start = now();
	check(local_mark_write(&bench->site, MARK_UNTIL_REBOOT, instance, &err), &err);
	check(cgroup_create(bench->site.cgroups, files.cgroup, &limits, NULL, &err), &err);
	check(instance_prepare(&bench->site, instance, &files, &err), &err);
	prepared = now();
	check(monitor_launch(monitor, files.dir, NULL, &state, &err), &err);
	ns[PART_PREPARE] = prepared - start;
	ns[PART_LAUNCH] = stamp_wait(&files) - prepared;
}

/* ---- figures ---- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(double *values, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t i = (size_t)at;

	qsort(values, n, sizeof(*values), compare);
	return i + 1 < n ? values[i] + (at - (double)i) * (values[i + 1] - values[i]) : values[i];
}

static double part_quantile(const int64_t (*ns)[PARTS], size_t n, enum part part, double q)
{
	autofree double *values = xcalloc(n, sizeof(*values));

	for (size_t i = 0; i < n; i++)
		values[i] = (double)ns[i][part] / 1e6;
	return quantile(values, n, q);
}

static void ratio_print(const int64_t (*ns)[PARTS], size_t n)
{
	autofree double *ratios = xcalloc(RESAMPLES, sizeof(*ratios)), *a = xcalloc(n, sizeof(*a)), *b = xcalloc(n, sizeof(*b));
	double ratio = part_quantile(ns, n, PART_INSULA, 0.5) / part_quantile(ns, n, PART_BARE, 0.5);
	struct rng rng;

	rng_seed(&rng, 1);
	for (size_t k = 0; k < RESAMPLES; k++) {
		for (size_t i = 0; i < n; i++) {
			size_t pick = (size_t)rng_below(&rng, n);

			a[i] = (double)ns[pick][PART_BARE];
			b[i] = (double)ns[pick][PART_INSULA];
		}
		ratios[k] = quantile(b, n, 0.5) / quantile(a, n, 0.5);
	}
	printf("ratio of medians %.2f, interval %.2f to %.2f (at most 1.5 is wanted)\n", ratio, quantile(ratios, RESAMPLES, 0.025), quantile(ratios, RESAMPLES, 0.975));
}

/* Of a monitor whose container runs. */
static void memory_print(struct bench *bench)
{
	autoresource struct resource *link = resource_link(bench), *instance = resource_instance(bench);
	autoinstance_files struct instance_files files = { 0 };
	autofree char *path = NULL, *text = NULL;
	struct monitor_status status;
	struct error err = { 0 };
	long kb = 0;

	/* its command ends at once, so it is in its back-off most of the time */
	json_set_string(instance->body, "restart", "always");
	check(local_link.create(&bench->site, link, &err), &err);
	check(local_instance.create(&bench->site, instance, &err), &err);
	check(instance_files_of(&bench->site, KEY, &files, &err), &err);
	clock_sleep_ms(&clock_system, 200);
	check(monitor_status(files.dir, &status, &err), &err);
	path = xasprintf("/proc/%d/smaps_rollup", (int)status.monitor);
	check(fs_read_file(path, 65536, &text, NULL, &err), &err);
	for (char *line = strstr(text, "Private_"); line; line = strstr(line + 1, "Private_"))
		kb += strtol(strchr(line, ':') + 1, NULL, 10);
	printf("a monitor has %ld kB of private memory (at most 1024 is wanted)\n", kb);
	check(local_instance.remove(&bench->site, instance, true, &err), &err);
	check(local_link.remove(&bench->site, link, true, &err), &err);
}

static void rounds_run(struct bench *bench, int64_t (*ns)[PARTS], size_t n)
{
	struct bare bare = { 0 };
	int64_t unused[PARTS];

	insula_run(bench, unused);	/* warms caches, makes the filter, and leaves the bundle that bare's comes from */
	bare_prepare(bench, &bare);
	insula_clear(bench);
	bare_run(bench, &bare);
	for (size_t i = 0; i < n; i++) {
		for (int turn = 0; turn < 2; turn++) {
			if ((int)(i % 2) == turn) {
				ns[i][PART_BARE] = bare_run(bench, &bare);
			} else {
				insula_run(bench, ns[i]);
				insula_clear(bench);
			}
		}
		parts_run(bench, ns[i]);
		insula_clear(bench);
	}
	bare_clear(bench, &bare);
}

int main(int argc, char **argv)
{
	autofree char *build = argc == 3 ? realpath(argv[1], NULL) : NULL;
	long rounds = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
	int64_t (*ns)[PARTS];
	struct bench bench = { 0 };

	if (!build || rounds < 2 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: bench-start BUILD ROUNDS\n");
		return 4;
	}
	/* a host of our own: the links are nobody else's */
	if (unshare(CLONE_NEWNET) < 0) {
		perror("bench-start: cannot make a network namespace");
		return 5;
	}
	ns = xcalloc((size_t)rounds, sizeof(*ns));
	bench_open(&bench, build);
	rounds_run(&bench, ns, (size_t)rounds);
	printf("%ld rounds, %s %s\n%-42s %9s %9s %9s\n", rounds, bench.runtime.name, bench.runtime.version ? bench.runtime.version : "", "milliseconds", "median", "10 %", "90 %");
	for (int part = 0; part < PARTS; part++)
		printf("%-42s %9.2f %9.2f %9.2f\n", part_names[part], part_quantile(ns, (size_t)rounds, part, 0.5),
		       part_quantile(ns, (size_t)rounds, part, 0.1), part_quantile(ns, (size_t)rounds, part, 0.9));
	ratio_print(ns, (size_t)rounds);
	memory_print(&bench);
	bench_close(&bench);
	free(ns);
	return 0;
}
