/* SPDX-License-Identifier: Apache-2.0 */
#include "fs.h"

#include "buf.h"
#include "clock.h"
#include "vec.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LINE_LIMIT 65536
#define LOCK_POLL_MS 20

int fs_read_file_at(int dir, const char *path, size_t limit, char **ret, size_t *ret_n, struct error *err)
{
	autofd int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	autobuf struct buf buf = { 0 };
	char chunk[16384];

	if (fd < 0)
		return error_set_errno(err, errno, "cannot open %s", path);
	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, errno, "cannot read %s", path);
		if (n == 0)
			break;
		if ((size_t)n > limit - buf.n)
			return error_set(err, ERROR_INPUT, "%s is larger than the limit of %zu bytes", path, limit);
		buf_add(&buf, chunk, (size_t)n);
	}
	if (ret_n)
		*ret_n = buf.n;
	*ret = buf_steal(&buf);
	return 0;
}

int fs_read_file(const char *path, size_t limit, char **ret, size_t *ret_n, struct error *err)
{
	return fs_read_file_at(AT_FDCWD, path, limit, ret, ret_n, err);
}

int fs_read_line(const char *path, char **ret, struct error *err)
{
	autofree char *text = NULL;

	if (fs_read_file(path, LINE_LIMIT, &text, NULL, err) < 0)
		return -1;
	text[strcspn(text, "\n")] = '\0';
	*ret = steal(&text);
	return 0;
}

int fs_read_int(const char *path, int64_t *ret, struct error *err)
{
	autofree char *line = NULL;
	char *end;
	intmax_t value;

	if (fs_read_line(path, &line, err) < 0)
		return -1;
	errno = 0;
	value = strtoimax(line, &end, 10);
	if (errno || end == line || end[strspn(end, " \t")])
		return error_set(err, ERROR_INPUT, "%s holds \"%s\" where a whole number should be", path, line);
	*ret = value;
	return 0;
}

