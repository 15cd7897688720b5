/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_IMAGE_PARTS_H
#define INSULA_SITE_LOCAL_IMAGE_PARTS_H

/*
 * What the files of the image store share. Who brings something holds the store's lock shared, who takes something away holds it
 * alone; whatever is half done is called "tmp-..." or ".insula-...", so that he who is alone may remove it.
 */

#include "image.h"
#include "image_layer.h"
#include "image_oci.h"
#include "image_registry.h"

#define LAYER_ENTRIES_MAX 2000000

struct image_store {
	char *dir;
	int64_t limit;			/* bytes, 0: none */
	struct registry_options registry;	/* all zero but in tests */
};

char *store_path(const struct image_store *store, const char *folder, const char *name);	/* caller frees */

/* The store's lock, until the descriptor closes. Alone: waits up to wait_ms, then ERROR_CONFLICT. */
int store_lock_shared(struct image_store *store, int *ret_fd, struct error *err) WARN_UNUSED;
int store_lock_alone(struct image_store *store, int64_t wait_ms, int *ret_fd, struct error *err) WARN_UNUSED;
/* Removes what crashes left; the lock is held alone. */
int store_sweep(struct image_store *store, struct error *err) WARN_UNUSED;

/* What a prune that knows of no user would free; the lock is held, shared or alone. */
int store_prune_count(struct image_store *store, int64_t *ret, struct error *err) WARN_UNUSED;

/* What layers/<name>.json says. */
struct store_layer { int64_t bytes, entries, skipped; bool opaque_root; };
bool store_layer_exists(struct image_store *store, const char *name);
int store_layer_read(struct image_store *store, const char *name, struct store_layer *ret, struct error *err) WARN_UNUSED;
/* The sum of all complete layers, and of what pulls have fetched. */
int64_t store_tree_bytes(const char *path);	/* on disk; 0 for what is not there */
int store_bytes(struct image_store *store, int64_t *ret, struct error *err) WARN_UNUSED;

/*
 * Makes layers/<name> complete, or finds it so: one at a time per name, crash-safe. `fill` writes into the open folder, within `limits`.
 * The store's lock is held shared. ret_made (or NULL): false when it was there.
 */
typedef int (*store_fill)(void *arg, int root, const struct layer_limits *limits, struct store_layer *ret, struct error *err);
int store_layer_make(struct image_store *store, const char *name, store_fill fill, void *arg, bool *ret_made, struct error *err) WARN_UNUSED;

/* Records: images/<hex>.json, the commit point of an import. */
int store_record_write(struct image_store *store, const struct image_documents *documents, const char *reference, struct error *err) WARN_UNUSED;
int store_record_read(struct image_store *store, const char *hex, struct image_documents *ret, int64_t *ret_created_ms, struct error *err) WARN_UNUSED;
bool store_record_exists(struct image_store *store, const char *hex);
void store_record_touch(struct image_store *store, const char *hex);
int store_records(struct image_store *store, int (*each)(void *arg, const char *hex, struct error *err), void *arg, struct error *err) WARN_UNUSED;

/* Names: names/<name, escaped>, holding a digest's hex. */
int store_name_check(const char *name, struct error *err) WARN_UNUSED;
int store_name_set(struct image_store *store, const char *name, const char *hex, struct error *err) WARN_UNUSED;
int store_name_get(struct image_store *store, const char *name, char hex[static DIGEST_HEX], struct error *err) WARN_UNUSED;
int store_name_remove(struct image_store *store, const char *name, struct error *err) WARN_UNUSED;
int store_names(struct image_store *store, int (*each)(void *arg, const char *name, const char *hex, struct error *err), void *arg, struct error *err) WARN_UNUSED;

/* Every name in a folder of the store that ends with `suffix`, sorted. */
int store_folder(struct image_store *store, const char *folder, const char *suffix, int (*each)(void *arg, const char *name, struct error *err), void *arg, struct error *err) WARN_UNUSED;

/* References, taken apart. */
enum image_scheme { IMAGE_REGISTRY, IMAGE_OCI, IMAGE_DOCKER_ARCHIVE, IMAGE_ROOTFS, IMAGE_STORE, IMAGE_HOST, IMAGE_DIGEST };
struct image_reference {
	enum image_scheme scheme;
	char *path;			/* OCI, DOCKER_ARCHIVE, ROOTFS; of REGISTRY the whole text */
	char *name;			/* a tag, a name in the store, a digest's hex, or NULL */
};
int image_reference_parse(const char *text, struct image_reference *ret, struct error *err) WARN_UNUSED;
void image_reference_clear(struct image_reference *reference);
#define autoreference CLEANUP(image_reference_clear)

/* The documents that a rootfs folder or tar gets, its diff id found in the cache when nobody touched it since, else by reading it. */
int image_rootfs_documents(struct image_store *store, const char *path, struct image_documents *ret, struct error *err) WARN_UNUSED;
/* Reads a rootfs folder or tar once; its diff id; sink NULL: only that. */
int image_rootfs_read(const char *path, const struct layer_limits *limits, const struct layer_sink *sink, image_progress progress, void *arg,
		      struct layer_counts *ret_counts, char ret_diff_id[static DIGEST_HEX], struct error *err) WARN_UNUSED;

/* Fetches what the registry has of it into an image layout in the store, whose path is *ret_folder; *ret_lock (a descriptor) keeps others from
   that folder. The store's lock is held shared. Whoever has read it removes the folder; a failure leaves what the next one resumes. */
int store_pull(struct image_store *store, const char *text, image_progress progress, void *arg, char **ret_folder, int *ret_lock, struct error *err) WARN_UNUSED;
/* The manifest that it stands for; asks the registry, unless the image of its digest is here. */
int store_pull_digest(struct image_store *store, const char *text, char hex[static DIGEST_HEX], struct error *err) WARN_UNUSED;

/* "host:<hex>" of this machine now */
int image_host_digest(char **ret, struct error *err) WARN_UNUSED;

#endif
