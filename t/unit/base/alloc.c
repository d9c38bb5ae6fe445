/*
 * Tests of src/base/alloc.c and array.h: what grows keeps its contents.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/alloc.h"
#include "base/array.h"

#include <string.h>

static void test_copy(void **state)
{
	struct error error;
	char *copy = alloc_copy("a\xff", &error);

	(void)state;
	check_string(copy, "a\xff", "copy");
	free(copy);
}

static void test_grow(void **state)
{
	size_t room = 0, moves = 0;
	char *buffer = NULL;

	(void)state;
	for (size_t size = 1; size <= 100000; size++) {
		size_t before = room;

		buffer = alloc_grow(buffer, &room, size);
		check(buffer && room >= size, "%zu bytes: room for %zu", size, room);
		moves += room != before;
		buffer[size - 1] = (char)size;
	}
	check(moves < 20, "the buffer grew %zu times", moves);
	for (size_t size = 1; size <= 100000; size++) {
		check(buffer[size - 1] == (char)size, "byte %zu", size);
	}
	free(buffer);
}

static void test_array(void **state)
{
	uint64_t *array = NULL;
	size_t items = 0;

	(void)state;
	/* Down to a half and up again: the room never falls short. */
	for (size_t n = 0; n < 1000; n++) {
		while (items < n) {
			uint64_t *larger = array_grow(array, items, sizeof(*array));

			check(larger, "no room for %zu items", items);
			array = larger;
			array[items] = items;
			items++;
		}
		for (size_t i = 0; i < items; i++) {
			check(array[i] == i, "item %zu of %zu", i, items);
		}
		items /= 2;
	}
	free(array);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_copy),
	    cmocka_unit_test(test_grow),
	    cmocka_unit_test(test_array),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
