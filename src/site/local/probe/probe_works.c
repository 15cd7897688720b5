/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include "base/fs.h"
#include "base/proc.h"
#include "site/local/image/image.h"
#include "site/local/network/netns.h"
#include "site/local/network/nft.h"
#include "site/local/network/packets.h"
#include "site/local/container/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * How it works: what the kernel can do is tried, not guessed, in a child with a mount namespace of its own and in a
 * network namespace that is thrown away. That takes some tens of milliseconds, so the answers are kept in the run folder
 * (when there is one: a look at a machine without islands leaves nothing behind) for this boot and these programs.
 */

#define KEPT_LIMIT ((size_t)64 << 10)
#define TRY_TIMEOUT_MS 5000
#define TRIES_VERSION 2		/* goes up when more is tried: what an older program kept is not the whole answer */

struct tries { bool overlay, user_namespaces, loop; };

/* In the child, which another thread's locks must not stop: system calls only. */
static int child_try(void *arg)
{
	struct tries *tries = arg;
	int fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	tries->loop = fd >= 0;
	if (fd >= 0)
		close(fd);
	if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("insula", "/proc", "tmpfs", 0, "size=1m") == 0) {
		bool made = mkdir("/proc/lower", 0700) == 0 && mkdir("/proc/upper", 0700) == 0 &&
			    mkdir("/proc/work", 0700) == 0 && mkdir("/proc/merged", 0700) == 0;

		tries->overlay = made && mount("insula", "/proc/merged", "overlay", 0, "lowerdir=/proc/lower,upperdir=/proc/upper,workdir=/proc/work") == 0;
		umount2("/proc/merged", MNT_DETACH);
		umount2("/proc", MNT_DETACH);
	}
	tries->user_namespaces = unshare(CLONE_NEWUSER) == 0;
	return 0;
}

static int kernel_try(json_t *works, struct error *err)
{
	static const char *const argv[] = { "/bin/true", NULL };
	struct tries *tries = mmap(NULL, sizeof(*tries), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct proc_options options = { .argv = argv, .timeout_ms = TRY_TIMEOUT_MS, .child = child_try, .child_arg = tries };
	struct proc_result result CLEANUP(proc_result_clear) = { 0 };
	int status;

	if (tries == MAP_FAILED)
		return error_set_errno(err, errno, "cannot map memory");
	status = proc_run(&options, &result, err);
	if (status == 0) {
		json_set_bool(works, "overlay", tries->overlay);
		json_set_bool(works, "userNamespaces", tries->user_namespaces);
		json_set_bool(works, "loop", tries->loop);
	}
	munmap(tries, sizeof(*tries));
	return status;
}

/* One table of each family that ours are of, with what they cannot do without. */
static int nft_work(void *arg, struct error *err)
{
	autojson json_t *commands = json_pack("[{s:{s:{s:s, s:s}}}, {s:{s:{s:s, s:s, s:s, s:s, s:s, s:i, s:s}}}, {s:{s:{s:s, s:s}}}, {s:{s:{s:s, s:s, s:s, s:[s,s]}}}]",
		"add", "table", "family", "inet", "name", "insula",
		"add", "chain", "family", "inet", "table", "insula", "name", "forward", "type", "filter", "hook", "forward", "prio", 0, "policy", "drop",
		"add", "table", "family", "bridge", "name", "insula",
		"add", "set", "family", "bridge", "table", "insula", "name", "ports", "type", "ifname", "ipv4_addr");

	if (!commands)
		BUG("the trial of nft is not JSON");
	return nft_apply(NETNS_HERE, commands, err);
}

/* On the file system that the image store is on, or will be. */
static void idmap_try(const struct site_config *config, json_t *works)
{
	autofree char *folder = probe_path_existing(config->state_dir), *why = NULL;

	json_set_bool(works, "idmap", image_idmap_works(folder, &why));
	json_set_string(works, "idmapError", why);
}

static void runtime_try(json_t *works)
{
	autoruntime struct runtime runtime = { 0 };
	struct error missing;

	if (runtime_probe(&runtime, &missing) < 0) {
		json_set_string(works, "runtimeError", missing.message);
		return;
	}
	json_set(works, "runtime", json_pack("{s:o, s:o, s:o}", "name", json_text(runtime.name), "path", json_text(runtime.path),
					     "version", json_text(runtime.version)));
	json_set_string(json_get_object(works, "runtime"), "reason", runtime.reason);
}

static char *kept_path(const struct site_config *config, const json_t *facts)
{
	return xasprintf("%s/probe-%s.json", config->run_dir, json_get_string(facts, "boot", "unknown"));
}

static void program_key(json_t *key, const char *name, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0)
		json_set(key, name, json_pack("[I, I]", (json_int_t)st.st_mtim.tv_sec, (json_int_t)st.st_size));
}

/* What the answers depend on besides the boot. */
static json_t *kept_key(const struct site_config *config, const json_t *facts)
{
	json_t *key = json_object(), *path;
	const char *name;

	json_object_foreach(json_get_object(facts, "programs"), name, path)
		program_key(key, name, json_string_value(path));
	json_set_int(key, "tries", TRIES_VERSION);
	json_set_string(key, "state", config->state_dir);
	json_set_bool(key, "root", json_get_bool(facts, "root", false));
	return key;
}

static bool kept_read(const char *path, const json_t *key, json_t **ret)
{
	autojson json_t *kept = NULL;
	struct error ignored;

	if (json_read_file(path, KEPT_LIMIT, &kept, &ignored) < 0 || !json_equal(json_object_get(kept, "key"), key) || !json_get_object(kept, "works"))
		return false;
	*ret = json_incref(json_get_object(kept, "works"));
	return true;
}

static void kept_write(const struct site_config *config, const char *path, const json_t *key, json_t *works)
{
	autojson json_t *kept = json_object();
	autofree char *text = NULL;
	struct error ignored;

	if (!fs_is_dir(config->run_dir))
		return;
	json_object_set_new(kept, "key", json_deep_copy(key));
	json_object_set(kept, "works", works);
	text = json_canonical(kept);
	if (fs_replace_file(path, text, strlen(text), 0600, false, &ignored) < 0)
		return;	/* it is tried again next time */
}

/* The runtime is no trial but a choice, and stands by itself among the facts. */
static void works_add(json_t *facts, json_t *works)
{
	json_t *runtime = json_object_get(works, "runtime");

	if (runtime)
		json_object_set(facts, "runtime", runtime);
	json_object_del(works, "runtime");
	json_set(facts, "works", works);
}

int probe_works(const struct site_config *config, json_t *facts, struct error *err)
{
	autofree char *path = kept_path(config, facts);
	autojson json_t *key = kept_key(config, facts);
	json_t *works = NULL;
	struct error refused;

	if (kept_read(path, key, &works)) {
		works_add(facts, works);
		return 0;
	}
	works = json_object();
	if (json_get_bool(facts, "root", false)) {
		if (kernel_try(works, err) < 0) {
			json_decref(works);
			return -1;
		}
		json_set_bool(works, "nft", netns_run(NETNS_NEW, nft_work, NULL, &refused) == 0);
		if (!json_get_bool(works, "nft", false))
			json_set_string(works, "nftError", refused.message);
		json_set_bool(works, "packets", packets_try(&refused) == 0);
		if (!json_get_bool(works, "packets", false))
			json_set_string(works, "packetsError", refused.message);
		idmap_try(config, works);
		runtime_try(works);
		kept_write(config, path, key, works);
	}
	works_add(facts, works);
	return 0;
}
