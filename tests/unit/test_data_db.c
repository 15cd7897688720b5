/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "data/db.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define APPLICATION 0x696e7375

static const char *const first[] = { "CREATE TABLE step (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body BLOB, share REAL)", NULL };
static const char *const second[] = {
	"CREATE TABLE step (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body BLOB, share REAL)",
	"CREATE TABLE event (step INTEGER NOT NULL REFERENCES step (id)); ALTER TABLE step ADD COLUMN note TEXT NOT NULL DEFAULT 'none'",
	NULL,
};

struct fixture {
	char *dir, *path;
	struct db_options options;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->dir = temp_dir_make();
	f->path = fs_join(f->dir, "state.db");
	f->options = (struct db_options){ .application = APPLICATION, .migrations = first, .wait_ms = 100 };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	temp_dir_remove(f->dir);
	free(f->path);
	free(f);
	return 0;
}

static struct db *open_db(struct fixture *f)
{
	struct error err = { 0 };
	struct db *db = NULL;

	assert_ok(db_open(f->path, &f->options, &db, &err));
	return db;
}

static int64_t count(struct db *db)
{
	struct error err = { 0 };
	int64_t n = -1;

	assert_ok(db_get_int(db, "SELECT count(*) FROM step", DB_NONE, -1, &n, &err));
	return n;
}

static void rows_come_back(void **state)
{
	autodb struct db *db = open_db(*state);
	autorows struct db_rows rows = { 0 };
	struct error err = { 0 };
	const void *blob;
	size_t n;

	assert_ok(db_run(db, "INSERT INTO step (key, body, share) VALUES (?, ?, ?)", DB_ARGS(db_text("a"), db_blob("x\0y", 3), db_real(0.5)), &err));
	assert_int_equal(db_last_id(db), 1);
	assert_ok(db_run(db, "INSERT INTO step (key, body) VALUES (?, ?)", DB_ARGS(db_text("b"), db_text(NULL)), &err));
	assert_ok(db_run(db, "INSERT INTO step (key, body) VALUES (?, ?)", DB_ARGS(db_text("c"), db_blob(NULL, 0)), &err));
	assert_ok(db_query(db, "SELECT id, key, body, share FROM step WHERE id > ? ORDER BY id", DB_ARGS(db_int(0)), &rows, &err));
	assert_int_equal(db_next(&rows, &err), 1);
	assert_string_equal(db_column_text(&rows, 1), "a");
	blob = db_column_blob(&rows, 2, &n);
	assert_int_equal(n, 3);
	assert_memory_equal(blob, "x\0y", 3);
	assert_true(db_column_real(&rows, 3) == 0.5);
	assert_int_equal(db_next(&rows, &err), 1);
	assert_true(db_column_null(&rows, 2));
	assert_null(db_column_text(&rows, 2));
	assert_int_equal(db_next(&rows, &err), 1);
	assert_false(db_column_null(&rows, 2));
	assert_int_equal(db_next(&rows, &err), 0);
}

static void single_values_are_got(void **state)
{
	autodb struct db *db = open_db(*state);
	autofree char *text = NULL;
	struct error err = { 0 };
	int64_t number = 0;

	assert_ok(db_run(db, "INSERT INTO step (key) VALUES ('a')", DB_NONE, &err));
	assert_ok(db_get_text(db, "SELECT key FROM step WHERE id = ?", DB_ARGS(db_int(1)), &text, &err));
	assert_string_equal(text, "a");
	free(steal(&text));
	assert_ok(db_get_text(db, "SELECT key FROM step WHERE id = 9", DB_NONE, &text, &err));
	assert_null(text);
	assert_ok(db_get_int(db, "SELECT id FROM step WHERE id = 9", DB_NONE, -4, &number, &err));
	assert_int_equal(number, -4);
	assert_ok(db_run(db, "UPDATE step SET key = key", DB_NONE, &err));
	assert_int_equal(db_changes(db), 1);
}

