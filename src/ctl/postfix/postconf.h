/*
 * What postconf(1) prints, as structs: the settings of main.cf, the entries of master.cf, and
 * the settings of an entry with its own -o.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_POSTCONF_H
#define CTL_POSTCONF_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

#define SEPARATORS ", \t\r\n"

/* The words of a text. A text in braces is one word, or part of one. */
struct words {
	char *text;
	char **at;
	size_t n;
};

struct words words_split(const char *text, const char *separators);
void words_free(struct words *words);

/* Lines "name = value". */
struct settings {
	char *text;
	struct setting {
		const char *name;
		const char *value;
	} * at;
	size_t n;
};

/* The value, or NULL if there is no such setting; "" instead of NULL; whether it is yes. */
const char *settings_get(const struct settings *settings, const char *name);
const char *settings_text(const struct settings *settings, const char *name);
bool settings_yes(const struct settings *settings, const char *name);

/* A time such as "3600" or "1h", in seconds. -1 if there is no such setting, or it is no time. */
long settings_seconds(const struct settings *settings, const char *name);

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
	/* Of smtpd and spawn only: its own -o, main.cf and the defaults, with $name expanded. */
	struct settings settings;
};

struct postconf {
	const char *dir; /* NULL: the default */
	struct settings main; /* with defaults, $name expanded */
	struct settings own; /* "submission/inet/smtpd_data_restrictions": every -o */
	struct service *service;
	size_t services;
};

enum postconf_result { POSTCONF_OK, POSTCONF_MISSING, POSTCONF_FAILED };

/* Asks postconf about a folder, NULL for the default. postconf_free in any case. */
enum postconf_result postconf_load(struct postconf *postconf, const char *dir, struct error *error);
void postconf_free(struct postconf *postconf);

/* The value of the entry's own -o for that setting, or NULL. */
const char *postconf_own(
    const struct postconf *postconf, const struct service *service, const char *name);

/* Whether that field of the entry has that value. */
bool service_is(const struct service *service, unsigned field, const char *value);

#endif
