/* SPDX-License-Identifier: Apache-2.0 */
#include "db.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WAIT_MS 5000
#define VALUE_MAX (64 << 20)	/* bytes of one text, blob or row */

struct db {
	sqlite3 *handle;
	char *path;
	int64_t wait_ms;
};

/* The mark of a retryable lack and of what the user can do about it. */
static int db_fail(struct db *db, int code, const char *what, struct error *err)
{
	const char *why = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code);
	int errnum = db->handle ? sqlite3_system_errno(db->handle) : 0;

	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		error_set(err, ERROR_CONFLICT, "%s: cannot %s: another process is writing to it", db->path, what);
		err->retryable = true;
		return -1;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		error_set(err, ERROR_INPUT, "%s: cannot %s: the file is damaged or no SQLite database (%s)", db->path, what, why);
		return error_hint(err, "move the file away: it is built again from what is found");
	case SQLITE_FULL:
		return error_set(err, ERROR_CAPACITY, "%s: cannot %s: the disk is full", db->path, what);
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_AUTH:
		return error_set(err, ERROR_PERMISSION, "%s: cannot %s: %s", db->path, what, why);
	case SQLITE_CONSTRAINT:
		return error_set(err, ERROR_CONFLICT, "%s: cannot %s: %s", db->path, what, why);
	case SQLITE_CANTOPEN:
	case SQLITE_IOERR:
		if (errnum)
			return error_set_errno(err, errnum, "%s: cannot %s", db->path, what);
		break;
	}
	return error_set(err, ERROR_FAILED, "%s: cannot %s: %s", db->path, what, why);
}

static int value_bind(sqlite3_stmt *statement, int at, const struct db_value *value)
{
	/* a zero-length blob with a NULL pointer would bind NULL */
	const void *data = value->data ? value->data : "";

	switch (value->type) {
	case DB_INT:
		return sqlite3_bind_int64(statement, at, value->number);
	case DB_REAL:
		return sqlite3_bind_double(statement, at, value->real);
	case DB_TEXT:
		return sqlite3_bind_text64(statement, at, data, value->n, SQLITE_STATIC, SQLITE_UTF8);
	case DB_BLOB:
		return sqlite3_bind_blob64(statement, at, data, value->n, SQLITE_STATIC);
	case DB_NULL:
		break;
	}
	return sqlite3_bind_null(statement, at);
}

int db_query(struct db *db, const char *sql, struct db_args args, struct db_rows *ret, struct error *err)
{
	sqlite3_stmt *statement = NULL;
	int code = sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL);

	if (code != SQLITE_OK)
		return db_fail(db, code, "prepare a statement", err);
	if (!statement || sqlite3_bind_parameter_count(statement) != (int)args.n)
		BUG("\"%s\" with %zu values", sql, args.n);
	for (size_t i = 0; i < args.n; i++) {
		code = value_bind(statement, (int)i + 1, &args.items[i]);
		if (code != SQLITE_OK) {
			db_fail(db, code, "bind a value", err);
			sqlite3_finalize(statement);
			return -1;
		}
	}
	*ret = (struct db_rows){ .statement = statement, .db = db };
	return 0;
}

int db_next(struct db_rows *rows, struct error *err)
{
	int code = sqlite3_step(rows->statement);

	if (code == SQLITE_ROW)
		return 1;
	if (code == SQLITE_DONE)
		return 0;
	return db_fail(rows->db, code, sqlite3_stmt_readonly(rows->statement) ? "read" : "write", err);
}

void db_rows_clear(struct db_rows *rows)
{
	sqlite3_finalize(rows->statement);
	*rows = (struct db_rows){ 0 };
}

int db_run(struct db *db, const char *sql, struct db_args args, struct error *err)
{
	autorows struct db_rows rows = { 0 };
	int more;

	if (db_query(db, sql, args, &rows, err) < 0)
		return -1;
	while ((more = db_next(&rows, err)) > 0)	/* a PRAGMA may answer */
		;
	return more;
}

