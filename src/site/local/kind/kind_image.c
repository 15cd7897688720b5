/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/local.h"

#include "site/local/image/image.h"
#include "model/labels.h"

/*
 * image/<digest>: an image of the store, which all deployments share. Create makes it present, and only what the plan saw: its digest is the
 * resource's. Remove leaves it; 'insula image prune' takes what no deployment uses.
 */

static int store_open(struct site *site, struct image_store **ret, struct error *err)
{
	const struct site_intent *intent = site->config->intent;

	return image_store_open(site->images, intent ? MAX(0, intent->image_store_limit) : 0, ret, err);
}

static void store_close(struct image_store **store)
{
	image_store_close(*store);
}
#define autostore CLEANUP(store_close)

static struct resource *image_resource(const struct image *image)
{
	autofree char *key = xasprintf("image/%s", image->digest);
	json_t *body = json_object();
	struct resource *resource;

	json_set_string(body, "digest", image->digest);
	if (image->name)
		json_set(body, "reference", json_sprintf("store:%s", image->name));
	resource = resource_new("local", "image", key, body);
	resource_set_id(resource, image->digest);
	return resource;
}

struct listing { resource_sink sink; void *arg; char *last; };

static int list_one(void *arg, const struct image *image)
{
	struct listing *listing = arg;

	/* one with several names comes once for each of them */
	if (str_equal(listing->last, image->digest))
		return 0;
	cleanup_free(&listing->last);
	listing->last = xstrdup(image->digest);
	return listing->sink(listing->arg, image_resource(image));
}

static int host_list(struct image_store *store, struct listing *listing, struct error *err)
{
	autofree char *digest = NULL;
	struct image host = { 0 };

	if (image_resolve(store, "host", &digest, err) < 0)
		return -1;
	host.digest = digest;
	return list_one(listing, &host);
}

static int image_kind_list(struct site *site, resource_sink sink, void *arg, struct error *err)
{
	struct listing listing = { sink, arg, NULL };
	autostore struct image_store *store = NULL;
	int r = store_open(site, &store, err);

	if (r == 0)
		r = image_list(store, list_one, &listing, err);
	if (r == 0)
		r = host_list(store, &listing, err);
	cleanup_free(&listing.last);
	return r > 0 ? error_set(err, ERROR_INTERRUPTED, "the list was stopped") : r;
}

static int image_kind_get(struct site *site, struct resource *resource, struct error *err)
{
	autoresource struct resource *live = NULL;
	autostore struct image_store *store = NULL;
	autoimage struct image image = { 0 };
	const char *digest = json_get_string(resource->body, "digest", strchr(resource->key, '/') ? strchr(resource->key, '/') + 1 : "");

	if (store_open(site, &store, err) < 0 || image_get(store, digest, &image, err) < 0)
		return -1;
	live = image_resource(&image);
	json_decref(resource->body);
	resource->body = json_incref(live->body);
	resource_set_id(resource, image.digest);
	return 0;
}

struct progress { struct site *site; const char *key; };

static void progress_tell(void *arg, const char *text, int64_t done, int64_t total)
{
	struct progress *progress = arg;
	const struct site_config *config = progress->site->config;

	if (config->progress)
		config->progress(config->progress_arg, progress->key, text, done, total);
}

/* The file may call an image by an alias of its Site. */
static const char *alias_resolve(const struct site *site, const char *reference)
{
	const struct site_intent *intent = site->config->intent;
	const char *meant = intent ? labels_get(&intent->images, reference) : NULL;

	return meant ? meant : reference;
}

static int image_kind_create(struct site *site, struct resource *resource, struct error *err)
{
	const char *digest = json_get_string(resource->body, "digest", ""), *reference = json_get_string(resource->body, "reference", digest);
	struct progress progress = { site, resource->key };
	autostore struct image_store *store = NULL;
	autoimage struct image image = { 0 };
	autofree char *pinned = NULL;
	struct error missing;

	if (store_open(site, &store, err) < 0)
		return -1;
	if (image_get(store, digest, &image, &missing) < 0) {
		if (missing.code != ERROR_NOT_FOUND) {
			*err = missing;
			return -1;
		}
		pinned = image_reference_pin(alias_resolve(site, reference), digest);
		if (image_import(store, pinned, NULL, progress_tell, &progress, &image, err) < 0)
			return -1;
	}
	if (!streq(image.digest, digest)) {
		error_set(err, ERROR_CONFLICT, "image %s is not what was planned: its digest is %.19s... and was %.19s...", reference, image.digest, digest);
		return error_hint(err, "plan again");
	}
	resource_set_id(resource, digest);
	return 0;
}

static int image_kind_remove(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	return 0;
}

const struct local_kind local_image = {
	.name = "image",
	.list = image_kind_list,
	.get = image_kind_get,
	.create = image_kind_create,
	.remove = image_kind_remove,
};
