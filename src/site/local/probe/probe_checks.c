/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include "base/fs.h"

#include <inttypes.h>
#include <stdlib.h>

/* Facts to lines for people: what works, what does not, and the command that mends it. */

#define GIB ((int64_t)1 << 30)

static void check_add(json_t *facts, const char *id, const char *level, const char *fix, json_t *text)
{
	json_t *checks = json_get_array(facts, "checks");

	json_add(checks, json_pack("{s:s, s:s, s:o, s:s}", "id", id, "level", level, "text", text, "fix", fix ? fix : ""));
}

static bool works(const json_t *facts, const char *what)
{
	return json_get_bool(json_get_object(facts, "works"), what, false);
}

static const char *program(const json_t *facts, const char *name)
{
	return json_get_string(json_get_object(facts, "programs"), name, NULL);
}

static void check_root(json_t *facts)
{
	if (json_get_bool(facts, "root", false))
		check_add(facts, "root", "ok", NULL, json_string("running as root"));
	else
		check_add(facts, "root", "fail", "run it with sudo", json_string("not root: nothing can be made on this machine, and some checks are left out"));
}

static void check_works(json_t *facts, const char *id, const char *what, const char *good, const char *bad, const char *fix)
{
	if (!json_get_bool(facts, "root", false))
		return;
	if (works(facts, what))
		check_add(facts, id, "ok", NULL, json_string(good));
	else
		check_add(facts, id, "fail", fix, json_string(bad));
}

static void check_programs(json_t *facts, const char *id, const char *const *names, const char *what, const char *fix)
{
	for (; *names; names++) {
		if (program(facts, *names))
			continue;
		check_add(facts, id, "fail", fix, json_sprintf("%s is not installed", *names));
		return;
	}
	check_add(facts, id, "ok", NULL, json_string(what));
}

static void check_cgroup(json_t *facts)
{
	static const char *const needed[] = { "cpu", "memory", "pids" };
	const json_t *cgroup = json_get_object(facts, "cgroup");
	const char *summary = json_get_string(cgroup, "summary", "none");

	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		if (json_get_int(cgroup, needed[i], 0))
			continue;
		check_add(facts, "cgroup", "fail", "mount it: mount -t cgroup2 none /sys/fs/cgroup (or boot with cgroup_enable=memory)",
			  json_sprintf("control groups (%s) have no controller for %s: limits cannot be enforced", summary, needed[i]));
		return;
	}
	if (json_get_int(cgroup, "memory", 0) == 2 && json_get_int(cgroup, "io", 0) == 2)
		check_add(facts, "cgroup", "ok", NULL, json_sprintf("control groups: %s", summary));
	else
		check_add(facts, "cgroup", "ok", NULL, json_sprintf("control groups: %s; memory guarantees are by admission, disk bandwidth is limited per instance", summary));
}

static void check_uplink(json_t *facts)
{
	const json_t *uplink = json_get_object(facts, "uplink");

	if (uplink)
		check_add(facts, "uplink", "ok", NULL, json_sprintf("the default route leads through %s, MTU %d", json_get_string(uplink, "link", "?"),
								     (int)json_get_int(uplink, "mtu", 1500)));
	else
		check_add(facts, "uplink", "warn", "ip route add default via GATEWAY",
			  json_string("there is no default route for IPv4: tenants that may reach the internet will not"));
}

static void check_cuts(json_t *facts)
{
	const json_t *cuts = json_get_array(facts, "cuts");
	size_t i;
	json_t *cut;

	json_array_foreach(cuts, i, cut)
		check_add(facts, "forward", "warn", json_get_string(cut, "fix", NULL),
			  json_sprintf("%s: it may cut tenants from the internet, it never lets them reach each other", json_get_string(cut, "text", "?")));
}

static void check_space(const struct site_config *config, json_t *facts)
{
	autofree char *folder = probe_path_existing(config->state_dir);
	int64_t free_bytes = fs_free_bytes(folder);

	if (free_bytes >= 2 * GIB)
		check_add(facts, "space", "ok", NULL, json_sprintf("%d GiB are free for images and storage in %s", (int)(free_bytes / GIB), config->state_dir));
	else
		check_add(facts, "space", "warn", "make room, or give another folder with --state-dir",
			  json_sprintf("only %d MiB are free for images and storage in %s", (int)(free_bytes >> 20), config->state_dir));
}

