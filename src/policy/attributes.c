/*
 * The attributes of a policy request: see attributes.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "policy/attributes.h"

#include <string.h>

const struct attribute attributes[] = {{"request"}, {"protocol_state"}, {"protocol_name"},
    {"helo_name"}, {"queue_id"}, {"sender", ATTRIBUTE_MAILBOX}, {"recipient", ATTRIBUTE_MAILBOX},
    {"recipient_count"}, {"client_address", ATTRIBUTE_ADDRESS}, {"client_name"},
    {"reverse_client_name"}, {"instance"}, {"sasl_method"}, {"sasl_username", ATTRIBUTE_MAILBOX},
    {"sasl_sender", ATTRIBUTE_MAILBOX}, {"size"}, {"ccert_subject"}, {"ccert_issuer"},
    {"ccert_fingerprint"}, {"ccert_pubkey_fingerprint"}, {"encryption_protocol"},
    {"encryption_cipher"}, {"encryption_keysize"}, {"etrn_domain"}, {"stress"}, {"client_port"},
    {"policy_context"}, {"server_address", ATTRIBUTE_ADDRESS}, {"server_port"},
    {"compatibility_level"}, {"mail_version"}, {"sasl_domain", ATTRIBUTE_DOMAIN, "sasl_username"},
    {"sender_domain", ATTRIBUTE_DOMAIN, "sender"},
    {"recipient_domain", ATTRIBUTE_DOMAIN, "recipient"}, {NULL}};

const struct attribute *attributes_find(const char *name, size_t length)
{
	for (const struct attribute *attribute = attributes; attribute->name; attribute++) {
		if (strlen(attribute->name) == length &&
		    memcmp(attribute->name, name, length) == 0) {
			return attribute;
		}
	}
	return NULL;
}

bool attributes_is_sent(const char *name, size_t length)
{
	const struct attribute *attribute = attributes_find(name, length);

	return attribute && attribute->kind != ATTRIBUTE_DOMAIN;
}
