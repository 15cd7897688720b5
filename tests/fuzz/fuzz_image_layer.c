/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/image/image_layer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

/* A layer from any bytes, into a sink that only watches: whatever comes through keeps every promise of image_layer.h. */

#define HEADER 512
#define SUM_AT 148

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
	if (!holds)
		__builtin_trap();
}

struct input { const uint8_t *data; size_t n; };

static ssize_t input_read(void *arg, void *buf, size_t n, struct error *err)
{
	struct input *input = arg;
	size_t some = MIN(n, input->n);

	memcpy(buf, input->data, some);
	input->data += some;
	input->n -= some;
	return (ssize_t)some;
}

struct watch { int64_t entries, bytes, offset, size; bool file, ended; };

static bool is_normal(const char *path)
{
	char again[LAYER_PATH_MAX];
	const char *why;

	return strlen(path) < LAYER_PATH_MAX && layer_path_normal(path, again, &why) == 0 && streq(path, again);
}

static int watch_entry(void *arg, const struct layer_entry *entry, struct error *err)
{
	struct watch *watch = arg;

	watch->entries++;
	watch->file = entry->kind == LAYER_FILE;
	watch->offset = 0;
	watch->size = entry->size;
	require(is_normal(entry->path));
	require(*entry->path || entry->kind == LAYER_FOLDER || entry->kind == LAYER_OPAQUE);
	require(entry->uid <= LAYER_OWNER_MAX && entry->gid <= LAYER_OWNER_MAX && !(entry->mode & ~07777u));
	require(entry->size >= 0 && entry->size <= LAYER_FILE_MAX && (entry->kind == LAYER_FILE || entry->size == 0));
	require(entry->time.tv_sec >= 0 && entry->time.tv_nsec >= 0 && entry->time.tv_nsec < 1000000000);
	require((entry->target != NULL) == (entry->kind == LAYER_SYMLINK || entry->kind == LAYER_HARD_LINK));
	if (entry->kind == LAYER_HARD_LINK)
		require(is_normal(entry->target) && *entry->target);
	if (entry->kind == LAYER_SYMLINK)
		require(*entry->target && !layer_link_escapes(entry->path, entry->target));
	for (size_t i = 0; i < entry->attribute_n; i++)
		require(starts_with(entry->attributes[i].name, "user.") && !starts_with(entry->attributes[i].name, "user.overlay."));
	return 0;
}

static int watch_data(void *arg, int64_t offset, const void *data, size_t n, struct error *err)
{
	struct watch *watch = arg;

	require(watch->file && offset >= watch->offset && n > 0);
	watch->offset = offset + (int64_t)n;
	watch->bytes += (int64_t)n;
	require(watch->offset <= watch->size);
	return 0;
}

static int watch_end(void *arg, struct error *err)
{
	((struct watch *)arg)->ended = true;
	return 0;
}

static void try_layer(const uint8_t *data, size_t n)
{
	const struct layer_limits limits = { 200, 1 << 20 };
	struct input input = { data, n };
	struct layer_stream stream = { input_read, &input };
	struct watch watch = { 0 };
	struct layer_sink sink = { watch_entry, watch_data, watch_end, &watch };
	struct layer_result result;
	struct error err = { 0 };

	if (layer_unpack(&stream, &limits, &sink, &result, &err) == 0) {
		require(watch.ended && result.packed == (int64_t)n && input.n == 0);
		require(digest_hex_valid(result.digest) && digest_hex_valid(result.diff_id));
		require(result.counts.entries <= limits.entries && watch.entries <= result.counts.entries);
	} else {
		require(err.code != ERROR_NONE && *err.message);
	}
	require(watch.bytes <= limits.bytes);
}

/* Sums the headers of a tar again, which mutations break first: so they reach what is behind. */
static void headers_mend(uint8_t *data, size_t n)
{
	for (size_t at = 0; n - at >= HEADER; at += HEADER) {
		unsigned sum = 8 * ' ';
		char text[8];

		if (data[at] == 0)
			continue;
		for (size_t i = 0; i < HEADER; i++)
			if (i < SUM_AT || i >= SUM_AT + 8)
				sum += data[at + i];
		snprintf(text, sizeof(text), "%06o", sum);
		if (memcmp(data + at + 257, "ustar", 5) == 0)
			memcpy(data + at + SUM_AT, text, 7);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	autofree uint8_t *mended = xmalloc(n + 1);

	try_layer(data, n);
	memcpy(mended, data, n);
	headers_mend(mended, n);
	if (n && memcmp(mended, data, n))
		try_layer(mended, n);
	return 0;
}
