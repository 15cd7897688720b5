/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_TESTS_ISLANDS_FIXTURE_H
#define INSULA_TESTS_ISLANDS_FIXTURE_H

/*
 * A machine to put islands on: this process in a network and mount namespace of its own, with an uplink that leads
 * nowhere, an /etc of its own and a root file system of busybox. Nothing of the real machine is touched but control groups.
 */

#include "helper.h"

#include "base/clock.h"
#include "base/proc.h"
#include "site/local/local.h"
#include "site/local/network/netlink.h"
#include "site/local/network/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static UNUSED struct {
	char *dir, *rootfs, *name;
	bool usable;
} machine;

static inline void link_prepare(struct netlink *netlink, const char *name, const char *address)
{
	struct link_change up = { .up = true };
	struct link_state link;
	struct error err = { 0 };

	assert_ok(netlink_link_get(netlink, name, &link, &err));
	assert_ok(netlink_link_change(netlink, link.index, &up, &err));
	if (address) {
		struct address parsed;

		assert_ok(address_parse(address, &parsed, &err));
		assert_ok(netlink_address_set(netlink, link.index, &parsed, 24, &err));
	}
}

/* An uplink that leads nowhere, with an MTU of its own. */
static inline void uplink_make(void)
{
	struct veth_end near = { "up0", { 2, 0, 0, 0, 9, 1 } }, far = { "up1", { 2, 0, 0, 0, 9, 2 } };
	struct prefix everything = { .address = { .family = AF_INET } };
	autonetlink struct netlink *netlink = NULL;
	struct error err = { 0 };
	struct address gateway;
	struct link_state link;

	assert_ok(netlink_open(NETNS_HERE, &netlink, &err));
	link_prepare(netlink, "lo", NULL);
	autofd int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_ok(netlink_veth_create(netlink, &near, 0, here, &far, 1400, &err));
	link_prepare(netlink, "up1", NULL);
	link_prepare(netlink, "up0", "192.168.60.1");
	assert_ok(netlink_link_get(netlink, "up0", &link, &err));
	assert_ok(address_parse("192.168.60.2", &gateway, &err));
	assert_ok(netlink_route_set(netlink, &everything, &gateway, link.index, &err));
}

static inline void rootfs_make(void)
{
	static const char *const folders[] = { "bin", "tmp", "proc", "sys", "dev", "etc", "out" };
	static const char *const applets[] = { "sh", "sleep", "echo", "cat", "ls", "id", "nc", "ping", "wget", "httpd", "touch", "true", "false", "dd" };
	autofree char *busybox = fs_find_program(PROC_PATH, "busybox"), *to = fs_join(machine.rootfs, "bin/busybox"), *data = NULL;
	struct error err = { 0 };
	size_t n;

	assert_int_equal(chmod(machine.dir, 0711), 0);	/* the way to a root file system is looked up as the tenant */
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		autofree char *path = fs_join(machine.rootfs, folders[i]);

		assert_ok(fs_make_dirs(path, 0755, &err));
	}
	assert_ok(fs_read_file(busybox, 16 << 20, &data, &n, &err));
	assert_ok(fs_replace_file(to, data, n, 0755, false, &err));
	for (size_t i = 0; i < ARRAY_LEN(applets); i++) {
		autofree char *path = xasprintf("%s/bin/%s", machine.rootfs, applets[i]);

		assert_int_equal(symlink("busybox", path), 0);
	}
}

/* An /etc of its own, where user ids are registered. */
static inline void etc_make(void)
{
	static const char *const files[] = { "passwd", "group" };
	autofree char *etc = fs_join(machine.dir, "etc");
	struct error err = { 0 };

	assert_ok(fs_make_dirs(etc, 0755, &err));
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		autofree char *from = xasprintf("/etc/%s", files[i]), *to = fs_join(etc, files[i]), *text = NULL;
		size_t n;

		assert_ok(fs_read_file(from, 1 << 20, &text, &n, &err));
		assert_ok(fs_replace_file(to, text, n, 0644, false, &err));
	}
	assert_int_equal(mount(etc, "/etc", NULL, MS_BIND, NULL), 0);
}

static inline int machine_setup(void **state)
{
	autofree char *busybox = fs_find_program(PROC_PATH, "busybox");

	if (geteuid() != 0 || !busybox || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 0;
	machine.dir = temp_dir_make();
	machine.rootfs = fs_join(machine.dir, "rootfs");
	machine.name = xasprintf("islands-%d", getpid());
	rootfs_make();
	etc_make();
	uplink_make();
	machine.usable = true;
	return 0;
}

static inline int machine_teardown(void **state)
{
	if (!machine.usable)
		return 0;
	free(machine.rootfs);
	free(machine.name);
	umount2("/etc", MNT_DETACH);
	temp_dir_remove(machine.dir);
	return 0;
}

#define machine_needed() \
	do { \
		if (!machine.usable) \
			test_skip("needs root, busybox and new namespaces"); \
	} while (0)

/* What a file of a test says. */
#define SITE "apiVersion: insula.dev/v1\nkind: Site\nmetadata: {name: %s}\nspec: {}\n---\n"
#define TENANT(name, more) "apiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: " name "}\nspec: {quota: {storage: 64Mi}" more "}\n---\n"
#define WORKLOAD(kind, name, tenant, command, more) \
	"apiVersion: insula.dev/v1\nkind: " kind "\nmetadata: {name: " name ", tenant: " tenant "}\n" \
	"spec: {method: container, image: \"rootfs:%s\", command: [sh, -c, \"" command "\"]" more "}\n---\n"

#endif
