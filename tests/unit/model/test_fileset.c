/* SPDX-License-Identifier: Apache-2.0
 *
 * Sets of files: which paths, modes and amounts are taken, and what an error says.
 */
#include "lib/base/clock.h"
#include "lib/base/strbuf.h"
#include "lib/model/fileset.h"
#include "tests/check.h"

enum { ADD_ALL_MS_MAX = 20000 }; /* for the largest set; sanitizers on a busy machine included */

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A255 A64 A64 A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    const char *path;
    size_t len;      /* 0: of the text */
    const char *why; /* NULL: it is taken */
} paths[] = {
    { "a", 0, NULL },
    { "tls.crt", 0, NULL },
    { "a/b/c", 0, NULL },
    { ".hidden", 0, NULL },
    { ".a/..b", 0, NULL },
    { "a..b", 0, NULL },
    { "a/...", 0, NULL },
    { "with space", 0, NULL },
    { "back\\slash", 0, NULL },
    { "gr\xc3\xbc\xc3\x9f/\xe2\x82\xac", 0, NULL },
    { A255, 0, NULL },
    { A255 "/" A255, 0, NULL },
    { "", 0, "must not be empty" },
    { "/a", 0, "must be relative" },
    { "/", 0, "must be relative" },
    { "..", 0, "must not contain '..'" },
    { "../a", 0, "must not contain '..'" },
    { "a/..", 0, "must not contain '..'" },
    { "a/../b", 0, "must not contain '..'" },
    { "..a", 0, "must not start with '..'" },
    { "..data", 0, "must not start with '..'" },
    { "..data/a", 0, "must not start with '..'" },
    { "...", 0, "must not start with '..'" },
    { ".", 0, "must be clean" },
    { "./a", 0, "must be clean" },
    { "a/./b", 0, "must be clean" },
    { "a/.", 0, "must be clean" },
    { "a//b", 0, "must be clean" },
    { "a/", 0, "must be clean" },
    { A255 "a", 0, "255 bytes" },
    { "x/" A255 "a", 0, "255 bytes" },
    { "a\nb", 0, "control characters" },
    { "a\x7f", 0, "control characters" },
    { "a\x1b[31m", 0, "control characters" },
    { "a\0b", 3, "control characters" },
    { "\0", 1, "control characters" },
    { "a\xff", 0, "UTF-8" },
    { "a\xc3", 0, "UTF-8" },
    { "\xc0\xaf", 0, "UTF-8" },
    { "\xed\xa0\x80", 0, "UTF-8" },
};

static void paths_are_checked_as_kubelet_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        size_t len = paths[i].len ? paths[i].len : strlen(paths[i].path);
        char *exact autofree = xmemdup(paths[i].path, len);
        struct error err = { 0 };
        bool taken = fileset_check_path(exact, len, &err) == 0;

        if (taken != !paths[i].why)
            fail_msg("path %zu (%s): %s", i, paths[i].path, taken ? "taken" : err.msg);
        if (taken)
            continue;
        assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
        if (!strstr(err.msg, "invalid path: ") || !strstr(err.msg, paths[i].why))
            fail_msg("path %zu (%s): %s", i, paths[i].path, err.msg);
    }
}

static void the_longest_path_has_4096_bytes_and_is_shown_cut(void **state)
{
    struct strbuf path CLEANUP(strbuf_done) = { 0 };
    struct error err = { 0 };

    (void)state;
    while (path.len < FILESET_PATH_MAX - 1)
        strbuf_add_text(&path, "a/");
    path.text[FILESET_PATH_MAX - 1] = 'b';
    assert_int_equal(fileset_check_path(path.text, FILESET_PATH_MAX, &err), 0);
    strbuf_add_text(&path, "cc");
    assert_int_equal(fileset_check_path(path.text, FILESET_PATH_MAX + 1, &err), -1);
    assert_non_null(strstr(err.msg, "4096 bytes"));
    assert_non_null(strstr(err.msg, "...\""));
    assert_true(strlen(err.msg) < 200);
}

