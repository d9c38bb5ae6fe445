/*
 * What postconf(1) prints, as structs: the settings of main.cf, the entries of master.cf, and
 * the settings of an entry with its own -o. All of it lives as long as the check.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_POSTCONF_H
#define CTL_POSTCONF_H

#include "ctl/check/check.h"

#include <stdbool.h>
#include <stddef.h>

#define SEPARATORS ", \t\r\n"

/* The words of a text. A text in braces is one word, or part of one. */
struct words {
	const char **at;
	size_t n;
};

struct words words_split(struct check *check, const char *text, const char *separators);

/* The text without these characters at its start and end. */
const char *words_trim(struct check *check, const char *text, const char *characters);

/* Lines "name = value". */
struct settings {
	struct setting {
		const char *name;
		const char *value;
	} * at;
	size_t n;
};

/* The value, or NULL if there is no such setting; "" instead of NULL; whether it is that word. */
const char *settings_get(const struct settings *settings, const char *name);
const char *settings_text(const struct settings *settings, const char *name);
bool settings_is(const struct settings *settings, const char *name, const char *word);

/* An entry of master.cf. */
enum {
	SERVICE_NAME,
	SERVICE_TYPE,
	SERVICE_PRIVATE,
	SERVICE_UNPRIV,
	SERVICE_CHROOT,
	SERVICE_WAKEUP,
	SERVICE_MAXPROC,
	SERVICE_COMMAND,
	SERVICE_ARGUMENTS /* the first of them, if there are any */
};

struct service {
	struct words field;
	/* Of smtpd and spawn only: its own -o; and all, with main.cf, defaults and $name expanded.
	 */
	struct settings own;
	struct settings settings;
};

/* Whether that field of the entry has that value. */
bool service_is(const struct service *service, unsigned field, const char *value);

struct postconf {
	struct settings main; /* main.cf with defaults, $name expanded */
	struct service *service;
	size_t services;
};

/* Asks postconf about a folder, NULL for the default. False, after a finding, if that failed. */
bool postconf_load(struct postconf *postconf, struct check *check, const char *dir);

#endif
