/* SPDX-License-Identifier: Apache-2.0 */
#include "storage.h"

#include "base/vec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * How it works: one descriptor walks the tree, down by name and up by "..", with the names that are still
 * to be visited kept per level; so neither depth nor long paths cost descriptors or stack. The
 * tree is the tenant's, but nobody runs in it now, and no step follows a link. The top folder comes last: its owner
 * tells whether all is done.
 */

#define RANGE 65536u

struct level { VEC(char *) folders; };

struct walk {
	const char *path;
	uint32_t from, to;
	dev_t device;
	VEC(struct level) levels;
	int fd;
};

static void level_clear(struct level *level)
{
	vec_each(&level->folders, name)
		free(*name);
	vec_clear(&level->folders);
}

static void walk_clear(struct walk *walk)
{
	vec_each(&walk->levels, level)
		level_clear(level);
	vec_clear(&walk->levels);
	cleanup_fd(&walk->fd);
}

static uint32_t shifted(const struct walk *walk, uint32_t id)
{
	return id >= walk->from && id - walk->from < RANGE ? id - walk->from + walk->to : id;
}

static int entry_shift(const struct walk *walk, int folder, const char *name, const struct stat *st, struct error *err)
{
	uint32_t uid = shifted(walk, st->st_uid), gid = shifted(walk, st->st_gid);

	if (uid == st->st_uid && gid == st->st_gid)
		return 0;
	if (fchownat(folder, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set_errno(err, errno, "cannot change the owner of %s in %s", name, walk->path);
	/* a change of owner takes these bits away */
	if (st->st_mode & (S_ISUID | S_ISGID) && S_ISREG(st->st_mode) && fchmodat(folder, name, st->st_mode & 07777, 0) < 0)
		return error_set_errno(err, errno, "cannot restore the mode of %s in %s", name, walk->path);
	return 0;
}

/* Shifts all entries of the folder that walk->fd is at, and notes its folders. */
static int folder_shift(struct walk *walk, struct level *level, struct error *err)
{
	int copy = openat(walk->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autodir DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (!dir)
		return error_set_errno(err, errno, "cannot read a folder in %s", walk->path);
	for (errno = 0; (e = readdir(dir)); errno = 0) {
		struct stat st;

		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		if (fstatat(walk->fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return error_set_errno(err, errno, "cannot look at %s in %s", e->d_name, walk->path);
		if (st.st_dev != walk->device)
			continue;
		if (entry_shift(walk, walk->fd, e->d_name, &st, err) < 0)
			return -1;
		if (S_ISDIR(st.st_mode))
			vec_push(&level->folders, xstrdup(e->d_name));
	}
	return errno ? error_set_errno(err, errno, "cannot read a folder in %s", walk->path) : 0;
}

static int walk_to(struct walk *walk, const char *name, struct error *err)
{
	int next = openat(walk->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (next < 0)
		return error_set_errno(err, errno, "cannot open a folder in %s", walk->path);
	close(walk->fd);
	walk->fd = next;
	return 0;
}

static int walk_all(struct walk *walk, struct error *err)
{
	if (folder_shift(walk, vec_add(&walk->levels), err) < 0)
		return -1;
	while (walk->levels.n) {
		struct level *level = &walk->levels.items[walk->levels.n - 1];

		if (level->folders.n) {
			autofree char *name = level->folders.items[--level->folders.n];

			if (walk_to(walk, name, err) < 0 || folder_shift(walk, vec_add(&walk->levels), err) < 0)
				return -1;
			continue;
		}
		level_clear(level);
		walk->levels.n--;
		if (walk->levels.n && walk_to(walk, "..", err) < 0)
			return -1;
	}
	return 0;
}

int tree_shift_owner(const char *path, uint32_t from, uint32_t to, struct error *err)
{
	struct walk walk CLEANUP(walk_clear) = { .path = path, .from = from, .to = to };
	struct stat st;

	walk.fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (walk.fd < 0 || fstat(walk.fd, &st) < 0)
		return error_set_errno(err, errno, "cannot open %s", path);
	walk.device = st.st_dev;
	if (walk_all(&walk, err) < 0)
		return -1;
	if (chown(path, shifted(&walk, st.st_uid), shifted(&walk, st.st_gid)) < 0)
		return error_set_errno(err, errno, "cannot change the owner of %s", path);
	return 0;
}
