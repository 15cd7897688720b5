/* SPDX-License-Identifier: Apache-2.0 */
#include "image_source.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/map.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * How it works: a tar is gone through once when it is opened, to learn its names and links, and once more for each visit; in an
 * unpacked one libarchive seeks over what is not wanted, so that costs little. All layers of an image are taken in one visit, in the
 * order they lie in.
 */

#define MEMBERS_MAX 200000
#define LINKS_MAX 8
#define CHUNK 65536

struct member { char *name, *target; };	/* target: of a link, as a name; else NULL */

struct image_source {
	char *path;
	int fd;				/* of the folder or file */
	bool is_folder;
	VEC(struct member *) members;	/* of a tar */
	struct map by_name;
};

void image_source_close_pp(struct image_source **source)
{
	struct image_source *s = *source;

	if (!s)
		return;
	vec_each(&s->members, it) {
		free((*it)->name);
		free((*it)->target);
		free(*it);
	}
	vec_clear(&s->members);
	map_clear(&s->by_name);
	cleanup_fd(&s->fd);
	free(s->path);
	free(s);
}

/* libarchive over the source's own descriptor, from its start */
static int tar_open(struct image_source *source, struct archive **ret, struct error *err)
{
	struct archive *archive;

	if (lseek(source->fd, 0, SEEK_SET) < 0)
		return error_set_errno(err, errno, "cannot read %s", source->path);
	archive = archive_read_new();
	if (!archive)
		return error_set_errno(err, ENOMEM, "cannot read %s", source->path);
	archive_read_support_filter_gzip(archive);
	archive_read_support_filter_xz(archive);
	archive_read_support_filter_zstd(archive);
	archive_read_support_filter_lz4(archive);
	archive_read_support_filter_bzip2(archive);
	archive_read_support_format_tar(archive);
	if (archive_read_open_fd(archive, source->fd, CHUNK) != ARCHIVE_OK) {
		error_set(err, ERROR_INPUT, "%s is no tar archive: %s", source->path, archive_error_string(archive));
		archive_read_free(archive);
		return -1;
	}
	*ret = archive;
	return 0;
}

static void archive_cleanup(struct archive **archive)
{
	if (*archive)
		archive_read_free(*archive);
}

/* 1: an entry; 0: the end */
static int tar_next(struct image_source *source, struct archive *archive, struct archive_entry **ret, struct error *err)
{
	int r = archive_read_next_header(archive, ret);
	const char *text;

	if (r == ARCHIVE_EOF)
		return 0;
	if (r == ARCHIVE_OK || r == ARCHIVE_WARN)
		return 1;
	text = archive_error_string(archive);
	return error_set(err, ERROR_INPUT, "%s is damaged or no tar archive: %s", source->path, text ? text : "it ends too early");
}

static char *link_target(const char *name, const char *target)
{
	autofree char *folder = fs_dirname(name);
	autofree char *base = xasprintf("/%s", streq(folder, ".") ? "" : folder);
	autofree char *whole = fs_absolute(base, target);

	return xstrdup(whole + 1);
}

static void member_add(struct image_source *source, const char *name, char *target)
{
	struct member *member = xcalloc(1, sizeof(*member));

	member->name = xstrdup(name);
	member->target = target;
	vec_push(&source->members, member);
	map_set(&source->by_name, member->name, member);
}

static int members_read(struct image_source *source, struct error *err)
{
	CLEANUP(archive_cleanup) struct archive *archive = NULL;
	struct archive_entry *e;
	int r;

	if (tar_open(source, &archive, err) < 0)
		return -1;
	while ((r = tar_next(source, archive, &e, err)) > 0) {
		const char *name = archive_entry_pathname(e), *why;
		char path[LAYER_PATH_MAX], target[LAYER_PATH_MAX];

		if (source->members.n == MEMBERS_MAX)
			return error_set(err, ERROR_INPUT, "%s has more than %d members", source->path, MEMBERS_MAX);
		if (!name || layer_path_normal(name, path, &why) < 0 || map_has(&source->by_name, path))
			continue;
		if (archive_entry_hardlink(e)) {
			if (layer_path_normal(archive_entry_hardlink(e), target, &why) == 0)
				member_add(source, path, xstrdup(target));
		} else if (archive_entry_filetype(e) == AE_IFLNK && archive_entry_symlink(e) && strlen(archive_entry_symlink(e)) < LAYER_PATH_MAX) {
			member_add(source, path, link_target(path, archive_entry_symlink(e)));
		} else if (archive_entry_filetype(e) == AE_IFREG) {
			member_add(source, path, NULL);
		}
	}
	return r;
}

int image_source_open(const char *path, struct image_source **ret, struct error *err)
{
	autosource struct image_source *source = xcalloc(1, sizeof(*source));
	struct stat st;

	source->path = xstrdup(path);
	source->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (source->fd < 0 || fstat(source->fd, &st) < 0)
		return error_set_errno(err, errno, "cannot open image %s", path);
	source->is_folder = S_ISDIR(st.st_mode);
	if (!source->is_folder && !S_ISREG(st.st_mode))
		return error_set(err, ERROR_INPUT, "image %s is neither a folder nor a file", path);
	if (!source->is_folder && members_read(source, err) < 0)
		return -1;
	*ret = steal(&source);
	return 0;
}

