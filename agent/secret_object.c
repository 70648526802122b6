/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secret_object.h"

#include <stdio.h>

#include "agent/kube_api.h"
#include "lib/base/clock.h"
#include "lib/base/crypto.h"
#include "lib/base/encode.h"
#include "lib/base/json.h"

/* The old driver's names as a manager of fields: the first part of its user agent, today and before
 * it set one. Source: its pkg/version; the API server's default for a client without a name. */
static const char *const known_managers[] = { SECRET_MANAGER, "csi-secrets-store",
                                              "secrets-store-csi" };

static bool is_known_manager(const char *name)
{
    for (size_t i = 0; name && i < COUNT_OF(known_managers); i++)
        if (strcmp(name, known_managers[i]) == 0)
            return true;
    return false;
}

char *secret_object_path(const char *ns, const char *name)
{
    struct strbuf path autostrbuf = { 0 };

    strbuf_add_text(&path, "/api/v1/namespaces/");
    url_encode(&path, ns, false);
    strbuf_add_text(&path, "/secrets/");
    url_encode(&path, name, false);
    return strbuf_take(&path);
}

static void add_text(struct strbuf *out, const char *before, const char *text)
{
    strbuf_add_text(out, before);
    json_add_text(out, text, strlen(text));
}

static void add_pairs(struct strbuf *out, const struct pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        add_text(out, i ? "," : "", pairs->items[i].key);
        add_text(out, ":", pairs->items[i].value);
    }
}

/* --- notes and labels ------------------------------------------------------------------------ */

/* What a wish leaves on a Secret to be known by. */
struct marks {
    char form[SECRET_FORM_TEXT]; /* digest of what the class asks for: names alone, no content */
    char digest[SECRET_DIGEST_TEXT]; /* of the content; "" without a key */
};

static int form_of(const struct secret_object *o, char ret[SECRET_FORM_TEXT], struct error *err)
{
    struct strbuf text autostrbuf = { 0 };
    struct strbuf hex autostrbuf = { 0 };
    uint8_t digest[SHA256_BYTES];

    add_text(&text, "", o->type);
    add_pairs(&text, &o->labels);
    strbuf_add_char(&text, ';');
    add_pairs(&text, &o->annotations);
    for (size_t i = 0; i < o->key_count; i++) {
        add_text(&text, ";", o->keys[i].key);
        add_text(&text, "=", o->keys[i].object_name);
    }
    if (sha256(text.text, text.len, digest, err) < 0)
        return -1;
    hex_encode(&hex, digest, SECRET_FORM_BYTES);
    memcpy(ret, hex.text, SECRET_FORM_TEXT);
    return 0;
}

/* As `jq -cS .data` prints it. */
static void add_data(struct strbuf *out, const struct secret_data *data)
{
    strbuf_add_char(out, '{');
    for (size_t i = 0; i < data->count; i++) {
        add_text(out, i ? "," : "", data->list[i].key);
        strbuf_add_text(out, ":\"");
        base64_encode(BASE64_STD, out, data->list[i].bytes.bytes, data->list[i].bytes.len);
        strbuf_add_char(out, '"');
    }
    strbuf_add_char(out, '}');
}

static int digest_of(const struct secret_wish *w, char ret[SECRET_DIGEST_TEXT], struct error *err)
{
    struct strbuf text autostrbuf = { .sensitive = true };
    char digest[CHAIN_HASH_TEXT];

    *ret = '\0';
    if (!w->key)
        return 0;
    add_data(&text, w->data);
    if (chain_digest_contents(w->key, text.text, text.len, digest, err) < 0)
        return -1;
    (void)snprintf(ret, SECRET_DIGEST_TEXT, "%s:%s", w->key->id, digest);
    return 0;
}

static int marks_of(const struct secret_wish *w, struct marks *ret, struct error *err)
{
    return form_of(w->object, ret->form, err) < 0 || digest_of(w, ret->digest, err) < 0 ? -1 : 0;
}

static const char *note_of(const struct tree *live, const char *key)
{
    return tree_get_text(tree_get(tree_get(live, "metadata"), "annotations"), key);
}

/* When the content that is there was fetched; 0: nobody noted it. */
static int64_t live_fetched_ms(const struct tree *live)
{
    const char *note = note_of(live, SECRET_FETCHED_NOTE);
    int64_t ms = 0;

    return note && stamp_parse(note, &ms, NULL) == 0 ? ms : 0;
}

static bool holds_pairs(const struct tree *map, const struct pairs *wanted)
{
    for (size_t i = 0; i < wanted->count; i++) {
        const char *value = tree_get_text(map, wanted->items[i].key);

        if (!value || strcmp(value, wanted->items[i].value) != 0)
            return false;
    }
    return true;
}

