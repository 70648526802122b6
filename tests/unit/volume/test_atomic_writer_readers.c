/* SPDX-License-Identifier: Apache-2.0
 *
 * Readers while files are swapped under them: pinned ones never meet a torn pair, plain ones never
 * a missing file, holders of a descriptor and a mapping keep the old bytes. The same readers do
 * find a writer in place. TORN_ROTATIONS and TORN_HOLD_S make it long: make soak.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "driver/volume/atomic_writer.h"
#include "lib/base/clock.h"
#include "lib/base/crypto.h"
#include "lib/base/encode.h"
#include "lib/base/number.h"
#include "tests/unit/volume/rig.h"

enum {
    FILES = 4,
    TEXT_BYTES = 900,
    SEAL_BYTES = 16, /* hex digits of the keyed trailer */
    PINNED = 8,
    PLAIN = 8,
    READERS = PINNED + PLAIN,
    HOLDERS = 2,
    GRACE_MS = 10,
    SEEN_MIN = 20,       /* generations that each reader must have met, in the short form */
    SEEN_MIN_LONG = 100, /* in the long one */
    PASSES_MIN_LONG = 10000,
};

/* How long it goes on. */
static int64_t rotations_wanted = 120;
static int64_t hold_s = 1;

static bool is_long(void)
{
    return rotations_wanted >= 10000;
}

struct arena {
    struct folder *folder;
    bool mapped; /* a writer in place cuts files short, and who has one mapped dies of it */
    atomic_bool stop;
    atomic_uint rotations;
};

struct reader {
    struct arena *arena;
    bool pinned;
    pthread_t thread;
    unsigned passes; /* that began and ended within a grace */
    unsigned mixed;  /* passes over files of two generations */
    unsigned torn;   /* files whose bytes are not of one generation */
    unsigned missing;
    unsigned generations; /* different ones seen */
    atomic_uint seen;     /* the same, for the writer to look at */
};

/* What nobody can write who does not know the key: over generation, name and bytes. */
static void seal_of(const char *text, size_t len, char ret[SEAL_BYTES + 1])
{
    static const struct secret key = { .bytes = (uint8_t *)"torn-readers-key", .len = 16 };
    struct strbuf hex CLEANUP(strbuf_done) = { 0 };
    uint8_t digest[SHA256_BYTES];

    assert_int_equal(hmac_sha256(&key, text, len, digest, NULL), 0);
    hex_encode(&hex, digest, SEAL_BYTES / 2);
    memcpy(ret, strbuf_text(&hex), SEAL_BYTES + 1);
}

/* A file's text: "<generation> <name> <filler> <seal of all before>". */
static char *text_for(unsigned generation, size_t file)
{
    struct strbuf text CLEANUP(strbuf_done) = { 0 };
    char seal[SEAL_BYTES + 1];

    strbuf_printf(&text, "%u f%zu ", generation, file);
    while (text.len < TEXT_BYTES)
        strbuf_add_char(&text, (char)('a' + generation % 26));
    seal_of(text.text, text.len, seal);
    strbuf_printf(&text, " %s", seal);
    return strbuf_take(&text);
}

/* The generation that a text is of; 0: of none. */
static unsigned generation_of(const char *text, size_t len, size_t file)
{
    char copy[TEXT_BYTES + SEAL_BYTES + 2] = "";
    char seal[SEAL_BYTES + 1];
    unsigned generation = 0;
    size_t name = 0;

    if (len < TEXT_BYTES + SEAL_BYTES + 1 || len >= sizeof(copy))
        return 0;
    memcpy(copy, text, len);
    seal_of(copy, len - SEAL_BYTES - 1, seal);
    if (sscanf(copy, "%u f%zu ", &generation, &name) != 2 || name != file ||
        memcmp(copy + len - SEAL_BYTES, seal, SEAL_BYTES) != 0)
        return 0;
    return generation;
}

/* 0 with *ret_errno set: it could not be opened. */
static unsigned read_one(int dir_fd, size_t file, int *ret_errno)
{
    char text[TEXT_BYTES + 64];
    char name[16];
    int fd autoclose = -1;
    ssize_t len;

    (void)snprintf(name, sizeof(name), "f%zu", file);
    *ret_errno = 0;
    fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        *ret_errno = errno;
        return 0;
    }
    len = read(fd, text, sizeof(text));
    return len < 0 ? 0 : generation_of(text, (size_t)len, file);
}

