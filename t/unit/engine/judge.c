/*
 * Tests of src/engine/judge.c on a store in memory with a clock of its own: verdicts, notes and
 * what is charged, one request after the other. Each request is explained first, which must
 * foretell the verdict and leave every byte of the store alone.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine.h"

#include "count/counter.h"
#include "engine/judge.h"
#include "engine/retention.h"
#include "match/netaddr.h"

/* 12:00 UTC on a Monday: where sub-buckets and calendar windows of an hour begin. */
#define START_S INT64_C(1772452800)

#define HELPERS 51
#define ROOM UINT64_C(1000000)

static struct config config;
static struct store *store;
static struct judge *judge[HELPERS];
static struct transaction_memo *memo[HELPERS];
static unsigned helper; /* the one that gets the requests */
static int64_t now_ms;

static void set_clock(int at_s)
{
	now_ms = (START_S + at_s) * 1000;
	store_memory_set_clock(store, now_ms);
}

/* Helpers that start on the store that is there; options of [global] first. */
static void start_helpers(const char *options)
{
	char text[4096];

	snprintf(text, sizeof(text), "[global]\ndatabase = /db\n%s", options);
	load_config(&config, text);
	for (unsigned i = 0; i < HELPERS; i++) {
		memo[i] = memo[i] ? memo[i] : transaction_memo_new(i + 1);
		judge[i] = judge_new(&config, store, memo[i]);
		check(judge[i] != NULL, "no judge");
	}
	helper = 0;
}

static void end_helpers(void)
{
	for (unsigned i = 0; i < HELPERS; i++) {
		judge_free(judge[i]);
	}
	config_free(&config);
}

static void set_up_within(uint64_t max_size, const char *rules)
{
	struct store_options options = {.max_size = max_size};
	struct error error = {""};

	store = store_open("memory:", &options, &retention_codec, &error);
	check(store != NULL, "%s", error.text);
	set_clock(0);
	start_helpers(rules);
}

static void set_up(const char *rules)
{
	set_up_within(ROOM, rules);
}

static void clean_up(void)
{
	end_helpers();
	for (unsigned i = 0; i < HELPERS; i++) {
		transaction_memo_free(memo[i]);
		memo[i] = NULL;
	}
	store_close(store);
}

/* A line for each counter at now_ms, in the order of the keys. */
struct counters {
	char line[16][80];
	size_t lines;
};

static bool add_counter(void *data, struct store_txn *txn, const char *key, size_t key_length,
    const char *bytes, size_t size)
{
	static const uint8_t no_client[RECORD_CLIENT_BYTES];
	struct counters *counters = data;
	struct netaddr client;
	struct record record;
	struct error error;
	struct strbuf text;

	(void)txn;
	if (key[0] == ':' || record_read(&record, bytes, size, &error)) {
		return true;
	}
	counter_advance(&record, now_ms);
	check(counters->lines < COUNT_OF(counters->line), "more counters than the test can show");
	strbuf_init(&text, counters->line[counters->lines++], sizeof(counters->line[0]));
	strbuf_add(&text, key, key_length);
	for (unsigned i = 0; i < record.layout.windows; i++) {
		strbuf_printf(
		    &text, "%c%llu", i ? ',' : '=', (unsigned long long)counter_used(&record, i));
	}
	if (record.denied > 0) {
		strbuf_printf(&text, " denied %llu", (unsigned long long)record.denied);
	}
	if (memcmp(record.denied_client, no_client, sizeof(no_client)) != 0) {
		netaddr_from_bytes(&client, record.denied_client);
		strbuf_puts(&text, " client ");
		netaddr_format(&client, &text);
	}
	strbuf_puts(&text, record.exception ? " exception" : "");
	return true;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* "RULE:KEY=USED,USED denied N; ...": what is used of each window. */
static void format_counters(struct strbuf *text)
{
	struct counters counters = {.lines = 0};
	struct error error;

	check(store_walk(store, add_counter, &counters, &error) == STORE_OK, "no walk");
	qsort(counters.line, counters.lines, sizeof(counters.line[0]), compare_lines);
	for (size_t i = 0; i < counters.lines; i++) {
		strbuf_puts(text, i ? "; " : "");
		strbuf_puts(text, counters.line[i]);
	}
}

static bool add_bytes(void *data, struct store_txn *txn, const char *key, size_t key_length,
    const char *bytes, size_t size)
{
	(void)txn;
	strbuf_add(data, key, key_length);
	strbuf_add(data, bytes, size);
	return true;
}

/* Every byte of the store, which is text; the caller frees it. */
static char *dump_store(void)
{
	const size_t size = 65536;
	char *buffer = malloc(size);
	struct strbuf text;
	struct error error;

	check(buffer != NULL, "no memory");
	strbuf_init(&text, buffer, size);
	check(store_walk(store, add_bytes, &text, &error) == STORE_OK, "no walk");
	check(text.length + 1 < size, "more bytes than the test can compare");
	return buffer;
}

/* "STATUS KEY USED of LIMIT, REMAINING left, wait SECONDS"; wait only if there is one. */
static void format_verdict(const struct verdict *verdict, struct strbuf *text)
{
	static const char *const names[] = {"allowed", "denied", "observed", "warning", "error"};

	strbuf_puts(text, names[verdict->status]);
	if (!verdict->rule) {
		return;
	}
	strbuf_printf(text, " %s %llu of ", verdict->key->text, (unsigned long long)verdict->used);
	if (verdict->limit) {
		limit_format(verdict->limit, verdict->rule->count, text);
	} else {
		strbuf_puts(text, verdict->unlimited ? "unlimited" : "deny");
	}
	strbuf_printf(text, ", %llu left", (unsigned long long)verdict->remaining);
	if (verdict->wait_ms == WINDOW_NEVER) {
		strbuf_puts(text, ", never");
	} else if (verdict->wait_ms > 0) {
		strbuf_printf(text, ", wait %g", (double)verdict->wait_ms / 1000);
	}
}

static void format_outcome(const struct verdict *verdict, const struct verdict_notes *notes,
    const struct error *error, struct strbuf *text)
{
	format_verdict(verdict, text);
	if (verdict->status == VERDICT_ERROR) {
		strbuf_printf(text, ": %s", error->text);
	}
	for (size_t i = 0; i < notes->notes; i++) {
		strbuf_puts(text, "; ");
		format_verdict(&notes->note[i], text);
	}
}

/* "STATE INSTANCE RECIPIENT SENDER COUNT SIZE CLIENT"; "-" or what is left out: empty. */
static const struct policy_request *request_of(const char *line)
{
	static const char *const names[] = {"protocol_state", "instance", "recipient", "sender",
	    "recipient_count", "size", "client_address"};
	static char copy[256];
	static struct policy_request request;
	const char *pairs[2 * COUNT_OF(names) + 1];
	char *next = copy;

	snprintf(copy, sizeof(copy), "%s", line);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		const char *value = strsep(&next, " ");

		pairs[2 * i] = names[i];
		pairs[2 * i + 1] = value && strcmp(value, "-") != 0 ? value : "";
	}
	pairs[2 * COUNT_OF(names)] = NULL;
	set_request(&request, pairs);
	return &request;
}

