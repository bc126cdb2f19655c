/*
 * retained: what does it cost to find retained messages for a new subscription, and to keep one?
 *
 * 130 000 topics "building/N/sensor/M" (1300 buildings of 100 sensors). Walks are measured per message found; the one that finds few among many nodes also
 * per node, as that is what it pays for.
 *
 * Not answered: sending what was found; walks while the store changes.
 */
#include "bench/micro/micro.hh"

extern "C" {
#include "router/retained.h"
}

namespace {

constexpr std::size_t SENSORS = 100;

struct budget_account account;

std::size_t
topic_count()
{
    return micro_size(130000, 1300);
}

std::uint32_t
topic_text(char (&text)[64], std::size_t i)
{
    return static_cast<std::uint32_t>(std::snprintf(text, sizeof text, "building/%zu/sensor/%zu", i / SENSORS, i % SENSORS));
}

void
keep(struct retained *store, std::size_t i)
{
    static const std::uint8_t payload[64] = {};
    char text[64];
    std::uint32_t size = topic_text(text, i);
    struct message *message = message_make(&account, bytes_of(text, size), bytes_of(nullptr, 0), bytes_of(payload, sizeof payload));
    micro_require(message != nullptr && retained_set(store, &message) == 0, "a retained message was refused");
}

struct retained *
full_store()
{
    static struct retained *store;
    if (store == nullptr) {
        static const std::uint8_t secret[32] = {5};
        static const struct retained_limits limits = {};
        store = retained_init(&account, &limits, secret);
        micro_require(store != nullptr, "no memory for the store");
        for (std::size_t i = 0; i < topic_count(); i++) {
            keep(store, i);
        }
    }
    return store;
}

/* All messages that a filter finds; returns the nodes visited. */
std::uint64_t
walk_once(struct retained *store, const char *filter, std::uint64_t *found)
{
    struct retained_walk *walk = retained_walk_begin(store, micro_text(filter));
    micro_require(walk != nullptr, "no memory for a walk");
    std::uint32_t budget = UINT32_MAX;
    while (retained_walk_next(walk, 1, &budget) != nullptr) {
        ++*found;
    }
    retained_walk_end(&walk);
    return UINT32_MAX - budget;
}

enum per { PER_MESSAGE, PER_NODE };

void
walk(benchmark::State &state, const char *filter, enum per per)
{
    struct retained *store = full_store();
    std::uint64_t found = 0, nodes = 0;
    for (auto _ : state) {
        nodes += walk_once(store, filter, &found);
    }
    micro_require(found > 0, "a walk found nothing");
    state.SetItemsProcessed(static_cast<std::int64_t>(per == PER_MESSAGE ? found : nodes));
}
BENCHMARK_CAPTURE(walk, all_per_message, "#", PER_MESSAGE);
BENCHMARK_CAPTURE(walk, one_sensor_of_each_building_per_message, "building/+/sensor/7", PER_MESSAGE);
BENCHMARK_CAPTURE(walk, one_sensor_of_each_building_per_node, "building/+/sensor/7", PER_NODE);
BENCHMARK_CAPTURE(walk, one_building_per_message, "building/7/#", PER_MESSAGE);
BENCHMARK_CAPTURE(walk, one_topic_per_message, "building/7/sensor/7", PER_MESSAGE);

/* Topics in random order, their texts one after the other, so that only the store is cold. */
struct texts {
    std::vector<char> bytes;
    std::vector<std::uint8_t> size;

    texts()
    {
        micro_random random;
        std::size_t count = topic_count();
        bytes.resize(count * 64);
        for (std::size_t i = 0; i < count; i++) {
            char text[64];
            size.push_back(static_cast<std::uint8_t>(topic_text(text, random.below(count))));
            std::memcpy(&bytes[i * 64], text, sizeof text);
        }
    }

    struct bytes
    operator[](std::size_t i) const
    {
        i %= size.size();
        return bytes_of(&bytes[i * 64], size[i]);
    }
};

void
get(benchmark::State &state)
{
    struct retained *store = full_store();
    static const texts topics;
    std::size_t at = 0, found = 0;
    for (auto _ : state) {
        found += retained_get(store, topics[at++]) != nullptr;
    }
    micro_require(found == at, "a retained message is missing");
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(get);

/* A message in place of the one before, made from the bytes of its topic. */
void
set(benchmark::State &state)
{
    struct retained *store = full_store();
    micro_random random;
    for (auto _ : state) {
        keep(store, random.below(topic_count()));
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(set);

} // namespace
