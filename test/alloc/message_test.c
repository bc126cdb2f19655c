#include "alloc/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct budget_account account;
static struct budget_account borrower;

static struct bytes
text(const char *string)
{
    return bytes_of(string, (uint32_t)strlen(string));
}

static void
the_three_parts_come_back_as_given(void **state)
{
    (void)state;
    struct message *message = message_make(&account, text("a/b"), text("\x01\x01"), text("payload"));
    assert_true(bytes_equal(message_topic(message), text("a/b")));
    assert_true(bytes_equal(message_properties(message), text("\x01\x01")));
    assert_true(bytes_equal(message_payload(message), text("payload")));
    assert_int_equal(message->refs, 1);
    assert_int_equal(account.bytes, message_cost(message));
    struct message *returned;
    uint16_t shard;
    assert_false(message_unref(&account, &message, &returned, &shard));
    assert_null(message);
    assert_int_equal(account.bytes, 0);
}

static void
empty_parts_may_be_null(void **state)
{
    (void)state;
    struct bytes none = {NULL, 0};
    struct message *message = message_make(&account, none, none, none);
    assert_int_equal(message_payload(message).size, 0);
    struct message *returned;
    uint16_t shard;
    assert_false(message_unref(&account, &message, &returned, &shard));
}

static void
the_last_reference_frees(void **state)
{
    (void)state;
    struct message *message = message_make(&account, text("t"), text(""), text("x"));
    struct message *second = message_ref(message);
    struct message *returned;
    uint16_t shard;
    assert_false(message_unref(&account, &second, &returned, &shard));
    assert_null(second);
    assert_int_equal(message->refs, 1);
    assert_true(account.bytes > 0);
    assert_false(message_unref(&account, &message, &returned, &shard));
    assert_int_equal(account.bytes, 0);
}

static void
the_last_reference_to_a_loan_names_its_lender(void **state)
{
    (void)state;
    struct message *own = message_make(&account, text("t"), text(""), text("large"));
    own->qos = 1;
    own->retain = true;
    own->publisher = 77;
    own->expiry_ms = 5;
    struct message *loan = message_borrow(&borrower, own, own, 3);
    assert_int_equal(loan->refs, 1);
    assert_ptr_equal(loan->bytes, own->bytes);
    assert_int_equal(loan->qos, 1);
    assert_true(loan->retain);
    assert_int_equal(loan->publisher, 77);
    assert_int_equal(loan->expiry_ms, 5);
    assert_int_equal(borrower.bytes, sizeof *loan); /* the lender pays for the bytes */

    struct message *second = message_ref(loan);
    struct message *returned = NULL;
    uint16_t shard = 0;
    assert_false(message_unref(&borrower, &second, &returned, &shard));
    assert_true(message_unref(&borrower, &loan, &returned, &shard));
    assert_ptr_equal(returned, own);
    assert_int_equal(shard, 3);
    assert_int_equal(borrower.bytes, 0);
    assert_false(message_unref(&account, &own, &returned, &shard));
    assert_int_equal(account.bytes, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_three_parts_come_back_as_given),
        cmocka_unit_test(empty_parts_may_be_null),
        cmocka_unit_test(the_last_reference_frees),
        cmocka_unit_test(the_last_reference_to_a_loan_names_its_lender),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
