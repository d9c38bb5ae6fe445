/*
 * Error texts, strict numbers, printable text, a keyed hash: see util.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "util.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

int error_set(struct error *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return -1;
}

HOT void text_init(struct text *text, char *buffer, size_t size)
{
	text->buffer = buffer;
	text->size = size;
	text->length = 0;
	buffer[0] = '\0';
}

/* After a cut nothing more goes in: the text would go on in the middle. */
static void close_text(struct text *text)
{
	text->size = text->length + 1;
}

HOT void text_add(struct text *text, const char *bytes, size_t length)
{
	size_t room = text->size - 1 - text->length;
	bool cut = length > room;

	if (cut) {
		length = room;
		/* The byte that doesn't fit any more must be the first of a character. */
		while (length > 0 && ((unsigned char)bytes[length] & 0xc0) == 0x80) {
			length--;
		}
	}
	memcpy(text->buffer + text->length, bytes, length);
	text->length += length;
	text->buffer[text->length] = '\0';
	if (cut) {
		close_text(text);
	}
}

HOT void text_puts(struct text *text, const char *string)
{
	text_add(text, string, strlen(string));
}

void text_printf(struct text *text, const char *format, ...)
{
	size_t room = text->size - text->length;
	char *start = text->buffer + text->length;
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(start, room, format, args);
	va_end(args);
	if (length < 0) {
		*start = '\0';
	} else if ((size_t)length < room) {
		text->length += (size_t)length;
	} else {
		/* Cut by vsnprintf, maybe within a character, which then goes as a whole. */
		size_t kept = room - 1;
		size_t first = kept;
		uint32_t code;

		while (first > 0 && ((unsigned char)start[first - 1] & 0xc0) == 0x80) {
			first--;
		}
		first -= first > 0;
		if (kept > 0 && utf8_length(start + first, kept - first, &code) == 0) {
			kept = first;
		}
		text->length += kept;
		start[kept] = '\0';
		close_text(text);
	}
}

size_t utf8_length(const char *bytes, size_t length, uint32_t *code)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *b = (const unsigned char *)bytes;
	size_t size;

	if (length == 0) {
		return 0;
	}
	if (b[0] < 0x80) {
		*code = b[0];
		return 1;
	}
	size = b[0] >= 0xf0 && b[0] < 0xf8 ? 4 : b[0] >= 0xe0 ? 3 : 2;
	if (b[0] < 0xc2 || b[0] >= 0xf8 || size > length) {
		return 0;
	}
	*code = b[0] & (0x7f >> size);
	for (size_t i = 1; i < size; i++) {
		if ((b[i] & 0xc0) != 0x80) {
			return 0;
		}
		*code = *code << 6 | (b[i] & 0x3f);
	}
	if (*code < smallest[size] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff)) {
		return 0;
	}
	return size;
}

