/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>

#include "lib/base/encode.h"
#include "lib/base/strbuf.h"

enum {
    LINE_MAX_BYTES = 8 << 10, /* one event is one write */
    TEXT_MAX_BYTES = 1 << 10, /* of one text, escapes included: an error has at most 512 */
};

/* Set once by main before threads start, read by all. */
static enum log_level shown = LOG_INFO;
static bool as_json;

void log_setup(enum log_level most, bool json)
{
    shown = most;
    as_json = json;
}

bool log_shows(enum log_level level)
{
    return level <= shown;
}

/* In quotes, as JSON has it: whatever a peer put into it, the line stays one line of UTF-8. */
static void add_quoted(struct strbuf *line, const char *text)
{
    size_t left = strlen(text);
    size_t most = line->len + TEXT_MAX_BYTES;

    strbuf_add_char(line, '"');
    while (left && line->len < most) {
        unsigned char c = (unsigned char)*text;
        size_t used = utf8_next(text, left);

        if (!used)
            strbuf_add_text(line, "\\ufffd");
        else if (c == '"' || c == '\\')
            strbuf_printf(line, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            strbuf_printf(line, "\\u%04x", c);
        else
            strbuf_add(line, text, used);
        text += used ? used : 1;
        left -= used ? used : 1;
    }
    strbuf_add_text(line, left ? "...\"" : "\"");
}

static void add_field(struct strbuf *line, const struct log_field *field)
{
    if (as_json)
        strbuf_printf(line, ",\"%s\":", field->key);
    else
        strbuf_printf(line, " %s=", field->key);
    if (field->text)
        add_quoted(line, field->text);
    else
        strbuf_printf(line, "%" PRId64, field->number);
}

static void add_head(struct strbuf *line, enum log_level level, const char *message)
{
    static const char letters[] = "EWID";
    static const char *const words[] = { "error", "warning", "info", "debug" };
    struct timespec now;
    struct tm utc;
    char stamp[32];

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    if (as_json) {
        (void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
        strbuf_printf(line, "{\"ts\":\"%s.%06ldZ\",\"level\":\"%s\",\"msg\":", stamp,
                      now.tv_nsec / 1000, words[level]);
    } else {
        (void)strftime(stamp, sizeof(stamp), "%m%d %H:%M:%S", &utc);
        strbuf_printf(line, "%c%s.%06ld %7ld] ", letters[level], stamp, now.tv_nsec / 1000,
                      syscall(SYS_gettid));
    }
    add_quoted(line, message);
}

void log_write(enum log_level level, const char *message, const struct log_field *fields,
               size_t count)
{
    struct strbuf line CLEANUP(strbuf_done) = { .ceiling = LINE_MAX_BYTES };

    if (!log_shows(level))
        return;
    add_head(&line, level, message);
    /* The last fields go when a line would get too long; its end is always written. */
    for (size_t i = 0; i < count && line.len + (size_t)TEXT_MAX_BYTES * 2 < LINE_MAX_BYTES; i++)
        add_field(&line, &fields[i]);
    strbuf_add_text(&line, as_json ? "}\n" : "\n");
    (void)!write(STDERR_FILENO, strbuf_text(&line), line.len);
}

void log_failure(enum log_level level, const char *message, const char *key, const char *value,
                 const struct error *err)
{
    log_event(level, message, WITH_TEXT(key, value), WITH_TEXT(KEY_CODE, code_name(err->code)),
              WITH_TEXT(KEY_REASON, err->reason), WITH_TEXT(KEY_ERROR, err->msg));
}