/* Appends what the explanation says, and checks that explaining changes nothing. */
static enum verdict_status explain(const char *line, struct strbuf *text)
{
	struct verdict_notes notes = {.notes = 0};
	struct verdict verdict;
	struct error error = {""};
	char *before = dump_store();
	char *after;
	enum store_result result = judge_explain(judge[helper], request_of(line), &verdict, &error);

	after = dump_store();
	check(strcmp(before, after) == 0, "%s: explaining it changed the store", line);
	check((result == STORE_OK) == (verdict.status != VERDICT_ERROR), "%s: %d", line, result);
	format_outcome(&verdict, &notes, &error, text);
	free(before);
	free(after);
	return verdict.status;
}

static void check_counters(const char *name, const char *expected)
{
	char buffer[1024];
	struct strbuf text;

	strbuf_init(&text, buffer, sizeof(buffer));
	format_counters(&text);
	check_string(buffer, expected, name);
}

/* Judges a request without explaining it. outcome, counters: NULL for any. */
static void judge_only(const char *line, const char *outcome, const char *counters)
{
	struct verdict_notes notes;
	struct verdict verdict;
	struct error error = {""};
	char buffer[1024], name[128];
	struct strbuf text;

	snprintf(name, sizeof(name), "%s at %lld s", line, (long long)(now_ms / 1000 - START_S));
	judge_request(judge[helper], request_of(line), &verdict, &notes, &error);
	strbuf_init(&text, buffer, sizeof(buffer));
	format_outcome(&verdict, &notes, &error, &text);
	check_string(buffer, outcome ? outcome : buffer, name);
	if (counters) {
		check_counters(name, counters);
	}
}

/* Explains and judges a request, at_s seconds after START_S. */
static void step(int at_s, const char *line, const char *outcome, const char *counters)
{
	char explained[1024], expected[1024];
	struct strbuf text;

	set_clock(at_s);
	snprintf(expected, sizeof(expected), "%.*s", (int)strcspn(outcome, ";"), outcome);
	strbuf_init(&text, explained, sizeof(explained));
	if (explain(line, &text) == VERDICT_ALLOWED) {
		/* The numbers of a request that is allowed would be those before it. */
		expected[strcspn(expected, " ")] = '\0';
		explained[strcspn(explained, " ")] = '\0';
	}
	check_string(explained, expected, "explained");
	judge_only(line, outcome, counters);
}

/* Puts bytes under a key, and marks the counter of an exception as `set` does. */
static enum store_result put_bytes(
    void *data, struct store_txn *txn, struct store_item *item, size_t items)
{
	const struct strbuf *bytes = data;
	struct record record;
	struct error error;

	check(store_txn_resize(txn, &item[0], bytes->length) == 0, "no memory");
	memcpy(item[0].data, bytes->buffer, bytes->length);
	item[0].action = STORE_REPLACE;
	if (items > 1 && item[1].exists &&
	    record_read(&record, item[1].data, item[1].size, &error) == 0) {
		record.exception = true;
		record_write(&record, item[1].data);
		item[1].action = STORE_PATCH;
	}
	return STORE_OK;
}

static void put(const char *key, const struct strbuf *bytes)
{
	size_t length = 0;
	const char *counter = exception_counter_key(key, strlen(key), &length);
	struct store_item item[] = {
	    {.key = key, .key_length = strlen(key)}, {.key = counter, .key_length = length}};
	struct error error = {""};

	check(store_update(store, item, counter ? 2 : 1, put_bytes, (void *)bytes, &error) ==
		STORE_OK,
	    "%s: %s", key, error.text);
}

static void put_text(const char *key, const char *bytes)
{
	put(key, &(struct strbuf){.buffer = (char *)bytes, .length = strlen(bytes)});
}

/* An exception with limits, or with more on those of the file, that ends at until_s, or 0. */
static void put_exception(const char *key, const char *limits, uint64_t granted, int until_s)
{
	struct exception exception = {.changed_ms = now_ms};
	int64_t end_s = until_s ? START_S + until_s : 0;
	char buffer[EXCEPTION_SIZE_MAX];
	struct strbuf text;

	snprintf(exception.limits, sizeof(exception.limits), "%s", limits);
	if (limits[0]) {
		exception.until_s = end_s;
	}
	if (granted > 0) {
		check(exception_grant(&exception, end_s, granted) == 0, "no grant");
	}
	strbuf_init(&text, buffer, sizeof(buffer));
	exception_format(&exception, &text);
	put(key, &text);
}

