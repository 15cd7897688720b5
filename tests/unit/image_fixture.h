/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_TESTS_IMAGE_FIXTURE_H
#define INSULA_TESTS_IMAGE_FIXTURE_H

/* A store of its own for each test of it. */

#include "image_builder.h"

#include "site/local/image/image.h"
#include "site/local/image/image_oci.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

struct fixture {
	char *dir, *store_dir;
	struct image_store *store;
	char architecture[32];
};

static inline void store_reopen(struct fixture *f, int64_t limit)
{
	struct error err = { 0 };

	image_store_close(f->store);
	f->store = NULL;
	assert_ok(image_store_open(f->store_dir, limit, &f->store, &err));
}

static inline int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->dir = temp_dir_make();
	f->store_dir = fs_join(f->dir, "store");
	image_architecture(f->architecture);
	store_reopen(f, 0);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	image_store_close(f->store);
	temp_dir_remove(f->dir);
	free(f->store_dir);
	free(f);
	return 0;
}

static inline size_t count(const char *dir, const char *folder)
{
	autofree char *path = fs_join(dir, folder);
	autodir DIR *d = opendir(path);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	return n - 2;
}

static inline void assert_nothing_left(struct fixture *f)
{
	assert_int_equal(count(f->store_dir, "images"), 0);
	assert_int_equal(count(f->store_dir, "layers"), 0);
	assert_int_equal(count(f->store_dir, "names"), 0);
	assert_int_equal(count(f->store_dir, "cache"), 0);
	assert_int_equal(count(f->store_dir, "locks"), 0);
}

static inline void prune_all(struct fixture *f)
{
	struct error err = { 0 };
	int64_t freed;

	assert_ok(image_prune(f->store, NULL, true, false, &freed, NULL, NULL, &err));
	assert_nothing_left(f);
}

static inline char *rootfs_make(struct fixture *f, const char *name)
{
	char *top = fs_join(f->dir, name);
	autofree char *bin = fs_join(top, "bin"), *link = fs_join(top, "sh"), *hard = fs_join(top, "bin/b"), *file = fs_join(top, "bin/a");

	file_write(bin, "a", "program", 7);
	assert_int_equal(chown(file, 3, 4), 0);
	assert_int_equal(chmod(file, 04711), 0);
	assert_int_equal(symlink("/bin/a", link), 0);
	assert_int_equal(linkat(AT_FDCWD, file, AT_FDCWD, hard, 0), 0);
	return top;
}

#endif
