/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "driver/serve/registration.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/net/rpc_client.h"
#include "lib/net/rpc_server.h"
#include "registration/registration.pb-c.h"
#include "tests/check.h"
/* Time stands still but for advance(); the thread's rounds are counted. */
/* WRAP: clock_mono_ms clock_mono_until poll inotify_init1 */

#define NAME "secrets-store.csi.k8s.io"
#define ENDPOINT "/var/lib/kubelet/plugins/csi-secrets-store/csi.sock"

enum { PATIENCE_MS = 10000, HOUR_MS = 3600000 };

static char *folder;
static char *path;
static char *hidden;
static struct registration *registration;
static int64_t now_ms; /* the program's time; real time plays no part in it */
static int rounds;     /* how often the registration's thread has begun to wait */
static bool no_watch;

int64_t __real_clock_mono_ms(void);
struct timespec __real_clock_mono_until(int64_t mono_ms);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __real_inotify_init1(int flags);
int64_t __wrap_clock_mono_ms(void);
struct timespec __wrap_clock_mono_until(int64_t mono_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_inotify_init1(int flags);

int64_t __wrap_clock_mono_ms(void)
{
    return __atomic_load_n(&now_ms, __ATOMIC_ACQUIRE);
}

struct timespec __wrap_clock_mono_until(int64_t mono_ms)
{
    int64_t from_now = mono_ms - __atomic_load_n(&now_ms, __ATOMIC_ACQUIRE);

    return __real_clock_mono_until(__real_clock_mono_ms() + from_now);
}

/* The registration's thread waits in the program's time. */
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    int64_t until = __wrap_clock_mono_ms() + timeout_ms;
    char name[16] = "";
    int got = 0;

    (void)pthread_getname_np(pthread_self(), name, sizeof(name));
    if (strcmp(name, "registration") != 0)
        return __real_poll(fds, count, timeout_ms);
    (void)__atomic_add_fetch(&rounds, 1, __ATOMIC_ACQ_REL);
    if (timeout_ms < 0)
        return __real_poll(fds, count, timeout_ms);
    do
        got = __real_poll(fds, count, 1);
    while (got == 0 && __wrap_clock_mono_ms() < until);
    return got;
}

int __wrap_inotify_init1(int flags)
{
    if (!no_watch)
        return __real_inotify_init1(flags);
    errno = EMFILE;
    return -1;
}

/* --- the folder, as kubelet and others meet it --- */

static ino_t inode(void)
{
    struct stat st;

    return lstat(path, &st) == 0 ? st.st_ino : 0;
}

static void wait_for_round(int before)
{
    int64_t until = __real_clock_mono_ms() + PATIENCE_MS;

    while (__atomic_load_n(&rounds, __ATOMIC_ACQUIRE) <= before) {
        clock_sleep_ms(1);
        if (__real_clock_mono_ms() > until)
            fail_msg("the thread does not look at its folder");
    }
}

