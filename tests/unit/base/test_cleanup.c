/* SPDX-License-Identifier: Apache-2.0
 *
 * Ownership by scope, the allocator, and the free that wipes.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>

#include "lib/base/cleanup.h"
#include "lib/base/wipe_malloc.h"
#include "tests/check.h"

static void what_is_taken_is_not_released(void **state)
{
    autofree char *text = NULL;
    int kept = -1;

    (void)state;
    {
        autofree char *inner = xstrdup("abc");
        autoclose int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        autoclose int none = -1;

        text = take(inner);
        assert_null(inner);
        kept = take_fd(&fd);
        assert_int_equal(fd, -1);
        assert_int_equal(none, -1);
    }
    assert_string_equal(text, "abc");
    assert_true(fcntl(kept, F_GETFD) >= 0);
    {
        autoclose int fd = kept;

        (void)fd;
    }
    assert_int_equal(fcntl(kept, F_GETFD), -1);
    assert_int_equal(errno, EBADF);
}

static void no_size_is_too_small_to_get(void **state)
{
    autofree void *a = xmalloc(0);
    autofree void *b = xcalloc(0, 0);
    autofree void *c = xrealloc(NULL, 0);
    autofree void *d = xmemdup(NULL, 0);
    autofree char *e = xstrndup("abc", 2);

    (void)state;
    assert_true(a && b && c && d);
    assert_string_equal(e, "ab");
}

static void texts_are_made_and_compared(void **state)
{
    autofree char *text = str_printf("%s-%d", "a", 5);

    (void)state;
    assert_string_equal(text, "a-5");
    assert_true(str_starts("abc", "ab") && str_starts("abc", "") && !str_starts("ab", "abc"));
    assert_true(str_ends("abc", "bc") && str_ends("abc", "") && !str_ends("bc", "abc"));
    assert_true(str_same("a", "a") && str_same(NULL, NULL));
    assert_false(str_same("a", NULL) || str_same(NULL, "a") || str_same("a", "b"));
}

#ifdef LOCKET_WIPE
enum { BLOCK = 4000 }; /* larger than what the allocator keeps per thread */

/* Reads memory after its release, which only this allocator makes harmless. */
static size_t left_behind(uintptr_t address, size_t len)
{
    const volatile char *at = (const volatile char *)address;
    size_t found = 0;

    for (size_t i = 64; i < len; i++) /* the allocator's own links lie at the start */
        found += at[i] == 'S';
    return found;
}

/* A number that the compiler cannot trace back to a block. */
static uintptr_t address_of(const void *block)
{
    volatile uintptr_t address = (uintptr_t)block;

    return address;
}

static char *filled(void)
{
    char *block = xmalloc(BLOCK);

    memset(block, 'S', BLOCK);
    return block;
}

static void released_memory_is_wiped(void **state)
{
    char *block = filled();
    autofree char *guard maybe_unused = filled();
    uintptr_t address = address_of(block);
    char *moved = realloc(block, (size_t)BLOCK * 8);

    (void)state;
    assert_true(wipe_malloc_is_linked());
    assert_non_null(moved);
    assert_int_equal(left_behind(address_of(moved), BLOCK), BLOCK - 64);
    assert_int_equal(left_behind(address, BLOCK), 0); /* it moved */
    address = address_of(moved);
    free(moved);
    assert_int_equal(left_behind(address, BLOCK), 0); /* it was freed */
    block = filled();
    address = address_of(block);
    moved = realloc(block, BLOCK - 1000);
    assert_int_equal(address_of(moved), address);
    assert_int_equal(left_behind(address + BLOCK - 1000, 1000), 0); /* it shrank */
    assert_int_equal(moved[BLOCK - 1001], 'S');
    assert_null(realloc(moved, 0));
}
#else
__typeof__(wipe_malloc_is_linked) wipe_malloc_is_linked __attribute__((weak));

static void a_sanitizers_own_free_is_left_in_place(void **state)
{
    (void)state;
    assert_true(!wipe_malloc_is_linked);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_is_not_released),
        cmocka_unit_test(no_size_is_too_small_to_get),
        cmocka_unit_test(texts_are_made_and_compared),
#ifdef LOCKET_WIPE
        cmocka_unit_test(released_memory_is_wiped),
#else
        cmocka_unit_test(a_sanitizers_own_free_is_left_in_place),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
