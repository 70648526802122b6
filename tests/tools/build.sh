#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the tools that other projects publish as Go modules, each at the version of its go.mod and
# checked by its go.sum: build.sh [NAME...]. Prints one path per name. A tool that is cached
# (outside of the tree, by the content of its folder) is not built again.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${LOCKET_CACHE:-$HOME/.cache/locket}/tools

# name, what go build is given, flags of the linker
rows=(
    "openbao github.com/openbao/openbao -X=github.com/openbao/openbao/version.fullVersion=2.4.0"
    "sanity github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity"
    "wire ."
    "kubernetes ."
)

row_of() {
    local row
    for row in "${rows[@]}"; do
        if [[ ${row%% *} == "$1" ]]; then
            echo "$row"
            return 0
        fi
    done
    echo "build.sh: no tool is called $1" >&2
    return 1
}

digest() {
    {
        find "$here/$1" -type f | LC_ALL=C sort | xargs cat
        row_of "$1"
        go env GOVERSION
    } | sha256sum | cut -c1-12
}

build() {
    local name package flags path
    read -r name package flags <<<"$(row_of "$1")"
    path=$cache/$name-$(digest "$name")
    if [[ ! -x $path ]]; then
        echo "building $name (cached in $cache afterwards)" >&2
        (
            flock 9
            cd "$here/$name"
            [[ ! -x $path ]] || exit 0
            export GOFLAGS="-mod=readonly -p=2 -trimpath -buildvcs=false" GOTOOLCHAIN=local
            CGO_ENABLED=0 nice go build -ldflags "-s -w $flags" -o "$path.new" "$package"
            mv "$path.new" "$path"
        ) 9>"$cache/.lock" >&2
    fi
    echo "$path"
}

mkdir -p "$cache"
"$here/usable.sh" >&2
[[ $# -gt 0 ]] || set -- openbao sanity wire kubernetes
for tool in "$@"; do
    build "$tool"
done
