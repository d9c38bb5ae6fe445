/*
 * Tests of src/match/netaddr.c: addresses and networks as text and back, and what contains what.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/error.h"
#include "base/strbuf.h"
#include "match/netaddr.h"

static const char *format(const struct netaddr *network)
{
	static char buffer[NETADDR_TEXT_SIZE];
	struct strbuf text;

	strbuf_init(&text, buffer, sizeof(buffer));
	netaddr_format(network, &text);
	return buffer;
}

static void test_addresses(void **state)
{
	static const struct {
		const char *string;
		const char *expected; /* NULL: no address */
	} cases[] = {
	    {"192.0.2.1", "192.0.2.1"},
	    {"0.0.0.0", "0.0.0.0"},
	    {"255.255.255.255", "255.255.255.255"},
	    {"::", "::"},
	    {"::1", "::1"},
	    {"2001:DB8::A", "2001:db8::a"},
	    {"2001:0db8:0:0:0:0:0:1", "2001:db8::1"},
	    {"1:0:0:2:0:0:0:3", "1:0:0:2::3"},
	    {"fe80::1:2:3:4", "fe80::1:2:3:4"},
	    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	    {"::ffff:192.0.2.1", "192.0.2.1"},
	    {"::FFFF:c000:0201", "192.0.2.1"},
	    {"0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"},
	    {"::ffff:0:0", "0.0.0.0"},
	    {"::fffe:192.0.2.1", "::fffe:c000:201"},
	    {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
	    {"", NULL},
	    {"unknown", NULL},
	    {"192.0.2", NULL},
	    {"192.0.2.256", NULL},
	    {"192.0.2.1.1", NULL},
	    {"192.0.2.1 ", NULL},
	    {" 192.0.2.1", NULL},
	    {"192.0.2.-1", NULL},
	    {"0x7f.0.0.1", NULL},
	    {"1", NULL},
	    {"192.0.2.1/32", NULL},
	    {"[::1]", NULL},
	    {":", NULL},
	    {":::", NULL},
	    {"1::2::3", NULL},
	    {"2001:db8::g", NULL},
	    {"12345::", NULL},
	    {"fe80::1%eth0", NULL},
	    {"1:2:3:4:5:6:7", NULL},
	    {"1:2:3:4:5:6:7:8:9", NULL},
	    {"ipv6:::1", NULL},
	    {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *name = cases[i].string;
		struct netaddr address;
		uint8_t bytes[16];
		int result = netaddr_parse(name, strlen(name), &address);

		check(result == (cases[i].expected ? 0 : -1), "\"%s\": got %d", name, result);
		if (result == 0) {
			check_string(format(&address), cases[i].expected, name);
			check(address.prefix == address.bits, "\"%s\": prefix %u", name,
			    address.prefix);
			netaddr_to_bytes(&address, bytes);
			netaddr_from_bytes(&address, bytes);
			check_string(format(&address), cases[i].expected, "as bytes");
		}
	}
}

/* The length ends a text, not a NUL. */
static void test_length(void **state)
{
	struct netaddr address;

	(void)state;
	check(netaddr_parse("192.0.2.123", 9, &address) == 0, "192.0.2.1");
	check_string(format(&address), "192.0.2.1", "cut");
}

static void test_networks(void **state)
{
	static const struct {
		const char *string;
		const char *expected; /* NULL: an error */
		const char *contains; /* in the error */
	} cases[] = {
	    {"192.0.2.1", "192.0.2.1", NULL},
	    {"192.0.2.1/32", "192.0.2.1", NULL},
	    {"192.0.2.0/24", "192.0.2.0/24", NULL},
	    {"0.0.0.0/0", "0.0.0.0/0", NULL},
	    {"192.0.2.128/25", "192.0.2.128/25", NULL},
	    {"2001:DB8::/32", "2001:db8::/32", NULL},
	    {"::/0", "::/0", NULL},
	    {"::1/128", "::1", NULL},
	    {"8000::/1", "8000::/1", NULL},
	    {"2001:db8:0:1::/64", "2001:db8:0:1::/64", NULL},
	    {"::ffff:192.0.2.0/120", "192.0.2.0/24", NULL},
	    {"::ffff:0:0/96", "0.0.0.0/0", NULL},
	    {"192.0.2.1/24", NULL, "the network is 192.0.2.0/24"},
	    {"192.0.2.1/0", NULL, "the network is 0.0.0.0/0"},
	    {"192.0.2.129/25", NULL, "the network is 192.0.2.128/25"},
	    {"2001:db8::1/32", NULL, "the network is 2001:db8::/32"},
	    {"2001:db8:ff00::/33", NULL, "the network is 2001:db8:8000::/33"},
	    {"192.0.2.0/33", NULL, "192.0.2.0/33"},
	    {"::/129", NULL, "::/129"},
	    {"192.0.2.0/", NULL, "192.0.2.0/"},
	    {"192.0.2.0/x", NULL, "192.0.2.0/x"},
	    {"192.0.2.0/24/24", NULL, "192.0.2.0/24/24"},
	    {"192.0.2.0/-1", NULL, "192.0.2.0/-1"},
	    {"192.0.2.0/+8", NULL, "192.0.2.0/+8"},
	    {"192.0.2.0/ 8", NULL, "192.0.2.0/ 8"},
	    {"192.0.2.0/255.255.255.0", NULL, "255.255.255.0"},
	    {"/24", NULL, "/24"},
	    {"192.0.2.0/18446744073709551624", NULL, "192.0.2.0/"},
	    {"", NULL, "\"\""},
	    {"localhost", NULL, "localhost"},
	    {"192.0.2/24", NULL, "192.0.2/24"},
	};
	struct netaddr network;
	struct error error;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *name = cases[i].string;
		int result;

		error.text[0] = '\0';
		result = netaddr_parse_network(name, strlen(name), &network, &error);
		check(result == (cases[i].expected ? 0 : -1), "\"%s\": got %d, %s", name, result,
		    error.text);
		if (result == 0) {
			check_string(format(&network), cases[i].expected, name);
		} else {
			check(
			    strstr(error.text, cases[i].contains), "\"%s\": %s", name, error.text);
		}
	}
}

