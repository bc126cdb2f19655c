#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FILTER_ARENA_HEAP_ONLY 0 /* also under a sanitizer: this is about the arena itself */
#include "router/filter_arena.h"

#include <string.h>

enum { OBJECTS = 4000, SIZE_MAX_TESTED = 600, LINE = 64 };

static uint64_t seed = 88172645463325252u;

static uint32_t
random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % n;
}

/* Each object is filled with its own number, so that one that overlaps another shows. */
struct object {
    uint8_t *bytes;
    size_t size;
};

static struct object objects[OBJECTS];

static void
take(struct filter_arena *arena, uint32_t i)
{
    struct object *o = &objects[i];
    o->size = 1 + random_below(SIZE_MAX_TESTED);
    o->bytes = filter_arena_take(arena, o->size);
    assert_non_null(o->bytes);
    memset(o->bytes, (int)(i & 0xff), o->size);
}

static void
give(struct filter_arena *arena, uint32_t i)
{
    struct object *o = &objects[i];
    size_t wrong = 0;
    for (size_t k = 0; k < o->size; k++) {
        wrong += o->bytes[k] != (i & 0xff);
    }
    assert_int_equal(wrong, 0);
    filter_arena_give(arena, o->bytes, o->size);
}

static void
objects_do_not_overlap(void **state)
{
    (void)state;
    struct filter_arena arena = {0};
    for (uint32_t i = 0; i < OBJECTS; i++) {
        take(&arena, i);
    }
    for (uint32_t round = 0; round < 5 * OBJECTS; round++) {
        uint32_t i = random_below(OBJECTS);
        give(&arena, i);
        take(&arena, i);
    }
    for (uint32_t i = 0; i < OBJECTS; i++) {
        give(&arena, i);
    }
    filter_arena_fini(&arena);
}

static void
what_fits_into_a_cache_line_lies_in_one(void **state)
{
    (void)state;
    struct filter_arena arena = {0};
    for (uint32_t i = 0; i < OBJECTS; i++) {
        take(&arena, i);
        if (objects[i].size <= LINE) {
            uintptr_t first = (uintptr_t)objects[i].bytes, last = first + objects[i].size - 1;
            assert_int_equal(first / LINE, last / LINE);
        }
    }
    for (uint32_t i = 0; i < OBJECTS; i++) {
        give(&arena, i);
    }
    filter_arena_fini(&arena);
}

static void
given_memory_is_taken_again(void **state)
{
    (void)state;
    struct filter_arena arena = {0};
    void *first = filter_arena_take(&arena, 60);
    assert_non_null(first);
    filter_arena_give(&arena, first, 60);
    assert_ptr_equal(filter_arena_take(&arena, 49), first); /* of the same class */
    filter_arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_do_not_overlap),
        cmocka_unit_test(what_fits_into_a_cache_line_lies_in_one),
        cmocka_unit_test(given_memory_is_taken_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
