/* SPDX-License-Identifier: Apache-2.0
 *
 * How a Secret stands after each try: when it is tried again, what is held back, and what is news.
 */
#include "agent/secret_standing.h"
#include "lib/base/clock.h"
#include "tests/check.h"

enum { CHECK_MS = 300000, BUSY_MS = 5000 };

#define FAILS(result_, text_)                                                                      \
    {                                                                                              \
        .result = (result_), .code = CODE_UNAVAILABLE, .text = (text_)                             \
    }
#define WORKS                                                                                      \
    {                                                                                              \
        .result = SECRET_KEPT                                                                      \
    }

struct step {
    enum secret_result result;
    enum code code;
    const char *text;
    bool unanswered;
    bool is_past;
    int64_t retry_after_ms;
};

/* After the last of its tries. */
static const struct {
    const char *says;
    struct step steps[8];
    int64_t next_ms; /* +-25 % */
    bool exact;
    bool held; /* not before then */
    bool owned;
    bool news;
} rows[] = {
    { .says = "one as wished is looked at by the interval",
      .steps = { WORKS },
      .next_ms = CHECK_MS,
      .owned = true },
    { .says = "what failed is tried again soon",
      .steps = { FAILS(SECRET_FAILED, "a") },
      .next_ms = SECRET_RETRY_MS },
    { .says = "and then later",
      .steps = { FAILS(SECRET_FAILED, "a"), FAILS(SECRET_FAILED, "a"), FAILS(SECRET_FAILED, "a") },
      .next_ms = 4 * SECRET_RETRY_MS },
    { .says = "and people are told when it goes on",
      .steps = { FAILS(SECRET_FAILED, "a"), FAILS(SECRET_FAILED, "a"), FAILS(SECRET_FAILED, "a"),
                 FAILS(SECRET_FAILED, "a") },
      .next_ms = 8 * SECRET_RETRY_MS,
      .news = true },
    { .says = "once",
      .steps = { FAILS(SECRET_FAILED, "a"), FAILS(SECRET_FAILED, "a"), FAILS(SECRET_FAILED, "a"),
                 FAILS(SECRET_FAILED, "a"), FAILS(SECRET_FAILED, "a") },
      .next_ms = 16 * SECRET_RETRY_MS },
    { .says = "and again when it works",
      .steps = { FAILS(SECRET_FAILED, "a"), FAILS(SECRET_FAILED, "a"), FAILS(SECRET_FAILED, "a"),
                 FAILS(SECRET_FAILED, "a"), WORKS },
      .next_ms = CHECK_MS,
      .owned = true,
      .news = true },
    { .says = "but not of what they never heard",
      .steps = { FAILS(SECRET_FAILED, "a"), WORKS },
      .next_ms = CHECK_MS,
      .owned = true },
    { .says = "a busy server says when",
      .steps = { { .result = SECRET_FAILED,
                   .code = CODE_UNAVAILABLE,
                   .text = "busy",
                   .retry_after_ms = BUSY_MS } },
      .next_ms = BUSY_MS,
      .held = true },
    { .says = "while nobody answers it is asked for at once, whoever finds out",
      .steps = { { .result = SECRET_FAILED,
                   .code = CODE_UNAVAILABLE,
                   .text = "away",
                   .unanswered = true } },
      .next_ms = SECRET_RETRY_MS,
      .exact = true },
    { .says = "a denial is told, and held back",
      .steps = { FAILS(SECRET_DENIED, "no") },
      .next_ms = SECRET_DENIED_MS,
      .held = true,
      .news = true },
    { .says = "the same denial is no news, and held back longer",
      .steps = { FAILS(SECRET_DENIED, "no"), FAILS(SECRET_DENIED, "no"),
                 FAILS(SECRET_DENIED, "no") },
      .next_ms = 4 * SECRET_DENIED_MS,
      .held = true },
    { .says = "another one is",
      .steps = { FAILS(SECRET_DENIED, "no"), FAILS(SECRET_REFUSED, "not ours") },
      .next_ms = 2 * SECRET_DENIED_MS,
      .held = true,
      .news = true },
    { .says = "a denial of what is not wished for any more holds nothing back",
      .steps = { { .result = SECRET_DENIED,
                   .code = CODE_UNAVAILABLE,
                   .text = "no",
                   .is_past = true } },
      .next_ms = SECRET_DENIED_MS,
      .news = true },
};

