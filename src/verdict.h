/*
 * A verdict in words: the answer to Postfix and the line in the log.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef VERDICT_H
#define VERDICT_H

#include "engine.h"

/*
 * The action to answer: success_action, on_error, or in text the rule's with its placeholders,
 * as long as text has room.
 */
const char *verdict_action(const struct engine_verdict *verdict, const struct config *config,
    const struct policy_request *request, struct text *text);

/* One log line about it; error: why, for ENGINE_ERROR, else NULL. */
void verdict_line(const struct engine_verdict *verdict, const struct policy_request *request,
    const struct error *error, struct text *text);

#endif
