/* SPDX-License-Identifier: Apache-2.0 */
#include "image_parts.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/rng.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * How it works: everything that counts appears by one rename of what is whole and on the disk: a layer's folder, a record, a name. So
 * a crash leaves only things with temporary names. An import looks, whenever it is alone in the store, for such leftovers
 * of others and removes them; nobody else may, since they might be somebody's work.
 *
 * Two imports of one layer meet at its lock: the second finds it made. The store's limit is judged when a layer becomes
 * complete, under one short lock, so that two imports together cannot exceed it by what is complete; what is being unpacked is bounded
 * by what was free when it began.
 */

#define FOLDER_NAMES_MAX 100000
#define LOCK_POLL_MS 20

static const char *const folders[] = { "images", "layers", "names", "cache", "locks", "pull" };

static void store_free(struct image_store *store)
{
	free(store->dir);
	free(store);
}

int image_store_open(const char *dir, int64_t limit, struct image_store **ret, struct error *err)
{
	struct image_store *store;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		autofree char *path = fs_join(dir, folders[i]);

		if (fs_make_dirs(path, 0755, err) < 0)
			return error_wrap(err, "image store");
	}
	/* what an image brings, setuid programs among it, is nobody's but root's to reach */
	if (chmod(dir, 0700) < 0)
		return error_set_errno(err, errno, "cannot close image store %s to others", dir);
	store = xcalloc(1, sizeof(*store));
	store->dir = xstrdup(dir);
	store->limit = limit;
	*ret = store;
	return 0;
}

void image_store_close(struct image_store *store)
{
	if (store)
		store_free(store);
}

char *store_path(const struct image_store *store, const char *folder, const char *name)
{
	return name ? xasprintf("%s/%s/%s", store->dir, folder, name) : fs_join(store->dir, folder);
}

static int lock_open(struct image_store *store, int *ret, struct error *err)
{
	autofree char *path = fs_join(store->dir, "lock");

	*ret = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return *ret < 0 ? error_set_errno(err, errno, "cannot open lock %s", path) : 0;
}

