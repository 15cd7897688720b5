/* SPDX-License-Identifier: Apache-2.0 */
#include "image_layer.h"

#include "base/vec.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/stat.h>

/*
 * How it works: two readers of libarchive stand one behind the other. The first undoes the compression and nothing else; its
 * input callback sees every packed byte, its output every byte of the tar, so both digests are taken on the way. The
 * second reads the tar out of that. Both are drained after the last member, because the digests cover what follows it too.
 *
 * A callback cannot return our error through libarchive, so it is left in `err` with `failed` set and looked at afterwards.
 */

#define CHUNK 65536
#define BLOCK 4096
#define INODE 256
#define NAME_PART_MAX 255
#define ATTRIBUTES_MAX 64
#define ATTRIBUTE_BYTES_MAX 65536
#define WHITEOUT ".wh."

struct unpacking {
	const struct layer_stream *stream;
	const struct layer_limits *limits;
	const struct layer_sink *sink;
	struct archive *outer, *inner;
	struct digest *digest, *diff_id;
	struct layer_result result;
	bool packed_end, tar_end, failed;
	struct error *err;
	char chunk[CHUNK];
};

static void archive_cleanup(struct archive **archive)
{
	if (*archive)
		archive_read_free(*archive);
}

static void unpacking_clear(struct unpacking *u)
{
	/* the inner one reads through the outer one */
	archive_cleanup(&u->inner);
	archive_cleanup(&u->outer);
	digest_free(u->digest);
	digest_free(u->diff_id);
}

int64_t layer_cost(enum layer_kind kind, int64_t data)
{
	return INODE + (kind == LAYER_FOLDER ? BLOCK : (data + BLOCK - 1) / BLOCK * BLOCK);
}

int layer_path_normal(const char *name, char ret[static LAYER_PATH_MAX], const char **ret_why)
{
	size_t n = 0, parts = 0;

	*ret_why = NULL;
	if (*name == '/')
		*ret_why = "its name is absolute";
	for (const char *p = name; *p && !*ret_why;) {
		size_t length;

		p += strspn(p, "/");
		length = strcspn(p, "/");
		if (length == 2 && p[0] == '.' && p[1] == '.')
			*ret_why = "its name holds \"..\"";
		else if (length > NAME_PART_MAX)
			*ret_why = "a part of its name is longer than 255 bytes";
		else if (n + length + 2 > LAYER_PATH_MAX)
			*ret_why = "its name is longer than 4095 bytes";
		else if (length && !(length == 1 && *p == '.')) {
			if (++parts > LAYER_DEPTH_MAX)
				*ret_why = "it is more than 200 folders deep";
			if (n)
				ret[n++] = '/';
			memcpy(ret + n, p, length);
			n += length;
		}
		p += length;
	}
	ret[n] = '\0';
	return *ret_why ? -1 : 0;
}

bool layer_link_escapes(const char *path, const char *target)
{
	int depth = 0;

	if (*target == '/')
		return false;
	for (const char *p = path; (p = strchr(p, '/')); p++)
		depth++;
	for (const char *p = target; *p;) {
		size_t length = strcspn(p, "/");

		if (length == 2 && p[0] == '.' && p[1] == '.') {
			if (--depth < 0)
				return true;
		} else if (length && !(length == 1 && *p == '.')) {
			depth++;
		}
		p += length;
		p += *p == '/';
	}
	return false;
}

static la_ssize_t packed_read(struct archive *archive, void *arg, const void **ret)
{
	struct unpacking *u = arg;
	ssize_t n;

	if (u->packed_end)
		return 0;
	n = u->stream->read(u->stream->arg, u->chunk, sizeof(u->chunk), u->err);
	if (n < 0) {
		u->failed = true;
		archive_set_error(archive, EIO, "cannot read");
		return -1;
	}
	u->packed_end = n == 0;
	u->result.packed += n;
	digest_update(u->digest, u->chunk, (size_t)n);
	*ret = u->chunk;
	return n;
}

static int unpacking_damaged(struct unpacking *u, struct archive *archive)
{
	const char *text;

	if (u->failed)
		return -1;
	u->failed = true;
	text = archive_error_string(archive);
	return error_set(u->err, ERROR_INPUT, "the layer is damaged or no tar archive: %s", text ? text : "it ends too early");
}

