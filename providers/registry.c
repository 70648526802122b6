/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/provider.h"

const struct provider_row provider_rows[] = {
    { "file", provider_file_new, .network = false },
    { "vault", provider_vault_new, .network = true },
};
const size_t provider_row_count = COUNT_OF(provider_rows);
