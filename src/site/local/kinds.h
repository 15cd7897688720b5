/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_KINDS_H
#define INSULA_SITE_LOCAL_KINDS_H

/* The kinds of the local site: their field tables, and who carries out their verbs. */

#include "local.h"

extern const struct kind local_kinds[];				/* ends with name NULL */
const struct local_kind *local_kind_find(const char *name);	/* NULL: there is no such kind */
const struct local_kind *local_kind_at(size_t i);		/* in the order of creation; NULL behind the last */

#endif
