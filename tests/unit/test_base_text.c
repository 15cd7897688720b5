/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/vec.h"

static void strings_compare(void **state)
{
	assert_true(ends_with("train.yaml", ".yaml"));
	assert_false(ends_with("l", ".yaml"));
	assert_true(starts_with("insula", "ins"));
	assert_false(starts_with("in", "ins"));
	assert_true(str_equal(NULL, NULL));
	assert_false(str_equal(NULL, ""));
	assert_true(str_equal("a", "a"));
	assert_null(xstrdup(NULL));
}

static void nearest_word_finds_typos_only(void **state)
{
	static const char *const words[] = { "memory", "cpu", "gpu", "storage", "instances", "networkBandwidth", NULL };

	assert_string_equal(nearest_word("memroy", words), "memory");
	assert_string_equal(nearest_word("Memory", words), "memory");
	assert_string_equal(nearest_word("storrage", words), "storage");
	assert_string_equal(nearest_word("networkbandwith", words), "networkBandwidth");
	assert_string_equal(nearest_word("cpus", words), "cpu");
	assert_null(nearest_word("replicas", words));
	assert_null(nearest_word("xyz", words));
	assert_null(nearest_word("", words));
	assert_null(nearest_word("a", words));
}

static void steal_takes_the_pointer(void **state)
{
	autofree char *first = xasprintf("%d", 7);
	autofree char *second = steal(&first);

	assert_null(first);
	assert_string_equal(second, "7");
}

static void vector_grows_and_keeps_its_elements(void **state)
{
	VEC(int) numbers = { 0 };
	int sum = 0;

	vec_each(&numbers, none)
		fail();
	for (int i = 0; i < 1000; i++)
		vec_push(&numbers, i);
	*vec_add(&numbers) += 5;
	assert_int_equal(numbers.n, 1001);
	vec_each(&numbers, it)
		sum += *it;
	assert_int_equal(sum, 999 * 1000 / 2 + 5);
	vec_clear(&numbers);
	assert_null(numbers.items);
	assert_int_equal(numbers.capacity, 0);
}

static void buffer_adds_and_ends_with_zero(void **state)
{
	autobuf struct buf buf = { 0 };
	autofree char *s = NULL;

	buf_adds(&buf, "a");
	buf_addc(&buf, '\0');
	buf_addf(&buf, "%0*d", 200, 7);
	assert_int_equal(buf.n, 202);
	assert_int_equal(buf.data[202], 0);
	assert_int_equal(buf.data[201], '7');
	buf_reset(&buf);
	assert_string_equal(buf.data, "");
	buf_add(&buf, NULL, 0);
	buf_addf(&buf, "%s-%d", "x", 1);
	s = buf_steal(&buf);
	assert_string_equal(s, "x-1");
	assert_null(buf.data);
	free(steal(&s));
	s = buf_steal(&buf);
	assert_string_equal(s, "");
}

static void arena_gives_zeroed_aligned_memory(void **state)
{
	autoarena struct arena arena;

	arena_init(&arena);
	for (size_t size = 0; size < 300; size += 7) {
		char *p = arena_alloc(&arena, size);

		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, size);
	}
	memset(arena_alloc(&arena, 3 << 20), 1, 3 << 20);
	assert_string_equal(arena_printf(&arena, "%s/%d", "a", 5), "a/5");
	assert_string_equal(arena_strndup(&arena, "abc", 2), "ab");
	assert_null(arena_strdup(&arena, NULL));
	arena_clear(&arena);
	assert_int_equal(arena.allocated, 0);
	assert_string_equal(arena_strdup(&arena, "again"), "again");
}

static void interned_strings_are_shared(void **state)
{
	autoarena struct arena arena;
	char text[16];
	const char *first, *kept[100];

	arena_init(&arena);
	memcpy(text, "vision", 7);
	first = arena_intern(&arena, text);
	assert_ptr_not_equal(first, text);
	assert_ptr_equal(arena_intern(&arena, "vision"), first);
	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "t%d", i);
		kept[i] = arena_intern(&arena, text);
	}
	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "t%d", i);
		assert_ptr_equal(arena_intern(&arena, text), kept[i]);
	}
	assert_null(arena_intern(&arena, NULL));
}

static void map_keeps_the_order_of_insertion(void **state)
{
	automap struct map map = { 0 };
	static int one = 1, two = 2, three = 3;
	char order[8] = "";

	map_each(&map, none)
		fail();
	assert_null(map_get(&map, "a"));
	assert_false(map_remove(&map, "a"));
	assert_false(map_set(&map, "b", &one));
	assert_false(map_set(&map, "a", &two));
	assert_false(map_set(&map, "c", &three));
	assert_true(map_set(&map, "b", &three));
	assert_true(map_remove(&map, "a"));
	assert_false(map_set(&map, "a", NULL));
	map_each(&map, e)
		strcat(order, e->key);
	assert_string_equal(order, "bca");
	assert_ptr_equal(map_get(&map, "b"), &three);
	assert_true(map_has(&map, "a"));
	assert_null(map_get(&map, "a"));
	assert_int_equal(map.n, 3);
}

/* Against a table that is looked through from end to end. */
static void map_agrees_with_a_plain_list(void **state)
{
	static char keys[64][8];
	static struct { char *key; intptr_t value; } list[64];
	automap struct map map = { 0 };
	size_t n = 0;
	struct rng rng;

	rng_seed(&rng, 2);
	for (size_t i = 0; i < 64; i++)
		snprintf(keys[i], sizeof(keys[i]), "k%zu", i);
	for (intptr_t step = 1; step <= 20000; step++) {
		char *key = keys[rng_below(&rng, 64)];
		size_t at = 0;

		while (at < n && list[at].key != key)
			at++;
		if (rng_below(&rng, 2)) {
			assert_int_equal(map_set(&map, key, (void *)step), at < n);
			list[at].key = key;
			list[at].value = step;
			n += at == n;
		} else {
			assert_int_equal(map_remove(&map, key), at < n);
			if (at < n) {
				memmove(&list[at], &list[at + 1], (n - at - 1) * sizeof(list[0]));
				n--;
			}
		}
		assert_int_equal(map.n, n);
		at = 0;
		map_each(&map, e) {
			assert_ptr_equal(e->key, list[at].key);
			assert_int_equal((intptr_t)e->value, list[at].value);
			assert_int_equal((intptr_t)map_get(&map, e->key), list[at].value);
			at++;
		}
		assert_int_equal(at, n);
	}
	assert_true(map.capacity <= 256);	/* removals do not make it grow */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_compare),
		cmocka_unit_test(nearest_word_finds_typos_only),
		cmocka_unit_test(steal_takes_the_pointer),
		cmocka_unit_test(vector_grows_and_keeps_its_elements),
		cmocka_unit_test(buffer_adds_and_ends_with_zero),
		cmocka_unit_test(arena_gives_zeroed_aligned_memory),
		cmocka_unit_test(interned_strings_are_shared),
		cmocka_unit_test(map_keeps_the_order_of_insertion),
		cmocka_unit_test(map_agrees_with_a_plain_list),
	};

	return cmocka_run_group_tests_name("base_text", tests, NULL, NULL);
}