/* What several machines share has neither our locks nor our bind mounts in common. */
static void check_backing(const struct site_config *config, json_t *facts)
{
	const json_t *backing = json_get_object(facts, "backing");
	const char *type = json_get_string(backing, "type", "?");

	if (!backing)
		return;
	if (json_get_bool(backing, "readOnly", false))
		check_add(facts, "backing", "fail", "give a folder that can be written, with --state-dir", json_sprintf("%s is on a file system that is mounted read-only", config->state_dir));
	else if (json_get_bool(backing, "shared", false))
		check_add(facts, "backing", "fail", "give a folder on a disk of this machine, with --state-dir",
			  json_sprintf("%s is on %s, which is no disk of this machine: the locks and loop devices that insula needs do not work there", config->state_dir, type));
	else if (json_get_bool(backing, "memory", false))
		check_add(facts, "backing", "warn", "give a folder on a disk, with --state-dir",
			  json_sprintf("%s is on %s: images, volumes and the state are in memory and gone after a reboot", config->state_dir, type));
	else if (!json_get_bool(backing, "reserve", true))
		check_add(facts, "backing", "warn", "give a folder on ext4, xfs or btrfs, with --state-dir",
			  json_sprintf("%s is on %s, which cannot reserve space: quota.storage is no guarantee there", config->state_dir, type));
	else
		check_add(facts, "backing", "ok", NULL, json_sprintf("%s is on %s", config->state_dir, type));
}

/* Whose it is that holds a card's memory; a part of a card is its own. */
static void check_strangers(json_t *facts, const json_t *card)
{
	json_t *process;
	size_t i;

	json_array_foreach(json_get_array(card, "processes"), i, process)
		if (!json_get_bool(process, "ours", false))
			check_add(facts, "gpu", "warn", "end it, or leave the card to it",
				  json_sprintf("GPU %d: %" PRId64 " MiB are held by %s (pid %d) of %s, which is no work of ours", (int)json_get_int(card, "index", 0),
					       json_get_int(process, "memory", 0) >> 20, json_get_string(process, "name", "a process"), (int)json_get_int(process, "pid", 0),
					       json_get_string(process, "user", "another namespace")));
}

static void check_card(json_t *facts, const json_t *card)
{
	const char *failure = json_get_string(card, "error", NULL), *mig = json_get_string(card, "mig", "none");

	if (failure) {
		check_add(facts, "gpu", "warn", "see what the kernel says: dmesg | grep -i -e NVRM -e Xid; often only a reset or a reboot brings it back",
			  json_sprintf("GPU %d does not answer: %s; the others can be used", (int)json_get_int(card, "index", 0), failure));
		return;
	}
	check_add(facts, "gpu", "ok", NULL,
		  json_sprintf("GPU %d: %s, %" PRId64 " MiB, %" PRId64 " MiB free%s", (int)json_get_int(card, "index", 0), json_get_string(card, "model", "?"),
			       json_get_int(card, "memory", 0) >> 20, json_get_int(card, "free", 0) >> 20, streq(mig, "on") ? ", cut into parts (MIG)" : ""));
	check_strangers(facts, card);
}

static void check_gpus(json_t *facts)
{
	const json_t *gpus = json_get_object(facts, "gpus");
	const char *reason = json_get_string(gpus, "reason", ""), *failure = json_get_string(gpus, "error", "");
	int on_bus = (int)json_get_int(gpus, "onBus", 0);
	json_t *card;
	size_t i;

	json_array_foreach(json_get_array(gpus, "cards"), i, card)
		check_card(facts, card);
	if (streq(reason, "absent") || streq(reason, "driver")) {
		if (on_bus > 0)
			check_add(facts, "gpu", "warn", "install the driver, and its library: apt-get install nvidia-driver (non-free), or the vendor's own",
				  json_sprintf("%d NVIDIA cards are on the PCI bus, and %s", on_bus, streq(reason, "absent") ? "no driver library is installed" : "the driver is not loaded"));
		return;
	}
	if (streq(reason, "mismatch"))
		check_add(facts, "gpu", "warn", "reboot",
			  json_sprintf("the host needs a reboot: NVIDIA's library was updated, and the kernel still runs the driver of before (%s)",
				       json_get_string(gpus, "kernelDriver", "of another version")));
	else if (*reason)
		check_add(facts, "gpu", "warn", "see whether nvidia-smi answers, and what the kernel says: dmesg | grep -i -e NVRM -e Xid",
			  json_sprintf("GPUs cannot be asked: %s", failure));
}

