/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_MODEL_QUANTITY_H
#define INSULA_MODEL_QUANTITY_H

/*
 * Quantities as Kubernetes writes them (k8s.io/apimachinery, resource.Quantity): a decimal number
 * with a suffix: n u m, none, k M G T P E, Ki Mi Gi Ti Pi Ei, or an exponent (1e3). Exact integer
 * arithmetic; what is finer than the unit is rounded up, away from zero, as Kubernetes does.
 * Too large for 64 bits is an error, never a wrap. Errors are ERROR_INPUT and say what is valid.
 */

#include "base/base.h"

#define QUANTITY_TEXT 32	/* any formatted value, with its 0 byte */

/* The value times `scale`: 1000 for cpu and gpu ("500m" gives 500), 1 for bytes and counts. */
int quantity_parse(const char *text, int64_t scale, int64_t *ret, struct error *err) WARN_UNUSED;

/* The shortest exact form; of forms of one length the one without a point, then the binary one. */
void quantity_format_milli(int64_t milli, char text[static QUANTITY_TEXT]);	/* 500 is "0.5", 2000 is "2", 5 is "5m" */
void quantity_format_bytes(int64_t bytes, char text[static QUANTITY_TEXT]);	/* "1.5Gi", "1M", "1500" */

/* Durations: numbers with ms, s, m, h, d, largest unit first, each once: "1h30m", "500ms", "7d"; "0". In milliseconds. */
int duration_parse(const char *text, int64_t *ret_ms, struct error *err) WARN_UNUSED;
void duration_format(int64_t ms, char text[static QUANTITY_TEXT]);		/* >= 0; "90s", "1d12h" */

/* A price: a decimal number >= 0 with up to six places, in millionths. */
int micros_parse(const char *text, int64_t *ret, struct error *err) WARN_UNUSED;

#endif
