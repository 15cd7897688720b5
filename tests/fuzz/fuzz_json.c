/* SPDX-License-Identifier: Apache-2.0 */
#include "data/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What can be read can be written, and reads again as the same value. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	autojson json_t *json = NULL, *again = NULL;
	autofree char *text = NULL, *same = NULL;
	struct error err;

	if (json_parse("fuzz", (const char *)data, n, 65536, &json, &err) < 0)
		return 0;
	text = json_canonical(json);
	if (json_parse("again", text, strlen(text), JSON_SIZE_MAX, &again, &err) < 0)
		BUG("%s: %s", err.message, text);
	same = json_canonical(again);
	if (!streq(text, same))
		BUG("%s became %s", text, same);
	return 0;
}
