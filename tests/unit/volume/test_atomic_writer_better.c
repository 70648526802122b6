/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the atomic writer is better than kubelet's: five checks, each of which a writer with that
 * one fault fails, and a writer of this file without any fault passes.
 */
#include "driver/volume/atomic_writer.h"
#include "tests/unit/volume/rig.h"

enum fault {
    FAULT_NONE,
    FAULT_LEFTOVERS,  /* what a crash left is not swept, and blocks */
    FAULT_BYTES_ONLY, /* mode is no part of "changed" */
    FAULT_LATE_MODES, /* modes are set after the rename */
    FAULT_LINKS_ONCE, /* links are not looked at when nothing changed */
    FAULT_NO_GRACE,   /* the old generation goes at once */
    FAULT_COUNT,
};

/* A writer under test; at_swap is called right before the rename. */
struct writer {
    int (*write)(const struct writer *w, int dir_fd, struct fileset *files);
    enum fault fault;
    int (*at_swap)(void *arg, struct error *err);
    void *arg;
};

static int write_ours(const struct writer *w, int dir_fd, struct fileset *files)
{
    struct writer_options options = {
        .fs_group = (gid_t)-1, .keep_previous = true, .may_swap = w->at_swap, .arg = w->arg
    };
    struct write_result result = { 0 };

    return atomic_writer_write(dir_fd, files, &options, &result, NULL);
}

/* --- a naive writer ------------------------------------------------------------------------------
 */

struct naive {
    int dir_fd;
    char live[NAME_MAX + 1];
};

static int naive_sweep(void *arg, const char *name, struct error *err)
{
    const struct naive *n = arg;

    if (!str_starts(name, "..") || strcmp(name, "..data") == 0 || strcmp(name, n->live) == 0)
        return 0;
    return fs_remove_tree(n->dir_fd, name, err);
}

static bool naive_same(const struct writer *w, int dir_fd, struct fileset *files)
{
    for (size_t i = 0; i < files->count; i++) {
        const struct file *file = &files->files[i];
        autofree char *path = str_printf("..data/%s", file->path);
        autofree char *have = text_of(dir_fd, path);
        autofree char *want = xstrndup((const char *)file->contents.bytes, file->contents.len);

        if (!str_same(have, want) ||
            (w->fault != FAULT_BYTES_ONLY && mode_of(dir_fd, path) != file->mode))
            return false;
    }
    return true;
}

static void naive_links(int dir_fd, struct fileset *files)
{
    for (size_t i = 0; i < files->count; i++) {
        autofree char *target = str_printf("..data/%s", files->files[i].path);

        (void)unlinkat(dir_fd, files->files[i].path, 0);
        (void)!symlinkat(target, dir_fd, files->files[i].path);
    }
}

static void naive_modes(int gen_fd, const struct fileset *files)
{
    for (size_t i = 0; i < files->count; i++)
        (void)!fchmodat(gen_fd, files->files[i].path, files->files[i].mode, 0);
}

static int naive_fill(int dir_fd, const char *name, const struct fileset *files)
{
    int gen_fd = -1;

    if (mkdirat(dir_fd, name, 0755) < 0)
        return -1;
    gen_fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; gen_fd >= 0 && i < files->count; i++) {
        autofree char *text =
            xstrndup((const char *)files->files[i].contents.bytes, files->files[i].contents.len);

        put_text(gen_fd, files->files[i].path, text);
    }
    return gen_fd;
}

static int write_naive(const struct writer *w, int dir_fd, struct fileset *files)
{
    static int number;
    autofree char *name = str_printf("..generation.%d", number++);
    autofree char *live = link_of(dir_fd, "..data");
    struct naive n = { .dir_fd = dir_fd };
    int gen_fd autoclose = -1;

    (void)snprintf(n.live, sizeof(n.live), "%s", live ? live : "");
    if (w->fault != FAULT_LEFTOVERS)
        assert_int_equal(fs_each(dir_fd, ".", naive_sweep, &n, NULL), 0);
    if (live && naive_same(w, dir_fd, files)) {
        if (w->fault != FAULT_LINKS_ONCE)
            naive_links(dir_fd, files);
        return 0;
    }
    gen_fd = naive_fill(dir_fd, name, files);
    if (w->fault != FAULT_LATE_MODES)
        naive_modes(gen_fd, files);
    if (symlinkat(name, dir_fd, "..data_tmp") < 0)
        return -1;
    if (w->at_swap && w->at_swap(w->arg, NULL) < 0)
        return -1;
    assert_int_equal(renameat(dir_fd, "..data_tmp", dir_fd, "..data"), 0);
    naive_modes(gen_fd, files);
    naive_links(dir_fd, files);
    if (live && w->fault == FAULT_NO_GRACE)
        return fs_remove_tree(dir_fd, live, NULL);
    return 0;
}