int fs_write_value(const char *path, const char *value, struct error *err)
{
	autofd int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	size_t length = strlen(value);
	ssize_t n;

	if (fd < 0)
		return error_set_errno(err, errno, "cannot open %s", path);
	do {
		n = write(fd, value, length);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_set_errno(err, errno, "cannot write \"%s\" to %s", value, path);
	if ((size_t)n != length)
		return error_set(err, ERROR_FAILED, "%s took only %zd of the %zu bytes of \"%s\"", path, n, length, value);
	return 0;
}

int fs_write_all(int fd, const void *data, size_t n, struct error *err)
{
	const char *p = data;

	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return error_set_errno(err, errno, "cannot write");
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

static int replace_through(int fd, const char *temporary, const char *path, const void *data, size_t n, mode_t mode,
			   bool durable, struct error *err)
{
	if (fchmod(fd, mode) < 0)
		return error_set_errno(err, errno, "cannot set the mode of %s", temporary);
	if (fs_write_all(fd, data, n, err) < 0)
		return error_wrap(err, "%s", path);
	if (durable && fsync(fd) < 0)
		return error_set_errno(err, errno, "cannot bring %s to the disk", path);
	if (rename(temporary, path) < 0)
		return error_set_errno(err, errno, "cannot replace %s", path);
	return 0;
}

int fs_replace_file(const char *path, const void *data, size_t n, mode_t mode, bool durable, struct error *err)
{
	autofree char *folder = fs_dirname(path);
	autofree char *temporary = xasprintf("%s/.insula-XXXXXX", folder);
	autofd int fd = mkostemp(temporary, O_CLOEXEC);

	if (fd < 0)
		return error_set_errno(err, errno, "cannot create a file in %s", folder);
	if (replace_through(fd, temporary, path, data, n, mode, durable, err) < 0) {
		unlink(temporary);
		return -1;
	}
	if (durable) {
		autofd int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (dir < 0 || fsync(dir) < 0)
			return error_set_errno(err, errno, "cannot bring %s to the disk", folder);
	}
	return 0;
}

int fs_make_dirs(const char *path, mode_t mode, struct error *err)
{
	autofree char *part = xstrdup(path);

	if (!*part)
		return error_set(err, ERROR_INPUT, "cannot create a folder without a name");
	for (char *p = part + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(part, mode) < 0) {
			int errnum = errno;

			/* a read-only or foreign parent that is there already is no failure */
			if (!fs_is_dir(part))
				return error_set_errno(err, errnum == EEXIST ? ENOTDIR : errnum, "cannot create folder %s", part);
		}
		*p = c;
		if (c == '\0')
			return 0;
	}
}

bool fs_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

bool fs_is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int64_t fs_free_bytes(const char *path)
{
	struct statvfs st;
	int64_t bytes;

	if (statvfs(path, &st) < 0 || __builtin_mul_overflow(st.f_bavail, st.f_frsize, &bytes))
		return -1;
	return bytes;
}

char *fs_join(const char *a, const char *b)
{
	size_t n = strlen(a);

	if (*b == '/')
		return xstrdup(b);
	while (n && a[n - 1] == '/')
		n--;
	if (!n)
		return *a ? xasprintf("/%s", b) : xstrdup(b);
	return xasprintf("%.*s/%s", (int)n, a, b);
}

char *fs_dirname(const char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	while (n && path[n - 1] != '/')
		n--;
	if (!n)
		return xstrdup(".");
	while (n > 1 && path[n - 1] == '/')
		n--;
	return xstrndup(path, n);
}

char *fs_absolute(const char *base, const char *path)
{
	autofree char *whole = fs_join(base, path);
	autobuf struct buf buf = { 0 };

	buf_reset(&buf);
	for (const char *p = whole; *p;) {
		size_t n;

		p += strspn(p, "/");
		n = strcspn(p, "/");
		if (n == 2 && !strncmp(p, "..", 2)) {
			while (buf.n && buf.data[--buf.n] != '/')
				;
			buf.data[buf.n] = '\0';
		} else if (n && !(n == 1 && *p == '.')) {
			buf_addc(&buf, '/');
			buf_add(&buf, p, n);
		}
		p += n;
	}
	if (!buf.n)
		buf_addc(&buf, '/');
	return buf_steal(&buf);
}

char *fs_find_program(const char *path_list, const char *name)
{
	if (!*name || strchr(name, '/'))
		return NULL;
	for (const char *p = path_list; *p;) {
		size_t n = strcspn(p, ":");
		autofree char *candidate = xasprintf("%.*s/%s", (int)n, p, name);
		struct stat st;

		if (n && stat(candidate, &st) == 0 && S_ISREG(st.st_mode) && access(candidate, X_OK) == 0)
			return steal(&candidate);
		p += n;
		p += *p == ':';
	}
	return NULL;
}

static int lock_conflict(const char *path, struct error *err)
{
	autofree char *holder = NULL;
	struct error ignored;

	if (fs_read_line(path, &holder, &ignored) == 0 && *holder && !holder[strspn(holder, "0123456789")])
		error_set(err, ERROR_CONFLICT, "%s is locked by process %s", path, holder);
	else
		error_set(err, ERROR_CONFLICT, "%s is locked by another process", path);
	err->retryable = true;
	return -1;
}

int fs_lock(const char *path, int64_t wait_ms, int *ret_fd, struct error *err)
{
	autofd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int64_t end = clock_monotonic_ns(&clock_system) / 1000000 + wait_ms;
	char text[32];
	int n;

	if (fd < 0)
		return error_set_errno(err, errno, "cannot open lock %s", path);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return error_set_errno(err, errno, "cannot lock %s", path);
		if (wait_ms >= 0 && clock_monotonic_ns(&clock_system) / 1000000 >= end)
			return lock_conflict(path, err);
		clock_sleep_ms(&clock_system, LOCK_POLL_MS);
	}
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		return error_set_errno(err, errno, "cannot write lock %s", path);
	*ret_fd = steal_fd(&fd);
	return 0;
}
