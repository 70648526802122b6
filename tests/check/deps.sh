#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing of packages.txt: as root, or through sudo; else says which, and fails.
#
# deps.sh [GROUP...]    all groups when none is named
set -euo pipefail

cd "$(dirname "$0")/../.."
if ! command -v dpkg-query >/dev/null; then
    echo "deps: no Debian: see packages.txt for what is needed"
    exit 0
fi

missing=()
while IFS=: read -r group names; do
    [[ -n $names && $group != \#* ]] || continue
    [[ $# == 0 || " $* " == *" $group "* ]] || continue
    for name in $names; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] ||
            missing+=("$name")
    done
done <packages.txt
if [[ ${#missing[@]} == 0 ]]; then
    echo "deps: all there"
    exit 0
fi

as_root=()
if [[ $(id -u) != 0 ]]; then
    if ! command -v sudo >/dev/null; then
        echo "deps: neither root nor sudo; install first: ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
# A package that brings a daemon (promtool's does) must not start it.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" sh -c "cat >$policy && chmod 755 $policy"
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
echo "deps: installing ${missing[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c '
    apt-get update -qq && exec apt-get install -y -qq --no-install-recommends "$@"' \
    sh "${missing[@]}" >/dev/null </dev/null
echo "deps: done"
