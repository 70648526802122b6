/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/model/fetch_how.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/number.h"

/* By which names it travels. */
static const struct {
    const char *key;
    size_t offset;
} texts[] = {
    { "locket-store", offsetof(struct fetch_how, store) },
    { "locket-auth-method", offsetof(struct fetch_how, auth_method) },
    { "locket-role", offsetof(struct fetch_how, role) },
    { "locket-request", offsetof(struct fetch_how, request) },
}, numbers[] = {
    { "locket-store-calls", offsetof(struct fetch_how, calls) },
    { "locket-logins", offsetof(struct fetch_how, logins) },
    { "locket-logins-failed", offsetof(struct fetch_how, logins_failed) },
    { "locket-leases", offsetof(struct fetch_how, leases) },
    { "locket-leases-kept", offsetof(struct fetch_how, leases_kept) },
    { "locket-leases-failed", offsetof(struct fetch_how, leases_failed) },
    { "locket-expires-at-unix-ms", offsetof(struct fetch_how, expires_at_unix_ms) },
    { "locket-own-versions", offsetof(struct fetch_how, own_versions) },
};

static bool is_printable(char c)
{
    return c >= ' ' && c <= '~';
}

void fetch_how_text(char slot[FETCH_HOW_TEXT_MAX], const char *text)
{
    size_t len = 0;

    for (; text && text[len] && len + 1 < FETCH_HOW_TEXT_MAX; len++)
        slot[len] = (char)(is_printable(text[len]) ? text[len] : '?');
    slot[len] = '\0';
}

static bool is_id(const char *id)
{
    for (const char *c = id; *c; c++)
        if (!isascii((unsigned char)*c) || (!isalnum((unsigned char)*c) && !strchr("_.-", *c)))
            return false;
    return *id != '\0';
}

static bool has_id(const char *list, const char *id)
{
    size_t len = strlen(id);

    for (const char *at = list; (at = strstr(at, id)); at++)
        if ((at == list || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
            return true;
    return false;
}

void fetch_how_add(char slot[FETCH_HOW_TEXT_MAX], const char *id)
{
    size_t len = strlen(slot);

    if (!is_id(id) || has_id(slot, id) || len + 1 + strlen(id) >= FETCH_HOW_TEXT_MAX)
        return;
    (void)snprintf(slot + len, FETCH_HOW_TEXT_MAX - len, "%s%s", len ? "," : "", id);
}

void fetch_how_expires(struct fetch_how *how, int64_t at_unix_ms)
{
    if (!how->expires_at_unix_ms || at_unix_ms < how->expires_at_unix_ms)
        how->expires_at_unix_ms = at_unix_ms;
}

void fetch_how_each(const struct fetch_how *how,
                    void (*say)(void *arg, const char *key, const char *value), void *arg)
{
    if (!*how->store)
        return;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const char *text = (const char *)how + texts[i].offset;

        if (*text)
            say(arg, texts[i].key, text);
    }
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        char text[24];
        int64_t number;

        memcpy(&number, (const char *)how + numbers[i].offset, sizeof(number));
        (void)snprintf(text, sizeof(text), "%" PRId64, number);
        if (number)
            say(arg, numbers[i].key, text);
    }
}

static void take_text(char *slot, const char *value)
{
    size_t len = strnlen(value, FETCH_HOW_TEXT_MAX);

    if (len == FETCH_HOW_TEXT_MAX)
        return;
    for (size_t i = 0; i < len; i++)
        if (!is_printable(value[i]))
            return;
    memcpy(slot, value, len + 1);
}

void fetch_how_take(struct fetch_how *how, const char *key, const char *value)
{
    int64_t number;

    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (strcmp(texts[i].key, key) == 0)
            take_text((char *)how + texts[i].offset, value);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        if (strcmp(numbers[i].key, key) == 0 &&
            number_parse(value, 0, INT64_MAX, &number, NULL) == 0)
            memcpy((char *)how + numbers[i].offset, &number, sizeof(number));
}
