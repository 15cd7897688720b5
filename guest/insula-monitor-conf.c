/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor.h"
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* monitor.conf: a table of keys, where each goes and of what type it is. */

enum type { TYPE_TEXT, TYPE_LIST, TYPE_NUMBER, TYPE_RESTART };

struct key {
	const char *name;
	enum type type;
	size_t offset;
	bool needed;
};

#define KEY(name, type, field, needed) { name, type, offsetof(struct conf, field), needed }

static const struct key keys[] = {
	KEY("key", TYPE_TEXT, key, true),
	KEY("dir", TYPE_TEXT, dir, true),
	KEY("runtime", TYPE_TEXT, runtime, true),
	KEY("program", TYPE_TEXT, program, true),
	KEY("group", TYPE_LIST, groups, true),
	KEY("home", TYPE_LIST, homes, false),
	KEY("unified", TYPE_TEXT, unified, false),
	KEY("freezer", TYPE_TEXT, freezer, false),
	KEY("memory.v1", TYPE_TEXT, memory_v1, false),
	KEY("memory.v2", TYPE_TEXT, memory_v2, false),
	KEY("cpu.v1", TYPE_TEXT, cpu_v1, false),
	KEY("cpu.v2", TYPE_TEXT, cpu_v2, false),
	KEY("hide", TYPE_TEXT, hide, false),
	KEY("release", TYPE_TEXT, release, false),
	KEY("keep", TYPE_LIST, keep, false),
	KEY("layer", TYPE_LIST, layers, true),
	KEY("host", TYPE_LIST, hosts, false),
	KEY("bind", TYPE_LIST, binds, false),
	KEY("upper", TYPE_TEXT, upper, true),
	KEY("work", TYPE_TEXT, work, true),
	KEY("base", TYPE_NUMBER, base, true),
	KEY("count", TYPE_NUMBER, count, true),
	KEY("uid", TYPE_NUMBER, uid, false),
	KEY("gid", TYPE_NUMBER, gid, false),
	KEY("log", TYPE_TEXT, log, true),
	KEY("log.size", TYPE_NUMBER, log_size, false),
	KEY("log.keep", TYPE_NUMBER, log_keep, false),
	KEY("usage", TYPE_TEXT, usage, true),
	KEY("digest", TYPE_TEXT, digest, false),
	KEY("restart", TYPE_RESTART, restart, false),
	KEY("restart.max", TYPE_NUMBER, restart_max, false),
	KEY("backoff.first_ms", TYPE_NUMBER, backoff_first_ms, false),
	KEY("backoff.cap_ms", TYPE_NUMBER, backoff_cap_ms, false),
	KEY("backoff.reset_ms", TYPE_NUMBER, backoff_reset_ms, false),
	KEY("stop_ms", TYPE_NUMBER, stop_ms, false),
	KEY("start_ms", TYPE_NUMBER, start_ms, false),
	KEY("sample_ms", TYPE_NUMBER, sample_ms, false),
};

static const char *const restart_words[] = { [RESTART_NEVER] = "never", [RESTART_ON_FAILURE] = "onFailure", [RESTART_ALWAYS] = "always" };

#define LIST_LIMIT 1024

static void conf_defaults(struct conf *conf)
{
	*conf = (struct conf){
		.log_size = 10 << 20, .log_keep = 2, .restart = RESTART_NEVER, .restart_max = -1,
		.backoff_first_ms = 1000, .backoff_cap_ms = 300000, .backoff_reset_ms = 600000,
		.stop_ms = 10000, .start_ms = 60000, .sample_ms = 10000,
	};
}

