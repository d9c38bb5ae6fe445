/*
 * Tests of src/policy/protocol.c: requests in one piece and in many, everything that can be
 * wrong with them, and the bytes of an answer.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/error.h"
#include "base/strbuf.h"
#include "policy/protocol.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define GOOD "request=smtpd_access_policy\nx=good\n\n"
#define GOOD_LENGTH (sizeof(GOOD) - 1)
#define BYTES(string) string, sizeof(string) - 1

#define NO_PAIR "a line that is not \"name=value\" in the request"
#define NUL "a NUL byte in the request"
#define NOT_OURS "a request that is not smtpd_access_policy"
#define TOO_LONG "the request is longer than 65536 bytes"
#define LONG_VALUE "the value of \"a0000\" is longer than 8192 bytes"
#define TOO_MANY "more than 128 attributes in the request"

static struct policy_reader reader;
static struct policy_request request;
static char input[4 << 20];

/* Another process writes the input, or an answer; *fd is what to read it from. */
static pid_t start_writer(size_t length, bool bytewise, const char *answer, int *fd)
{
	ssize_t n = 0;
	pid_t pid;
	int ends[2];

	check(socketpair(AF_UNIX, bytewise ? SOCK_SEQPACKET : SOCK_STREAM, 0, ends) == 0, "socket");
	pid = fork();
	check(pid >= 0, "no process");
	if (pid == 0) {
		close(ends[0]);
		fcntl(ends[1], F_SETFL, answer ? O_NONBLOCK : 0);
		for (size_t sent = 0; !answer && n >= 0 && sent < length; sent += (size_t)n) {
			n = write(ends[1], input + sent, bytewise ? 1 : length - sent);
		}
		/* Until no more goes in: the answer then has to wait. */
		while (answer && n >= 0) {
			n = write(ends[1], "~", 1);
		}
		_exit(answer ? protocol_answer(ends[1], answer) != 0 : n < 0);
	}
	close(ends[1]);
	fcntl(ends[0], F_SETFL, bytewise ? O_NONBLOCK : 0);
	*fd = ends[0];
	reader.start = reader.end = 0;
	return pid;
}

static void stop_writer(const char *name, pid_t writer)
{
	int status;

	check(waitpid(writer, &status, 0) == writer && status == 0, "%s: the writer failed", name);
	close(reader.fd);
}

static void check_read(const char *name, enum policy_result result, const char *text)
{
	struct error error = {"not set"};
	enum policy_result got = protocol_read(&reader, &request, &error);

	check(got == result, "%s: expected %d, got %d, %s", name, result, got, error.text);
	check_string(error.text, text, name);
}

/* Reads a good request and the end of file. */
static void check_rest(const char *name, pid_t writer)
{
	check_read(name, POLICY_REQUEST, "");
	check(request.attributes == 2, "%s: then %zu attributes", name, request.attributes);
	check_string(policy_value(&request, "x"), "good", name);
	check_read(name, POLICY_END, "");
	stop_writer(name, writer);
}

