/*
 * match: what does it cost to find who wants a topic?
 *
 * The index holds a million filters without wildcards, which are the topics (sites, devices, sensors), and ten thousand with wildcards in five shapes; two and a half filters
 * match a topic on average. `memo` and `cache` are what most publishes pay; `hot` and `cold` search the index anew each time, as a miss of the cache does: for few topics
 * over and over, and for random ones among all. In `cold` the topic's own text is in the cache, as it has just been received; in `cold_text` it is not.
 * The adversarial ones are the most that a client can make every publish under one first level cost.
 *
 * Not answered: what subscribing costs, what a cache invalidated by subscribers costs, several shards at once.
 */
#include "bench/micro/micro.hh"

#include <array>
#include <string>
#include <sys/mman.h>

extern "C" {
#include "bench/micro/search.h"
#include "router/filter_index.h"
}

namespace {

constexpr std::size_t TEXT_BYTES = 64; /* a topic never lies in two cache lines */
constexpr std::size_t HUGE_BYTES = std::size_t{2} << 20;
constexpr std::size_t ORDER_SIZE = 1 << 18;
/* Iterations between the request for a topic's text and its use. */
constexpr std::size_t TEXT_AHEAD = 8;

struct topics {
    char (*text)[TEXT_BYTES];
    std::vector<std::uint8_t> size;

