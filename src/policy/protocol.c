/*
 * Postfix's policy delegation protocol: see protocol.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "policy/protocol.h"

#include "base/strbuf.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

int policy_add(struct policy_request *request, const char *name, size_t name_length,
    const char *value, size_t value_length)
{
	if (request->attributes == POLICY_ATTRIBUTES_MAX) {
		return -1;
	}
	request->attribute[request->attributes++] =
	    (struct policy_attribute){name, value, (uint32_t)name_length, (uint32_t)value_length};
	return 0;
}

const struct policy_attribute *policy_find(
    const struct policy_request *request, const char *name, size_t name_length)
{
	for (size_t i = request->attributes; i > 0; i--) {
		const struct policy_attribute *attribute = &request->attribute[i - 1];

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

/* Appends input to the buffer. Returns 1, or 0 at end of file or if the peer is gone. */
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
 * Reads until the buffer holds a whole request at reader->start, and sets *size to its length with
 * the empty line. If it is too long, returns POLICY_BAD; *size is then that of its last part, the
 * others have been dropped.
 */
static enum policy_result wait_for_request(
    struct policy_reader *reader, size_t *size, struct error *error)
{
	bool dropped = false;
	size_t searched = 0;

	for (;;) {
		const char *text = reader->buffer + reader->start;
		size_t length = reader->end - reader->start;
		const char *end = memmem(text + searched, length - searched, "\n\n", 2);

		if (!dropped && length > 0 && text[0] == '\n') {
			*size = 1;
			return POLICY_REQUEST;
		}
		if (end) {
			*size = (size_t)(end + 2 - text);
			return dropped ? POLICY_BAD : POLICY_REQUEST;
		}
		if (length == POLICY_REQUEST_MAX) {
			error_set(error, "the request is longer than %d bytes", POLICY_REQUEST_MAX);
			dropped = true;
			reader->start = reader->end - 1;
			length = 1;
		}
		/* The last byte may be the first newline of two. */
		searched = length > 0 ? length - 1 : 0;
		if (!fill(reader)) {
			if (length > 0 && !dropped) {
				error_set(error, "the input ended within a request");
			}
			return POLICY_END;
		}
	}
}

/* Adds the attribute of one line, whose newline becomes a NUL. Returns 0, or -1 with the reason. */
static int add_line(struct policy_request *request, char *line, char *newline, struct error *error)
{
	size_t length = (size_t)(newline - line);
	char *equals = memchr(line, '=', length);
	size_t name_length, value_length;

	if (memchr(line, '\0', length)) {
		return error_set(error, "a NUL byte in the request");
	}
	if (!equals || equals == line) {
		return error_set(error, "a line that is not \"name=value\" in the request");
	}
	name_length = (size_t)(equals - line);
	value_length = length - name_length - 1;
	if (value_length > POLICY_VALUE_MAX) {
		return error_set(error, "the value of \"%.*s\" is longer than %d bytes",
		    (int)(name_length < 40 ? name_length : 40), line, POLICY_VALUE_MAX);
	}
	*equals = *newline = '\0';
	if (policy_add(request, line, name_length, equals + 1, value_length)) {
		return error_set(
		    error, "more than %d attributes in the request", POLICY_ATTRIBUTES_MAX);
	}
	return 0;
}

/*
 * Splits a whole request, which ends with an empty line, into attributes. Lines that can't be read
 * are left out, and error says what is wrong with the first of them.
 */
static enum policy_result parse_request(
    struct policy_request *request, char *text, size_t size, struct error *error)
{
	enum policy_result result = POLICY_REQUEST;
	char *newline, *last = text + size - 1;

	for (char *line = text; line < last; line = newline + 1) {
		struct error later;

		newline = memchr(line, '\n', (size_t)(last - line));
		if (add_line(request, line, newline, result == POLICY_BAD ? &later : error)) {
			result = POLICY_BAD;
		}
	}
	return result;
}

enum policy_result protocol_read(
    struct policy_reader *reader, struct policy_request *request, struct error *error)
{
	enum policy_result result;
	const char *type;
	size_t size = 0;

	request->attributes = 0;
	error->text[0] = '\0';
	result = wait_for_request(reader, &size, error);
	if (result == POLICY_REQUEST) {
		result = parse_request(request, reader->buffer + reader->start, size, error);
	}
	reader->start += size;
	type = policy_value(request, "request");
	if (result == POLICY_REQUEST && type[0] && strcmp(type, "smtpd_access_policy") != 0) {
		error_set(error, "a request that is not smtpd_access_policy");
		result = POLICY_BAD;
	}
	return result;
}

int protocol_answer(int fd, const char *action)
{
	/* Written at once: Postfix would wake up for half an answer. */
	char answer[sizeof("action=\n\n") + POLICY_ACTION_MAX];
	struct strbuf text;
	size_t length, sent = 0;

	/* To Postfix, half a character is a server failure. strbuf cuts between characters. */
	strbuf_init(&text, answer, sizeof("action=") + POLICY_ACTION_MAX);
	strbuf_puts(&text, "action=");
	strbuf_puts(&text, action);
	memcpy(answer + text.length, "\n\n", 2);
	length = text.length + 2;
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
