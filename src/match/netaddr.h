/*
 * IP addresses and networks: parsing, comparing, printing. Pure.
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

/* A network; an address is a network with the longest prefix. Bits after the prefix are 0. */
struct netaddr {
	uint8_t bytes[16]; /* IPv4: the first 4, then zeros */
	uint8_t bits; /* of an address: 32 or 128 */
	uint8_t prefix; /* bits */
};

#define NETADDR_TEXT_SIZE 64 /* bytes for "2001:db8:0:1::/64" and the like, with the NUL */

/*
 * Parses an address of length bytes. IPv4-mapped IPv6 (RFC 4291 2.5.5.2) becomes IPv4. Returns 0,
 * or -1 if it is no address, such as the "unknown" that client_address can be.
 */
int netaddr_parse(const char *text, size_t length, struct netaddr *address);

/* Parses ADDRESS or ADDRESS/PREFIX. Returns 0, or -1, also if bits after the prefix are set. */
int netaddr_read_network(const char *text, size_t length, struct netaddr *network);

/* Like netaddr_read_network, with the reason for -1 and, if possible, the right network. */
int netaddr_parse_network(
    const char *text, size_t length, struct netaddr *network, struct error *error);

/* The 16 bytes of an address, IPv4 as IPv4-mapped IPv6, and back. */
void netaddr_to_bytes(const struct netaddr *address, uint8_t bytes[16]);
void netaddr_from_bytes(struct netaddr *address, const uint8_t bytes[16]);

/* Shortens the prefix to that length, and clears the bits after it; longer: does nothing. */
void netaddr_mask(struct netaddr *address, unsigned prefix);

/* Whether every address of inner is also in outer. */
bool netaddr_contains(const struct netaddr *outer, const struct netaddr *inner);

/* Appends the address as in RFC 5952, with "/PREFIX" unless the prefix is the longest. */
void netaddr_format(const struct netaddr *network, struct strbuf *text);

#endif
