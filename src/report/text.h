/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_REPORT_TEXT_H
#define INSULA_REPORT_TEXT_H

/*
 * Text for a terminal. What comes from outside (names, commands, messages of a site) may hold
 * control characters that would move the cursor or forge lines: everything shown goes through here.
 */

#include "base/buf.h"

/* Columns on a terminal: combining marks take none, East Asian wide characters two; a broken byte one. */
size_t text_width(const char *s);

/* Control characters (C0, DEL, C1) and bytes that are not UTF-8 become \xNN. */
void text_add_safe(struct buf *buf, const char *s);
/* text_add_safe, then blanks up to `width` columns, before it when `right`. Longer text stays as it is. */
void text_add_padded(struct buf *buf, const char *s, size_t width, bool right);
/* text_add_safe, cut with "..." so that it takes at most `width` columns. */
void text_add_cut(struct buf *buf, const char *s, size_t width);

/* "0.2 s", "41 s", "2 min 11 s", "3 h 5 min" */
void text_add_duration(struct buf *buf, int64_t ms);

enum text_color { TEXT_PLAIN, TEXT_RED, TEXT_GREEN, TEXT_YELLOW, TEXT_BLUE, TEXT_DIM, TEXT_BOLD };
/* The escape sequence, or nothing when `on` is false; TEXT_PLAIN ends any. */
void text_add_color(struct buf *buf, bool on, enum text_color color);

#endif
