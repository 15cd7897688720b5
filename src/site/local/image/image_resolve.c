/* SPDX-License-Identifier: Apache-2.0 */
#include "image_parts.h"

#include "image_source.h"

#include "base/clock.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * References, and the digests they stand for.
 *
 * How it works: an OCI layout says its digest in a few small files, and a name in the store in one. A packed archive or a rootfs must be
 * read whole, so what came out is kept in cache/<digest of the reference>.json together with a fingerprint: stat of every file, change
 * times and inodes included. As long as the fingerprint is the same, nobody touched the source, and a plan costs a walk without any
 * reading. A source that changed within the last second is not kept: a clock's tick could hide one more change.
 */

#define SETTLED_MS 1000

void image_reference_clear(struct image_reference *reference)
{
	free(reference->path);
	free(reference->name);
	*reference = (struct image_reference){ 0 };
}

/* "PATH[:NAME]", where both may hold ':': the shortest path that exists, if any does */
static void path_split(const char *text, struct image_reference *ret)
{
	if (!fs_exists(text)) {
		for (const char *p = strchr(text, ':'); p; p = strchr(p + 1, ':')) {
			autofree char *path = xstrndup(text, (size_t)(p - text));

			if (!*path || !p[1] || !fs_exists(path))
				continue;
			ret->path = steal(&path);
			ret->name = xstrdup(p + 1);
			return;
		}
	}
	ret->path = xstrdup(text);
}

static int reference_other(const char *text, struct image_reference *ret, struct error *err)
{
	if (starts_with(text, "docker://")) {
		autoregistryreference struct registry_reference named = { 0 };

		if (registry_reference_parse(text, &named, err) < 0)
			return -1;
		*ret = (struct image_reference){ .scheme = IMAGE_REGISTRY, .path = xstrdup(text) };
		return 0;
	}
	if (starts_with(text, "sha256:") && digest_hex_valid(text + strlen("sha256:"))) {
		*ret = (struct image_reference){ .scheme = IMAGE_DIGEST, .name = xstrdup(text + strlen("sha256:")) };
		return 0;
	}
	if (*text && strchr("./", *text)) {
		error_set(err, ERROR_INPUT, "image \"%.200s\" does not say what it is", text);
		return error_hint(err, "write oci:%.100s, docker-archive:%.100s or rootfs:%.100s", text, text, text);
	}
	if (store_name_check(text, err) < 0)
		return -1;
	*ret = (struct image_reference){ .scheme = IMAGE_STORE, .name = xstrdup(text) };
	return 0;
}

int image_reference_parse(const char *text, struct image_reference *ret, struct error *err)
{
	static const struct { const char *prefix; enum image_scheme scheme; } schemes[] = {
		{ "oci:", IMAGE_OCI }, { "docker-archive:", IMAGE_DOCKER_ARCHIVE }, { "rootfs:", IMAGE_ROOTFS }, { "store:", IMAGE_STORE },
	};
	struct image_reference reference = { 0 };

	if (streq(text, "host") || starts_with(text, "host:")) {
		*ret = (struct image_reference){ .scheme = IMAGE_HOST, .name = text[4] ? xstrdup(text) : NULL };
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		const char *rest = text + strlen(schemes[i].prefix);

		if (!starts_with(text, schemes[i].prefix))
			continue;
		if (!*rest)
			return error_set(err, ERROR_INPUT, "image \"%s\" names nothing", text);
		reference.scheme = schemes[i].scheme;
		if (reference.scheme == IMAGE_STORE)
			reference.name = xstrdup(rest);
		else if (reference.scheme == IMAGE_ROOTFS)
			reference.path = xstrdup(rest);
		else
			path_split(rest, &reference);
		*ret = reference;
		return 0;
	}
	return reference_other(text, ret, err);
}

/* ---- the cache ---- */

struct cache { char *path, fingerprint[DIGEST_HEX]; bool settled; };

static void cache_clear(struct cache *cache)
{
	free(cache->path);
}

