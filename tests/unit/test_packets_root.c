/* SPDX-License-Identifier: Apache-2.0 */
#include "network_fixture.h"

#include "base/clock.h"
#include "site/local/container/cgroup.h"
#include "site/local/network/packets.h"

/* The work on what a tenant sends is done by a thread in its control group. */

#define LINK "out0"

static struct cgroups *cgroups;
static char top[64];

static int setup(void **state)
{
	struct error err = { 0 };

	snprintf(top, sizeof(top), "/insula-test-%d", (int)getpid());
	if (machine_setup(state) < 0)
		return -1;
	return machine.usable && cgroups_open(&cgroups, &err) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct error err = { 0 };

	if (cgroups && cgroup_remove(cgroups, top, &err) < 0)
		print_error("%s\n", err.message);
	cgroups_close(cgroups);
	return machine_teardown(state);
}

static void needed(void)
{
	struct error err = { 0 };

	machine_needed();
	if (packets_try(&err) < 0)
		test_skip("this kernel cannot: %s", err.message);
}

static int64_t switches(pid_t pid)
{
	autofree char *path = xasprintf("/proc/%d/status", (int)pid), *text = NULL;
	struct error err = { 0 };
	const char *line;

	assert_ok(fs_read_file(path, 65536, &text, NULL, &err));
	line = strstr(text, "\nvoluntary_ctxt_switches:");
	assert_non_null(line);
	return strtoll(strchr(line, ':') + 1, NULL, 10);
}

static bool is_in(pid_t pid, const char *group)
{
	autofree char *path = xasprintf("/proc/%d/cgroup", (int)pid), *text = NULL;
	struct error gone;

	return fs_read_file(path, 65536, &text, NULL, &gone) == 0 && strstr(text, group);
}

static void datagrams_send(void)
{
	int fd = socket_in(machine.outside, SOCK_DGRAM);
	struct sockaddr_in to = socket_address(HOST_ADDRESS, 9);

	for (int i = 0; i < 500; i++)
		sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
	close(fd);
}

static void datagrams_are_worked_on_in_the_group(void **state)
{
	static const struct cgroup_limits none = { AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, AMOUNT_NONE, NULL, false, true };
	autofree char *tenant = xasprintf("%s/tenant", top), *group = fs_join(tenant, PACKETS_GROUP);
	struct error err = { 0 };
	pid_t pid = 0, again = 0;
	int64_t before;

	needed();
	assert_ok(packets_thread(LINK, &pid, &err));
	assert_ok(packets_thread(LINK, &again, &err));
	assert_int_equal(pid, again);
	assert_ok(cgroup_create(cgroups, group, &none, NULL, &err));
	assert_ok(cgroup_attach_kernel_thread(cgroups, group, pid, &err));
	assert_true(is_in(pid, group));
	before = switches(pid);
	datagrams_send();
	clock_sleep_ms(&clock_system, 50);
	assert_true(switches(pid) > before);
	/* a thread of the kernel cannot be killed, and does not keep its group */
	assert_ok(cgroup_remove(cgroups, tenant, &err));
	assert_false(is_in(pid, top));
	assert_false(cgroup_exists(cgroups, tenant));
	datagrams_send();
}

static void threads_go_with_their_links(void **state)
{
	autonetlink struct netlink *host = NULL;
	struct error err = { 0 };
	struct link_state link;
	uint64_t ticks;
	pid_t pid;

	needed();
	assert_ok(packets_thread(LINK, &pid, &err));
	assert_ok(proc_start_ticks(pid, &ticks, &err));
	assert_ok(netlink_open(NETNS_HERE, &host, &err));
	assert_ok(netlink_link_remove(host, LINK, &err));
	for (int i = 0; i < 500 && proc_alive(pid, ticks); i++)
		clock_sleep_ms(&clock_system, 10);
	assert_false(proc_alive(pid, ticks));
	assert_int_equal(netlink_link_get(host, LINK, &link, &err), -1);
	assert_int_equal(packets_thread(LINK, &pid, &err), -1);
	assert_int_equal(err.code, ERROR_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(datagrams_are_worked_on_in_the_group),
		cmocka_unit_test(threads_go_with_their_links),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
