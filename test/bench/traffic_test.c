/* The accounts of publishers on one worker and subscribers on another. Clients here have no connection: the test is the broker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/load/process.h"
#include "bench/load/traffic.h"

#define WORKERS 2

struct bench {
    struct options options;
    struct board *board;
    struct traffic traffic[WORKERS];
    struct client_shared shared;
    struct client publisher, subscriber;
};

static void
ignore_touch(void *owner, struct client *c)
{
    (void)owner;
    c->touched = false;
}

static const struct client_events events = {.touched = ignore_touch};

/* Publisher 0 on worker 0, and a subscriber on worker 1: number 1 of `line`. */
static struct bench
set_up(const char *line)
{
    static char words[256];
    static char *argv[32];
    char error[256];
    int argc = 1;
    struct bench b = {.publisher = {.role = CLIENT_PUBLISHER}, .subscriber = {.role = CLIENT_SUBSCRIBER, .role_index = 1}};

    static char name[] = "tidewire-bench";
    argv[0] = name;
    snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    if (options_parse(argc, argv, &b.options, error, sizeof error) != OPTIONS_RUN) {
        fail_msg("%s", error);
    }
    b.board = board_open(WORKERS, scenario_count_publishers(&b.options));
    assert_non_null(b.board);
    return b;
}

static void
start(struct bench *b)
{
    for (uint32_t i = 0; i < WORKERS; i++) {
        assert_true(traffic_init(&b->traffic[i], &b->options, b->board, i));
    }
    b->shared = (struct client_shared){.events = &events, .options = &b->options};
    b->publisher.shared = b->subscriber.shared = &b->shared;
    for (uint32_t i = 0; i < b->board->publisher_count; i++) {
        b->board->publishers[i].client = &b->publisher;
    }
}

static void
finish(struct bench *b)
{
    for (uint32_t i = 0; i < WORKERS; i++) {
        traffic_settle(&b->traffic[i]);
        assert_true(traffic_send_mail(&b->traffic[i]));
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        traffic_take_mail(&b->traffic[i]);
        traffic_tally(&b->traffic[i]);
    }
}

static void
clean_up(struct bench *b)
{
    for (uint32_t i = 0; i < WORKERS; i++) {
        traffic_fini(&b->traffic[i]);
    }
    pile_fini(&b->publisher.filling);
}

/* As if publisher 0 had sent so many. */
static void
pretend_sent(struct bench *b, uint64_t count)
{
    struct publisher *p = &b->board->publishers[0];
    count_add(&p->sequence, count);
    p->outstanding += count * b->traffic[0].fan;
    count_add(&b->traffic[0].counts[COUNT_OUTSTANDING], count * b->traffic[0].fan);
    count_add(&b->traffic[0].counts[COUNT_SENT], count);
}

static void
arrive(struct bench *b, uint32_t worker, uint64_t sequence)
{
    uint8_t payload[16];
    payload_write_stamp(payload, (struct payload_stamp){.sequence = sequence});
    traffic_receive(&b->traffic[worker], &b->subscriber, bytes_of(payload, sizeof payload));
}

static uint64_t
sum(const struct bench *b, enum board_count which)
{
    struct totals totals;
    board_sum(b->board, &totals);
    return totals.of[which];
}

static void
credit_for_deliveries_reaches_the_publishers_worker(void **state)
{
    struct bench b = set_up("fanout --count 2 --size 16 --window 100");

    (void)state;
    start(&b);
    pretend_sent(&b, 10);
    for (uint64_t i = 0; i < 10; i++) {
        arrive(&b, 1, i);
    }
    assert_int_equal(b.board->publishers[0].outstanding, 20);
    assert_true(traffic_send_mail(&b.traffic[1]));
    traffic_take_mail(&b.traffic[0]);
    assert_int_equal(b.board->publishers[0].outstanding, 10);
    assert_int_equal(sum(&b, COUNT_OUTSTANDING), 10);
    assert_int_equal(sum(&b, COUNT_DELIVERED), 10);
    clean_up(&b);
}

static void
lost_duplicated_and_reordered_are_told_apart_across_workers(void **state)
{
    struct bench b = set_up("fanin --count 4 --size 16 --window 100");
    static const uint64_t arrivals[] = {0, 2, 3, 3, 5, 4, 6, 7, 8, 9};

    (void)state;
    b.subscriber.role_index = 0;
    start(&b);
    /* fanin's subscriber lives on worker 0; publisher 1 on worker 1. */
    struct publisher *p = &b.board->publishers[1];
    count_add(&p->sequence, 12);
    p->outstanding += 12;
    count_add(&b.traffic[1].counts[COUNT_OUTSTANDING], 12);
    count_add(&b.traffic[1].counts[COUNT_SENT], 12);
    for (size_t i = 0; i < sizeof arrivals / sizeof arrivals[0]; i++) {
        uint8_t payload[16];
        payload_write_stamp(payload, (struct payload_stamp){.publisher = 1, .sequence = arrivals[i]});
        traffic_receive(&b.traffic[0], &b.subscriber, bytes_of(payload, sizeof payload));
    }
    finish(&b);
    assert_int_equal(sum(&b, COUNT_DELIVERED), 9);
    assert_int_equal(sum(&b, COUNT_DUPLICATED), 1);
    assert_int_equal(sum(&b, COUNT_REORDERED), 1);
    assert_int_equal(sum(&b, COUNT_LOST), 3); /* 1, and 10 and 11, which never came */
    assert_int_equal(sum(&b, COUNT_SENT) - sum(&b, COUNT_PASSED), sum(&b, COUNT_OUTSTANDING));
    clean_up(&b);
}

