/*
 * Tests of src/base/strbuf.c: texts that fit and texts that are cut, and printable UTF-8.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/strbuf.h"

#include <string.h>

static void test_cut(void **state)
{
	static const struct {
		size_t size;
		const char *first, *second, *expected;
	} cases[] = {
	    {8, "abc", "defg", "abcdefg"},
	    {8, "abc", "defgh", "abcdefg"},
	    {1, "abc", "", ""},
	    {2, "\xc3\xa4", "", ""},
	    {3, "\xc3\xa4", "", "\xc3\xa4"},
	    {5, "abc", "\xc3\xa4", "abc"},
	    {6, "abc", "\xc3\xa4", "abc\xc3\xa4"},
	    {6, "abc", "\xe2\x82\xac", "abc"},
	    {6, "abc", "d\xe2\x82\xac", "abcd"},
	    {7, "abc", "\xf0\x9f\x98\x80", "abc"},
	    {8, "abc", "\xf0\x9f\x98\x80", "abc\xf0\x9f\x98\x80"},
	    {8, "abc", "\xc3\xa4\xc3\xb6\xc3\xbc", "abc\xc3\xa4\xc3\xb6"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char buffer[16];
		struct strbuf text;

		memset(buffer, '#', sizeof(buffer));
		strbuf_init(&text, buffer, cases[i].size);
		strbuf_puts(&text, cases[i].first);
		strbuf_add(&text, cases[i].second, strlen(cases[i].second));
		check_string(buffer, cases[i].expected, cases[i].expected);
		check(text.length == strlen(cases[i].expected), "\"%s\": length is %zu",
		    cases[i].expected, text.length);
		check(buffer[cases[i].size] == '#', "\"%s\": wrote behind %zu bytes",
		    cases[i].expected, cases[i].size);
	}
}

/* What fits stays whole, and what does not is cut on a boundary, for strbuf_printf too. */
static void test_printf(void **state)
{
	static const size_t sizes[] = {4, 5, 100, 512, 513, 514, 1000, 2002, 2003, 3000};
	char umlauts[2001];

	(void)state;
	for (size_t i = 0; i < 2000; i += 2) {
		memcpy(umlauts + i, "\xc3\xa4", 3);
	}
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		char buffer[3000], expected[3000];
		struct strbuf text;

		strbuf_init(&text, expected, sizes[i]);
		strbuf_puts(&text, "7:");
		strbuf_puts(&text, umlauts);
		strbuf_init(&text, buffer, sizes[i]);
		strbuf_printf(&text, "%d:%s", 7, umlauts);
		check(strcmp(buffer, expected) == 0,
		    "%zu bytes of room: expected %zu bytes, got %zu", sizes[i] - 1,
		    strlen(expected), strlen(buffer));
	}
}

static void test_printable(void **state)
{
	static const struct {
		const char *name;
		const char *bytes;
		size_t length; /* 0: to the NUL */
		const char *escape;
		const char *expected;
	} cases[] = {
	    {"UTF-8", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 0, NULL,
		"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
	    {"C0", "a\tb\nc\rd\x1b[m\x1f", 0, NULL, "a?b?c?d?[m?"},
	    {"NUL", "a\0b", 3, NULL, "a?b"},
	    {"DEL", "a\x7f", 0, NULL, "a?"},
	    {"C1", "\xc2\x80|\xc2\x85|\xc2\x9f|\xc2\xa0", 0, NULL, "?|?|?|\xc2\xa0"},
	    {"separators", "\xe2\x80\xa7|\xe2\x80\xa8|\xe2\x80\xa9|\xe2\x80\xaa", 0, NULL,
		"\xe2\x80\xa7|?|?|?"},
	    {"invalid bytes", "\xff|\xc0\x80|\xed\xa0\x80|\xf4\x90\x80\x80", 0, NULL,
		"?|\?\?|\?\?\?|\?\?\?\?"},
	    {"cut character", "z\xe2\x82", 0, NULL, "z\?\?"},
	    {"character after a bad byte", "\xe2\x82z\xc3\xc3\xa4", 0, NULL, "\?\?z?\xc3\xa4"},
	    {"escape", "a b,c<d>", 0, " ,<>", "a\\x20b\\x2cc\\x3cd\\x3e"},
	    {"escape a backslash", "\\x20", 0, "\\", "\\x5cx20"},
	    {"escape leaves others", "\xc3\xa4=\n", 0, " ,", "\xc3\xa4=?"},
	    {"NUL is not in the escape set", "\0", 1, " ", "?"},
	    {"nothing", "", 0, " ", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t length = cases[i].length ? cases[i].length : strlen(cases[i].bytes);
		char buffer[64];
		struct strbuf text;

		strbuf_init(&text, buffer, sizeof(buffer));
		strbuf_printable(&text, cases[i].bytes, length, cases[i].escape);
		check_string(buffer, cases[i].expected, cases[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_printf),
	    cmocka_unit_test(test_printable),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("strbuf", tests, NULL, NULL);
}
