/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/network/network.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/proc.h"
#include "site/local/container/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * host/resolver: the process that answers names, and its zones (guest/resolver.h tells their form).
 *
 * How it works: its sockets are made here, inside the router's namespace, and handed over; it itself lives in the host's,
 * where the upstreams are. It says who it is in <run>/resolver/pid; one that is dead, or whose sockets are of
 * a router that is no more, counts as not there. New zones are a new file and a SIGHUP; it has them when `loaded` holds
 * their digest. Its folder is the only thing that keeps what it was given: list reads it back from there.
 */

#define PROGRAM "insula-resolver"
#define ZONES_LIMIT ((size_t)64 << 20)
#define LOAD_WAIT_MS 5000
#define STOP_WAIT_MS 3000
#define START_TIMEOUT_MS 15000

static char *resolver_folder(const struct site *site)
{
	return xasprintf("%s/resolver", site->run);
}

/* Zones as text, and back */

static int zone_write(struct buf *text, const json_t *zone, struct error *err)
{
	const char *tenant, *prefix, *gateway, *name, *address;
	json_t *item;
	size_t i;

	if (body_string(zone, "tenant", &tenant, err) < 0 || body_string(zone, "prefix", &prefix, err) < 0 || body_string(zone, "gateway", &gateway, err) < 0)
		return -1;
	buf_addf(text, "zone %s %s %s %d\n", tenant, prefix, gateway, json_get_bool(zone, "egress", false));
	json_array_foreach(json_get_array(zone, "names"), i, item) {
		if (body_string(item, "name", &name, err) < 0 || body_string(item, "address", &address, err) < 0)
			return -1;
		buf_addf(text, "name %s %s\n", name, address);
	}
	return 0;
}

/* The text begins with the digest of the rest. */
static int zones_write(const json_t *body, char **ret, char digest[static DIGEST_HEX], struct error *err)
{
	autobuf struct buf text = { 0 };
	json_t *item;
	size_t i;

	buf_adds(&text, "");
	json_array_foreach(json_get_array(body, "upstreams"), i, item) {
		struct address address;

		if (!json_is_string(item) || address_parse(json_string_value(item), &address, err) < 0 || address.family != AF_INET)
			return error_set(err, ERROR_INPUT, "upstreams[%zu] is not an IPv4 address", i);
		buf_addf(&text, "upstream %s\n", json_string_value(item));
	}
	json_array_foreach(json_get_array(body, "zones"), i, item)
		if (zone_write(&text, item, err) < 0)
			return error_wrap(err, "zones[%zu]", i);
	digest_bytes(text.data, text.n, digest);
	*ret = xasprintf("digest %s\n%s", digest, text.data);
	return 0;
}

static json_t *zone_read(const char *line)
{
	char tenant[64], prefix[32], gateway[32];
	int egress;

	if (sscanf(line, "zone %63s %31s %31s %d", tenant, prefix, gateway, &egress) != 4)
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:b, s:[]}", "tenant", tenant, "prefix", prefix, "gateway", gateway, "egress", egress == 1, "names");
}

static json_t *zones_read(const char *text)
{
	json_t *zones = json_array(), *upstreams = json_array(), *zone = NULL;

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		char name[256], address[32];

		if (starts_with(line, "zone ") && (zone = zone_read(line)))
			json_add(zones, zone);
		else if (zone && sscanf(line, "name %255s %31s", name, address) == 2)
			json_add(json_object_get(zone, "names"), json_pack("{s:s, s:s}", "name", name, "address", address));
		else if (sscanf(line, "upstream %31s", address) == 1)
			json_add(upstreams, json_text(address));
	}
	return json_pack("{s:o, s:o}", "zones", zones, "upstreams", upstreams);
}

/* The process */

struct resolver_process { pid_t pid; uint64_t ticks; char place[64]; };

/* Which namespace the sockets are of. */
static int place_of(int netns, char ret[static 64], struct error *err)
{
	struct stat st;

	if (fstat(netns, &st) < 0)
		return error_set_errno(err, errno, "cannot examine the router's namespace");
	snprintf(ret, 64, "%" PRIu64, (uint64_t)st.st_ino);
	return 0;
}

/* Is there one that is alive? */
static bool process_read(const char *folder, struct resolver_process *ret)
{
	autofree char *path = fs_join(folder, "pid"), *line = NULL;
	struct error ignored;
	int pid;

	if (fs_read_line(path, &line, &ignored) < 0 || sscanf(line, "%d %" SCNu64 " %63s", &pid, &ret->ticks, ret->place) != 3 || pid <= 1)
		return false;
	ret->pid = pid;
	return proc_alive(ret->pid, ret->ticks);
}

