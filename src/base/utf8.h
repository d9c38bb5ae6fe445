/*
 * UTF-8 (RFC 3629), one character at a time.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef UTF8_H
#define UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The size in bytes of the character at the start of bytes, with its code point in *code; 0 if
 * it is not well-formed within length bytes.
 */
size_t utf8_length(const char *bytes, size_t length, uint32_t *code);

/*
 * Whether it is a control character, a line or paragraph separator, an annotation mark or, by
 * Unicode's property Default_Ignorable_Code_Point (DerivedCoreProperties.txt), not displayed: those
 * that reorder the text around them, tags, fillers and variation selectors.
 */
bool utf8_is_invisible(uint32_t code);

#endif
