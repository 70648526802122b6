/* SPDX-License-Identifier: Apache-2.0
 *
 * What locketctl prints: grids on a terminal and in a pipe, messages as JSON.
 */
#include "ctl/grid.h"
#include "ctl/message_json.h"
#include "locket/admin.pb-c.h"
#include "tests/check.h"

static char *printed;
static size_t printed_len;

static void print(const struct grid *g, bool terminal, bool colour)
{
    struct ctl ctl = { .terminal = terminal, .colour = colour };

    free(printed);
    printed = NULL;
    ctl.out = open_memstream(&printed, &printed_len);
    grid_print(g, &ctl);
    assert_int_equal(fclose(ctl.out), 0);
}

static void a_grid_is_aligned_on_a_terminal_and_tabbed_in_a_pipe(void **state)
{
    struct grid g CLEANUP(grid_done) = { .columns = 3 };

    (void)state;
    grid_add(&g, GRID_BOLD, "A");
    grid_add(&g, GRID_BOLD, "LONG");
    grid_add(&g, GRID_BOLD, "C");
    grid_add(&g, GRID_GOOD, "\xc3\xbc\xc3\xbc"); /* two characters, four bytes */
    grid_add(&g, GRID_PLAIN, NULL);
    grid_printf(&g, GRID_BAD, "%d", 7);
    print(&g, true, false);
    assert_string_equal(printed, "A   LONG  C\n\xc3\xbc\xc3\xbc        7\n");
    print(&g, false, false);
    assert_string_equal(printed, "A\tLONG\tC\n\xc3\xbc\xc3\xbc\t\t7\n");
    print(&g, true, true);
    assert_non_null(strstr(printed, "\033[1mA\033[0m   \033[1mLONG\033[0m"));
    assert_non_null(strstr(printed, "\033[31m7\033[0m\n"));
    grid_add(&g, GRID_PLAIN, "end");
    grid_add(&g, GRID_PLAIN, "");
    grid_add(&g, GRID_PLAIN, "");
    print(&g, true, false);
    assert_non_null(strstr(printed, "7\nend\n")); /* no blanks behind what is seen */
}

static void a_terminal_is_never_told_what_to_do(void **state)
{
    struct grid g CLEANUP(grid_done) = { .columns = 1 };

    (void)state;
    grid_add(&g, GRID_PLAIN, "a\033[2Jb\tc\nd\x7f");
    print(&g, false, false);
    assert_string_equal(printed, "a?[2Jb?c?d?\n");
}

static void ages_are_short(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        { -1, "-\n" },         { 0, "0s\n" },       { 119999, "119s\n" },   { 120000, "2m\n" },
        { 7199999, "119m\n" }, { 7200000, "2h\n" }, { 172799999, "47h\n" }, { 172800000, "2d\n" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct grid g CLEANUP(grid_done) = { .columns = 1 };

        grid_add_age(&g, GRID_PLAIN, rows[i].ms);
        print(&g, false, false);
        assert_string_equal(printed, rows[i].text);
    }
}

static void any_message_becomes_json_by_its_descriptor(void **state)
{
    Locket__Admin__V1__Volume v = LOCKET__ADMIN__V1__VOLUME__INIT;
    Locket__Admin__V1__Volume *volumes[] = { &v, &v };
    Locket__Admin__V1__ObjectVersion o = LOCKET__ADMIN__V1__OBJECT_VERSION__INIT;
    Locket__Admin__V1__ObjectVersion *objects[] = { &o };
    Locket__Admin__V1__ListResponse list = LOCKET__ADMIN__V1__LIST_RESPONSE__INIT;
    Locket__Admin__V1__StatusResponse status = LOCKET__ADMIN__V1__STATUS_RESPONSE__INIT;
    Locket__Admin__V1__StatusResponse__VolumesByStateEntry state_entry =
        LOCKET__ADMIN__V1__STATUS_RESPONSE__VOLUMES_BY_STATE_ENTRY__INIT;
    Locket__Admin__V1__StatusResponse__VolumesByStateEntry *entries[] = { &state_entry };
    char *warnings[] = { (char *)"a \"quote\"", (char *)"b" };
    struct strbuf out CLEANUP(strbuf_done) = { 0 };

    (void)state;
    v.volume_id = (char *)"csi-1";
    v.generation = 18446744073709551615ULL;
    v.next_due_ms = -1;
    v.stale = 1;
    o.id = (char *)"a";
    o.version = (char *)"2";
    v.n_objects = 1;
    v.objects = objects;
    list.n_volumes = 2;
    list.volumes = volumes;
    message_json(&list.base, &out);
    assert_non_null(strstr(strbuf_text(&out), "{\"volumes\":[{\"volume_id\":\"csi-1\",\"target\":"
                                              "\"\","));
    assert_non_null(strstr(strbuf_text(&out), "\"generation\":18446744073709551615,\"objects\":[{"
                                              "\"id\":\"a\",\"version\":\"2\"}],"));
    assert_non_null(strstr(strbuf_text(&out), "\"next_due_ms\":-1,"));
    assert_non_null(strstr(strbuf_text(&out), "\"waiting_for_credentials\":false,\"stale\":true,"));
    strbuf_reset(&out);
    state_entry.key = (char *)"idle";
    state_entry.value = 3;
    status.n_volumes_by_state = 1;
    status.volumes_by_state = entries;
    status.n_warnings = 2;
    status.warnings = warnings;
    message_json(&status.base, &out);
    assert_non_null(strstr(strbuf_text(&out), "\"volumes_by_state\":{\"idle\":3},"));
    assert_non_null(strstr(strbuf_text(&out), "\"flags\":{},\"warnings\":[\"a \\\"quote\\\"\","
                                              "\"b\"],\"registered\":false,"));
}

static int forget(void **state)
{
    (void)state;
    free(printed);
    printed = NULL;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grid_is_aligned_on_a_terminal_and_tabbed_in_a_pipe),
        cmocka_unit_test(a_terminal_is_never_told_what_to_do),
        cmocka_unit_test(ages_are_short),
        cmocka_unit_test(any_message_becomes_json_by_its_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, forget);
}
