/*
 * Patterns: see pattern.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "match/pattern.h"

#include "base/ascii.h"

#include <string.h>
#include <strings.h>

int pattern_check(const char *text, size_t length, struct error *error)
{
	static const char first[] = "\"'</";
	static const char last[] = "\"'>/";
	const char *quote = length > 1 ? strchr(first, text[0]) : NULL;
	int shown = (int)(length < 60 ? length : 60);

	if (!quote || text[length - 1] != last[quote - first]) {
		return 0;
	}
	if (*quote == '/') {
		return error_set(error,
		    "\"%.*s\": regular expressions are not supported; write @domain or .domain",
		    shown, text);
	}
	return error_set(error, "\"%.*s\": values are not quoted; write it without %c and %c",
	    shown, text, *quote, text[length - 1]);
}

int pattern_parse(
    struct pattern *pattern, const char *text, size_t length, bool address, struct error *error)
{
	*pattern = (struct pattern){.kind = PATTERN_WORD, .text = text, .length = length};
	if (length == 0) {
		pattern->kind = PATTERN_EMPTY;
	} else if (length == 1 && text[0] == '*') {
		pattern->kind = PATTERN_ANY;
	} else if (address) {
		if (ascii_same(text, length, "unknown")) {
			return 0;
		}
		pattern->kind = PATTERN_NETWORK;
		return netaddr_parse_network(text, length, &pattern->network, error);
	} else if (pattern_check(text, length, error)) {
		return -1;
	} else if (memchr(text, '*', length)) {
		return error_set(error, "\"%.*s\": '*' must stand alone; write @domain or .domain",
		    (int)(length < 60 ? length : 60), text);
	} else if (text[0] == '@' || text[0] == '.') {
		/* Values are compared without dots at the end of their domains. */
		while (length > 1 && text[length - 1] == '.') {
			length--;
		}
		if (length == 1) {
			return error_set(error, "\"%c\" is not followed by a domain", text[0]);
		}
		pattern->kind = text[0] == '@' ? PATTERN_DOMAIN : PATTERN_SUBDOMAIN;
		pattern->text += text[0] == '@';
		pattern->length = length - (text[0] == '@');
	} else if (memchr(text, '@', length)) {
		const char *domain = pattern_domain(text, length, &pattern->length);

		pattern->length += (size_t)(domain - text);
	}
	return 0;
}

const char *pattern_domain(const char *value, size_t length, size_t *domain_length)
{
	const char *at = memrchr(value, '@', length);

	/* Postfix delivers to "example.com." as to "example.com". */
	while (length > 0 && value[length - 1] == '.') {
		length--;
	}
	*domain_length = at ? length - (size_t)(at + 1 - value) : length;
	return at ? at + 1 : value;
}

static bool same(const struct pattern *pattern, const char *value, size_t length)
{
	return length == pattern->length && strncasecmp(value, pattern->text, length) == 0;
}

bool pattern_match(const struct pattern *pattern, const char *value, size_t length)
{
	struct netaddr address;
	const char *domain;
	size_t size;

	switch (pattern->kind) {
	case PATTERN_EMPTY:
		return length == 0;
	case PATTERN_ANY:
		return length > 0;
	case PATTERN_WORD:
		domain = pattern_domain(value, length, &size);
		return same(
		    pattern, value, domain == value ? length : (size_t)(domain - value) + size);
	case PATTERN_DOMAIN:
		domain = pattern_domain(value, length, &size);
		return domain != value && same(pattern, domain, size);
	case PATTERN_SUBDOMAIN:
		domain = pattern_domain(value, length, &size);
		return size > pattern->length &&
		    same(pattern, domain + size - pattern->length, pattern->length);
	default:
		return netaddr_parse(value, length, &address) == 0 &&
		    netaddr_contains(&pattern->network, &address);
	}
}
