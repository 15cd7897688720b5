/* SPDX-License-Identifier: Apache-2.0 */
#include "finding.h"

#include <stdlib.h>

#define TEXT_MAX 1000

void findings_clear(struct findings *findings)
{
	vec_clear(&findings->items);
	arena_clear(&findings->arena);
	findings->errors = 0;
}

/* What a file says goes to a terminal: control characters, C1 ones included, become '?'. */
static void make_printable(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
		else if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
			c[0] = c[1] = '?';
	}
}

void finding_add(struct findings *findings, bool warning, struct mark mark, const char *format, ...)
{
	struct arena *arena = &findings->arena;
	struct finding finding = { .mark = mark, .warning = warning };
	autobuf struct buf text = { 0 };
	autofree char *message = NULL;
	va_list ap;

	if (!warning)
		findings->errors++;
	if (findings->items.n >= FINDINGS_MAX)
		return;
	va_start(ap, format);
	message = xvasprintf(format, ap);
	va_end(ap);
	if (mark.line)
		buf_addf(&text, "%s:%u:%u: ", mark.file, mark.line, mark.column);
	else if (mark.file)
		buf_addf(&text, "%s: ", mark.file);
	buf_adds(&text, warning ? "warning: " : "");
	buf_adds(&text, message);
	make_printable(text.data);
	finding.mark.file = mark.file ? arena_intern(arena, mark.file) : "";
	finding.text = arena_strndup(arena, text.data, MIN(text.n, (size_t)TEXT_MAX));
	vec_push(&findings->items, finding);
}

static int finding_compare(const void *a, const void *b)
{
	const struct finding *x = a, *y = b;
	int order = strcmp(x->mark.file, y->mark.file);

	if (order)
		return order;
	if (x->mark.line != y->mark.line)
		return x->mark.line < y->mark.line ? -1 : 1;
	if (x->mark.column != y->mark.column)
		return x->mark.column < y->mark.column ? -1 : 1;
	return strcmp(x->text, y->text);
}

void findings_sort(struct findings *findings)
{
	struct finding *items = findings->items.items;
	size_t n = 0;

	if (findings->items.n < 2)
		return;
	qsort(items, findings->items.n, sizeof(*items), finding_compare);
	for (size_t i = 0; i < findings->items.n; i++)
		if (!n || !streq(items[n - 1].text, items[i].text))
			items[n++] = items[i];
	findings->items.n = n;
}

int findings_verdict(const struct findings *findings, struct error *err)
{
	vec_each(&findings->items, finding)
		if (!finding->warning)
			return error_set(err, ERROR_INPUT, "%s", finding->text);
	if (findings->errors)
		return error_set(err, ERROR_INPUT, "%zu errors in the file, behind %d warnings", findings->errors, FINDINGS_MAX);
	return 0;
}
