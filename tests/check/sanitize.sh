#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# All C suites under ASan, UBSan and LSan, with as many tests passed as in the plain build; the suites
# that stay in one process and meet no uninstrumented library under TSan.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
BUILD=${BUILD:-build}
failed=0

# last line's first number of a run of the C suites in a build folder
passed_in() {
    BUILD=$1 SUITES="unit service contract" tests/run.sh >"$1/run.log" 2>&1 || {
        cat "$1/run.log" >&2
        return 1
    }
    tail -n 1 "$1/run.log" | cut -d' ' -f1
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

make --no-print-directory -j2 BUILD="$BUILD/tsan" FLAVOR=tsan tests >/dev/null
for suite in unit/base/test_cancel unit/base/test_metrics unit/net/test_work unit/net/test_rpc \
    unit/net/test_rpc_connect unit/net/test_rpc_end unit/net/test_rpc_limits \
    unit/volume/test_volume unit/volume/test_budget unit/volume/test_atomic_writer_readers \
    contract/test_cluster; do
    [[ -x $BUILD/tsan/tests/$suite ]] || continue
    if TSAN_OPTIONS="halt_on_error=1 ignore_noninstrumented_modules=1" \
        "$BUILD/tsan/tests/$suite" >"$BUILD/tsan/run.log" 2>&1; then
        echo "ok $suite under TSan"
    else
        tail -n 60 "$BUILD/tsan/run.log"
        echo "FAIL $suite under TSan"
        failed=1
    fi
done
[[ $failed == 0 ]] && echo "sanitize: 1 passed, 0 failed"
exit $failed
