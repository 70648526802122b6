/* SPDX-License-Identifier: Apache-2.0
 *
 * Values by file, the tokens that kubelet would send, and where volumes go.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/target.h"
#include "ctl/values.h"
#include "lib/base/encode.h"
#include "tests/check.h"

static char file[] = "/tmp/locket-value-XXXXXX";

static void write_file(const char *text, size_t len)
{
    FILE *f = fopen(file, "we");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static int make(void **state)
{
    int fd;

    (void)state;
    (void)snprintf(file, sizeof(file), "/tmp/locket-value-XXXXXX");
    fd = mkstemp(file);
    assert_true(fd >= 0);
    return close(fd);
}

static int unmake(void **state)
{
    (void)state;
    return unlink(file);
}

/* A token with these claims and no signature worth the name. */
static char *jwt(const char *claims)
{
    struct strbuf out CLEANUP(strbuf_done) = { 0 };

    strbuf_add_text(&out, "e30.");
    base64_encode(BASE64_URL_RAW, &out, claims, strlen(claims));
    strbuf_add_text(&out, ".sig");
    return strbuf_take(&out);
}

static void a_tokens_expiry_is_the_one_it_claims(void **state)
{
    static const struct {
        const char *claims;
        int64_t ms;
    } rows[] = {
        { "{\"exp\":1700000000}", 1700000000000 },
        { "{\"exp\":1700000000.9}", 1700000000000 },
        { "{\"exp\":\"1700000000\"}", 0 },
        { "{\"exp\":-1}", 0 },
        { "{\"exp\":9999999999999999}", 0 },
        { "{}", 0 },
        { "{", 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autofree char *token = jwt(rows[i].claims);

        if (values_token_expiry_ms(token) != rows[i].ms)
            fail_msg("%s", rows[i].claims);
    }
    assert_int_equal(values_token_expiry_ms("no token at all"), 0);
    assert_int_equal(values_token_expiry_ms("a.%%%.c"), 0);
    assert_int_equal(values_token_expiry_ms(""), 0);
}

static void tokens_become_the_json_that_kubelet_sends(void **state)
{
    autofree char *token = jwt("{\"exp\":1700000000}");
    autofree char *with_newline = str_printf("%s\n", token);
    autofree char *first = str_printf("https://v?a=b=%s", file);
    char *texts[] = { first, (char *)"plain=-" };
    struct option_texts list = { texts, 2 };
    FILE *in = fmemopen((char *)"opaque \n", 8, "r");
    struct ctl ctl = { .in = in };
    struct values v = { .ctl = &ctl };
    struct strbuf out CLEANUP(strbuf_done) = { 0 };
    struct error err = { 0 };
    autofree char *want =
        str_printf("{\"https://v?a=b\":{\"token\":\"%s\",\"expirationTimestamp\":"
                   "\"2023-11-14T22:13:20.000Z\"},\"plain\":{\"token\":\"opaque\"}}",
                   token);

    (void)state;
    write_file(with_newline, strlen(with_newline));
    if (values_tokens(&v, &list, &out, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(strbuf_text(&out), want);
    assert_true(out.sensitive);
    assert_int_equal(fclose(in), 0);
}

static const struct {
    const char *says;
    const char *text; /* %s: the file */
    const char *content;
    size_t len;
    const char *error; /* a part */
} secrets[] = {
    { "a value keeps its line break", "key=%s", "two\nlines\n", 10, NULL },
    { "an empty value", "key=%s", "", 0, NULL },
    { "no key", "=%s", "x", 1, "--secret takes KEY=FILE" },
    { "no file", "key=", "x", 1, "--secret takes KEY=FILE" },
    { "no equals sign", "key", "x", 1, "--secret takes KEY=FILE" },
    { "a NUL byte", "key=%s", "a\0b", 3, "is no UTF-8 text" },
    { "bytes that are no text", "key=%s", "\xff\xfe", 2, "is no UTF-8 text" },
    { "a file that is not there", "key=%s.not", "", 0, "open /tmp/locket-value-" },
};

static void secrets_are_read_whole_or_refused(void **state)
{
    struct ctl ctl = { 0 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(secrets); i++) {
        struct values v = { .ctl = &ctl };
        struct pairs got CLEANUP(pairs_done) = { 0 };
        struct error err = { 0 };
        const char *gap = strstr(secrets[i].text, "%s");
        autofree char *text = gap ? str_printf("%.*s%s%s", (int)(gap - secrets[i].text),
                                               secrets[i].text, file, gap + 2)
                                  : xstrdup(secrets[i].text);
        int result;

        write_file(secrets[i].content, secrets[i].len);
        result = values_add_secret(&v, text, &got, &err);
        if ((result < 0) != (secrets[i].error != NULL))
            fail_msg("%s: %s", secrets[i].says, err.msg);
        if (result < 0 && !strstr(err.msg, secrets[i].error))
            fail_msg("%s: %s", secrets[i].says, err.msg);
        if (result == 0)
            assert_string_equal(pairs_get(&got, "key"), secrets[i].content);
    }
}

static void a_value_over_the_ceiling_is_refused_by_its_number(void **state)
{
    struct ctl ctl = { 0 };
    struct values v = { .ctl = &ctl };
    struct strbuf got CLEANUP(strbuf_done) = { 0 };
    struct error err = { 0 };

    (void)state;
    assert_int_equal(truncate(file, VALUE_BYTES_MAX + 1), 0);
    assert_int_equal(values_read(&v, file, &got, &err), -1);
    assert_non_null(strstr(err.msg, "is larger than 1048576 bytes"));
}

static void standard_input_and_a_key_are_taken_once(void **state)
{
    FILE *in = fmemopen((char *)"value", 5, "r");
    struct ctl ctl = { .in = in };
    struct values v = { .ctl = &ctl };
    struct pairs got CLEANUP(pairs_done) = { 0 };
    struct error err = { 0 };

    (void)state;
    assert_int_equal(values_add_secret(&v, "a=-", &got, &err), 0);
    assert_string_equal(pairs_get(&got, "a"), "value");
    assert_int_equal(values_add_secret(&v, "b=-", &got, &err), -1);
    assert_non_null(strstr(err.msg, "standard input can be read for one value only"));
    assert_int_equal(values_add_secret(&v, "a=/dev/null", &got, &err), -1);
    assert_non_null(strstr(err.msg, "given twice"));
    assert_int_equal(fclose(in), 0);
}

static void ids_and_targets_are_made_as_kubelet_makes_them(void **state)
{
    autofree char *id = NULL;
    autofree char *again = NULL;
    autofree char *other = NULL;
    autofree char *uid = NULL;
    autofree char *path = NULL;
    char *none = NULL;

    (void)state;
    assert_int_equal(target_volume_id("u1", "v", &id, NULL), 0);
    assert_int_equal(target_volume_id("u1", "v", &again, NULL), 0);
    assert_int_equal(target_volume_id("u2", "v", &other, NULL), 0);
    assert_int_equal(strlen(id), 4 + 64);
    assert_memory_equal(id, "csi-", 4);
    assert_string_equal(id, again);
    assert_string_not_equal(id, other);
    assert_int_equal(target_pod_uid("ns", "pod", &uid, NULL), 0);
    assert_int_equal(strlen(uid), 36);
    assert_int_equal(uid[8], '-');
    assert_int_equal(target_path("/k", "u", "v", &path, NULL), 0);
    assert_string_equal(path, "/k/pods/u/volumes/kubernetes.io~csi/v/mount");
    assert_int_equal(target_path("k", "u", "v", &none, NULL), -1);
    assert_int_equal(target_path("/k", "..", "v", &none, NULL), -1);
    assert_int_equal(target_path("/k", "u", "a/b", &none, NULL), -1);
    assert_int_equal(target_path("/k", "u", "", &none, NULL), -1);
}

static bool is_there(const char *root, const char *below)
{
    autofree char *path = str_printf("%s/%s", root, below);

    return access(path, F_OK) == 0;
}

static void only_the_empty_folders_of_the_pod_are_removed(void **state)
{
    char root[] = "/tmp/locket-target-XXXXXX";
    autofree char *one = NULL;
    autofree char *two = NULL;
    autofree char *odd = NULL;
    autofree char *odd_parent = NULL;
    autofree char *pods = NULL;

    (void)state;
    assert_non_null(mkdtemp(root));
    odd = str_printf("%s/x/y/mount", root);
    odd_parent = str_printf("%s/x/y", root);
    pods = str_printf("%s/pods", root);
    assert_int_equal(target_path(root, "u", "one", &one, NULL), 0);
    assert_int_equal(target_path(root, "u", "two", &two, NULL), 0);
    assert_int_equal(target_make(one, NULL), 0);
    assert_int_equal(target_make(two, NULL), 0);
    assert_int_equal(mkdir(one, 0755), 0);
    target_remove(one);
    assert_false(is_there(root, "pods/u/volumes/kubernetes.io~csi/one"));
    assert_true(is_there(root, "pods/u/volumes/kubernetes.io~csi/two"));
    target_remove(two);
    assert_false(is_there(root, "pods/u"));
    assert_true(is_there(root, "pods"));
    assert_int_equal(target_make(odd, NULL), 0);
    target_remove(odd);
    assert_true(is_there(root, "x/y"));
    assert_int_equal(target_make("relative/mount", NULL), -1);
    assert_int_equal(target_make("/mount", NULL), -1);
    assert_int_equal(rmdir(odd_parent), 0);
    *strrchr(odd_parent, '/') = '\0';
    assert_int_equal(rmdir(odd_parent), 0);
    assert_int_equal(rmdir(pods), 0);
    assert_int_equal(rmdir(root), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tokens_expiry_is_the_one_it_claims),
        cmocka_unit_test_setup_teardown(tokens_become_the_json_that_kubelet_sends, make, unmake),
        cmocka_unit_test_setup_teardown(secrets_are_read_whole_or_refused, make, unmake),
        cmocka_unit_test_setup_teardown(a_value_over_the_ceiling_is_refused_by_its_number, make,
                                        unmake),
        cmocka_unit_test(standard_input_and_a_key_are_taken_once),
        cmocka_unit_test(ids_and_targets_are_made_as_kubelet_makes_them),
        cmocka_unit_test(only_the_empty_folders_of_the_pod_are_removed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
