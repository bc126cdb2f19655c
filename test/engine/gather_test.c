#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/gather.h"

#define WAIT_US 50u
#define DEEP_US (WAIT_US * GATHER_DEEP_FACTOR)
#define US UINT64_C(1000)

/* One shard's time, and what its thread has used and received. */
static struct gather g;
static uint64_t now_ns, cpu_ns, packets;

static int
begin(void **state)
{
    (void)state;
    now_ns = 1;
    cpu_ns = packets = 0;
    g = (struct gather){.window_start_ns = now_ns};
    return 0;
}

/* For `time_us` a turn every 10 us: so many packets in a wait of 50 us, at this share of the core. */
static void
work(uint64_t per_wait, uint64_t busy_percent, uint64_t time_us)
{
    uint64_t first = packets;
    for (uint64_t t_us = 10; t_us <= time_us; t_us += 10) {
        now_ns += 10 * US;
        cpu_ns += 10 * US * busy_percent / 100;
        packets = first + per_wait * t_us / WAIT_US;
        if (gather_is_due(&g, now_ns)) {
            gather_judge(&g, now_ns, cpu_ns, packets, WAIT_US);
        }
    }
}

static void
waiting_begins_within_two_windows_of_load(void **state)
{
    (void)state;
    work(7, 90, 2 * GATHER_WINDOW_US);
    assert_int_equal(g.wait_us, WAIT_US);
}

static void
a_higher_pace_waits_longer(void **state)
{
    (void)state;
    work(10, 90, 2 * GATHER_WINDOW_US);
    assert_int_equal(g.wait_us, DEEP_US);
}

static void
a_low_pace_never_waits_however_busy(void **state)
{
    (void)state;
    work(5, 95, 100 * GATHER_WINDOW_US);
    assert_int_equal(g.wait_us, 0);
}

static void
many_packets_at_little_cost_do_not_wait(void **state)
{
    (void)state;
    work(100, 40, 100 * GATHER_WINDOW_US);
    assert_int_equal(g.wait_us, 0);
}

static void
waiting_goes_on_when_it_has_made_the_work_cheap(void **state)
{
    (void)state;
    work(10, 90, 2 * GATHER_WINDOW_US);
    work(10, GATHER_KEEP_PERCENT + 1, 10 * GATHER_HOLD_US);
    assert_int_equal(g.wait_us, DEEP_US);
}

static void
waiting_ends_when_the_work_costs_little(void **state)
{
    (void)state;
    work(10, 90, 2 * GATHER_WINDOW_US);
    work(10, GATHER_KEEP_PERCENT - 2, GATHER_HOLD_US + 2 * GATHER_WINDOW_US);
    assert_int_equal(g.wait_us, 0);
}

static void
a_lower_pace_goes_back_to_the_shorter_wait(void **state)
{
    (void)state;
    work(10, 90, 2 * GATHER_WINDOW_US);
    work(7, 90, GATHER_HOLD_US - GATHER_WINDOW_US);
    assert_int_equal(g.wait_us, DEEP_US);
    work(7, 90, 3 * GATHER_WINDOW_US);
    assert_int_equal(g.wait_us, WAIT_US);
}

static void
a_reload_to_zero_ends_waiting_at_once(void **state)
{
    (void)state;
    work(10, 90, 2 * GATHER_WINDOW_US);
    gather_judge(&g, now_ns + GATHER_WINDOW_US * US, cpu_ns, packets, 0);
    assert_int_equal(g.wait_us, 0);
}

static void
a_short_pause_does_not_end_waiting(void **state)
{
    (void)state;
    work(10, 90, 2 * GATHER_WINDOW_US);
    work(0, 0, GATHER_HOLD_US - GATHER_WINDOW_US);
    assert_int_equal(g.wait_us, DEEP_US);
}

static void
a_long_pause_ends_waiting(void **state)
{
    (void)state;
    work(10, 90, 2 * GATHER_WINDOW_US);
    now_ns += (GATHER_HOLD_US + GATHER_WINDOW_US) * US;
    assert_true(gather_is_due(&g, now_ns));
    gather_judge(&g, now_ns, cpu_ns, ++packets, WAIT_US);
    assert_int_equal(g.wait_us, 0);
}

static void
a_wait_of_zero_never_waits(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        now_ns += GATHER_WINDOW_US * US;
        cpu_ns += GATHER_WINDOW_US * US;
        gather_judge(&g, now_ns, cpu_ns, packets += 1000, 0);
        assert_int_equal(g.wait_us, 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(waiting_begins_within_two_windows_of_load, begin),
        cmocka_unit_test_setup(a_higher_pace_waits_longer, begin),
        cmocka_unit_test_setup(a_low_pace_never_waits_however_busy, begin),
        cmocka_unit_test_setup(many_packets_at_little_cost_do_not_wait, begin),
        cmocka_unit_test_setup(waiting_goes_on_when_it_has_made_the_work_cheap, begin),
        cmocka_unit_test_setup(waiting_ends_when_the_work_costs_little, begin),
        cmocka_unit_test_setup(a_lower_pace_goes_back_to_the_shorter_wait, begin),
        cmocka_unit_test_setup(a_reload_to_zero_ends_waiting_at_once, begin),
        cmocka_unit_test_setup(a_short_pause_does_not_end_waiting, begin),
        cmocka_unit_test_setup(a_long_pause_ends_waiting, begin),
        cmocka_unit_test_setup(a_wait_of_zero_never_waits, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
