/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An sbatch script. How it works: the #SBATCH lines before the first command are directives and are looked
 * up in one table; the whole text, untouched, is the command of a bash, behind a prelude that gives what
 * Slurm gives: srun, and the SLURM_ variables. What almost is a directive is named: Slurm ignores it in silence.
 */
#include "shell.h"

#include "model/quantity.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct slurm {
	struct importer *importer;
	struct work *work;
	int64_t nodes, tasks, tasks_per_node, cpus, gpus, gpus_per_node, gpus_per_task, memory_per_cpu, memory_per_gpu;
	int64_t array_first, array_step;
	unsigned memory_line;
};

typedef void take_function(struct slurm *slurm, unsigned line, const char *item, const char *text);

struct directive {
	const char *name;
	char letter;
	bool argument;
	take_function *take;		/* or `note`; both NULL: nothing is lost */
	enum import_effect effect;
	bool grave;
	const char *note;
};

static void bad(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	importer_note(slurm->importer, line, IMPORT_DROPPED, true, item, "'%.60s' is not understood", text);
}

static void take_name(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	slurm->work->name = text;
}

static void take_count(struct slurm *slurm, unsigned line, const char *item, const char *text, int64_t *ret)
{
	int64_t value = import_number(text, 1, 100000);

	if (value < 0)
		bad(slurm, line, item, text);
	else
		*ret = value;
}

static void take_nodes(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	int64_t least = import_number(arena_strndup(slurm->importer->arena, text, strcspn(text, "-")), 1, 100000);

	if (least < 0)
		bad(slurm, line, item, text);
	else if (least > 1)
		importer_note(slurm->importer, line, IMPORT_REFUSED, true, item, "this is one machine; it is imported for one node, so what it computes may be another thing");
}

static void take_tasks(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	take_count(slurm, line, item, text, &slurm->tasks);
	if (slurm->tasks > 1)
		importer_note(slurm->importer, line, IMPORT_CHANGED, true, item, "srun runs its command once here, not %" PRId64 " times; start the tasks by mpirun, torchrun or xargs",
			      slurm->tasks);
}

static void take_tasks_per_node(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	take_count(slurm, line, item, text, &slurm->tasks_per_node);
	if (slurm->tasks_per_node > 1)
		importer_note(slurm->importer, line, IMPORT_CHANGED, true, item, "srun runs its command once here, not %" PRId64 " times; start the tasks by mpirun, torchrun or xargs",
			      slurm->tasks_per_node);
}

static void take_cpus(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	take_count(slurm, line, item, text, &slurm->cpus);
}

/* "2", "a100:2", "a100" */
static int64_t take_typed(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	const char *colon = strrchr(text, ':'), *count = colon ? colon + 1 : text;
	int64_t value = import_number(count, 0, 1024);

	if (!colon && value < 0 && isalpha((unsigned char)*text)) {
		vec_push(&slurm->work->gpu_models, text);
		return 1;
	}
	if (value < 0) {
		bad(slurm, line, item, text);
		return 0;
	}
	if (colon)
		vec_push(&slurm->work->gpu_models, (const char *)arena_strndup(slurm->importer->arena, text, (size_t)(colon - text)));
	return value;
}

static void take_gpus(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	slurm->gpus = take_typed(slurm, line, item, text);
}

static void take_gpus_per_node(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	slurm->gpus_per_node = take_typed(slurm, line, item, text);
}

static void take_gpus_per_task(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	slurm->gpus_per_task = take_typed(slurm, line, item, text);
}

/* gpu:a100:2,tmpfs:10G */
static void take_gres(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	for (const char *at = text; *at; at += strspn(at, ",")) {
		size_t n = strcspn(at, ",");
		char *word = arena_strndup(slurm->importer->arena, at, n);

		at += n;
		if (streq(word, "gpu"))
			slurm->gpus_per_node = 1;
		else if (starts_with(word, "gpu:") || starts_with(word, "gpu="))
			slurm->gpus_per_node = take_typed(slurm, line, item, word + 4);
		else
			importer_note(slurm->importer, line, IMPORT_DROPPED, true, item, "'%.60s' is no GPU", word);
	}
}

