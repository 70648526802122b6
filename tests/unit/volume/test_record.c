/* SPDX-License-Identifier: Apache-2.0
 *
 * Records as text: what is written is read back, and what is torn or foreign is refused.
 */
#include "driver/volume/publish_request.h"
#include "driver/volume/record.h"
#include "lib/base/encode.h"
#include "tests/check.h"

#define HEAD "locket-record 1\n"
#define NEEDED "volume_id v\ntarget /t\n"

static const char odd[] = "a b\tc\n%25 %\"\\ crc32 gr\xc3\xbc\xc3\x9f /=,";

static void fill(struct record *r)
{
    struct object_version versions[] = { { (char *)"db/password", (char *)"7" },
                                         { (char *)odd, (char *)"" } };

    *r = (struct record){
        .phase = RECORD_PUBLISHED,
        .volume_id = xstrdup(odd),
        .target = xstrdup("/var/lib/kubelet/pods/1/volumes/x y/mount"),
        .class_name = xstrdup("app"),
        .pod_ns = xstrdup(""),
        .mount_flags = xstrdup("context=\"a:b:c:s0:c1,c2\""),
        .live = xstrdup("..2026_02_01_15_04_05.000000001"),
        .class_stamp = xstrdup("u1/00ff"),
        .fs_group = -1,
        .had_tokens = 1,
        .size_bytes = INT64_MAX,
        .generation = INT64_MIN,
        .changed_at_unix_ms = 1700000000123,
    };
    pairs_set(&r->attributes, odd, odd);
    pairs_set(&r->attributes, "empty", "");
    pairs_set(&r->attributes, "", "of no name");
    record_set_versions(r, versions, COUNT_OF(versions));
}

static char *text_of_record(const struct record *r, size_t *ret_len)
{
    struct strbuf text CLEANUP(strbuf_done) = { 0 };
    struct error err = { 0 };

    if (record_write(r, &text, &err) < 0)
        fail_msg("%s", err.msg);
    *ret_len = text.len;
    /* Exactly as long as it is: a byte read behind it is found by the sanitizer. */
    return xmemdup(text.text, text.len);
}

