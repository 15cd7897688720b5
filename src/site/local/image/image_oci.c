/* SPDX-License-Identifier: Apache-2.0 */
#include "image_oci.h"

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

#define TYPE_INDEX "application/vnd.oci.image.index.v1+json"
#define TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define TYPE_CONFIG "application/vnd.oci.image.config.v1+json"
#define TYPE_LAYER "application/vnd.oci.image.layer."
#define TYPE_DOCKER_INDEX "application/vnd.docker.distribution.manifest.list.v2+json"
#define TYPE_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define TYPE_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define TYPE_DOCKER_LAYER "application/vnd.docker.image.rootfs."

#define BLOB_MAX ((int64_t)1 << 40)
#define TAG_SHOWN 10

void image_documents_clear(struct image_documents *documents)
{
	free(documents->manifest);
	free(documents->config);
	vec_each(&documents->layers, layer)
		free(layer->blob);
	vec_clear(&documents->layers);
	json_decref(documents->run);
	*documents = (struct image_documents){ 0 };
}

void image_architecture(char ret[static 32])
{
	static const char *const names[][2] = { { "x86_64", "amd64" }, { "aarch64", "arm64" }, { "armv7l", "arm" }, { "i686", "386" } };
	struct utsname machine;
	const char *name;

	if (uname(&machine) < 0)
		BUG("uname fails");
	name = machine.machine;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (streq(names[i][0], machine.machine))
			name = names[i][1];
	snprintf(ret, 32, "%.31s", name);
}

static int document_parse(const char *what, const char *text, size_t n, json_t **ret, struct error *err)
{
	autojson json_t *json = NULL;

	if (json_parse(what, text, n, IMAGE_DOCUMENT_MAX, &json, err) < 0)
		return -1;
	if (!json_is_object(json))
		return error_set(err, ERROR_INPUT, "the %s is no JSON object", what);
	*ret = steal(&json);
	return 0;
}

static int digest_decode(const char *what, const char *text, char ret[static DIGEST_HEX], struct error *err)
{
	if (!text)
		return error_set(err, ERROR_INPUT, "the %s has no digest", what);
	if (!starts_with(text, "sha256:"))
		return error_set(err, ERROR_UNSUPPORTED, "the %s has a digest that is no sha256: \"%.100s\"", what, text);
	if (!digest_hex_valid(text + strlen("sha256:")))
		return error_set(err, ERROR_INPUT, "the %s has a malformed digest: \"%.100s\"", what, text);
	memcpy(ret, text + strlen("sha256:"), DIGEST_HEX);
	return 0;
}

static int descriptor_decode(const char *what, const json_t *json, struct image_descriptor *ret, struct error *err)
{
	int64_t size = json_get_int(json, "size", -1);

	if (!json_is_object(json))
		return error_set(err, ERROR_INPUT, "the %s has no descriptor", what);
	if (size < 0 || size > BLOB_MAX)
		return error_set(err, ERROR_INPUT, "the %s has no size, or one beyond all bounds", what);
	*ret = (struct image_descriptor){ .size = size };
	return digest_decode(what, json_get_string(json, "digest", NULL), ret->digest, err);
}

int oci_layout_check(const char *text, size_t n, struct error *err)
{
	autojson json_t *json = NULL;
	const char *version;

	if (document_parse("oci-layout", text, n, &json, err) < 0)
		return -1;
	version = json_get_string(json, "imageLayoutVersion", "");
	if (!starts_with(version, "1."))
		return error_set(err, ERROR_UNSUPPORTED, "the image layout is of version \"%.40s\", and only 1.x is known", version);
	return 0;
}

/* "busybox" and "docker.io/library/busybox:latest" name the same image. */
static bool name_matches(const char *full, const char *tag)
{
	static const char *const prefixes[] = { "", "docker.io/", "docker.io/library/" };
	bool tagged = strrchr(tag, ':') && !strchr(strrchr(tag, ':'), '/');

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		autofree char *name = xasprintf("%s%s%s", prefixes[i], tag, tagged ? "" : ":latest");

		if (streq(full, name) || (i == 0 && streq(full, tag)))
			return true;
	}
	return false;
}

static bool tag_matches(const json_t *descriptor, const char *tag)
{
	const json_t *annotations = json_get_object(descriptor, "annotations");
	const char *name = json_get_string(annotations, "org.opencontainers.image.ref.name", NULL);
	const char *full = json_get_string(annotations, "io.containerd.image.name", NULL);

	return str_equal(name, tag) || (name && name_matches(name, tag)) || (full && name_matches(full, tag));
}

/* Leads it to an image of this machine? Without a platform, its config will tell. */
static bool platform_matches(const json_t *descriptor, const char *architecture)
{
	const json_t *platform = json_get_object(descriptor, "platform");

	if (!platform)
		return true;
	return streq(json_get_string(platform, "os", ""), "linux") && streq(json_get_string(platform, "architecture", ""), architecture);
}

