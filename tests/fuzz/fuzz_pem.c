/* SPDX-License-Identifier: Apache-2.0
 *
 * Any file as PEM or PKCS#12: what is read from it is written, read again, and written as the same.
 */
/* COVERS: lib/base/crypto_pem.c lib/base/crypto_pfx.c */
#include <assert.h>

#include "lib/base/crypto_pem.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

typedef int write_fn(const struct pem_bundle *b, struct secret *ret, struct error *err);

static void check_written(const struct pem_bundle *b, write_fn *write)
{
    autobundle struct pem_bundle *again = NULL;
    autosecret struct secret first = { 0 };
    autosecret struct secret second = { 0 };
    struct error err = { 0 };

    if (write(b, &first, &err) < 0) {
        assert(err.msg[0] && !first.len);
        return;
    }
    assert(first.len && first.bytes[first.len - 1] == '\n');
    if (first.len > PEM_BYTES_MAX)
        return;
    assert(pem_bundle_read(&first, &again, NULL) == 0);
    assert(write(again, &second, NULL) == 0);
    assert(secret_same(&first, &second));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    autosecret struct secret file = secret_copy(bytes, len);
    autobundle struct pem_bundle *b = NULL;
    struct error err = { 0 };

    if (pem_bundle_read(&file, &b, &err) < 0) {
        assert(err.msg[0] && !b);
        return 0;
    }
    check_written(b, pem_bundle_certificates);
    check_written(b, pem_bundle_key);
    if (pem_bundle_lead(b, b, NULL) == 0)
        check_written(b, pem_bundle_certificates);
    return 0;
}
