/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include "base/vec.h"
#include "text.h"

#include <stdlib.h>

struct table {
	size_t columns;
	bool *right;
	VEC(char *) cells;	/* the header, then row after row */
};

struct table *table_new(const char *const *headers)
{
	struct table *table = xcalloc(1, sizeof(*table));

	while (headers[table->columns])
		table->columns++;
	table->right = xcalloc(table->columns + 1, sizeof(*table->right));
	table_row(table, headers);
	return table;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	vec_each(&table->cells, cell)
		free(*cell);
	vec_clear(&table->cells);
	free(table->right);
	free(table);
}

void table_align_right(struct table *table, size_t column)
{
	if (column < table->columns)
		table->right[column] = true;
}

void table_row(struct table *table, const char *const *cells)
{
	for (size_t i = 0; i < table->columns; i++) {
		autobuf struct buf safe = { 0 };

		buf_adds(&safe, "");
		if (*cells)
			text_add_safe(&safe, *cells++);
		vec_push(&table->cells, buf_steal(&safe));
	}
}

size_t table_row_count(const struct table *table)
{
	return table->columns ? table->cells.n / table->columns - 1 : 0;
}

void table_text(const struct table *table, struct buf *ret)
{
	autofree size_t *widths = xcalloc(table->columns + 1, sizeof(*widths));

	for (size_t i = 0; i < table->cells.n; i++)
		widths[i % table->columns] = MAX(widths[i % table->columns], text_width(table->cells.items[i]));
	for (size_t i = 0; i < table->cells.n; i++) {
		size_t column = i % table->columns;
		bool last = column + 1 == table->columns;

		/* nothing behind the last cell of a line */
		text_add_padded(ret, table->cells.items[i], last && !table->right[column] ? 0 : widths[column], table->right[column]);
		if (!last) {
			buf_adds(ret, "  ");
			continue;
		}
		while (ret->n && ret->data[ret->n - 1] == ' ')
			ret->data[--ret->n] = '\0';
		buf_addc(ret, '\n');
	}
}

void table_print(const struct table *table, FILE *file)
{
	autobuf struct buf text = { 0 };

	table_text(table, &text);
	if (text.n)
		fwrite(text.data, 1, text.n, file);
}
