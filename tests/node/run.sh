#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# On a real node: each script of this folder that is a test, on a machine of its own (rig.sh).
#
# run.sh                      all of them
# run.sh [SCRIPT.py] WORD...  one, node.py unless named, and of it the tests with these words
# BUILD=build  where bin/ and image/ are. Exit 0 when nothing failed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
BUILD=$(cd "${BUILD:-$root/build}" && pwd)
export BUILD

skip() {
    echo "SKIP node: $1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}

reason=$("$root/tests/tools/usable.sh") || skip "$reason"
[[ $(id -u) == 0 ]] || skip "a kubelet needs root"
for program in containerd ctr runc unshare ip gcc; do
    command -v "$program" >/dev/null || skip "no $program: tests/check/deps.sh node"
done
"$root/tests/tools/build.sh" kubernetes openbao wire upstream >/dev/null
# The manifests of its release lie beside its source.
(cd "$root/tests/tools/upstream" && GOTOOLCHAIN=local go mod download sigs.k8s.io/secrets-store-csi-driver)

scripts=("$here/node.py" "$here/migrate.py")
if [[ $# == 0 ]]; then
    JOBS=1 exec "$root/tests/e2e/run.sh" "${scripts[@]}"
fi
script=node.py
if [[ $1 == *.py ]]; then
    script=$1
    shift
fi
exec /usr/bin/python3 "$here/$script" "$@"
