/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_DATA_FINDING_H
#define INSULA_DATA_FINDING_H

/*
 * Findings: what is wrong with a file, each with its place. They are collected, so that one run
 * shows all of them; at most FINDINGS_MAX are kept.
 *
 *     lab.yaml:12:7: unknown field 'memmory' in tenant.spec.quota; did you mean 'memory'?
 */

#include "base/arena.h"
#include "base/buf.h"
#include "base/vec.h"
#include "words.h"

#define FINDINGS_MAX 100

struct finding { struct mark mark; const char *text; bool warning; };	/* text begins with the place */
struct findings { VEC(struct finding) items; struct arena arena; size_t errors; };	/* zeroed: empty */

void findings_clear(struct findings *findings);
#define autofindings CLEANUP(findings_clear)

/* Text is copied, and so is the name of the file. */
void finding_add(struct findings *findings, bool warning, struct mark mark, const char *format, ...) PRINTF_LIKE(4, 5);
#define finding_error(findings, mark, ...) finding_add((findings), false, (mark), __VA_ARGS__)
#define finding_warning(findings, mark, ...) finding_add((findings), true, (mark), __VA_ARGS__)

/* By file, line and column; the same text at the same place is kept once. */
void findings_sort(struct findings *findings);
/* -1 with the first error as message when there is one, else 0. */
int findings_verdict(const struct findings *findings, struct error *err) WARN_UNUSED;

#endif
