# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# The rules of make check. rule_NAME FILE... prints a line for each finding, and nothing when clean. It
# knows no file of the tree: check.sh gives each rule the tree's files, and the fixtures that break it.
#
# BUILD, work, here: where generated code is, where results are kept, tests/check.
: "${BUILD:?}" "${work:?}" "${here:?}"

# As the compiler sees our code in every flavour's superset.
flags=(-std=gnu11 -I. -isystem "$BUILD/gen" -D_GNU_SOURCE -DLOCKET_WIPE "-DLOCKET_VERSION=\"0\"")

rule_format() {
    clang-format --dry-run -Werror --style=file:.clang-format "$@" 2>&1 | grep 'error:' || true
}

# One SPDX line at the top; 600 lines a file, 60 a function, 5 parameters (and err), nesting 3.
# A callback of libmicrohttpd has the parameters that libmicrohttpd says.
rule_limits() {
    awk 'FNR == 1 { if ($0 !~ /SPDX-License-Identifier: Apache-2.0/) print FILENAME ":1: no SPDX line" }
         FNR == 601 { print FILENAME ":601: over 600 lines" }
         /(^|[^A-Za-z_])(TODO|FIXME|XXX|HACK)([^A-Za-z_]|$)/ { print FILENAME ":" FNR ": unfinished" }
         /(^|[^A-Za-z_"])goto [a-z_]+;/ { print FILENAME ":" FNR ": goto" }
         /^                +(if|for|while|switch|do|HASH_ITER) ?\(/ {
             print FILENAME ":" FNR ": nested deeper than 3" }' "$@"
    ctags -x --c-kinds=f --_xformat='%{input} %n %{end} %N %{signature}' "$@" 2>/dev/null | awk '
        { lines = $3 - $2 + 1; place = $1 ":" $2 ": " $4; $1 = $2 = $3 = $4 = ""; signature = $0 }
        lines > 60 { print place "() has " lines " lines, 60 is most" }
        signature !~ /MHD_/ {
            sub(/^ *\(/, "", signature); sub(/\)$/, "", signature)
            while (gsub(/\([^()]*\)/, "", signature)) ;
            gsub(/, *struct error ?\* ?err$/, "", signature)
            if (gsub(/,/, "", signature) > 4) print place "() has more than 5 parameters" }'
}

# The header is the manual.
rule_headers() {
    local file
    for file in "$@"; do
        awk -v file="$file" -f "$here/headers.awk" "$file"
    done
}

# Includes go down: lib/base < proto < lib/net < lib/model < driver/cluster < driver/volume <
# driver/serve < driver/main; providers and ctl beside driver. Each foreign library in one module.
rule_layers() {
    local file
    [[ -s $work/libc ]] || dpkg -L libc6-dev linux-libc-dev | sort >"$work/libc"
    for file in "$@"; do
        gcc "${flags[@]}" -M -MG "$file" 2>/dev/null |
            awk -v file="$file" -v libc="$work/libc" -f "$here/layers.awk"
    done
}

# No header includes itself, by whatever way round.
rule_circles() {
    awk '/^#include "/ { gsub(/"/, "", $2); print FILENAME, $2 }' "$@" | tsort 2>&1 >/dev/null |
        sed -n 's,^tsort: \([^ ]*/[^ ]*\)$,\1: includes itself on the way round,p'
}

# Banned by symbol: bans.txt.
rule_bans() {
    local file object
    for file in "$@"; do
        object=$work/$(key_of bans "$file").o
        [[ -f $object ]] || gcc "${flags[@]}" -DLOCKET_FAULTS -O0 -U_FORTIFY_SOURCE -fno-builtin -w \
            -c -o "$object" "$file"
        nm -u "$object" | awk -v file="$file" -f "$here/bans.awk" "$here/bans.txt" -
    done
}

# What a rule's result depends on: the file with all that it includes, and the rule's own settings.
key_of() {
    { gcc "${flags[@]}" -E "$2" || cat "$2"
      cat .clang-tidy "$here/rules.sh"; echo "$1 $2"; } 2>/dev/null | sha256sum | cut -c 1-32
}

# kept RULE FILE COMMAND...: the command's findings of now, or of the same text before. A command that
# breaks down without a finding is one.
kept() {
    local key status=0 file=$2
    key=$work/$(key_of "$1" "$file")
    shift 2
    if [[ ! -f $key ]]; then
        "$@" >"$key.all" 2>&1 || status=$?
        grep -E '(warning|error): ' "$key.all" >"$key.new" || true
        [[ $status == 0 || -s $key.new ]] || echo "$file: error: $1 ended with $status" >"$key.new"
        mv "$key.new" "$key"
        rm -f "$key.all"
    fi
    cat "$key"
}

tidy_one() {
    kept tidy "$1" clang-tidy --quiet "$1" -- "${flags[@]}"
}

rule_tidy() {
    local file
    for file in "$@"; do
        while [[ $(jobs -rp | wc -l) -ge 2 ]]; do wait -n; done
        tidy_one "$file" &
    done
    wait
}

# Off: what does not know that a cleanup attribute frees, or that an output is set on success.
rule_analyzer() {
    local file
    for file in "$@"; do
        kept analyzer "$file" gcc "${flags[@]}" -O1 -fanalyzer -Wno-analyzer-malloc-leak \
            -Wno-analyzer-null-dereference -Wno-analyzer-use-of-uninitialized-value -c -o /dev/null "$file"
    done
}

# uninitvar is off: uthash sets its loop's variables in a condition. clang-tidy has its own.
rule_cppcheck() {
    cppcheck --quiet --std=c11 --enable=warning,portability,performance --suppress=uninitvar -j 2 \
        -I. -D_GNU_SOURCE -DLOCKET_WIPE '-DLOCKET_VERSION="0"' --template='{file}:{line}: {id}: {message}' \
        "$@" 2>&1
}

rule_shellcheck() {
    shellcheck --format=gcc "$@" || true
}

rule_python() {
    local file
    for file in "$@"; do
        /usr/bin/python3 -W error -c 'import ast, sys; ast.parse(sys.stdin.read())' <"$file" 2>&1 |
            sed -n "s,^[A-Z][A-Za-z]*: ,$file: &,p"
    done
}

# inflight is Prometheus' spelling; the others are abbreviations of formats.
rule_spelling() {
    codespell --ignore-words-list=inflight,nd,fo,aks,tthe,tyes "$@" || true
}

rule_manuals() {
    mandoc -Tlint -W warning "$@" || true
}

# Nothing of the machine it was written on, and no registry's host.
rule_private() {
    grep -HnE '(^|[^A-Za-z0-9_.$/-])/(work|root|farm|home)/[a-z]|/tmp/lk|proxy\.golang\.org|pypi\.org|deb\.debian\.org' "$@" |
        sed 's/$/  <- of one machine/' || true
}
