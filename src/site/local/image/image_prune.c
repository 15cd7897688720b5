/* SPDX-License-Identifier: Apache-2.0 */
#include "image_parts.h"

#include "base/fs.h"
#include "base/map.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * How it works: whoever prunes is alone in the store, so nothing that is half done is anybody's work. Images are judged first and
 * their layers marked, then all unmarked layers go: records before layers, and a layer is renamed before it is taken apart, so that
 * a crash at any moment leaves no record without its layers and no layer that only seems whole.
 */

#define WAIT_MS 10000

enum mark { MARK_KEPT = 1, MARK_USED = 2 };	/* as pointers in `layers`; a used image keeps shifted copies too */

struct prune {
	struct image_store *store;
	const char *const *used;
	bool all, dry_run, alone;
	int (*each)(void *arg, const char *what, int64_t size);
	void *arg;
	struct map named;		/* hex (owned) to name (owned), the first of them */
	struct map layers;		/* diff id (owned) to a mark */
	int64_t freed;
};

/* Bytes on disk of a tree of any kind. */
int64_t store_tree_bytes(const char *path)
{
	char *paths[] = { (char *)path, NULL };
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	int64_t bytes = 0;
	FTSENT *e;

	if (!fts)
		return 0;
	while ((e = fts_read(fts)))
		if (e->fts_info != FTS_DP && e->fts_info != FTS_ERR && e->fts_info != FTS_NS && e->fts_info != FTS_DNR)
			bytes += (int64_t)e->fts_statp->st_blocks * 512;
	fts_close(fts);
	return bytes;
}

static bool is_leftover(const char *name)
{
	return starts_with(name, "tmp-") || starts_with(name, ".insula-");
}

static int tell(struct prune *prune, const char *kind, const char *name, int64_t bytes)
{
	autofree char *what = xasprintf("%s %s", kind, name);

	prune->freed += bytes;
	return prune->each ? prune->each(prune->arg, what, bytes) : 0;
}

static bool is_used(const struct prune *prune, const char *hex)
{
	for (const char *const *used = prune->used; used && *used; used++)
		if (starts_with(*used, "sha256:") && streq(*used + strlen("sha256:"), hex))
			return true;
	return false;
}

static int name_note(void *arg, const char *name, const char *hex, struct error *err)
{
	struct prune *prune = arg;

	if (!map_has(&prune->named, hex))
		map_set(&prune->named, xstrdup(hex), xstrdup(name));
	return 0;
}

static int names_remove(void *arg, const char *name, const char *hex, struct error *err)
{
	struct prune *prune = arg;

	/* a name without its image is of no use either */
	return store_record_exists(prune->store, hex) && !(prune->all && !is_used(prune, hex)) ? 0 : store_name_remove(prune->store, name, err);
}

static void layers_mark(struct prune *prune, const struct image_documents *documents, enum mark mark)
{
	vec_each(&documents->layers, layer) {
		enum mark before = (enum mark)(uintptr_t)map_get(&prune->layers, layer->diff_id);

		if (!before)
			map_set(&prune->layers, xstrdup(layer->diff_id), (void *)(uintptr_t)mark);
		else if (mark > before)
			map_set(&prune->layers, layer->diff_id, (void *)(uintptr_t)mark);
	}
}

static int record_judge(void *arg, const char *hex, struct error *err)
{
	struct prune *prune = arg;
	const char *name = map_get(&prune->named, hex);
	autodocuments struct image_documents documents = { 0 };
	autofree char *path = NULL;
	int r;

	if (is_used(prune, hex) || (name && !prune->all)) {
		if (store_record_read(prune->store, hex, &documents, NULL, err) < 0)
			return -1;
		layers_mark(prune, &documents, is_used(prune, hex) ? MARK_USED : MARK_KEPT);
		return 0;
	}
	path = xasprintf("%s/images/%s.json", prune->store->dir, hex);
	r = tell(prune, "image", name ? name : hex, store_tree_bytes(path));
	if (r || prune->dry_run)
		return r;
	return unlink(path) < 0 && errno != ENOENT ? error_set_errno(err, errno, "cannot remove %s", path) : 0;
}

static int layer_remove(struct image_store *store, const char *name, struct error *err)
{
	autofree char *path = store_path(store, "layers", name);
	autofree char *temporary = xasprintf("%s/layers/tmp-%s", store->dir, name);
	autofree char *facts = xasprintf("%s.json", path);

	if (rename(path, temporary) < 0)
		return error_set_errno(err, errno, "cannot remove %s", path);
	if (unlink(facts) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "cannot remove %s", facts);
	return fs_remove_tree(temporary, err);
}

static int leftover_remove(struct prune *prune, const char *folder, const char *name, struct error *err)
{
	autofree char *path = store_path(prune->store, folder, name);
	int r = tell(prune, "leftover", name, store_tree_bytes(path));

	return r || prune->dry_run ? r : fs_remove_tree(path, err);
}

