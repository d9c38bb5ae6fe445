/*
 * The policy delegation protocol: see policy.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "policy.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* SMTPD_POLICY_README of Postfix 3.12. */
const char *const policy_names[] = {"request", "protocol_state", "protocol_name", "helo_name",
    "queue_id", "sender", "recipient", "recipient_count", "client_address", "client_name",
    "reverse_client_name", "instance", "sasl_method", "sasl_username", "sasl_sender", "size",
    "ccert_subject", "ccert_issuer", "ccert_fingerprint", "ccert_pubkey_fingerprint",
    "encryption_protocol", "encryption_cipher", "encryption_keysize", "etrn_domain", "stress",
    "client_port", "policy_context", "server_address", "server_port", "compatibility_level",
    "mail_version", NULL};

bool policy_known(const char *name, size_t length)
{
	for (size_t i = 0; policy_names[i]; i++) {
		if (strlen(policy_names[i]) == length &&
		    memcmp(policy_names[i], name, length) == 0) {
			return true;
		}
	}
	return false;
}

/* Differs between nearly all names that Postfix sends. */
static inline uint8_t tag_of(const char *name, size_t length)
{
	return length ? (uint8_t)(length * 11 + (uint8_t)name[length - 1]) : 0;
}

HOT const struct policy_attribute *policy_find(
    const struct policy_request *request, const char *name, size_t name_length)
{
	uint8_t tag = tag_of(name, name_length);
	size_t left = request->attributes;
	const uint8_t *found;

	/* Of an attribute that comes twice the last one holds. */
	while ((found = memrchr(request->tag, tag, left))) {
		const struct policy_attribute *attribute;

		left = (size_t)(found - request->tag);
		attribute = &request->attribute[left];
		if (attribute->name_length == name_length &&
		    memcmp(attribute->name, name, name_length) == 0) {
			return attribute;
		}
	}
	return NULL;
}

/* Of POLICY_STRIDE bytes those that are that one, as a mask. */
static inline uint64_t bytes_equal(const char *p, char byte)
{
	uint64_t mask = 0;

#ifdef __SSE2__
	for (int i = 0; i < POLICY_STRIDE; i += 16) {
		__m128i some = _mm_loadu_si128((const __m128i *)(p + i));
		int equal = _mm_movemask_epi8(_mm_cmpeq_epi8(some, _mm_set1_epi8(byte)));

		mask |= (uint64_t)(unsigned)equal << i;
	}
#else
	for (int i = 0; i < POLICY_STRIDE; i++) {
		mask |= (uint64_t)(p[i] == byte) << i;
	}
#endif
	return mask;
}

/* The first '=' of a line, or NULL. */
static inline char *find_equals(char *line, const char *newline)
{
	size_t length = (size_t)(newline - line);
#ifdef __SSE2__
	/* Longer than any name of Postfix's. */
	const __m128i equals = _mm_set1_epi8('=');
	__m128i first = _mm_loadu_si128((const __m128i *)line);
	__m128i second = _mm_loadu_si128((const __m128i *)(line + 16));
	unsigned mask = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(first, equals)) |
	    (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(second, equals)) << 16;

	if (mask) {
		char *found = line + __builtin_ctz(mask);

		return found < newline ? found : NULL;
	}
#endif
	return memchr(line, '=', length);
}

int policy_add(struct policy_request *request, const char *name, size_t name_length,
    const char *value, size_t value_length)
{
	if (request->attributes == POLICY_ATTRIBUTES_MAX) {
		return -1;
	}
	request->tag[request->attributes] = tag_of(name, name_length);
	request->attribute[request->attributes++] = (struct policy_attribute){
	    name, value, (uint32_t)name_length, (uint32_t)value_length};
	return 0;
}

/* Puts more input behind what is there. 1, 0 at end of file or when the peer is gone. */
HOT static int fill(struct policy_reader *reader)
{
	if (reader->start > 0) {
		memmove(
		    reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
		reader->end -= reader->start;
		reader->start = 0;
	}
	for (;;) {
		ssize_t n = read(
		    reader->fd, reader->buffer + reader->end, POLICY_REQUEST_MAX - reader->end);

		if (n > 0) {
			reader->end += (size_t)n;
			return 1;
		}
		if (n < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){.fd = reader->fd, .events = POLLIN}, 1, -1);
		} else if (n == 0 || errno != EINTR) {
			return 0;
		}
	}
}

/*
 * Drops input up to and with the empty line that ends a request whose first part
 * filled the buffer. 1, or 0 at end of file.
 */
RARE static int skip_request(struct policy_reader *reader)
{
	bool line_start = reader->end > 0 && reader->buffer[reader->end - 1] == '\n';

	for (;;) {
		reader->start = reader->end = 0;
		if (!fill(reader)) {
			return 0;
		}
		while (reader->start < reader->end) {
			bool newline = reader->buffer[reader->start++] == '\n';

			if (newline && line_start) {
				return 1;
			}
			line_start = newline;
		}
	}
}

/*
 * Where a request's lines end, each with a newline, the last one being empty. Returns how many
 * there are without that one, which is end[lines] unless there are too many. A request is thirty
 * short lines: to look for one after the other, each by a call, would be most of the work.
 */