static int cache_look(struct image_store *store, const char *key, const char *path, struct cache *ret, char **ret_value, struct error *err)
{
	autojson json_t *json = NULL;
	char hex[DIGEST_HEX];
	struct timespec newest;
	struct error ignored;

	if (layer_fingerprint(path, ret->fingerprint, &newest, err) < 0)
		return -1;
	digest_bytes(key, strlen(key), hex);
	ret->path = xasprintf("%s/cache/%s.json", store->dir, hex);
	ret->settled = (int64_t)newest.tv_sec * 1000 + newest.tv_nsec / 1000000 + SETTLED_MS < clock_wall_ms(&clock_system);
	*ret_value = NULL;
	if (ret->settled && fs_exists(ret->path) && json_read_file(ret->path, 65536, &json, &ignored) == 0 &&
	    streq(json_get_string(json, "fingerprint", ""), ret->fingerprint) && digest_hex_valid(json_get_string(json, "value", "")))
		*ret_value = xstrdup(json_get_string(json, "value", ""));
	return 0;
}

/* The store's lock is held. Nothing is kept when the source changed while it was read. */
static int cache_keep(const struct cache *cache, const char *path, const char *value, struct error *err)
{
	autojson json_t *json = json_object();
	autofree char *text = NULL;
	char after[DIGEST_HEX];
	struct timespec newest;

	if (layer_fingerprint(path, after, &newest, err) < 0)
		return -1;
	if (!cache->settled || !streq(after, cache->fingerprint))
		return 0;
	json_set_string(json, "fingerprint", cache->fingerprint);
	json_set_string(json, "value", value);
	text = json_canonical(json);
	return fs_replace_file(cache->path, text, strlen(text), 0600, false, err);
}

/* ---- root filesystems ---- */

struct file_stream { int fd; const char *path; image_progress progress; void *arg; int64_t done, told, total; };

