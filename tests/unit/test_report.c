/* SPDX-License-Identifier: Apache-2.0 */
/* What people see: text, tables, plans, progress. */
#include "helper.h"

#include "report/plan_text.h"
#include "report/progress.h"
#include "report/table.h"
#include "report/text.h"

static void width_counts_columns(void **state)
{
	assert_int_equal(text_width(""), 0);
	assert_int_equal(text_width("abc"), 3);
	assert_int_equal(text_width("na\xc3\xafve"), 5);
	assert_int_equal(text_width("e\xcc\x81"), 1);			/* e and a combining acute */
	assert_int_equal(text_width("\xe6\x97\xa5\xe6\x9c\xac"), 4);	/* two ideographs */
	assert_int_equal(text_width("\xff" "a"), 2);
	assert_int_equal(text_width("\xc3"), 1);			/* cut in a character */
}

static void assert_safe(const char *given, const char *expected)
{
	autobuf struct buf buf = { 0 };

	buf_adds(&buf, "");
	text_add_safe(&buf, given);
	assert_string_equal(buf.data, expected);
}

static void nothing_from_outside_moves_the_cursor(void **state)
{
	assert_safe("plain \xc3\xa9", "plain \xc3\xa9");
	assert_safe("a\033[2Jb\n", "a\\x1b[2Jb\\x0a");
	assert_safe("\xc2\x9b" "2J", "\\xc2\\x9b" "2J");		/* C1: CSI */
	assert_safe("\xe2\x80\xae" "gnp", "\\xe2\\x80\\xae" "gnp");	/* turns the direction */
	assert_safe("\xc0\xaf", "\\xc0\\xaf");				/* overlong */
	assert_safe("\xed\xa0\x80", "\\xed\\xa0\\x80");			/* a surrogate */
	assert_safe("\x7f", "\\x7f");
}

static void cut_and_padded_text_fits(void **state)
{
	autobuf struct buf buf = { 0 };

	text_add_cut(&buf, "abcdefgh", 6);
	assert_string_equal(buf.data, "abc...");
	buf_reset(&buf);
	text_add_cut(&buf, "\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5", 5);
	assert_string_equal(buf.data, "\xe6\x97\xa5...");
	buf_reset(&buf);
	text_add_padded(&buf, "7", 3, true);
	text_add_padded(&buf, "\xc3\xa9", 3, false);
	assert_string_equal(buf.data, "  7\xc3\xa9  ");
}

static void assert_duration(int64_t ms, const char *expected)
{
	autobuf struct buf buf = { 0 };

	text_add_duration(&buf, ms);
	assert_string_equal(buf.data, expected);
}

static void durations_read_well(void **state)
{
	assert_duration(210, "0.2 s");
	assert_duration(41000, "41 s");
	assert_duration(131000, "2 min 11 s");
	assert_duration(11100000, "3 h 5 min");
}

static void a_table_is_as_wide_as_its_cells(void **state)
{
	struct table *table = table_new((const char *const[]){ "NAME", "N", "NOTE", NULL });
	autobuf struct buf buf = { 0 };

	table_align_right(table, 1);
	table_row(table, (const char *const[]){ "caf\xc3\xa9", "7", "a\tb", NULL });
	table_row(table, (const char *const[]){ "vision/train", "1024", NULL });
	assert_int_equal(table_row_count(table), 2);
	table_text(table, &buf);
	assert_string_equal(buf.data,
			    "NAME             N  NOTE\n"
			    "caf\xc3\xa9             7  a\\x09b\n"
			    "vision/train  1024\n");
	table_free(table);
	table_free(NULL);
}

static struct step *add_step(struct plan *plan, enum step_action action, const char *kind, const char *key, const char *body)
{
	struct step *step = vec_add(&plan->steps);

	step->action = action;
	step->resource = resource_new("local", kind, key, body ? json_loads(body, 0, NULL) : NULL);
	return step;
}

static void add_change(struct step *step, const char *path, const char *from, const char *to, bool drift, bool immutable)
{
	struct change *change = vec_add(&step->changes);

	change->path = xstrdup(path);
	change->from = from ? json_loads(from, JSON_DECODE_ANY, NULL) : NULL;
	change->to = to ? json_loads(to, JSON_DECODE_ANY, NULL) : NULL;
	change->drift = drift;
	change->immutable = immutable;
}

