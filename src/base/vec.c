/* SPDX-License-Identifier: Apache-2.0 */
#include "vec.h"

void *vec_grow(void *items, size_t *capacity, size_t need, size_t size)
{
	size_t grown = *capacity + *capacity / 2;

	if (grown < need)
		grown = need;
	if (grown < 8)
		grown = 8;
	items = xreallocarray(items, grown, size);
	*capacity = grown;
	return items;
}
