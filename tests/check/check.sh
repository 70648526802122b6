#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Every rule that a machine can enforce, one line each; then each rule over a fixture that breaks it,
# which it must find. Rules are functions rule_<name> FILE...: they print findings, nothing when clean.
#
# BUILD=build  for dependency files and caches.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
BUILD=${BUILD:-build}
work=$BUILD/check
mkdir -p "$work"
here=tests/check
failed=0

# --- rules -----------------------------------------------------------------------------------------

rule_format() {
    local file
    for file in "$@"; do
        clang-format --style=file:.clang-format "$file" | cmp -s - "$file" || echo "$file: run clang-format -i"
    done
}

# One SPDX line at the top; files up to 600 lines, functions up to 60; no marker of unfinished work.
rule_limits() {
    local file
    for file in "$@"; do
        head -n 1 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file:1: no SPDX line"
        [[ $(wc -l <"$file") -le 600 ]] || echo "$file: over 600 lines"
        grep -nE '\b(TODO|FIXME|XXX|HACK)\b' "$file" | sed "s|^|$file: unfinished: |" || true
        grep -nE '\bgoto\b' "$file" | sed "s|^|$file: goto: |" || true
    done
    ctags -x --c-kinds=f --_xformat='%{input}:%n: %N() has more than 60 lines %n %{end}' "$@" 2>/dev/null |
        awk '$NF - $(NF - 1) + 1 > 60 { $NF = ""; $(NF - 1) = ""; print }'
}

# Every prototype of a header stands under a comment (directly, or in one group with the line above).
rule_headers() {
    local file
    for file in "$@"; do
        [[ $file == *.h ]] || continue
        awk -v file="$file" '
            function starts(l) { return l ~ /^[a-z].*[ *][a-z_0-9]+\(/ && l !~ /^(typedef|static|struct [a-z_]+ \{|enum|#|extern|return|else|if)/ }
            starts($0) && !grouped && !covered { print file ":" FNR ": no comment above " $0 }
            { if (starts($0)) { grouped = 1; covered = 0; open = ($0 !~ /;[[:space:]]*(\/\*.*)?$/) }
              else if (open) { if ($0 ~ /;[[:space:]]*(\/\*.*)?$/) open = 0 }
              else if ($0 ~ /\*\/[[:space:]]*$/ ) { covered = 1; grouped = 0 }
              else if ($0 ~ /^[[:space:]]*$/) { covered = 0; if (!blank_after) grouped = grouped } 
              else if ($0 !~ /^[ \t]/ && $0 !~ /;/) { covered = covered } }' "$file"
    done
}

# Includes go down: lib/base < proto < lib/net < lib/model < driver/cluster < driver/volume <
# driver/serve < driver/main; providers and ctl beside driver. Each foreign library in one module.
rule_layers() {
    local file
    for file in "$@"; do
        awk -v file="$file" -f "$here/layers.awk" "$file"
    done
}

# Banned by symbol, in objects compiled so that no header hides a name.
rule_bans() {
    local file object
    for file in "$@"; do
        [[ $file == *.c ]] || continue
        object=$work/$(sum "$file" bans).o
        [[ -f $object ]] || gcc -I. -isystem "$BUILD/gen" -D_GNU_SOURCE -DLOCKET_VERSION='"0"' \
            -DLOCKET_FAULTS -std=gnu11 -O0 -U_FORTIFY_SOURCE -fno-builtin -w -c -o "$object" "$file"
        nm -u "$object" | awk -v file="$file" -f "$here/bans.awk"
    done
}

# The key of a result: the file with all that it includes, and the rule's own settings.
sum() {
    { gcc -I. -isystem "$BUILD/gen" -D_GNU_SOURCE -DLOCKET_VERSION='"0"' -DLOCKET_WIPE -std=gnu11 -E -P "$1"
      cat .clang-tidy "$here/check.sh"; echo "$1 $2"; } 2>/dev/null | sha256sum | cut -d' ' -f1
}

tidy_one() {
    local file=$1 key
    [[ $file == *.c ]] || return 0
    key=$work/$(sum "$file" tidy)
    if [[ ! -f $key ]]; then
        clang-tidy --quiet "$file" -- -I. -isystem "$BUILD/gen" -D_GNU_SOURCE -DLOCKET_WIPE \
            -DLOCKET_VERSION='"0"' -std=gnu11 2>/dev/null | grep -E '(warning|error):' >"$key.new" || true
        mv "$key.new" "$key"
    fi
    cat "$key"
}
export -f tidy_one sum
export BUILD work here

rule_tidy() {
    printf '%s\n' "$@" | xargs -P 2 -I{} bash -c 'tidy_one {}'
}

rule_cppcheck() {
    cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=0 \
        --cppcheck-build-dir="$work" --suppress=missingInclude --suppress=unknownMacro -j 2 \
        --suppress=uninitvar --suppress=internalAstError --suppress=syntaxError -I. --template='{file}:{line}: {id}: {message}' "$@" 2>&1 |
        grep -v ':.*: information' || true
}

rule_shellcheck() {
    shellcheck --severity=warning --format=gcc "$@" || true
}

# Nothing of the machine it was written on, and no registry's host.
rule_private() {
    grep -nE '(^|[^A-Za-z0-9_.$/-])/(work|root|farm)/[a-z]|proxy\.golang\.org|pypi\.org|deb\.debian\.org' "$@" |
        sed 's/$/  <- of one machine/' || true
}

# --- over the tree ---------------------------------------------------------------------------------

# run NAME FILE...
run() {
    local name=$1 found
    shift
    found=$("rule_$name" "$@")
    if [[ -n $found ]]; then
        printf '%s\n' "$found" | head -n 60
        echo "check $name: FAILED"
        failed=1
    else
        echo "check $name: ok ($# files)"
    fi
}

# must_find NAME FILE...: the rule finds what is wrong in the fixture
must_find() {
    local name=$1
    shift
    if [[ -z $("rule_$name" "$@") ]]; then
        echo "check $name: FAILED: it does not find what is wrong in $*"
        failed=1
    fi
}

list() {
    git ls-files --cached --others --exclude-standard -- "$@" | grep -v '^tests/check/fixtures/' | sort
}

mapfile -t own < <(list 'lib/*.[ch]' 'driver/*.[ch]' 'providers/*.[ch]' 'ctl/*.[ch]')
mapfile -t all < <(list '*.[ch]')
mapfile -t own_c < <(printf '%s\n' "${own[@]}" | grep '\.c$')
mapfile -t shells < <(list '*.sh' .ci/run)
mapfile -t texts < <(list | grep -vE '\.(bin|svg|png|sum)$|^LICENSE$|^tests/check/check.sh$')

run format "${all[@]}"
run limits "${own[@]}"
run headers "${own[@]}"
run layers "${own[@]}"
run bans "${own_c[@]}"
run tidy "${own_c[@]}"
run cppcheck "${own_c[@]}"
run shellcheck "${shells[@]}"
run private "${texts[@]}"

for name in format limits headers layers bans tidy cppcheck private; do
    for fixture in "$here/fixtures/$name"*; do
        must_find "$name" "$fixture"
    done
done
must_find shellcheck "$here/fixtures/shell.sh"
[[ $failed == 0 ]] && echo "check fixtures: ok (every rule finds what breaks it)"
exit $failed
