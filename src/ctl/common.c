/*
 * What the commands share: see common.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ctl/common.h"
#include "ctl/print.h"

#include <assert.h>
#include <err.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

int ctl_store_failed(enum store_result result, const struct error *error)
{
	if (result == STORE_OK) {
		return 0;
	}
	print_warning("%s", error->text);
	return result == STORE_FORBIDDEN ? EX_NOPERM : EX_UNAVAILABLE;
}

int ctl_options(
    const struct ctl *ctl, const struct ctl_option *options, int argc, char **argv, int most)
{
	struct option known[CTL_OPTIONS_MAX + 1] = {{.name = NULL}};
	struct error error;
	int found;

	for (int i = 0; options[i].name; i++) {
		assert(i < CTL_OPTIONS_MAX);
		known[i] = (struct option){.name = options[i].name,
		    .has_arg = options[i].flag ? no_argument : required_argument,
		    .val = i};
	}
	while ((found = getopt_long(argc, argv, "", known, NULL)) != -1) {
		const struct ctl_option *option;

		if (found == '?') {
			return CTL_USAGE;
		}
		option = &options[found];
		if (option->flag) {
			*option->flag = true;
		} else if (option->text) {
			*option->text = optarg;
		} else if (!(*option->rule = ctl_rule(ctl, optarg, &error))) {
			print_warning("%s", error.text);
			return EX_DATAERR;
		}
	}
	return argc - optind > most ? CTL_USAGE : 0;
}

static const struct rule *find_rule(const struct ctl *ctl, const char *name, size_t length)
{
	for (size_t i = 0; i < ctl->config.rules; i++) {
		const struct rule *rule = &ctl->config.rule[i];

		if (strlen(rule->name) == length && memcmp(rule->name, name, length) == 0) {
			return rule;
		}
	}
	return NULL;
}

const struct rule *ctl_rule(const struct ctl *ctl, const char *name, struct error *error)
{
	const struct rule *rule = find_rule(ctl, name, strlen(name));
	char names[sizeof(error->text)];
	struct strbuf text;

	if (rule) {
		return rule;
	}
	strbuf_init(&text, names, sizeof(names));
	for (size_t i = 0; i < ctl->config.rules; i++) {
		strbuf_printf(&text, "%s%s", i ? ", " : "", ctl->config.rule[i].name);
	}
	error_set(error, "there is no rule \"%.60s\" in %.100s; its rules are %.200s", name,
	    ctl->config_path, ctl->config.rules ? names : "none");
	return NULL;
}

const struct rule *ctl_rule_of(
    const struct ctl *ctl, const char *key, size_t length, size_t *prefix)
{
	const char *colon = memchr(key, ':', length);

	*prefix = colon ? (size_t)(colon - key) + 1 : 0;
	return colon ? find_rule(ctl, key, *prefix - 1) : NULL;
}

bool ctl_key_matches(const struct rule *rule, const char *key, size_t length, const char *glob)
{
	char *printable = ctl_must(malloc(length + 1));
	struct strbuf text;
	bool matches;

	strbuf_init(&text, printable, length + 1);
	strbuf_printable(&text, key, length, NULL);
	matches = fnmatch(glob, printable, rule && rule->folding.fold_case ? FNM_CASEFOLD : 0) == 0;
	free(printable);
	return matches;
}

void *ctl_must(void *memory)
{
	if (!memory) {
		errx(EX_OSERR, "out of memory");
	}
	return memory;
}
