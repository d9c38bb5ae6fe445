/*
 * Small things that every layer needs: error texts, strict numbers, printable
 * text, a keyed hash. Not a place for anything that knows about mail or files.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef UTIL_H
#define UTIL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Before a function that few requests come to. Compiled into one that all come to, its code and
 * its variables would lie between those that are needed, and each page and line costs time.
 */
#define RARE __attribute__((cold, noinline))

/* Before one that every request comes to: the linker puts all of these together. */
#define HOT __attribute__((hot))

/* Why something failed, for the caller to print or to drop. */
struct error {
	char text[400];
};

/*
 * Sets the text as printf does and returns -1, so that `return error_set(…)` reads well. cold:
 * the compiler takes whatever leads here out of the way of what happens with each request.
 */
int error_set(struct error *error, const char *format, ...)
    __attribute__((cold, format(printf, 2, 3)));

/*
 * A text that is appended to in a buffer of the caller's; what does not fit is
 * cut, on a UTF-8 boundary, and nothing is added after that. Always terminated; length
 * excludes the NUL.
 */
struct text {
	char *buffer;
	size_t size;
	size_t length;
};

void text_init(struct text *text, char *buffer, size_t size);
void text_add(struct text *text, const char *bytes, size_t length);
void text_puts(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Appends bytes of any origin as printable UTF-8: a control character (C0, DEL,
 * C1, line separators, those for direction and other invisible ones) and every byte
 * that isn't part of well-formed UTF-8 (RFC 3629) become '?'. escape: these characters become \xHH
 * instead of themselves, NULL for none.
 */
void text_printable(struct text *text, const char *bytes, size_t length, const char *escape);

/*
 * Length in bytes of the UTF-8 character that starts at bytes, or 0 if it is
 * not well-formed; *code is set to its code point.
 */
size_t utf8_length(const char *bytes, size_t length, uint32_t *code);

/* A decimal number of digits alone, at most max. Returns 0, or -1 if it is anything else. */
int number_parse(const char *string, size_t length, uint64_t max, uint64_t *number);

/* As number_parse, with an optional K, M or G (1024s): a size in bytes. */
int size_parse(const char *string, uint64_t max, uint64_t *bytes);

/* ASCII letters only: what is compared here are domain names and protocol words. */
void ascii_lower(char *bytes, size_t length);
bool ascii_same(const char *a, size_t a_length, const char *b);

/*
 * Finding what somebody meant to write: near_init, near_try with each name that would be
 * right, then near_best is the one that differs least, or NULL if none is close.
 */
struct near {
	const char *wrong;
	size_t length;
	const char *best;
	unsigned distance;
};

void near_init(struct near *near, const char *wrong, size_t length);
void near_try(struct near *near, const char *right);
const char *near_best(const struct near *near);

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
