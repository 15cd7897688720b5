/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_IMAGE_H
#define INSULA_SITE_LOCAL_IMAGE_H

/*
 * The image store: <state_dir>/images. OCI image layouts, docker-archives, root filesystems become layers,
 * unpacked once, told apart by digest, shared by every deployment and tenant.
 *
 *   images/<hex>.json       manifest and config, as they came: the image is complete when this is here
 *   layers/<hex>/           an unpacked layer, by its diff id; complete when it has this name; never written to again
 *   layers/<hex>@<base>/    the same with owners shifted by base, where id-mapped mounts do not work
 *   layers/<hex>.json       its size
 *   names/<name>            the digest it stands for
 *   pull/<hex>/             an image on its way from a registry: an image layout, layers in it as <digest>.partial until they are whole
 *   cache/                  digests of archives and folders, by a fingerprint of their stat(2)
 *   lock, locks/            who brings something holds `lock` shared, who removes holds it alone; one writer at a time per layer
 *
 * The folder is 0700 of root. Whatever reads a layer's files from outside an instance must resolve links inside of it
 * (openat2(2) with RESOLVE_IN_ROOT): an absolute link in a layer is meant from the image's root.
 *
 * References: "oci:PATH[:TAG]", "docker-archive:PATH[:NAME]" (each a folder or a tar), "rootfs:PATH" (folder or tar), "store:NAME" or
 * a bare NAME (imported under a name; aliases of the Site are the caller's to look up first), "sha256:<hex>" (must be present), "host",
 * "docker://HOST/NAME[:TAG][@sha256:<hex>]" (fetched from a registry; image_registry.h).
 * Layers are verified (size, packed digest and diff id), whiteouts become overlayfs whiteouts, and whatever leads
 * out of the root is refused; image_layer.h has the rules.
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

/* Reads enough of a reference to say its digest, without unpacking: for plans. A registry is asked. */
int image_resolve(struct image_store *store, const char *reference, char **ret_digest, struct error *err) WARN_UNUSED;
/* The same reference with its tag, if it is one of a registry, replaced by the digest that it was resolved to; caller frees. */
char *image_reference_pin(const char *reference, const char *digest);
/* Makes it present (unpacked, verified). name: to be kept under, or NULL. Idempotent; safe at kill -9 and with two at once. */
int image_import(struct image_store *store, const char *reference, const char *name, image_progress progress, void *arg, struct image *ret, struct error *err) WARN_UNUSED;
/* By digest, as a plan pins it. Layers that count only, each once. "host:<hex>" is ERROR_CONFLICT when the host is not that any more. */
int image_get(struct image_store *store, const char *digest, struct image *ret, struct error *err) WARN_UNUSED;
/* Complete images only: once for each name, and once for each image without one. Non-zero from `each` stops and is returned. */
int image_list(struct image_store *store, int (*each)(void *arg, const struct image *image), void *arg, struct error *err) WARN_UNUSED;
/* Removes what nothing uses: images without a name and not in `used` (digests, NULL-ended, or NULL), layers of no image, shifted copies of layers
   of no used image, leftovers of a crash. all: named ones too. `each` (or NULL) is told "image NAME or digest", "layer <hex>", "leftover <name>".
   Waits 10 s for imports to end, then ERROR_CONFLICT. */
int image_prune(struct image_store *store, const char *const *used, bool all, bool dry_run, int64_t *ret_freed, int (*each)(void *arg, const char *what, int64_t size), void *arg, struct error *err) WARN_UNUSED;
/* Takes a name away, or all names of a digest. The image itself goes with the next prune that finds it unused. */
int image_remove(struct image_store *store, const char *name_or_digest, struct error *err) WARN_UNUSED;

/*
 * Owners. A container runs with the uids base .. base+65535. Where the file system can (image_idmap_works), layers are mounted id-mapped;
 * where it cannot, a copy of each layer with shifted owners is made, once per base.
 */
/* Tries, in a child with namespaces of its own, an id-mapped mount of `dir` as a lower layer of an overlay. ret_why (or NULL): what failed; caller frees. */
bool image_idmap_works(const char *dir, char **ret_why);
/* The shifted copies, like image->layers; NULL-ended, caller frees each and the array. Idempotent, crash-safe, counted by the store's limit. */
int image_shifted_layers(struct image_store *store, const struct image *image, uint32_t base, char ***ret_paths, struct error *err) WARN_UNUSED;

/* The image "host": the roots of this machine that an instance may see read-only: /usr, /bin, /sbin, /lib*, /opt as far as they are here.
   Links stay links (target is their text). Its digest is that of the package database and of the roots' times. */
struct image_host_root { const char *path; bool is_link; char *target; };
int image_host_roots(struct image_host_root **ret, size_t *ret_n, struct error *err) WARN_UNUSED;
void image_host_roots_free(struct image_host_root *roots, size_t n);

#endif
