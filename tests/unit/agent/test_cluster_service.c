/* SPDX-License-Identifier: Apache-2.0
 *
 * What is let go of when a driver came anew and does not tell of a volume that is known here.
 */
/* WRAP: pod_status_take_untold secret_sync_remove class_cache_release class_cache_tidy */
#include "agent/cluster_service.h"
#include "tests/check.h"

static struct {
    int untold; /* so many are left */
    char *log;
} fake;

static void note(const char *what, const char *name)
{
    char *before = fake.log;

    fake.log = str_printf("%s%s %s;", before ? before : "", what, name);
    free(before);
}

bool __wrap_pod_status_take_untold(struct pod_status *ps, struct pod_untold *ret);
bool __wrap_pod_status_take_untold(struct pod_status *ps, struct pod_untold *ret)
{
    (void)ps;
    if (!fake.untold)
        return false;
    ret->volume_id = str_printf("csi-%d", fake.untold--);
    ret->ns = xstrdup("shop");
    return true;
}

void __wrap_secret_sync_remove(struct secret_sync *sync, const struct synced_volume *volume);
void __wrap_secret_sync_remove(struct secret_sync *sync, const struct synced_volume *volume)
{
    (void)sync;
    note("secrets", volume->volume_id);
}

void __wrap_class_cache_release(struct class_cache *cache, const char *ns);
void __wrap_class_cache_release(struct class_cache *cache, const char *ns)
{
    (void)cache;
    note("class", ns);
}

void __wrap_class_cache_tidy(struct class_cache *cache);
void __wrap_class_cache_tidy(struct class_cache *cache)
{
    (void)cache;
}

static void a_volume_that_is_no_more_is_let_go_of_by_all_who_know_it(void **state)
{
    const struct cluster_service_parts parts = { 0 };
    struct cluster_service service;

    (void)state;
    fake.untold = 2;
    cluster_service_init(&service, &parts);
    cluster_service_tidy(&service);
    cluster_service_done(&service); /* waits for what was begun */
    assert_string_equal(fake.log, "secrets csi-2;class shop;secrets csi-1;class shop;");
    free(take(fake.log));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_volume_that_is_no_more_is_let_go_of_by_all_who_know_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