/* The name of the file that a name leads to, or NULL. */
static const char *member_resolve(struct image_source *source, const char *name)
{
	char path[LAYER_PATH_MAX];
	const char *why;
	const struct member *member;

	if (layer_path_normal(name, path, &why) < 0)
		return NULL;
	member = map_get(&source->by_name, path);
	for (int i = 0; member && member->target; i++)
		member = i < LINKS_MAX ? map_get(&source->by_name, member->target) : NULL;
	return member ? member->name : NULL;
}

static int folder_file(struct image_source *source, const char *name, int64_t *ret_size, struct error *err)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	autofd int fd = (int)syscall(SYS_openat2, source->fd, name, &how, sizeof(how));
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(err, errno, "cannot open %s in %s", name, source->path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_INPUT, "%s in %s is no file", name, source->path);
	*ret_size = st.st_size;
	return steal_fd(&fd);
}

bool image_source_has(struct image_source *source, const char *name)
{
	struct stat st;

	if (source->is_folder)
		return fstatat(source->fd, name, &st, 0) == 0 && S_ISREG(st.st_mode);
	return member_resolve(source, name) != NULL;
}

struct file_stream { int fd; const char *path, *name; };

static ssize_t file_read(void *arg, void *buf, size_t n, struct error *err)
{
	struct file_stream *stream = arg;
	ssize_t done;

	do {
		done = read(stream->fd, buf, n);
	} while (done < 0 && errno == EINTR);
	if (done < 0)
		error_set_errno(err, errno, "cannot read %s in %s", stream->name, stream->path);
	return done;
}

struct tar_stream { struct archive *archive; const char *path, *name; };

static ssize_t tar_read(void *arg, void *buf, size_t n, struct error *err)
{
	struct tar_stream *stream = arg;
	ssize_t done = archive_read_data(stream->archive, buf, n);
	const char *text;

	if (done >= 0)
		return done;
	text = archive_error_string(stream->archive);
	return error_set(err, ERROR_INPUT, "%s in %s is damaged: %s", stream->name, stream->path, text ? text : "it ends too early");
}

typedef int (*visit_each)(void *arg, size_t index, const struct layer_stream *stream, int64_t size, struct error *err);

static int folder_visit(struct image_source *source, const char *const *names, size_t n, visit_each each, void *arg, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		int64_t size;
		autofd int fd = folder_file(source, names[i], &size, err);
		struct file_stream file = { fd, source->path, names[i] };
		struct layer_stream stream = { file_read, &file };

		if (fd < 0 || each(arg, i, &stream, size, err) < 0)
			return -1;
	}
	return 0;
}

static int tar_visit(struct image_source *source, const char *const *names, size_t n, visit_each each, void *arg, struct error *err)
{
	CLEANUP(archive_cleanup) struct archive *archive = NULL;
	autofree const char **wanted = xcalloc(n + 1, sizeof(*wanted));
	struct archive_entry *e;
	size_t left = n;
	int r = 1;

	for (size_t i = 0; i < n; i++) {
		wanted[i] = member_resolve(source, names[i]);
		if (!wanted[i])
			return error_set(err, ERROR_NOT_FOUND, "there is no %s in %s", names[i], source->path);
	}
	if (tar_open(source, &archive, err) < 0)
		return -1;
	while (left && (r = tar_next(source, archive, &e, err)) > 0) {
		const char *name = archive_entry_pathname(e), *why;
		char path[LAYER_PATH_MAX];

		if (!name || archive_entry_hardlink(e) || archive_entry_filetype(e) != AE_IFREG || layer_path_normal(name, path, &why) < 0)
			continue;
		for (size_t i = 0; i < n; i++) {
			struct tar_stream member = { archive, source->path, names[i] };
			struct layer_stream stream = { tar_read, &member };

			if (!wanted[i] || !streq(wanted[i], path))
				continue;
			wanted[i] = NULL;
			left--;
			if (each(arg, i, &stream, archive_entry_size(e), err) < 0)
				return -1;
			break;
		}
	}
	if (r < 0)
		return -1;
	return left ? error_set(err, ERROR_CONFLICT, "%s changed while it was read, or two of its layers are one file", source->path) : 0;
}

int image_source_visit(struct image_source *source, const char *const *names, size_t n, visit_each each, void *arg, struct error *err)
{
	return (source->is_folder ? folder_visit : tar_visit)(source, names, n, each, arg, err);
}

struct whole { size_t limit; struct buf buf; };

static int whole_read(void *arg, size_t index, const struct layer_stream *stream, int64_t size, struct error *err)
{
	struct whole *whole = arg;
	char chunk[16384];
	ssize_t n;

	while ((n = stream->read(stream->arg, chunk, sizeof(chunk), err)) > 0) {
		if ((size_t)n > whole->limit - whole->buf.n)
			return error_set(err, ERROR_INPUT, "it is larger than the limit of %zu bytes", whole->limit);
		buf_add(&whole->buf, chunk, (size_t)n);
	}
	return n < 0 ? -1 : 0;
}

