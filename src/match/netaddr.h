/*
 * IP addresses and networks, as text and as bits. Pure.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef NETADDR_H
#define NETADDR_H


#include "base/error.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An address is a network whose prefix is as long as it can be. Host bits are always 0. */
struct netaddr {
	uint8_t bytes[16]; /* of an IPv4 address the first 4 */
	uint8_t bits; /* 32 or 128: how long an address is */
	uint8_t prefix;
};

/* "2001:db8:0:1::/64", terminated. */
#define NETADDR_TEXT_SIZE 64

/*
 * Reads an address; IPv4-mapped IPv6 (RFC 4291 2.5.5.2) becomes IPv4. 0, or -1 if it is
 * none: Postfix's client_address can be "unknown".
 */
int netaddr_parse(const char *text, size_t length, struct netaddr *address);

/* Whether it is "ADDRESS" or "ADDRESS/PREFIX" without bits behind the prefix. 0 or -1. */
int netaddr_read_network(const char *text, size_t length, struct netaddr *network);

/* The same for what an administrator wrote. -1 and why. */
int netaddr_parse_network(
    const char *text, size_t length, struct netaddr *network, struct error *error);

/* Shortens the prefix, if it is longer than that. */
void netaddr_mask(struct netaddr *address, unsigned prefix);

/* Whether all addresses of inner are in outer. */
bool netaddr_contains(const struct netaddr *outer, const struct netaddr *inner);

/* An address alone, or with "/PREFIX" if that is shorter: as RFC 5952 writes it. */
void netaddr_format(const struct netaddr *network, struct strbuf *text);

#endif
