/*
 * Trouble that was logged lately: see trouble.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "helper/trouble.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

#define LOG_AGAIN_MS (3600 * 1000)

bool trouble_is_news(struct troubles *troubles, const char *text)
{
	int64_t now_ms = clock_monotonic_ms();
	struct trouble *oldest = &troubles->trouble[0];

	for (size_t i = 0; i < TROUBLES_MAX; i++) {
		struct trouble *trouble = &troubles->trouble[i];

		/* A long text was cut when it was remembered. */
		if (strncmp(trouble->text, text, sizeof(trouble->text) - 1) == 0 &&
		    now_ms - trouble->logged_ms < LOG_AGAIN_MS) {
			return false;
		}
		if (trouble->logged_ms < oldest->logged_ms) {
			oldest = trouble;
		}
	}
	snprintf(oldest->text, sizeof(oldest->text), "%s", text);
	oldest->logged_ms = now_ms;
	return true;
}
