#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# All C suites under ASan, UBSan and LSan, with as many tests passed as in the plain build; the real
# programs of tests/system under the same; under TSan the suites that stay in one process. (What goes
# through libgrpc's queues is ordered by a library that TSan does not see into.)
# Ends with "N passed, N failed".
#
# BUILD=build
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
BUILD=${BUILD:-build}
passed=0 failed=0

# verdict OK|FAIL WORDS: prints a line and counts it
verdict() {
    echo "$*"
    if [[ $1 == ok ]]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# run NAME: what is in the environment, by tests/run.sh; its closing counts, its output when it failed
run() {
    local log=$BUILD/sanitize-$1.log
    tests/run.sh >"$log" 2>&1 || true
    if grep -qE "[1-9][0-9]* failed" "$log"; then
        cat "$log" >&2
    fi
    tail -n 1 "$log"
}

make --no-print-directory -j2 BUILD="$BUILD" tests >/dev/null
plain=$(BUILD=$BUILD SUITES="unit service contract" run plain)

make --no-print-directory -j2 BUILD="$BUILD/asan" FLAVOR=asan all tests >/dev/null
export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
asan=$(BUILD=$BUILD/asan SUITES="unit service contract" run asan)
if [[ $asan == "$plain" && $asan == *" 0 failed, 0 skipped" ]]; then
    verdict ok "under ASan and UBSan as in the plain build: $asan"
else
    verdict FAIL "under ASan and UBSan: $asan; in the plain build: $plain"
fi

system=$(BUILD=$BUILD/asan SUITES=system ONLY='test_driver' run system)
if [[ $system == *" 0 failed, "* && $system != 0* ]]; then
    verdict ok "the real programs under ASan and UBSan: $system (memory scans need plain memory)"
else
    verdict FAIL "the real programs under ASan and UBSan: $system"
fi
unset ASAN_OPTIONS UBSAN_OPTIONS

make --no-print-directory -j2 BUILD="$BUILD/tsan" FLAVOR=tsan tests >/dev/null
export TSAN_OPTIONS="halt_on_error=1 ignore_noninstrumented_modules=1"
threads='unit/base/|unit/cluster/|unit/volume/|net/test_(work|local)|contract/'
for part in "unit contract:$threads:" "service:test_csi:in process*"; do
    IFS=: read -r suites only filter <<<"$part"
    tsan=$(BUILD=$BUILD/tsan SUITES=$suites ONLY=$only FILTER=$filter run tsan)
    if [[ $tsan == *" 0 failed, "* && $tsan != 0* ]]; then
        verdict ok "under TSan ($suites): $tsan"
    else
        verdict FAIL "under TSan ($suites): $tsan"
    fi
done
echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