static int unpacking_judge(struct unpacking *u)
{
	if (u->result.unpacked > LAYER_RATIO_FREE && u->result.unpacked / LAYER_RATIO_MAX > u->result.packed) {
		u->failed = true;
		return error_set(u->err, ERROR_INPUT, "the layer unpacks to more than %d times its size: this looks like an archive bomb", LAYER_RATIO_MAX);
	}
	/* skipped members cost time though they cost no disk; headers are at most some times what an inode is counted for */
	if (u->limits->bytes >= 0 && u->result.unpacked / 8 > u->limits->bytes + LAYER_RATIO_FREE) {
		u->failed = true;
		return error_set(u->err, ERROR_CAPACITY, "the layer unpacks to more than there is room for (%lld bytes)", (long long)u->limits->bytes);
	}
	return 0;
}

static la_ssize_t tar_read(struct archive *archive, void *arg, const void **ret)
{
	struct unpacking *u = arg;
	int64_t offset;
	size_t n = 0;
	int r;

	if (u->tar_end)
		return 0;
	while (n == 0) {
		r = archive_read_data_block(u->outer, ret, &n, &offset);
		if (r == ARCHIVE_EOF) {
			u->tar_end = true;
			return 0;
		}
		if (r != ARCHIVE_OK) {
			unpacking_damaged(u, u->outer);
			goto failed;
		}
	}
	u->result.unpacked += (int64_t)n;
	digest_update(u->diff_id, *ret, n);
	if (unpacking_judge(u) < 0)
		goto failed;
	return (la_ssize_t)n;
failed:
	archive_set_error(archive, EIO, "cannot read");
	return -1;
}

static int outer_open(struct unpacking *u)
{
	struct archive_entry *entry;
	int r;

	u->outer = archive_read_new();
	if (!u->outer)
		return error_set_errno(u->err, ENOMEM, "cannot read an archive");
	archive_read_support_filter_gzip(u->outer);
	archive_read_support_filter_xz(u->outer);
	archive_read_support_filter_zstd(u->outer);
	archive_read_support_filter_lz4(u->outer);
	archive_read_support_filter_bzip2(u->outer);
	archive_read_support_format_raw(u->outer);
	if (archive_read_open(u->outer, u, NULL, packed_read, NULL) != ARCHIVE_OK)
		return unpacking_damaged(u, u->outer);
	r = archive_read_next_header(u->outer, &entry);
	if (r == ARCHIVE_EOF && !u->failed)
		return error_set(u->err, ERROR_INPUT, "the layer is empty");
	if (r != ARCHIVE_OK)
		return unpacking_damaged(u, u->outer);
	if (archive_filter_count(u->outer) > 2)
		return error_set(u->err, ERROR_INPUT, "the layer is compressed more than once");
	return 0;
}

static int refuse(struct error *err, const char *name, const char *why)
{
	return error_set(err, ERROR_INPUT, "member \"%.300s\" is refused: %s", name, why);
}

/* A whiteout by its name; `path` becomes what it hides. Sets *ret_skip for those of aufs. */
static int whiteout_decode(char *path, const char *name, enum layer_kind *kind, bool *ret_skip, struct error *err)
{
	char *base = strrchr(path, '/');
	char *hidden;

	base = base ? base + 1 : path;
	for (const char *p = path; p < base; p += strcspn(p, "/") + 1)
		if (starts_with(p, WHITEOUT))
			return refuse(err, name, "a whiteout is no folder");
	if (!starts_with(base, WHITEOUT))
		return 0;
	hidden = base + strlen(WHITEOUT);
	if (streq(hidden, ".wh..opq")) {
		*kind = LAYER_OPAQUE;
		if (base > path)
			base--;
		*base = '\0';
	} else if (starts_with(hidden, WHITEOUT)) {
		*ret_skip = true;
	} else if (!*hidden || streq(hidden, ".") || streq(hidden, "..")) {
		return refuse(err, name, "it is a whiteout of nothing");
	} else {
		*kind = LAYER_WHITEOUT;
		memmove(base, hidden, strlen(hidden) + 1);
	}
	return 0;
}

static int entry_kind(struct archive_entry *e, const char *name, enum layer_kind *ret, bool *ret_skip, struct error *err)
{
	if (archive_entry_hardlink(e)) {
		*ret = LAYER_HARD_LINK;
		return 0;
	}
	switch (archive_entry_filetype(e)) {
	case AE_IFREG:
		*ret = LAYER_FILE;
		return 0;
	case AE_IFDIR:
		*ret = LAYER_FOLDER;
		return 0;
	case AE_IFLNK:
		*ret = LAYER_SYMLINK;
		return 0;
	case AE_IFIFO:
		*ret = LAYER_FIFO;
		return 0;
	case AE_IFSOCK:
		*ret_skip = true;
		return 0;
	case AE_IFCHR:
	case AE_IFBLK:
		refuse(err, name, "it is a device node");
		return error_hint(err, "pack the image without its /dev: an instance gets its own");
	default:
		return refuse(err, name, "it is of no known type");
	}
}

