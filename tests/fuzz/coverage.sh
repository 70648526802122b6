#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Line coverage of every file that a fuzz target names in its COVERS line, by the corpora and by the
# unit tests of the file's folder. Fails below LINES_MIN percent. BUILD must be made with
# FLAVOR=coverage; MAKE builds the tests.
set -euo pipefail

build=${BUILD:-build/coverage}
least=${LINES_MIN:-85}
work=$build/fuzz/work
mapfile -t files < <(sed -n 's,^/\* COVERS: \(.*\) \*/$,\1,p' tests/fuzz/fuzz_*.c | tr ' ' '\n' | sort -u)
tests=()
for folder in $(dirname "${files[@]}" | sort -u); do
    case $folder in
    providers/*) folder=providers ;; # their tests share a folder
    esac
    for test in "tests/unit/$(basename "$folder")"/test_*.c; do
        [[ -e $test ]] && tests+=("$build/${test%.c}")
    done
done
"${MAKE:-make}" --no-print-directory -s BUILD="$build" FLAVOR=coverage "${tests[@]}" >/dev/null

rm -rf "$work"
mkdir -p "$work"
programs=()
for fuzzer in "$build"/fuzz/fuzz_*; do
    name=$(basename "$fuzzer")
    LLVM_PROFILE_FILE=$work/$name.raw "$fuzzer" "tests/fuzz/corpus/${name#fuzz_}"/* \
        >"$work/$name.log" 2>&1 || echo "note: $name fails on its corpus"
    programs+=(-object "$fuzzer")
done
for test in "${tests[@]}"; do
    LLVM_PROFILE_FILE=$work/$(basename "$test")-%p.raw timeout 120 "$test" \
        >"$work/$(basename "$test").log" 2>&1 || echo "note: $test fails"
    programs+=(-object "$test")
done
find "$work" -name '*.raw' -size +0 -exec llvm-profdata-14 merge -sparse -o "$work/all.profdata" {} +
llvm-cov-14 report -instr-profile="$work/all.profdata" "${programs[@]:1}" "${files[@]}" \
    2>"$work/report.log" >"$work/report"

passed=0
failed=0
for file in "${files[@]}"; do
    # Columns: file, regions, missed, cover, functions, missed, executed, lines, missed, cover.
    percent=$(awk -v file="$(basename "$file")" '$1 == file || index($1, "/" file) { print int($10) }' \
        "$work/report" | head -n 1)
    if [[ ${percent:-0} -ge $least ]]; then
        echo "ok $file ${percent} %"
        passed=$((passed + 1))
    else
        echo "FAIL $file ${percent:-0} % is below $least %"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[[ $failed -eq 0 && $passed -gt 0 ]]
