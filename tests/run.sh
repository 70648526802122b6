#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs every C suite that was built and every script of tests/system, one line each, and ends with
# "N passed, N failed, N skipped". As root nothing may be skipped.
#
# BUILD=build         where the suites and bin/ are
# SUITES="unit service contract system"
# ONLY=regex          of these, the suites whose path matches
# FILTER=glob         handed to each C suite, for those that take a filter of tests
# SUITE_SECONDS=280   the most that one script of tests/system may take
# MAY_SKIP=1          root may, too
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
BUILD=$(cd "${BUILD:-$root/build}" && pwd)
export BUILD
SUITES=${SUITES:-unit service contract system}
cd "$root"
passed=0 failed=0 skipped=0
out=$(mktemp)
names=$(mktemp)
trap 'rm -f "$out" "$names"' EXIT

# Reads one suite's output: cmocka's lines and closing sums (which tell a failed test twice), and the
# scripts' "ok", "FAIL" and "SKIP". Prints passed, failed, skipped; the skipped by name to $names.
sums() {
    awk -v names="$names" '
        /^\[       OK \] / || /^ok / { ok++ }
        /^FAIL / { bad++ }
        /^\[  FAILED  \] (.*: )?[0-9]+ test\(s\), listed below:$/ { bad += $(NF - 3) }
        /^SKIP / || (/^\[  SKIPPED \] / && !/, listed below:$/) {
            if (!told[$0]++) { skipped++; print "    " $0 >names }
        }
        END { printf "%d %d %d\n", ok, bad, skipped }' "$out"
}

# Adds up one suite's output and prints its line; the end of it when something failed.
account() {
    local name=$1 status=$2 took=$3 p f s
    : >"$names"
    read -r p f s < <(sums)
    if [[ $status != 0 && $f == 0 ]]; then
        f=1
        echo "FAIL $name ended with $status" >>"$out"
    elif [[ $status == 0 && $p == 0 && $s == 0 ]]; then
        f=1
        echo "FAIL $name tells of no test" >>"$out"
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-46s %4d passed, %d failed, %d skipped %4d s\n' "$name" "$p" "$f" "$s" "$took"
    [[ $f == 0 ]] || tail -n 80 "$out" | sed 's/^/    /'
    sort -u "$names"
}

for suite in $SUITES; do
    if [[ $suite == system ]]; then
        list=$(find tests/system \( -name 'test_*.sh' -o -name 'test_*.py' \) | sort)
    else
        # What was built, and still has its source.
        list=$(for file in tests/"$suite"/{,*/}test_*.c; do
            [[ ! -f $file ]] || echo "${file%.c}"
        done | sort)
    fi
    for name in $list; do
        [[ -z ${ONLY:-} || $name =~ $ONLY ]] || continue
        status=0 start=$SECONDS
        if [[ $suite == system ]]; then
            timeout -k 10 "${SUITE_SECONDS:-280}" "./$name" >"$out" 2>&1 </dev/null || status=$?
        else
            timeout -k 10 120 "$BUILD/$name" ${FILTER:+"$FILTER"} >"$out" 2>&1 </dev/null || status=$?
        fi
        account "$name" "$status" "$((SECONDS - start))"
    done
done

echo "$passed passed, $failed failed, $skipped skipped"
[[ $failed == 0 && $passed != 0 ]]
[[ $skipped == 0 || $(id -u) != 0 || -n ${MAY_SKIP:-} ]]
