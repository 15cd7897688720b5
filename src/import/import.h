/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_IMPORT_IMPORT_H
#define INSULA_IMPORT_IMPORT_H

/*
 * From what people have (lines of docker run, ...) to our file. Nothing is run and nothing is looked at
 * but the text: the same text and options give the same bytes.
 *
 * What cannot be carried over as it is, is told: each note has the line it is about. A note is `grave`
 * when safety or meaning is not what it was; such a file is to be read before it is used.
 * What comes out has been read by spec_parse and has no finding.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "base/vec.h"

#define IMPORT_SIZE_MAX ((size_t)1 << 20)	/* bytes of text */
#define IMPORT_WORKS_MAX 1000			/* workloads of one file */
#define IMPORT_WORDS_MAX 10000			/* words of one command line */
#define IMPORT_NOTES_MAX 2000

enum import_effect { IMPORT_CHANGED, IMPORT_DROPPED, IMPORT_REFUSED };

struct import_note {
	unsigned line;			/* from 1; 0: the whole file */
	enum import_effect effect;
	bool grave;
	const char *item;		/* "--privileged": as it is in the file */
	const char *text;		/* what became of it, and what to do */
};

struct import_variable { const char *name, *value; };

struct import_options {
	const char *tenant;		/* a DNS label */
	int64_t gpus;			/* what `all` GPUs comes to; 0: one */
	const char *directory;		/* absolute: what relative paths are relative to */
	const struct import_variable *variables;	/* a later one wins; UID and GID are what id prints */
	size_t variable_n;
};

struct import_result {
	struct arena arena;
	VEC(struct import_note) notes;	/* by line */
	struct buf yaml;
	bool grave;
};

/* "docker-run" and its like; NULL-ended, for messages. */
extern const char *const import_formats[];

/* `name` is for messages. ERROR_INPUT: the format is not known, the text is too large or holds nothing to import. */
int import_text(const char *format, const struct import_options *options, const char *name, const char *text, size_t n,
		struct import_result *ret, struct error *err) WARN_UNUSED;
void import_result_clear(struct import_result *result);
#define autoimport CLEANUP(import_result_clear)

const char *import_effect_name(enum import_effect effect);

#endif
