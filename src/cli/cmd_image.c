/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "base/clock.h"
#include "base/fs.h"
#include "plan/state.h"
#include "report/table.h"
#include "site/local/image/image.h"

#include <dirent.h>
#include <stdlib.h>

/*
 * The store is shared by all deployments, so what is in use is asked of all of them: the images of the instances that each has applied
 * or has begun to. Who removes is the one writer of every deployment meanwhile, for an apply under way may need what seems unused.
 */

#define LOCK_WAIT_MS 10000

struct usage {
	VEC(struct state *) states;	/* held: open, locked when anything is to be removed */
	VEC(char *) digests;		/* in use; NULL-ended */
	VEC(char *) users;		/* the deployment of each */
};

static void usage_clear(struct usage *usage)
{
	vec_each(&usage->digests, digest)
		free(*digest);
	vec_clear(&usage->digests);
	vec_each(&usage->users, user)
		free(*user);
	vec_clear(&usage->users);
	vec_each(&usage->states, state)
		state_close(*state);
	vec_clear(&usage->states);
}
#define autousage CLEANUP(usage_clear)

static void usage_add(struct usage *usage, const char *deployment, const struct resource *resource)
{
	const char *digest = json_get_string(resource->body, "image", NULL);

	if (!streq(resource->kind, "instance") || !digest)
		return;
	vec_push(&usage->digests, xstrdup(digest));
	vec_push(&usage->users, xstrdup(deployment));
}

static int usage_read_one(struct usage *usage, struct cli *cli, const char *name, bool lock, struct error *err)
{
	autoresources struct resources applied = { 0 };
	journal_entries begun CLEANUP(journal_entries_clear) = { 0 };
	struct state *state;

	if (state_open(cli->state_dir, name, false, &state, err) < 0)
		return -1;
	vec_push(&usage->states, state);
	if (lock && state_lock(state, LOCK_WAIT_MS, err) < 0)
		return -1;
	if (state_applied(state, &applied, err) < 0 || state_journal_open(state, &begun, err) < 0)
		return -1;
	for (size_t i = 0; i < applied.n; i++)
		usage_add(usage, name, applied.items[i]);
	vec_each(&begun, entry)
		usage_add(usage, name, entry->resource);
	return 0;
}

static int usage_read(struct usage *usage, struct cli *cli, bool lock, struct error *err)
{
	autodir DIR *dir = opendir(cli->state_dir);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		autofree char *db = xasprintf("%s/%s/state.db", cli->state_dir, e->d_name);

		if (e->d_name[0] == '.' || !fs_exists(db))
			continue;
		if (usage_read_one(usage, cli, e->d_name, lock, err) < 0)
			return error_wrap(err, "deployment %s", e->d_name);
	}
	vec_push(&usage->digests, NULL);
	return 0;
}

/* "lab, ci": the deployments that use it; "-" for none; caller frees */
static char *usage_text(const struct usage *usage, const char *digest)
{
	autobuf struct buf text = { 0 };
	const char *last = NULL;

	for (size_t i = 0; i < usage->users.n; i++) {
		if (!streq(usage->digests.items[i], digest) || str_equal(last, usage->users.items[i]))
			continue;
		buf_addf(&text, "%s%s", text.n ? ", " : "", usage->users.items[i]);
		last = usage->users.items[i];
	}
	if (!text.n)
		buf_adds(&text, "-");
	return buf_steal(&text);
}

/* The limit that the last applied Site sets, or the one that every Site has without saying so. */
static int64_t store_limit(struct cli *cli)
{
	struct site_intent standard;
	autofree char *name = NULL;
	autostate struct state *state = NULL;
	autojson json_t *files = NULL;
	struct intent intent;
	struct error ignored;	/* which of several deployments would be asked does not matter enough to insist */
	int64_t limit;

	site_intent_default(&standard, "local");
	limit = standard.image_store_limit;
	if (session_name(cli, &name, &ignored) < 0 || state_open(cli->state_dir, name, false, &state, &ignored) < 0 ||
	    state_document(state, "files", &files, &ignored) < 0 || !files)
		return limit;
	if (intent_from_files(files, &intent, &ignored) == 0)
		limit = intent.site.image_store_limit;
	intent_clear(&intent);
	return limit;
}

static void store_close(struct image_store **store)
{
	image_store_close(*store);
}
#define autostore CLEANUP(store_close)

static int store_open(struct cli *cli, struct image_store **ret, struct error *err)
{
	autofree char *dir = fs_join(cli->state_dir, "images");

	return image_store_open(dir, store_limit(cli), ret, err);
}

/* ---- import ---- */

struct telling { struct cli *cli; bool line; char *last; };

static void import_tell(void *arg, const char *text, int64_t done, int64_t total)
{
	struct telling *telling = arg;
	char now[32], all[32];

	if (telling->cli->quiet || telling->cli->json)
		return;
	if (telling->cli->live) {
		output_bytes(done, now);
		output_bytes(total, all);
		fprintf(stderr, total ? "\r\033[K%s: %s of %s" : "\r\033[K%s", text, now, all);
		telling->line = true;
	} else if (!str_equal(telling->last, text)) {
		fprintf(stderr, "%s\n", text);
		cleanup_free(&telling->last);
		telling->last = xstrdup(text);
	}
}

