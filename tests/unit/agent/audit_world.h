/* SPDX-License-Identifier: Apache-2.0
 *
 * audit_world.h - a folder to write audit lines into, and how to read them back.
 */
#ifndef LOCKET_TESTS_UNIT_AGENT_AUDIT_WORLD_H
#define LOCKET_TESTS_UNIT_AGENT_AUDIT_WORLD_H

#include <fcntl.h>
#include <unistd.h>

#include "agent/audit.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/json.h"
#include "tests/check.h"

enum { FILE_MAX = 64 << 20 };

static maybe_unused const char key_text[] = "0123456789abcdef0123456789abcdef";
static char folder[] = "/tmp/locket-audit-XXXXXX";
static char *file;
static char *key_file;

static maybe_unused int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/locket-audit-XXXXXX");
    assert_non_null(mkdtemp(folder));
    file = str_printf("%s/audit.log", folder);
    key_file = str_printf("%s/key", folder);
    return 0;
}

static maybe_unused int remove_folder(void **state)
{
    autoclose int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    free(file);
    free(key_file);
    return fs_remove_tree(tmp, strrchr(folder, '/') + 1, NULL);
}

static maybe_unused void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "ae");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static maybe_unused char *content(const char *path)
{
    struct secret got = { 0 };
    struct error err = { 0 };
    char *text;

    if (fs_read(AT_FDCWD, path, FILE_MAX, false, &got, &err) < 0)
        fail_msg("%s", err.msg);
    text = xstrndup(got.len ? (char *)got.bytes : "", got.len);
    secret_done(&got);
    return text;
}

static maybe_unused struct audit *begin(const struct audit_config *config)
{
    struct audit_config c = *config;
    struct audit *a = NULL;
    struct error err = { 0 };

    if (!c.path)
        c.path = file;
    if (audit_new(&c, &a, &err) < 0)
        fail_msg("%s", err.msg);
    return a;
}

/* --- a chain as it was written --- */

/* What a text of lines holds, every line of which must be JSON, whole, and follow the one before.
 */
struct chain {
    struct tree *lines; /* a list */
    struct chain_head head;
};

static maybe_unused void add_line(struct chain *c, const char *text, size_t len,
                                  const struct chain_key *key)
{
    struct chain_line place;
    struct tree *t = NULL;
    bool whole = false;
    struct error err = { 0 };

    assert_true(len < CHAIN_LINE_MAX);
    if (json_parse(text, len, &t, &err) < 0 || chain_line_read(text, len, &place, &err) < 0 ||
        chain_line_check(text, len, key, &whole, &err) < 0)
        fail_msg("%s: %.*s", err.msg, (int)len, text);
    assert_true(whole);
    if (c->head.seq) {
        assert_int_equal(place.self.seq, c->head.seq + 1);
        assert_string_equal(place.prev, c->head.hash);
    }
    c->head = place.self;
    tree_add(c->lines, NULL, t);
}

/* Reads and checks all of it; the lines are the caller's. */
static maybe_unused struct chain read_chain(const char *text, const struct chain_key *key)
{
    struct chain c = { .lines = tree_new(TREE_LIST, NULL, 0) };

    while (*text) {
        const char *end = strchr(text, '\n');

        assert_non_null(end);
        add_line(&c, text, (size_t)(end - text), key);
        text = end + 1;
    }
    return c;
}

static maybe_unused struct chain read_file(const char *path, const struct chain_key *key)
{
    autofree char *text = content(path);

    return read_chain(text, key);
}

static maybe_unused size_t of_event(const struct chain *c, const char *event)
{
    size_t count = 0;

    for (const struct tree *t = c->lines->child; t; t = t->next)
        count += strcmp(tree_get_text(t, "event"), event) == 0;
    return count;
}

static const struct tree *first_of(const struct chain *c, const char *event)
{
    for (const struct tree *t = c->lines->child; t; t = t->next)
        if (strcmp(tree_get_text(t, "event"), event) == 0)
            return t;
    fail_msg("no line of event %s", event);
    return NULL;
}

static maybe_unused void has_text(const struct tree *t, const char *name, const char *text)
{
    const char *got = tree_get_text(t, name);

    if (!got || strcmp(got, text) != 0)
        fail_msg("%s is \"%s\", not \"%s\"", name, got ? got : "", text);
}

static maybe_unused void has_number(const struct tree *t, const char *name, const char *number)
{
    const struct tree *got = tree_get(t, name);

    if (!got || got->kind != TREE_NUMBER || strcmp(got->text, number) != 0)
        fail_msg("%s is %s, not %s", name, got ? got->text : "absent", number);
}

/* An access with everything in it. */
static const struct audit_object objects[] = {
    { .name = "db", .path = "db/password", .version = "v7", .bytes = 12 },
    { .name = "tls", .bytes = 100 },
};

static maybe_unused const struct audit_entry access_of_web = {
    .event = AUDIT_ROTATE,
    .pod_ns = "shop",
    .pod_name = "web",
    .pod_uid = "u-1",
    .service_account = "web-sa",
    .owner = "ReplicaSet/web-6f",
    .credential = "jti-9",
    .volume_id = "csi-1",
    .class_name = "app",
    .provider = "vault",
    .store = "https://vault:8200",
    .generation = 3,
    .objects = objects,
    .object_count = COUNT_OF(objects),
    .auth_method = "kubernetes",
    .role = "shop",
    .peer = "CN=vault",
    .took_ms = 17,
    .request_id = "r-5",
};

#endif
