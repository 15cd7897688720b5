/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_DATA_WORDS_H
#define INSULA_DATA_WORDS_H

/* Small shared shapes of what is read from files: a place, a list of names, a set of labels. */

#include "base/base.h"

struct mark { const char *file; unsigned line, column; };	/* from 1; file "-" for standard input; line 0: made, not read */

struct label { const char *key, *value; };
struct labels { struct label *items; size_t n; };		/* sorted by key, each key once */
struct names { const char **items; size_t n; };

#endif
