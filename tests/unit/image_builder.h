/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_TESTS_IMAGE_BUILDER_H
#define INSULA_TESTS_IMAGE_BUILDER_H

/* Builds tar archives and image layouts, good and evil ones, for the tests of images. */

#include "helper.h"

#include "base/buf.h"
#include "base/digest.h"
#include "data/json.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

struct tar {
	struct archive *archive;
	struct buf buf;
};

static la_ssize_t tar_take(struct archive *archive, void *arg, const void *data, size_t n)
{
	buf_add(&((struct tar *)arg)->buf, data, n);
	return (la_ssize_t)n;
}

enum tar_packing { TAR_PLAIN, TAR_GZIP, TAR_ZSTD, TAR_XZ };

static inline void tar_begin(struct tar *tar, enum tar_packing packing)
{
	*tar = (struct tar){ .archive = archive_write_new() };
	if (packing == TAR_GZIP)
		archive_write_add_filter_gzip(tar->archive);
	if (packing == TAR_ZSTD)
		archive_write_add_filter_zstd(tar->archive);
	if (packing == TAR_XZ)
		archive_write_add_filter_xz(tar->archive);
	archive_write_set_format_pax_restricted(tar->archive);
	archive_write_set_bytes_per_block(tar->archive, 512);
	archive_write_set_bytes_in_last_block(tar->archive, 1);
	assert_int_equal(archive_write_open(tar->archive, tar, NULL, tar_take, NULL), ARCHIVE_OK);
}

static inline struct archive_entry *tar_entry(const char *name, mode_t type, mode_t mode)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, type);
	archive_entry_set_perm(e, mode);
	archive_entry_set_uid(e, 0);
	archive_entry_set_gid(e, 0);
	archive_entry_set_mtime(e, 1700000000, 0);
	archive_entry_set_size(e, 0);
	return e;
}

static inline void tar_put(struct tar *tar, struct archive_entry *e, const void *data, size_t n)
{
	if (archive_write_header(tar->archive, e) < ARCHIVE_WARN)
		fail_msg("%s: %s", archive_entry_pathname(e), archive_error_string(tar->archive));
	if (n)
		assert_int_equal(archive_write_data(tar->archive, data, n), n);
	archive_entry_free(e);
}

static inline void tar_file(struct tar *tar, const char *name, const char *text)
{
	struct archive_entry *e = tar_entry(name, AE_IFREG, 0644);

	archive_entry_set_size(e, (int64_t)strlen(text));
	tar_put(tar, e, text, strlen(text));
}

static inline void tar_folder(struct tar *tar, const char *name)
{
	tar_put(tar, tar_entry(name, AE_IFDIR, 0755), NULL, 0);
}

static inline void tar_symlink(struct tar *tar, const char *name, const char *target)
{
	struct archive_entry *e = tar_entry(name, AE_IFLNK, 0777);

	archive_entry_set_symlink(e, target);
	tar_put(tar, e, NULL, 0);
}

static inline void tar_hard_link(struct tar *tar, const char *name, const char *target)
{
	struct archive_entry *e = tar_entry(name, AE_IFREG, 0644);

	archive_entry_set_hardlink(e, target);
	tar_put(tar, e, NULL, 0);
}

static inline void tar_device(struct tar *tar, const char *name, mode_t type, unsigned major, unsigned minor)
{
	struct archive_entry *e = tar_entry(name, type, 0666);

	archive_entry_set_rdevmajor(e, major);
	archive_entry_set_rdevminor(e, minor);
	tar_put(tar, e, NULL, 0);
}

/* The bytes; the caller clears them. */
static inline struct buf tar_end(struct tar *tar)
{
	assert_int_equal(archive_write_close(tar->archive), ARCHIVE_OK);
	archive_write_free(tar->archive);
	return tar->buf;
}

/* ---- layouts ---- */

static inline void file_write(const char *folder, const char *name, const void *data, size_t n)
{
	autofree char *path = fs_join(folder, name), *parent = fs_dirname(path);
	struct error err = { 0 };

	assert_ok(fs_make_dirs(parent, 0755, &err));
	assert_ok(fs_replace_file(path, data, n, 0644, false, &err));
}

