/*
 * Hashes: one against accidents, one with a secret key.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef HASH_H
#define HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_KEY_BYTES 16

/*
 * A check against accidents, a few instructions for eight bytes: words, little-endian and
 * the last one filled up with zeros, multiplied and mixed as MurmurHash3's finalizer does;
 * four side by side as long as there are so many, for a processor can do that at once.
 */
uint64_t hash_quick(uint64_t seed, const void *bytes, size_t length);

/* SipHash-1-3 (Aumasson and Bernstein), 64 bits: can't be steered without the key. */
uint64_t hash_keyed(const uint8_t key[HASH_KEY_BYTES], const void *bytes, size_t length);

#endif
