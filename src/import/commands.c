/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of commands, one a line, as queues of GPU jobs are fed. Each line becomes a workload in a copy of the
 * host's own system: one of task-spooler (ts, tsp) by its words, any other by a shell, as it is.
 */
#include "shell.h"

#include <stdlib.h>

#define LINE_MAX_BYTES ((size_t)64 << 10)

static struct work *add(struct importer *importer, unsigned line)
{
	struct work *work = importer_add(importer, line);

	if (!work)
		return NULL;
	work->image = "host";
	work->working_dir = importer->options->directory;
	work_add_mount(importer, work, line, "folder of the job", work->working_dir, work->working_dir, false);
	return work;
}

/* ts [-G n] [-L label] [-D id] ... command words */
static void read_spooler(struct importer *importer, const struct shell_command *command, unsigned line)
{
	struct work *work = add(importer, line);
	size_t at = 1;

	if (!work)
		return;
	for (; at < command->words.n && command->words.items[at][0] == '-' && command->words.items[at][1]; at++) {
		const char *word = command->words.items[at], *item = arena_strndup(importer->arena, word, 2), *value = NULL;

		if (strchr("GLDWNSg", word[1])) {
			if (word[2])
				value = word + 2;
			else if (at + 1 < command->words.n)
				value = command->words.items[++at];
			if (!value) {
				importer_note(importer, line, IMPORT_DROPPED, true, item, "its value is missing");
				continue;
			}
		}
		if (word[1] == 'G')
			work_take_gpus(importer, work, line, item, value);
		else if (word[1] == 'g')
			work_take_gpus(importer, work, line, item, arena_printf(importer->arena, "device=%s", value));
		else if (word[1] == 'L')
			work->name = value;
		else if (strchr("DWd", word[1]))
			importer_note(importer, line, IMPORT_DROPPED, true, item, "nothing is waited for; apply this one when the other is done, or join both into one line");
		else if (strchr("NS", word[1]))
			importer_note(importer, line, IMPORT_DROPPED, true, item, "slots are not counted here: set limit.instances of the tenant");
		else if (!strchr("nfmBE", word[1]) || (word[2] && word[2] != ' '))
			importer_note(importer, line, IMPORT_DROPPED, true, word, "it is not known here; -G, -L, -D, -W and -N are");
	}
	for (; at < command->words.n; at++)
		vec_push(&work->command, command->words.items[at]);
	if (!work->command.n) {
		importer_note(importer, line, IMPORT_DROPPED, true, command->words.items[0], "it runs no command");
		importer_drop_last(importer);
	}
	if (*command->tail)
		importer_note(importer, line, IMPORT_DROPPED, true, command->tail, "what is behind it is not part of the job; write a line for it");
}

/* As it is, for a shell. */
static void read_plain(struct importer *importer, const char *text, unsigned line)
{
	struct work *work = add(importer, line);
	size_t last = strlen(text);

	if (!work)
		return;
	work->gpu = importer->options->gpus;
	if (strstr(text, "CUDA_VISIBLE_DEVICES=")) {
		work->gpu = work->gpu ? work->gpu : 1;
		importer_note(importer, line, IMPORT_CHANGED, true, "CUDA_VISIBLE_DEVICES", "variables choose no GPU here, and with a number other than 0 this one hides it; %lld whichever is free, so take it out of the line",
			      (long long)work->gpu);
	}
	if (last && text[last - 1] == '&' && (last < 2 || text[last - 2] != '&'))
		importer_note(importer, line, IMPORT_CHANGED, true, "&", "the job ends when its shell does, so the command in the background ends at once; take the & away");
	vec_push(&work->command, "/bin/bash");
	vec_push(&work->command, "-c");
	vec_push(&work->command, text);
}

static int read_line(struct importer *importer, const char *text, unsigned line, struct error *err)
{
	static const char *const spoolers[] = { "ts", "tsp" };
	autocommand struct shell_command command = { .literal = true };
	const char *at = text, *end = text + strlen(text);
	unsigned place = line;
	bool more, spooler = false;

	if (shell_next(importer, &at, end, &place, &command, &more, err) < 0)
		return -1;
	for (size_t i = 0; command.words.n && i < ARRAY_LEN(spoolers); i++)
		spooler |= streq(command.words.items[0], spoolers[i]);
	if (!command.words.n)
		return 0;
	if (!spooler) {
		read_plain(importer, text, line);
		return 0;
	}
	command.literal = false;
	at = text;
	place = line;
	if (shell_next(importer, &at, end, &place, &command, &more, err) < 0)
		return -1;
	read_spooler(importer, &command, line);
	return 0;
}

/* A line with those that a backslash joins to it, blanks around it and the ends of Windows taken off; how many lines. */
static unsigned whole_line(struct importer *importer, const char **at, const char *end, const char **ret)
{
	autobuf struct buf text = { 0 };
	unsigned lines = 0;
	bool joined = true;

	buf_adds(&text, "");
	while (joined && *at < end) {
		const char *stop = memchr(*at, '\n', (size_t)(end - *at));
		size_t n = stop ? (size_t)(stop - *at) : (size_t)(end - *at), keep = n;

		while (keep && ((*at)[keep - 1] == '\r' || (*at)[keep - 1] == ' ' || (*at)[keep - 1] == '\t'))
			keep--;
		joined = keep && (*at)[keep - 1] == '\\' && stop;
		buf_add(&text, *at, joined ? keep - 1 : keep);
		*at += n + (stop != NULL);
		lines++;
	}
	*ret = arena_strdup(importer->arena, text.data + strspn(text.data, " \t"));
	return lines;
}

int import_commands(struct importer *importer, const char *text, size_t n, struct error *err)
{
	const char *at = text, *whole;
	unsigned line = 1;
	bool gpu = false;

	importer->queue = true;
	while (at < text + n) {
		unsigned lines = whole_line(importer, &at, text + n, &whole);

		if (strlen(whole) > LINE_MAX_BYTES)
			return error_set(err, ERROR_INPUT, "%s:%u: a line of %zu bytes; at most %zu are taken", importer->name, line, strlen(whole), LINE_MAX_BYTES);
		if (*whole && *whole != '#' && read_line(importer, whole, line, err) < 0)
			return -1;
		line += lines;
	}
	vec_each(&importer->works, work)
		gpu |= (*work)->gpu > 0;
	if (importer->works.n && !gpu)
		importer_note(importer, 0, IMPORT_CHANGED, false, "GPUs", "no line asks for one; --gpus N gives N to each");
	if (importer->works.n > 1)
		importer_note(importer, 0, IMPORT_CHANGED, true, "order", "all lines start together, as far as the tenant's limits let them; limit.gpu, which is that of the largest, and limit.instances say how many run at one time");
	if (importer->works.n)
		importer_note(importer, 0, IMPORT_CHANGED, false, "image", "each runs in a copy of this host's own system (image: host), with the folder mounted; name an image if you have one");
	return 0;
}
