/* SPDX-License-Identifier: Apache-2.0
 *
 * A child of this binary hardens itself and says what it then is.
 */
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/base/harden.h"
#include "tests/check.h"

static char self[4096];

static int child(char **argv)
{
    struct rlimit core;
    char name[16];

    if (harden_process(argv, NULL) < 0)
        return 1;
    (void)prctl(PR_GET_NAME, name);
    (void)getrlimit(RLIMIT_CORE, &core);
    (void)printf("bound=%s name=%s dumpable=%d privs=%d core=%d umask=%o argument=%s",
                 getenv("LD_BIND_NOW"), name, prctl(PR_GET_DUMPABLE),
                 prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), (int)core.rlim_max, umask(0), argv[2]);
    return 0;
}

static const struct {
    const char *says;
    const char *before;
} rows[] = {
    { "a plain start", "" },
    { "a start that asks for lazy binding", "LD_BIND_NOW= " },
    { "a start that is bound already", "LD_BIND_NOW=1 " },
};

static void a_program_starts_over_bound_and_unreadable(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autofree char *command = str_printf("%s%s child 'a b' 2>&1", rows[i].before, self);
        FILE *said = popen(command, "r");
        char line[256] = "";

        assert_non_null(said);
        assert_non_null(fgets(line, sizeof(line), said));
        if (pclose(said) != 0 || strcmp(line, "bound=1 name=test_harden dumpable=0 privs=1 core=0 "
                                              "umask=77 argument=a b") != 0)
            fail_msg("%s: %s", rows[i].says, line);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_starts_over_bound_and_unreadable),
    };

    if (argc > 2)
        return child(argv);
    assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
