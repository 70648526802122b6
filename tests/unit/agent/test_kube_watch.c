/* SPDX-License-Identifier: Apache-2.0 */
/* WRAP: cancel_sleep_ms */
/*
 * Whatever a server does to a watch, what reaches its events is in the end what the server has, and
 * on the way there nothing is taken for gone that is not.
 */
#include <pthread.h>

#include "agent/kube_watch.h"
#include "tests/fakes/kube_fake.h"

enum { PATIENCE_MS = 15000, THINGS_MAX = 32, NAME_MAX_BYTES = 64, SPEED = 10 };

bool __real_cancel_sleep_ms(struct cancel *c, int64_t ms);
bool __wrap_cancel_sleep_ms(struct cancel *c, int64_t ms);

/* The pauses between calls, ten times shorter. */
bool __wrap_cancel_sleep_ms(struct cancel *c, int64_t ms)
{
    return __real_cancel_sleep_ms(c, ms / SPEED);
}

static struct kube_fake fake;

/* --- a consumer that marks and sweeps --- */

struct thing {
    char name[NAME_MAX_BYTES]; /* NAMESPACE/NAME */
    char version[NAME_MAX_BYTES];
    int round;
};

struct consumer {
    pthread_mutex_t lock;
    struct thing things[THINGS_MAX]; /* guarded by lock, as all below */
    size_t count;
    int round;
    bool listing;
    int begins;
    int ends;
    char complaint[160]; /* "": none */
};

static void complain(struct consumer *c, const char *what, const char *name)
{
    if (!*c->complaint)
        (void)snprintf(c->complaint, sizeof(c->complaint), "%s %s", what, name);
}

/* c, d and e are there from first to last. */
static void drop(struct consumer *c, size_t i)
{
    if (strchr("cde", c->things[i].name[strlen("shop/")]))
        complain(c, "taken for gone:", c->things[i].name);
    c->things[i] = c->things[--c->count];
}

static void see(struct consumer *c, const char *name, const char *version)
{
    size_t i = 0;

    while (i < c->count && strcmp(c->things[i].name, name) != 0)
        i++;
    if (i == THINGS_MAX) {
        complain(c, "too many:", name);
        return;
    }
    if (i == c->count)
        (void)snprintf(c->things[c->count++].name, NAME_MAX_BYTES, "%s", name);
    (void)snprintf(c->things[i].version, NAME_MAX_BYTES, "%s", version);
    c->things[i].round = c->round;
}

static void about_object(struct consumer *c, enum kube_event event, const struct tree *object)
{
    const char *name = kube_meta(object, "name");
    const char *ns = kube_meta(object, "namespace");
    const char *version = kube_meta(object, "resourceVersion");
    char key[NAME_MAX_BYTES];

    if (!name || !ns || !version) {
        complain(c, "an object without", "name or version");
        return;
    }
    (void)snprintf(key, sizeof(key), "%s/%s", ns, name);
    if (event == KUBE_OBJECT) {
        see(c, key, version);
        return;
    }
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->things[i].name, key) == 0) {
            drop(c, i);
            return;
        }
}

static void on_event(void *arg, enum kube_event event, const struct tree *object)
{
    struct consumer *c = arg;

    (void)pthread_mutex_lock(&c->lock);
    if (event == KUBE_BEGIN) {
        c->round++;
        c->begins++;
        c->listing = true;
    } else if (event == KUBE_END) {
        if (!c->listing)
            complain(c, "an end", "without a beginning");
        for (size_t i = c->count; i > 0; i--)
            if (c->things[i - 1].round < c->round)
                drop(c, i - 1);
        c->listing = false;
        c->ends++;
    } else
        about_object(c, event, object);
    (void)pthread_mutex_unlock(&c->lock);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct thing *)a)->name, ((const struct thing *)b)->name);
}

/* In the form of the fake's truth; "" while a list is on its way. */
static char *belief(struct consumer *c)
{
    struct strbuf text autostrbuf = { 0 };

    (void)pthread_mutex_lock(&c->lock);
    qsort(c->things, c->count, sizeof(c->things[0]), by_name);
    for (size_t i = 0; i < c->count && !c->listing; i++)
        strbuf_printf(&text, "%s=%s\n", c->things[i].name, c->things[i].version);
    (void)pthread_mutex_unlock(&c->lock);
    return strbuf_take(&text);
}

