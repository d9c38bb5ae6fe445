/*
 * Fuzz target: the request reader. Every input is read as one file and, if the first byte says so,
 * in pieces of that size. Both must give what a simple parser of the whole input finds.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "fuzz.h"

#include "base/error.h"
#include "policy/protocol.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECES_MAX 64

static struct policy_reader reader;

/* Length of the request that starts the bytes, with its empty line; 0: it is not complete. */
static size_t request_length(const uint8_t *bytes, size_t size)
{
	size_t line = 0;

	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == '\n') {
			if (i == line) {
				return i + 1;
			}
			line = i + 1;
		}
	}
	return 0;
}

/* Whether the request has the attribute, its strings terminated and of that length. */
static bool has(const struct policy_request *request, const uint8_t *name, size_t name_length,
    const uint8_t *value, size_t value_length)
{
	const struct policy_attribute *found =
	    policy_find(request, (const char *)name, name_length);

	return found && found->value_length == value_length &&
	    memcmp(found->value, value, value_length) == 0;
}

/* Checks each line; returns whether all of them are good. */
static bool check_request(
    const struct policy_request *request, const uint8_t *bytes, size_t size, bool judged)
{
	bool good = true;

	/* From the last line to the first: if an attribute is repeated, the last one wins. */
	for (size_t end = size - 1; end > 0;) {
		size_t start = end - 1;
		const uint8_t *equals;
		size_t name_length, value_length;
		bool repeated = false;

		while (start > 0 && bytes[start - 1] != '\n') {
			start--;
		}
		equals = memchr(bytes + start, '=', end - 1 - start);
		if (!equals || equals == bytes + start || memchr(bytes + start, 0, end - start) ||
		    end - 1 - (size_t)(equals + 1 - bytes) > POLICY_VALUE_MAX) {
			good = false;
			end = start;
			continue;
		}
		name_length = (size_t)(equals - (bytes + start));
		value_length = end - 1 - (size_t)(equals + 1 - bytes);
		for (size_t next = end; next < size - 1 && !repeated;) {
			const uint8_t *newline = memchr(bytes + next, '\n', size - next);

			repeated = (size_t)(newline - (bytes + next)) > name_length &&
			    memcmp(bytes + next, bytes + start, name_length + 1) == 0;
			next = (size_t)(newline + 1 - bytes);
		}
		if (judged && !repeated) {
			must(has(request, bytes + start, name_length, equals + 1, value_length),
			    "an attribute is missing or has another value");
		}
		end = start;
	}
	return good;
}

static void check_strings(const struct policy_request *request)
{
	must(request->attributes <= POLICY_ATTRIBUTES_MAX, "too many attributes");
	for (size_t i = 0; i < request->attributes; i++) {
		const struct policy_attribute *attribute = &request->attribute[i];

		must(attribute->name >= reader.buffer &&
			attribute->value + attribute->value_length <
			    reader.buffer + sizeof(reader.buffer),
		    "a string outside of the reader");
		must(attribute->name_length > 0, "an empty name");
		must(attribute->value_length <= POLICY_VALUE_MAX, "a value too long");
		must(strlen(attribute->name) == attribute->name_length, "length of a name");
		must(strlen(attribute->value) == attribute->value_length, "length of a value");
		must(!strpbrk(attribute->name, "=\n") && !strchr(attribute->value, '\n'),
		    "a separator within a string");
		must(policy_find(request, attribute->name, attribute->name_length) >= attribute,
		    "a repeated attribute: not the last one");
	}
}

/* Reads all requests from fd, and compares each with the bytes that it was made of. */
static void read_all(int fd, const uint8_t *bytes, size_t size)
{
	struct policy_request request = {.attributes = 0};
	struct error error;

	reader.fd = fd;
	reader.start = reader.end = 0;
	for (;;) {
		size_t length = request_length(bytes, size);
		enum policy_result result = protocol_read(&reader, &request, &error);
		bool good;

		must(reader.start <= reader.end && reader.end <= POLICY_REQUEST_MAX,
		    "the reader's buffer");
		check_strings(&request);
		if (result == POLICY_END) {
			must(length == 0, "a request was not read");
			must((error.text[0] != '\0') == (size > 0), "end within a request: \"%s\"",
			    error.text);
			must(request.attributes == 0, "attributes without a request");
			return;
		}
		must(length > 0, "a request out of nothing");
		must((error.text[0] != '\0') == (result == POLICY_BAD), "an error text, or none");
		if (length > POLICY_REQUEST_MAX) {
			must(result == POLICY_BAD, "a request of %zu bytes was taken", length);
		} else {
			const char *kind = policy_value(&request, "request");

			good = check_request(&request, bytes, length, result == POLICY_REQUEST);
			must(good || result == POLICY_BAD, "a bad line was taken");
			must(!good || result == POLICY_REQUEST ||
				request.attributes == POLICY_ATTRIBUTES_MAX ||
				(kind[0] && strcmp(kind, "smtpd_access_policy") != 0),
			    "bad for nothing: %s", error.text);
		}
		bytes += length;
		size -= length;
	}
}

/* A socket on which each read gets one piece of the bytes. */
static int open_pieces(const uint8_t *bytes, size_t size, size_t piece)
{
	int fds[2];

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0, "socketpair");
	for (size_t done = 0; done < size; done += piece) {
		size_t n = size - done < piece ? size - done : piece;

		must(send(fds[0], bytes + done, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n,
		    "send");
	}
	close(fds[0]);
	return fds[1];
}

static void check_answer(const uint8_t *bytes, size_t size)
{
	struct input input = {bytes, size};
	size_t length;
	char *action = input_line(&input, &length);
	int fd = memory_file("", 0, NULL);
	char *written = malloc(length + 10);

	must(written, "out of memory");
	must(protocol_answer(fd, action) == 0, "no answer");
	/* Cut before a character that does not fit. */
	while (length > 0 && (length > POLICY_ACTION_MAX || (action[length] & 0xc0) == 0x80)) {
		length--;
	}
	must(pread(fd, written, length + 10, 0) == (ssize_t)length + 9 &&
		memcmp(written, "action=", 7) == 0 && memcmp(written + 7, action, length) == 0 &&
		memcmp(written + 7 + length, "\n\n", 2) == 0,
	    "another answer was written");
	free(written);
	free(action);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	size_t piece = input_byte(&input);

	read_all(memory_file(input.bytes, input.size, NULL), input.bytes, input.size);
	/* A read into a buffer that is nearly full would cut a packet of this kind of socket. */
	if (piece > 0 && input.size <= PIECES_MAX * piece && input.size < POLICY_REQUEST_MAX / 2) {
		int fd = open_pieces(input.bytes, input.size, piece);

		read_all(fd, input.bytes, input.size);
		close(fd);
	}
	check_answer(input.bytes, input.size);
	return 0;
}
