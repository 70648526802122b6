/* SPDX-License-Identifier: Apache-2.0
 *
 * admin_facts.h - what the program tells of itself: its flags in force, the warnings of its start,
 * its pools. Filled once by main. Does not know what a flag means.
 */
#ifndef LOCKET_SERVE_ADMIN_FACTS_H
#define LOCKET_SERVE_ADMIN_FACTS_H

#include "lib/model/pairs.h"
#include "lib/net/work.h"
#include "locket/admin.pb-c.h"

enum { FACTS_POOLS_MAX = 8, FACTS_WARNINGS_MAX = 64 };

struct admin_facts {
    struct pairs flags; /* none holds a secret: secrets come from files */
    char *warnings[FACTS_WARNINGS_MAX];
    size_t warning_count;
    struct work_pool *pools[FACTS_POOLS_MAX]; /* borrowed */
    size_t pool_count;
};

/* Add one; what is over the ceiling is left out. */
void admin_facts_warn(struct admin_facts *f, const char *text);
void admin_facts_pool(struct admin_facts *f, struct work_pool *pool);

/* Frees what it owns; { 0 } afterwards. */
void admin_facts_done(struct admin_facts *f);

/* Their rows of a status; the texts stay the facts' own. Ownership: facts_rows_done. */
struct facts_rows {
    Locket__Admin__V1__StatusResponse__FlagsEntry *flags;
    Locket__Admin__V1__StatusResponse__FlagsEntry **flag_refs;
    Locket__Admin__V1__Pool pools[FACTS_POOLS_MAX];
    Locket__Admin__V1__Pool *pool_refs[FACTS_POOLS_MAX];
};
void facts_rows_fill(struct facts_rows *rows, struct admin_facts *f,
                     Locket__Admin__V1__StatusResponse *out);
void facts_rows_done(struct facts_rows *rows);

#endif
