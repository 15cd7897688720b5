/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_NFT_H
#define INSULA_SITE_LOCAL_NFT_H

/* nftables through nft(8) and libnftables-json(5): one process a transaction, which the kernel takes whole or not at all. */

#include "data/json.h"

/* netns: a descriptor, or NETNS_HERE (netns.h). commands: the array under "nftables". */
int nft_apply(int netns, const json_t *commands, struct error *err) WARN_UNUSED;
/* The array under "nftables" of a table's listing, or of everything's (table NULL); NULL when there is no such table. */
int nft_list(int netns, const char *family, const char *table, json_t **ret, struct error *err) WARN_UNUSED;
/* A rule in nft's own words, for messages; NULL when it is not there. Caller frees. */
int nft_rule_text(int netns, const char *family, const char *table, const char *chain, int64_t handle, char **ret, struct error *err) WARN_UNUSED;
/* Absent is success. */
int nft_remove_table(int netns, const char *family, const char *table, struct error *err) WARN_UNUSED;

/* Parts of commands. Each takes over what it is given and gives a new value. */
json_t *nft_command(const char *verb, const char *object, json_t *what);			/* {"add": {"rule": what}} */
json_t *nft_element(const char *verb, const char *family, const char *table, const char *set, json_t *elements);
json_t *nft_concat(json_t *parts);								/* {"concat": parts}; a single part is itself */
json_t *nft_prefix(const char *prefix);								/* "10.0.0.0/8"; a /32 is its address */
json_t *nft_range(int64_t first, int64_t last);							/* one number when they are equal */
json_t *nft_meta(const char *key);
json_t *nft_payload(const char *protocol, const char *field);
json_t *nft_ct(const char *key);
json_t *nft_match(const char *op, json_t *left, json_t *right);
json_t *nft_verdict(const char *verdict);							/* {"drop": null} */
json_t *nft_counter(void);

#endif