/* Every one thousands of times at once, crossing the end of the buffer, and byte by byte. */
static void test_requests(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		const char *error, *attributes;
	} cases[] = {
	    {BYTES("request=smtpd_access_policy\nb=\n\n"), "", "request=smtpd_access_policy|b=|"},
	    {BYTES("sender=a\n\n"), "", "sender=a|"},
	    {BYTES("\n"), "", ""},
	    {BYTES("request=\nsize=\n\n"), "", "request=|size=|"},
	    {BYTES("a==\x01\xff\r\t \n\n"), "", "a==\x01\xff\r\t |"},
	    {BYTES("a=1\nb=2\na=3\n\n"), "", "a=1|b=2|a=3|"},
	    {BYTES("a=1\na=22\na=\n\n"), "", "a=1|a=22|a=|"},
	    {BYTES("a=1\nrubbish\nb=2\n\n"), NO_PAIR, "a=1|b=2|"},
	    {BYTES("=1\nb=2\n\n"), NO_PAIR, "b=2|"},
	    {BYTES("\0\nb=2\n\n"), NUL, "b=2|"},
	    {BYTES("a=1\nb=2\0003\n\n"), NUL, "a=1|"},
	    {BYTES("a\0b=1\nb=2\n\n"), NUL, "b=2|"},
	    {BYTES("a=\0\nrubbish\n\n"), NUL, ""},
	    {BYTES("rubbish\na=\0\n\n"), NO_PAIR, ""},
	    {BYTES("request=junk\na=1\n\n"), NOT_OURS, "request=junk|a=1|"},
	    {BYTES("request=smtpd_access_policy2\n\n"), NOT_OURS, "request=smtpd_access_policy2|"},
	    {BYTES("request=smtpd_access_policy\nrequest=x\n\n"), NOT_OURS,
		"request=smtpd_access_policy|request=x|"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases) * 2; i++) {
		const char *name = cases[i / 2].bytes, *error = cases[i / 2].error;
		size_t length = cases[i / 2].length, times = i % 2 ? 1 : 9999;
		pid_t writer;

		for (size_t j = 0; j < times; j++) {
			memcpy(input + j * length, name, length);
		}
		memcpy(input + times * length, GOOD, GOOD_LENGTH);
		writer = start_writer(times * length + GOOD_LENGTH, i % 2, NULL, &reader.fd);
		for (size_t j = 0; j < times; j++) {
			char got[400];
			struct strbuf text;

			check_read(name, *error ? POLICY_BAD : POLICY_REQUEST, error);
			strbuf_init(&text, got, sizeof(got));
			for (size_t k = 0; k < request.attributes; k++) {
				const struct policy_attribute *a = &request.attribute[k];

				strbuf_printf(&text, "%s=%s|", a->name, a->value);
				check(a->name_length == strlen(a->name) &&
					a->value_length == strlen(a->value),
				    "%s: wrong length of %s", name, a->name);
			}
			check_string(got, cases[i / 2].attributes, name);
		}
		check_rest(name, writer);
	}
}

/* Requests of n attributes, each a line of so many bytes; a good one after each. */
static void test_sizes(void **state)
{
	static const struct {
		unsigned n, line;
		const char *error;
		unsigned attributes;
	} cases[] = {
	    {1, 7 + POLICY_VALUE_MAX, "", 1},
	    {3, 8 + POLICY_VALUE_MAX, LONG_VALUE, 0},
	    {1, 60000, LONG_VALUE, 0},
	    {1, 65535, LONG_VALUE, 0},
	    {128, 17, "", 128},
	    {129, 17, TOO_MANY, 128},
	    {1000, 17, TOO_MANY, 128},
	    {15, 4369, "", 15}, /* with the empty line 65536 bytes */
	    {16, 4096, TOO_LONG, 0},
	    {2, 32769, TOO_LONG, 0},
	    {1, 65536, TOO_LONG, 0},
	    {1, 65537, TOO_LONG, 0},
	    {1, 3000000, TOO_LONG, 0},
	    {3000, 1000, TOO_LONG, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases) * 2; i++) {
		unsigned n = cases[i / 2].n, line = cases[i / 2].line;
		const char *error = cases[i / 2].error;
		char name[64], *end = input;
		pid_t writer;

		snprintf(name, sizeof(name), "%u lines of %u bytes", n, line);
		for (unsigned j = 0; j < n; j++, end += line) {
			memset(end, 'v', line);
			snprintf(end, 7, "a%04u=", j % 10000);
			end[6] = 'v';
			end[line - 1] = '\n';
		}
		memcpy(end, "\n" GOOD, sizeof(GOOD));
		writer = start_writer((size_t)(end - input) + sizeof(GOOD),
		    i % 2 && n * line < 99999, NULL, &reader.fd);
		check_read(name, *error ? POLICY_BAD : POLICY_REQUEST, error);
		check(request.attributes == cases[i / 2].attributes, "%s: %zu attributes", name,
		    request.attributes);
		check(request.attributes == 0 || request.attribute[0].value_length == line - 7,
		    "%s: cut", name);
		check_rest(name, writer);
	}
}

