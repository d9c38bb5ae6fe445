/*
 * What postconf(1) prints, as structs: the settings of main.cf, the entries of master.cf,
 * and what holds for one entry with its own -o. Judges nothing.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_POSTCONF_H
#define CTL_POSTCONF_H


#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* The words of a text. What stands in braces is one word, or part of one. */
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

/* The value, or NULL if there is no such setting. */
const char *settings_get(const struct settings *settings, const char *name);

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
	/* Of smtpd and spawn: main.cf and the defaults, its own -o over them, $name expanded. */
	struct settings settings;
};

struct postfix {
	const char *dir; /* NULL: the default */
	struct settings main; /* with defaults, $name expanded */
	struct settings own; /* "submission/inet/smtpd_data_restrictions": every -o */
	struct service *service;
	size_t services;
};

enum postconf_result { POSTCONF_OK, POSTCONF_MISSING, POSTCONF_FAILED };

/* Asks postconf about a folder, NULL for the default. To be freed in any case. */
enum postconf_result postfix_load(struct postfix *postfix, const char *dir, struct error *error);
void postfix_free(struct postfix *postfix);

/* The value of the entry's own -o, or NULL. */
const char *postfix_own(
    const struct postfix *postfix, const struct service *service, const char *name);

bool service_is(const struct service *service, unsigned field, const char *value);

#endif
