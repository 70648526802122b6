/* SPDX-License-Identifier: Apache-2.0
 *
 * cluster_double.h - a cluster made of what a test puts into it, which remembers what it was told.
 */
#ifndef LOCKET_TESTS_CLUSTER_DOUBLE_H
#define LOCKET_TESTS_CLUSTER_DOUBLE_H

#include "driver/cluster/cluster.h"

/* A report as it was given, copied. */
struct reported {
    char *volume_id;
    char *pod_ns;
    char *pod_name;
    char *pod_uid;
    char *class_name;
    char *target;
    bool mounted;
    bool taken_over;
    struct object_version *versions;
    size_t version_count;
    struct error err; /* code OK: the refresh succeeded */
};

/* The last note of a kind, without what it borrowed, and how many there were. */
struct noted {
    size_t count;
    size_t news;
    struct volume_note last; /* its texts are NULL */
    enum code code;
    char pod_uid[64];
    char how[256];          /* "STORE|AUTH METHOD|ROLE|REQUEST|PEER" */
    char first_change[256]; /* "ID BEFORE VERSION" of the first object that has another version */
};

/* An empty cluster. Ownership: ops->free. */
struct cluster *cluster_double_new(void);

/* Adds or replaces a class, from the YAML of one document; its uid is its stamp. Any thread. Fails
 * the test by abort when the text is no class. */
void cluster_double_put(struct cluster *self, const char *yaml);

/* Takes a class out again. */
void cluster_double_remove(struct cluster *self, const char *ns, const char *name);

/* Lets every get_class fail with this error; NULL: no more. */
void cluster_double_fail(struct cluster *self, const struct error *err);

/* Lets get_class hang until it is cancelled, or no more. */
void cluster_double_hang(struct cluster *self, bool hang);

/* How often get_class was called, and report. */
size_t cluster_double_gets(struct cluster *self);
size_t cluster_double_reports(struct cluster *self);

/* What was noted of this kind. */
struct noted cluster_double_noted(struct cluster *self, enum note_kind kind);

/* From now on admit fails, or works again. */
void cluster_double_refuse(struct cluster *self, bool refuse);

/* Wishes something of whoever listens; or pretends to be new and to know no volume. */
void cluster_double_wish(struct cluster *self, const struct cluster_wish *wish);
void cluster_double_is_new(struct cluster *self);

/* Files that were sent: how often, and what came last: how many, and why not. */
struct sent_files {
    size_t times;
    size_t count;
    struct error err;
};
struct sent_files cluster_double_sent(struct cluster *self);

/* The last report about a volume; NULL: none. Borrowed until the next report about it. */
const struct reported *cluster_double_last(struct cluster *self, const char *volume_id);

#endif
