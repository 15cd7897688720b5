/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte chooses the format. What is accepted was read by spec_parse within import_text; twice gives the same. */
#include "import/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
	if (!holds)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct import_variable variables[] = { { "PWD", "/lab" }, { "HOME", "/users/ann" }, { "UID", "1000" } };
	const struct import_options options = { .tenant = "imported", .directory = "/lab", .variables = variables, .variable_n = ARRAY_LEN(variables) };
	struct import_result result, again;
	struct error err = { 0 };
	size_t formats = 0;

	while (import_formats[formats])
		formats++;
	if (!n)
		return 0;
	const char *format = import_formats[data[0] % formats];

	if (import_text(format, &options, "fuzz", (const char *)data + 1, n - 1, &result, &err) < 0) {
		require(err.code == ERROR_INPUT && *err.message);
		return 0;
	}
	require(import_text(format, &options, "fuzz", (const char *)data + 1, n - 1, &again, &err) == 0);
	require(streq(result.yaml.data, again.yaml.data) && result.notes.n == again.notes.n);
	import_result_clear(&result);
	import_result_clear(&again);
	return 0;
}