int store_lock_alone(struct image_store *store, int64_t wait_ms, int *ret_fd, struct error *err)
{
	int64_t end = clock_monotonic_ns(&clock_system) / 1000000 + wait_ms;
	autofd int fd = -1;

	if (lock_open(store, &fd, err) < 0)
		return -1;
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return error_set_errno(err, errno, "cannot lock image store %s", store->dir);
		if (clock_monotonic_ns(&clock_system) / 1000000 >= end) {
			error_set(err, ERROR_CONFLICT, "image store %s is in use: an image is being imported", store->dir);
			err->retryable = true;
			return error_hint(err, "try again when it is done");
		}
		clock_sleep_ms(&clock_system, LOCK_POLL_MS);
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

int store_lock_shared(struct image_store *store, int *ret_fd, struct error *err)
{
	autofd int fd = -1;

	if (lock_open(store, &fd, err) < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && store_sweep(store, err) < 0)
		return -1;
	while (flock(fd, LOCK_SH) < 0)
		if (errno != EINTR)
			return error_set_errno(err, errno, "cannot lock image store %s", store->dir);
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int name_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int folder_names(const char *path, const char *suffix, char ***ret, size_t *ret_n, struct error *err)
{
	autodir DIR *dir = opendir(path);
	VEC(char *) names = { 0 };
	struct dirent *e;

	if (!dir)
		return error_set_errno(err, errno, "cannot read folder %s", path);
	for (errno = 0; (e = readdir(dir)) && names.n < FOLDER_NAMES_MAX; errno = 0)
		if (!streq(e->d_name, ".") && !streq(e->d_name, "..") && ends_with(e->d_name, suffix))
			vec_push(&names, xstrdup(e->d_name));
	if (errno || e) {
		int errnum = errno ? errno : EOVERFLOW;

		vec_each(&names, name)
			free(*name);
		vec_clear(&names);
		return error_set_errno(err, errnum, "cannot read folder %s", path);
	}
	if (names.n)
		qsort(names.items, names.n, sizeof(*names.items), name_order);
	*ret = names.items;
	*ret_n = names.n;
	return 0;
}

int store_folder(struct image_store *store, const char *folder, const char *suffix, int (*each)(void *arg, const char *name, struct error *err),
		 void *arg, struct error *err)
{
	autofree char *path = fs_join(store->dir, folder);
	char **names = NULL;
	size_t n = 0;
	int r = 0;

	if (folder_names(path, suffix, &names, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (r == 0)
			r = each(arg, names[i], err);
		free(names[i]);
	}
	free(names);
	return r;
}

/* ---- layers ---- */

bool store_layer_exists(struct image_store *store, const char *name)
{
	autofree char *path = store_path(store, "layers", name);

	return fs_exists(path);
}

int store_layer_read(struct image_store *store, const char *name, struct store_layer *ret, struct error *err)
{
	autofree char *file = xasprintf("%s.json", name);
	autofree char *path = store_path(store, "layers", file);
	autojson json_t *json = NULL;

	if (json_read_file(path, 65536, &json, err) < 0)
		return -1;
	*ret = (struct store_layer){
		.bytes = MAX(0, json_get_int(json, "bytes", 0)),
		.entries = json_get_int(json, "entries", 0),
		.skipped = json_get_int(json, "skipped", 0),
		.opaque_root = json_get_bool(json, "opaqueRoot", false),
	};
	return 0;
}

struct total { struct image_store *store; int64_t bytes; };

static int total_one(void *arg, const char *name, struct error *err)
{
	struct total *total = arg;
	autofree char *layer = xstrndup(name, strlen(name) - strlen(".json"));
	struct store_layer facts;

	if (starts_with(name, ".insula-") || !store_layer_exists(total->store, layer))
		return 0;
	if (store_layer_read(total->store, layer, &facts, err) < 0)
		return -1;
	total->bytes += facts.bytes;
	return 0;
}

int store_bytes(struct image_store *store, int64_t *ret, struct error *err)
{
	autofree char *pull = store_path(store, "pull", NULL);
	struct total total = { .store = store };

	if (store_folder(store, "layers", ".json", total_one, &total, err) < 0)
		return -1;
	*ret = total.bytes + store_tree_bytes(pull);
	return 0;
}

/* Explains why there is no room, and what would make some. */
static int capacity_explain(struct image_store *store, struct error *err)
{
	int64_t used = 0, freed = 0;
	struct error ignored;

	if (err->code != ERROR_CAPACITY)
		return -1;
	if (store_bytes(store, &used, &ignored) < 0 || store_prune_count(store, &freed, &ignored) < 0)
		return -1;
	if (store->limit)
		error_hint(err, "the image store holds %" PRId64 " MiB of at most %" PRId64 " MiB; 'insula image prune' frees up to %" PRId64 " MiB; the limit is the Site's imageStore.limit",
			   used >> 20, store->limit >> 20, freed >> 20);
	else
		error_hint(err, "the image store holds %" PRId64 " MiB and its disk is full; 'insula image prune' frees up to %" PRId64 " MiB", used >> 20, freed >> 20);
	return -1;
}

static int layer_facts_write(struct image_store *store, const char *name, const struct store_layer *facts, struct error *err)
{
	autofree char *file = xasprintf("%s.json", name);
	autofree char *path = store_path(store, "layers", file);
	autojson json_t *json = json_object();
	autofree char *text = NULL;

	json_set_int(json, "bytes", facts->bytes);
	json_set_int(json, "entries", facts->entries);
	json_set_int(json, "skipped", facts->skipped);
	json_set_bool(json, "opaqueRoot", facts->opaque_root);
	text = json_canonical(json);
	return fs_replace_file(path, text, strlen(text), 0600, true, err);
}

/* What was unpacked in `temporary` becomes the layer. */
static int layer_commit(struct image_store *store, const char *name, const char *temporary, int root, const struct store_layer *facts, struct error *err)
{
	autofree char *layers = store_path(store, "layers", NULL);
	autofree char *path = store_path(store, "layers", name);
	autofree char *lock = store_path(store, "locks", "commit");
	autofd int held = -1, folder = open(layers, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int64_t used;

	if (folder < 0)
		return error_set_errno(err, errno, "cannot open %s", layers);
	if (syncfs(root) < 0)
		return error_set_errno(err, errno, "cannot bring the layer to the disk");
	if (fs_lock(lock, -1, &held, err) < 0 || store_bytes(store, &used, err) < 0)
		return -1;
	if (store->limit && facts->bytes > store->limit - used)
		return error_set(err, ERROR_CAPACITY, "the layer of %" PRId64 " bytes does not fit into the image store", facts->bytes);
	if (layer_facts_write(store, name, facts, err) < 0)
		return -1;
	if (rename(temporary, path) < 0 || fsync(folder) < 0)
		return error_set_errno(err, errno, "cannot complete layer %s", path);
	return 0;
}

static int layer_fill(struct image_store *store, const char *name, const char *temporary, store_fill fill, void *arg, struct error *err)
{
	struct layer_limits limits = { LAYER_ENTRIES_MAX, -1 };
	struct store_layer facts = { 0 };
	autofd int root = -1;
	int64_t used;

	if (store->limit) {
		if (store_bytes(store, &used, err) < 0)
			return -1;
		limits.bytes = MAX(0, store->limit - used);
	}
	if (mkdir(temporary, 0700) < 0 || (root = open(temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return error_set_errno(err, errno, "cannot make folder %s", temporary);
	if (fill(arg, root, &limits, &facts, err) < 0)
		return -1;
	return layer_commit(store, name, temporary, root, &facts, err);
}

int store_layer_make(struct image_store *store, const char *name, store_fill fill, void *arg, bool *ret_made, struct error *err)
{
	autofree char *lock_name = xasprintf("%s.lock", name);
	autofree char *lock = store_path(store, "locks", lock_name);
	autofree char *temporary_name = NULL, *temporary = NULL;
	struct error ignored;
	autofd int held = -1;
	uint64_t random;

	if (ret_made)
		*ret_made = false;
	if (fs_lock(lock, -1, &held, err) < 0)
		return -1;
	if (store_layer_exists(store, name))
		return 0;
	if (rng_secret(&random, sizeof(random), err) < 0)
		return -1;
	temporary_name = xasprintf("tmp-%d-%016" PRIx64, (int)getpid(), random);
	temporary = store_path(store, "layers", temporary_name);
	if (layer_fill(store, name, temporary, fill, arg, err) < 0) {
		if (fs_remove_tree(temporary, &ignored) < 0)
			return -1;
		return capacity_explain(store, err);
	}
	if (ret_made)
		*ret_made = true;
	return 0;
}