    struct bytes
    operator[](std::size_t i) const
    {
        return bytes_of(text[i], size[i]);
    }
};

void *
huge_pages(std::size_t size)
{
    size = (size + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
    void *pages = std::aligned_alloc(HUGE_BYTES, size);
    micro_require(pages != nullptr, "no memory for the topics");
    (void)madvise(pages, size, MADV_HUGEPAGE); /* without them only the texts are slower */
    return pages;
}

const topics &
all_topics()
{
    static topics all;
    if (all.size.empty()) {
        static const char *const sensors[] = {"temp", "hum", "volt", "rpm"};
        std::size_t count = micro_size(1000000, 10000);
        all.text = static_cast<char(*)[TEXT_BYTES]>(huge_pages(count * TEXT_BYTES));
        for (std::size_t i = 0; i < count; i++) {
            int size = std::snprintf(all.text[i], TEXT_BYTES, "site/%zu/dev/%zu/sensor/%s", i / 1000, i % 1000, sensors[i & 3]);
            all.size.push_back(static_cast<std::uint8_t>(size));
        }
    }
    return all;
}

struct filter_index *
index_open()
{
    static const std::uint8_t secret[32] = {7, 1, 3};
    struct filter_index *index = filter_index_init(1, nullptr, secret);
    micro_require(index != nullptr, "no memory for the index");
    return index;
}

bool
add(struct filter_index *index, struct bytes filter)
{
    std::uint32_t id;
    return filter_index_add(index, 0, filter, bytes_of(nullptr, 0), &id) == 0;
}

void
add_exact(struct filter_index *index)
{
    const topics &all = all_topics();
    for (std::size_t i = 0; i < all.size.size(); i++) {
        micro_require(add(index, all[i]), "the index took no more filters");
    }
}

void
add_wildcards(struct filter_index *index)
{
    char text[TEXT_BYTES];
    std::size_t count = micro_size(2500, 100);
    auto put = [&](const char *format, std::size_t a, std::size_t b) {
        std::snprintf(text, sizeof text, format, a, b);
        micro_require(add(index, micro_text(text)), "the index took no more filters");
    };
    for (std::size_t i = 0; i < count; i++) {
        put(i < 1000 ? "site/%zu/+/+/sensor/temp" : "site/%zu/dev/%zu/#", i % 1000, i);
        put("site/+/dev/%zu/#", i, 0);
        put("+/%zu/dev/%zu/sensor/+", i % 1000, i * 7 % 1000);
        put("site/%zu/dev/+/sensor/rpm", i, 0);
    }
}

struct filter_index *
full_index()
{
    static struct filter_index *index;
    if (index == nullptr) {
        index = index_open();
        add_exact(index);
        add_wildcards(index);
    }
    return index;
}

struct filter_index *
exact_index()
{
    static struct filter_index *index;
    if (index == nullptr) {
        index = index_open();
        add_exact(index);
    }
    return index;
}

struct filter_index *
wildcard_index()
{
    static struct filter_index *index;
    if (index == nullptr) {
        index = index_open();
        add_wildcards(index);
    }
    return index;
}

/* Which topics, and the order to go through them. A few lie close together, as a broker finds them in what it has just received. */
struct choice {
    std::vector<std::array<char, TEXT_BYTES>> texts; /* of a few */
    topics from;
    std::vector<std::uint32_t> order;

    /* `distinct` different ones, spread over all; 0: all. */
    explicit choice(std::size_t distinct) : from(distinct == 0 ? all_topics() : few(distinct)), order(ORDER_SIZE)
    {
        micro_random random;
        for (std::uint32_t &i : order) {
            i = random.below(from.size.size());
        }
    }

    struct bytes
    operator[](std::size_t i) const
    {
        return from[order[i % ORDER_SIZE]];
    }

    const void *
    ahead(std::size_t i) const
    {
        return from.text[order[(i + TEXT_AHEAD) % ORDER_SIZE]];
    }

    topics
    few(std::size_t distinct)
    {
        const topics &all = all_topics();
        texts.resize(distinct);
        topics chosen = {reinterpret_cast<char(*)[TEXT_BYTES]>(texts.data()), {}};
        for (std::size_t i = 0; i < distinct; i++) {
            std::size_t one = i * 977 % all.size.size();
            std::memcpy(chosen.text[i], all.text[one], TEXT_BYTES);
            chosen.size.push_back(all.size[one]);
        }
        return chosen;
    }
};

void
search_topics(benchmark::State &state, struct filter_index *index, std::size_t distinct, bool text_cached)
{
    choice topics(distinct);
    struct search_run *run = search_open(index);
    std::size_t at = 0, found = 0;
    for (auto _ : state) {
        if (text_cached) {
            __builtin_prefetch(topics.ahead(at));
        }
        found += search_topic(run, topics[at++]);
    }
    benchmark::DoNotOptimize(found);
    state.SetItemsProcessed(state.iterations());
    state.counters["found"] = static_cast<double>(found) / static_cast<double>(state.iterations());
    search_close(&run);
}

void
find_topics(benchmark::State &state, std::size_t distinct, bool with_memo)
{
    choice topics(distinct);
    struct match_cache *cache = match_cache_init(full_index(), 0, 0);
    micro_require(cache != nullptr, "no memory for the cache");
    std::vector<std::uint32_t> memos(distinct);
    std::size_t at = 0, found = 0;
    for (auto _ : state) {
        std::uint32_t *memo = with_memo ? &memos[topics.order[at % ORDER_SIZE]] : nullptr;
        found += match_cache_find(cache, topics[at++], memo)->local_count;
    }
    benchmark::DoNotOptimize(found);
    state.SetItemsProcessed(state.iterations());
    match_cache_fini(&cache);
}

/* ------------------------------------------------------------------------------------------------------- what publishes pay */

void
memo(benchmark::State &state)
{
    find_topics(state, static_cast<std::size_t>(state.range(0)), true);
}
BENCHMARK(memo)->Arg(1)->Arg(1000);

void
cache(benchmark::State &state)
{
    find_topics(state, static_cast<std::size_t>(state.range(0)), false);
}
BENCHMARK(cache)->Arg(1)->Arg(1000);

/* ------------------------------------------------------------------------------------------------------------- the whole index */

void
hot(benchmark::State &state)
{
    search_topics(state, full_index(), static_cast<std::size_t>(state.range(0)), true);
}
BENCHMARK(hot)->Arg(1000)->Arg(4000);

void
cold(benchmark::State &state)
{
    search_topics(state, full_index(), 0, true);
}
BENCHMARK(cold);

void
cold_text(benchmark::State &state)
{
    search_topics(state, full_index(), 0, false);
}
BENCHMARK(cold_text);

/* ------------------------------------------------------------------------------------------------------------------- its parts */

void
exact_hot(benchmark::State &state)
{
    search_topics(state, exact_index(), 1000, true);
}
BENCHMARK(exact_hot);

void
exact_cold(benchmark::State &state)
{
    search_topics(state, exact_index(), 0, true);
}
BENCHMARK(exact_cold);

void
tuples_hot(benchmark::State &state)
{
    search_topics(state, wildcard_index(), 1000, true);
}
BENCHMARK(tuples_hot);

void
tuples_cold(benchmark::State &state)
{
    search_topics(state, wildcard_index(), 0, true);
}
BENCHMARK(tuples_cold);

/* ----------------------------------------------------------------------------------------------------------------- adversarial */

/* "x/x/+/.../zz": one of 2^`levels` choices of literal levels and '+'. */
std::string
mixed_filter(unsigned choice, unsigned levels)
{
    std::string text = "x/";
    for (unsigned i = 0; i < levels; i++) {
        text += choice >> i & 1 ? "+/" : "x/";
    }
    return text + "zz";
}

void
search_one(benchmark::State &state, struct filter_index *index, const std::string &topic)
{
    struct search_run *run = search_open(index);
    struct bytes bytes = bytes_of(topic.data(), static_cast<std::uint32_t>(topic.size()));
    std::size_t found = 0;
    for (auto _ : state) {
        found += search_topic(run, bytes);
    }
    benchmark::DoNotOptimize(found);
    state.SetItemsProcessed(state.iterations());
    search_close(&run);
    filter_index_fini(&index);
}

/* 64 shapes in tuple space, the rest in the trie; none matches, so all are looked for. */
void
adversarial_shapes(benchmark::State &state)
{
    unsigned levels = static_cast<unsigned>(state.range(0));
    struct filter_index *index = index_open();
    std::string topic = "x/";
    for (unsigned choice = 0; choice < 1u << levels; choice++) {
        std::string text = mixed_filter(choice, levels);
        add(index, micro_text(text.c_str())); /* those over the trie's limits are refused, which is what the limits are for */
    }
    for (unsigned i = 0; i < levels; i++) {
        topic += "x/";
    }
    search_one(state, index, topic + "q");
}
BENCHMARK(adversarial_shapes)->Arg(4)->Arg(6)->Arg(8)->Arg(12);

/* The deepest topic, and as many filters as fit that differ from it in the last level only, each with two '+' somewhere. */
void
adversarial_levels(benchmark::State &state)
{
    constexpr unsigned LEVELS = 128;
    struct filter_index *index = index_open();
    bool room = true;
    for (unsigned first = 1; first < LEVELS - 2 && room; first++) {
        for (unsigned second = first + 1; second < LEVELS - 1 && room; second += 7) {
            std::string text = "x";
            for (unsigned i = 1; i < LEVELS - 1; i++) {
                text += i == first || i == second ? "/+" : "/x";
            }
            text += "/zz";
            room = add(index, micro_text(text.c_str()));
        }
    }
    std::string topic = "x";
    for (unsigned i = 1; i < LEVELS; i++) {
        topic += "/x";
    }
    search_one(state, index, topic);
}
BENCHMARK(adversarial_levels);

} // namespace
