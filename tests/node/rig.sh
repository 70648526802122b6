#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# rig.sh SCRIPT [WORD...]: runs a script where kubelet, containerd and runc can be started beside the
# control plane of tests/cluster, in namespaces of their own (mounts, processes, network, control
# groups), which end with everything in them. What has no namespace is put back: control groups, and
# kernel settings that kubelet changes.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)

# One rig at a time: a second one would take what the first has set for what is to be put back.
exec 9>"${LOCKET_CACHE:-$HOME/.cache/locket}/node.lock"
flock 9

sysctls=(vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops
    kernel/keys/root_maxkeys kernel/keys/root_maxbytes)
declare -A saved
for name in "${sysctls[@]}"; do
    saved[$name]=$(cat "/proc/sys/$name")
done
mapfile -t hierarchies < <(findmnt -rn -t cgroup,cgroup2 -o TARGET)
RIG=$(mktemp -d "${TMPDIR:-/tmp}/locket-node-XXXXXX")
export RIG
group=${RIG##*/}

# Control groups are empty as soon as the kernel is done with who was in them.
remove_groups() {
    local hierarchy
    for hierarchy in "${hierarchies[@]}"; do
        for _ in {1..50}; do
            [[ -d $hierarchy/$group ]] || break
            find "$hierarchy/$group" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
        done
        [[ ! -d $hierarchy/$group ]] || echo "node: $hierarchy/$group is still in use" >&2
    done
}

restore() {
    [[ -z ${inner:-} ]] || kill -KILL "$inner" 2>/dev/null || true
    wait || true
    for name in "${sysctls[@]}"; do
        echo "${saved[$name]}" >"/proc/sys/$name"
    done
    remove_groups
    rm -rf "$RIG"
}
trap restore EXIT
trap 'exit 1' TERM INT

for hierarchy in "${hierarchies[@]}"; do
    mkdir -p "$hierarchy/$group/rig"
    for file in cpuset.cpus cpuset.mems; do # of the first version: a new group may use none
        [[ -f $hierarchy/$file && ! -f $hierarchy/cgroup.controllers ]] || continue
        cat "$hierarchy/$file" >"$hierarchy/$group/$file"
        cat "$hierarchy/$file" >"$hierarchy/$group/rig/$file"
    done
done
"$here/inside.sh" groups "$@" 9>&- &
inner=$!
status=0
wait "$inner" || status=$?
inner=""
[[ $status == 0 ]]
