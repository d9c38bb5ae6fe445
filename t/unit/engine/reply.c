/*
 * Tests of src/engine/reply.c: the action that Postfix gets, and the line in the log, which no
 * attribute can forge.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine.h"

#include "engine/reply.h"

#define NEVER WINDOW_NEVER
#define FALLBACK "DEFER_IF_PERMIT 4.7.1 Limit reached"
#define C10 "aaaaaaaaaa"
#define C100 C10 C10 C10 C10 C10 C10 C10 C10 C10 C10

static struct config config;
static struct request_key key;
static struct policy_request request;

/* A rule of these options, and the request that it gets its key from. */
static void set_up(const char *options, const char *const *pairs)
{
	static const uint8_t secret[16] = "secret of a test";
	char text[1024];

	snprintf(text, sizeof(text),
	    "[global]\nsuccess_action = WARN fine\non_error = DEFER 4.3.0 later\n[rule r]\n%s",
	    options);
	load_config(&config, text);
	set_request(&request, pairs);
	check(request_find_key(&config.rule[0], &request, secret, &key), "no key");
}

/* A verdict of that rule; window: index of the limit, or -1. */
static struct verdict verdict_of(enum verdict_status status, int window, int64_t wait_ms)
{
	const struct rule *rule = &config.rule[0];

	return (struct verdict){.status = status,
	    .rule = rule,
	    .limit = window < 0 ? NULL : &rule->limits.at[window],
	    .key = &key,
	    .used = 101,
	    .remaining = 3,
	    .wait_ms = wait_ms};
}

static void check_action(const struct verdict *verdict, const char *expected, const char *name)
{
	char buffer[POLICY_ACTION_MAX + 1];
	const char *action;
	struct strbuf text;

	strbuf_init(&text, buffer, sizeof(buffer));
	action = reply_action(verdict, &config, &request, &text);
	check_string(action, expected, name);
}

