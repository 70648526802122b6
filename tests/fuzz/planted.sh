#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The positive control: fuzz_encode of a build with -DPLANTED must find the planted overrun within
# FUZZ_SECONDS, starting from the checked-in corpus, which does not hold it.
set -euo pipefail

build=${BUILD:-build/planted}
work=$build/fuzz/work/planted
rm -rf "$work"
mkdir -p "$work/learnt"
"$build/fuzz/fuzz_encode" -runs=0 tests/fuzz/corpus/encode >"$work/log" 2>&1 || {
    echo "FAIL the corpus holds the planted bug: nothing is left to find"
    exit 1
}
from=$(date +%s)
if "$build/fuzz/fuzz_encode" -max_total_time="${FUZZ_SECONDS:-15}" -max_len=64 -timeout=10 \
    -artifact_prefix="$work/" "$work/learnt" tests/fuzz/corpus/encode >"$work/log" 2>&1; then
    echo "FAIL the planted bug was not found in ${FUZZ_SECONDS:-15} s"
    exit 1
fi
grep -q 'heap-buffer-overflow.*base64_decode' "$work/log" || {
    echo "FAIL something else than the planted bug was found"
    tail -n 20 "$work/log"
    exit 1
}
echo "ok the planted bug was found in $(($(date +%s) - from)) s"
