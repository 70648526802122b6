#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Every command that README and docs name is there: make targets, flags, files and links. What stands in
# ```console run blocks is run.
set -euo pipefail

cd "$(dirname "$0")/../.."
BUILD=$(cd "${BUILD:-build}" && pwd)
export BUILD
bin=$BUILD/bin
status=0
fail() {
    echo "FAIL $*"
    status=1
}

while read -r target; do
    grep -qE "^$target:" Makefile || fail "make $target is named in the docs, but is no target"
done < <(grep -ohE '(^|[ `])make [a-z0-9-]+' README.md docs/*.md | sed 's/.*make //' | sort -u)
[[ $status != 0 ]] || echo "ok every make target in the docs is one"

while read -r link; do
    [[ -e ${link#./} || -e docs/$link ]] || fail "the docs link to $link, which is not there"
done < <(grep -ohE '\]\([^)#]+\)' README.md docs/*.md | tr -d '()]' | grep -v '^http' | sort -u)
[[ $status != 0 ]] || echo "ok every link in the docs leads somewhere"

help=$("$bin/locket-driver" --help && "$bin/locket-provider" --help &&
    "$bin/locket-agent" --help && "$bin/locketctl" --help)
while read -r flag; do
    grep -q -- "$flag" <<<"$help" || "$bin/locketctl" publish --help | grep -q -- "$flag" ||
        [[ $flag == --list-faults || $flag == --classes ]] || fail "the docs name $flag, which no program has"
done < <(grep -ohE '`--[a-z-]+' README.md docs/*.md docs/stores/*.md | tr -d '`' | sort -u)
[[ $status != 0 ]] || echo "ok every flag in the docs is one"

while read -r flag; do
    grep -q -- "--$flag" <<<"$help" || fail "a manual names --$flag, which no program has"
done < <(grep -ohE '^\.It Fl -[a-z-]+|, Fl -[a-z-]+' docs/man/*.8 | sed 's/.*Fl -//' | sort -u)
[[ $status != 0 ]] || echo "ok every flag in the manuals is one"

if mandoc -Tlint -W warning docs/man/* >/dev/null; then
    echo "ok the manuals are clean"
else
    fail "mandoc -Tlint complains"
fi
for file in examples/classes/*.yaml; do
    "$bin/locketctl" validate "$file" >/dev/null || fail "$file is not valid"
done
[[ $status != 0 ]] || echo "ok the examples are valid"
for page in README.md docs/*.md docs/stores/*.md; do
    if grep -q '^```console run$' "$page"; then
        tests/system/run_blocks.sh "$page" || status=1
    fi
done
exit $status
