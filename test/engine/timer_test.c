#include "engine/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum { TIMERS = 400 };

static struct timer_wheel wheel;
static struct timer timers[TIMERS];

/* ------------------------------------------------------------------------------------------------ the slow obvious twin */

static uint64_t twin_due[TIMERS]; /* UINT64_MAX: not armed */
static uint64_t rng_state;
static bool callbacks_arm;

static uint64_t
random_below(uint64_t below)
{
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return (rng_state >> 20) % below;
}

static void
twin_arm(unsigned i, uint64_t due_ms)
{
    timer_arm(&wheel, &timers[i], due_ms);
    twin_due[i] = due_ms;
    assert_true(timer_armed(&timers[i]));
}

static void
twin_disarm(unsigned i)
{
    timer_disarm(&wheel, &timers[i]);
    twin_due[i] = UINT64_MAX;
    assert_false(timer_armed(&timers[i]));
}

static uint64_t
twin_earliest(void)
{
    uint64_t earliest = UINT64_MAX;
    for (unsigned i = 0; i < TIMERS; i++) {
        earliest = twin_due[i] < earliest ? twin_due[i] : earliest;
    }
    return earliest;
}

/* Near and far, past and beyond the wheel's turn of 2^32 ms. */
static uint64_t
random_due(void)
{
    uint64_t now = wheel.now_ms;
    switch (random_below(8)) {
    case 0: return now - random_below(now < 1000 ? now + 1 : 1000);
    case 1: return now + random_below(3);
    case 2: return now + random_below(600);
    case 3: return now + random_below(1 << 17);
    case 4: return now + random_below(1 << 25);
    case 5: return now + random_below((uint64_t)1 << 33);
    case 6: return now + random_below((uint64_t)1 << 36);
    default: return (now | ((1u << (8 * random_below(4))) - 1)) + 1 - random_below(2);
    }
}

static void
fire_twin(struct timer *timer, void *context)
{
    uint64_t *latest = context;
    unsigned i = (unsigned)(timer - timers);
    assert_false(timer_armed(timer));
    assert_int_equal(timer->kind, i);
    assert_true(twin_due[i] <= wheel.now_ms); /* T2, and that it was armed at all */
    twin_due[i] = UINT64_MAX;
    if (callbacks_arm && random_below(3) == 0) {
        unsigned other = (unsigned)random_below(TIMERS);
        if (random_below(2) == 0) {
            twin_arm(other, random_due());
        } else {
            twin_disarm(other);
        }
        *latest = UINT64_MAX; /* something may now be overdue after this advance */
    }
}

static uint64_t
random_step(void)
{
    switch (random_below(6)) {
    case 0: return 0;
    case 1: return 1;
    case 2: return random_below(300);
    case 3: return random_below(1 << 18);
    case 4: return random_below(1 << 26);
    default: return random_below((uint64_t)1 << 35);
    }
}

static void
advance_to(uint64_t now_ms, uint32_t budget)
{
    uint64_t changed = 0;
    uint32_t fired;
    unsigned calls = 0;
    do {
        fired = timer_wheel_advance(&wheel, now_ms, budget, fire_twin, &changed);
        assert_true(fired <= budget);
        timer_wheel_check(&wheel);
    } while (fired == budget && ++calls < 10000);
    assert_int_equal(wheel.now_ms, now_ms);
    if (changed == 0) {
        assert_true(twin_earliest() > now_ms);
    }
}

static void
check_next(void)
{
    uint64_t earliest = twin_earliest();
    uint64_t next = timer_wheel_next_ms(&wheel);
    assert_int_equal(next == UINT64_MAX, earliest == UINT64_MAX);
    if (earliest <= wheel.now_ms) {
        assert_true(next <= wheel.now_ms);
    } else if (earliest != UINT64_MAX) {
        assert_true(next <= earliest && next > wheel.now_ms);
        if (earliest >> 8 == wheel.now_ms >> 8) {
            assert_int_equal(next, earliest);
        }
    }
}

static void
run_against_twin(uint64_t seed, uint64_t start_ms, bool with_callbacks)
{
    rng_state = seed;
    callbacks_arm = with_callbacks;
    memset(timers, 0, sizeof timers);
    memset(twin_due, 0xff, sizeof twin_due);
    timer_wheel_init(&wheel, start_ms);
    for (unsigned i = 0; i < TIMERS; i++) {
        timers[i].kind = i;
    }
    for (unsigned step = 0; step < 1500; step++) {
        for (uint64_t n = random_below(20); n > 0; n--) {
            unsigned i = (unsigned)random_below(TIMERS);
            if (random_below(4) == 0) {
                twin_disarm(i);
            } else {
                twin_arm(i, random_due());
            }
        }
        timer_wheel_check(&wheel);
        check_next();
        uint64_t next = timer_wheel_next_ms(&wheel);
        bool to_next = random_below(2) == 0 && next != UINT64_MAX && next > wheel.now_ms;
        advance_to(to_next ? next : wheel.now_ms + random_step(), random_below(2) == 0 ? 3 : UINT32_MAX);
    }
}

static void
fires_what_the_twin_fires(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        run_against_twin(seed, 0, false);
        run_against_twin(seed, 0xfffffff0u + seed, false);
    }
}

static void
fires_what_the_twin_fires_when_callbacks_arm_and_disarm(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        run_against_twin(seed, 1000, true);
    }
}

/* ------------------------------------------------------------------------------------------------------------ single cases */

static uint32_t fired_count;
static uint64_t fired_at;

static void
count_fired(struct timer *timer, void *context)
{
    (void)timer;
    (void)context;
    fired_count++;
    fired_at = wheel.now_ms;
}

