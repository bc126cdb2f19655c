/*
 * sessions: what does it cost to find a session by its client identifier, among a million?
 *
 * `random` looks for any of them, so most of what is read is cold; `hot` for one of a thousand, `missing` for identifiers that nobody has. Identifiers have 20 bytes; the keyed hash of
 * the identifier, which the engine computes first to find the home shard, is included.
 *
 * Not answered: opening and ending sessions.
 */
#define XXH_INLINE_ALL
#include "bench/micro/micro.hh"

#include <xxhash.h>

extern "C" {
#include "engine/session/session.h"
#include "engine/session/session_table.h"
}

namespace {

constexpr std::size_t ID_BYTES = 20;
constexpr std::uint64_t SEED = 42;

std::size_t
session_count()
{
    return micro_size(1000000, 1000);
}

void
write_id(char *out, std::size_t i)
{
    char text[32];
    std::snprintf(text, sizeof text, "sensor-%013zu", i);
    std::memcpy(out, text, ID_BYTES);
}

std::uint64_t
hash_of(const void *id)
{
    return XXH3_64bits_withSeed(id, ID_BYTES, SEED);
}

/* Sessions as large as the engine's, each with its identifier inside. */
static_assert(ID_BYTES <= SESSION_ID_INLINE, "longer ones lie on the heap");
const struct session_table &
full_table()
{
    static struct session_table table;
    if (table.count == 0) {
        std::size_t count = session_count();
        auto *sessions = static_cast<struct session *>(std::calloc(count, sizeof(struct session)));
        micro_require(sessions != nullptr, "no memory for the sessions");
        for (std::size_t i = 0; i < count; i++) {
            struct session *s = &sessions[i];
            write_id(reinterpret_cast<char *>(s->client_id.bytes), i);
            s->client_id_size = ID_BYTES;
            s->client_hash = static_cast<std::uint32_t>(hash_of(s->client_id.bytes));
            micro_require(session_table_add(&table, s), "no memory for the table");
        }
    }
    return table;
}

/* Identifiers `from` to `from + distinct` in random order. */
void
find(benchmark::State &state, std::size_t from, std::size_t distinct, bool there)
{
    constexpr std::size_t ORDER_SIZE = 1 << 18;
    const struct session_table &table = full_table();
    micro_random random;
    std::vector<char> ids(ORDER_SIZE * ID_BYTES);
    for (std::size_t i = 0; i < ORDER_SIZE; i++) {
        write_id(&ids[i * ID_BYTES], from + random.below(distinct));
    }
    std::size_t at = 0, found = 0;
    for (auto _ : state) {
        const char *id = &ids[at++ % ORDER_SIZE * ID_BYTES];
        found += session_table_find(&table, hash_of(id), bytes_of(id, ID_BYTES)) != nullptr;
    }
    micro_require(found == (there ? at : 0), "a session is missing, or one too many is there");
    state.SetItemsProcessed(state.iterations());
}

void
find_random(benchmark::State &state)
{
    find(state, 0, session_count(), true);
}
BENCHMARK(find_random);

void
find_hot(benchmark::State &state)
{
    find(state, 0, 1000, true);
}
BENCHMARK(find_hot);

void
find_missing(benchmark::State &state)
{
    find(state, session_count(), session_count(), false);
}
BENCHMARK(find_missing);

} // namespace