/* Slurm's unit is the megabyte of 1024 x 1024 bytes when none is said. */
static int64_t megabytes(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	struct work scratch = { 0 };
	bool bare = *text && strspn(text, "0123456789") == strlen(text);

	work_take_memory(slurm->importer, &scratch, line, item, bare ? arena_printf(slurm->importer->arena, "%.20sm", text) : text);
	return scratch.memory;
}

static void take_memory(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	if (streq(text, "0"))
		importer_note(slurm->importer, line, IMPORT_CHANGED, true, item, "all memory of the machine is nobody's; the tenant's limit holds, and resources.memory sets one");
	else
		slurm->work->memory = megabytes(slurm, line, item, text);
}

static void take_memory_per_cpu(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	slurm->memory_per_cpu = megabytes(slurm, line, item, text);
	slurm->memory_line = line;
}

static void take_memory_per_gpu(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	slurm->memory_per_gpu = megabytes(slurm, line, item, text);
	slurm->memory_line = line;
}

/* m, m:s, h:m:s, d-h, d-h:m, d-h:m:s; the milliseconds, or -1 */
static int64_t slurm_time(const char *text)
{
	const char *dash = strchr(text, '-'), *at = dash ? dash + 1 : text;
	int64_t part[3] = { 0 }, days = 0, seconds;
	char digits[16];
	size_t n = 0;

	if (dash) {
		snprintf(digits, sizeof(digits), "%.*s", (int)MIN(dash - text, 15), text);
		days = import_number(digits, 0, 36500);
	}
	for (bool more = true; more && n < 3; n++) {
		size_t length = strcspn(at, ":");

		snprintf(digits, sizeof(digits), "%.*s", (int)MIN(length, (size_t)15), at);
		part[n] = import_number(digits, 0, 100000000);
		more = at[length] == ':';
		at += length + more;
		if (part[n] < 0)
			return -1;
	}
	if (*at || days < 0)
		return -1;
	if (dash)
		seconds = part[0] * 3600 + part[1] * 60 + part[2];
	else
		seconds = n == 1 ? part[0] * 60 : n == 2 ? part[0] * 60 + part[1] : part[0] * 3600 + part[1] * 60 + part[2];
	return (seconds + days * 86400) * 1000;
}

static void take_time(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	int64_t value = slurm_time(text);

	if (value == 0 || streq(text, "UNLIMITED") || streq(text, "INFINITE"))
		return;
	if (value < 0)
		bad(slurm, line, item, text);
	else
		slurm->work->time_limit = value;
}

static void take_output(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	importer_note(slurm->importer, line, IMPORT_CHANGED, false, item, "no file %.100s: 'insula logs' shows what it prints", text);
}

/* 0-9, 1-10:2, 0-99%4, 1,3,7 */
static void take_array(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	size_t n = strcspn(text, "%");
	char *range = arena_strndup(slurm->importer->arena, text, n), *colon = strchr(range, ':'), *dash;
	int64_t first, last, step = colon ? import_number(colon + 1, 1, 100000) : 1;

	if (colon)
		*colon = '\0';
	dash = strchr(range, '-');
	if (dash)
		*dash = '\0';
	first = import_number(range, 0, 1000000);
	last = dash ? import_number(dash + 1, 0, 1000000) : first;
	if (first < 0 || last < first || step < 1 || (last - first) / step >= 1000) {
		importer_note(slurm->importer, line, IMPORT_DROPPED, true, item, "'%.60s' is no range of at most 1000 like 0-9 or 1-9:2; it runs once", text);
		return;
	}
	slurm->work->replicas = (last - first) / step + 1;
	slurm->array_first = first;
	slurm->array_step = step;
	if (text[n])
		importer_note(slurm->importer, line, IMPORT_DROPPED, true, item, "not %s at one time: set limit.instances of the tenant to that", text + n + 1);
}