/* --- watches, each with a collection of its own --- */

struct run {
    char plural[16];
    struct kube_api *api;
    struct kube_watch *watch;
    struct consumer consumer;
};

static void set(const struct run *r, bool streams)
{
    kube_fake_tell(&fake, streams ? "{\"page\":2}" : "{\"page\":2,\"streams\":false}", "set/%s",
                   r->plural);
}

static void set_fault(const struct run *r, const char *where, const char *kind, int after,
                      int times)
{
    autofree char *body = str_printf("{\"on\":\"%s\",\"kind\":\"%s\",\"after\":%d,\"times\":%d}",
                                     where, kind, after, times);

    kube_fake_tell(&fake, body, "fault/%s", r->plural);
}

static void put(const struct run *r, const char *names)
{
    for (; *names; names++)
        kube_fake_put(&fake, r->plural, "shop", (char[]){ *names, '\0' });
}

static void start(struct run *r)
{
    autofree char *path = str_printf("/apis/fake.dev/v1/%s", r->plural);
    struct kube_watch_config config = { .path = path, .event = on_event, .arg = &r->consumer };

    (void)pthread_mutex_init(&r->consumer.lock, NULL);
    r->api = kube_fake_client(&fake, NULL);
    config.api = r->api;
    r->watch = kube_watch_start(&config);
}

static struct run *new_run(const char *plural)
{
    struct run *r = xcalloc(1, sizeof(*r));

    (void)snprintf(r->plural, sizeof(r->plural), "%s", plural);
    return r;
}

static void free_run(struct run *r)
{
    kube_watch_stop(r->watch);
    kube_api_free(r->api);
    (void)pthread_mutex_destroy(&r->consumer.lock);
    free(r);
}

static void wait_for_truth(struct run *r, const char *says)
{
    autofree char *what = str_printf("truth/%s", r->plural);
    autofree char *truth = kube_fake_ask(&fake, what, NULL);
    autofree char *got = belief(&r->consumer);
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    struct error err = { 0 };

    while (strcmp(got, truth) != 0 && clock_mono_ms() < until) {
        clock_sleep_ms(5);
        free(got);
        got = belief(&r->consumer);
    }
    if (strcmp(got, truth) != 0) {
        (void)kube_watch_failure(r->watch, &err);
        fail_msg("%s: the server has\n%sthe watch\n%s(%s)", says, truth, got, err.msg);
    }
}

/* --- every fault --- */