int64_t db_changes(struct db *db)
{
	return sqlite3_changes64(db->handle);
}

int64_t db_last_id(struct db *db)
{
	return sqlite3_last_insert_rowid(db->handle);
}

const char *db_column_text(struct db_rows *rows, int column)
{
	return (const char *)sqlite3_column_text(rows->statement, column);
}

const void *db_column_blob(struct db_rows *rows, int column, size_t *ret_n)
{
	const void *data = sqlite3_column_blob(rows->statement, column);

	*ret_n = (size_t)sqlite3_column_bytes(rows->statement, column);
	return data;
}

int64_t db_column_int(struct db_rows *rows, int column)
{
	return sqlite3_column_int64(rows->statement, column);
}

double db_column_real(struct db_rows *rows, int column)
{
	return sqlite3_column_double(rows->statement, column);
}

bool db_column_null(struct db_rows *rows, int column)
{
	return sqlite3_column_type(rows->statement, column) == SQLITE_NULL;
}

int db_get_int(struct db *db, const char *sql, struct db_args args, int64_t otherwise, int64_t *ret, struct error *err)
{
	autorows struct db_rows rows = { 0 };
	int more;

	if (db_query(db, sql, args, &rows, err) < 0)
		return -1;
	more = db_next(&rows, err);
	if (more < 0)
		return -1;
	*ret = more && !db_column_null(&rows, 0) ? db_column_int(&rows, 0) : otherwise;
	return 0;
}

int db_get_text(struct db *db, const char *sql, struct db_args args, char **ret, struct error *err)
{
	autorows struct db_rows rows = { 0 };
	int more;

	if (db_query(db, sql, args, &rows, err) < 0)
		return -1;
	more = db_next(&rows, err);
	if (more < 0)
		return -1;
	*ret = more ? xstrdup(db_column_text(&rows, 0)) : NULL;
	return 0;
}

int db_begin(struct db *db, struct error *err)
{
	return db_run(db, "BEGIN IMMEDIATE", DB_NONE, err);
}

int db_commit(struct db *db, struct error *err)
{
	if (db_run(db, "COMMIT", DB_NONE, err) < 0) {
		db_rollback(db);
		return -1;
	}
	return 0;
}

