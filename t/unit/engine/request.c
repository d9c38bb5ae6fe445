/*
 * Tests of src/engine/request.c: what a rule makes of a request, its amount, its cost and its
 * key.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "engine.h"

#include "base/hash.h"
#include "base/strbuf.h"
#include "config/selector.h"
#include "engine/request.h"

#define E "\xc3\xa9"
#define SMILE "\xf0\x9f\x98\x80"
#define LONG_NAME "a-rule-whose-name-has-32-letters"

static const uint8_t secret[HASH_KEY_BYTES] = "secret of a test";
static const uint8_t other_secret[HASH_KEY_BYTES] = "secret of a tesu";

static struct policy_request policy;

static void add(const char *name, const char *value)
{
	check(policy_add(&policy, name, strlen(name), value, strlen(value)) == 0, "%s", name);
}

/* The value NULL: without the attribute. */
static void only(const char *name, const char *value)
{
	policy = (struct policy_request){.attributes = 0};
	if (value) {
		add(name, value);
	}
}

static void test_states(void **state)
{
	/* In the order of enum request_state; those from the fifth on are others too. */
	static const char *const strings[] = {
	    NULL, "RCPT", "DATA", "END-OF-MESSAGE", "CONNECT", "MAIL", "VRFY", "rcpt", "RCPT ", ""};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(strings); i++) {
		struct request request;

		only("protocol_state", strings[i]);
		request_init(&request, &policy);
		check(request.state == (i < 4 ? (enum request_state)i : REQUEST_OTHER),
		    "state %zu: got %d", i, (int)request.state);
		check(request.policy == &policy, "state %zu: another request", i);
	}
}

