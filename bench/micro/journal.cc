/*
 * journal: what does a durable record cost, by how many are committed together, and how fast is the past read again?
 *
 * The real ring and real files, in a directory of the working directory. `commit` appends so many records of 96 bytes, writes them and waits until they are on the disk: CPU time per
 * record, the kernel's part too; `latency` is the same in wall time per commit, so a record alone waits that long. `memory` appends and voids: what a record costs that is never written.
 * `read` is wall time per record of reading all of a journal with contents of so many bytes, checksums and all, from the page cache.
 *
 * Not answered: a disk that is slower than this one, a cold cache, what recovery does with the records.
 */
#include "bench/micro/micro.hh"

extern "C" {
#include "bench/micro/journal.h"
}

namespace {

constexpr std::uint32_t CONTENT_BYTES = 80; /* 96 with its head */

void
commit(benchmark::State &state)
{
    struct place *place = place_open();
    std::int64_t batch = state.range(0);
    place_cut_now_and_then(place);
    for (auto _ : state) {
        for (std::int64_t i = 0; i < batch; i++) {
            place_append(place, CONTENT_BYTES);
        }
        place_commit(place);
    }
    state.SetItemsProcessed(batch * state.iterations());
    place_close(place);
}
BENCHMARK(commit)->Arg(1)->Arg(16)->Arg(100)->Arg(1000)->Arg(8000);

void
latency(benchmark::State &state)
{
    struct place *place = place_open();
    place_cut_now_and_then(place);
    for (auto _ : state) {
        place_append(place, CONTENT_BYTES);
        place_commit(place);
    }
    state.SetItemsProcessed(state.iterations());
    place_close(place);
}
BENCHMARK(latency)->UseRealTime();

void
memory(benchmark::State &state)
{
    struct place *place = place_open();
    for (auto _ : state) {
        for (unsigned i = 0; i < 100; i++) {
            place_append_and_void(place, CONTENT_BYTES);
        }
        place_submit(place);
    }
    state.SetItemsProcessed(100 * state.iterations());
    place_close(place);
}
BENCHMARK(memory);

void
read(benchmark::State &state)
{
    struct place *place = place_open();
    std::uint32_t size = static_cast<std::uint32_t>(state.range(0));
    std::size_t batch = 0;
    for (std::size_t bytes = 0; bytes < micro_size(512u << 20, 1u << 20); bytes += size + 16) {
        place_append(place, size);
        if ((batch += size) > 500000) {
            batch = 0;
            place_commit(place);
        }
    }
    std::uint64_t records = 0;
    for (auto _ : state) {
        records += place_read_again(place);
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(records));
    place_close(place);
}
BENCHMARK(read)->Arg(80)->Arg(1000)->Arg(30000)->UseRealTime();

} // namespace
