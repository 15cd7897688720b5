/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_REPORT_PROVE_TEXT_H
#define INSULA_REPORT_PROVE_TEXT_H

/* A proof for people and for programs. */

#include "audit/prove.h"
#include "base/buf.h"

/* Who reaches whom as a matrix, each verdict beside what the file says (ports of the same verdict in one line), every
   difference, what was not proven, a summary. */
void prove_text(const struct prove_report *report, bool color, struct buf *into);

/* One row, one skip, the summary: objects of stable field names; the caller owns them. */
json_t *prove_row_json(const struct prove_row *row);
json_t *prove_skip_json(const struct prove_skip *skip);
json_t *prove_summary_json(const struct prove_report *report);

#endif