static void take_directory(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	if (*text == '/')
		slurm->work->working_dir = text;
	else
		slurm->work->working_dir = arena_printf(slurm->importer->arena, "%s/%s", slurm->importer->options->directory, text);
}

static void take_export(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	for (const char *at = text; *at; at += strspn(at, ",")) {
		size_t n = strcspn(at, ",");
		char *word = arena_strndup(slurm->importer->arena, at, n);

		at += n;
		if (streq(word, "ALL"))
			importer_note(slurm->importer, line, IMPORT_DROPPED, false, item, "the environment of who applies is not taken along; name what is needed under env");
		else if (!streq(word, "NONE") && !streq(word, "NIL"))
			work_take_env(slurm->importer, slurm->work, line, item, word);
	}
}

static void take_requeue(struct slurm *slurm, unsigned line, const char *item, const char *text)
{
	slurm->work->restart = "onFailure";
	importer_note(slurm->importer, line, IMPORT_CHANGED, false, item, "restart: onFailure");
}

#define NOTE(effect, grave, text) NULL, effect, grave, text

static const struct directive directives[] = {
	{ "job-name", 'J', true, take_name }, { "gres", 0, true, take_gres }, { "gpus", 'G', true, take_gpus },
	{ "gpus-per-node", 0, true, take_gpus_per_node }, { "gpus-per-task", 0, true, take_gpus_per_task },
	{ "cpus-per-task", 'c', true, take_cpus }, { "mem", 0, true, take_memory }, { "mem-per-cpu", 0, true, take_memory_per_cpu },
	{ "mem-per-gpu", 0, true, take_memory_per_gpu }, { "time", 't', true, take_time }, { "output", 'o', true, take_output }, { "error", 'e', true, take_output },
	{ "array", 'a', true, take_array }, { "nodes", 'N', true, take_nodes }, { "ntasks", 'n', true, take_tasks },
	{ "ntasks-per-node", 0, true, take_tasks_per_node }, { "chdir", 'D', true, take_directory }, { "export", 0, true, take_export },
	{ "requeue", 0, false, take_requeue }, { "no-requeue", 0, false },
	{ "dependency", 'd', true, NOTE(IMPORT_DROPPED, true, "nothing is waited for; apply this file when the other job is done") },
	{ "partition", 'p', true, NOTE(IMPORT_DROPPED, false, "there is one machine; the tenant's limits stand in its place") },
	{ "account", 'A', true, NOTE(IMPORT_DROPPED, false, "the tenant is the account; --tenant names it") },
	{ "qos", 'q', true, NOTE(IMPORT_DROPPED, false, "set priority, or the quota of the tenant") },
	{ "nice", 0, true, NOTE(IMPORT_DROPPED, false, "set priority: lower is later") },
	{ "mail-type", 0, true, NOTE(IMPORT_DROPPED, false, "no mail is sent; 'insula status' says how it ended") },
	{ "mail-user", 0, true, NOTE(IMPORT_DROPPED, false, "no mail is sent; 'insula status' says how it ended") },
	{ "comment", 0, true, NOTE(IMPORT_DROPPED, false, "set metadata.labels where it matters") },
	{ "constraint", 'C', true, NOTE(IMPORT_DROPPED, true, "set resources.gpuModel where it was for a GPU") },
	{ "exclusive", 0, false, NOTE(IMPORT_DROPPED, true, "nobody has the machine alone; set resources.cpu and memory to what it needs") },
	{ "nodelist", 'w', true, NOTE(IMPORT_DROPPED, false, "there is one machine") },
	{ "exclude", 'x', true, NOTE(IMPORT_DROPPED, false, "there is one machine") },
	{ "begin", 'b', true, NOTE(IMPORT_DROPPED, true, "it starts when the file is applied") },
	{ "signal", 0, true, NOTE(IMPORT_DROPPED, true, "it is asked to end by SIGTERM when its time is over") },
	{ "open-mode", 0, true, NOTE(IMPORT_DROPPED, false, "'insula logs' shows what it prints") },
	{ "reservation", 0, true, NOTE(IMPORT_DROPPED, false, "what is guaranteed is the tenant's quota") },
	{ "hint", 0, true, NOTE(IMPORT_DROPPED, false, "cores are not chosen here") },
	{ "verbose", 'v', false }, { "quiet", 'Q', false },
};

