/* SPDX-License-Identifier: Apache-2.0
 *
 * The file store: a folder of files, or one YAML or JSON document of keys and values. For the demo,
 * for tests, and for nodes that reach no other store.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/base/fs.h"
#include "lib/base/json.h"
#include "lib/base/yaml.h"
#include "providers/config.h"
#include "providers/provider.h"

enum { FILE_BYTES_MAX = 4 << 20, DEPTH_MAX = 16 };

struct file_provider {
    struct provider base;
    char *root;
    char *store; /* as it is told */
    const struct secret *hmac_key;
    bool own_versions; /* the key is this process's alone */
};

/* What a fetch reads from: one of the two. */
struct place {
    int dir_fd; /* a folder; -1: a document */
    struct tree *document;
};

static void place_done(struct place *p)
{
    close_at(&p->dir_fd);
    tree_free(p->document);
}

static int open_document(int fd, struct place *ret, struct error *err)
{
    autofree char *path = str_printf("/proc/self/fd/%d", fd);
    struct secret text CLEANUP(secret_done) = { 0 };

    if (fs_read(AT_FDCWD, path, YAML_BYTES_MAX, true, &text, err) < 0)
        return -1;
    if (yaml_parse(text.len ? (const char *)text.bytes : "", text.len, &ret->document, err) < 0)
        return error_within(err, "file store: the document");
    if (ret->document->kind != TREE_MAP && ret->document->kind != TREE_NULL)
        return error_set(err, CODE_FAILED_PRECONDITION,
                         "file store: the document must be a map of keys and values");
    return 0;
}