static void image_print(const struct cli *cli, const struct image *image)
{
	char size[32];

	if (cli->json) {
		output_json("image", json_pack("{s:s?, s:s, s:I, s:I, s:I, s:I}", "name", image->name, "digest", image->digest, "size", (json_int_t)image->size,
					       "layers", (json_int_t)image->layer_n, "created_ms", (json_int_t)image->created_ms, "used_ms", (json_int_t)image->used_ms));
		return;
	}
	output_bytes(image->size, size);
	printf("%s  %s, %zu layer%s%s%s\n", image->digest, size, image->layer_n, image->layer_n == 1 ? "" : "s", image->name ? ", named " : "",
	       image->name ? image->name : "");
}

static int import_run(struct cli *cli, struct image_store *store)
{
	const char *reference = cli->operands[1], *name = cli_value(cli, "name");
	struct telling telling = { .cli = cli };
	autoimage struct image image = { 0 };
	struct error err;
	int r;

	if (cli->operand_n != 2) {
		error_set(&err, ERROR_INPUT, "import takes one reference");
		error_hint(&err, "insula image import docker://HOST/NAME:TAG, oci:FOLDER, docker-archive:FILE or rootfs:PATH, with --name NAME");
		return output_error(cli, &err);
	}
	r = image_import(store, reference, name, import_tell, &telling, &image, &err);
	if (telling.line)
		fprintf(stderr, "\r\033[K");
	cleanup_free(&telling.last);
	if (r < 0)
		return output_error(cli, &err);
	image_print(cli, &image);
	return 0;
}

/* ---- list ---- */

struct listing { struct cli *cli; struct usage usage; struct table *table; int64_t now_ms; size_t n; };

static int list_one(void *arg, const struct image *image)
{
	struct listing *listing = arg;
	autofree char *users = usage_text(&listing->usage, image->digest), *layers = NULL;
	char size[32], age[32], digest[24];

	listing->n++;
	if (listing->cli->json) {
		output_json("image", json_pack("{s:s?, s:s, s:I, s:I, s:I, s:I, s:s}", "name", image->name, "digest", image->digest, "size", (json_int_t)image->size,
					       "layers", (json_int_t)image->layer_n, "created_ms", (json_int_t)image->created_ms, "used_ms", (json_int_t)image->used_ms,
					       "used_by", users));
		return 0;
	}
	snprintf(digest, sizeof(digest), "%.19s", image->digest);
	layers = xasprintf("%zu", image->layer_n);
	output_bytes(image->size, size);
	output_age(MAX(0, listing->now_ms - image->used_ms), age);
	table_row(listing->table, (const char *const[]){ image->name ? image->name : "-", digest, size, layers, age, users, NULL });
	return 0;
}

static int list_run(struct cli *cli, struct image_store *store)
{
	struct listing listing = { .cli = cli, .now_ms = clock_wall_ms(&clock_system) };
	struct error err;
	int r;

	listing.table = table_new((const char *const[]){ "NAME", "DIGEST", "SIZE", "LAYERS", "LAST USED", "USED BY", NULL });
	table_align_right(listing.table, 2);
	table_align_right(listing.table, 3);
	r = usage_read(&listing.usage, cli, false, &err);
	if (r == 0)
		r = image_list(store, list_one, &listing, &err);
	if (r == 0 && !cli->json && listing.n)
		table_print(listing.table, stdout);
	if (r == 0 && !listing.n)
		output_summary(cli, "no images; bring one with: insula image import oci:FOLDER --name NAME");
	table_free(listing.table);
	usage_clear(&listing.usage);
	return r < 0 ? output_error(cli, &err) : 0;
}

/* ---- prune and remove ---- */

static int pruned_print(void *arg, const char *what, int64_t size)
{
	const struct cli *cli = arg;
	char text[32];

	if (cli->json) {
		output_json("removed", json_pack("{s:s, s:I}", "what", what, "size", (json_int_t)size));
	} else if (!cli->quiet) {
		output_bytes(size, text);
		printf("%s  %s\n", what, text);
	}
	return 0;
}

static int prune_run(struct cli *cli, struct image_store *store)
{
	bool dry = cli_flag(cli, "dry-run");
	autousage struct usage usage = { 0 };
	struct error err;
	int64_t freed;
	char text[32];

	if (usage_read(&usage, cli, !dry, &err) < 0 ||
	    image_prune(store, (const char *const *)usage.digests.items, cli_flag(cli, "all"), dry, &freed, pruned_print, cli, &err) < 0)
		return output_error(cli, &err);
	output_bytes(freed, text);
	output_summary(cli, "%s %s", dry ? "this would free" : "freed", text);
	return 0;
}

