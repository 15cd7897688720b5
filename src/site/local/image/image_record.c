/* SPDX-License-Identifier: Apache-2.0 */
#include "image_parts.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Records and names. A record holds the manifest and the config of an image as they came; all else is read out of them again. Its
 * file's time of modification is its last use.
 */

#define NAME_BYTES_MAX 200
#define RECORD_MAX (IMAGE_DOCUMENT_MAX * 4)

static char *record_path(const struct image_store *store, const char *hex)
{
	autofree char *file = xasprintf("%s.json", hex);

	return store_path(store, "images", file);
}

int store_record_write(struct image_store *store, const struct image_documents *documents, const char *reference, struct error *err)
{
	autofree char *path = record_path(store, documents->digest);
	autojson json_t *json = json_object();
	autofree char *text = NULL;

	json_set_string(json, "manifest", documents->manifest);
	json_set_string(json, "config", documents->config);
	json_set_string(json, "reference", reference);
	json_set_int(json, "createdMs", clock_wall_ms(&clock_system));
	text = json_canonical(json);
	return fs_replace_file(path, text, strlen(text), 0600, true, err);
}

/* The documents again: layers are known by their diff ids only, for that is what they are called here. */
static int record_decode(const char *path, const char *hex, const json_t *json, struct image_documents *ret, struct error *err)
{
	autodocuments struct image_documents documents = { 0 };
	const char *manifest = json_get_string(json, "manifest", ""), *config = json_get_string(json, "config", "");
	autojson json_t *parsed = NULL;
	char architecture[32];

	digest_bytes(manifest, strlen(manifest), documents.digest);
	if (!streq(documents.digest, hex))
		return error_set(err, ERROR_FAILED, "%s is damaged: its manifest has another digest", path);
	if (json_parse("image config", config, strlen(config), IMAGE_DOCUMENT_MAX, &parsed, err) < 0)
		return error_wrap(err, "%s", path);
	image_architecture(architecture);
	for (size_t i = 0; i < json_array_size(json_get_array(json_get_object(parsed, "rootfs"), "diff_ids")); i++) {
		struct image_layer *layer = vec_add(&documents.layers);

		layer->packed.size = -1;
	}
	if (oci_config_read(config, strlen(config), architecture, &documents, err) < 0)
		return error_wrap(err, "%s", path);
	documents.manifest = xstrdup(manifest);
	*ret = documents;
	documents = (struct image_documents){ 0 };
	return 0;
}

int store_record_read(struct image_store *store, const char *hex, struct image_documents *ret, int64_t *ret_created_ms, struct error *err)
{
	autofree char *path = record_path(store, hex);
	autojson json_t *json = NULL;

	if (!digest_hex_valid(hex) || !fs_exists(path)) {
		error_set(err, ERROR_NOT_FOUND, "image sha256:%.64s is not in the store", hex);
		return error_hint(err, "'insula image list' shows what is; 'insula image import' brings one");
	}
	if (json_read_file(path, RECORD_MAX, &json, err) < 0 || record_decode(path, hex, json, ret, err) < 0)
		return -1;
	if (ret_created_ms)
		*ret_created_ms = json_get_int(json, "createdMs", 0);
	return 0;
}

bool store_record_exists(struct image_store *store, const char *hex)
{
	autofree char *path = record_path(store, hex);

	return fs_exists(path);
}

void store_record_touch(struct image_store *store, const char *hex)
{
	autofree char *path = record_path(store, hex);

	/* the time of last use is a courtesy: no failure */
	if (utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) < 0)
		return;
}

struct record_each { int (*each)(void *arg, const char *hex, struct error *err); void *arg; };

static int record_one(void *arg, const char *name, struct error *err)
{
	struct record_each *record = arg;
	char hex[DIGEST_HEX];

	if (strlen(name) != DIGEST_HEX - 1 + strlen(".json"))
		return 0;
	memcpy(hex, name, DIGEST_HEX - 1);
	hex[DIGEST_HEX - 1] = '\0';
	return digest_hex_valid(hex) ? record->each(record->arg, hex, err) : 0;
}

