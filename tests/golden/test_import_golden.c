/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/golden/import/FORMAT/NN-name: .in is what somebody has, .yaml what it becomes, .notes "exit N" and the notes.
 * With INSULA_GOLDEN_WRITE set the last two are written anew, to be read before they are committed.
 */
#include "helper.h"

#include "import/import.h"
#include "model/spec.h"

#include <dirent.h>

static const struct import_variable variables[] = {
	{ "PWD", "/lab" }, { "HOME", "/users/ann" }, { "USER", "ann" }, { "UID", "1000" }, { "GID", "1000" }, { "SET", "it was set" },
};
static const struct import_options options = { .tenant = "imported", .directory = "/lab", .variables = variables, .variable_n = ARRAY_LEN(variables) };

static int is_case(const struct dirent *entry)
{
	return ends_with(entry->d_name, ".in");
}

static void notes_text(const struct import_result *result, struct buf *ret)
{
	buf_addf(ret, "exit %d\n", result->grave ? 2 : 0);
	vec_each(&result->notes, note)
		buf_addf(ret, "%u: %s%s %s: %s\n", note->line, note->grave ? "! " : "", import_effect_name(note->effect), note->item, note->text);
}

static bool as_expected(const char *stem, const char *suffix, const struct buf *found)
{
	autofree char *path = xasprintf("%s%s", stem, suffix), *expected = NULL;
	struct error err = { 0 };

	if (getenv("INSULA_GOLDEN_WRITE"))
		assert_ok(fs_replace_file(path, found->data, found->n, 0644, false, &err));
	assert_ok(fs_read_file(path, 1 << 20, &expected, NULL, &err));
	if (streq(expected, found->data))
		return true;
	printf("# %s: expected\n%s\n# found\n%s\n", path, expected, found->data);
	return false;
}

static void accepted(const struct buf *yaml)
{
	autofindings struct findings findings = { 0 };
	struct source source = { "/lab/imported.yaml", yaml->data, yaml->n };
	struct error err = { 0 };
	struct intent intent;

	assert_ok(spec_parse(&source, 1, &intent, &findings, &err));
	assert_int_equal(findings.items.n, 0);
	intent_clear(&intent);
}

static bool run_case(const char *format, const char *folder, const char *name)
{
	autofree char *path = fs_join(folder, name), *stem = xstrndup(path, strlen(path) - 3), *text = NULL;
	autoimport struct import_result result = { 0 }, again = { 0 };
	autobuf struct buf notes = { 0 };
	struct error err = { 0 };
	size_t n;

	assert_ok(fs_read_file(path, 1 << 20, &text, &n, &err));
	assert_ok(import_text(format, &options, name, text, n, &result, &err));
	assert_ok(import_text(format, &options, name, text, n, &again, &err));
	assert_string_equal(result.yaml.data, again.yaml.data);
	accepted(&result.yaml);
	notes_text(&result, &notes);
	bool yaml_good = as_expected(stem, ".yaml", &result.yaml);

	return as_expected(stem, ".notes", &notes) && yaml_good;
}

static void every_case_becomes_its_file(void **state)
{
	int bad = 0;

	for (const char *const *format = import_formats; *format; format++) {
		autofree char *below = xasprintf("tests/golden/import/%s", *format), *folder = source_path(below);
		struct dirent **files;
		int n = scandir(folder, &files, is_case, alphasort);

		assert_true(n >= 12);
		for (int i = 0; i < n; i++) {
			bad += !run_case(*format, folder, files[i]->d_name);
			free(files[i]);
		}
		free(files);
	}
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_case_becomes_its_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
