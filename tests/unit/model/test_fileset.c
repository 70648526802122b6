/* SPDX-License-Identifier: Apache-2.0
 *
 * The files of a volume: which paths are taken, what clashes, what the ceilings are.
 */
#include "lib/base/encode.h"
#include "lib/model/fileset.h"
#include "tests/check.h"

static const struct {
    const char *path;
    const char *told; /* NULL: it is taken */
} paths[] = {
    { "a", NULL },
    { "a/b.c/d", NULL },
    { "...", "must not start with '..'" },
    { "a/...", NULL },
    { "a/..b", NULL },
    { ".hidden", NULL },
    { "with blank", NULL },
    { "\xc3\xa4/\xe2\x82\xac", NULL },
    { "", "must not be empty" },
    { "/a", "must be relative path" },
    { "..", "must not contain '..'" },
    { "a/../b", "must not contain '..'" },
    { "a/..", "must not contain '..'" },
    { "..data", "must not start with '..'" },
    { "..2026_01_01", "must not start with '..'" },
    { ".", "must be clean" },
    { "./a", "must be clean" },
    { "a/.", "must be clean" },
    { "a//b", "must be clean" },
    { "a/", "must be clean" },
    { "a\nb", "must be UTF-8 without control characters" },
    { "a\x7f", "must be UTF-8 without control characters" },
    { "a\xff", "must be UTF-8 without control characters" },
};

static void only_clean_relative_paths_are_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct error err = { 0 };
        int result = fileset_check_path(paths[i].path, strlen(paths[i].path), &err);

        if (result != (paths[i].told ? -1 : 0))
            fail_msg("\"%s\" gave %d", paths[i].path, result);
        if (paths[i].told && (!strstr(err.msg, paths[i].told) || strchr(err.msg, '\xff')))
            fail_msg("\"%s\": %s", paths[i].path, err.msg);
    }
    assert_int_equal(fileset_check_path("a\0b", 3, NULL), -1);
}

static void a_path_and_its_components_have_ceilings(void **state)
{
    char path[FILESET_PATH_MAX + 2];
    struct error err = { 0 };

    (void)state;
    memset(path, 'x', sizeof(path));
    assert_int_equal(fileset_check_path(path, FILESET_NAME_MAX, &err), 0);
    assert_int_equal(fileset_check_path(path, FILESET_NAME_MAX + 1, &err), -1);
    assert_non_null(strstr(err.msg, "a component must be at most 255 bytes"));
    assert_true(strlen(err.msg) < 200 && str_ends(err.msg, "...\""));
    for (size_t i = 1; i < sizeof(path); i += 2)
        path[i] = '/';
    path[FILESET_PATH_MAX - 1] = 'x';
    assert_int_equal(fileset_check_path(path, FILESET_PATH_MAX, &err), 0);
    path[FILESET_PATH_MAX - 1] = '/';
    assert_int_equal(fileset_check_path(path, FILESET_PATH_MAX + 1, &err), -1);
    assert_non_null(strstr(err.msg, "must be at most 4096 bytes"));
}

static int add(struct fileset *set, const char *path, const char *contents, struct error *err)
{
    struct file_spec spec = {
        .path = path,
        .path_len = strlen(path),
        .mode = 0100644,
        .uid = 7,
        .gid = 8,
        .contents = secret_copy(contents, strlen(contents)),
    };
    int result = fileset_add(set, &spec, err);

    assert_null(spec.contents.bytes); /* moved out, also on failure */
    return result;
}

