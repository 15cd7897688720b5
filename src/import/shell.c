/* SPDX-License-Identifier: Apache-2.0 */
#include "shell.h"

#include <ctype.h>

/*
 * How it works: one pass over the bytes. A word grows in `word`; `quote` is the quote that is open, or 0.
 * A dollar (outside of single quotes) goes through dollar(), which appends what the variable is. What is
 * expanded is never split again: paths with spaces stay one word.
 */

#define SUBSTITUTION_MAX 4096	/* bytes of ${...} and $(...); looking further would cost the square of the text */

struct scan {
	struct importer *importer;
	const char *at, *end;
	unsigned line, word_line;	/* word_line: where the word began */
	struct buf word;
	bool in_word, literal;
};

void shell_command_clear(struct shell_command *command)
{
	vec_clear(&command->words);
	vec_clear(&command->lines);
}

static bool is_name(char c, bool first)
{
	return c == '_' || isalpha((unsigned char)c) || (!first && isdigit((unsigned char)c));
}

static size_t name_length(const char *at, const char *end)
{
	size_t n = 0;

	while (at + n < end && is_name(at[n], n == 0))
		n++;
	return n;
}

static void unknown(struct scan *scan, const char *name, const char *from, size_t n)
{
	importer_note(scan->importer, scan->line, IMPORT_DROPPED, true, arena_printf(scan->importer->arena, "$%s", name),
		      "its value is not known and it stays as it is; give --set %s=VALUE", name);
	buf_add(&scan->word, from, n);
}

/* ${NAME}, ${NAME:-word}, ${NAME-word}, ${NAME:?word}; at `{`. */
static void braced(struct scan *scan)
{
	const char *from = scan->at - 1, *at = scan->at + 1, *close = memchr(at, '}', (size_t)MIN(scan->end - at, SUBSTITUTION_MAX));
	size_t n = name_length(at, scan->end);
	char *name = arena_strndup(scan->importer->arena, at, n);
	const char *value = map_get(&scan->importer->variables, name);

	if (!close || !n) {
		buf_addc(&scan->word, '$');
		return;
	}
	const char *rest = at + n;
	bool colon = *rest == ':', otherwise;

	rest += colon;
	otherwise = *rest == '-' || *rest == '=';
	scan->at = close + 1;
	if (value && !(colon && !*value))
		buf_adds(&scan->word, value);
	else if (otherwise && rest < close)
		buf_add(&scan->word, rest + 1, (size_t)(close - rest - 1));
	else
		unknown(scan, name, from, (size_t)(close + 1 - from));
}

/* $(...) or `...`: only what asks who and where one is. */
static void substituted(struct scan *scan, const char *from, char close_char)
{
	static const struct { const char *text, *variable; } known[] = {
		{ "pwd", "PWD" }, { "id -u", "UID" }, { "id -g", "GID" }, { "id -un", "USER" }, { "whoami", "USER" },
	};
	const char *close = memchr(scan->at, close_char, (size_t)MIN(scan->end - scan->at, SUBSTITUTION_MAX));

	if (!close) {
		buf_addc(&scan->word, *from);
		scan->at = from + 1;
		return;
	}
	char *text = arena_strndup(scan->importer->arena, scan->at, (size_t)(close - scan->at));

	for (const char *p = scan->at; p < close; p++)
		scan->line += *p == '\n';
	scan->at = close + 1;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		const char *value = map_get(&scan->importer->variables, known[i].variable);

		if (streq(text, known[i].text) && value) {
			buf_adds(&scan->word, value);
			return;
		}
	}
	importer_note(scan->importer, scan->line, IMPORT_DROPPED, true, arena_strndup(scan->importer->arena, from, (size_t)(close + 1 - from)),
		      "nothing is run here, so what it prints is not known; write the value in its place");
	buf_add(&scan->word, from, (size_t)(close + 1 - from));
}

/* At the dollar. */
static void dollar(struct scan *scan, bool substitutes)
{
	const char *from = scan->at++;
	size_t n = name_length(scan->at, scan->end);

	if (n) {
		char *name = arena_strndup(scan->importer->arena, scan->at, n);
		const char *value = map_get(&scan->importer->variables, name);

		scan->at += n;
		if (value)
			buf_adds(&scan->word, value);
		else
			unknown(scan, name, from, n + 1);
	} else if (scan->at < scan->end && *scan->at == '{') {
		braced(scan);
		if (scan->at == from + 1)
			return;
	} else if (substitutes && scan->at < scan->end && *scan->at == '(') {
		scan->at++;
		substituted(scan, from, ')');
	} else {
		buf_addc(&scan->word, '$');
	}
}

const char *shell_expand(struct importer *importer, unsigned line, const char *text, bool compose)
{
	struct scan scan = { .importer = importer, .at = text, .end = text + strlen(text), .line = line };
	const char *ret;

	while (scan.at < scan.end) {
		if (*scan.at != '$') {
			buf_addc(&scan.word, *scan.at++);
		} else if (compose && scan.at[1] == '$') {
			buf_addc(&scan.word, '$');
			scan.at += 2;
		} else {
			dollar(&scan, false);
		}
	}
	ret = arena_strdup(importer->arena, scan.word.data ? scan.word.data : "");
	buf_clear(&scan.word);
	return ret;
}

