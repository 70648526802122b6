/* SPDX-License-Identifier: Apache-2.0
 *
 * Fault points: in a release build they are nothing, in a faults build they do what the plan says.
 * The plan of the environment is read once per process, so each case runs in a child.
 */
#include <signal.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/strbuf.h"
#include "tests/check.h"

static int step(struct error *err)
{
    return FAULT("test.step", err);
}

#ifndef LOCKET_FAULTS

static void a_release_build_has_no_fault_points(void **state)
{
    struct error err = { 0 };

    (void)state;
    setenv("LOCKET_FAULTS", "test.step=kill", 1);
    assert_int_equal(step(&err), 0);
    unsetenv("LOCKET_FAULTS");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_release_build_has_no_fault_points) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

enum { HITS = 5 };

/* Five hits in a child under a plan, as letters: '.' nothing, 'E' an error, 'd' a delay; then how
 * the child ended when it was killed ('K') or gave up ('2'). Ownership: the caller frees. */
static char *strike(const char *plan, const char *log)
{
    struct strbuf told CLEANUP(strbuf_done) = { 0 };
    char letters[HITS + 1] = "";
    int status = 0;
    int ends[2];
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        setenv("LOCKET_FAULTS", plan, 1);
        setenv("LOCKET_FAULTS_LOG", log, 1);
        for (int i = 0; i < HITS; i++) {
            struct error err = { 0 };
            int64_t from = clock_mono_ms();
            bool failed = step(&err) < 0;
            bool slow = clock_mono_ms() - from >= 30;

            (void)!write(ends[1], failed ? "E" : slow ? "d" : ".", 1);
        }
        _exit(0);
    }
    (void)close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    (void)!read(ends[0], letters, HITS);
    (void)close(ends[0]);
    strbuf_add_text(&told, letters);
    if (WIFSIGNALED(status))
        strbuf_add_char(&told, WTERMSIG(status) == SIGKILL ? 'K' : '?');
    else if (WEXITSTATUS(status))
        strbuf_printf(&told, "%d", WEXITSTATUS(status));
    return strbuf_take(&told);
}

static void points_do_what_the_plan_says(void **state)
{
    static const struct {
        const char *plan;
        const char *told;
    } rows[] = {
        { "", "....." },
        { "other.step=kill", "....." },
        { "test.step=errno:ENOSPC", "E...." },
        { "test.step=errno:ENOSPC@3", "..E.." },
        { "test.step=errno:EIO@2x3", ".EEE." },
        { "test.step=errno:EIOx0", "EEEEE" },
        { "test.step=delay:40", "d...." },
        { "test.step=kill", "K" },
        { "test.step=kill@4", "...K" },
        { "other.step=kill;test.step=errno:EIO@2;test.step=delay:40@4", ".E.d." },
        { "test.step=dance", "2" },
        { "test.step=errno:ENOTHING", "2" },
        { "nonsense", "2" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autofree char *told = strike(rows[i].plan, "/dev/null");

        if (strcmp(told, rows[i].told) != 0)
            fail_msg("%s: %s", rows[i].plan, told);
    }
}

static void strikes_are_written_down(void **state)
{
    char path[] = "/tmp/locket-fault-XXXXXX";
    int fd = mkstemp(path);
    char text[64] = "";
    autofree char *told = strike("test.step=errno:EIO@2x2", path);

    (void)state;
    assert_string_equal(told, ".EE..");
    (void)!read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    (void)unlink(path);
    assert_string_equal(text, "test.step\ntest.step\n");
}

static void put_plan(const char *path, const char *plan)
{
    autofree char *fresh = str_printf("%s.new", path);
    FILE *file = fopen(fresh, "w");

    assert_non_null(file);
    assert_true(fputs(plan, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(fresh, path), 0);
}

static void a_plan_in_a_file_may_be_replaced(void **state)
{
    char path[] = "/tmp/locket-plan-XXXXXX";
    int fd = mkstemp(path);
    struct error err = { 0 };

    (void)state;
    (void)close(fd);
    setenv("LOCKET_FAULTS_FILE", path, 1);
    assert_int_equal(step(&err), 0);
    for (int i = 0; i < 3; i++) {
        put_plan(path, i % 2 ? "other.step=kill\n" : "test.step=errno:EIO@2\n");
        for (int hit = 1; hit <= HITS; hit++)
            assert_int_equal(step(&err), i % 2 == 0 && hit == 2 ? -1 : 0);
    }
    put_plan(path, "test.step=errno:EIO");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(step(&err), 0);
    unsetenv("LOCKET_FAULTS_FILE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_do_what_the_plan_says),
        cmocka_unit_test(strikes_are_written_down),
        cmocka_unit_test(a_plan_in_a_file_may_be_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