/* Either all rules are charged or none, but those with count_denied; the first one answers. */
static void test_all_or_nothing(void **state)
{
	(void)state;
	set_up("[rule a]\nkey = sender\nlimit = 3/hour\n"
	       "[rule b]\nkey = recipient\nlimit = 1/hour\n"
	       "[rule c]\nkey = everything\nlimit = 2/day\n");
	step(0, "RCPT - ann jo", "allowed", "a:jo=1; b:ann=1; c:everything=1");
	step(1, "RCPT - ann jo", "denied b:ann 2 of 1/hour, 0 left, wait 3899",
	    "a:jo=1; b:ann=1 denied 1; c:everything=1");
	step(2, "RCPT - bob jo", "allowed", "a:jo=2; b:ann=1 denied 1; b:bob=1; c:everything=2");
	/* b is the first in the file, c would take longer. */
	step(3, "RCPT - ann jo", "denied b:ann 2 of 1/hour, 0 left, wait 3897",
	    "a:jo=2; b:ann=1 denied 2; b:bob=1; c:everything=2");
	step(4, "RCPT - eve jo", "denied c:everything 3 of 2/day, 0 left, wait 93596",
	    "a:jo=2; b:ann=1 denied 2; b:bob=1; c:everything=2 denied 1");
	step(5, "MAIL - eve jo", "allowed",
	    "a:jo=2; b:ann=1 denied 2; b:bob=1; c:everything=2 denied 1");
	clean_up();

	set_up("[rule a]\nkey = sender\nlimit = 9/hour\ncount_denied = yes\n"
	       "[rule b]\nkey = recipient\nlimit = 1/hour\n");
	step(0, "RCPT - ann jo", "allowed", "a:jo=1; b:ann=1");
	step(1, "RCPT - ann jo", "denied b:ann 2 of 1/hour, 0 left, wait 3899",
	    "a:jo=2; b:ann=1 denied 1");
	clean_up();
}

/* Of a rule's windows the one answers that has no room for longest. */
static void test_windows(void **state)
{
	(void)state;
	set_up("log = all\n[rule r]\nkey = sender\nlimit = 2/hour, 3/day, 2/minute\n");
	step(0, "DATA - - jo 2", "allowed r:jo 2 of 2/hour, 0 left", "r:jo=2,2,2");
	step(65, "DATA - - jo 1", "denied r:jo 3 of 2/hour, 0 left, wait 3835",
	    "r:jo=2,2,0 denied 1");
	step(4000, "DATA - - jo 1", "allowed r:jo 3 of 3/day, 0 left", "r:jo=1,3,1 denied 1");
	step(4000, "DATA - - jo 2", "denied r:jo 5 of 3/day, 0 left, wait 89600",
	    "r:jo=1,3,1 denied 2");
	step(4000, "DATA - - jo 9", "denied r:jo 10 of 2/hour, 1 left, never",
	    "r:jo=1,3,1 denied 3");
	clean_up();
}

/* The promises of the strategies, where they differ. */
static void test_strategies(void **state)
{
	(void)state;
	set_up("[rule r]\nkey = sender\nlimit = 2/hour\nstrategy = fixed-window\n");
	step(3500, "DATA - - jo 2", "allowed", "r:jo=2");
	step(3590, "DATA - - jo 1", "denied r:jo 3 of 2/hour, 0 left, wait 10", "r:jo=2 denied 1");
	step(3600, "DATA - - jo 1", "allowed", "r:jo=1 denied 1");
	clean_up();

	set_up("[rule r]\nkey = sender\nlimit = 2/hour\nstrategy = moving-window\n");
	step(10, "DATA - - jo 1", "allowed", "r:jo=1");
	step(20, "DATA - - jo 1", "allowed", "r:jo=2");
	step(30, "DATA - - jo 1", "denied r:jo 3 of 2/hour, 0 left, wait 3580", "r:jo=2 denied 1");
	step(3609, "DATA - - jo 1", "denied r:jo 3 of 2/hour, 0 left, wait 1", "r:jo=2 denied 2");
	step(3610, "DATA - - jo 1", "allowed", "r:jo=2 denied 2");
	step(3610, "DATA - - jo 1", "denied r:jo 3 of 2/hour, 0 left, wait 10", "r:jo=2 denied 3");
	/* Set back by ten minutes: nothing is forgotten, and nothing stays longer than an hour. */
	step(3010, "DATA - - jo 1", "denied r:jo 4 of 2/hour, 0 left, wait 610", "r:jo=3 denied 4");
	step(3620, "DATA - - jo 1", "allowed", "r:jo=2 denied 4");
	step(6609, "DATA - - jo 1", "denied r:jo 3 of 2/hour, 0 left, wait 1", "r:jo=2 denied 5");
	step(6610, "DATA - - jo 1", "allowed", "r:jo=2 denied 5");
	clean_up();

	set_up("[rule r]\nkey = sender\nlimit = 2/hour\nresolution = 60\n");
	step(59, "DATA - - jo 2", "allowed", "r:jo=2");
	step(3659, "DATA - - jo 1", "denied r:jo 3 of 2/hour, 0 left, wait 1", "r:jo=2 denied 1");
	step(3660, "DATA - - jo 1", "allowed", "r:jo=1 denied 1");
	clean_up();
}

/* A rule that observes denies nothing and counts on. */
static void test_observe(void **state)
{
	(void)state;
	set_up("[rule o]\nkey = sender\nlimit = 1/hour\nmode = observe\n"
	       "[rule r]\nkey = recipient\nlimit = 2/hour\n");
	step(0, "RCPT - ann jo", "allowed", "o:jo=1; r:ann=1");
	step(0, "RCPT - ann jo", "allowed; observed o:jo 2 of 1/hour, 0 left, wait 3900",
	    "o:jo=2; r:ann=2");
	step(0, "RCPT - ann jo",
	    "denied r:ann 3 of 2/hour, 0 left, wait 3900; "
	    "observed o:jo 3 of 1/hour, 0 left, wait 3900",
	    "o:jo=2; r:ann=2 denied 1");
	clean_up();
}

/* One warning for each window, until its use has fallen below half of warn_at. */
static void test_warnings(void **state)
{
	(void)state;
	set_up("[rule r]\nkey = sender\nlimit = 10/hour, 20/day\nwarn_at = 80%\n");
	step(0, "DATA - - jo 7", "allowed", "r:jo=7,7");
	step(0, "DATA - - jo 1", "allowed; warning r:jo 8 of 10/hour, 2 left", "r:jo=8,8");
	step(0, "DATA - - jo 1", "allowed", "r:jo=9,9");
	step(0, "DATA - - jo 2", "denied r:jo 11 of 10/hour, 1 left, wait 3900",
	    "r:jo=9,9 denied 1");
	/* The hour is empty again and warns again; the day has come to its own warning. */
	step(4000, "DATA - - jo 9",
	    "allowed; warning r:jo 9 of 10/hour, 1 left; warning r:jo 18 of 20/day, 2 left",
	    "r:jo=9,18 denied 1");
	clean_up();

	/* 4 are half of 80%, and not less: no second warning. */
	set_up("[rule r]\nkey = sender\nlimit = 10/hour\nwarn_at = 80%\n");
	step(0, "DATA - - jo 4", "allowed", "r:jo=4");
	step(600, "DATA - - jo 4", "allowed; warning r:jo 8 of 10/hour, 2 left", "r:jo=8");
	step(3900, "DATA - - jo 4", "allowed", "r:jo=8");
	step(4500, "DATA - - jo 1", "allowed", "r:jo=5");
	step(7800, "DATA - - jo 7", "allowed; warning r:jo 8 of 10/hour, 2 left", "r:jo=8");
	clean_up();
}

