/* SPDX-License-Identifier: Apache-2.0
 *
 * Who answers at a provider's socket is looked at with each connection, and another user is told
 * of.
 */
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "driver/volume/provider_client.h"
#include "lib/base/clock.h"
#include "tests/unit/volume/rig.h"

enum { PATIENCE_MS = 20000, SOMEBODY = 65532 };

static struct {
    int count;
    uid_t uid;
    char provider[32];
} told; /* on the thread of a fetch, which is this one or waited for */

static void peer_changed(void *arg, const char *provider, uid_t uid)
{
    (void)arg;
    (void)__atomic_add_fetch(&told.count, 1, __ATOMIC_SEQ_CST);
    told.uid = uid;
    (void)snprintf(told.provider, sizeof(told.provider), "%s", provider);
}

/* Somebody who takes connections and says nothing. */
struct silent {
    int fd;
    pthread_t thread;
};

static void *hang_up(void *arg)
{
    const struct silent *s = arg;
    int one;

    while ((one = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        (void)close(one);
    return NULL;
}

/* The kernel keeps for whoever connects who it was that called listen. */
static void serve_as(struct silent *s, const char *path, uid_t uid)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    (void)unlink(path);
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(chown(path, uid, uid), 0);
    assert_int_equal(seteuid(uid), 0);
    assert_int_equal(listen(s->fd, 8), 0);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, hang_up, s), 0);
}

static void end(struct silent *s)
{
    (void)shutdown(s->fd, SHUT_RDWR);
    (void)pthread_join(s->thread, NULL);
    (void)close(s->fd);
}

static void fetch(struct source *source)
{
    struct pairs none autopairs = { 0 };
    struct credentials credentials = { 0 };
    struct fileset files autofileset = { 0 };
    struct source_request req = { .provider = "good",
                                  .volume_id = "csi-1",
                                  .target = "/nowhere",
                                  .attributes = &none,
                                  .credentials = &credentials,
                                  .timeout_ms = 500 };

    (void)!source->ops->fetch(source, &req, &files, NULL);
}

static void another_user_at_the_socket_is_told_of_and_the_same_is_not(void **state)
{
    struct folder *f = *state;
    autofree char *path = str_printf("%s/good.sock", f->path);
    struct provider_client_config config = { .inflight_max = 4,
                                             .reply_bytes_max = 1 << 20,
                                             .own_folder = "/nowhere",
                                             .peer_changed = peer_changed };
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    struct source *source;
    struct silent s;

    if (geteuid() != 0 || seteuid(SOMEBODY) != 0)
        skip();
    assert_int_equal(seteuid(0), 0);
    config.finder.folders[0].path = f->path;
    config.finder.count = 1;
    source = provider_client_new(&config);
    for (size_t i = 0; i < 2; i++) {
        serve_as(&s, path, 0);
        fetch(source);
        fetch(source);
        end(&s);
    }
    assert_int_equal(told.count, 0);
    serve_as(&s, path, SOMEBODY);
    while (!__atomic_load_n(&told.count, __ATOMIC_SEQ_CST) && clock_mono_ms() < until)
        fetch(source);
    fetch(source);
    end(&s);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.uid, SOMEBODY);
    assert_string_equal(told.provider, "good");
    source->ops->free(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_folder(another_user_at_the_socket_is_told_of_and_the_same_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
