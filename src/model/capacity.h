/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_MODEL_CAPACITY_H
#define INSULA_MODEL_CAPACITY_H

/*
 * Can what the file guarantees be kept? The quotas of all tenants together against what the nodes have, after what
 * the site keeps for itself. Pure.
 *
 * Memory cannot be shared by time: more guaranteed than there is is refused (ERROR_CAPACITY, exit 6, naming the largest
 * quotas). Cores can: a note says by how much every share shrinks when all are busy. A machine that was
 * not looked at (no nodes in the survey) is not judged.
 */

#include "data/json.h"
#include "survey.h"

int capacity_check(const struct intent *intent, const struct survey *survey, json_t *notes, struct error *err) WARN_UNUSED;

#endif
