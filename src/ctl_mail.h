/*
 * A message to the administrator, through sendmail(1).
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_MAIL_H
#define CTL_MAIL_H

#include "util.h"

#include <stdint.h>

#define CTL_MAIL_ADDRESSES_MAX 50

/* Whether to is an address, or several with commas: 0, or -1 and what is allowed. */
int ctl_mail_check(const char *to, struct error *error);

/* The name of this host, printable. */
void ctl_mail_host(struct text *text);

/*
 * Sends a plain text, to whom ctl_mail_check let pass. subject and body are UTF-8 without
 * control characters but for the line ends of body; a line has less than 998 bytes. now_s
 * goes into Date. An exit status; what was wrong has been said.
 */
int ctl_mail_send(const char *to, const char *subject, const char *body, int64_t now_s);

#endif
