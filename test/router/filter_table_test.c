#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/epoch.h"
#include "router/filter_table.h"

#include <pthread.h>
#include <stdlib.h>

#define OBJECTS 3000u

struct object {
    uint64_t key;
    uint32_t number;
};

static struct object objects[2][OBJECTS]; /* two of each key, to replace one by the other */

static uint64_t seed = 88172645463325252u;

static uint32_t
random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % n;
}

static uint64_t
spread(uint64_t n)
{
    n = (n + 1) * 0x9e3779b97f4a7c15;
    return n ^ n >> 29;
}

static bool
is_found(const struct filter_table *table, const struct object *object)
{
    struct filter_probe probe = filter_slots_probe(filter_table_slots(table), object->key);
    for (struct object *found; (found = filter_probe_next(&probe)) != NULL;) {
        if (found == object) {
            return true;
        }
    }
    return false;
}

static void
run_random_changes(uint64_t key_mask)
{
    struct filter_table table;
    const struct object *there[OBJECTS] = {NULL};
    uint32_t count = 0;
    assert_int_equal(filter_table_init(&table, NULL, FILTER_TABLE_DENSE), 0);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        objects[0][i] = objects[1][i] = (struct object){spread(i) & key_mask, i};
    }
    for (uint32_t step = 0; step < 40000; step++) {
        /* Waves: it grows, then shrinks. */
        uint32_t i = random_below(OBJECTS);
        bool growing = step / 10000 % 2 == 0;
        if (there[i] == NULL && (growing || random_below(8) == 0)) {
            struct object *object = &objects[random_below(2)][i];
            assert_int_equal(filter_table_reserve(&table), 0);
            filter_table_insert(&table, object);
            there[i] = object;
            count++;
        } else if (there[i] != NULL && random_below(4) == 0) {
            struct object *other = &objects[there[i] == &objects[0][i]][i];
            filter_table_replace(&table, there[i], other);
            there[i] = other;
        } else if (there[i] != NULL && (!growing || random_below(8) == 0)) {
            filter_table_remove(&table, there[i]);
            there[i] = NULL;
            count--;
        }
        uint32_t look = random_below(OBJECTS);
        for (uint32_t twin = 0; twin < 2; twin++) {
            assert_int_equal(is_found(&table, &objects[twin][look]), there[look] == &objects[twin][look]);
        }
        if (step % 2000 == 0) {
            uint32_t seen = 0;
            for (uint64_t slot = 0; slot < filter_table_slot_count(&table); slot++) {
                const struct object *object = filter_table_at(&table, slot);
                assert_true(object == NULL || there[object->number] == object);
                seen += object != NULL;
            }
            assert_int_equal(seen, count);
            filter_table_check(&table);
        }
    }
    filter_table_fini(&table);
}

static void
random_changes_leave_what_the_twin_says(void **state)
{
    (void)state;
    run_random_changes(UINT64_MAX);
}

/* Few different buckets, few different tags: long probes, full buckets, equal tags. */
static void
keys_that_crowd_are_told_apart(void **state)
{
    (void)state;
    run_random_changes(0x000f00000000003f);
    run_random_changes(0x0003000000000007 << 3);
}

static void
a_table_shrinks_after_most_has_gone(void **state)
{
    (void)state;
    struct filter_table table;
    assert_int_equal(filter_table_init(&table, NULL, FILTER_TABLE_DENSE), 0);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        objects[0][i].key = spread(i);
        assert_int_equal(filter_table_reserve(&table), 0);
        filter_table_insert(&table, &objects[0][i]);
    }
    uint64_t large = filter_table_slot_count(&table);
    assert_true(large < OBJECTS * 4);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        filter_table_remove(&table, &objects[0][i]);
        if (i % 300 == 0) {
            filter_table_check(&table);
        }
    }
    assert_true(filter_table_slot_count(&table) <= 64);
    filter_table_fini(&table);
}

/* T4 for readers: what is there all the time is found all the time, while the table grows, shrinks and is copied. */
static struct filter_table shared;
static struct epoch epoch;
static atomic_bool stop;

static void *
look_all_the_while(void *argument)
{
    unsigned shard = (unsigned)(uintptr_t)argument;
    uintptr_t missed = 0;
    epoch_online(&epoch, shard);
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        for (uint32_t i = 0; i < 50; i++) {
            missed += !is_found(&shared, &objects[0][i]);
        }
        epoch_quiescent(&epoch, shard);
    }
    epoch_offline(&epoch, shard);
    return (void *)missed;
}

static void
readers_find_what_stays_while_the_table_is_copied(void **state)
{
    (void)state;
    epoch_init(&epoch, 2);
    assert_int_equal(filter_table_init(&shared, &epoch, FILTER_TABLE_SPARSE), 0);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        objects[0][i].key = spread(i) & 0x00ff00000000ffff;
        if (i < 50) {
            assert_int_equal(filter_table_reserve(&shared), 0);
            filter_table_insert(&shared, &objects[0][i]);
        }
    }
    pthread_t readers[2];
    for (unsigned i = 0; i < 2; i++) {
        pthread_create(&readers[i], NULL, look_all_the_while, (void *)(uintptr_t)i);
    }
    for (uint32_t wave = 0; wave < 8; wave++) {
        for (uint32_t i = 50; i < OBJECTS; i++) {
            assert_int_equal(filter_table_reserve(&shared), 0);
            filter_table_insert(&shared, &objects[0][i]);
            epoch_reclaim(&epoch);
        }
        for (uint32_t i = 50; i < OBJECTS; i++) {
            filter_table_remove(&shared, &objects[0][i]);
            epoch_reclaim(&epoch);
        }
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++) {
        void *missed;
        pthread_join(readers[i], &missed);
        assert_null(missed);
    }
    filter_table_check(&shared);
    filter_table_fini(&shared);
    epoch_fini(&epoch);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_leave_what_the_twin_says),
        cmocka_unit_test(keys_that_crowd_are_told_apart),
        cmocka_unit_test(a_table_shrinks_after_most_has_gone),
        cmocka_unit_test(readers_find_what_stays_while_the_table_is_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