static void test_numbers(void **state)
{
	static const struct {
		const char *string; /* NULL: not sent */
		uint64_t count, size;
	} cases[] = {
	    {"0", 0, 0},
	    {"1", 1, 1},
	    {"0050", 50, 50},
	    {NULL, 0, 0},
	    {"", 0, 0},
	    {"-1", 0, 0},
	    {" 1", 0, 0},
	    {"1 ", 0, 0},
	    {"1k", 0, 0},
	    {"0x10", 0, 0},
	    {"1.5", 0, 0},
	    {"68719476735", LIMIT_COUNT_MAX, LIMIT_COUNT_MAX},
	    {"68719476736", 0, 68719476736},
	    {"18014398509481983", 0, LIMIT_BYTES_MAX},
	    {"18014398509481984", 0, 0},
	    {"18446744073709551617", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *string = cases[i].string, *name = string ? string : "none";
		struct request request;

		only("recipient_count", string);
		if (string) {
			add("size", string);
			add("instance", string);
		}
		add("protocol_state", "END-OF-MESSAGE");
		request_init(&request, &policy);
		check(request.recipient_count == cases[i].count, "\"%s\": wrong recipients", name);
		check(request.size == cases[i].size, "\"%s\": wrong size", name);
		check(request.instance == (string && *string ? &policy.attribute[2] : NULL),
		    "\"%s\": wrong instance", name);
	}
}

/* A request for 5 recipients and 1000 bytes, or 0 of both. */
static void test_amount_and_cost(void **state)
{
	static const uint64_t charged[] = {0, 1, 4, 5, 7, RECORD_CHARGED_MAX};
	static const struct {
		enum limit_count count;
		const char *state;
		uint64_t amount, cost[COUNT_OF(charged)], amount_of_none;
	} cases[] = {
	    {COUNT_MESSAGES, "RCPT", 1, {1}, 1},
	    {COUNT_MESSAGES, "DATA", 1, {1}, 1},
	    {COUNT_MESSAGES, "END-OF-MESSAGE", 1, {1}, 1},
	    {COUNT_MESSAGES, "MAIL", 0, {0}, 0},
	    {COUNT_RECIPIENTS, "RCPT", 1, {1, 1, 1, 1, 1, 1}, 1},
	    {COUNT_RECIPIENTS, "DATA", 5, {5, 4, 1}, 0},
	    {COUNT_RECIPIENTS, "END-OF-MESSAGE", 5, {5, 4, 1}, 0},
	    {COUNT_RECIPIENTS, "VRFY", 0, {0}, 0},
	    {COUNT_BYTES, "RCPT", 0, {0}, 0},
	    {COUNT_BYTES, "DATA", 0, {0}, 0},
	    {COUNT_BYTES, "END-OF-MESSAGE", 1000, {1000, 999, 996, 995, 993}, 0},
	    {COUNT_BYTES, "MAIL", 0, {0}, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases) * COUNT_OF(charged); i++) {
		size_t at = i / COUNT_OF(charged), j = i % COUNT_OF(charged);
		struct rule rule = {.count = cases[at].count};
		struct request request;
		uint64_t cost;
		char name[80];

		snprintf(name, sizeof(name), "count %d in %s, %llu charged", (int)rule.count,
		    cases[at].state, (unsigned long long)charged[j]);
		only("protocol_state", cases[at].state);
		add("recipient_count", "5");
		add("size", "1000");
		request_init(&request, &policy);
		check(
		    request_amount(&rule, &request) == cases[at].amount, "%s: wrong amount", name);
		cost = request_cost(&rule, &request, charged[j]);
		check(cost == cases[at].cost[j], "%s: expected %llu, got %llu", name,
		    (unsigned long long)cases[at].cost[j], (unsigned long long)cost);
		request.recipient_count = request.size = 0;
		check(request_amount(&rule, &request) == cases[at].amount_of_none,
		    "%s: wrong amount of none", name);
	}
}

/* A rule whose key is that name in the file; NULL: everything. */
static struct rule rule_for(const char *name, unsigned fold_case)
{
	struct rule rule = {
	    .name = "r", .folding = {.fold_case = fold_case, .ipv4_prefix = 32, .ipv6_prefix = 64}};

	if (name) {
		struct config_key *key = &rule.key[rule.keys++];

		check(selector_find(&key->part[key->parts++], name, strlen(name)) == 0, "%s", name);
	}
	return rule;
}

static void test_keys(void **state)
{
	static const struct {
		const char *attribute; /* what the rule is for; NULL: everything */
		bool domain;
		unsigned fold_case;
		const char *sender, *key; /* NULL: none */
	} cases[] = {
	    {"sender", false, 1, "Jo@Example.ORG", "r:jo@example.org"},
	    {"sender", false, 0, "Jo@Example.ORG", "r:Jo@Example.ORG"},
	    {"sender", false, 1, "\xc3\x84 Z[@", "r:\xc3\x84 z[@"},
	    {"sender", false, 1, "everything", "r:everything"},
	    {"sender", false, 1, "a:", "r:a:"},
	    {"sender", false, 1, "", NULL},
	    {"sender", false, 1, NULL, NULL},
	    {"recipient", false, 1, "jo@example.org", NULL},
	    {"sender", true, 1, "jo@Example.ORG", "r:example.org"},
	    {"sender", true, 0, "jo@Example.ORG", "r:Example.ORG"},
	    {"sender", true, 1, "\"a@b\"@example.org", "r:example.org"},
	    {"sender", true, 1, "@x", "r:x"},
	    {"sender", true, 1, "jo", NULL},
	    {"sender", true, 1, "jo@", NULL},
	    {"sender", true, 1, "jo@x@", NULL},
	    {"sender", true, 1, "@", NULL},
	    {"sender", true, 1, "", NULL},
	    {"sender", true, 1, NULL, NULL},
	    {NULL, false, 1, "jo@x", "r:everything"},
	    {NULL, false, 0, NULL, "r:everything"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *attribute = cases[i].attribute, *name = cases[i].sender;
		struct rule rule =
		    rule_for(cases[i].domain ? "sender_domain" : attribute, cases[i].fold_case);
		struct request_key key;
		bool found;

		only("sender", name);
		add("helo_name", "jo@helo");
		found = request_find_key(&rule, &policy, secret, &key);
		check(found == (cases[i].key != NULL), "case %zu, %s: got %d", i, name, found);
		if (found) {
			check_string(key.text, cases[i].key, name ? name : "none");
			check(key.length == strlen(key.text) && key.prefix == 2, "%s: wrong length",
			    key.text);
		}
	}
}

static char value[2][POLICY_VALUE_MAX + 1];

/* Two values of that length that differ in one byte; the rule is for "sender". */
static void test_long_keys(void **state)
{
	static const size_t lengths[] = {1, 183, 184, 199, 200, 201, 202, 1000, 8191, 8192};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lengths) * 4; i++) {
		size_t length = lengths[i / 4];
		bool cut = length > KEY_MAX;
		struct rule rule = rule_for("sender", i & 1);
		struct request_key key[2], same, other;

		strcpy(rule.name, i & 2 ? LONG_NAME : "r");
		for (unsigned j = 0; j < 2; j++) {
			memset(value[j], 'a', length);
			value[j][length] = '\0';
			value[j][length - 1] = j ? 'B' : 'b';
			only("sender", value[j]);
			check(request_find_key(&rule, &policy, secret, &key[j]), "no key");
			request_parse_key(&rule, value[j], length, secret, &same);
			check_string(same.text, key[j].text, "key of the same bytes");
			check(same.length == key[j].length && same.length == strlen(same.text) &&
				same.prefix == strlen(rule.name) + 1 &&
				same.length - same.prefix == (cut ? KEY_MAX : length),
			    "%zu bytes: a key of %zu", length, same.length - same.prefix);
		}
		check((strcmp(key[0].text, key[1].text) == 0) == (rule.folding.fold_case == 1),
		    "fold_case = %u: %s and %s", rule.folding.fold_case, key[0].text, key[1].text);
		value[1][length - 1] = 'c';
		request_parse_key(&rule, value[1], length, secret, &same);
		check(strcmp(key[0].text, same.text) != 0, "%zu bytes: not distinct", length);
		request_parse_key(&rule, value[0], length, other_secret, &other);
		check((strcmp(key[0].text, other.text) == 0) == !cut,
		    "%zu bytes, another secret: %s", length, other.text);
	}
}

