/* SPDX-License-Identifier: Apache-2.0
 *
 * cluster.h - seam `cluster`: where classes come from and where volumes are reported to
 * (a folder of YAML, the agent, a double).
 * Does not know volumes' insides, nor how the cluster is spoken to.
 */
#ifndef LOCKET_CLUSTER_CLUSTER_H
#define LOCKET_CLUSTER_CLUSTER_H

#include "lib/base/cancel.h"
#include "lib/base/metrics.h"
#include "lib/model/class.h"
#include "lib/model/fileset.h"

struct cluster;

/* What became of a volume; everything is borrowed. Output only: nothing is read back from it. */
struct volume_report {
    const char *volume_id;
    const char *pod_ns;
    const char *pod_name;
    const char *pod_uid;
    const char *class_name;
    const char *target;
    bool mounted;
    const struct object_version *versions;
    size_t version_count;
    bool taken_over; /* its content was there before us: what the cluster shows of it stands */
    const struct error *err;    /* of the last refresh; NULL: it succeeded */
    int64_t changed_at_unix_ms; /* when a fetch first brought the content that is there */
    bool resent; /* told again, since one of both sides is new: see to it that its class is current
                  */
};

struct volume_file {
    char *path; /* relative to the volume */
    struct secret contents;
};

/* Files of a volume that the cluster asked for, to make Secrets of them; everything is borrowed. */
struct volume_files {
    const char *volume_id;
    const struct volume_file *list; /* those that there are */
    size_t count;
    int64_t changed_at_unix_ms; /* as in a report */
    int64_t fetched_at_unix_ms; /* when a fetch last confirmed it */
    const struct error *err;    /* why they could not be read; NULL: they could */
};

enum note_kind {
    NOTE_PUBLISHED,
    NOTE_REPAIRED, /* a publish of a volume that was there and not whole */
    NOTE_REFRESHED,
    NOTE_UNPUBLISHED,
    NOTE_CREDENTIALS_REFUSED, /* of a republish; the volume goes on with what it has */
    NOTE_STALE,
    NOTE_REPUBLISH_OFF, /* kubelet will not renew its tokens */
    NOTE_PEER_CHANGED,  /* another user answers at its provider's socket */
};

/* A file of an access, a version, or both; borrowed, NULL: not known. */
struct note_object {
    const char *id;
    const char *version;
    const char *before; /* the version until now */
    const char *path;   /* of the file */
    int64_t bytes;
};

/* Something that happened to a volume, once; everything is borrowed. Names, versions and sizes,
 * never a secret. */
struct volume_note {
    enum note_kind kind;
    bool is_news; /* else it matters to an audit alone */
    const char *volume_id;
    const char *pod_ns;
    const char *pod_name;
    const char *pod_uid;
    const char *service_account;
    const char *credential; /* the id of its token (jti) */
    const char *class_name;
    const char *provider;
    const char *store; /* how the fetch went, as its provider says; of an access alone */
    const char *auth_method;
    const char *role;
    const char *request;
    const char *peer; /* who answered, as the kernel says */
    int64_t generation;
    const struct note_object *objects;
    size_t object_count;
    const struct error *err; /* NULL: it succeeded */
    int64_t took_ms;
    bool changed;
    bool failed_before;
    bool class_edited;  /* its class was, and this is the first refresh since */
    bool waiting;       /* for credentials */
    int64_t at_unix_ms; /* STALE: the last good refresh; REPUBLISH_OFF: when the tokens expire */
    int64_t peer_uid;
};

/* Volumes that the cluster wants refreshed; borrowed, NULL: any. */
struct cluster_wish {
    const char *ns;
    const char *class_name;
    const char *pod_name;
    bool forced; /* somebody asked for it, so also where rotation is off */
    const char
        *class_stamp;  /* of the class now: those filled by it need nothing; NULL: not known */
    bool unless_known; /* only those known to be filled by another form */
};

/* What the cluster's CSIDriver object says; borrowed. */
struct csi_driver_facts {
    bool exists;
    bool pod_info; /* podInfoOnMount */
    bool republish;
    bool tokens_in_secrets;
    const char *const *audiences; /* of tokenRequests */
    size_t audience_count;
};

/* Who hears what the cluster has to say. */
struct cluster_listener {
    void *arg;
    void (*wish)(void *arg, const struct cluster_wish *wish);
    void (*resend)(void *arg); /* it knows no volume any more: report them all */
    void (*csi_driver)(void *arg, const struct csi_driver_facts *facts);
    bool rotation; /* is it on? The cluster's side tells what that needs. */
    /* Files of a volume are to be sent (send_files). NULL: none ever are. */
    void (*files)(void *arg, const char *volume_id, const char *const *paths, size_t count);
    char *(*metrics)(void *arg); /* as Prometheus text, for those who scrape the cluster's side;
                                    the caller frees */
    /* Has kubelet confirmed this driver? *ret_text: how far that is, the caller's to free; NULL: it
     * does not register itself. */
    bool (*registered)(void *arg, char **ret_text);
};

/* Contract (tests/contract/test_cluster.c): any thread. */
struct cluster_ops {
    /* The class as it is now. Ownership: the caller, by class_free. May block for 20 s, until
     * cancel (NULL: none) is raised.
     * NOT_FOUND `failed to get secretproviderclass NS/NAME, error: ... not found` (users match on
     * it), reason SecretProviderClassNotFound; INVALID_ARGUMENT when it cannot be read; UNAVAILABLE
     * when nobody can be asked; CANCELLED. */
    int (*get_class)(struct cluster *self, const char *ns, const char *name, struct cancel *cancel,
                     struct class **ret, struct error *err);
    /* Hands over a report; never blocks for long, never fails a publish. */
    void (*report)(struct cluster *self, const struct volume_report *report);
    /* Hands over a note; never blocks. Those that there is no room for are counted, and the count
     * is told. */
    void (*note)(struct cluster *self, const struct volume_note *note);
    /* May a new volume be published, where no access may be without its line of audit? Blocks two
     * seconds at most. UNAVAILABLE when not, or when nobody can be asked. */
    int (*admit)(struct cluster *self, struct error *err);
    /* Hands over files that were asked for, and waits until they were dealt with, up to a minute;
     * at once when nobody listens any more. Whoever needs them and did not get them asks again. */
    int (*send_files)(struct cluster *self, const struct volume_files *files, struct error *err);
    /* From now on this one is called, from one thread of the implementation's own; NULL: nobody,
     * and none of its functions runs any more (may block a second). */
    void (*listen)(struct cluster *self, const struct cluster_listener *listener);
    /* Frees self and all it owns. */
    void (*free)(struct cluster *self);
};

struct cluster { /* first member of every implementation's own struct */
    const struct cluster_ops *ops;
};

/* Classes from a folder (--classes): see docs/ARCHITECTURE.md. Errors: by errno, INVALID_ARGUMENT.
 * Ownership: ops->free. */
must_check int cluster_local_new(const char *folder, struct cluster **ret, struct error *err);

/* What is counted of it; NULL metrics: nothing. */
struct cluster_metrics {
    struct metrics *metrics;
    size_t reports_dropped; /* row without labels */
};

/* Classes of, and reports to, the agent behind this unix socket. Starts two threads; what the agent
 * cannot be told now it is told later. A class that it answered once serves while it is away.
 * Ownership: ops->free; *metrics is copied. Never fails: an agent that is not there yet is waited
 * for. */
struct cluster *cluster_agent_new(const char *socket, const struct cluster_metrics *metrics);

#endif