static void word_end(struct scan *scan, struct shell_command *ret)
{
	if (!scan->in_word)
		return;
	vec_push(&ret->words, (const char *)arena_strdup(scan->importer->arena, scan->word.data ? scan->word.data : ""));
	vec_push(&ret->lines, scan->word_line);
	if (ret->words.n == 1)
		ret->line = scan->word_line;
	buf_reset(&scan->word);
	scan->in_word = false;
}

static int single_quote(struct scan *scan, struct error *err)
{
	const char *close = memchr(scan->at + 1, '\'', (size_t)(scan->end - scan->at - 1));

	if (!close)
		return error_set(err, ERROR_INPUT, "%s:%u: a ' is never closed", scan->importer->name, scan->line);
	buf_add(&scan->word, scan->at + 1, (size_t)(close - scan->at - 1));
	for (; scan->at <= close; scan->at++)
		scan->line += *scan->at == '\n';
	scan->in_word = true;
	return 0;
}

static int double_quote(struct scan *scan, struct error *err)
{
	unsigned line = scan->line;

	scan->in_word = true;
	for (scan->at++; scan->at < scan->end && *scan->at != '"';) {
		char c = *scan->at;

		if (c == '$' && !scan->literal) {
			dollar(scan, true);
		} else if (c == '`' && !scan->literal) {
			const char *from = scan->at++;

			substituted(scan, from, '`');
		} else if (c == '\\' && scan->at + 1 < scan->end && strchr("$`\"\\\n", scan->at[1])) {
			if (scan->at[1] != '\n')
				buf_addc(&scan->word, scan->at[1]);
			scan->line += scan->at[1] == '\n';
			scan->at += 2;
		} else {
			scan->line += c == '\n';
			buf_addc(&scan->word, c);
			scan->at++;
		}
	}
	if (scan->at >= scan->end)
		return error_set(err, ERROR_INPUT, "%s:%u: a \" is never closed", scan->importer->name, line);
	scan->at++;
	return 0;
}

/* A backslash: joins lines (also where Windows ends them), or takes the next byte as it is. */
static void backslash(struct scan *scan)
{
	const char *next = scan->at + 1;

	if (next < scan->end && *next == '\r' && next + 1 < scan->end && next[1] == '\n')
		next++;
	scan->at = next < scan->end ? next + 1 : next;
	if (next < scan->end && *next == '\n') {
		scan->line++;
		return;
	}
	scan->in_word = true;
	buf_addc(&scan->word, next < scan->end ? *next : '\\');
}

/* What ends a command; its length, and its text in *tail. */
static size_t operator_at(const struct scan *scan, const char **tail)
{
	static const char *const operators[] = { "&&", "||", ";;", ";", "|", "&>", "&", ">>", ">", "<", "(", ")", NULL };

	for (const char *const *o = operators; *o; o++) {
		size_t n = strlen(*o);

		if ((size_t)(scan->end - scan->at) >= n && !memcmp(scan->at, *o, n)) {
			*tail = *o;
			return n;
		}
	}
	return 0;
}

/* Behind a redirection its file is skipped: the rest of the line. */
static void skip_line(struct scan *scan)
{
	while (scan->at < scan->end && *scan->at != '\n')
		scan->at++;
}

/* One step of the scan; 1: the command is complete. */
static int step(struct scan *scan, struct shell_command *ret, struct error *err)
{
	char c = *scan->at;
	size_t n;

	if (!scan->in_word)
		scan->word_line = scan->line;
	if (c == '\'')
		return single_quote(scan, err);
	if (c == '"')
		return double_quote(scan, err);
	if (c == '\\') {
		backslash(scan);
	} else if (c == '$' && !scan->literal) {
		scan->in_word = true;
		dollar(scan, true);
	} else if (c == '`' && !scan->literal) {
		const char *from = scan->at++;

		scan->in_word = true;
		substituted(scan, from, '`');
	} else if (c == '#' && !scan->in_word && !scan->literal) {
		skip_line(scan);
	} else if (c == '\n') {
		word_end(scan, ret);
		scan->at++;
		scan->line++;
		return ret->words.n > 0;
	} else if (c == ' ' || c == '\t' || c == '\r') {
		word_end(scan, ret);
		scan->at++;
	} else if (!scan->literal && (n = operator_at(scan, &ret->tail)) > 0) {
		word_end(scan, ret);
		scan->at += n;
		if (strchr("<>", ret->tail[0]) || streq(ret->tail, "&>") || streq(ret->tail, "|"))
			skip_line(scan);
		return 1;
	} else {
		buf_addc(&scan->word, c);
		scan->in_word = true;
		scan->at++;
	}
	return 0;
}

int shell_next(struct importer *importer, const char **at, const char *end, unsigned *line, struct shell_command *ret, bool *ret_more, struct error *err)
{
	struct scan scan = { .importer = importer, .at = *at, .end = end, .line = *line, .literal = ret->literal };
	int r = 0;

	ret->words.n = ret->lines.n = 0;
	ret->tail = "";
	ret->line = *line;
	while (r == 0 && scan.at < end) {
		r = step(&scan, ret, err);
		if (ret->words.n > IMPORT_WORDS_MAX)
			r = error_set(err, ERROR_INPUT, "%s:%u: a command of more than %d words", importer->name, scan.line, IMPORT_WORDS_MAX);
	}
	word_end(&scan, ret);
	buf_clear(&scan.word);
	*at = scan.at;
	*line = scan.line;
	if (r < 0)
		return -1;
	*ret_more = ret->words.n > 0 || *ret->tail || scan.at < end;
	return 0;
}
