#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Against a real control plane of Kubernetes: runs each script of this folder that has tests (or those
# named), adds their `ok`, `FAIL` and `SKIP` lines up.
#
# BUILD=build  where bin/ is. Exit 0 when nothing failed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
BUILD=$(cd "${BUILD:-$root/build}" && pwd)
export BUILD

if ! reason=$("$root/tests/tools/usable.sh"); then
    echo "SKIP cluster: $reason"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
"$root/tests/tools/build.sh" kubernetes helm >/dev/null
[[ $# -gt 0 ]] || set -- "$here"/{fake,agent,tokens,token_matrix,events,faults,manifests,monitoring,node_start,scenarios,sync,chart,install,migrate}.py
# On a machine that has slept a day: who waits by one clock for an instant of the other waits a day.
exec unshare --time --boottime 86400 -- "$root/tests/e2e/run.sh" "$@"
