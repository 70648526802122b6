#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Every rule that a machine can enforce over the whole tree, one line each; then each rule over the
# fixtures that break it: a fixture says by "expect: WORDS" what must be found, once for each fault.
#
# check.sh [RULE...]    all rules when none is named
# BUILD=build           where generated code is; results are kept in $BUILD/check
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
BUILD=${BUILD:-build}
work=$BUILD/check
here=tests/check
mkdir -p "$work"
# shellcheck source=tests/check/rules.sh
. "$here/rules.sh"
failed=0

# Every file of the tree whose path matches, but what is built and the fixtures.
list() {
    find . \( -path ./.git -o -path './build*' -o -name __pycache__ -o -path "./$here/fixtures" \) -prune \
        -o -type f -printf '%P\n' | grep -E -- "$1" | LC_ALL=C sort
}
own='^(lib|driver|providers|ctl|agent)/'
texts() { list . | grep -vE '\.(bin|svg|png|sum)$|^LICENSE$|/corpus/|^tests/fixtures/|^tests/check/rules.sh$'; }

# files RULE: what of the tree it looks at
files() {
    case $1 in
    format | limits) list '\.[ch]$' ;;
    headers | circles) list '\.h$' ;;
    layers) list "$own.*\.[ch]$" ;;
    bans | tidy | analyzer | cppcheck) list "$own.*\.c$" ;;
    shellcheck) list '\.sh$|^\.ci/run$' ;;
    python) list '\.py$' ;;
    spelling) texts | grep -vE '/man/|^tests/tools/.*go.mod$' ;;
    manuals) list '^docs/man/' ;;
    private) texts ;;
    esac
}

over_tree() {
    local name=$1 found start=$SECONDS args status=0
    mapfile -t args < <(files "$name")
    found=$("rule_$name" "${args[@]}") || status=$?
    [[ $status == 0 || -n $found ]] || found="the rule itself ended with $status"
    if [[ -n $found ]]; then
        printf '%s\n' "$found" | head -n 60
        echo "check $name: FAILED"
        failed=1
    else
        echo "check $name: ok (${#args[@]} files, $((SECONDS - start)) s)"
    fi
}

over_fixtures() {
    local name=$1 found its fixtures=("$here/fixtures/$1"[_.]*) fixture words faults=0
    found=$("rule_$name" "${fixtures[@]}") || true
    for fixture in "${fixtures[@]}"; do
        its=$(grep -F "${fixture%.*}" <<<"$found" || true)
        while read -r words; do
            faults=$((faults + 1))
            if [[ $its != *"$words"* ]]; then
                echo "check $name: FAILED: does not find \"$words\" in $fixture"
                failed=1
            fi
        done < <(sed -n 's/^.*expect: \(.*[^ ]\)\( \*\/\)$/\1/p; t; s/^.*expect: //p' "$fixture")
    done
    if [[ $faults == 0 ]]; then
        echo "check $name: FAILED: no fixture breaks it"
        failed=1
    fi
    total=$((total + faults))
}

rules=("$@")
if [[ $# == 0 ]]; then
    mapfile -t rules < <(declare -F | sed -n 's/^declare -f rule_//p')
fi
total=0
for name in "${rules[@]}"; do over_tree "$name"; done
before=$failed
failed=0
for name in "${rules[@]}"; do over_fixtures "$name"; done
[[ $failed != 0 ]] || echo "check fixtures: ok (${#rules[@]} rules find all $total faults)"
[[ $before == 0 && $failed == 0 ]]
