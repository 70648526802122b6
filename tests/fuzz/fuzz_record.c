/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a volume's record, as they are and with a checksum that fits: what is read is
 * written and read as the same.
 */
/* COVERS: driver/volume/record.c */
#include <assert.h>

#include "driver/volume/record.h"
#include "lib/base/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check(const char *text, size_t len)
{
    struct record r CLEANUP(record_done) = { 0 };
    struct record again CLEANUP(record_done) = { 0 };
    struct strbuf once CLEANUP(strbuf_done) = { 0 };
    struct strbuf twice CLEANUP(strbuf_done) = { 0 };

    if (record_read(text, len, &r, NULL) < 0)
        return;
    assert(r.volume_id && r.target);
    if (record_write(&r, &once, NULL) < 0)
        return; /* an attribute that no record may hold */
    assert(record_read(once.text, once.len, &again, NULL) == 0);
    assert(record_write(&again, &twice, NULL) == 0);
    assert(strcmp(once.text, twice.text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct strbuf sealed CLEANUP(strbuf_done) = { 0 };
    autofree char *exact = xmemdup(bytes, len);
    autofree char *fitting = NULL;

    check(exact, len);
    strbuf_add(&sealed, bytes, len);
    strbuf_printf(&sealed, "crc32 %08x\n", crc32_update(0, bytes, len));
    fitting = xmemdup(sealed.text, sealed.len); /* with nothing behind its end */
    check(fitting, sealed.len);
    return 0;
}
