#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# All C suites under ASan, UBSan and LSan, and then under TSan, with as many tests passed as in the
# plain build. TSan sees nothing of what gRPC orders: where a test and a handler of its own share
# something, a lock of theirs says so.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
BUILD=${BUILD:-build}
failed=0

# Runs the C suites of a build folder; how many tests passed.
passed_in() {
    BUILD=$1 SUITES="unit service contract" tests/run.sh >"$1/run.log" 2>&1 || {
        cat "$1/run.log" >&2
        return 1
    }
    tail -n 1 "$1/run.log" | cut -d' ' -f1
}

# How many tests of that run were skipped.
skipped_in() {
    tail -n 1 "$1/run.log" | cut -d' ' -f5
}

make --no-print-directory -j2 BUILD="$BUILD" tests >/dev/null
make --no-print-directory -j2 BUILD="$BUILD/asan" FLAVOR=asan tests >/dev/null
plain=$(passed_in "$BUILD") || failed=1
export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
asan=$(passed_in "$BUILD/asan") || failed=1
if [[ $failed == 0 && $plain == "$asan" ]]; then
    echo "ok $asan tests under ASan and UBSan, as many as in the plain build"
else
    echo "FAIL $asan tests passed under ASan and UBSan, $plain in the plain build"
    failed=1
fi

unset ASAN_OPTIONS UBSAN_OPTIONS
make --no-print-directory -j2 BUILD="$BUILD/tsan" FLAVOR=tsan tests >/dev/null
export TSAN_OPTIONS="halt_on_error=1 ignore_noninstrumented_modules=1" MAY_SKIP=1
tsan=$(passed_in "$BUILD/tsan") || failed=1
skipped=$(skipped_in "$BUILD/tsan")
if [[ $failed == 0 && $plain == $((tsan + skipped)) ]]; then
    echo "ok $tsan tests under TSan, which lets $skipped enter no user namespace"
else
    echo "FAIL $tsan tests passed under TSan and $skipped were skipped, $plain passed in the plain build"
    failed=1
fi
[[ $failed == 0 ]] && echo "sanitize: 1 passed, 0 failed"
exit $failed
