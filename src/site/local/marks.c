/* SPDX-License-Identifier: Apache-2.0 */
#include "local.h"

#include "base/buf.h"
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * How it works: a mark is a file <dir>/<kind>/<name> with the resource as JSON; the name is the key with
 * '/' as %2F. One folder a kind keeps a list of one kind from reading the marks of all others. Whoever knows
 * only a key looks into each of the few folders. Files are replaced whole, so a reader never sees half of one.
 */

#define MARK_LIMIT ((size_t)16 << 20)
#define WRITE_ATTEMPTS 10

static char *marks_dir(const struct site *site, enum mark_life life)
{
	return xasprintf("%s/marks", life == MARK_KEPT ? site->deployment_dir : site->run);
}

static char *mark_name(const char *key)
{
	autobuf struct buf name = { 0 };

	buf_adds(&name, "");
	for (const char *p = key; *p; p++) {
		if (*p == '/' || *p == '%')
			buf_addf(&name, "%%%02X", (unsigned char)*p);
		else
			buf_addc(&name, *p);
	}
	if (name.data[0] == '.')
		BUG("a key starts with a dot: \"%s\"", key);
	return buf_steal(&name);
}

int local_mark_write(struct site *site, enum mark_life life, const struct resource *resource, struct error *err)
{
	autofree char *dir = marks_dir(site, life), *name = mark_name(resource->key);
	autofree char *folder = xasprintf("%s/%s", dir, resource->kind);
	autofree char *path = xasprintf("%s/%s", folder, name);
	autojson json_t *json = resource_to_json(resource);
	autofree char *text = json_canonical(json);

	for (unsigned attempt = 1;; attempt++) {
		if (fs_make_dirs(folder, 0700, err) == 0 &&
		    fs_replace_file(path, text, strlen(text), 0600, life == MARK_KEPT, err) == 0)
			return 0;
		/* a remove may have taken the folder away when it was empty for a moment */
		if (err->code != ERROR_NOT_FOUND || attempt == WRITE_ATTEMPTS)
			return error_wrap(err, "cannot keep the mark of %s", resource->key);
	}
}

static int mark_load(int dir, const char *path, struct resource **ret, struct error *err)
{
	autofree char *text = NULL;
	autojson json_t *json = NULL;
	size_t n;

	if (fs_read_file_at(dir, path, MARK_LIMIT, &text, &n, err) < 0)
		return -1;
	if (json_parse(path, text, n, MARK_LIMIT, &json, err) < 0 || resource_from_json(json, ret, err) < 0) {
		error_wrap(err, "a mark is damaged");
		return error_hint(err, "remove this file; the next apply makes it again");
	}
	return 0;
}

/* Calls `each` with every folder of marks until it returns non-zero, which is then returned. */
static int folders_each(const char *dir, int (*each)(void *arg, int dir_fd, const char *kind, struct error *err), void *arg, struct error *err)
{
	autodir DIR *folders = opendir(dir);
	struct dirent *e;

	if (!folders)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "cannot read %s", dir);
	for (errno = 0; (e = readdir(folders)); errno = 0) {
		int status;

		if (e->d_name[0] == '.')
			continue;
		status = each(arg, dirfd(folders), e->d_name, err);
		if (status)
			return status;
	}
	return errno ? error_set_errno(err, errno, "cannot read %s", dir) : 0;
}

struct lookup {
	const char *name;
	struct resource *resource;
};

static int lookup_read(void *arg, int dir, const char *kind, struct error *err)
{
	struct lookup *lookup = arg;
	autofree char *path = xasprintf("%s/%s", kind, lookup->name);

	if (faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : error_set_errno(err, errno, "cannot read the mark %s", path);
	return mark_load(dir, path, &lookup->resource, err) < 0 ? -1 : 1;
}

int local_mark_read(struct site *site, enum mark_life life, const char *key, struct resource **ret, struct error *err)
{
	autofree char *dir = marks_dir(site, life), *name = mark_name(key);
	struct lookup lookup = { .name = name };

	if (folders_each(dir, lookup_read, &lookup, err) < 0)
		return -1;
	if (!lookup.resource)
		return error_set(err, ERROR_NOT_FOUND, "there is no %s here", key);
	*ret = lookup.resource;
	return 0;
}

static int lookup_remove(void *arg, int dir, const char *kind, struct error *err)
{
	struct lookup *lookup = arg;
	autofree char *path = xasprintf("%s/%s", kind, lookup->name);

	if (unlinkat(dir, path, 0) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : error_set_errno(err, errno, "cannot remove the mark %s", path);
	if (unlinkat(dir, kind, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT)
		return error_set_errno(err, errno, "cannot remove the folder of marks %s", kind);
	return 0;
}

int local_mark_remove(struct site *site, enum mark_life life, const char *key, struct error *err)
{
	autofree char *dir = marks_dir(site, life), *name = mark_name(key);
	struct lookup lookup = { .name = name };

	if (folders_each(dir, lookup_remove, &lookup, err) < 0)
		return -1;
	if (rmdir(dir) < 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT)
		return error_set_errno(err, errno, "cannot remove %s", dir);
	return 0;
}

int local_mark_each(struct site *site, enum mark_life life, const char *kind, int (*each)(void *arg, struct resource *resource), void *arg, struct error *err)
{
	return local_mark_each_of(site, life, kind, NULL, each, arg, err);
}

int local_mark_each_of(struct site *site, enum mark_life life, const char *kind, const char *tenant,
		       int (*each)(void *arg, struct resource *resource), void *arg, struct error *err)
{
	autofree char *dir = marks_dir(site, life), *path = xasprintf("%s/%s", dir, kind);
	autofree char *prefix = tenant ? xasprintf("%s%%2F", tenant) : xstrdup("");
	autodir DIR *folder = opendir(path);
	struct dirent *e;

	if (!folder)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "cannot read %s", path);
	for (errno = 0; (e = readdir(folder)); errno = 0) {
		struct resource *resource;

		if (e->d_name[0] == '.' || !starts_with(e->d_name, prefix))	/* a dot: a replacement on its way */
			continue;
		if (mark_load(dirfd(folder), e->d_name, &resource, err) < 0) {
			if (err->code == ERROR_NOT_FOUND)	/* removed meanwhile */
				continue;
			return error_wrap(err, "%s", path);
		}
		if (each(arg, resource) != 0)
			return error_set(err, ERROR_INTERRUPTED, "the list was stopped");
	}
	return errno ? error_set_errno(err, errno, "cannot read %s", path) : 0;
}
