/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_CLI_CARRY_H
#define INSULA_CLI_CARRY_H

/* Carrying out a plan before the user's eyes: what apply, restore and destroy share. */

#include "session.h"

/* Prints the plan on stdout: text, or one JSON object a step and a summary. */
void carry_show(const struct cli *cli, const struct plan *plan, const char *deployment);

/* Applies with progress on stderr; returns an exit status and prints what went wrong. report may be NULL. */
int carry_out(struct session *session, struct plan *plan, bool delete_data, struct apply_report *report);

#endif
