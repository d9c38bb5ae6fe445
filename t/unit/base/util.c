/*
 * Tests of src/util.c: strict numbers, texts that are cut, printable UTF-8, words
 * whatever their case, the keyed hash.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/ascii.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/number.h"
#include "base/strbuf.h"
#include "base/utf8.h"


#include <string.h>

#define BAD (-1)

static void test_number_parse(void **state)
{
	static const struct {
		const char *string;
		uint64_t max;
		int result;
		uint64_t number;
	} cases[] = {
	    {"0", UINT64_MAX, 0, 0},
	    {"007", UINT64_MAX, 0, 7},
	    {"100", 100, 0, 100},
	    {"101", 100, BAD, 0},
	    {"0", 0, 0, 0},
	    {"1", 0, BAD, 0},
	    {"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
	    {"18446744073709551615", UINT64_MAX - 1, BAD, 0},
	    {"18446744073709551616", UINT64_MAX, BAD, 0},
	    {"18446744073709551620", UINT64_MAX, BAD, 0},
	    {"18446744073709551626", 100, BAD, 0}, /* 2^64 + 10 */
	    {"184467440737095516160", UINT64_MAX, BAD, 0},
	};
	static const char *const garbage[] = {"", " 1", "1 ", "-1", "+1", "1a", "0x10", "1.0", "1/",
	    "1:", "\xb1", "\xd9\xa1"}; /* '1' with the high bit; U+0661, a digit elsewhere */
	uint64_t number = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int result =
		    number_parse(cases[i].string, strlen(cases[i].string), cases[i].max, &number);

		check(result == cases[i].result, "\"%s\", at most %llu: expected %d, got %d",
		    cases[i].string, (unsigned long long)cases[i].max, cases[i].result, result);
		check(result == BAD || number == cases[i].number, "\"%s\": expected %llu, got %llu",
		    cases[i].string, (unsigned long long)cases[i].number,
		    (unsigned long long)number);
	}
	for (size_t i = 0; i < COUNT_OF(garbage); i++) {
		check(number_parse(garbage[i], strlen(garbage[i]), UINT64_MAX, &number) == BAD,
		    "\"%s\" is no number", garbage[i]);
	}
	check(number_parse("123abc", 3, UINT64_MAX, &number) == 0 && number == 123,
	    "the first three bytes of \"123abc\": got %llu", (unsigned long long)number);
	check(number_parse("1\0002", 3, UINT64_MAX, &number) == BAD, "a NUL byte is no digit");
}

static void test_size_parse(void **state)
{
	static const struct {
		const char *string;
		uint64_t max;
		int result;
		uint64_t bytes;
	} cases[] = {
	    {"0", UINT64_MAX, 0, 0},
	    {"1K", UINT64_MAX, 0, 1024},
	    {"3M", UINT64_MAX, 0, 3 << 20},
	    {"2G", UINT64_MAX, 0, UINT64_C(2) << 30},
	    {"4K", 4096, 0, 4096},
	    {"4K", 4095, BAD, 0},
	    {"5K", 5119, BAD, 0},
	    {"17179869183G", UINT64_MAX, 0, UINT64_C(17179869183) << 30},
	    {"17179869184G", UINT64_MAX, BAD, 0},
	    {"18446744073709551615K", UINT64_MAX, BAD, 0},
	    {"", UINT64_MAX, BAD, 0},
	    {"K", UINT64_MAX, BAD, 0},
	    {"1KB", UINT64_MAX, BAD, 0},
	    {"-1K", UINT64_MAX, BAD, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint64_t bytes = 0;
		int result = size_parse(cases[i].string, cases[i].max, &bytes);

		check(result == cases[i].result, "\"%s\", at most %llu: expected %d, got %d",
		    cases[i].string, (unsigned long long)cases[i].max, cases[i].result, result);
		check(result == BAD || bytes == cases[i].bytes, "\"%s\": expected %llu, got %llu",
		    cases[i].string, (unsigned long long)cases[i].bytes, (unsigned long long)bytes);
	}
}

static void test_utf8_length(void **state)
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

static void test_text_cut(void **state)
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
static void test_text_printf(void **state)
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

static void test_text_printable(void **state)
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

static void test_error_set(void **state)
{
	struct error error;

	(void)state;
	check(error_set(&error, "%s is %d", "x", 7) == -1, "error_set returns -1");
	check_string(error.text, "x is 7", "error_set");
	error_set(&error, "%1000d", 7);
	check(strlen(error.text) == sizeof(error.text) - 1, "a long text is cut and terminated");
}

static void test_ascii(void **state)
{
	static const struct {
		const char *a;
		size_t length;
		const char *b;
		bool same;
	} cases[] = {
	    {"hour", 4, "hour", true}, {"HoUr", 4, "hOuR", true}, {"hours", 4, "hour", true},
	    {"hours", 5, "hour", false}, {"hou", 3, "hour", false}, {"", 0, "", true},
	    {"", 0, "x", false}, {"hou\0", 4, "hour", false}, {"hour\0", 5, "hour", false},
	    {"a@b", 3, "a`b", false}, {"[", 1, "{", false},
	    {"\xc3\x84", 2, "\xc3\xa4", false}, /* umlauts are not ASCII */
	};
	char bytes[] = "AZaz@[`{09-\xc3\x84\xc3\xa4Q";

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		check(ascii_same(cases[i].a, cases[i].length, cases[i].b) == cases[i].same,
		    "\"%.*s\" and \"%s\": expected %d", (int)cases[i].length, cases[i].a,
		    cases[i].b, cases[i].same);
	}
	ascii_lower(bytes, sizeof(bytes) - 2);
	check_string(bytes, "azaz@[`{09-\xc3\x84\xc3\xa4Q", "ascii_lower but the last byte");
}