static void transactions_are_whole(void **state)
{
	autodb struct db *db = open_db(*state);
	struct error err = { 0 };

	assert_ok(db_begin(db, &err));
	assert_ok(db_run(db, "INSERT INTO step (key) VALUES ('a')", DB_NONE, &err));
	db_rollback(db);
	db_rollback(db);
	assert_int_equal(count(db), 0);
	assert_ok(db_begin(db, &err));
	assert_ok(db_run(db, "INSERT INTO step (key) VALUES ('a')", DB_NONE, &err));
	assert_ok(db_commit(db, &err));
	assert_int_equal(count(db), 1);
	assert_fails(db_run(db, "INSERT INTO step (key) VALUES ('a')", DB_NONE, &err), "UNIQUE constraint failed: step.key");
	assert_int_equal(err.code, ERROR_CONFLICT);
	assert_false(err.retryable);
	assert_fails(db_run(db, "INSERT INTO absent VALUES (1)", DB_NONE, &err), "no such table");
}

static void a_second_writer_waits_and_is_told(void **state)
{
	autodb struct db *one = open_db(*state), *two = open_db(*state);
	struct error err = { 0 };

	assert_ok(db_begin(one, &err));
	assert_fails(db_begin(two, &err), "another process is writing to it");
	assert_int_equal(err.code, ERROR_CONFLICT);
	assert_true(err.retryable);
	assert_int_equal(count(two), 0);	/* readers are not held up */
	assert_ok(db_commit(one, &err));
	assert_ok(db_begin(two, &err));
	db_rollback(two);
}

static void the_file_is_private_and_in_wal_mode(void **state)
{
	struct fixture *f = *state;
	autodb struct db *db = open_db(f);
	autofree char *mode = NULL;
	struct error err = { 0 };
	int64_t on = 0;
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_ok(db_get_text(db, "PRAGMA journal_mode", DB_NONE, &mode, &err));
	assert_string_equal(mode, "wal");
	assert_ok(db_get_int(db, "PRAGMA foreign_keys", DB_NONE, 0, &on, &err));
	assert_int_equal(on, 1);
	assert_ok(db_get_int(db, "PRAGMA synchronous", DB_NONE, 0, &on, &err));
	assert_int_equal(on, 1);
	assert_ok(db_check(db, &err));
}

static void an_older_file_is_brought_to_this_version(void **state)
{
	struct fixture *f = *state;
	struct db *db = open_db(f);
	autofree char *note = NULL;
	struct error err = { 0 };

	assert_ok(db_run(db, "INSERT INTO step (key) VALUES ('a')", DB_NONE, &err));
	db_close(db);
	f->options.migrations = second;
	f->options.read_only = true;
	assert_fails(db_open(f->path, &f->options, &db, &err), "older version");
	f->options.read_only = false;
	db = open_db(f);
	assert_ok(db_get_text(db, "SELECT note FROM step", DB_NONE, &note, &err));
	assert_string_equal(note, "none");
	assert_fails(db_run(db, "INSERT INTO event (step) VALUES (99)", DB_NONE, &err), "FOREIGN KEY constraint failed");
	db_close(db);
	db = open_db(f);	/* nothing to do now */
	db_close(db);
	f->options.migrations = first;
	assert_fails(db_open(f->path, &f->options, &db, &err), "newer version of insula (schema 2, this one knows 1)");
	assert_int_equal(err.code, ERROR_UNSUPPORTED);
}