/* Has the thread look at its folder and at the clock, twice: once may have begun before. */
static void nudge(void)
{
    autofree char *other = str_printf("%s/.nudge", folder);

    for (int i = 0; i < 2; i++) {
        int before = __atomic_load_n(&rounds, __ATOMIC_ACQUIRE);

        (void)close(open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        assert_int_equal(unlink(other), 0);
        wait_for_round(before);
    }
}

static void advance(int64_t ms)
{
    (void)__atomic_add_fetch(&now_ms, ms, __ATOMIC_ACQ_REL);
    nudge();
}

/* Lets time pass until a socket that is not this one is in the place; how much of it. */
static int64_t wait_for_another(ino_t than)
{
    int64_t ms = 0;

    for (; inode() == 0 || inode() == than; ms++) {
        if (ms > PATIENCE_MS)
            fail_msg("no other socket came");
        (void)__atomic_add_fetch(&now_ms, 1, __ATOMIC_ACQ_REL);
        clock_sleep_ms(1);
    }
    return ms;
}

/* After so long it is made anew, and not before. */
static void expect_anew_after(int64_t ms)
{
    ino_t before = inode();

    nudge();
    advance(ms - 1);
    assert_true(inode() == before);
    advance(1);
    assert_true(inode() != before && inode() != 0);
}

static void expect_to_stay_for(int64_t ms)
{
    ino_t before = inode();

    nudge();
    advance(ms);
    assert_true(inode() == before && before != 0);
}

/* Another registrar: unlinks and binds by path. */
static ino_t bind_over(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    autofree char *aside = str_printf("%s/.other", folder);
    struct stat st;

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", aside);
    assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(lstat(aside, &st), 0);
    assert_int_equal(rename(aside, path), 0);
    return st.st_ino;
}

/* --- kubelet --- */

static void call(const char *method, const ProtobufCMessage *in, ProtobufCMessage **ret)
{
    struct rpc_client *client = rpc_client_new(&(struct rpc_client_config){ .path = path });
    struct rpc_request request = { .service = &pluginregistration__registration__descriptor,
                                   .method = method,
                                   .in = in };
    struct error err = { 0 };

    if (rpc_client_call(client, &request, ret, &err) < 0)
        fail_msg("%s: %s", method, err.msg);
    rpc_client_free(client);
}

static Pluginregistration__PluginInfo *get_info(void)
{
    Pluginregistration__InfoRequest in = PLUGINREGISTRATION__INFO_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;

    call("GetInfo", &in.base, &reply);
    return (Pluginregistration__PluginInfo *)reply;
}

static void ask(void)
{
    rpc_reply_free((ProtobufCMessage *)get_info());
}

static void tell(bool registered)
{
    Pluginregistration__RegistrationStatus in = PLUGINREGISTRATION__REGISTRATION_STATUS__INIT;
    ProtobufCMessage *reply = NULL;

    in.plugin_registered = registered;
    in.error = (char *)(registered ? "" : "RegisterPlugin error -- plugin registration failed");
    call("NotifyRegistrationStatus", &in.base, &reply);
    rpc_reply_free(reply);
}

/* --- */

static void start(void)
{
    registration = registration_new(&(struct registration_config){
        .folder = folder, .driver_name = NAME, .endpoint = ENDPOINT });
    registration_start(registration);
}

static int set_up(void **state)
{
    char made[] = "/tmp/locket-reg-XXXXXX";

    (void)state;
    assert_non_null(mkdtemp(made));
    folder = xstrdup(made);
    path = str_printf("%s/" NAME "-reg.sock", folder);
    hidden = str_printf("%s/." NAME "-reg.sock", folder);
    now_ms = 1000000;
    no_watch = false;
    rounds = 0;
    return 0;
}

static int set_up_started(void **state)
{

    (void)set_up(state);
    start();
    wait_for_round(0);
    return inode() == 0; /* no time has passed since its making */
}

static int tear_down(void **state)
{
    int tmp autoclose = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    registration_free(take(registration));
    (void)!fs_remove_tree(tmp, strrchr(folder, '/') + 1, NULL);
    free(folder);
    free(path);
    free(hidden);
    return 0;
}

static void kubelet_is_told_type_name_endpoint_and_version(void **state)
{
    Pluginregistration__PluginInfo *info = get_info();

    (void)state;
    assert_string_equal(info->type, "CSIPlugin");
    assert_string_equal(info->name, NAME);
    assert_string_equal(info->endpoint, ENDPOINT);
    assert_int_equal(info->n_supported_versions, 1);
    assert_string_equal(info->supported_versions[0], "1.0.0");
    rpc_reply_free((ProtobufCMessage *)info);
}

/* Kubelet leaves names alone that begin with a dot, and dials every other socket that it sees. */
static void a_watcher_sees_one_name_appear_by_rename(void **state)
{
    _Alignas(struct inotify_event) char events[4096];
    autoclose int fd = __real_inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    const struct inotify_event *event;
    uint32_t seen[] = { 0, 0 }; /* of the stale one, and of ours */
    int count = 0;
    ssize_t got;

    (void)state;
    assert_true(inotify_add_watch(fd, folder, IN_ALL_EVENTS) > 0);
    (void)bind_over(); /* as it lies there after a reboot */
    assert_true(read(fd, events, sizeof(events)) > 0);
    start();
    (void)wait_for_another(0);
    wait_for_round(0);
    got = read(fd, events, sizeof(events));
    assert_true(got > 0);
    for (const char *at = events; at < events + got; at += sizeof(*event) + event->len) {
        event = (const void *)at;
        if (event->len == 0 || event->name[0] == '.')
            continue;
        assert_string_equal(event->name, NAME "-reg.sock");
        assert_in_range(count, 0, 1);
        seen[count++] = event->mask;
    }
    assert_int_equal(seen[0], IN_DELETE);
    assert_int_equal(seen[1], IN_MOVED_TO);
    assert_int_equal(access(hidden, F_OK), -1);
    ask();
}

/* So that kubelet may take leave of it while the driver that follows still recovers. */
static void what_a_killed_driver_left_is_gone_before_a_new_one_serves(void **state)
{
    (void)state;
    (void)bind_over();
    registration = registration_new(&(struct registration_config){
        .folder = folder, .driver_name = NAME, .endpoint = ENDPOINT });
    assert_int_equal(inode(), 0);
}

static void one_that_is_not_begun_leaves_a_living_registrar_alone(void **state)
{
    ino_t before = inode();
    struct registration *other = registration_new(&(struct registration_config){
        .folder = folder, .driver_name = NAME, .endpoint = ENDPOINT });

    (void)state;
    assert_true(inode() == before && before != 0);
    registration_free(other);
    assert_true(inode() == before);
    ask();
}

static void a_socket_unlinked_by_path_is_back_within_a_second(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        ino_t before = inode();

        assert_int_equal(unlink(path), 0);
        assert_in_range(wait_for_another(before), 50, 999);
        ask();
    }
}

