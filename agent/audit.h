/* SPDX-License-Identifier: Apache-2.0
 *
 * audit.h - one line of JSON for each access to secrets, in a chain (crypto_chain.h).
 * Never keeps anybody waiting: lines go through a bounded queue to one thread; what does not fit is
 * dropped, counted, and told by a line of its own. Never holds a value: of those at most a keyed
 * digest. Does not know who asks, nor what a full queue means for them.
 */
#ifndef LOCKET_AGENT_AUDIT_H
#define LOCKET_AGENT_AUDIT_H

#include "lib/base/crypto_chain.h"
#include "lib/base/metrics.h"

enum {
    AUDIT_QUEUE_MAX = 4096,           /* lines; a node's 250 volumes, 16 times over */
    AUDIT_QUEUE_BYTES_MAX = 16 << 20, /* 256 of the longest lines */
    AUDIT_TEXT_MAX = 512,             /* bytes of one text of a line, the rest is cut off */
    AUDIT_ROTATED = 4,                /* old files kept, unless the config says */
    AUDIT_DRAIN_MS = 2000,            /* what audit_free gives a sink that does not take lines */
};

/* What is counted of it; NULL metrics: nothing. Rows without labels. */
struct audit_metrics {
    struct metrics *metrics;
    size_t written;         /* counter: lines */
    size_t dropped;         /* counter: accesses without a line */
    size_t blocked_seconds; /* counter: the writer waited for its sink */
    size_t queued;          /* gauge: lines that wait */
    size_t failing;         /* gauge: 1 while the sink does not take lines */
    size_t seq;             /* gauge: number of the last line */
    size_t head;            /* gauge: chain_head_number of the last line */
};

struct audit_config {     /* borrowed for the call */
    const char *path;     /* of a file; "-": standard output */
    const char *key_file; /* NULL: the chain is not keyed */
    bool value_digests;   /* needs a key file */
    const char *cluster;  /* said on each line; NULL: not */
    const char *node;
    int64_t rotate_bytes; /* 0: never */
    int64_t rotated;      /* 0: AUDIT_ROTATED */
    size_t queue_max;     /* 0: AUDIT_QUEUE_MAX */
    struct audit_metrics metrics;
};

struct audit;

/* Opens the sink, goes on with the chain that it holds, and writes a line "start". Ownership:
 * audit_free.
 * Errors  INVALID_ARGUMENT: digests without a key, a bad key; those of audit_sink_open. */
must_check int audit_new(const struct audit_config *config, struct audit **ret, struct error *err);

/* Writes what is queued and a line "stop", for AUDIT_DRAIN_MS at most where the sink fails. NULL is
 * fine. No other call may race. */
void audit_free(struct audit *audit);

/* Why a secret was touched. */
enum audit_event {
    AUDIT_PUBLISH,
    AUDIT_REPUBLISH,
    AUDIT_ROTATE,
    AUDIT_SYNC,
    AUDIT_UNPUBLISH,
    AUDIT_REVOKE,
    AUDIT_DENY,
};

struct audit_object {
    const char *name;
    const char *path; /* the file in the volume, or the key in the Secret */
    const char *version;
    int64_t bytes;              /* 0: not known; with a value, its own length counts */
    const struct secret *value; /* only for its digest; NULL: not known */
};

/* One access. Everything is borrowed; what is NULL, 0 or empty is left out of the line. */
struct audit_entry {
    enum audit_event event;
    int64_t when_unix_ns; /* 0: now */
    /* Who */
    const char *pod_ns;
    const char *pod_name;
    const char *pod_uid;
    const char *service_account;
    const char *owner;      /* of the pod, such as ReplicaSet/web-6f */
    const char *credential; /* the token's id (jti); never the token */
    /* What */
    const char *volume_id;
    const char *class_name;
    const char *provider;
    const char *store;  /* its address or name */
    const char *secret; /* name of a synced Secret */
    int64_t generation;
    const struct audit_object *objects;
    size_t object_count; /* those that fit CHAIN_LINE_MAX stand in the line, the rest is counted */
    /* How */
    const char *auth_method;
    const char *role;
    const char *peer; /* who answered: a certificate's name, a socket's uid */
    /* Result */
    const struct error *err; /* NULL: it succeeded */
    int64_t took_ms;
    const char *request_id; /* the provider's own */
};

/* Queues a line. Never blocks, never fails; a NULL audit is one that is switched off. Any thread.
 */
void audit_add(struct audit *audit, const struct audit_entry *entry);

/* Counts accesses whose lines were lost before they came here, and tells of them with the next
 * line. A NULL audit: nothing. Any thread. */
void audit_lost(struct audit *audit, int64_t accesses);

/* Must a new access be refused where each must have its line? Yes while the sink does not take
 * lines, and from three quarters of the queue on: what was let in before still finds room. A NULL
 * audit is never full. Any thread. */
bool audit_is_full(struct audit *audit);

/* How it stands. */
struct audit_view {
    struct chain_head head; /* of the last line that was written whole */
    int64_t written;        /* since the start */
    int64_t dropped;
    size_t queued;
    bool failing;
    struct error failure; /* while failing: why */
};

/* Any thread. A NULL audit: all zero. */
struct audit_view audit_view_of(struct audit *audit);

#endif
