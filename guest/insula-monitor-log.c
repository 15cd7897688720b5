/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor.h"
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * How it works: splice(2) moves what the container wrote from the FIFO into the file within the kernel. So a monitor that
 * is killed at any moment loses nothing and writes nothing twice, and needs no buffer: what was not written is still in the
 * FIFO. When the file has reached its size it is rotated, but only between two lines: tee(2) copies what comes next
 * into a pipe, to look where the line ends, and just that much is moved. A line that alone is as long as a whole file is cut.
 *
 * Where the file system cannot splice, bytes are read and written; then a kill may lose the last piece.
 */

#define PIECE ((size_t)65536)
#define LOOK 4096		/* bytes looked at in one go for the end of a line */
#define DRAIN_LIMIT ((size_t)4 << 20)

static int file_open(struct log *log, const struct conf *conf)
{
	struct stat st;
	char last;

	log->file = open(conf->log, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (log->file < 0 || fstat(log->file, &st) < 0)
		return -1;
	log->size = st.st_size;
	log->line_open = log->size > 0 && pread(log->file, &last, 1, log->size - 1) == 1 && last != '\n';
	return 0;
}

int log_open(struct log *log, const struct conf *conf, struct why *why)
{
	char path[PATH_LIMIT];

	*log = (struct log){ .fifo = -1, .file = -1, .peek = { -1, -1 } };
	if (!path_make(path, conf->dir, FILE_FIFO))
		return why_set(why, "the path %s is too long", conf->dir);
	/* also open for writing: so it never reports the end when the last writer goes */
	log->fifo = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (log->fifo < 0)
		return why_errno(why, "cannot open %s", path);
	if (file_open(log, conf) < 0)
		return why_errno(why, "cannot open the log %s", conf->log);
	return 0;
}

/* LOG.1 is the youngest of the old ones. */
static void rotate(struct log *log, const struct conf *conf)
{
	char from[PATH_LIMIT], to[PATH_LIMIT];

	for (int64_t i = conf->log_keep; i > 0; i--) {
		snprintf(to, sizeof(to), "%s.%lld", conf->log, (long long)i);
		if (i > 1)
			snprintf(from, sizeof(from), "%s.%lld", conf->log, (long long)i - 1);
		else
			snprintf(from, sizeof(from), "%s", conf->log);
		rename(from, to);
	}
	if (!conf->log_keep)
		unlink(conf->log);
	close(log->file);
	if (file_open(log, conf) < 0)
		log->file = -1;
}

/* Bytes up to and with the next end of a line among those that wait; all of them (at most LOOK) when none ends. */
static size_t line_rest(struct log *log)
{
	char text[LOOK], *end;
	ssize_t n;

	if (log->peek[0] < 0 && pipe2(log->peek, O_CLOEXEC | O_NONBLOCK) < 0)
		return LOOK;
	n = tee(log->fifo, log->peek[1], LOOK, SPLICE_F_NONBLOCK);
	if (n <= 0)
		return LOOK;
	n = read(log->peek[0], text, (size_t)n);
	end = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;
	return end ? (size_t)(end - text) + 1 : LOOK;
}

static ssize_t piece_copy(struct log *log, size_t n)
{
	char text[LOOK];
	ssize_t got = read(log->fifo, text, n < sizeof(text) ? n : sizeof(text));
	ssize_t done = 0;

	if (got <= 0)
		return got;
	while (log->file >= 0 && done < got) {
		ssize_t one = pwrite(log->file, text + done, (size_t)(got - done), log->size + done);

		if (one <= 0)
			break;	/* the disk is full: what the container says must not stop it */
		done += one;
	}
	log->size += done;
	return got;
}

static ssize_t piece_move(struct log *log, size_t n)
{
	loff_t at = log->size;
	ssize_t done;

	if (log->copies || log->file < 0)
		return piece_copy(log, n);
	done = splice(log->fifo, NULL, log->file, &at, n, SPLICE_F_NONBLOCK);
	if (done > 0) {
		log->size = at;
		return done;
	}
	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		return -1;
	if (done < 0 && errno == EINVAL)
		log->copies = true;
	return done < 0 ? piece_copy(log, n) : done;
}

ssize_t log_move(struct log *log, const struct conf *conf)
{
	size_t n = PIECE;
	char last;
	ssize_t done;

	if (log->size >= conf->log_size && (!log->line_open || log->size >= 2 * conf->log_size))
		rotate(log, conf);
	if (log->size >= conf->log_size)
		n = line_rest(log);
	else if ((off_t)n > conf->log_size - log->size)
		n = (size_t)(conf->log_size - log->size);
	done = piece_move(log, n);
	if (done <= 0)
		return done < 0 && errno != EAGAIN ? -1 : 0;
	log->line_open = log->file < 0 || log->size == 0 || pread(log->file, &last, 1, log->size - 1) != 1 || last != '\n';
	return done;
}

void log_drain(struct log *log, const struct conf *conf)
{
	size_t total = 0;
	ssize_t n;

	while (total < DRAIN_LIMIT && (n = log_move(log, conf)) > 0)
		total += (size_t)n;
}
