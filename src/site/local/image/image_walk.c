/* SPDX-License-Identifier: Apache-2.0 */
#include "image_layer.h"

#include "base/map.h"
#include "base/vec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/*
 * How it works: folders are read whole, sorted by bytes and gone through by descriptors, no link followed. The second name of an
 * inode is a hard link to the first; a file is opened O_NONBLOCK and looked at again, so that one that turned
 * into a FIFO meanwhile cannot hold us. Holes are found by lseek(SEEK_DATA) and left out.
 */

#define NAMES_MAX 1000000	/* of one folder */
#define ATTRIBUTE_LIST_MAX 65536
#define CHUNK (256 << 10)

struct walk {
	const char *top;		/* for messages */
	unsigned flags;
	dev_t device;
	const struct layer_limits *limits;
	const struct layer_sink *sink;
	struct layer_counts counts;
	struct map links;		/* "inode" to the first path; both owned */
	char path[LAYER_PATH_MAX];
	size_t path_n;
	char *chunk;
	struct error *err;
};

typedef VEC(char *) name_list;

static int name_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int attribute_order(const void *a, const void *b)
{
	return strcmp(((const struct layer_attribute *)a)->name, ((const struct layer_attribute *)b)->name);
}

static void names_clear(name_list *names)
{
	vec_each(names, name)
		free(*name);
	vec_clear(names);
}

/* Sorted names in the open folder, which stays open. */
static int names_read(int folder, const char *top, name_list *ret, struct error *err)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autodir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir) {
		error_set_errno(err, errno, "cannot read a folder in %s", top);
		cleanup_fd(&fd);
		return -1;
	}
	for (errno = 0; (e = readdir(dir)); errno = 0) {
		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		if (ret->n == NAMES_MAX)
			return error_set(err, ERROR_INPUT, "a folder in %s has more than %d names", top, NAMES_MAX);
		vec_push(ret, xstrdup(e->d_name));
	}
	if (errno)
		return error_set_errno(err, errno, "cannot read a folder in %s", top);
	if (ret->n)
		qsort(ret->items, ret->n, sizeof(*ret->items), name_order);
	return 0;
}

static int walk_refuse(struct walk *w, const char *why)
{
	return error_set(w->err, ERROR_INPUT, "%s/%.300s is refused: %s", w->top, w->path, why);
}

/* user.* attributes of a file or folder; *ret_text holds their names and values. Sets *ret_opaque for an unpacked layer. */
static int attributes_read(struct walk *w, int fd, struct layer_attribute **ret, size_t *ret_n, char **ret_text, bool *ret_opaque)
{
	autofree char *list = xmalloc(ATTRIBUTE_LIST_MAX);
	VEC(struct layer_attribute) found = { 0 };
	ssize_t n = flistxattr(fd, list, ATTRIBUTE_LIST_MAX);
	autofree char *text = NULL;
	size_t used = 0;

	*ret_opaque = false;
	if (n <= 0)
		return n == 0 || errno == ENOTSUP ? 0 : error_set_errno(w->err, errno, "cannot read attributes of %s/%.300s", w->top, w->path);
	text = xmalloc((size_t)n + ATTRIBUTE_LIST_MAX);
	for (const char *name = list; name < list + n; name += strlen(name) + 1) {
		size_t length = strlen(name) + 1;
		ssize_t value;

		if ((w->flags & LAYER_WALK_OURS) && streq(name, "trusted.overlay.opaque"))
			*ret_opaque = true;
		if (!starts_with(name, "user.") || starts_with(name, "user.overlay."))
			continue;
		memcpy(text + used, name, length);
		value = fgetxattr(fd, name, text + used + length, (size_t)n + ATTRIBUTE_LIST_MAX - used - length);
		if (value < 0) {
			vec_clear(&found);
			return error_set_errno(w->err, errno, "cannot read attribute %.100s of %s/%.300s", name, w->top, w->path);
		}
		vec_push(&found, ((struct layer_attribute){ text + used, text + used + length, (size_t)value }));
		used += length + (size_t)value;
	}
	/* file systems list them in any order, and digests must not depend on it */
	if (found.n)
		qsort(found.items, found.n, sizeof(*found.items), attribute_order);
	*ret = found.items;
	*ret_n = found.n;
	*ret_text = steal(&text);
	return 0;
}

