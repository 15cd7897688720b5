/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "site/local/container/monitor.h"

#include "../../guest/insula-monitor-conf.c"
#include "../../guest/insula-monitor-status.c"
#include "../../guest/insula-monitor-text.c"

/* monitor.conf and status, from both sides. */

#define NEEDED "key=t/w/0\ndir=/run/x\nruntime=crun\nprogram=/usr/bin/crun\ngroup=/sys/a\nlayer=plain:/l\nupper=/u\nwork=/w\nbase=1000\ncount=65536\nlog=/log\nusage=/usage\n"

static int parse(const char *text, struct conf *ret, struct why *why)
{
	char *copy = xstrdup(text);

	if (conf_parse(copy, ret, why) == 0)
		return 0;
	free(copy);
	return -1;
}

static void a_conf_is_read(void **state)
{
	struct conf conf;
	struct why why;

	assert_int_equal(parse(NEEDED "group=/sys/b\nlayer=idmap:/m\nrestart=onFailure\nrestart.max=3\nlog.size=4096\nhide=/a\\\\b\\nc\n", &conf, &why), 0);
	assert_string_equal(conf.key, "t/w/0");
	assert_int_equal(conf.groups.n, 2);
	assert_string_equal(conf.groups.items[1], "/sys/b");
	assert_int_equal(conf.layers.n, 2);
	assert_int_equal(conf.restart, RESTART_ON_FAILURE);
	assert_int_equal(conf.restart_max, 3);
	assert_int_equal(conf.log_size, 4096);
	assert_int_equal(conf.log_keep, 2);
	assert_int_equal(conf.backoff_cap_ms, 300000);
	assert_string_equal(conf.hide, "/a\\b\nc");
	conf_clear(&conf);
}

static void a_conf_that_is_wrong_is_refused(void **state)
{
	static const struct { const char *text, *why; } wrong[] = {
		{ "", "key is missing" },
		{ NEEDED "unheard=1\n", "unknown key: unheard" },
		{ NEEDED "no value\n", "without '='" },
		{ NEEDED "restart=sometimes\n", "bad value of restart" },
		{ NEEDED "base=12x\n", "bad value of base" },
		{ NEEDED "base=99999999999999999999\n", "bad value of base" },
		{ NEEDED "hide=a\\tb\n", "bad value of hide" },
		{ NEEDED "hide=cut", "last line is cut" },
		{ NEEDED "log.size=10\n", "out of range" },
		{ NEEDED "backoff.first_ms=0\n", "out of range" },
		{ "key=t/w/0\n", "dir is missing" },
	};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct conf conf;
		struct why why = { "" };

		assert_int_equal(parse(wrong[i].text, &conf, &why), -1);
		if (!strstr(why.text, wrong[i].why))
			fail_msg("\"%s\" should hold \"%s\"", why.text, wrong[i].why);
	}
}

static void a_list_has_an_end(void **state)
{
	struct buf text = { 0 };
	struct conf conf;
	struct why why;

	buf_adds(&text, NEEDED);
	for (int i = 0; i < LIST_LIMIT; i++)
		buf_adds(&text, "keep=/k\n");
	assert_int_equal(parse(text.data, &conf, &why), 0);
	conf_clear(&conf);
	buf_adds(&text, "keep=/k\n");
	assert_int_equal(parse(text.data, &conf, &why), -1);
	buf_clear(&text);
}

static void what_the_site_writes_the_monitor_reads(void **state)
{
	struct buf text = { 0 };
	struct conf conf;
	struct why why;

	buf_adds(&text, NEEDED);
	monitor_conf_add(&text, "hide", "a\nb\\n=c");
	monitor_conf_add(&text, "release", NULL);
	monitor_conf_add_int(&text, "stop_ms", 77);
	assert_int_equal(parse(text.data, &conf, &why), 0);
	assert_string_equal(conf.hide, "a\nb\\n=c");
	assert_null(conf.release);
	assert_int_equal(conf.stop_ms, 77);
	conf_clear(&conf);
	buf_clear(&text);
}

static void what_the_monitor_writes_the_site_reads(void **state)
{
	char *dir = temp_dir_make();
	autofree char *path = fs_join(dir, FILE_STATUS), *exit_path = fs_join(dir, FILE_EXIT), *text = NULL;
	struct status status, again;
	struct monitor_status seen;
	struct error err = { 0 };
	int64_t monitor_ticks, init_ticks;

	status_reset(&status);
	snprintf(status.state, sizeof(status.state), "%s", STATE_RUNNING);
	snprintf(status.reason, sizeof(status.reason), "two\nlines");
	status.monitor = 12;
	status.monitor_ticks = 34;
	status.pid = 56;
	status.ticks = 78;
	status.started_ms = INT64_MAX;
	status.restarts = 3;
	status.oom = 1;
	assert_int_equal(status_write(dir, &status), 0);
	assert_int_equal(status_read(dir, &again), 0);
	assert_string_equal(again.reason, "two lines");
	assert_true(again.started_ms == INT64_MAX);
	assert_int_equal(again.exit, -1);
	assert_ok(fs_read_file(path, 4096, &text, NULL, &err));
	assert_ok(monitor_status_parse(text, &seen, &monitor_ticks, &init_ticks, &err));
	assert_string_equal(seen.state, STATE_RUNNING);
	assert_int_equal(seen.monitor, 12);
	assert_int_equal(monitor_ticks, 34);
	assert_int_equal(seen.init, 56);
	assert_int_equal(init_ticks, 78);
	assert_int_equal(seen.restarts, 3);
	assert_true(seen.oom);
	/* neither lives: the exit file decides */
	assert_ok(fs_replace_file(exit_path, "exit 4\n", 7, 0600, false, &err));
	assert_ok(monitor_status(dir, &seen, &err));
	assert_string_equal(seen.state, STATE_EXITED);
	assert_int_equal(seen.exit, 4);
	assert_false(seen.watched);
	assert_ok(fs_replace_file(exit_path, "exec 2\n", 7, 0600, false, &err));
	assert_ok(monitor_status(dir, &seen, &err));
	assert_int_equal(seen.exit, 127);
	assert_ok(fs_replace_file(exit_path, "", 0, 0600, false, &err));
	assert_ok(monitor_status(dir, &seen, &err));
	assert_int_equal(seen.signal, 9);
	assert_fails(monitor_status_parse("pid=1\n", &seen, &monitor_ticks, &init_ticks, &err), "no state");
	temp_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_conf_is_read),
		cmocka_unit_test(a_conf_that_is_wrong_is_refused),
		cmocka_unit_test(a_list_has_an_end),
		cmocka_unit_test(what_the_site_writes_the_monitor_reads),
		cmocka_unit_test(what_the_monitor_writes_the_site_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
