#include "alloc/slab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static struct budget_account account;

static void
taken_objects_are_zeroed_also_the_second_time(void **state)
{
    (void)state;
    static const uint8_t zeros[100];
    struct slab slab;
    slab_init(&slab, sizeof zeros, 0, &account);
    for (int i = 0; i < 10; i++) {
        uint8_t *object = slab_take(&slab);
        assert_memory_equal(object, zeros, sizeof zeros);
        memset(object, 0xee, sizeof zeros);
        slab_give(&slab, object);
    }
    slab_fini(&slab);
}

static void
a_full_slab_answers_null_until_one_is_given_back(void **state)
{
    (void)state;
    void *objects[3];
    struct slab slab;
    slab_init(&slab, 24, 3, &account);
    for (int i = 0; i < 3; i++) {
        objects[i] = slab_take(&slab);
        assert_non_null(objects[i]);
    }
    assert_null(slab_take(&slab));
    slab_give(&slab, objects[1]);
    objects[1] = slab_take(&slab);
    assert_non_null(objects[1]);
    assert_null(slab_take(&slab));
    for (int i = 0; i < 3; i++) {
        slab_give(&slab, objects[i]);
    }
    slab_fini(&slab);
}

static void
objects_are_aligned_as_their_size(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 8, 16, 24, 32, 64, 192, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *objects[20];
        struct slab slab;
        slab_init(&slab, sizes[i], 0, &account);
        uint32_t natural = sizes[i] < 8 ? 8 : sizes[i] & -sizes[i];
        uint32_t alignment = natural > 64 ? 64 : natural;
        for (int j = 0; j < 20; j++) {
            objects[j] = slab_take(&slab);
            assert_int_equal((uintptr_t)objects[j] % alignment, 0);
        }
        for (int j = 0; j < 20; j++) {
            slab_give(&slab, objects[j]);
        }
        slab_fini(&slab);
    }
}

static void
blocks_are_charged_and_refunded(void **state)
{
    (void)state;
    int64_t before = account.bytes;
    struct slab slab;
    slab_init(&slab, 1000, 0, &account);
    assert_int_equal(account.bytes, before);
    void *object = slab_take(&slab);
    assert_true(account.bytes >= before + 1000);
    slab_give(&slab, object);
    slab_fini(&slab);
    assert_int_equal(account.bytes, before);
}

/* Takes and gives at random; each taken object keeps a stamp of its own. */
static void
objects_never_overlap(void **state)
{
    (void)state;
    enum { OBJECTS = 3000, SIZE = 40 };
    static uint8_t *taken[OBJECTS];
    struct slab slab;
    slab_init(&slab, SIZE, 0, &account);
    srand(7);
    for (int step = 0; step < 60000; step++) {
        int i = rand() % OBJECTS;
        if (taken[i] == NULL) {
            taken[i] = slab_take(&slab);
            memset(taken[i], i & 0xff, SIZE);
            continue;
        }
        for (int j = 0; j < SIZE; j++) {
            assert_int_equal(taken[i][j], i & 0xff);
        }
        slab_give(&slab, taken[i]);
        taken[i] = NULL;
    }
    for (int i = 0; i < OBJECTS; i++) {
        if (taken[i] != NULL) {
            slab_give(&slab, taken[i]);
        }
    }
    assert_int_equal(slab.taken_count, 0);
    slab_fini(&slab);
}

/* Three blocks' worth, every third given back: the stamp in the readable bytes tells. */
static void
a_walk_sees_every_object_once_taken_or_not(void **state)
{
    (void)state;
    enum { OBJECTS = 200 };
    struct object { void *link; uint64_t stamp; uint8_t rest[984]; } *objects[OBJECTS];
    struct slab slab;
    slab_init(&slab, sizeof(struct object), 0, &account);
    slab_keep_readable(&slab, offsetof(struct object, rest));
    struct slab_walk nothing = {0};
    assert_null(slab_walk(&slab, &nothing));

    for (uint64_t i = 0; i < OBJECTS; i++) {
        objects[i] = slab_take(&slab);
        objects[i]->stamp = i + 1;
    }
    for (int i = 0; i < OBJECTS; i += 3) {
        objects[i]->stamp = 0;
        slab_give(&slab, objects[i]);
    }
    uint32_t seen[OBJECTS + 1] = {0};
    struct slab_walk walk = {0};
    for (const struct object *object; (object = slab_walk(&slab, &walk)) != NULL;) {
        assert_in_range(object->stamp, 0, OBJECTS);
        seen[object->stamp]++;
    }
    assert_null(slab_walk(&slab, &walk));
    for (int i = 0; i < OBJECTS; i++) {
        assert_int_equal(seen[i + 1], i % 3 != 0);
        if (i % 3 != 0) {
            slab_give(&slab, objects[i]);
        }
    }
    slab_fini(&slab);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken_objects_are_zeroed_also_the_second_time),
        cmocka_unit_test(a_full_slab_answers_null_until_one_is_given_back),
        cmocka_unit_test(objects_are_aligned_as_their_size),
        cmocka_unit_test(blocks_are_charged_and_refunded),
        cmocka_unit_test(objects_never_overlap),
        cmocka_unit_test(a_walk_sees_every_object_once_taken_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
