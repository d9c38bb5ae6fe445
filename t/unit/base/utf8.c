/*
 * Tests of src/base/utf8.c: characters at the limits of UTF-8, and the invisible ones.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/utf8.h"

#include <string.h>

static void test_length(void **state)
{
	static const struct {
		const char *name;
		const char *bytes;
		size_t length;
		size_t size; /* 0: not well-formed */
		uint32_t code;
	} cases[] = {
	    {"nothing", "", 0, 0, 0},
	    {"NUL", "\0", 1, 1, 0},
	    {"ASCII", "a", 1, 1, 'a'},
	    {"U+007F", "\x7f", 1, 1, 0x7f},
	    {"U+0080", "\xc2\x80", 2, 2, 0x80},
	    {"U+07FF", "\xdf\xbf", 2, 2, 0x7ff},
	    {"U+0800", "\xe0\xa0\x80", 3, 3, 0x800},
	    {"U+D7FF", "\xed\x9f\xbf", 3, 3, 0xd7ff},
	    {"U+E000", "\xee\x80\x80", 3, 3, 0xe000},
	    {"U+FFFF", "\xef\xbf\xbf", 3, 3, 0xffff},
	    {"U+10000", "\xf0\x90\x80\x80", 4, 4, 0x10000},
	    {"U+10FFFF", "\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff},
	    {"with more behind it", "\xc3\xa4z", 3, 2, 0xe4},
	    {"overlong NUL", "\xc0\x80", 2, 0, 0},
	    {"overlong U+007F", "\xc1\xbf", 2, 0, 0},
	    {"overlong U+07FF", "\xe0\x9f\xbf", 3, 0, 0},
	    {"overlong U+FFFF", "\xf0\x8f\xbf\xbf", 4, 0, 0},
	    {"surrogate U+DFFF", "\xed\xbf\xbf", 3, 0, 0},
	    {"U+110000", "\xf4\x90\x80\x80", 4, 0, 0},
	    {"U+140000", "\xf5\x80\x80\x80", 4, 0, 0},
	    {"five bytes", "\xf8\x88\x80\x80\x80", 5, 0, 0},
	    {"FF", "\xff\xbf", 2, 0, 0},
	    {"continuation alone", "\x80", 1, 0, 0},
	    {"one of two bytes", "\xc3\xa4", 1, 0, 0},
	    {"three of four bytes", "\xf0\x9f\x98\x80", 3, 0, 0},
	    {"no continuation", "\xc3z", 2, 0, 0},
	    {"surrogate U+D800", "\xed\xa0\x80", 3, 0, 0},
	    {"third byte is none", "\xe2\x82z", 3, 0, 0},
	    {"fourth byte is none", "\xf0\x9f\x98\xc0", 4, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint32_t code = 0;
		size_t size = utf8_length(cases[i].bytes, cases[i].length, &code);

		check(size == cases[i].size, "%s: expected %zu bytes, got %zu", cases[i].name,
		    cases[i].size, size);
		check(size == 0 || code == cases[i].code, "%s: expected U+%04X, got U+%04X",
		    cases[i].name, cases[i].code, code);
	}
}

static void test_invisible(void **state)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {{0, 0x1f}, {0x7f, 0x9f}, {0xad, 0xad}, {0x34f, 0x34f}, {0x61c, 0x61c},
	    {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200f},
	    {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0f},
	    {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0x1bca0, 0x1bca3},
	    {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}};
	size_t i = 0;

	(void)state;
	for (uint32_t code = 0; code <= 0x10ffff; code++) {
		bool expected;

		i += i < COUNT_OF(ranges) && code > ranges[i].last;
		expected = i < COUNT_OF(ranges) && code >= ranges[i].first;
		check(utf8_is_invisible(code) == expected, "U+%04X: expected %d", code, expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_length),
	    cmocka_unit_test(test_invisible),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
