#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The namespaces of rig.sh, entered step by step:
#   groups   a control group of the rig's own ($RIG's name in each hierarchy) becomes the root
#   spaces   processes, mounts and a network of the rig's own, below that root in rig/
#   node     a file system and a network as kubelet and the manifests want them; then the script
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
group=${RIG##*/}
step=$1
shift

hierarchies() { findmnt -rn -t cgroup,cgroup2 -o TARGET; }

join() {
    local hierarchy
    hierarchies | while read -r hierarchy; do
        echo $$ >"$hierarchy/$1/cgroup.procs"
    done
}

# Everything that is written outside of $RIG is written to a layer above it.
make_files() {
    local folder
    for folder in etc var; do
        mkdir -p "$RIG/$folder/upper" "$RIG/$folder/work"
        mount -t overlay overlay "/$folder" \
            -o "lowerdir=/$folder,upperdir=$RIG/$folder/upper,workdir=$RIG/$folder/work"
    done
    mount -t tmpfs -o mode=755 tmpfs /run
    hierarchies | while read -r folder; do
        mount --bind "$folder/$group" "$folder"
    done
    mkdir -p /var/lib/kubelet/plugins_registry "$RIG/kubelet"
    mount --bind "$RIG/kubelet" /var/lib/kubelet
    mount --make-rshared /var/lib/kubelet
}

# The bridge of the pods; it has the API server's service address too, as no kube-proxy is here.
make_network() {
    ip link set lo up
    ip link add cni0 address 0a:58:0a:58:00:01 type bridge # its own, else it changes with its ports
    ip address add 10.88.0.1/16 dev cni0
    ip address add 10.0.0.1/32 dev cni0
    ip link set cni0 up
}

case $step in
groups)
    join "$group"
    exec unshare --cgroup "$here/inside.sh" spaces "$@"
    ;;
spaces)
    join "$group/rig"
    exec unshare --mount --net --pid --fork --kill-child --mount-proc "$here/inside.sh" node "$@"
    ;;
node)
    make_files
    make_network
    export LOCKET_IN_NAMESPACE=1 TMPDIR=$RIG
    # Not by exec: the first process of these namespaces collects orphans.
    /usr/bin/python3 "$@"
    ;;
esac
