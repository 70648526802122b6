/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as JSON: what is read is written, read and written again, and stays the same.
 */
/* COVERS: lib/base/json.c lib/base/json_write.c lib/base/tree.c */
#include <assert.h>

#include "lib/base/encode.h"
#include "lib/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct strbuf once CLEANUP(strbuf_done) = { 0 };
    struct strbuf twice CLEANUP(strbuf_done) = { 0 };
    struct tree *t autotree = NULL;
    struct tree *again autotree = NULL;
    struct error err = { 0 };

    if (json_parse((const char *)bytes, len, &t, &err) < 0) {
        assert(!t && err.code && err.msg[0]);
        return 0;
    }
    assert(utf8_is_valid(bytes, len));
    json_write(&once, t);
    assert(json_parse(strbuf_text(&once), once.len, &again, NULL) == 0);
    json_write(&twice, again);
    assert(strcmp(strbuf_text(&once), strbuf_text(&twice)) == 0);
    return 0;
}
