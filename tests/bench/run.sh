#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the bench's programs and runs it in a mount namespace of its own.
set -euo pipefail

cd "$(dirname "$0")/../.."
export BUILD=${BUILD:-build}
make --no-print-directory BUILD="$BUILD" bench-programs
if [[ -z ${LOCKET_IN_NAMESPACE:-} ]]; then
    flags=(--mount --propagation private)
    [[ $(id -u) == 0 ]] || flags+=(--map-root-user)
    export LOCKET_IN_NAMESPACE=1
    exec unshare "${flags[@]}" tests/bench/bench.py
fi
exec tests/bench/bench.py
