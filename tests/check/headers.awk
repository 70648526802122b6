# SPDX-License-Identifier: Apache-2.0
# A header: its first comment says what it is; every prototype at the left margin stands right under a
# comment, or in one block (no empty line between) with prototypes that do.
function is_prototype(l) {
    return l ~ /^[a-z][A-Za-z0-9_ *]*[ *][a-z_0-9]+\(/ && l !~ /^(typedef|static|return)/
}
NR <= 3 && /^ \* [a-z_]+\.h - / { told = 1 }
inside { if (/\*\//) { inside = 0; covered = 1 } next }
/^[ \t]*\/\*/ { if (/\*\/[ \t]*$/) covered = 1; else inside = 1; next }
/^[ \t]*$/ { covered = 0; next }
is_prototype($0) && !covered { print file ":" FNR ": no comment above: " $0 }
END { if (!told) print file ":3: does not begin with what it is: \" * name.h - words\"" }
