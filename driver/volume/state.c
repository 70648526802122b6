/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/state.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/encode.h"
#include "lib/base/fault.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"

#define SUFFIX ".vol"
#define ASIDE ".bad"

enum { PLAIN_NAME_MAX = 128 };

int state_open(const char *path, struct state *ret, struct error *err)
{
    int fd;

    if (FAULT("state.before_open", err) < 0 || fs_mkdirs(path, 0700, err) < 0)
        return error_within(err, "--state-dir");
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_sys(err, errno, "--state-dir %s", path);
    *ret = (struct state){ .path = xstrdup(path), .fd = fd };
    return 0;
}

void state_close(struct state *s)
{
    close_at(&s->fd);
    free(s->path);
    *s = (struct state){ .fd = -1 };
}

/* 64 bits of FNV-1a: long or odd ids get a short name; the id itself stands in the record. */
static uint64_t hash_of(const char *text)
{
    uint64_t h = 0xcbf29ce484222325U;

    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3U;
    return h;
}

/* kubelet's ids are names already; others are hashed, with their checksum behind. */
static char *name_of(const char *id)
{
    size_t len = strlen(id);
    bool plain = len && len <= PLAIN_NAME_MAX && id[0] != '.';

    for (size_t i = 0; plain && i < len; i++)
        plain = isalnum((unsigned char)id[i]) || strchr("._-", id[i]);
    if (plain)
        return str_printf("%s" SUFFIX, id);
    return str_printf("+%016lx%08x" SUFFIX, (unsigned long)hash_of(id), crc32_update(0, id, len));
}

int state_save(const struct state *s, const struct record *r, struct error *err)
{
    struct strbuf text CLEANUP(strbuf_done) = { .ceiling = RECORD_BYTES_MAX };
    autofree char *name = name_of(r->volume_id);

    if (FAULT("state.before_save", err) < 0 || record_write(r, &text, err) < 0)
        return -1;
    if (text.overflow)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "volumeAttributes need a record of more than "
                         "%d bytes: shorten them",
                         RECORD_BYTES_MAX);
    if (FAULT("state.before_replace", err) < 0)
        return -1;
    if (fs_replace(s->fd, name, strbuf_text(&text), text.len, err) < 0)
        return error_within(err, "record in %s", s->path);
    return FAULT("state.after_save", err);
}

int state_remove(const struct state *s, const char *volume_id, struct error *err)
{
    autofree char *name = name_of(volume_id);

    if (FAULT("state.before_remove", err) < 0)
        return -1;
    if (unlinkat(s->fd, name, 0) < 0 && errno != ENOENT)
        return error_sys(err, errno, "remove record %s", name);
    return FAULT("state.after_remove", err);
}

struct loading {
    const struct state *state;
    void (*each)(void *arg, struct record *r);
    void *arg;
    size_t bad;
};

static void set_aside(struct loading *l, const char *name, const struct error *why)
{
    autofree char *aside = str_printf("%s" ASIDE, name);

    l->bad++;
    if (FAULT("state.before_aside", NULL) < 0)
        return; /* as when the rename fails: told again at the next start */
    (void)renameat(l->state->fd, name, l->state->fd, aside);
    log_failure(LOG_ERROR, "a record cannot be read: set aside", KEY_PATH, aside, why);
}

/* Is nothing wrong with the file, and were descriptors or memory missing just now? The next start
 * reads it. */
static bool could_be_read(const struct loading *l, const char *name, const struct error *why)
{
    struct stat st;

    return why->code == CODE_RESOURCE_EXHAUSTED &&
           fstatat(l->state->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           st.st_size <= RECORD_BYTES_MAX;
}

static int load_one(void *arg, const char *name, struct error *err)
{
    struct loading *l = arg;
    struct secret text CLEANUP(secret_done) = { 0 };
    struct record r CLEANUP(record_done) = { 0 };
    struct error why = { 0 };
    autofree char *expected = NULL;

    if (str_starts(name, ".") && str_ends(name, SUFFIX ".tmp")) /* of a save that a crash cut */
        (void)unlinkat(l->state->fd, name, 0);
    if (str_starts(name, ".") || !str_ends(name, SUFFIX))
        return 0;
    if (FAULT("state.before_load", err) < 0)
        return -1;
    if (fs_read(l->state->fd, name, RECORD_BYTES_MAX, false, &text, &why) < 0 &&
        could_be_read(l, name, &why))
        return error_copy(err, &why);
    if (why.code || record_read((const char *)text.bytes, text.len, &r, &why) < 0) {
        set_aside(l, name, &why);
        return 0;
    }
    expected = name_of(r.volume_id);
    if (strcmp(expected, name) != 0) {
        error_set(&why, CODE_INVALID_ARGUMENT, "the record of another volume");
        set_aside(l, name, &why);
        return 0;
    }
    l->each(l->arg, &r);
    return FAULT("state.after_load", err);
}

int state_load(const struct state *s, void (*each)(void *arg, struct record *r), void *arg,
               size_t *ret_bad, struct error *err)
{
    struct loading l = { .state = s, .each = each, .arg = arg };

    if (fs_each(s->fd, ".", load_one, &l, err) < 0)
        return -1;
    *ret_bad = l.bad;
    return 0;
}

int state_check(const struct state *s, struct error *err)
{
    if (faccessat(s->fd, ".", W_OK | X_OK, 0) < 0)
        return error_sys(err, errno, "--state-dir %s is not writable", s->path);
    return 0;
}
