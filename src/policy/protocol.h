/*
 * The policy delegation protocol (Postfix SMTPD_POLICY_README): requests in,
 * answers out. Knows the syntax, not what an attribute means to a rule.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef PROTOCOL_H
#define PROTOCOL_H


#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define POLICY_REQUEST_MAX 65536
#define POLICY_VALUE_MAX 8192
#define POLICY_ACTION_MAX 1000 /* what a refused client gets must fit SMTP */
#define POLICY_ATTRIBUTES_MAX 128 /* Postfix 3.12 sends some 35 */

/* NAME=VALUE as it was sent, both terminated; value may hold any byte but NUL and newline. */
struct policy_attribute {
	const char *name;
	const char *value;
	uint32_t name_length;
	uint32_t value_length;
};

/* Bytes that are looked at at once, and so may be looked at behind the end. */
#define POLICY_STRIDE 64

/* Of thirty attributes few are asked for; the others remain lines of the text. */
struct policy_request {
	size_t attributes;
	/* For the functions here. Room for one more than there may be. */
	char *text;
	uint8_t tag[POLICY_ATTRIBUTES_MAX + 1]; /* of the names */
	uint32_t start[POLICY_ATTRIBUTES_MAX + 1];
	uint32_t end[POLICY_ATTRIBUTES_MAX + 1]; /* 0: it has been cut out */
	struct policy_attribute attribute[POLICY_ATTRIBUTES_MAX];
};

/* Reads from one file descriptor. About 64 KiB large; zero it but for fd. */
struct policy_reader {
	int fd;
	size_t start; /* of what has not been handed out yet */
	size_t end;
	char buffer[POLICY_REQUEST_MAX + POLICY_STRIDE];
};

enum policy_result {
	POLICY_REQUEST, /* here it is */
	POLICY_BAD, /* a whole request, but not one to be judged: answer, and read on */
	POLICY_END, /* end of file, between two requests or, with an error text, within one */
};

/*
 * Waits for the next request. Its strings lie in the reader and hold until the
 * next call. With POLICY_BAD, error says why and request has what could be
 * read. Of an attribute that comes twice the last one holds. Never takes more
 * memory than the reader, however long a request is.
 */
enum policy_result protocol_read(
    struct policy_reader *reader, struct policy_request *request, struct error *error);

/* Adds one attribute, instead of an earlier one of that name; the strings must outlive the request.
 * -1: there are too many. */
int policy_add(struct policy_request *request, const char *name, size_t name_length,
    const char *value, size_t value_length);

/* The attribute of that name, or NULL. */
const struct policy_attribute *policy_find(
    const struct policy_request *request, const char *name, size_t name_length);

/* The attribute number i, from 0, in the order of the request. */
const struct policy_attribute *policy_attribute(const struct policy_request *request, size_t i);

/* Names of all attributes that Postfix (up to 3.12) can send; the last is NULL. */
extern const char *const attributes_names[];

/* Whether it is the name of one of them. */
bool attributes_known(const char *name, size_t length);

/* The value of an attribute; "" if it wasn't sent. Here, so that lengths are known early. */
static inline const char *policy_value(const struct policy_request *request, const char *name)
{
	const struct policy_attribute *attribute = policy_find(request, name, strlen(name));

	return attribute ? attribute->value : "";
}

/*
 * Writes "action=…\n\n". action: one line of UTF-8, of which no more than POLICY_ACTION_MAX
 * bytes are sent. 0, or -1: the peer is gone.
 */
int protocol_answer(int fd, const char *action);

#endif
