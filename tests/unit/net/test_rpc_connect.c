/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may connect, how many, and whom a client trusts.
 */
#include <grp.h>
#include <poll.h>

#include "tests/unit/net/rig.h"

enum { FOREIGN = 65534, LISTED = 65533, GROUP = 54321 };

/* Is the connection closed without a word, within the patience of a test? */
static bool is_closed(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char byte;

    return poll(&p, 1, RIG_PATIENCE_MS) == 1 && read(fd, &byte, 1) == 0;
}

/* Is it still open after a while, or did the server say its SETTINGS? */
static bool is_open(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char byte;

    return poll(&p, 1, 2000) == 0 || read(fd, &byte, 1) == 1;
}

struct somebody {
    uid_t uid;
    gid_t gid;
    gid_t other; /* a further group; 0: none */
};

static int connect_as(const char *path, const struct somebody *who)
{
    autoclose int fd = -1;

    if (setgroups(who->other ? 1 : 0, &who->other) < 0 || setgid(who->gid) < 0 ||
        setuid(who->uid) < 0)
        return 3;
    fd = raw_connect(path);
    if (fd < 0)
        return 2;
    return is_open(fd) ? 0 : 1;
}

static const struct {
    const char *says;
    struct somebody who;
    int want; /* 0: served, 1: closed */
} people[] = {
    { "a foreign uid is turned away", { FOREIGN, FOREIGN, 0 }, 1 },
    { "a listed uid is served", { LISTED, FOREIGN, 0 }, 0 },
    { "who has the group is served", { FOREIGN, GROUP, 0 }, 0 },
    { "so is who has it among others", { FOREIGN, FOREIGN, GROUP }, 0 },
    { "another group among others does not help", { FOREIGN, FOREIGN, GROUP + 1 }, 1 },
};

static void only_known_peers_are_served(void **state)
{
    autofree char *path = str_printf("%s/people.sock", rig.folder);
    uid_t listed[] = { LISTED };
    struct rpc_server *server = NULL;

    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can be somebody else */
    assert_int_equal(
        rig_serve(
            (struct rpc_server_config){
                .path = path, .mode = 0666, .uids = listed, .uid_count = 1, .group = GROUP },
            &server, NULL),
        0);
    listed[0] = FOREIGN; /* the server has a copy */
    assert_int_equal(chmod(rig.folder, 0711), 0);
    for (size_t i = 0; i < COUNT_OF(people); i++) {
        int status = 0;
        pid_t child = fork(); /* it makes system calls only */

        if (child == 0)
            _exit(connect_as(path, &people[i].who));
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != people[i].want)
            fail_msg("%s: %d", people[i].says, WEXITSTATUS(status));
    }
    rpc_server_free(server, 100);
}

/* How many are closed, once each has had a word or its end. */
static int closed_of(const int *fds, size_t count)
{
    int closed = 0;

    for (size_t i = 0; i < count; i++)
        closed += is_closed(fds[i]);
    return closed;
}

static void connections_have_a_ceiling_and_ended_ones_do_not_count(void **state)
{
    autofree char *path = str_printf("%s/few.sock", rig.folder);
    struct rpc_client *client = rpc_client_new(&(struct rpc_client_config){ .path = path });
    struct rpc_server *server = NULL;

    (void)state;
    assert_int_equal(
        rig_serve((struct rpc_server_config){ .path = path, .connections_max = 2 }, &server, NULL),
        0);
    for (int i = 0; i < 20; i++) {
        int fds[] = { raw_connect(path), raw_connect(path), raw_connect(path) };

        assert_in_range(closed_of(fds, COUNT_OF(fds)), 1, 3); /* the call before may count still */
        for (size_t n = 0; n < COUNT_OF(fds); n++)
            (void)close(fds[n]);
        for (int n = 0; ask_node_id(client, NULL, NULL) < 0; n++) {
            assert_in_range(n, 0, 1000); /* until the two ends are noticed */
            clock_sleep_ms(5);
        }
        rpc_client_free(client);
        client = rpc_client_new(&(struct rpc_client_config){ .path = path });
    }
    rpc_client_free(client);
    rpc_server_free(server, 100);
}

