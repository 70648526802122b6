/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/base/fs.h"
#include "lib/net/rpc_socket.h"
#include "tests/check.h"

static char folder[] = "/tmp/locket-socket-XXXXXX";
static char *path;

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    path = str_printf("%s/s.sock", folder);
    return 0;
}

static int tear_down(void **state)
{
    int tmp autoclose = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    (void)!fs_remove_tree(tmp, strrchr(folder, '/') + 1, NULL);
    free(path);
    return 0;
}

static void a_live_socket_is_never_stolen(void **state)
{
    struct rpc_listener first;
    struct rpc_listener second;
    struct error err = { 0 };
    autoclose int fd = -1;

    (void)state;
    assert_int_equal(rpc_listener_open(&first, path, 0600, NULL), 0);
    assert_int_equal(rpc_listener_open(&second, path, 0600, &err), -1);
    assert_int_equal(err.code, CODE_FAILED_PRECONDITION);
    assert_non_null(strstr(err.msg, path));
    rpc_listener_close(&second);
    assert_int_equal(rpc_socket_connect(path, &fd, NULL), 0); /* the first is still reached */
    rpc_listener_close(&first);
    assert_int_equal(access(path, F_OK), -1);
}

static void put_stale(const char *at)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", at);
    assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
}

static void a_stale_socket_is_replaced_with_its_mode(void **state)
{
    struct rpc_listener l;
    struct stat st;

    (void)state;
    put_stale(path);
    assert_int_equal(rpc_listener_open(&l, path, 0640, NULL), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    rpc_listener_close(&l);
}

/* A server that is too busy to accept answers a probe with EAGAIN: it lives. */
static void a_server_too_busy_to_accept_is_not_taken_for_dead(void **state)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    autoclose int busy = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    autoclose int first = -1;
    struct rpc_listener l;
    struct error err = { 0 };

    (void)state;
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    assert_int_equal(bind(busy, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(busy, 0), 0);
    assert_int_equal(rpc_socket_connect(path, &first, NULL), 0); /* the queue is full */
    assert_int_equal(rpc_listener_open(&l, path, 0600, &err), -1);
    assert_int_equal(err.code, CODE_FAILED_PRECONDITION);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(path), 0);
}

static void what_is_no_socket_is_left_alone(void **state)
{
    struct rpc_listener l;
    struct error err = { 0 };

    (void)state;
    (void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(rpc_listener_open(&l, path, 0600, &err), -1);
    assert_int_equal(err.code, CODE_FAILED_PRECONDITION);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(path), 0);
}

static void a_path_too_long_for_a_socket_is_told(void **state)
{
    char longer[200];
    struct rpc_listener l;
    struct error err = { 0 };

    (void)state;
    memset(longer, 'a', sizeof(longer));
    longer[0] = '/';
    longer[150] = '\0';
    assert_int_equal(rpc_listener_open(&l, longer, 0600, &err), -1);
    assert_int_equal(err.code, CODE_FAILED_PRECONDITION);
    assert_non_null(strstr(err.msg, "107"));
}

static void the_longest_path_that_a_socket_can_have_is_served(void **state)
{
    static const char ends[] = { 'x', '~', 'y' };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        bool over = ends[i] == 'y';
        char longest[108];
        size_t folder_len = strlen(folder);
        autoclose int fd = -1;
        struct rpc_listener l;
        struct error err = { 0 };

        memset(longest, 'x', sizeof(longest));
        memcpy(longest, folder, folder_len);
        longest[folder_len] = '/';
        longest[106] = ends[i];
        longest[107] = '\0';
        if ((over ? rpc_listener_take_over : rpc_listener_open)(&l, longest, 0600, &err) < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(rpc_socket_connect(longest, &fd, NULL), 0);
        rpc_listener_close(&l);
        assert_int_equal(access(longest, F_OK), -1);
    }
}

/* Whatever the umask is, and with no moment of another mode. */
static void the_mode_does_not_depend_on_the_umask(void **state)
{
    static const mode_t masks[] = { 0, 022, 077, 0777 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(masks); i++) {
        mode_t old = umask(masks[i]);
        struct rpc_listener l;
        struct stat st;
        int result = rpc_listener_open(&l, path, 0660, NULL);

        (void)umask(old);
        assert_int_equal(result, 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0660);
        rpc_listener_close(&l);
    }
}

static void a_socket_that_is_not_ours_any_more_is_not_unlinked(void **state)
{
    struct rpc_listener l;

    (void)state;
    assert_int_equal(rpc_listener_open(&l, path, 0600, NULL), 0);
    assert_int_equal(unlink(path), 0);
    put_stale(path); /* somebody else's now */
    rpc_listener_close(&l);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(path), 0);
}

