/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdio.h>

#define LOG_TEXT_MAX 4096

static struct {
	log_sink sink;
	void *arg;
	enum log_level least;
} log_;

void log_set_sink(log_sink sink, void *arg, enum log_level least)
{
	log_.sink = sink;
	log_.arg = arg;
	log_.least = least;
}

void log_write(enum log_level level, const char *format, ...)
{
	char text[LOG_TEXT_MAX];
	va_list ap;
	int n;

	if (!log_.sink || level < log_.least)
		return;
	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(text))
		memcpy(text + sizeof(text) - 4, "...", 4);
	log_.sink(log_.arg, level, text);
}
