/* SPDX-License-Identifier: Apache-2.0
 *
 * request.h - the wire's MountRequest (JSON inside protobuf) as a checked fetch_request, and a
 * fileset as its MountResponse. Does not know any store.
 */
#ifndef LOCKET_PROVIDERS_REQUEST_H
#define LOCKET_PROVIDERS_REQUEST_H

#include "provider/provider.pb-c.h"
#include "providers/provider.h"

enum {
    ATTRIBUTES_BYTES_MAX = 2 << 20, /* class and pod together; etcd refuses objects over 1.5 MiB */
    SECRETS_BYTES_MAX = 2 << 20,
};

/* Reads the four texts. Ownership: request_done. INVALID_ARGUMENT naming the field. */
must_check int request_read(const V1alpha1__MountRequest *in, struct fetch_request *ret,
                            struct error *err);
void request_done(struct fetch_request *req);

/* Empties the files of a set whose every version is the one that the caller says it has: a version
 * covers path and bytes, so nothing of it need travel again. Only for callers who accept that. */
void request_drop_unchanged(const V1alpha1__MountRequest *in, struct fileset *set);

/* The answer's rows over a fileset, which keeps the bytes. Ownership: response_done. */
struct response {
    V1alpha1__MountResponse out;
    V1alpha1__File *files;
    V1alpha1__File **file_refs;
    V1alpha1__ObjectVersion *versions;
    V1alpha1__ObjectVersion **version_refs;
};
void response_make(const struct fileset *files, struct response *ret);
void response_done(struct response *r);

#endif