static int entry_links(struct archive_entry *e, const char *name, struct layer_entry *entry, char target[static LAYER_PATH_MAX], struct error *err)
{
	const char *text, *why;

	if (entry->kind == LAYER_SYMLINK) {
		text = archive_entry_symlink(e);
		if (!text || !*text || strlen(text) >= LAYER_PATH_MAX)
			return refuse(err, name, "a symbolic link to nothing, or to a name longer than 4095 bytes");
		if (layer_link_escapes(entry->path, text))
			return refuse(err, name, "a symbolic link that leads above the root");
		entry->target = text;
	} else if (entry->kind == LAYER_HARD_LINK) {
		text = archive_entry_hardlink(e);
		if (layer_path_normal(text, target, &why) < 0 || !*target)
			return error_set(err, ERROR_INPUT, "member \"%.300s\" is refused: a hard link to \"%.300s\", which leads out of the root", name, text);
		entry->target = target;
	}
	return 0;
}

static int entry_numbers(struct archive_entry *e, const char *name, struct layer_entry *entry, struct error *err)
{
	int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);

	if (entry->kind == LAYER_WHITEOUT || entry->kind == LAYER_OPAQUE)
		return 0;
	if (uid < 0 || uid > LAYER_OWNER_MAX || gid < 0 || gid > LAYER_OWNER_MAX) {
		error_set(err, ERROR_INPUT, "member \"%.300s\" is refused: its owner is %lld:%lld, and an instance has the ids 0 to %d",
			  name, (long long)uid, (long long)gid, LAYER_OWNER_MAX);
		return error_hint(err, "pack it with other owners, for instance 'tar --owner=0 --group=0'");
	}
	entry->uid = (uid_t)uid;
	entry->gid = (gid_t)gid;
	entry->mode = archive_entry_perm(e) & 07777;
	entry->time.tv_sec = (time_t)MAX(0, MIN(archive_entry_mtime(e), (int64_t)UINT32_MAX));
	entry->time.tv_nsec = archive_entry_mtime_nsec(e);
	if (entry->time.tv_nsec < 0 || entry->time.tv_nsec > 999999999)
		entry->time.tv_nsec = 0;
	if (entry->kind != LAYER_FILE)
		return 0;
	entry->size = archive_entry_size(e);
	if (entry->size < 0 || entry->size > LAYER_FILE_MAX)
		return refuse(err, name, "its size is beyond all bounds");
	return 0;
}

static bool attribute_has(const struct layer_attribute *attributes, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (streq(attributes[i].name, name))
			return true;
	return false;
}

static int entry_attributes(struct archive_entry *e, const char *name, struct layer_entry *entry,
			    struct layer_attribute ret[static ATTRIBUTES_MAX], struct error *err)
{
	const char *key;
	const void *value;
	size_t n, bytes = 0;

	if (entry->kind != LAYER_FILE && entry->kind != LAYER_FOLDER)
		return 0;
	archive_entry_xattr_reset(e);
	while (archive_entry_xattr_next(e, &key, &value, &n) == ARCHIVE_OK) {
		if (!key || !starts_with(key, "user.") || starts_with(key, "user.overlay."))
			continue;
		/* libarchive writes each in two ways, and so reads it twice */
		if (attribute_has(ret, entry->attribute_n, key))
			continue;
		bytes += n + strlen(key);
		if (entry->attribute_n == ATTRIBUTES_MAX || bytes > ATTRIBUTE_BYTES_MAX || strlen(key) > NAME_PART_MAX)
			return refuse(err, name, "it has too many extended attributes");
		ret[entry->attribute_n++] = (struct layer_attribute){ key, value, n };
	}
	entry->attributes = ret;
	return 0;
}

static int count(struct unpacking *u, int64_t bytes)
{
	u->result.counts.bytes += bytes;
	if (u->limits->bytes >= 0 && u->result.counts.bytes > u->limits->bytes)
		return error_set(u->err, ERROR_CAPACITY, "the layer needs more than the %lld bytes there is room for", (long long)u->limits->bytes);
	return 0;
}