/* Control characters, and those that change the order or the look of what stands around them. */
static bool is_invisible(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xad ||
	    (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
	    (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

void text_printable(struct text *text, const char *bytes, size_t length, const char *escape)
{
	for (size_t i = 0; i < length;) {
		uint32_t code = 0;
		size_t size = utf8_length(bytes + i, length - i, &code);

		if (size == 0 || is_invisible(code)) {
			text_add(text, "?", 1);
			i += size ? size : 1;
			continue;
		}
		if (size == 1 && escape && strchr(escape, bytes[i])) {
			text_printf(text, "\\x%02x", (unsigned char)bytes[i]);
		} else {
			text_add(text, bytes + i, size);
		}
		i += size;
	}
}

int number_parse(const char *string, size_t length, uint64_t max, uint64_t *number)
{
	uint64_t value = 0;

	if (length == 0) {
		return -1;
	}
	for (size_t i = 0; i < length; i++) {
		unsigned digit = (unsigned)(string[i] - '0');

		if (digit > 9 || value > (UINT64_MAX - digit) / 10) {
			return -1;
		}
		value = value * 10 + digit;
	}
	if (value > max) {
		return -1;
	}
	*number = value;
	return 0;
}

int size_parse(const char *string, uint64_t max, uint64_t *bytes)
{
	static const char units[] = "KMG";
	size_t length = strlen(string);
	const char *unit = length > 1 ? strchr(units, string[length - 1]) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	uint64_t value;

	if (number_parse(string, length - (unit != NULL), max >> shift, &value)) {
		return -1;
	}
	*bytes = value << shift;
	return 0;
}

HOT void ascii_lower(char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		/* No branch: the compiler can do many at once. */
		bytes[i] = (char)(byte | ((unsigned char)(byte - 'A') < 26 ? 'a' - 'A' : 0));
	}
}

bool ascii_same(const char *a, size_t a_length, const char *b)
{
	return strlen(b) == a_length && strncasecmp(a, b, a_length) == 0;
}

#define NEAR_MAX 48

void near_init(struct near *near, const char *wrong, size_t length)
{
	*near = (struct near){.wrong = wrong, .length = length, .distance = 4};
}

/* Levenshtein's distance: insertions, deletions and replacements of a character. */
void near_try(struct near *near, const char *right)
{
	unsigned row[NEAR_MAX + 1];
	size_t length = strlen(right);

	if (near->length > NEAR_MAX || length > NEAR_MAX) {
		return;
	}
	for (unsigned j = 0; j <= length; j++) {
		row[j] = j;
	}
	for (unsigned i = 1; i <= near->length; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= length; j++) {
			unsigned replaced = diagonal + (near->wrong[i - 1] != right[j - 1]);
			unsigned least = row[j] < row[j - 1] ? row[j] : row[j - 1];

			diagonal = row[j];
			row[j] = replaced < least + 1 ? replaced : least + 1;
		}
	}
	/* Of a short word half must be right, three slips need a long one. */
	if (row[length] < near->distance && row[length] * 2 <= length &&
	    (row[length] < 3 || length >= 10)) {
		near->distance = row[length];
		near->best = right;
	}
}

const char *near_best(const struct near *near)
{
	return near->best;
}

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

static uint64_t little_endian(const uint8_t *bytes, size_t length)
{
	uint64_t word = 0;

	for (size_t i = length; i > 0; i--) {
		word = word << 8 | bytes[i - 1];
	}
	return word;
}

/* The same of eight bytes, at once. */
static uint64_t little_endian_word(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return le64toh(word);
}

HOT uint64_t hash_keyed(const uint8_t key[HASH_KEY_BYTES], const void *bytes, size_t length)
{
	const uint8_t *b = bytes;
	uint64_t k0 = little_endian_word(key);
	uint64_t k1 = little_endian_word(key + 8);
	uint64_t v[4] = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
	    k1 ^ 0x7465646279746573};
	size_t left = length;
	uint64_t word;

	for (; left >= 8; left -= 8, b += 8) {
		word = little_endian_word(b);
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

HOT uint64_t hash_quick(uint64_t seed, const void *bytes, size_t length)
{
	const uint8_t *b = bytes;
	uint64_t hash = seed ^ length;

	if (length >= 32) {
		uint64_t lane[4] = {hash, hash + 1, hash + 2, hash + 3};

		for (; length >= 32; length -= 32, b += 32) {
			lane[0] = mix(lane[0], little_endian_word(b));
			lane[1] = mix(lane[1], little_endian_word(b + 8));
			lane[2] = mix(lane[2], little_endian_word(b + 16));
			lane[3] = mix(lane[3], little_endian_word(b + 24));
		}
		hash = mix(mix(mix(lane[0], lane[1]), lane[2]), lane[3]);
	}
	for (; length >= 8; length -= 8, b += 8) {
		hash = mix(hash, little_endian_word(b));
	}
	hash = mix(hash, little_endian(b, length));
	return mix(hash, 0);
}
