/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of docker run, alone or in a script. How it works: shell.h gives commands as words; assignments
 * set variables; a command that is docker run becomes a work, its options looked up in one table.
 */
#include "shell.h"

#include "base/map.h"

#include <stdlib.h>

typedef void take_function(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text);

struct flag {
	const char *name;
	char letter;
	bool argument;
	take_function *take;		/* NULL: `note` is all */
	enum import_effect effect;
	bool grave;
	const char *note;		/* NULL: nothing is lost, nothing is said */
};

static void take_name(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	work->name = text;
}

static void take_entrypoint(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	if (*text)
		vec_push(&work->command, text);
}

/* type=bind,source=/a,target=/b,readonly */
static void take_mount_words(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	const char *type = "volume", *source = NULL, *target = "";
	bool read_only = false;

	for (const char *at = text; *at; at += strspn(at, ",")) {
		size_t n = strcspn(at, ",");
		char *word = arena_strndup(importer->arena, at, n), *value = strchr(word, '=');

		at += n;
		if (value)
			*value++ = '\0';
		if (streq(word, "type") && value)
			type = value;
		else if ((streq(word, "source") || streq(word, "src")) && value)
			source = value;
		else if ((streq(word, "target") || streq(word, "dst") || streq(word, "destination")) && value)
			target = value;
		else if (streq(word, "readonly") || streq(word, "ro"))
			read_only = !value || streq(value, "true") || streq(value, "1");
		else
			importer_note(importer, line, IMPORT_DROPPED, false, item, "the word '%.40s' of a mount", word);
	}
	if (streq(type, "tmpfs"))
		importer_note(importer, line, IMPORT_DROPPED, false, item, "no memory is mounted at %s; what is written there is in the instance's own layer", target);
	else
		work_add_mount(importer, work, line, item, source, target, read_only);
}

static void take_runtime(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	if (!streq(text, "nvidia"))
		importer_note(importer, line, IMPORT_DROPPED, true, item, "the runtime '%.40s' is not chosen by name; method: vm is the stronger wall", text);
	else if (!work->gpu)
		work_take_gpus(importer, work, line, item, "all");
}

static void take_device(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	if (starts_with(text, "nvidia.com/gpu=")) {
		work_take_gpus(importer, work, line, item, streq(text + 15, "all") ? "all" : arena_printf(importer->arena, "device=%s", text + 15));
	} else if (starts_with(text, "/dev/nvidia")) {
		importer_note(importer, line, IMPORT_CHANGED, false, item, "devices are granted by number: resources.gpu");
		if (text[11] >= '0' && text[11] <= '9')
			work->gpu++;
	} else {
		importer_note(importer, line, IMPORT_REFUSED, true, item, "no device of the host but a GPU is granted; leave out what needs %.80s", text);
	}
}

static void take_pid(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	importer_note(importer, line, IMPORT_REFUSED, true, item, "no instance sees the processes of the host or of others (%.40s)", text);
}

static void take_ulimit(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	bool usual = starts_with(text, "memlock") || starts_with(text, "stack");

	importer_note(importer, line, IMPORT_DROPPED, !usual, item, "%.60s: the limits of the site hold%s", text, usual ? "" : "; where it matters, set it by ulimit within the command");
}

static void take_env_file(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	importer_note(importer, line, IMPORT_DROPPED, true, item, "%.100s is not read; put its lines under env, and what is secret into a Secret", text);
}

#define NOTE(effect, grave, text) NULL, effect, grave, text

