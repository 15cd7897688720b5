/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_BASE_LOG_H
#define INSULA_BASE_LOG_H

/*
 * Diagnostics for the developer and the curious. Below cli/ and daemon/ code calls log_debug only;
 * what the user must know goes through return values, errors and progress callbacks.
 * The sink is set once by main before any thread starts.
 */

#include "base.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING };

typedef void (*log_sink)(void *arg, enum log_level level, const char *text);

void log_set_sink(log_sink sink, void *arg, enum log_level least);
void log_write(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
