/*
 * Answers with {placeholders}: checks them when the configuration is read, fills
 * them in when a request is refused.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef TEMPLATE_H
#define TEMPLATE_H


#include "base/error.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>

/* Longest value that one placeholder expands to, in bytes; longer ones are cut. */
#define TEMPLATE_VALUE_MAX 200

/* Names that stand for the refusing rule's numbers; the others are request attributes. */
extern const char *const template_names[];
#define TEMPLATE_NAMES 9

/* Whether each placeholder is one of the above or known() says so. 0, or -1 and why. */
int template_check(
    const char *template, bool (*known)(const char *name, size_t length), struct error *error);

/*
 * Appends the template to text; lookup returns a placeholder's value and its
 * length, which is made printable UTF-8 (util.h, strbuf_printable) and cut.
 */
typedef const char *template_lookup(
    const void *data, const char *name, size_t length, size_t *value_length);
void template_expand(
    const char *template, template_lookup *lookup, const void *data, struct strbuf *text);

#endif
