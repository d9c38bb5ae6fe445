/*
 * The attributes of a policy request: see attributes.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "policy/attributes.h"

#include <string.h>

const struct attribute attributes[] = {
    {"request", "request", ATTRIBUTE_TEXT},
    {"protocol_state", "protocol_state", ATTRIBUTE_TEXT},
    {"protocol_name", "protocol_name", ATTRIBUTE_TEXT},
    {"helo_name", "helo_name", ATTRIBUTE_TEXT},
    {"queue_id", "queue_id", ATTRIBUTE_TEXT},
    {"sender", "sender", ATTRIBUTE_MAILBOX},
    {"recipient", "recipient", ATTRIBUTE_MAILBOX},
    {"recipient_count", "recipient_count", ATTRIBUTE_TEXT},
    {"client_address", "client_address", ATTRIBUTE_ADDRESS},
    {"client_name", "client_name", ATTRIBUTE_TEXT},
    {"reverse_client_name", "reverse_client_name", ATTRIBUTE_TEXT},
    {"instance", "instance", ATTRIBUTE_TEXT},
    {"sasl_method", "sasl_method", ATTRIBUTE_TEXT},
    {"sasl_username", "sasl_username", ATTRIBUTE_MAILBOX},
    {"sasl_sender", "sasl_sender", ATTRIBUTE_MAILBOX},
    {"size", "size", ATTRIBUTE_TEXT},
    {"ccert_subject", "ccert_subject", ATTRIBUTE_TEXT},
    {"ccert_issuer", "ccert_issuer", ATTRIBUTE_TEXT},
    {"ccert_fingerprint", "ccert_fingerprint", ATTRIBUTE_TEXT},
    {"ccert_pubkey_fingerprint", "ccert_pubkey_fingerprint", ATTRIBUTE_TEXT},
    {"encryption_protocol", "encryption_protocol", ATTRIBUTE_TEXT},
    {"encryption_cipher", "encryption_cipher", ATTRIBUTE_TEXT},
    {"encryption_keysize", "encryption_keysize", ATTRIBUTE_TEXT},
    {"etrn_domain", "etrn_domain", ATTRIBUTE_TEXT},
    {"stress", "stress", ATTRIBUTE_TEXT},
    {"client_port", "client_port", ATTRIBUTE_TEXT},
    {"policy_context", "policy_context", ATTRIBUTE_TEXT},
    {"server_address", "server_address", ATTRIBUTE_ADDRESS},
    {"server_port", "server_port", ATTRIBUTE_TEXT},
    {"compatibility_level", "compatibility_level", ATTRIBUTE_TEXT},
    {"mail_version", "mail_version", ATTRIBUTE_TEXT},
    {"sasl_domain", "sasl_username", ATTRIBUTE_DOMAIN},
    {"sender_domain", "sender", ATTRIBUTE_DOMAIN},
    {"recipient_domain", "recipient", ATTRIBUTE_DOMAIN},
    {NULL, NULL, ATTRIBUTE_TEXT},
};

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