static const struct {
    const char *says;
    bool streams; /* the list */
    const char *where;
    const char *kind;
    int after; /* good events */
} rows[] = {
    { "nothing goes wrong", true, "none", "none", 0 },
    { "lists are not streamed", false, "none", "none", 0 },
    { "a streamed list ends early", true, "watch", "stop", 3 },
    { "a streamed list is reset", true, "watch", "reset", 3 },
    { "a streamed list is cut inside of an event", true, "watch", "cut", 3 },
    { "a streamed list is torn inside of an event", true, "watch", "torn", 3 },
    { "a streamed list ends before an event's line break", true, "watch", "unended", 3 },
    { "an event of a streamed list comes in pieces", true, "watch", "split", 3 },
    { "an event of a streamed list comes twice", true, "watch", "twice", 3 },
    { "an event of a streamed list is no JSON", true, "watch", "broken", 3 },
    { "an event of a streamed list is a list", true, "watch", "odd", 3 },
    { "an event of a streamed list is not UTF-8", true, "watch", "utf8", 3 },
    { "an event of a streamed list is about nothing", true, "watch", "nothing", 3 },
    { "an event of a streamed list has an unknown type", true, "watch", "foreign", 3 },
    { "a proxy's page stands in a streamed list", true, "watch", "page", 3 },
    { "a bookmark inside of a streamed list is no end of it", true, "watch", "midmark", 3 },
    { "an event of a streamed list is too large", true, "watch", "huge", 3 },
    { "an event of a streamed list never ends", true, "watch", "endless", 3 },
    { "a streamed list is told 410", true, "watch", "error410", 3 },
    { "a streamed list is told 400", true, "watch", "error400", 3 },
    { "a streamed list is told 500", true, "watch", "error500", 3 },
    { "a streamed list is refused as 410", true, "watch", "s410", 0 },
    { "a streamed list is refused as 500", true, "watch", "s500", 0 },
    { "a streamed list is refused as 503", true, "watch", "s503", 0 },
    { "a streamed list is refused as 401", true, "watch", "s401", 0 },
    { "a proxy answers a watch", true, "watch", "html", 0 },
    { "a proxy answers a watch with 502", true, "watch", "html502", 0 },
    { "a watch is a document", true, "watch", "object", 0 },
    { "a watch ends at once", true, "watch", "end", 0 },
    { "a watch is reset at once", true, "watch", "vanish", 0 },
    { "a stream ends at its second change", true, "watch", "stop", 7 },
    { "a stream is cut inside of its second change", true, "watch", "cut", 7 },
    { "a stream is torn inside of its second change", true, "watch", "torn", 7 },
    { "a stream ends before its second change's line break", true, "watch", "unended", 7 },
    { "a second change comes in pieces", true, "watch", "split", 7 },
    { "a second change comes twice", true, "watch", "twice", 7 },
    { "a second change is no JSON", true, "watch", "broken", 7 },
    { "a stream is told 410", true, "watch", "error410", 7 },
    { "a stream is told 500", true, "watch", "error500", 7 },
    { "a stream is told 400", true, "watch", "error400", 7 },
    { "a stream is told of an end without a code", true, "watch", "codeless", 7 },
    { "a stream is told an error of nothing", true, "watch", "empty", 7 },
    { "a watch after a list is refused as 400", false, "watch", "s400", 0 },
    { "a watch after a list is refused as 410", false, "watch", "s410", 0 },
    { "a watch after a list is told 410", false, "watch", "error410", 0 },
    { "a watch after a list is torn", false, "watch", "torn", 1 },
    { "a first page is refused as 500", false, "list", "s500", 0 },
    { "a first page is refused as 410", false, "list", "s410", 0 },
    { "a first page is refused as 401", false, "list", "s401", 0 },
    { "a first page's refusal has no code", false, "list", "nocode", 0 },
    { "a proxy answers a first page", false, "list", "html", 0 },
    { "a first page is no JSON", false, "list", "garbage", 0 },
    { "a first page is an empty document", false, "list", "object", 0 },
    { "a first page has no version", false, "list", "versionless", 0 },
    { "a first page is empty", false, "list", "end", 0 },
    { "a first page is reset", false, "list", "vanish", 0 },
    { "a second page's token has expired", false, "more", "s410", 0 },
    { "a second page is an empty document", false, "more", "object", 0 },
    { "a proxy answers a second page", false, "more", "html", 0 },
    { "a second page is reset", false, "more", "vanish", 0 },
};

static void wait_for_all(struct run *runs[], const char *phase)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autofree char *says = str_printf("%s: %s", rows[i].says, phase);

        wait_for_truth(runs[i], says);
    }
}

static void start_all(struct run *runs[])
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autofree char *plural = str_printf("r%02zu", i);

        runs[i] = new_run(plural);
        set(runs[i], rows[i].streams);
        put(runs[i], "abcde");
        if (!rows[i].streams) /* the refusal of streamed lists comes first */
            set_fault(runs[i], "watch", "s400", 0, 1);
        set_fault(runs[i], rows[i].where, rows[i].kind, rows[i].after, 1);
        start(runs[i]);
    }
}

static void change_all(struct run *runs[])
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        put(runs[i], "fa");
        kube_fake_tell(&fake, NULL, "delete/%s/shop/b", runs[i]->plural);
        kube_fake_tell(&fake, NULL, "bookmark/%s", runs[i]->plural);
    }
}

/* They have to start anew, and it goes wrong again. */
static void forget_all(struct run *runs[])
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        kube_fake_tell(&fake, NULL, "drop/%s", runs[i]->plural);
        kube_fake_tell(&fake, NULL, "delete/%s/shop/f", runs[i]->plural);
        put(runs[i], "ge");
        kube_fake_tell(&fake, NULL, "compact/%s", runs[i]->plural);
        set_fault(runs[i], rows[i].where, rows[i].kind, rows[i].after, 1);
    }
}