static void each_try_has_its_next_time_and_its_news(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct secret_standings all CLEANUP(secret_standings_done) = { 0 };
        struct secret_standing *st = secret_standing_of(&all, "db");
        int64_t slack = rows[i].exact ? 0 : rows[i].next_ms / 4;
        int64_t ms = -1;
        bool news = false;

        for (size_t k = 0; k < COUNT_OF(rows[i].steps); k++) {
            const struct step *step = &rows[i].steps[k];
            struct error err = { .code = step->code, .retry_after_ms = step->retry_after_ms };
            const struct secret_try try = { step->result, &err, CHECK_MS, step->unanswered,
                                            step->is_past };

            if (!step->result && !step->code)
                break;
            (void)snprintf(err.msg, sizeof(err.msg), "%s", step->text ? step->text : "");
            ms = secret_standing_settle(st, &try, &news);
        }
        if (ms < rows[i].next_ms - slack || ms > rows[i].next_ms + slack)
            fail_msg("%s: after %lld ms", rows[i].says, (long long)ms);
        if (news != rows[i].news || st->owned != rows[i].owned)
            fail_msg("%s: news %d, owned %d", rows[i].says, news, st->owned);
        if ((st->not_before_ms > clock_mono_ms()) != rows[i].held)
            fail_msg("%s: held back until %lld", rows[i].says, (long long)st->not_before_ms);
    }
}

static void what_is_denied_is_tried_within_the_hour_however_often(void **state)
{
    struct secret_standings all CLEANUP(secret_standings_done) = { 0 };
    const struct error err = { .code = CODE_PERMISSION_DENIED, .msg = "no" };
    const struct secret_try try = { .result = SECRET_DENIED, .err = &err };
    int64_t ms = 0;
    bool news;

    (void)state;
    for (int i = 0; i < 100; i++)
        ms = secret_standing_settle(secret_standing_of(&all, "db"), &try, &news);
    assert_in_range(ms, SECRET_DENIED_MAX_MS / 4 * 3, SECRET_DENIED_MAX_MS / 4 * 5);
}

static void each_secret_stands_on_its_own_until_another_thing_is_wished_for(void **state)
{
    struct secret_standings all CLEANUP(secret_standings_done) = { 0 };
    const struct error no = { .code = CODE_PERMISSION_DENIED, .msg = "no" };
    const struct error fine = { 0 };
    const struct secret_try bad = { .result = SECRET_DENIED, .err = &no };
    const struct secret_try good = { .result = SECRET_APPLIED, .err = &fine };
    bool news;

    (void)state;
    (void)secret_standing_settle(secret_standing_of(&all, "a"), &bad, &news);
    (void)secret_standing_settle(secret_standing_of(&all, "b"), &good, &news);
    assert_int_equal(all.count, 2);
    assert_int_equal(secret_standings_behind(&all), 1);
    secret_standings_forgive(&all);
    assert_int_equal(secret_standings_behind(&all), 0);
    assert_int_equal(secret_standing_of(&all, "a")->not_before_ms, 0);
    assert_false(secret_standing_of(&all, "a")->owned);
    assert_true(secret_standing_of(&all, "b")->owned);
    (void)secret_standing_settle(secret_standing_of(&all, "a"), &bad, &news);
    assert_true(news);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_try_has_its_next_time_and_its_news),
        cmocka_unit_test(what_is_denied_is_tried_within_the_hour_however_often),
        cmocka_unit_test(each_secret_stands_on_its_own_until_another_thing_is_wished_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