static void a_take_over_replaces_a_live_socket_and_leaves_nothing_aside(void **state)
{
    autofree char *hidden = str_printf("%s/.s.sock", folder);
    struct rpc_listener old;
    struct rpc_listener next;
    struct rpc_listener last;

    (void)state;
    put_stale(hidden); /* of a start that was cut */
    assert_int_equal(rpc_listener_open(&old, path, 0600, NULL), 0);
    assert_int_equal(rpc_listener_take_over(&next, path, 0600, NULL), 0);
    assert_int_equal(rpc_listener_take_over(&last, path, 0600, NULL), 0); /* of itself, too */
    assert_int_equal(access(hidden, F_OK), -1);
    assert_false(rpc_listener_is_found(&old));
    assert_false(rpc_listener_is_found(&next));
    assert_true(rpc_listener_is_found(&last));
    rpc_listener_close(&old);
    rpc_listener_close(&next);
    assert_true(rpc_listener_is_found(&last));
    rpc_listener_close(&last);
    assert_int_equal(access(path, F_OK), -1);
}

static void a_take_over_leaves_what_is_no_socket_alone(void **state)
{
    struct rpc_listener l;
    struct error err = { 0 };

    (void)state;
    (void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(rpc_listener_take_over(&l, path, 0600, &err), -1);
    assert_int_equal(err.code, CODE_FAILED_PRECONDITION);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(path), 0);
}

static size_t names_in_folder(void)
{
    DIR *dir = opendir(folder);
    size_t count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count - 2; /* . and .. */
}

static void an_orderly_end_and_a_failed_start_leave_nothing_in_the_folder(void **state)
{
    struct rpc_listener l;

    (void)state;
    assert_int_equal(rpc_listener_open(&l, path, 0600, NULL), 0);
    assert_int_equal(names_in_folder(), 2); /* the socket, and the lock that keeps others away */
    rpc_listener_close(&l);
    assert_int_equal(names_in_folder(), 0);
    (void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(rpc_listener_open(&l, path, 0600, NULL), -1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(names_in_folder(), 0);
}

static void a_start_that_is_refused_leaves_the_others_lock(void **state)
{
    autofree char *lock = str_printf("%s.lock", path);
    struct rpc_listener first;
    struct rpc_listener second;
    struct error err = { 0 };

    (void)state;
    assert_int_equal(rpc_listener_open(&first, path, 0600, NULL), 0);
    assert_int_equal(unlink(path), 0); /* so that the lock alone tells of the first */
    assert_int_equal(rpc_listener_open(&second, path, 0600, &err), -1);
    assert_non_null(strstr(err.msg, "served by a living process"));
    assert_int_equal(access(lock, F_OK), 0);
    rpc_listener_close(&first);
    assert_int_equal(names_in_folder(), 0);
}

enum { STARTERS = 4, SERVES = 50 };
static atomic_int serving;
static atomic_int together;

static void *serve_often(void *arg)
{
    for (int left = SERVES; left > 0;) {
        struct rpc_listener l;

        if (rpc_listener_open(&l, path, 0600, NULL) < 0)
            continue;
        left--;
        if (atomic_fetch_add(&serving, 1) > 0)
            atomic_fetch_add(&together, 1);
        (void)sched_yield();
        atomic_fetch_sub(&serving, 1);
        rpc_listener_close(&l);
    }
    return arg;
}

static void of_many_that_start_and_end_at_once_one_serves_at_a_time(void **state)
{
    pthread_t threads[STARTERS];

    (void)state;
    for (size_t i = 0; i < STARTERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, serve_often, NULL), 0);
    for (size_t i = 0; i < STARTERS; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&together), 0);
    assert_int_equal(names_in_folder(), 0);
}

static void the_peer_is_who_connected(void **state)
{
    struct rpc_peer peer = { 0 };
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(rpc_peer_of(pair[0], &peer, NULL), 0);
    assert_int_equal(peer.uid, geteuid());
    assert_int_equal(peer.pid, getpid());
    (void)close(pair[0]);
    (void)close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_live_socket_is_never_stolen),
        cmocka_unit_test(a_stale_socket_is_replaced_with_its_mode),
        cmocka_unit_test(a_server_too_busy_to_accept_is_not_taken_for_dead),
        cmocka_unit_test(the_longest_path_that_a_socket_can_have_is_served),
        cmocka_unit_test(the_mode_does_not_depend_on_the_umask),
        cmocka_unit_test(what_is_no_socket_is_left_alone),
        cmocka_unit_test(a_path_too_long_for_a_socket_is_told),
        cmocka_unit_test(a_socket_that_is_not_ours_any_more_is_not_unlinked),
        cmocka_unit_test(a_take_over_replaces_a_live_socket_and_leaves_nothing_aside),
        cmocka_unit_test(a_take_over_leaves_what_is_no_socket_alone),
        cmocka_unit_test(an_orderly_end_and_a_failed_start_leave_nothing_in_the_folder),
        cmocka_unit_test(a_start_that_is_refused_leaves_the_others_lock),
        cmocka_unit_test(of_many_that_start_and_end_at_once_one_serves_at_a_time),
        cmocka_unit_test(the_peer_is_who_connected),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