static void a_failed_migration_changes_nothing(void **state)
{
	static const char *const broken[] = { "CREATE TABLE step (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body BLOB, share REAL)",
					      "CREATE TABLE half (x); CREATE TABLE step (y)", NULL };
	struct fixture *f = *state;
	struct db *db = open_db(f);
	struct error err = { 0 };
	int64_t n = 0;

	db_close(db);
	f->options.migrations = broken;
	assert_fails(db_open(f->path, &f->options, &db, &err), "cannot bring it to this version: table step already exists");
	f->options.migrations = first;
	db = open_db(f);
	assert_ok(db_get_int(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'half'", DB_NONE, -1, &n, &err));
	assert_int_equal(n, 0);
	db_close(db);
}

static void foreign_and_damaged_files_are_refused(void **state)
{
	struct fixture *f = *state;
	struct db_options other = f->options;
	struct error err = { 0 };
	struct db *db = NULL;
	char junk[4096];
	int fd;

	memset(junk, 'j', sizeof(junk));
	assert_ok(fs_replace_file(f->path, junk, sizeof(junk), 0600, false, &err));
	assert_fails(db_open(f->path, &f->options, &db, &err), "damaged or no SQLite database");
	assert_int_equal(err.code, ERROR_INPUT);
	assert_true(err.hint[0]);
	assert_int_equal(unlink(f->path), 0);

	other.application = 0x12345678;
	assert_ok(db_open(f->path, &other, &db, &err));
	db_close(db);
	assert_fails(db_open(f->path, &f->options, &db, &err), "of another program");
	assert_int_equal(unlink(f->path), 0);

	db = open_db(f);
	for (int i = 0; i < 500; i++) {
		autofree char *key = xasprintf("key-%d", i);

		assert_ok(db_run(db, "INSERT INTO step (key, body) VALUES (?, zeroblob(100))", DB_ARGS(db_text(key)), &err));
	}
	db_close(db);
	fd = open(f->path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, junk, sizeof(junk), 4096), sizeof(junk));
	assert_int_equal(pwrite(fd, junk, sizeof(junk), 8192), sizeof(junk));
	close(fd);
	db = open_db(f);
	assert_fails(db_check(db, &err), "damaged");
	assert_fails(db_get_text(db, "SELECT group_concat(key) FROM step", DB_NONE, &(char *){ NULL }, &err), "damaged");
	db_close(db);
	assert_fails(db_open("/no/such/folder/x.db", &f->options, &db, &err), "cannot open /no/such/folder/x.db: No such file");
}

static void read_only_reads(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	struct db *db = NULL;

	f->options.read_only = true;
	assert_fails(db_open(f->path, &f->options, &db, &err), "cannot open it");
	assert_false(fs_exists(f->path));
	f->options.read_only = false;
	db_close(open_db(f));
	f->options.read_only = true;
	db = open_db(f);
	assert_int_equal(count(db), 0);
	assert_fails(db_run(db, "INSERT INTO step (key) VALUES ('a')", DB_NONE, &err), "readonly");
	assert_int_equal(err.code, ERROR_PERMISSION);
	db_close(db);
}

static void a_commit_survives_kill_9(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	struct db *db;
	pid_t pid = fork();

	if (pid == 0) {
		if (db_open(f->path, &f->options, &db, &err) < 0 || db_begin(db, &err) < 0 ||
		    db_run(db, "INSERT INTO step (key) VALUES ('kept')", DB_NONE, &err) < 0 || db_commit(db, &err) < 0 ||
		    db_begin(db, &err) < 0 || db_run(db, "INSERT INTO step (key) VALUES ('lost')", DB_NONE, &err) < 0)
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, NULL, 0);
	db = open_db(f);
	assert_int_equal(count(db), 1);
	db_close(db);
}

static void many_may_create_it_at_once(void **state)
{
	struct fixture *f = *state;
	pid_t pids[12];
	int status;

	f->options.wait_ms = 60000;
	f->options.migrations = second;
	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct error err = { 0 };
			struct db *db = NULL;

			if (db_open(f->path, &f->options, &db, &err) < 0) {
				fprintf(stderr, "# %s\n", err.message);
				_exit(1);
			}
			_exit(db_run(db, "INSERT INTO step (key) VALUES (?)", DB_ARGS(db_text((char[]){ (char)('a' + i), 0 })), &err) < 0);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		waitpid(pids[i], &status, 0);
		assert_int_equal(status, 0);
	}
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(rows_come_back),
		test(single_values_are_got),
		test(transactions_are_whole),
		test(a_second_writer_waits_and_is_told),
		test(the_file_is_private_and_in_wal_mode),
		test(an_older_file_is_brought_to_this_version),
		test(a_failed_migration_changes_nothing),
		test(foreign_and_damaged_files_are_refused),
		test(read_only_reads),
		test(a_commit_survives_kill_9),
		test(many_may_create_it_at_once),
	};

	return cmocka_run_group_tests_name("data_db", tests, NULL, NULL);
}
