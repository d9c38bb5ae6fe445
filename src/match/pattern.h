/*
 * Patterns that values are compared with: words, domains, networks. Pure.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef PATTERN_H
#define PATTERN_H

#include "base/error.h"
#include "match/netaddr.h"

#include <stdbool.h>
#include <stddef.h>

enum pattern_kind {
	PATTERN_EMPTY, /* the empty value */
	PATTERN_ANY, /* "*": every value but the empty one */
	PATTERN_WORD, /* the whole value, ignoring the case of ASCII letters */
	PATTERN_DOMAIN, /* "@domain": the domain of an address */
	PATTERN_SUBDOMAIN, /* ".domain": any domain below it */
	PATTERN_NETWORK, /* an IP address or network */
};

struct pattern {
	enum pattern_kind kind;
	/* WORD, DOMAIN without the '@', SUBDOMAIN with the '.'; not owned */
	const char *text;
	size_t length;
	struct netaddr network; /* NETWORK */
};

/*
 * Parses one pattern of length bytes; text must outlive it. address says that the values are IP
 * addresses: the pattern must then be "unknown", an address or a network, or empty or "*".
 * Returns 0, or -1 with the reason.
 */
int pattern_parse(
    struct pattern *pattern, const char *text, size_t length, bool address, struct error *error);

/*
 * Refuses a text that other programs take for a quoted value or a regular expression: here it would
 * silently match nothing. Returns 0, or -1 with the reason.
 */
int pattern_check(const char *text, size_t length, struct error *error);

/* Whether a value of length bytes matches. */
bool pattern_match(const struct pattern *pattern, const char *value, size_t length);

/*
 * The domain of a mailbox: what follows the last '@', without dots at its end. Returns value
 * itself if there is no '@'. *domain_length is in bytes.
 */
const char *pattern_domain(const char *value, size_t length, size_t *domain_length);

#endif
