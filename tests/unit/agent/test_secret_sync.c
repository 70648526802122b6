/* SPDX-License-Identifier: Apache-2.0
 *
 * When the files of a volume are asked for, what is done with those that came, what is held back,
 * and what is looked after once a volume has left.
 */
/* WRAP: class_cache_peek driver_line_want_files kube_api_answered_ms secret_run secret_event */
/* WRAP: secret_leavers_new secret_leavers_add secret_leavers_end secret_leavers_free */
#include "agent/agent_metrics.h"
#include "agent/secret_event.h"
#include "agent/secret_leavers.h"
#include "agent/secret_run.h"
#include "agent/secret_sync.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "tests/check.h"

enum { WAIT_MS = 10000, STILL_MS = 150 };

typedef Locket__Cluster__V1__SyncRequest Files;

/* --- the fake ----------------------------------------------------------------------------------
 */

/* What a try of a Secret is to come to. */
struct outcome {
    enum secret_result result;
    enum code code;
};

static struct {
    pthread_mutex_t lock;
    struct secret_sync *sync;
    struct metrics *metrics;
    const char *class_text; /* NULL: it has not come */
    struct outcome a;       /* of Secret a; b always works */
    char *asked;            /* paths, with blanks between; ';' after each time */
    char *run;              /* Secrets that were tried */
    char *told;             /* Secrets that people were told of */
    char *left;             /* Secrets that are looked after, "*": each of the class */
    int done;               /* deliveries that were let go */
} fake = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void add(char **to, const char *text, const char *after)
{
    char *before = *to;

    *to = str_printf("%s%s%s", before ? before : "", text, after);
    free(before);
}

int __wrap_class_cache_peek(struct class_cache *cache, const char *ns, const char *name,
                            bool *ret_known, struct class **ret, struct error *err);
int __wrap_class_cache_peek(struct class_cache *cache, const char *ns, const char *name,
                            bool *ret_known, struct class **ret, struct error *err)
{
    struct tree *t autotree = NULL;
    const char *text;

    (void)cache;
    assert_string_equal(ns, "shop");
    assert_string_equal(name, "app");
    (void)pthread_mutex_lock(&fake.lock);
    text = fake.class_text;
    (void)pthread_mutex_unlock(&fake.lock);
    *ret_known = text != NULL;
    if (!text)
        return 0;
    return json_parse(text, strlen(text), &t, err) < 0 ? -1 : class_read(t, ret, err);
}

void __wrap_driver_line_want_files(struct driver_line *line, const char *volume_id,
                                   const char *const *paths, size_t count);
void __wrap_driver_line_want_files(struct driver_line *line, const char *volume_id,
                                   const char *const *paths, size_t count)
{
    (void)line;
    assert_string_equal(volume_id, "csi-1");
    (void)pthread_mutex_lock(&fake.lock);
    for (size_t i = 0; i < count; i++)
        add(&fake.asked, paths[i], i + 1 < count ? " " : ";");
    (void)pthread_mutex_unlock(&fake.lock);
}

int64_t __wrap_kube_api_answered_ms(struct kube_api *api);
int64_t __wrap_kube_api_answered_ms(struct kube_api *api)
{
    (void)api;
    return clock_mono_ms();
}

int __wrap_secret_run(const struct secret_run *run, size_t place, enum secret_result *ret,
                      struct error *err);
int __wrap_secret_run(const struct secret_run *run, size_t place, enum secret_result *ret,
                      struct error *err)
{
    const char *name = run->class->secret_objects.list[place].name;
    struct outcome outcome = { SECRET_APPLIED, CODE_OK };

    (void)pthread_mutex_lock(&fake.lock);
    add(&fake.run, name, ";");
    if (strcmp(name, "a") == 0)
        outcome = fake.a;
    (void)pthread_mutex_unlock(&fake.lock);
    *ret = outcome.result;
    return outcome.code ? error_set(err, outcome.code, "no") : 0;
}

void __wrap_secret_event(struct events *events, const struct secret_event *event);
void __wrap_secret_event(struct events *events, const struct secret_event *event)
{
    (void)events;
    (void)pthread_mutex_lock(&fake.lock);
    add(&fake.told, event->secret, event->err ? ";" : "!");
    (void)pthread_mutex_unlock(&fake.lock);
}

