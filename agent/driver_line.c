/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/driver_line.h"

#include <pthread.h>

#include "lib/base/clock.h"
#include "lib/base/crypto.h"
#include "lib/base/encode.h"
#include "lib/base/strbuf.h"
#include "lib/net/rpc_server.h"
#include "lib/net/work.h"

enum { INSTANCE_BYTES = 16 };

typedef Locket__Cluster__V1__Refresh Refresh;
typedef Locket__Cluster__V1__CsiDriver CsiDriver;
typedef Locket__Cluster__V1__FileWish FileWish;

struct driver_line {
    char *instance;
    struct due_queue *due;
    struct due_item hold; /* ends the parked call's wait */
    bool audit;           /* set once, before the first Watch */
    pthread_mutex_t lock;
    Refresh **refreshes; /* guarded by lock, as all below */
    size_t count;
    size_t sent;     /* the first of them, in an answer that may not have arrived */
    uint64_t serial; /* of that answer */
    FileWish **wishes;
    size_t wish_count;
    Locket__Cluster__V1__WatchResponse_Closure reply; /* of the parked call; NULL: none */
    void *call;
    CsiDriver *csi_driver; /* NULL: not known */
    char *told_digest;     /* of the CSIDriver that the parked call's driver knows */
    bool rotation;         /* the driver's is on */
    bool compares;         /* the driver knows by which form of a class a volume was filled */
    bool registered;       /* kubelet has confirmed the driver */
    char *registration;    /* how far that is; "": the driver does not register itself */
    void (*heed)(void *arg);
    void *heed_arg;
    int64_t heard_ms; /* 0: never */
    bool ended;
    char *metrics;
};

/* What one answer takes along. */
struct answer {
    Locket__Cluster__V1__WatchResponse_Closure reply;
    void *call;
    Refresh **refreshes; /* copies */
    size_t count;
    uint64_t serial;
    FileWish **wishes;
    size_t wish_count;
    CsiDriver *csi_driver;
};

static void wishes_free(FileWish **wishes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        locket__cluster__v1__file_wish__free_unpacked(wishes[i], NULL);
    free(wishes);
}

/* A message as a copy of its own. */
static void *copy_of(const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    autofree uint8_t *packed = xmalloc(len + 1);

    (void)protobuf_c_message_pack(message, packed);
    return protobuf_c_message_unpack(message->descriptor, NULL, len, packed);
}

/* Takes the call out and what it is to be told, if both sides are there (or the hold is over). The
 * refreshes stay until they are known to have arrived. Caller holds the lock. */
static struct answer take_answer(struct driver_line *line, bool even_empty)
{
    struct answer a = { 0 };

    bool is_news = line->csi_driver && strcmp(line->csi_driver->digest, line->told_digest) != 0;

    if (!line->reply || (!line->count && !line->wish_count && !is_news && !even_empty))
        return a;
    a = (struct answer){ .reply = line->reply, .call = line->call, .count = line->count };
    a.wishes = line->wishes;
    a.wish_count = line->wish_count;
    line->wishes = NULL;
    line->wish_count = 0;
    a.csi_driver = line->csi_driver ? copy_of(&line->csi_driver->base) : NULL;
    a.refreshes = xcalloc(line->count + 1, sizeof(Refresh *));
    for (size_t i = 0; i < line->count; i++)
        a.refreshes[i] = copy_of(&line->refreshes[i]->base);
    line->serial += line->count > 0;
    a.serial = line->serial;
    line->sent = line->count;
    line->reply = NULL;
    return a;
}

/* The driver has these. Caller holds the lock. */
static void drop_sent(struct driver_line *line)
{
    for (size_t i = 0; i < line->sent; i++)
        locket__cluster__v1__refresh__free_unpacked(line->refreshes[i], NULL);
    line->count -= line->sent;
    if (line->count)
        memmove(line->refreshes, line->refreshes + line->sent, line->count * sizeof(Refresh *));
}

/* With no lock held: a reply packs and sends. */
static void send_answer(const struct driver_line *line, struct answer *a)
{
    Locket__Cluster__V1__WatchResponse out = LOCKET__CLUSTER__V1__WATCH_RESPONSE__INIT;

    if (!a->reply)
        return;
    out.instance = line->instance;
    out.refreshes = a->refreshes;
    out.n_refreshes = a->count;
    out.file_wishes = a->wishes;
    out.n_file_wishes = a->wish_count;
    out.csi_driver = a->csi_driver;
    out.audit = line->audit;
    out.serial = a->serial;
    a->reply(&out, a->call);
    for (size_t i = 0; i < a->count; i++)
        locket__cluster__v1__refresh__free_unpacked(a->refreshes[i], NULL);
    free(a->refreshes);
    wishes_free(a->wishes, a->wish_count);
    if (a->csi_driver)
        locket__cluster__v1__csi_driver__free_unpacked(a->csi_driver, NULL);
}

