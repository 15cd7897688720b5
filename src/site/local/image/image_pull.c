/* SPDX-License-Identifier: Apache-2.0 */
#include "image_parts.h"

#include "image_registry.h"

#include "base/fs.h"
#include "base/map.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * From a registry into the store: an image is fetched into pull/<hex of its manifest>, an image layout like any other, which the import
 * then reads; layers that the store has are not fetched. A crash leaves the folder, and the next pull of the same image goes on in it. One
 * pull of an image at a time.
 */

static int text_write(const char *folder, const char *name, const char *text, size_t n, struct error *err)
{
	autofree char *path = fs_join(folder, name);

	return fs_replace_file(path, text, n, 0600, false, err);
}

static int layout_write(const char *folder, const char *blobs, const struct image_documents *documents, const struct image_descriptor *config, struct error *err)
{
	static const char version[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	autofree char *index = xasprintf("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
					 "\"digest\":\"sha256:%s\",\"size\":%zu}]}", documents->digest, strlen(documents->manifest));

	if (text_write(blobs, documents->digest, documents->manifest, strlen(documents->manifest), err) < 0 ||
	    text_write(blobs, config->digest, documents->config, strlen(documents->config), err) < 0 ||
	    text_write(folder, "oci-layout", version, strlen(version), err) < 0)
		return -1;
	return text_write(folder, "index.json", index, strlen(index), err);
}

static int room_check(struct image_store *store, int64_t bytes, const char *folder, struct error *err)
{
	int64_t used, freed, there = store_tree_bytes(folder), room = fs_free_bytes(store->dir);
	struct error ignored;

	if (store_bytes(store, &used, err) < 0)
		return -1;
	if (store->limit)
		room = MIN(room < 0 ? INT64_MAX : room, store->limit - used);
	if (room < 0 || bytes - there <= room)
		return 0;
	error_set(err, ERROR_CAPACITY, "its layers of %" PRId64 " MiB do not fit into the image store, which has room for %" PRId64 " MiB", bytes >> 20, MAX(0, room) >> 20);
	if (store_prune_count(store, &freed, &ignored) < 0)
		return -1;
	return error_hint(err, "'insula image prune' frees up to %" PRId64 " MiB; the limit is the Site's imageStore.limit", freed >> 20);
}

static int layers_fetch(struct image_store *store, struct registry *registry, const struct image_documents *documents, const char *folder, const char *blobs,
			image_progress progress, void *arg, struct error *err)
{
	VEC(struct image_descriptor) wanted = { 0 };
	automap struct map seen = { 0 };
	int64_t bytes = 0;
	int r;

	vec_each(&documents->layers, layer) {
		if (store_layer_exists(store, layer->diff_id) || map_set(&seen, layer->packed.digest, layer))
			continue;
		vec_push(&wanted, layer->packed);
		bytes += layer->packed.size;
	}
	r = room_check(store, bytes, folder, err);
	if (r == 0)
		r = registry_blobs(registry, wanted.items, wanted.n, blobs, progress, arg, err);
	vec_clear(&wanted);
	return r;
}

static int pull(struct image_store *store, struct registry *registry, const char *manifest, size_t n, const char *folder, image_progress progress, void *arg,
		struct error *err)
{
	autofree char *blobs = fs_join(folder, "blobs/sha256"), *config = NULL;
	autodocuments struct image_documents documents = { 0 };
	struct image_descriptor descriptor;
	char architecture[32];
	size_t config_n;

	image_architecture(architecture);
	if (oci_manifest_read(manifest, n, &documents, &descriptor, err) < 0 || registry_document(registry, &descriptor, &config, &config_n, err) < 0 ||
	    oci_config_read(config, config_n, architecture, &documents, err) < 0)
		return -1;
	if (fs_make_dirs(blobs, 0700, err) < 0 || layout_write(folder, blobs, &documents, &descriptor, err) < 0)
		return -1;
	return layers_fetch(store, registry, &documents, folder, blobs, progress, arg, err);
}

int store_pull(struct image_store *store, const char *text, image_progress progress, void *arg, char **ret_folder, int *ret_lock, struct error *err)
{
	autoregistryreference struct registry_reference reference = { 0 };
	autofree char *manifest = NULL, *folder = NULL, *lock = NULL;
	autoregistry struct registry *registry = NULL;
	char hex[DIGEST_HEX];
	autofd int held = -1;
	size_t n;

	if (registry_reference_parse(text, &reference, err) < 0 || registry_open(&reference, &store->registry, &registry, err) < 0)
		return -1;
	if (progress)
		progress(arg, "asking the registry", 0, 0);
	if (registry_manifest(registry, &manifest, &n, hex, err) < 0)
		return -1;
	folder = store_path(store, "pull", hex);
	lock = xasprintf("%s/locks/pull-%s.lock", store->dir, hex);
	if (fs_lock(lock, -1, &held, err) < 0 || pull(store, registry, manifest, n, folder, progress, arg, err) < 0)
		return -1;
	*ret_folder = steal(&folder);
	*ret_lock = steal_fd(&held);
	return 0;
}

int store_pull_digest(struct image_store *store, const char *text, char hex[static DIGEST_HEX], struct error *err)
{
	autoregistryreference struct registry_reference reference = { 0 };
	autoregistry struct registry *registry = NULL;
	autofree char *manifest = NULL;
	size_t n;

	if (registry_reference_parse(text, &reference, err) < 0)
		return -1;
	if (*reference.digest && store_record_exists(store, reference.digest)) {
		memcpy(hex, reference.digest, DIGEST_HEX);
		return 0;
	}
	if (registry_open(&reference, &store->registry, &registry, err) < 0)
		return -1;
	return registry_manifest(registry, &manifest, &n, hex, err);
}

char *image_reference_pin(const char *text, const char *digest)
{
	autoregistryreference struct registry_reference reference = { 0 };
	struct error ignored;

	if (!starts_with(text, "docker://") || !starts_with(digest, "sha256:") || registry_reference_parse(text, &reference, &ignored) < 0)
		return xstrdup(text);
	return xasprintf("docker://%s/%s@%s", reference.host, reference.repository, digest);
}
