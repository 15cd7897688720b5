/* SPDX-License-Identifier: Apache-2.0 */
/* Files and folders into memory, for spec_parse. */
#include "spec_internal.h"

#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILES_MAX 1000
#define TOTAL_MAX ((size_t)64 << 20)	/* bytes of all files together */

struct files { VEC(struct source) items; struct arena arena; size_t total; };

static void files_clear(struct files *files)
{
	for (size_t i = 0; i < files->items.n; i++)
		free((void *)(uintptr_t)files->items.items[i].text);
	vec_clear(&files->items);
	arena_clear(&files->arena);
}

static int add_text(struct files *files, const char *name, char *text, size_t n, struct error *err)
{
	struct source source = { arena_strdup(&files->arena, name), text, n };

	vec_push(&files->items, source);	/* owned from here on, also when it is one too many */
	files->total += n;
	if (files->items.n > FILES_MAX)
		return error_set(err, ERROR_INPUT, "more than %d files", FILES_MAX);
	if (files->total > TOTAL_MAX)
		return error_set(err, ERROR_INPUT, "more than %zu bytes in all files together", TOTAL_MAX);
	return 0;
}

static int add_file(struct files *files, const char *path, struct error *err)
{
	char *text;
	size_t n;

	if (fs_read_file(path, YAML_SIZE_MAX, &text, &n, err) < 0) {
		if (err->code == ERROR_PERMISSION)
			return error_hint(err, "make it readable for you, or run this as who may read it");
		if (err->code != ERROR_NOT_FOUND)
			return -1;
		err->code = ERROR_INPUT;	/* the user named it */
		return error_hint(err, "insula init writes a file to begin with");
	}
	return add_text(files, path, text, n, err);
}

static int add_input(struct files *files, struct error *err)
{
	autobuf struct buf buf = { 0 };
	char block[65536];
	size_t n;

	for (;;) {
		ssize_t got = read(STDIN_FILENO, block, sizeof(block));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, errno, "cannot read standard input");
		if (got == 0)
			break;
		buf_add(&buf, block, (size_t)got);
		if (buf.n > YAML_SIZE_MAX)
			return error_set(err, ERROR_INPUT, "standard input has more than %zu bytes", YAML_SIZE_MAX);
	}
	n = buf.n;
	return add_text(files, "-", n ? buf_steal(&buf) : xstrdup(""), n, err);
}

static int is_yaml(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && (ends_with(entry->d_name, ".yaml") || ends_with(entry->d_name, ".yml"));
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_folder(struct files *files, const char *path, struct error *err)
{
	struct dirent **entries;
	int n = scandir(path, &entries, is_yaml, by_bytes), status = 0;

	if (n < 0)
		return error_set_errno(err, errno, "cannot read the folder %s", path);
	for (int i = 0; i < n; i++) {
		autofree char *file = fs_join(path, entries[i]->d_name);

		if (status == 0 && !fs_is_dir(file))
			status = add_file(files, file, err);
		free(entries[i]);
	}
	free(entries);
	if (status == 0 && n == 0) {
		error_set(err, ERROR_INPUT, "the folder %s has no .yaml file", path);
		return error_hint(err, "insula init writes one to begin with");
	}
	return status;
}

static int read_paths(const char *const *paths, size_t n, struct files *files, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		int status;

		if (streq(paths[i], "-"))
			status = add_input(files, err);
		else if (fs_is_dir(paths[i]))
			status = add_folder(files, paths[i], err);
		else
			status = add_file(files, paths[i], err);
		if (status < 0)
			return -1;
	}
	return 0;
}

int spec_read(const char *const *paths, size_t n, struct intent *ret, struct findings *findings, struct error *err)
{
	CLEANUP(files_clear) struct files files = { 0 };

	if (read_paths(paths, n, &files, err) < 0)
		return -1;
	return spec_parse(files.items.items, files.items.n, ret, findings, err);
}

int spec_sources(const char *const *paths, size_t n, struct json_t **ret, struct error *err)
{
	CLEANUP(files_clear) struct files files = { 0 };
	autofree char *here = getcwd(NULL, 0);
	json_t *list;

	if (!here)
		return error_set_errno(err, errno, "cannot tell the current folder");
	if (read_paths(paths, n, &files, err) < 0)
		return -1;
	list = json_array();
	vec_each(&files.items, source) {
		autofree char *absolute = fs_absolute(here, source->name);
		json_t *item = json_object();

		json_set_string(item, "name", absolute);
		json_set_string(item, "text", source->text);
		json_add(list, item);
	}
	*ret = list;
	return 0;
}
