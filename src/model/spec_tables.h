/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_MODEL_SPEC_TABLES_H
#define INSULA_MODEL_SPEC_TABLES_H

/* The fields of each kind's `spec`. */

#include "spec_internal.h"

extern const struct table table_tenant, table_workload, table_service;
extern const struct table table_site, table_node, table_pipeline, table_study, table_prices, table_secret;

#endif
