#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the bench's programs and runs it in a mount namespace of its own: on a node, and on one of a
# control plane. ONLY=node, ONLY=cluster: the one of them.
set -euo pipefail

cd "$(dirname "$0")/../.."
export BUILD=${BUILD:-build}
make --no-print-directory BUILD="$BUILD" bench-programs
if [[ -z ${LOCKET_IN_NAMESPACE:-} ]]; then
    flags=(--mount --propagation private)
    [[ $(id -u) == 0 ]] || flags+=(--map-root-user)
    export LOCKET_IN_NAMESPACE=1
    exec unshare "${flags[@]}" "$PWD/tests/bench/run.sh"
fi
[[ ${ONLY:-node} != node ]] || tests/bench/bench.py
if reason=$(tests/tools/usable.sh); then
    tests/tools/build.sh kubernetes >/dev/null
    [[ ${ONLY:-cluster} != cluster ]] || tests/bench/cluster.py
else
    echo "SKIP the bench on a control plane: $reason"
fi