/* Follows timer_wheel_next_ms() as a shard's loop does, and counts the wake-ups. */
static unsigned
sleep_until_fired(void)
{
    unsigned wakes = 0;
    fired_count = 0;
    while (fired_count == 0) {
        timer_wheel_advance(&wheel, timer_wheel_next_ms(&wheel), 100, count_fired, NULL);
        wakes++;
    }
    return wakes;
}

static void
following_next_fires_on_time_with_few_wake_ups(void **state)
{
    (void)state;
    static const uint64_t delays[] = {0, 1, 255, 256, 257, 65535, 65536, 16777215, 16777216, 4294967295u, 4294967296u, 9999999999999u};
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        timer_wheel_init(&wheel, 12345);
        struct timer timer = {0};
        timer_arm(&wheel, &timer, 12345 + delays[i]);
        unsigned turns = (unsigned)(delays[i] >> 32); /* one wake-up per turn of the wheel */
        assert_in_range(sleep_until_fired(), 1, TIMER_LEVELS + 1 + turns);
        assert_int_equal(fired_at, 12345 + delays[i]);
        assert_int_equal(wheel.armed_count, 0);
        assert_int_equal(timer_wheel_next_ms(&wheel), UINT64_MAX);
    }
}

static void
due_times_beyond_48_bits_are_clamped(void **state)
{
    (void)state;
    timer_wheel_init(&wheel, 5);
    struct timer timer = {.kind = 9};
    timer_arm(&wheel, &timer, UINT64_MAX);
    assert_int_equal(timer.due_ms, ((uint64_t)1 << 48) - 1);
    assert_int_equal(timer.kind, 9);
    fired_count = 0;
    timer_wheel_advance(&wheel, (uint64_t)1 << 47, 10, count_fired, NULL);
    assert_int_equal(fired_count, 0);
    timer_wheel_advance(&wheel, ((uint64_t)1 << 48) - 1, 10, count_fired, NULL);
    assert_int_equal(fired_count, 1);
}

static void
an_overdue_timer_fires_at_an_advance_that_does_not_move_time(void **state)
{
    (void)state;
    timer_wheel_init(&wheel, 1000);
    struct timer timer = {0};
    timer_arm(&wheel, &timer, 3);
    assert_true(timer_wheel_next_ms(&wheel) <= 1000);
    fired_count = 0;
    assert_int_equal(timer_wheel_advance(&wheel, 1000, 10, count_fired, NULL), 1);
}

static void
time_never_goes_back(void **state)
{
    (void)state;
    timer_wheel_init(&wheel, 1000);
    timer_wheel_advance(&wheel, 500, 10, count_fired, NULL);
    assert_int_equal(wheel.now_ms, 1000);
}

static void
rearm_in_the_past(struct timer *timer, void *context)
{
    (void)context;
    fired_count++;
    timer_arm(&wheel, timer, 0);
}

static void
a_timer_that_always_rearms_in_the_past_does_not_hold_an_advance_up(void **state)
{
    (void)state;
    timer_wheel_init(&wheel, 1000);
    struct timer timer = {0};
    timer_arm(&wheel, &timer, 1010);
    fired_count = 0;
    timer_wheel_advance(&wheel, 100000, UINT32_MAX, rearm_in_the_past, NULL);
    assert_in_range(fired_count, 1, 2);
    timer_disarm(&wheel, &timer);
    timer_wheel_check(&wheel);
}

static void
disarm_next(struct timer *timer, void *context)
{
    (void)context;
    fired_count++;
    for (int i = 0; i < 3; i++) {
        if (&timers[i] != timer) {
            timer_disarm(&wheel, &timers[i]);
        }
    }
}

static void
a_callback_may_disarm_others_due_in_the_same_millisecond(void **state)
{
    (void)state;
    memset(timers, 0, sizeof timers);
    timer_wheel_init(&wheel, 0);
    for (int i = 0; i < 3; i++) {
        timer_arm(&wheel, &timers[i], 10);
    }
    fired_count = 0;
    assert_int_equal(timer_wheel_advance(&wheel, 20, 10, disarm_next, NULL), 1);
    assert_int_equal(wheel.armed_count, 0);
    timer_wheel_check(&wheel);
}

static void
a_budget_spreads_one_crowded_millisecond_over_calls(void **state)
{
    (void)state;
    memset(timers, 0, sizeof timers);
    timer_wheel_init(&wheel, 0);
    for (int i = 0; i < 10; i++) {
        timer_arm(&wheel, &timers[i], 300);
    }
    fired_count = 0;
    assert_int_equal(timer_wheel_advance(&wheel, 400, 4, count_fired, NULL), 4);
    assert_true(timer_wheel_next_ms(&wheel) <= 400);
    timer_arm(&wheel, &timers[0], 450);
    timer_arm(&wheel, &timers[0], 350);
    timer_wheel_check(&wheel);
    uint32_t fired;
    do {
        fired = timer_wheel_advance(&wheel, 400, 4, count_fired, NULL);
        timer_wheel_check(&wheel);
    } while (fired == 4);
    assert_int_equal(wheel.armed_count, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_what_the_twin_fires),
        cmocka_unit_test(fires_what_the_twin_fires_when_callbacks_arm_and_disarm),
        cmocka_unit_test(following_next_fires_on_time_with_few_wake_ups),
        cmocka_unit_test(due_times_beyond_48_bits_are_clamped),
        cmocka_unit_test(an_overdue_timer_fires_at_an_advance_that_does_not_move_time),
        cmocka_unit_test(time_never_goes_back),
        cmocka_unit_test(a_timer_that_always_rearms_in_the_past_does_not_hold_an_advance_up),
        cmocka_unit_test(a_callback_may_disarm_others_due_in_the_same_millisecond),
        cmocka_unit_test(a_budget_spreads_one_crowded_millisecond_over_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
