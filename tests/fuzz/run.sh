#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs every fuzz target of $BUILD for FUZZ_SECONDS, two at a time, from its checked-in corpus; what
# it learns stays in $BUILD. A line each, at last "N passed, N failed".
set -euo pipefail

build=${BUILD:-build/fuzz}
export build

one() {
    local name=$1 seconds=${FUZZ_SECONDS:-15}
    local corpus=tests/fuzz/corpus/${name#fuzz_} work=$build/fuzz/work/$name
    local result=ok figures

    if [[ ! -d $corpus ]]; then
        echo "FAIL $name: no corpus in $corpus"
        return
    fi
    mkdir -p "$work/learnt" "$work/found"
    "$build/fuzz/$name" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$work/found/" "$work/learnt" "$corpus" \
        >"$work/log" 2>&1 || result=FAIL
    figures=$(sed -n 's/^stat::number_of_executed_units: */runs /p; s/.*DONE *cov: \([0-9]*\).*/edges \1/p' \
        "$work/log" | sort | tr '\n' ' ')
    echo "$result $name ${figures:-}"
    [[ $result == ok ]] || sed -n '/ERROR\|SUMMARY\|Assert\|Test unit/s/^/     /p' "$work/log"
}

if [[ $# -eq 1 ]]; then
    one "$1"
    exit
fi

targets=$(find "$build/fuzz" -maxdepth 1 -type f -name 'fuzz_*' -printf '%f\n' | sort)
report=$(mktemp)
trap 'rm -f "$report"' EXIT
# shellcheck disable=SC2086 # names of files have no blanks
printf '%s\n' $targets | xargs -P 2 -n 1 "$0" | tee "$report"
passed=$(grep -c '^ok ' "$report" || true)
failed=$(grep -c '^FAIL ' "$report" || true)
echo "$passed passed, $failed failed"
[[ $failed -eq 0 && $passed -eq $(wc -w <<<"$targets") && $passed -gt 0 ]]