/*
 * Key 00 to 0f, message 00, 01, ... Up to 63 bytes these are the published vectors of
 * SipHash-1-3, which Rust's libcore has too; the longer ones come from a second program.
 */
static void test_hash_keyed(void **state)
{
	static const struct {
		size_t length;
		uint64_t hash;
	} cases[] = {
	    {0, 0xabac0158050fc4dc},
	    {1, 0xc9f49bf37d57ca93},
	    {2, 0x82cb9b024dc7d44d},
	    {3, 0x8bf80ab8e7ddf7fb},
	    {4, 0xcf75576088d38328},
	    {5, 0xdef9d52f49533b67},
	    {6, 0xc50d2b50c59f22a7},
	    {7, 0xd3927d989bb11140},
	    {8, 0x369095118d299a8e},
	    {9, 0x25a48eb36c063de4},
	    {15, 0xd320d86d2a519956},
	    {16, 0xcc4fdd1a7d908b66},
	    {17, 0x9cf2689063dbd80c},
	    {31, 0x2370dd1f8c21d1bc},
	    {63, 0x9d199062b7bbb3a8},
	    {64, 0xf17997ec4b4a6065},
	    {255, 0xf76214e3153c4a15},
	    {256, 0x75b3e64e167de370},
	    {1000, 0x2cf8d9d4f270cadf},
	};
	uint8_t key[HASH_KEY_BYTES], message[1000];

	(void)state;
	for (size_t i = 0; i < sizeof(message); i++) {
		message[i] = (uint8_t)i;
	}
	memcpy(key, message, sizeof(key));
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint64_t hash = hash_keyed(key, message, cases[i].length);

		check(hash == cases[i].hash, "%zu bytes: expected %016llx, got %016llx",
		    cases[i].length, (unsigned long long)cases[i].hash, (unsigned long long)hash);
	}
	for (size_t i = 0; i < sizeof(key); i++) {
		key[i] ^= 0x80;
		check(hash_keyed(key, message, 3) != hash_keyed(message, message, 3),
		    "byte %zu of the key makes no difference", i);
		key[i] ^= 0x80;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_number_parse),
	    cmocka_unit_test(test_size_parse),
	    cmocka_unit_test(test_utf8_length),
	    cmocka_unit_test(test_text_cut),
	    cmocka_unit_test(test_text_printf),
	    cmocka_unit_test(test_text_printable),
	    cmocka_unit_test(test_error_set),
	    cmocka_unit_test(test_ascii),
	    cmocka_unit_test(test_hash_keyed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("util", tests, NULL, NULL);
}
