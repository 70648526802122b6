/* SPDX-License-Identifier: Apache-2.0
 *
 * Records in their folder: any id has a file of its own, a failed save leaves the old record, what
 * cannot be read is set aside.
 */
/* WRAP: openat write renameat */
#include <errno.h>
#include <sys/resource.h>

#include "driver/volume/publish_request.h"
#include "driver/volume/state.h"
#include "tests/unit/volume/rig.h"

enum { LONG_ID = 4096, CALLS_MAX = 20 };

/* The call that fails: the n-th of all wrapped ones while armed. */
static struct {
    bool armed;
    int left;
    bool struck;
} plan;

static bool fails(void)
{
    if (!plan.armed || --plan.left != 0)
        return false;
    plan.struck = true;
    errno = ENOSPC;
    return true;
}

int __real_openat(int fd, const char *path, int flags, mode_t mode);
int __wrap_openat(int fd, const char *path, int flags, mode_t mode);
int __wrap_openat(int fd, const char *path, int flags, mode_t mode)
{
    return fails() ? -1 : __real_openat(fd, path, flags, mode);
}

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
    return fails() ? -1 : __real_write(fd, bytes, len);
}

int __real_renameat(int a, const char *from, int b, const char *to);
int __wrap_renameat(int a, const char *from, int b, const char *to);
int __wrap_renameat(int a, const char *from, int b, const char *to)
{
    return fails() ? -1 : __real_renameat(a, from, b, to);
}

static struct state open_state(struct folder *f)
{
    autofree char *path = str_printf("%s/deep/er", f->path);
    struct state s = { .fd = -1 };
    struct error err = { 0 };

    if (state_open(path, &s, &err) < 0)
        fail_msg("%s", err.msg);
    return s;
}

static int save(const struct state *s, const char *id, int64_t generation, struct error *err)
{
    struct record r CLEANUP(record_done) = { .volume_id = xstrdup(id),
                                             .target = xstrdup("/t"),
                                             .generation = generation };

    return state_save(s, &r, err);
}

static void must_save(const struct state *s, const char *id, int64_t generation)
{
    struct error err = { 0 };

    if (save(s, id, generation, &err) < 0)
        fail_msg("%s", err.msg);
}

struct loaded {
    size_t count;
    const char *wanted;
    int64_t generation; /* of the wanted one; -1: it is not there */
};

static void note(void *arg, struct record *r)
{
    struct loaded *l = arg;

    l->count++;
    if (strcmp(r->volume_id, l->wanted) == 0)
        l->generation = r->generation;
}

static struct loaded load(const struct state *s, const char *wanted, size_t bad)
{
    struct loaded l = { .wanted = wanted, .generation = -1 };
    struct error err = { 0 };
    size_t found = 99;

