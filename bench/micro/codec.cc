/*
 * codec: what does it cost to take a packet apart and to put one together?
 *
 * Packets are as a broker sees them: a topic of 28 bytes in six levels, a payload of 64. `frame` finds where a packet ends; the decoders include it, as nobody calls them
 * without. `forward` is how the broker builds what it sends on.
 *
 * Not answered: cold input (a broker has just received it), packets in pieces.
 */
#include "bench/micro/micro.hh"

extern "C" {
#include "codec/decode.h"
#include "codec/encode.h"
#include "codec/forward.h"
#include "codec/topic.h"
}

namespace {

constexpr std::uint32_t SIZE_MAX_BYTES = 2000000;

struct wire {
    std::uint8_t bytes[1024];
    std::uint32_t size = 0;

    struct bytes
    all() const
    {
        return bytes_of(bytes, size);
    }
};

struct bytes
topic()
{
    return micro_text("site/123/dev/456/sensor/temp");
}

struct bytes
payload()
{
    static const std::uint8_t bytes[64] = {1, 2, 3};
    return bytes_of(bytes, sizeof bytes);
}

/* What a version 5 client with much to say sends: five properties and two of its own. */
void
fill_properties(struct properties *p, std::uint8_t *raw, std::uint32_t room)
{
    p->payload_format = 1;
    properties_mark(p, PROPERTY_PAYLOAD_FORMAT_INDICATOR);
    p->message_expiry_s = 3600;
    properties_mark(p, PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    p->content_type = micro_text("application/json");
    properties_mark(p, PROPERTY_CONTENT_TYPE);
    p->response_topic = micro_text("site/123/replies");
    properties_mark(p, PROPERTY_RESPONSE_TOPIC);
    p->correlation_data = micro_text("0123456789abcdef");
    properties_mark(p, PROPERTY_CORRELATION_DATA);
    std::uint32_t size = encode_user_property(raw, room, micro_text("unit"), micro_text("celsius"));
    size += encode_user_property(raw + size, room - size, micro_text("trace"), micro_text("4bf92f3577b34da6a3ce929d0e0e4736"));
    p->raw = bytes_of(raw, size);
    p->user_count = 2;
    properties_mark(p, PROPERTY_USER_PROPERTY);
}

struct publish
a_publish(std::uint8_t qos, bool with_properties)
{
    static std::uint8_t raw[256];
    struct publish p = {};
    p.topic = topic();
    p.payload = payload();
    p.qos = qos;
    p.packet_id = qos > 0 ? 77 : 0;
    if (with_properties) {
        fill_properties(&p.properties, raw, sizeof raw);
    }
    return p;
}

wire
publish_on_the_wire(std::uint8_t version, std::uint8_t qos, bool with_properties)
{
    wire w;
    struct publish p = a_publish(qos, with_properties);
    w.size = encode_publish(w.bytes, sizeof w.bytes, version, &p);
    micro_require(w.size > 0, "a PUBLISH could not be encoded");
    return w;
}

struct frame
frame_of(const wire &w)
{
    struct frame frame;
    micro_require(frame_read(w.all(), SIZE_MAX_BYTES, &frame) == FRAME_DONE, "a packet of ours is not whole");
    return frame;
}

/* ---------------------------------------------------------------------------------------------------------------------- PUBLISH */

void
frame(benchmark::State &state)
{
    wire w = publish_on_the_wire(MQTT_VERSION_311, 0, false);
    struct frame out;
    for (auto _ : state) {
        benchmark::DoNotOptimize(frame_read(w.all(), SIZE_MAX_BYTES, &out));
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(frame);

void
decode_publish_as(benchmark::State &state, std::uint8_t version, std::uint8_t qos, bool with_properties)
{
    wire w = publish_on_the_wire(version, qos, with_properties);
    struct frame frame;
    struct publish out;
    std::uint32_t refused = 0;
    for (auto _ : state) {
        frame_read(w.all(), SIZE_MAX_BYTES, &frame);
        refused += decode_publish(&frame, version, PACKET_FROM_CLIENT, &out) != REASON_SUCCESS;
        benchmark::ClobberMemory();
    }
    micro_require(refused == 0, "a PUBLISH of ours was refused");
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(decode_publish_as, v311_qos0, MQTT_VERSION_311, 0, false);
BENCHMARK_CAPTURE(decode_publish_as, v311_qos1, MQTT_VERSION_311, 1, false);
BENCHMARK_CAPTURE(decode_publish_as, v5_qos0, MQTT_VERSION_5, 0, false);
BENCHMARK_CAPTURE(decode_publish_as, v5_qos1_properties, MQTT_VERSION_5, 1, true);

void
encode_publish_as(benchmark::State &state, std::uint8_t version, std::uint8_t qos, bool with_properties)
{
    struct publish p = a_publish(qos, with_properties);
    wire w;
    for (auto _ : state) {
        benchmark::DoNotOptimize(encode_publish(w.bytes, sizeof w.bytes, version, &p));
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(encode_publish_as, v311_qos0, MQTT_VERSION_311, 0, false);
BENCHMARK_CAPTURE(encode_publish_as, v5_qos1_properties, MQTT_VERSION_5, 1, true);

void
forward(benchmark::State &state, std::uint8_t version, std::uint8_t qos, bool with_properties)
{
    wire in = publish_on_the_wire(MQTT_VERSION_5, qos, with_properties), out;
    struct frame frame = frame_of(in);
    struct publish p;
    micro_require(decode_publish(&frame, MQTT_VERSION_5, PACKET_FROM_CLIENT, &p) == REASON_SUCCESS, "a PUBLISH of ours was refused");
    struct forward f = {};
    f.topic = p.topic;
    f.payload = p.payload;
    f.properties = p.properties.raw;
    f.qos = qos;
    f.packet_id = p.packet_id;
    for (auto _ : state) {
        std::uint32_t size = forward_size(&f, version);
        forward_write(out.bytes, size, &f, version);
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(forward, v311_qos0, MQTT_VERSION_311, 0, false);
BENCHMARK_CAPTURE(forward, v5_qos1_properties, MQTT_VERSION_5, 1, true);

/* ----------------------------------------------------------------------------------------------------------------------- CONNECT */

struct connect
a_connect(std::uint8_t version, bool much)
{
    struct connect c = {};
    c.version = version;
    c.clean_start = true;
    c.keep_alive_s = 60;
    c.client_id = micro_text("sensor-0123456789");
    if (much) {
        c.has_user_name = c.has_password = c.has_will = true;
        c.user_name = micro_text("user");
        c.password = micro_text("correct horse battery staple");
        c.will.topic = topic();
        c.will.payload = payload();
        c.will.qos = 1;
        c.properties.session_expiry_s = 3600;
        properties_mark(&c.properties, PROPERTY_SESSION_EXPIRY_INTERVAL);
        c.properties.receive_maximum = 100;
        properties_mark(&c.properties, PROPERTY_RECEIVE_MAXIMUM);
        c.will.properties.will_delay_s = 5;
        properties_mark(&c.will.properties, PROPERTY_WILL_DELAY_INTERVAL);
    }
    return c;
}

void
decode_connect_as(benchmark::State &state, std::uint8_t version, bool much)
{
    wire w;
    struct connect c = a_connect(version, much), out;
    w.size = encode_connect(w.bytes, sizeof w.bytes, &c);
    struct frame frame;
    std::uint32_t refused = 0;
    for (auto _ : state) {
        frame_read(w.all(), SIZE_MAX_BYTES, &frame);
        refused += decode_connect(&frame, &out) != REASON_SUCCESS;
        benchmark::ClobberMemory();
    }
    micro_require(refused == 0, "a CONNECT of ours was refused");
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(decode_connect_as, v311, MQTT_VERSION_311, false);
BENCHMARK_CAPTURE(decode_connect_as, v5_with_will, MQTT_VERSION_5, true);

void
encode_connect_as(benchmark::State &state, std::uint8_t version, bool much)
{
    wire w;
    struct connect c = a_connect(version, much);
    for (auto _ : state) {
        benchmark::DoNotOptimize(encode_connect(w.bytes, sizeof w.bytes, &c));
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(encode_connect_as, v311, MQTT_VERSION_311, false);
BENCHMARK_CAPTURE(encode_connect_as, v5_with_will, MQTT_VERSION_5, true);

/* ------------------------------------------------------------------------------------------------------ SUBSCRIBE, acknowledgements */

/* Eight filters, each looked into as the engine does. */
void
decode_subscribe_8_filters(benchmark::State &state)
{
    wire w, entries;
    struct subscribe s = {}, out;
    struct subscription_options options = {};
    options.qos = 1;
    for (unsigned i = 0; i < 8; i++) {
        struct bytes filter = micro_text(i % 2 ? "site/123/+/456/sensor/#" : "site/123/dev/456/sensor/temp");
        entries.size += encode_subscribe_entry(entries.bytes + entries.size, sizeof entries.bytes - entries.size, filter, options);
    }
    s.packet_id = 1;
    s.count = 8;
    s.entries = entries.all();
    w.size = encode_subscribe(w.bytes, sizeof w.bytes, MQTT_VERSION_5, &s);
    struct frame frame = frame_of(w);
    std::uint32_t valid = 0;
    for (auto _ : state) {
        decode_subscribe(&frame, MQTT_VERSION_5, &out);
        struct bytes filter, rest = out.entries;
        struct topic_filter parsed;
        while (subscribe_next(&rest, &filter, &options)) {
            valid += topic_filter_parse(filter, TOPIC_LEVELS_MAX, &parsed);
        }
    }
    micro_require(valid == 8 * state.iterations(), "a filter of ours was refused");
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(decode_subscribe_8_filters);

void
encode_subscribe_entry_1_filter(benchmark::State &state)
{
    wire w;
    struct subscription_options options = {};
    struct bytes filter = micro_text("site/123/+/456/sensor/#");
    for (auto _ : state) {
        benchmark::DoNotOptimize(encode_subscribe_entry(w.bytes, sizeof w.bytes, filter, options));
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(encode_subscribe_entry_1_filter);

void
decode_puback(benchmark::State &state)
{
    wire w;
    struct ack ack = {}, out;
    ack.packet_id = 77;
    w.size = encode_ack(w.bytes, sizeof w.bytes, MQTT_VERSION_311, PACKET_PUBACK, &ack);
    struct frame frame;
    for (auto _ : state) {
        frame_read(w.all(), SIZE_MAX_BYTES, &frame);
        benchmark::DoNotOptimize(decode_ack(&frame, MQTT_VERSION_311, &out));
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(decode_puback);

} // namespace
