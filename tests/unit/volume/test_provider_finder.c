/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "driver/volume/provider_finder.h"
#include "lib/base/fs.h"
#include "tests/check.h"

static char base[] = "/tmp/locket-finder-XXXXXX";
static char *first;
static char *second;
static struct provider_finder finder;

static void put_socket(const char *folder, const char *name)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s.sock", folder, name);
    (void)unlink(addr.sun_path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(chmod(addr.sun_path, 0600), 0);
}

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(base));
    first = str_printf("%s/first", base);
    second = str_printf("%s/second", base);
    assert_int_equal(mkdir(first, 0700) | mkdir(second, 0700), 0);
    finder = (struct provider_finder){
        .folders = { { first, false }, { second, true } },
        .count = 2,
    };
    return 0;
}

static int tear_down(void **state)
{
    int tmp autoclose = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    (void)!fs_remove_tree(tmp, strrchr(base, '/') + 1, NULL);
    free(first);
    free(second);
    return 0;
}

static void a_name_is_letters_digits_dashes_and_underscores(void **state)
{
    static const struct {
        const char *name;
        bool fine;
    } rows[] = {
        { "vault", true },
        { "A_b-9", true },
        { "", false },
        { "a/b", false },
        { "..", false },
        { "a b", false },
        { "a\nb", false },
        { "v\xc3\xa4ult", false },
        { "a23456789012345678901234567890", true },
        { "a234567890123456789012345678901", false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct error err = { 0 };

        if ((provider_name_check(rows[i].name, &err) == 0) != rows[i].fine)
            fail_msg("\"%s\"", rows[i].name);
        if (!rows[i].fine && (err.code != CODE_INVALID_ARGUMENT || strchr(err.msg, '\n')))
            fail_msg("\"%s\": %s", rows[i].name, err.msg);
    }
}

static void the_first_folder_that_has_the_socket_wins(void **state)
{
    autofree char *a = NULL;
    autofree char *b = NULL;

    (void)state;
    put_socket(second, "both");
    assert_int_equal(provider_find(&finder, "both", &a, NULL), 0);
    assert_true(str_starts(a, second));
    put_socket(first, "both");
    assert_int_equal(provider_find(&finder, "both", &b, NULL), 0);
    assert_true(str_starts(b, first));
}

static void a_missing_provider_is_told_in_upstreams_words(void **state)
{
    struct error err = { 0 };
    char *path = NULL;

    (void)state;
    assert_int_equal(provider_find(&finder, "none", &path, &err), -1);
    assert_int_equal(err.code, CODE_UNAVAILABLE);
    assert_non_null(strstr(err.msg, "provider not found: provider \"none\""));
    assert_null(path);
}

static void a_pinned_name_is_looked_for_nowhere_else(void **state)
{
    autofree char *pin = str_printf("pinned=%s", second);
    const char *pins[] = { "other=/x", pin };
    struct provider_finder pinned = finder;
    autofree char *path = NULL;
    struct error err = { 0 };

    (void)state;
    pinned.pins = pins;
    pinned.pin_count = 2;
    put_socket(first, "pinned");
    assert_int_equal(provider_find(&pinned, "pinned", &path, &err), -1);
    put_socket(second, "pinned");
    assert_int_equal(provider_find(&pinned, "pinned", &path, &err), 0);
    assert_true(str_starts(path, second));
}

static const struct {
    const char *says;
    bool in_first; /* a strict folder */
    mode_t socket_mode;
    mode_t folder_mode;
    bool passes;
    bool warns;
} peers[] = {
    { "private", true, 0600, 0700, true, false },
    { "readable by all", true, 0755, 0755, true, false },
    { "a socket that anybody may open", true, 0777, 0700, false, true },
    { "a folder that anybody may change", true, 0600, 0777, false, true },
    { "upstream's folder, open", false, 0777, 0777, true, true },
    { "upstream's folder, private", false, 0600, 0700, true, false },
};

static void what_others_could_replace_is_refused_or_reported(void **state)
{
    struct rpc_peer peer = { .uid = geteuid(), .gid = getegid() };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(peers); i++) {
        const char *folder = peers[i].in_first ? first : second;
        autofree char *path = str_printf("%s/peer.sock", folder);
        struct error err = { 0 };
        bool warned = false;
        int result;

        put_socket(folder, "peer");
        assert_int_equal(chmod(path, peers[i].socket_mode) | chmod(folder, peers[i].folder_mode),
                         0);
        result = provider_peer_check(&finder, path, &peer, &warned, &err);
        if ((result == 0) != peers[i].passes || warned != peers[i].warns)
            fail_msg("%s: %d %d %s", peers[i].says, result, warned, err.msg);
        if (result < 0)
            assert_int_equal(err.code, CODE_PERMISSION_DENIED);
        assert_int_equal(chmod(folder, 0700), 0);
    }
}

static void a_socket_of_somebody_else_than_the_peer_is_refused(void **state)
{
    struct rpc_peer peer = { .uid = 65532, .gid = 65532 };
    autofree char *path = str_printf("%s/foreign.sock", first);
    struct error err = { 0 };
    bool warned = false;

    (void)state;
    put_socket(first, "foreign");
    if (geteuid() != 0)
        skip(); /* only root can give a socket away */
    assert_int_equal(provider_peer_check(&finder, path, &peer, &warned, &err), 0); /* root's */
    assert_int_equal(chown(path, 65532, 65532), 0);
    assert_int_equal(provider_peer_check(&finder, path, &peer, &warned, &err), 0);
    assert_int_equal(chown(path, 1000, 1000), 0);
    assert_int_equal(provider_peer_check(&finder, path, &peer, &warned, &err), -1);
    assert_non_null(strstr(err.msg, "chown"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_letters_digits_dashes_and_underscores),
        cmocka_unit_test(the_first_folder_that_has_the_socket_wins),
        cmocka_unit_test(a_missing_provider_is_told_in_upstreams_words),
        cmocka_unit_test(a_pinned_name_is_looked_for_nowhere_else),
        cmocka_unit_test(what_others_could_replace_is_refused_or_reported),
        cmocka_unit_test(a_socket_of_somebody_else_than_the_peer_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