/* Everything but what is being removed counts as used, so that this prune takes nothing else. */
struct keeping { struct usage *usage; const char *digest; };

static int keep_one(void *arg, const struct image *image)
{
	struct keeping *keeping = arg;

	if (!streq(image->digest, keeping->digest))
		vec_push(&keeping->usage->digests, xstrdup(image->digest));
	return 0;
}

static int remove_one(struct cli *cli, struct image_store *store, struct usage *usage, const char *operand, struct error *err)
{
	autofree char *digest = NULL, *users = NULL;
	struct keeping keeping = { usage };
	size_t used = usage->digests.n - 1;	/* before the NULL */
	int64_t freed;
	char text[32];
	int r;

	if (image_resolve(store, operand, &digest, err) < 0 || image_remove(store, operand, err) < 0)
		return -1;
	users = usage_text(usage, digest);
	usage->digests.n = used;
	keeping.digest = digest;
	r = image_list(store, keep_one, &keeping, err);
	vec_push(&usage->digests, NULL);
	if (r == 0)
		r = image_prune(store, (const char *const *)usage->digests.items, false, false, &freed, pruned_print, cli, err);
	while (usage->digests.n > used)
		free(usage->digests.items[--usage->digests.n]);
	vec_push(&usage->digests, NULL);
	if (r < 0)
		return -1;
	output_bytes(freed, text);
	if (streq(users, "-"))
		output_summary(cli, "%s: freed %s", operand, text);
	else
		output_summary(cli, "%s: the name is gone; the image stays, for it is used by %s", operand, users);
	return 0;
}

static int remove_run(struct cli *cli, struct image_store *store)
{
	autousage struct usage usage = { 0 };
	struct error err;

	if (cli->operand_n < 2) {
		error_set(&err, ERROR_INPUT, "remove takes the names or digests of images");
		error_hint(&err, "insula image list shows them");
		return output_error(cli, &err);
	}
	if (usage_read(&usage, cli, true, &err) < 0)
		return output_error(cli, &err);
	for (int i = 1; i < cli->operand_n; i++)
		if (remove_one(cli, store, &usage, cli->operands[i], &err) < 0)
			return output_error(cli, &err);
	return 0;
}

static const struct verb { const char *name; int (*run)(struct cli *cli, struct image_store *store); } verbs[] = {
	{ "import", import_run }, { "list", list_run }, { "prune", prune_run }, { "remove", remove_run },
};

static int verb_unknown(struct cli *cli)
{
	static const char *const names[] = { "import", "list", "prune", "remove", NULL };
	const char *near = nearest_word(cli->operands[0], names);
	struct error err;

	error_set(&err, ERROR_INPUT, "there is no 'insula image %s'%s%s%s", cli->operands[0], near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	error_hint(&err, "import, list, prune or remove");
	return output_error(cli, &err);
}

static int image_run(struct cli *cli)
{
	autostore struct image_store *store = NULL;
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (!streq(verbs[i].name, cli->operands[0]))
			continue;
		if (store_open(cli, &store, &err) < 0)
			return output_error(cli, &err);
		return verbs[i].run(cli, store);
	}
	return verb_unknown(cli);
}

static const struct option options[] = {
	{ "name", 'n', "NAME", "import: keep it under this name, so that a file can say image: NAME" },
	{ "all", 'a', NULL, "prune: also what has a name, where no deployment uses it" },
	{ "dry-run", 0, NULL, "prune: only say what would go" },
	{ NULL, 0, NULL, NULL },
};

const struct command command_image = {
	.name = "image",
	.operands = "import REFERENCE | list | prune | remove NAME...",
	.summary = "bring images into the store, show and remove them",
	.description = "import unpacks an image and keeps it: oci:PATH[:TAG] (OCI image layout, a folder or a tar), docker-archive:PATH[:NAME] (what\n"
		       "docker save writes), rootfs:PATH (a root filesystem, a folder or a tar, packed or not), docker://HOST/NAME[:TAG][@sha256:DIGEST]\n"
		       "(fetched from a registry, with the credentials of ~/.docker/config.json; interrupted, it goes on where it was).\n"
		       "Everything in it is checked: sizes, digests, and that no member leads out of the root; owners beyond 65535, device nodes and broken archives are refused.\n"
		       "\n"
		       "list shows what is there and which deployments use it.\n"
		       "\n"
		       "prune removes what no deployment uses: images without a name, layers of no image and what crashes left. With --all also\n"
		       "images that have a name.\n"
		       "\n"
		       "remove takes a name away, and the image with it when nothing uses it.",
	.options = options,
	.examples = "  insula image import oci:./trainer:v1 --name trainer\n  insula image import rootfs:./rootfs.tar.zst --name base\n  insula image prune --dry-run\n",
	.exits = "0 done\n1 error\n4 the image or its name is wrong\n5 not permitted\n6 the store or its disk is full\n",
	.flags = COMMAND_ROOT,
	.min_operands = 1,
	.max_operands = -1,
	.run = image_run,
};
