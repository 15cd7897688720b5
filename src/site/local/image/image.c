/* SPDX-License-Identifier: Apache-2.0 */
#include "image_parts.h"

#include "base/fs.h"
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Images as their users see them: made of records, names and layers. */

void image_clear(struct image *image)
{
	free(image->digest);
	free(image->name);
	for (size_t i = 0; i < image->layer_n; i++)
		free(image->layers[i]);
	free(image->layers);
	json_decref(image->config);
	*image = (struct image){ 0 };
}

/*
 * The layers that count, lowest first. One that comes twice counts where it is last: there it decides on all it brings, and overlayfs
 * refuses a folder that is given twice. Below one that hides everything nothing counts.
 */
static int layers_choose(struct image_store *store, const struct image_documents *documents, struct image *ret, struct error *err)
{
	automap struct map seen = { 0 };
	size_t from = documents->layers.n;
	struct store_layer facts;

	ret->layers = xcalloc(documents->layers.n + 1, sizeof(*ret->layers));
	for (size_t i = documents->layers.n; i-- > 0;) {
		const char *diff_id = documents->layers.items[i].diff_id;

		if (map_set(&seen, diff_id, (void *)diff_id))
			continue;
		if (!store_layer_exists(store, diff_id)) {
			error_set(err, ERROR_NOT_FOUND, "layer sha256:%.12s... of image sha256:%.12s... is missing in the store", diff_id, documents->digest);
			return error_hint(err, "import the image again");
		}
		if (store_layer_read(store, diff_id, &facts, err) < 0)
			return -1;
		ret->layers[--from] = store_path(store, "layers", diff_id);
		ret->size += facts.bytes;
		if (facts.opaque_root)
			break;
	}
	ret->layer_n = documents->layers.n - from;
	memmove(ret->layers, ret->layers + from, ret->layer_n * sizeof(*ret->layers));
	ret->layers[ret->layer_n] = NULL;
	return 0;
}

static int image_read(struct image_store *store, const char *hex, struct image *ret, struct error *err)
{
	autodocuments struct image_documents documents = { 0 };
	autoimage struct image image = { 0 };
	autofree char *path = NULL;
	struct stat st;

	if (store_record_read(store, hex, &documents, &image.created_ms, err) < 0)
		return -1;
	if (layers_choose(store, &documents, &image, err) < 0) {
		/* what was chosen lies at the end of the array */
		for (size_t i = 0; i < documents.layers.n; i++)
			free(image.layers[i]);
		return -1;
	}
	path = xasprintf("%s/images/%s.json", store->dir, hex);
	if (stat(path, &st) == 0)
		image.used_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	image.digest = xasprintf("sha256:%s", hex);
	image.config = json_incref(documents.run);
	*ret = image;
	image = (struct image){ 0 };
	return 0;
}

struct first_name { const char *hex; char *name; };

static int first_name(void *arg, const char *name, const char *hex, struct error *err)
{
	struct first_name *first = arg;

	if (!first->name && streq(hex, first->hex))
		first->name = xstrdup(name);
	return 0;
}

int image_get(struct image_store *store, const char *digest, struct image *ret, struct error *err)
{
	const char *hex = starts_with(digest, "sha256:") ? digest + strlen("sha256:") : digest;
	struct first_name first = { .hex = hex };

	if (starts_with(digest, "host:")) {
		autofree char *now = NULL;

		if (image_host_digest(&now, err) < 0)
			return -1;
		if (!streq(now, digest)) {
			error_set(err, ERROR_CONFLICT, "the image \"host\" is not what it was: packages of this machine changed");
			return error_hint(err, "plan and apply again, so that its instances are made anew");
		}
		*ret = (struct image){ .digest = steal(&now), .layers = xcalloc(1, sizeof(char *)), .config = json_object() };
		return 0;
	}
	if (image_read(store, hex, ret, err) < 0)
		return -1;
	if (store_names(store, first_name, &first, err) < 0) {
		image_clear(ret);
		return -1;
	}
	ret->name = first.name;
	store_record_touch(store, hex);
	return 0;
}

struct listing {
	struct image_store *store;
	int (*each)(void *arg, const struct image *image);
	void *arg;
	struct map named;		/* hex, owned, of images that have a name */
};

/* 1: read; 0: it, or a layer of it, is not there */
static int complete_read(struct image_store *store, const char *hex, struct image *ret, struct error *err)
{
	struct error failed;

	if (image_read(store, hex, ret, &failed) == 0)
		return 1;
	if (failed.code == ERROR_NOT_FOUND)
		return 0;
	*err = failed;
	return -1;
}

static int list_named(void *arg, const char *name, const char *hex, struct error *err)
{
	struct listing *listing = arg;
	autoimage struct image image = { 0 };
	int r = complete_read(listing->store, hex, &image, err);

	if (r <= 0)
		return r;
	if (!map_has(&listing->named, hex))
		map_set(&listing->named, xstrdup(hex), listing);
	image.name = xstrdup(name);
	return listing->each(listing->arg, &image);
}

static int list_unnamed(void *arg, const char *hex, struct error *err)
{
	struct listing *listing = arg;
	autoimage struct image image = { 0 };
	int r;

	if (map_has(&listing->named, hex))
		return 0;
	r = complete_read(listing->store, hex, &image, err);
	return r <= 0 ? r : listing->each(listing->arg, &image);
}

int image_list(struct image_store *store, int (*each)(void *arg, const struct image *image), void *arg, struct error *err)
{
	struct listing listing = { .store = store, .each = each, .arg = arg };
	autofd int lock = -1;
	int r;

	if (store_lock_shared(store, &lock, err) < 0)
		return -1;
	r = store_names(store, list_named, &listing, err);
	if (r == 0)
		r = store_records(store, list_unnamed, &listing, err);
	map_each(&listing.named, e)
		free((char *)e->key);
	map_clear(&listing.named);
	return r;
}

struct names_of { struct image_store *store; const char *hex; bool found; };

static int name_of_remove(void *arg, const char *name, const char *hex, struct error *err)
{
	struct names_of *names = arg;

	if (!streq(hex, names->hex))
		return 0;
	names->found = true;
	return store_name_remove(names->store, name, err);
}

int image_remove(struct image_store *store, const char *name_or_digest, struct error *err)
{
	struct names_of names = { .store = store };
	char hex[DIGEST_HEX];
	autofd int lock = -1;

	if (store_lock_shared(store, &lock, err) < 0)
		return -1;
	if (!starts_with(name_or_digest, "sha256:"))
		return store_name_get(store, name_or_digest, hex, err) < 0 ? -1 : store_name_remove(store, name_or_digest, err);
	names.hex = name_or_digest + strlen("sha256:");
	if (!digest_hex_valid(names.hex) || !store_record_exists(store, names.hex))
		return error_set(err, ERROR_NOT_FOUND, "image %.80s is not in the store", name_or_digest);
	return store_names(store, name_of_remove, &names, err);
}
