#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Can the tools be built here? Exit 0, or 1 with the reason on one line.
set -euo pipefail

least=1.25

if ! command -v go >/dev/null; then
    echo "no Go toolchain on PATH to build the other side with"
    exit 1
fi
version=$(GOTOOLCHAIN=local go env GOVERSION)
version=${version#go}
if [[ $(printf '%s\n' "$least" "$version" | sort -V | head -n 1) != "$least" ]]; then
    echo "the Go toolchain on PATH is $version, $least is needed to build the other side with"
    exit 1
fi
