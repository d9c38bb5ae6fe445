/*
 * Tests of src/policy/template.c: the errors of a template word for word, and what its placeholders
 * expand to.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/error.h"
#include "base/strbuf.h"
#include "policy/template.h"

#include <stdio.h>
#include <string.h>

#define E "\xc3\xa9"
#define EURO "\xe2\x82\xac"
#define SMILE "\xf0\x9f\x98\x80"

/* Every error, word for word; %s stands for the placeholder. */
static void test_check(void **state)
{
	static const char open[] = "a '{' without its '}'; for a brace write \"{{\"";
	static const char unknown[] =
	    "unknown placeholder \"%s\"; one of {rule}, {key}, {field}, {limit}, {used}, "
	    "{remaining}, {count}, {window}, {retry_after} or a request attribute such as "
	    "{sasl_username}";
	static const struct {
		const char *template, *error, *placeholder;
	} cases[] = {
	    {"", "", NULL},
	    {"DUNNO", "", NULL},
	    {"{rule}{key}{field}{limit}{used}{remaining}{count}{window}{retry_after}", "", NULL},
	    {"451 4.7.1 {sender}, {sasl_username}: {used} of {limit}", "", NULL},
	    {"{{", "", NULL},
	    {"{{rule", "", NULL},
	    {"{{nothing}", "", NULL},
	    {"{{{rule}}", "", NULL},
	    {"{{{{", "", NULL},
	    {"}", "", NULL},
	    {"{rule}} }", "", NULL},
	    {"{", open, NULL},
	    {"{rule", open, NULL},
	    {"{{{", open, NULL},
	    {"{rule}{", open, NULL},
	    {"{rule {key}", open, NULL},
	    {"{rule{{key}", open, NULL},
	    {"{nothing", open, NULL},
	    {"{}", unknown, "{}"},
	    {"{nothing}", unknown, "{nothing}"},
	    {"{rule} {Rule}", unknown, "{Rule}"},
	    {"{ rule}", unknown, "{ rule}"},
	    {"{rul}", unknown, "{rul}"},
	    {"{rules}", unknown, "{rules}"},
	    {"{senders}", unknown, "{senders}"},
	    {"{sender_domain}", unknown, "{sender_domain}"},
	    {"{{{x} {y} {", unknown, "{x}"},
	    {"{" E "}", unknown, "{" E "}"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *name = cases[i].template;
		struct error error = {""};
		char expected[400];
		int result = template_check(name, &error);

		snprintf(expected, sizeof(expected), cases[i].error, cases[i].placeholder);
		check_string(error.text, expected, name);
		check(result == (*expected ? -1 : 0), "\"%s\": got %d", name, result);
	}
}

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < TEMPLATE_NAMES; i++) {
		struct error error = {""};
		char template[40];

		snprintf(template, sizeof(template), "{%s}", template_names[i]);
		check(template_check(template, &error) == 0, "%s: %s", template,
		    error.text);
	}
}

/* What the placeholder "value" expands to; "rule" is "R", and every other one is empty. */
struct value {
	const char *bytes;
	size_t length;
};

static const char *look_up(const void *data, const char *name, size_t length, size_t *value_length)
{
	const struct value *value = data;

	if (length == 5 && memcmp(name, "value", 5) == 0) {
		*value_length = value->length;
		return value->bytes;
	}
	*value_length = length == 4 && memcmp(name, "rule", 4) == 0;
	return "Rule";
}

static void check_expand(
    const char *name, const char *template, struct value value, size_t size, const char *expected)
{
	char buffer[1000];
	struct strbuf text;

	memset(buffer, '#', sizeof(buffer));
	strbuf_init(&text, buffer, size);
	template_expand(template, look_up, &value, &text);
	check_string(buffer, expected, name);
	check(text.length == strlen(expected), "%s: length is %zu", name, text.length);
	check(buffer[size] == '#', "%s: wrote behind %zu bytes", name, size);
}

