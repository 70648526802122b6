/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secret_apply.h"

#include "lib/base/fault.h"
#include "lib/base/redact.h"

enum { TRIES = 4, WORDS_MAX = 400 };

const char *secret_result_name(enum secret_result result)
{
    static const char *const names[] = {
        [SECRET_FAILED] = "failed",   [SECRET_APPLIED] = "applied", [SECRET_KEPT] = "kept",
        [SECRET_YIELDED] = "yielded", [SECRET_REFUSED] = "refused", [SECRET_DENIED] = "denied",
        [SECRET_INVALID] = "invalid",
    };

    return names[result];
}

/* --- what the server answers ------------------------------------------------------------------ */

/* Is it the last word on this content? What else fails is tried again soon. */
static bool is_denial(const struct error *err)
{
    return err->code == CODE_INVALID_ARGUMENT || err->code == CODE_PERMISSION_DENIED ||
           err->code == CODE_RESOURCE_EXHAUSTED || err->code == CODE_UNIMPLEMENTED;
}

/* Marks all content in words; false: a value of it cannot be blanked. */
static bool blank(const struct secret_data *data, struct redaction *words)
{
    bool betrays = false;

    for (size_t i = 0; i < data->count; i++) {
        const struct secret *value = &data->list[i].bytes;

        betrays = betrays || redaction_betrays(words, (const char *)value->bytes, value->len);
        redaction_value(words, (const char *)value->bytes, value->len);
    }
    redaction_shapes(words);
    return !betrays;
}

/* Says it in the server's words, in which a policy may have quoted what it refused. */
static void add_words(const struct secret_wish *w, const struct tree *status, struct error *err)
{
    const char *message = tree_get_text(status, "message");
    autofree char *text = NULL;
    struct redaction words;
    struct error before = *err;

    if (!message)
        return;
    /* Cut after it is redacted: of a value that the cut would go through nothing is left. */
    text = str_printf("%.*s", ERROR_TEXT_MAX - 1, message);
    words = redaction_of(text);
    if (blank(w->data, &words)) {
        redaction_apply(&words);
        (void)error_set(err, before.code, "%.*s", WORDS_MAX, text);
    } else
        (void)error_set(err, before.code,
                        "%s; why is not repeated: it may quote a value of less than %d bytes, "
                        "which blanking would not hide",
                        before.msg, REDACT_WHOLE_MIN);
    err->retry_after_ms = before.retry_after_ms;
}

static int patch(const struct secret_write *w, const char *query, const struct strbuf *body,
                 struct tree **ret, struct tree **refusal, struct error *err)
{
    autofree char *base = secret_object_path(w->wish.ns, w->wish.object->name);
    autofree char *path = str_printf("%s%s", base, query);
    struct kube_request request = {
        .method = "PATCH",
        .path = path,
        .accept = KUBE_ACCEPT_METADATA, /* what was written need not come back */
        .type = refusal ? KUBE_TYPE_APPLY : KUBE_TYPE_STRATEGIC,
        .body = body,
        .cancel = w->cancel,
        .sensitive = true,
        .refusal = refusal,
    };

    return kube_call(w->api, &request, ret, err);
}

/* --- applying -------------------------------------------------------------------------------- */

static int apply_once(const struct secret_write *w, const struct tree *live, bool force,
                      struct tree **ret, struct tree **refusal, struct error *err)
{
    struct strbuf body autostrbuf = { .sensitive = true };

    if (secret_object_write(live, &w->wish, &body, err) < 0)
        return -1;
    if (w->sent)
        *w->sent = true;
    return patch(
        w, force ? "?fieldManager=" SECRET_MANAGER "&force=true" : "?fieldManager=" SECRET_MANAGER,
        &body, ret, refusal, err);
}

/* Others wrote what we would write: taken from the old driver, and from anybody where the class
 * says so. *ret_force: it is to be tried again with force. */
static int judge_conflict(const struct secret_write *w, const struct tree *status, bool *ret_force,
                          struct error *err)
{
    bool fields = false;
    autofree char *whose = secret_conflict(status, &fields);

    *ret_force = fields && (!whose || w->wish.adopt);
    if (!fields || *ret_force)
        return 0;
    return error_set(err, CODE_FAILED_PRECONDITION,
                     "Secret %s/%s: %s is somebody else's: let go of it there, or annotate the "
                     "class with " ADOPT_ANNOTATION "=true",
                     w->wish.ns, w->wish.object->name, whose);
}

/* Applies over what was seen. ABORTED: it is another one by now, so look again. */
static int apply(const struct secret_write *w, const struct tree *live, struct tree **ret,
                 enum secret_result *result, struct error *err)
{
    struct tree *status autotree = NULL;
    bool force = false;

