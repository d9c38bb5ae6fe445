/*
 * From the value of an attribute to the text that a counter is kept under: letter
 * case, address extensions, networks, length. Pure.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KEY_H
#define KEY_H


#include "base/hash.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_MAX 200 /* bytes; a longer key is cut and made unique again by a hash */

#define KEY_VALUE_MAX 8192 /* bytes of a value; text has room for two */

/* What a value is, as far as it matters for a key. */
enum key_kind { KEY_TEXT, KEY_MAILBOX, KEY_ADDRESS, KEY_DOMAIN };

/* How values that mean the same become the same. */
struct key_folding {
	bool fold_case; /* ASCII letters to lower case */
	const char *strip_extension; /* recipient delimiters; NULL: none */
	unsigned ipv4_prefix;
	unsigned ipv6_prefix;
};

/*
 * Appends the value to text; joined: it makes a pair with what is there, and a '+'. KEY_DOMAIN
 * takes what is behind the last '@', KEY_ADDRESS the network of the prefix that folding says.
 * False, with nothing appended, if nothing is left: an empty value, no domain, no IP address.
 */
bool key_add(struct strbuf *text, const char *value, size_t length, enum key_kind kind, bool joined,
    const struct key_folding *folding);

/* Cuts a key that is longer than KEY_MAX; secret makes what is put there hard to guess. */
void key_cut(struct strbuf *text, const uint8_t secret[HASH_KEY_BYTES]);

#endif
