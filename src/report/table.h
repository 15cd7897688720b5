/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_REPORT_TABLE_H
#define INSULA_REPORT_TABLE_H

/*
 * A table of text: columns as wide as their widest cell, two blanks between them, no lines, no
 * colour. Cells are copied and shown safely (text.h).
 */

#include "base/buf.h"

#include <stdio.h>

struct table;

struct table *table_new(const char *const *headers);		/* NULL-ended */
void table_free(struct table *table);				/* NULL is fine */
void table_align_right(struct table *table, size_t column);	/* for numbers; from 0 */
/* NULL-ended; missing cells are empty, further ones are left out. */
void table_row(struct table *table, const char *const *cells);
size_t table_row_count(const struct table *table);
void table_text(const struct table *table, struct buf *ret);	/* appends */
void table_print(const struct table *table, FILE *file);

#endif