static int walk_data(struct walk *w, int fd, int64_t size)
{
	int64_t at = 0, written = 0;

	while (at < size) {
		int64_t data = lseek(fd, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			return 0;
		if (data < 0)
			data = at;	/* a file system without holes */
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0 || hole > size)
			hole = size;
		for (at = data; at < hole;) {
			ssize_t n = pread(fd, w->chunk, (size_t)MIN(hole - at, CHUNK), at);

			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return error_set_errno(w->err, errno, "cannot read %s/%.300s", w->top, w->path);
			if (n == 0)
				return error_set(w->err, ERROR_CONFLICT, "%s/%.300s became shorter while it was read", w->top, w->path);
			w->counts.bytes += layer_cost(LAYER_FILE, written + n) - layer_cost(LAYER_FILE, written);
			if (w->limits->bytes >= 0 && w->counts.bytes > w->limits->bytes)
				return error_set(w->err, ERROR_CAPACITY, "%s needs more than the %lld bytes there is room for", w->top, (long long)w->limits->bytes);
			if (w->sink->data(w->sink->arg, at, w->chunk, (size_t)n, w->err) < 0)
				return -1;
			written += n;
			at += n;
		}
	}
	return 0;
}

/* Hands over an entry whose strings are set; the rest comes from st. fd: of a file or folder, or -1. */
static int walk_entry(struct walk *w, struct layer_entry *entry, const struct stat *st, int fd)
{
	autofree struct layer_attribute *attributes = NULL;
	struct layer_entry opaque = { .kind = LAYER_OPAQUE, .path = w->path };
	autofree char *text = NULL;
	bool is_opaque = false;

	if (entry->kind == LAYER_FOLDER || entry->kind == LAYER_FILE) {
		if (attributes_read(w, fd, &attributes, &entry->attribute_n, &text, &is_opaque) < 0)
			return -1;
		entry->attributes = attributes;
	}
	if (!(w->flags & LAYER_WALK_OURS) && (st->st_uid > LAYER_OWNER_MAX || st->st_gid > LAYER_OWNER_MAX)) {
		walk_refuse(w, "its owner is beyond 65535, the last id that an instance has");
		return error_hint(w->err, "give it other owners, for instance 'chown -R 0:0'");
	}
	if (++w->counts.entries > w->limits->entries)
		return error_set(w->err, ERROR_INPUT, "%s has more than %lld entries", w->top, (long long)w->limits->entries);
	w->counts.bytes += layer_cost(entry->kind, 0);
	if (w->limits->bytes >= 0 && w->counts.bytes > w->limits->bytes)
		return error_set(w->err, ERROR_CAPACITY, "%s needs more than the %lld bytes there is room for", w->top, (long long)w->limits->bytes);
	entry->path = w->path;
	entry->mode = st->st_mode & 07777;
	entry->uid = st->st_uid;
	entry->gid = st->st_gid;
	entry->time = st->st_mtim;
	if (entry->kind == LAYER_FILE)
		entry->size = st->st_size;
	if (w->sink->entry(w->sink->arg, entry, w->err) < 0)
		return -1;
	return is_opaque ? w->sink->entry(w->sink->arg, &opaque, w->err) : 0;
}

/* true when the inode was met before: *ret_first is its first path */
static bool link_known(struct walk *w, const struct stat *st, const char **ret_first)
{
	char key[32];

	if (st->st_nlink < 2)
		return false;
	snprintf(key, sizeof(key), "%llu", (unsigned long long)st->st_ino);
	*ret_first = map_get(&w->links, key);
	if (*ret_first)
		return true;
	map_set(&w->links, xstrdup(key), xstrdup(w->path));
	return false;
}

