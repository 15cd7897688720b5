/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_MODEL_DECISIONS_H
#define INSULA_MODEL_DECISIONS_H

/*
 * Decisions: what the file leaves open and a plan settles once: a tenant's slot, subnet and user ids (the first of
 * survey->ids_count, where the site has ids: lowest free multiple of the count that meets nothing of survey->busy_ids), an
 * instance's method, node, address and devices. Kept in state and changed only as a line of a plan.
 *
 * A JSON object: { "site": {"pool": "10.77.0.0/16", "uplink": "10.77.0.0/30"},
 *   "tenant/vision": {"slot": 3, "ids": 1879244800, "subnet": "10.77.1.0/26"},
 *   "instance/vision/train/0": {"method": "container", "reason": "...", "node": "self", "address": "10.77.1.2"} }
 *
 * slot     the lowest free small number from 0, which sites derive names and numbers from
 * ids      first of survey->ids_count user ids: ids_first + slot * ids_count; absent where the site has none
 * subnet   from the pool, lowest free, aligned; the smallest with room for limit.instances and a gateway, at least
 *          /28, /24 without a limit; a smaller one when the pool has no such part left and the instances fit
 * address  lowest free behind the gateway, which is the first address of the subnet
 * method   what the file says; for auto the cheapest that trust and the site allow: container, then vm
 */

#include "data/json.h"
#include "intent.h"
#include "survey.h"

/*
 * New decisions from the old ones: what is settled stays as long as it still holds, what is new gets
 * the lowest free value, what the file no longer names is dropped unless `keep_absent` (its
 * resources still exist until pruned). Deterministic. `old` may be NULL and is not trusted to be well formed. Fails when
 * the pool or a subnet is full or a tenant has more instances than its limit (ERROR_CAPACITY), the pool overlaps a prefix of
 * survey->busy (ERROR_INPUT, naming the route), settled ids became somebody else's (ERROR_CONFLICT), or the site
 * runs no allowed method (ERROR_UNSUPPORTED, with the place of the workload and why).
 */
int decisions_make(const struct intent *intent, const struct survey *survey, const json_t *old, bool keep_absent,
		   json_t **ret, struct error *err) WARN_UNUSED;

/* For a lost state: takes one decision as a live resource tells it, unless there is one of that key already. Others than
   objects under "site", "tenant/..." or "instance/..." are left out. */
void decisions_merge_live(json_t *decisions, const char *key, const json_t *value);

const char *method_name(enum method method);	/* "container" */

#endif