static void the_watch_ends_with_what_the_server_has(void **state)
{
    struct run *runs[COUNT_OF(rows)];
    struct error err = { 0 };

    (void)state;
    start_all(runs);
    wait_for_all(runs, "at first");
    change_all(runs);
    wait_for_all(runs, "after changes");
    forget_all(runs);
    wait_for_all(runs, "after a start anew");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (*runs[i]->consumer.complaint)
            fail_msg("%s: %s", rows[i].says, runs[i]->consumer.complaint);
        if (!kube_watch_is_synced(runs[i]->watch))
            fail_msg("%s: is not synced", rows[i].says);
        if (kube_watch_failure(runs[i]->watch, &err))
            fail_msg("%s: has failed: %s", rows[i].says, err.msg);
        kube_watch_end(runs[i]->watch);
    }
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        free_run(runs[i]);
}

/* --- how often it asks --- */

static struct run *always(const char *plural, bool streams, const char *kind)
{
    struct run *r = new_run(plural);

    set(r, streams);
    put(r, "a");
    set_fault(r, "watch", kind, 0, 1000);
    start(r);
    return r;
}

/* Milliseconds between the first two lines of the log with this in them; -1: there are none. */
static int64_t between(const char *text)
{
    autofree char *log = kube_fake_ask(&fake, "log", NULL);
    char *rest = log;
    const char *line;
    int64_t first = -1;

    while ((line = strsep(&rest, "\n"))) {
        int64_t at = strtoll(line, NULL, 10);

        if (!strstr(line, text))
            continue;
        if (first >= 0)
            return at - first;
        first = at;
    }
    return -1;
}

/* How often was it asked, once it was asked again? */
static size_t asked_again(const char *path)
{
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    size_t asked;

    while ((asked = kube_fake_asked(&fake, path)) < 2 && clock_mono_ms() < until)
        clock_sleep_ms(20);
    return asked;
}

static void a_server_in_trouble_is_not_hammered(void **state)
{
    static const struct {
        const char *plural;
        bool streams;
        const char *kind;
        size_t most; /* calls in the time */
    } troubles[] = {
        { "h410", false, "s410", 16 },       { "hstop", true, "stop", 8 },
        { "hevent", false, "error410", 16 }, { "h500", true, "s500", 8 },
        { "h400", false, "s400", 16 },       { "hgone", true, "vanish", 12 },
    };
    struct run *runs[COUNT_OF(troubles) + 1];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(troubles); i++)
        runs[i] = always(troubles[i].plural, troubles[i].streams, troubles[i].kind);
    runs[COUNT_OF(troubles)] = new_run("later");
    set_fault(runs[COUNT_OF(troubles)], "watch", "later", 0, 1);
    start(runs[COUNT_OF(troubles)]);
    clock_sleep_ms(2000 / SPEED);
    for (size_t i = 0; i < COUNT_OF(troubles); i++) {
        autofree char *path = str_printf("v1/%s?", troubles[i].plural);
        size_t asked = kube_fake_asked(&fake, path);

        if (asked > troubles[i].most)
            fail_msg("%s: asked %zu times", troubles[i].plural, asked);
    }
    for (size_t i = 0; i < COUNT_OF(troubles); i++) {
        autofree char *path = str_printf("v1/%s?", troubles[i].plural);

        if (asked_again(path) < 2)
            fail_msg("%s: not asked again", troubles[i].plural);
    }
    (void)asked_again("v1/later?");
    assert_in_range(between("v1/later?"), 1000 / SPEED, PATIENCE_MS); /* Retry-After: 1 */
    for (size_t i = 0; i < COUNT_OF(runs); i++)
        kube_watch_end(runs[i]->watch);
    for (size_t i = 0; i < COUNT_OF(runs); i++)
        free_run(runs[i]);
}

/* --- what others see of it --- */

static void wait_for_failure(struct run *r, const char *text)
{
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    struct error err = { 0 };

    while (!kube_watch_failure(r->watch, &err) && clock_mono_ms() < until)
        clock_sleep_ms(2);
    if (!strstr(err.msg, text))
        fail_msg("it says: %s", err.msg);
}

