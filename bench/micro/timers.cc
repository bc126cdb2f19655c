/*
 * timers: what does a timer cost while a million others are armed?
 *
 * The others are keep-alives of up to two minutes, as a million connections have them. `rearm` moves a random one of them, which the engine avoids by looking lazily; `arm_disarm`
 * is one timer that is set and taken back; `advance` lets time pass by a millisecond, and is given per timer that fires and is armed again for a random time.
 *
 * Not answered: what the owner does when its timer fires.
 */
#include "bench/micro/micro.hh"

extern "C" {
#include "engine/timer.h"
}

namespace {

constexpr std::uint64_t AHEAD_MS = 120000;

struct million {
    struct timer_wheel wheel;
    std::vector<struct timer> timers;
    micro_random random;

    million() : timers(micro_size(1000000, 1000))
    {
        timer_wheel_init(&wheel, 1);
        for (struct timer &timer : timers) {
            arm(&timer);
        }
    }

    void
    arm(struct timer *timer)
    {
        timer_arm(&wheel, timer, wheel.now_ms + 1 + random.below(AHEAD_MS));
    }
};

million &
full_wheel()
{
    static million full;
    return full;
}

void
rearm(benchmark::State &state)
{
    million &w = full_wheel();
    for (auto _ : state) {
        w.arm(&w.timers[w.random.below(w.timers.size())]);
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(rearm);

void
arm_disarm(benchmark::State &state)
{
    million &w = full_wheel();
    struct timer timer = {};
    for (auto _ : state) {
        w.arm(&timer);
        timer_disarm(&w.wheel, &timer);
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(arm_disarm);

void
fired(struct timer *timer, void *context)
{
    static_cast<million *>(context)->arm(timer);
}

void
advance(benchmark::State &state)
{
    million &w = full_wheel();
    std::uint64_t count = 0;
    for (auto _ : state) {
        count += timer_wheel_advance(&w.wheel, w.wheel.now_ms + 1, UINT32_MAX, fired, &w);
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(count > 0 ? count : 1));
}
/* As many milliseconds as let timers fire also where there are few. */
BENCHMARK(advance)->Iterations(2000);

} // namespace