/*
 * Fillers, then one character many times: what is kept of the beginning ends, and what is kept of
 * the end begins, between two of them.
 */
static void test_key_boundary(void **state)
{
	static const struct {
		size_t fillers;
		const char *character;
		size_t head, tail;
	} cases[] = {
	    {92, E, 91, 92},
	    {91, E, 91, 92},
	    {90, E, 90, 92},
	    {0, E, 90, 92},
	    {91, SMILE, 91, 92},
	    {90, SMILE, 90, 92},
	    {89, SMILE, 89, 92},
	    {88, SMILE, 88, 92},
	    {0, SMILE, 88, 92},
	    {0, "\xe2\x82\xac", 90, 90},
	    {0, "\x80", 88, 89},
	    {100, "\xff", 91, 92},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct rule rule = rule_for("helo_name", 0);
		size_t kept = cases[i].head + cases[i].tail, length;
		struct request_key key;
		struct strbuf text;

		strbuf_init(&text, value[0], 500);
		strbuf_puts(&text, "r:");
		for (unsigned j = 0; j < 400; j++) {
			strbuf_puts(&text, j < cases[i].fillers ? "a" : cases[i].character);
		}
		request_parse_key(&rule, value[0] + 2, text.length - 2, secret, &key);
		length = strlen(key.text + 2);
		check(length == kept + 17 && memcmp(key.text, value[0], cases[i].head + 2) == 0 &&
			memcmp(key.text + 2 + cases[i].head, value[0] + text.length - cases[i].tail,
			    cases[i].tail) == 0 &&
			key.text[2 + kept] == '~' &&
			strspn(key.text + 3 + kept, "0123456789abcdef") == 16,
		    "case %zu: %zu bytes, %s", i, length, key.text);
	}
}