static bool is_managed(const struct tree *live)
{
    const struct tree *labels = tree_get(tree_get(live, "metadata"), "labels");
    const char *value = tree_get_text(labels, SECRET_MANAGED_LABEL);

    return value && strcmp(value, "true") == 0;
}

static bool has_form(const struct tree *live, const struct marks *marks)
{
    const char *noted = note_of(live, SECRET_FORM_NOTE);

    return noted && strcmp(noted, marks->form) == 0;
}

/* Is a digest noted by another key than ours? That of a node with another key, which stays as long
 * as the content does. */
static bool has_other_key(const struct tree *live, const struct marks *marks)
{
    const char *noted = note_of(live, SECRET_DIGEST_NOTE);

    return noted && (!*marks->digest || strncmp(noted, marks->digest, CHAIN_KEY_ID_TEXT) != 0);
}

static bool has_digest(const struct tree *live, const struct marks *marks)
{
    return !*marks->digest || has_other_key(live, marks) ||
           str_same(note_of(live, SECRET_DIGEST_NOTE), marks->digest);
}

/* Has it the labels, annotations and notes that we would give it? */
static bool is_dressed(const struct tree *live, const struct secret_wish *w,
                       const struct marks *marks)
{
    const struct tree *metadata = tree_get(live, "metadata");

    return is_managed(live) && has_form(live, marks) && live_fetched_ms(live) &&
           has_digest(live, marks) &&
           holds_pairs(tree_get(metadata, "labels"), &w->object->labels) &&
           holds_pairs(tree_get(metadata, "annotations"), &w->object->annotations);
}

static bool is_ours(const struct tree *live)
{
    const struct tree *fields = tree_get(tree_get(live, "metadata"), "managedFields");

    if (is_managed(live))
        return true;
    for (const struct tree *t = fields ? fields->child : NULL; t; t = t->next) {
        const char *manager = tree_get_text(t, "manager");

        if (manager && strcmp(manager, SECRET_MANAGER) == 0)
            return true;
    }
    return false;
}

bool secret_is_orphan(const struct tree *live, const char *class_name)
{
    const struct tree *metadata = tree_get(live, "metadata");
    const struct tree *owners = tree_get(metadata, "ownerReferences");
    const char *its = note_of(live, SECRET_CLASS_NOTE);

    return is_managed(live) && its && strcmp(its, class_name) == 0 && !(owners && owners->child) &&
           !tree_get(metadata, "deletionTimestamp");
}

/* --- content --------------------------------------------------------------------------------- */

struct content {
    bool lacks;       /* a key of ours is not there */
    bool contradicts; /* one has other bytes */
};

static struct content compare(const struct tree *live, const struct secret_data *data)
{
    const struct tree *have = tree_get(live, "data");
    struct content content = { 0 };

    for (size_t i = 0; i < data->count; i++) {
        struct strbuf want autostrbuf = { .sensitive = true };
        const char *text = tree_get_text(have, data->list[i].key);

        base64_encode(BASE64_STD, &want, data->list[i].bytes.bytes, data->list[i].bytes.len);
        if (!text)
            content.lacks = true;
        else if (strcmp(text, strbuf_text(&want)) != 0)
            content.contradicts = true;
    }
    return content;
}

/* A time that has not come yet was noted by a clock that was wrong: nobody waits until it comes. */
static bool is_believed(int64_t unix_ms, const struct secret_wish *w)
{
    return !w->now_unix_ms || unix_ms <= w->now_unix_ms + SECRET_CLOCK_MS;
}

static bool is_of_class(const struct tree *live, const struct secret_wish *w)
{
    return str_same(note_of(live, SECRET_CLASS_NOTE), w->class_name);
}

/* May our content take the place of what contradicts it? */
static bool is_newer(const struct tree *live, const struct secret_wish *w,
                     const struct marks *marks)
{
    int64_t there = live_fetched_ms(live);
    bool edited = is_of_class(live, w) && note_of(live, SECRET_FORM_NOTE) && !has_form(live, marks);
    int64_t ours = edited ? w->fetched_at_unix_ms : w->changed_at_unix_ms;

    if (!there)
        return true;
    if (is_believed(ours, w) != is_believed(there, w))
        return is_believed(ours, w);
    return edited ? ours >= there : ours > there;
}

