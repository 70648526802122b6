/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/taint.h"

#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/net/work.h"

enum { RETRY_FIRST_MS = 1000, RETRY_MAX_MS = 60000, TAINTS_MAX = 1000 };

struct taint {
    struct kube_api *api;
    char *path; /* of the node */
    char *key;
    struct due_queue *due; /* its thread alone asks */
    struct due_item item;
    struct cancel cancel;
    int64_t retry_ms; /* that thread's own, as the next */
    bool told;
};

static void add_step(struct strbuf *out, const char *op, size_t index, const char *member,
                     const char *value)
{
    strbuf_printf(out, "%s{\"op\":\"%s\",\"path\":\"/spec/taints/%zu%s\"", out->len > 1 ? "," : "",
                  op, index, member);
    if (value) {
        strbuf_add_text(out, ",\"value\":");
        json_add_text(out, value, strlen(value));
    }
    strbuf_add_char(out, '}');
}

bool taint_patch(const struct tree *node, const char *key, struct strbuf *out)
{
    const struct tree *taints = tree_get(tree_get(node, "spec"), "taints");
    const struct tree *rows[TAINTS_MAX];
    size_t count = 0;
    bool found = false;

    for (const struct tree *t = taints && taints->kind == TREE_LIST ? taints->child : NULL;
         t && count < TAINTS_MAX; t = t->next)
        rows[count++] = t;
    strbuf_add_char(out, '[');
    while (count-- > 0) { /* from the last on: what goes moves none that is still to go */
        const char *its = tree_get_text(rows[count], "key");

        if (!its || strcmp(its, key) != 0)
            continue;
        add_step(out, "test", count, "/key", key);
        add_step(out, "remove", count, "", NULL);
        found = true;
    }
    strbuf_add_char(out, ']');
    return found;
}

static int remove_now(struct taint *t, bool *ret_removed, struct error *err)
{
    struct tree *node autotree = NULL;
    struct strbuf patch autostrbuf = { 0 };
    struct kube_request request = { .method = "PATCH",
                                    .path = t->path,
                                    .accept = KUBE_ACCEPT_METADATA,
                                    .type = KUBE_TYPE_JSON_PATCH,
                                    .body = &patch,
                                    .cancel = &t->cancel };

    if (kube_get(t->api, t->path, &t->cancel, &node, err) < 0)
        return -1;
    *ret_removed = taint_patch(node, t->key, &patch);
    return *ret_removed ? kube_call(t->api, &request, NULL, err) : 0;
}

static void on_due(void *arg, struct due_item *item)
{
    struct taint *t = arg;
    struct error err = { 0 };
    bool removed = false;

    if (remove_now(t, &removed, &err) == 0) {
        if (removed)
            log_event(LOG_INFO, "the start-up taint is removed", WITH_TEXT(KEY_PATH, t->path));
        t->retry_ms = RETRY_FIRST_MS;
        t->told = false;
        return;
    }
    if (cancel_is_raised(&t->cancel))
        return;
    if (!t->told)
        log_failure(LOG_WARN, "the start-up taint stays: is components/startup-taint applied?",
                    KEY_PATH, t->path, &err);
    t->told = true;
    due_queue_set(t->due, item, clock_mono_ms() + t->retry_ms);
    t->retry_ms = t->retry_ms * 2 < RETRY_MAX_MS ? t->retry_ms * 2 : RETRY_MAX_MS;
}

struct taint *taint_new(struct kube_api *api, const char *node_name, const char *driver_name)
{
    struct taint *t = xcalloc(1, sizeof(*t));
    struct strbuf path autostrbuf = { 0 };

    strbuf_add_text(&path, "/api/v1/nodes/");
    url_encode(&path, node_name, false);
    t->api = api;
    t->path = strbuf_take(&path);
    t->key = str_printf("%s/agent-not-ready", driver_name);
    t->retry_ms = RETRY_FIRST_MS;
    cancel_init(&t->cancel);
    t->due = due_queue_new(on_due, t);
    return t;
}

void taint_free(struct taint *t)
{
    if (!t)
        return;
    cancel_raise(&t->cancel);
    due_queue_free(t->due);
    cancel_done(&t->cancel);
    free(t->path);
    free(t->key);
    free(t);
}

void taint_remove(struct taint *t)
{
    if (t)
        due_queue_set(t->due, &t->item, clock_mono_ms());
}
