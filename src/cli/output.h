/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_CLI_OUTPUT_H
#define INSULA_CLI_OUTPUT_H

/*
 * What the commands print. Results go to stdout; warnings, progress and summaries to stderr.
 * With --json every line of stdout is one object with "v": 1 and "event".
 */

#include "command.h"
#include "data/json.h"

#define JSON_VERSION 1

/* Prints an error with its hint, as text or JSON; returns its exit status. */
int output_error(const struct cli *cli, const struct error *err);
/* One JSON line on stdout; takes the object. "v" and "event" are put in front. */
void output_json(const char *event, json_t *object);
void output_warning(const struct cli *cli, const char *format, ...) PRINTF_LIKE(2, 3);
/* A line of summary on stderr, unless --quiet or --json. */
void output_summary(const struct cli *cli, const char *format, ...) PRINTF_LIKE(2, 3);

/* Text from outside for a terminal: control characters become \xNN; caller frees. */
char *output_safe(const char *text);

/* "3 s", "4 min", "2 h", "9 d" */
void output_age(int64_t ms, char ret[static 32]);
/* "512 MiB", "1.5 GiB" */
void output_bytes(int64_t bytes, char ret[static 32]);

/* Asks on the terminal for a word; false when another was typed, or there is no terminal. */
bool output_confirm(const char *prompt, const char *word);

/* Set by SIGINT and SIGTERM: commands that work long look at it. A second signal ends at once. */
extern volatile bool output_stop;
void output_catch_signals(void);

#endif