static const struct directive *directive_find(const char *name, char letter)
{
	for (size_t i = 0; i < ARRAY_LEN(directives); i++)
		if (name ? streq(directives[i].name, name) : directives[i].letter == letter)
			return &directives[i];
	return NULL;
}

static void unknown_directive(struct slurm *slurm, unsigned line, const char *item)
{
	const char *words[ARRAY_LEN(directives) + 1], *nearest;

	for (size_t i = 0; i < ARRAY_LEN(directives); i++)
		words[i] = directives[i].name;
	words[ARRAY_LEN(directives)] = NULL;
	nearest = nearest_word(item + strspn(item, "-"), words);
	importer_note(slurm->importer, line, IMPORT_DROPPED, true, item, "it is not known here%s%s%s", nearest ? "; did you mean --" : "", nearest ? nearest : "", nearest ? "?" : "");
}

/* A word processor's dash in a directive: Slurm does not know it, and neither is it taken here. */
static bool long_dash(struct slurm *slurm, unsigned line, const char *word)
{
	const char *dash = strstr(word, "\xe2\x80\x93");

	if (!dash)
		dash = strstr(word, "\xe2\x80\x94");
	if (!dash || dash - word > 1)
		return false;
	importer_note(slurm->importer, line, IMPORT_DROPPED, true, word, "it has the long dash of a word processor, so Slurm does not take it; write --%s if it is meant", dash + 3);
	return true;
}

/* One word or two of a directive line; how many were used. */
static size_t take_directive(struct slurm *slurm, const struct shell_command *words, size_t at, unsigned line)
{
	const char *word = words->words.items[at], *next = at + 1 < words->words.n ? words->words.items[at + 1] : NULL, *value = NULL;
	const struct directive *directive;
	const char *item = word;
	size_t used = 1;

	if (long_dash(slurm, line, word))
		return words->words.n - at;
	if (word[0] != '-' || !word[1]) {
		importer_note(slurm->importer, line, IMPORT_DROPPED, true, word, "it is no directive; directives begin with -- or -");
		return 1;
	}
	if (word[1] == '-') {
		const char *equals = strchr(word, '=');

		item = arena_strndup(slurm->importer->arena, word, equals ? (size_t)(equals - word) : strlen(word));
		directive = directive_find(item + 2, 0);
		value = equals ? equals + 1 : NULL;
	} else {
		item = arena_printf(slurm->importer->arena, "-%c", word[1]);
		directive = directive_find(NULL, word[1]);
		value = word[2] ? word + 2 + (word[2] == '=') : NULL;
	}
	if (!directive) {
		unknown_directive(slurm, line, item);
		return 1 + (!value && next && next[0] != '-');
	}
	if (directive->argument && !value) {
		value = next;
		used = 2;
	}
	if (directive->argument && (!value || !*value))
		importer_note(slurm->importer, line, IMPORT_DROPPED, true, item, "its value is missing");
	else if (directive->take)
		directive->take(slurm, line, item, value);
	else if (directive->note)
		importer_note(slurm->importer, line, directive->effect, directive->grave, item, "%s", directive->note);
	return used;
}

static int read_directives(struct slurm *slurm, unsigned line, const char *text, size_t n, struct error *err)
{
	autocommand struct shell_command words = { .literal = true };
	const char *at = text;
	unsigned place = line;
	bool more;

	if (shell_next(slurm->importer, &at, text + n, &place, &words, &more, err) < 0)
		return -1;
	for (size_t i = 0; i < words.words.n;) {
		if (words.words.items[i][0] == '#')
			break;
		i += take_directive(slurm, &words, i, line);
	}
	return 0;
}