static struct netaddr network_of(const char *string)
{
	struct netaddr network;
	struct error error = {""};

	check(
	    netaddr_parse_network(string, strlen(string), &network, &error) == 0, "%s", error.text);
	return network;
}

static void test_contains(void **state)
{
	static const struct {
		const char *outer, *inner;
		bool expected;
	} cases[] = {
	    {"192.0.2.0/24", "192.0.2.0", true},
	    {"192.0.2.0/24", "192.0.2.255", true},
	    {"192.0.2.0/24", "192.0.3.0", false},
	    {"192.0.2.0/24", "192.0.1.255", false},
	    {"192.0.2.0/24", "192.0.2.0/24", true},
	    {"192.0.2.0/24", "192.0.2.128/25", true},
	    {"192.0.2.0/24", "192.0.2.0/23", false},
	    {"192.0.2.0/24", "192.0.0.0/16", false},
	    {"192.0.2.64/26", "192.0.2.127", true},
	    {"192.0.2.64/26", "192.0.2.128", false},
	    {"192.0.2.1", "192.0.2.1", true},
	    {"192.0.2.1", "192.0.2.2", false},
	    {"0.0.0.0/0", "255.255.255.255", true},
	    {"0.0.0.0/0", "::1", false},
	    {"::/0", "192.0.2.1", false},
	    {"::/0", "ffff::", true},
	    {"::/0", "::ffff:192.0.2.1", false},
	    {"192.0.2.0/24", "::ffff:192.0.2.9", true},
	    {"2001:db8::/33", "2001:db8:7fff::", true},
	    {"2001:db8::/33", "2001:db8:8000::", false},
	    {"2001:db8::/127", "2001:db8::1", true},
	    {"2001:db8::/127", "2001:db8::2", false},
	    {"::1", "::1", true},
	    {"0.0.0.0/1", "127.255.255.255", true},
	    {"0.0.0.0/1", "128.0.0.0", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct netaddr outer = network_of(cases[i].outer);
		struct netaddr inner = network_of(cases[i].inner);

		check(netaddr_contains(&outer, &inner) == cases[i].expected, "%s in %s: got %d",
		    cases[i].inner, cases[i].outer, !cases[i].expected);
	}
}

static void test_mask(void **state)
{
	static const struct {
		const char *string;
		unsigned prefix;
		const char *expected;
	} cases[] = {
	    {"255.255.255.255", 32, "255.255.255.255"},
	    {"255.255.255.255", 31, "255.255.255.254/31"},
	    {"255.255.255.255", 25, "255.255.255.128/25"},
	    {"255.255.255.255", 24, "255.255.255.0/24"},
	    {"255.255.255.255", 23, "255.255.254.0/23"},
	    {"255.255.255.255", 1, "128.0.0.0/1"},
	    {"255.255.255.255", 0, "0.0.0.0/0"},
	    {"192.0.2.0/24", 25, "192.0.2.0/24"},
	    {"192.0.2.0/24", 128, "192.0.2.0/24"},
	    {"2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::/64"},
	    {"2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6"},
	    {"2001:db8:1:2:3:4:5:6", 127, "2001:db8:1:2:3:4:5:6/127"},
	    {"2001:db8:ffff::", 33, "2001:db8:8000::/33"},
	    {"ffff::", 0, "::/0"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct netaddr network = network_of(cases[i].string);

		netaddr_mask(&network, cases[i].prefix);
		check_string(format(&network), cases[i].expected, cases[i].string);
	}
}

/* A network is the same when parsed from its text, and contains its first and last address. */
static void test_round_trip(void **state)
{
	uint64_t seed = random_seed("networks", 20261120);

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t bits = i % 2 ? 32 : 128;
		struct netaddr last = {.bits = bits, .prefix = bits};
		struct netaddr network, again, outside;
		unsigned prefix = (unsigned)random_below(&seed, bits + 1U);

		for (unsigned j = 0; j < bits / 8U; j++) {
			last.bytes[j] = random_below(&seed, 3) ? (uint8_t)random_next(&seed) : 0;
		}
		last.bytes[0] |= 1; /* not mapped IPv4 */
		network = last;
		netaddr_mask(&network, prefix);
		again = network_of(format(&network));
		check(memcmp(&again, &network, sizeof(network)) == 0, "%s", format(&network));
		for (unsigned j = prefix; j < bits; j++) {
			last.bytes[j / 8] |= (uint8_t)(0x80 >> j % 8);
		}
		check(netaddr_contains(&network, &last), "the last of %s", format(&network));
		if (prefix > 0) {
			outside = last;
			outside.bytes[(prefix - 1) / 8] ^= (uint8_t)(0x80 >> (prefix - 1) % 8);
			check(!netaddr_contains(&network, &outside), "not in %s", format(&network));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_length),
	    cmocka_unit_test(test_networks),
	    cmocka_unit_test(test_contains),
	    cmocka_unit_test(test_mask),
	    cmocka_unit_test(test_round_trip),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("netaddr", tests, NULL, NULL);
}
