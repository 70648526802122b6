#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Locket's main job on this machine: a volume from examples/, read while its secret changes, and
# nothing left behind. In a mount namespace of its own; as a plain user also in a user namespace.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(cd "${BUILD:-$root/build}" && pwd)/bin
if [[ -z ${LOCKET_IN_NAMESPACE:-} ]]; then
    flags=(--mount --propagation private)
    if [[ $(id -u) != 0 ]]; then
        echo "As a plain user: in a user namespace, where one id is mapped. So files cannot be given to"
        echo "a pod's fsGroup, and tmpfs may not take noswap. All else is as on a node."
        flags+=(--user --map-root-user)
    fi
    if ! unshare "${flags[@]}" true; then
        echo "demo: this machine gives no mount namespace to $(id -un): run it as root" >&2
        exit 1
    fi
    LOCKET_IN_NAMESPACE=1 exec unshare "${flags[@]}" "$0" "$@"
fi

bold='' plain=''
[[ -t 1 && -z ${NO_COLOR:-} ]] && bold=$'\e[1m' plain=$'\e[0m'
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

dir=$(mktemp -d "${TMPDIR:-/tmp}/locket-demo-XXXXXX")
node=$dir/kubelet target=$node/pods/0a1b-demo/volumes/kubernetes.io~csi/secrets/mount
mkdir -p "$node/pods" "$dir/providers" "$dir/classes"
chmod 700 "$dir/providers"
cp "$root"/examples/classes/*.yaml "$dir/classes"
pids=()
# shellcheck disable=SC2317 # called by the trap
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    [[ ! -d $target ]] || umount -l "$target" 2>/dev/null || true
    rm -rf --one-file-system "$dir"
}
trap finish EXIT
picture() { # every mount of this namespace, kubelet's folder, and the driver's records
    sed 's/^/mount /' /proc/self/mountinfo
    find "$node" -printf 'folder %P %y %m %U\n' | sort
    find "$dir" -path "$dir/state/*.vol" -printf 'record %f\n' | sort
}
wait_for() {
    for ((i = 0; i < 100; i++)); do
        [[ -S $1 ]] && return 0
        sleep 0.1
    done
    echo "demo: $1 does not appear" >&2
    cat "$dir"/*.log >&2
    return 1
}
# change N: both values end in N; replaced by rename, so that nobody reads half of it
change() {
    sed -e "s/user: .*/user: shop-$1/" -e "s/password: .*/password: correct-horse-$1/" \
        "$root/examples/secrets.yaml" >"$dir/secrets.new"
    mv "$dir/secrets.new" "$dir/secrets.yaml"
}

change 1
picture >"$dir/before"
say "1. The provider and the driver start, and a class is checked."
"$bin/locketctl" validate "$dir"/classes/*.yaml
"$bin/locket-provider" --provider-dir "$dir/providers" --stores file \
    --file-root "$dir/secrets.yaml" 2>"$dir/provider.log" &
pids+=($!)
wait_for "$dir/providers/file.sock"
"$bin/locket-driver" --endpoint "unix://$dir/csi.sock" --nodeid demo --classes "$dir/classes" \
    --target-root "$node" --state-dir "$dir/state" --admin-socket "$dir/admin.sock" \
    --provider-volume "$dir/providers" --enable-secret-rotation --rotation-poll-interval 30s \
    --generation-grace 200ms 2>"$dir/driver.log" &
pids+=($!)
wait_for "$dir/csi.sock"

say "2. kubelet (locketctl plays it) publishes a volume for the pod default/web."
"$bin/locketctl" publish shop --pod default/web --uid 0a1b-demo --volume secrets \
    --target "$target" --target-root "$node" --csi-socket "$dir/csi.sock"
find "$target" -mindepth 1 -maxdepth 1 -printf '%M %f -> %l\n' | sort -k 2
printf 'user: %s\npassword: (%s bytes)\n' "$(cat "$target/user")" "$(wc -c <"$target/password")"
awk -v t="$target" '$5 == t { print "mounted: " $(NF - 2), $(NF - 1), $6, $NF }' /proc/self/mountinfo

say "3. The secret changes ten times under a reader that pins ..data."
/usr/bin/python3 "$root/tests/demo/reader.py" "$target" 5 &
reader=$!
for n in 2 3 4 5 6 7 8 9 10 11; do
    change "$n"
    "$bin/locketctl" refresh --all --admin-socket "$dir/admin.sock" >/dev/null
    sleep 0.2
done
wait "$reader"
printf 'user is now: %s\n' "$(cat "$target/user")"

say "4. What the driver knows (never a value)."
"$bin/locketctl" list --admin-socket "$dir/admin.sock"

say "5. The pod goes; what is different from before?"
id=$("$bin/locketctl" list -o json --admin-socket "$dir/admin.sock" |
    sed -n 's/.*"volume_id": *"\([^"]*\)".*/\1/p' | head -n 1)
"$bin/locketctl" unpublish "$id" --target "$target" --csi-socket "$dir/csi.sock"
picture >"$dir/after"
echo "before: $(grep -c ^mount "$dir/before") mounts, $(grep -c ^folder "$dir/before") folders and files of kubelet's, no record"
echo "after:  $(grep -c ^mount "$dir/after") mounts, $(grep -c ^folder "$dir/after") folders and files of kubelet's, $(grep -c ^record "$dir/after" || true) records"
if diff "$dir/before" "$dir/after"; then
    echo "difference: none"
else
    echo "demo: something was left" >&2
    exit 1
fi
