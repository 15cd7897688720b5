/* SPDX-License-Identifier: Apache-2.0 */
#include "instance_fixture.h"

/* Real containers: how they start, end, are limited and leave nothing. */

static struct fixture *f;

static int setup(void **state)
{
	f = fixture_make();
	return 0;
}

static int teardown(void **state)
{
	fixture_free(f);
	return 0;
}

static void what_it_prints_and_its_exit_status_are_kept(void **state)
{
	autoresource struct resource *resource = NULL;
	autofree char *log = NULL;
	struct monitor_status status;
	struct error err = { 0 };

	fixture_need(f);
	resource = fixture_instance(f, "t/w/0", "echo out; echo err >&2; exit 7", NULL);
	assert_ok(local_instance.create(&f->site, resource, &err));
	status = fixture_wait(f, "t/w/0", "exited", 10000);
	assert_int_equal(status.exit, 7);
	assert_int_equal(status.signal, -1);
	log = fixture_log(f, "t/w/0");
	assert_string_equal(log, "out\nerr\n");
	fixture_remove(f, resource);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_prints_and_its_exit_status_are_kept),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
