/*
 * levels: what does it cost to look over a topic: is it valid, where are its levels, what are their hashes?
 *
 * `split` is the matcher's first step, beside its portable twin; `name_check` is done to every PUBLISH; `filter_parse` to every filter; `utf8` is what remains when a
 * text is not ASCII.
 *
 * Not answered: mixtures of lengths, which mispredict branches that one topic over and over does not (see match.cc).
 */
#include "bench/micro/micro.hh"

#include <string>

extern "C" {
#include "codec/topic.h"
#include "router/levels.h"
}

namespace {

const char *const names[] = {
    "a/b",
    "site/123/dev/456/sensor/temp",
    "europe/germany/berlin/building-17/floor-3/room-312/ventilation/sensors/temperature/celsius/current",
};

std::string
deepest_name()
{
    std::string name = "x";
    for (unsigned i = 1; i < TOPIC_LEVELS_MAX; i++) {
        name += "/x";
    }
    return name;
}

/* By number: three names, then the deepest that is allowed. */
std::string
name_of(benchmark::State &state)
{
    std::size_t i = static_cast<std::size_t>(state.range(0));
    return i < 3 ? names[i] : deepest_name();
}

template <void (*SPLIT)(struct bytes, const struct levels_key *, struct levels *)>
void
split(benchmark::State &state)
{
    levels_init();
    std::string name = name_of(state);
    struct bytes bytes = micro_text(name.c_str());
    struct levels_key key = levels_key_from(42);
    struct levels out;
    for (auto _ : state) {
        SPLIT(bytes, &key, &out);
        benchmark::ClobberMemory();
    }
    micro_require(out.count > 1, "a name of ours has no levels");
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK_TEMPLATE(split, levels_split)->DenseRange(0, 3);
BENCHMARK_TEMPLATE(split, levels_split_portable)->DenseRange(0, 3);

void
name_check(benchmark::State &state)
{
    std::string name = name_of(state);
    struct bytes bytes = micro_text(name.c_str());
    bool valid = true;
    for (auto _ : state) {
        valid &= topic_name_check(bytes, TOPIC_LEVELS_MAX);
        benchmark::ClobberMemory();
    }
    micro_require(valid, "a name of ours was refused");
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(name_check)->DenseRange(0, 3);

void
filter_parse(benchmark::State &state)
{
    static const char *const filters[] = {"site/123/dev/456/sensor/temp", "site/+/dev/+/sensor/#", "$share/group/site/+/dev/+/sensor/#"};
    struct bytes filter = micro_text(filters[state.range(0)]);
    struct topic_filter out;
    bool valid = true;
    for (auto _ : state) {
        valid &= topic_filter_parse(filter, TOPIC_LEVELS_MAX, &out);
        benchmark::ClobberMemory();
    }
    micro_require(valid, "a filter of ours was refused");
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(filter_parse)->DenseRange(0, 2);

/* A text of that many bytes, of which every fourth character has two. */
std::string
accented(std::size_t size)
{
    std::string text;
    while (text.size() + 5 <= size) {
        text += "abc\xc3\xa9";
    }
    return text;
}

template <bool (*CHECK)(struct bytes)>
void
utf8(benchmark::State &state)
{
    std::string text = accented(static_cast<std::size_t>(state.range(0)));
    struct bytes bytes = bytes_of(text.data(), static_cast<std::uint32_t>(text.size()));
    bool valid = true;
    for (auto _ : state) {
        valid &= CHECK(bytes);
        benchmark::ClobberMemory();
    }
    micro_require(valid, "a text of ours was refused");
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK_TEMPLATE(utf8, utf8_check)->Arg(30)->Arg(1000);
BENCHMARK_TEMPLATE(utf8, utf8_check_portable)->Arg(30)->Arg(1000);

} // namespace
