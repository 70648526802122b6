/* SPDX-License-Identifier: Apache-2.0
 *
 * Which servers are awake: those that answer while all of their handlers are busy, and those that
 * have no room; not those that take a connection and do nothing with it.
 */
#include <poll.h>

#include "lib/net/rpc_probe.h"
#include "lib/net/rpc_socket.h"
#include "tests/unit/net/rig.h"

enum { ASIDES = 16 }; /* with their handlers, all threads of the rig's pool */

/* Until it is: how soon an answer comes is the machine's affair. */
static bool is_awake(const char *path)
{
    int64_t until = clock_mono_ms() + RIG_PATIENCE_MS;

    while (clock_mono_ms() < until) {
        int fd = rpc_probe_begin(path);

        assert_true(fd >= 0);
        clock_sleep_ms(20);
        if (rpc_probe_end(fd))
            return true;
    }
    return false;
}

static void a_server_whose_handlers_are_all_busy_is_awake(void **state)
{
    struct call_aside asides[ASIDES];
    struct cancel cancel;

    (void)state;
    assert_true(is_awake(rig.path));
    cancel_init(&cancel);
    for (int i = 0; i < ASIDES; i++) {
        asides[i] = (struct call_aside){ .client = rig.over_socket,
                                         .ask = { .target = "wait", .cancel = &cancel } };
        call_aside_start(&asides[i]);
    }
    assert_true(is_awake(rig.path));
    cancel_raise(&cancel);
    for (int i = 0; i < ASIDES; i++)
        rig_wait_for(&asides[i].ended, 1);
    cancel_done(&cancel);
}

static void a_server_that_has_no_room_is_awake(void **state)
{
    autofree char *path = str_printf("%s/full.sock", rig.folder);
    struct rpc_client *client = rpc_client_new(&(struct rpc_client_config){ .path = path });
    struct rpc_server *server = NULL;

    (void)state;
    assert_int_equal(
        rig_serve((struct rpc_server_config){ .path = path, .connections_max = 1 }, &server, NULL),
        0);
    check_answer(client);
    assert_true(is_awake(path));
    check_answer(client);
    rpc_client_free(client);
    rpc_server_free(server, 500);
}

/* --- servers that are none ----------------------------------------------------------------------
 */

static const struct {
    const char *says;
    const char *bytes; /* NULL: it does not even accept */
    size_t len;
    bool closes;
    bool awake;
} others[] = {
    { "it does not accept", NULL, 0, false, false },
    { "it accepts and is silent", "", 0, false, false },
    { "it sends its settings and stands still", "\0\0\0\4\0\0\0\0\0", 9, false, false },
    { "it asks for the same, and does not answer", "\0\0\10\6\0\0\0\0\0aliveyou", 17, false,
      false },
    { "it answers", "\0\0\0\4\0\0\0\0\0\0\0\10\6\1\0\0\0\0aliveyou", 26, false, true },
    { "it closes", "", 0, true, true },
};

static void one_that_does_not_answer_is_not(void **state)
{
    autofree char *path = str_printf("%s/other.sock", rig.folder);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        struct rpc_listener l;
        struct pollfd soon = { .events = POLLIN };
        int fd;
        int peer;

        assert_int_equal(rpc_listener_open(&l, path, 0600, NULL), 0);
        fd = rpc_probe_begin(path);
        assert_true(fd >= 0);
        peer = others[i].bytes ? accept(l.fd, NULL, NULL) : -1;
        if (others[i].len)
            assert_int_equal(send(peer, others[i].bytes, others[i].len, 0), others[i].len);
        if (others[i].closes)
            (void)close(peer);
        soon.fd = fd;
        assert_int_equal(poll(&soon, 1, 0), others[i].len || others[i].closes);
        if (rpc_probe_end(fd) != others[i].awake)
            fail_msg("%s: %s", others[i].says, others[i].awake ? "not awake" : "awake");
        if (peer >= 0 && !others[i].closes)
            (void)close(peer);
        rpc_listener_close(&l);
    }
}

static void nobody_is_not(void **state)
{
    autofree char *path = str_printf("%s/nobody.sock", rig.folder);

    (void)state;
    assert_int_equal(rpc_probe_begin(path), -1);
    assert_false(rpc_probe_end(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_whose_handlers_are_all_busy_is_awake),
        cmocka_unit_test(a_server_that_has_no_room_is_awake),
        cmocka_unit_test(one_that_does_not_answer_is_not),
        cmocka_unit_test(nobody_is_not),
    };

    return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