static void a_plan_reads_by_tenant(void **state)
{
	autoplan struct plan plan;
	autobuf struct buf buf = { 0 };

	plan_init(&plan);
	json_set_string(plan.site, "deployment", "lab");
	add_step(&plan, STEP_CREATE, "bridge", "vision/network", "{\"address\": \"10.77.1.1/26\", \"mtu\": 1500, \"decisions\": {}}");
	struct step *step = add_step(&plan, STEP_UPDATE, "limits", "vision/limits", NULL);
	add_change(step, "memoryMax", "4294967296", "8589934592", false, false);
	add_change(step, "pidsMax", "100", NULL, true, false);
	step = add_step(&plan, STEP_REPLACE, "instance", "vision/train/0", NULL);
	step->reason = xstrdup("'image' cannot be changed in place");
	add_change(step, "image", "\"sha256:a\"", "\"sha256:b\"", false, true);
	add_change(step, "token", "{\"$secret\": \"hub\", \"digest\": \"a\"}", "{\"$secret\": \"hub\", \"digest\": \"b\"}", false, false);
	for (int i = 0; i < 7; i++) {
		autofree char *key = xasprintf("vision/many/%d", i);

		add_step(&plan, STEP_CREATE, "link", key, NULL);
	}
	add_step(&plan, STEP_ADOPT, "firewall", "host/firewall", NULL);
	add_step(&plan, STEP_NOTHING, "bridge", "audio/network", NULL);
	step = add_step(&plan, STEP_BLOCKED, "volume", "batch/volume/\033x", NULL);
	step->reason = xstrdup("403 from the site");
	step = add_step(&plan, STEP_ABANDONED, "volume", "batch/volume/old", NULL);
	step->reason = xstrdup("the file no longer names it; --prune removes it");
	json_add(plan.notes, json_text("not enforced: disk of tenant vision"));
	json_add(plan.notes, json_text("pipelines are read and checked"));
	plan.digest = xstrdup("9f2c0000000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	plan_text(&plan, false, &buf);
	assert_string_equal(buf.data,
			    "lab\n"
			    "  =  firewall       host/firewall\n"
			    "tenant audio  no change\n"
			    "tenant batch\n"
			    "  !  volume         volume/\\x1bx  403 from the site\n"
			    "  !  volume         volume/old  the file no longer names it; --prune removes it\n"
			    "tenant vision\n"
			    "  +  bridge         network  address 10.77.1.1/26, mtu 1500\n"
			    "  ~  limits         limits\n"
			    "       memoryMax  4 GiB -> 8 GiB\n"
			    "       pidsMax  100 -> -  (changed by other hands)\n"
			    "  -+ instance       train/0  'image' cannot be changed in place\n"
			    "       image  sha256:a -> sha256:b  (only by making it anew)\n"
			    "       token  secret hub -> secret hub, another value\n"
			    "  +  link           7: many/0, many/1, many/2 and 4 more\n"
			    "!    not enforced: disk of tenant vision\n"
			    "note pipelines are read and checked\n"
			    "Plan: 8 create, 1 update, 1 adopt, 1 replace, 0 delete, 1 no longer in the file, 1 cannot be planned.  sha256:9f2c00000000\n");
	buf_reset(&buf);
	plan_text(&plan, true, &buf);
	assert_non_null(strstr(buf.data, "\033[32m+ \033[0m"));
	assert_null(strstr(buf.data, "\033x"));
}

static void a_plan_without_changes_says_so(void **state)
{
	autoplan struct plan plan;
	autobuf struct buf buf = { 0 };

	plan_init(&plan);
	add_step(&plan, STEP_NOTHING, "bridge", "audio/network", NULL);
	plan_text(&plan, false, &buf);
	assert_string_equal(buf.data, "No changes: what is there is what the file says.\n");
}

static int64_t now_ns;
static int64_t test_monotonic(void *arg) { return now_ns; }
static int64_t test_wall(void *arg) { return 0; }
static void test_sleep(void *arg, int64_t ns) { now_ns += ns; }
static const struct clock test_clock = { test_monotonic, test_wall, test_sleep, NULL };

static void play_event(struct progress *progress, enum apply_event_type type, const struct step *step, int64_t ms, const struct error *error)
{
	const struct apply_event event = { .type = type, .step = step, .ms = ms, .error = error };

	progress_event(progress, &event);
}

static char *play(bool live)
{
	autoplan struct plan plan;
	struct error error = { 0 };
	char *text = NULL;
	size_t n = 0;
	FILE *file = open_memstream(&text, &n);
	struct progress *progress = progress_new(file, live, false, 4);

	now_ns = 0;
	progress_set_clock(progress, &test_clock);
	plan_init(&plan);
	add_step(&plan, STEP_CREATE, "bridge", "vision/network", NULL);
	add_step(&plan, STEP_CREATE, "image", "image/abc", NULL);
	add_step(&plan, STEP_CREATE, "link", "vision/link", NULL);
	add_step(&plan, STEP_CREATE, "instance", "vision/train/0", NULL);
	error_set(&error, ERROR_FAILED, "it\nbroke");
	error_hint(&error, "mend it");
	play_event(progress, APPLY_START, &plan.steps.items[0], 0, NULL);
	play_event(progress, APPLY_START, &plan.steps.items[1], 0, NULL);
	progress_note(progress, "image/abc", "unpacking", 1, 4);
	now_ns += 200000000;
	play_event(progress, APPLY_DONE, &plan.steps.items[0], 200, NULL);
	play_event(progress, APPLY_START, &plan.steps.items[2], 0, NULL);
	play_event(progress, APPLY_RETRY, &plan.steps.items[2], 100, &error);
	now_ns += 3000000000;
	play_event(progress, APPLY_DONE, &plan.steps.items[1], 3200, NULL);
	play_event(progress, APPLY_FAILED, &plan.steps.items[2], 3000, &error);
	play_event(progress, APPLY_SKIPPED, &plan.steps.items[3], 0, NULL);
	progress_free(progress);
	fclose(file);
	return text;
}

static void progress_in_a_file_is_one_line_a_step(void **state)
{
	autofree char *text = play(false);

	assert_string_equal(text,
			    "done +  bridge         vision/network  0.2 s\n"
			    "wait +  link           vision/link  0.1 s\n"
			    "       it\\x0abroke\n"
			    "       fix: mend it\n"
			    "done +  image          image/abc  3.2 s\n"
			    "FAIL +  link           vision/link  3.0 s\n"
			    "       it\\x0abroke\n"
			    "       fix: mend it\n"
			    "skip +  instance       vision/train/0\n");
}

/* A terminal with nothing but what is used: cursor up and clear below. What is on it at the end, and the most lines it had. */
static char *screen(const char *text, size_t *ret_most)
{
	char *lines[64] = { 0 };
	autobuf struct buf out = { 0 };
	size_t row = 0, n;

	*ret_most = 0;
	for (const char *p = text; *p;) {
		unsigned up;
		int length = 0;

		if (sscanf(p, "\r\033[%uA\033[J%n", &up, &length) == 1 && length) {
			assert_true(up <= row);
			row -= up;
			for (size_t i = row; i < ARRAY_LEN(lines); i++) {
				free(lines[i]);
				lines[i] = NULL;
			}
			p += length;
			continue;
		}
		n = strcspn(p, "\n");
		assert_true(n < 80 && row + 1 < ARRAY_LEN(lines));
		lines[row++] = xstrndup(p, n);
		*ret_most = MAX(*ret_most, row);
		p += n + 1;
	}
	buf_adds(&out, "");
	for (size_t i = 0; i < row; i++) {
		buf_addf(&out, "%s\n", lines[i]);
		free(lines[i]);
	}
	return buf_steal(&out);
}

static void progress_on_a_terminal_leaves_only_what_matters(void **state)
{
	autofree char *text = play(true);
	size_t most;
	autofree char *left = screen(text, &most);

	assert_string_equal(left,
			    "wait +  link           vision/link  0.1 s\n"
			    "       it\\x0abroke\n"
			    "       fix: mend it\n"
			    "done +  image          image/abc  3.2 s\n"
			    "FAIL +  link           vision/link  3.0 s\n"
			    "       it\\x0abroke\n"
			    "       fix: mend it\n"
			    "skip +  instance       vision/train/0\n");
	assert_non_null(strstr(text, "  + image          image/abc                    0.2 s  unpacking 25 %\n"));
	assert_non_null(strstr(text, "[1/4] ######------------------  0.2 s\n"));
	assert_non_null(strstr(text, "[3/4] ##################------  3.2 s, about 1.1 s left\n"));
	assert_true(most > 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(width_counts_columns),
		cmocka_unit_test(nothing_from_outside_moves_the_cursor),
		cmocka_unit_test(cut_and_padded_text_fits),
		cmocka_unit_test(durations_read_well),
		cmocka_unit_test(a_table_is_as_wide_as_its_cells),
		cmocka_unit_test(a_plan_reads_by_tenant),
		cmocka_unit_test(a_plan_without_changes_says_so),
		cmocka_unit_test(progress_in_a_file_is_one_line_a_step),
		cmocka_unit_test(progress_on_a_terminal_leaves_only_what_matters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
