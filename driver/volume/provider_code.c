/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/provider_code.h"

#include <ctype.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/cleanup.h"

/* What these say was found out by us, and is acted upon: no provider says it in our place. */
static const char *const ours[] = {
    "AttributeOverride",
    "AuditUnavailable",
    "Busy",
    "FailedToEnsureMountPoint",
    "FailedToMount",
    "FailedToRotate",
    "FileWriteError",
    "GRPCProviderError",
    "InvalidAnswer",
    "InvalidProvider",
    "ProviderBusy",
    "ProviderNotFound",
    "ProviderPeer",
    "SecretProviderClassNotFound",
    "TmpfsBudget",
    "TokenMismatch",
    "WaitingForCredentials",
};

static struct {
    pthread_mutex_t lock;
    char codes[PROVIDER_CODES_MAX][PROVIDER_CODE_MAX]; /* only ever added to */
    size_t count;
} known = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool is_word(const char *code)
{
    size_t len = 0;

    for (; len < PROVIDER_CODE_MAX && code[len]; len++)
        if (!isascii((unsigned char)code[len]) ||
            (!isalnum((unsigned char)code[len]) && !strchr("_.-", code[len])))
            return false;
    return len > 0 && len < PROVIDER_CODE_MAX;
}

static bool is_ours(const char *code)
{
    for (size_t i = 0; i < COUNT_OF(ours); i++)
        if (strcmp(ours[i], code) == 0)
            return true;
    return false;
}

/* Caller holds the lock. NULL: there is no room for another. */
static const char *find_or_add(const char *code)
{
    for (size_t i = 0; i < known.count; i++)
        if (strcmp(known.codes[i], code) == 0)
            return known.codes[i];
    if (known.count == PROVIDER_CODES_MAX)
        return NULL;
    memcpy(known.codes[known.count], code, strlen(code)); /* is_word has measured it */
    return known.codes[known.count++];
}

const char *provider_code_reason(const char *code)
{
    const char *found;

    if (!is_word(code) || is_ours(code))
        return PROVIDER_ERROR;
    pthread_mutex_lock(&known.lock);
    found = find_or_add(code);
    pthread_mutex_unlock(&known.lock);
    return found ? found : PROVIDER_ERROR;
}
