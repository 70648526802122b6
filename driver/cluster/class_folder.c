/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/cluster/class_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/json.h"
#include "lib/base/yaml.h"

enum {
    OPEN_TRIES = 8,    /* a link's target may be renamed while it is walked */
    SETTLED_MS = 1000, /* a file that was changed this lately may change again within one tick of
                          its file system's clock, and look the same */
};

/* One class of a file, good or bad. */
struct entry {
    char *ns;
    char *name;
    unsigned line;
    struct class *class; /* NULL: err says why */
    struct error err;
};

struct class_file {
    char *name;
    struct stat was;      /* when it was read */
    bool settled;         /* may an equal stat be trusted? */
    struct error trouble; /* code OK: none. Hides classes: we do not know which */
    struct entry *entries;
    size_t count;
};

struct class_folder {
    char *path;
    struct class_file *files; /* by name */
    size_t count;
};

static void file_done(struct class_file *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->entries[i].ns);
        free(f->entries[i].name);
        class_free(f->entries[i].class);
    }
    free(f->entries);
    free(f->name);
    *f = (struct class_file){ 0 };
}

static void files_free(struct class_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++)
        file_done(&files[i]);
    free(files);
}

struct class_folder *class_folder_new(const char *path)
{
    struct class_folder *folder = xcalloc(1, sizeof(*folder));

    folder->path = xstrdup(path);
    return folder;
}

void class_folder_free(struct class_folder *folder)
{
    if (!folder)
        return;
    files_free(folder->files, folder->count);
    free(folder->path);
    free(folder);
}

/* --- the names in the folder --- */

struct names {
    char **texts;
    size_t count;
};

static void names_done(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->texts[i]);
    free(n->texts);
}

static void names_add(struct names *n, const char *name)
{
    n->texts = xrealloc(n->texts, (n->count + 1) * sizeof(*n->texts));
    n->texts[n->count++] = xstrdup(name);
}

static int add_if_classes(void *arg, const char *name, struct error *err)
{
    struct names *n = arg;

    if (name[0] == '.' ||
        (!str_ends(name, ".yaml") && !str_ends(name, ".yml") && !str_ends(name, ".json")))
        return 0;
    if (n->count >= CLASS_FILES_MAX)
        return error_set(err, CODE_RESOURCE_EXHAUSTED,
                         "has more than %d files of classes; put several classes in a file",
                         CLASS_FILES_MAX);
    names_add(n, name);
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Lists the files, sorted, each once. Those known from last time are among them even when the
 * listing has missed them: it may, while a file is replaced by rename. */
static int list(const struct class_folder *folder, int dir_fd, struct names *ret, struct error *err)
{
    size_t kept = 0;

    if (fs_each(dir_fd, ".", add_if_classes, ret, err) < 0)
        return -1;
    for (size_t i = 0; i < folder->count; i++)
        names_add(ret, folder->files[i].name);
    if (ret->count)
        qsort(ret->texts, ret->count, sizeof(*ret->texts), by_text);
    for (size_t i = 0; i < ret->count; i++) {
        if (kept && strcmp(ret->texts[kept - 1], ret->texts[i]) == 0)
            free(ret->texts[i]);
        else
            ret->texts[kept++] = ret->texts[i];
    }
    ret->count = kept;
    return 0;
}

/* --- one file --- */

/* Opens a file without ever leaving the folder. *ret is -1 when it is not there any more.
 * Source: openat2(2), RESOLVE_BENEATH. */
static int open_beneath(int dir_fd, const char *name, int *ret, struct error *err)
{
    struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    struct stat link;

    for (int i = 0; i < OPEN_TRIES; i++) {
        long fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));

        *ret = (int)fd;
        if (fd >= 0)
            return 0;
        if (errno == ENOENT && fstatat(dir_fd, name, &link, AT_SYMLINK_NOFOLLOW) < 0)
            return 0;
        if (errno != EAGAIN && errno != ENOENT && errno != EINTR)
            break;
    }
    if (errno == EXDEV)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "is a link out of the folder; put the file itself here");
    return error_sys(err, errno, "cannot be opened");
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static bool is_settled(const struct stat *st)
{
    int64_t changed_ms = (int64_t)st->st_ctim.tv_sec * MS_PER_S + st->st_ctim.tv_nsec / 1000000;

    return clock_unix_ms() - changed_ms > SETTLED_MS;
}

static int read_all(int fd, struct strbuf *ret, struct error *err)
{
    char piece[16 << 10];
    ssize_t got;

    do {
        got = read(fd, piece, sizeof(piece));
        if (got > 0)
            strbuf_add(ret, piece, (size_t)got);
        if (got < 0 && errno != EINTR)
            return error_sys(err, errno, "cannot be read");
    } while (got != 0 && ret->len <= YAML_BYTES_MAX);
    if (ret->len > YAML_BYTES_MAX)
        return error_set(err, CODE_INVALID_ARGUMENT, "is larger than %d bytes", YAML_BYTES_MAX);
    return 0;
}

static int parse(const char *name, const struct strbuf *text, struct tree **ret, struct error *err)
{
    struct tree *document = NULL;

    if (!str_ends(name, ".json"))
        return yaml_parse_all(strbuf_text(text), text->len, ret, err);
    if (json_parse(strbuf_text(text), text->len, &document, err) < 0)
        return -1;
    *ret = tree_new(TREE_LIST, NULL, 0);
    tree_add(*ret, NULL, document);
    return 0;
}