static void pause_ms(long ms)
{
	const struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&pause, NULL);
}

static int process_stop(const char *folder, struct error *err)
{
	struct resolver_process process;

	for (int waited = 0; process_read(folder, &process); waited += 5) {
		/* its worker dies with it either way */
		if (kill(process.pid, waited < STOP_WAIT_MS ? SIGTERM : SIGKILL) < 0 && errno != ESRCH)
			return error_set_errno(err, errno, "cannot stop the resolver (process %d)", (int)process.pid);
		if (waited > 2 * STOP_WAIT_MS)
			return error_set(err, ERROR_LEFTOVER, "the resolver (process %d) does not end", (int)process.pid);
		pause_ms(5);
	}
	return 0;
}

struct sockets { int udp, tcp; };

static int open_one(int type, int *ret, struct error *err)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(53) };
	autofd int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (type == SOCK_DGRAM && setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) < 0) ||
	    bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || (type == SOCK_STREAM && listen(fd, 128) < 0))
		return error_set_errno(err, errno, "cannot listen on port 53 in the router");
	*ret = steal_fd(&fd);
	return 0;
}

static int open_sockets(void *arg, struct error *err)
{
	struct sockets *sockets = arg;

	return open_one(SOCK_DGRAM, &sockets->udp, err) < 0 || open_one(SOCK_STREAM, &sockets->tcp, err) < 0 ? -1 : 0;
}

/* In the child: into the monitors' groups, and the sockets to where the program looks for them. */
struct child { const struct sockets *sockets; char **groups; };

static int child_prepare(void *arg)
{
	const struct child *child = arg;
	int udp = fcntl(child->sockets->udp, F_DUPFD, 10), tcp = fcntl(child->sockets->tcp, F_DUPFD, 10);

	for (char **group = child->groups; *group; group++) {
		int fd = open(*group, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "0", 1) != 1)
			return 1;
		close(fd);
	}
	if (udp < 0 || tcp < 0 || dup2(udp, 3) != 3 || dup2(tcp, 4) != 4)
		return 1;
	close(udp);
	close(tcp);
	return 0;
}

static char **monitor_groups(struct site *site, struct error *err)
{
	autofree char *group = local_cgroup_monitors(site);
	const struct cgroup_limits none = { AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE };

	if (!site->cgroups)
		return xcalloc(1, sizeof(char *));
	if (!cgroup_exists(site->cgroups, group) && cgroup_create(site->cgroups, group, &none, NULL, err) < 0)
		return NULL;
	return cgroup_procs_files(site->cgroups, group);
}

static int process_start(struct site *site, const char *folder, int netns, const char *place, struct error *err)
{
	struct sockets sockets = { -1, -1 };
	autofree char *program = fs_join(site->config->program_dir, PROGRAM);
	const char *const argv[] = { program, folder, place, "/run/systemd/resolve/resolv.conf", "/etc/resolv.conf", NULL };
	struct child child = { &sockets, monitor_groups(site, err) };
	struct proc_options options = { .argv = argv, .timeout_ms = START_TIMEOUT_MS, .child = child_prepare, .child_arg = &child };
	int done;

	if (!child.groups)
		return -1;
	done = netns_run(netns, open_sockets, &sockets, err);
	if (done == 0)
		done = proc_check(&options, NULL, err);
	cleanup_fd(&sockets.udp);
	cleanup_fd(&sockets.tcp);
	for (char **group = child.groups; *group; group++)
		free(*group);
	free(child.groups);
	return done;
}

static bool is_loaded(const char *folder, const char *digest)
{
	autofree char *path = fs_join(folder, "loaded"), *line = NULL;
	struct error ignored;

	return fs_read_line(path, &line, &ignored) == 0 && streq(line, digest);
}

static int process_reload(const char *folder, const char *digest, struct error *err)
{
	struct resolver_process process;

	for (int waited = 0; !is_loaded(folder, digest); waited += 2) {
		if (!process_read(folder, &process))
			return error_set(err, ERROR_FAILED, "the resolver has ended");
		if (waited > LOAD_WAIT_MS)
			return error_set(err, ERROR_FAILED, "the resolver does not take its zones");
		/* again from time to time: one may have come while its worker was being replaced */
		if (waited % 500 == 0 && kill(process.pid, SIGHUP) < 0 && errno != ESRCH)
			return error_set_errno(err, errno, "cannot tell the resolver of its zones");
		pause_ms(2);
	}
	return 0;
}

