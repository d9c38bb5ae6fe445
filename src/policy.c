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

/* Differs between all names that Postfix sends. */
static uint8_t tag_of(const char *name, size_t length)
{
	return length ? (uint8_t)(length * 7 + (uint8_t)name[0] + 4U * (uint8_t)name[length - 1])
		      : 0;
}

const struct policy_attribute *policy_find(
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

const char *policy_value(const struct policy_request *request, const char *name)
{
	const struct policy_attribute *attribute = policy_find(request, name, strlen(name));

	return attribute ? attribute->value : "";
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
static int fill(struct policy_reader *reader)
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
static int skip_request(struct policy_reader *reader)
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
 * The first of two bytes, one of which comes. A request is thirty short lines: what memchr
 * does before it starts, and a call, would be most of the work.
 */
static inline char *find_either(char *p, char a, char b)
{
#ifdef __SSE2__
	const __m128i as = _mm_set1_epi8(a), bs = _mm_set1_epi8(b);

	for (;; p += POLICY_STRIDE) {
		__m128i bytes = _mm_loadu_si128((const __m128i *)p);
		int here = _mm_movemask_epi8(
		    _mm_or_si128(_mm_cmpeq_epi8(bytes, as), _mm_cmpeq_epi8(bytes, bs)));

		if (here) {
			return p + __builtin_ctz((unsigned)here);
		}
	}
#else
	while (*p != a && *p != b) {
		p++;
	}
	return p;
#endif
}

/*
 * Cuts the line that ends at newline into an attribute. equals: its first '=', or its end;
 * nul: there may be a NUL byte in it.
 */
static enum policy_result take_line(struct policy_request *request, char *line, char *equals,
    char *newline, bool nul, struct error *error)
{
	size_t name_length = (size_t)(equals - line);
	size_t value_length = (size_t)(newline - equals) - 1;

	*newline = '\0';
	if (nul && memchr(line, '\0', (size_t)(newline - line))) {
		error_set(error, "a NUL byte in the request");
		return POLICY_BAD;
	}
	if (equals == newline || equals == line) {
		error_set(error, "a line that is not \"name=value\" in the request");
		return POLICY_BAD;
	}
	*equals = '\0';
	if (value_length > POLICY_VALUE_MAX) {
		error_set(error, "the value of \"%.40s\" is longer than %d bytes", line,
		    POLICY_VALUE_MAX);
		return POLICY_BAD;
	}
	if (policy_add(request, line, name_length, equals + 1, value_length)) {
		error_set(error, "more than %d attributes in the request", POLICY_ATTRIBUTES_MAX);
		return POLICY_BAD;
	}
	return POLICY_REQUEST;
}

/* Whether what is there ends as a request does: then there is one, whole. */
static bool ends_request(const struct policy_reader *reader)
{
	return reader->end - reader->start >= 2 &&
	    memcmp(reader->buffer + reader->end - 2, "\n\n", 2) == 0;
}

enum policy_result policy_read(
    struct policy_reader *reader, struct policy_request *request, struct error *error)
{
	enum policy_result result = POLICY_REQUEST;
	size_t line_at = 0; /* behind reader->start, so that fill may move both */
	size_t seen = 0;
	const char *kind;
	char *line;
	bool nul;

	request->attributes = 0;
	error->text[0] = '\0';
	while (!ends_request(reader)) {
		char *from = reader->buffer + reader->start + seen;
		char *newline = memchr(from, '\n', reader->end - reader->start - seen);

		if (newline) {
			size_t next = (size_t)(newline + 1 - (reader->buffer + reader->start));

			if (next - line_at == 1) {
				break;
			}
			line_at = seen = next;
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
	line = reader->buffer + reader->start;
	nul = memchr(line, '\0', reader->end - reader->start) != NULL;
	while (*line != '\n') {
		char *equals = find_either(line, '=', '\n');
		char *newline = *equals == '\n' ? equals : find_either(equals, '\n', '\n');
		struct error ignored;

		if (take_line(request, line, equals, newline, nul,
			result == POLICY_REQUEST ? error : &ignored) == POLICY_BAD) {
			result = POLICY_BAD;
		}
		line = newline + 1;
	}
	reader->start = (size_t)(line + 1 - reader->buffer);
	kind = policy_value(request, "request");
	if (result == POLICY_REQUEST && kind[0] && strcmp(kind, "smtpd_access_policy") != 0) {
		error_set(error, "a request that is not smtpd_access_policy");
		result = POLICY_BAD;
	}
	return result;
}

int policy_answer(int fd, const char *action)
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
