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
#include <sys/uio.h>
#include <unistd.h>

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

/* Where the index of an attribute of that name is to be looked for: there, or behind. */
static uint8_t place_of(const char *name, size_t length)
{
	const unsigned char *letters = (const unsigned char *)name;
	uint32_t hash = (uint32_t)length;

	if (length > 0) {
		hash +=
		    letters[0] * 37U + letters[length / 2] * 1009U + letters[length - 1] * 9176U;
	}
	return (uint8_t)(hash * UINT32_C(0x9e3779b1) >> 24);
}

/* The attribute of that name, or NULL, with *place being where it would belong. */
static struct policy_attribute *look_up(
    const struct policy_request *request, const char *name, size_t length, uint8_t *place)
{
	const struct policy_attribute *attribute;

	/* There are twice as many places as attributes. */
	for (*place = place_of(name, length); request->place[*place]; ++*place) {
		attribute = &request->attribute[request->place[*place] - 1];
		if (attribute->name_length == length &&
		    memcmp(attribute->name, name, length) == 0) {
			return (struct policy_attribute *)attribute;
		}
	}
	return NULL;
}

const struct policy_attribute *policy_find(
    const struct policy_request *request, const char *name, size_t name_length)
{
	uint8_t place;

	return look_up(request, name, name_length, &place);
}

const char *policy_value(const struct policy_request *request, const char *name)
{
	const struct policy_attribute *attribute = policy_find(request, name, strlen(name));

	return attribute ? attribute->value : "";
}

int policy_add(struct policy_request *request, const char *name, size_t name_length,
    const char *value, size_t value_length)
{
	uint8_t place;
	struct policy_attribute *attribute = look_up(request, name, name_length, &place);

	if (!attribute) {
		if (request->attributes == POLICY_ATTRIBUTES_MAX) {
			return -1;
		}
		attribute = &request->attribute[request->attributes++];
		request->place[place] = (uint8_t)request->attributes;
	}
	*attribute = (struct policy_attribute){name, value, name_length, value_length};
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

/* Cuts one line into an attribute; keeps the first complaint. */
static enum policy_result take_line(
    struct policy_request *request, char *line, size_t length, bool nul, struct error *error)
{
	char *equals = memchr(line, '=', length);
	size_t name_length, value_length;

	line[length] = '\0';
	if (nul && memchr(line, '\0', length)) {
		error_set(error, "a NUL byte in the request");
		return POLICY_BAD;
	}
	if (!equals || equals == line) {
		error_set(error, "a line that is not \"name=value\" in the request");
		return POLICY_BAD;
	}
	*equals = '\0';
	name_length = (size_t)(equals - line);
	value_length = length - name_length - 1;
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

static void clear(struct policy_request *request)
{
	request->attributes = 0;
	memset(request->place, 0, sizeof(request->place));
}

enum policy_result policy_read(
    struct policy_reader *reader, struct policy_request *request, struct error *error)
{
	enum policy_result result = POLICY_REQUEST;
	size_t line = 0; /* behind reader->start, so that fill may move both */
	size_t seen = 0;
	const char *kind;
	bool nul;

	clear(request);
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
	nul = memchr(reader->buffer + reader->start, '\0', reader->end - reader->start) != NULL;
	for (;;) {
		char *start = reader->buffer + reader->start;
		char *newline = memchr(start, '\n', reader->end - reader->start);
		size_t length = (size_t)(newline - start);
		struct error complaint;

		reader->start += length + 1;
		if (length == 0) {
			break;
		}
		if (take_line(request, start, length, nul, &complaint) == POLICY_BAD &&
		    result == POLICY_REQUEST) {
			result = POLICY_BAD;
			*error = complaint;
		}
	}
	kind = policy_value(request, "request");
	if (result == POLICY_REQUEST && kind[0] && strcmp(kind, "smtpd_access_policy") != 0) {
		error_set(error, "a request that is not smtpd_access_policy");
		result = POLICY_BAD;
	}
	return result;
}

int policy_answer(int fd, const char *action)
{
	struct iovec parts[] = {{"action=", 7}, {(char *)action, strlen(action)}, {"\n\n", 2}};
	struct iovec *part = parts;
	struct iovec *end = parts + 3;

	while (part < end) {
		ssize_t n = writev(fd, part, (int)(end - part));

		if (n < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
			continue;
		}
		if (n < 0) {
			if (errno == EINTR) {
				continue;
			}
			return -1;
		}
		while (part < end && (size_t)n >= part->iov_len) {
			n -= (ssize_t)part->iov_len;
			part++;
		}
		if (part < end) {
			part->iov_base = (char *)part->iov_base + n;
			part->iov_len -= (size_t)n;
		}
	}
	return 0;
}