struct secret_leavers *__wrap_secret_leavers_new(struct kube_api *api, struct class_cache *classes);
struct secret_leavers *__wrap_secret_leavers_new(struct kube_api *api, struct class_cache *classes)
{
    (void)api;
    (void)classes;
    return NULL;
}

void __wrap_secret_leavers_add(struct secret_leavers *all, const struct secret_leaver *leaver);
void __wrap_secret_leavers_add(struct secret_leavers *all, const struct secret_leaver *leaver)
{
    (void)all;
    assert_string_equal(leaver->pod_uid, "u1");
    (void)pthread_mutex_lock(&fake.lock);
    add(&fake.left, leaver->secret ? leaver->secret : "*", ";");
    (void)pthread_mutex_unlock(&fake.lock);
}

void __wrap_secret_leavers_end(struct secret_leavers *all);
void __wrap_secret_leavers_end(struct secret_leavers *all)
{
    (void)all;
}

void __wrap_secret_leavers_free(struct secret_leavers *all);
void __wrap_secret_leavers_free(struct secret_leavers *all)
{
    (void)all;
}

/* --- the world ---------------------------------------------------------------------------------
 */

#define CLASS(objects_)                                                                            \
    "{\"apiVersion\":\"secrets-store.csi.x-k8s.io/v1\",\"kind\":\"SecretProviderClass\","          \
    "\"metadata\":{\"name\":\"app\",\"namespace\":\"shop\"},\"spec\":{\"provider\":\"file\","      \
    "\"secretObjects\":[" objects_ "]}}"
#define OBJECT(name_, path_)                                                                       \
    "{\"secretName\":\"" name_                                                                     \
    "\",\"type\":\"Opaque\",\"data\":[{\"key\":\"k\",\"objectName\":\"" path_ "\"}]}"
#define TWO CLASS(OBJECT("a", "one") "," OBJECT("b", "folder/two"))
#define NONE CLASS("")

static int set_up(void **state)
{
    const struct secret_sync_config config = {
        .check_ms = 3600 * 1000,
        .metrics = metrics_new(agent_metric_rows, AM_COUNT),
        .results = AM_SECRET_SYNCS,
        .written = AM_SYNC_SECRETS,
        .seconds = AM_SYNC_SECRET_SECONDS,
    };

    (void)state;
    fake.metrics = config.metrics;
    fake.class_text = TWO;
    fake.a = (struct outcome){ SECRET_APPLIED, CODE_OK };
    fake.done = 0;
    fake.sync = secret_sync_new(&config);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    secret_sync_free(fake.sync);
    metrics_free(fake.metrics);
    free(take(fake.asked));
    free(take(fake.run));
    free(take(fake.told));
    free(take(fake.left));
    return 0;
}

static struct synced_volume volume_at(int64_t changed)
{
    return (struct synced_volume){ "csi-1", "shop", "web-0", "u1", "app", changed };
}

static void set(int64_t changed)
{
    struct synced_volume v = volume_at(changed);

    secret_sync_set(fake.sync, &v);
}

static void leave(void)
{
    struct synced_volume v = volume_at(0);

    secret_sync_remove(fake.sync, &v);
}

/* Waits until one of the fake's texts is this; NULL: until some time has passed without any. */
static void wait_for(char *const *text, const char *is)
{
    int64_t end = clock_mono_ms() + (is ? WAIT_MS : STILL_MS);
    autofree char *last = NULL;
    bool reached = false;

    while (!reached && clock_mono_ms() < end) {
        clock_sleep_ms(1);
        (void)pthread_mutex_lock(&fake.lock);
        reached = is ? str_same(*text, is) : *text != NULL;
        free(last);
        last = *text ? xstrdup(*text) : NULL;
        (void)pthread_mutex_unlock(&fake.lock);
    }
    if (reached != (is != NULL))
        fail_msg("%s, not %s", last ? last : "(nothing)", is ? is : "(nothing)");
}

/* What was noted until now is forgotten. */
static void forget(char **text)
{
    (void)pthread_mutex_lock(&fake.lock);
    free(take(*text));
    (void)pthread_mutex_unlock(&fake.lock);
}

static void count_done(void *arg)
{
    (void)arg;
    (void)pthread_mutex_lock(&fake.lock);
    fake.done++;
    (void)pthread_mutex_unlock(&fake.lock);
}