    if (apply_once(w, live, false, ret, &status, err) == 0)
        return 0;
    if (err->code == CODE_ABORTED) {
        struct error conflict = { 0 };

        if (judge_conflict(w, status, &force, &conflict) < 0) {
            *result = SECRET_REFUSED;
            return error_copy(err, &conflict);
        }
    }
    if (force) {
        tree_free(take(status));
        if (apply_once(w, live, true, ret, &status, err) == 0)
            return 0;
    }
    if (is_denial(err))
        *result = SECRET_DENIED;
    add_words(&w->wish, status, err);
    return -1;
}

/* --- owners ---------------------------------------------------------------------------------- */

static int own(const struct secret_write *w, const struct tree *live, enum secret_result *result,
               struct error *err)
{
    for (size_t i = 0; i < w->owners->count; i++) {
        const struct kube_owner *owner = &w->owners->list[i];
        struct strbuf body autostrbuf = { 0 };

        if (kube_owners_has(live, owner->uid))
            continue;
        kube_owner_patch(owner, NULL, &body);
        if (patch(w, "?fieldManager=" SECRET_MANAGER, &body, NULL, NULL, err) < 0) {
            *result = is_denial(err) ? SECRET_DENIED : SECRET_FAILED;
            return error_within(err, "owner %s/%s", owner->kind, owner->name);
        }
    }
    return 0;
}

/* --- all -------------------------------------------------------------------------------------- */

static int look(const struct secret_write *w, struct tree **ret, enum secret_result *result,
                struct error *err)
{
    autofree char *path = secret_object_path(w->wish.ns, w->wish.object->name);
    struct kube_request request = {
        .method = "GET", .path = path, .cancel = w->cancel, .sensitive = true
    };
    struct error mine = { 0 };

    if (kube_call(w->api, &request, ret, &mine) == 0 || mine.code == CODE_NOT_FOUND)
        return 0;
    *result = is_denial(&mine) ? SECRET_DENIED : SECRET_FAILED;
    return error_copy(err, &mine);
}

static int refuse(const struct secret_wish *w, const struct tree *live, enum secret_verdict verdict,
                  enum secret_result *result, struct error *err)
{
    const char *type = tree_get_text(live, "type");

    *result = SECRET_REFUSED;
    if (verdict == SECRET_FOREIGN)
        return error_set(err, CODE_FAILED_PRECONDITION,
                         "Secret %s/%s is there and is not ours (no label " SECRET_MANAGED_LABEL
                         "=true): delete it, or annotate the class with " ADOPT_ANNOTATION "=true",
                         w->ns, w->object->name);
    return error_set(
        err, CODE_FAILED_PRECONDITION,
        "Secret %s/%s has the type %.100s, the class says %.100s, and a type cannot be "
        "changed: delete the Secret",
        w->ns, w->object->name, type ? type : "(none)", w->object->type);
}

static int once(const struct secret_write *w, enum secret_result *result, struct error *err)
{
    struct tree *live autotree = NULL;
    struct tree *applied autotree = NULL;
    enum secret_verdict verdict;

    if (look(w, &live, result, err) < 0 || secret_judge(live, &w->wish, &verdict, err) < 0)
        return -1;
    switch (verdict) {
    case SECRET_APPLY:
        if (apply(w, live, &applied, result, err) < 0)
            return -1;
        *result = SECRET_APPLIED;
        if (FAULT("secret.applied", err) < 0)
            return -1;
        return own(w, applied, result, err);
    case SECRET_KEEP:
    case SECRET_YIELD:
        *result = verdict == SECRET_KEEP ? SECRET_KEPT : SECRET_YIELDED;
        return own(w, live, result, err);
    case SECRET_FOREIGN:
    case SECRET_OTHER_TYPE:
        return refuse(&w->wish, live, verdict, result, err);
    case SECRET_GOING:
        break;
    }
    return error_set(err, CODE_UNAVAILABLE, "Secret %s/%s is being deleted", w->wish.ns,
                     w->wish.object->name);
}

int secret_apply(const struct secret_write *w, enum secret_result *ret, struct error *err)
{
    struct error mine = { 0 };
    int result = -1;

    for (int i = 0; i < TRIES && result < 0; i++) {
        *ret = SECRET_FAILED;
        mine = (struct error){ 0 };
        result = once(w, ret, &mine);
        /* Somebody changed or deleted it between our look and our patch. */
        if (result < 0 &&
            (*ret != SECRET_FAILED || (mine.code != CODE_ABORTED && mine.code != CODE_NOT_FOUND)))
            break;
    }
    return result < 0 ? error_copy(err, &mine) : 0;
}
