# SPDX-License-Identifier: Apache-2.0
# What the compiler says one source file includes, directly or not (a rule of make, from cc -M), and
# with -v file=NAME whose it is: an arrow that runs up, across, or to a library that is another module's.
# With -v libc=FILE: the headers of the C library and the kernel, a line each.
function rank(path) {
    if (path ~ /^lib\/base\//) return 1
    if (path ~ /\.pb-c\.h$/) return 2
    if (path ~ /^lib\/net\//) return 3
    if (path ~ /^lib\/model\//) return 4
    if (path ~ /^driver\/cluster\//) return 5
    if (path ~ /^driver\/volume\//) return 6
    if (path ~ /^driver\/serve\//) return 7
    if (path ~ /^driver\/main\//) return 8
    if (path ~ /^(providers|ctl|agent)\//) return 9
    if (path ~ /^tests\//) return 10
    return 0
}
function top(path) { sub(/\/.*/, "", path); return path }
function ours(path,    theirs) {
    theirs = rank(path)
    if (theirs > mine || (mine >= 5 && mine < 10 && theirs >= 5 && top(path) != top(origin)))
        print file ": " path " is not below it"
}
function foreign(path,    o) {
    for (o in owner)
        if (path ~ o) {
            if (origin !~ owner[o])
                print file ": <" path "> belongs to " owner[o]
            return
        }
    if (libc && !(path in system_headers))
        print file ": <" path "> is no module's: name one in layers.awk"
}
BEGIN {
    # header: the one module that may include it; header-shaped libraries are everybody's
    owner["/grpc/"] = "^lib/net/rpc_"
    owner["/openssl/"] = "^lib/base/crypto"
    owner["/curl/"] = "^lib/net/http\\.c$"
    owner["/microhttpd\\.h$"] = "^lib/net/http_server\\.c$"
    owner["/cjson/"] = "^lib/base/json"
    owner["/yaml\\.h$"] = "^lib/base/yaml\\.c$"
    owner["/libmount/"] = "^driver/volume/mount_libmount\\.c$"
    owner["/seccomp\\.h$"] = "^lib/base/sandbox"
    owner["/sys/capability\\.h$"] = "^lib/base/sandbox"
    owner["/protobuf-c/|/ut(hash|list)\\.h$"] = "."
    while (libc && (getline line < libc) > 0)
        system_headers[line]
    origin = file
    sub(/^tests\/check\/fixtures\/layers_/, "", origin)
    gsub(/__/, "/", origin)
    mine = rank(origin)
}
{
    for (i = 1; i <= NF; i++) {
        path = $i
        if (path == "\\" || path ~ /:$/ || path == file || seen[path]++)
            continue
        if (path ~ /^\/usr\/include\//)
            foreign(path)
        else if (path !~ /^\//)
            ours(path)
    }
}
