/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/event_send.h"

#include "lib/base/number.h"

static int call(struct event_send *s, const char *method, const char *path,
                const struct strbuf *body, struct tree **ret, struct error *err)
{
    struct tree *refusal autotree = NULL;
    struct error mine = { 0 };
    struct kube_request request = {
        .method = method,
        .path = path,
        .type = strcmp(method, "POST") == 0 ? KUBE_TYPE_JSON : KUBE_TYPE_MERGE,
        .body = body,
        .cancel = s->cancel,
        .refusal = &refusal,
    };

    if (kube_call(s->api, &request, ret, &mine) == 0)
        return 0;
    s->spoke =
        str_same(tree_get_text(refusal, "kind"), "Status") && mine.code != CODE_UNAUTHENTICATED;
    return error_copy(err, &mine);
}

/* What the object counts, as the answer to a patch tells; 1 when it does not. */
static int64_t count_of(const struct tree *object)
{
    const struct tree *t = tree_get(object, "count");
    int64_t count = 1;

    if (t && t->kind == TREE_NUMBER)
        (void)!number_parse(t->text, 1, INT32_MAX - 1, &count, NULL);
    return count;
}

/* The Event is there already. Nobody may read it by our role; but the answer to a patch has it. */
static int repeat(struct event_send *s, const char *path, struct error *err)
{
    struct tree *object autotree = NULL;
    struct strbuf body autostrbuf = { 0 };
    struct error mine = { 0 };

    event_object_repeat(s->event, s->when, 0, &body);
    if (call(s, "PATCH", path, &body, &object, &mine) < 0) {
        if (mine.code == CODE_NOT_FOUND)
            mine.code = CODE_ABORTED; /* the server forgot it just now: it is made anew */
        return error_copy(err, &mine);
    }
    strbuf_reset(&body);
    event_object_repeat(s->event, s->when, count_of(object) + 1, &body);
    return call(s, "PATCH", path, &body, NULL, err);
}

int event_send(struct event_send *send, struct error *err)
{
    struct strbuf body autostrbuf = { 0 };
    autofree char *path = event_object_path(send->event);
    autofree char *name = NULL;
    autofree char *mine = NULL;
    struct error first = { 0 };

    if (event_object_name(send->event, &name, err) < 0)
        return -1;
    event_object_write(send->event, name, send->node, send->when, &body);
    if (call(send, "POST", path, &body, NULL, &first) == 0)
        return 0;
    if (first.code != CODE_ALREADY_EXISTS)
        return error_copy(err, &first);
    mine = str_printf("%s/%s", path, name);
    return repeat(send, mine, err);
}
