#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# csi-sanity, as Kubernetes publishes it, against the binary we ship: no switch of ours that is for
# tests only, and nothing skipped but the services that we do not have. A stand-in controller
# (tests/fakes) answers class and pod as volume_context, so that publishes are real ones.
#
# BUILD=build  where bin/ is. Exit 0: passed; also without a Go toolchain, with a line of SKIP.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${BUILD:-$root/build}" && pwd)
least_ran=15
must_pass="should remove target path"

if ! reason=$("$root/tests/tools/usable.sh"); then
    echo "SKIP conformance: $reason"
    exit 0
fi
# In mount namespace of its own: whatever goes wrong, nothing stays mounted.
if [[ -z ${LOCKET_IN_NAMESPACE:-} ]]; then
    flags=(--mount --propagation private)
    [[ $(id -u) == 0 ]] || flags+=(--map-root-user)
    LOCKET_IN_NAMESPACE=1 exec unshare "${flags[@]}" "$0" "$@"
fi

sanity=$("$root/tests/tools/build.sh" sanity)
wire=$("$root/tests/tools/build.sh" wire)
dir=$(mktemp -d "${TMPDIR:-/tmp}/locket-sanity-XXXXXX")
pids=()

# shellcheck disable=SC2317 # called by the trap
finish() {
    local pid
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in "${pids[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
    rm -rf --one-file-system "$dir"
}
trap finish EXIT

# start NAME COMMAND...: in the background, its output in NAME.log
start() {
    local name=$1
    shift
    "$@" >"$dir/$name.log" 2>&1 &
    pids+=($!)
}

wait_for() {
    local socket=$1 name=$2 try
    for ((try = 0; try < 100; try++)); do
        [[ -S $socket ]] && return 0
        kill -0 "${pids[-1]}" 2>/dev/null || break
        sleep 0.1
    done
    echo "FAIL: $name does not serve $socket" >&2
    tail -20 "$dir/$name.log" >&2
    exit 1
}

uid=6f1c34b2-5b1c-4f0e-9a53-1f2f5a3c9d10
volumes=$dir/kubelet/pods/$uid/volumes/kubernetes.io~csi
mkdir -p "$dir/classes" "$dir/state" "$volumes"
mkdir -m 0700 "$dir/providers"
echo '{"user":"alice","password":"not a secret"}' >"$dir/values.json"
cat >"$dir/classes/sanity.yaml" <<'YAML'
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata:
  name: sanity
  namespace: default
spec:
  provider: wire
  parameters:
    note: served by the published stubs of the provider protocol
YAML

start provider "$wire" serve --socket "$dir/providers/wire.sock" --values "$dir/values.json"
wait_for "$dir/providers/wire.sock" provider
start controller /usr/bin/python3 "$root/tests/fakes/csi_controller.py" \
    --socket "$dir/controller.sock" --driver "unix:$dir/csi.sock" \
    --context secretProviderClass=sanity \
    --context csi.storage.k8s.io/pod.name=sanity-pod \
    --context csi.storage.k8s.io/pod.namespace=default \
    --context csi.storage.k8s.io/pod.uid="$uid" \
    --context csi.storage.k8s.io/serviceAccount.name=default \
    --context csi.storage.k8s.io/ephemeral=true
wait_for "$dir/controller.sock" controller
start driver "$build/bin/locket-driver" --endpoint "unix://$dir/csi.sock" --nodeid sanity-node \
    --classes "$dir/classes" --target-root "$dir/kubelet" --state-dir "$dir/state" \
    --admin-socket "$dir/admin.sock" --provider-volume "$dir/providers" --require-readonly=false
wait_for "$dir/csi.sock" driver

status=0
timeout 300 "$sanity" -csi.endpoint "unix://$dir/csi.sock" \
    -csi.controllerendpoint "unix://$dir/controller.sock" \
    -csi.mountdir "$volumes/sanity" -csi.stagingdir "$dir/staging" \
    --ginkgo.skip='Controller Server|GroupController' --ginkgo.no-color \
    --ginkgo.json-report="$dir/report.json" >"$dir/sanity.log" 2>&1 || status=$?

/usr/bin/python3 "$root/tests/conformance/table.py" "$dir/report.json" "$least_ran" "$must_pass" ||
    status=1
mounts=$(grep -c " locket:" /proc/self/mountinfo || true)
if [[ $mounts != 0 ]]; then
    echo "FAIL: $mounts mounts of the driver are left"
    status=1
fi
if [[ $status != 0 ]]; then
    echo "--- csi-sanity's output, its end"
    tail -60 "$dir/sanity.log"
    echo "--- the driver's log, its end"
    tail -20 "$dir/driver.log"
fi
exit "$status"
