/* SPDX-License-Identifier: Apache-2.0 */
#include "packets.h"

#include "base/fs.h"
#include "netlink.h"
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/mount.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * How it works: a veth link receives by NAPI when GRO is on, and datagrams of a socket go that way when they may be
 * forwarded merged (veth_xmit in the kernel's drivers/net/veth.c). Its NAPI then gets a thread by the link's attribute `threaded`
 * (Documentation/networking/napi.rst), which is a child of kthreadd and called napi/<link>-<number>.
 *
 * sysfs shows the namespace of whoever mounts it, so it is mounted for that alone, and nowhere.
 */

#define FEATURES_LIMIT 1024
#define KTHREADD_CHILDREN "/proc/2/task/2/children"
#define CHILDREN_LIMIT ((size_t)1 << 20)
#define NAME_LIMIT 64

static const char *const wanted[] = { "rx-gro", "rx-udp-gro-forwarding" };

static int ethtool(int socket, const char *link, void *command, struct error *err)
{
	struct ifreq request = { .ifr_data = command };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", link);
	return ioctl(socket, SIOCETHTOOL, &request) < 0 ? error_set_errno(err, errno, "cannot ask for the features of link %s", link) : 0;
}

static int features_count(int socket, const char *link, uint32_t *ret, struct error *err)
{
	union { struct ethtool_sset_info info; char room[sizeof(struct ethtool_sset_info) + sizeof(uint32_t)]; } ask = {
		.info = { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ULL << ETH_SS_FEATURES },
	};

	if (ethtool(socket, link, &ask, err) < 0)
		return -1;
	memcpy(ret, ask.info.data, sizeof(*ret));
	if (!ask.info.sset_mask || *ret == 0 || *ret > FEATURES_LIMIT)
		return error_set(err, ERROR_UNSUPPORTED, "this kernel names no features of links");
	return 0;
}

/* Switches on the features of `names` that are bits of `text`. */
static int features_set(int socket, const char *link, const struct ethtool_gstrings *names, struct error *err)
{
	uint32_t blocks = (names->len + 31) / 32;
	autofree struct ethtool_sfeatures *set = xcalloc(1, sizeof(*set) + blocks * sizeof(set->features[0]));
	size_t found = 0;

	set->cmd = ETHTOOL_SFEATURES;
	set->size = blocks;
	for (uint32_t i = 0; i < names->len; i++)
		for (size_t w = 0; w < ARRAY_LEN(wanted); w++)
			if (strncmp((const char *)names->data + (size_t)i * ETH_GSTRING_LEN, wanted[w], ETH_GSTRING_LEN) == 0) {
				set->features[i / 32].valid |= 1U << i % 32;
				set->features[i / 32].requested |= 1U << i % 32;
				found++;
			}
	if (found < ARRAY_LEN(wanted))
		return error_set(err, ERROR_UNSUPPORTED, "this kernel does not forward datagrams merged");
	return ethtool(socket, link, set, err);
}

static int features_switch_on(const char *link, struct error *err)
{
	autofd int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	autofree struct ethtool_gstrings *names = NULL;
	uint32_t count;

	if (sock < 0)
		return error_set_errno(err, errno, "cannot open a socket");
	if (features_count(sock, link, &count, err) < 0)
		return -1;
	names = xcalloc(1, sizeof(*names) + (size_t)count * ETH_GSTRING_LEN);
	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_FEATURES;
	names->len = count;
	if (ethtool(sock, link, names, err) < 0)
		return -1;
	if (names->len > count)
		return error_set(err, ERROR_UNSUPPORTED, "the features of link %s change", link);
	return features_set(sock, link, names, err);
}

/* sysfs of the calling thread's network namespace, as a mount that only the descriptor holds. */
static int sysfs_open(struct error *err)
{
	autofd int context = (int)syscall(SYS_fsopen, "sysfs", FSOPEN_CLOEXEC);
	int mount;

	if (context < 0 || syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_set_errno(err, errno, "cannot open sysfs");
	mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
	return mount < 0 ? error_set_errno(err, errno, "cannot open sysfs") : mount;
}

static int threaded_switch_on(const char *link, struct error *err)
{
	autofree char *path = xasprintf("class/net/%s/threaded", link);
	autofd int sysfs = sysfs_open(err), file = -1;

	if (sysfs < 0)
		return -1;
	file = openat(sysfs, path, O_WRONLY | O_CLOEXEC);
	if (file < 0 || write(file, "1", 1) != 1)
		return error_set_errno(err, errno, "cannot give link %s a thread", link);
	return 0;
}

static bool is_thread_of(pid_t pid, const char *name)
{
	autofree char *line = NULL;
	struct error gone;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	return fs_read_line(path, &line, &gone) == 0 && starts_with(line, name);
}

/* The newest stand last. */
static int thread_find(const char *link, pid_t *ret, struct error *err)
{
	autofree char *text = NULL;
	char name[NAME_LIMIT];
	size_t n;

	snprintf(name, sizeof(name), "napi/%s-", link);
	if (fs_read_file(KTHREADD_CHILDREN, CHILDREN_LIMIT, &text, &n, err) < 0)
		return -1;
	while (n > 0) {
		pid_t pid;

		while (n > 0 && text[n - 1] == ' ')
			text[--n] = '\0';
		while (n > 0 && text[n - 1] != ' ')
			n--;
		pid = (pid_t)strtol(text + n, NULL, 10);
		if (pid > 0 && is_thread_of(pid, name)) {
			*ret = pid;
			return 0;
		}
	}
	return error_set(err, ERROR_UNSUPPORTED, "this kernel has no thread for link %s", link);
}

int packets_thread(const char *link, pid_t *ret, struct error *err)
{
	if (features_switch_on(link, err) < 0 || threaded_switch_on(link, err) < 0 || thread_find(link, ret, err) < 0) {
		err->code = ERROR_UNSUPPORTED;
		return -1;
	}
	return 0;
}

static int try_work(void *arg, struct error *err)
{
	static const struct veth_end near = { .name = "insula0", .mac = { 2, 0, 0, 0, 0, 1 } }, far = { .name = "insula1", .mac = { 2, 0, 0, 0, 0, 2 } };
	autofd int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	autonetlink struct netlink *netlink = NULL;
	struct link_change up = { .up = true };
	struct link_state link;
	pid_t pid;

	if (here < 0)
		return error_set_errno(err, errno, "cannot open this thread's network namespace");
	if (netlink_open(NETNS_HERE, &netlink, err) < 0 || netlink_veth_create(netlink, &near, 0, here, &far, 1500, err) < 0 ||
	    netlink_link_get(netlink, near.name, &link, err) < 0 || netlink_link_change(netlink, link.index, &up, err) < 0)
		return -1;
	return packets_thread(near.name, &pid, err);
}

int packets_try(struct error *err)
{
	return netns_run(NETNS_NEW, try_work, NULL, err);
}
