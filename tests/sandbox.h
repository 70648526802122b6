/* SPDX-License-Identifier: Apache-2.0
 *
 * sandbox.h - for suites of sandboxes: a row is an attempt that a child of the suite makes within
 * its sandbox, and what it must be answered. Does not know what any sandbox allows.
 */
#ifndef LOCKET_TESTS_SANDBOX_H
#define LOCKET_TESTS_SANDBOX_H

#include <errno.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/sandbox.h"
#include "tests/check.h"

struct sandbox_row {
    const char *says;
    int (*attempt)(void); /* 0 or an errno */
    int want;
    int refused; /* how many calls the sandbox counts and logs */
};

static char sandbox_self[4096];

/* The errno of a system call's result. */
static inline int sandbox_errno(long result)
{
    return result < 0 ? errno : 0;
}

/* In the child: prints what came of the row. */
static inline int sandbox_row_try(const struct sandbox_row *row)
{
    int got = row->attempt();

    (void)printf("%d %d\n", got, (int)sandbox_log_refusals());
    (void)fflush(stdout);
    _exit(0); /* a leak checker starts threads of its own kind */
}

/* In the suite: a child, told by these words what to do, must answer as the row says. */
static inline void sandbox_row_check(const struct sandbox_row *row, const char *words)
{
    autofree char *command = str_printf("%s child %s 2>&1", sandbox_self, words);
    autofree char *want = str_printf("%d %d\n", row->want, row->refused);
    FILE *said = popen(command, "r");
    char line[1024] = "";
    char all[4096] = "";
    int logged = 0;

    assert_non_null(said);
    while (fgets(line, sizeof(line), said)) {
        logged += strstr(line, "a system call was refused") != NULL;
        (void)snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s", line);
    }
    if (pclose(said) != 0 || strcmp(line, want) != 0 || logged != (row->refused > 0))
        fail_msg("%s: want %s(and a line when refused) have:\n%s", row->says, want, all);
}

static inline void sandbox_rows_check(const struct sandbox_row *rows, size_t count,
                                      const char *table)
{
    for (size_t i = 0; i < count; i++) {
        autofree char *words = str_printf("%s %zu", table, i);

        sandbox_row_check(&rows[i], words);
    }
}

/* The Cap... line of this process: "CapEff", "CapBnd". */
static inline uint64_t sandbox_capabilities(const char *name)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    unsigned long long set = ~0ULL;

    assert_non_null(status);
    while (fgets(line, sizeof(line), status))
        if (strncmp(line, name, strlen(name)) == 0)
            set = strtoull(strchr(line, ':') + 1, NULL, 16);
    (void)fclose(status);
    return set;
}

static inline int sandbox_suite_start(void)
{
    return readlink("/proc/self/exe", sandbox_self, sizeof(sandbox_self) - 1) > 0 ? 0 : -1;
}

#endif