static int walk_folder(struct walk *w, int folder, const struct stat *st, unsigned depth);

static int walk_opened(struct walk *w, int folder, const char *name, const struct stat *seen, unsigned depth)
{
	bool is_folder = S_ISDIR(seen->st_mode);
	autofd int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (is_folder ? O_DIRECTORY : 0));
	struct layer_entry entry = { .kind = LAYER_FILE };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(w->err, errno, "cannot open %s/%.300s", w->top, w->path);
	if (st.st_ino != seen->st_ino || st.st_dev != seen->st_dev || (st.st_mode & S_IFMT) != (seen->st_mode & S_IFMT))
		return error_set(w->err, ERROR_CONFLICT, "%s/%.300s was replaced while it was read", w->top, w->path);
	if (is_folder)
		return walk_folder(w, fd, &st, depth + 1);
	if (st.st_size > LAYER_FILE_MAX)
		return walk_refuse(w, "its size is beyond all bounds");
	if (walk_entry(w, &entry, &st, fd) < 0)
		return -1;
	return w->flags & LAYER_WALK_NO_DATA ? 0 : walk_data(w, fd, st.st_size);
}

static int walk_symlink(struct walk *w, int folder, const char *name, const struct stat *st)
{
	struct layer_entry entry = { .kind = LAYER_SYMLINK };
	char target[LAYER_PATH_MAX];
	ssize_t n = readlinkat(folder, name, target, sizeof(target));

	if (n < 0)
		return error_set_errno(w->err, errno, "cannot read link %s/%.300s", w->top, w->path);
	if ((size_t)n >= sizeof(target))
		return walk_refuse(w, "a symbolic link to a name longer than 4095 bytes");
	target[n] = '\0';
	if (layer_link_escapes(w->path, target))
		return walk_refuse(w, "a symbolic link that leads above the root");
	entry.target = target;
	return walk_entry(w, &entry, st, -1);
}

static int walk_name(struct walk *w, int folder, const char *name, unsigned depth)
{
	struct layer_entry entry = { 0 };
	struct stat st;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set_errno(w->err, errno, "cannot look at %s/%.300s", w->top, w->path);
	if (st.st_dev != w->device) {
		walk_refuse(w, "another file system is mounted there");
		return error_hint(w->err, "unmount it, or copy the folder without it");
	}
	if (S_ISDIR(st.st_mode))
		return walk_opened(w, folder, name, &st, depth);
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0) && (w->flags & LAYER_WALK_OURS)) {
		entry.kind = LAYER_WHITEOUT;
		return walk_entry(w, &entry, &st, -1);
	}
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
		walk_refuse(w, "it is a device node");
		return error_hint(w->err, "remove it from the folder: an instance gets a /dev of its own");
	}
	if (S_ISSOCK(st.st_mode)) {
		w->counts.skipped++;
		return 0;
	}
	if (link_known(w, &st, &entry.target)) {
		entry.kind = LAYER_HARD_LINK;
		return walk_entry(w, &entry, &st, -1);
	}
	if (S_ISLNK(st.st_mode))
		return walk_symlink(w, folder, name, &st);
	if (S_ISREG(st.st_mode))
		return walk_opened(w, folder, name, &st, depth);
	entry.kind = LAYER_FIFO;
	return walk_entry(w, &entry, &st, -1);
}

static int walk_folder(struct walk *w, int folder, const struct stat *st, unsigned depth)
{
	struct layer_entry entry = { .kind = LAYER_FOLDER };
	CLEANUP(names_clear) name_list names = { 0 };
	size_t length = w->path_n;

	if (depth > LAYER_DEPTH_MAX)
		return walk_refuse(w, "it is more than 200 folders deep");
	if (walk_entry(w, &entry, st, folder) < 0 || names_read(folder, w->top, &names, w->err) < 0)
		return -1;
	vec_each(&names, name) {
		size_t n = strlen(*name);

		if (length + n + 2 > LAYER_PATH_MAX)
			return walk_refuse(w, "a name in it is longer than 4095 bytes");
		if (length)
			w->path[w->path_n++] = '/';
		memcpy(w->path + w->path_n, *name, n + 1);
		w->path_n += n;
		if (walk_name(w, folder, *name, depth) < 0)
			return -1;
		w->path_n = length;
		w->path[length] = '\0';
	}
	return 0;
}

