/* SPDX-License-Identifier: Apache-2.0 */
#include "image_parts.h"

#include "image_source.h"

#include "base/fs.h"
#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * How it works: the documents come first; they name the layers by diff id, and a layer that is here under that name needs no
 * reading. The others are unpacked, in the order the source has them, and believed only when both digests and the size are what the
 * documents say. The record is written when all layers are complete.
 */

#define PROGRESS_STEP (1 << 20)

struct importing {
	struct image_store *store;
	struct image_documents *documents;
	size_t *wanted, wanted_n;	/* indexes of layers that are missing */
	image_progress progress;
	void *progress_arg;
};

/* One packed layer on its way: counts what passes. */
struct passing {
	struct importing *importing;
	const struct layer_stream *stream;
	const struct image_layer *layer;
	size_t number;			/* 1.. */
	int64_t size, done, told;
};

static void passing_tell(struct passing *passing)
{
	char text[80];

	if (!passing->importing->progress)
		return;
	snprintf(text, sizeof(text), "unpacking layer %zu of %zu", passing->number, passing->importing->documents->layers.n);
	passing->importing->progress(passing->importing->progress_arg, text, passing->done, passing->size);
	passing->told = passing->done;
}

static ssize_t passing_read(void *arg, void *buf, size_t n, struct error *err)
{
	struct passing *passing = arg;
	ssize_t r = passing->stream->read(passing->stream->arg, buf, n, err);

	if (r > 0)
		passing->done += r;
	if (passing->done - passing->told >= PROGRESS_STEP)
		passing_tell(passing);
	return r;
}

static int result_check(const struct image_layer *layer, const struct layer_result *result, struct error *err)
{
	if (layer->packed.size >= 0 && result->packed != layer->packed.size)
		return error_set(err, ERROR_INPUT, "it is damaged: it has %" PRId64 " bytes and should have %" PRId64, result->packed, layer->packed.size);
	if (*layer->packed.digest && !streq(result->digest, layer->packed.digest))
		return error_set(err, ERROR_INPUT, "it is damaged: its digest is sha256:%.12s... and should be sha256:%.12s...", result->digest, layer->packed.digest);
	if (!streq(result->diff_id, layer->diff_id))
		return error_set(err, ERROR_INPUT, "it is damaged: its diff id is sha256:%.12s... and should be sha256:%.12s...", result->diff_id, layer->diff_id);
	return 0;
}

static int layer_fill(void *arg, int root, const struct layer_limits *limits, struct store_layer *ret, struct error *err)
{
	struct passing *passing = arg;
	const struct layer_stream stream = { passing_read, passing };
	autolayerdisk struct layer_disk *disk = NULL;
	struct layer_result result;
	struct layer_sink sink;

	passing_tell(passing);
	if (layer_disk_new(root, 0, &disk, err) < 0)
		return -1;
	sink = layer_disk_sink(disk);
	if (layer_unpack(&stream, limits, &sink, &result, err) < 0 || result_check(passing->layer, &result, err) < 0)
		return -1;
	*ret = (struct store_layer){ result.counts.bytes, result.counts.entries, result.counts.skipped, layer_disk_opaque_root(disk) };
	return 0;
}

static int layer_visit(void *arg, size_t index, const struct layer_stream *stream, int64_t size, struct error *err)
{
	struct importing *importing = arg;
	size_t i = importing->wanted[index];
	const struct image_layer *layer = &importing->documents->layers.items[i];
	struct passing passing = { .importing = importing, .stream = stream, .layer = layer, .number = i + 1, .size = size };

	if (layer->packed.size >= 0 && size != layer->packed.size)
		error_set(err, ERROR_INPUT, "it is damaged: it has %" PRId64 " bytes and should have %" PRId64, size, layer->packed.size);
	else if (store_layer_make(importing->store, layer->diff_id, layer_fill, &passing, NULL, err) == 0)
		return 0;
	return error_wrap(err, "layer %zu of %zu", i + 1, importing->documents->layers.n);
}

static int layers_import(struct importing *importing, struct image_source *source, struct error *err)
{
	struct image_documents *documents = importing->documents;
	autofree const char **names = xcalloc(documents->layers.n + 1, sizeof(*names));
	autofree size_t *wanted = xcalloc(documents->layers.n + 1, sizeof(*wanted));
	automap struct map seen = { 0 };

	importing->wanted = wanted;
	for (size_t i = 0; i < documents->layers.n; i++) {
		const struct image_layer *layer = &documents->layers.items[i];

		if (map_set(&seen, layer->diff_id, (void *)layer) || store_layer_exists(importing->store, layer->diff_id))
			continue;
		names[importing->wanted_n] = layer->blob;
		wanted[importing->wanted_n++] = i;
	}
	return importing->wanted_n ? image_source_visit(source, names, importing->wanted_n, layer_visit, importing, err) : 0;
}

static int source_import(struct importing *importing, const struct image_reference *reference, struct error *err)
{
	autosource struct image_source *source = NULL;

	if (image_source_open(reference->path, &source, err) < 0 ||
	    image_source_documents(source, reference->name, importing->documents, err) < 0)
		return -1;
	if (layers_import(importing, source, err) < 0)
		return error_wrap(err, "image %s", reference->path);
	return 0;
}