/* A page of 500 has room for 8 KiB each. */
static void a_page_that_is_too_large_is_asked_for_in_smaller_ones(void **state)
{
    struct run *r = new_run("bulky");

    (void)state;
    kube_fake_tell(&fake, "{\"page\":500,\"room\":3,\"streams\":false}", "set/bulky");
    put(r, "abcdefghij");
    start(r);
    wait_for_truth(r, "pages of three");
    assert_string_equal(r->consumer.complaint, "");
    assert_true(kube_fake_asked(&fake, "v1/bulky?limit=3&continue=") >= 3);
    assert_int_equal(kube_fake_asked(&fake, "v1/bulky?limit=500"), 1);
    free_run(r);
}

static void a_failure_is_told_until_it_is_over(void **state)
{
    static const struct {
        const char *plural;
        const char *kind;
        const char *text;
    } failures[] = {
        { "f403", "s403", "GET /apis/fake.dev/v1/f403: 403 Forbidden: so it is" },
        { "fhuge", "huge", "an event of more than 4194304 bytes" },
        { "fpage", "html502", "GET /apis/fake.dev/v1/fpage: 502" },
        { "fcut", "stop", "the list ended before its end" },
    };
    struct run *runs[COUNT_OF(failures)];
    struct error err = { 0 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(failures); i++) {
        runs[i] = new_run(failures[i].plural);
        set_fault(runs[i], "watch", failures[i].kind, 0, 1000);
        put(runs[i], "a");
        start(runs[i]);
    }
    for (size_t i = 0; i < COUNT_OF(failures); i++) {
        wait_for_failure(runs[i], failures[i].text);
        kube_fake_tell(&fake, NULL, "heal/%s", runs[i]->plural);
    }
    for (size_t i = 0; i < COUNT_OF(failures); i++) {
        wait_for_truth(runs[i], failures[i].plural);
        assert_true(kube_watch_is_synced(runs[i]->watch));
        assert_false(kube_watch_failure(runs[i]->watch, &err));
        kube_watch_end(runs[i]->watch);
    }
    for (size_t i = 0; i < COUNT_OF(failures); i++)
        free_run(runs[i]);
}

static void a_watch_that_hangs_ends_when_it_is_told(void **state)
{
    static const char *const kinds[][2] = { { "silence", "gsilent" }, { "hang", "ghang" } };
    struct run *runs[COUNT_OF(kinds)];
    int64_t began;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        autofree char *path = str_printf("v1/%s?", kinds[i][1]);
        int64_t until = clock_mono_ms() + PATIENCE_MS;

        runs[i] = always(kinds[i][1], true, kinds[i][0]);
        while (!kube_fake_asked(&fake, path) && clock_mono_ms() < until)
            clock_sleep_ms(5);
        assert_false(kube_watch_is_synced(runs[i]->watch));
    }
    began = clock_mono_ms();
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        kube_watch_end(runs[i]->watch);
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        free_run(runs[i]);
    assert_in_range(clock_mono_ms() - began, 0, 2500);
}

/* Readiness asks this, and on a node without volumes there is no other call. */
static void a_server_that_took_a_watch_up_has_answered(void **state)
{
    struct run *r = new_run("hquiet");

    (void)state;
    put(r, "a");
    start(r);
    wait_for_truth(r, "a watch that goes on");
    assert_true(kube_api_answered_ms(r->api) > 0);
    kube_watch_end(r->watch);
    free_run(r);
}

static int make(void **state)
{
    (void)state;
    kube_fake_start(&fake, NULL);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    kube_fake_stop(&fake);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_watch_ends_with_what_the_server_has),
        cmocka_unit_test(a_server_in_trouble_is_not_hammered),
        cmocka_unit_test(a_page_that_is_too_large_is_asked_for_in_smaller_ones),
        cmocka_unit_test(a_failure_is_told_until_it_is_over),
        cmocka_unit_test(a_watch_that_hangs_ends_when_it_is_told),
        cmocka_unit_test(a_server_that_took_a_watch_up_has_answered),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}
