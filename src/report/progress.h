/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_REPORT_PROGRESS_H
#define INSULA_REPORT_PROGRESS_H

/*
 * What apply is doing, as it goes. Live (on a terminal): one line for each active resource and a
 * bar with the time left, drawn again a few times a second; what fails, is tried again or took
 * long stays above. Otherwise one plain line for each step that is over.
 *
 * progress_event and progress_note may be called from several threads.
 */

#include "base/clock.h"
#include "plan/apply.h"

#include <stdio.h>

struct progress;

struct progress *progress_new(FILE *file, bool live, bool color, size_t total);
void progress_free(struct progress *progress);		/* takes the live lines away; NULL is fine */
void progress_event(struct progress *progress, const struct apply_event *event);
/* What a site tells of something long ("unpacking layer 2 of 5"; done 0..total or total 0): shown beside the resource `key`. */
void progress_note(struct progress *progress, const char *key, const char *text, int64_t done, int64_t total);
/* For tests: another clock; live lines are then drawn only at events. Before the first event. */
void progress_set_clock(struct progress *progress, const struct clock *clock);

#endif
