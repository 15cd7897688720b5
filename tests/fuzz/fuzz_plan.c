/* SPDX-License-Identifier: Apache-2.0 */
/* A saved plan: whatever is read as one can be drawn, written, and read again as the same. */
#include "plan/plan.h"
#include "report/plan_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
	if (!holds)
		__builtin_trap();
}

/* No control character but line ends. */
static void check_text(const struct buf *text)
{
	for (size_t i = 0; i < text->n; i++)
		require((unsigned char)text->data[i] >= 0x20 || text->data[i] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	autojson json_t *json = NULL;
	autobuf struct buf text = { 0 };
	autoplan struct plan plan = { 0 }, again = { 0 };
	struct error err;

	if (json_parse("plan", (const char *)data, n, 1 << 20, &json, &err) < 0 || plan_from_json_unsealed(json, &plan, &err) < 0)
		return 0;
	plan_text(&plan, false, &text);
	check_text(&text);
	autojson json_t *written = plan_to_json(&plan);
	require(plan_from_json(written, &again, &err) == 0);
	require(streq(plan.digest, again.digest));
	(void)!plan_same(&plan, &again, &err);	/* a key that is there twice is never the same */
	return 0;
}
