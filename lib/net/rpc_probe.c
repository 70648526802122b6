/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/net/rpc_probe.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/cleanup.h"
#include "lib/net/rpc_socket.h"

/* The preface of a client, settings as they are by default, and a ping. */
static const char asked[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                            "\0\0\0\4\0\0\0\0\0"
                            "\0\0\10\6\0\0\0\0\0"
                            "aliveyou";
static const char answer[] = "\0\0\10\6\1\0\0\0\0"
                             "aliveyou";

enum { ANSWER_MAX = 4096 }; /* the server's settings come before it */

int rpc_probe_begin(const char *path)
{
    autoclose int fd = -1;

    if (rpc_socket_connect(path, &fd, NULL) < 0)
        return -1;
    /* One that has closed already is seen at the end. */
    (void)!send(fd, asked, sizeof(asked) - 1, MSG_NOSIGNAL);
    return take_fd(&fd);
}

bool rpc_probe_end(int begun)
{
    autoclose int fd = begun;
    char bytes[ANSWER_MAX];
    ssize_t len = fd < 0 ? 0 : recv(fd, bytes, sizeof(bytes), 0);

    if (fd < 0)
        return false;
    if (len <= 0)
        return len == 0 || errno == ECONNRESET;
    return memmem(bytes, (size_t)len, answer, sizeof(answer) - 1) != NULL;
}
