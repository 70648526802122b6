/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as the service account tokens of a publish: taken or refused without a piece of it in
 * the error, and what is taken can be handed on.
 */
/* COVERS: driver/volume/credentials.c */
#include <assert.h>

#include "driver/volume/credentials.h"
#include "lib/base/encode.h"
#include "lib/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* The text between two bars becomes the claims of a token, so that the fuzzer need not find base64.
 */
static char *with_claims(const char *text)
{
    struct strbuf out CLEANUP(strbuf_done) = { 0 };
    const char *from = strchr(text, '|');
    const char *to = from ? strchr(from + 1, '|') : NULL;

    if (!to)
        return xstrdup(text);
    strbuf_add(&out, text, (size_t)(from - text));
    strbuf_add_text(&out, "e30.");
    base64_encode(BASE64_URL_RAW, &out, from + 1, (size_t)(to - from - 1));
    strbuf_add_text(&out, ".c2ln");
    strbuf_add_text(&out, to + 1);
    return strbuf_take(&out);
}

/* A copy answers as its original; a text is blanked without growing. */
static void check_use(const struct credentials *c)
{
    struct credentials copy CLEANUP(credentials_done) = { 0 };
    struct strbuf secrets CLEANUP(strbuf_done) = { .sensitive = true };
    char text[ERROR_TEXT_MAX] =
        "a token: {\"a\":{\"token\":\"opaque\"}} and a secret: hunter2-hunter2";

    credentials_copy(&copy, c);
    assert(credentials_has_tokens(&copy) == credentials_has_tokens(c));
    assert(credentials_has_secrets(&copy));
    assert(credentials_are_fresh(&copy, 0) == credentials_are_fresh(c, 0));
    credentials_secrets(&copy, &secrets);
    assert(strcmp(secrets.text, "{\"password\":\"hunter2-hunter2\"}") == 0);
    credentials_redact(&copy, text);
    assert(!strstr(text, "hunter2"));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    autofree char *raw = xstrndup((const char *)bytes, len);
    autofree char *tokens = with_claims(raw);
    static const char *const audiences[] = { "a", "" };
    struct publish_request req = { .volume_id = "v", .target = "/t", .tokens = tokens };
    struct credentials c CLEANUP(credentials_done) = { 0 };
    struct strbuf out CLEANUP(strbuf_done) = { .sensitive = true };
    struct strbuf some CLEANUP(strbuf_done) = { .sensitive = true };
    struct tree *t autotree = NULL;
    struct error err = { 0 };

    pairs_set(&req.secrets, "password", "hunter2-hunter2");
    pairs_set(&req.attributes, CONTEXT_POD_NAMESPACE, "n");
    pairs_set(&req.attributes, CONTEXT_POD_UID, "u");
    pairs_set(&req.attributes, CONTEXT_SERVICE_ACCOUNT, "s");
    if (credentials_take(&c, &req, NULL, &err) == 0) {
        assert(credentials_same(&c, &req));
        assert(credentials_tokens(&c, NULL, 0, &out, &err) == 0);
        assert(!out.len || json_parse(out.text, out.len, &t, NULL) == 0);
        assert(credentials_tokens(&c, audiences, COUNT_OF(audiences), &some, &err) == 0);
        check_use(&c);
    } else {
        assert(err.code && utf8_is_valid(err.msg, strlen(err.msg)));
    }
    pairs_done(&req.attributes);
    pairs_done(&req.secrets);
    return 0;
}