/* A message is charged once, whichever helpers are asked, and however often. */
static void test_transactions(void **state)
{
	(void)state;
	set_up("[rule m]\nkey = sender\nlimit = 9/hour\ncount = messages\n"
	       "[rule r]\nkey = sender\nlimit = 9/hour\n"
	       "[rule z]\nkey = sender\nlimit = 9k/hour\ncount = bytes\n");
	step(0, "RCPT 1 ann jo 0 700", "allowed", "m:jo=1; r:jo=1");
	step(0, "RCPT 1 ann jo 0 700", "allowed", "m:jo=1; r:jo=1");
	helper = 1;
	step(0, "RCPT 1 ann jo 0 700", "allowed", "m:jo=1; r:jo=1");
	step(0, "RCPT 1 bob jo 0 700", "allowed", "m:jo=1; r:jo=2");
	helper = 0;
	step(0, "DATA 1 - jo 5 700", "allowed", "m:jo=1; r:jo=5");
	step(0, "END-OF-MESSAGE 1 - jo 5 800", "allowed", "m:jo=1; r:jo=5; z:jo=800");
	step(0, "END-OF-MESSAGE 1 - jo 5 800", "allowed", "m:jo=1; r:jo=5; z:jo=800");
	step(0, "RCPT 2 ann jo 0 700", "allowed", "m:jo=2; r:jo=6; z:jo=800");
	/* Without an instance each request stands alone. */
	step(0, "RCPT - ann jo", "allowed", "m:jo=3; r:jo=7; z:jo=800");
	step(0, "RCPT - ann jo", "allowed", "m:jo=4; r:jo=8; z:jo=800");
	clean_up();

	/* DATA has room for what is left to charge alone. */
	set_up("[rule r]\nkey = sender\nlimit = 3/hour\n");
	step(0, "RCPT 1 ann jo", "allowed", "r:jo=1");
	step(0, "RCPT 1 bob jo", "allowed", "r:jo=2");
	step(0, "DATA 1 - jo 4", "denied r:jo 4 of 3/hour, 1 left, wait 3900", "r:jo=2 denied 1");
	step(0, "DATA 1 - jo 3", "allowed", "r:jo=3 denied 1");
	step(0, "DATA 1 - jo 3", "allowed", "r:jo=3 denied 1");
	clean_up();
}

/* A request that comes again costs what it asks for, less what was paid for it. */
static void test_again(void **state)
{
	static const char *const strategies[] = {"sliding", "fixed", "moving"};
	char rules[256];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(strategies); i++) {
		/* More recipients after a DATA that something else refused. */
		snprintf(rules, sizeof(rules),
		    "[rule r]\nkey = sender\nlimit = 50/hour\nstrategy = %s-window\n",
		    strategies[i]);
		set_up(rules);
		step(0, "DATA 1 - jo 2", "allowed", "r:jo=2");
		step(0, "DATA 1 - jo 2", "allowed", "r:jo=2");
		step(0, "DATA 1 - jo 50", "allowed", "r:jo=50");
		step(0, "DATA 1 - jo 3", "allowed", "r:jo=50");
		judge_only("DATA 1 - jo 1000", NULL, "r:jo=50 denied 1");
		helper = 1;
		judge_only("DATA 1 - jo 51", NULL, "r:jo=50 denied 2");
		step(0, "END-OF-MESSAGE 1 - jo 50", "allowed", "r:jo=50 denied 2");
		/* What has left the window was not paid for this time. */
		step(3900, "END-OF-MESSAGE 1 - jo 50", "allowed", "r:jo=50 denied 2");
		step(3900, "END-OF-MESSAGE 1 - jo 50", "allowed", "r:jo=50 denied 2");
		clean_up();

		/* A recipient again, then another state, which costs nothing new. */
		set_up(rules);
		step(0, "RCPT 1 ann jo", "allowed", "r:jo=1");
		step(0, "RCPT 1 bob jo", "allowed", "r:jo=2");
		step(3900, "RCPT 1 bob jo", "allowed", "r:jo=1");
		step(3900, "RCPT 1 bob jo", "allowed", "r:jo=1");
		step(3900, "DATA 1 - jo 2", "allowed", "r:jo=1");
		clean_up();
	}

	set_up("[rule z]\nkey = sender\nlimit = 9k/hour\ncount = bytes\n");
	step(0, "END-OF-MESSAGE 1 - jo 1 500", "allowed", "z:jo=500");
	step(0, "END-OF-MESSAGE 1 - jo 1 800", "allowed", "z:jo=800");
	judge_only("END-OF-MESSAGE 1 - jo 1 9800", NULL, "z:jo=800 denied 1");
	clean_up();

	set_up("[rule m]\nkey = sender\nlimit = 2/hour\ncount = messages\n");
	step(0, "RCPT 1 ann jo", "allowed", "m:jo=1");
	step(0, "RCPT 1 bob jo", "allowed", "m:jo=1");
	step(3900, "RCPT 1 bob jo", "allowed", "m:jo=1");
	step(3900, "END-OF-MESSAGE 1 - jo 2", "allowed", "m:jo=1");
	clean_up();
}

