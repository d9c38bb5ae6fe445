/*
 * The attributes of a policy request (Postfix's SMTPD_POLICY_README) that configuration files
 * and commands may name, and what kind of value each has. The only list of them.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef ATTRIBUTES_H
#define ATTRIBUTES_H

#include <stdbool.h>
#include <stddef.h>

enum attribute_kind {
	ATTRIBUTE_TEXT,
	ATTRIBUTE_MAILBOX, /* an address with a domain, or a login name that may be one */
	ATTRIBUTE_ADDRESS, /* an IP address, or "unknown" */
	ATTRIBUTE_DOMAIN, /* Postfix does not send it: the domain of the mailbox in source */
};

struct attribute {
	const char *name;
	enum attribute_kind kind;
	const char *source; /* of a domain: the attribute with the mailbox; otherwise NULL */
};

/* All attributes that Postfix 3.12 can send, then the derived ones. The last has no name. */
extern const struct attribute attributes[];

/* The attribute with that name, or NULL. */
const struct attribute *attributes_find(const char *name, size_t length);

/* Whether Postfix sends an attribute with that name. */
bool attributes_is_sent(const char *name, size_t length);

#endif