static inline void blob_write(const char *folder, const void *data, size_t n, char hex[static DIGEST_HEX])
{
	autofree char *name = NULL;

	digest_bytes(data, n, hex);
	name = xasprintf("blobs/sha256/%s", hex);
	file_write(folder, name, data, n);
}

struct packed_layer { struct buf bytes; char digest[DIGEST_HEX], diff_id[DIGEST_HEX]; };

/* The layers' bytes are tars, packed by us with gzip where `gzip`. */
static inline struct packed_layer layer_pack(struct buf tar, bool gzip)
{
	struct packed_layer layer = { 0 };

	digest_bytes(tar.data, tar.n, layer.diff_id);
	if (gzip) {
		struct tar out = { .archive = archive_write_new() };
		struct archive_entry *e = tar_entry("x", AE_IFREG, 0644);

		archive_write_add_filter_gzip(out.archive);
		archive_write_set_format_raw(out.archive);
		archive_write_set_bytes_in_last_block(out.archive, 1);
		assert_int_equal(archive_write_open(out.archive, &out, NULL, tar_take, NULL), ARCHIVE_OK);
		tar_put(&out, e, tar.data, tar.n);
		layer.bytes = tar_end(&out);
		buf_clear(&tar);
	} else {
		layer.bytes = tar;
	}
	digest_bytes(layer.bytes.data, layer.bytes.n, layer.digest);
	return layer;
}

static inline char *config_text(const struct packed_layer *layers, size_t n, const char *architecture)
{
	autojson json_t *config = json_pack("{s:s, s:s, s:{s:[s,s], s:[s], s:s}, s:{s:s, s:[]}}", "architecture", architecture, "os", "linux", "config",
					    "Env", "PATH=/bin", "A=b", "Cmd", "/bin/true", "WorkingDir", "/srv", "rootfs", "type", "layers", "diff_ids");
	json_t *ids = json_object_get(json_object_get(config, "rootfs"), "diff_ids");

	for (size_t i = 0; i < n; i++)
		json_add(ids, json_sprintf("sha256:%s", layers[i].diff_id));
	return json_canonical(config);
}

static inline json_t *descriptor(const char *type, const char *hex, size_t n)
{
	return json_pack("{s:s, s:o, s:I}", "mediaType", type, "digest", json_sprintf("sha256:%s", hex), "size", (json_int_t)n);
}

#define TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define TYPE_INDEX "application/vnd.oci.image.index.v1+json"

/* A layout folder with one image; its manifest's digest. */
static inline void layout_write(const char *folder, const struct packed_layer *layers, size_t n, const char *architecture, const char *tag, char hex[static DIGEST_HEX])
{
	autofree char *config = config_text(layers, n, architecture), *manifest = NULL, *index = NULL;
	autojson json_t *json = json_pack("{s:i, s:s, s:[]}", "schemaVersion", 2, "mediaType", TYPE_MANIFEST, "layers");
	autojson json_t *top = json_pack("{s:i, s:[]}", "schemaVersion", 2, "manifests");
	char config_hex[DIGEST_HEX];
	json_t *item;

	blob_write(folder, config, strlen(config), config_hex);
	json_set(json, "config", descriptor("application/vnd.oci.image.config.v1+json", config_hex, strlen(config)));
	for (size_t i = 0; i < n; i++) {
		char layer_hex[DIGEST_HEX];

		blob_write(folder, layers[i].bytes.data, layers[i].bytes.n, layer_hex);
		json_add(json_object_get(json, "layers"), descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layers[i].digest, layers[i].bytes.n));
	}
	manifest = json_canonical(json);
	blob_write(folder, manifest, strlen(manifest), hex);
	item = descriptor(TYPE_MANIFEST, hex, strlen(manifest));
	if (tag)
		json_set(item, "annotations", json_pack("{s:s}", "org.opencontainers.image.ref.name", tag));
	json_add(json_object_get(top, "manifests"), item);
	index = json_canonical(top);
	file_write(folder, "index.json", index, strlen(index));
	file_write(folder, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", 30);
}

#endif