static const struct flag flags[] = {
	{ "gpus", 0, true, work_take_gpus }, { "runtime", 0, true, take_runtime }, { "device", 0, true, take_device },
	{ "volume", 'v', true, work_take_mount }, { "mount", 0, true, take_mount_words },
	{ "workdir", 'w', true, work_take_directory }, { "env", 'e', true, work_take_env }, { "env-file", 0, true, take_env_file },
	{ "publish", 'p', true, work_take_port }, { "ipc", 0, true, work_refuse_ipc }, { "user", 'u', true, work_take_user },
	{ "name", 0, true, take_name }, { "memory", 'm', true, work_take_memory }, { "cpus", 0, true, work_take_cpus },
	{ "restart", 0, true, work_take_restart }, { "entrypoint", 0, true, take_entrypoint }, { "ulimit", 0, true, take_ulimit },
	{ "network", 0, true, work_take_network }, { "net", 0, true, work_take_network }, { "pid", 0, true, take_pid },
	{ "security-opt", 0, true, work_refuse_security },
	{ "rm", 0, false }, { "interactive", 'i', false }, { "tty", 't', false }, { "detach", 'd', false }, { "init", 0, false }, { "quiet", 'q', false },
	{ "shm-size", 0, true, NOTE(IMPORT_DROPPED, false, "/dev/shm is the instance's own, as large as its memory limit") },
	{ "privileged", 0, false, NOTE(IMPORT_REFUSED, true, "nothing is privileged; say what it was for: resources.gpu for GPUs, volumes for folders") },
	{ "cap-add", 0, true, NOTE(IMPORT_REFUSED, true, "capabilities of the host are not given") },
	{ "userns", 0, true, NOTE(IMPORT_REFUSED, true, "every tenant has a range of ids of its own") },
	{ "uts", 0, true, NOTE(IMPORT_REFUSED, true, "the host's name is not shared") },
	{ "cgroupns", 0, true, NOTE(IMPORT_REFUSED, true, "control groups are the instance's own") },
	{ "cgroup-parent", 0, true, NOTE(IMPORT_DROPPED, false, "the tenant's limits hold") },
	{ "group-add", 0, true, NOTE(IMPORT_DROPPED, true, "groups of the host mean nothing inside") },
	{ "cap-drop", 0, true, NOTE(IMPORT_DROPPED, false, "capabilities are few already") },
	{ "read-only", 0, false, NOTE(IMPORT_DROPPED, true, "the instance can write to its own layer, which ends with it") },
	{ "tmpfs", 0, true, NOTE(IMPORT_DROPPED, false, "what is written there is in the instance's own layer") },
	{ "hostname", 'h', true, NOTE(IMPORT_DROPPED, false, "an instance is named after its workload") },
	{ "network-alias", 0, true, NOTE(IMPORT_DROPPED, true, "it is reached by its own name only") },
	{ "link", 0, true, NOTE(IMPORT_DROPPED, false, "all of a tenant reach each other by name") },
	{ "add-host", 0, true, NOTE(IMPORT_DROPPED, true, "names are the resolver's; Site.spec.dns says which is asked") },
	{ "dns", 0, true, NOTE(IMPORT_DROPPED, true, "Site.spec.dns says which resolver is asked") },
	{ "publish-all", 'P', false, NOTE(IMPORT_DROPPED, true, "which ports the image has is not known here; a Service with publish opens one") },
	{ "expose", 0, true, NOTE(IMPORT_DROPPED, false, "within the tenant every port is reached") },
	{ "label", 'l', true, NOTE(IMPORT_DROPPED, false, "set metadata.labels where it matters") },
	{ "pull", 0, true, NOTE(IMPORT_DROPPED, false, "an image stays what its digest says") },
	{ "platform", 0, true, NOTE(IMPORT_DROPPED, true, "the image must be this machine's") },
	{ "pids-limit", 0, true, NOTE(IMPORT_DROPPED, true, "set limit.pids of the tenant") },
	{ "memory-swap", 0, true, NOTE(IMPORT_DROPPED, false, "the memory limit holds") },
	{ "memory-reservation", 0, true, NOTE(IMPORT_DROPPED, false, "set quota.memory of the tenant for what is guaranteed") },
	{ "oom-kill-disable", 0, false, NOTE(IMPORT_DROPPED, true, "who exceeds the memory limit is ended") },
	{ "oom-score-adj", 0, true, NOTE(IMPORT_DROPPED, false, "who exceeds the memory limit is ended, and nobody else") },
	{ "cpuset-cpus", 0, true, NOTE(IMPORT_DROPPED, true, "cores are not chosen by number; set resources.cpu") },
	{ "cpu-shares", 'c', true, NOTE(IMPORT_DROPPED, false, "set the weight of the tenant") },
	{ "stop-signal", 0, true, NOTE(IMPORT_DROPPED, true, "it is asked to end by SIGTERM") },
	{ "stop-timeout", 0, true, NOTE(IMPORT_DROPPED, false, "the site's own grace holds") },
	{ "log-driver", 0, true, NOTE(IMPORT_DROPPED, false, "insula logs shows what it prints") },
	{ "log-opt", 0, true, NOTE(IMPORT_DROPPED, false, "insula logs shows what it prints") },
	{ "health-cmd", 0, true, NOTE(IMPORT_DROPPED, true, "health is not watched; it runs until it ends") },
	{ "health-interval", 0, true, NOTE(IMPORT_DROPPED, false, "health is not watched") },
	{ "volumes-from", 0, true, NOTE(IMPORT_DROPPED, true, "name the same volumes in both") },
	{ "cidfile", 0, true, NOTE(IMPORT_DROPPED, false, "insula status names what runs") },
};