static void who_does_not_speak_http2_is_hung_up_on(void **state)
{
    autoclose int fd = raw_connect(rig.path);
    char buffer[4096];
    int64_t until = clock_mono_ms() + RIG_PATIENCE_MS;
    ssize_t got;

    (void)state;
    assert_int_equal(send(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, MSG_NOSIGNAL), 27);
    do {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        assert_int_equal(poll(&p, 1, RIG_PATIENCE_MS), 1);
        got = read(fd, buffer, sizeof(buffer));
    } while (got > 0 && clock_mono_ms() < until);
    assert_true(got <= 0);
    check_answer(rig.over_socket);
}

static int refuse_peer(void *arg, const struct rpc_peer *peer, struct error *err)
{
    *(uid_t *)arg = peer->uid;
    return error_set(err, CODE_PERMISSION_DENIED, "not this one");
}

static void a_server_is_judged_before_a_byte_is_sent(void **state)
{
    uid_t seen = 77777;
    struct rpc_client *client = rpc_client_new(&(struct rpc_client_config){
        .path = rig.path, .check_peer = refuse_peer, .check_arg = &seen });
    struct error err = { 0 };
    int before = rig_count(&rig.publishes);

    (void)state;
    assert_int_equal(ask(client, &(struct ask){ 0 }, &err), -1);
    assert_int_equal(err.code, CODE_PERMISSION_DENIED);
    assert_string_equal(err.msg, "not this one");
    assert_int_equal(seen, geteuid());
    assert_int_equal(rig_count(&rig.publishes), before);
    rpc_client_free(client);
}

static void nobody_there_is_unavailable_with_the_path(void **state)
{
    autofree char *none = str_printf("%s/none.sock", rig.folder);
    struct rpc_client *client = rpc_client_new(&(struct rpc_client_config){ .path = none });
    struct error err = { 0 };

    (void)state;
    assert_int_equal(ask(client, &(struct ask){ 0 }, &err), -1);
    assert_int_equal(err.code, CODE_UNAVAILABLE);
    assert_true(str_starts(err.msg, "connect "));
    assert_non_null(strstr(err.msg, none));
    rpc_client_free(client);
}

/* --- a server that hangs up --- */

struct rude {
    int listener;
    int accepted;
};

static void hang_up(void *arg)
{
    struct rude *rude = arg;
    struct pollfd p = { .fd = rude->listener, .events = POLLIN };

    while (poll(&p, 1, 1000) == 1) {
        autoclose int fd = accept4(rude->listener, NULL, NULL, SOCK_CLOEXEC);
        char preface[24];

        if (fd < 0)
            return;
        (void)!read(fd, preface, sizeof(preface));
        rude->accepted++;
    }
}

static void a_connection_that_breaks_is_tried_once_more(void **state)
{
    autofree char *path = str_printf("%s/rude.sock", rig.folder);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct work_pool *pool = work_pool_new(
        &(struct work_pool_config){ .name = "rude", .threads_max = 1, .queue_max = 1 });
    struct rpc_client *client = rpc_client_new(&(struct rpc_client_config){ .path = path });
    struct rude rude = { .listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    struct error err = { 0 };

    (void)state;
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    assert_int_equal(bind(rude.listener, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(rude.listener, 8), 0);
    assert_int_equal(work_submit(pool, hang_up, &rude, NULL), 0);
    assert_int_equal(ask(client, &(struct ask){ 0 }, &err), -1);
    assert_int_equal(err.code, CODE_UNAVAILABLE);
    work_pool_free(pool);
    assert_int_equal(rude.accepted, 2);
    (void)close(rude.listener);
    rpc_client_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_known_peers_are_served),
        cmocka_unit_test(connections_have_a_ceiling_and_ended_ones_do_not_count),
        cmocka_unit_test(who_does_not_speak_http2_is_hung_up_on),
        cmocka_unit_test(a_server_is_judged_before_a_byte_is_sent),
        cmocka_unit_test(nobody_there_is_unavailable_with_the_path),
        cmocka_unit_test(a_connection_that_breaks_is_tried_once_more),
    };

    return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
