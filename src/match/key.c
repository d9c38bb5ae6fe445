/*
 * Keys of counters: see key.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "match/key.h"

#include "base/ascii.h"
#include "match/pattern.h"

#include <string.h>

#define HASH_SIZE 17 /* bytes of "~" and a hash of 64 bits in hex */

unsigned key_prefix(const struct key_folding *folding, const struct netaddr *address)
{
	return address->bits == 32 ? folding->ipv4_prefix : folding->ipv6_prefix;
}

/* Appends the network that an address is in; nothing if it is no address. */
static void add_address(
    struct strbuf *text, const char *value, size_t length, const struct key_folding *folding)
{
	struct netaddr address;

	if (netaddr_parse(value, length, &address) == 0) {
		netaddr_mask(&address, key_prefix(folding, &address));
		netaddr_format(&address, text);
	}
}

/* The offset of the extension in a local part of that length; its length if there is none. */
static size_t find_extension(const char *value, size_t local, const char *delimiters)
{
	for (size_t i = 1; i < local; i++) {
		if (strchr(delimiters, value[i])) {
			return i;
		}
	}
	return local;
}

/* Escapes '+' and '%' in the first part of a pair, so that its '+' is the only one. */
static void escape_joint(struct strbuf *text)
{
	char part[KEY_VALUE_MAX];
	size_t length = text->length < sizeof(part) ? text->length : sizeof(part);

	if (!strpbrk(text->buffer, "+%")) {
		return;
	}
	memcpy(part, text->buffer, length);
	text->length = 0;
	for (size_t i = 0; i < length; i++) {
		if (part[i] == '+' || part[i] == '%') {
			strbuf_puts(text, part[i] == '+' ? "%2b" : "%25");
		} else {
			strbuf_add(text, part + i, 1);
		}
	}
}

bool key_add(struct strbuf *text, const char *value, size_t length, enum key_kind kind, bool joined,
    const struct key_folding *folding)
{
	size_t before = text->length;
	size_t start, domain_length;
	const char *domain = pattern_domain(value, length, &domain_length);
	bool has_domain = domain != value;

	if (joined) {
		escape_joint(text);
		strbuf_puts(text, "+");
	}
	start = text->length;
	if (kind == KEY_MAILBOX && has_domain) {
		length = (size_t)(domain - value) + domain_length;
	}
	if (kind == KEY_ADDRESS) {
		add_address(text, value, length, folding);
	} else if (kind == KEY_DOMAIN) {
		strbuf_add(text, domain, has_domain ? domain_length : 0);
	} else if (kind == KEY_MAILBOX && folding->strip_extension) {
		size_t local = has_domain ? (size_t)(domain - value) - 1 : length;

		strbuf_add(text, value, find_extension(value, local, folding->strip_extension));
		strbuf_add(text, value + local, length - local);
	} else {
		strbuf_add(text, value, length);
	}
	if (text->length == start) {
		text->length = before;
		text->buffer[before] = '\0';
		return false;
	}
	if (folding->fold_case) {
		ascii_lower(text->buffer + start, text->length - start);
	}
	return true;
}

/* Whether a byte is within a UTF-8 character, not its first. */
static bool is_within(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

void key_cut(struct strbuf *text, const uint8_t secret[HASH_KEY_BYTES])
{
	size_t head = KEY_MAX - KEY_TAIL - HASH_SIZE, tail;
	uint64_t hash;

	if (text->length <= KEY_MAX) {
		return;
	}
	tail = text->length - KEY_TAIL;
	hash = hash_keyed(secret, text->buffer, text->length);
	for (unsigned i = 0; i < 3 && is_within(text->buffer[head]); i++) {
		head--;
	}
	for (unsigned i = 0; i < 3 && is_within(text->buffer[tail]); i++) {
		tail++;
	}
	memmove(text->buffer + head, text->buffer + tail, text->length - tail);
	text->length = head + text->length - tail;
	text->buffer[text->length] = '\0';
	strbuf_printf(text, "~%016llx", (unsigned long long)hash);
}

size_t key_kept_length(const char *key, size_t length)
{
	const char *hash = key + length - HASH_SIZE;

	if (length > KEY_MAX || length < KEY_MAX - 6 || *hash != '~') {
		return length;
	}
	for (size_t i = 1; i < HASH_SIZE; i++) {
		if (!strchr("0123456789abcdef", hash[i])) {
			return length;
		}
	}
	return length - HASH_SIZE;
}
