/* SPDX-License-Identifier: Apache-2.0
 *
 * fileset.h - the files of one volume: checked relative paths, modes, owners, secret contents.
 * Does not know where they come from or how they are written.
 */
#ifndef LOCKET_MODEL_FILESET_H
#define LOCKET_MODEL_FILESET_H

#include <sys/types.h>

#include "lib/base/error.h"
#include "lib/base/secret.h"

enum {
    FILESET_FILES_MAX = 4096,     /* files of one volume; users have up to some hundreds */
    FILESET_BYTES_MAX = 64 << 20, /* all contents together; a provider's answer is 4 MiB */
    FILESET_PATH_MAX = 4096,      /* bytes; kubelet's atomic writer */
    FILESET_NAME_MAX = 255,       /* bytes of one component; the kernel's NAME_MAX */
};

struct file {
    char *path;   /* relative, checked; owned */
    char *object; /* id of the object that it is of; NULL: not said; owned */
    mode_t mode;  /* 0..0777 */
    uid_t uid;    /* FILE_OWNER_UNSET: the volume's default */
    gid_t gid;
    bool unchanged; /* contents empty: keep the bytes of the live generation */
    bool kept;      /* a write found these bytes at this path */
    struct secret contents;
};

#define FILE_OWNER_UNSET ((uid_t)-1)

struct object_version {
    char *id;
    char *version;
};

struct fileset {
    struct file *files; /* in the order added */
    size_t count;
    size_t room;
    size_t bytes; /* of all contents */
    struct object_version *versions;
    size_t version_count;
    int64_t refresh_at_unix_ms; /* the provider's wish; 0: none */
};

#define autofileset CLEANUP(fileset_done)

/* Wipes and frees; { 0 } afterwards. */
void fileset_done(struct fileset *set);

/* Checks one path as the old driver does: not empty, relative, at most FILESET_PATH_MAX bytes, each
 * component at most FILESET_NAME_MAX, no "..", first component not starting with "..", clean (no
 * ".", "//" or trailing "/"), no NUL, newline or other control character, UTF-8.
 * Errors: INVALID_ARGUMENT with one line saying which rule; the path is shown escaped and cut. */
must_check int fileset_check_path(const char *path, size_t len, struct error *err);

/* Adds a file; *file's contents are moved out (also on failure: wiped). mode is masked with 0777.
 * Errors: INVALID_ARGUMENT (path; a path added before; a path that lies below another file);
 * RESOURCE_EXHAUSTED naming the ceiling. */
struct file_spec {
    const char *path;
    size_t path_len;
    const char *object; /* NULL or "": not said */
    mode_t mode;
    uid_t uid;
    gid_t gid;
    bool unchanged;
    struct secret contents;
};
must_check int fileset_add(struct fileset *set, struct file_spec *file, struct error *err);

/* Adds or replaces (same id: last wins) an object version. Both texts at most 4096 bytes.
 * RESOURCE_EXHAUSTED over FILESET_FILES_MAX. */
must_check int fileset_add_version(struct fileset *set, const char *id, const char *version,
                                   struct error *err);

/* The file with this path; NULL when none. Borrowed. */
const struct file *fileset_find(const struct fileset *set, const char *path);

/* Sorts files by path bytes and versions by id. */
void fileset_sort(struct fileset *set);

#endif