static int resolver_ensure(struct site *site, const json_t *body, struct error *err)
{
	autofree char *folder = resolver_folder(site), *text = NULL, *path = fs_join(folder, "zones");
	autofd int netns = local_netns_open(site, "", err);
	struct resolver_process process;
	char place[64], digest[DIGEST_HEX];

	if (netns < 0 || place_of(netns, place, err) < 0 || zones_write(body, &text, digest, err) < 0 || fs_make_dirs(folder, 0711, err) < 0 ||
	    fs_replace_file(path, text, strlen(text), 0600, false, err) < 0)
		return -1;
	if (process_read(folder, &process) && streq(process.place, place))
		return process_reload(folder, digest, err);
	if (process_stop(folder, err) < 0)
		return -1;
	return process_start(site, folder, netns, place, err);
}

static int resolver_create(struct site *site, struct resource *resource, struct error *err)
{
	if (resolver_ensure(site, resource->body, err) < 0)
		return error_wrap(err, "resolver");
	resource_set_id(resource, "resolver");
	return 0;
}

static int resolver_update(struct site *site, const struct resource *from, struct resource *to, struct error *err)
{
	(void)from;
	return resolver_create(site, to, err);
}

/* NULL when there is none. One that is not alive, or listens in a router that is gone, answers nobody: it has no zones. */
static int resolver_live(struct site *site, struct resource **ret, struct error *err)
{
	autofree char *folder = resolver_folder(site), *path = fs_join(folder, "zones"), *text = NULL;
	struct resolver_process process;
	struct error absent;
	char place[64] = "";
	json_t *body;
	int netns;

	*ret = NULL;
	if (fs_read_file(path, ZONES_LIMIT, &text, NULL, err) < 0)
		return err->code == ERROR_NOT_FOUND ? 0 : -1;
	netns = local_netns_open(site, "", &absent);
	if (netns >= 0 && place_of(netns, place, err) < 0) {
		close(netns);
		return -1;
	}
	cleanup_fd(&netns);
	body = zones_read(text);
	if (!process_read(folder, &process) || !streq(process.place, place))
		json_array_clear(json_object_get(body, "zones"));
	*ret = network_resource(site, "resolver", "host/resolver", "resolver", body);
	return 0;
}

static int resolver_list(struct site *site, resource_sink sink, void *arg, struct error *err)
{
	struct resource *live;

	if (resolver_live(site, &live, err) < 0)
		return error_wrap(err, "resolver");
	return live ? sink(arg, live) : 0;
}

static int resolver_get(struct site *site, struct resource *resource, struct error *err)
{
	autoresource struct resource *live = NULL;

	if (resolver_live(site, &live, err) < 0)
		return error_wrap(err, "resolver");
	if (!live)
		return error_set(err, ERROR_NOT_FOUND, "there is no resolver");
	json_decref(resource->body);
	resource->body = json_incref(live->body);
	resource_set_id(resource, live->id);
	return 0;
}

static int resolver_remove(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	autofree char *folder = resolver_folder(site);

	(void)resource;
	(void)delete_data;
	if (process_stop(folder, err) < 0 || fs_remove_tree(folder, err) < 0)
		return error_wrap(err, "resolver");
	return 0;
}

static int resolver_ready(struct site *site, const struct resource *resource, enum readiness *ret, struct error *err)
{
	autofree char *folder = resolver_folder(site), *text = NULL;
	struct resolver_process process;
	char digest[DIGEST_HEX];

	if (zones_write(resource->body, &text, digest, err) < 0)
		return error_wrap(err, "resolver");
	*ret = !process_read(folder, &process) ? READY_FAILED : is_loaded(folder, digest) ? READY_YES : READY_WAITING;
	return 0;
}

static int resolver_sweep(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	autofree char *folder = resolver_folder(site);
	struct resolver_process process;

	(void)err;
	if (tenant)
		return 0;
	if (process_read(folder, &process))
		json_add(ret, json_sprintf("resolver (process %d)", (int)process.pid));
	else if (fs_exists(folder))
		json_add(ret, json_sprintf("folder %s", folder));
	return 0;
}

const struct local_kind local_resolver = {
	.name = "resolver",
	.list = resolver_list,
	.get = resolver_get,
	.create = resolver_create,
	.update = resolver_update,
	.remove = resolver_remove,
	.ready = resolver_ready,
	.sweep = resolver_sweep,
};