static void another_registrars_socket_is_replaced_within_a_second(void **state)
{
    (void)state;
    assert_in_range(wait_for_another(bind_over()), 50, 999);
    ask();
}

static void without_a_watch_it_is_back_within_a_second_too(void **state)
{
    ino_t before;

    (void)state;
    no_watch = true;
    start();
    (void)wait_for_another(0);
    before = inode();
    assert_int_equal(unlink(path), 0);
    assert_in_range(wait_for_another(before), 50, 999);
}

static void after_a_refusal_it_is_made_anew_later_and_later(void **state)
{
    static const int64_t after_s[] = { 1, 2, 4, 8, 16, 32, 60, 60 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(after_s); i++) {
        ask();
        tell(false);
        expect_anew_after(after_s[i] * MS_PER_S);
    }
    ask();
    tell(true);
    tell(false); /* the count begins anew after a success */
    expect_anew_after(1000);
}

/* Kubelet does so when it does not like what GetInfo said. */
static void a_repeated_refusal_does_not_put_the_making_off(void **state)
{
    (void)state;
    tell(false);
    expect_to_stay_for(400);
    tell(false);
    expect_anew_after(600);
}

static void a_success_after_a_refusal_ends_the_wait(void **state)
{
    (void)state;
    tell(false);
    tell(true);
    expect_to_stay_for(HOUR_MS);
}

static void a_socket_that_nobody_asks_is_made_anew_each_minute(void **state)
{
    (void)state;
    expect_anew_after(60000);
    expect_anew_after(60000);
    expect_to_stay_for(59000);
    ask();
    expect_to_stay_for(60000);
}

/* NotifyRegistrationStatus may be lost: older kubelets take the driver as registered then. */
static void a_socket_whose_registration_nobody_confirms_is_made_anew(void **state)
{
    (void)state;
    ask();
    expect_anew_after(150000);
    ask();
    tell(true);
    expect_to_stay_for(HOUR_MS);
}

static void once_registered_a_socket_that_nobody_asks_stays(void **state)
{
    (void)state;
    ask();
    tell(true);
    expect_to_stay_for(HOUR_MS);
    assert_int_equal(unlink(path), 0); /* it is not registered any more: kubelet saw that too */
    expect_anew_after(100);
    expect_anew_after(60000);
}

static void two_who_fight_for_the_path_do_not_spin(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        (void)wait_for_another(bind_over());
        nudge();
    }
    for (int i = 0; i < 3; i++) {
        (void)bind_over();
        expect_anew_after(500);
    }
    advance(10000); /* it has lasted: nobody fights any more */
    (void)bind_over();
    expect_anew_after(100);
}

static void expect_told(struct registration *r, bool registered, const char *words)
{
    char text[REGISTRATION_TEXT_MAX];

    assert_int_equal(registration_tell(r, text), registered);
    if (strncmp(text, words, strlen(words)) != 0)
        fail_msg("told \"%s\", not \"%s\"", text, words);
}

