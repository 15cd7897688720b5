/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/local.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * <tenant>/ids: a range of uids and gids, registered in /etc/subuid and /etc/subgid (subuid(5)), so that
 * neither useradd nor other container tools give it to somebody else.
 *
 * How it works: the two files are rewritten whole under the lock that useradd and usermod take (lckpwdf(3); here by an
 * open file description lock on the same file, because lckpwdf serves one thread a process and uses a signal). Lines of
 * others are kept byte for byte. A line of ours bears "insula-<deployment>.<tenant>", so the files
 * themselves tell what is registered; the mark only adds the decisions.
 */

#define LOCK_PATH "/etc/.pwd.lock"
#define LOCK_WAIT_MS 15000
#define LOCK_POLL_MS 5
#define FILE_LIMIT ((size_t)16 << 20)

static const char *const subid_paths[] = { "/etc/subuid", "/etc/subgid" };

struct range { int64_t base, count; };

static bool ranges_overlap(struct range a, struct range b)
{
	return a.base < b.base + b.count && b.base < a.base + a.count;
}

static int accounts_lock(int *ret_fd, struct error *err)
{
	autofd int fd = open(LOCK_PATH, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return error_set_errno(err, errno, "cannot open %s", LOCK_PATH);
	for (int64_t waited = 0;; waited += LOCK_POLL_MS) {
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

		if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
			break;
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return error_set_errno(err, errno, "cannot lock %s", LOCK_PATH);
		if (waited >= LOCK_WAIT_MS) {
			error_set_errno(err, EAGAIN, "cannot lock %s", LOCK_PATH);
			return error_hint(err, "another program changes the accounts; wait for it to end");
		}
		clock_sleep_ms(&clock_system, LOCK_POLL_MS);
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* An absent file is an empty one. */
static int lines_read(const char *path, char **ret, struct error *err)
{
	if (fs_read_file(path, FILE_LIMIT, ret, NULL, err) == 0)
		return 0;
	if (err->code != ERROR_NOT_FOUND)
		return -1;
	*ret = xstrdup("");
	return 0;
}

struct line { const char *start; size_t n; const char *name; size_t name_n; struct range range; };

/* The next line of `*rest`; false at the end. A line that is no range has count 0. n counts the newline. */
static bool line_next(const char **rest, struct line *ret)
{
	const char *start = *rest, *end, *colon;
	struct line line = { .start = start };

	if (!*start)
		return false;
	line.n = strcspn(start, "\n");
	end = start + line.n;
	if (*end == '\n')
		line.n++;
	*rest = start + line.n;
	line.name = start;
	line.name_n = strcspn(start, ":\n");
	colon = start + line.name_n;
	if (*colon == ':' && sscanf(colon, ":%" SCNd64 ":%" SCNd64, &line.range.base, &line.range.count) != 2)
		line.range = (struct range){ 0 };
	*ret = line;
	return true;
}

static bool line_is_of(const struct line *line, const char *name)
{
	return line->name_n == strlen(name) && strncmp(line->name, name, line->name_n) == 0;
}

static int lines_write(const char *path, const struct buf *text, struct error *err)
{
	struct stat st;
	mode_t mode = stat(path, &st) == 0 ? st.st_mode & 07777 : 0644;

	return fs_replace_file(path, text->data, text->n, mode, false, err);
}

/* Registers the range under `name` in one file, or with a NULL range removes what is registered under it. */
static int file_register(const char *path, const char *name, const struct range *range, struct error *err)
{
	autofree char *text = NULL;
	autobuf struct buf out = { 0 };
	bool changed = false, there = false;
	const char *rest;
	struct line line;

	if (lines_read(path, &text, err) < 0)
		return -1;
	buf_adds(&out, "");
	for (rest = text; line_next(&rest, &line);) {
		if (!line_is_of(&line, name)) {
			if (range && ranges_overlap(line.range, *range)) {
				error_set(err, ERROR_CONFLICT, "ids %" PRId64 " to %" PRId64 " are in use: %s gives them to %.*s",
					  range->base, range->base + range->count - 1, path, (int)line.name_n, line.name);
				return error_hint(err, "plan again: another range is chosen then");
			}
			buf_add(&out, line.start, line.n);
		} else if (range && !there && line.range.base == range->base && line.range.count == range->count) {
			there = true;
			buf_add(&out, line.start, line.n);
		} else {
			changed = true;
		}
	}
	if (range && !there) {
		if (out.n && out.data[out.n - 1] != '\n')
			buf_addc(&out, '\n');
		buf_addf(&out, "%s:%" PRId64 ":%" PRId64 "\n", name, range->base, range->count);
		changed = true;
	}
	return changed ? lines_write(path, &out, err) : 0;
}

/* Is an account's own id (third field of passwd(5) and group(5)) in the range? */
static int accounts_check(const char *path, struct range range, struct error *err)
{
	autofree char *text = NULL;
	char *rest, *line;

	if (lines_read(path, &text, err) < 0)
		return -1;
	for (rest = text; (line = strsep(&rest, "\n"));) {
		char *name = strsep(&line, ":"), *id;
		int64_t value;

		strsep(&line, ":");
		id = strsep(&line, ":");
		if (!id || sscanf(id, "%" SCNd64, &value) != 1)
			continue;
		if (value >= range.base && value < range.base + range.count) {
			error_set(err, ERROR_CONFLICT, "id %" PRId64 " of \"%s\" in %s is in the range of this tenant", value, name, path);
			return error_hint(err, "plan again: another range is chosen then");
		}
	}
	return 0;
}

static int ids_create(struct site *site, struct resource *resource, struct error *err)
{
	struct range range = { json_get_int(resource->body, "base", 0), json_get_int(resource->body, "count", 0) };
	const char *name = json_get_string(resource->body, "name", "");
	autofd int lock = -1;

	if (local_mark_write(site, MARK_KEPT, resource, err) < 0 || accounts_lock(&lock, err) < 0)
		return -1;
	if (accounts_check("/etc/passwd", range, err) < 0 || accounts_check("/etc/group", range, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(subid_paths); i++)
		if (file_register(subid_paths[i], name, &range, err) < 0)
			return -1;
	resource_set_id(resource, name);
	return 0;
}

static int ids_update(struct site *site, const struct resource *from, struct resource *to, struct error *err)
{
	return ids_create(site, to, err);
}

static int ids_remove(struct site *site, const struct resource *resource, bool delete_data, struct error *err)
{
	const char *name = json_get_string(resource->body, "name", "");
	autofd int lock = -1;

	if (accounts_lock(&lock, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(subid_paths); i++)
		if (file_register(subid_paths[i], name, NULL, err) < 0)
			return -1;
	return local_mark_remove(site, MARK_KEPT, resource->key, err);
}

static bool text_has_range(const char *text, const struct line *wanted)
{
	struct line line;

	while (line_next(&text, &line))
		if (line.name_n == wanted->name_n && strncmp(line.name, wanted->name, line.name_n) == 0 &&
		    line.range.base == wanted->range.base && line.range.count == wanted->range.count)
			return true;
	return false;
}

/* Adds what only the mark knows; without a mark the decisions can still be told from the range. */
static int ids_complete(struct site *site, struct resource *resource, struct error *err)
{
	autoresource struct resource *mark = NULL;
	struct error missing = { 0 };
	json_t *decisions;

	if (local_mark_read(site, MARK_KEPT, resource->key, &mark, &missing) < 0) {
		if (missing.code == ERROR_NOT_FOUND)
			return 0;
		*err = missing;
		return -1;
	}
	decisions = json_object_get(mark->body, "decisions");
	if (decisions)
		json_object_set(resource->body, "decisions", decisions);
	return 0;
}

/* Calls `each` for the ranges of this deployment that `text` has and `done` (or NULL) has not; `other` must have them too to be whole. */
static int ranges_each(struct site *site, const char *text, const char *other, const char *done,
		       int (*each)(struct site *site, struct resource *resource, void *arg, struct error *err), void *arg, struct error *err)
{
	autofree char *prefix = xasprintf("insula-%s.", site->config->deployment);
	size_t prefix_n = strlen(prefix);
	struct line line;

	while (line_next(&text, &line)) {
		autofree char *key = NULL, *name = NULL;
		struct resource *resource;

		if (line.name_n <= prefix_n || strncmp(line.name, prefix, prefix_n) != 0 || (done && text_has_range(done, &line)))
			continue;
		name = xstrndup(line.name, line.name_n);
		key = xasprintf("%s/ids", name + prefix_n);
		resource = resource_new("local", "ids", key, json_object());
		json_set_int(resource->body, "base", line.range.base);
		json_set_int(resource->body, "count", line.range.count);
		json_set_string(resource->body, "name", name);
		json_set_bool(resource->body, "registered", text_has_range(other, &line));
		resource_set_id(resource, name);
		if (each(site, resource, arg, err) < 0)
			return -1;
	}
	return 0;
}

static int ids_each(struct site *site, int (*each)(struct site *site, struct resource *resource, void *arg, struct error *err), void *arg, struct error *err)
{
	autofree char *users = NULL, *groups = NULL;

	if (lines_read(subid_paths[0], &users, err) < 0 || lines_read(subid_paths[1], &groups, err) < 0)
		return -1;
	if (ranges_each(site, users, groups, NULL, each, arg, err) < 0)
		return -1;
	return ranges_each(site, groups, users, users, each, arg, err);
}

struct ids_list { resource_sink sink; void *arg; };

static int ids_hand_over(struct site *site, struct resource *found, void *arg, struct error *err)
{
	autoresource struct resource *resource = found;
	struct ids_list *list = arg;

	if (ids_complete(site, resource, err) < 0)
		return -1;
	return list->sink(list->arg, steal(&resource)) == 0 ? 0 : error_set(err, ERROR_INTERRUPTED, "the list was stopped");
}

static int ids_list(struct site *site, resource_sink sink, void *arg, struct error *err)
{
	struct ids_list list = { sink, arg };

	return ids_each(site, ids_hand_over, &list, err);
}

static int ids_compare(struct site *site, struct resource *found, void *arg, struct error *err)
{
	autoresource struct resource *resource = found;
	struct resource *wanted = arg;

	if (!streq(resource->key, wanted->key))
		return 0;
	if (ids_complete(site, resource, err) < 0)
		return -1;
	json_decref(wanted->body);
	wanted->body = json_incref(resource->body);
	resource_set_id(wanted, resource->id);
	return 0;
}

static int ids_get(struct site *site, struct resource *resource, struct error *err)
{
	resource_set_id(resource, NULL);
	if (ids_each(site, ids_compare, resource, err) < 0)
		return -1;
	if (!resource->id)
		return error_set(err, ERROR_NOT_FOUND, "%s is not registered in %s and %s", resource->key, subid_paths[0], subid_paths[1]);
	return 0;
}

static int ids_sweep(struct site *site, const char *tenant, json_t *ret, struct error *err)
{
	autofree char *prefix = xasprintf("insula-%s.%s", site->config->deployment, tenant ? tenant : "");
	size_t prefix_n = strlen(prefix);

	for (size_t i = 0; i < ARRAY_LEN(subid_paths); i++) {
		autofree char *text = NULL;
		const char *rest;
		struct line line;

		if (lines_read(subid_paths[i], &text, err) < 0)
			return -1;
		for (rest = text; line_next(&rest, &line);)
			if (strncmp(line.name, prefix, prefix_n) == 0 && line.name_n >= prefix_n && (!tenant || line.name_n == prefix_n))
				json_add(ret, json_sprintf("line %.*s in %s", (int)line.name_n, line.name, subid_paths[i]));
	}
	return 0;
}

const struct local_kind local_ids = {
	.name = "ids",
	.list = ids_list,
	.get = ids_get,
	.create = ids_create,
	.update = ids_update,
	.remove = ids_remove,
	.sweep = ids_sweep,
};
