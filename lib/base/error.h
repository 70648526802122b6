/* SPDX-License-Identifier: Apache-2.0
 *
 * error.h - an error as a value: gRPC's code, a metric reason, one line of text.
 * Does not log and does not know who will read it.
 */
#ifndef LOCKET_BASE_ERROR_H
#define LOCKET_BASE_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/cleanup.h"

/* gRPC's numbers, so that the RPC edge copies them.
 * Source: grpc doc/statuscodes.md. */
enum code {
    CODE_OK = 0,
    CODE_CANCELLED = 1,
    CODE_UNKNOWN = 2,
    CODE_INVALID_ARGUMENT = 3,
    CODE_DEADLINE_EXCEEDED = 4,
    CODE_NOT_FOUND = 5,
    CODE_ALREADY_EXISTS = 6,
    CODE_PERMISSION_DENIED = 7,
    CODE_RESOURCE_EXHAUSTED = 8,
    CODE_FAILED_PRECONDITION = 9,
    CODE_ABORTED = 10,
    CODE_OUT_OF_RANGE = 11,
    CODE_UNIMPLEMENTED = 12,
    CODE_INTERNAL = 13,
    CODE_UNAVAILABLE = 14,
    CODE_DATA_LOSS = 15,
    CODE_UNAUTHENTICATED = 16,
};

enum { ERROR_TEXT_MAX = 512 }; /* bytes incl. the final NUL; a pod Event shows about 1 KiB */

struct error {
    enum code code;
    const char *reason;       /* static text, the metric label, such as "ProviderError"; or NULL */
    int64_t retry_after_ms;   /* 0: the peer did not say */
    char msg[ERROR_TEXT_MAX]; /* one line, outermost context first; never contains a secret */
};

/* Fills *err and returns -1, so that failing is one statement. Line breaks and other control
 * characters of the text become spaces, bytes that are no UTF-8 question marks. err may be NULL
 * where nobody wants to know. */
int error_set(struct error *err, enum code code, const char *fmt, ...) printf_like(3, 4);

/* The same with the system's text for errnum appended and the code chosen by it:
 * ENOSPC, EMFILE, ENFILE, ENOMEM, EDQUOT -> RESOURCE_EXHAUSTED; EINTR, EAGAIN, EBUSY ->
 * UNAVAILABLE; ENOENT -> NOT_FOUND; EACCES, EPERM -> PERMISSION_DENIED; others -> INTERNAL. */
int error_sys(struct error *err, int errnum, const char *fmt, ...) printf_like(3, 4);

/* Prefixes "text: " to an error that is already set. Returns -1. */
int error_within(struct error *err, const char *fmt, ...) printf_like(2, 3);

/* Sets the metric reason (static text) of an error that has none yet. Returns -1. */
int error_reason(struct error *err, const char *reason);

/* Copies src to dst (either may be NULL). Returns -1. */
int error_copy(struct error *dst, const struct error *src);

/* gRPC's name of a code, such as "UNAVAILABLE". Never NULL. */
const char *code_name(enum code code);

/* A peer's number as a code: 1 to 16 as they are, all else INTERNAL (0 stays OK). */
enum code code_from_peer(int number);

/* Does kubelet read this code as "maybe": keep the volume and try again?
 * Source: kubernetes pkg/volume/csi/csi_client.go isFinalError. */
bool code_is_maybe(enum code code);

#endif