static void
a_message_to_two_members_of_a_group_is_a_duplicate_wherever_they_are(void **state)
{
    struct bench b = set_up("shared --count 2 --publishers 2 --size 16 --window 100");

    (void)state;
    start(&b);
    pretend_sent(&b, 3);
    arrive(&b, 0, 1);
    arrive(&b, 1, 0);
    arrive(&b, 1, 1);
    finish(&b);
    assert_int_equal(sum(&b, COUNT_DELIVERED), 2);
    assert_int_equal(sum(&b, COUNT_DUPLICATED), 1);
    assert_int_equal(sum(&b, COUNT_REORDERED), 0);
    assert_int_equal(sum(&b, COUNT_LOST), 1);
    clean_up(&b);
}

static void
every_group_is_owed_a_copy(void **state)
{
    struct bench b = set_up("shared --count 2 --groups 2 --publishers 2 --size 16 --window 100");

    (void)state;
    start(&b);
    pretend_sent(&b, 1);
    arrive(&b, 1, 0); /* member 1 is of group 1 */
    b.subscriber.role_index = 0;
    arrive(&b, 0, 0);
    finish(&b);
    assert_int_equal(sum(&b, COUNT_DELIVERED), 2);
    assert_int_equal(sum(&b, COUNT_DUPLICATED), 0);
    assert_int_equal(sum(&b, COUNT_LOST), 0);
    clean_up(&b);
}

static void
what_nobody_sent_is_foreign(void **state)
{
    struct bench b = set_up("pairs --count 2 --size 16");
    uint8_t payload[20] = {0};

    (void)state;
    start(&b);
    pretend_sent(&b, 2);
    arrive(&b, 1, 0); /* publisher 0's, at subscriber 1 */
    arrive(&b, 1, 7); /* not sent yet */
    traffic_receive(&b.traffic[1], &b.subscriber, bytes_of(payload, sizeof payload));
    traffic_receive(&b.traffic[1], &b.subscriber, bytes_of(payload, 3));
    assert_int_equal(sum(&b, COUNT_FOREIGN), 4);
    assert_int_equal(sum(&b, COUNT_DELIVERED), 0);
    clean_up(&b);
}

static void
strangers_are_judged_from_the_first_message_heard(void **state)
{
    struct bench b = set_up("sub --count 2 --topic t");
    uint8_t payload[16];
    static const uint64_t arrivals[] = {100, 101, 103, 103};

    (void)state;
    start(&b);
    for (size_t i = 0; i < sizeof arrivals / sizeof arrivals[0]; i++) {
        payload_write_stamp(payload, (struct payload_stamp){.publisher = 4711, .sequence = arrivals[i], .due_ns = process_get_now_ns()});
        traffic_receive(&b.traffic[1], &b.subscriber, bytes_of(payload, sizeof payload));
    }
    memset(payload, 'x', sizeof payload); /* text: counted, not judged */
    traffic_receive(&b.traffic[1], &b.subscriber, bytes_of(payload, sizeof payload));
    finish(&b);
    assert_int_equal(sum(&b, COUNT_DELIVERED), 4);
    assert_int_equal(sum(&b, COUNT_LOST), 1);
    assert_int_equal(sum(&b, COUNT_DUPLICATED), 1);
    assert_int_equal(sum(&b, COUNT_FOREIGN), 0);
    clean_up(&b);
}

static void
publishers_take_turns_at_a_rate_whichever_worker_they_are_on(void **state)
{
    struct bench b = set_up("pairs --count 5 --size 16 --rate 1000");

    (void)state;
    start(&b);
    for (uint32_t i = 0; i < WORKERS; i++) {
        b.traffic[i].open = true;
        b.traffic[i].rate_start_ns = 1000000;
    }
    /* Message n is due at 1 ms + n ms: at 7.5 ms seven are, of publishers 0 1 2 3 4 0 1. */
    uint64_t next_0 = traffic_tick(&b.traffic[0], 7500000);
    uint64_t next_1 = traffic_tick(&b.traffic[1], 7500000);
    static const uint64_t due[] = {2, 2, 1, 1, 1};
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(b.board->publishers[i].due, due[i]);
    }
    assert_int_equal(next_0, 8000000); /* publisher 2 */
    assert_int_equal(next_1, 9000000); /* publisher 3 */
    clean_up(&b);
}

static void
what_fell_due_before_the_end_is_still_to_be_sent(void **state)
{
    struct bench b = set_up("pairs --count 1 --size 16 --rate 1000");

    (void)state;
    start(&b);
    b.traffic[0].open = true;
    assert_int_equal(traffic_tick(&b.traffic[0], 1500000), 2000000);
    traffic_close(&b.traffic[0], 4500000);
    assert_int_equal(sum(&b, COUNT_DUE), 5); /* of 0 1 2 3 4 ms */
    assert_true(b.traffic[0].open);
    assert_int_equal(traffic_tick(&b.traffic[0], 9000000), UINT64_MAX);
    assert_int_equal(sum(&b, COUNT_DUE), 5);
    traffic_close(&b.traffic[0], 0);
    assert_false(b.traffic[0].open);
    clean_up(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credit_for_deliveries_reaches_the_publishers_worker),
        cmocka_unit_test(lost_duplicated_and_reordered_are_told_apart_across_workers),
        cmocka_unit_test(a_message_to_two_members_of_a_group_is_a_duplicate_wherever_they_are),
        cmocka_unit_test(every_group_is_owed_a_copy),
        cmocka_unit_test(what_nobody_sent_is_foreign),
        cmocka_unit_test(strangers_are_judged_from_the_first_message_heard),
        cmocka_unit_test(publishers_take_turns_at_a_rate_whichever_worker_they_are_on),
        cmocka_unit_test(what_fell_due_before_the_end_is_still_to_be_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