    if (state_load(s, note, &l, &found, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(found, bad);
    return l;
}

static void a_record_is_saved_replaced_and_removed(void **state)
{
    struct folder *f = *state;
    struct state s CLEANUP(state_close) = open_state(f);
    struct stat st;

    assert_int_equal(load(&s, "v", 0).count, 0);
    must_save(&s, "v", 1);
    must_save(&s, "v", 2);
    must_save(&s, "w", 9);
    assert_int_equal(load(&s, "v", 0).generation, 2);
    assert_int_equal(load(&s, "v", 0).count, 2);
    assert_int_equal(fstat(s.fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(mode_of(s.fd, "v.vol"), 0600);
    assert_int_equal(state_remove(&s, "v", NULL), 0);
    assert_int_equal(state_remove(&s, "v", NULL), 0);
    assert_int_equal(load(&s, "v", 0).generation, -1);
    assert_int_equal(load(&s, "w", 0).generation, 9);
}

static const char *const odd_ids[] = {
    "csi-0a1b2c", "a/b",       "../escape",  "..", ".",     ".hidden", "a b",
    "a\nb",       "a",         "A",          "-",  "x.vol", "a%2Fb",   "gr\xc3\xbc\xc3\x9f",
    "+a",         "v.vol.bad", ".v.vol.tmp",
};

static void every_id_has_a_record_of_its_own_inside_the_folder(void **state)
{
    struct folder *f = *state;
    struct state s CLEANUP(state_close) = open_state(f);
    autofree char *long_id = xcalloc(1, LONG_ID + 1);

    memset(long_id, 'i', LONG_ID);
    for (size_t i = 0; i < COUNT_OF(odd_ids); i++)
        must_save(&s, odd_ids[i], (int64_t)i);
    must_save(&s, long_id, 100);
    long_id[LONG_ID - 1] = 'j';
    must_save(&s, long_id, 101);
    assert_int_equal(load(&s, "", 0).count, COUNT_OF(odd_ids) + 2);
    assert_int_equal(entries(s.fd).all, COUNT_OF(odd_ids) + 2);
    assert_int_equal(load(&s, long_id, 0).generation, 101);
    for (size_t i = 0; i < COUNT_OF(odd_ids); i++)
        if (load(&s, odd_ids[i], 0).generation != (int64_t)i)
            fail_msg("%s is not what was saved", odd_ids[i]);
    for (size_t i = 0; i < COUNT_OF(odd_ids); i++)
        assert_int_equal(state_remove(&s, odd_ids[i], NULL), 0);
    assert_int_equal(entries(s.fd).all, 2);
}

static void what_cannot_be_read_is_set_aside_and_stops_nobody(void **state)
{
    struct folder *f = *state;
    struct state s CLEANUP(state_close) = open_state(f);
    int large autoclose = -1;

    must_save(&s, "good", 1);
    must_save(&s, "moved", 1);
    put_text(s.fd, "empty.vol", "");
    put_text(s.fd, "garbage.vol", "\x01\x02 no record at all\n");
    put_text(s.fd, "newer.vol", "locket-record 2\nvolume_id newer\n");
    assert_int_equal(renameat(s.fd, "moved.vol", s.fd, "other.vol"), 0);
    assert_int_equal(mkdirat(s.fd, "folder.vol", 0700), 0);
    assert_int_equal(mkfifoat(s.fd, "pipe.vol", 0600), 0);
    assert_int_equal(symlinkat("good.vol", s.fd, "link.vol"), 0);
    large = openat(s.fd, "large.vol", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(large, RECORD_BYTES_MAX + 1), 0);
    put_text(s.fd, "notes.txt", "somebody else's");
    (void)alarm(20);
    assert_int_equal(load(&s, "good", 8).generation, 1);
    (void)alarm(0);
    assert_true(is_there(s.fd, "garbage.vol.bad"));
    assert_false(is_there(s.fd, "garbage.vol"));
    assert_true(reads(s.fd, "notes.txt", "somebody else's"));
    assert_int_equal(load(&s, "good", 0).count, 1); /* set aside once */
    must_save(&s, "garbage", 5);
    assert_int_equal(load(&s, "garbage", 0).generation, 5);
}

static void a_record_that_only_lacks_a_descriptor_is_kept_for_the_next_start(void **state)
{
    struct folder *f = *state;
    struct state s CLEANUP(state_close) = open_state(f);
    struct loaded l = { .wanted = "v" };
    struct rlimit before;
    struct rlimit few;
    struct error err = { 0 };
    size_t bad = 0;
    int spare autoclose = -1;

    must_save(&s, "v", 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    /* One is left for the folder, none for a record. */
    few = (struct rlimit){ (rlim_t)spare + 2, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(state_load(&s, note, &l, &bad, &err), -1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    assert_int_equal(load(&s, "v", 0).generation, 1);
}

static void what_a_cut_save_left_is_swept(void **state)
{
    struct folder *f = *state;
    struct state s CLEANUP(state_close) = open_state(f);

    must_save(&s, "v", 1);
    put_text(s.fd, ".v.vol.tmp", "locket-rec");
    put_text(s.fd, ".gone.vol.tmp", "locket-rec");
    put_text(s.fd, ".other", "not ours");
    assert_int_equal(load(&s, "v", 0).count, 1);
    assert_int_equal(entries(s.fd).all, 2);
    must_save(&s, "v", 2);
    assert_int_equal(load(&s, "v", 0).generation, 2);
}

static void a_failed_save_leaves_the_old_record(void **state)
{
    struct folder *f = *state;
    struct state s CLEANUP(state_close) = open_state(f);
    int n = 0;

    must_save(&s, "v", 1);
    do {
        struct error err = { 0 };
        int result;

        plan.left = ++n;
        plan.struck = false;
        plan.armed = true;
        result = save(&s, "v", 1 + n, &err);
        plan.armed = false;
        assert_int_equal(result, plan.struck ? -1 : 0);
        assert_int_equal(err.code, plan.struck ? CODE_RESOURCE_EXHAUSTED : CODE_OK);
        assert_int_equal(load(&s, "v", 0).generation, plan.struck ? 1 : 1 + n);
        assert_int_equal(entries(s.fd).all, 1);
    } while (plan.struck && n < CALLS_MAX);
    assert_int_equal(n, 4); /* create, write, rename, and one that did not fail */
}

static void a_record_with_tokens_or_too_large_is_not_saved(void **state)
{
    struct folder *f = *state;
    struct state s CLEANUP(state_close) = open_state(f);
    struct record r CLEANUP(record_done) = { .volume_id = xstrdup("v"), .target = xstrdup("/t") };
    autofree char *large = xcalloc(1, RECORD_BYTES_MAX);
    struct error err = { 0 };

    must_save(&s, "v", 1);
    pairs_set(&r.attributes, CONTEXT_TOKENS, "{}");
    assert_int_equal(state_save(&s, &r, &err), -1);
    assert_int_equal(err.code, CODE_FAILED_PRECONDITION);
    pairs_done(&r.attributes);
    memset(large, 'x', RECORD_BYTES_MAX - 1);
    pairs_set(&r.attributes, "large", large);
    assert_int_equal(state_save(&s, &r, &err), -1);
    assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
    assert_non_null(strstr(err.msg, "shorten"));
    assert_int_equal(load(&s, "v", 0).generation, 1);
    assert_int_equal(entries(s.fd).all, 1);
}

static const char *check_read_only(struct folder *f)
{
    struct state s CLEANUP(state_close) = { .fd = -1 };
    struct error err = { 0 };

    if (state_open(f->path, &s, &err) < 0 || state_check(&s, &err) < 0)
        return "a writable folder is refused";
    state_close(&s);
    if (mount("locket:x", f->path, "tmpfs", MS_RDONLY, "size=64k") < 0)
        return "no tmpfs";
    if (state_open(f->path, &s, &err) < 0)
        return "it cannot be opened";
    if (state_check(&s, &err) == 0)
        return "a read-only folder is fine";
    return strstr(err.msg, "--state-dir") ? NULL : "the flag is not named";
}

static void a_folder_that_is_read_only_is_told(void **state)
{
    in_namespace(check_read_only, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_folder(a_record_is_saved_replaced_and_removed),
        in_folder(every_id_has_a_record_of_its_own_inside_the_folder),
        in_folder(what_cannot_be_read_is_set_aside_and_stops_nobody),
        in_folder(a_record_that_only_lacks_a_descriptor_is_kept_for_the_next_start),
        in_folder(what_a_cut_save_left_is_swept),
        in_folder(a_failed_save_leaves_the_old_record),
        in_folder(a_record_with_tokens_or_too_large_is_not_saved),
        in_folder(a_folder_that_is_read_only_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
