/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every file of tests/golden/spec is wrong in one way, or just right. Its last lines are comments,
 * "# expect: LINE:COLUMN: text", one for each finding; a file without any has none.
 */
#include "helper.h"

#include "model/spec.h"

#include <dirent.h>

#define FOLDER "tests/golden/spec"

static int is_case(const struct dirent *entry)
{
	return ends_with(entry->d_name, ".yaml");
}

static void expected_of(const char *text, struct buf *ret)
{
	for (const char *at = text; (at = strstr(at, "# expect: ")); at++) {
		const char *from = at + strlen("# expect: ");

		buf_add(ret, from, strcspn(from, "\n"));
		buf_addc(ret, '\n');
	}
}

static void found_of(const struct findings *findings, const char *name, struct buf *ret)
{
	size_t n = strlen(name);

	vec_each(&findings->items, finding) {
		const char *text = finding->text;

		buf_addf(ret, "%s\n", starts_with(text, name) && text[n] == ':' ? text + n + 1 : text);
	}
}

static bool run_case(const char *folder, const char *name)
{
	autofindings struct findings findings = { 0 };
	autofree char *path = fs_join(folder, name), *text = NULL;
	autobuf struct buf expected = { 0 }, found = { 0 };
	struct source source = { .name = name };
	struct error err = { 0 };
	struct intent intent;
	bool ok;

	buf_adds(&expected, "");
	buf_adds(&found, "");
	assert_ok(fs_read_file(path, 1 << 20, &text, &source.n, &err));
	source.text = text;
	ok = spec_parse(&source, 1, &intent, &findings, &err) == 0;
	if (ok)
		intent_clear(&intent);
	expected_of(text, &expected);
	found_of(&findings, name, &found);
	if (ok != (findings.errors == 0) || !streq(expected.data, found.data)) {
		printf("# %s: expected\n#   %s\n# found\n", name, expected.data);
		vec_each(&findings.items, finding)
			printf("# expect: %s\n", finding->text + (starts_with(finding->text, name) ? strlen(name) + 1 : 0));
		return false;
	}
	return true;
}

static void every_file_has_its_findings(void **state)
{
	autofree char *folder = source_path(FOLDER);
	struct dirent **files;
	int n = scandir(folder, &files, is_case, alphasort), bad = 0;

	assert_true(n >= 60);
	for (int i = 0; i < n; i++) {
		bad += !run_case(folder, files[i]->d_name);
		free(files[i]);
	}
	free(files);
	assert_int_equal(bad, 0);
}

/* The example of the guide has no finding. */
static void the_guide_is_right(void **state)
{
	autofree char *path = source_path("docs/file-format.md"), *text = NULL;
	autofindings struct findings findings = { 0 };
	struct source source = { .name = "/lab/lab.yaml" };
	struct error err = { 0 };
	struct intent intent;
	char *end;

	assert_ok(fs_read_file(path, 1 << 20, &text, NULL, &err));
	source.text = strstr(text, "```yaml\n") + strlen("```yaml\n");
	end = strstr(source.text, "```\n");
	source.n = (size_t)(end - source.text);
	assert_ok(spec_parse(&source, 1, &intent, &findings, &err));
	assert_int_equal(findings.items.n, 0);
	assert_int_equal(intent.workloads.n, 3);
	intent_clear(&intent);
}

static void the_examples_are_right(void **state)
{
	autofree char *lab = source_path("examples/lab");
	const char *paths[] = { lab };
	autofindings struct findings findings = { 0 };
	struct error err = { 0 };
	struct intent intent;

	assert_ok(spec_read(paths, 1, &intent, &findings, &err));
	vec_each(&findings.items, finding)
		fail_msg("%s", finding->text);
	intent_clear(&intent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_file_has_its_findings),
		cmocka_unit_test(the_guide_is_right),
		cmocka_unit_test(the_examples_are_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
