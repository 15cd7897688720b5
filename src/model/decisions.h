/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_MODEL_DECISIONS_H
#define INSULA_MODEL_DECISIONS_H

/*
 * Decisions: what the file leaves open and a plan settles once: a tenant's slot, subnet and user ids (the first of
 * survey->ids_count, where the site has ids: lowest free multiple of the count that meets nothing of survey->busy_ids), an
 * instance's method, node, address and devices. Kept in state and changed only as a line of a plan.
 *
 * A JSON object: { "site": {"pool": "10.77.0.0/16", "uplink": "10.77.0.0/30"},
 *   "tenant/vision": {"slot": 3, "subnet": "10.77.1.0/26", "ids": 1879048192},
 *   "instance/vision/train/0": {"method": "container", "reason": "...", "node": "self", "address": "10.77.1.2"} }
 */

#include "data/json.h"
#include "intent.h"
#include "survey.h"

/*
 * New decisions from the old ones: what is settled stays as long as it still holds, what is new gets
 * the lowest free value, what the file no longer names is dropped unless `keep_absent` (its
 * resources still exist until pruned). Deterministic. Fails when the pool or a subnet is full
 * (ERROR_CAPACITY) or the pool overlaps a prefix of survey->busy (ERROR_INPUT, naming the route).
 */
int decisions_make(const struct intent *intent, const struct survey *survey, const json_t *old, bool keep_absent,
		   json_t **ret, struct error *err) WARN_UNUSED;

#endif
