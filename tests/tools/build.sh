#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the tools that other projects publish as Go modules, each at the version of its go.mod and
# checked by its go.sum: build.sh [NAME...]. Prints one path per name. A tool that is cached
# (outside of the tree, by the content of its folder) is not built again.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${LOCKET_CACHE:-$HOME/.cache/locket}/tools

# What the API server says that it is, for clients that ask: as in its go.mod.
says=k8s.io/component-base/version
version=$(awk '$1 == "k8s.io/kubernetes" && NF == 2 { print $2 }' "$here/kubernetes/go.mod")
minor=${version#v1.} minor=${minor%%.*}
kubernetes_flags="-X=$says.gitVersion=$version -X=$says.gitMajor=1 -X=$says.gitMinor=$minor"

# What helm takes a cluster for when it asks none.
chart=helm.sh/helm/v3/pkg
helm_flags="-X=$chart/chartutil.k8sVersionMajor=1 -X=$chart/chartutil.k8sVersionMinor=$minor"
helm_flags+=" -X=$chart/lint/rules.k8sVersionMajor=1 -X=$chart/lint/rules.k8sVersionMinor=$minor"

# What the driver says that it is, and asks the API server as.
upstream_flags="-X=sigs.k8s.io/secrets-store-csi-driver/pkg/version.BuildVersion=v1.5.4"

# name, what go build is given, flags of the linker
rows=(
    "openbao github.com/openbao/openbao -X=github.com/openbao/openbao/version.fullVersion=2.4.0"
    "sanity github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity"
    "wire ."
    "kubernetes . $kubernetes_flags"
    "helm helm.sh/helm/v3/cmd/helm $helm_flags"
    "upstream sigs.k8s.io/secrets-store-csi-driver/cmd/secrets-store-csi-driver $upstream_flags"
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
        ) 9>"$cache/.lock-$name" >&2
    fi
    echo "$path"
}

mkdir -p "$cache"
"$here/usable.sh" >&2
[[ $# -gt 0 ]] || set -- openbao sanity wire kubernetes helm upstream
for tool in "$@"; do
    build "$tool"
done