static void files_that_clash_are_refused(void **state)
{
    static const struct {
        const char *path;
        const char *told;
    } rows[] = {
        { "a/b", "two objects have this file name" },
        { "a", "one file's name is another's folder" },
        { "a/b/c", "one file's name is another's folder" },
        { "a/bc", NULL },
        { "ab", NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fileset set CLEANUP(fileset_done) = { 0 };
        struct error err = { 0 };

        assert_int_equal(add(&set, "a/b", "1", &err), 0);
        assert_int_equal(add(&set, rows[i].path, "2", &err), rows[i].told ? -1 : 0);
        if (rows[i].told)
            assert_non_null(strstr(err.msg, rows[i].told));
        assert_int_equal(set.count, rows[i].told ? 1 : 2);
    }
}

static void what_is_added_is_kept_found_and_sorted(void **state)
{
    static const char *const names[] = { "b", "a/z", "a", "c", "B", "d", "e", "f", "g", "h" };
    struct fileset set CLEANUP(fileset_done) = { 0 };
    const struct file *file;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        (void)add(&set, names[i], names[i], NULL);
    assert_int_equal(set.count, COUNT_OF(names) - 1); /* "a" clashes with "a/z" */
    assert_int_equal(set.bytes, COUNT_OF(names) + 1);
    fileset_sort(&set);
    for (size_t i = 1; i < set.count; i++)
        assert_true(strcmp(set.files[i - 1].path, set.files[i].path) < 0);
    file = fileset_find(&set, "a/z");
    assert_non_null(file);
    assert_int_equal(file->mode, 0644);
    assert_int_equal(file->uid, 7);
    assert_int_equal(file->gid, 8);
    assert_memory_equal(file->contents.bytes, "a/z", 3);
    assert_null(fileset_find(&set, "a"));
}

static void the_last_version_of_an_object_counts(void **state)
{
    struct fileset set CLEANUP(fileset_done) = { 0 };
    autofree char *text = xcalloc(1, 4098);
    struct error err = { 0 };

    (void)state;
    assert_int_equal(fileset_add_version(&set, "db", "1", &err), 0);
    assert_int_equal(fileset_add_version(&set, "api", "1", &err), 0);
    assert_int_equal(fileset_add_version(&set, "db", "2", &err), 0);
    fileset_sort(&set);
    assert_int_equal(set.version_count, 2);
    assert_string_equal(set.versions[0].id, "api");
    assert_string_equal(set.versions[1].version, "2");
    memset(text, 'x', 4097);
    assert_int_equal(fileset_add_version(&set, text, "1", &err), -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    assert_int_equal(fileset_add_version(&set, "x", text, &err), -1);
    assert_int_equal(fileset_add_version(&set, "x", text + 1, &err), 0);
}

static void a_volume_has_ceilings(void **state)
{
    struct fileset many CLEANUP(fileset_done) = { 0 };
    struct fileset large CLEANUP(fileset_done) = { 0 };
    struct file_spec spec = { .path = "a", .path_len = 1 };
    struct error err = { 0 };

    (void)state;
    for (int i = 0; i < FILESET_FILES_MAX; i++) {
        autofree char *name = str_printf("f%d", i);

        assert_int_equal(add(&many, name, "", &err), 0);
        assert_int_equal(fileset_add_version(&many, name, "1", &err), 0);
    }
    assert_int_equal(add(&many, "one-more", "", &err), -1);
    assert_string_equal(err.msg, "more than 4096 files in one volume");
    assert_int_equal(fileset_add_version(&many, "one-more", "1", &err), -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    spec.contents = secret_adopt(xcalloc(1, FILESET_BYTES_MAX), FILESET_BYTES_MAX);
    assert_int_equal(fileset_add(&large, &spec, &err), 0);
    assert_int_equal(add(&large, "b", "", &err), 0);
    assert_int_equal(add(&large, "c", "x", &err), -1);
    assert_string_equal(err.msg, "more than 67108864 bytes in one volume");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_clean_relative_paths_are_taken),
        cmocka_unit_test(a_path_and_its_components_have_ceilings),
        cmocka_unit_test(files_that_clash_are_refused),
        cmocka_unit_test(what_is_added_is_kept_found_and_sorted),
        cmocka_unit_test(the_last_version_of_an_object_counts),
        cmocka_unit_test(a_volume_has_ceilings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
