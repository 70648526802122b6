#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing of a list of Debian packages: as root, or through sudo; else says which.
set -euo pipefail

missing=()
while read -r name; do
    [[ -z $name || $name == \#* ]] && continue
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' ||
        missing+=("$name")
done <"${1:-packages.txt}"

if [[ ${#missing[@]} == 0 ]]; then
    echo "deps: all there"
    exit 0
fi
echo "deps: installing ${missing[*]}"
as_root=()
if [[ $(id -u) != 0 ]]; then
    if ! command -v sudo >/dev/null; then
        echo "deps: neither root nor sudo: install these packages first" >&2
        exit 1
    fi
    as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -q >/dev/null
"${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
echo "deps: done"
