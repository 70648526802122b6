/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/serve/registration.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"
#include "lib/net/rpc_server.h"
#include "lib/net/work.h"
#include "registration/registration.pb-c.h"

enum {
    UNASKED_MS = 60000, /* kubelet asks within a second; one that did not has missed the socket */
    UNCONFIRMED_MS = 150000, /* kubelet gives NodeGetInfo 120 s, and its own last word 5 s */
    BACKOFF_MIN_MS = 1000,
    BACKOFF_MAX_MS = 60000,
    LOST_WAIT_MS = 100,      /* one who unlinks binds at once: else our haste would make it fail */
    CONTESTED_MS = 10000,    /* a socket that was taken away sooner has a rival */
    CONTESTED_QUICK = 5,     /* so many times in a row it is waited for so little, */
    CONTESTED_WAIT_MS = 500, /* then so long: still within the second that operators are told */
    CONTESTED_TOLD = 64,     /* and of so many one is logged */
    UNWATCHED_MS = 500,      /* how often to look where the folder cannot be watched */
    REQUEST_MAX = 64 << 10   /* a status carries kubelet's error, which is a line */
};

static const int64_t never = INT64_MAX;

struct registration {
    Pluginregistration__Registration_Service service; /* first, see get_info */
    ProtobufCService *services[1];
    struct registration_config config;
    char *path;
    struct work_pool *thread;
    int wake_fd; /* eventfd: look at what the handlers have set */

    /* The thread's own. */
    int watch_fd; /* inotify on the folder; -1: none */
    struct rpc_server *server;
    unsigned contests; /* times in a row that the socket was taken away soon */
    bool lost;         /* it was, and is not yet made anew */

    pthread_mutex_t lock; /* of all below */
    bool stopping;
    int64_t asked_ms;     /* GetInfo came then, since the last making; never: it did not */
    bool registered;      /* kubelet's last word, since the socket was lost */
    struct error refusal; /* the last one; code 0: none since the last success */
    unsigned failures;
    int64_t made_ms;
    int64_t retry_ms; /* make it anew then */
};

