/* SPDX-License-Identifier: Apache-2.0
 *
 * class_folder.h - the classes that stand in a folder's YAML and JSON files, as they are now.
 * Does not know who asks; takes no lock.
 */
#ifndef LOCKET_CLUSTER_CLASS_FOLDER_H
#define LOCKET_CLUSTER_CLASS_FOLDER_H

#include "lib/model/class.h"

enum { CLASS_FILES_MAX = 1000 /* of one folder; each at most YAML_BYTES_MAX */ };

struct class_folder;

/* A folder's reader. Touches nothing yet; never fails. Ownership: class_folder_free. */
struct class_folder *class_folder_new(const char *path);
void class_folder_free(struct class_folder *folder);

/* Looks at the folder again: every *.yaml, *.yml and *.json (no hidden ones) whose inode, size or
 * times are not those of last time is read and parsed. Links are followed inside the folder only
 * (Kubernetes' own ..data is such a link).
 * Errors: UNAVAILABLE when the folder cannot be read, RESOURCE_EXHAUSTED over CLASS_FILES_MAX. What
 * is wrong with a file is kept with it and told by class_folder_find. */
must_check int class_folder_refresh(struct class_folder *folder, struct error *err);

/* The class as last refreshed; NULL when there is none. Borrowed until the next refresh.
 * Errors: INVALID_ARGUMENT when it stands there twice (both places are named), or cannot be read
 * ("FILE: line L column C: ..."). */
must_check int class_folder_find(const struct class_folder *folder, const char *ns,
                                 const char *name, const struct class **ret, struct error *err);

/* The first trouble of a file that hides what classes it holds, as "FILE: what"; NULL: there is
 * none. Borrowed until the next refresh. */
const struct error *class_folder_trouble(const struct class_folder *folder);

#endif
