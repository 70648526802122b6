/* SPDX-License-Identifier: Apache-2.0
 *
 * versions.h - which versions of its objects a volume shows: one moves only with its object's
 * bytes. Controllers restart workloads when one does, and providers change them for less: for a key
 * of their own that is another since their restart. Does not know how bytes are compared.
 */
#ifndef LOCKET_VOLUME_VERSIONS_H
#define LOCKET_VOLUME_VERSIONS_H

#include "lib/model/fileset.h"

/* After a write that changed something: puts the version that is shown (sorted by id) into the
 * place of the answered one, for each object of the (sorted) files whose bytes all stood. A file
 * that names no object is of the one with its path as id; where there is none, or files that nobody
 * named are gone, it cannot be known whose bytes moved, and all versions are the answered ones. */
void versions_keep(const struct object_version *shown, size_t count, bool gone,
                   struct fileset *files);

#endif
