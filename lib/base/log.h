/* SPDX-License-Identifier: Apache-2.0
 *
 * log.h - one line per event on stderr, as klog-like text or JSON, with keys from one list.
 * Does not know what is worth saying; only edges log (an RPC that ends, a rotation, main).
 */
#ifndef LOCKET_BASE_LOG_H
#define LOCKET_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/cleanup.h"
#include "lib/base/error.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* The vocabulary of log fields. */
#define KEY_VOLUME "volume"
#define KEY_POD "pod"
#define KEY_CLASS "class"
#define KEY_PROVIDER "provider"
#define KEY_TARGET "target"
#define KEY_METHOD "method"
#define KEY_CODE "code"
#define KEY_ERROR "error"
#define KEY_REASON "reason"
#define KEY_TOOK_MS "took_ms"
#define KEY_COUNT "count"
#define KEY_PATH "path"
#define KEY_FLAG "flag"
#define KEY_SOCKET "socket"
#define KEY_PEER "peer"
#define KEY_STORE "store"
#define KEY_STATE "state"
#define KEY_PID "pid"
#define KEY_CALL "call"
#define KEY_SECRET "secret" /* NAMESPACE/NAME of one of the cluster's */

struct log_field {
    const char *key;  /* one of KEY_* */
    const char *text; /* NULL: the number counts */
    int64_t number;
};

static inline const char *log_text_or_empty(const char *text)
{
    return text ? text : "";
}

#define WITH_TEXT(key_, text_)                                                                     \
    (struct log_field)                                                                             \
    {                                                                                              \
        .key = (key_), .text = log_text_or_empty(text_)                                            \
    }
#define WITH_NUMBER(key_, number_)                                                                 \
    (struct log_field)                                                                             \
    {                                                                                              \
        .key = (key_), .number = (number_)                                                         \
    }

/* log_event(LOG_INFO, "volume published", WITH_TEXT(KEY_VOLUME, id), WITH_NUMBER(KEY_TOOK_MS, 3));
 */
#define log_event(level_, message_, ...)                                                           \
    log_write(level_, message_, (const struct log_field[]){ __VA_ARGS__ },                         \
              sizeof((const struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field))

/* Writes one line with one write(2), from any thread. Control characters are escaped. */
void log_write(enum log_level level, const char *message, const struct log_field *fields,
               size_t count);

/* The same with code, reason and text of an error as last fields. */
void log_failure(enum log_level level, const char *message, const char *key, const char *value,
                 const struct error *err);

/* Sets, before threads start: the most detailed level shown, and JSON instead of text. */
void log_setup(enum log_level most, bool json);

/* Is this level shown? For messages that cost something to make. */
bool log_shows(enum log_level level);

#endif