/* --- the five checks -----------------------------------------------------------------------------
 */

static int write_pair(const struct writer *w, int dir_fd, const char *text, mode_t mode)
{
    struct fileset set CLEANUP(fileset_done) = { 0 };

    add_rows(&set, (const struct row[]){ { "cert", text, mode }, { "key", text, mode } }, 2);
    return w->write(w, dir_fd, &set);
}

static bool leftovers_never_block_and_are_swept(struct writer *w, int dir_fd)
{
    if (write_pair(w, dir_fd, "old", 0644) < 0)
        return false;
    assert_int_equal(symlinkat("..half", dir_fd, "..data_tmp"), 0);
    assert_int_equal(mkdirat(dir_fd, "..half", 0755), 0);
    put_text(dir_fd, "..half/cert", "a secret that nobody waits for");
    return write_pair(w, dir_fd, "new", 0644) == 0 && reads(dir_fd, "cert", "new") &&
           !is_there(dir_fd, "..half") && !is_there(dir_fd, "..data_tmp");
}

static bool a_mode_alone_is_a_change(struct writer *w, int dir_fd)
{
    return write_pair(w, dir_fd, "text", 0644) == 0 && write_pair(w, dir_fd, "text", 0400) == 0 &&
           mode_of(dir_fd, "cert") == 0400;
}

struct swap_look {
    int dir_fd;
    bool modes_are_final;
};

static int look_at_swap(void *arg, struct error *err)
{
    struct swap_look *look = arg;
    autofree char *next = link_of(look->dir_fd, "..data_tmp");
    autofree char *path = str_printf("%s/cert", next);

    (void)err;
    look->modes_are_final = mode_of(look->dir_fd, path) == 0440;
    return 0;
}

static bool modes_are_final_before_the_swap(struct writer *w, int dir_fd)
{
    struct swap_look look = { .dir_fd = dir_fd };

    w->at_swap = look_at_swap;
    w->arg = &look;
    return write_pair(w, dir_fd, "text", 0440) == 0 && look.modes_are_final;
}

static bool links_are_put_right_every_time(struct writer *w, int dir_fd)
{
    if (write_pair(w, dir_fd, "text", 0644) < 0)
        return false;
    assert_int_equal(unlinkat(dir_fd, "cert", 0), 0);
    assert_int_equal(unlinkat(dir_fd, "key", 0), 0);
    assert_int_equal(symlinkat("..data/other", dir_fd, "key"), 0);
    return write_pair(w, dir_fd, "text", 0644) == 0 && reads(dir_fd, "cert", "text") &&
           reads(dir_fd, "key", "text");
}

static bool a_pinned_reader_meets_one_generation(struct writer *w, int dir_fd)
{
    int pin autoclose = -1;

    if (write_pair(w, dir_fd, "old", 0644) < 0)
        return false;
    pin = openat(dir_fd, "..data", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (!reads(pin, "cert", "old") || write_pair(w, dir_fd, "new", 0644) < 0)
        return false;
    return reads(pin, "key", "old") && reads(dir_fd, "key", "new");
}

static const struct {
    const char *says;
    bool (*check)(struct writer *w, int dir_fd);
    enum fault fault; /* what fails it, and nothing else does */
} checks[] = {
    { "leftovers of a crash never block and are swept", leftovers_never_block_and_are_swept,
      FAULT_LEFTOVERS },
    { "mode is part of changed", a_mode_alone_is_a_change, FAULT_BYTES_ONLY },
    { "modes are set before the rename", modes_are_final_before_the_swap, FAULT_LATE_MODES },
    { "links are reconciled every time", links_are_put_right_every_time, FAULT_LINKS_ONCE },
    { "the previous generation stays", a_pinned_reader_meets_one_generation, FAULT_NO_GRACE },
};

static bool passes(size_t check, struct writer writer)
{
    static struct folder none;
    struct folder *f = &none;
    bool fine;

    assert_int_equal(folder_make((void **)&f), 0);
    fine = checks[check].check(&writer, f->fd);
    assert_int_equal(folder_remove((void **)&f), 0);
    return fine;
}

static void ours_passes_all_five(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(checks); i++)
        if (!passes(i, (struct writer){ .write = write_ours }))
            fail_msg("%s: not so", checks[i].says);
}

static void a_naive_writer_fails_exactly_the_check_of_its_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(checks); i++)
        for (enum fault fault = FAULT_NONE; fault < FAULT_COUNT; fault++)
            if (passes(i, (struct writer){ .write = write_naive, .fault = fault }) !=
                (fault != checks[i].fault))
                fail_msg("%s: a writer with fault %d is judged wrongly", checks[i].says, fault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ours_passes_all_five),
        cmocka_unit_test(a_naive_writer_fails_exactly_the_check_of_its_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