static int layer_judge(void *arg, const char *name, struct error *err)
{
	struct prune *prune = arg;
	autofree char *diff_id = xstrndup(name, strcspn(name, "@."));
	uintptr_t mark = (uintptr_t)map_get(&prune->layers, diff_id);
	struct store_layer facts = { 0 };
	struct error ignored;
	int r;

	if (is_leftover(name))
		return prune->alone ? leftover_remove(prune, "layers", name, err) : 0;
	if (ends_with(name, ".json")) {
		autofree char *layer = xstrndup(name, strlen(name) - strlen(".json")), *path = store_path(prune->store, "layers", name);

		/* of a layer that was never completed; one that was removed just now took its file along */
		return prune->alone && fs_exists(path) && !store_layer_exists(prune->store, layer) ? leftover_remove(prune, "layers", name, err) : 0;
	}
	if (mark == MARK_USED || (mark && !strchr(name, '@')))
		return 0;
	if (store_layer_read(prune->store, name, &facts, &ignored) < 0)
		facts.bytes = 0;
	r = tell(prune, "layer", name, facts.bytes);
	return r || prune->dry_run ? r : layer_remove(prune->store, name, err);
}

static int leftover_judge(void *arg, const char *name, struct error *err)
{
	return is_leftover(name) ? leftover_remove(arg, "images", name, err) : 0;
}

/* Nobody pulls while one is alone. */
static int pull_judge(void *arg, const char *name, struct error *err)
{
	return leftover_remove(arg, "pull", name, err);
}

static int name_leftover_judge(void *arg, const char *name, struct error *err)
{
	return is_leftover(name) ? leftover_remove(arg, "names", name, err) : 0;
}

struct emptying { struct image_store *store; const char *folder; };

static int file_remove(void *arg, const char *name, struct error *err)
{
	struct emptying *emptying = arg;
	autofree char *path = store_path(emptying->store, emptying->folder, name);

	return unlink(path) < 0 && errno != ENOENT ? error_set_errno(err, errno, "cannot remove %s", path) : 0;
}

/* Digests are found again, and locks are nobody's when one is alone. */
static int small_things_remove(struct image_store *store, struct error *err)
{
	struct emptying cache = { store, "cache" }, locks = { store, "locks" };

	return store_folder(store, "cache", "", file_remove, &cache, err) < 0 || store_folder(store, "locks", "", file_remove, &locks, err) < 0 ? -1 : 0;
}

static int prune_run(struct prune *prune, struct error *err)
{
	struct image_store *store = prune->store;
	int r = store_names(store, name_note, prune, err);

	if (r == 0 && !prune->dry_run)
		r = store_names(store, names_remove, prune, err);
	if (r == 0)
		r = store_records(store, record_judge, prune, err);
	if (r == 0)
		r = store_folder(store, "layers", "", layer_judge, prune, err);
	if (r == 0 && prune->alone)
		r = store_folder(store, "images", "", leftover_judge, prune, err);
	if (r == 0 && prune->alone)
		r = store_folder(store, "names", "", name_leftover_judge, prune, err);
	if (r == 0 && prune->alone)
		r = store_folder(store, "pull", "", pull_judge, prune, err);
	if (r == 0 && prune->alone && !prune->dry_run)
		r = small_things_remove(store, err);
	map_each(&prune->named, e) {
		free((char *)e->key);
		free(e->value);
	}
	map_clear(&prune->named);
	map_each(&prune->layers, e)
		free((char *)e->key);
	map_clear(&prune->layers);
	return r;
}

int image_prune(struct image_store *store, const char *const *used, bool all, bool dry_run, int64_t *ret_freed, int (*each)(void *arg, const char *what, int64_t size),
		void *arg, struct error *err)
{
	struct prune prune = { .store = store, .used = used, .all = all, .dry_run = dry_run, .alone = true, .each = each, .arg = arg };
	autofd int lock = -1;
	int r;

	if (store_lock_alone(store, WAIT_MS, &lock, err) < 0)
		return -1;
	r = prune_run(&prune, err);
	if (r == 0)
		*ret_freed = prune.freed;
	return r;
}

int store_prune_count(struct image_store *store, int64_t *ret, struct error *err)
{
	struct prune prune = { .store = store, .dry_run = true };

	if (prune_run(&prune, err) < 0)
		return -1;
	*ret = prune.freed;
	return 0;
}

/* ---- leftovers, as every import looks for them ---- */

static int sweep_layer(void *arg, const char *name, struct error *err)
{
	struct emptying *emptying = arg;
	autofree char *path = NULL;

	if (!is_leftover(name))
		return 0;
	path = store_path(emptying->store, emptying->folder, name);
	return fs_remove_tree(path, err);
}

int store_sweep(struct image_store *store, struct error *err)
{
	static const char *const folders[] = { "images", "layers", "names", "cache" };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		struct emptying emptying = { store, folders[i] };

		if (store_folder(store, folders[i], "", sweep_layer, &emptying, err) < 0)
			return -1;
	}
	return 0;
}
