#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/session/inflight.h"

#include <stdlib.h>
#include <string.h>

#define IDS_MAX 65535u

static struct budget_account account;
static uint64_t seed = 88172645463325252u;

static uint32_t
random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % n;
}

/*
 * The slow twin: who holds which identifier, and in which order they came. `serial` of an item only grows, so the order of the list is that of the
 * serials of those that are in.
 */
struct item {
    struct delivery delivery; /* first: a delivery is its item */
    uint64_t serial;
    bool in;
};

struct twin {
    struct inflight f;
    struct item *items;
    uint32_t item_count;
    struct item *holders[IDS_MAX + 1]; /* by packet identifier */
    struct item *resend;
    uint64_t serial;
    uint32_t count;
};

static struct twin twin;

static void
begin(uint32_t item_count)
{
    twin = (struct twin){.item_count = item_count};
    twin.items = calloc(item_count, sizeof *twin.items);
    assert_non_null(twin.items);
}

static void
add(struct item *item)
{
    uint64_t serial = ++twin.serial;
    assert_true(inflight_add(&account, &twin.f, &item->delivery));
    uint16_t id = item->delivery.packet_id;
    assert_int_not_equal(id, 0);
    assert_null(twin.holders[id]);
    twin.holders[id] = item;
    item->serial = serial;
    item->in = true;
    twin.count++;
}

/* The one that came next after `item`, by looking at all of them. */
static struct item *
after(const struct item *item)
{
    struct item *next = NULL;
    for (uint32_t i = 0; i < twin.item_count; i++) {
        struct item *other = &twin.items[i];
        if (other->in && other->serial > item->serial && (next == NULL || other->serial < next->serial)) {
            next = other;
        }
    }
    return next;
}

static void
drop(struct item *item)
{
    uint16_t id = item->delivery.packet_id;
    item->in = false;
    if (twin.resend == item) {
        twin.resend = after(item);
    }
    inflight_remove(&twin.f, &item->delivery);
    assert_int_equal(item->delivery.packet_id, id); /* whoever gives up the delivery may still say which it was */
    assert_null(item->delivery.next);
    assert_null(item->delivery.previous);
    twin.holders[id] = NULL;
    twin.count--;
}

static void
check_list(void)
{
    const struct inflight *f = &twin.f;
    uint32_t listed = 0;
    uint64_t serial = 0;
    const struct delivery *previous = NULL;
    for (const struct delivery *d = f->first; d != NULL; d = d->next) {
        const struct item *item = (const struct item *)(const void *)d;
        assert_true(item->in);
        assert_true(item->serial > serial);
        assert_ptr_equal(d->previous, previous);
        serial = item->serial;
        previous = d;
        listed++;
    }
    assert_ptr_equal(f->last, previous);
    assert_int_equal(listed, twin.count);
}

static void
check(void)
{
    const struct inflight *f = &twin.f;
    assert_int_equal(f->count, twin.count);
    uint32_t wanted = twin.count * 2 < IDS_MAX ? twin.count * 2 : IDS_MAX;
    assert_in_range(f->slot_count, wanted, IDS_MAX); /* V2 */
    for (uint32_t id = 0; id <= IDS_MAX; id++) {    /* V1 */
        assert_ptr_equal(inflight_get(f, (uint16_t)id), twin.holders[id]);
    }
    assert_ptr_equal(f->resend, twin.resend);
    check_list();
}

static void
end(void)
{
    for (uint32_t i = 0; i < twin.item_count; i++) {
        if (twin.items[i].in) {
            twin.items[i].in = false;
            inflight_remove(&twin.f, &twin.items[i].delivery);
        }
    }
    assert_null(twin.f.first);
    assert_null(twin.f.last);
    assert_null(twin.f.resend);
    inflight_fini(&account, &twin.f);
    assert_null(twin.f.slots);
    free(twin.items);
}

/* ---------------------------------------------------------------------------------------------------------------------- claims */

static void
nothing_is_found_in_an_empty_one(void **state)
{
    (void)state;
    struct inflight f = {0};
    assert_null(inflight_get(&f, 0));
    assert_null(inflight_get(&f, 1));
    assert_null(inflight_get(&f, 65535));
    inflight_fini(&account, &f);
}

static void
identifiers_are_never_0_and_lie_within_the_slots(void **state)
{
    (void)state;
    begin(100);
    for (uint32_t i = 0; i < 100; i++) {
        add(&twin.items[i]);
        assert_in_range(twin.items[i].delivery.packet_id, 1, twin.f.slot_count);
        check();
    }
    end();
}

/* A late acknowledgement of an identifier should meet nobody, rather than the next message. */
static void
an_identifier_given_back_is_not_the_next_one_given(void **state)
{
    (void)state;
    begin(1);
    for (uint32_t i = 0; i < 20; i++) {
        uint16_t before = twin.items[0].delivery.packet_id;
        add(&twin.items[0]);
        assert_int_not_equal(twin.items[0].delivery.packet_id, before);
        drop(&twin.items[0]);
    }
    end();
}