/* What different alternatives give never is one key; each is read back as it is kept. */
static void test_alternatives(void **state)
{
	static const struct {
		const char *key;
		const char *const attributes[7];
		const char *kept, *value;
	} cases[] = {
	    {"sasl_username", {"sasl_username", "sender:x"}, "r:sender:x", "sender:x"},
	    {"sasl_username, sender", {"sasl_username", "Bob@X."}, "r:bob@x", "bob@x"},
	    {"sasl_username, sender", {"sender", "Bob@X."}, "r:sender:bob@x", "bob@x"},
	    {"sasl_username, sender", {"sasl_username", "Sender:Bob@X"},
		"r:sasl_username:sender:bob@x", "sender:bob@x"},
	    {"sasl_username, sender", {"sender", "sender:bob@x"}, "r:sender:sender:bob@x",
		"sender:bob@x"},
	    {"sasl_username, sender", {"sasl_username", "sasl_username:a"},
		"r:sasl_username:sasl_username:a", "sasl_username:a"},
	    {"sasl_username, sender", {"sasl_username", "sender:"}, "r:sender:", "sender:"},
	    {"sasl_username, sender", {"sasl_username", "recipient:a"}, "r:recipient:a",
		"recipient:a"},
	    {"sasl_username, client_address", {"client_address", "2001:db8::1"},
		"r:client_address:2001:db8::/64", "2001:db8::/64"},
	    {"client_address, sender", {"client_address", "2001:db8::1"}, "r:2001:db8::/64",
		"2001:db8::/64"},
	    {"sasl_username, client_address", {"sasl_username", "192.0.2.1"}, "r:192.0.2.1",
		"192.0.2.1"},
	    {"sender, sender_domain", {"sender", "a@x"}, "r:a@x", "a@x"},
	    {"sasl_domain, sender_domain", {"sender", "a@X."}, "r:sender_domain:x", "x"},
	    {"sasl_username, sasl_username+client_address",
		{"sasl_username", "bob", "client_address", "192.0.2.1"}, "r:bob", "bob"},
	    {"sasl_username, sender+client_address",
		{"sender", "b+c", "client_address", "192.0.2.1"},
		"r:sender+client_address:b%2bc+192.0.2.1", "b%2bc+192.0.2.1"},
	    {"sender+client_address, sender", {"sender", "b+c", "client_address", "192.0.2.1"},
		"r:b%2bc+192.0.2.1", "b%2bc+192.0.2.1"},
	    {"sender+client_address, sender", {"sender", "b+192.0.2.1"}, "r:sender:b+192.0.2.1",
		"b+192.0.2.1"},
	    {"sender+recipient_domain", {"sender", "a%2bb+c@x.", "recipient", "r@y."},
		"r:a%252bb%2bc@x+y", "a%252bb%2bc@x+y"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct request_key key, again;
		struct config config;
		char text[256];

		snprintf(text, sizeof(text), "[rule r]\nkey = %s\nlimit = 5/hour\n", cases[i].key);
		load_config(&config, text);
		set_request(&policy, cases[i].attributes);
		check(request_find_key(&config.rule[0], &policy, secret, &key), "%zu: none", i);
		check_string(key.text, cases[i].kept, "kept");
		check_string(key.text + key.value, cases[i].value, cases[i].kept);
		check(request_parse_key(
			  &config.rule[0], key.text + 2, key.length - 2, secret, &again),
		    "%s: can't be written", key.text);
		check_string(again.text, key.text, "read back");
		check(
		    again.source == key.source && again.value == key.value, "%s: source", key.text);
		config_free(&config);
	}
}

/* What no request has as its key, and what is the same key in another spelling. */
static void test_written(void **state)
{
	static const struct {
		const char *key, *written, *kept; /* kept NULL: can't be a key */
	} cases[] = {
	    {"sender", "", NULL},
	    {"sender", "A+tag@X..", "r:a@x"},
	    {"sender_domain", "X.example.", "r:x.example"},
	    {"sender_domain", "a@x.example", NULL},
	    {"sender_domain", "...", NULL},
	    {"client_address", "x", NULL},
	    {"client_address", "2001:db8::7", "r:2001:db8::/64"},
	    {"sender, client_address", "192.0.2.1", "r:192.0.2.1"},
	    {"sender, client_address", "client_address:192.0.2.1", "r:client_address:192.0.2.1"},
	    {"sender, client_address", "client_address:x", NULL},
	    {"sender, client_address", "sender:b", "r:b"},
	    {"sender+client_address", "bob+192.0.2.1", "r:bob+192.0.2.1"},
	    {"sender+client_address", "Bob+tag@X.+::ffff:192.0.2.1", "r:bob@x+192.0.2.1"},
	    {"sender+client_address", "bob%2btag@x+192.0.2.1", "r:bob@x+192.0.2.1"},
	    {"sender+client_address", "bob", NULL},
	    {"sender+client_address", "bob+x", NULL},
	    {"sender+client_address", "+192.0.2.1", NULL},
	    {"helo_name+recipient", "a%2Bb+c+d@x", "r:a%2bb+c@x"},
	    {"helo_name+recipient", "5%+c", "r:5%25+c"},
	    {"sender, sender+client_address", "bob+192.0.2.1", "r:bob"},
	    {"sender+client_address, sender", "bob+192.0.2.1", "r:bob+192.0.2.1"},
	    {"everything", "everything", "r:everything"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *written = cases[i].written;
		struct request_key key = {.text = ""};
		struct config config;
		char text[256];
		bool possible;

		snprintf(text, sizeof(text),
		    "[rule r]\nkey = %s\nstrip_extension = +\nlimit = 5/hour\n", cases[i].key);
		load_config(&config, text);
		possible =
		    request_parse_key(&config.rule[0], written, strlen(written), secret, &key);
		check(possible == (cases[i].kept != NULL), "%s: %s: possible: %d", cases[i].key,
		    written, possible);
		check_string(possible ? key.text : "", possible ? cases[i].kept : "", written);
		config_free(&config);
	}
}

/* The override that a request has is the one that its kept key has. */
static void test_overrides(void **state)
{
	static const char text[] =
	    "[rule r]\nkey = sender, reverse_client_name, client_address\n"
	    "limit = 5/hour\noverride = bob@x 1/hour\n"
	    "override = @long.example 2/hour\noverride = .sub.example 3/hour\n"
	    "override = 192.0.2.0/24 4/hour\noverride=%s 6/h\n";
	char nearly[182], domain[160], many[400];
	const struct {
		const char *attribute, *before, *value;
		uint64_t limit;
	} cases[] = {
	    {"sender", "", "bob@x", 1},
	    {"reverse_client_name", "", "bob@x", 1},
	    {"sender", many, "@long.example", 2},
	    {"sender", many, "@Long.Example.", 2},
	    {"sender", many, "@a.sub.example", 3},
	    {"reverse_client_name", many, ".sub.example", 3},
	    {"sender", many, "@along.example", 5},
	    {"sender", domain, "@long.example", 2},
	    {"client_address", "", "192.0.2.77", 4},
	    {"sender", "", "192.0.2.77", 5},
	    {"sender", "", nearly, 6},
	    {"reverse_client_name", "", nearly, 6}, /* cut */
	    {"reverse_client_name", "y", nearly, 5},
	};
	struct config config;
	static char file[2048], bytes[1024];

	(void)state;
	memset(nearly, 'n', sizeof(nearly));
	memset(domain, 'd', sizeof(domain));
	memset(many, 'm', sizeof(many));
	nearly[sizeof(nearly) - 1] = '\0';
	domain[sizeof(domain) - 1] = many[sizeof(many) - 1] = '\0';
	snprintf(file, sizeof(file), text, nearly);
	load_config(&config, file);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct rule *rule = &config.rule[0];
		const struct override *override;
		struct request_key key;
		uint64_t limit;

		snprintf(bytes, sizeof(bytes), "%s%s", cases[i].before, cases[i].value);
		only(cases[i].attribute, bytes);
		check(request_find_key(rule, &policy, secret, &key), "%zu: none", i);
		limit = (key.override ? &key.override->limits : &rule->limits)->at[0].count;
		check(limit == cases[i].limit, "%zu: %s: %llu", i, key.text,
		    (unsigned long long)limit);
		override = request_find_override(
		    rule, key.text + key.prefix, key.length - key.prefix, secret);
		check(override == key.override, "%zu: %s: another one", i, key.text);
		check(!key.override == !key.pattern, "%s: pattern", key.text);
	}
	config_free(&config);
}

/* Appends some pieces of what keys are made of; sometimes many. */
static void add_pieces(struct strbuf *text, uint64_t *seed)
{
	static const char *const pieces[] = {"a", "B", "+", "%", "%2b", "%25", "@", ".", "..", ":",
	    "x.example", "sender:", "sasl_username:", "sender+client_address:", "192.0.2.1",
	    "2001:db8::1", "/64", "~0123456789abcdef", "-", "\xc3\xa4", "\xff"};
	unsigned n = (unsigned)random_below(seed, random_below(seed, 8) ? 5 : 80);

	for (unsigned i = 0; i < n; i++) {
		strbuf_puts(text, pieces[random_below(seed, COUNT_OF(pieces))]);
	}
}

/*
 * Whatever clients send: each key is read back as it is kept, with its alternative and its
 * override; what is kept of two requests is the same only if their alternative and VALUE are.
 */
static void test_random_keys(void **state)
{
	static const char *const rules[] = {"sasl_username", "sasl_username, sender",
	    "sender+client_address, sasl_username", "sasl_username, sender+client_address, sender",
	    "sasl_username, helo_name+sender_domain, client_address, helo_name",
	    "client_address, sender_domain, sasl_username"};
	static const char *const names[] = {
	    "sasl_username", "sender", "client_address", "helo_name"};
	static char kept[512][300], values[COUNT_OF(names)][2 * 17 * 80];
	static const struct config_key *source[COUNT_OF(kept)];
	uint64_t seed = random_seed("keys", 20261124);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rules) * 2; i++) {
		struct config config;
		char text[512];

		snprintf(text, sizeof(text),
		    "[rule r]\nkey = %s\nlimit = 5/hour\n%soverride = a@x.example 6/hour\n"
		    "override = .example 7/hour\noverride = a+192.0.2.1 8/hour\n",
		    rules[i / 2], i % 2 ? "strip_extension = +-\n" : "");
		load_config(&config, text);
		for (size_t j = 0; j < 20000; j++) {
			size_t at = j % COUNT_OF(kept);
			const struct rule *rule = &config.rule[0];
			struct request_key key, again = {.text = ""};
			size_t value;

			policy = (struct policy_request){.attributes = 0};
			for (size_t k = 0; k < COUNT_OF(names); k++) {
				struct strbuf pieces;

				strbuf_init(&pieces, values[k], sizeof(values[k]));
				if (k == 2 && random_below(&seed, 2)) {
					strbuf_puts(&pieces, "192.0.2.1");
				} else {
					add_pieces(&pieces, &seed);
				}
				add(names[k], values[k]);
			}
			if (!request_find_key(rule, &policy, secret, &key)) {
				kept[at][0] = '\0';
				continue;
			}
			check(key.length - key.prefix <= KEY_MAX, "%s: too long", key.text);
			check(request_parse_key(rule, key.text + key.prefix,
				  key.length - key.prefix, secret, &again),
			    "%s: can't be written", key.text);
			check_string(again.text, key.text, rules[i / 2]);
			check(again.source == key.source && again.value == key.value,
			    "%s: of another alternative", key.text);
			check(request_key_source(rule, key.text + key.prefix,
				  key.length - key.prefix, &value) == key.source &&
				value == key.value - key.prefix,
			    "%s: found elsewhere", key.text);
			check(request_find_override(rule, key.text + key.prefix,
				  key.length - key.prefix, secret) == key.override,
			    "%s: another override", key.text);
			snprintf(kept[at], sizeof(kept[at]), "%s", key.text);
			source[at] = key.source;
			for (size_t k = 0; k < COUNT_OF(kept) && k < j; k++) {
				check(strcmp(kept[k], key.text) != 0 || source[k] == key.source,
				    "%s: of two attributes", key.text);
			}
		}
		memset(kept, 0, sizeof(kept));
		config_free(&config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_states),
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_amount_and_cost),
	    cmocka_unit_test(test_keys),
	    cmocka_unit_test(test_long_keys),
	    cmocka_unit_test(test_key_boundary),
	    cmocka_unit_test(test_alternatives),
	    cmocka_unit_test(test_written),
	    cmocka_unit_test(test_overrides),
	    cmocka_unit_test(test_random_keys),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("rule", tests, NULL, NULL);
}
