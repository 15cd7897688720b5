/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_REPORT_PLAN_TEXT_H
#define INSULA_REPORT_PLAN_TEXT_H

/*
 * A plan for people: by tenant, one line a step, its changes below it, notes, a summary.
 *
 *   +  is made            ~  is changed         -+ is made anew
 *   -  is removed         =  is there, and taken over
 *   o  is kept on purpose !  stays although the file no longer names it, or nothing can be said of it
 */

#include "base/buf.h"
#include "plan/plan.h"

void plan_text(const struct plan *plan, bool color, struct buf *ret);	/* appends */
/* "Plan: 12 create, 2 update, 1 adopt, 0 replace, 0 delete." without a newline */
void plan_summary_text(const struct plan *plan, struct buf *ret);
const char *step_symbol(enum step_action action);			/* "+", "-+"; " " for nothing */

#endif
