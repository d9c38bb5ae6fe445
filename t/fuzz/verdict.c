/*
 * Fuzz target: a verdict in words. The first bytes are its numbers, the first line is the
 * action of the rule, the rest a request as Postfix sends it.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "fuzz.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/strbuf.h"
#include "config/file.h"
#include "engine/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

static void ignore_report(void *data, const char *message)
{
	(void)data;
	(void)message;
}

/* A configuration with a rule of that action and key; -1 if there can be none. */
static int load(const char *action, unsigned key, struct config *config)
{
	static const char *const keys[] = {"everything", "sasl_username, client_address",
	    "sender+recipient", "sender_domain", "helo_name+client_address"};
	struct config_stamp stamp;
	const char *path;
	size_t size;
	char *bytes;
	FILE *file = open_memstream(&bytes, &size);
	int result;

	must(file, "out of memory");
	fprintf(file, "[rule r]\nkey = %s\nlimit = 5/hour, 10000/10000 years\naction = %s\n",
	    keys[key % (sizeof(keys) / sizeof(*keys))], action);
	fclose(file);
	memory_file(bytes, size, &path);
	result = config_load(path, config, &stamp, ignore_report, NULL);
	free(bytes);
	return result;
}

static unsigned count_of(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)); text++) {
		n++;
	}
	return n;
}

static void check_action(const struct verdict *verdict, const struct config *config,
    const struct policy_request *request)
{
	char buffer[POLICY_ACTION_MAX + 1];
	const char *action;
	const char *template = verdict->rule->action;
	size_t word = strcspn(template, " \t");
	struct strbuf text;

	strbuf_init(&text, buffer, sizeof(buffer));
	action = reply_action(verdict, config, request, &text);
	must(action[0] && strlen(action) <= POLICY_ACTION_MAX, "length of \"%s\"", action);
	must(is_clean(action, strlen(action), strchr(template, '\t') ? "\t" : ""),
	    "\"%s\" is not printable", action);
	if (verdict->status != VERDICT_DENIED) {
		must(strcmp(action, "DUNNO") == 0, "\"%s\" though nothing was denied", action);
		return;
	}
	/* No value chooses what Postfix does, and none makes a bare number of it, which is OK. */
	must((strncmp(action, template, word) == 0 && strcspn(action, " \t") == word) ||
		strcmp(action, "DEFER_IF_PERMIT 4.7.1 Limit reached") == 0,
	    "\"%s\" became \"%s\"", template, action);
	must(strspn(action + word, " \t") < strlen(action + word) || !strpbrk(template, " \t"),
	    "\"%s\" without a text", action);
}

/* A line that a program can take apart, whatever the client sent. */
static void check_line(const struct verdict *verdict, const struct policy_request *request)
{
	static const char *const fields[] = {
	    ": client=", ", sasl_method=", ", sasl_username=", ", sender=<", ", recipient_count=",
	    ", rule=", ", key=", ", used=", ", window=", ", status=", ", retry_after="};
	char line[LINE_MAX_BYTES];
	struct error error = {"why"};
	const char *p = line;
	struct strbuf text;

	strbuf_init(&text, line, sizeof(line));
	reply_log_line(verdict, request, verdict->status == VERDICT_ERROR ? &error : NULL, &text);
	must(strlen(line) == text.length && text.size == sizeof(line), "\"%s\" was cut", line);
	must(is_clean(line, text.length, ""), "\"%s\" is not printable", line);
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		p = strstr(p, fields[i]);
		must(p, "\"%s\" has no%s", line, fields[i]);
		must(i == 0 || count_of(line, fields[i]) == 1, "\"%s\" has two%s", line, fields[i]);
	}
	must(count_of(line, ", ") == 10u + (verdict->status == VERDICT_ERROR),
	    "\"%s\" has fields of the client's", line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[HASH_KEY_BYTES] = "fuzz";
	static struct policy_reader reader;
	static struct policy_request request;
	struct input input = {data, size};
	uint8_t status = input_byte(&input), which = input_byte(&input);
	struct verdict verdict = {
	    .status = (enum verdict_status)(status % (VERDICT_ERROR + 1)),
	    .unlimited = status & 0x80};
	struct request_key key;
	struct config config;
	struct error error;
	size_t length;
	char *action;

	verdict.key = &key;
	verdict.used = input_number(&input, 8);
	verdict.remaining = input_number(&input, 8);
	verdict.wait_ms = (int64_t)(input_number(&input, 8) >> 1);
	action = input_line(&input, &length);
	if (load(action, which, &config)) {
		goto out;
	}
	reader.fd = memory_file(input.bytes, input.size, NULL);
	reader.start = reader.end = 0;
	if (protocol_read(&reader, &request, &error) == POLICY_END) {
		request = (struct policy_request){.attributes = 0};
	}
	verdict.rule = &config.rule[0];
	verdict.limit = which & 0x80 ? NULL : &config.rule[0].limits.at[which >> 6 & 1];
	if (!request_find_key(verdict.rule, &request, secret, &key)) {
		key = (struct request_key){.text = "r:none", .length = 6, .prefix = 2};
	}
	check_action(&verdict, &config, &request);
	check_line(&verdict, &request);
out:
	config_free(&config);
	free(action);
	return 0;
}