/* 1 s, 2 s, 4 s and so on. */
static int64_t backoff_ms(unsigned failures)
{
    int64_t ms = BACKOFF_MIN_MS;

    while (failures-- > 0 && ms < BACKOFF_MAX_MS)
        ms *= 2;
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

/* With the lock held. A time already set stays: kubelet repeats some refusals by itself. */
static void retry_later(struct registration *r)
{
    if (r->retry_ms == never)
        r->retry_ms = clock_mono_ms() + backoff_ms(r->failures++);
}

/* --- what kubelet calls -------------------------------------------------------------------------
 */

static void get_info(Pluginregistration__Registration_Service *service,
                     const Pluginregistration__InfoRequest *in,
                     Pluginregistration__PluginInfo_Closure reply, void *call)
{
    struct registration *r = (struct registration *)service;
    Pluginregistration__PluginInfo out = PLUGINREGISTRATION__PLUGIN_INFO__INIT;
    char *versions[] = { (char *)"1.0.0" }; /* of CSI; kubelet refuses what does not begin with 1 */
    struct error err = { 0 };

    (void)in;
    if (FAULT("register.asked", &err) < 0) {
        rpc_fail(call, &err);
        return;
    }
    out.type = (char *)"CSIPlugin";
    out.name = (char *)r->config.driver_name;
    out.endpoint = (char *)r->config.endpoint;
    out.n_supported_versions = COUNT_OF(versions);
    out.supported_versions = versions;
    pthread_mutex_lock(&r->lock);
    r->asked_ms = clock_mono_ms();
    pthread_mutex_unlock(&r->lock);
    reply(&out, call);
}

static void note_status(struct registration *r, const struct error *refusal)
{
    pthread_mutex_lock(&r->lock);
    r->refusal = *refusal;
    r->registered = !refusal->code;
    if (r->registered) {
        r->failures = 0;
        r->retry_ms = never;
    } else {
        retry_later(r);
    }
    pthread_mutex_unlock(&r->lock);
    (void)!eventfd_write(r->wake_fd, 1);
}

static void notify_status(Pluginregistration__Registration_Service *service,
                          const Pluginregistration__RegistrationStatus *in,
                          Pluginregistration__RegistrationStatusResponse_Closure reply, void *call)
{
    struct registration *r = (struct registration *)service;
    Pluginregistration__RegistrationStatusResponse out =
        PLUGINREGISTRATION__REGISTRATION_STATUS_RESPONSE__INIT;
    struct error refusal = { 0 };

    if (FAULT("register.told", &refusal) < 0) {
        rpc_fail(call, &refusal);
        return;
    }
    if (in->plugin_registered)
        log_event(LOG_INFO, "registered with kubelet", WITH_TEXT(KEY_SOCKET, r->path));
    else
        error_set(&refusal, CODE_FAILED_PRECONDITION, "%s", in->error);
    if (refusal.code)
        log_failure(LOG_WARN, "kubelet refused the registration", KEY_SOCKET, r->path, &refusal);
    note_status(r, &refusal);
    reply(&out, call);
}

/* --- the socket in the folder -------------------------------------------------------------------
 */

static void unwatch(struct registration *r)
{
    close_at(&r->watch_fd);
    r->watch_fd = -1;
}

/* Every name that comes or goes in the folder is a reason to look. Without a watch (no folder yet,
 * or no more watches to be had) the thread looks by time. The watch is a new one each time: of a
 * folder that was removed with our socket in it the old one tells nothing while we hold that. */
static void watch(struct registration *r)
{
    const uint32_t mask = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF |
                          IN_MOVE_SELF | IN_ONLYDIR;

    unwatch(r);
    r->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (r->watch_fd >= 0 && inotify_add_watch(r->watch_fd, r->config.folder, mask) < 0)
        unwatch(r);
}

/* Takes what the watch has told. The folder itself may have gone: its path may lead elsewhere. */
static void drain_watch(struct registration *r)
{
    _Alignas(struct inotify_event) char events[4096];
    ssize_t got;

    while (r->watch_fd >= 0 && (got = read(r->watch_fd, events, sizeof(events))) > 0)
        for (const char *at = events; at < events + got;) {
            const struct inotify_event *event = (const void *)at;

            at += sizeof(*event) + event->len;
            if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT))
                unwatch(r);
        }
}

/* Makes the socket anew. The one before is served until the new one is in its place. */
static void make(struct registration *r)
{
    struct rpc_server_config config = { .path = r->path,
                                        .take_over = true,
                                        .services = r->services,
                                        .service_count = COUNT_OF(r->services),
                                        .connections_max = 16, /* kubelet has one at a time */
                                        .request_bytes_max = REQUEST_MAX,
                                        .ended = r->config.ended };
    struct rpc_server *before = r->server;
    struct error err = { 0 };

    pthread_mutex_lock(&r->lock);
    r->asked_ms = never; /* before the socket is there: kubelet may call at once */
    r->registered = false;
    r->retry_ms = never;
    r->made_ms = clock_mono_ms();
    pthread_mutex_unlock(&r->lock);
    watch(r); /* before, so that nothing is missed */
    if (rpc_server_start(&config, &r->server, &err) == 0) {
        r->lost = false;
        rpc_server_free(before, 0);
        log_event(before ? LOG_DEBUG : LOG_INFO, "waiting for kubelet to register us",
                  WITH_TEXT(KEY_SOCKET, r->path));
        return;
    }
    log_failure(LOG_WARN, "the registration socket cannot be made", KEY_SOCKET, r->path, &err);
    pthread_mutex_lock(&r->lock);
    retry_later(r);
    pthread_mutex_unlock(&r->lock);
}

static void tell_lost(const struct registration *r)
{
    if (r->contests <= CONTESTED_QUICK || r->contests % CONTESTED_TOLD == 0)
        log_event(LOG_WARN, "the registration socket was taken away: it is made anew",
                  WITH_TEXT(KEY_SOCKET, r->path), WITH_NUMBER(KEY_COUNT, r->contests));
}

