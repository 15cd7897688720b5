/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_MODEL_EXPAND_INTERNAL_H
#define INSULA_MODEL_EXPAND_INTERNAL_H

/* What the files behind expand.h share. */

#include "base/buf.h"
#include "expand.h"

struct expansion {
	const struct intent *intent;
	const struct survey *survey;
	const json_t *decisions;
	struct world *world;
	struct prefix pool;
	struct error *err;
};

/* SHA-256 of what makes an instance what it is: not its replicas, its place in a queue, or where it is published. Image as the
   reference says; a site adds the digest it pins. */
const char *workload_digest(struct arena *arena, const struct workload *workload, enum method method);
int expand_policies(struct expansion *expansion) WARN_UNUSED;

#endif