/* Some windows still count what was paid, and others do not. */
static void test_again_in_windows(void **state)
{
	static const char *const strategies[] = {"sliding", "fixed", "moving"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(strategies); i++) {
		char rules[256];

		snprintf(rules, sizeof(rules),
		    "[rule r]\nkey = sender\nlimit = 9/hour, 99/day\nstrategy = %s-window\n",
		    strategies[i]);
		set_up(rules);
		step(0, "DATA 1 - jo 2", "allowed", "r:jo=2,2");
		step(60, "DATA 2 - jo 3", "allowed", "r:jo=5,5");
		step(4000, "DATA 1 - jo 2", "allowed", "r:jo=2,5");
		step(4000, "DATA 1 - jo 2", "allowed", "r:jo=2,5");
		step(4000, "DATA 1 - jo 6", "allowed", "r:jo=6,9");
		/* One that has been charged twice. */
		set_clock(4060);
		judge_only("DATA 2 - jo 4", NULL, "r:jo=6,9 denied 1");
		step(4060, "DATA 2 - jo 3", "allowed", "r:jo=9,9 denied 1");
		step(8200, "DATA 1 - jo 7", "allowed", "r:jo=7,10 denied 1");
		clean_up();
	}
}

/* Paid while it was denied: the same. */
static void test_denied_again(void **state)
{
	static const char *const strategies[] = {"sliding", "fixed", "moving"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(strategies); i++) {
		char rules[256];
		int passed = 0;

		snprintf(rules, sizeof(rules),
		    "[rule r]\nkey = sender\nlimit = 5/hour\nstrategy = %s-window\n"
		    "count_denied = yes\n",
		    strategies[i]);
		set_up(rules);
		step(0, "DATA - - jo 5", "allowed", "r:jo=5");
		for (int round = 0; round < 2; round++) {
			set_clock(round * 3900);
			for (int j = 0; j < 50; j++) {
				struct verdict_notes notes;
				struct verdict verdict;
				struct error error;
				char line[32];

				snprintf(line, sizeof(line), "RCPT %d ann jo", j);
				judge_request(judge[j % 2], request_of(line), &verdict, &notes,
				    &error);
				passed += verdict.status == VERDICT_ALLOWED;
			}
			check(passed == 5 * round, "%s: %d passed", strategies[i], passed);
		}
		clean_up();

		set_up(rules);
		step(0, "DATA - - jo 5", "allowed", "r:jo=5");
		judge_only("DATA 1 - jo 2", NULL, "r:jo=7 denied 1");
		judge_only("DATA 1 - jo 2", NULL, "r:jo=7 denied 2");
		judge_only("DATA 1 - jo 100", NULL, "r:jo=105 denied 3");
		set_clock(3900);
		judge_only("DATA 1 - jo 100", NULL, "r:jo=100 denied 4");
		clean_up();
	}
}

/* In any placement, 50 messages under way at once are charged once each. */
static void test_many_at_once(void **state)
{
	char counters[80];
	int messages = 0;

	(void)state;
	set_up("[rule e]\nkey = everything\nlimit = 9999/hour\n"
	       "[rule r]\nkey = sender\nlimit = 9999/hour\n"
	       "[rule z]\nkey = sender\nlimit = 9999/hour\nstrategy = moving-window\n");
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 50; i++) {
			static const char *const lines[] = {"RCPT %d ann jo", "RCPT %d bob jo",
			    "DATA %d - jo 3", "END-OF-MESSAGE %d - jo 3"};
			char line[64];

			/* Another one than was asked last. */
			helper = (unsigned)(i + round) % 50;
			snprintf(line, sizeof(line), lines[round], i);
			judge_only(line, "allowed", NULL);
			/* Whole messages beside them, of another connection. */
			if (i % 5 == 0) {
				helper = 50;
				snprintf(line, sizeof(line), "RCPT x%d ann jo", messages);
				judge_only(line, "allowed", NULL);
				snprintf(line, sizeof(line), "END-OF-MESSAGE x%d - jo 1",
				    messages++);
				judge_only(line, "allowed", NULL);
			}
		}
	}
	snprintf(counters, sizeof(counters), "e:everything=%d; r:jo=%d; z:jo=%d", 150 + messages,
	    150 + messages, 150 + messages);
	check_counters("50 at once", counters);
	clean_up();
}

/* Two lists ask two services, so that each client has two connections. */
static void test_two_services(void **state)
{
	static const char *const lines[] = {"RCPT %u.%u ann jo", "RCPT %u.%u ann jo",
	    "RCPT %u.%u bob jo", "RCPT %u.%u bob jo", "DATA %u.%u - jo 2", "DATA %u.%u - jo 2"};
	uint64_t seed = random_seed("two services", 16180339);
	unsigned asked[25] = {0}, left = COUNT_OF(asked) * 8 * COUNT_OF(lines);
	char counters[32];

	(void)state;
	set_up("[rule m]\nkey = sender\nlimit = 9999/hour\ncount = messages\n"
	       "[rule r]\nkey = sender\nlimit = 9999/hour\n");
	while (left > 0) {
		unsigned client = (unsigned)random_below(&seed, COUNT_OF(asked));
		unsigned at = asked[client] % COUNT_OF(lines);
		char line[64];

		if (asked[client] == 8 * COUNT_OF(lines)) {
			continue;
		}
		helper = 2 * client + at % 2;
		snprintf(line, sizeof(line), lines[at], client,
		    asked[client] / (unsigned)COUNT_OF(lines));
		judge_only(line, "allowed", NULL);
		asked[client]++;
		left--;
	}
	snprintf(counters, sizeof(counters), "m:jo=%u; r:jo=%u", 25 * 8, 25 * 8 * 2);
	check_counters("two services", counters);
	clean_up();
}

/* What a process knows survives another configuration, unless that counts something else. */
static void test_memo(void **state)
{
	char line[64];

	(void)state;
	set_up("[rule r]\nkey = sender\nlimit = 999/hour\n");
	step(0, "DATA first - jo 3", "allowed", "r:jo=3");
	for (int i = 0; i < 100; i++) {
		helper = 1 + (unsigned)i % 50;
		snprintf(line, sizeof(line), "RCPT %d ann jo", i);
		judge_only(line, "allowed", NULL);
	}
	helper = 0;
	end_helpers();
	start_helpers("[rule r]\nkey = sender\nlimit = 998/hour\n");
	step(0, "DATA first - jo 3", "allowed", "r:jo=103");
	step(0, "DATA first - jo 4", "allowed", "r:jo=104");
	end_helpers();
	start_helpers("[rule r]\nkey = sender\nlimit = 998/hour\ncount = messages\n");
	step(0, "DATA first - jo 4", "allowed", "r:jo=1");
	clean_up();
}

