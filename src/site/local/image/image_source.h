/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_IMAGE_SOURCE_H
#define INSULA_SITE_LOCAL_IMAGE_SOURCE_H

/*
 * Where an image is brought from: a folder (OCI image layout) or a tar (docker-archive, or a layout in a tar; packed or not).
 * Files in it are told apart by name; in a tar, links among them are followed by name. Nothing in it is believed:
 * whoever reads compares digests.
 */

#include "image_layer.h"
#include "image_oci.h"

struct image_source;

int image_source_open(const char *path, struct image_source **ret, struct error *err) WARN_UNUSED;
void image_source_close_pp(struct image_source **source);
#define autosource CLEANUP(image_source_close_pp)

bool image_source_has(struct image_source *source, const char *name);
/* A whole small file. */
int image_source_read(struct image_source *source, const char *name, size_t limit, char **ret, size_t *ret_n, struct error *err) WARN_UNUSED;
/* Calls `each` for every name once, in whatever order is cheap to read; all must be there. */
int image_source_visit(struct image_source *source, const char *const *names, size_t n,
		       int (*each)(void *arg, size_t index, const struct layer_stream *stream, int64_t size, struct error *err), void *arg,
		       struct error *err) WARN_UNUSED;

/* Reads what the source says of the image `tag` (or NULL) for this machine. */
int image_source_documents(struct image_source *source, const char *tag, struct image_documents *ret, struct error *err) WARN_UNUSED;

#endif
