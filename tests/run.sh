#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs every C suite that was built and every script of tests/system, one line each, and ends with
# "N passed, N failed, N skipped". As root nothing may be skipped.
#
# BUILD=build  where the suites and bin/ are.   SUITES="unit service contract system" by default.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
BUILD=$(cd "${BUILD:-$root/build}" && pwd)
export BUILD
SUITES=${SUITES:-unit service contract system}
cd "$root"
passed=0 failed=0 skipped=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# count PATTERN: lines of the output that match, each once (cmocka names a failed test again at its end)
count() {
    awk -v pattern="$1" '$0 ~ pattern && !seen[$0]++ { n++ } END { print n + 0 }' "$out"
}

# Adds up one suite's output and prints its line; the end of it when something failed.
account() {
    local name=$1 status=$2 p f s
    p=$(count '^(\\[       OK \\]|ok )')
    f=$(count '^(\\[  FAILED  \\] [A-Za-z_0-9]+$|FAIL )')
    s=$(count '^(\\[  SKIPPED \\] [A-Za-z_0-9]+$|SKIP )')
    if [[ $status != 0 && $f == 0 ]]; then
        f=1
        echo "FAIL $name ended with $status" >>"$out"
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-52s %4d passed, %d failed, %d skipped\n' "$name" "$p" "$f" "$s"
    if [[ $f != 0 ]]; then
        tail -n 60 "$out" | sed 's/^/    /'
    fi
    awk '/^(SKIP |\[  SKIPPED \] [A-Za-z_0-9]+$)/ && !seen[$0]++ { print "    " $0 }' "$out"
}

for suite in $SUITES; do
    if [[ $suite == system ]]; then
        list=$(find tests/system -name 'test_*.sh' -o -name 'test_*.py' | sort)
    else
        list=$(cd "$BUILD" && find "tests/$suite" -type f -name 'test_*' -perm -u+x 2>/dev/null | sort || true)
    fi
    for name in $list; do
        status=0
        if [[ $suite == system ]]; then
            timeout 280 "./$name" >"$out" 2>&1 </dev/null || status=$?
        else
            timeout 120 "$BUILD/$name" >"$out" 2>&1 </dev/null || status=$?
        fi
        account "$name" "$status"
    done
done

echo "$passed passed, $failed failed, $skipped skipped"
[[ $failed == 0 && $passed != 0 ]]
[[ $skipped == 0 || $(id -u) != 0 ]]
