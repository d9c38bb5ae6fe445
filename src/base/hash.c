/*
 * Hashes: see hash.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/hash.h"

#include <endian.h>
#include <string.h>

static uint64_t rotate(uint64_t word, unsigned bits)
{
	return word << bits | word >> (64 - bits);
}

static inline __attribute__((always_inline)) void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32) + v[3];
	v[2] += v[1];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

/* At most 8 bytes. */
static uint64_t little_endian(const uint8_t *bytes, size_t length)
{
	uint64_t word = 0;

	memcpy(&word, bytes, length);
	return le64toh(word);
}

uint64_t hash_keyed(const uint8_t key[HASH_KEY_BYTES], const void *bytes, size_t length)
{
	const uint8_t *b = bytes;
	uint64_t k0 = little_endian(key, 8);
	uint64_t k1 = little_endian(key + 8, 8);
	uint64_t v[4] = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
	    k1 ^ 0x7465646279746573};
	size_t left = length;
	uint64_t word;

	for (; left >= 8; left -= 8, b += 8) {
		word = little_endian(b, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = (uint64_t)length << 56 | little_endian(b, left);
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++) {
		sip_round(v);
	}
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
	return hash ^ hash >> 33;
}

uint64_t hash_quick(uint64_t seed, const void *bytes, size_t length)
{
	const uint8_t *b = bytes;
	uint64_t hash = seed ^ length;

	for (; length >= 8; length -= 8, b += 8) {
		hash = mix(hash, little_endian(b, 8));
	}
	hash = mix(hash, little_endian(b, length));
	return mix(hash, 0);
}
