/*
 * IP addresses and networks: see netaddr.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "match/netaddr.h"

#include "base/number.h"

#include <arpa/inet.h>
#include <string.h>

#define MAPPED_BITS 96

static const uint8_t mapped[MAPPED_BITS / 8] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* Turns an IPv4-mapped IPv6 address or network into IPv4. */
static void unmap(struct netaddr *address)
{
	if (address->bits == 128 && address->prefix >= MAPPED_BITS &&
	    memcmp(address->bytes, mapped, sizeof(mapped)) == 0) {
		memmove(address->bytes, address->bytes + sizeof(mapped), 4);
		memset(address->bytes + 4, 0, 12);
		address->bits = 32;
		address->prefix -= MAPPED_BITS;
	}
}

static int parse_address(const char *text, size_t length, struct netaddr *address)
{
	char copy[INET6_ADDRSTRLEN];

	if (length >= sizeof(copy)) {
		return -1;
	}
	memcpy(copy, text, length);
	copy[length] = '\0';
	memset(address, 0, sizeof(*address));
	address->bits = strchr(copy, ':') ? 128 : 32;
	address->prefix = address->bits;
	return inet_pton(address->bits == 32 ? AF_INET : AF_INET6, copy, address->bytes) == 1 ? 0
											      : -1;
}

int netaddr_parse(const char *text, size_t length, struct netaddr *address)
{
	if (parse_address(text, length, address)) {
		return -1;
	}
	unmap(address);
	return 0;
}

/* What is wrong with ADDRESS[/PREFIX]. */
enum fault { NO_FAULT, BAD_ADDRESS, BAD_PREFIX, BITS_SET };

/* On BITS_SET, *network is the network without the bits after the prefix. */
static enum fault read_network(const char *text, size_t length, struct netaddr *network)
{
	const char *slash = memchr(text, '/', length);
	size_t address_length = slash ? (size_t)(slash - text) : length;
	struct netaddr address;
	uint64_t prefix;

	if (parse_address(text, address_length, &address)) {
		return BAD_ADDRESS;
	}
	*network = address;
	prefix = address.bits;
	if (slash && number_parse(slash + 1, length - address_length - 1, address.bits, &prefix)) {
		return BAD_PREFIX;
	}
	netaddr_mask(network, (unsigned)prefix);
	if (memcmp(network->bytes, address.bytes, sizeof(address.bytes)) != 0) {
		return BITS_SET;
	}
	unmap(network);
	return NO_FAULT;
}

int netaddr_read_network(const char *text, size_t length, struct netaddr *network)
{
	return read_network(text, length, network) == NO_FAULT ? 0 : -1;
}

int netaddr_parse_network(
    const char *text, size_t length, struct netaddr *network, struct error *error)
{
	int shown = (int)(length < 60 ? length : 60);
	char buffer[NETADDR_TEXT_SIZE];
	struct strbuf right;

	switch (read_network(text, length, network)) {
	case NO_FAULT:
		return 0;
	case BAD_PREFIX:
		return error_set(error, "the prefix of \"%.*s\" is not a number from 0 to %u",
		    shown, text, network->bits);
	case BITS_SET:
		strbuf_init(&right, buffer, sizeof(buffer));
		netaddr_format(network, &right);
		return error_set(error, "\"%.*s\" has bits set after its prefix; the network is %s",
		    shown, text, buffer);
	default:
		return error_set(error, "\"%.*s\" is not an IP address or network", shown, text);
	}
}

void netaddr_to_bytes(const struct netaddr *address, uint8_t bytes[16])
{
	if (address->bits == 32) {
		memcpy(bytes, mapped, sizeof(mapped));
		memcpy(bytes + sizeof(mapped), address->bytes, 4);
	} else {
		memcpy(bytes, address->bytes, 16);
	}
}

void netaddr_from_bytes(struct netaddr *address, const uint8_t bytes[16])
{
	*address = (struct netaddr){.bits = 128, .prefix = 128};
	memcpy(address->bytes, bytes, 16);
	unmap(address);
}

void netaddr_mask(struct netaddr *address, unsigned prefix)
{
	if (prefix >= address->prefix) {
		return;
	}
	address->prefix = (uint8_t)prefix;
	address->bytes[prefix / 8] &= (uint8_t) ~(0xff >> prefix % 8);
	memset(address->bytes + prefix / 8 + 1, 0, sizeof(address->bytes) - prefix / 8 - 1);
}

bool netaddr_contains(const struct netaddr *outer, const struct netaddr *inner)
{
	struct netaddr masked = *inner;

	if (outer->bits != inner->bits || outer->prefix > inner->prefix) {
		return false;
	}
	netaddr_mask(&masked, outer->prefix);
	return memcmp(masked.bytes, outer->bytes, sizeof(masked.bytes)) == 0;
}

void netaddr_format(const struct netaddr *network, struct strbuf *text)
{
	char buffer[INET6_ADDRSTRLEN];

	inet_ntop(network->bits == 32 ? AF_INET : AF_INET6, network->bytes, buffer, sizeof(buffer));
	strbuf_puts(text, buffer);
	if (network->prefix < network->bits) {
		strbuf_printf(text, "/%u", network->prefix);
	}
}
