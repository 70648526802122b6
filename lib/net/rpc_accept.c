/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/net/rpc_accept.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/rpc_grpc.h"
#include "lib/net/rpc_socket.h"

/* Places in fds; the connections follow. */
enum { AT_LISTENER, AT_STOP, AT_CONNECTIONS };

struct rpc_acceptor {
    struct rpc_accept_config config;
    char *path;
    uid_t *uids;
    int stop_fd; /* eventfd */
    pthread_t thread;
    struct pollfd *fds; /* the thread's own, like count */
    size_t count;
};

static bool may_connect(const struct rpc_acceptor *a, int fd, const struct rpc_peer *peer)
{
    if (peer->uid == 0 || peer->uid == geteuid())
        return true;
    for (size_t i = 0; i < a->config.uid_count; i++)
        if (a->uids[i] == peer->uid)
            return true;
    return a->config.group && rpc_peer_has_group(fd, peer, a->config.group);
}

/* A copy of the descriptor tells when the connection has ended: its user, who has it for good,
 * does not. Only the hang-up is waited for, so traffic does not wake this thread. */
static bool watch(struct rpc_acceptor *a, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (copy < 0)
        return false;
    a->fds[a->count++] = (struct pollfd){ .fd = copy, .events = POLLRDHUP };
    return true;
}

static void forget_ended(struct rpc_acceptor *a)
{
    for (size_t i = AT_CONNECTIONS; i < a->count;) {
        if (!a->fds[i].revents) {
            i++;
            continue;
        }
        (void)close(a->fds[i].fd);
        a->fds[i] = a->fds[--a->count];
    }
}

static void refuse(const struct rpc_acceptor *a, const char *why, const struct rpc_peer *peer)
{
    log_event(LOG_WARN, why, WITH_TEXT(KEY_SOCKET, a->path), WITH_NUMBER(KEY_PEER, peer->uid));
}

static void admit(struct rpc_acceptor *a, int accepted)
{
    autoclose int fd = accepted;
    struct rpc_peer peer = { .uid = (uid_t)-1 };

    if (rpc_peer_of(fd, &peer, NULL) < 0 || !may_connect(a, fd, &peer))
        refuse(a, "connection refused: the peer's uid is not allowed", &peer);
    else if (a->count - AT_CONNECTIONS >= a->config.connections_max || !watch(a, fd))
        refuse(a, "connection refused: too many are open", &peer);
    else
        a->config.admit(a->config.arg, take_fd(&fd));
}

static void accept_one(struct rpc_acceptor *a)
{
    int fd = accept4(a->config.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0)
        admit(a, fd);
    else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
        clock_sleep_ms(10); /* the queue stays: calmer than spinning on it */
}

static void *run(void *arg)
{
    struct rpc_acceptor *a = arg;

    (void)pthread_setname_np(pthread_self(), "rpc-acceptor");
    for (;;) {
        if (poll(a->fds, a->count, -1) < 0)
            continue; /* EINTR */
        if (a->fds[AT_STOP].revents)
            return NULL;
        forget_ended(a);
        if (a->fds[AT_LISTENER].revents)
            accept_one(a);
    }
}

struct rpc_acceptor *rpc_acceptor_start(const struct rpc_accept_config *config)
{
    struct rpc_acceptor *a = xcalloc(1, sizeof(*a));

    a->config = *config;
    a->path = xstrdup(config->path);
    a->uids = xmemdup(config->uids, config->uid_count * sizeof(uid_t));
    a->stop_fd = eventfd(0, EFD_CLOEXEC);
    a->fds = xcalloc(AT_CONNECTIONS + config->connections_max, sizeof(*a->fds));
    a->fds[AT_LISTENER] = (struct pollfd){ .fd = config->listener, .events = POLLIN };
    a->fds[AT_STOP] = (struct pollfd){ .fd = a->stop_fd, .events = POLLIN };
    a->count = AT_CONNECTIONS;
    rpc_thread_start(&a->thread, run, a);
    return a;
}

void rpc_acceptor_stop(struct rpc_acceptor *a)
{
    if (!a)
        return;
    (void)!eventfd_write(a->stop_fd, 1);
    (void)pthread_join(a->thread, NULL);
    for (size_t i = AT_CONNECTIONS; i < a->count; i++)
        (void)close(a->fds[i].fd);
    (void)close(a->stop_fd);
    free(a->fds);
    free(a->uids);
    free(a->path);
    free(a);
}
