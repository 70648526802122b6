#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The demo as root and as a plain user: it ends well, in time, and leaves nothing.
set -euo pipefail

cd "$(dirname "$0")/../.."
BUILD=$(cd "${BUILD:-build}" && pwd)
export BUILD
status=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# shows WORDS LINE: the demo printed this
shows() {
    if grep -qF -- "$2" "$log"; then
        echo "ok $1"
    else
        echo "FAIL $1: nowhere is \"$2\""
        sed 's/^/    /' "$log"
        status=1
    fi
}

# demo WHO COMMAND...
demo() {
    local who=$1 start=$SECONDS
    shift
    if ! timeout 60 "$@" tests/demo/demo.sh >"$log" 2>&1 </dev/null; then
        echo "FAIL the demo as $who ends well within a minute"
        status=1
    fi
    echo "# the demo as $who took $((SECONDS - start)) s"
    shows "$who sees no torn pair" ", 0 torn pairs"
    shows "$who sees the last value" "user is now: shop-11"
    shows "$who sees that nothing is left" "difference: none"
    if grep -q $'\e' "$log"; then
        echo "FAIL the demo is coloured where there is no terminal"
        status=1
    fi
}

if [[ $(id -u) == 0 ]]; then
    demo root env
    if setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user --map-root-user --mount true 2>/dev/null; then
        demo "a plain user" setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/tmp
        shows "a plain user is told what is missing" "in a user namespace"
    else
        echo "# this kernel gives no user namespace to a plain user"
    fi
else
    demo "a plain user" env
fi
exit $status
