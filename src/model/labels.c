/* SPDX-License-Identifier: Apache-2.0 */
#include "labels.h"

/* The first place whose key is not less than `key`. */
static size_t lower_bound(const struct labels *labels, const char *key)
{
	size_t low = 0, high = labels->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(labels->items[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const char *labels_get(const struct labels *labels, const char *key)
{
	size_t i = lower_bound(labels, key);

	return i < labels->n && streq(labels->items[i].key, key) ? labels->items[i].value : NULL;
}

bool labels_match(const struct labels *wanted, const struct labels *labels)
{
	size_t j = 0;

	for (size_t i = 0; i < wanted->n; i++) {
		while (j < labels->n && strcmp(labels->items[j].key, wanted->items[i].key) < 0)
			j++;
		if (j == labels->n || !streq(labels->items[j].key, wanted->items[i].key) ||
		    !streq(labels->items[j].value, wanted->items[i].value))
			return false;
	}
	return true;
}

void labels_set(struct arena *arena, struct labels *labels, const char *key, const char *value)
{
	size_t i = lower_bound(labels, key);
	struct label *items;

	if (i < labels->n && streq(labels->items[i].key, key)) {
		labels->items[i].value = value;
		return;
	}
	items = arena_array(arena, labels->n + 1, sizeof(*items));
	for (size_t j = 0; j < labels->n; j++)
		items[j + (j >= i)] = labels->items[j];
	items[i] = (struct label){ key, value };
	labels->items = items;
	labels->n++;
}

bool names_have(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (streq(names->items[i], name))
			return true;
	return false;
}