/* After a reset nothing is paid. */
static bool reset_record(
    void *data, struct store_txn *txn, const char *key, size_t key_length, const char *bytes,
    size_t size)
{
	struct record record;
	struct error error;
	char *copy = data;

	(void)txn;
	(void)key;
	(void)key_length;
	memcpy(copy, bytes, size);
	check(record_read(&record, copy, size, &error) == 0, "%s", error.text);
	counter_reset(&record);
	record_write(&record, copy);
	copy[size] = '\0';
	return true;
}

static void test_reset(void **state)
{
	static char bytes[8192];
	struct error error;

	(void)state;
	set_up("[rule r]\nkey = sender\nlimit = 5/hour\n");
	step(0, "RCPT 1 ann jo", "allowed", "r:jo=1");
	step(0, "DATA 2 - jo 2", "allowed", "r:jo=3");
	check(store_walk(store, reset_record, bytes, &error) == STORE_OK, "no walk");
	put_text("r:jo", bytes);
	check_counters("reset", "r:jo=0");
	step(0, "DATA 2 - jo 2", "allowed", "r:jo=2");
	/* It is not charged for being in another state. */
	step(0, "DATA 1 - jo 1", "allowed", "r:jo=2");
	clean_up();
}

/* The counter of the rule that denies remembers for whom. */
static void test_client(void **state)
{
	static const char allowed[] = "DATA - - jo 1 0 192.0.2.1";

	(void)state;
	set_up("[rule a]\nkey = everything\nlimit = 9/hour\n"
	       "[rule r]\nkey = sender\nlimit = 1/hour\n");
	step(0, allowed, "allowed", "a:everything=1; r:jo=1");
	step(0, allowed, "denied r:jo 2 of 1/hour, 0 left, wait 3900",
	    "a:everything=1; r:jo=1 denied 1 client 192.0.2.1");
	step(0, "DATA - - jo 1 0 2001:db8::1", "denied r:jo 2 of 1/hour, 0 left, wait 3900",
	    "a:everything=1; r:jo=1 denied 2 client 2001:db8::1");
	step(0, "DATA - - jo 1 0 unknown", "denied r:jo 2 of 1/hour, 0 left, wait 3900",
	    "a:everything=1; r:jo=1 denied 3");
	clean_up();
}

/* A denied try that was charged is charged once, and passes when there is room. */
static void test_count_denied(void **state)
{
	(void)state;
	set_up("[rule r]\nkey = sender\nlimit = 2/hour\ncount_denied = yes\n");
	step(0, "DATA 1 - jo 1", "allowed", "r:jo=1");
	step(600, "DATA 2 - jo 2", "denied r:jo 3 of 2/hour, 1 left, wait 3300", "r:jo=3 denied 1");
	/* The wait is that of a new try, which would be charged. */
	step(600, "DATA 2 - jo 2", "denied r:jo 3 of 2/hour, 0 left, wait 3900", "r:jo=3 denied 2");
	step(3900, "DATA 2 - jo 2", "allowed", "r:jo=2 denied 2");
	step(3900, "DATA 2 - jo 2", "allowed", "r:jo=2 denied 2");
	step(3900, "END-OF-MESSAGE 2 - jo 3", "denied r:jo 3 of 2/hour, 0 left, wait 600",
	    "r:jo=3 denied 3");
	clean_up();

	/* When it has passed, it is one recipient of the message, however often it comes. */
	set_up("[rule r]\nkey = sender\nlimit = 2/hour\ncount_denied = yes\n");
	step(0, "DATA 1 - jo 2", "allowed", "r:jo=2");
	step(600, "RCPT 2 ann jo", "denied r:jo 3 of 2/hour, 0 left, wait 3300", "r:jo=3 denied 1");
	step(3900, "RCPT 2 ann jo", "allowed", "r:jo=1 denied 1");
	step(3900, "RCPT 2 ann jo", "allowed", "r:jo=1 denied 1");
	step(3900, "DATA 2 - jo 2", "allowed", "r:jo=2 denied 1");
	clean_up();
}

/* Limits of the file for single keys, and the words that stand alone. */
static void test_overrides(void **state)
{
	(void)state;
	set_up("log = all\n"
	       "[rule r]\nkey = sender\nlimit = 1/hour\noverride = ann@x 2/day\n"
	       "override = @y deny\nexempt = bob@y\n");
	step(0, "DATA - - jo@x 2", "denied r:jo@x 2 of 1/hour, 1 left, never", "r:jo@x=0 denied 1");
	step(0, "DATA - - ann@x 2", "allowed r:ann@x 2 of 2/day, 0 left",
	    "r:ann@x=2,2; r:jo@x=0 denied 1");
	step(0, "DATA - - eve@y 1", "denied r:eve@y 1 of deny, 0 left, never",
	    "r:ann@x=2,2; r:eve@y=0 denied 1; r:jo@x=0 denied 1");
	step(0, "DATA - - bob@y 7", "allowed r:bob@y 7 of unlimited, 0 left",
	    "r:ann@x=2,2; r:bob@y=7; r:eve@y=0 denied 1; r:jo@x=0 denied 1");
	clean_up();

	/* Without any window there is nothing to keep. */
	set_up("log = all\n[rule u]\nkey = sender\nlimit = unlimited\n"
	       "[rule d]\nkey = recipient\nlimit = deny\n");
	step(0, "DATA - - jo 2", "allowed u:jo 0 of unlimited, 0 left", "");
	step(0, "RCPT - ann jo", "denied d:ann 1 of deny, 0 left, never", "");
	clean_up();
}

