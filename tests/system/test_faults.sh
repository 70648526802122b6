#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Every fault point with every action, twice, by two processes side by side.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
status=0
for part in 0 1; do
    ROUNDS=${ROUNDS:-2} SHARD=$part/2 "$here/faults.py" >"$logs/$part" 2>&1 &
done
wait -n || status=1
wait -n || status=1
cat "$logs"/*
points=$(BUILD=${BUILD:-build} bash -c '"$BUILD/faults/bin/locket-driver" --list-faults' | wc -l)
if [[ $points -ge 60 ]]; then
    echo "ok there are 60 fault points or more ($points)"
else
    echo "FAIL there are only $points fault points"
    status=1
fi
if nm "${BUILD:-build}/bin/locket-driver" | grep -qi fault_; then
    echo "FAIL the release build has fault points"
    status=1
else
    echo "ok the release build has no fault point"
fi
exit $status
