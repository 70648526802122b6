/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secret_run.h"

#include "lib/base/clock.h"

/* The bytes of a file, borrowed; false: it did not come. */
static bool find_file(const Locket__Cluster__V1__SyncRequest *in, const char *path,
                      struct secret *ret)
{
    for (size_t i = 0; i < in->n_files; i++)
        if (strcmp(in->files[i]->path, path) == 0) {
            *ret = (struct secret){ in->files[i]->contents.data, in->files[i]->contents.len };
            return true;
        }
    return false;
}

/* Borrows the files' bytes under the Secret's keys. */
static int fill(const struct secret_run *run, size_t place, struct secret_datum *list,
                struct error *err)
{
    const struct secret_object *o = &run->class->secret_objects.list[place];

    for (size_t i = 0; i < o->key_count; i++) {
        list[i].key = o->keys[i].key;
        if (!find_file(run->files, o->keys[i].object_name, &list[i].bytes))
            return error_set(err, CODE_INVALID_ARGUMENT,
                             "spec.secretObjects[%zu].data[%zu].objectName: file matching "
                             "objectName %.200s not found in the pod",
                             place, i, o->keys[i].object_name);
    }
    return 0;
}

static int make_data(const struct secret_run *run, size_t place, struct secret_data *ret,
                     struct error *err)
{
    const struct secret_object *o = &run->class->secret_objects.list[place];
    autofree struct secret_datum *list = xcalloc(o->key_count + 1, sizeof(*list));
    struct secret_order order = {
        .place = place, .type = o->type, .list = list, .count = o->key_count
    };

    if (secret_object_check(o, place, err) < 0 || fill(run, place, list, err) < 0)
        return -1;
    return secret_data_make(&order, ret, err);
}

/* As it always was: what made the pod, so that the Secret outlives a pod and not its Deployment. */
static int find_owners(const struct secret_run *run, struct kube_owners *ret, struct error *err)
{
    const struct kube_owner pod = { .api_version = (char *)"v1",
                                    .kind = (char *)"Pod",
                                    .name = (char *)run->pod_name,
                                    .uid = (char *)run->pod_uid };

    if (!pod_watch_owners(run->pods, run->class->ns, run->pod_name, run->pod_uid, ret))
        return error_set(err, CODE_FAILED_PRECONDITION,
                         "pod %s/%s of this uid has not been seen on this node yet", run->class->ns,
                         run->pod_name);
    if (!ret->count)
        kube_owners_add(ret, &pod);
    return 0;
}

/* One line for content that was taken to the API server, or was to be. */
static void note(const struct secret_run *run, const struct secret_write *write,
                 const struct error *err, int64_t took_ms)
{
    const struct secret_data *data = write->wish.data;
    autofree struct audit_object *objects = xcalloc(data->count + 1, sizeof(*objects));
    const struct audit_entry entry = { .event = AUDIT_SYNC,
                                       .pod_ns = run->class->ns,
                                       .pod_name = run->pod_name,
                                       .pod_uid = run->pod_uid,
                                       .volume_id = run->files->volume_id,
                                       .class_name = run->class->name,
                                       .provider = run->class->provider,
                                       .secret = write->wish.object->name,
                                       .objects = objects,
                                       .object_count = data->count,
                                       .err = err->code ? err : NULL,
                                       .took_ms = took_ms };

    for (size_t i = 0; i < data->count; i++)
        objects[i] = (struct audit_object){ .name = data->list[i].key,
                                            .path = data->list[i].key,
                                            .value = &data->list[i].bytes };
    audit_add(run->audit, &entry);
}

int secret_run(const struct secret_run *run, size_t place, enum secret_result *ret,
               struct error *err)
{
    autosecretdata struct secret_data data = { 0 };
    autoowners struct kube_owners owners = { 0 };
    bool sent = false;
    struct secret_write write = {
        .api = run->api,
        .cancel = run->cancel,
        .wish = { .ns = run->class->ns,
                  .class_name = run->class->name,
                  .object = &run->class->secret_objects.list[place],
                  .data = &data,
                  .key = run->key,
                  .adopt = run->class->secret_objects.adopt,
                  .changed_at_unix_ms = run->files->changed_at_unix_ms,
                  .fetched_at_unix_ms = run->files->fetched_at_unix_ms,
                  .now_unix_ms = clock_unix_ms() },
        .owners = &owners,
        .sent = &sent,
    };
    int64_t started = clock_mono_ms();
    struct error mine = { 0 };
    int result;

    *ret = SECRET_INVALID;
    if (make_data(run, place, &data, err) < 0)
        return -1;
    *ret = SECRET_FAILED;
    if (find_owners(run, &owners, err) < 0)
        return -1;
    result = secret_apply(&write, ret, &mine);
    if (sent || *ret == SECRET_DENIED)
        note(run, &write, &mine, clock_mono_ms() - started);
    return result < 0 ? error_copy(err, &mine) : 0;
}
