# SPDX-License-Identifier: Apache-2.0
# nm -u of one object: names that style.md rule 24 bans, some but in the one module that may use them.
BEGIN {
    split("sprintf vsprintf strcpy strcat strncpy strncat strtok gets system popen strerror localtime gmtime atoi atol cJSON_Parse cJSON_GetObjectItem cJSON_Compare setenv", never)
    for (i in never) banned[never[i]] = "^$"
    banned["readdir"] = "^lib/base/fs\\.c$"
    banned["getenv"] = "(^lib/base/(options|fault)\\.c$|/main\\.c$|^ctl/terminal\\.c$|^ctl/grid\\.c$)"
    banned["unsetenv"] = "^lib/net/rpc_grpc\\.c$"
    banned["exit"] = "/main\\.c$"
    banned["fork"] = "^ctl/checks\\.c$"
    banned["getopt_long"] = "^lib/base/options\\.c$"
}
{
    sub(/@.*/, "", $NF)
    if ($NF in banned && file !~ banned[$NF])
        print file ": " $NF "() is banned here"
}
