/* SPDX-License-Identifier: Apache-2.0
 *
 * A chain of lines: what it shows of a change, and what it takes for none.
 */
#include <unistd.h>

#include "lib/base/crypto_chain.h"
#include "lib/base/encode.h"
#include "lib/base/json.h"
#include "tests/check.h"

static char key_file[] = "/tmp/locket-chain-XXXXXX";

static void write_key(const char *text)
{
    FILE *f = fopen(key_file, "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int make_file(void **state)
{
    int fd = mkstemp(key_file);

    (void)state;
    assert_true(fd >= 0);
    return close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(key_file);
}

#define KEY_A "0123456789abcdef0123456789abcdef"
#define KEY_B "0123456789abcdef0123456789abcdeF"

static void read_key(const char *text, struct chain_key *ret)
{
    struct error err = { 0 };

    write_key(text);
    if (chain_key_read(key_file, ret, &err) < 0)
        fail_msg("%s", err.msg);
}

/* Adds a line, and gives it alone, without its line break. */
static char *next_line(struct chain_head *head, const struct chain_key *key, const char *members)
{
    struct strbuf out CLEANUP(strbuf_done) = { 0 };

    assert_int_equal(chain_add(head, key, members, &out, head, NULL), 0);
    assert_int_equal(out.text[out.len - 1], '\n');
    out.text[--out.len] = '\0';
    return strbuf_take(&out);
}

static bool holds(const char *line, size_t len, const struct chain_key *key)
{
    bool whole = false;

    return chain_line_check(line, len, key, &whole, NULL) == 0 && whole;
}

static void lines_are_json_and_follow_each_other(void **state)
{
    struct chain_head head = { 0 };
    autofree char *first = next_line(&head, NULL, "\"event\":\"start\"");
    autofree char *second = next_line(&head, NULL, "\"event\":\"publish\",\"x\":\"\\\"}\"");
    struct chain_line a;
    struct chain_line b;
    struct tree *t autotree = NULL;

    (void)state;
    assert_int_equal(chain_line_read(first, strlen(first), &a, NULL), 0);
    assert_int_equal(chain_line_read(second, strlen(second), &b, NULL), 0);
    assert_true(chain_is_first(&a));
    assert_false(chain_is_first(&b));
    assert_int_equal(a.self.seq, 1);
    assert_int_equal(b.self.seq, 2);
    assert_string_equal(b.prev, a.self.hash);
    assert_string_equal(head.hash, b.self.hash);
    assert_string_equal(a.key_id, "");
    assert_int_equal(json_parse(second, strlen(second), &t, NULL), 0);
    assert_string_equal(tree_get_text(t, "prev"), a.self.hash);
    assert_string_equal(tree_get_text(t, "x"), "\"}");
}

static void the_hash_of_a_line_is_sha256_of_what_stands_before_it(void **state)
{
    static const char known[] = "{\"audit\":1,\"seq\":1,\"event\":\"start\",\"prev\":"
                                "\"0000000000000000000000000000000000000"
                                "000000000000000000000000000\",\"hash\":\"";
    struct chain_head head = { 0 };
    autofree char *line = next_line(&head, NULL, "\"event\":\"start\"");
    struct strbuf hex CLEANUP(strbuf_done) = { 0 };
    uint8_t digest[SHA256_BYTES];

    (void)state;
    assert_memory_equal(line, known, sizeof(known) - 1);
    assert_int_equal(sha256(line, (size_t)(strstr(line, ",\"hash\"") - line), digest, NULL), 0);
    hex_encode(&hex, digest, sizeof(digest));
    assert_string_equal(head.hash, hex.text);
}

static void a_change_of_any_byte_is_seen(void **state)
{
    static const char *const keys[] = { NULL, KEY_A };

    (void)state;
    for (size_t k = 0; k < COUNT_OF(keys); k++) {
        struct chain_key key CLEANUP(chain_key_done) = { 0 };
        struct chain_head head = { 0 };
        const struct chain_key *used = keys[k] ? &key : NULL;
        autofree char *line = NULL;
        size_t len;

        if (used)
            read_key(keys[k], &key);
        line = next_line(&head, used, "\"event\":\"publish\",\"pod\":\"web\"");
        len = strlen(line);
        assert_true(holds(line, len, used));
        for (size_t i = 0; i < len; i++) {
            line[i] ^= 1;
            if (holds(line, len, used))
                fail_msg("byte %zu of %s", i, line);
            line[i] ^= 1;
        }
        for (size_t cut = 0; cut < len; cut++)
            assert_false(holds(line, cut, used));
    }
}

static void what_is_no_line_of_a_chain_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "{}",
        "W1124 01:02:03.000004 [7] a log line",
        "{\"audit\":1,\"seq\":0,\"event\":\"x\"%s",
        "{\"audit\":1,\"seq\":01,\"event\":\"x\"%s",
        "{\"audit\":1,\"seq\":-1,\"event\":\"x\"%s",
        "{\"audit\":1,\"seq\":9223372036854775808,\"event\":\"x\"%s",
        "{\"audit\":1,\"seq\":99999999999999999999999,\"event\":\"x\"%s",
        "{\"audit\":1,\"seq\":1,\"key\":\"01234567\",\"event\":\"x\"%s",
        "{\"audit\":1,\"seq\":1,\"key\":\"0123456789ABCDEF\",\"event\":\"x\"%s",
        "{\"audit\":1,\"seq\":1,%s",
        "{\"audit\":1,\"seq\":1%s",
        "{\"audit\":2,\"seq\":1,\"event\":\"x\"%s",
    };
    struct chain_head head = { 0 };
    autofree char *good = next_line(&head, NULL, "\"event\":\"x\"");
    const char *tail = strstr(good, ",\"prev\"");
    struct chain_line place;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *mark = strstr(rows[i], "%s");
        autofree char *line =
            mark ? str_printf("%.*s%s", (int)(mark - rows[i]), rows[i], tail) : xstrdup(rows[i]);

        if (chain_line_read(line, strlen(line), &place, NULL) == 0)
            fail_msg("taken for a line: %s", line);
    }
    assert_int_equal(chain_line_read(good, strlen(good), &place, NULL), 0);
}