static void
order_is_that_of_adding_whatever_the_identifiers(void **state)
{
    (void)state;
    begin(8);
    for (uint32_t i = 0; i < 4; i++) {
        add(&twin.items[i]);
    }
    drop(&twin.items[1]);
    drop(&twin.items[0]);
    for (uint32_t i = 4; i < 8; i++) {
        add(&twin.items[i]);
    }
    add(&twin.items[0]);
    add(&twin.items[1]);
    check();
    static const uint32_t order[] = {2, 3, 4, 5, 6, 7, 0, 1};
    const struct delivery *d = twin.f.first;
    for (uint32_t i = 0; i < 8; i++, d = d->next) {
        assert_ptr_equal(d, &twin.items[order[i]].delivery);
    }
    assert_null(d);
    end();
}

static void
removing_the_one_to_resend_moves_on_to_the_next(void **state)
{
    (void)state;
    begin(5);
    for (uint32_t i = 0; i < 5; i++) {
        add(&twin.items[i]);
    }
    twin.resend = &twin.items[1];
    twin.f.resend = &twin.items[1].delivery;
    drop(&twin.items[0]); /* another one: stays */
    assert_ptr_equal(twin.f.resend, &twin.items[1].delivery);
    drop(&twin.items[1]);
    assert_ptr_equal(twin.f.resend, &twin.items[2].delivery);
    drop(&twin.items[3]);
    drop(&twin.items[2]);
    assert_ptr_equal(twin.f.resend, &twin.items[4].delivery);
    drop(&twin.items[4]);
    assert_null(twin.f.resend);
    end();
}

static void
what_is_added_later_is_not_to_be_resent(void **state)
{
    (void)state;
    begin(2);
    add(&twin.items[0]);
    add(&twin.items[1]);
    assert_null(twin.f.resend);
    twin.resend = &twin.items[1];
    twin.f.resend = &twin.items[1].delivery;
    drop(&twin.items[1]);
    add(&twin.items[1]);
    assert_null(twin.f.resend);
    check();
    end();
}

static void
small_and_often_it_agrees_with_its_twin(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 40; round++) {
        uint32_t items = 1 + random_below(round < 20 ? 12 : 300);
        begin(items);
        for (uint32_t step = 0; step < 2000; step++) {
            struct item *item = &twin.items[random_below(items)];
            if (item->in) {
                drop(item);
            } else {
                add(item);
            }
            if (random_below(30) == 0) { /* as a new connection does */
                twin.resend = (struct item *)(void *)twin.f.first;
                twin.f.resend = twin.f.first;
            } else if (twin.resend != NULL && random_below(4) == 0) { /* one was sent */
                twin.resend = after(twin.resend);
                twin.f.resend = twin.f.resend->next;
            }
            check_list();
            assert_ptr_equal(twin.f.resend, twin.resend);
            if (step % 100 == 0) {
                check();
            }
        }
        check();
        end();
    }
}

static void
all_65535_identifiers_can_be_in_use_and_no_more(void **state)
{
    (void)state;
    begin(IDS_MAX);
    for (uint32_t i = 0; i < IDS_MAX; i++) {
        add(&twin.items[i]);
    }
    check();
    struct delivery one_more = {0};
    assert_false(inflight_add(&account, &twin.f, &one_more));
    check();

    /* Full but for one, whichever that is: it is found. */
    for (uint32_t i = 0; i < 300; i++) {
        struct item *item = &twin.items[i == 0 ? 0 : i == 1 ? IDS_MAX - 1 : random_below(IDS_MAX)];
        uint16_t id = item->delivery.packet_id;
        drop(item);
        add(item);
        assert_int_equal(item->delivery.packet_id, id);
        assert_false(inflight_add(&account, &twin.f, &one_more));
    }
    check();
    end();
}

static void
near_full_it_agrees_with_its_twin(void **state)
{
    (void)state;
    begin(IDS_MAX);
    for (uint32_t i = 0; i < IDS_MAX; i++) {
        add(&twin.items[i]);
    }
    for (uint32_t step = 0; step < 100000; step++) {
        struct item *item = &twin.items[random_below(IDS_MAX)];
        if (item->in && random_below(100) < 30) {
            drop(item);
        } else if (!item->in) {
            add(item);
        }
        if (step % 20000 == 0) {
            check();
        }
    }
    check();
    end();
}

static void
slots_are_charged(void **state)
{
    (void)state;
    static struct delivery deliveries[1000];
    struct inflight f = {0};
    int64_t before = account.bytes;
    for (uint32_t i = 0; i < 1000; i++) {
        assert_true(inflight_add(&account, &f, &deliveries[i]));
    }
    assert_in_range(account.bytes - before, 2000 * sizeof(void *), 4000 * sizeof(void *));
    while (f.first != NULL) {
        inflight_remove(&f, f.first);
    }
    inflight_fini(&account, &f);
    assert_int_equal(account.bytes, before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_charged),
        cmocka_unit_test(nothing_is_found_in_an_empty_one),
        cmocka_unit_test(identifiers_are_never_0_and_lie_within_the_slots),
        cmocka_unit_test(an_identifier_given_back_is_not_the_next_one_given),
        cmocka_unit_test(order_is_that_of_adding_whatever_the_identifiers),
        cmocka_unit_test(removing_the_one_to_resend_moves_on_to_the_next),
        cmocka_unit_test(what_is_added_later_is_not_to_be_resent),
        cmocka_unit_test(small_and_often_it_agrees_with_its_twin),
        cmocka_unit_test(all_65535_identifiers_can_be_in_use_and_no_more),
        cmocka_unit_test(near_full_it_agrees_with_its_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
