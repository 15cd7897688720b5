/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/rng.h"
#include "data/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define APPLICATION 0x696e7375		/* "insu" */
#define DOCUMENT_MAX ((size_t)256 << 20)
#define RESERVE (1 << 20)		/* bytes; SQLite needs some 32 KiB even to read, and what a destroy writes is less than the rest */
#define RESERVE_LEAST (128 << 10)
#define JOURNAL_KEPT 10000		/* ended intents that are kept for the curious */

static const char *const migrations[] = {
	"CREATE TABLE document (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE applied (key TEXT PRIMARY KEY, id TEXT, resource TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE journal (id INTEGER PRIMARY KEY AUTOINCREMENT, verb INTEGER NOT NULL, key TEXT NOT NULL,"
	" resource TEXT NOT NULL, begun_ms INTEGER NOT NULL, ended_ms INTEGER, done INTEGER);"
	"CREATE INDEX journal_open ON journal (key) WHERE done IS NULL;"
	"CREATE TABLE key (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;",
	NULL
};

struct state {
	struct db *db;
	char *deployment, *dir;
	int lock;
};

static char *reserve_path(const struct state *state)
{
	return fs_join(state->dir, "reserve");
}

/* Room that is kept for the day the disk is full: then a destroy must still work, since it is what makes room. Without it nothing is worse. */
static void reserve_make(const struct state *state)
{
	autofree char *path = reserve_path(state);
	autofd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return;
	for (off_t size = RESERVE; size >= RESERVE_LEAST; size /= 2)
		if (fallocate(fd, 0, 0, size) == 0)
			return;
	unlink(path);
}

static int state_db_open(struct state *state, const char *path, struct error *err)
{
	const struct db_options options = { .application = APPLICATION, .migrations = migrations, .wait_ms = 10000 };
	autofree char *reserve = reserve_path(state);

	if (db_open(path, &options, &state->db, err) == 0)
		return 0;
	if (err->code == ERROR_CAPACITY && unlink(reserve) == 0 && db_open(path, &options, &state->db, err) == 0)
		return 0;
	if (err->code == ERROR_INPUT)
		error_hint(err, "move %s away: what lives is found and adopted again, with the decisions that its marks tell", path);
	if (err->code == ERROR_CAPACITY)
		error_hint(err, "make room on the file system of %s; nothing was changed", state->dir);
	if (err->sys_errno == EROFS)
		error_hint(err, "the state must be writable, even to be read: mount its file system so, or name another folder with --state-dir");
	return error_wrap(err, "state of deployment '%s'", state->deployment);
}

int state_open(const char *state_dir, const char *deployment, bool create, struct state **ret, struct error *err)
{
	autostate struct state *state = xcalloc(1, sizeof(*state));

	state->lock = -1;
	state->deployment = xstrdup(deployment);
	state->dir = fs_join(state_dir, deployment);
	autofree char *path = fs_join(state->dir, "state.db");
	if (create && fs_make_dirs(state->dir, 0700, err) < 0)
		return -1;
	if (!create && !fs_exists(path)) {
		error_set(err, ERROR_NOT_FOUND, "deployment '%s' has no state in %s", deployment, state_dir);
		return error_hint(err, "it was never applied here, or its state was lost; what lives is found without it");
	}
	if (state_db_open(state, path, err) < 0)
		return -1;
	*ret = steal(&state);
	return 0;
}

void state_close(struct state *state)
{
	if (!state)
		return;
	db_close(state->db);
	if (state->db)
		reserve_make(state);	/* after SQLite's own files have gone */
	cleanup_fd(&state->lock);
	free(state->deployment);
	free(state->dir);
	free(state);
}

void state_close_pp(struct state **state)
{
	state_close(*state);
	*state = NULL;
}

int state_lock(struct state *state, int64_t wait_ms, struct error *err)
{
	autofree char *path = fs_join(state->dir, "lock");

	if (state->lock >= 0)
		return 0;
	if (fs_lock(path, wait_ms, &state->lock, err) < 0)
		return error_wrap(err, "deployment '%s' is being changed", state->deployment);
	return db_run(state->db, "DELETE FROM journal WHERE done IS NOT NULL AND id <= (SELECT max(id) FROM journal) - ?",
		      DB_ARGS(db_int(JOURNAL_KEPT)), err);
}

