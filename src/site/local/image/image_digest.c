/* SPDX-License-Identifier: Apache-2.0 */
#include "image_layer.h"

#include <stdlib.h>

/*
 * How it works: one line an entry, in the order they come (a walk sorts them), each string ended by a 0 byte so that no two trees
 * give the same bytes; then the content of a file, whose holes count as the zeros they read as. All of it is one SHA-256.
 */

#define ZEROS 65536

struct layer_digest {
	struct digest *digest;
	const struct layer_sink *next;	/* or NULL */
	int64_t size, at;		/* of the file that is being read */
};

static const char zeros[ZEROS];

struct layer_digest *layer_digest_new(const struct layer_sink *next)
{
	struct layer_digest *digest = xcalloc(1, sizeof(*digest));

	digest->digest = digest_new();
	digest->next = next;
	return digest;
}

void layer_digest_free_pp(struct layer_digest **digest)
{
	if (!*digest)
		return;
	digest_free((*digest)->digest);
	free(*digest);
}

static void fill_up(struct layer_digest *digest, int64_t to)
{
	while (digest->at < to) {
		int64_t n = MIN(to - digest->at, ZEROS);

		digest_update(digest->digest, zeros, (size_t)n);
		digest->at += n;
	}
}

static void add_number(struct layer_digest *digest, uint64_t value)
{
	uint8_t bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
	digest_update(digest->digest, bytes, sizeof(bytes));
}

static void add_text(struct layer_digest *digest, const char *text)
{
	digest_update(digest->digest, text ? text : "", (text ? strlen(text) : 0) + 1);
}

static int digest_entry(void *arg, const struct layer_entry *entry, struct error *err)
{
	struct layer_digest *digest = arg;

	fill_up(digest, digest->size);
	add_number(digest, entry->kind);
	add_text(digest, entry->path);
	add_text(digest, entry->target);
	if (entry->kind != LAYER_HARD_LINK) {
		add_number(digest, entry->mode);
		add_number(digest, entry->uid);
		add_number(digest, entry->gid);
		add_number(digest, (uint64_t)entry->size);
	}
	add_number(digest, entry->attribute_n);
	for (size_t i = 0; i < entry->attribute_n; i++) {
		add_text(digest, entry->attributes[i].name);
		add_number(digest, entry->attributes[i].n);
		digest_update(digest->digest, entry->attributes[i].value, entry->attributes[i].n);
	}
	digest->size = entry->kind == LAYER_FILE ? entry->size : 0;
	digest->at = 0;
	return digest->next ? digest->next->entry(digest->next->arg, entry, err) : 0;
}

static int digest_data(void *arg, int64_t offset, const void *data, size_t n, struct error *err)
{
	struct layer_digest *digest = arg;

	fill_up(digest, offset);
	digest_update(digest->digest, data, n);
	digest->at = offset + (int64_t)n;
	return digest->next ? digest->next->data(digest->next->arg, offset, data, n, err) : 0;
}

static int digest_end(void *arg, struct error *err)
{
	struct layer_digest *digest = arg;

	fill_up(digest, digest->size);
	digest->size = digest->at = 0;
	return digest->next ? digest->next->end(digest->next->arg, err) : 0;
}

struct layer_sink layer_digest_sink(struct layer_digest *digest)
{
	return (struct layer_sink){ digest_entry, digest_data, digest_end, digest };
}

void layer_digest_final(struct layer_digest *digest, char hex[static DIGEST_HEX])
{
	digest_final(digest->digest, hex);
	digest->digest = NULL;
}
