/* SPDX-License-Identifier: Apache-2.0
 *
 * Notes on their way: in their order, again until they are taken, and counted where there is no
 * room.
 */
#include <pthread.h>

#include "driver/cluster/note_queue.h"
#include "lib/base/clock.h"
#include "tests/check.h"

enum { PATIENCE_MS = 10000, SEEN_MAX = 64 };

typedef Locket__Cluster__V1__NoteRequest Note;

/* Somebody who takes notes, or does not. */
static struct {
    pthread_mutex_t lock;
    struct error answer; /* code OK: it takes them */
    char seen[SEEN_MAX][16];
    size_t count;
    size_t tries;
    int64_t lost;
} taker = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int take_note(void *arg, const Note *note, struct cancel *cancel, struct error *err)
{
    int result = -1;

    (void)arg;
    (void)cancel;
    (void)pthread_mutex_lock(&taker.lock);
    taker.tries++;
    if (taker.answer.code) {
        (void)error_copy(err, &taker.answer);
    } else {
        (void)snprintf(taker.seen[taker.count++ % SEEN_MAX], sizeof(taker.seen[0]), "%s",
                       note->volume_id);
        taker.lost += note->lost;
        result = 0;
    }
    (void)pthread_mutex_unlock(&taker.lock);
    return result;
}

static void answer(enum code code)
{
    (void)pthread_mutex_lock(&taker.lock);
    taker.answer = (struct error){ .code = code };
    (void)pthread_mutex_unlock(&taker.lock);
}

static int reset(void **state)
{
    (void)state;
    answer(CODE_OK);
    taker.count = taker.tries = 0;
    taker.lost = 0;
    return 0;
}

static void put(struct note_queue *q, const char *id)
{
    note_queue_put(q, &(struct volume_note){ .kind = NOTE_PUBLISHED, .volume_id = id });
}

static size_t read_count(const size_t *count)
{
    size_t now;

    (void)pthread_mutex_lock(&taker.lock);
    now = *count;
    (void)pthread_mutex_unlock(&taker.lock);
    return now;
}

static size_t seen(void)
{
    return read_count(&taker.count);
}

/* So many more than there were. */
static void wait_for_tries(size_t more)
{
    size_t count = read_count(&taker.tries) + more;
    int64_t end = clock_mono_ms() + PATIENCE_MS;

    while (read_count(&taker.tries) < count && clock_mono_ms() < end)
        clock_sleep_ms(5);
    assert_true(read_count(&taker.tries) >= count);
}

static void wait_for(size_t count)
{
    int64_t end = clock_mono_ms() + PATIENCE_MS;

    while (seen() < count && clock_mono_ms() < end)
        clock_sleep_ms(5);
    assert_int_equal(seen(), count);
}

static void all_arrive_in_their_order_though_they_are_of_one_volume(void **state)
{
    struct note_queue *q = note_queue_new(take_note, NULL);

    (void)state;
    put(q, "a");
    put(q, "a");
    put(q, "b");
    wait_for(3);
    assert_string_equal(taker.seen[0], "a");
    assert_string_equal(taker.seen[2], "b");
    note_queue_free(q);
}

static void who_is_away_gets_them_when_he_is_back(void **state)
{
    struct note_queue *q = note_queue_new(take_note, NULL);

    (void)state;
    answer(CODE_UNAVAILABLE);
    put(q, "a");
    put(q, "b");
    while (!read_count(&taker.tries))
        clock_sleep_ms(5);
    answer(CODE_OK);
    wait_for(2);
    assert_string_equal(taker.seen[0], "a");
    assert_int_equal(taker.lost, 0);
    note_queue_free(q);
}

