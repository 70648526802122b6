/* SPDX-License-Identifier: Apache-2.0
 *
 * The four texts of a driver's MountRequest, a line each (a driver of another make may send any):
 * taken or refused by name; what is taken has objects that are read or refused.
 */
/* COVERS: providers/request.c */
#include <assert.h>

#include "lib/base/encode.h"
#include "lib/base/tree.h"
#include "providers/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_objects(const struct fetch_request *req)
{
    struct tree *tree = NULL;
    struct object *objects = NULL;
    size_t count = 0;
    struct error err = { 0 };

    if (objects_read(req, &tree, &objects, &count, &err) < 0) {
        assert(err.code && utf8_is_valid(err.msg, strlen(err.msg)));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct secret value CLEANUP(secret_done) = secret_copy("aGk=", 4);

        assert(fileset_check_path(objects[i].name, strlen(objects[i].name), NULL) == 0);
        (void)!object_decode(&objects[i], &value, &err);
    }
    free(objects);
    tree_free(tree);
}

/* The answer of a volume that has the pod's parameters as files. */
static void check_response(const struct fetch_request *req)
{
    struct fileset files CLEANUP(fileset_done) = { 0 };
    struct response out;

    for (size_t i = 0; i < req->params.count; i++) {
        const char *key = req->params.items[i].key;
        struct file_spec spec = { .path = key,
                                  .path_len = strlen(key),
                                  .contents = secret_copy(key, strlen(key)) };

        if (fileset_add(&files, &spec, NULL) == 0)
            (void)!fileset_add_version(&files, key, "1", NULL);
    }
    response_make(&files, &out);
    assert(out.out.n_files == files.count);
    response_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    autofree char *text = xstrndup((const char *)bytes, len);
    V1alpha1__MountRequest in = V1ALPHA1__MOUNT_REQUEST__INIT;
    char *rest = text;
    char none[] = "";
    char *lines[4];
    struct fetch_request req = { 0 };
    struct error err = { 0 };

    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        lines[i] = rest ? strsep(&rest, "\n") : none;
        for (char *c = lines[i]; *c; c++)
            if (*c == '\r')
                *c = '\n'; /* so that objects may have lines */
    }
    in.attributes = lines[0];
    in.secrets = lines[1];
    in.permission = lines[2];
    in.target_path = lines[3];
    if (request_read(&in, &req, &err) == 0) {
        check_objects(&req);
        check_response(&req);
        request_done(&req);
    } else {
        assert(err.code && utf8_is_valid(err.msg, strlen(err.msg)));
    }
    return 0;
}
