/*
 * Tests of src/base/hash.c: published vectors of SipHash-1-3, and the checksum.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "unit.h"

#include "base/hash.h"

#include <string.h>

/*
 * Key 00 to 0f, message 00, 01, ... Up to 63 bytes these are the published vectors of
 * SipHash-1-3, which Rust's libcore has too; the longer ones come from a second program.
 */
static void test_keyed(void **state)
{
	static const struct {
		size_t length;
		uint64_t hash;
	} cases[] = {
	    {0, 0xabac0158050fc4dc},
	    {1, 0xc9f49bf37d57ca93},
	    {2, 0x82cb9b024dc7d44d},
	    {3, 0x8bf80ab8e7ddf7fb},
	    {4, 0xcf75576088d38328},
	    {5, 0xdef9d52f49533b67},
	    {6, 0xc50d2b50c59f22a7},
	    {7, 0xd3927d989bb11140},
	    {8, 0x369095118d299a8e},
	    {9, 0x25a48eb36c063de4},
	    {15, 0xd320d86d2a519956},
	    {16, 0xcc4fdd1a7d908b66},
	    {17, 0x9cf2689063dbd80c},
	    {31, 0x2370dd1f8c21d1bc},
	    {63, 0x9d199062b7bbb3a8},
	    {64, 0xf17997ec4b4a6065},
	    {255, 0xf76214e3153c4a15},
	    {256, 0x75b3e64e167de370},
	    {1000, 0x2cf8d9d4f270cadf},
	};
	uint8_t key[HASH_KEY_BYTES], message[1000];

	(void)state;
	for (size_t i = 0; i < sizeof(message); i++) {
		message[i] = (uint8_t)i;
	}
	memcpy(key, message, sizeof(key));
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint64_t hash = hash_keyed(key, message, cases[i].length);

		check(hash == cases[i].hash, "%zu bytes: expected %016llx, got %016llx",
		    cases[i].length, (unsigned long long)cases[i].hash, (unsigned long long)hash);
	}
	for (size_t i = 0; i < sizeof(key); i++) {
		key[i] ^= 0x80;
		check(hash_keyed(key, message, 3) != hash_keyed(message, message, 3),
		    "byte %zu of the key makes no difference", i);
		key[i] ^= 0x80;
	}
}

/* Every bit counts, of the bytes, the seed and the length. */
static void test_quick(void **state)
{
	uint8_t message[100] = {0};

	(void)state;
	for (size_t length = 0; length < sizeof(message); length++) {
		uint64_t hash = hash_quick(1, message, length);

		check(hash == hash_quick(1, message, length), "%zu bytes: two hashes", length);
		check(hash != hash_quick(2, message, length), "%zu bytes: another seed", length);
		check(hash != hash_quick(1, message, length + 1), "%zu bytes: one more", length);
		for (size_t bit = 0; bit < length * 8; bit++) {
			message[bit / 8] ^= (uint8_t)(1 << bit % 8);
			check(hash != hash_quick(1, message, length), "%zu bytes: bit %zu", length,
			    bit);
			message[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_keyed),
	    cmocka_unit_test(test_quick),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
