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

/* What an update takes back: the fields that `body` lacks and that we own or once set, with what absence means. A new object, or NULL when there is none. */
json_t *diff_reset(const struct kind *kind, const json_t *body, const json_t *applied);

#endif
