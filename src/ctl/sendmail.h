/*
 * A message to the administrator, through sendmail(1).
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef SENDMAIL_H
#define SENDMAIL_H

#include "base/error.h"
#include "base/strbuf.h"

#include <stdint.h>

#define SENDMAIL_ADDRESSES_MAX 50

/* Checks that to is an address, or several separated by commas. 0, or -1 and an error. */
int sendmail_check(const char *to, struct error *error);

/* Appends the name of this host, made printable. */
void sendmail_host(struct strbuf *text);

/*
 * Sends a text to addresses that sendmail_check accepted. subject and body are UTF-8 without
 * control characters, except for the line ends of body; a line has less than 998 bytes. now_s is
 * for Date. Returns an exit status, after a message if it is not 0.
 */
int sendmail_send(const char *to, const char *subject, const char *body, int64_t now_s);

#endif