static void operators_are_told_how_far_it_is(void **state)
{
    (void)state;
    expect_told(NULL, false, "off");
    expect_told(registration, false, "kubelet has not asked");
    ask();
    expect_told(registration, false, "kubelet has asked");
    tell(false);
    expect_told(registration, false, "refused: RegisterPlugin error");
    expect_anew_after(1000);
    expect_told(registration, false, "refused: RegisterPlugin error");
    tell(true);
    expect_told(registration, true, "registered");
    assert_int_equal(unlink(path), 0);
    nudge();
    expect_told(registration, false, "kubelet has");
}

static void one_that_was_never_begun_ends_without_a_trace(void **state)
{
    (void)state;
    registration = registration_new(&(struct registration_config){
        .folder = folder, .driver_name = NAME, .endpoint = ENDPOINT });
    registration_free(take(registration));
    assert_int_equal(rmdir(folder), 0);
}

static void a_clean_end_leaves_nothing_of_ours(void **state)
{
    (void)state;
    registration_free(take(registration));
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(hidden, F_OK), -1);
    assert_int_equal(rmdir(folder), 0);
}

static void a_clean_end_leaves_anothers_socket(void **state)
{
    ino_t rivals = 0;
    (void)state;
    for (int i = 0; i < 5; i++) {
        (void)wait_for_another(bind_over());
        nudge();
    }
    rivals = bind_over(); /* which is left there for 0.5 s */
    nudge();
    registration_free(take(registration));
    assert_true(inode() == rivals);
}

static void a_folder_that_is_not_there_is_waited_for(void **state)
{
    (void)state;
    assert_int_equal(rmdir(folder), 0);
    start();
    wait_for_round(0);
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_in_range(wait_for_another(0), 900, 1999);
    ask();
}

static void a_folder_made_anew_is_registered_in_again(void **state)
{
    ino_t before;

    (void)state;
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(mkdir(folder, 0755), 0);
    (void)wait_for_another(0);
    ask();
    before = inode();
    assert_int_equal(unlink(path), 0); /* the new folder is watched, too */
    assert_in_range(wait_for_another(before), 50, 999);
}

static void what_is_no_socket_is_left_alone(void **state)
{
    struct stat st;

    (void)state;
    (void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    start();
    wait_for_round(0);
    advance(HOUR_MS);
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(unlink(path), 0);
    advance(HOUR_MS);
    ask();
}

static int group_set_up(void **state)
{
    (void)state;
    rpc_process_setup();
    return 0;
}

static int group_tear_down(void **state)
{
    (void)state;
    registration_free(NULL);
    rpc_process_done();
    return 0;
}

#define STARTED(test_) cmocka_unit_test_setup_teardown(test_, set_up_started, tear_down)
#define BEFORE(test_) cmocka_unit_test_setup_teardown(test_, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STARTED(kubelet_is_told_type_name_endpoint_and_version),
        BEFORE(a_watcher_sees_one_name_appear_by_rename),
        BEFORE(what_a_killed_driver_left_is_gone_before_a_new_one_serves),
        STARTED(one_that_is_not_begun_leaves_a_living_registrar_alone),
        STARTED(a_socket_unlinked_by_path_is_back_within_a_second),
        STARTED(another_registrars_socket_is_replaced_within_a_second),
        BEFORE(without_a_watch_it_is_back_within_a_second_too),
        STARTED(after_a_refusal_it_is_made_anew_later_and_later),
        STARTED(a_repeated_refusal_does_not_put_the_making_off),
        STARTED(a_success_after_a_refusal_ends_the_wait),
        STARTED(a_socket_that_nobody_asks_is_made_anew_each_minute),
        STARTED(a_socket_whose_registration_nobody_confirms_is_made_anew),
        STARTED(once_registered_a_socket_that_nobody_asks_stays),
        STARTED(two_who_fight_for_the_path_do_not_spin),
        STARTED(operators_are_told_how_far_it_is),
        BEFORE(one_that_was_never_begun_ends_without_a_trace),
        STARTED(a_clean_end_leaves_nothing_of_ours),
        STARTED(a_clean_end_leaves_anothers_socket),
        BEFORE(a_folder_that_is_not_there_is_waited_for),
        STARTED(a_folder_made_anew_is_registered_in_again),
        BEFORE(what_is_no_socket_is_left_alone),
    };

    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