static ssize_t file_read(void *arg, void *buf, size_t n, struct error *err)
{
	struct file_stream *stream = arg;
	ssize_t r;

	do {
		r = read(stream->fd, buf, n);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return error_set_errno(err, errno, "cannot read %s", stream->path);
	stream->done += r;
	if (stream->progress && stream->done - stream->told > 1 << 20) {
		stream->told = stream->done;
		stream->progress(stream->arg, "reading", stream->done, stream->total);
	}
	return r;
}

static int tar_read(int fd, const char *path, const struct layer_limits *limits, const struct layer_sink *sink, image_progress progress, void *arg,
		    struct layer_counts *ret_counts, char ret_diff_id[static DIGEST_HEX], struct error *err)
{
	struct file_stream file = { .fd = fd, .path = path, .progress = progress, .arg = arg };
	struct layer_stream stream = { file_read, &file };
	struct layer_result result;
	struct stat st;

	if (fstat(fd, &st) == 0)
		file.total = st.st_size;
	if (layer_unpack(&stream, limits, sink, &result, err) < 0)
		return -1;
	*ret_counts = result.counts;
	memcpy(ret_diff_id, result.diff_id, DIGEST_HEX);
	return 0;
}

int image_rootfs_read(const char *path, const struct layer_limits *limits, const struct layer_sink *sink, image_progress progress, void *arg,
		      struct layer_counts *ret_counts, char ret_diff_id[static DIGEST_HEX], struct error *err)
{
	CLEANUP(layer_digest_free_pp) struct layer_digest *digest = NULL;
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct layer_sink through;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(err, errno, "cannot open rootfs %s", path);
	if (S_ISREG(st.st_mode)) {
		r = tar_read(fd, path, limits, sink, progress, arg, ret_counts, ret_diff_id, err);
	} else if (S_ISDIR(st.st_mode)) {
		digest = layer_digest_new(sink);
		through = layer_digest_sink(digest);
		if (progress)
			progress(arg, "reading", 0, 0);
		r = layer_walk(path, 0, limits, &through, ret_counts, err);
		if (r == 0)
			layer_digest_final(digest, ret_diff_id);
	} else {
		return error_set(err, ERROR_INPUT, "rootfs %s is neither a folder nor a tar archive", path);
	}
	return r < 0 ? error_wrap(err, "rootfs %s", path) : 0;
}

int image_rootfs_documents(struct image_store *store, const char *path, struct image_documents *ret, struct error *err)
{
	const struct layer_limits limits = { LAYER_ENTRIES_MAX, -1 };
	autodocuments struct image_documents documents = { 0 };
	autofree char *key = xasprintf("rootfs:%s", path), *value = NULL, *config = NULL;
	CLEANUP(cache_clear) struct cache cache = { 0 };
	char diff_id[DIGEST_HEX], architecture[32];
	struct layer_counts counts;

	if (cache_look(store, key, path, &cache, &value, err) < 0)
		return -1;
	if (value)
		memcpy(diff_id, value, DIGEST_HEX);
	else if (image_rootfs_read(path, &limits, NULL, NULL, NULL, &counts, diff_id, err) < 0 || cache_keep(&cache, path, diff_id, err) < 0)
		return -1;
	image_architecture(architecture);
	config = image_config_make(architecture, diff_id);
	memset(vec_add(&documents.layers), 0, sizeof(struct image_layer));
	if (oci_config_read(config, strlen(config), architecture, &documents, err) < 0)
		return -1;
	image_documents_complete(&documents);
	*ret = documents;
	documents = (struct image_documents){ 0 };
	return 0;
}

/* ---- digests ---- */

static int source_digest(struct image_store *store, const char *text, const struct image_reference *reference, char hex[static DIGEST_HEX], struct error *err)
{
	CLEANUP(cache_clear) struct cache cache = { 0 };
	autosource struct image_source *source = NULL;
	autodocuments struct image_documents documents = { 0 };
	bool folder = fs_is_dir(reference->path);
	autofree char *value = NULL;

	if (!folder && cache_look(store, text, reference->path, &cache, &value, err) < 0)
		return -1;
	if (value) {
		memcpy(hex, value, DIGEST_HEX);
		return 0;
	}
	if (image_source_open(reference->path, &source, err) < 0 || image_source_documents(source, reference->name, &documents, err) < 0)
		return -1;
	memcpy(hex, documents.digest, DIGEST_HEX);
	return folder ? 0 : cache_keep(&cache, reference->path, hex, err);
}

int image_resolve(struct image_store *store, const char *text, char **ret_digest, struct error *err)
{
	autoreference struct image_reference reference = { 0 };
	autodocuments struct image_documents documents = { 0 };
	char hex[DIGEST_HEX];
	autofd int lock = -1;

	if (image_reference_parse(text, &reference, err) < 0)
		return -1;
	if (reference.scheme == IMAGE_HOST)
		return image_host_digest(ret_digest, err);
	if (reference.scheme == IMAGE_DIGEST) {
		*ret_digest = xasprintf("sha256:%s", reference.name);
		return 0;
	}
	/* a registry may be slow: nobody waits for it at the lock */
	if (reference.scheme == IMAGE_REGISTRY) {
		if (store_pull_digest(store, text, hex, err) < 0)
			return error_wrap(err, "image %.200s", text);
		*ret_digest = xasprintf("sha256:%s", hex);
		return 0;
	}
	if (store_lock_shared(store, &lock, err) < 0)
		return -1;
	if (reference.scheme == IMAGE_STORE) {
		if (store_name_get(store, reference.name, hex, err) < 0)
			return -1;
	} else if (reference.scheme == IMAGE_ROOTFS) {
		if (image_rootfs_documents(store, reference.path, &documents, err) < 0)
			return -1;
		memcpy(hex, documents.digest, DIGEST_HEX);
	} else if (source_digest(store, text, &reference, hex, err) < 0) {
		return -1;
	}
	*ret_digest = xasprintf("sha256:%s", hex);
	return 0;
}
