/* SPDX-License-Identifier: Apache-2.0 */
#include "fs.h"

#include "vec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MOUNTS_LIMIT ((size_t)64 << 20)

static bool octal(char c)
{
	return c >= '0' && c <= '7';
}

/* Undoes the kernel's escapes in place: space, tab, newline, '#' and backslash are written \ooo. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && octal(s[1]) && octal(s[2]) && octal(s[3])) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/* Next field; a field may be empty (a source of "" gives two spaces in a row), so no run of spaces is skipped. */
static char *field(char **line)
{
	char *s = *line;
	size_t n;

	if (!s)
		return NULL;
	n = strcspn(s, " ");
	*line = s[n] ? s + n + 1 : NULL;
	s[n] = '\0';
	return s;
}

static char *field_copy(const char *s)
{
	char *copy = xstrdup(s);

	unescape(copy);
	return copy;
}

static bool line_parse(char *line, struct fs_mount *ret)
{
	char *id = field(&line), *parent = field(&line), *device = field(&line);
	char *root = field(&line), *point = field(&line), *options = field(&line), *optional, *type, *source, *super;
	struct fs_mount mount;

	do {	/* shared:1 master:2 ... and then "-" */
		optional = field(&line);
	} while (optional && !streq(optional, "-"));
	type = field(&line);
	source = field(&line);
	super = field(&line);
	if (!super || sscanf(device, "%u:%u", &mount.major, &mount.minor) != 2)
		return false;
	mount.id = (int)strtol(id, NULL, 10);
	mount.parent = (int)strtol(parent, NULL, 10);
	mount.root = field_copy(root);
	mount.point = field_copy(point);
	mount.options = field_copy(options);
	mount.type = field_copy(type);
	mount.source = field_copy(source);
	mount.super_options = field_copy(super);
	*ret = mount;
	return true;
}

int fs_mounts_read(const char *path, struct fs_mounts *ret, struct error *err)
{
	VEC(struct fs_mount) mounts = { 0 };
	autofree char *text = NULL;
	char *rest, *line;

	if (fs_read_file(path, MOUNTS_LIMIT, &text, NULL, err) < 0)
		return -1;
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		struct fs_mount mount;

		if (!*line)
			continue;
		if (!line_parse(line, &mount)) {
			struct fs_mounts half = { mounts.items, mounts.n };

			fs_mounts_clear(&half);
			return error_set(err, ERROR_INPUT, "%s: line %zu is not a line of mountinfo", path, mounts.n + 1);
		}
		vec_push(&mounts, mount);
	}
	*ret = (struct fs_mounts){ mounts.items, mounts.n };
	return 0;
}

void fs_mounts_clear(struct fs_mounts *mounts)
{
	for (size_t i = 0; i < mounts->n; i++) {
		struct fs_mount *m = &mounts->items[i];

		free(m->root);
		free(m->point);
		free(m->options);
		free(m->type);
		free(m->source);
		free(m->super_options);
	}
	free(mounts->items);
	*mounts = (struct fs_mounts){ 0 };
}
