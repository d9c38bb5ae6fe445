/*
 * Postfix's policy delegation protocol (SMTPD_POLICY_README): reads requests and writes
 * answers. Knows the syntax; what an attribute means is not decided here.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define POLICY_REQUEST_MAX 65536 /* bytes of a request, with the empty line that ends it */
#define POLICY_VALUE_MAX 8192 /* bytes of a value */
#define POLICY_ACTION_MAX 1000 /* bytes of an action: an SMTP reply has to hold its text */
#define POLICY_ATTRIBUTES_MAX 128 /* lines of a request; Postfix 3.12 sends some 35 */

/* One line NAME=VALUE. A value may hold any byte but NUL and newline. */
struct policy_attribute {
	const char *name; /* NUL-terminated, as is value */
	const char *value;
	uint32_t name_length; /* bytes, without the NUL */
	uint32_t value_length;
};

/* One request: its attributes in the order in which they were sent. */
struct policy_request {
	size_t attributes;
	struct policy_attribute attribute[POLICY_ATTRIBUTES_MAX];
};

/* Reads requests from one file descriptor. Zero it, then set fd. */
struct policy_reader {
	int fd;
	size_t start; /* where the bytes start that no request has used yet */
	size_t end; /* where the bytes end that have been read */
	char buffer[POLICY_REQUEST_MAX];
};

enum policy_result {
	POLICY_REQUEST, /* a request that can be judged */
	POLICY_BAD, /* a request that can't; answer it, and read on */
	POLICY_END, /* end of file; with an error text if it came in the middle of a request */
};

/*
 * Waits for the next request. Its strings are in the reader's buffer and valid until the next
 * call. On POLICY_BAD, error says why, and request holds the attributes that could be read. On
 * POLICY_END, request is empty. Uses no memory but the reader's, however long a request is.
 */
enum policy_result protocol_read(
    struct policy_reader *reader, struct policy_request *request, struct error *error);

/*
 * Appends an attribute; name and value are not copied and must outlive the request. Returns 0, or
 * -1 if the request has POLICY_ATTRIBUTES_MAX attributes already.
 */
int policy_add(struct policy_request *request, const char *name, size_t name_length,
    const char *value, size_t value_length);

/* The attribute with that name, the last one if it is repeated; NULL if there is none. */
const struct policy_attribute *policy_find(
    const struct policy_request *request, const char *name, size_t name_length);

/* The value of an attribute; "" if it was not sent. */
const char *policy_value(const struct policy_request *request, const char *name);

/*
 * Writes "action=ACTION\n\n" to fd. action is one line of UTF-8; it is cut at the end of a
 * character so that it has at most POLICY_ACTION_MAX bytes. Returns 0, or -1 if the peer is gone.
 */
int protocol_answer(int fd, const char *action);

#endif