void db_rollback(struct db *db)
{
	if (!sqlite3_get_autocommit(db->handle))
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

/* Changing to WAL does not wait for others by itself. */
static int wal_set(struct db *db, struct error *err)
{
	int64_t end = clock_monotonic_ns(&clock_system) / 1000000 + db->wait_ms;

	while (db_run(db, "PRAGMA journal_mode = WAL", DB_NONE, err) < 0) {
		if (!err->retryable || clock_monotonic_ns(&clock_system) / 1000000 >= end)
			return -1;
		clock_sleep_ms(&clock_system, 10);
	}
	return 0;
}

static int handle_open(struct db *db, const struct db_options *options, struct error *err)
{
	int flags = SQLITE_OPEN_FULLMUTEX | (options->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
	int code;

	if (!options->read_only) {
		/* by hand, for the mode; SQLite gives its side files the same one */
		autofd int fd = open(db->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);

		if (fd < 0)
			return error_set_errno(err, errno, "cannot open %s", db->path);
	}
	code = sqlite3_open_v2(db->path, &db->handle, flags, NULL);
	if (code != SQLITE_OK)
		return db_fail(db, code, "open it", err);
	sqlite3_extended_result_codes(db->handle, 1);
	sqlite3_busy_timeout(db->handle, (int)MIN(db->wait_ms, (int64_t)INT32_MAX));
	sqlite3_limit(db->handle, SQLITE_LIMIT_LENGTH, VALUE_MAX);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	if (db_run(db, "PRAGMA cell_size_check = ON", DB_NONE, err) < 0 || db_run(db, "PRAGMA foreign_keys = ON", DB_NONE, err) < 0)
		return -1;
	return db_run(db, options->durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", DB_NONE, err);
}

static int64_t migrations_count(const struct db_options *options)
{
	int64_t n = 0;

	while (options->migrations[n])
		n++;
	return n;
}

/* What file is this? Sets the version; 0 for an empty file. */
static int version_read(struct db *db, const struct db_options *options, int64_t *ret, struct error *err)
{
	int64_t application, version, things, newest = migrations_count(options);

	if (db_get_int(db, "PRAGMA application_id", DB_NONE, 0, &application, err) < 0 ||
	    db_get_int(db, "PRAGMA user_version", DB_NONE, 0, &version, err) < 0 ||
	    db_get_int(db, "SELECT count(*) FROM sqlite_schema", DB_NONE, 0, &things, err) < 0)
		return -1;
	if ((uint32_t)application != options->application && (application || version || things)) {
		error_set(err, ERROR_INPUT, "%s is a SQLite database of another program", db->path);
		return error_hint(err, "name another file or folder");
	}
	if (version > newest) {
		error_set(err, ERROR_UNSUPPORTED, "%s was written by a newer version of insula (schema %lld, this one knows %lld)", db->path,
			  (long long)version, (long long)newest);
		return error_hint(err, "use that version or a newer one");
	}
	*ret = version;
	return 0;
}

static int migrate_inside(struct db *db, const struct db_options *options, struct error *err)
{
	int64_t version, newest = migrations_count(options);
	char pragma[64];

	if (version_read(db, options, &version, err) < 0)	/* again: another process may have been first */
		return -1;
	for (; version < newest; version++) {
		int code = sqlite3_exec(db->handle, options->migrations[version], NULL, NULL, NULL);

		if (code != SQLITE_OK)
			return db_fail(db, code, "bring it to this version", err);
	}
	snprintf(pragma, sizeof(pragma), "PRAGMA application_id = %d", (int)options->application);
	if (db_run(db, pragma, DB_NONE, err) < 0)
		return -1;
	snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %lld", (long long)newest);
	return db_run(db, pragma, DB_NONE, err);
}

static int schema_prepare(struct db *db, const struct db_options *options, struct error *err)
{
	int64_t version, newest = migrations_count(options);
	int told;

	/* one read transaction: another process may be bringing the file to a version just now */
	if (db_run(db, "BEGIN", DB_NONE, err) < 0)
		return -1;
	told = version_read(db, options, &version, err);
	db_rollback(db);
	if (told < 0)
		return -1;
	if (options->read_only && version < newest) {
		error_set(err, ERROR_CONFLICT, "%s was written by an older version of insula (schema %lld, this one has %lld)", db->path,
			  (long long)version, (long long)newest);
		return error_hint(err, "run a command that writes, such as apply, once");
	}
	if (options->read_only)
		return 0;
	if (wal_set(db, err) < 0)
		return -1;
	if (version == newest)
		return 0;
	if (db_begin(db, err) < 0)
		return -1;
	if (migrate_inside(db, options, err) < 0) {
		db_rollback(db);
		return -1;
	}
	return db_commit(db, err);
}

int db_open(const char *path, const struct db_options *options, struct db **ret, struct error *err)
{
	autodb struct db *db = xcalloc(1, sizeof(*db));

	db->path = xstrdup(path);
	db->wait_ms = options->wait_ms > 0 ? options->wait_ms : WAIT_MS;
	if (handle_open(db, options, err) < 0 || schema_prepare(db, options, err) < 0)
		return -1;
	*ret = steal(&db);
	return 0;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	sqlite3_close_v2(db->handle);
	free(db->path);
	free(db);
}

void db_cleanup(struct db **db)
{
	db_close(*db);
}

int db_check(struct db *db, struct error *err)
{
	autofree char *answer = NULL;

	if (db_get_text(db, "PRAGMA quick_check(1)", DB_NONE, &answer, err) < 0)
		return -1;
	if (str_equal(answer, "ok"))
		return 0;
	error_set(err, ERROR_INPUT, "%s is damaged: %s", db->path, answer ? answer : "no answer");
	return error_hint(err, "move the file away: it is built again from what is found");
}
