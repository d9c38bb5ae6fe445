/*
 * Exceptions as an administrator writes them, as arguments of set, grant and unset or in a line
 * of load: RULE KEY LIMITS.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CTL_SPEC_H
#define CTL_SPEC_H

#include "base/error.h"
#include "ctl/common.h"
#include "engine/request.h"

struct spec {
	const struct rule *rule;
	struct request_key key;
	char limits[EXCEPTION_LIMITS_SIZE]; /* "" if it is a grant */
	uint64_t granted;
	int64_t until_s; /* 0: for good */
};

/* Sets rule and key. 0, or -1 and an error. */
int spec_parse_key(struct ctl *ctl, struct spec *spec, const uint8_t *secret, const char *rule_name,
    const char *key, struct error *error);

/* Sets limits, or granted if it is +N. 0, or -1 and an error. */
int spec_parse_limits(struct spec *spec, const char *limits, struct error *error);

/* Adds it to an exception. 0, or -1 and an error. */
int spec_add(const struct spec *spec, struct exception *exception, struct error *error);

/*
 * The effective limits of the key with that exception, until the next call. NULL, and an error, if
 * the rule can't have that, now or when the limits of the exception end.
 */
const struct effective *spec_effective(struct ctl *ctl, const struct rule *rule,
    const struct override *override, const struct exception *exception, struct error *error);

#endif
