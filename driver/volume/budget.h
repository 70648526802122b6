/* SPDX-License-Identifier: Apache-2.0
 *
 * budget.h - how much tmpfs all volumes of the node may be given: their bytes are charged to this
 * program's memory cgroup. Counts sizes, not use. Does not mount.
 */
#ifndef LOCKET_VOLUME_BUDGET_H
#define LOCKET_VOLUME_BUDGET_H

#include <pthread.h>

#include "lib/base/error.h"

enum { BUDGET_SHARE_MIN = 2 << 20 }; /* bytes: of a volume before a provider has answered */

struct budget {
    pthread_mutex_t lock;
    int64_t total_bytes;
    int64_t used_bytes; /* guarded by lock */
};

/* total_bytes 0: the default, 70 % of memory.max less own RSS where a limit is set, else 10 % of
 * RAM. */
void budget_init(struct budget *b, int64_t total_bytes);
void budget_done(struct budget *b);

/* Takes need bytes. RESOURCE_EXHAUSTED naming need, used and budget. */
must_check int budget_reserve(struct budget *b, int64_t need_bytes, struct error *err);

/* Takes (or with a negative number gives back) without asking: adoption and rotation are never
 * refused. */
void budget_change(struct budget *b, int64_t bytes);

/* What a tmpfs takes: its size, which bounds it. One whose size somebody else set (by default half
 * of all memory) is bounded by what we write: it takes what is in it. */
int64_t budget_share(int64_t size_bytes, int64_t used_bytes, bool foreign);

/* The sum of what is taken, in bytes. */
int64_t budget_used(struct budget *b);

/* The least memory limit below ram_bytes of the cgroup that self (the text of /proc/self/cgroup)
 * names and of those around it; -1: there is none. mount: where cgroups are, /sys/fs/cgroup. In a
 * container the own cgroup is the mount itself; on a host it lies below, such as a systemd unit's.
 * Source: kernel Documentation/admin-guide/cgroup-v2.rst. */
int64_t budget_limit(const char *mount, const char *self, int64_t ram_bytes);

/* The default for these facts (limit_bytes -1: none). */
int64_t budget_default(int64_t ram_bytes, int64_t limit_bytes, int64_t rss_bytes);

#endif