/* Exceptions in the store, with the rule's window and with another one, until they expire. */
static void test_exceptions(void **state)
{
	(void)state;
	set_up("[rule r]\nkey = sender\nlimit = 1/hour\n");
	step(0, "DATA - - jo 1", "allowed", "r:jo=1");
	put_exception(":set:r:jo", "2/day", 0, 600);
	put_exception(":set:r:ann", "", 2, 600);
	put_exception(":set:r:eve", "deny", 0, 0);
	check_counters("exceptions", "r:jo=1 exception");
	/* The day begins empty; the hour goes on counting. */
	step(1, "DATA - - jo 2", "allowed", "r:jo=3,2 exception");
	step(2, "DATA - - jo 1", "denied r:jo 3 of 2/day, 0 left, wait 93598",
	    "r:jo=3,2 denied 1 exception");
	step(3, "DATA - - ann 3", "allowed", "r:ann=3 exception; r:jo=3,2 denied 1 exception");
	step(4, "DATA - - ann 1", "denied r:ann 4 of 3/hour, 0 left, wait 3896",
	    "r:ann=3 denied 1 exception; r:jo=3,2 denied 1 exception");
	step(5, "DATA - - eve 1", "denied r:eve 1 of deny, 0 left, never",
	    "r:ann=3 denied 1 exception; r:eve=0 denied 1 exception; "
	    "r:jo=3,2 denied 1 exception");
	/* Expired: the rule's limit holds, but not if the clock is set back. */
	step(600, "DATA - - jo 1", "denied r:jo 4 of 1/hour, 0 left, wait 3300",
	    "r:ann=3 denied 1 exception; r:eve=0 denied 1 exception; r:jo=3 denied 2 exception");
	step(599, "DATA - - jo 1", "allowed",
	    "r:ann=3 denied 1 exception; r:eve=0 denied 1 exception; "
	    "r:jo=4,1 denied 2 exception");
	clean_up();
}

/* An exception that can't be used: the rule's limit holds. */
static void test_unusable_exceptions(void **state)
{
	(void)state;
	set_up("[rule r]\nkey = sender\nlimit = 1/hour\nstrategy = moving-window\n");
	put_exception(":set:r:jo", "99/hour", 0, 0);
	step(0, "DATA - - jo 2", "denied r:jo 2 of 1/hour, 1 left, never",
	    "r:jo=0 denied 1 exception");
	put_text(":set:r:jo", "1 0 0 99/day|00000000000");
	step(0, "DATA - - jo 2", "denied r:jo 2 of 1/hour, 1 left, never", "r:jo=0 denied 2");
	/* A later version wrote it, and will want to find it again. */
	put_text(":set:r:jo", "2 something that is for later versions");
	step(0, "DATA - - jo 1", "allowed", "r:jo=1 denied 2 exception");
	step(0, "DATA - - ann 1", "allowed", "r:ann=1; r:jo=1 denied 2 exception");
	put_text(":set:r:bob", "2 something that is for later versions");
	step(0, "DATA - - bob 1", "allowed",
	    "r:ann=1; r:bob=1 exception; r:jo=1 denied 2 exception");
	clean_up();
}

/* Records of another configuration: windows that are still there go on counting. */
static void test_layouts(void **state)
{
	(void)state;
	set_up("[rule r]\nkey = sender\nlimit = 5/hour, 9/day\n");
	step(0, "DATA 1 - jo 3", "allowed", "r:jo=3,3");
	end_helpers();
	start_helpers("[rule r]\nkey = sender\nlimit = 9/week, 4/hour\n");
	step(1, "DATA 1 - jo 3", "allowed", "r:jo=3,3");
	step(1, "DATA 2 - jo 2", "denied r:jo 5 of 4/hour, 1 left, wait 3899", "r:jo=0,3 denied 1");
	step(1, "DATA 2 - jo 1", "allowed", "r:jo=1,4 denied 1");
	end_helpers();
	start_helpers("[rule r]\nkey = sender\nlimit = 5/hour\nstrategy = moving-window\n");
	step(2, "DATA 3 - jo 2", "denied r:jo 6 of 5/hour, 1 left, wait 3599", "r:jo=4 denied 2");
	end_helpers();
	start_helpers("[rule r]\nkey = sender\nlimit = 5/hour\ncount = messages\n");
	step(3, "DATA 4 - jo 5", "allowed", "r:jo=1 denied 2");
	clean_up();
}

static void test_damaged(void **state)
{
	static const struct {
		const char *bytes, *reason;
	} cases[] = {
	    {"3 m3 r8 1h|", "is damaged: 11 bytes long instead of"},
	    {"0 m3 r8 1h|", "is damaged: not a counter of version 3"},
	    {"", "is damaged: not a counter of version 3"},
	    {"4 m3 r8 1h|", "is of a newer version"},
	};

	(void)state;
	set_up("[rule a]\nkey = everything\nlimit = 9/hour\n"
	       "[rule r]\nkey = sender\nlimit = 2/hour\nstrategy = moving-window\n");
	step(0, "RCPT - ann jo", "allowed", "a:everything=1; r:jo=1");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct verdict_notes notes;
		struct verdict verdict;
		struct error error = {""};
		char expected[128], buffer[512];
		struct strbuf text;

		snprintf(expected, sizeof(expected), "error: /db: the record of \"r:eve\" %s",
		    cases[i].reason);
		put_text("r:eve", cases[i].bytes);
		strbuf_init(&text, buffer, sizeof(buffer));
		check(explain("RCPT - ann eve", &text) == VERDICT_ERROR, "\"%s\": %s",
		    cases[i].bytes, buffer);
		check(strncmp(buffer, expected, strlen(expected)) == 0, "%s", buffer);
		judge_request(judge[0], request_of("RCPT - ann eve"), &verdict, &notes, &error);
		check(verdict.status == VERDICT_ERROR && notes.notes == 0 &&
			strcmp(error.text, buffer + strlen("error: ")) == 0,
		    "%s: %s", buffer, error.text);
		check_counters(cases[i].bytes, "a:everything=1; r:jo=1");
	}
	/* Other keys go on. */
	step(0, "RCPT - ann jo", "allowed", "a:everything=2; r:jo=2");
	clean_up();
}

