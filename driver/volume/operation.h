/* SPDX-License-Identifier: Apache-2.0
 *
 * operation.h - the steps that publish and rotation share, on one volume whose work is taken.
 * Does not know their order: lifecycle.c and rotation.c list it.
 */
#ifndef LOCKET_VOLUME_OPERATION_H
#define LOCKET_VOLUME_OPERATION_H

#include "driver/volume/lifecycle.h"

struct operation {
    struct lifecycle *app;
    struct volume *volume;
    struct cancel cancel;
    struct cancel *caller; /* who is heeded; NULL: nobody */
    struct cancel_watch watch;
    struct class *class;
    struct pairs attributes;        /* what the provider is told */
    struct credentials credentials; /* a copy: a republish may bring newer ones meanwhile */
    struct fileset files;
    struct source_told told; /* of the fetch */
    struct target target;
    bool urgent;                     /* a publish */
    int64_t left_ms;                 /* until the caller's deadline */
    bool mounted;                    /* by this operation */
    bool made_target;                /* by this operation */
    int64_t reserved_bytes;          /* of the budget, by this operation */
    bool fetched;                    /* did the provider answer? */
    bool changed;                    /* did a file change? */
    bool gone;                       /* did one go? */
    bool unrecorded;                 /* were the files there not those that the record tells of? */
    char live[FILESET_NAME_MAX + 1]; /* the generation that is there now */
    bool recorded;                   /* is anything of it new to the record? */
    struct object_version *before;   /* versions until it changed; sorted by id */
    size_t before_count;
};

/* Begins with no volume; the cancel is ready. operation_done frees all it owns, and drops its
 * reference to the volume. */
void operation_init(struct operation *op, struct lifecycle *app);
void operation_done(struct operation *op);
#define autooperation CLEANUP(operation_done)

/* From now on the caller's cancel (NULL: nobody's) raises the operation's. It must outlive that. */
void operation_heed(struct operation *op, struct cancel *caller);

/* The class of the record, checked. Also takes its interval over. */
must_check int operation_class(struct operation *op, struct error *err);

/* Parameters overlaid by the volume's attributes; is the provider there at all? */
must_check int operation_attributes(struct operation *op, struct error *err);

/* Record `publishing`: from here on a crash is undone by recovery. Within WRITING, as everything
 * that leaves a trace: an unpublish comes before it or sees it. */
must_check int operation_record_begin(struct operation *op, struct error *err);

/* Opens the target; for a publish makes it, takes budget and mounts, unless it is our tmpfs already
 * or a foreign live one, which is adopted. */
must_check int operation_mount(struct operation *op, struct error *err);
must_check int operation_open(struct operation *op, struct error *err);

/* Asks the provider, holding no lock. An unpublish cancels it, and the driver's end. */
must_check int operation_fetch(struct operation *op, struct error *err);

/* "true" where the provider says that it asked no store for what it answered; else "false". */
const char *operation_cached(const struct operation *op);

/* Swaps the files in; op->changed. An unpublish waits for it. */
must_check int operation_write(struct operation *op, struct error *err);

/* Record `published`, and the volume's memory of it. Unchanged content writes no record. */
must_check int operation_record_end(struct operation *op, struct error *err);

/* Undoes what a failed publish began: mount, folder, budget, record. Nothing when an unpublish has
 * come: that one cleans up. */
void operation_undo(struct operation *op);

#endif