/* The files come, or why they could not be read; waits until they were dealt with. */
static void deliver(const char *volume_id, const char *failure)
{
    Files files = LOCKET__CLUSTER__V1__SYNC_REQUEST__INIT;
    int64_t end = clock_mono_ms() + WAIT_MS;
    int before = fake.done;
    bool over = false;

    files.volume_id = (char *)volume_id;
    files.error = (char *)failure;
    assert_int_equal(secret_sync_take(fake.sync, &files, count_done, NULL, NULL), 0);
    while (!over && clock_mono_ms() < end) {
        clock_sleep_ms(1);
        (void)pthread_mutex_lock(&fake.lock);
        over = fake.done > before;
        (void)pthread_mutex_unlock(&fake.lock);
    }
    assert_true(over);
}

static void set_a(enum secret_result result, enum code code)
{
    (void)pthread_mutex_lock(&fake.lock);
    fake.a = (struct outcome){ result, code };
    (void)pthread_mutex_unlock(&fake.lock);
}

/* --- asking and writing ------------------------------------------------------------------------
 */

static void files_are_asked_for_when_content_changed_and_not_else(void **state)
{
    (void)state;
    set(1);
    wait_for(&fake.asked, "one folder/two;");
    deliver("csi-1", "");
    wait_for(&fake.run, "a;b;");
    forget(&fake.asked);
    set(1);
    wait_for(&fake.asked, NULL);
    set(2);
    wait_for(&fake.asked, "one folder/two;");
}

static void a_class_that_wishes_for_nothing_asks_for_nothing(void **state)
{
    (void)state;
    fake.class_text = NONE;
    set(1);
    wait_for(&fake.asked, NULL);
    (void)pthread_mutex_lock(&fake.lock);
    fake.class_text = TWO;
    (void)pthread_mutex_unlock(&fake.lock);
    secret_sync_class(fake.sync, "shop", "other");
    secret_sync_class(fake.sync, "elsewhere", "app");
    wait_for(&fake.asked, NULL);
    secret_sync_class(fake.sync, "shop", "app");
    wait_for(&fake.asked, "one folder/two;");
}

static void a_class_that_comes_late_is_waited_for(void **state)
{
    (void)state;
    fake.class_text = NULL;
    set(1);
    wait_for(&fake.asked, NULL);
    (void)pthread_mutex_lock(&fake.lock);
    fake.class_text = TWO;
    (void)pthread_mutex_unlock(&fake.lock);
    wait_for(&fake.asked, "one folder/two;");
}

static void what_is_denied_is_told_once_and_held_back_until_something_changes(void **state)
{
    (void)state;
    set_a(SECRET_DENIED, CODE_PERMISSION_DENIED);
    set(1);
    wait_for(&fake.asked, "one folder/two;");
    deliver("csi-1", "");
    wait_for(&fake.told, "a;");
    assert_int_equal(secret_sync_behind(fake.sync), 1);
    forget(&fake.run);
    deliver("csi-1", "");
    wait_for(&fake.run, "b;");
    set_a(SECRET_APPLIED, CODE_OK);
    set(2);
    deliver("csi-1", "");
    wait_for(&fake.run, "b;a;b;");
    assert_int_equal(secret_sync_behind(fake.sync), 0);
}

static void what_failed_is_asked_for_again_soon(void **state)
{
    (void)state;
    set_a(SECRET_FAILED, CODE_ABORTED);
    set(1);
    wait_for(&fake.asked, "one folder/two;");
    deliver("csi-1", "");
    wait_for(&fake.asked, "one folder/two;one folder/two;");
    wait_for(&fake.told, NULL);
}

static void files_that_could_not_be_read_write_nothing(void **state)
{
    (void)state;
    set(1);
    wait_for(&fake.asked, "one folder/two;");
    deliver("csi-1", "disk on fire");
    assert_int_equal(secret_sync_behind(fake.sync), 2);
    deliver("csi-2", "");
    wait_for(&fake.run, NULL);
}