static void on_due(void *arg, struct due_item *item)
{
    struct driver_line *line = arg;
    struct answer a;

    (void)item;
    (void)pthread_mutex_lock(&line->lock);
    a = take_answer(line, true);
    (void)pthread_mutex_unlock(&line->lock);
    send_answer(line, &a);
}

int driver_line_new(struct driver_line **ret, struct error *err)
{
    uint8_t random[INSTANCE_BYTES];
    struct strbuf name autostrbuf = { 0 };
    struct driver_line *line;

    if (random_bytes(random, sizeof(random), err) < 0)
        return -1;
    hex_encode(&name, random, sizeof(random));
    line = xcalloc(1, sizeof(*line));
    line->instance = strbuf_take(&name);
    line->metrics = xstrdup("");
    line->told_digest = xstrdup("");
    line->registration = xstrdup("");
    (void)pthread_mutex_init(&line->lock, NULL);
    line->due = due_queue_new(on_due, line);
    *ret = line;
    return 0;
}

void driver_line_end(struct driver_line *line)
{
    (void)pthread_mutex_lock(&line->lock);
    line->ended = true;
    (void)pthread_mutex_unlock(&line->lock);
    on_due(line, NULL);
}

void driver_line_free(struct driver_line *line)
{
    if (!line)
        return;
    due_queue_free(line->due);
    for (size_t i = 0; i < line->count; i++)
        locket__cluster__v1__refresh__free_unpacked(line->refreshes[i], NULL);
    free(line->refreshes);
    wishes_free(line->wishes, line->wish_count);
    (void)pthread_mutex_destroy(&line->lock);
    if (line->csi_driver)
        locket__cluster__v1__csi_driver__free_unpacked(line->csi_driver, NULL);
    free(line->told_digest);
    free(line->registration);
    free(line->metrics);
    free(line->instance);
    free(line);
}

bool driver_line_knows(const struct driver_line *line, const Locket__Cluster__V1__WatchRequest *in)
{
    return strcmp(in->instance, line->instance) == 0;
}

/* Is this news: that kubelet has confirmed the driver? Caller holds the lock. */
static bool take_registration(struct driver_line *line, const Locket__Cluster__V1__WatchRequest *in)
{
    bool confirmed = in->registered && !line->registered;

    free(line->registration);
    line->registration = xstrdup(in->registration);
    line->registered = in->registered;
    return confirmed;
}

void driver_line_park(struct driver_line *line, const Locket__Cluster__V1__WatchRequest *in,
                      Locket__Cluster__V1__WatchResponse_Closure reply, void *call)
{
    bool is_known = driver_line_knows(line, in);
    struct answer earlier;
    struct answer now;
    struct error err = { 0 };
    bool confirmed;
    int64_t hold_ms;

    (void)pthread_mutex_lock(&line->lock);
    if (line->ended) {
        (void)pthread_mutex_unlock(&line->lock);
        (void)error_set(&err, CODE_UNAVAILABLE, "the agent is stopping");
        rpc_fail(call, &err);
        return;
    }
    line->heard_ms = clock_mono_ms();
    free(line->metrics);
    line->metrics = xstrdup(in->metrics);
    free(line->told_digest);
    line->told_digest = xstrdup(in->csi_driver);
    line->rotation = in->rotation;
    line->compares = in->compares;
    if (is_known && in->serial == line->serial)
        drop_sent(line);
    line->sent = 0;
    confirmed = take_registration(line, in);
    earlier = (struct answer){ .reply = line->reply, .call = line->call };
    line->reply = reply;
    line->call = call;
    now = take_answer(line, !is_known); /* who does not know us is told at once */
    hold_ms =
        *line->registration && !line->registered ? DRIVER_LINE_PENDING_MS : DRIVER_LINE_HOLD_MS;
    (void)pthread_mutex_unlock(&line->lock);
    send_answer(line, &earlier);
    if (now.reply)
        send_answer(line, &now);
    else
        due_queue_set(line->due, &line->hold, clock_mono_ms() + hold_ms);
    if (confirmed && line->heed)
        line->heed(line->heed_arg);
}

static char *text_or_empty(const char *text)
{
    return xstrdup(text ? text : "");
}

static Refresh *refresh_new(const struct line_refresh *from)
{
    Refresh *r = xmalloc(sizeof(*r));

    locket__cluster__v1__refresh__init(r);
    r->namespace_ = text_or_empty(from->ns);
    r->class_name = text_or_empty(from->class_name);
    r->pod_name = text_or_empty(from->pod_name);
    r->class_stamp = text_or_empty(from->stamp);
    r->forced = from->forced;
    r->unless_known = from->unless_known;
    return r;
}

static bool is_same(const Refresh *a, const Refresh *b)
{
    return strcmp(a->namespace_, b->namespace_) == 0 && strcmp(a->class_name, b->class_name) == 0 &&
           strcmp(a->pod_name, b->pod_name) == 0;
}

