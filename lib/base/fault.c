/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/fault.h"

typedef int fault_translation_unit_is_not_empty;

#ifdef LOCKET_FAULTS

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/clock.h"

extern const struct fault_point *const __start_fault_points[] __attribute__((weak));
extern const struct fault_point *const __stop_fault_points[] __attribute__((weak));

enum { ROWS_MAX = 128, NAME_BYTES = 64, PLAN_BYTES_MAX = 8192 };

enum action { ACTION_KILL, ACTION_ERRNO, ACTION_DELAY };

struct row {
    char name[NAME_BYTES];
    enum action action;
    long value; /* errno, or milliseconds */
    long from;  /* the first hit that strikes, counted from 1 */
    long times; /* how many strike; 0: all */
    long hits;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct row rows[ROWS_MAX]; /* guarded by lock */
static size_t row_count;
static bool loaded;
static struct timespec plan_time; /* of the file that the rows are from */
static ino_t plan_ino;

static const struct {
    const char *name;
    int number;
} errnos[] = {
    { "ENOSPC", ENOSPC }, { "EIO", EIO },       { "ENOMEM", ENOMEM }, { "EMFILE", EMFILE },
    { "EACCES", EACCES }, { "EAGAIN", EAGAIN }, { "EBUSY", EBUSY },   { "EPERM", EPERM },
};

static bool parse_action(const char *text, struct row *row)
{
    char name[16] = "";

    if (str_starts(text, "kill")) {
        row->action = ACTION_KILL;
        return true;
    }
    if (sscanf(text, "delay:%ld", &row->value) == 1) {
        row->action = ACTION_DELAY;
        return true;
    }
    if (sscanf(text, "errno:%15[A-Z]", name) != 1)
        return false;
    row->action = ACTION_ERRNO;
    for (size_t i = 0; i < COUNT_OF(errnos); i++)
        if (strcmp(errnos[i].name, name) == 0)
            row->value = errnos[i].number;
    return row->value != 0;
}

static void parse_row(const char *text)
{
    struct row row = { .from = 1, .times = 1 };
    const char *action = strchr(text, '=');
    const char *at = strchr(text, '@');
    const char *times = strrchr(text, 'x');

    if (!action || row_count == ROWS_MAX || (size_t)(action - text) >= sizeof(row.name) ||
        !parse_action(action + 1, &row)) {
        (void)fprintf(stderr, "LOCKET_FAULTS: cannot read \"%s\"\n", text);
        _exit(2);
    }
    memcpy(row.name, text, (size_t)(action - text));
    if (at)
        row.from = strtol(at + 1, NULL, 10);
    if (times && times > action)
        row.times = strtol(times + 1, NULL, 10);
    rows[row_count++] = row;
}

static void parse(char *plan)
{
    char *rest = NULL;

    row_count = 0;
    for (char *row = strtok_r(plan, ";\n", &rest); row; row = strtok_r(NULL, ";\n", &rest))
        parse_row(row);
}

/* Takes the file's rows, when it is another one than at the last hit. */
static void load_file(const char *path)
{
    int fd autoclose = open(path, O_RDONLY | O_CLOEXEC);
    char text[PLAN_BYTES_MAX] = "";
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        row_count = 0;
        plan_ino = 0;
        return;
    }
    if (st.st_ino == plan_ino && st.st_mtim.tv_sec == plan_time.tv_sec &&
        st.st_mtim.tv_nsec == plan_time.tv_nsec)
        return;
    plan_ino = st.st_ino;
    plan_time = st.st_mtim;
    (void)!read(fd, text, sizeof(text) - 1);
    parse(text);
}

static void load(void)
{
    autofree char *plan = NULL;

    if (getenv("LOCKET_FAULTS_FILE")) {
        load_file(getenv("LOCKET_FAULTS_FILE"));
        return;
    }
    if (loaded)
        return;
    loaded = true;
    if (!getenv("LOCKET_FAULTS"))
        return;
    plan = xstrdup(getenv("LOCKET_FAULTS"));
    parse(plan);
}

static void note(const char *name)
{
    const char *path = getenv("LOCKET_FAULTS_LOG");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

    if (fd < 0)
        return;
    (void)!write(fd, name, strlen(name));
    (void)!write(fd, "\n", 1);
    (void)close(fd);
}

/* The row that strikes at this hit, copied; false: none does. */
static bool struck(const char *name, struct row *ret)
{
    bool found = false;

    pthread_mutex_lock(&lock);
    load();
    for (size_t i = 0; i < row_count; i++) {
        struct row *row = &rows[i];

        if (strcmp(row->name, name) != 0)
            continue;
        row->hits++; /* also when an earlier row strikes: @N counts the point's hits */
        if (found || row->hits < row->from || (row->times && row->hits >= row->from + row->times))
            continue;
        found = true;
        *ret = *row;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

int fault_hit(const struct fault_point *point, struct error *err)
{
    struct row row = { 0 };

    if (!struck(point->name, &row))
        return 0;
    note(point->name);
    switch (row.action) {
    case ACTION_KILL:
        (void)kill(getpid(), SIGKILL);
        _exit(128 + SIGKILL); /* the first process of a container cannot be killed from inside it */
    case ACTION_DELAY:
        clock_sleep_ms(row.value);
        return 0;
    default:
        return error_sys(err, (int)row.value, "fault %s", point->name);
    }
}

static int by_name(const void *a, const void *b)
{
    const struct fault_point *const *left = a;
    const struct fault_point *const *right = b;

    return strcmp((*left)->name, (*right)->name);
}

void fault_list(void)
{
    size_t count = ((uintptr_t)__stop_fault_points - (uintptr_t)__start_fault_points) /
                   sizeof(*__start_fault_points);
    autofree const struct fault_point **sorted = xcalloc(count, sizeof(*sorted));

    for (size_t i = 0; i < count; i++)
        sorted[i] = __start_fault_points[i];
    qsort(sorted, count, sizeof(*sorted), by_name);
    for (size_t i = 0; i < count; i++)
        (void)printf("%s\n", sorted[i]->name);
}

#endif
