/* SPDX-License-Identifier: Apache-2.0
 *
 * When the end of the audit's chain is noted on the node.
 */
/* WRAP: audit_view_of events_put clock_mono_ms */
#include "agent/audit_head.h"
#include "tests/check.h"

enum { MINUTE_MS = 60 * 1000, EVERY_MS = 10 * MINUTE_MS };

static struct {
    int64_t now_ms;
    int64_t seq;
    int notes;
} fake;

struct audit_view __wrap_audit_view_of(struct audit *audit);
struct audit_view __wrap_audit_view_of(struct audit *audit)
{
    (void)audit;
    return (struct audit_view){ .head = { .seq = fake.seq, .hash = "ab" } };
}

void __wrap_events_put(struct events *events, const struct event *event);
void __wrap_events_put(struct events *events, const struct event *event)
{
    autofree char *note = str_printf("%d ab", (int)fake.seq);

    (void)events;
    assert_int_equal(event->reason, EVENT_AUDIT_HEAD);
    assert_string_equal(event->note, note);
    fake.notes++;
}

int64_t __wrap_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void)
{
    return fake.now_ms;
}

static const struct {
    const char *says;
    int64_t minute;
    int64_t seq;
    int notes; /* until then */
} rows[] = {
    { "nothing is written yet", 1, 0, 0 },
    { "the first head is noted at once", 2, 1, 1 },
    { "one that moved waits for its turn", 5, 2, 1 },
    { "and is noted then", 12, 2, 2 },
    { "one that has not moved is not", 30, 2, 2 },
    { "until the server is about to forget its Event, which it does after an hour", 43, 2, 3 },
    { "and again", 74, 2, 4 },
    { "one that moved is noted as before", 85, 3, 5 },
};

static void the_head_is_noted_when_it_moved_and_before_it_is_forgotten(void **state)
{
    struct audit_head head = { 0 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        fake.now_ms = rows[i].minute * MINUTE_MS;
        fake.seq = rows[i].seq;
        audit_head_note(&head, NULL, NULL, "n1", EVERY_MS);
        if (fake.notes != rows[i].notes)
            fail_msg("%s: %d notes, not %d", rows[i].says, fake.notes, rows[i].notes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_head_is_noted_when_it_moved_and_before_it_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
