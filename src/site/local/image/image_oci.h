/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_IMAGE_OCI_H
#define INSULA_SITE_LOCAL_IMAGE_OCI_H

/*
 * The documents of an image: index, manifest, config (OCI image spec 1.1 and the Docker forms of them), and the manifest.json of a
 * docker-archive. Pure: text in, values out; every text and number comes from outside and is bounded here.
 */

#include "base/base.h"
#include "base/digest.h"
#include "base/vec.h"
#include "data/json.h"

#define IMAGE_DOCUMENT_MAX ((size_t)4 << 20)
#define IMAGE_LAYERS_MAX 500		/* what overlayfs takes */
#define IMAGE_INDEX_MAX 2000		/* descriptors in an index */
#define IMAGE_INDEX_DEPTH 4		/* indexes within each other */

struct image_descriptor {
	char digest[DIGEST_HEX];	/* "" when the source gives none */
	int64_t size;			/* -1 when the source gives none */
	bool index;			/* of an index: leads to another index */
};

struct image_layer {
	char *blob;			/* its name in the source */
	struct image_descriptor packed;
	char diff_id[DIGEST_HEX];
};

/* What an image says of itself. */
struct image_documents {
	char digest[DIGEST_HEX];	/* of the manifest */
	char *manifest, *config;	/* verbatim */
	VEC(struct image_layer) layers;	/* lowest first */
	json_t *run;			/* Env, Cmd, Entrypoint, WorkingDir, User, StopSignal: checked; {} when none */
};
void image_documents_clear(struct image_documents *documents);
#define autodocuments CLEANUP(image_documents_clear)

/* The name of this machine's instruction set in images: "amd64", "arm64" ... */
void image_architecture(char ret[static 32]);

/* "oci-layout": version 1.x only */
int oci_layout_check(const char *text, size_t n, struct error *err) WARN_UNUSED;

/* The one manifest or index that `tag` (NULL: the only one, or "latest" among many) and the architecture choose.
   A tag is matched by org.opencontainers.image.ref.name and io.containerd.image.name. nested: an index within an index
   is one image in variants, best first. */
int oci_index_choose(const char *text, size_t n, const char *tag, bool nested, const char *architecture, struct image_descriptor *ret, struct error *err) WARN_UNUSED;

/* Sets ret_config and documents->manifest, digest, layers (blobs "blobs/sha256/<hex>"), still without diff ids. */
int oci_manifest_read(const char *text, size_t n, struct image_documents *documents, struct image_descriptor *ret_config, struct error *err) WARN_UNUSED;
/* Sets documents->config, run and the diff ids, whose number must be that of the layers. */
int oci_config_read(const char *text, size_t n, const char *architecture, struct image_documents *documents, struct error *err) WARN_UNUSED;

/* manifest.json of a docker-archive: the image called `name` (NULL: the only one); its layers in documents, its config's name in *ret_config. */
int docker_manifest_read(const char *text, size_t n, const char *name, struct image_documents *documents, char **ret_config, struct error *err) WARN_UNUSED;

/* For what comes without a manifest: makes one of ours from the config and the diff ids, the same for the same content. */
void image_documents_complete(struct image_documents *documents);
/* A config of ours for one layer without any settings. */
char *image_config_make(const char *architecture, const char *diff_id);

#endif