static void a_line_holds_under_its_own_key_alone(void **state)
{
    struct chain_key a CLEANUP(chain_key_done) = { 0 };
    struct chain_key b CLEANUP(chain_key_done) = { 0 };
    struct chain_head head = { 0 };
    struct chain_line place;
    autofree char *line = NULL;

    (void)state;
    read_key(KEY_A, &a);
    read_key(KEY_B, &b);
    line = next_line(&head, &a, "\"event\":\"x\"");
    assert_int_equal(chain_line_read(line, strlen(line), &place, NULL), 0);
    assert_string_equal(place.key_id, a.id);
    assert_string_not_equal(a.id, b.id);
    assert_true(holds(line, strlen(line), &a));
    assert_false(holds(line, strlen(line), &b));
    assert_false(holds(line, strlen(line), NULL));
    free(line);
    line = next_line(&head, NULL, "\"event\":\"x\"");
    assert_false(holds(line, strlen(line), &a)); /* a chain made anew without the key */
    free(line);
    line = next_line(&head, NULL, "\"key\":\"0123456789abcdef\",\"event\":\"x\"");
    assert_false(holds(line, strlen(line), NULL)); /* names a key that it was not made with */
}

static void a_key_file_gives_keys_that_differ_from_it_and_each_other(void **state)
{
    struct chain_key a CLEANUP(chain_key_done) = { 0 };
    struct chain_key same CLEANUP(chain_key_done) = { 0 };
    struct secret file CLEANUP(secret_done) = secret_copy(KEY_A, 32);
    char digest[CHAIN_HASH_TEXT];
    char other[CHAIN_HASH_TEXT];

    (void)state;
    read_key(KEY_A, &a);
    read_key(KEY_A "\n", &same);
    assert_true(secret_same(&a.lines, &same.lines));
    assert_string_equal(a.id, same.id);
    assert_false(secret_same(&a.lines, &a.values));
    assert_false(secret_same(&a.lines, &file));
    assert_false(secret_same(&a.lines, &a.contents));
    assert_false(secret_same(&a.values, &a.contents));
    assert_int_equal(chain_digest(&a, "value", 5, digest, NULL), 0);
    assert_int_equal(strlen(digest), 64);
    assert_int_equal(chain_digest_contents(&a, "value", 5, other, NULL), 0);
    assert_string_not_equal(digest, other);
}

static void short_and_missing_keys_are_refused(void **state)
{
    struct chain_key key = { 0 };
    struct error err = { 0 };

    (void)state;
    write_key("0123456789abcdef0123456789abcde\n");
    assert_int_equal(chain_key_read(key_file, &key, &err), -1);
    assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
    assert_non_null(strstr(err.msg, "has 31 bytes"));
    assert_int_equal(chain_key_read("/nowhere/at/all", &key, &err), -1);
    assert_int_equal(err.code, CODE_NOT_FOUND);
    assert_null(key.lines.bytes);
}

static void a_heads_number_is_its_first_52_bits(void **state)
{
    struct chain_head head = { .seq = 1, .hash = "fffffffffffff0123456789abcdef" };

    (void)state;
    assert_true(chain_head_number(&head) == 4503599627370495.0);
    assert_true(chain_head_number(&(struct chain_head){ .hash = "00000000000101" }) == 16);
    assert_true(chain_head_number(&(struct chain_head){ 0 }) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_json_and_follow_each_other),
        cmocka_unit_test(the_hash_of_a_line_is_sha256_of_what_stands_before_it),
        cmocka_unit_test(a_change_of_any_byte_is_seen),
        cmocka_unit_test(what_is_no_line_of_a_chain_is_refused),
        cmocka_unit_test(a_line_holds_under_its_own_key_alone),
        cmocka_unit_test(a_key_file_gives_keys_that_differ_from_it_and_each_other),
        cmocka_unit_test(short_and_missing_keys_are_refused),
        cmocka_unit_test(a_heads_number_is_its_first_52_bits),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
