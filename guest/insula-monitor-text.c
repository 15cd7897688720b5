/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int why_set(struct why *why, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why->text, sizeof(why->text), format, ap);
	va_end(ap);
	return -1;
}

int why_errno(struct why *why, const char *format, ...)
{
	int errnum = errno;
	size_t n;
	va_list ap;

	va_start(ap, format);
	vsnprintf(why->text, sizeof(why->text), format, ap);
	va_end(ap);
	n = strlen(why->text);
	snprintf(why->text + n, sizeof(why->text) - n, ": %s", strerror(errnum));
	return -1;
}

static int64_t clock_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t now_ms(void)
{
	return clock_ms(CLOCK_BOOTTIME);
}

int64_t wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

ssize_t file_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t n = 0;

	if (fd < 0)
		return -1;
	for (;;) {
		ssize_t got = read(fd, text + n, size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 || n + (size_t)got == size) {
			int errnum = got < 0 ? errno : E2BIG;

			close(fd);
			errno = errnum;
			if (got != 0)
				return -1;
			text[n] = '\0';
			return (ssize_t)n;
		}
		n += (size_t)got;
	}
}

int64_t file_number(const char *path)
{
	char text[64], *end;
	long long value;

	if (file_read(path, text, sizeof(text)) <= 0)
		return -1;
	value = strtoll(text, &end, 10);
	return end == text ? -1 : value;
}

int file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	size_t n = strlen(text);
	ssize_t done;

	if (fd < 0)
		return -1;
	done = write(fd, text, n);
	if (done >= 0 && (size_t)done != n)
		errno = EIO;
	close(fd);
	return done == (ssize_t)n ? 0 : -1;
}

int file_replace(const char *path, const char *text)
{
	char temporary[PATH_LIMIT];
	size_t n = strlen(text);
	ssize_t done;
	int fd;

	if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -1;
	done = write(fd, text, n);
	close(fd);
	if (done != (ssize_t)n) {
		errno = done < 0 ? errno : ENOSPC;
		return -1;
	}
	return rename(temporary, path);
}

bool path_make(char *path, const char *dir, const char *name)
{
	return snprintf(path, PATH_LIMIT, "%s/%s", dir, name) < PATH_LIMIT;
}

uint64_t start_ticks(pid_t pid)
{
	char path[32], text[1024], *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read(path, text, sizeof(text)) <= 0 || !(p = strrchr(text, ')')))
		return 0;
	p += 2;
	for (int field = 3; field < 22 && p; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	return p ? strtoull(p, NULL, 10) : 0;
}
