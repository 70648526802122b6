/* SPDX-License-Identifier: Apache-2.0
 *
 * migrate.h - what `locketctl migrate check` looks at, and what it says of it. Each check is a row
 * of a table: it reads the facts and adds findings. Does not print (migrate.c).
 */
#ifndef LOCKET_CTL_MIGRATE_H
#define LOCKET_CTL_MIGRATE_H

#include "lib/base/tree.h"
#include "lib/model/class.h"
#include "locket/admin.pb-c.h"

#define MIGRATE_DRIVER "secrets-store.csi.k8s.io"

enum { MIGRATE_FILES_MAX = 64, MIGRATE_FINDINGS_MAX = 10000 };

enum verdict {
    VERDICT_OK,
    VERDICT_NOTE, /* works, but is worth knowing */
    VERDICT_DUE,  /* something stops working unless this is done */
};

/* "ok", "note" or "DUE". */
const char *verdict_name(enum verdict verdict);

struct finding {
    enum verdict verdict;
    const char *check; /* the row that found it */
    char *about;       /* the object, such as class shop/app */
    char *detail;
    char *remedy; /* "": nothing to do */
};

/* Objects of the cluster by kind, from kubectl's dumps; trees are borrowed from documents. */
struct migrate_objects {
    struct tree *documents[MIGRATE_FILES_MAX]; /* owned */
    size_t document_count;
    const struct tree *csi_driver; /* ours; NULL: not among them */
    const struct tree **daemonsets;
    size_t daemonset_count;
    const struct tree **roles; /* ClusterRoles and their bindings */
    size_t role_count;
    struct class **classes; /* owned */
    size_t class_count;
    const struct tree **pods; /* all that has a pod's spec: pods, and templates of workloads */
    size_t pod_count;
    struct pairs unreadable; /* NS/NAME of a class -> why it cannot be read */
};

struct migrate {
    struct migrate_objects objects;
    bool has_objects;                                /* was any dump given? */
    const Locket__Admin__V1__SurveyResponse *survey; /* NULL: no driver answered */
    const Locket__Admin__V1__StatusResponse *status; /* the same */
    const char *check;                               /* the row that runs */
    struct finding *findings;
    size_t count;
};

/* Reads one dump of kubectl get -o yaml or -o json (told apart by its first character), any number
 * of kinds in it. Ownership: the facts, by migrate_done. Errors: INVALID_ARGUMENT with line and
 * column; RESOURCE_EXHAUSTED for too many files. */
must_check int migrate_read(struct migrate *m, const char *text, size_t len, struct error *err);

/* Frees what it owns. */
void migrate_done(struct migrate *m);

/* Adds a finding of the check that runs. about is given away; texts are formatted. */
void migrate_say(struct migrate *m, enum verdict verdict, char *about, char *detail, char *remedy);

/* The spec of a pod or of the template of a workload; NULL when it has none. */
const struct tree *migrate_pod_spec(const struct tree *object);

/* "Deployment shop/web". The caller frees. */
char *migrate_name_of(const struct tree *object);

/* Calls each(m, object, volume) for every volume of ours of every pod and template. */
void migrate_each_volume(struct migrate *m,
                         void (*each)(struct migrate *m, const struct tree *object,
                                      const struct tree *volume));

/* The checks, and the table that runs them all in order. */
void migrate_check_release(struct migrate *m);
void migrate_check_flags(struct migrate *m);
void migrate_check_rights(struct migrate *m);
void migrate_check_csi_driver(struct migrate *m);
void migrate_check_audiences(struct migrate *m);
void migrate_check_overrides(struct migrate *m);
void migrate_check_secret_refs(struct migrate *m);
void migrate_check_writers(struct migrate *m);
void migrate_check_providers(struct migrate *m);
void migrate_check_volumes(struct migrate *m);
void migrate_run(struct migrate *m);

#endif