/* What each placeholder stands for. */
static void test_placeholders(void **state)
{
	static const char *const pairs[] = {
	    "sender", "jo@x", "client_address", "192.0.2.1", "helo_name", "a\nb\xe2\x80\xae", NULL};
	static const struct {
		const char *options, *action;
		int window;
		int64_t wait_ms;
		const char *expected;
	} cases[] = {
	    {"key = sender\nlimit = 100/hour", "{rule} {key} {field}", 0, 1, "r jo@x sender"},
	    {"key = recipient, sender+client_address\nlimit = 100/hour", "{key} {field}", 0, 1,
		"jo@x+192.0.2.1 sender+client_address"},
	    {"key = sender_domain\nlimit = 100/hour", "{key} {field}", 0, 1, "x sender_domain"},
	    {"key = everything\nlimit = 100/hour", "{key} {field}", 0, 1, "everything everything"},
	    {"key = sender\nlimit = 100/hour, 9/day", "{limit} {window}", 0, 1, "100/hour 3600"},
	    {"key = sender\nlimit = 100/hour, 9/day", "{limit} {window}", 1, 1, "9/day 86400"},
	    {"key = sender\nlimit = 10M/hour\ncount = bytes", "{limit} {count}", 0, 1,
		"10M/hour bytes"},
	    {"key = sender\nlimit = deny", "{limit} {window} {count}", -1, NEVER,
		"deny 0 recipients"},
	    {"key = sender\nlimit = 100/hour", "{used} {remaining}", 0, 1, "101 3"},
	    {"key = sender\nlimit = 100/hour", "{retry_after}", 0, 34001, "35s"},
	    {"key = sender\nlimit = 100/hour", "{retry_after}", 0, 2 * 3600 * 1000, "2h"},
	    {"key = sender\nlimit = 100/hour", "{retry_after}", 0, NEVER, "never"},
	    {"key = sender\nlimit = 100/hour", "{sender}:{client_address}:{recipient}", 0, 1,
		"jo@x:192.0.2.1:"},
	    {"key = sender\nlimit = 100/hour", "{{key} {helo_name}", 0, 1, "{key} a?b?"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char options[256], expected[256];
		struct verdict verdict;

		snprintf(options, sizeof(options), "%s\naction = 450 4.7.1 %s\n", cases[i].options,
		    cases[i].action);
		snprintf(expected, sizeof(expected), "450 4.7.1 %s", cases[i].expected);
		set_up(options, pairs);
		verdict = verdict_of(VERDICT_DENIED, cases[i].window, cases[i].wait_ms);
		check_action(&verdict, expected, cases[i].action);
		config_free(&config);
	}
}

/* "450" alone means OK to Postfix: an action must not lose what follows its first word. */
static void test_lost_argument(void **state)
{
	static const char *const pairs[] = {"sender", "jo", NULL};
	static const struct {
		const char *action, *expected;
	} cases[] = {
	    {"450 {sender}", "450 jo"},
	    {"450 {recipient}", FALLBACK},
	    {"REJECT {recipient} {helo_name}", FALLBACK},
	    {"REJECT {recipient}.", "REJECT ."},
	    {"REJECT", "REJECT"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char options[128];
		struct verdict verdict;

		snprintf(options, sizeof(options), "key = sender\nlimit = 1/hour\naction = %s\n",
		    cases[i].action);
		set_up(options, pairs);
		verdict = verdict_of(VERDICT_DENIED, 0, 1);
		check_action(&verdict, cases[i].expected, cases[i].action);
		config_free(&config);
	}
}

/* The answers that are not a rule's. */
static void test_other_actions(void **state)
{
	static const char *const pairs[] = {"sender", "jo", NULL};
	struct verdict verdict = {.status = VERDICT_ALLOWED};

	(void)state;
	set_up("key = sender\nlimit = 1/hour\n", pairs);
	check_action(&verdict, "WARN fine", "no rule");
	verdict = verdict_of(VERDICT_ALLOWED, 0, 0);
	check_action(&verdict, "WARN fine", "allowed");
	verdict.status = VERDICT_ERROR;
	check_action(&verdict, "DEFER 4.3.0 later", "error");
	verdict = verdict_of(VERDICT_DENIED, 0, 60000);
	check_action(&verdict,
	    "DEFER_IF_PERMIT 4.7.1 Limit of 1/hour reached for jo, try again in 1m", "default");
	config_free(&config);
}

static void check_line(const struct verdict *verdict, const struct error *error,
    const char *expected, const char *name)
{
	char buffer[4096];
	struct strbuf text;

	strbuf_init(&text, buffer, sizeof(buffer));
	reply_log_line(verdict, &request, error, &text);
	check_string(buffer, expected, name);
}

/* The fields of a line, for each status. */
static void test_log_line(void **state)
{
	static const char *const pairs[] = {"queue_id", "4F9D195432", "client_name", "mx.x",
	    "client_address", "2001:db8::1", "sasl_method", "plain", "sasl_username", "jo",
	    "sender", "jo@x", "recipient_count", "7", NULL};
	static const char *const none[] = {"sender", "jo@x", NULL};
	static const struct {
		enum verdict_status status;
		int window;
		bool unlimited;
		int64_t wait_ms;
		const char *expected;
	} cases[] = {
	    {VERDICT_DENIED, 0, false, 1199001,
		"used=101/100, window=3600, status=denied, retry_after=1200"},
	    {VERDICT_DENIED, 1, false, NEVER,
		"used=101/9, window=86400, status=denied, retry_after=never"},
	    {VERDICT_DENIED, -1, false, NEVER,
		"used=101/0, window=0, status=denied, retry_after=never"},
	    {VERDICT_ALLOWED, 0, false, 0,
		"used=101/100, window=3600, status=allowed, retry_after=0"},
	    {VERDICT_ALLOWED, -1, true, 0,
		"used=101/unlimited, window=0, status=allowed, retry_after=0"},
	    {VERDICT_OBSERVED, 0, false, 1000,
		"used=101/100, window=3600, status=observed, retry_after=1"},
	    {VERDICT_WARNING, 0, false, 0,
		"used=101/100, window=3600, status=warning, retry_after=0"},
	};
	struct verdict verdict = {.status = VERDICT_ERROR};
	struct error error = {"no room\nfor \xe2\x80\xae"
			      "it, \"jo\""};

	(void)state;
	set_up("key = sender\nlimit = 100/hour, 9/day\n", pairs);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char expected[512];

		snprintf(expected, sizeof(expected),
		    "4F9D195432: client=mx.x[2001:db8::1], sasl_method=plain, sasl_username=jo, "
		    "sender=<jo@x>, recipient_count=7, rule=r, key=jo@x, %s",
		    cases[i].expected);
		verdict = verdict_of(cases[i].status, cases[i].window, cases[i].wait_ms);
		verdict.unlimited = cases[i].unlimited;
		check_line(&verdict, NULL, expected, cases[i].expected);
	}
	config_free(&config);

	/* Without a rule, and with hardly any attribute. */
	set_up("key = sender\nlimit = 1/hour\n", none);
	verdict = (struct verdict){.status = VERDICT_ERROR};
	check_line(&verdict, &error,
	    "NOQUEUE: client=[], sasl_method=, sasl_username=, sender=<jo@x>, recipient_count=0, "
	    "status=error, reason=no room?for ?it, \"jo\"",
	    "error");
	verdict.status = VERDICT_ALLOWED;
	check_line(&verdict, NULL,
	    "NOQUEUE: client=[], sasl_method=, sasl_username=, sender=<jo@x>, recipient_count=0, "
	    "status=allowed",
	    "no rule applies");
	config_free(&config);
}

/* What a client sends stays within its field, and is shown. */
static void test_hostile(void **state)
{
	static const struct {
		const char *value, *shown;
	} cases[] = {
	    {"a, status=allowed", "a\\x2c\\x20status=allowed"},
	    {"a> b<", "a\\x3e\\x20b\\x3c"},
	    {"a\nb\r\tc\x1b[2J\x7f", "a?b??c?[2J?"},
	    {"a\xe2\x80\xae"
	     "b\xef\xbb\xbf\xf3\xa0\x81\x81",
		"a?b??"},
	    {"\xff\xc0\x80\xe2\x82", "?????"},
	    {"j\xc3\xb6@x", "j\xc3\xb6@x"},
	    {C100 C100 "b", C100 C100},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *value = cases[i].value, *shown = cases[i].shown;
		const char *pairs[] = {"queue_id", value, "client_name", value, "client_address",
		    value, "sasl_method", value, "sasl_username", value, "sender", value,
		    "recipient_count", value, NULL};
		char expected[4096];
		struct verdict verdict;

		set_up("key = everything\nlimit = 9/hour\n", pairs);
		/* As a key that is shorter than what the buffer of a key can hold. */
		key.length = key.prefix;
		for (const char *p = value; *p && key.length < sizeof(key.text) - 1; p++) {
			key.text[key.length++] = *p;
		}
		key.text[key.length] = '\0';
		snprintf(expected, sizeof(expected),
		    "%s: client=%s[%s], sasl_method=%s, sasl_username=%s, sender=<%s>, "
		    "recipient_count=%s, rule=r, key=%s, used=101/9, window=3600, status=denied, "
		    "retry_after=1",
		    shown, shown, shown, shown, shown, shown, shown, shown);
		verdict = verdict_of(VERDICT_DENIED, 0, 1000);
		check_line(&verdict, NULL, expected, value);
		config_free(&config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_placeholders),
	    cmocka_unit_test(test_lost_argument),
	    cmocka_unit_test(test_other_actions),
	    cmocka_unit_test(test_log_line),
	    cmocka_unit_test(test_hostile),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
