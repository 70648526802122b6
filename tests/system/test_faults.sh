#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Every fault point with every action, twice; unpublishes that meet a publish; and that a run which is
# not as it must be is found.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=${BUILD:-build}
status=0

say() { # ok|FAIL text
    echo "$1 $2"
    [[ $1 == ok ]] || status=1
}

if ROUNDS=${ROUNDS:-2} RACES=${RACES:-72} SHARDS=2 "$here/run_faults.py"; then
    say ok "old files or new files stand after every fault, and nothing is left"
else
    say FAIL "a fault was not survived"
fi
for plant in touch mount die grow; do
    if PLANT=$plant SHARDS=1 ROUNDS=1 "$here/run_faults.py" write.begin >/dev/null 2>&1; then
        say FAIL "a planted fault is not found: $plant"
    else
        say ok "a planted fault is found: $plant"
    fi
done
if SHARDS=1 ROUNDS=1 "$here/run_faults.py" write.nowhere >/dev/null 2>&1; then
    say FAIL "a point that is never hit is not found"
else
    say ok "a point that is never hit is found"
fi
points=$("$build/faults/bin/locket-driver" --list-faults | wc -l)
if [[ $points -ge 60 ]]; then
    say ok "there are 60 fault points or more ($points)"
else
    say FAIL "there are only $points fault points"
fi
while read -r pipeline least; do
    points=$("$build/faults/bin/locket-driver" --list-faults | grep -c "^$pipeline\\." || true)
    if [[ $points -ge $least ]]; then
        say ok "$pipeline has $least fault points or more ($points)"
    else
        say FAIL "$pipeline has only $points fault points"
    fi
done <<END
mount 8
state 6
unpublish 8
rollback 4
recovery 8
register 2
identity 3
node 3
END
if "$build/faults/tests/unit/base/test_fault" >/dev/null 2>&1; then
    say ok "a fault point does what its plan says"
else
    say FAIL "a fault point does not do what its plan says"
fi
if nm "$build/bin/locket-driver" | grep -qi fault_; then
    say FAIL "the release build has fault points"
else
    say ok "the release build has no fault point"
fi
exit $status