static void odd_bytes_are_shown_escaped(void **state)
{
    struct error err = { 0 };

    (void)state;
    assert_int_equal(fileset_check_path("a\n\0b", 4, &err), -1);
    assert_non_null(strstr(err.msg, "\"a\\x0a\\x00b\""));
}

static int add(struct fileset *set, const char *path, const char *text, struct error *err)
{
    struct file_spec spec = {
        .path = path,
        .path_len = strlen(path),
        .mode = 0644,
        .uid = FILE_OWNER_UNSET,
        .gid = FILE_OWNER_UNSET,
        .contents = secret_copy(text, strlen(text)),
    };
    int result = fileset_add(set, &spec, err);

    assert_null(spec.contents.bytes); /* moved out, or wiped */
    assert_int_equal(spec.contents.len, 0);
    return result;
}

static const struct {
    const char *first;
    const char *second;
    const char *why; /* NULL: both have room */
} couples[] = {
    { "a", "b", NULL },
    { "a", "ab", NULL },
    { "ab", "a", NULL },
    { "a/b", "a/c", NULL },
    { "a/b", "ab/c", NULL },
    { "a-b", "a/b", NULL },
    { "a", "A", NULL },
    { "a", "a", "two objects have this file name" },
    { "a/b", "a/b", "two objects have this file name" },
    { "a", "a/b", "one file's name is another's folder" },
    { "a/b", "a", "one file's name is another's folder" },
    { "a/b/c", "a/b", "one file's name is another's folder" },
    { "a", "a/b/c/d", "one file's name is another's folder" },
};

static void two_files_never_want_the_same_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(couples); i++) {
        struct fileset set CLEANUP(fileset_done) = { 0 };
        struct error err = { 0 };

        assert_int_equal(add(&set, "a-before", "", &err), 0);
        assert_int_equal(add(&set, couples[i].first, "1", &err), 0);
        assert_int_equal(add(&set, "zz", "", &err), 0);
        if ((add(&set, couples[i].second, "2", &err) == 0) != !couples[i].why)
            fail_msg("%s and %s: %s", couples[i].first, couples[i].second, err.msg);
        if (!couples[i].why)
            continue;
        assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
        assert_non_null(strstr(err.msg, couples[i].why));
        assert_int_equal(set.count, 3);
        assert_int_equal(set.bytes, 1);
    }
}

static void modes_are_masked_and_contents_moved(void **state)
{
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct file_spec spec = {
        .path = "a/bXXX", .path_len = 3, .mode = 0106755, .uid = 5, .gid = 6
    };
    struct error err = { 0 };

    (void)state;
    spec.contents = secret_copy("a\0b", 3);
    assert_int_equal(fileset_add(&set, &spec, &err), 0);
    assert_null(spec.contents.bytes);
    assert_non_null(fileset_find(&set, "a/b"));
    assert_null(fileset_find(&set, "a"));
    assert_int_equal(set.files[0].mode, 0755);
    assert_int_equal(set.files[0].uid, 5);
    assert_int_equal(set.files[0].gid, 6);
    assert_memory_equal(set.files[0].contents.bytes, "a\0b", 3);
    assert_int_equal(set.bytes, 3);
    fileset_done(&set);
    assert_int_equal(set.count + set.bytes + set.version_count, 0);
}

static void files_have_a_ceiling_and_reach_it_in_time(void **state)
{
    struct fileset set CLEANUP(fileset_done) = { 0 };
    int64_t began = clock_mono_ms();
    struct error err = { 0 };

    (void)state;
    for (int i = 0; i < FILESET_FILES_MAX; i++) {
        autofree char *path = str_printf(A255 "/" A255 "/" A255 "/file-%d", i);

        if (add(&set, path, "", &err) < 0)
            fail_msg("%s", err.msg);
    }
    assert_in_range(clock_mono_ms() - began, 0, ADD_ALL_MS_MAX);
    assert_int_equal(add(&set, "one-more", "", &err), -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.msg, "4096 files"));
    assert_int_equal(set.count, FILESET_FILES_MAX);
}

