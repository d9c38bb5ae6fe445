/*
 * Makes the key of a counter from the values of attributes: letter case, address extensions,
 * networks, length. Pure.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KEY_H
#define KEY_H

#include "base/hash.h"
#include "base/strbuf.h"
#include "match/netaddr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_MAX 200 /* bytes of a key; a longer one is cut, and a hash makes it unique again */
#define KEY_TAIL 92 /* bytes of its end that a cut key keeps */
#define KEY_VALUE_MAX 8192 /* bytes of a value */

/* How a value becomes a part of a key. */
enum key_kind {
	KEY_TEXT,
	KEY_MAILBOX, /* may have an extension, and a domain that ends in dots */
	KEY_ADDRESS, /* the network of an IP address */
	KEY_DOMAIN, /* the domain of a mailbox: what follows its last '@' */
};

/* Which values are the same to a rule. */
struct key_folding {
	unsigned fold_case; /* 1: ASCII letters to lower case; or 0 */
	char *strip_extension; /* recipient delimiters of mailboxes; NULL: none */
	unsigned ipv4_prefix; /* bits of an address that count */
	unsigned ipv6_prefix;
};

/* How many bits of that address count. */
unsigned key_prefix(const struct key_folding *folding, const struct netaddr *address);

/*
 * Appends a value of length bytes to text. If joined, it becomes the second part of a pair, after a
 * '+'; in the first part, '+' becomes "%2b" and '%' becomes "%25". A pair of values as long as
 * KEY_VALUE_MAX fits into 4 * KEY_VALUE_MAX + 2 bytes. Returns false with nothing appended if the
 * value is empty, or is not the IP address or domain that kind needs; a first part may have been
 * escaped by then.
 */
bool key_add(struct strbuf *text, const char *value, size_t length, enum key_kind kind, bool joined,
    const struct key_folding *folding);

/*
 * Shortens a key that is longer than KEY_MAX to its beginning and its last KEY_TAIL bytes, up to 3
 * less each so that no character is split, and appends '~' and a keyed hash of all of it. Without
 * the secret, nobody can make two such keys collide. The end stays because patterns for domains
 * look at it.
 */
void key_cut(struct strbuf *text, const uint8_t secret[HASH_KEY_BYTES]);

/* The length of a key without what key_cut has appended; all of it if it was not cut. */
size_t key_kept_length(const char *key, size_t length);

#endif