static bool type_is_index(const char *type)
{
	return streq(type, TYPE_INDEX) || streq(type, TYPE_DOCKER_INDEX);
}

static bool type_is_manifest(const char *type)
{
	return streq(type, TYPE_MANIFEST) || streq(type, TYPE_DOCKER_MANIFEST);
}

static void names_add(struct buf *names, size_t *count, const json_t *json, const char *architecture)
{
	const json_t *annotations = json_get_object(json, "annotations");
	const json_t *platform = json_get_object(json, "platform");
	const char *name = json_get_string(annotations, "org.opencontainers.image.ref.name", NULL);

	if ((*count)++ >= TAG_SHOWN)
		return;
	if (name)
		buf_addf(names, "%s\"%.60s\"", names->n ? ", " : "", name);
	else if (platform && !platform_matches(json, architecture))
		buf_addf(names, "%s%.20s/%.20s", names->n ? ", " : "", json_get_string(platform, "os", "?"), json_get_string(platform, "architecture", "?"));
}

static int choose_failed(const json_t *manifests, size_t matches, const char *tag, const char *architecture, struct error *err)
{
	autobuf struct buf names = { 0 };
	size_t count = 0, i;
	json_t *item;

	json_array_foreach(manifests, i, item)
		names_add(&names, &count, item, architecture);
	if (matches > 1 && !tag) {
		error_set(err, ERROR_INPUT, "there are %zu images in it", matches);
		return error_hint(err, "name one behind the path, as in oci:PATH:TAG%s%s", names.n ? "; there are " : "", names.n ? names.data : "");
	}
	if (matches > 1)
		return error_set(err, ERROR_INPUT, "there are %zu images called \"%.100s\" in it", matches, tag);
	error_set(err, ERROR_NOT_FOUND, "there is no image for linux/%s%s%.100s%s in it", architecture, tag ? " called \"" : "", tag ? tag : "", tag ? "\"" : "");
	return names.n ? error_hint(err, "there are %s", names.data) : -1;
}

int oci_index_choose(const char *text, size_t n, const char *tag, bool nested, const char *architecture, struct image_descriptor *ret, struct error *err)
{
	autojson json_t *json = NULL;
	const json_t *manifests, *found = NULL, *latest = NULL;
	size_t i, matches = 0;
	json_t *item;

	if (document_parse("index", text, n, &json, err) < 0)
		return -1;
	manifests = json_get_array(json, "manifests");
	if (json_get_int(json, "schemaVersion", 2) != 2 || !manifests)
		return error_set(err, ERROR_INPUT, "the index is not of schema version 2, or lists no manifests");
	if (json_array_size(manifests) > IMAGE_INDEX_MAX)
		return error_set(err, ERROR_INPUT, "the index lists more than %d manifests", IMAGE_INDEX_MAX);
	json_array_foreach(manifests, i, item) {
		const char *type = json_get_string(item, "mediaType", "");

		if (!(type_is_index(type) || type_is_manifest(type)) || !platform_matches(item, architecture) || (tag && !tag_matches(item, tag)))
			continue;
		/* the same manifest may be listed under several names */
		if (found && str_equal(json_get_string(found, "digest", NULL), json_get_string(item, "digest", "")))
			continue;
		if (nested && found)
			continue;
		matches++;
		found = item;
		if (tag_matches(item, "latest"))
			latest = item;
	}
	if (matches > 1 && latest && !tag)
		found = latest;
	else if (matches != 1)
		return choose_failed(manifests, matches, tag, architecture, err);
	if (descriptor_decode("index's manifest", found, ret, err) < 0)
		return -1;
	ret->index = type_is_index(json_get_string(found, "mediaType", ""));
	return 0;
}

static int layer_decode(const json_t *json, size_t i, struct image_documents *documents, struct error *err)
{
	const char *type = json_get_string(json, "mediaType", "");
	struct image_layer *layer = vec_add(&documents->layers);

	if (descriptor_decode("layer", json, &layer->packed, err) < 0)
		return error_wrap(err, "layer %zu", i + 1);
	if (!(starts_with(type, TYPE_LAYER) || starts_with(type, TYPE_DOCKER_LAYER)) || strstr(type, "encrypted"))
		return error_set(err, ERROR_UNSUPPORTED, "layer %zu is of type \"%.100s\", which is no layer of a file system", i + 1, type);
	layer->blob = xasprintf("blobs/sha256/%s", layer->packed.digest);
	return 0;
}