/* JSON that we wrote ourselves: what is wrong with it is damage. */
static int parse_own(const struct state *state, const char *what, const char *text, json_t **ret, struct error *err)
{
	if (json_parse(what, text, strlen(text), DOCUMENT_MAX, ret, err) < 0) {
		error_hint(err, "move %s/state.db away: what lives is found and adopted again", state->dir);
		return error_wrap(err, "state of deployment '%s' is damaged", state->deployment);
	}
	return 0;
}

int state_document(struct state *state, const char *name, json_t **ret, struct error *err)
{
	autofree char *text = NULL;
	json_t *json = NULL;

	if (db_get_text(state->db, "SELECT value FROM document WHERE name = ?", DB_ARGS(db_text(name)), &text, err) < 0)
		return -1;
	if (text && parse_own(state, name, text, &json, err) < 0)
		return -1;
	*ret = json;
	return 0;
}

int state_set_document(struct state *state, const char *name, const json_t *value, struct error *err)
{
	autofree char *before = NULL;

	if (db_get_text(state->db, "SELECT value FROM document WHERE name = ?", DB_ARGS(db_text(name)), &before, err) < 0)
		return -1;
	if (!value || json_is_null(value)) {
		if (!before)
			return 0;
		return db_run(state->db, "DELETE FROM document WHERE name = ?", DB_ARGS(db_text(name)), err);
	}
	autofree char *text = json_canonical(value);
	if (before && streq(before, text))
		return 0;
	return db_run(state->db, "INSERT INTO document (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
		      DB_ARGS(db_text(name), db_text(text)), err);
}

int state_decisions(struct state *state, json_t **ret, struct error *err)
{
	json_t *decisions;

	if (state_document(state, "decisions", &decisions, err) < 0)
		return -1;
	*ret = decisions ? decisions : json_object();
	return 0;
}

int state_set_decisions(struct state *state, const json_t *decisions, struct error *err)
{
	return state_set_document(state, "decisions", decisions, err);
}

static int read_resource(const struct state *state, const char *text, struct resource **ret, struct error *err)
{
	autojson json_t *json = NULL;

	if (!text)
		text = "";
	if (parse_own(state, "resource", text, &json, err) < 0)
		return -1;
	return resource_from_json(json, ret, err);
}

int state_applied(struct state *state, struct resources *ret, struct error *err)
{
	autoresources struct resources resources = { 0 };
	autorows struct db_rows rows = { 0 };
	int more;

	if (db_query(state->db, "SELECT resource FROM applied ORDER BY key", DB_NONE, &rows, err) < 0)
		return -1;
	while ((more = db_next(&rows, err)) > 0) {
		struct resource *resource;

		if (read_resource(state, db_column_text(&rows, 0), &resource, err) < 0)
			return -1;
		resources_add(&resources, resource);
	}
	if (more < 0)
		return -1;
	*ret = resources;
	resources = (struct resources){ 0 };
	return 0;
}

static char *resource_text(const struct resource *resource)
{
	autojson json_t *json = resource_to_json(resource);

	return json_canonical(json);
}

int state_set_applied(struct state *state, const struct resource *resource, struct error *err)
{
	autofree char *text = resource_text(resource);

	return db_run(state->db, "INSERT INTO applied (key, id, resource) VALUES (?, ?, ?)"
		      " ON CONFLICT (key) DO UPDATE SET id = excluded.id, resource = excluded.resource",
		      DB_ARGS(db_text(resource->key), db_text(resource->id), db_text(text)), err);
}

int state_remove_applied(struct state *state, const char *key, struct error *err)
{
	return db_run(state->db, "DELETE FROM applied WHERE key = ?", DB_ARGS(db_text(key)), err);
}

int state_renew(struct state *state, const struct resource *const *set, size_t set_n, const char *const *forget, size_t forget_n,
		struct error *err)
{
	if (set_n + forget_n == 0)
		return 0;
	if (db_begin(state->db, err) < 0)
		return -1;
	for (size_t i = 0; i < set_n; i++)
		if (state_set_applied(state, set[i], err) < 0)
			goto fail;
	for (size_t i = 0; i < forget_n; i++)
		if (state_remove_applied(state, forget[i], err) < 0)
			goto fail;
	return db_commit(state->db, err);
fail:
	db_rollback(state->db);
	return -1;
}

static int begin_intent(struct state *state, struct journal_entry *entry, int64_t now, struct error *err)
{
	autofree char *text = resource_text(entry->resource);

	if (db_run(state->db, "INSERT INTO journal (verb, key, resource, begun_ms) VALUES (?, ?, ?, ?)",
		   DB_ARGS(db_int(entry->verb), db_text(entry->resource->key), db_text(text), db_int(now)), err) < 0)
		return -1;
	entry->id = db_last_id(state->db);
	return 0;
}

