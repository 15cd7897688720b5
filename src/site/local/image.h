/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_IMAGE_H
#define INSULA_SITE_LOCAL_IMAGE_H

/*
 * The image store: <state_dir>/images. OCI image layouts, docker-archives, root filesystems become layers,
 * unpacked once, told apart by digest, shared by every deployment and tenant.
 *
 *   blobs/sha256/<hex>      manifests and configs (layers are not kept packed)
 *   layers/<hex>/           an unpacked layer, by its diff id; complete when it has this name
 *   index.db                references, sizes, last use
 *   lock                    one writer at a time per layer; readers never wait
 *
 * References: "oci:PATH[:TAG]", "docker-archive:PATH[:NAME]", "rootfs:PATH" (folder or tar), "store:NAME" (imported
 * under a name), "host"; a bare name is looked up among the Site's images and then the store's names.
 * Layers are verified (compressed digest and diff id), whiteouts become overlayfs whiteouts, and whatever points
 * out of the root is refused: absolute or ".." links of the unpacker's own making, hard links out, device nodes.
 */

#include "base/base.h"
#include "data/json.h"

struct image_store;

struct image {
	char *digest;			/* "sha256:<hex>" of the manifest (made by us for a rootfs), or "host:<hex>" */
	char *name;			/* or NULL */
	char **layers;			/* absolute paths of unpacked layers, lowest first; NULL-ended; empty for "host" */
	size_t layer_n;
	json_t *config;			/* OCI image config's "config": Env, Cmd, Entrypoint, WorkingDir, User; {} when none */
	int64_t size, created_ms, used_ms;
};
void image_clear(struct image *image);
#define autoimage CLEANUP(image_clear)

typedef void (*image_progress)(void *arg, const char *text, int64_t done, int64_t total);

/* limit: bytes, or 0 for none: an import that would exceed it fails with ERROR_CAPACITY and says what prune would free. */
int image_store_open(const char *dir, int64_t limit, struct image_store **ret, struct error *err) WARN_UNUSED;
void image_store_close(struct image_store *store);

/* Reads enough of a reference to say its digest, without unpacking: for plans. */
int image_resolve(struct image_store *store, const char *reference, char **ret_digest, struct error *err) WARN_UNUSED;
/* Makes it present (unpacked, verified). name: to be kept under, or NULL. Idempotent; safe at kill -9 and with two at once. */
int image_import(struct image_store *store, const char *reference, const char *name, image_progress progress, void *arg, struct image *ret, struct error *err) WARN_UNUSED;
int image_get(struct image_store *store, const char *digest, struct image *ret, struct error *err) WARN_UNUSED;
int image_list(struct image_store *store, int (*each)(void *arg, const struct image *image), void *arg, struct error *err) WARN_UNUSED;
/* Removes what nothing uses: images without a name and not in `used` (digests, NULL-ended), layers of no image, leftovers of a crash. all: named ones too. */
int image_prune(struct image_store *store, const char *const *used, bool all, bool dry_run, int64_t *ret_freed, int (*each)(void *arg, const char *what, int64_t size), void *arg, struct error *err) WARN_UNUSED;
int image_remove(struct image_store *store, const char *name_or_digest, struct error *err) WARN_UNUSED;

/* The image "host": the roots of this machine that an instance may see read-only, and its digest. */
struct image_host_root { const char *path; bool is_link; char *target; };
int image_host_roots(struct image_host_root **ret, size_t *ret_n, struct error *err) WARN_UNUSED;
void image_host_roots_free(struct image_host_root *roots, size_t n);

#endif
