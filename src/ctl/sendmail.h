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

/* Whether to is an address, or several with commas: 0, or -1 and what is allowed. */
int sendmail_check(const char *to, struct error *error);

/* The name of this host, printable. */
void sendmail_host(struct strbuf *text);

/*
 * Sends a plain text, to whom sendmail_check let pass. subject and body are UTF-8 without
 * control characters but for the line ends of body; a line has less than 998 bytes. now_s
 * goes into Date. An exit status; what was wrong has been said.
 */
int sendmail_send(const char *to, const char *subject, const char *body, int64_t now_s);

#endif
