/* SPDX-License-Identifier: Apache-2.0 */
#include "image_parts.h"

#include "base/buf.h"
#include "base/fs.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* What packages install and nothing that belongs to a user, a service or this machine. */
static const char *const patterns[] = { "/usr", "/bin", "/sbin", "/lib*", "/opt" };

/* Where package managers say what is installed; a file's content, or where it is a large binary its time. */
static const struct { const char *path; bool content; } databases[] = {
	{ "/var/lib/dpkg/status", true },
	{ "/lib/apk/db/installed", true },
	{ "/var/lib/rpm/rpmdb.sqlite", false },
	{ "/usr/lib/sysimage/rpm/rpmdb.sqlite", false },
	{ "/var/lib/rpm/Packages", false },
	{ "/var/lib/pacman/local", false },
};

typedef VEC(struct image_host_root) root_list;

static int root_add(root_list *roots, const char *path, struct error *err)
{
	struct image_host_root root = { 0 };
	char target[LAYER_PATH_MAX];
	struct stat st;
	ssize_t n;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "cannot look at %s", path);
	if (S_ISLNK(st.st_mode)) {
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			return error_set_errno(err, errno, "cannot read link %s", path);
		target[n] = '\0';
		root.is_link = true;
		root.target = xstrdup(target);
	} else if (!S_ISDIR(st.st_mode)) {
		return 0;
	}
	root.path = xstrdup(path);
	vec_push(roots, root);
	return 0;
}

int image_host_roots(struct image_host_root **ret, size_t *ret_n, struct error *err)
{
	root_list roots = { 0 };
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(patterns) && r == 0; i++) {
		glob_t found = { 0 };

		if (glob(patterns[i], 0, NULL, &found) == 0)
			for (size_t k = 0; k < found.gl_pathc && r == 0; k++)
				r = root_add(&roots, found.gl_pathv[k], err);
		globfree(&found);
	}
	if (r < 0) {
		image_host_roots_free(roots.items, roots.n);
		return -1;
	}
	*ret = roots.items;
	*ret_n = roots.n;
	return 0;
}

void image_host_roots_free(struct image_host_root *roots, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free((char *)roots[i].path);
		free(roots[i].target);
	}
	free(roots);
}

static int database_describe(struct buf *text, struct error *err)
{
	char hex[DIGEST_HEX];
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(databases); i++) {
		if (stat(databases[i].path, &st) < 0)
			continue;
		if (databases[i].content && digest_file(databases[i].path, hex, err) < 0)
			return -1;
		if (databases[i].content)
			buf_addf(text, "%s %s\n", databases[i].path, hex);
		else
			buf_addf(text, "%s %lld.%09ld %lld\n", databases[i].path, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (long long)st.st_size);
	}
	return 0;
}

int image_host_digest(char **ret, struct error *err)
{
	autobuf struct buf text = { 0 };
	struct image_host_root *roots;
	char hex[DIGEST_HEX];
	size_t n;

	if (database_describe(&text, err) < 0 || image_host_roots(&roots, &n, err) < 0)
		return error_wrap(err, "image host");
	for (size_t i = 0; i < n; i++) {
		struct stat st;

		if (roots[i].is_link)
			buf_addf(&text, "%s -> %s\n", roots[i].path, roots[i].target);
		else if (stat(roots[i].path, &st) == 0)
			buf_addf(&text, "%s %lld.%09ld\n", roots[i].path, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	}
	image_host_roots_free(roots, n);
	digest_bytes(text.data, text.n, hex);
	*ret = xasprintf("host:%s", hex);
	return 0;
}