struct rootfs { struct importing *importing; const char *path; };

static int rootfs_fill(void *arg, int root, const struct layer_limits *limits, struct store_layer *ret, struct error *err)
{
	struct rootfs *rootfs = arg;
	struct importing *importing = rootfs->importing;
	autolayerdisk struct layer_disk *disk = NULL;
	struct layer_counts counts;
	char diff_id[DIGEST_HEX];
	struct layer_sink sink;

	if (layer_disk_new(root, 0, &disk, err) < 0)
		return -1;
	sink = layer_disk_sink(disk);
	if (image_rootfs_read(rootfs->path, limits, &sink, importing->progress, importing->progress_arg, &counts, diff_id, err) < 0)
		return -1;
	if (!streq(diff_id, importing->documents->layers.items[0].diff_id)) {
		error_set(err, ERROR_CONFLICT, "rootfs %s changed while it was read", rootfs->path);
		err->retryable = true;
		return -1;
	}
	*ret = (struct store_layer){ counts.bytes, counts.entries, counts.skipped, layer_disk_opaque_root(disk) };
	return 0;
}

static int rootfs_import(struct importing *importing, const struct image_reference *reference, struct error *err)
{
	struct rootfs rootfs = { importing, reference->path };

	if (image_rootfs_documents(importing->store, reference->path, importing->documents, err) < 0)
		return -1;
	return store_layer_make(importing->store, importing->documents->layers.items[0].diff_id, rootfs_fill, &rootfs, NULL, err);
}

static int registry_import(struct importing *importing, const struct image_reference *reference, struct error *err)
{
	struct image_store *store = importing->store;
	autofree char *folder = NULL;
	struct error ignored;
	autofd int lock = -1;
	int r;

	if (store_pull(store, reference->path, importing->progress, importing->progress_arg, &folder, &lock, err) < 0)
		return error_wrap(err, "image %.200s", reference->path);
	r = source_import(importing, &(struct image_reference){ .scheme = IMAGE_OCI, .path = folder }, err);
	/* what is damaged is of no use to the next pull; what had no room is */
	if ((r == 0 || err->code == ERROR_INPUT) && fs_remove_tree(folder, r == 0 ? err : &ignored) < 0)
		return -1;
	return r;
}

/* Brings the image's layers and record; its digest's hex. */
static int reference_import(struct importing *importing, const char *text, const struct image_reference *reference, char hex[static DIGEST_HEX], struct error *err)
{
	struct image_store *store = importing->store;
	int (*bring)(struct importing *importing, const struct image_reference *reference, struct error *err);
	autodocuments struct image_documents documents = { 0 };

	importing->documents = &documents;
	bring = reference->scheme == IMAGE_ROOTFS ? rootfs_import : reference->scheme == IMAGE_REGISTRY ? registry_import : source_import;
	if (bring(importing, reference, err) < 0)
		return -1;
	memcpy(hex, documents.digest, DIGEST_HEX);
	return store_record_exists(store, hex) ? 0 : store_record_write(store, &documents, text, err);
}

static int stored(struct image_store *store, const struct image_reference *reference, char hex[static DIGEST_HEX], struct error *err)
{
	if (reference->scheme == IMAGE_STORE)
		return store_name_get(store, reference->name, hex, err);
	memcpy(hex, reference->name, DIGEST_HEX);
	return 0;
}

static int host_image(const char *name, struct image *ret, struct error *err)
{
	char *digest;

	if (name)
		return error_set(err, ERROR_INPUT, "the image \"host\" is this machine itself and is not kept under a name");
	if (image_host_digest(&digest, err) < 0)
		return -1;
	*ret = (struct image){ .digest = digest, .layers = xcalloc(1, sizeof(char *)), .config = json_object() };
	return 0;
}

int image_import(struct image_store *store, const char *text, const char *name, image_progress progress, void *arg, struct image *ret, struct error *err)
{
	struct importing importing = { .store = store, .progress = progress, .progress_arg = arg };
	autoreference struct image_reference reference = { 0 };
	autofree char *digest = NULL;
	char hex[DIGEST_HEX];
	autofd int lock = -1;

	if (image_reference_parse(text, &reference, err) < 0 || (name && store_name_check(name, err) < 0))
		return -1;
	if (reference.scheme == IMAGE_HOST)
		return host_image(name, ret, err);
	if (store_lock_shared(store, &lock, err) < 0)
		return -1;
	if (reference.scheme == IMAGE_STORE || reference.scheme == IMAGE_DIGEST) {
		if (stored(store, &reference, hex, err) < 0)
			return -1;
	} else if (reference_import(&importing, text, &reference, hex, err) < 0) {
		return -1;
	}
	digest = xasprintf("sha256:%s", hex);
	if (image_get(store, digest, ret, err) < 0)
		return -1;
	if (!name)
		return 0;
	if (store_name_set(store, name, hex, err) < 0) {
		image_clear(ret);
		return -1;
	}
	free(ret->name);
	ret->name = xstrdup(name);
	return 0;
}
