/*
 * Templates of answers: text with {placeholders}, where "{{" stands for a brace.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef TEMPLATE_H
#define TEMPLATE_H

#include "base/error.h"
#include "base/strbuf.h"

#include <stddef.h>

#define TEMPLATE_VALUE_MAX 200 /* bytes of one expanded placeholder; longer values are cut */

/* Placeholders for what the verdict says. Every other one is the name of an attribute. */
extern const char *const template_names[];
#define TEMPLATE_NAMES 9

/*
 * Checks that each placeholder is in template_names or an attribute that Postfix sends. Returns 0,
 * or -1 with the reason.
 */
int template_check(const char *template, struct error *error);

/* Returns the value of a placeholder, and its length in bytes; it need not be terminated. */
typedef const char *template_lookup(
    const void *data, const char *name, size_t length, size_t *value_length);

/* Appends the expanded template to text. Values become printable UTF-8 (strbuf_printable). */
void template_expand(
    const char *template, template_lookup *lookup, const void *data, struct strbuf *text);

#endif
