/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text that holds a secret value, in one of the forms it may take: no longer after redaction.
 */
/* COVERS: lib/base/redact.c */
#include <assert.h>
#include <stdio.h>

#include "lib/base/encode.h"
#include "lib/base/redact.h"
#include "lib/base/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* The first byte chooses the form, the second the value's length; then value, then text before. */
static void add_form(struct strbuf *out, int form, const char *value, size_t len)
{
    if (form == 0)
        strbuf_add(out, value, len);
    else if (form == 1)
        base64_encode(BASE64_STD, out, value, len);
    else if (form == 2)
        hex_encode(out, value, len);
    else
        url_encode(out, value, false);
}

/* Each place of the form in the text, to its last byte. */
static void check_hidden(const struct redaction *r, const char *form)
{
    for (const char *at = r->text; (at = strstr(at, form)); at++)
        for (size_t i = 0; form[i]; i++)
            assert(r->hidden[(size_t)(at - r->text) + i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    autofree char *all = xstrndup(len > 2 ? (const char *)bytes + 2 : "", len > 2 ? len - 2 : 0);
    size_t value_len = len > 1 ? bytes[1] % 64U + 8 : 8;
    struct strbuf form CLEANUP(strbuf_done) = { 0 };
    autofree char *value = NULL;
    char text[ERROR_TEXT_MAX];
    size_t before;
    struct redaction r;

    if (strlen(all) < value_len)
        return 0;
    value = xstrndup(all, value_len);
    add_form(&form, bytes[0] % 4, value, value_len);
    (void)snprintf(text, sizeof(text), "%.200s %s %.100s", all + value_len, form.text, all);
    before = strlen(text);
    r = redaction_of(text);
    redaction_value(&r, value, value_len);
    redaction_shapes(&r);
    check_hidden(&r, form.text);
    redaction_apply(&r);
    assert(strlen(text) <= before);
    if (!strpbrk(form.text, "[redacted]*")) /* else what stands in its place may complete it */
        assert(!strstr(text, form.text));
    return 0;
}
