#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# run_blocks.sh FILE: runs the commands of a page's ```console run blocks as they stand, in order, in one
# shell, in the root of the repository, with /run and /var/lib of their own. A line each: ok or FAIL.
# BUILD  where bin/ is
set -euo pipefail

cd "$(dirname "$0")/../.."
if [[ -z ${LOCKET_IN_NAMESPACE:-} ]]; then
    flags=(--mount --propagation private)
    [[ $(id -u) == 0 ]] || flags+=(--user --map-root-user)
    LOCKET_IN_NAMESPACE=1 exec unshare "${flags[@]}" "$0" "$@"
fi
unset LOCKET_IN_NAMESPACE
mount -t tmpfs none /run
mount -t tmpfs none /var/lib
install -d /run/bin # where every uid may run them, wherever the repository is
install "$BUILD"/bin/locket* /run/bin
export PATH=/run/bin:$PATH
page=$1
if grep -q setpriv "$page" && ! setpriv --reuid 65532 --clear-groups true 2>/dev/null; then
    echo "SKIP $page: this namespace has no uid 65532"
    exit 0
fi
log=$(mktemp)
pids=()
# shellcheck disable=SC2317 # called by the trap
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -f "$log"
}
trap finish EXIT

# Does this process, or a child of it, listen on a unix socket?
listens() {
    local pid inode
    for pid in "$1" $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
        for inode in $(readlink "/proc/$pid"/fd/* | sed -n 's/^socket:\[\(.*\)\]$/\1/p'); do
            if awk -v inode="$inode" '$4 == "00010000" && $7 == inode { found = 1 } END { exit !found }' \
                /proc/net/unix; then
                return 0
            fi
        done
    done
    return 1
}

while IFS= read -r command <&3; do
    status=0
    if [[ $command == *' &' ]]; then
        eval "$command" >>"$log" 2>&1
        pids+=($!)
        for ((i = 0; i < 100; i++)); do
            if listens $! || [[ ! -d /proc/$! ]]; then break; fi
            sleep 0.1
        done
        listens $! || status=1
    else
        eval "$command" >"$log" 2>&1 || status=$?
    fi
    if [[ $status != 0 ]]; then
        sed 's/^/    /' "$log"
        echo "FAIL $page: $command"
        exit 1
    fi
    echo "ok $page: $command"
done 3< <(awk '/^```/ { run = $0 == "```console run"; next } run && sub(/^\$ /, "")' "$page")
