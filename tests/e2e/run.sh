#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# End to end, against servers and clients that somebody else wrote. Runs each script of this folder
# (or those named), two at a time: each has servers, ports, folders and mounts of its own, and waits
# most of the time. A script's output is one piece; what failed is listed again at the end, before the
# sum of the `ok`, `FAIL` and `SKIP` lines.
#
# BUILD=build  where bin/ is. Exit 0 when nothing failed.
# JOBS=2       how many scripts at a time
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
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
exec 9>"$logs/.printing"

# one SCRIPT: runs it, then prints what it said
one() {
    local name=${1##*/} status=0 start=$SECONDS
    local log=$logs/$name
    timeout --foreground -k 30 600 /usr/bin/python3 "$1" >"$log" 2>&1 9>&- || status=$?
    if [[ $status != 0 ]] && ! grep -q '^FAIL ' "$log"; then
        echo "FAIL it ended with $status" >>"$log"
    elif ! grep -qE '^(ok|FAIL|SKIP) ' "$log"; then
        echo "FAIL it tells of no test" >>"$log"
    fi
    flock 9
    echo "# $name, $((SECONDS - start)) s"
    cat "$log"
}

for script in "${scripts[@]}"; do
    [[ $(jobs -pr | wc -l) -lt ${JOBS:-2} ]] || wait -n
    one "$script" &
done
wait

count() { # of lines that begin so
    cat "$logs"/* | grep -c "^$1 " || true
}
failed=$(count FAIL)
[[ $failed == 0 ]] || echo "== what failed:"
for log in "$logs"/*; do
    sed -n "s/^FAIL /FAIL ${log##*/}: /p" "$log"
done
echo "$(count ok) passed, $failed failed, $(count SKIP) skipped"
[[ $failed == 0 ]]