/* Has somebody taken the socket away since it was made? */
static void look(struct registration *r)
{
    int64_t now = clock_mono_ms();

    if (!r->server || r->lost || rpc_server_is_found(r->server))
        return;
    r->lost = true;
    pthread_mutex_lock(&r->lock);
    r->contests = now - r->made_ms < CONTESTED_MS ? r->contests + 1 : 0;
    r->registered = false;
    r->retry_ms = now + (r->contests > CONTESTED_QUICK ? CONTESTED_WAIT_MS : LOST_WAIT_MS);
    pthread_mutex_unlock(&r->lock);
    tell_lost(r);
}

/* When to make it anew. */
static int64_t due_ms(struct registration *r)
{
    int64_t due;

    pthread_mutex_lock(&r->lock);
    due = r->retry_ms;
    if (!r->registered && due == never)
        due = r->asked_ms == never ? r->made_ms + UNASKED_MS : r->asked_ms + UNCONFIRMED_MS;
    pthread_mutex_unlock(&r->lock);
    return due;
}

/* Sleeps until something may have to be done; false: to be ended. */
static bool wait_for_news(struct registration *r)
{
    struct pollfd fds[] = { { .fd = r->wake_fd, .events = POLLIN },
                            { .fd = r->watch_fd, .events = POLLIN } };
    int64_t due = due_ms(r);
    int64_t left = due == never ? never : due - clock_mono_ms();
    eventfd_t count;
    bool stopping;

    if (r->watch_fd < 0 && r->server && !r->lost && left > UNWATCHED_MS)
        left = UNWATCHED_MS;
    (void)poll(fds, COUNT_OF(fds), left == never ? -1 : left > 0 ? (int)left : 0);
    (void)!eventfd_read(r->wake_fd, &count);
    drain_watch(r);
    pthread_mutex_lock(&r->lock);
    stopping = r->stopping;
    pthread_mutex_unlock(&r->lock);
    return !stopping;
}

static void run(void *arg)
{
    struct registration *r = arg;

    make(r);
    while (wait_for_news(r)) {
        look(r);
        if (due_ms(r) <= clock_mono_ms())
            make(r);
    }
}

struct registration *registration_new(const struct registration_config *config)
{
    struct work_pool_config thread = { .name = "registration", .threads_max = 1, .queue_max = 1 };
    struct registration *r = xcalloc(1, sizeof(*r));

    *r = (struct registration){
        .service.base = PLUGINREGISTRATION__REGISTRATION__BASE_INIT,
        .service.get_info = get_info,
        .service.notify_registration_status = notify_status,
        .services = { &r->service.base },
        .config = *config,
        .path = str_printf("%s/%s-reg.sock", config->folder, config->driver_name),
        .thread = work_pool_new(&thread),
        .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .watch_fd = -1,
        .asked_ms = never,
        .retry_ms = never,
    };
    pthread_mutex_init(&r->lock, NULL);
    rpc_server_sweep(r->path);
    return r;
}

void registration_start(struct registration *r)
{
    struct error err = { 0 };

    if (work_submit(r->thread, run, r, &err) < 0)
        log_failure(LOG_ERROR, "no thread to register with", KEY_SOCKET, r->path, &err);
}

bool registration_tell(struct registration *r, char text[REGISTRATION_TEXT_MAX])
{
    bool registered = false;

    (void)snprintf(text, REGISTRATION_TEXT_MAX, "off");
    if (!r)
        return false;
    pthread_mutex_lock(&r->lock);
    registered = r->registered;
    if (r->refusal.code)
        (void)snprintf(text, REGISTRATION_TEXT_MAX, "refused: %.300s", r->refusal.msg);
    else
        (void)snprintf(text, REGISTRATION_TEXT_MAX, "%s",
                       registered             ? "registered"
                       : r->asked_ms != never ? "kubelet has asked, and not confirmed"
                                              : "kubelet has not asked");
    pthread_mutex_unlock(&r->lock);
    return registered;
}

void registration_free(struct registration *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_mutex_unlock(&r->lock);
    (void)!eventfd_write(r->wake_fd, 1);
    work_pool_free(r->thread);
    rpc_server_free(r->server, 0);
    unwatch(r);
    close_at(&r->wake_fd);
    pthread_mutex_destroy(&r->lock);
    free(r->path);
    free(r);
}
