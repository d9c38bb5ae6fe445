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

/* Both ends of what is hidden, and the visible character before or after it. */
static void test_invisible(void **state)
{
	static const struct {
		const char *name;
		uint32_t code;
		bool expected;
	} cases[] = {
	    {"NULL", 0, true},
	    {"INFORMATION SEPARATOR ONE", 0x1f, true},
	    {"SPACE", ' ', false},
	    {"TILDE", '~', false},
	    {"DELETE", 0x7f, true},
	    {"APPLICATION PROGRAM COMMAND", 0x9f, true},
	    {"NO-BREAK SPACE", 0xa0, false},
	    {"SOFT HYPHEN", 0xad, true},
	    {"e with acute", 0xe9, false},
	    {"COMBINING GRAPHEME JOINER", 0x34f, true},
	    {"ARABIC LETTER MARK", 0x61c, true},
	    {"ARABIC LETTER ALEF", 0x627, false},
	    {"HANGUL CHOSEONG FILLER", 0x115f, true},
	    {"HANGUL JUNGSEONG A", 0x1161, false},
	    {"KHMER VOWEL INHERENT AA", 0x17b5, true},
	    {"MONGOLIAN VOWEL SEPARATOR", 0x180e, true},
	    {"HAIR SPACE", 0x200a, false},
	    {"ZERO WIDTH SPACE", 0x200b, true},
	    {"RIGHT-TO-LEFT MARK", 0x200f, true},
	    {"HYPHEN", 0x2010, false},
	    {"LINE SEPARATOR", 0x2028, true},
	    {"RIGHT-TO-LEFT OVERRIDE", 0x202e, true},
	    {"NARROW NO-BREAK SPACE", 0x202f, false},
	    {"WORD JOINER", 0x2060, true},
	    {"RIGHT-TO-LEFT ISOLATE", 0x2067, true},
	    {"SUPERSCRIPT ZERO", 0x2070, false},
	    {"HANGUL FILLER", 0x3164, true},
	    {"VARIATION SELECTOR-1", 0xfe00, true},
	    {"VARIATION SELECTOR-16", 0xfe0f, true},
	    {"ZERO WIDTH NO-BREAK SPACE", 0xfeff, true},
	    {"HALFWIDTH HANGUL FILLER", 0xffa0, true},
	    {"INTERLINEAR ANNOTATION TERMINATOR", 0xfffb, true},
	    {"REPLACEMENT CHARACTER", 0xfffd, false},
	    {"SHORTHAND FORMAT UP STEP", 0x1bca3, true},
	    {"MUSICAL SYMBOL END PHRASE", 0x1d17a, true},
	    {"GRINNING FACE", 0x1f600, false},
	    {"TAG SPACE", 0xe0020, true},
	    {"VARIATION SELECTOR-256", 0xe01ef, true},
	    {"PRIVATE USE-10FFFD", 0x10fffd, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		check(utf8_is_invisible(cases[i].code) == cases[i].expected, "%s", cases[i].name);
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
