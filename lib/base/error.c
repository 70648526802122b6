/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/error.h"

#include <errno.h>
#include <stdio.h>

#include "lib/base/encode.h"

static const char *const names[] = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

/* Errors are one line of UTF-8 wherever they are shown (gRPC and JSON refuse other bytes): control
 * characters become spaces; what a peer sent broken, or the ceiling cut in two, question marks. */
static void make_one_line(char *text)
{
    size_t left = strlen(text);

    while (left) {
        size_t used = utf8_next(text, left);

        if (!used)
            *text = '?';
        else if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
        text += used ? used : 1;
        left -= used ? used : 1;
    }
}

int error_set(struct error *err, enum code code, const char *fmt, ...)
{
    va_list args;

    if (!err)
        return -1;
    *err = (struct error){ .code = code };
    va_start(args, fmt);
    (void)vsnprintf(err->msg, sizeof(err->msg), fmt, args);
    va_end(args);
    make_one_line(err->msg);
    return -1;
}

static enum code code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EDQUOT:
        return CODE_RESOURCE_EXHAUSTED;
    case EINTR:
    case EAGAIN:
    case EBUSY:
        return CODE_UNAVAILABLE;
    case ENOENT:
        return CODE_NOT_FOUND;
    case EACCES:
    case EPERM:
        return CODE_PERMISSION_DENIED;
    default:
        return CODE_INTERNAL;
    }
}

int error_sys(struct error *err, int errnum, const char *fmt, ...)
{
    const char *text = strerrordesc_np(errnum);
    va_list args;
    int len;

    if (!err)
        return -1;
    *err = (struct error){ .code = code_of_errno(errnum) };
    va_start(args, fmt);
    len = vsnprintf(err->msg, sizeof(err->msg), fmt, args);
    va_end(args);
    if (len >= 0 && (size_t)len < sizeof(err->msg))
        (void)snprintf(err->msg + len, sizeof(err->msg) - (size_t)len, ": %s",
                       text ? text : "unknown error");
    make_one_line(err->msg);
    return -1;
}

int error_within(struct error *err, const char *fmt, ...)
{
    char inner[ERROR_TEXT_MAX];
    va_list args;
    int len;

    if (!err)
        return -1;
    memcpy(inner, err->msg, sizeof(inner));
    va_start(args, fmt);
    len = vsnprintf(err->msg, sizeof(err->msg), fmt, args);
    va_end(args);
    if (len >= 0 && (size_t)len < sizeof(err->msg))
        (void)snprintf(err->msg + len, sizeof(err->msg) - (size_t)len, ": %.*s",
                       (int)sizeof(err->msg) - len, inner);
    make_one_line(err->msg);
    return -1;
}

int error_reason(struct error *err, const char *reason)
{
    if (err && !err->reason)
        err->reason = reason;
    return -1;
}

int error_copy(struct error *dst, const struct error *src)
{
    if (dst && src)
        *dst = *src;
    return -1;
}

const char *code_name(enum code code)
{
    return (unsigned)code < COUNT_OF(names) ? names[code] : "UNKNOWN";
}

enum code code_from_peer(int number)
{
    return number >= 0 && number < (int)COUNT_OF(names) ? (enum code)number : CODE_INTERNAL;
}

bool code_is_maybe(enum code code)
{
    return code == CODE_CANCELLED || code == CODE_DEADLINE_EXCEEDED || code == CODE_UNAVAILABLE ||
           code == CODE_RESOURCE_EXHAUSTED || code == CODE_ABORTED;
}
