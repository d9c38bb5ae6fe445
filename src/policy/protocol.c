/*
 * The policy delegation protocol: see policy.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "policy/protocol.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* SMTPD_POLICY_README of Postfix 3.12. */
const char *const attributes_names[] = {"request", "protocol_state", "protocol_name", "helo_name",
    "queue_id", "sender", "recipient", "recipient_count", "client_address", "client_name",
    "reverse_client_name", "instance", "sasl_method", "sasl_username", "sasl_sender", "size",
    "ccert_subject", "ccert_issuer", "ccert_fingerprint", "ccert_pubkey_fingerprint",
    "encryption_protocol", "encryption_cipher", "encryption_keysize", "etrn_domain", "stress",
    "client_port", "policy_context", "server_address", "server_port", "compatibility_level",
    "mail_version", NULL};

bool attributes_known(const char *name, size_t length)
{
	for (size_t i = 0; attributes_names[i]; i++) {
		if (strlen(attributes_names[i]) == length &&
		    memcmp(attributes_names[i], name, length) == 0) {
			return true;
		}
	}
	return false;
}

/* Of a name that is shorter there is no tag; Postfix sends none. */
#define TAGGED 4

/* Differs between most names that Postfix sends. */
static inline uint8_t tag_of(const char *name)
{
	uint32_t first;

	memcpy(&first, name, sizeof(first));
	return (uint8_t)(first * UINT32_C(0x9e3779b1) >> 24);
}

/* Cuts an attribute out of the text when it is asked for: to all others the request is const. */
const struct policy_attribute *policy_attribute(const struct policy_request *request, size_t i)
{
	struct policy_request *own = (struct policy_request *)request;
	struct policy_attribute *attribute = &own->attribute[i];

	if (own->end[i]) {
		char *line = own->text + own->start[i], *newline = own->text + own->end[i];
		char *equals = memchr(line, '=', (size_t)(newline - line));

		*equals = *newline = '\0';
		*attribute = (struct policy_attribute){
		    line, equals + 1, (uint32_t)(equals - line), (uint32_t)(newline - equals - 1)};
		own->end[i] = 0;
	}
	return attribute;
}

/* Whether the attribute number i has that name. */
static bool is_named(
    const struct policy_request *request, size_t i, const char *name, size_t length)
{
	const char *line;

	if (request->end[i] == 0) {
		return request->attribute[i].name_length == length &&
		    memcmp(request->attribute[i].name, name, length) == 0;
	}
	line = request->text + request->start[i];
	return request->end[i] - request->start[i] > length && line[length] == '=' &&
	    memcmp(line, name, length) == 0;
}

const struct policy_attribute *policy_find(
    const struct policy_request *request, const char *name, size_t name_length)
{
	size_t i = request->attributes;

	/* Of an attribute that comes twice the last one holds. */
	while (i > 0) {
		if (name_length >= TAGGED) {
			const uint8_t *found = memrchr(request->tag, tag_of(name), i);

			if (!found) {
				return NULL;
			}
			i = (size_t)(found - request->tag) + 1;
		}
		if (is_named(request, --i, name, name_length)) {
			return policy_attribute(request, i);
		}
	}
	return NULL;
}

