/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors as values: text, codes, context.
 */
#include <errno.h>

#include "lib/base/encode.h"
#include "lib/base/error.h"
#include "tests/check.h"

static void context_grows_outward(void **state)
{
    struct error err = { 0 };

    (void)state;
    assert_int_equal(error_set(&err, CODE_NOT_FOUND, "no key %d", 7), -1);
    assert_int_equal(error_within(&err, "object %s", "db"), -1);
    assert_int_equal(error_within(&err, "publish v1"), -1);
    assert_string_equal(err.msg, "publish v1: object db: no key 7");
    assert_int_equal(err.code, CODE_NOT_FOUND);
}

static void the_first_reason_stays_until_the_next_error(void **state)
{
    struct error err = { 0 };

    (void)state;
    error_set(&err, CODE_INTERNAL, "x");
    err.retry_after_ms = 5;
    assert_int_equal(error_reason(&err, "First"), -1);
    error_reason(&err, "Second");
    error_within(&err, "y");
    assert_string_equal(err.reason, "First");
    assert_int_equal(err.retry_after_ms, 5);
    error_set(&err, CODE_INTERNAL, "z");
    assert_null(err.reason);
    assert_int_equal(err.retry_after_ms, 0);
}

static void errno_chooses_the_code_and_adds_its_text(void **state)
{
    static const struct {
        int errnum;
        enum code code;
    } rows[] = {
        { ENOSPC, CODE_RESOURCE_EXHAUSTED }, { EMFILE, CODE_RESOURCE_EXHAUSTED },
        { ENFILE, CODE_RESOURCE_EXHAUSTED }, { ENOMEM, CODE_RESOURCE_EXHAUSTED },
        { EDQUOT, CODE_RESOURCE_EXHAUSTED }, { EINTR, CODE_UNAVAILABLE },
        { EAGAIN, CODE_UNAVAILABLE },        { EBUSY, CODE_UNAVAILABLE },
        { ENOENT, CODE_NOT_FOUND },          { EACCES, CODE_PERMISSION_DENIED },
        { EPERM, CODE_PERMISSION_DENIED },   { EIO, CODE_INTERNAL },
    };
    struct error err = { 0 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(error_sys(&err, rows[i].errnum, "open %s", "f"), -1);
        assert_int_equal(err.code, rows[i].code);
        assert_true(str_starts(err.msg, "open f: "));
        assert_true(strlen(err.msg) > strlen("open f: "));
    }
    error_sys(&err, ENOENT, "open f");
    assert_string_equal(err.msg, "open f: No such file or directory");
    error_sys(&err, 99999, "open f");
    assert_string_equal(err.msg, "open f: unknown error");
}

static void text_is_one_line_of_utf8(void **state)
{
    struct error err = { 0 };

    (void)state;
    error_set(&err, CODE_INTERNAL,
              "a\nb\tc\x7f"
              "d\xff\xc3\xa4\xc3");
    assert_string_equal(err.msg, "a b c d?\xc3\xa4?");
    error_within(&err, "x\ry");
    assert_string_equal(err.msg, "x y: a b c d?\xc3\xa4?");
}

/* Wherever the ceiling cuts, no half character is left: Kubernetes refuses such events. */
static void long_text_is_cut_between_characters(void **state)
{
    char text[ERROR_TEXT_MAX * 2];

    (void)state;
    for (size_t before = 0; before < 4; before++) {
        struct error err = { 0 };
        size_t len = before;

        memset(text, 'x', before);
        for (; len + 4 < sizeof(text); len += 3)
            memcpy(text + len, "\xe2\x82\xac", 4);
        error_set(&err, CODE_INTERNAL, "%s", text);
        assert_int_equal(strlen(err.msg), ERROR_TEXT_MAX - 1);
        assert_true(utf8_is_valid(err.msg, strlen(err.msg)));
        error_within(&err, "y");
        assert_true(utf8_is_valid(err.msg, strlen(err.msg)));
        error_within(&err, "%s", text);
        error_sys(&err, EIO, "%s", text);
        assert_true(utf8_is_valid(err.msg, strlen(err.msg)));
    }
}

static void nobody_need_want_to_know(void **state)
{
    struct error err = { .code = CODE_ABORTED };

    (void)state;
    assert_int_equal(error_set(NULL, CODE_INTERNAL, "x"), -1);
    assert_int_equal(error_sys(NULL, EIO, "x"), -1);
    assert_int_equal(error_within(NULL, "x"), -1);
    assert_int_equal(error_reason(NULL, "x"), -1);
    assert_int_equal(error_copy(NULL, &err), -1);
    assert_int_equal(error_copy(&err, NULL), -1);
    assert_int_equal(err.code, CODE_ABORTED);
}

static void a_copy_is_whole(void **state)
{
    struct error err = { 0 };
    struct error copy = { 0 };

    (void)state;
    error_set(&err, CODE_ABORTED, "busy");
    error_reason(&err, "R");
    error_copy(&copy, &err);
    assert_string_equal(copy.msg, "busy");
    assert_string_equal(copy.reason, "R");
    assert_int_equal(copy.code, CODE_ABORTED);
}

static void codes_have_grpcs_numbers_and_names(void **state)
{
    (void)state;
    assert_string_equal(code_name(CODE_OK), "OK");
    assert_string_equal(code_name(CODE_UNAVAILABLE), "UNAVAILABLE");
    assert_string_equal(code_name((enum code)16), "UNAUTHENTICATED");
    assert_string_equal(code_name((enum code)17), "UNKNOWN");
    assert_string_equal(code_name((enum code) - 1), "UNKNOWN");
    assert_int_equal(code_from_peer(0), CODE_OK);
    assert_int_equal(code_from_peer(16), CODE_UNAUTHENTICATED);
    assert_int_equal(code_from_peer(17), CODE_INTERNAL);
    assert_int_equal(code_from_peer(-1), CODE_INTERNAL);
}

static void kubelet_reads_five_codes_as_maybe(void **state)
{
    static const enum code maybe[] = { CODE_CANCELLED, CODE_DEADLINE_EXCEEDED, CODE_UNAVAILABLE,
                                       CODE_RESOURCE_EXHAUSTED, CODE_ABORTED };
    size_t count = 0;

    (void)state;
    for (int code = 0; code <= 16; code++)
        count += code_is_maybe((enum code)code);
    assert_int_equal(count, COUNT_OF(maybe));
    for (size_t i = 0; i < COUNT_OF(maybe); i++)
        assert_true(code_is_maybe(maybe[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(context_grows_outward),
        cmocka_unit_test(the_first_reason_stays_until_the_next_error),
        cmocka_unit_test(errno_chooses_the_code_and_adds_its_text),
        cmocka_unit_test(text_is_one_line_of_utf8),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(nobody_need_want_to_know),
        cmocka_unit_test(a_copy_is_whole),
        cmocka_unit_test(codes_have_grpcs_numbers_and_names),
        cmocka_unit_test(kubelet_reads_five_codes_as_maybe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
