/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

#include "driver/cluster/class_folder.h"
#include "driver/cluster/cluster.h"

struct local {
    struct cluster base;
    pthread_mutex_t lock; /* leaf; held while the folder is looked at, so that a file is parsed once
                             however many publishes wait for it */
    struct class_folder *folder; /* guarded by lock */
};

/* Where else to look, besides the words that users know. */
static int not_found(const struct class_folder *folder, const char *ns, const char *name,
                     struct error *err)
{
    const struct error *trouble = class_folder_trouble(folder);
    struct error known = { 0 };

    (void)class_not_found(ns, name, &known);
    if (!trouble)
        return error_copy(err, &known);
    (void)error_set(err, known.code, "%s; it may be in a file that cannot be read: %s", known.msg,
                    trouble->msg);
    return error_reason(err, known.reason);
}

static int look_up(struct local *l, const char *ns, const char *name, struct class **ret,
                   struct error *err)
{
    const struct class *found = NULL;

    if (class_folder_refresh(l->folder, err) < 0 ||
        class_folder_find(l->folder, ns, name, &found, err) < 0)
        return error_within(err, "failed to get secretproviderclass %s/%s, error", ns, name);
    if (!found)
        return not_found(l->folder, ns, name, err);
    *ret = class_dup(found);
    return 0;
}

static int local_get_class(struct cluster *self, const char *ns, const char *name,
                           struct cancel *cancel, struct class **ret, struct error *err)
{
    struct local *l = (struct local *)self;
    int result;

    (void)cancel; /* a folder does not keep one waiting */
    (void)pthread_mutex_lock(&l->lock);
    result = look_up(l, ns, name, ret, err);
    (void)pthread_mutex_unlock(&l->lock);
    return result;
}

/* There is nobody to tell: `locketctl list` shows it all. */
static void local_report(struct cluster *self, const struct volume_report *report)
{
    (void)self;
    (void)report;
}

static void local_note(struct cluster *self, const struct volume_note *note)
{
    (void)self;
    (void)note;
}

static int local_admit(struct cluster *self, struct error *err)
{
    (void)self;
    (void)error_set(err, CODE_UNAVAILABLE,
                    "--audit-fail-closed: nobody keeps an audit of classes from a folder");
    return error_reason(err, "AuditUnavailable");
}

/* Nobody ever asks for files. */
static int local_send_files(struct cluster *self, const struct volume_files *files,
                            struct error *err)
{
    (void)self;
    return error_set(err, CODE_UNIMPLEMENTED, "volume %.100s: there is no cluster to send files to",
                     files->volume_id);
}

/* A folder wishes nothing: it is looked at by each refresh. */
static void local_listen(struct cluster *self, const struct cluster_listener *listener)
{
    (void)self;
    (void)listener;
}

static void local_free(struct cluster *self)
{
    struct local *l = (struct local *)self;

    class_folder_free(l->folder);
    (void)pthread_mutex_destroy(&l->lock);
    free(l);
}

static const struct cluster_ops local_ops = {
    .get_class = local_get_class,
    .report = local_report,
    .note = local_note,
    .admit = local_admit,
    .send_files = local_send_files,
    .listen = local_listen,
    .free = local_free,
};

int cluster_local_new(const char *folder, struct cluster **ret, struct error *err)
{
    struct local *l;
    struct stat st;

    if (!*folder)
        return error_set(err, CODE_INVALID_ARGUMENT, "--classes: names no folder");
    if (stat(folder, &st) < 0)
        return error_sys(err, errno, "classes folder %s", folder);
    if (!S_ISDIR(st.st_mode))
        return error_set(err, CODE_INVALID_ARGUMENT, "classes folder %s: is no folder", folder);
    l = xcalloc(1, sizeof(*l));
    l->base.ops = &local_ops;
    (void)pthread_mutex_init(&l->lock, NULL);
    l->folder = class_folder_new(folder);
    *ret = &l->base;
    return 0;
}
