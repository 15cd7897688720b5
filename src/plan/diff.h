/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_PLAN_DIFF_H
#define INSULA_PLAN_DIFF_H

/*
 * The three-way diff of one resource: desired, last applied, live.
 *
 * A field is compared when the desired body has it, or when the last apply set it (then its
 * `absent` value is what is desired), or when it is an authoritative set. Computed fields never
 * are. In a list of the shape MAP each member is compared field by field in the same way.
 *
 * Refs are equal to what they stand for; secrets are compared by digest, against the live one or,
 * where the site cannot tell, against the last applied one.
 */

#include "plan.h"
#include "ref.h"

/* Appends to `ret`; `applied` may be NULL. Changes come in the order of the kind's table. */
void diff_resource(const struct kind *kind, const struct resource *desired, const struct resource *applied, const struct resource *live,
		   const struct ref_lookup *lookup, change_list *ret);

/* Do two values of this shape mean the same? Either may be NULL (absent). `field` may be NULL: a scalar. */
bool diff_equal(const struct kind_field *field, const json_t *a, const json_t *b, const struct ref_lookup *lookup);

/* Puts into `body` the `absent` value of each field that it lacks and that the last apply set, so that an update takes it back. */
void diff_fill_absent(const struct kind *kind, json_t *body, const json_t *applied);

#endif