static void one_pass(struct reader *r, unsigned *last)
{
    int dir = r->arena->folder->fd;
    int64_t began = clock_mono_ms();
    int pin autoclose = r->pinned ? openat(dir, "..data", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    unsigned first = 0;
    unsigned torn = 0, missing = 0, mixed = 0;

    for (size_t i = 0; i < FILES; i++) {
        int errnum;
        unsigned generation = read_one(r->pinned ? pin : dir, i, &errnum);

        missing += errnum == ENOENT ? 1 : 0;
        torn += !errnum && !generation ? 1 : 0;
        first = first ? first : generation;
        mixed += generation && generation != first ? 1 : 0;
    }
    if (clock_mono_ms() - began >= GRACE_MS - 1)
        return; /* a reader that was put aside for longer than a grace is promised nothing */
    r->passes++;
    r->torn += torn;
    r->missing += missing;
    r->mixed += mixed ? 1 : 0;
    r->generations += first != *last ? 1 : 0;
    atomic_store(&r->seen, r->generations);
    *last = first;
}

static void *run_reader(void *arg)
{
    struct reader *r = arg;
    unsigned last = 0;

    while (!atomic_load(&r->arena->stop))
        one_pass(r, &last);
    return NULL;
}

static bool rotate_ours(struct folder *f, unsigned generation)
{
    struct writer_options options = { .fs_group = (gid_t)-1, .keep_previous = true };
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct write_result result = { 0 };

    for (size_t i = 0; i < FILES; i++) {
        autofree char *name = str_printf("f%zu", i);
        autofree char *text = text_for(generation, i);

        add_rows(&set, (const struct row[]){ { name, text, 0 } }, 1);
    }
    return atomic_writer_write(f->fd, &set, &options, &result, NULL) == 0;
}

static bool rotate_in_place(struct folder *f, unsigned generation)
{
    for (size_t i = 0; i < FILES; i++) {
        autofree char *name = str_printf("..data/f%zu", i);
        autofree char *text = text_for(generation, i);

        put_text(f->fd, name, text);
    }
    return true;
}

/* Holds a descriptor and a mapping of one generation's file and looks at both all the time. */
struct holder {
    struct arena *arena;
    pthread_t thread;
    unsigned looks;
    unsigned changed;
    unsigned held; /* for the whole time wanted */
};

static void hold_one(struct holder *h)
{
    int fd autoclose = openat(h->arena->folder->fd, "f0", O_RDONLY | O_CLOEXEC);
    int64_t end = clock_mono_ms() + hold_s * 1000;
    char first[TEXT_BYTES + 64];
    char now[TEXT_BYTES + 64];
    ssize_t len = pread(fd, first, sizeof(first), 0);
    const char *map = len > 0 ? mmap(NULL, (size_t)len, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

    if (map == MAP_FAILED || !generation_of(first, (size_t)len, 0)) {
        h->changed++;
        return;
    }
    while (!atomic_load(&h->arena->stop) && clock_mono_ms() < end) {
        h->looks++;
        h->changed += pread(fd, now, sizeof(now), 0) != len || memcmp(now, first, (size_t)len) != 0;
        h->changed += h->arena->mapped && memcmp(map, first, (size_t)len) != 0;
        clock_sleep_ms(1);
    }
    h->held += clock_mono_ms() >= end;
    (void)munmap((void *)map, (size_t)len);
}

static void *run_holder(void *arg)
{
    struct holder *h = arg;

    while (!atomic_load(&h->arena->stop))
        hold_one(h);
    return NULL;
}

/* What all saw together. */
struct sums {
    unsigned rotations;
    unsigned passes[2]; /* pinned, plain */
    unsigned mixed[2];
    unsigned torn[2];
    unsigned missing[2];
    unsigned seen_min;
    unsigned seen_max;
    struct holder holders;
};

static unsigned seen_least(struct reader *readers)
{
    unsigned least = UINT_MAX;

    for (size_t i = 0; i < READERS; i++) {
        unsigned seen = atomic_load(&readers[i].seen);

        least = seen < least ? seen : least;
    }
    return least;
}

static void add_up(struct sums *sums, const struct reader *r)
{
    size_t kind = r->pinned ? 0 : 1;

    sums->passes[kind] += r->passes;
    sums->mixed[kind] += r->mixed;
    sums->torn[kind] += r->torn;
    sums->missing[kind] += r->missing;
    sums->seen_min = r->generations < sums->seen_min ? r->generations : sums->seen_min;
    sums->seen_max = r->generations > sums->seen_max ? r->generations : sums->seen_max;
}

/* Rotates every grace with all readers at work, until each has seen enough, at most three times as
 * often as wanted. */
static void observe(struct folder *f, bool (*rotate)(struct folder *f, unsigned generation),
                    struct sums *sums)
{
    struct arena arena = { .folder = f, .mapped = rotate == rotate_ours };
    struct reader readers[READERS] = { 0 };
    struct holder holders[HOLDERS] = { 0 };
    unsigned enough = is_long() ? SEEN_MIN_LONG : SEEN_MIN;
    bool fine = rotate_ours(f, 1);

    *sums = (struct sums){ .rotations = 1, .seen_min = UINT_MAX };
    for (size_t i = 0; i < READERS; i++) {
        readers[i].arena = &arena;
        readers[i].pinned = i < PINNED;
        assert_int_equal(pthread_create(&readers[i].thread, NULL, run_reader, &readers[i]), 0);
    }
    for (size_t i = 0; i < HOLDERS; i++) {
        holders[i].arena = &arena;
        assert_int_equal(pthread_create(&holders[i].thread, NULL, run_holder, &holders[i]), 0);
    }
    while (fine && (sums->rotations < rotations_wanted || seen_least(readers) < enough) &&
           sums->rotations < 3 * rotations_wanted) {
        fine = rotate(f, ++sums->rotations);
        clock_sleep_ms(GRACE_MS);
    }
    atomic_store(&arena.stop, true);
    for (size_t i = 0; i < READERS; i++) {
        (void)pthread_join(readers[i].thread, NULL);
        add_up(sums, &readers[i]);
    }
    for (size_t i = 0; i < HOLDERS; i++) {
        (void)pthread_join(holders[i].thread, NULL);
        sums->holders.looks += holders[i].looks;
        sums->holders.changed += holders[i].changed;
        sums->holders.held += holders[i].held;
    }
    assert_true(fine);
}

static void tell(const struct sums *s, int64_t took_ms)
{
    static const char *const kinds[] = { "pinned", "plain" };

    print_message("%-8s%10s%8s%8s%8s\n", "readers", "passes", "mixed", "torn", "ENOENT");
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        print_message("%-8s%10u%8u%8u%8u\n", kinds[i], s->passes[i], s->mixed[i], s->torn[i],
                      s->missing[i]);
    print_message("%u rotations, %u to %u generations seen by a reader; %u looks of holders, %u "
                  "changed, %u held for %lld s; %lld s\n",
                  s->rotations, s->seen_min, s->seen_max, s->holders.looks, s->holders.changed,
                  s->holders.held, (long long)hold_s, (long long)took_ms / 1000);
}

static void readers_meet_whole_generations(void **state)
{
    int64_t began = clock_mono_ms();
    struct sums sums;

    observe(*state, rotate_ours, &sums);
    tell(&sums, clock_mono_ms() - began);
    assert_true(sums.rotations >= rotations_wanted);
    assert_true(sums.seen_min >= (is_long() ? SEEN_MIN_LONG : SEEN_MIN));
    assert_true(sums.passes[0] >= (is_long() ? PASSES_MIN_LONG : 200) && sums.passes[1] >= 200);
    assert_int_equal(sums.mixed[0], 0);
    assert_int_equal(sums.torn[0] + sums.torn[1], 0);
    assert_int_equal(sums.missing[0] + sums.missing[1], 0);
    assert_true(sums.holders.held >= HOLDERS);
    assert_int_equal(sums.holders.changed, 0);
}

static void the_same_readers_find_a_writer_in_place(void **state)
{
    int64_t wanted = rotations_wanted;
    struct sums sums;

    rotations_wanted = 120;
    observe(*state, rotate_in_place, &sums);
    rotations_wanted = wanted;
    assert_true(sums.mixed[0] + sums.torn[0] > 0);
    assert_true(sums.holders.changed > 0);
}

/* The number that a variable of the environment holds, or the fallback. */
static int64_t number_of(const char *name, int64_t fallback)
{
    const char *text = getenv(name);
    int64_t number = fallback;

    if (text && number_parse(text, 1, 1000000, &number, NULL) < 0)
        fail_msg("%s=%s is no number from 1 to 1000000", name, text);
    return number;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_folder(readers_meet_whole_generations),
        in_folder(the_same_readers_find_a_writer_in_place),
    };

    rotations_wanted = number_of("TORN_ROTATIONS", rotations_wanted);
    hold_s = number_of("TORN_HOLD_S", hold_s);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