static void bytes_have_a_ceiling_in_sum(void **state)
{
    enum { PART = FILESET_BYTES_MAX / 4 };
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct error err = { 0 };

    (void)state;
    for (int i = 0; i < 5; i++) {
        autofree char *path = str_printf("f%d", i);
        struct file_spec spec = { .path = path, .path_len = strlen(path) };

        spec.contents = secret_adopt(xcalloc(1, PART), PART);
        assert_int_equal(fileset_add(&set, &spec, &err), i < 4 ? 0 : -1);
        assert_null(spec.contents.bytes);
    }
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.msg, "67108864 bytes"));
    assert_int_equal(set.bytes, FILESET_BYTES_MAX);
    assert_int_equal(add(&set, "empty", "", &err), 0);
}

static void the_last_version_of_an_id_wins(void **state)
{
    struct fileset set CLEANUP(fileset_done) = { 0 };
    autofree char *large = xcalloc(1, 4098);
    struct error err = { 0 };

    (void)state;
    assert_int_equal(fileset_add_version(&set, "b", "1", &err), 0);
    assert_int_equal(fileset_add_version(&set, "a", "", &err), 0);
    assert_int_equal(fileset_add_version(&set, "b", "2", &err), 0);
    assert_int_equal(set.version_count, 2);
    fileset_sort(&set);
    assert_string_equal(set.versions[0].id, "a");
    assert_string_equal(set.versions[1].version, "2");
    memset(large, 'v', 4097);
    assert_int_equal(fileset_add_version(&set, "c", large, &err), -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    assert_int_equal(fileset_add_version(&set, large, "1", &err), -1);
    assert_int_equal(fileset_add_version(&set, "c", large + 1, &err), 0);
    assert_int_equal(set.version_count, 3);
}

static void versions_have_a_ceiling(void **state)
{
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct error err = { 0 };

    (void)state;
    for (int i = 0; i <= FILESET_FILES_MAX; i++) {
        autofree char *id = str_printf("%d", i);

        assert_int_equal(fileset_add_version(&set, id, "1", &err), i < FILESET_FILES_MAX ? 0 : -1);
    }
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    assert_int_equal(fileset_add_version(&set, "0", "2", &err), 0);
}

static void files_are_sorted_by_bytes(void **state)
{
    static const char *const sorted[] = { "B", "a", "a-b", "a/b", "b", "\xc3\xbc" };
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct error err = { 0 };

    (void)state;
    fileset_sort(&set); /* an empty one, too */
    for (size_t i = COUNT_OF(sorted); i-- > 0;)
        if (i != 1) /* "a" and "a/b" exclude each other */
            assert_int_equal(add(&set, sorted[i], sorted[i], &err), 0);
    fileset_sort(&set);
    for (size_t i = 1; i < set.count; i++)
        assert_true(strcmp(set.files[i - 1].path, set.files[i].path) < 0);
    assert_string_equal(set.files[0].path, "B");
    assert_memory_equal(set.files[0].contents.bytes, "B", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_checked_as_kubelet_does),
        cmocka_unit_test(the_longest_path_has_4096_bytes_and_is_shown_cut),
        cmocka_unit_test(odd_bytes_are_shown_escaped),
        cmocka_unit_test(two_files_never_want_the_same_place),
        cmocka_unit_test(modes_are_masked_and_contents_moved),
        cmocka_unit_test(files_have_a_ceiling_and_reach_it_in_time),
        cmocka_unit_test(bytes_have_a_ceiling_in_sum),
        cmocka_unit_test(the_last_version_of_an_id_wins),
        cmocka_unit_test(versions_have_a_ceiling),
        cmocka_unit_test(files_are_sorted_by_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