static size_t find_lines(const char *text, uint32_t end[POLICY_ATTRIBUTES_MAX + 1], size_t *size)
{
	size_t lines = 0, start = 0;

	for (size_t at = 0;; at += POLICY_STRIDE) {
		uint64_t newlines = bytes_equal(text + at, '\n');

		for (; newlines; newlines &= newlines - 1) {
			size_t newline = at + (size_t)__builtin_ctzll(newlines);

			if (lines <= POLICY_ATTRIBUTES_MAX) {
				end[lines] = (uint32_t)newline;
			}
			if (newline == start) {
				*size = newline + 1;
				return lines;
			}
			lines++;
			start = newline + 1;
		}
	}
}

/* Whether a line can't be taken; *error is set unless there was another before. */
RARE static bool is_bad_line(const char *line, const char *equals, const char *newline,
    enum policy_result before, struct error *error)
{
	struct error ignored;

	error = before == POLICY_REQUEST ? error : &ignored;
	if (memchr(line, '\0', (size_t)(newline - line))) {
		error_set(error, "a NUL byte in the request");
	} else if (!equals || equals == line) {
		error_set(error, "a line that is not \"name=value\" in the request");
	} else if (newline - equals - 1 > POLICY_VALUE_MAX) {
		error_set(error, "the value of \"%.*s\" is longer than %d bytes",
		    (int)(equals - line < 40 ? equals - line : 40), line, POLICY_VALUE_MAX);
	} else {
		return false;
	}
	return true;
}

/* Cuts the request that starts at text into attributes. */
HOT static enum policy_result take_lines(
    struct policy_request *request, char *text, size_t *size, struct error *error)
{
	enum policy_result result = POLICY_REQUEST;
	uint32_t end[POLICY_ATTRIBUTES_MAX + 1];
	size_t lines = find_lines(text, end, size);
	/* Both are rare, and then it matters which line it is. */
	bool suspect = *size > POLICY_VALUE_MAX || memchr(text, '\0', *size);
	char *line = text;

	for (size_t i = 0; i < lines && i < POLICY_ATTRIBUTES_MAX; i++) {
		char *newline = text + end[i];
		char *equals = find_equals(line, newline);

		if ((!equals || equals == line || suspect) &&
		    is_bad_line(line, equals, newline, result, error)) {
			result = POLICY_BAD;
		} else {
			*equals = *newline = '\0';
			policy_add(request, line, (size_t)(equals - line), equals + 1,
			    (size_t)(newline - equals) - 1);
		}
		line = newline + 1;
	}
	if (lines > POLICY_ATTRIBUTES_MAX && result == POLICY_REQUEST) {
		error_set(error, "more than %d attributes in the request", POLICY_ATTRIBUTES_MAX);
		result = POLICY_BAD;
	}
	return result;
}

/* Whether what is there ends as a request does: then there is one, whole. */
static bool ends_request(const struct policy_reader *reader)
{
	return reader->end - reader->start >= 2 &&
	    memcmp(reader->buffer + reader->end - 2, "\n\n", 2) == 0;
}

HOT enum policy_result policy_read(
    struct policy_reader *reader, struct policy_request *request, struct error *error)
{
	enum policy_result result;
	size_t line = 0; /* behind reader->start, so that fill may move both */
	size_t seen = 0, size;
	const char *kind;

	request->attributes = 0;
	error->text[0] = '\0';
	while (!ends_request(reader)) {
		char *from = reader->buffer + reader->start + seen;
		char *newline = memchr(from, '\n', reader->end - reader->start - seen);

		if (newline) {
			size_t next = (size_t)(newline + 1 - (reader->buffer + reader->start));

			if (next - line == 1) {
				break;
			}
			line = seen = next;
			continue;
		}
		seen = reader->end - reader->start;
		if (seen == POLICY_REQUEST_MAX) {
			error_set(error, "the request is longer than %d bytes", POLICY_REQUEST_MAX);
			return skip_request(reader) ? POLICY_BAD : POLICY_END;
		}
		if (!fill(reader)) {
			if (seen > 0) {
				error_set(error, "the input ended within a request");
			}
			return POLICY_END;
		}
	}

	/* Complete: from here on nothing moves. */
	result = take_lines(request, reader->buffer + reader->start, &size, error);
	reader->start += size;
	kind = policy_value(request, "request");
	if (result == POLICY_REQUEST && kind[0] && strcmp(kind, "smtpd_access_policy") != 0) {
		error_set(error, "a request that is not smtpd_access_policy");
		result = POLICY_BAD;
	}
	return result;
}

HOT int policy_answer(int fd, const char *action)
{
	/* One write, lest Postfix wakes up for half of it. */
	char answer[sizeof("action=\n\n") + POLICY_ACTION_MAX];
	struct text text;
	size_t sent = 0;

	text_init(&text, answer, sizeof(answer) - 2);
	text_puts(&text, "action=");
	text_puts(&text, action);
	memcpy(answer + text.length, "\n\n", 2);
	text.length += 2;
	while (sent < text.length) {
		ssize_t n = write(fd, answer + sent, text.length - sent);

		if (n >= 0) {
			sent += (size_t)n;
		} else if (errno == EAGAIN) {
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
		} else if (errno != EINTR) {
			return -1;
		}
	}
	return 0;
}
