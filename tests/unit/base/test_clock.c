/* SPDX-License-Identifier: Apache-2.0
 *
 * Durations as Go reads and writes them, RFC 3339 stamps, clocks that go forwards.
 */
/* WRAP: clock_gettime */
#include <stdbool.h>

#include "lib/base/clock.h"
#include "tests/check.h"
#include "tests/slept.h"

static const struct {
    const char *text;
    int64_t ms; /* -1: must be refused */
} durations[] = {
    { "0", 0 },
    { "0s", 0 },
    { "1s", 1000 },
    { "2m30s", 150000 },
    { "1.5h", 5400000 },
    { "300ms", 300 },
    { "1.001s", 1001 },
    { "0.57s", 570 },
    { ".5s", 500 },
    { "1.s", 1000 },
    { "1500us", 1 },
    { "999999ns", 0 },
    { "1000000ns", 1 },
    { "1h1m1s1ms", 3661001 },
    { "1s1s", 2000 },
    { "876000h", 3153600000000 },
    { "876001h", -1 },
    { "", -1 },
    { "30", -1 },
    { "00", -1 },
    { "-1m", -1 },
    { "+1m", -1 },
    { "1 m", -1 },
    { " 1m", -1 },
    { "1m ", -1 },
    { "1x", -1 },
    { "m", -1 },
    { ".s", -1 },
    { "1d", -1 },
    { "0x10s", -1 },
    { "1e3s", -1 },
    { "infs", -1 },
    { "nans", -1 },
    { "1..5s", -1 },
    { "1M", -1 },
    { "1m-1s", -1 },
    { "99999999999999999999999999h", -1 },
};

static void durations_are_read_as_go_reads_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(durations); i++) {
        int64_t got = -1;
        struct error err = { 0 };

        if (duration_parse(durations[i].text, &got, &err) < 0) {
            assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
            assert_true(str_ends(err.msg, "is not a duration: write it like 90s, 2m30s or 1h"));
            got = -1;
        }
        if (got != durations[i].ms)
            fail_msg("%s gave %lld ms", durations[i].text, (long long)got);
    }
}

static void durations_are_written_as_go_writes_them(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        { 0, "0s" },           { 1000, "1s" },          { 59000, "59s" },
        { 60000, "1m0s" },     { 120000, "2m0s" },      { 3599000, "59m59s" },
        { 3600000, "1h0m0s" }, { 90061000, "25h1m1s" }, { 300, "300ms" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[CLOCK_STAMP_MAX];
        int64_t back = -1;

        duration_format(rows[i].ms, text);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(duration_parse(text, &back, NULL), 0);
        assert_int_equal(back, rows[i].ms);
    }
}

static const struct {
    const char *text;
    int64_t ms; /* -1: must be refused */
} stamps[] = {
    { "1970-01-01T00:00:00Z", 0 },
    { "2026-02-01T15:04:05Z", 1769958245000 },
    { "2026-02-01T15:04:05.1Z", 1769958245100 },
    { "2026-02-01T15:04:05.123456789Z", 1769958245123 },
    { "2026-02-01T15:04:05.009Z", 1769958245009 },
    { "2026-02-01T16:04:05+01:00", 1769958245000 },
    { "2026-02-01T09:34:05.5-05:30", 1769958245500 },
    { "2024-02-29T00:00:00Z", 1709164800000 },
    { "", -1 },
    { "2026-02-01", -1 },
    { "2026-02-01T15:04:05", -1 },
    { "2026-02-01 15:04:05Z", -1 },
    { "2026-02-01t15:04:05z", -1 },
    { "2026-2-1T15:04:05Z", -1 },
    { "26-02-01T15:04:05Z", -1 },
    { " 2026-02-01T15:04:05Z", -1 },
    { "2026-02-01T15:04:05Z ", -1 },
    { "2026-02-01T15:04Z", -1 },
    { "2026-02-30T15:04:05Z", -1 },
    { "2026-13-01T15:04:05Z", -1 },
    { "2026-00-01T15:04:05Z", -1 },
    { "2026-02-00T15:04:05Z", -1 },
    { "2026-02-01T24:00:00Z", -1 },
    { "2026-02-01T15:60:05Z", -1 },
    { "2026-02-01T15:04:60Z", -1 },
    { "2026-02-01T15:04:05.Z", -1 },
    { "2026-02-01T15:04:05.5e3Z", -1 },
    { "2026-02-01T15:04:05,5Z", -1 },
    { "2026-02-01T15:04:05+1:00", -1 },
    { "2026-02-01T15:04:05+01", -1 },
    { "2026-02-01T15:04:05+0100", -1 },
    { "2026-02-01T15:04:05+24:00", -1 },
    { "2026-02-01T15:04:05+00:60", -1 },
    { "2026-02-01T15:04:05+-1:00", -1 },
    { "2026-02-01T15:04:05+01:00x", -1 },
    { "2023-02-29T00:00:00Z", -1 },
};

