/*
 * output: what does one packet cost on its way into its connection's output, by how many connections get one and how many packets each gets per turn?
 *
 * A packet has 78 bytes, as 64 of payload make it. The end of a turn is included: output chunks go back to the pool as after a send.
 *
 * Not answered: the send itself, which costs far more.
 */
#include "bench/micro/micro.hh"

extern "C" {
#include "bench/micro/output.h"
}

namespace {

void
append(benchmark::State &state)
{
    static const std::uint8_t bytes[78] = {0x30, 76};
    struct bytes packet = bytes_of(bytes, sizeof bytes);
    std::uint32_t connections = static_cast<std::uint32_t>(state.range(0)), packets = static_cast<std::uint32_t>(state.range(1));
    struct output *output = output_open(connections);
    micro_require(output != nullptr, "no memory for connections");
    std::uint64_t sent = 0;
    for (auto _ : state) {
        for (std::uint32_t k = 0; k < packets; k++) {
            for (std::uint32_t c = 0; c < connections; c++) {
                micro_require(output_put(output, c, packet), "no memory for output");
            }
        }
        sent += output_sent(output);
    }
    micro_require(sent == sizeof bytes * connections * packets * state.iterations(), "output is missing");
    state.SetItemsProcessed(static_cast<std::int64_t>(sent / sizeof bytes));
    output_close(&output);
}
BENCHMARK(append)->ArgNames({"connections", "packets"})->Args({1, 1})->Args({1, 50})->Args({500, 1})->Args({500, 20})->Args({10000, 1});

} // namespace
