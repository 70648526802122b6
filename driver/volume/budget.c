/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/budget.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/sysinfo.h>

#include "lib/base/fs.h"

enum { SMALL_FILE_MAX = 4096 };

/* A number at the start of a file; -1 when there is no such file or number ("max"). */
static int64_t read_number(const char *path)
{
    autofree char *text = NULL;
    long long value = -1;

    if (fs_read_text(path, SMALL_FILE_MAX, &text, NULL) < 0 || sscanf(text, "%lld", &value) != 1)
        return -1;
    return value;
}

/* The own cgroup of version 2: a copy of what follows "0::"; "" when there is none, or when it lies
 * outside of what is mounted here. */
static char *own_group(const char *self)
{
    const char *line = str_starts(self, "0::") ? self : strstr(self, "\n0::");
    char *path;

    if (!line)
        return xstrdup("");
    line = strstr(line, "0::") + 3;
    path = xstrndup(line, strcspn(line, "\n"));
    if (strstr(path, "/.."))
        *path = '\0';
    return path;
}

static int64_t lesser(int64_t limit, const char *path, int64_t ram_bytes)
{
    int64_t other = read_number(path);

    if (other <= 0 || other >= ram_bytes) /* v1 says "no limit" by a huge number */
        return limit;
    return limit < 0 || other < limit ? other : limit;
}

int64_t budget_limit(const char *mount, const char *self, int64_t ram_bytes)
{
    autofree char *group = own_group(self);
    autofree char *first = str_printf("%s/memory/memory.limit_in_bytes", mount);
    int64_t limit = lesser(-1, first, ram_bytes);
    char *slash = group;

    while (slash) {
        autofree char *path = str_printf("%s%s/memory.max", mount, group);

        limit = lesser(limit, path, ram_bytes);
        slash = strrchr(group, '/');
        if (slash)
            *slash = '\0';
    }
    return limit;
}

static int64_t limit_of_cgroup(int64_t ram_bytes)
{
    autofree char *self = NULL;

    if (fs_read_text("/proc/self/cgroup", SMALL_FILE_MAX, &self, NULL) < 0)
        self = xstrdup("");
    return budget_limit("/sys/fs/cgroup", self, ram_bytes);
}

static int64_t own_rss(void)
{
    autofree char *text = NULL;
    long long total = 0;
    long long resident = 0;

    if (fs_read_text("/proc/self/statm", SMALL_FILE_MAX, &text, NULL) < 0 ||
        sscanf(text, "%lld %lld", &total, &resident) != 2)
        return 0;
    return resident * sysconf(_SC_PAGESIZE);
}

int64_t budget_default(int64_t ram_bytes, int64_t limit_bytes, int64_t rss_bytes)
{
    int64_t bytes = limit_bytes < 0 ? ram_bytes / 10 : limit_bytes / 10 * 7 - rss_bytes;

    return bytes > 0 ? bytes : 0;
}

void budget_init(struct budget *b, int64_t total_bytes)
{
    struct sysinfo info;
    int64_t ram = 0;

    *b = (struct budget){ .total_bytes = total_bytes };
    pthread_mutex_init(&b->lock, NULL);
    if (total_bytes)
        return;
    if (sysinfo(&info) == 0)
        ram = (int64_t)info.totalram * info.mem_unit;
    b->total_bytes = budget_default(ram, limit_of_cgroup(ram), own_rss());
}

void budget_done(struct budget *b)
{
    pthread_mutex_destroy(&b->lock);
}

int budget_reserve(struct budget *b, int64_t need_bytes, struct error *err)
{
    int64_t used;
    bool fits;

    pthread_mutex_lock(&b->lock);
    used = b->used_bytes;
    fits = need_bytes <= b->total_bytes - used;
    if (fits)
        b->used_bytes += need_bytes;
    pthread_mutex_unlock(&b->lock);
    if (fits)
        return 0;
    error_set(err, CODE_RESOURCE_EXHAUSTED,
              "tmpfs budget: this volume needs %" PRId64 " bytes, %" PRId64 " of %" PRId64
              " are used: raise --tmpfs-budget or the container's memory limit",
              need_bytes, used, b->total_bytes);
    return error_reason(err, "TmpfsBudget");
}

void budget_change(struct budget *b, int64_t bytes)
{
    pthread_mutex_lock(&b->lock);
    b->used_bytes += bytes;
    pthread_mutex_unlock(&b->lock);
}

int64_t budget_share(int64_t size_bytes, int64_t used_bytes, bool foreign)
{
    int64_t share = used_bytes < BUDGET_SHARE_MIN ? BUDGET_SHARE_MIN : used_bytes;

    return foreign && share < size_bytes ? share : size_bytes;
}

int64_t budget_used(struct budget *b)
{
    int64_t used;

    pthread_mutex_lock(&b->lock);
    used = b->used_bytes;
    pthread_mutex_unlock(&b->lock);
    return used;
}