/* Letters of SBATCH in another order, one missing, one too many: what a misspelt one begins with. ## is how one is switched off. */
static bool near_miss(const char *text, size_t n)
{
	static const char *const words[] = { "SBATCH", NULL };
	size_t from = strspn(text, "# \t"), length = 0;
	char word[12] = { 0 };

	while (from + length < n && length < sizeof(word) - 1 && isalpha((unsigned char)text[from + length])) {
		word[length] = (char)toupper((unsigned char)text[from + length]);
		length++;
	}
	return !starts_with(text, "##") && length >= 4 && word[0] == 'S' && strchr(word, 'B') && nearest_word(word, words);
}

/* Each line until the script's first command, then the near misses and late ones behind it. */
static int read_lines(struct slurm *slurm, const char *text, size_t n, struct error *err)
{
	bool commands = false;
	unsigned line = 1;

	for (const char *at = text; at < text + n; line++) {
		const char *end = memchr(at, '\n', (size_t)(text + n - at));
		size_t length = end ? (size_t)(end - at) : (size_t)(text + n - at), blank = strspn(at, " \t\r");
		bool directive = length > 7 && !strncmp(at, "#SBATCH", 7) && isspace((unsigned char)at[7]);

		if (directive && commands)
			importer_note(slurm->importer, line, IMPORT_DROPPED, true, "#SBATCH", "it stands behind the first command, where Slurm does not read it; move it up if it is meant");
		else if (directive && read_directives(slurm, line, at + 7, length - 7, err) < 0)
			return -1;
		else if (!directive && blank < length && at[blank] == '#' && near_miss(at + blank, length - blank) &&
			 (memchr(at, '-', length) || memmem(at, length, "\xe2\x80", 2)))
			importer_note(slurm->importer, line, IMPORT_DROPPED, true, arena_strndup(slurm->importer->arena, at, MIN(length, (size_t)60)),
				      "Slurm takes it for a comment, so it never held; write #SBATCH if it is meant");
		commands |= blank < length && at[blank] != '#';
		at += length + (end != NULL);
	}
	return 0;
}

/* What the counts come to for one machine. */
static void settle(struct slurm *slurm)
{
	struct work *work = slurm->work;
	int64_t tasks = slurm->tasks ? slurm->tasks : slurm->tasks_per_node ? slurm->tasks_per_node : 1, cores = (slurm->cpus ? slurm->cpus : 1) * tasks;

	if (slurm->cpus || tasks > 1)
		work->cpu = MIN(cores, 1000000) * 1000;
	work->gpu = slurm->gpus ? slurm->gpus : slurm->gpus_per_node ? slurm->gpus_per_node : MIN(slurm->gpus_per_task * tasks, 1024);
	if (slurm->memory_per_cpu || slurm->memory_per_gpu) {
		__int128 memory = slurm->memory_per_cpu ? (__int128)slurm->memory_per_cpu * cores : (__int128)slurm->memory_per_gpu * MAX(work->gpu, 1);

		if (memory < INT64_MAX / 16)
			work->memory = (int64_t)memory;
		else
			importer_note(slurm->importer, slurm->memory_line, IMPORT_DROPPED, true, "memory", "it comes to more than can be said");
	}
}

/* What Slurm gives to a job, before its own text. */
static void prelude(const struct slurm *slurm, const char *text, struct buf *ret)
{
	int64_t tasks = slurm->tasks ? slurm->tasks : slurm->tasks_per_node ? slurm->tasks_per_node : 1;

	if (strstr(text, "SLURM_")) {
		buf_adds(ret, "export SLURM_JOB_ID=\"$$\" SLURM_JOBID=\"$$\" SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NNODES=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0\n");
		buf_addf(ret, "export SLURM_NTASKS=%" PRId64 " SLURM_CPUS_PER_TASK=%" PRId64 " SLURM_SUBMIT_DIR=\"$PWD\"\n", tasks, slurm->cpus ? slurm->cpus : 1);
	}
	if (slurm->work->replicas)
		buf_addf(ret, "export SLURM_ARRAY_TASK_ID=$((%" PRId64 " + ${INSULA_REPLICA:-0} * %" PRId64 ")) SLURM_ARRAY_TASK_COUNT=%" PRId64 "\n", slurm->array_first,
			 slurm->array_step, slurm->work->replicas);
	if (strstr(text, "srun"))
		buf_adds(ret, "srun() { while [ \"${1#-}\" != \"$1\" ]; do case $1 in -[nNcGJptowxDAeb]|--ntasks|--ntasks-per-node|--nodes|--gres|--gpus|--gpus-per-task|--cpus-per-task|--mem|--mpi|--cpu-bind) shift;; esac; shift; done; \"$@\"; }\n");
}

