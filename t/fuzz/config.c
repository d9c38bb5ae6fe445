/*
 * Fuzz target: the configuration file. What config_print prints of a good one is a file again,
 * which must be good too, and print the same.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "fuzz.h"

#include "base/error.h"
#include "base/hash.h"
#include "config/file.h"
#include "engine/limits.h"
#include "engine/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 198 /* of a line in the file */

struct reports {
	const char *path;
	unsigned n;
	bool print;
};

static void take_report(void *data, const char *message)
{
	struct reports *reports = data;
	size_t length = strlen(reports->path);

	reports->n++;
	must(strncmp(message, reports->path, length) == 0, "\"%s\": where?", message);
	must(is_clean(message, strlen(message), ""), "\"%s\" is not printable", message);
	/* Every complaint must be about what is in the file, or nothing is tested. */
	must(strncmp(message + length, ": can't be read", 15) != 0 &&
		strncmp(message + length, ": not used", 10) != 0,
	    "%s", message);
	if (reports->print) {
		fprintf(stderr, "%s\n", message);
	}
}

static int load(const void *bytes, size_t size, struct config *config, bool print)
{
	struct reports reports = {.print = print};
	struct config_stamp stamp, now;
	int result;

	memory_file(bytes, size, &reports.path);
	result = config_load(reports.path, config, &stamp, take_report, &reports);
	must((result != 0) == (reports.n > 0), "%d, and %u complaints", result, reports.n);
	now = config_stamp_get(reports.path);
	must(config_stamp_same(&stamp, &now), "the stamp is of another file");
	return result;
}

/* The file that config_print's lines make. */
struct printed {
	FILE *file;
	char section[CONFIG_RULE_NAME_MAX + 1];
	bool too_long;
};

static void print_option(void *data, const char *name, const char *value, const char *usual)
{
	struct printed *printed = data;
	size_t length = strcspn(name, ".");

	(void)usual;
	must(name[length] == '.' && length < sizeof(printed->section), "the name \"%s\"", name);
	must(is_clean(value, strlen(value), "\t"), "%s = \"%s\"", name, value);
	if (strlen(printed->section) != length || memcmp(printed->section, name, length) != 0) {
		memcpy(printed->section, name, length);
		printed->section[length] = '\0';
		fprintf(printed->file,
		    strcmp(printed->section, "global") == 0 ? "[%s]\n" : "[rule %s]\n",
		    printed->section);
	}
	/* An option whose default is nothing can't be set to nothing. */
	if (value[0]) {
		int written = fprintf(printed->file, "%s = %s\n", name + length + 1, value);

		printed->too_long |= written > LINE_MAX_BYTES + 1;
	}
}

/* To be freed. */
static char *print(const struct config *config, size_t *size, bool *too_long)
{
	struct printed printed = {.section = ""};
	char *bytes = NULL;

	printed.file = open_memstream(&bytes, size);
	must(printed.file, "out of memory");
	config_print(config, print_option, &printed);
	fclose(printed.file);
	*too_long = printed.too_long;
	return bytes;
}

static void check_effective(const struct effective *effective)
{
	struct record record;
	struct error error;

	must(effective->layout.windows >= effective->limits.n, "windows without a place");
	if (effective->layout.windows == 0) {
		must(!effective->initial, "a record without windows");
		return;
	}
	must(effective->initial_size == record_size(&effective->layout), "size of the record");
	must(record_read(&record, effective->initial, effective->initial_size, &error) == 0, "%s",
	    error.text);
	must(record_layout_same(&record.layout, &effective->layout), "layout of the record");
	for (unsigned i = 0; i < effective->limits.n; i++) {
		must(effective->layout.window[effective->window[i]].length_ms ==
			effective->limits.at[i].window.length_ms,
		    "a limit of another window");
	}
}

/* What the judge compiles of a good configuration. */
static void check_limits(const struct config *config)
{
	struct effective_limits *limits = effective_limits_new(config);

	must(limits, "out of memory");
	for (size_t i = 0; i < config->rules; i++) {
		const struct rule *rule = &config->rule[i];
		const struct effective *own = effective_limits_of_file(limits, rule, NULL);

		check_effective(own);
		for (size_t j = 0; j < rule->overrides; j++) {
			const struct effective *other =
			    effective_limits_of_file(limits, rule, rule->override[j]);

			check_effective(other);
			must(other->layout.events == own->layout.events, "logs of two lengths");
		}
	}
	effective_limits_free(limits);
}

/* A rule of a good configuration can be used on a request. */
static void check_rule(const struct rule *rule)
{
	static const char *const request_text[][2] = {{"protocol_state", "RCPT"},
	    {"sasl_username", "Bob+tag@Example.COM"}, {"sender", "bob@example.com."},
	    {"recipient", "a@b"}, {"client_address", "::ffff:192.0.2.7"},
	    {"server_address", "2001:db8::1"}};
	static const uint8_t secret[HASH_KEY_BYTES] = "fuzz";
	struct policy_request request = {.attributes = 0};
	struct request_key key;

	for (size_t i = 0; i < sizeof(request_text) / sizeof(*request_text); i++) {
		const char *const *pair = request_text[i];

		policy_add(&request, pair[0], strlen(pair[0]), pair[1], strlen(pair[1]));
	}
	request_matches(rule, &request);
	if (request_find_key(rule, &request, secret, &key)) {
		must(key.length < sizeof(key.text) && key.length > key.prefix,
		    "the key \"%s\"", key.text);
		must(strlen(key.text) == key.length, "length of the key");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *first = NULL, *second = NULL;
	size_t first_size, second_size;
	struct config config, again;
	bool too_long;

	if (load(data, size, &config, false)) {
		goto out;
	}
	for (size_t i = 0; i < config.rules; i++) {
		check_rule(&config.rule[i]);
	}
	check_limits(&config);
	first = print(&config, &first_size, &too_long);
	/* "1/10k seconds" is longer when it is printed. */
	if (!too_long) {
		must(load(first, first_size, &again, true) == 0, "not good when printed:\n%s",
		    first);
		second = print(&again, &second_size, &too_long);
		must(first_size == second_size && memcmp(first, second, first_size) == 0,
		    "printed\n%sand then\n%s", first, second);
		config_free(&again);
	}
out:
	config_free(&config);
	free(first);
	free(second);
	return 0;
}
