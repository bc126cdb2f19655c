#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/gather.h"

#define WAIT_US 50u
#define US UINT64_C(1000)

/* All packets so far. */
static uint64_t packets;

static int
begin(void **state)
{
    (void)state;
    packets = 0;
    return 0;
}

/* Turns of one packet each, `gap_us` apart, for `time_us`; returns when the last one was. */
static uint64_t
receive_evenly(struct gather *g, uint64_t now_ns, uint64_t gap_us, uint64_t time_us)
{
    for (uint64_t t_us = gap_us; t_us <= time_us; t_us += gap_us) {
        gather_note(g, now_ns + t_us * US, ++packets, WAIT_US);
    }
    return now_ns + time_us / gap_us * gap_us * US;
}

static void
waiting_begins_within_two_windows_of_load(void **state)
{
    (void)state;
    struct gather g = {.window_start_ns = 1};
    receive_evenly(&g, 1, 4, 2 * GATHER_WINDOW_US); /* 12 per wait */
    assert_true(g.on);
}

static void
moderate_load_is_served_at_once(void **state)
{
    (void)state;
    struct gather g = {.window_start_ns = 1};
    receive_evenly(&g, 1, 10, 100 * GATHER_WINDOW_US); /* 5 per wait */
    assert_false(g.on);
}

static void
a_short_pause_does_not_end_waiting(void **state)
{
    (void)state;
    struct gather g = {.window_start_ns = 1};
    uint64_t now_ns = receive_evenly(&g, 1, 4, 2 * GATHER_WINDOW_US);
    now_ns += (GATHER_HOLD_US - GATHER_WINDOW_US) * US;
    gather_note(&g, now_ns, ++packets, WAIT_US);
    assert_true(g.on);
}

static void
moderate_load_ends_waiting(void **state)
{
    (void)state;
    struct gather g = {.window_start_ns = 1};
    uint64_t now_ns = receive_evenly(&g, 1, 4, 2 * GATHER_WINDOW_US);
    receive_evenly(&g, now_ns, 12, GATHER_HOLD_US + 2 * GATHER_WINDOW_US); /* 4 per wait */
    assert_false(g.on);
}

static void
a_message_after_a_long_pause_ends_waiting(void **state)
{
    (void)state;
    struct gather g = {.window_start_ns = 1};
    uint64_t now_ns = receive_evenly(&g, 1, 4, 2 * GATHER_WINDOW_US);
    assert_true(g.on);
    gather_note(&g, now_ns + (GATHER_HOLD_US + 1) * US, ++packets, WAIT_US);
    assert_false(g.on);
}

static void
a_wait_of_zero_never_begins(void **state)
{
    (void)state;
    struct gather g = {.window_start_ns = 1};
    for (uint64_t i = 1; i <= 10000; i++) {
        gather_note(&g, 1 + i * US, i * 100, 0);
        assert_false(g.on);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(waiting_begins_within_two_windows_of_load, begin),
        cmocka_unit_test_setup(moderate_load_is_served_at_once, begin),
        cmocka_unit_test_setup(a_short_pause_does_not_end_waiting, begin),
        cmocka_unit_test_setup(moderate_load_ends_waiting, begin),
        cmocka_unit_test_setup(a_message_after_a_long_pause_ends_waiting, begin),
        cmocka_unit_test_setup(a_wait_of_zero_never_begins, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
