/* SPDX-License-Identifier: Apache-2.0
 *
 * Readers while files are swapped under them: pinned ones never meet a torn pair, plain ones never
 * a missing file, open files keep their bytes. The same readers do find a writer in place.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "driver/volume/atomic_writer.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "tests/unit/volume/rig.h"

enum { FILES = 4, TEXT_BYTES = 900, PINNED = 2, PLAIN = 2, GRACE_MS = 10, RUN_MS = 1500 };

struct arena {
    struct folder *folder;
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
};

/* A file's text: "<generation> <name> <filler> <checksum of all before>". */
static char *text_for(unsigned generation, size_t file)
{
    struct strbuf text CLEANUP(strbuf_done) = { 0 };

    strbuf_printf(&text, "%u f%zu ", generation, file);
    while (text.len < TEXT_BYTES)
        strbuf_add_char(&text, (char)('a' + generation % 26));
    strbuf_printf(&text, " %08x", crc32_update(0, text.text, text.len));
    return strbuf_take(&text);
}

/* The generation that a text is of; 0: of none. */
static unsigned generation_of(const char *text, size_t len, size_t file)
{
    char copy[TEXT_BYTES + 16] = "";
    unsigned generation = 0;
    unsigned crc = 0;
    size_t name = 0;

    if (len < TEXT_BYTES || len >= sizeof(copy))
        return 0;
    memcpy(copy, text, len);
    if (sscanf(copy, "%u f%zu ", &generation, &name) != 2 || name != file ||
        sscanf(copy + len - 8, "%8x", &crc) != 1 || crc32_update(0, copy, len - 9) != crc)
        return 0;
    return generation;
}

/* 0 with *ret_errno set: it could not be opened. */
static unsigned read_one(int dir_fd, size_t file, int *ret_errno)
{
    char text[TEXT_BYTES + 16];
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

/* Rotates every grace for a while with all readers at work; their sums come back in two rows. */
static unsigned observe(struct folder *f, bool (*rotate)(struct folder *f, unsigned generation),
                        struct reader sums[2])
{
    struct arena arena = { .folder = f };
    struct reader readers[PINNED + PLAIN] = { 0 };
    int64_t end = clock_mono_ms() + RUN_MS;
    unsigned generation = 1;
    bool fine = rotate_ours(f, generation);

    for (size_t i = 0; i < COUNT_OF(readers); i++) {
        readers[i] = (struct reader){ .arena = &arena, .pinned = i < PINNED };
        assert_int_equal(pthread_create(&readers[i].thread, NULL, run_reader, &readers[i]), 0);
    }
    while (fine && clock_mono_ms() < end) {
        fine = rotate(f, ++generation);
        clock_sleep_ms(GRACE_MS);
    }
    atomic_store(&arena.stop, true);
    for (size_t i = 0; i < COUNT_OF(readers); i++) {
        struct reader *sum = &sums[readers[i].pinned ? 0 : 1];

        (void)pthread_join(readers[i].thread, NULL);
        sum->passes += readers[i].passes;
        sum->mixed += readers[i].mixed;
        sum->torn += readers[i].torn;
        sum->missing += readers[i].missing;
        sum->generations += readers[i].generations;
    }
    assert_true(fine);
    return generation;
}

static void readers_meet_whole_generations(void **state)
{
    struct reader sums[2] = { 0 };
    const struct reader *pinned = &sums[0];
    const struct reader *plain = &sums[1];

    assert_true(observe(*state, rotate_ours, sums) > 20);
    assert_true(pinned->passes > 200 && pinned->generations > 20);
    assert_true(plain->passes > 200 && plain->generations > 20);
    assert_int_equal(pinned->mixed, 0);
    assert_int_equal(pinned->torn + plain->torn, 0);
    assert_int_equal(pinned->missing + plain->missing, 0);
}

static void the_same_readers_find_a_writer_in_place(void **state)
{
    struct reader sums[2] = { 0 };

    (void)observe(*state, rotate_in_place, sums);
    assert_true(sums[0].mixed + sums[0].torn > 0);
}

static void open_and_mapped_files_keep_their_bytes(void **state)
{
    struct folder *f = *state;
    autofree char *want = text_for(1, 0);
    size_t len = strlen(want);
    int fd autoclose = -1;
    const char *map;

    assert_true(rotate_ours(f, 1));
    fd = openat(f->fd, "f0", O_RDONLY | O_CLOEXEC);
    map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    for (unsigned generation = 2; generation < 10; generation++) {
        char text[TEXT_BYTES + 16];

        assert_true(rotate_ours(f, generation));
        assert_int_equal(atomic_writer_fold(f->fd, NULL), 0);
        assert_int_equal(pread(fd, text, sizeof(text), 0), len);
        assert_memory_equal(text, want, len);
        assert_memory_equal(map, want, len);
    }
    (void)munmap((void *)map, len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_folder(readers_meet_whole_generations),
        in_folder(the_same_readers_find_a_writer_in_place),
        in_folder(open_and_mapped_files_keep_their_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