static int place_open(const char *root, struct place *ret, struct error *err)
{
    autoclose int fd = open(root, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return error_sys(err, errno, "file store: --file-root %s", root);
    if (!S_ISDIR(st.st_mode))
        return open_document(fd, ret, err);
    ret->dir_fd = take_fd(&fd);
    return 0;
}

/* Below the root, links inside it followed: a mounted Secret's ..data is one. */
static int read_from_folder(int dir_fd, const char *path, struct secret *ret, struct error *err)
{
    struct open_how how = { .flags = O_PATH | O_CLOEXEC,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
    autoclose int held = (int)fd;
    autofree char *by_fd = str_printf("/proc/self/fd/%d", held);

    if (held < 0 && errno == ENOSYS)
        return fs_read(dir_fd, path, FILE_BYTES_MAX, false, ret, err);
    if (held < 0)
        return errno == EXDEV ? error_set(err, CODE_PERMISSION_DENIED,
                                          "file store: %.100s leads out of --file-root", path)
                              : error_sys(err, errno, "file store: %.100s", path);
    if (fs_read(AT_FDCWD, by_fd, FILE_BYTES_MAX, true, ret, err) < 0)
        return error_within(err, "file store: %.100s", path);
    return 0;
}

/* "a/b/c" steps into maps; a key that itself contains slashes is found first. */
static const struct tree *step_into(const struct tree *t, const char *path)
{
    const struct tree *whole = tree_get(t, path);
    const char *slash = strchr(path, '/');

    if (whole || !slash)
        return whole;
    for (; slash; slash = strchr(slash + 1, '/')) {
        autofree char *head = xstrndup(path, (size_t)(slash - path));
        const struct tree *found = step_into(tree_get(t, head), slash + 1);

        if (found)
            return found;
    }
    return NULL;
}

/* Scalars as they were written, maps and lists as compact JSON. */
static struct secret value_of(const struct tree *t)
{
    struct strbuf text CLEANUP(strbuf_done) = { .sensitive = true };

    if (t->text)
        return secret_copy(t->text, t->text_len);
    if (t->kind != TREE_NULL)
        json_write(&text, t);
    return strbuf_take_secret(&text);
}

static int read_value(const struct place *place, const char *path, struct secret *ret,
                      struct error *err)
{
    const struct tree *t;

    if (place->dir_fd >= 0)
        return read_from_folder(place->dir_fd, path, ret, err);
    t = step_into(place->document, path);
    if (!t)
        return error_set(err, CODE_NOT_FOUND, "file store: the document has no key %.100s", path);
    *ret = value_of(t);
    return 0;
}

static int add_object(struct file_provider *fp, const struct place *place,
                      const struct object *object, struct fileset *set, struct error *err)
{
    const char *alias = object->node ? tree_get_text(object->node, "path") : NULL;
    const char *path = alias ? alias : object->name;
    struct file_spec spec = {
        .path = path,
        .path_len = strlen(path),
        .object = object->name,
        .mode = object->mode,
        .uid = FILE_OWNER_UNSET,
        .gid = (gid_t)FILE_OWNER_UNSET,
    };
    struct secret bytes CLEANUP(secret_done) = { 0 };
    autofree char *config = str_printf("%s\n%s", object->name, path);
    autofree char *version = NULL;

    if (fileset_check_path(path, strlen(path), err) < 0 ||
        read_value(place, object->name, &bytes, err) < 0 ||
        object_decode(object, &bytes, err) < 0 ||
        object_version_make(fp->hmac_key, config, &bytes, &version, err) < 0 ||
        fileset_add_version(set, object->name, version, err) < 0)
        return -1;
    spec.contents = secret_take(&bytes);
    return fileset_add(set, &spec, err);
}

/* --- everything, when a class names no objects ------------------------------------------------ */

struct everything {
    struct file_provider *fp;
    const struct place *place;
    struct fileset *set;
    mode_t mode;
    const char *prefix;
    int dir_fd;
    int depth;
};

static int add_entry(void *arg, const char *name, struct error *err)
{
    struct everything *all = arg;
    struct everything below = *all;
    autofree char *path = str_printf("%s%s%s", all->prefix, *all->prefix ? "/" : "", name);
    struct object object = { .name = path, .mode = all->mode, .encoding = "" };
    struct stat st;
    autoclose int fd = -1;

    if (name[0] == '.')
        return 0;
    if (fstatat(all->dir_fd, name, &st, 0) < 0)
        return error_sys(err, errno, "file store: %.100s", path);
    if (S_ISREG(st.st_mode))
        return add_object(all->fp, all->place, &object, all->set, err);
    if (!S_ISDIR(st.st_mode) || all->depth >= DEPTH_MAX)
        return 0;
    fd = openat(all->dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return 0; /* a link to a folder: its files are reached by their own names */
    below.prefix = path;
    below.dir_fd = fd;
    below.depth++;
    return fs_each(fd, ".", add_entry, &below, err);
}

static int add_everything(struct everything *all, struct error *err)
{
    if (all->place->dir_fd >= 0) {
        all->dir_fd = all->place->dir_fd;
        return fs_each(all->dir_fd, ".", add_entry, all, err);
    }
    for (const struct tree *t = all->place->document->child; t; t = t->next) {
        struct object object = { .name = t->key, .mode = all->mode, .encoding = "" };

        if (add_object(all->fp, all->place, &object, all->set, err) < 0)
            return -1;
    }
    return 0;
}

static int add_objects(struct file_provider *fp, const struct fetch_request *req,
                       const struct place *place, struct fileset *set, struct error *err)
{
    struct tree *tree autotree = NULL;
    autofree struct object *objects = NULL;
    size_t count = 0;
    struct everything all = {
        .fp = fp, .place = place, .set = set, .mode = req->default_mode, .prefix = ""
    };

    if (!pairs_get(&req->params, "objects"))
        return add_everything(&all, err);
    if (objects_read(req, &tree, &objects, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (add_object(fp, place, &objects[i], set, err) < 0)
            return -1;
    return 0;
}

static int file_fetch(struct provider *self, const struct fetch_request *req, struct fileset *ret,
                      struct error *err)
{
    struct file_provider *fp = (struct file_provider *)self;
    struct place place CLEANUP(place_done) = { .dir_fd = -1 };
    struct fileset set CLEANUP(fileset_done) = { 0 };

    fetch_how_text(req->how->store, fp->store);
    req->how->calls = 1;
    req->how->own_versions = fp->own_versions;
    if (place_open(fp->root, &place, err) < 0 || add_objects(fp, req, &place, &set, err) < 0)
        return -1;
    *ret = set;
    set = (struct fileset){ 0 };
    return 0;
}

static void file_release(struct provider *self, const char *volume_id)
{
    (void)self;
    (void)volume_id;
}

static void file_free(struct provider *self)
{
    struct file_provider *fp = (struct file_provider *)self;

    free(fp->root);
    free(fp->store);
    free(fp);
}

static const struct provider_ops file_ops = {
    .name = "file",
    .fetch = file_fetch,
    .release = file_release,
    .free = file_free,
};

int provider_file_new(const struct provider_config *config, struct provider **ret,
                      struct error *err)
{
    struct file_provider *fp = xcalloc(1, sizeof(*fp));

    (void)err;
    fp->base.ops = &file_ops;
    fp->root = xstrdup(config->file_root);
    fp->store = str_printf("file://%s", config->file_root);
    fp->own_versions = !config->hmac_key_file || !*config->hmac_key_file;
    fp->hmac_key = &config->hmac_key;
    *ret = &fp->base;
    return 0;
}
