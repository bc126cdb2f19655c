/*
 * websocket: what does a WebSocket add to a message, and what do its handshake and a PROXY header cost?
 *
 * `unmask` takes the mask off a payload of that many bytes, beside its portable twin; `read` goes through a receive buffer of frames with that much payload each (per frame;
 * 70 is a QoS 0 message of the usual size), payload moved together as the broker does it; `upgrade` reads a browser's request and writes the answer, SHA-1 included.
 *
 * Not answered: the system calls, which are the same without; TLS.
 */
#include "bench/micro/micro.hh"

#include <string>

extern "C" {
#include "codec/proxy.h"
#include "codec/upgrade.h"
#include "codec/websocket.h"
}

namespace {

constexpr std::uint32_t RECEIVE_BUFFER = 4096;

template <void (*UNMASK)(std::uint8_t *, const std::uint8_t *, std::uint32_t, std::uint8_t *)>
void
unmask(benchmark::State &state)
{
    std::uint32_t size = static_cast<std::uint32_t>(state.range(0));
    std::vector<std::uint8_t> bytes(size + 6);
    std::uint8_t mask[4] = {1, 2, 3, 4};
    for (auto _ : state) {
        UNMASK(bytes.data(), bytes.data() + 6, size, mask);
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations());
    state.SetBytesProcessed(state.iterations() * size);
}
BENCHMARK_TEMPLATE(unmask, websocket_unmask)->Arg(16)->Arg(70)->Arg(300)->Arg(4000);
BENCHMARK_TEMPLATE(unmask, websocket_unmask_portable)->Arg(16)->Arg(70)->Arg(300)->Arg(4000);

std::vector<std::uint8_t>
buffer_of_frames(std::uint32_t payload, std::uint32_t *count)
{
    std::vector<std::uint8_t> bytes;
    std::uint8_t header[WEBSOCKET_HEADER_OUT_MAX];
    std::uint32_t header_size = websocket_write_header(header, WEBSOCKET_BINARY, payload);
    header[1] |= 0x80;
    for (*count = 0; bytes.size() + header_size + 4 + payload <= RECEIVE_BUFFER; ++*count) {
        bytes.insert(bytes.end(), header, header + header_size);
        bytes.insert(bytes.end(), 4 + payload, static_cast<std::uint8_t>(*count));
    }
    return bytes;
}

void
read(benchmark::State &state)
{
    std::uint32_t count;
    std::uint32_t payload = static_cast<std::uint32_t>(state.range(0));
    const std::vector<std::uint8_t> frames = buffer_of_frames(payload, &count);
    std::vector<std::uint8_t> bytes = frames;
    struct websocket_reader reader;
    struct websocket_result result;
    websocket_reader_init(&reader);
    for (auto _ : state) {
        std::memcpy(bytes.data(), frames.data(), frames.size()); /* the kernel's part */
        websocket_read(&reader, bytes.data(), static_cast<std::uint32_t>(bytes.size()), &result);
        benchmark::ClobberMemory();
    }
    micro_require(result.produced == count * payload, "frames of ours are not read");
    state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(read)->Arg(16)->Arg(70)->Arg(300)->Arg(1300);

void
upgrade(benchmark::State &state)
{
    struct bytes request = micro_text(
        "GET /mqtt HTTP/1.1\r\nHost: broker.example.com:8083\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\n"
        "Origin: https://example.com\r\nSec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n");
    struct upgrade out;
    std::uint8_t answer[UPGRADE_ANSWER_MAX];
    for (auto _ : state) {
        micro_require(upgrade_read(request, RECEIVE_BUFFER, &out) == UPGRADE_DONE, "a request of ours is refused");
        benchmark::DoNotOptimize(upgrade_write_accept(answer, &out));
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(upgrade);

void
proxy_line(benchmark::State &state)
{
    struct bytes line = micro_text("PROXY TCP4 203.0.113.7 192.0.2.1 51234 1883\r\n");
    struct proxy out;
    for (auto _ : state) {
        micro_require(proxy_read(line, 1, &out) == PROXY_DONE, "a header of ours is refused");
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(proxy_line);

} // namespace
