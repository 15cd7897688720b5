/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_DATA_DB_H
#define INSULA_DATA_DB_H

/*
 * SQLite, thinly: a file with a schema that grows by migrations, WAL, foreign keys on.
 * With synchronous=NORMAL (the default) a commit survives kill -9 of the program; after a power
 * loss the last commits may be missing, never half there. `durable` (FULL) survives that too.
 *
 *     if (db_run(db, "INSERT INTO step (key, at) VALUES (?, ?)", DB_ARGS(db_text(key), db_int(now)), err) < 0) ...
 *
 *     autorows struct db_rows rows = { 0 };
 *     if (db_query(db, "SELECT key, at FROM step WHERE at > ?", DB_ARGS(db_int(since)), &rows, err) < 0)
 *             return -1;
 *     while ((more = db_next(&rows, err)) > 0)
 *             use(db_column_text(&rows, 0), db_column_int(&rows, 1));
 *     if (more < 0)
 *             return -1;
 *
 * One thread at a time uses a db. Codes: a file in use by another beyond the wait is a retryable
 * ERROR_CONFLICT, a full disk ERROR_CAPACITY, what may not be opened ERROR_PERMISSION, a foreign
 * or damaged file ERROR_INPUT, the file of a newer program ERROR_UNSUPPORTED, a broken constraint ERROR_CONFLICT (not retryable).
 */

#include "base/base.h"

struct db;

struct db_options {
	uint32_t application;		/* application_id that marks our files; not 0 */
	const char *const *migrations;	/* NULL-ended; the i-th brings version i to i + 1; never changed after a release, only added to */
	int64_t wait_ms;		/* for others that write; 0 means 5000 */
	bool durable;
	bool read_only;			/* the file must exist and be of this version */
};

/* Creates the file (mode 0600) unless read_only; its folder must exist. */
int db_open(const char *path, const struct db_options *options, struct db **ret, struct error *err) WARN_UNUSED;
void db_close(struct db *db);		/* NULL is fine; an open transaction is rolled back */
void db_cleanup(struct db **db);
#define autodb CLEANUP(db_cleanup)
/* Reads the whole file for damage. */
int db_check(struct db *db, struct error *err) WARN_UNUSED;

struct db_value {
	enum db_type { DB_NULL, DB_INT, DB_REAL, DB_TEXT, DB_BLOB } type;
	int64_t number;
	double real;
	const void *data;
	size_t n;
};

struct db_args { const struct db_value *items; size_t n; };
#define DB_ARGS(...) \
	((struct db_args){ (const struct db_value[]){ __VA_ARGS__ }, \
			   sizeof((const struct db_value[]){ __VA_ARGS__ }) / sizeof(struct db_value) })
#define DB_NONE ((struct db_args){ NULL, 0 })

static inline struct db_value db_int(int64_t value) { return (struct db_value){ .type = DB_INT, .number = value }; }
static inline struct db_value db_real(double value) { return (struct db_value){ .type = DB_REAL, .real = value }; }
/* NULL gives NULL; the bytes must live until the rows are cleared */
static inline struct db_value db_text(const char *s) { return (struct db_value){ .type = s ? DB_TEXT : DB_NULL, .data = s, .n = s ? strlen(s) : 0 }; }
static inline struct db_value db_blob(const void *data, size_t n) { return (struct db_value){ .type = DB_BLOB, .data = data, .n = n }; }

/* One statement that answers nothing. */
int db_run(struct db *db, const char *sql, struct db_args args, struct error *err) WARN_UNUSED;
int64_t db_changes(struct db *db);	/* rows that the last INSERT, UPDATE or DELETE changed */
int64_t db_last_id(struct db *db);	/* rowid of the last INSERT */

struct db_rows { void *statement; struct db *db; };
int db_query(struct db *db, const char *sql, struct db_args args, struct db_rows *ret, struct error *err) WARN_UNUSED;
int db_next(struct db_rows *rows, struct error *err) WARN_UNUSED;	/* 1 a row, 0 the end, -1 */
void db_rows_clear(struct db_rows *rows);
#define autorows CLEANUP(db_rows_clear)

/* Of the current row, valid until db_next or db_rows_clear. */
const char *db_column_text(struct db_rows *rows, int column);	/* NULL for NULL */
const void *db_column_blob(struct db_rows *rows, int column, size_t *ret_n);
int64_t db_column_int(struct db_rows *rows, int column);	/* 0 for NULL */
double db_column_real(struct db_rows *rows, int column);
bool db_column_null(struct db_rows *rows, int column);

/* The first column of the only row; `otherwise` when there is none. */
int db_get_int(struct db *db, const char *sql, struct db_args args, int64_t otherwise, int64_t *ret, struct error *err) WARN_UNUSED;
int db_get_text(struct db *db, const char *sql, struct db_args args, char **ret, struct error *err) WARN_UNUSED;	/* *ret NULL when there is none */

/* BEGIN IMMEDIATE, so that a conflict shows here and not in the middle. Not nested. */
int db_begin(struct db *db, struct error *err) WARN_UNUSED;
int db_commit(struct db *db, struct error *err) WARN_UNUSED;	/* a failed commit is rolled back */
void db_rollback(struct db *db);	/* nothing when no transaction is open */

#endif