static enum secret_verdict judge(const struct tree *live, const struct secret_wish *w,
                                 const struct marks *marks)
{
    const char *type = tree_get_text(live, "type");
    const char *class_name = note_of(live, SECRET_CLASS_NOTE);
    struct content content = compare(live, w->data);

    if (tree_get(tree_get(live, "metadata"), "deletionTimestamp"))
        return SECRET_GOING;
    if (!is_ours(live) && !w->adopt)
        return SECRET_FOREIGN;
    if (!type || strcmp(type, w->object->type) != 0)
        return SECRET_OTHER_TYPE;
    /* Of two classes that name one Secret, the content that was fetched last stays. */
    if (content.contradicts || (class_name && strcmp(class_name, w->class_name) != 0))
        return is_newer(live, w, marks) ? SECRET_APPLY : SECRET_YIELD;
    return content.lacks || !is_dressed(live, w, marks) ? SECRET_APPLY : SECRET_KEEP;
}

int secret_judge(const struct tree *live, const struct secret_wish *wish, enum secret_verdict *ret,
                 struct error *err)
{
    struct marks marks;

    if (marks_of(wish, &marks, err) < 0)
        return -1;
    *ret = live ? judge(live, wish, &marks) : SECRET_APPLY;
    return 0;
}

/* --- writing --------------------------------------------------------------------------------- */

static void add_labels(struct strbuf *out, const struct secret_object *o)
{
    struct pairs labels autopairs = { 0 };

    pairs_copy(&labels, &o->labels);
    pairs_set(&labels, SECRET_MANAGED_LABEL, "true");
    strbuf_add_text(out, ",\"labels\":{");
    add_pairs(out, &labels);
    strbuf_add_char(out, '}');
}

/* Is our content what the same class wrote there, to the last key? Then its time is that of what is
 * there. Content that fills a gap has its own: with that of others, who hold newer content would
 * yield to it. */
static bool is_there(const struct tree *live, const struct secret_wish *w)
{
    struct content content = compare(live, w->data);
    int64_t there = live_fetched_ms(live);

    return there && is_believed(there, w) && is_of_class(live, w) && !content.contradicts &&
           !content.lacks;
}

/* The time is that of the content: where ours is what is there already, it stays. */
static void add_notes(struct strbuf *out, const struct tree *live, const struct secret_wish *w,
                      const struct marks *marks)
{
    struct pairs notes autopairs = { 0 };
    char stamp[CLOCK_STAMP_MAX];
    bool same = live && is_there(live, w);
    const char *digest = marks->digest;

    if (same && has_form(live, marks) && has_other_key(live, marks))
        digest = note_of(live, SECRET_DIGEST_NOTE);
    stamp_format(same ? live_fetched_ms(live) : w->changed_at_unix_ms, stamp);
    pairs_copy(&notes, &w->object->annotations);
    pairs_set(&notes, SECRET_CLASS_NOTE, w->class_name);
    pairs_set(&notes, SECRET_FORM_NOTE, marks->form);
    if (*digest)
        pairs_set(&notes, SECRET_DIGEST_NOTE, digest);
    pairs_set(&notes, SECRET_FETCHED_NOTE, stamp);
    strbuf_add_text(out, ",\"annotations\":{");
    add_pairs(out, &notes);
    strbuf_add_char(out, '}');
}

int secret_object_write(const struct tree *live, const struct secret_wish *wish, struct strbuf *out,
                        struct error *err)
{
    struct marks marks;
    const char *version = live ? kube_meta(live, "resourceVersion") : NULL;

    if (marks_of(wish, &marks, err) < 0)
        return -1;
    add_text(out, "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":",
             wish->object->name);
    add_text(out, ",\"namespace\":", wish->ns);
    if (version)
        add_text(out, ",\"resourceVersion\":", version);
    add_labels(out, wish->object);
    add_notes(out, live, wish, &marks);
    add_text(out, "},\"type\":", wish->object->type);
    strbuf_add_text(out, ",\"data\":");
    add_data(out, wish->data);
    strbuf_add_char(out, '}');
    return 0;
}

/* --- conflicts ------------------------------------------------------------------------------- */

/* The manager of `conflict with "NAME" using v1`. Ownership: the caller frees. */
static char *manager_of(const char *message)
{
    const char *begin = message ? strchr(message, '"') : NULL;
    const char *end = begin ? strchr(begin + 1, '"') : NULL;

    return end ? xstrndup(begin + 1, (size_t)(end - begin - 1)) : xstrdup("somebody");
}

char *secret_conflict(const struct tree *status, bool *ret_fields)
{
    const struct tree *causes = tree_get(tree_get(status, "details"), "causes");

    *ret_fields = false;
    for (const struct tree *t = causes ? causes->child : NULL; t; t = t->next) {
        const char *reason = tree_get_text(t, "reason");
        const char *field = tree_get_text(t, "field");
        autofree char *manager = manager_of(tree_get_text(t, "message"));

        if (!reason || strcmp(reason, "FieldManagerConflict") != 0)
            continue;
        *ret_fields = true;
        if (!is_known_manager(manager))
            return str_printf("%s (%s)", field ? field : "a field", manager);
    }
    return NULL;
}