static int unescape(char *value)
{
	char *to = value;

	for (char *from = value; *from; from++) {
		if (*from == '\\') {
			from++;
			if (*from != 'n' && *from != '\\')
				return -1;
			*to++ = *from == 'n' ? '\n' : '\\';
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
	return 0;
}

static int list_add(struct strings *list, char *value)
{
	char **items;

	if (list->n == LIST_LIMIT) {
		errno = E2BIG;
		return -1;
	}
	items = realloc(list->items, (list->n + 1) * sizeof(*items));
	if (!items)
		return -1;
	list->items = items;
	list->items[list->n++] = value;
	return 0;
}

static int restart_parse(const char *value, int64_t *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(restart_words); i++)
		if (!strcmp(value, restart_words[i])) {
			*ret = (int64_t)i;
			return 0;
		}
	return -1;
}

static int number_parse(const char *value, int64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(value, &end, 10);
	return errno || end == value || *end ? -1 : 0;
}

static int value_set(struct conf *conf, const struct key *key, char *value)
{
	char *field = (char *)conf + key->offset;

	switch (key->type) {
	case TYPE_TEXT:
		*(char **)field = value;
		return 0;
	case TYPE_LIST:
		return list_add((struct strings *)field, value);
	case TYPE_NUMBER:
		return number_parse(value, (int64_t *)field);
	case TYPE_RESTART:
		return restart_parse(value, (int64_t *)field);
	}
	return -1;
}

static int line_parse(char *line, struct conf *conf, struct why *why)
{
	char *value = strchr(line, '=');

	if (!value)
		return why_set(why, "a line without '=': %.40s", line);
	*value++ = '\0';
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (strcmp(line, keys[i].name))
			continue;
		if (unescape(value) < 0 || value_set(conf, &keys[i], value) < 0)
			return why_set(why, "a bad value of %s", keys[i].name);
		return 0;
	}
	return why_set(why, "an unknown key: %.40s", line);
}

static int needed_check(const struct conf *conf, struct why *why)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *field = (const char *)conf + keys[i].offset;
		bool there = true;

		if (keys[i].type == TYPE_TEXT)
			there = *(char *const *)field != NULL;
		else if (keys[i].type == TYPE_LIST)
			there = ((const struct strings *)field)->n > 0;
		else if (keys[i].type == TYPE_NUMBER)
			there = !keys[i].needed || *(const int64_t *)field > 0;
		if (keys[i].needed && !there)
			return why_set(why, "%s is missing", keys[i].name);
	}
	if (conf->log_size < 4096 || conf->log_keep < 0 || conf->log_keep > 100)
		return why_set(why, "log.size or log.keep is out of range");
	if (conf->backoff_first_ms < 1 || conf->backoff_cap_ms < conf->backoff_first_ms || conf->sample_ms < 10 || conf->stop_ms < 0 || conf->start_ms < 1)
		return why_set(why, "a time is out of range");
	return 0;
}

int conf_parse(char *text, struct conf *ret, struct why *why)
{
	struct conf conf;
	char *line = text;

	conf_defaults(&conf);
	while (*line) {
		char *end = strchr(line, '\n');

		if (!end) {
			why_set(why, "the last line is cut");
			goto fail;
		}
		*end = '\0';
		if (line_parse(line, &conf, why) < 0)
			goto fail;
		line = end + 1;
	}
	if (needed_check(&conf, why) < 0)
		goto fail;
	conf.text = text;
	*ret = conf;
	return 0;
fail:
	conf_clear(&conf);
	return -1;
}

void conf_clear(struct conf *conf)
{
	free(conf->groups.items);
	free(conf->homes.items);
	free(conf->keep.items);
	free(conf->layers.items);
	free(conf->hosts.items);
	free(conf->binds.items);
	free(conf->text);
}

int conf_read(const char *path, struct conf *ret, struct why *why)
{
	char *text = malloc(CONF_LIMIT + 1), *fit;
	ssize_t n = text ? file_read(path, text, CONF_LIMIT + 1) : -1;

	if (n < 0) {
		free(text);
		return why_errno(why, "cannot read %s", path);
	}
	fit = realloc(text, (size_t)n + 1);	/* what was never touched costs nothing, but keep it small */
	text = fit ? fit : text;
	if (strlen(text) != (size_t)n || conf_parse(text, ret, why) < 0) {
		if (strlen(text) != (size_t)n)
			why_set(why, "%s holds a 0 byte", path);
		free(text);
		return -1;
	}
	return 0;
}
