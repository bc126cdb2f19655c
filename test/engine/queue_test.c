#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/session/page.h"
#include "engine/shard.h"

#include <stdlib.h>

static struct shard shard;
static struct budget_account account;

static struct delivery *
make(uint8_t qos, uint32_t payload_size)
{
    static const uint8_t payload[64];
    struct delivery *d = slab_take(&shard.deliveries);
    assert_non_null(d);
    d->qos = qos & 3;
    d->message = message_make(&account, bytes_of("t", 1), bytes_of("", 0), bytes_of(payload, payload_size));
    assert_non_null(d->message);
    return d;
}

static void
give(struct delivery *d)
{
    struct message *lender;
    uint16_t lender_shard;
    message_unref(&account, &d->message, &lender, &lender_shard);
    slab_give(&shard.deliveries, d);
}

static int
begin(void **state)
{
    (void)state;
    shard = (struct shard){.account = &account};
    account = (struct budget_account){0};
    slab_init(&shard.deliveries, sizeof(struct delivery), 0, &account);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    slab_fini(&shard.deliveries);
    return account.bytes == 0 ? 0 : -1;
}

static void
messages_leave_in_the_order_in_which_they_came(void **state)
{
    (void)state;
    struct queue q = {0};
    struct delivery *made[5];
    for (uint32_t i = 0; i < 5; i++) {
        made[i] = make(1, i);
        queue_append(&shard, &q, made[i]);
    }
    for (uint32_t i = 0; i < 5; i++) {
        assert_ptr_equal(queue_pop(&shard, &q), made[i]);
        give(made[i]);
    }
    assert_null(queue_pop(&shard, &q));
}

static void
counts_follow_what_is_in_it(void **state)
{
    (void)state;
    struct queue q = {0};
    uint32_t cost = message_cost(&(struct message){.topic_size = 1, .payload_size = 7});
    for (uint8_t qos = 0; qos < 3; qos++) {
        queue_append(&shard, &q, make(qos, 7));
    }
    assert_int_equal(q.count, 3);
    assert_int_equal(q.qos0_count, 1);
    assert_int_equal(q.bytes, 3 * cost);
    assert_int_equal(stats_get(&shard.stats.queued_messages), 3);
    assert_int_equal(stats_get(&shard.stats.queued_bytes), 3 * cost);
    for (uint32_t i = 0; i < 3; i++) {
        assert_false(queue_is_empty(&q));
        give(queue_pop(&shard, &q));
    }
    assert_true(queue_is_empty(&q));
    assert_int_equal(q.qos0_count + q.bytes, 0);
    assert_int_equal(stats_get(&shard.stats.queued_messages) + stats_get(&shard.stats.queued_bytes), 0);
}

static void
an_emptied_queue_takes_more(void **state)
{
    (void)state;
    struct queue q = {0};
    for (uint32_t round = 0; round < 3; round++) {
        struct delivery *d = make(1, 1);
        queue_append(&shard, &q, d);
        assert_ptr_equal(queue_pop(&shard, &q), d);
        give(d);
    }
}

static void
what_is_appended_counts_as_queued(void **state)
{
    (void)state;
    struct queue q = {0};
    struct delivery *d = make(2, 1);
    d->state = DELIVERY_PUBLISHED;
    queue_append(&shard, &q, d);
    assert_int_equal(d->state, DELIVERY_QUEUED);
    give(queue_pop(&shard, &q));
}

static void
a_message_in_several_queues_is_one_in_memory(void **state)
{
    (void)state;
    struct queue q = {0}, other = {0};
    struct delivery *d = make(1, 50), *e = slab_take(&shard.deliveries);
    uint64_t cost = message_cost(d->message);
    e->qos = 1;
    e->message = message_ref(d->message);
    queue_append(&shard, &q, d);
    queue_append(&shard, &other, e);
    assert_int_equal(shard.queue_memory, cost + 2 * sizeof *d);
    assert_int_equal(q.bytes + other.bytes, 2 * cost);
    give(queue_pop(&shard, &q));
    assert_int_equal(shard.queue_memory, cost + sizeof *d);
    give(queue_pop(&shard, &other));
    assert_int_equal(shard.queue_memory, 0);
}

/* It counts as what it stands for, takes no memory, and is not popped. */
static void
a_page_stands_for_its_messages(void **state)
{
    (void)state;
    struct queue q = {0};
    struct page page = {.count = 9, .bytes = 900};
    struct delivery item = {.paged = 1, .page = &page};
    struct delivery *before = make(1, 5), *after = make(1, 5);
    queue_append(&shard, &q, before);
    queue_append(&shard, &q, after);
    uint64_t memory = shard.queue_memory;
    queue_insert(&shard, &q, after, &item);
    assert_int_equal(q.count, 11);
    assert_int_equal(q.paged_bytes, 900);
    assert_int_equal(stats_get(&shard.stats.paged_messages), 9);
    assert_int_equal(shard.queue_memory, memory);
    assert_ptr_equal(queue_pop(&shard, &q), before);
    give(before);
    assert_null(queue_pop(&shard, &q));
    assert_false(queue_is_ready(&q) || queue_is_empty(&q));
    queue_take(&shard, &q, &item);
    assert_int_equal(q.paged_bytes + stats_get(&shard.stats.paged_bytes), 0);
    assert_ptr_equal(queue_pop(&shard, &q), after);
    give(after);
    assert_true(queue_is_empty(&q));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_leave_in_the_order_in_which_they_came, begin, end),
        cmocka_unit_test_setup_teardown(counts_follow_what_is_in_it, begin, end),
        cmocka_unit_test_setup_teardown(an_emptied_queue_takes_more, begin, end),
        cmocka_unit_test_setup_teardown(what_is_appended_counts_as_queued, begin, end),
        cmocka_unit_test_setup_teardown(a_message_in_several_queues_is_one_in_memory, begin, end),
        cmocka_unit_test_setup_teardown(a_page_stands_for_its_messages, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
