/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as the paths of a volume's files: what is taken stays below the volume's folder and
 * does not stand in another's way.
 */
/* COVERS: lib/model/fileset.c */
#include <assert.h>

#include "lib/base/encode.h"
#include "lib/model/fileset.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_taken(const char *path, size_t len)
{
    autofree char *copy = xstrndup(path, len);
    char *rest = NULL;
    size_t sum = 0;

    assert(len && len <= FILESET_PATH_MAX && strlen(copy) == len && utf8_is_valid(path, len));
    assert(*copy != '/' && strncmp(copy, "..", 2) != 0);
    for (char *part = strtok_r(copy, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
        assert(strcmp(part, ".") != 0 && strcmp(part, "..") != 0);
        assert(strlen(part) <= FILESET_NAME_MAX);
        sum += strlen(part) + 1;
    }
    assert(sum == len + 1); /* neither "//" nor "/" at the end */
}

static bool lies_below(const char *path, const char *folder)
{
    return str_starts(path, folder) && path[strlen(folder)] == '/';
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fileset set CLEANUP(fileset_done) = { 0 };
    const char *at = (const char *)bytes;
    struct error err = { 0 };

    for (size_t left = len; left; left--, at++) {
        const char *end = memchr(at, '\n', left);
        size_t used = end ? (size_t)(end - at) : left;
        struct file_spec spec = { .path = at, .path_len = used, .contents = secret_copy("x", 1) };

        if (fileset_check_path(at, used, &err) == 0)
            check_taken(at, used);
        else
            assert(utf8_is_valid(err.msg, strlen(err.msg)));
        (void)!fileset_add(&set, &spec, &err);
        assert(!spec.contents.bytes);
        at += used;
        left -= used;
        if (!left)
            break;
    }
    fileset_sort(&set);
    for (size_t i = 0; i < set.count && i < 64; i++)
        for (size_t k = 0; k < set.count; k++)
            assert(i == k || (strcmp(set.files[i].path, set.files[k].path) != 0 &&
                              !lies_below(set.files[i].path, set.files[k].path)));
    return 0;
}
