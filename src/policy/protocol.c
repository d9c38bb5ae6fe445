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
 * Drops the rest of a request whose first part filled the buffer, up to its empty line. Returns
 * 1, or 0 at end of file.
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

/* Postfix sends a request and then waits, so what was read usually ends with its empty line. */
static bool ends_with_request(const struct policy_reader *reader)
{
	return reader->end - reader->start >= 2 &&
	    memcmp(reader->buffer + reader->end - 2, "\n\n", 2) == 0;
}

/*
 * Reads until the buffer holds a whole request at reader->start. Returns POLICY_REQUEST; or
 * POLICY_BAD if it was too long and has been dropped, or POLICY_END.
 */
static enum policy_result wait_for_request(struct policy_reader *reader, struct error *error)
{
	/* Offsets from reader->start, because fill moves the bytes. */
	size_t line = 0, searched = 0;

	while (!ends_with_request(reader)) {
		const char *text = reader->buffer + reader->start;
		size_t length = reader->end - reader->start;
		const char *newline = memchr(text + searched, '\n', length - searched);

		if (newline) {
			if (newline == text + line) {
				break;
			}
			line = searched = (size_t)(newline + 1 - text);
			continue;
		}
		searched = length;
		if (length == POLICY_REQUEST_MAX) {
			error_set(error, "the request is longer than %d bytes", POLICY_REQUEST_MAX);
			return skip_request(reader) ? POLICY_BAD : POLICY_END;
		}
		if (!fill(reader)) {
			if (length > 0) {
				error_set(error, "the input ended within a request");
			}
			return POLICY_END;
		}
	}
	return POLICY_REQUEST;
}

/* Adds the attribute of one line, whose newline becomes a NUL. Returns 0, or -1 and why. */
static int add_line(struct policy_request *request, char *line, char *newline, struct error *error)
{
	size_t name_length, value_length;
	char *equals;

	*newline = '\0';
	equals = strchrnul(line, '=');
	if (equals == newline || equals == line) {
		return error_set(error, "a line that is not \"name=value\" in the request");
	}
	name_length = (size_t)(equals - line);
	value_length = (size_t)(newline - equals - 1);
	if (value_length > POLICY_VALUE_MAX) {
		return error_set(error, "the value of \"%.*s\" is longer than %d bytes",
		    (int)(name_length < 40 ? name_length : 40), line, POLICY_VALUE_MAX);
	}
	*equals = '\0';
	return policy_add(request, line, name_length, equals + 1, value_length);
}

/*
 * Parses the request at reader->start, a whole one, and moves reader->start behind its empty line.
 * Lines that can't be read are left out, and error says what is wrong with the first of them.
 */
static enum policy_result parse_request(
    struct policy_reader *reader, struct policy_request *request, struct error *error)
{
	enum policy_result result = POLICY_REQUEST;
	char *line = reader->buffer + reader->start;

	for (unsigned lines = 0; *line != '\n'; lines++) {
		/* Ends at a newline at the latest, since the request has an empty line. */
		char *newline = strchrnul(line, '\n');
		struct error why;

		why.text[0] = '\0';
		if (*newline == '\0') {
			error_set(&why, "a NUL byte in the request");
			newline = rawmemchr(newline, '\n');
		} else if (lines >= POLICY_ATTRIBUTES_MAX) {
			error_set(&why, "more than %d attributes in the request",
			    POLICY_ATTRIBUTES_MAX);
		} else {
			add_line(request, line, newline, &why);
		}
		if (why.text[0] && result == POLICY_REQUEST) {
			*error = why;
			result = POLICY_BAD;
		}
		line = newline + 1;
	}
	reader->start = (size_t)(line + 1 - reader->buffer);
	return result;
}

enum policy_result protocol_read(
    struct policy_reader *reader, struct policy_request *request, struct error *error)
{
	enum policy_result result;
	const char *type;

	request->attributes = 0;
	error->text[0] = '\0';
	result = wait_for_request(reader, error);
	if (result != POLICY_REQUEST) {
		return result;
	}
	result = parse_request(reader, request, error);
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
