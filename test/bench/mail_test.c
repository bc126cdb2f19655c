#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "bench/load/board.h"
#include "bench/load/mail.h"

/* Publisher i belongs to worker i mod 2. */
static struct board *
open_two(void)
{
    struct board *b = board_open(2, 8);
    assert_non_null(b);
    return b;
}

static void
credits_of_a_turn_arrive_as_one_letter_per_publisher(void **state)
{
    struct board *b = open_two();
    struct mail sender, receiver;
    struct letter letter;
    uint32_t from = 0;

    (void)state;
    assert_true(mail_init(&sender, b, 0) && mail_init(&receiver, b, 1));
    mail_credit(&sender, 3, 2);
    mail_credit(&sender, 1, 5);
    mail_credit(&sender, 3, 40);
    mail_credit(&sender, 5, 0);
    assert_true(mail_send(&sender));
    assert_false(mail_is_empty(&receiver));
    assert_true(mail_take(&receiver, &from, &letter));
    assert_int_equal(letter.publisher, 3);
    assert_int_equal(letter.count, 42);
    assert_true(mail_take(&receiver, &from, &letter));
    assert_int_equal(letter.publisher, 1);
    assert_int_equal(letter.count, 5);
    assert_false(mail_take(&receiver, &from, &letter));
    assert_true(mail_is_empty(&receiver));
    mail_fini(&sender);
    mail_fini(&receiver);
}

static void
a_credit_larger_than_a_letter_is_divided(void **state)
{
    struct board *b = open_two();
    struct mail sender, receiver;
    struct letter letter;
    uint32_t from = 0;
    uint64_t sum = 0;

    (void)state;
    assert_true(mail_init(&sender, b, 0) && mail_init(&receiver, b, 1));
    mail_credit(&sender, 1, 200000);
    assert_true(mail_send(&sender));
    while (mail_take(&receiver, &from, &letter)) {
        assert_true(letter.count > 0);
        sum += letter.count;
    }
    assert_int_equal(sum, 200000);
    mail_fini(&sender);
    mail_fini(&receiver);
}

static void
what_a_full_ring_refuses_waits_and_keeps_its_order(void **state)
{
    struct board *b = open_two();
    struct mail sender, receiver;
    struct letter letter;
    uint64_t next = 0;

    (void)state;
    assert_true(mail_init(&sender, b, 0) && mail_init(&receiver, b, 1));
    for (uint64_t i = 0; i < 3 * MAIL_RING_SLOTS; i++) {
        mail_receipt(&sender, 1, i, 7);
    }
    assert_false(mail_send(&sender));
    for (int round = 0; round < 3; round++) {
        uint32_t from = 0;
        while (mail_take(&receiver, &from, &letter)) {
            assert_int_equal(letter.sequence, next++);
            assert_int_equal(letter.count, 0);
            assert_int_equal(letter.group, 7);
        }
        mail_send(&sender);
    }
    assert_int_equal(next, 3 * MAIL_RING_SLOTS);
    assert_int_equal(sender.waiting, 0);
    mail_fini(&sender);
    mail_fini(&receiver);
}

#define STREAM_LETTERS 200000u

static void *
send_receipts(void *board)
{
    struct mail m;

    if (!mail_init(&m, board, 0)) {
        return NULL;
    }
    for (uint64_t i = 0; i < STREAM_LETTERS; i++) {
        mail_receipt(&m, 1, i, 0);
        if (i % 100 == 99) {
            mail_send(&m);
        }
    }
    while (!mail_send(&m)) {
    }
    mail_fini(&m);
    return NULL;
}

static void
two_threads_lose_and_reorder_nothing(void **state)
{
    struct board *b = open_two();
    struct mail m;
    struct letter letter;
    pthread_t thread;
    uint64_t next = 0;

    (void)state;
    assert_true(mail_init(&m, b, 1));
    assert_int_equal(pthread_create(&thread, NULL, send_receipts, b), 0);
    while (next < STREAM_LETTERS) {
        uint32_t from = 0;
        while (mail_take(&m, &from, &letter)) {
            assert_int_equal(letter.sequence, next++);
        }
    }
    pthread_join(thread, NULL);
    mail_fini(&m);
}

static void
an_order_is_taken_once_and_seen_with_its_contents(void **state)
{
    struct board *b = open_two();

    (void)state;
    assert_true(board_is_taken(b));
    assert_null(board_get_order(b, 0));
    board_give_order(b, &(struct order){.kind = ORDER_OPEN, .at_ns = 17});
    assert_int_equal(board_get_order(b, 0)->at_ns, 17);
    board_take_order(b, 0);
    assert_null(board_get_order(b, 0));
    assert_false(board_is_taken(b));
    board_take_order(b, 1);
    assert_true(board_is_taken(b));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credits_of_a_turn_arrive_as_one_letter_per_publisher),
        cmocka_unit_test(a_credit_larger_than_a_letter_is_divided),
        cmocka_unit_test(what_a_full_ring_refuses_waits_and_keeps_its_order),
        cmocka_unit_test(two_threads_lose_and_reorder_nothing),
        cmocka_unit_test(an_order_is_taken_once_and_seen_with_its_contents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
