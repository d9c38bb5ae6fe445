/*
 * UTF-8: see utf8.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "base/utf8.h"

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

bool utf8_is_invisible(uint32_t code)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {{0, 0x1f}, {0x7f, 0x9f}, {0xad, 0xad}, {0x34f, 0x34f}, {0x61c, 0x61c},
	    {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200f},
	    {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0f},
	    {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0x1bca0, 0x1bca3},
	    {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}};
	size_t i = 0;

	while (code > ranges[i].last) {
		if (++i == sizeof(ranges) / sizeof(*ranges)) {
			return false;
		}
	}
	return code >= ranges[i].first;
}