/* What a script takes for granted on a cluster. */
static void tell_of_body(struct slurm *slurm, const char *text)
{
	if (strstr(text, "module load"))
		importer_note(slurm->importer, 0, IMPORT_CHANGED, true, "module load", "modules must be in the image, or installed on this host");
	if (strstr(text, "conda activate") || strstr(text, "source activate"))
		importer_note(slurm->importer, 0, IMPORT_CHANGED, true, "conda activate", "no home is mounted: the environment must be within the folder of the job, or in an image");
	if (strstr(text, "srun"))
		importer_note(slurm->importer, 0, IMPORT_CHANGED, false, "srun", "it runs its command, once");
	importer_note(slurm->importer, 0, IMPORT_CHANGED, false, "image", "it runs in a copy of this host's own system (image: host), with the folder of the job mounted; name an image if you have one");
}

/* The script as it is, but for the line ends of Windows: Slurm refuses them, and a shell stumbles over them. */
static void add_body(struct slurm *slurm, const char *text, struct buf *ret)
{
	bool windows = false;

	for (const char *s = text; *s; s++) {
		if (s[0] == '\r' && s[1] == '\n')
			windows = true;
		else
			buf_addc(ret, *s);
	}
	if (windows)
		importer_note(slurm->importer, 0, IMPORT_CHANGED, false, "line ends", "those of Windows are taken out of the script; Slurm would refuse them");
}

/* By its first line: is it for a shell, and one that logs in? */
static bool login_shell(struct slurm *slurm, const char *text)
{
	char *first = arena_strndup(slurm->importer->arena, text, strcspn(text, "\r\n"));

	if (starts_with(first, "#!") && !strstr(first, "sh"))
		importer_note(slurm->importer, 1, IMPORT_CHANGED, true, first, "it is no script of a shell, and is run by bash here; put that program in front of command");
	return starts_with(first, "#!") && (ends_with(first, " -l") || ends_with(first, " --login"));
}

int import_slurm(struct importer *importer, const char *text, size_t n, struct error *err)
{
	struct slurm slurm = { .importer = importer, .work = importer_add(importer, 1) };
	autobuf struct buf body = { 0 };
	autofree char *copy = xstrndup(text, n);

	if (!strstr(copy, "#SBATCH")) {
		error_set(err, ERROR_INPUT, "%s has no line that begins with #SBATCH", importer->name);
		return error_hint(err, "an sbatch script says what it needs by lines like: #SBATCH --gres=gpu:1");
	}
	if (n > 120 << 10)
		return error_set(err, ERROR_INPUT, "%s has %zu bytes; a script of at most 120 KiB is carried along", importer->name, n);
	importer->queue = true;
	slurm.work->image = "host";
	slurm.work->name = "job";
	if (read_lines(&slurm, copy, n, err) < 0)
		return -1;
	settle(&slurm);
	prelude(&slurm, copy, &body);
	add_body(&slurm, copy, &body);
	if (!slurm.work->working_dir)
		slurm.work->working_dir = importer->options->directory;
	work_add_mount(importer, slurm.work, 1, "folder of the job", slurm.work->working_dir, slurm.work->working_dir, false);
	vec_push(&slurm.work->command, "/bin/bash");
	vec_push(&slurm.work->command, login_shell(&slurm, copy) ? "-lc" : "-c");
	vec_push(&slurm.work->command, (const char *)arena_strdup(importer->arena, body.data));
	tell_of_body(&slurm, copy);
	return 0;
}
