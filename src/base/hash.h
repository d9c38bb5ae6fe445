/*
 * Hashes: a checksum, and a hash with a secret key.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef HASH_H
#define HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_KEY_BYTES 16

/*
 * A checksum against accidental damage, not against attackers. Takes the bytes as little-endian
 * words of 64 bits, the last one padded with zeros, and mixes each in as MurmurHash3's finalizer
 * does (Appleby).
 */
uint64_t hash_quick(uint64_t seed, const void *bytes, size_t length);

/*
 * SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF"). Without the key nobody
 * can choose inputs whose hashes collide.
 */
uint64_t hash_keyed(const uint8_t key[HASH_KEY_BYTES], const void *bytes, size_t length);

#endif
