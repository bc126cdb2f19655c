#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/identity/hook_cache.h"

#include <stdlib.h>

static struct hook_cache cache;

static int
begin(void **state)
{
    (void)state;
    hook_cache_resize(&cache, 64);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    hook_cache_check(&cache);
    hook_cache_fini(&cache);
    return 0;
}

static struct keyed_hash
hash_of(uint64_t set, uint64_t number)
{
    return (struct keyed_hash){{set, number}};
}

static void
add(uint64_t set, uint64_t number, uint8_t result, uint64_t now_ms, uint64_t end_ms)
{
    hook_cache_add(&cache, hash_of(set, number), &(struct hook_answer){.result = result}, now_ms, end_ms);
}

static bool
finds(uint64_t set, uint64_t number, uint8_t result, uint64_t now_ms)
{
    const struct hook_answer *answer = hook_cache_find(&cache, hash_of(set, number), now_ms);
    return answer != NULL && answer->result == result;
}

static void
an_answer_is_found_until_its_end(void **state)
{
    (void)state;
    assert_null(hook_cache_find(&cache, hash_of(0, 1), 10));
    add(0, 1, HOOK_DENY, 10, 20);
    assert_true(finds(0, 1, HOOK_DENY, 10));
    assert_true(finds(0, 1, HOOK_DENY, 19));
    assert_null(hook_cache_find(&cache, hash_of(0, 1), 20));
    assert_null(hook_cache_find(&cache, hash_of(0, 2), 10));
}

static void
a_new_answer_replaces_the_old_one(void **state)
{
    (void)state;
    add(3, 1, HOOK_DENY, 10, 20);
    add(3, 1, HOOK_ALLOW, 12, 30);
    assert_true(finds(3, 1, HOOK_ALLOW, 25));
}

static void
a_full_set_gives_up_what_ends_first(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < HOOK_CACHE_WAYS; i++) {
        add(1, i + 1, HOOK_ALLOW, 0, i == 3 ? 50 : 100 + i);
    }
    add(1, 99, HOOK_ALLOW, 10, 60);
    assert_null(hook_cache_find(&cache, hash_of(1, 4), 10));
    assert_true(finds(1, 99, HOOK_ALLOW, 10));
    for (uint64_t i = 0; i < HOOK_CACHE_WAYS; i++) {
        assert_true(i == 3 || finds(1, i + 1, HOOK_ALLOW, 10));
    }
}

static void
an_answer_without_time_is_not_kept(void **state)
{
    (void)state;
    add(1, 1, HOOK_ALLOW, 10, 10);
    assert_null(hook_cache_find(&cache, hash_of(1, 1), 10));
    assert_int_equal(hook_cache_bytes(&cache), 0);
}

static void
a_cache_of_no_entries_keeps_nothing(void **state)
{
    (void)state;
    hook_cache_resize(&cache, 0);
    add(1, 1, HOOK_ALLOW, 10, 100);
    assert_null(hook_cache_find(&cache, hash_of(1, 1), 10));
    assert_int_equal(hook_cache_bytes(&cache), 0);
}

static void
another_size_forgets_and_the_same_does_not(void **state)
{
    (void)state;
    add(1, 1, HOOK_ALLOW, 10, 100);
    size_t bytes = hook_cache_bytes(&cache);
    assert_true(bytes > 0);
    hook_cache_resize(&cache, 64);
    assert_true(finds(1, 1, HOOK_ALLOW, 10));
    hook_cache_resize(&cache, 128);
    assert_null(hook_cache_find(&cache, hash_of(1, 1), 10));
    add(1, 1, HOOK_ALLOW, 10, 100);
    assert_int_equal(hook_cache_bytes(&cache), 2 * bytes);
}

static void
it_never_grows_and_never_forgets_the_newest(void **state)
{
    (void)state;
    add(0, 1, HOOK_ALLOW, 0, 10);
    size_t bytes = hook_cache_bytes(&cache);
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t set = i * 2654435761u, now_ms = i;
        add(set, i, HOOK_ALLOW, now_ms, now_ms + 100 + i % 50);
        assert_true(finds(set, i, HOOK_ALLOW, now_ms));
    }
    assert_int_equal(hook_cache_bytes(&cache), bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_is_found_until_its_end),
        TEST(a_new_answer_replaces_the_old_one),
        TEST(a_full_set_gives_up_what_ends_first),
        TEST(an_answer_without_time_is_not_kept),
        TEST(a_cache_of_no_entries_keeps_nothing),
        TEST(another_size_forgets_and_the_same_does_not),
        TEST(it_never_grows_and_never_forgets_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
