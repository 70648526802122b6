# SPDX-License-Identifier: Apache-2.0
# One source file: an include of a higher or neighbouring layer, or of a library that is another module's.
function rank(path) {
    if (path ~ /^lib\/base\//) return 1
    if (path ~ /^lib\/net\//) return 3
    if (path ~ /^lib\/model\//) return 4
    if (path ~ /^driver\/cluster\//) return 5
    if (path ~ /^driver\/volume\//) return 6
    if (path ~ /^driver\/serve\//) return 7
    if (path ~ /^driver\/main\//) return 8
    if (path ~ /^(providers|ctl|agent)\//) return 9
    return 0
}
function top(path) { sub(/\/.*/, "", path); return path }
BEGIN {
    owner["grpc/"] = "^lib/net/rpc_"
    owner["openssl/"] = "^lib/base/crypto"
    owner["curl/"] = "^lib/net/http\\.c$"
    owner["microhttpd.h"] = "^lib/net/http_server\\.c$"
    owner["cjson/"] = "^lib/base/json"
    owner["yaml.h"] = "^lib/base/yaml\\.c$"
    owner["libmount/"] = "^driver/volume/mount_libmount\\.c$"
    origin = file
    sub(/^tests\/check\/fixtures\/layers_/, "", origin)
    gsub(/__/, "/", origin)
}
/^#include </ {
    name = $2
    gsub(/[<>]/, "", name)
    for (o in owner)
        if (index(name, o) == 1 && origin !~ owner[o])
            print file ":" FNR ": <" name "> belongs to another module"
}
/^#include "/ {
    name = $2
    gsub(/"/, "", name)
    mine = rank(origin)
    theirs = rank(name)
    if (theirs > mine || (mine >= 5 && theirs >= 5 && top(name) != top(origin)))
        print file ":" FNR ": \"" name "\" is not below"
}