static const struct flag *flag_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (streq(flags[i].name, name))
			return &flags[i];
	return NULL;
}

static const struct flag *flag_by_letter(char letter)
{
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (flags[i].letter && flags[i].letter == letter)
			return &flags[i];
	return NULL;
}

static const char *nearest_flag(const char *name)
{
	const char *words[ARRAY_LEN(flags) + 1];

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		words[i] = flags[i].name;
	words[ARRAY_LEN(flags)] = NULL;
	return nearest_word(name, words);
}

struct line {
	struct importer *importer;
	const struct shell_command *command;
	struct work *work;
	size_t at;
};

static void take(struct line *line, const struct flag *flag, unsigned number, const char *item, const char *value)
{
	bool off = !flag->argument && value && (streq(value, "false") || streq(value, "0"));

	if (flag->take)
		flag->take(line->importer, line->work, number, item, value);
	else if (flag->note && !off)
		importer_note(line->importer, number, flag->effect, flag->grave, item, "%s", flag->note);
}

/* The value behind an option: the next word. */
static const char *next_word(struct line *line, const char *item)
{
	if (line->at < line->command->words.n)
		return line->command->words.items[line->at++];
	importer_note(line->importer, line->command->line, IMPORT_DROPPED, true, item, "its value is missing");
	return NULL;
}

static void long_option(struct line *line, const char *word, unsigned number)
{
	const char *equals = strchr(word, '='), *value = equals ? equals + 1 : NULL;
	char *item = arena_strndup(line->importer->arena, word, equals ? (size_t)(equals - word) : strlen(word));
	const struct flag *flag = flag_by_name(item + 2);

	if (!flag) {
		const char *nearest = nearest_flag(item + 2);
		bool follows = !value && line->at + 1 < line->command->words.n && line->command->words.items[line->at][0] != '-';
		const struct flag *meant = nearest ? flag_by_name(nearest) : NULL;

		if (meant && meant->argument && follows)
			line->at++;
		importer_note(line->importer, number, IMPORT_DROPPED, true, item, "it is not known here%s%s%s", nearest ? "; did you mean --" : "", nearest ? nearest : "", nearest ? "?" : "");
		return;
	}
	if (flag->argument && !value && !(value = next_word(line, item)))
		return;
	take(line, flag, number, item, value);
}

/* -it, -v a:b, -va:b, -p=80:80 */
static void short_options(struct line *line, const char *word, unsigned number)
{
	for (const char *s = word + 1; *s; s++) {
		const struct flag *flag = flag_by_letter(*s);
		char *item = arena_printf(line->importer->arena, "-%c", *s);
		const char *value = NULL;

		if (!flag) {
			importer_note(line->importer, number, IMPORT_DROPPED, true, item, "it is not known here");
			return;
		}
		if (flag->argument) {
			value = s[1] == '=' ? s + 2 : s[1] ? s + 1 : next_word(line, item);
			if (!value)
				return;
		}
		take(line, flag, number, item, value);
		if (flag->argument)
			return;
	}
}

static const char *image_name(struct importer *importer, const char *image)
{
	const char *slash = strrchr(image, '/'), *base = slash ? slash + 1 : image;

	return arena_strndup(importer->arena, base, strcspn(base, ":@"));
}

/* A word processor's dash before a word, as the dashes it was; else the word itself. */
static const char *plain_dash(struct importer *importer, const char *word, unsigned number)
{
	const char *at = word + (*word == '-'), *plain;

	if (!starts_with(at, "\xe2\x80\x94") && !starts_with(at, "\xe2\x80\x93"))
		return word;
	at += 3;
	plain = arena_printf(importer->arena, "%s%s", at[0] && at[1] ? "--" : "-", at);
	importer_note(importer, number, IMPORT_CHANGED, true, word, "it begins with the long dash of a word processor, which docker does not know; it is read as %s", plain);
	return plain;
}

