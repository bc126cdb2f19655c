/*
 * mesh: what does one record from core to core cost, by how many are published at a time?
 *
 * `one_thread` is producer's and consumer's work together, without the cache lines that travel; in `two_threads` one core sends and another takes, as fast as they can, and the
 * figure is wall time per record at the consumer. A record has 96 bytes, about a small message.
 *
 * Not answered: waking a shard that sleeps (a system call), more than two shards. On a machine with one free core the second figure means nothing.
 */
#include "bench/micro/micro.hh"

#include <atomic>
#include <sched.h>
#include <thread>

extern "C" {
#include "engine/mesh.h"
}

namespace {

constexpr std::uint32_t RECORD_BYTES = 96;
/* The producer waits while this much lies in its overflow list, as a shard stops reading from publishers. */
constexpr std::uint64_t BACKLOG_MAX = 1 << 18;

struct mesh *
open_mesh()
{
    struct mesh *mesh = mesh_init(2);
    micro_require(mesh != nullptr, "no memory for the mesh");
    return mesh;
}

void
send_batch(struct mesh *mesh, std::size_t batch, std::uint64_t &number)
{
    for (std::size_t i = 0; i < batch; i++) {
        auto *record = static_cast<std::uint64_t *>(mesh_reserve(mesh, 0, 1, RECORD_BYTES));
        for (std::size_t word = 0; word < RECORD_BYTES / sizeof *record; word++) {
            record[word] = number;
        }
        number++;
        mesh_commit(mesh, 0, 1, RECORD_BYTES);
    }
    benchmark::DoNotOptimize(mesh_publish(mesh, 0));
}

/* One pass; the records' numbers follow each other. */
std::size_t
take_pass(struct mesh *mesh, std::uint64_t &expected)
{
    std::size_t count = 0;
    unsigned from;
    std::uint32_t size;
    mesh_begin(mesh, 1);
    while (const void *record = mesh_next(mesh, 1, &from, &size)) {
        const auto *words = static_cast<const std::uint64_t *>(record);
        micro_require(words[0] == expected && words[RECORD_BYTES / 8 - 1] == expected, "a record is not the one that was due");
        expected++;
        count++;
    }
    benchmark::DoNotOptimize(mesh_publish(mesh, 1)); /* names a producer for whom there is room again */
    return count;
}

void
one_thread(benchmark::State &state)
{
    struct mesh *mesh = open_mesh();
    std::size_t batch = static_cast<std::size_t>(state.range(0));
    std::uint64_t sent = 0, taken = 0;
    for (auto _ : state) {
        send_batch(mesh, batch, sent);
        take_pass(mesh, taken);
    }
    micro_require(sent == taken, "records are missing");
    state.SetItemsProcessed(static_cast<std::int64_t>(taken));
    mesh_fini(&mesh);
}
BENCHMARK(one_thread)->Arg(1)->Arg(4)->Arg(16)->Arg(64);

void
produce(struct mesh *mesh, std::size_t batch, const std::atomic<bool> &over)
{
    std::uint64_t sent = 0;
    while (!over.load(std::memory_order_relaxed)) {
        if (mesh_backlog(mesh, 0) > BACKLOG_MAX) {
            benchmark::DoNotOptimize(mesh_publish(mesh, 0));
            sched_yield();
        } else {
            send_batch(mesh, batch, sent);
        }
    }
}

void
two_threads(benchmark::State &state)
{
    struct mesh *mesh = open_mesh();
    std::size_t batch = static_cast<std::size_t>(state.range(0));
    std::atomic<bool> over{false};
    std::thread producer(produce, mesh, batch, std::cref(over));
    std::uint64_t taken = 0;
    for (auto _ : state) {
        while (take_pass(mesh, taken) == 0) {
            sched_yield();
        }
    }
    over = true;
    producer.join();
    state.SetItemsProcessed(static_cast<std::int64_t>(taken));
    mesh_fini(&mesh);
}
BENCHMARK(two_threads)->Arg(1)->Arg(4)->Arg(16)->Arg(64)->UseRealTime();

} // namespace