/* Older intents of these keys are closed first, then the new ones written: a replace has two of one key. */
static int begin_intents(struct state *state, struct journal_entry *entries, size_t n, struct error *err)
{
	int64_t now = clock_wall_ms(&clock_system);

	for (size_t i = 0; i < n; i++)
		if (db_run(state->db, "UPDATE journal SET done = 0, ended_ms = ? WHERE key = ? AND done IS NULL",
			   DB_ARGS(db_int(now), db_text(entries[i].resource->key)), err) < 0)
			return -1;
	for (size_t i = 0; i < n; i++)
		if (begin_intent(state, &entries[i], now, err) < 0)
			return -1;
	return 0;
}

int state_journal_begin(struct state *state, struct journal_entry *entries, size_t n, struct error *err)
{
	if (n == 0)
		return 0;
	if (db_begin(state->db, err) < 0)
		return -1;
	if (begin_intents(state, entries, n, err) < 0) {
		db_rollback(state->db);
		return -1;
	}
	return db_commit(state->db, err);
}

static int end_intent(struct state *state, const struct journal_entry *entry, bool done, int64_t now, struct error *err)
{
	if (db_run(state->db, "UPDATE journal SET done = ?, ended_ms = ? WHERE id = ?",
		   DB_ARGS(db_int(done), db_int(now), db_int(entry->id)), err) < 0)
		return -1;
	if (!done)
		return 0;
	if (entry->verb != JOURNAL_REMOVE)
		return state_set_applied(state, entry->resource, err);
	return db_run(state->db, "DELETE FROM applied WHERE key = ? AND (id IS NULL OR ?2 IS NULL OR id = ?2)",
		      DB_ARGS(db_text(entry->resource->key), db_text(entry->resource->id)), err);
}

int state_journal_end(struct state *state, const struct journal_entry *entries, const bool *done, size_t n, struct error *err)
{
	int64_t now = clock_wall_ms(&clock_system);

	if (n == 0)
		return 0;
	if (db_begin(state->db, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (end_intent(state, &entries[i], done[i], now, err) < 0) {
			db_rollback(state->db);
			return -1;
		}
	}
	return db_commit(state->db, err);
}

void journal_entries_clear(journal_entries *entries)
{
	vec_each(entries, entry)
		resource_free(entry->resource);
	vec_clear(entries);
}

int state_journal_open(struct state *state, journal_entries *ret, struct error *err)
{
	CLEANUP(journal_entries_clear) journal_entries entries = { 0 };
	autorows struct db_rows rows = { 0 };
	int more;

	if (db_query(state->db, "SELECT id, verb, resource FROM journal WHERE done IS NULL ORDER BY id", DB_NONE, &rows, err) < 0)
		return -1;
	while ((more = db_next(&rows, err)) > 0) {
		struct journal_entry entry = { .id = db_column_int(&rows, 0), .verb = (enum journal_verb)db_column_int(&rows, 1) };

		if (read_resource(state, db_column_text(&rows, 2), &entry.resource, err) < 0)
			return -1;
		vec_push(&entries, entry);
	}
	if (more < 0)
		return -1;
	*ret = entries;
	memset(&entries, 0, sizeof(entries));
	return 0;
}

int state_secret_key(struct state *state, uint8_t ret[static 32], struct error *err)
{
	autorows struct db_rows rows = { 0 };
	uint8_t fresh[32];
	size_t n;

	/* whoever is first decides; the others read what is there then */
	if (rng_secret(fresh, sizeof(fresh), err) < 0)
		return -1;
	if (db_run(state->db, "INSERT OR IGNORE INTO key (name, value) VALUES ('secrets', ?)", DB_ARGS(db_blob(fresh, sizeof(fresh))), err) < 0)
		return -1;
	if (db_query(state->db, "SELECT value FROM key WHERE name = 'secrets'", DB_NONE, &rows, err) < 0)
		return -1;
	if (db_next(&rows, err) < 0)
		return -1;
	const void *value = db_column_blob(&rows, 0, &n);
	if (!value || n != 32)
		return error_set(err, ERROR_INPUT, "state of deployment '%s' is damaged: its key has %zu bytes, not 32", state->deployment, n);
	memcpy(ret, value, 32);
	return 0;
}
