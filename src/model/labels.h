/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_MODEL_LABELS_H
#define INSULA_MODEL_LABELS_H

/* Sets of labels: sorted by key, each key once. */

#include "base/arena.h"
#include "data/words.h"

const char *labels_get(const struct labels *labels, const char *key);	/* NULL when absent */
/* Has `labels` every label of `wanted`? No wanted ones: yes. */
bool labels_match(const struct labels *wanted, const struct labels *labels);
/* Adds or replaces; the array moves, key and value are not copied. */
void labels_set(struct arena *arena, struct labels *labels, const char *key, const char *value);
bool names_have(const struct names *names, const char *name);

#endif