int oci_manifest_read(const char *text, size_t n, struct image_documents *documents, struct image_descriptor *ret_config, struct error *err)
{
	autojson json_t *json = NULL;
	const json_t *config, *layers;
	const char *type;
	json_t *item;
	size_t i;

	if (document_parse("manifest", text, n, &json, err) < 0)
		return -1;
	config = json_get_object(json, "config");
	layers = json_get_array(json, "layers");
	if (json_get_int(json, "schemaVersion", 0) != 2 || !config || !layers)
		return error_set(err, ERROR_UNSUPPORTED, "the manifest is not of schema version 2, or has no config or layers");
	type = json_get_string(config, "mediaType", "");
	if (!streq(type, TYPE_CONFIG) && !streq(type, TYPE_DOCKER_CONFIG))
		return error_set(err, ERROR_UNSUPPORTED, "the manifest is of \"%.100s\", which is no container image", type);
	if (descriptor_decode("config", config, ret_config, err) < 0)
		return -1;
	if (json_array_size(layers) > IMAGE_LAYERS_MAX)
		return error_set(err, ERROR_INPUT, "the image has %zu layers; at most %d can be mounted", json_array_size(layers), IMAGE_LAYERS_MAX);
	json_array_foreach(layers, i, item)
		if (layer_decode(item, i, documents, err) < 0)
			return -1;
	digest_bytes(text, n, documents->digest);
	documents->manifest = xstrndup(text, n);
	return 0;
}

static int layers_named(const json_t *layers, struct image_documents *documents, struct error *err)
{
	json_t *item;
	size_t i;

	if (json_array_size(layers) > IMAGE_LAYERS_MAX)
		return error_set(err, ERROR_INPUT, "the image has %zu layers; at most %d can be mounted", json_array_size(layers), IMAGE_LAYERS_MAX);
	json_array_foreach(layers, i, item) {
		struct image_layer *layer = vec_add(&documents->layers);

		layer->packed.size = -1;
		if (!json_is_string(item))
			return error_set(err, ERROR_INPUT, "layer %zu in manifest.json has no name", i + 1);
		layer->blob = xstrdup(json_string_value(item));
	}
	return 0;
}

static bool docker_named(const json_t *image, const char *name)
{
	const json_t *tags = json_get_array(image, "RepoTags");
	json_t *item;
	size_t i;

	json_array_foreach(tags, i, item)
		if (json_is_string(item) && name_matches(json_string_value(item), name))
			return true;
	return false;
}

int docker_manifest_read(const char *text, size_t n, const char *name, struct image_documents *documents, char **ret_config, struct error *err)
{
	autojson json_t *json = NULL;
	const json_t *found = NULL;
	const char *config;
	json_t *item;
	size_t i;

	if (json_parse("manifest.json", text, n, IMAGE_DOCUMENT_MAX, &json, err) < 0)
		return -1;
	if (!json_is_array(json) || json_array_size(json) > IMAGE_INDEX_MAX)
		return error_set(err, ERROR_INPUT, "manifest.json is no list of images");
	if (!name && json_array_size(json) > 1) {
		error_set(err, ERROR_INPUT, "there are %zu images in it", json_array_size(json));
		return error_hint(err, "name one behind the path, as in docker-archive:PATH:NAME");
	}
	json_array_foreach(json, i, item)
		if (!found && (!name || docker_named(item, name)))
			found = item;
	if (!found)
		return error_set(err, ERROR_NOT_FOUND, "there is no image%s%.100s in it", name ? " called " : "", name ? name : "");
	config = json_get_string(found, "Config", NULL);
	if (!config || !json_get_array(found, "Layers"))
		return error_set(err, ERROR_INPUT, "manifest.json names no config or no layers");
	if (layers_named(json_get_array(found, "Layers"), documents, err) < 0)
		return -1;
	*ret_config = xstrdup(config);
	return 0;
}

void image_documents_complete(struct image_documents *documents)
{
	autojson json_t *manifest = json_object();
	json_t *config = json_object(), *layers = json_array();
	char hex[DIGEST_HEX];

	digest_bytes(documents->config, strlen(documents->config), hex);
	json_set_string(config, "mediaType", TYPE_CONFIG);
	json_set(config, "digest", json_sprintf("sha256:%s", hex));
	json_set_int(config, "size", (int64_t)strlen(documents->config));
	vec_each(&documents->layers, layer) {
		json_t *item = json_object();

		/* packed or not, the same content is the same image */
		json_set_string(item, "mediaType", TYPE_LAYER "v1.tar");
		json_set(item, "digest", json_sprintf("sha256:%s", layer->diff_id));
		json_add(layers, item);
	}
	json_set_int(manifest, "schemaVersion", 2);
	json_set_string(manifest, "mediaType", TYPE_MANIFEST);
	json_set(manifest, "config", config);
	json_set(manifest, "layers", layers);
	free(documents->manifest);
	documents->manifest = json_canonical(manifest);
	digest_bytes(documents->manifest, strlen(documents->manifest), documents->digest);
}

char *image_config_make(const char *architecture, const char *diff_id)
{
	autojson json_t *config = json_pack("{s:s, s:s, s:{}, s:{s:s, s:[o]}}", "architecture", architecture, "os", "linux", "config",
					    "rootfs", "type", "layers", "diff_ids", json_sprintf("sha256:%s", diff_id));

	return json_canonical(config);
}