/* Keeps one document of a file when it is, or was meant to be, a class. */
static void add_class(void *arg, const struct tree *t)
{
    struct class_file *f = arg;
    struct entry e = { .line = t->line };
    const char *name = class_name_of(t);
    const char *ns = class_ns_of(t);

    if (!class_is_meant(t))
        return;
    if (class_read(t, &e.class, &e.err) < 0) {
        (void)error_within(&e.err, "%s", f->name);
        if (!name || !ns) { /* nobody can ask for it: it is the file's trouble */
            if (!f->trouble.code)
                f->trouble = e.err;
            return;
        }
    }
    e.ns = xstrdup(ns ? ns : "");
    e.name = xstrdup(name ? name : "");
    f->entries = xrealloc(f->entries, (f->count + 1) * sizeof(*f->entries));
    f->entries[f->count++] = e;
}

static int fill(struct class_file *f, int fd, struct error *err)
{
    struct strbuf text CLEANUP(strbuf_done) = { .ceiling = YAML_BYTES_MAX + (64 << 10) };
    struct tree *documents autotree = NULL;

    if (!S_ISREG(f->was.st_mode))
        return error_set(err, CODE_INVALID_ARGUMENT, "is not a regular file");
    if (read_all(fd, &text, err) < 0 || parse(f->name, &text, &documents, err) < 0)
        return -1;
    for (const struct tree *t = documents->child; t; t = t->next)
        class_each(t, add_class, f);
    return 0;
}

/* One look at the folder; names come in ascending order. */
struct scan {
    struct class_file *old; /* as of last time, in the same order */
    size_t old_count;
    size_t cursor; /* into old: names before it have been passed */
    int dir_fd;
    struct class_file *files; /* as of now; room for all names */
    size_t count;
};

/* The file of that name as of last time; NULL: it is new. */
static struct class_file *known(struct scan *s, const char *name)
{
    while (s->cursor < s->old_count && strcmp(s->old[s->cursor].name, name) < 0)
        s->cursor++;
    if (s->cursor < s->old_count && strcmp(s->old[s->cursor].name, name) == 0)
        return &s->old[s->cursor++];
    return NULL;
}

/* Adds the file to those of now, taken over from last time where it is the same. */
static void look_at(struct scan *s, const char *name)
{
    struct class_file *old = known(s, name);
    struct class_file f = { 0 };
    struct error err = { 0 };
    int fd autoclose = -1;
    int opened = open_beneath(s->dir_fd, name, &fd, &err);

    if (opened == 0 && fd < 0)
        return;
    if (opened == 0 && fstat(fd, &f.was) < 0)
        opened = error_sys(&err, errno, "cannot be read");
    if (opened == 0 && old && old->settled && is_same(&old->was, &f.was)) {
        s->files[s->count++] = *old;
        *old = (struct class_file){ 0 };
        return;
    }
    f.name = xstrdup(name);
    f.settled = opened == 0 && is_settled(&f.was);
    if (opened < 0 || fill(&f, fd, &err) < 0) {
        (void)error_within(&err, "%s", name);
        f.trouble = err;
    }
    s->files[s->count++] = f;
}

int class_folder_refresh(struct class_folder *folder, struct error *err)
{
    struct names names CLEANUP(names_done) = { 0 };
    int dir_fd autoclose = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct scan s = { .old = folder->files, .old_count = folder->count, .dir_fd = dir_fd };

    if (dir_fd < 0) {
        (void)error_sys(err, errno, "classes folder %s", folder->path);
        if (err)
            err->code = CODE_UNAVAILABLE;
        return -1;
    }
    if (list(folder, dir_fd, &names, err) < 0)
        return error_within(err, "classes folder %s", folder->path);
    s.files = xcalloc(names.count, sizeof(*s.files));
    for (size_t i = 0; i < names.count; i++)
        look_at(&s, names.texts[i]);
    files_free(folder->files, folder->count);
    folder->files = s.files;
    folder->count = s.count;
    return 0;
}

/* --- asking --- */

static int twice(const struct class_file *a, const struct entry *first, const struct class_file *b,
                 const struct entry *second, struct error *err)
{
    return error_set(err, CODE_INVALID_ARGUMENT,
                     "class %s/%s is there twice: in %.120s (line %u) and in %.120s (line %u); "
                     "keep one",
                     first->ns, first->name, a->name, first->line, b->name, second->line);
}

int class_folder_find(const struct class_folder *folder, const char *ns, const char *name,
                      const struct class **ret, struct error *err)
{
    const struct class_file *file = NULL;
    const struct entry *found = NULL;

    for (size_t i = 0; i < folder->count; i++) {
        const struct class_file *f = &folder->files[i];

        for (size_t k = 0; k < f->count; k++) {
            const struct entry *e = &f->entries[k];

            if (strcmp(e->name, name) != 0 || strcmp(e->ns, ns) != 0)
                continue;
            if (found)
                return twice(file, found, f, e, err);
            found = e;
            file = f;
        }
    }
    if (found && !found->class)
        return error_copy(err, &found->err);
    *ret = found ? found->class : NULL;
    return 0;
}

const struct error *class_folder_trouble(const struct class_folder *folder)
{
    for (size_t i = 0; i < folder->count; i++)
        if (folder->files[i].trouble.code)
            return &folder->files[i].trouble;
    return NULL;
}