/* The input ends before and after every byte of two requests, and in one that is too long. */
static void test_end(void **state)
{
	pid_t writer;

	(void)state;
	memcpy(input, GOOD GOOD, sizeof(GOOD GOOD));
	for (size_t length = 0; length <= 2 * GOOD_LENGTH; length++) {
		const char *text = length % GOOD_LENGTH ? "the input ended within a request" : "";

		writer = start_writer(length, length % 2, NULL, &reader.fd);
		for (size_t i = 0; i < length / GOOD_LENGTH; i++) {
			check_read("before the end", POLICY_REQUEST, "");
		}
		check_read("at the end", POLICY_END, text);
		check(request.attributes == 0, "%zu bytes: attributes", length);
		stop_writer("end", writer);
	}
	memset(input, 'v', 66000);
	writer = start_writer(66000, false, NULL, &reader.fd);
	check_read("66000 bytes", POLICY_END, TOO_LONG);
	stop_writer("66000 bytes", writer);
}

static void test_attributes(void **state)
{
	static const struct {
		const char *name;
		size_t length;
		const char *value; /* NULL: there is none */
	} cases[] = {
	    {"senders", 6, "a"},
	    {"size", 4, ""},
	    {"own", 3, "1"},
	    {"sende", 5, NULL},
	    {"senders", 7, NULL},
	    {"", 0, NULL},
	    {"Sender", 6, NULL},
	    {"size\0", 5, NULL},
	    {"request", 7, NULL},
	    {"mail_version", 12, NULL},
	    {"policy_context", 14, NULL},
	};
	char names[POLICY_ATTRIBUTES_MAX + 1];

	(void)state;
	request = (struct policy_request){.attributes = 0};
	policy_add(&request, "sender=", 6, "b", 1);
	policy_add(&request, "size", 4, "", 0);
	policy_add(&request, "own", 3, "1", 1);
	policy_add(&request, "sender", 6, "a", 1);
	check_string(policy_value(&request, "sender"), "a", "sender");
	check_string(policy_value(&request, "senders"), "", "senders");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *name = cases[i].name, *value = cases[i].value;
		const struct policy_attribute *found = policy_find(&request, name, cases[i].length);

		check(!found == !value, "case %zu, %s: found %d", i, name, found != NULL);
		check_string(found ? found->value : "", value ? value : "", name);
	}
	for (size_t i = 3; i < sizeof(names); i++) {
		names[i] = (char)i;
		check(policy_add(&request, names + i, 1, "", 0) ==
			(i < POLICY_ATTRIBUTES_MAX - 1 ? 0 : -1),
		    "attribute %zu", i);
	}
	check_string(policy_value(&request, "sender"), "a", "the last one wins");
}

static void test_answer(void **state)
{
	static const char *const actions[] = {"DUNNO", "", "451 4.7.1 \xc3\xa4 %s{", input};
	static char got[sizeof(input)], expected[POLICY_ACTION_MAX + 20];
	int ends[2];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i <= POLICY_ACTION_MAX; i++) {
		input[i] = (char)('a' + i % 23);
	}
	/* A character of two bytes, of which the second does not fit. */
	memcpy(input + POLICY_ACTION_MAX - 1, "\xc3\xa4", 3);
	for (size_t i = 0; i < COUNT_OF(actions); i++) {
		pid_t writer = start_writer(0, false, actions[i], &reader.fd);
		FILE *stream = fdopen(dup(reader.fd), "r");

		got[fread(got, 1, sizeof(got) - 1, stream)] = '\0';
		fclose(stream);
		snprintf(expected, sizeof(expected), "action=%.*s\n\n", POLICY_ACTION_MAX - 1,
		    actions[i]);
		check(strcmp(got + strspn(got, "~"), expected) == 0, "action %zu: got %.50s", i,
		    got + strspn(got, "~"));
		stop_writer("action", writer);
	}
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "no socketpair");
	close(ends[0]);
	check(protocol_answer(ends[1], "DUNNO") == -1, "a closed peer: not -1");
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_requests),
	    cmocka_unit_test(test_sizes),
	    cmocka_unit_test(test_end),
	    cmocka_unit_test(test_attributes),
	    cmocka_unit_test(test_answer),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
