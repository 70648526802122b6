/* SPDX-License-Identifier: Apache-2.0
 *
 * Which versions a volume shows, by what its provider says and whose bytes moved.
 */
#include "driver/volume/versions.h"
#include "lib/base/strbuf.h"
#include "tests/check.h"

enum { MOST = 3 };

struct one_file {
    const char *path; /* NULL: no more */
    const char *object;
    bool kept;
};

/* The provider's key is another one: every version that it answers ends in +. */
static const struct {
    const char *says;
    const char *shown; /* "id=version ", sorted */
    struct one_file files[MOST];
    const char *answered;
    bool gone;
    const char *want;
} rows[] = {
    { "one of two objects moved",
      "a=1 b=1 ",
      { { "a", "a", true }, { "b", "b", false } },
      "a=1+ b=2+ ",
      false,
      "a=1 b=2+ " },
    { "objects whose files have other names",
      "a=1 b=1 ",
      { { "x", "a", false }, { "y", "b", true } },
      "a=2+ b=1+ ",
      false,
      "a=2+ b=1 " },
    { "one file of two of an object moved",
      "a=1 b=1 ",
      { { "a.crt", "a", true }, { "a.key", "a", false }, { "b", "b", true } },
      "a=2+ b=1+ ",
      false,
      "a=2+ b=1 " },
    { "a new object beside one that stood",
      "a=1 ",
      { { "a", "a", true }, { "b", "b", false } },
      "a=1+ b=1+ ",
      false,
      "a=1 b=1+ " },
    { "an object is gone, and its file with it",
      "a=1 b=1 ",
      { { "a", "a", true } },
      "a=1+ ",
      true,
      "a=1 " },
    { "only a mode was another: no bytes moved",
      "a=1 b=1 ",
      { { "a", "a", true }, { "b", "b", true } },
      "a=1+ b=1+ ",
      false,
      "a=1 b=1 " },
    { "a provider that names no objects, but its files like them",
      "a=1 b=1 ",
      { { "a", NULL, true }, { "b", NULL, false } },
      "a=1+ b=2+ ",
      false,
      "a=1 b=2+ " },
    { "of a file that moved it is not known whose it is: all that was answered",
      "a=1 b=1 ",
      { { "a", NULL, true }, { "alias", NULL, false } },
      "a=1+ b=2+ ",
      false,
      "a=1+ b=2+ " },
    { "nor of one that is gone",
      "a=1 b=1 ",
      { { "a", NULL, true }, { "b", NULL, true } },
      "a=1+ b=2+ ",
      true,
      "a=1+ b=2+ " },
    { "a file of an object that has no version",
      "a=1 ",
      { { "a", "a", true }, { "b", "b", false } },
      "a=1+ ",
      false,
      "a=1+ " },
    { "nothing was shown before", "", { { "a", "a", true } }, "a=1+ ", false, "a=1+ " },
    { "no objects at all", "a=1 ", { { NULL, NULL, false } }, "", true, "" },
};

static void add_versions(struct fileset *set, const char *text)
{
    autofree char *copy = xstrdup(text);
    char *rest = NULL;

    for (char *p = strtok_r(copy, " ", &rest); p; p = strtok_r(NULL, " ", &rest)) {
        char *is = strchr(p, '=');

        assert_true(is != NULL);
        if (is)
            *is = '\0';
        assert_int_equal(fileset_add_version(set, p, is ? is + 1 : "", NULL), 0);
    }
}

static void fill(struct fileset *set, const struct one_file *files)
{
    for (size_t i = 0; i < MOST && files[i].path; i++) {
        struct file_spec spec = { .path = files[i].path,
                                  .path_len = strlen(files[i].path),
                                  .object = files[i].object,
                                  .contents = secret_copy("x", 1) };

        assert_int_equal(fileset_add(set, &spec, NULL), 0);
        set->files[i].kept = files[i].kept;
    }
}

static void a_version_moves_with_the_bytes_of_its_object_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fileset shown autofileset = { 0 };
        struct fileset set autofileset = { 0 };
        struct strbuf got autostrbuf = { 0 };

        add_versions(&shown, rows[i].shown);
        fill(&set, rows[i].files);
        add_versions(&set, rows[i].answered);
        fileset_sort(&set);
        versions_keep(shown.versions, shown.version_count, rows[i].gone, &set);
        for (size_t k = 0; k < set.version_count; k++)
            strbuf_printf(&got, "%s=%s ", set.versions[k].id, set.versions[k].version);
        if (strcmp(strbuf_text(&got), rows[i].want) != 0)
            fail_msg("%s: %s", rows[i].says, strbuf_text(&got));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_version_moves_with_the_bytes_of_its_object_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
