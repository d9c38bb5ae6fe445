/*
 * What match and override lines compare with: words, domains, networks. Pure.
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
	PATTERN_EMPTY, /* nothing at all */
	PATTERN_ANY, /* "*": anything but nothing */
	PATTERN_WORD, /* the whole value, letter case ignored */
	PATTERN_DOMAIN, /* "@domain": the domain of an address */
	PATTERN_SUBDOMAIN, /* ".domain": any domain below it */
	PATTERN_NETWORK, /* an IP address or network */
};

struct pattern {
	enum pattern_kind kind;
	const char *text; /* the caller's, of WORD, DOMAIN (without '@') and SUBDOMAIN (with '.') */
	size_t length;
	struct netaddr network;
};

/*
 * Reads one pattern from text, which must outlive it. address: it is to be compared with
 * IP addresses, where a word must be "unknown" or an address. 0, or -1 and why.
 */
int pattern_parse(
    struct pattern *pattern, const char *text, size_t length, bool address, struct error *error);

bool pattern_match(const struct pattern *pattern, const char *value, size_t length);

/* The part of an address behind its last '@', or all of a text without one; less dots at its end.
 */
const char *pattern_domain(const char *value, size_t length, size_t *domain_length);

#endif
