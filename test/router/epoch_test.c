#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/epoch.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

static unsigned released[1024];
static unsigned released_count;

static void
note_release(struct epoch *epoch, void *memory)
{
    (void)epoch;
    released[released_count++] = *(unsigned *)memory;
    free(memory);
}

static void
retire_number(struct epoch *epoch, unsigned number)
{
    unsigned *memory = malloc(sizeof *memory);
    *memory = number;
    epoch_retire(epoch, memory, note_release);
}

static int
forget_releases(void **state)
{
    (void)state;
    released_count = 0;
    return 0;
}

static void
retired_memory_waits_for_every_online_shard(void **state)
{
    (void)state;
    for (unsigned first = 0; first <= 2; first += 2) {
        struct epoch epoch;
        epoch_init(&epoch, 3);
        epoch_online(&epoch, 0);
        epoch_online(&epoch, 2);
        released_count = 0;

        retire_number(&epoch, 1);
        epoch_reclaim(&epoch);
        assert_int_equal(released_count, 0);
        epoch_quiescent(&epoch, first);
        epoch_reclaim(&epoch);
        assert_int_equal(released_count, 0);
        epoch_quiescent(&epoch, 2 - first);
        epoch_reclaim(&epoch);
        assert_int_equal(released_count, 1);
        assert_int_equal(epoch.waiting_count, 0);
        epoch_fini(&epoch);
    }
}

static void
a_quiescent_state_before_the_retirement_counts_for_nothing(void **state)
{
    (void)state;
    struct epoch epoch;
    epoch_init(&epoch, 1);
    epoch_online(&epoch, 0);
    retire_number(&epoch, 1);
    epoch_quiescent(&epoch, 0);
    retire_number(&epoch, 2);
    epoch_reclaim(&epoch);
    assert_int_equal(released_count, 1);
    assert_int_equal(released[0], 1);
    epoch_fini(&epoch);
    assert_int_equal(released_count, 2);
}

static void
offline_shards_are_waited_for_by_nobody(void **state)
{
    (void)state;
    struct epoch epoch;
    epoch_init(&epoch, 2);
    epoch_online(&epoch, 0);
    retire_number(&epoch, 1);
    epoch_offline(&epoch, 0);
    epoch_reclaim(&epoch);
    assert_int_equal(released_count, 1);
    epoch_fini(&epoch);
}

static void
a_shard_that_comes_online_later_does_not_hold_back_what_it_cannot_see(void **state)
{
    (void)state;
    struct epoch epoch;
    epoch_init(&epoch, 1);
    retire_number(&epoch, 1);
    epoch_online(&epoch, 0);
    retire_number(&epoch, 2);
    epoch_reclaim(&epoch);
    assert_int_equal(released_count, 1);
    epoch_fini(&epoch);
}

static void
one_reclaim_frees_a_bounded_number_in_the_order_of_retirement(void **state)
{
    (void)state;
    struct epoch epoch;
    epoch_init(&epoch, 1);
    for (unsigned i = 0; i < EPOCH_RECLAIM_MAX + 100; i++) {
        retire_number(&epoch, i);
    }
    epoch_reclaim(&epoch);
    assert_int_equal(released_count, EPOCH_RECLAIM_MAX);
    epoch_reclaim(&epoch);
    assert_int_equal(released_count, EPOCH_RECLAIM_MAX + 100);
    for (unsigned i = 0; i < released_count; i++) {
        assert_int_equal(released[i], i);
    }
    epoch_fini(&epoch);
}

static void
fini_frees_what_still_waits(void **state)
{
    (void)state;
    struct epoch epoch;
    epoch_init(&epoch, 1);
    epoch_online(&epoch, 0);
    for (unsigned i = 0; i < 200; i++) {
        retire_number(&epoch, i);
    }
    epoch_retire(&epoch, malloc(10), NULL);
    epoch_fini(&epoch);
    assert_int_equal(released_count, 200);
}

/* One writer replaces a box; two readers look into it. A box freed too early is found by the sanitizers, or by its torn content. */
struct box {
    uint64_t a, b;
};

static struct epoch shared_epoch;
static _Atomic(struct box *) shared_box;
static atomic_bool stop;

static void
spoil(struct epoch *epoch, void *memory)
{
    (void)epoch;
    struct box *box = memory;
    box->a = 1;
    box->b = 2;
    free(box);
}

static void *
read_boxes(void *argument)
{
    unsigned shard = (unsigned)(uintptr_t)argument;
    uintptr_t torn = 0;
    epoch_online(&shared_epoch, shard);
    for (unsigned turn = 0; !atomic_load_explicit(&stop, memory_order_relaxed); turn++) {
        for (unsigned i = 0; i < 10; i++) {
            struct box *box = atomic_load_explicit(&shared_box, memory_order_acquire);
            torn += box->a != box->b;
        }
        if (turn % 64 == 0) {
            epoch_offline(&shared_epoch, shard);
            epoch_online(&shared_epoch, shard);
        } else {
            epoch_quiescent(&shared_epoch, shard);
        }
    }
    epoch_offline(&shared_epoch, shard);
    return (void *)torn;
}

static void
readers_never_see_freed_memory(void **state)
{
    (void)state;
    pthread_t readers[2];
    epoch_init(&shared_epoch, 2);
    atomic_store(&shared_box, calloc(1, sizeof(struct box)));
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_boxes, (void *)(uintptr_t)i), 0);
    }
    for (uint64_t i = 0; i < 50000; i++) {
        struct box *box = malloc(sizeof *box);
        box->a = box->b = i;
        struct box *old = atomic_exchange_explicit(&shared_box, box, memory_order_acq_rel);
        epoch_retire(&shared_epoch, old, spoil);
        epoch_reclaim(&shared_epoch);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++) {
        void *torn;
        pthread_join(readers[i], &torn);
        assert_null(torn);
    }
    epoch_fini(&shared_epoch);
    free(atomic_load(&shared_box));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(retired_memory_waits_for_every_online_shard, forget_releases),
        cmocka_unit_test_setup(a_quiescent_state_before_the_retirement_counts_for_nothing, forget_releases),
        cmocka_unit_test_setup(offline_shards_are_waited_for_by_nobody, forget_releases),
        cmocka_unit_test_setup(a_shard_that_comes_online_later_does_not_hold_back_what_it_cannot_see, forget_releases),
        cmocka_unit_test_setup(one_reclaim_frees_a_bounded_number_in_the_order_of_retirement, forget_releases),
        cmocka_unit_test_setup(fini_frees_what_still_waits, forget_releases),
        cmocka_unit_test(readers_never_see_freed_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
