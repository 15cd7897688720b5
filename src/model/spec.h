/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_MODEL_SPEC_H
#define INSULA_MODEL_SPEC_H

/*
 * The file: YAML to intent, by one field table (spec_tables.c), from which the parser, the
 * defaults, 'insula explain', the JSON schema and docs/reference.md all come.
 */

#include "base/buf.h"
#include "data/finding.h"
#include "data/json.h"
#include "intent.h"

struct source { const char *name; const char *text; size_t n; };	/* a file in memory */

/* Reads a file, a folder (all its *.yaml, *.yml, sorted) or "-"; several paths. All findings are collected (up to 100).
   -1 when there is any error finding (ERROR_INPUT; the message is the first one) or a file cannot be read. */
int spec_read(const char *const *paths, size_t n, struct intent *ret, struct findings *findings, struct error *err) WARN_UNUSED;
/* The same from memory; names are used for messages and as base of relative paths. */
int spec_parse(const struct source *sources, size_t n, struct intent *ret, struct findings *findings, struct error *err) WARN_UNUSED;
/* The texts that were read, for plans and restore: [{"name": absolute path, "text": ...}] */
int spec_sources(const char *const *paths, size_t n, json_t **ret, struct error *err) WARN_UNUSED;

/* "tenant.spec.quota.gpu", "tenant", "" (all kinds). ERROR_INPUT names the nearest. */
int spec_explain(const char *path, struct buf *ret, struct error *err) WARN_UNUSED;
void spec_schema(struct buf *ret);		/* JSON schema (draft 2020-12) of any document */
void spec_reference(struct buf *ret);		/* docs/reference.md */
/* Calls each with every path that begins with prefix, for completion; each may be NULL. How many. */
size_t spec_paths(const char *prefix, void (*each)(void *arg, const char *path), void *arg);

#endif
