/* SPDX-License-Identifier: Apache-2.0 */
#include "instance.h"

#include "base/fs.h"
#include "base/vec.h"
#include "guest/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * logs: LOG.N .. LOG.1, then LOG. How it works: the files are opened oldest first; a rotation in between is noticed by the inode of what is
 * open, so that no line comes twice. Following waits for inotify on the folder, and looks twice a second
 * whether the instance has ended.
 */

#define OLD_MAX 100
#define PIECE 65536
#define WAIT_MS 500

struct reader {
	const char *path;
	int out;
	const volatile bool *stop;
};

static bool stopped(const struct reader *reader)
{
	return reader->stop && *reader->stop;
}

/* From the descriptor's place to the end of the file. */
static int copy_rest(const struct reader *reader, int fd, struct error *err)
{
	autofree char *piece = xmalloc(PIECE);
	ssize_t n;

	while (!stopped(reader) && (n = read(fd, piece, PIECE)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, errno, "cannot read the log %s", reader->path);
		if (fs_write_all(reader->out, piece, (size_t)n, err) < 0)
			return -1;
	}
	return 0;
}

struct files { int fds[OLD_MAX + 1]; size_t n; };	/* oldest first, each inode once */

static void files_close(struct files *files)
{
	for (size_t i = 0; i < files->n; i++)
		close(files->fds[i]);
}

static bool same_file(int a, int b)
{
	struct stat one, two;

	return fstat(a, &one) == 0 && fstat(b, &two) == 0 && one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

static void files_open(const char *path, struct files *files)
{
	size_t old = 0;

	for (; old < OLD_MAX; old++) {
		autofree char *name = xasprintf("%s.%zu", path, old + 1);

		if (!fs_exists(name))
			break;
	}
	for (size_t i = old + 1; i-- > 0;) {
		autofree char *name = i ? xasprintf("%s.%zu", path, i) : xstrdup(path);
		int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

		if (fd < 0)
			continue;
		if (files->n && same_file(files->fds[files->n - 1], fd))
			close(fd);
		else
			files->fds[files->n++] = fd;
	}
}

/* Lines that end before `end`, counted backwards: the offset behind the `want`-th line end from the end; *ret_found says how many there were. */
static off_t tail_offset(int fd, int64_t want, int64_t *ret_found)
{
	autofree char *piece = xmalloc(PIECE);
	struct stat st;
	off_t end, at;
	int64_t found = 0;

	*ret_found = 0;
	if (fstat(fd, &st) < 0)
		return 0;
	at = end = st.st_size;
	while (at > 0) {
		off_t start = at > PIECE ? at - PIECE : 0;
		ssize_t n = pread(fd, piece, (size_t)(at - start), start);

		if (n <= 0)
			break;
		for (ssize_t i = n; i-- > 0;) {
			if (piece[i] != '\n' || start + i == end - 1)	/* the last line's own end */
				continue;
			if (++found == want) {
				*ret_found = found;
				return start + i + 1;
			}
		}
		at = start;
	}
	*ret_found = end > 0 ? found + 1 : 0;
	return 0;
}

/* Puts each file where the last `tail` lines of all begin; returns the first file to read. */
static size_t tail_seek(struct files *files, int64_t tail)
{
	for (size_t i = files->n; i-- > 0;) {
		int64_t found;
		off_t at = tail > 0 ? tail_offset(files->fds[i], tail, &found) : lseek(files->fds[i], 0, SEEK_END);

		if (tail <= 0 || found >= tail) {
			lseek(files->fds[i], at, SEEK_SET);
			return i;
		}
		tail -= found;
	}
	return 0;
}

/* Has it ended for good, or is it gone? */
static bool has_ended(const char *dir)
{
	struct monitor_status status;
	struct error missing;

	if (monitor_status(dir, &status, &missing) < 0)
		return true;
	return streq(status.state, STATE_EXITED) || streq(status.state, STATE_FAILED) || streq(status.state, STATE_STOPPED);
}

/* The file that has taken the place of `fd`, or -1. */
static int successor_open(const char *path, int fd)
{
	int next = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (next >= 0 && fd >= 0 && same_file(next, fd)) {
		close(next);
		return -1;
	}
	return next;
}

/* fd: the youngest file, read to its end, or -1. */
static int follow_on(const struct reader *reader, const char *dir, int fd, struct error *err)
{
	autofree char *folder = fs_dirname(reader->path);
	autofd int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), current = fd;
	char events[4096];

	if (watch < 0 || inotify_add_watch(watch, folder, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		return error_set_errno(err, errno, "cannot watch %s", folder);
	while (!stopped(reader)) {
		bool ended = has_ended(dir);	/* asked before reading: what it said last is read then */
		struct pollfd poll_fd = { .fd = watch, .events = POLLIN };
		int next;

		if (current >= 0 && copy_rest(reader, current, err) < 0)
			return -1;
		next = successor_open(reader->path, current);
		if (next >= 0) {
			if (current >= 0 && copy_rest(reader, current, err) < 0) {	/* what came before the rotation */
				close(next);
				return -1;
			}
			cleanup_fd(&current);
			current = next;
			continue;
		}
		if (ended)
			return 0;
		poll(&poll_fd, 1, WAIT_MS);
		while (read(watch, events, sizeof(events)) > 0)
			;
	}
	return 0;
}

int local_logs(struct site *site, const char *key, int fd, bool follow, int64_t tail, const volatile bool *stop, struct error *err)
{
	autoinstance_files struct instance_files files = { 0 };
	CLEANUP(files_close) struct files logs = { .n = 0 };
	struct reader reader = { .out = fd, .stop = stop };
	size_t first;

	if (instance_files_of(site, key, &files, err) < 0)
		return -1;
	reader.path = files.log;
	if (!fs_exists(files.log) && !fs_exists(files.dir)) {
		error_set(err, ERROR_NOT_FOUND, "there is no log of %s", key);
		return error_hint(err, "see which instances there are: insula status");
	}
	files_open(files.log, &logs);
	first = tail >= 0 ? tail_seek(&logs, tail) : 0;
	for (size_t i = first; i < logs.n && !stopped(&reader); i++)
		if (copy_rest(&reader, logs.fds[i], err) < 0)
			return -1;
	if (!follow)
		return 0;
	return follow_on(&reader, files.dir, logs.n ? logs.fds[--logs.n] : -1, err);
}