static void one_that_is_refused_is_lost_and_the_next_says_so(void **state)
{
    struct note_queue *q = note_queue_new(take_note, NULL);
    int64_t end = clock_mono_ms() + PATIENCE_MS;

    (void)state;
    answer(CODE_INVALID_ARGUMENT);
    put(q, "a");
    while (!note_queue_lost(q) && clock_mono_ms() < end)
        clock_sleep_ms(5);
    answer(CODE_OK);
    put(q, "b");
    wait_for(1);
    assert_int_equal(taker.lost, 1);
    assert_int_equal(note_queue_lost(q), 0);
    note_queue_free(q);
}

static void what_does_not_fit_is_counted_and_told(void **state)
{
    struct note_queue *q = note_queue_new(take_note, NULL);
    int64_t lost;

    (void)state;
    answer(CODE_UNAVAILABLE);
    for (size_t i = 0; i < NOTE_QUEUE_MAX + 10; i++)
        put(q, "a");
    lost = note_queue_lost(q);
    assert_in_range((uintmax_t)lost, 9, 10); /* one is on its way */
    wait_for_tries(2);                       /* one that told of them was not taken either */
    answer(CODE_OK);
    wait_for(NOTE_QUEUE_MAX + 10 - (size_t)lost);
    assert_int_equal(taker.lost, lost);
    note_queue_free(q);
}

static void large_notes_are_bounded_by_their_bytes(void **state)
{
    enum { TEXT = 1 << 20 };
    struct note_queue *q = note_queue_new(take_note, NULL);
    autofree char *text = xmalloc(TEXT + 1);
    struct volume_note note = { .kind = NOTE_PUBLISHED, .volume_id = "a", .class_name = text };

    (void)state;
    memset(text, 'x', TEXT);
    text[TEXT] = '\0';
    answer(CODE_UNAVAILABLE);
    for (size_t i = 0; i < NOTE_QUEUE_BYTES_MAX / TEXT + 4; i++)
        note_queue_put(q, &note);
    assert_in_range((uintmax_t)note_queue_lost(q), 4, 6);
    answer(CODE_OK);
    note_queue_free(q);
}

static void an_end_waits_for_a_taker_but_not_for_ever(void **state)
{
    struct note_queue *q = note_queue_new(take_note, NULL);
    int64_t begin;

    (void)state;
    for (size_t i = 0; i < 20; i++)
        put(q, "a");
    note_queue_free(q);
    assert_int_equal(seen(), 20);
    q = note_queue_new(take_note, NULL);
    answer(CODE_UNAVAILABLE);
    put(q, "b");
    begin = clock_mono_ms();
    note_queue_free(q);
    assert_true(clock_mono_ms() - begin < PATIENCE_MS);
    assert_int_equal(seen(), 20);
}

/* An agent that took the call and says nothing: its ten seconds are not the driver's. */
static int take_for_ever(void *arg, const Note *note, struct cancel *cancel, struct error *err)
{
    (void)arg;
    (void)note;
    (void)cancel_sleep_ms(cancel, PATIENCE_MS);
    return error_set(err, CODE_CANCELLED, "cancelled");
}

static void an_end_takes_back_a_note_that_nobody_answers(void **state)
{
    struct note_queue *q = note_queue_new(take_for_ever, NULL);
    int64_t begin = clock_mono_ms();

    (void)state;
    put(q, "a");
    note_queue_free(q);
    assert_true(clock_mono_ms() - begin < PATIENCE_MS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_arrive_in_their_order_though_they_are_of_one_volume, reset),
        cmocka_unit_test_setup(who_is_away_gets_them_when_he_is_back, reset),
        cmocka_unit_test_setup(one_that_is_refused_is_lost_and_the_next_says_so, reset),
        cmocka_unit_test_setup(what_does_not_fit_is_counted_and_told, reset),
        cmocka_unit_test_setup(large_notes_are_bounded_by_their_bytes, reset),
        cmocka_unit_test_setup(an_end_waits_for_a_taker_but_not_for_ever, reset),
        cmocka_unit_test_setup(an_end_takes_back_a_note_that_nobody_answers, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