static void where_nothing_is_synced_and_at_the_end_files_are_refused(void **state)
{
    Files files = LOCKET__CLUSTER__V1__SYNC_REQUEST__INIT;
    struct error err = { 0 };

    (void)state;
    assert_int_equal(secret_sync_take(NULL, &files, count_done, NULL, &err), -1);
    assert_int_equal(err.code, CODE_FAILED_PRECONDITION);
    secret_sync_end(fake.sync);
    assert_int_equal(secret_sync_take(fake.sync, &files, count_done, NULL, &err), -1);
    assert_int_equal(err.code, CODE_UNAVAILABLE);
    assert_int_equal(fake.done, 0);
}

/* --- leaving -----------------------------------------------------------------------------------
 */

static const struct {
    const char *says;
    const char *class_text;
    bool known;     /* the volume was told of */
    bool delivered; /* and its files came */
    struct outcome a;
    const char *left;
} leavings[] = {
    { "one whose Secrets are owned leaves nothing",
      TWO,
      true,
      true,
      { SECRET_APPLIED, CODE_OK },
      NULL },
    { "nor one whose content yielded", TWO, true, true, { SECRET_YIELDED, CODE_OK }, NULL },
    { "one whose Secret failed may have left it unowned",
      TWO,
      true,
      true,
      { SECRET_FAILED, CODE_UNAVAILABLE },
      "a;" },
    { "one that an owner was denied of, too",
      TWO,
      true,
      true,
      { SECRET_DENIED, CODE_PERMISSION_DENIED },
      "a;" },
    { "one that was not looked after yet", TWO, true, false, { SECRET_APPLIED, CODE_OK }, "a;b;" },
    { "one whose class has no Secrets, or has not come",
      NONE,
      true,
      false,
      { SECRET_APPLIED, CODE_OK },
      "*;" },
    { "one that an agent before us knew", TWO, false, false, { SECRET_APPLIED, CODE_OK }, "*;" },
};

static void a_volume_that_left_is_looked_after_where_an_owner_may_lack(void **state)
{
    for (size_t i = 0; i < COUNT_OF(leavings); i++) {
        if (i) {
            (void)tear_down(state);
            (void)set_up(state);
        }
        fake.class_text = leavings[i].class_text;
        set_a(leavings[i].a.result, leavings[i].a.code);
        if (leavings[i].known)
            set(1);
        if (leavings[i].known && strstr(leavings[i].class_text, "one"))
            wait_for(&fake.asked, "one folder/two;");
        if (leavings[i].delivered)
            deliver("csi-1", "");
        leave();
        if (!str_same(fake.left, leavings[i].left))
            fail_msg("%s: %s", leavings[i].says, fake.left ? fake.left : "(nothing)");
    }
}

static void of_a_volume_that_is_known_its_id_is_enough(void **state)
{
    const struct synced_volume v = { "csi-1", "", "", "", "", 0 };

    (void)state;
    set(1);
    wait_for(&fake.asked, "one folder/two;");
    secret_sync_remove(fake.sync, &v);
    assert_string_equal(fake.left, "a;b;");
}

static void one_of_which_nothing_is_known_is_not_looked_after(void **state)
{
    const struct synced_volume v = { "csi-1", "", "", "", "", 0 };

    (void)state;
    secret_sync_remove(fake.sync, &v);
    assert_null(fake.left);
    secret_sync_remove(NULL, &v);
}

static void a_volume_that_left_is_not_asked_for_again(void **state)
{
    (void)state;
    set_a(SECRET_FAILED, CODE_ABORTED);
    set(1);
    wait_for(&fake.asked, "one folder/two;");
    deliver("csi-1", "");
    leave();
    forget(&fake.asked);
    secret_sync_class(fake.sync, "shop", "app");
    wait_for(&fake.asked, NULL);
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_world(files_are_asked_for_when_content_changed_and_not_else),
        in_world(a_class_that_wishes_for_nothing_asks_for_nothing),
        in_world(a_class_that_comes_late_is_waited_for),
        in_world(what_is_denied_is_told_once_and_held_back_until_something_changes),
        in_world(what_failed_is_asked_for_again_soon),
        in_world(files_that_could_not_be_read_write_nothing),
        in_world(where_nothing_is_synced_and_at_the_end_files_are_refused),
        in_world(a_volume_that_left_is_looked_after_where_an_owner_may_lack),
        in_world(of_a_volume_that_is_known_its_id_is_enough),
        in_world(one_of_which_nothing_is_known_is_not_looked_after),
        in_world(a_volume_that_left_is_not_asked_for_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