static void read_run(struct importer *importer, const struct shell_command *command, size_t at)
{
	struct work *work = importer_add(importer, command->line);
	struct line line = { importer, command, work, at };
	bool entrypoint;

	if (!work)
		return;
	while (line.at < command->words.n) {
		unsigned number = command->lines.items[line.at];
		const char *word = plain_dash(importer, command->words.items[line.at], number);

		if (word[0] != '-' || !word[1])
			break;
		line.at++;
		if (streq(word, "--"))
			break;
		if (word[1] == '-')
			long_option(&line, word, number);
		else
			short_options(&line, word, number);
	}
	if (line.at >= command->words.n) {
		importer_note(importer, command->line, IMPORT_DROPPED, true, "docker run", "it names no image; write yours in its place");
		work->image = "docker://NAME-OF-THE-IMAGE:latest";
		return;
	}
	const char *image = command->words.items[line.at];
	unsigned number = command->lines.items[line.at++];

	work_take_image(importer, work, number, image);
	if (!work->name)
		work->name = image_name(importer, image);
	entrypoint = work->command.n > 0;
	if (!entrypoint && line.at < command->words.n && command->words.items[line.at][0] == '-')
		importer_note(importer, command->lines.items[line.at], IMPORT_CHANGED, true, command->words.items[line.at],
			      "these are arguments of the image's own entrypoint, which is not known here; write that program in front of command");
	for (; line.at < command->words.n; line.at++)
		vec_push(&work->command, command->words.items[line.at]);
}

/* The index behind "docker run" or its like, 0 when it is none. */
static size_t run_at(const struct shell_command *command)
{
	size_t at = 0, n = command->words.n;
	const char *const *words = command->words.items;

	while (at < n && (streq(words[at], "sudo") || streq(words[at], "exec") || streq(words[at], "time") || streq(words[at], "nohup") || streq(words[at], "$")))
		at++;
	if (at >= n || !(streq(words[at], "docker") || streq(words[at], "podman") || streq(words[at], "nvidia-docker") || ends_with(words[at], "/docker")))
		return 0;
	at++;
	if (at < n && streq(words[at], "container"))
		at++;
	return at < n && (streq(words[at], "run") || streq(words[at], "create")) ? at + 1 : 0;
}

/* NAME=value, alone on its line or behind export */
static bool assign(struct importer *importer, const struct shell_command *command)
{
	size_t from = streq(command->words.items[0], "export") ? 1 : 0;

	for (size_t i = from; i < command->words.n; i++) {
		const char *word = command->words.items[i];
		size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

		if (!n || word[n] != '=')
			return false;
	}
	for (size_t i = from; i < command->words.n; i++) {
		const char *word = command->words.items[i];
		char *name = arena_strndup(importer->arena, word, strcspn(word, "="));
		bool given = false;

		for (size_t v = 0; v < importer->options->variable_n; v++)
			given |= streq(importer->options->variables[v].name, name);
		if (!given)
			map_set(&importer->variables, name, (void *)(word + strcspn(word, "=") + 1));
	}
	return true;
}

/* Of a script around docker run: what is not needed here, and what may matter. */
static void other_command(struct importer *importer, const struct shell_command *command)
{
	static const char *const harmless[] = { "set", "echo", "printf", "true", ":", "exit", "mkdir", "sleep", NULL };
	const char *first = command->words.items[0];
	bool grave = true;

	for (const char *const *h = harmless; *h; h++)
		grave &= !streq(first, *h);
	if (streq(first, "docker") && command->words.n > 1)
		grave = !(streq(command->words.items[1], "pull") || streq(command->words.items[1], "stop") || streq(command->words.items[1], "rm") || streq(command->words.items[1], "logs"));
	importer_note(importer, command->line, IMPORT_DROPPED, grave, first, "only docker run is read; do this by hand where it matters");
}

int import_docker_run(struct importer *importer, const char *text, size_t n, struct error *err)
{
	autocommand struct shell_command command = { 0 };
	const char *at = text;
	unsigned line = 1;
	bool more = true;

	while (more) {
		if (shell_next(importer, &at, text + n, &line, &command, &more, err) < 0)
			return -1;
		if (!command.words.n)
			continue;
		size_t run = run_at(&command);

		if (run)
			read_run(importer, &command, run);
		else if (!assign(importer, &command))
			other_command(importer, &command);
		if (strchr("|<>", *command.tail) && *command.tail && run)
			importer_note(importer, command.line, IMPORT_DROPPED, true, command.tail, "what is behind it is the shell's, not the instance's; insula logs shows what it prints");
	}
	return 0;
}
