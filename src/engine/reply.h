/*
 * A verdict in words: the answer to Postfix and the line in the log.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef REPLY_H
#define REPLY_H

#include "base/error.h"
#include "base/strbuf.h"
#include "engine/judge.h"

/*
 * The action to answer: success_action, on_error, or in text the rule's with its placeholders,
 * as long as text has room.
 */
const char *reply_action(const struct verdict *verdict, const struct config *config,
    const struct policy_request *request, struct strbuf *text);

/* One log line about it; error: why, for VERDICT_ERROR, else NULL. */
void reply_log_line(const struct verdict *verdict, const struct policy_request *request,
    const struct error *error, struct strbuf *text);

#endif