static void a_record_is_read_as_it_was_written(void **state)
{
    struct record r CLEANUP(record_done) = { 0 };
    struct record got CLEANUP(record_done) = { 0 };
    struct error err = { 0 };
    size_t len = 0;
    autofree char *text = NULL;

    (void)state;
    fill(&r);
    text = text_of_record(&r, &len);
    if (record_read(text, len, &got, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(got.volume_id, odd);
    assert_string_equal(got.target, r.target);
    assert_string_equal(got.pod_ns, "");
    assert_null(got.pod_name);
    assert_string_equal(got.mount_flags, r.mount_flags);
    assert_string_equal(got.live, r.live);
    assert_string_equal(got.class_stamp, r.class_stamp);
    assert_int_equal(got.phase, RECORD_PUBLISHED);
    assert_int_equal(got.fs_group, -1);
    assert_int_equal(got.had_tokens, 1);
    assert_int_equal(got.had_secrets, 0);
    assert_true(got.size_bytes == INT64_MAX && got.generation == INT64_MIN);
    assert_true(got.changed_at_unix_ms == 1700000000123);
    assert_int_equal(got.attributes.count, 3);
    assert_string_equal(pairs_get(&got.attributes, odd), odd);
    assert_string_equal(pairs_get(&got.attributes, "empty"), "");
    assert_string_equal(pairs_get(&got.attributes, ""), "of no name");
    assert_int_equal(got.version_count, 2);
    assert_string_equal(got.versions[0].version, "7");
    assert_string_equal(got.versions[1].id, odd);
    assert_string_equal(got.versions[1].version, "");
}

static void a_torn_record_is_refused_wherever_it_ends(void **state)
{
    struct record r CLEANUP(record_done) = { 0 };
    size_t len = 0;
    autofree char *text = NULL;

    (void)state;
    fill(&r);
    text = text_of_record(&r, &len);
    for (size_t end = 0; end < len; end++) {
        autofree char *part = xmemdup(text, end);
        struct record got CLEANUP(record_done) = { 0 };
        struct error err = { 0 };

        if (record_read(part, end, &got, &err) == 0 || err.code != CODE_INVALID_ARGUMENT)
            fail_msg("%zu of %zu bytes are read as a record", end, len);
        assert_null(got.volume_id);
    }
}

static void a_record_with_one_other_bit_is_refused(void **state)
{
    struct record r CLEANUP(record_done) = { 0 };
    size_t len = 0;
    autofree char *text = NULL;

    (void)state;
    fill(&r);
    text = text_of_record(&r, &len);
    for (size_t i = 0; i < len; i++) {
        struct record got CLEANUP(record_done) = { 0 };

        text[i] ^= 1;
        if (record_read(text, len, &got, NULL) == 0)
            fail_msg("a flip in byte %zu of %zu is not seen", i, len);
        text[i] ^= 1;
    }
}

static const struct {
    const char *says;
    const char *text; /* before its checksum */
    bool fine;
} texts[] = {
    { "the least", HEAD NEEDED, true },
    { "an unknown key of a newer version", HEAD NEEDED "colour blue\nweight 3 4\n", true },
    { "the same key twice: the last", HEAD "volume_id u\n" NEEDED, true },
    { "an object twice", HEAD NEEDED "object a 1\nobject a 2\n", true },
    { "another version", "locket-record 2\n" NEEDED, false },
    { "another program's", "secrets-store 1\n" NEEDED, false },
    { "nothing", "", false },
    { "a head alone", HEAD, false },
    { "no volume id", HEAD "target /t\n", false },
    { "no target", HEAD "volume_id v\n", false },
    { "a line of one word", HEAD NEEDED "phase\n", false },
    { "no number", HEAD NEEDED "phase one\n", false },
    { "half a number", HEAD NEEDED "phase 1x\n", false },
    { "a number with nothing in it", HEAD NEEDED "phase \n", false },
    { "a number too large", HEAD NEEDED "inodes 9223372036854775808\n", false },
    { "an escape of no digits", HEAD NEEDED "class_name %zz\n", false },
    { "an escape with a sign", HEAD NEEDED "class_name %+1\n", false },
    { "half an escape", HEAD NEEDED "class_name a%4\n", false },
    { "an escaped NUL", HEAD NEEDED "class_name a%00b\n", false },
    { "an attribute without a value", HEAD NEEDED "attribute a\n", false },
    { "a bad escape in an attribute", HEAD NEEDED "attribute a %x\n", false },
    { "a bad escape in an object", HEAD NEEDED "object %x a\n", false },
};

static void records_are_read_by_the_book(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        size_t len = strlen(texts[i].text);
        autofree char *text =
            str_printf("%scrc32 %08x\n", texts[i].text, crc32_update(0, texts[i].text, len));
        autofree char *exact = xmemdup(text, strlen(text));
        struct record got CLEANUP(record_done) = { 0 };
        struct error err = { 0 };

        if ((record_read(exact, strlen(text), &got, &err) == 0) != texts[i].fine)
            fail_msg("%s: %s", texts[i].says, err.msg);
        if (texts[i].fine)
            assert_string_equal(got.volume_id, "v");
        if (texts[i].fine)
            assert_int_equal(got.fs_group, -1);
    }
}

static void a_record_never_holds_tokens(void **state)
{
    struct record r CLEANUP(record_done) = { 0 };
    struct strbuf text CLEANUP(strbuf_done) = { 0 };
    struct error err = { 0 };

    (void)state;
    fill(&r);
    pairs_set(&r.attributes, CONTEXT_TOKENS, "{\"\":{\"token\":\"t\"}}");
    assert_int_equal(record_write(&r, &text, &err), -1);
    assert_int_equal(err.code, CODE_FAILED_PRECONDITION);
    assert_null(strstr(strbuf_text(&text), "token\":"));
    assert_null(strstr(err.msg, "{"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_read_as_it_was_written),
        cmocka_unit_test(a_torn_record_is_refused_wherever_it_ends),
        cmocka_unit_test(a_record_with_one_other_bit_is_refused),
        cmocka_unit_test(records_are_read_by_the_book),
        cmocka_unit_test(a_record_never_holds_tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