static void stamps_are_read_strictly(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(stamps); i++) {
        int64_t got = -1;
        struct error err = { 0 };

        if (stamp_parse(stamps[i].text, &got, &err) < 0) {
            assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
            got = -1;
        }
        if (got != stamps[i].ms)
            fail_msg("\"%s\" gave %lld ms", stamps[i].text, (long long)got);
    }
}

static void stamps_are_written_in_utc_with_milliseconds(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        { 0, "1970-01-01T00:00:00.000Z" },
        { 1769958245123, "2026-02-01T15:04:05.123Z" },
        { -1, "1969-12-31T23:59:59.999Z" },
        { -1000, "1969-12-31T23:59:59.000Z" },
        { -62167219200000, "0000-01-01T00:00:00.000Z" },
        { 253402300799999, "9999-12-31T23:59:59.999Z" },
    };
    char text[CLOCK_STAMP_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t back = 0;

        stamp_format(rows[i].ms, text);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(stamp_parse(text, &back, NULL), 0);
        assert_int_equal(back, rows[i].ms);
    }
    stamp_format(INT64_MAX, text);
    assert_string_equal(text, "292278994-08-17T07:12:55.807Z");
}

static void the_clocks_go_forwards_and_agree(void **state)
{
    int64_t us = clock_mono_us();
    int64_t ms = clock_mono_ms();
    struct timespec then = duration_timespec(12345);

    (void)state;
    assert_in_range(ms, us / 1000, us / 1000 + 1000);
    clock_sleep_ms(5);
    assert_true(clock_mono_us() - us >= 5000);
    assert_true(clock_unix_ms() > 1700000000000);
    assert_int_equal(then.tv_sec, 12);
    assert_int_equal(then.tv_nsec, 345000000);
}

static void the_time_that_a_machine_sleeps_counts_and_no_wait_is_longer_for_it(void **state)
{
    int64_t before = clock_mono_ms();
    struct timespec now;
    struct timespec until;

    (void)state;
    slept_add(3600);
    assert_in_range(clock_mono_ms() - before, 3600 * MS_PER_S, 3660 * MS_PER_S);
    assert_in_range(clock_mono_us() / 1000 - before, 3600 * MS_PER_S, 3660 * MS_PER_S);
    (void)__real_clock_gettime(CLOCK_MONOTONIC, &now);
    until = clock_mono_until(clock_mono_ms() + 100 * MS_PER_S);
    assert_in_range(until.tv_sec - now.tv_sec, 99, 160);
    clock_sleep_ms(1); /* or the suite takes an hour */
    until = clock_mono_until(0);
    assert_int_equal(until.tv_sec, 0);
    assert_int_equal(until.tv_nsec, 0);
    slept_add(-3600);
}

static void jitter_spreads_within_its_share_and_to_both_sides(void **state)
{
    bool below = false;
    bool above = false;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        int64_t ms = clock_jitter_ms(1000, 10);

        assert_in_range(ms + 100, 0, 200);
        below = below || ms < 0;
        above = above || ms > 0;
    }
    assert_true(below && above);
    assert_int_equal(clock_jitter_ms(9, 10), 0);
    assert_int_equal(clock_jitter_ms(0, 10), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_time_that_a_machine_sleeps_counts_and_no_wait_is_longer_for_it),
        cmocka_unit_test(jitter_spreads_within_its_share_and_to_both_sides),
        cmocka_unit_test(durations_are_read_as_go_reads_them),
        cmocka_unit_test(durations_are_written_as_go_writes_them),
        cmocka_unit_test(stamps_are_read_strictly),
        cmocka_unit_test(stamps_are_written_in_utc_with_milliseconds),
        cmocka_unit_test(the_clocks_go_forwards_and_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