static void test_expand(void **state)
{
	static const struct {
		const char *template, *value;
		size_t length; /* 0: to the NUL */
		const char *expected;
	} cases[] = {
	    {"", "", 0, ""},
	    {"DUNNO", "", 0, "DUNNO"},
	    {"{value}", "v", 0, "v"},
	    {"a{value}b{rule}c", "v", 0, "avbRc"},
	    {"{value}{value}{rule}", "v", 0, "vvR"},
	    {"{value}", "", 0, ""},
	    {"[{valu}{values}{rul}]", "v", 0, "[]"},
	    {"{{", "", 0, "{"},
	    {"{{value}", "v", 0, "{value}"},
	    {"{{{value}}", "v", 0, "{v}"},
	    {"{{{{{value}", "v", 0, "{{v"},
	    {"{value}{{{value}", "v", 0, "v{v"},
	    {"}{value}}", "v", 0, "}v}"},
	    /* A value is no template. */
	    {"{value}", "{rule} {{ {", 0, "{rule} {{ {"},
	    {"{value}", "%s \\n", 0, "%s \\n"},
	    {"{value}", "a\tb\nc\rd\x1b\x7f", 0, "a?b?c?d\?\?"},
	    {"{value}", "a\0b", 3, "a?b"},
	    {"{value}", "line\n\naction=OK", 0, "line\?\?action=OK"},
	    {"{value}", "\xc2\x85|\xe2\x80\xa8|\xe2\x80\xa9", 0, "?|?|?"},
	    {"{value}", E EURO SMILE, 0, E EURO SMILE},
	    {"{value}", "\xff|\xc0\x80|\xed\xa0\x80|\xe2\x82", 0, "?|\?\?|\?\?\?|\?\?"},
	    {"{value}{rule}", "\xe2\x82", 0, "\?\?R"},
	    {E "{value}" E, "v", 0, E "v" E},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *bytes = cases[i].value;
		size_t length = cases[i].length ? cases[i].length : strlen(bytes);

		check_expand(cases[i].template, cases[i].template, (struct value){bytes, length},
		    900, cases[i].expected);
	}
}

/* Values of some fillers and a tail: as many of the fillers stay, and this of the tail. */
static void test_value_cut(void **state)
{
	static const struct {
		const char *name;
		size_t fillers;
		char filler;
		const char *tail;
		size_t kept;
		const char *kept_tail;
	} cases[] = {
	    {"199 bytes", 199, 'a', "", 199, ""},
	    {"200 bytes", 200, 'a', "", 200, ""},
	    {"201 bytes", 201, 'a', "", 200, ""},
	    {"8192 bytes", 8192, 'a', "", 200, ""},
	    {"300 bad bytes", 300, '\xff', "", 200, ""},
	    {"300 tabs", 300, '\t', "", 200, ""},
	    {"2 bytes that fit", 198, 'a', E E, 198, E},
	    {"2 bytes that don't", 199, 'a', E, 199, ""},
	    {"3 bytes that fit", 197, 'a', EURO "b", 197, EURO},
	    {"3 bytes, 2 fit", 198, 'a', EURO, 198, ""},
	    {"4 bytes that fit", 196, 'a', SMILE SMILE, 196, SMILE},
	    {"4 bytes, 3 fit", 197, 'a', SMILE, 197, ""},
	    {"4 bytes, 1 fits", 199, 'a', SMILE, 199, ""},
	    {"4 bad bytes, 1 fits", 199, 'a', "\xf4\x90\x80\x80", 199, "?"},
	    /* Cut is cut: what comes behind does not move up. */
	    {"2 bytes that don't, and more", 199, 'a', E "bc", 199, ""},
	    {"4 bytes, 3 fit, and more", 197, 'a', SMILE "bcd", 197, ""},
	    {"2 bytes that don't, and a tab", 199, 'a', E "\t", 199, ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char value[8300], expected[300];
		size_t kept = cases[i].kept;

		memset(value, cases[i].filler, cases[i].fillers);
		strcpy(value + cases[i].fillers, cases[i].tail);
		memset(expected, cases[i].filler == 'a' ? 'a' : '?', kept);
		snprintf(expected + kept, sizeof(expected) - kept, "%s|R", cases[i].kept_tail);
		check_expand(cases[i].name, "{value}|{rule}", (struct value){value, strlen(value)},
		    900, expected);
	}
}

/* The text is cut at the size of its buffer; the value is "v" E "w". */
static void test_text_cut(void **state)
{
	static const struct {
		const char *template;
		size_t size;
		const char *expected;
	} cases[] = {
	    {"abc", 1, ""},
	    {"{value}", 1, ""},
	    {"{{{{", 1, ""},
	    {"abc", 3, "ab"},
	    {"abc{{", 4, "abc"},
	    {"abc{{d", 5, "abc{"},
	    {"a{value}b", 7, "av" E "wb"},
	    {"a{value}b", 6, "av" E "w"},
	    {"a{value}b", 5, "av" E},
	    {"a{value}", 4, "av"},
	    {"a" E, 3, "a"},
	    {"a" E "b", 3, "a"},
	    /* Cut is cut: what comes behind does not move up. */
	    {"a{value}b", 4, "av"},
	    {"a" E "{value}", 3, "a"},
	    {"a" E "{{", 3, "a"},
	    {"a" EURO "{value}b", 4, "a"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char name[40];

		snprintf(name, sizeof(name), "\"%s\" in %zu", cases[i].template, cases[i].size);
		check_expand(name, cases[i].template, (struct value){"v" E "w", 4}, cases[i].size,
		    cases[i].expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_check),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_expand),
	    cmocka_unit_test(test_value_cut),
	    cmocka_unit_test(test_text_cut),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
