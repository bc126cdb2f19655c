#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/load/inflight.h"
#include "codec/packet.h"

static void
the_quota_bounds_what_is_unfinished(void **state)
{
    struct inflight f;

    (void)state;
    assert_true(inflight_init(&f, 1, 3, false));
    for (int i = 0; i < 3; i++) {
        assert_int_not_equal(inflight_take(&f), 0);
    }
    assert_int_equal(inflight_take(&f), 0);
    assert_int_equal(inflight_step(&f, PACKET_PUBACK, 2, false), INFLIGHT_FINISHED);
    assert_int_not_equal(inflight_take(&f), 0);
    inflight_fini(&f);
}

static void
a_due_time_is_there_when_the_handshake_is_complete(void **state)
{
    struct inflight f;

    (void)state;
    assert_true(inflight_init(&f, 1, 2, true));
    uint16_t first = inflight_take(&f), second = inflight_take(&f);
    inflight_note_due(&f, first, 100);
    inflight_note_due(&f, second, 200);
    assert_int_equal(inflight_step(&f, PACKET_PUBACK, first, false), INFLIGHT_FINISHED);
    assert_int_equal(inflight_get_due(&f, first), 100);
    assert_int_equal(inflight_get_due(&f, second), 200);
    inflight_fini(&f);
}

static void
an_identifier_in_use_is_not_given_out_again(void **state)
{
    struct inflight f;

    (void)state;
    assert_true(inflight_init(&f, 1, 2, false));
    uint16_t held = inflight_take(&f);
    for (int i = 0; i < 100; i++) {
        uint16_t id = inflight_take(&f);
        assert_int_not_equal(id, 0);
        assert_int_not_equal(id, held);
        assert_int_equal(inflight_step(&f, PACKET_PUBACK, id, false), INFLIGHT_FINISHED);
    }
    inflight_fini(&f);
}

static void
the_largest_quota_uses_every_identifier_once(void **state)
{
    static uint8_t seen[65536];
    struct inflight f;

    (void)state;
    assert_true(inflight_init(&f, 2, 65535, false));
    for (int i = 0; i < 65535; i++) {
        uint16_t id = inflight_take(&f);
        assert_true(id != 0 && !seen[id]);
        seen[id] = 1;
    }
    assert_int_equal(inflight_take(&f), 0);
    inflight_fini(&f);
}

static void
qos_2_is_finished_by_pubcomp_and_only_after_pubrec(void **state)
{
    struct inflight f;

    (void)state;
    assert_true(inflight_init(&f, 2, 10, false));
    uint16_t id = inflight_take(&f);
    assert_int_equal(inflight_step(&f, PACKET_PUBCOMP, id, false), INFLIGHT_UNEXPECTED);
    assert_int_equal(inflight_step(&f, PACKET_PUBREC, id, false), INFLIGHT_RELEASE);
    assert_int_equal(inflight_step(&f, PACKET_PUBREC, id, false), INFLIGHT_UNEXPECTED);
    assert_int_equal(inflight_step(&f, PACKET_PUBCOMP, id, false), INFLIGHT_FINISHED);
    assert_int_equal(f.used, 0);
    inflight_fini(&f);
}

static void
an_ack_for_nothing_is_unexpected(void **state)
{
    struct inflight f;

    (void)state;
    assert_true(inflight_init(&f, 1, 10, false));
    uint16_t id = inflight_take(&f);
    assert_int_equal(inflight_step(&f, PACKET_PUBREC, id, false), INFLIGHT_UNEXPECTED);
    assert_int_equal(inflight_step(&f, PACKET_PUBACK, 0, false), INFLIGHT_UNEXPECTED);
    assert_int_equal(inflight_step(&f, PACKET_PUBACK, 65535, false), INFLIGHT_UNEXPECTED);
    assert_int_equal(inflight_step(&f, PACKET_PUBACK, (uint16_t)(id + 1), false), INFLIGHT_UNEXPECTED);
    inflight_fini(&f);
}

static void
a_refusing_pubrec_ends_the_handshake(void **state)
{
    struct inflight f;

    (void)state;
    assert_true(inflight_init(&f, 2, 10, false));
    uint16_t id = inflight_take(&f);
    assert_int_equal(inflight_step(&f, PACKET_PUBREC, id, true), INFLIGHT_FINISHED);
    inflight_fini(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_quota_bounds_what_is_unfinished),
        cmocka_unit_test(a_due_time_is_there_when_the_handshake_is_complete),
        cmocka_unit_test(an_identifier_in_use_is_not_given_out_again),
        cmocka_unit_test(the_largest_quota_uses_every_identifier_once),
        cmocka_unit_test(qos_2_is_finished_by_pubcomp_and_only_after_pubrec),
        cmocka_unit_test(an_ack_for_nothing_is_unexpected),
        cmocka_unit_test(a_refusing_pubrec_ends_the_handshake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
