# SPDX-License-Identifier: Apache-2.0
# bans.txt, then nm -u of one object (-v file=NAME): the names it may not ask for.
NR == FNR {
    if ($1 !~ /^#/ && NF > 1)
        allowed[$1] = $2
    next
}
{
    name = $NF
    sub(/@.*/, "", name)
    sub(/^__isoc99_/, "", name)
    if (name in allowed && (allowed[name] == "-" || file !~ allowed[name]))
        print file ": " name "() is banned here (bans.txt)"
}
