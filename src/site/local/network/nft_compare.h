/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_NFT_COMPARE_H
#define INSULA_SITE_LOCAL_NFT_COMPARE_H

/*
 * Has somebody changed our table? Pure.
 *
 * nft's words for a rule differ between its versions, so they are not guessed: right after loading,
 * the listing is kept as a snapshot, and later listings are compared with it object by object: chains,
 * sets (without their elements), maps (with them) and rules, in their order.
 */

#include "nft.h"

/* An object of a listing; borrowed from it. */
struct nft_object { const char *kind, *family, *name, *comment; json_t *what; };	/* name: of a rule, its chain; comment "" when none */
bool nft_object_read(const json_t *entry, struct nft_object *ret);			/* false: metainfo and such */
/* One of our table's? (families inet and bridge) */
bool nft_object_ours(const struct nft_object *object, const char *table);
bool nft_listing_has(const json_t *listing, const char *table);

json_t *nft_snapshot(const json_t *listing, const char *table);

struct nft_differences {
	void *arg;
	void (*missing)(void *arg, const char *kind, const char *name, const char *comment);	/* was loaded, and is not there */
	void (*told)(void *arg, const char *text);			/* "foreign: ...", "changed: ...": what has no word of ours */
	/* a rule in nft's words (caller frees), or NULL; may be NULL itself */
	char *(*rule_text)(void *arg, const char *family, const char *table, const char *chain, int64_t handle);
};
void nft_compare(const json_t *listing, const char *table, const json_t *snapshot, const struct nft_differences *differences);

#endif