/* A full store keeps the limits of the counters that it has, and makes no new one. */
static void test_full(void **state)
{
	static const char rules[] = "[rule a]\nkey = recipient\nlimit = 9/hour\nwarn_at = 20%\n"
				    "[rule r]\nkey = sender\nlimit = 3/hour\n";
	struct error error;
	char full[128];
	uint64_t bytes;

	(void)state;
	set_up(rules);
	step(0, "RCPT - ann jo", "allowed", "a:ann=1; r:jo=1");
	check(store_size(store, &bytes, &error) == STORE_OK && bytes > 0, "no size");
	clean_up();

	set_up_within(bytes + 1, rules);
	snprintf(full, sizeof(full), "error: no room for a new record within %llu bytes",
	    (unsigned long long)bytes + 1);
	step(0, "RCPT - ann jo", "allowed", "a:ann=1; r:jo=1");
	judge_only("RCPT - bob eve", full, "a:ann=1; r:jo=1");
	judge_only("RCPT - ann eve", full, "a:ann=2; r:jo=1");
	judge_only("RCPT - bob jo", full, "a:ann=2; r:jo=2");
	judge_only("RCPT - bob jo", full, "a:ann=2; r:jo=3");
	judge_only("RCPT - bob jo", "denied r:jo 4 of 3/hour, 0 left, wait 3900",
	    "a:ann=2; r:jo=3 denied 1");
	step(4000, "RCPT - ann jo", "allowed", "a:ann=1; r:jo=1 denied 1");
	clean_up();
}

/* Without room for a longer record, the oldest transaction gives way, and nobody is turned away. */
static void test_full_of_transactions(void **state)
{
	static const char rules[] = "[rule r]\nkey = sender\nlimit = 99/hour\n";
	struct error error;
	uint64_t before, bytes;

	(void)state;
	set_up(rules);
	step(0, "RCPT - ann jo", "allowed", "r:jo=1");
	check(store_size(store, &bytes, &error) == STORE_OK, "no size");
	clean_up();

	set_up_within(bytes + 100, rules);
	for (unsigned i = 0; i < 50; i++) {
		char line[32], counters[16];

		helper = i;
		snprintf(line, sizeof(line), "RCPT %u ann jo", i);
		snprintf(counters, sizeof(counters), "r:jo=%u", i + 1);
		step(0, line, "allowed", counters);
	}
	before = bytes;
	check(store_size(store, &bytes, &error) == STORE_OK && bytes == before, "it has grown");
	step(0, "RCPT 47 ann jo", "allowed", "r:jo=50");
	clean_up();
}

/* What each rule makes of a request. */
static void test_findings(void **state)
{
	static const char *const kinds[] = {"applies", "counts nothing", "no match", "no key"};
	static const char *const lines[] = {"RCPT 1 ann jo", "DATA 2 - jo 1", "DATA 2 - jo 3"};
	char buffer[512];
	struct judge_finding finding[8];
	struct strbuf text;
	size_t findings;

	(void)state;
	set_up("[rule s]\nkey = sender\nlimit = 2/hour\n"
	       "[rule z]\nkey = sender\nlimit = 9M/hour\ncount = bytes\n"
	       "[rule m]\nkey = sender\nlimit = 1/hour\nmatch = sender = jo\n"
	       "match = recipient = @x\n"
	       "[rule k]\nkey = sasl_username\nlimit = 1/hour\n"
	       "[rule x]\nkey = recipient\nlimit = 1/hour\n");
	put_exception(":set:x:ann", "3/hour", 0, 0);
	step(0, "RCPT 1 ann jo", "allowed", "s:jo=1; x:ann=1 exception");
	strbuf_init(&text, buffer, sizeof(buffer));
	for (unsigned i = 0; i < COUNT_OF(lines); i++) {
		struct verdict verdict;
		struct error error;

		check(judge_explain(judge[1], request_of(lines[i]), &verdict, &error) == STORE_OK,
		    "no explanation");
		findings = judge_findings(judge[1], finding);
		check(findings == 5, "%zu findings", findings);
		for (size_t j = 0; j < findings; j++) {
			check(finding[j].rule == &config.rule[j], "finding %zu: rule", j);
			strbuf_printf(&text, "%s%s %s",
			    j       ? "; "
				: i ? " | "
				    : "",
			    finding[j].rule->name, kinds[finding[j].kind]);
			if (finding[j].kind == FINDING_NO_MATCH) {
				strbuf_printf(&text, " %u", finding[j].match);
			} else if (finding[j].kind == FINDING_APPLIES) {
				strbuf_printf(&text, " %s cost %llu used %llu of %llu",
				    finding[j].key->text + finding[j].key->prefix,
				    (unsigned long long)finding[j].cost,
				    (unsigned long long)counter_used(finding[j].record, 0),
				    (unsigned long long)finding[j].effective->limits.at[0].count);
				strbuf_puts(&text, finding[j].again ? " again" : "");
				strbuf_puts(&text, finding[j].room ? " room" : "");
				strbuf_puts(&text, finding[j].exception ? " exception" : "");
			}
		}
	}
	check_string(buffer,
	    "s applies jo cost 0 used 1 of 2 again room; z counts nothing; m no match 1; k no key; "
	    "x applies ann cost 0 used 1 of 3 again room exception | "
	    "s applies jo cost 1 used 1 of 2 room; z counts nothing; m no match 1; k no key; "
	    "x no key | s applies jo cost 3 used 1 of 2; z counts nothing; m no match 1; k no key; "
	    "x no key",
	    "findings");
	clean_up();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_all_or_nothing),
	    cmocka_unit_test(test_windows),
	    cmocka_unit_test(test_strategies),
	    cmocka_unit_test(test_observe),
	    cmocka_unit_test(test_warnings),
	    cmocka_unit_test(test_transactions),
	    cmocka_unit_test(test_again),
	    cmocka_unit_test(test_again_in_windows),
	    cmocka_unit_test(test_denied_again),
	    cmocka_unit_test(test_many_at_once),
	    cmocka_unit_test(test_two_services),
	    cmocka_unit_test(test_memo),
	    cmocka_unit_test(test_reset),
	    cmocka_unit_test(test_client),
	    cmocka_unit_test(test_count_denied),
	    cmocka_unit_test(test_overrides),
	    cmocka_unit_test(test_exceptions),
	    cmocka_unit_test(test_unusable_exceptions),
	    cmocka_unit_test(test_layouts),
	    cmocka_unit_test(test_damaged),
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_full_of_transactions),
	    cmocka_unit_test(test_findings),
	};

	setenv("TZ", "UTC", 1);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("judge", tests, NULL, NULL);
}