int policy_add(struct policy_request *request, const char *name, size_t name_length,
    const char *value, size_t value_length)
{
	size_t i = request->attributes;

	if (i == POLICY_ATTRIBUTES_MAX) {
		return -1;
	}
	request->tag[i] = name_length >= TAGGED ? tag_of(name) : 0;
	request->end[i] = 0;
	request->attribute[i] =
	    (struct policy_attribute){name, value, (uint32_t)name_length, (uint32_t)value_length};
	request->attributes++;
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

/*
 * Finds the lines of the request that starts at request->text; *size: with the empty line that
 * ends it. Returns whether every line has an '=' and something before it. A request is thirty
 * short lines: to look through one after the other would be most of the work; this goes through
 * 64 bytes at once, as masks with a bit for each.
 */
static bool find_lines(struct policy_request *request, size_t *size)
{
	size_t lines = 0, start = 0;
	uint64_t at_start = 1; /* the stride begins with a line */
	uint64_t open = 0; /* a line that began before still has no '=' */
	uint64_t bad = 0;

	for (size_t at = 0;; at += POLICY_STRIDE) {
		uint64_t newlines = bytes_equal(request->text + at, '\n');
		uint64_t equals = bytes_equal(request->text + at, '=');
		uint64_t starts = newlines << 1 | at_start;
		uint64_t last = newlines & starts; /* its lowest bit is the empty line */
		uint64_t before = last ? (last & -last) - 1 : ~UINT64_C(0);
		uint64_t others, carried;

		at_start = newlines >> (POLICY_STRIDE - 1);
		newlines &= before;
		equals &= before;
		starts &= before;
		/*
		 * Adding carries a bit from the start of each line over all bytes that are
		 * neither, to its first '=' or newline: that must not be the newline.
		 */
		others = ~(newlines | equals);
		carried = (starts | open) + others;
		open = carried < others;
		bad |= (carried & newlines) | (equals & starts);
		/* One too many is enough to know. */
		for (; newlines && lines <= POLICY_ATTRIBUTES_MAX; newlines &= newlines - 1) {
			size_t newline = at + (size_t)__builtin_ctzll(newlines);

			request->start[lines] = (uint32_t)start;
			request->end[lines] = (uint32_t)newline;
			request->tag[lines] = tag_of(request->text + start);
			start = newline + 1;
			lines++;
		}
		if (last) {
			*size = at + (size_t)__builtin_ctzll(last) + 1;
			request->attributes = lines;
			return !bad;
		}
	}
}

/* Why a line can't be taken: the text of *why, or "". */
static void judge_line(const char *line, const char *newline, struct error *why)
{
	const char *equals = memchr(line, '=', (size_t)(newline - line));

	why->text[0] = '\0';
	if (memchr(line, '\0', (size_t)(newline - line))) {
		error_set(why, "a NUL byte in the request");
	} else if (!equals || equals == line) {
		error_set(why, "a line that is not \"name=value\" in the request");
	} else if (newline - equals - 1 > POLICY_VALUE_MAX) {
		error_set(why, "the value of \"%.*s\" is longer than %d bytes",
		    (int)(equals - line < 40 ? equals - line : 40), line, POLICY_VALUE_MAX);
	}
}

/* Leaves out the lines that can't be taken; says why of the first. */
static enum policy_result drop_lines(struct policy_request *request, struct error *error)
{
	size_t lines = request->attributes;

	request->attributes = 0;
	for (size_t i = 0; i < lines && i < POLICY_ATTRIBUTES_MAX; i++) {
		size_t kept = request->attributes;
		struct error why;

		judge_line(
		    request->text + request->start[i], request->text + request->end[i], &why);
		if (!why.text[0]) {
			request->start[kept] = request->start[i];
			request->end[kept] = request->end[i];
			request->tag[kept] = request->tag[i];
			request->attributes++;
		} else if (!error->text[0]) {
			*error = why;
		}
	}
	if (lines > POLICY_ATTRIBUTES_MAX && !error->text[0]) {
		error_set(error, "more than %d attributes in the request", POLICY_ATTRIBUTES_MAX);
	}
	return error->text[0] ? POLICY_BAD : POLICY_REQUEST;
}

/* Whether what is there ends as a request does: then there is one, whole. */
static bool ends_request(const struct policy_reader *reader)
{
	return reader->end - reader->start >= 2 &&
	    memcmp(reader->buffer + reader->end - 2, "\n\n", 2) == 0;
}

enum policy_result protocol_read(
    struct policy_reader *reader, struct policy_request *request, struct error *error)
{
	enum policy_result result = POLICY_REQUEST;
	size_t line = 0; /* behind reader->start, so that fill may move both */
	size_t seen = 0, size;
	const char *kind;
	bool good;

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
	request->text = reader->buffer + reader->start;
	good = find_lines(request, &size);
	reader->start += size;
	/* Where a NUL is, or perhaps too long a value, it matters in which line. */
	if (!good || request->attributes > POLICY_ATTRIBUTES_MAX || size > POLICY_VALUE_MAX ||
	    memchr(request->text, '\0', size)) {
		result = drop_lines(request, error);
	}
	kind = policy_value(request, "request");
	if (result == POLICY_REQUEST && kind[0] && strcmp(kind, "smtpd_access_policy") != 0) {
		error_set(error, "a request that is not smtpd_access_policy");
		result = POLICY_BAD;
	}
	return result;
}

int protocol_answer(int fd, const char *action)
{
	/* One write, lest Postfix wakes up for half of it. */
	char answer[sizeof("action=\n\n") + POLICY_ACTION_MAX];
	size_t length = strlen(action);
	size_t sent = 0;

	/* At the end of a character: what is no UTF-8 is an error to Postfix. */
	if (length > POLICY_ACTION_MAX) {
		length = POLICY_ACTION_MAX;
		while (length > 0 && ((unsigned char)action[length] & 0xc0) == 0x80) {
			length--;
		}
	}
	memcpy(answer, "action=", 7);
	memcpy(answer + 7, action, length);
	memcpy(answer + 7 + length, "\n\n", 2);
	length += 9;
	while (sent < length) {
		ssize_t n = write(fd, answer + sent, length - sent);

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