int store_records(struct image_store *store, int (*each)(void *arg, const char *hex, struct error *err), void *arg, struct error *err)
{
	struct record_each record = { each, arg };

	return store_folder(store, "images", ".json", record_one, &record, err);
}

/* ---- names ---- */

int store_name_check(const char *name, struct error *err)
{
	static const char *const schemes[] = { "oci:", "docker-archive:", "rootfs:", "store:", "docker:", "host:", "sha256:" };

	if (!*name || strlen(name) > NAME_BYTES_MAX || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@+") != strlen(name) ||
	    strchr("._-/:@+", *name) || strstr(name, "//") || strstr(name, "..")) {
		error_set(err, ERROR_INPUT, "\"%.100s\" cannot be the name of an image", name);
		return error_hint(err, "a name begins with a letter or digit and has up to %d of letters, digits and . _ - / : @ +", NAME_BYTES_MAX);
	}
	if (streq(name, "host"))
		return error_set(err, ERROR_INPUT, "\"host\" is this machine's own image and cannot name another");
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (starts_with(name, schemes[i]))
			return error_set(err, ERROR_INPUT, "the name of an image cannot begin with \"%s\"", schemes[i]);
	return 0;
}

static char *name_path(const struct image_store *store, const char *name)
{
	autobuf struct buf file = { 0 };

	for (const char *p = name; *p; p++) {
		if (*p == '/')
			buf_adds(&file, "%2F");
		else
			buf_addc(&file, *p);
	}
	return store_path(store, "names", file.data);
}

int store_name_set(struct image_store *store, const char *name, const char *hex, struct error *err)
{
	autofree char *path = NULL;

	if (store_name_check(name, err) < 0)
		return -1;
	path = name_path(store, name);
	return fs_replace_file(path, hex, strlen(hex), 0600, true, err);
}

int store_name_get(struct image_store *store, const char *name, char hex[static DIGEST_HEX], struct error *err)
{
	autofree char *path = NULL, *text = NULL;

	if (store_name_check(name, err) < 0)
		return -1;
	path = name_path(store, name);
	if (!fs_exists(path)) {
		error_set(err, ERROR_NOT_FOUND, "there is no image called \"%.100s\" in the store", name);
		return error_hint(err, "'insula image list' shows what there is; 'insula image import REFERENCE --name %.100s' brings one", name);
	}
	if (fs_read_line(path, &text, err) < 0)
		return -1;
	if (!digest_hex_valid(text))
		return error_set(err, ERROR_FAILED, "%s is damaged: it holds no digest", path);
	memcpy(hex, text, DIGEST_HEX);
	return 0;
}

int store_name_remove(struct image_store *store, const char *name, struct error *err)
{
	autofree char *path = NULL;

	if (store_name_check(name, err) < 0)
		return -1;
	path = name_path(store, name);
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "cannot remove %s", path);
	return 0;
}

struct name_each { struct image_store *store; int (*each)(void *arg, const char *name, const char *hex, struct error *err); void *arg; };

static int name_one(void *arg, const char *file, struct error *err)
{
	struct name_each *name = arg;
	autobuf struct buf text = { 0 };
	char hex[DIGEST_HEX];
	struct error failed;

	if (starts_with(file, "."))
		return 0;
	buf_adds(&text, "");
	for (const char *p = file; *p; p += starts_with(p, "%2F") ? 3 : 1)
		buf_addc(&text, starts_with(p, "%2F") ? '/' : *p);
	if (store_name_get(name->store, text.data, hex, &failed) < 0) {
		if (failed.code == ERROR_NOT_FOUND)	/* removed just now */
			return 0;
		*err = failed;
		return -1;
	}
	return name->each(name->arg, text.data, hex, err);
}

int store_names(struct image_store *store, int (*each)(void *arg, const char *name, const char *hex, struct error *err), void *arg, struct error *err)
{
	struct name_each name = { store, each, arg };

	return store_folder(store, "names", "", name_one, &name, err);
}