static void check_runtime(json_t *facts)
{
	const json_t *tried = json_get_object(facts, "works"), *runtime = json_get_object(facts, "runtime");
	const char *reason = json_get_string(runtime, "reason", NULL);

	if (!json_get_bool(facts, "root", false))
		return;
	if (runtime)
		check_add(facts, "runtime", "ok", NULL, json_sprintf("containers are run by %s %s%s%s", json_get_string(runtime, "name", "?"),
								     json_get_string(runtime, "version", ""), reason ? "; " : "", reason ? reason : ""));
	else
		check_add(facts, "runtime", "fail", "apt-get install crun", json_text(json_get_string(tried, "runtimeError", "no OCI runtime runs containers here")));
}

static void check_images(const struct site_config *config, json_t *facts)
{
	const json_t *failures = json_get_object(facts, "imageErrors");
	json_t *failure;
	const char *reference;

	if (!config->whole_intent)
		return;
	json_object_foreach((json_t *)failures, reference, failure)
		check_add(facts, "image", "fail", json_get_string(failure, "hint", NULL),
			  json_sprintf("image %s: %s", reference, json_get_string(failure, "message", "?")));
}

void probe_checks(const struct site_config *config, json_t *facts)
{
	static const char *const e2fsprogs[] = { "mke2fs", "e2fsck", "resize2fs", NULL };
	static const char *const own[] = { "insula-init", "insula-monitor", "insula-resolver", NULL };

	json_set(facts, "checks", json_array());
	check_root(facts);
	check_add(facts, "kernel", "ok", NULL, json_sprintf("Linux %s, %d cores, %d GiB", json_get_string(facts, "kernel", "?"),
							    (int)(json_get_int(facts, "cpus", 0) / 1000), (int)(json_get_int(facts, "memory", 0) / GIB)));
	check_cgroup(facts);
	check_works(facts, "userns", "userNamespaces", "user namespaces work", "user namespaces do not work", "sysctl user.max_user_namespaces=65536");
	check_works(facts, "overlay", "overlay", "overlay mounts work", "overlay mounts do not work", "modprobe overlay");
	if (json_get_bool(facts, "root", false))
		check_add(facts, "idmap", "ok", NULL, json_string(works(facts, "idmap") ? "image layers are shared by id-mapped mounts"
								: "no id-mapped mounts here: each range of user ids gets a copy of the layers that it runs"));
	check_works(facts, "loop", "loop", "loop devices work", "there are no loop devices: storage cannot be limited", "modprobe loop");
	check_works(facts, "nft", "nft", "nftables work", "nftables do not work", "apt-get install nftables; modprobe nf_tables");
	if (json_get_bool(facts, "root", false))
		check_add(facts, "packets", works(facts, "packets") ? "ok" : "warn", works(facts, "packets") ? NULL : "Linux 6.1 or newer can",
			  works(facts, "packets") ? json_string("the work on what a tenant sends is part of its CPU share")
						  : json_sprintf("the work on what a tenant sends is at everyone's expense: %s",
								 json_get_string(json_get_object(facts, "works"), "packetsError", "?")));
	check_programs(facts, "e2fsprogs", e2fsprogs, "storage is made by e2fsprogs", "apt-get install e2fsprogs");
	check_programs(facts, "guest", own, "init, monitor and resolver are there", "install insula whole, or name their folder: INSULA_PROGRAM_DIR");
	check_runtime(facts);
	check_uplink(facts);
	check_gpus(facts);
	check_cuts(facts);
	check_backing(config, facts);
	check_space(config, facts);
	check_images(config, facts);
}
