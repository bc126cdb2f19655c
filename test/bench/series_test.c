#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/load/series.h"

static struct series s;

static void
too_many_points_are_joined_and_keep_their_sums(void **state)
{
    uint64_t delivered = 0, ns = 0;

    (void)state;
    series_init(&s);
    for (uint64_t i = 0; i < 5000; i++) {
        series_add(&s, &(struct series_point){.at_ns = i + 1, .ns = 1, .phase = PHASE_MEASURE, .delivered = 3});
    }
    assert_true(s.count <= SERIES_POINTS_MAX && s.count > SERIES_POINTS_MAX / 2);
    assert_true(s.period_ns > SERIES_PERIOD_NS);
    for (uint32_t i = 0; i < s.count; i++) {
        delivered += s.points[i].delivered;
        ns += s.points[i].ns;
        assert_int_equal(s.points[i].at_ns, ns);
    }
    assert_int_equal(delivered, 15000);
}

static void
a_point_never_belongs_to_two_phases(void **state)
{
    (void)state;
    series_init(&s);
    for (uint64_t i = 0; i <= SERIES_POINTS_MAX; i++) {
        enum series_phase phase = i < 101 ? PHASE_WARMUP : PHASE_MEASURE;
        series_add(&s, &(struct series_point){.at_ns = i + 1, .ns = 1, .phase = phase});
    }
    for (uint32_t i = 0; i < s.count; i++) {
        assert_int_equal(s.points[i].phase, s.points[i].at_ns <= 101 ? PHASE_WARMUP : PHASE_MEASURE);
    }
}

static void
joined_latencies_are_never_too_good(void **state)
{
    (void)state;
    series_init(&s);
    for (uint64_t i = 0; i <= SERIES_POINTS_MAX; i++) {
        series_add(&s, &(struct series_point){.latency_count = i % 2 ? 3 : 1, .latency_p50_ns = i % 2 ? 100 : 500,
                           .latency_p99_ns = i % 2 ? 900 : 700});
    }
    assert_int_equal(s.points[0].latency_p50_ns, 200);
    assert_int_equal(s.points[0].latency_p99_ns, 900);
    assert_int_equal(s.points[0].latency_count, 4);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_many_points_are_joined_and_keep_their_sums),
        cmocka_unit_test(a_point_never_belongs_to_two_phases),
        cmocka_unit_test(joined_latencies_are_never_too_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
