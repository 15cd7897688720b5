/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_FIREWALL_PRIVATE_H
#define INSULA_SITE_LOCAL_FIREWALL_PRIVATE_H

/* What the firewall's own files share: its sets, and the elements that a body comes to. */

#include "base/buf.h"
#include "firewall.h"

struct firewall_set { const char *family, *name, *types[4], *flag; };	/* flag or NULL */
const struct firewall_set *firewall_sets(void);				/* ends with family NULL */

struct firewall_element {
	const char *set;
	char *text;		/* its value in words: its identity within the set */
	json_t *value;
	const char *field;	/* of the body it comes from, or NULL: constant */
	size_t index;		/* among the decoded members of that field */
};
struct firewall_elements { struct firewall_element *items; size_t n, capacity; };	/* vec.h */
void firewall_elements(const struct firewall *firewall, struct firewall_elements *ret);
void firewall_elements_clear(struct firewall_elements *elements);
/* A value of nft's JSON in words ("80-90"), and an element of a set ("a . 6 . 80-90", protocols by number) whole or in its parts. Caller frees. */
#define FIREWALL_PARTS_MAX 4
char *firewall_value_text(const json_t *value);
char *firewall_element_text(const char *set, const json_t *value);
size_t firewall_element_parts(const char *set, const json_t *value, char *ret[static FIREWALL_PARTS_MAX]);

#endif
