/* SPDX-License-Identifier: Apache-2.0
 *
 * provider_code.h - the code that a provider's answer gives its failure, as the metric reason of an
 * error. It comes from outside: its letters are known, and so is how many there can be.
 */
#ifndef LOCKET_VOLUME_PROVIDER_CODE_H
#define LOCKET_VOLUME_PROVIDER_CODE_H

enum {
    PROVIDER_CODE_MAX = 64,  /* bytes incl. the final NUL */
    PROVIDER_CODES_MAX = 64, /* different ones in the life of the process, of all providers */
};

/* The code itself, as text that lives as long as the process, where it is of letters, digits and
 * "_.-", no reason of ours, and not one too many; else PROVIDER_ERROR. Any thread.
 * Source: secrets-store-csi-driver pkg/secrets-store/provider_client.go: the code is error_type. */
const char *provider_code_reason(const char *code);

#define PROVIDER_ERROR "ProviderError"

#endif