int layer_walk(const char *path, unsigned flags, const struct layer_limits *limits, const struct layer_sink *sink,
	       struct layer_counts *ret, struct error *err)
{
	struct walk w = { .top = path, .flags = flags, .limits = limits, .sink = sink, .err = err };
	autofd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(err, errno, "cannot open folder %s", path);
	w.device = st.st_dev;
	w.chunk = xmalloc(CHUNK);
	r = walk_folder(&w, fd, &st, 0);
	if (r == 0)
		r = sink->end(sink->arg, err);
	map_each(&w.links, link) {
		free((char *)link->key);
		free(link->value);
	}
	map_clear(&w.links);
	free(w.chunk);
	if (r == 0)
		*ret = w.counts;
	return r;
}

struct fingerprint { struct digest *digest; struct timespec newest; const char *top; dev_t device; };

static int fingerprint_folder(struct fingerprint *f, int folder, unsigned depth, struct error *err)
{
	CLEANUP(names_clear) name_list names = { 0 };

	if (depth > LAYER_DEPTH_MAX)
		return error_set(err, ERROR_INPUT, "%s has folders more than %d deep", f->top, LAYER_DEPTH_MAX);
	if (names_read(folder, f->top, &names, err) < 0)
		return -1;
	vec_each(&names, name) {
		struct stat st;
		autofd int fd = -1;

		if (fstatat(folder, *name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return error_set_errno(err, errno, "cannot look at %s in %s", *name, f->top);
		{
			int64_t numbers[] = { (int64_t)depth, (int64_t)st.st_ino, (int64_t)st.st_dev, st.st_mode, st.st_uid, st.st_gid, (int64_t)st.st_rdev,
					      (int64_t)st.st_nlink * !S_ISDIR(st.st_mode), st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_ctim.tv_sec, st.st_ctim.tv_nsec };

			digest_update(f->digest, *name, strlen(*name) + 1);
			digest_update(f->digest, numbers, sizeof(numbers));
		}
		if (st.st_ctim.tv_sec > f->newest.tv_sec || (st.st_ctim.tv_sec == f->newest.tv_sec && st.st_ctim.tv_nsec > f->newest.tv_nsec))
			f->newest = st.st_ctim;
		if (!S_ISDIR(st.st_mode) || st.st_dev != f->device)
			continue;
		fd = openat(folder, *name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return error_set_errno(err, errno, "cannot open %s in %s", *name, f->top);
		if (fingerprint_folder(f, fd, depth + 1, err) < 0)
			return -1;
	}
	return 0;
}

int layer_fingerprint(const char *path, char hex[static DIGEST_HEX], struct timespec *ret_newest, struct error *err)
{
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct fingerprint f = { .top = path };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(err, errno, "cannot open %s", path);
	f.device = st.st_dev;
	f.newest = st.st_ctim;
	f.digest = digest_new();
	{
		int64_t numbers[] = { (int64_t)st.st_ino, (int64_t)st.st_dev, st.st_mode, st.st_uid, st.st_gid, st.st_size,
				      st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_ctim.tv_sec, st.st_ctim.tv_nsec };

		digest_update(f.digest, numbers, sizeof(numbers));
	}
	if (S_ISDIR(st.st_mode) && fingerprint_folder(&f, fd, 1, err) < 0) {
		digest_free(f.digest);
		return -1;
	}
	digest_final(f.digest, hex);
	*ret_newest = f.newest;
	return 0;
}