int image_source_read(struct image_source *source, const char *name, size_t limit, char **ret, size_t *ret_n, struct error *err)
{
	struct whole whole = { .limit = limit };

	buf_adds(&whole.buf, "");
	if (image_source_visit(source, &name, 1, whole_read, &whole, err) < 0) {
		buf_clear(&whole.buf);
		return error_wrap(err, "%s", name);
	}
	*ret_n = whole.buf.n;
	*ret = buf_steal(&whole.buf);
	return 0;
}

/* A document by its descriptor, verified. */
static int blob_read(struct image_source *source, const struct image_descriptor *descriptor, char **ret, size_t *ret_n, struct error *err)
{
	autofree char *name = xasprintf("blobs/sha256/%s", descriptor->digest);
	autofree char *text = NULL;
	char hex[DIGEST_HEX];
	size_t n;

	if (image_source_read(source, name, IMAGE_DOCUMENT_MAX, &text, &n, err) < 0)
		return -1;
	digest_bytes(text, n, hex);
	if ((int64_t)n != descriptor->size || !streq(hex, descriptor->digest))
		return error_set(err, ERROR_INPUT, "%s in %s is damaged: it has %zu bytes and the digest %.12s..., and should have %lld bytes",
				 name, source->path, n, hex, (long long)descriptor->size);
	*ret = steal(&text);
	*ret_n = n;
	return 0;
}

static int layout_documents(struct image_source *source, const char *tag, struct image_documents *ret, struct error *err)
{
	struct image_descriptor descriptor = { .index = true };
	char architecture[32];
	autofree char *layout = NULL, *text = NULL, *manifest = NULL, *config = NULL;
	size_t n;

	image_architecture(architecture);
	if (image_source_read(source, "oci-layout", IMAGE_DOCUMENT_MAX, &layout, &n, err) < 0 || oci_layout_check(layout, n, err) < 0)
		return -1;
	if (image_source_read(source, "index.json", IMAGE_DOCUMENT_MAX, &text, &n, err) < 0 ||
	    oci_index_choose(text, n, tag, false, architecture, &descriptor, err) < 0)
		return -1;
	for (int depth = 1; descriptor.index; depth++) {
		if (depth == IMAGE_INDEX_DEPTH)
			return error_set(err, ERROR_INPUT, "indexes are more than %d deep", IMAGE_INDEX_DEPTH);
		free(steal(&text));
		if (blob_read(source, &descriptor, &text, &n, err) < 0 || oci_index_choose(text, n, NULL, true, architecture, &descriptor, err) < 0)
			return -1;
	}
	if (blob_read(source, &descriptor, &manifest, &n, err) < 0 || oci_manifest_read(manifest, n, ret, &descriptor, err) < 0)
		return -1;
	if (blob_read(source, &descriptor, &config, &n, err) < 0)
		return -1;
	return oci_config_read(config, n, architecture, ret, err);
}

static int docker_documents(struct image_source *source, const char *name, struct image_documents *ret, struct error *err)
{
	autofree char *text = NULL, *config_name = NULL, *config = NULL;
	char architecture[32], hex[DIGEST_HEX];
	const char *base;
	size_t n;

	image_architecture(architecture);
	if (image_source_read(source, "manifest.json", IMAGE_DOCUMENT_MAX, &text, &n, err) < 0 ||
	    docker_manifest_read(text, n, name, ret, &config_name, err) < 0 ||
	    image_source_read(source, config_name, IMAGE_DOCUMENT_MAX, &config, &n, err) < 0)
		return -1;
	base = strrchr(config_name, '/') ? strrchr(config_name, '/') + 1 : config_name;
	digest_bytes(config, n, hex);
	/* the name is the digest, with or without ".json"; where it is something else there is nothing to compare with */
	if (strspn(base, "0123456789abcdef") == DIGEST_HEX - 1 && strncmp(base, hex, DIGEST_HEX - 1))
		return error_set(err, ERROR_INPUT, "%s in %s is damaged: its digest is %.12s...", config_name, source->path, hex);
	if (oci_config_read(config, n, architecture, ret, err) < 0)
		return -1;
	image_documents_complete(ret);
	return 0;
}

int image_source_documents(struct image_source *source, const char *tag, struct image_documents *ret, struct error *err)
{
	autodocuments struct image_documents documents = { 0 };
	int r;

	if (image_source_has(source, "oci-layout"))
		r = layout_documents(source, tag, &documents, err);
	else if (image_source_has(source, "manifest.json"))
		r = docker_documents(source, tag, &documents, err);
	else
		r = error_set(err, ERROR_INPUT, "it is neither an OCI image layout nor a docker-archive: it has no oci-layout and no manifest.json");
	if (r < 0)
		return error_wrap(err, "image %s", source->path);
	*ret = documents;
	documents = (struct image_documents){ 0 };
	return 0;
}