static int member_data(struct unpacking *u, const char *name, const struct layer_entry *entry)
{
	const void *data;
	int64_t offset, end = 0, written = 0;
	size_t n;
	int r;

	while ((r = archive_read_data_block(u->inner, &data, &n, &offset)) == ARCHIVE_OK) {
		if (n == 0)
			continue;
		if (offset < end || offset > entry->size || (int64_t)n > entry->size - offset)
			return refuse(u->err, name, "its pieces overlap or are longer than it");
		end = offset + (int64_t)n;
		if (count(u, layer_cost(LAYER_FILE, written + (int64_t)n) - layer_cost(LAYER_FILE, written)) < 0)
			return -1;
		written += (int64_t)n;
		if (u->sink->data(u->sink->arg, offset, data, n, u->err) < 0)
			return -1;
	}
	return r == ARCHIVE_EOF ? 0 : unpacking_damaged(u, u->inner);
}

static int member(struct unpacking *u, struct archive_entry *e)
{
	const char *name = archive_entry_pathname(e), *why;
	struct layer_attribute attributes[ATTRIBUTES_MAX];
	char path[LAYER_PATH_MAX], target[LAYER_PATH_MAX];
	struct layer_entry entry = { .path = path };
	bool skip = false;

	if (++u->result.counts.entries > u->limits->entries)
		return error_set(u->err, ERROR_INPUT, "the layer has more than %lld members", (long long)u->limits->entries);
	if (!name)
		return error_set(u->err, ERROR_INPUT, "a member without a readable name is refused");
	if (layer_path_normal(name, path, &why) < 0)
		return refuse(u->err, name, why);
	if (entry_kind(e, name, &entry.kind, &skip, u->err) < 0)
		return -1;
	if (whiteout_decode(path, name, &entry.kind, &skip, u->err) < 0)
		return -1;
	if (skip) {
		u->result.counts.skipped++;
		return 0;
	}
	if (!*path && entry.kind != LAYER_FOLDER && entry.kind != LAYER_OPAQUE)
		return refuse(u->err, name, "the root is a folder");
	if (entry_links(e, name, &entry, target, u->err) < 0 || entry_numbers(e, name, &entry, u->err) < 0 ||
	    entry_attributes(e, name, &entry, attributes, u->err) < 0)
		return -1;
	if (count(u, layer_cost(entry.kind, 0)) < 0 || u->sink->entry(u->sink->arg, &entry, u->err) < 0)
		return -1;
	return entry.kind == LAYER_FILE ? member_data(u, name, &entry) : 0;
}

static int members(struct unpacking *u)
{
	struct archive_entry *e;
	int r;

	u->inner = archive_read_new();
	if (!u->inner)
		return error_set_errno(u->err, ENOMEM, "cannot read an archive");
	archive_read_support_format_tar(u->inner);
	if (archive_read_open(u->inner, u, NULL, tar_read, NULL) != ARCHIVE_OK)
		return unpacking_damaged(u, u->inner);
	/* a warning is about a name that is not UTF-8, or an attribute: both are judged by member() */
	while ((r = archive_read_next_header(u->inner, &e)) == ARCHIVE_OK || r == ARCHIVE_WARN)
		if (member(u, e) < 0)
			return -1;
	if (r != ARCHIVE_EOF)
		return unpacking_damaged(u, u->inner);
	return u->sink->end(u->sink->arg, u->err);
}

static int drain(struct unpacking *u)
{
	const void *data;
	la_ssize_t n;

	while ((n = tar_read(u->outer, u, &data)) > 0)
		;
	while (n == 0 && !u->packed_end)
		n = MIN(packed_read(u->outer, u, &data), 0);
	return n < 0 ? unpacking_damaged(u, u->outer) : 0;
}

static int unpack(struct unpacking *u)
{
	if (outer_open(u) < 0)
		return -1;
	if (u->sink && members(u) < 0)
		return -1;
	return drain(u);
}

int layer_unpack(const struct layer_stream *stream, const struct layer_limits *limits, const struct layer_sink *sink,
		 struct layer_result *ret, struct error *err)
{
	struct unpacking *u = xcalloc(1, sizeof(*u));
	locale_t utf8, before = 0;
	int r;

	/* libarchive brings names of the pax format, which are UTF-8, into the locale's charset */
	utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", 0);
	if (utf8)
		before = uselocale(utf8);
	*u = (struct unpacking){ .stream = stream, .limits = limits, .sink = sink, .err = err };
	u->digest = digest_new();
	u->diff_id = digest_new();
	r = unpack(u);
	if (r == 0) {
		digest_final(u->digest, u->result.digest);
		digest_final(u->diff_id, u->result.diff_id);
		u->digest = u->diff_id = NULL;
		*ret = u->result;
	}
	unpacking_clear(u);
	free(u);
	if (utf8) {
		uselocale(before);
		freelocale(utf8);
	}
	return r;
}
