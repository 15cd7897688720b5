/* SPDX-License-Identifier: Apache-2.0 */
#include "instance.h"

#include "base/buf.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * How it works: one more layer above the image's, owned by the container's root, holds the few files that are the instance's own.
 * The container may change them; that lands in its upper layer. The image "host" has no layers: there this one
 * is the whole root, with mount points for the machine's folders and an /etc of our making.
 */

const char *const skeleton_etc_shown[] = { "/etc/alternatives", "/etc/ssl/certs", NULL };

#define CACHE_LIMIT ((size_t)16 << 20)

static int owner_set(const struct skeleton *skeleton, const char *path, struct error *err)
{
	if (lchown(path, (uid_t)skeleton->owner, (gid_t)skeleton->owner) < 0)
		return error_set_errno(err, errno, "cannot give %s its owner", path);
	return 0;
}

/* A folder and those above it, up to the skeleton's own. */
static int folder_make(const struct skeleton *skeleton, const char *name, mode_t mode, struct error *err)
{
	autofree char *path = fs_join(skeleton->path, name + 1), *above = fs_dirname(name);
	struct stat st;

	if (!streq(above, "/")) {
		autofree char *above_path = fs_join(skeleton->path, above + 1);

		if (lstat(above_path, &st) < 0 && folder_make(skeleton, above, 0755, err) < 0)
			return -1;
	}
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "cannot make %s", path);
	if (chmod(path, mode) < 0)
		return error_set_errno(err, errno, "cannot set the mode of %s", path);
	return owner_set(skeleton, path, err);
}

static int file_make(const struct skeleton *skeleton, const char *name, const char *text, size_t n, struct error *err)
{
	autofree char *path = fs_join(skeleton->path, name + 1);
	autofd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd < 0)
		return error_set_errno(err, errno, "cannot make %s", path);
	if (fs_write_all(fd, text, n, err) < 0)
		return error_wrap(err, "%s", path);
	if (fchmod(fd, 0644) < 0)
		return error_set_errno(err, errno, "cannot set the mode of %s", path);
	return owner_set(skeleton, path, err);
}

static int text_make(const struct skeleton *skeleton, const char *name, const char *text, struct error *err)
{
	return file_make(skeleton, name, text, strlen(text), err);
}

static int link_make(const struct skeleton *skeleton, const char *name, const char *target, struct error *err)
{
	autofree char *path = fs_join(skeleton->path, name + 1);

	if (symlink(target, path) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "cannot make %s", path);
	return owner_set(skeleton, path, err);
}

static int names_make(const struct skeleton *skeleton, struct error *err)
{
	autobuf struct buf hosts = { 0 }, resolver = { 0 };
	autofree char *hostname = xasprintf("%s\n", skeleton->hostname);

	buf_adds(&hosts, "127.0.0.1 localhost\n");
	buf_addf(&hosts, "%s %s\n", skeleton->address ? skeleton->address : "127.0.1.1", skeleton->hostname);
	if (skeleton->gateway)
		buf_addf(&resolver, "nameserver %s\nsearch %s.insula insula\n", skeleton->gateway, skeleton->tenant);
	else
		buf_adds(&resolver, "# no network\n");
	if (text_make(skeleton, "/etc/hosts", hosts.data, err) < 0 || text_make(skeleton, "/etc/resolv.conf", resolver.data, err) < 0)
		return -1;
	return text_make(skeleton, "/etc/hostname", hostname, err);
}

/* The dynamic linker's index of the machine's libraries fits, because the libraries are the machine's. */
static int linker_cache_copy(const struct skeleton *skeleton, struct error *err)
{
	autofree char *data = NULL;
	struct error absent;
	size_t n;

	if (fs_read_file("/etc/ld.so.cache", CACHE_LIMIT, &data, &n, &absent) < 0)
		return 0;
	return file_make(skeleton, "/etc/ld.so.cache", data, n, err);
}

static int host_etc_make(const struct skeleton *skeleton, struct error *err)
{
	static const struct { const char *name, *text; } files[] = {
		{ "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n" },
		{ "/etc/group", "root:x:0:\nnogroup:x:65534:\n" },
		{ "/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n" },
		{ "/etc/shells", "/bin/sh\n" },
		{ "/etc/services", "http 80/tcp\nhttps 443/tcp\n" },
		{ "/etc/protocols", "icmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (text_make(skeleton, files[i].name, files[i].text, err) < 0)
			return -1;
	for (const char *const *shown = skeleton_etc_shown; *shown; shown++)
		if (fs_is_dir(*shown) && folder_make(skeleton, *shown, 0755, err) < 0)
			return -1;
	return linker_cache_copy(skeleton, err);
}

static int host_root_make(const struct skeleton *skeleton, struct error *err)
{
	static const struct { const char *name; mode_t mode; } folders[] = {
		{ "/root", 0700 }, { "/home", 0755 }, { "/run", 0755 }, { "/tmp", 01777 }, { "/var/tmp", 01777 }, { "/var/log", 0755 }, { "/srv", 0755 },
	};

	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (folder_make(skeleton, folders[i].name, folders[i].mode, err) < 0)
			return -1;
	for (size_t i = 0; i < skeleton->root_n; i++) {
		const struct image_host_root *root = &skeleton->roots[i];

		if (root->is_link ? link_make(skeleton, root->path, root->target, err) < 0 : folder_make(skeleton, root->path, 0755, err) < 0)
			return -1;
	}
	return host_etc_make(skeleton, err);
}

int skeleton_make(const struct skeleton *skeleton, struct error *err)
{
	static const char *const points[] = { "/proc", "/sys", "/dev", "/.insula", "/etc" };

	if (fs_make_dirs(skeleton->path, 0755, err) < 0)
		return -1;
	if (chmod(skeleton->path, 0755) < 0)
		return error_set_errno(err, errno, "cannot set the mode of %s", skeleton->path);
	if (owner_set(skeleton, skeleton->path, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(points); i++)
		if (folder_make(skeleton, points[i], 0755, err) < 0)
			return -1;
	if (skeleton->roots && host_root_make(skeleton, err) < 0)
		return -1;
	return names_make(skeleton, err);
}
