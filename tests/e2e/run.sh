#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# End to end, against servers and clients that somebody else wrote. Runs each script of this folder
# (or those named), adds their `ok`, `FAIL` and `SKIP` lines up.
#
# BUILD=build  where bin/ is. Exit 0 when nothing failed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
BUILD=$(cd "${BUILD:-$root/build}" && pwd)
export BUILD

if ! reason=$("$root/tests/tools/usable.sh"); then
    echo "SKIP e2e: $reason"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
cd "$root"
scripts=("$@")
if [[ $# == 0 ]]; then
    tests/tools/build.sh openbao wire >/dev/null
    scripts=("$here"/*.py)
fi
passed=0 failed=0 skipped=0
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
for script in "${scripts[@]}"; do
    echo "# ${script##*/}"
    status=0
    timeout 600 /usr/bin/python3 "$script" | tee "$lines" || status=$?
    passed=$((passed + $(grep -c '^ok ' "$lines" || true)))
    failed=$((failed + $(grep -c '^FAIL ' "$lines" || true)))
    skipped=$((skipped + $(grep -c '^SKIP ' "$lines" || true)))
    if [[ $status != 0 ]] && ! grep -q '^FAIL ' "$lines"; then
        echo "FAIL ${script##*/} ended with $status"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[[ $failed == 0 ]]
