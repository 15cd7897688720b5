/* SPDX-License-Identifier: Apache-2.0 */
#include "error.h"

#include "base.h"

#include <errno.h>
#include <stdio.h>

static void text_set(char *text, size_t size, const char *format, va_list ap) PRINTF_LIKE(3, 0);
static void text_set(char *text, size_t size, const char *format, va_list ap)
{
	int n = vsnprintf(text, size, format, ap);
	if (n < 0)
		text[0] = '\0';
	else if ((size_t)n >= size)
		memcpy(text + size - 4, "...", 4);
}

int (error_set)(struct error *err, enum error_code code, const char *format, ...)
{
	struct error fresh = { .code = code };	/* apart: an argument may be err's own message */
	va_list ap;

	va_start(ap, format);
	text_set(fresh.message, sizeof(fresh.message), format, ap);
	va_end(ap);
	*err = fresh;
	return -1;
}

static enum error_code code_from_errno(int errnum)
{
	switch (errnum) {
	case EPERM:
	case EACCES:
		return ERROR_PERMISSION;
	case ENOSPC:
	case EDQUOT:
	case ENOMEM:
		return ERROR_CAPACITY;
	case ENOENT:
		return ERROR_NOT_FOUND;
	case EINTR:
		return ERROR_INTERRUPTED;
	default:
		return ERROR_FAILED;
	}
}

int (error_set_errno)(struct error *err, int errnum, const char *format, ...)
{
	struct error fresh = {
		.code = code_from_errno(errnum),
		.sys_errno = errnum,
		.retryable = errnum == EAGAIN || errnum == EBUSY,
	};
	va_list ap;
	size_t n;

	va_start(ap, format);
	text_set(fresh.message, sizeof(fresh.message), format, ap);
	va_end(ap);
	n = strlen(fresh.message);
	snprintf(fresh.message + n, sizeof(fresh.message) - n, ": %s", strerror(errnum));
	*err = fresh;
	return -1;
}

int (error_wrap)(struct error *err, const char *format, ...)
{
	char prefix[sizeof(err->message)], whole[sizeof(err->message) * 2 + 2];
	va_list ap;

	va_start(ap, format);
	text_set(prefix, sizeof(prefix), format, ap);
	va_end(ap);
	snprintf(whole, sizeof(whole), "%s: %s", prefix, err->message);
	if (strlen(whole) >= sizeof(err->message))
		memcpy(whole + sizeof(err->message) - 4, "...", 4);
	memcpy(err->message, whole, MIN(strlen(whole) + 1, sizeof(err->message)));
	return -1;
}

int (error_hint)(struct error *err, const char *format, ...)
{
	va_list ap;

	if (err->hint[0])
		return -1;
	va_start(ap, format);
	text_set(err->hint, sizeof(err->hint), format, ap);
	va_end(ap);
	return -1;
}

static const struct {
	const char *name;
	int exit_status;
} codes[] = {
	[ERROR_NONE] = { "none", 0 },
	[ERROR_FAILED] = { "failed", 1 },
	[ERROR_PARTIAL] = { "partial", 3 },
	[ERROR_INPUT] = { "input", 4 },
	[ERROR_PERMISSION] = { "permission", 5 },
	[ERROR_CAPACITY] = { "capacity", 6 },
	[ERROR_LEFTOVER] = { "leftover", 7 },
	[ERROR_INTERRUPTED] = { "interrupted", 130 },
	[ERROR_NOT_FOUND] = { "not_found", 1 },
	[ERROR_CONFLICT] = { "conflict", 1 },
	[ERROR_UNSUPPORTED] = { "unsupported", 1 },
};

int error_exit_status(enum error_code code)
{
	return (size_t)code < ARRAY_LEN(codes) ? codes[code].exit_status : 1;
}

const char *error_code_name(enum error_code code)
{
	return (size_t)code < ARRAY_LEN(codes) ? codes[code].name : "failed";
}
