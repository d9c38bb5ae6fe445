/*
 * UTF-8 (RFC 3629), character by character.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef UTF8_H
#define UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Length in bytes of the UTF-8 character that starts at bytes, or 0 if it is
 * not well-formed; *code is set to its code point.
 */
size_t utf8_length(const char *bytes, size_t length, uint32_t *code);

/* Control characters, and those that change the order or the look of the text around them. */
bool utf8_is_invisible(uint32_t code);

#endif