/* Takes the refresh over: in the place of one of the same that was not sent yet, of which it keeps
 * what was meant by it. Caller holds the lock. */
static void add(struct driver_line *line, Refresh *r)
{
    size_t i = line->sent;

    while (i < line->count && !is_same(line->refreshes[i], r))
        i++;
    if (i == DRIVER_LINE_MAX || (r->unless_known && !line->compares)) {
        locket__cluster__v1__refresh__free_unpacked(r, NULL);
        return;
    }
    if (i == line->count) {
        line->refreshes = xrealloc(line->refreshes, (line->count + 1) * sizeof(Refresh *));
        line->count++;
    } else {
        r->forced = r->forced || line->refreshes[i]->forced;
        r->unless_known = r->unless_known && line->refreshes[i]->unless_known;
        locket__cluster__v1__refresh__free_unpacked(line->refreshes[i], NULL);
    }
    line->refreshes[i] = r;
}

void driver_line_refresh(struct driver_line *line, const struct line_refresh *refresh)
{
    struct answer a;

    (void)pthread_mutex_lock(&line->lock);
    add(line, refresh_new(refresh));
    a = take_answer(line, false);
    (void)pthread_mutex_unlock(&line->lock);
    send_answer(line, &a);
}

void driver_line_want_audit(struct driver_line *line)
{
    line->audit = true;
}

static FileWish *wish_new(const char *volume_id, const char *const *paths, size_t count)
{
    FileWish *wish = xmalloc(sizeof(*wish));

    locket__cluster__v1__file_wish__init(wish);
    wish->volume_id = xstrdup(volume_id);
    wish->paths = xcalloc(count + 1, sizeof(*wish->paths));
    wish->n_paths = count;
    for (size_t i = 0; i < count; i++)
        wish->paths[i] = xstrdup(paths[i]);
    return wish;
}

/* Takes the wish over. Caller holds the lock. */
static void add_wish(struct driver_line *line, FileWish *wish)
{
    size_t i = 0;

    while (i < line->wish_count && strcmp(line->wishes[i]->volume_id, wish->volume_id) != 0)
        i++;
    if (i == DRIVER_LINE_FILES_MAX) {
        locket__cluster__v1__file_wish__free_unpacked(wish, NULL);
        return;
    }
    if (i == line->wish_count) {
        line->wishes = xrealloc(line->wishes, (line->wish_count + 1) * sizeof(FileWish *));
        line->wish_count++;
    } else
        locket__cluster__v1__file_wish__free_unpacked(line->wishes[i], NULL);
    line->wishes[i] = wish;
}

void driver_line_want_files(struct driver_line *line, const char *volume_id,
                            const char *const *paths, size_t count)
{
    FileWish *wish = wish_new(volume_id, paths, count);
    struct answer a;

    (void)pthread_mutex_lock(&line->lock);
    add_wish(line, wish);
    a = take_answer(line, false);
    (void)pthread_mutex_unlock(&line->lock);
    send_answer(line, &a);
}

void driver_line_set_csi_driver(struct driver_line *line, const CsiDriver *facts)
{
    CsiDriver *copy = copy_of(&facts->base);
    struct answer a;

    (void)pthread_mutex_lock(&line->lock);
    if (line->csi_driver)
        locket__cluster__v1__csi_driver__free_unpacked(line->csi_driver, NULL);
    line->csi_driver = copy;
    a = take_answer(line, false);
    (void)pthread_mutex_unlock(&line->lock);
    send_answer(line, &a);
}

bool driver_line_lacks_republish(struct driver_line *line)
{
    bool lacks;

    (void)pthread_mutex_lock(&line->lock);
    lacks = line->rotation && line->csi_driver && line->csi_driver->exists &&
            !line->csi_driver->requires_republish;
    (void)pthread_mutex_unlock(&line->lock);
    return lacks;
}

void driver_line_heed(struct driver_line *line, void (*registered)(void *arg), void *arg)
{
    line->heed = registered;
    line->heed_arg = arg;
}

char *driver_line_registration(struct driver_line *line, bool *ret_done)
{
    char *text;

    (void)pthread_mutex_lock(&line->lock);
    *ret_done = line->registered;
    text = *line->registration ? xstrdup(line->registration) : NULL;
    (void)pthread_mutex_unlock(&line->lock);
    return text;
}

int64_t driver_line_silent_ms(struct driver_line *line)
{
    int64_t ms;

    (void)pthread_mutex_lock(&line->lock);
    ms = line->heard_ms ? clock_mono_ms() - line->heard_ms : -1;
    (void)pthread_mutex_unlock(&line->lock);
    return ms;
}

char *driver_line_metrics(struct driver_line *line)
{
    char *text;

    (void)pthread_mutex_lock(&line->lock);
    text = xstrdup(line->metrics);
    (void)pthread_mutex_unlock(&line->lock);
    return text;
}
