/* SPDX-License-Identifier: Apache-2.0
 *
 * redact.h - takes secret values out of a text that came from outside, before anybody sees it.
 * Does not know where the values come from.
 */
#ifndef LOCKET_BASE_REDACT_H
#define LOCKET_BASE_REDACT_H

#include <stdbool.h>

#include "lib/base/error.h"

/* A text and which of its bytes are to be blanked. */
struct redaction {
    char *text;
    size_t len;
    bool hidden[ERROR_TEXT_MAX];
};

enum {
    REDACT_WHOLE_MIN = 4, /* a whole value this short or longer is hidden */
    REDACT_RUN_MIN = 8,   /* a piece of a value this long is hidden: peers cut texts anywhere */
    REDACT_VALUE_MAX = 64 << 10,
};

/* Starts; text has at most ERROR_TEXT_MAX bytes and is changed by redaction_apply. */
struct redaction redaction_of(char *text);

/* Marks every trace of a value: as it is, and JSON-escaped, base64, hex and URL-encoded. */
void redaction_value(struct redaction *r, const char *value, size_t len);

/* Does the text hold a value too short to be marked (less than REDACT_WHOLE_MIN), in any form?
 * Blanked, such a value would be told by the gap: a text that holds one is not to be shown. */
bool redaction_betrays(const struct redaction *r, const char *value, size_t len);

/* Marks what looks like a JWT or a PEM block. */
void redaction_shapes(struct redaction *r);

/* Writes "[redacted]" (or stars where that would not fit) over each marked stretch. */
void redaction_apply(struct redaction *r);

#endif
