/*
 * identity: a packet that was decoded encodes to one that decodes to the same, and that encodes to the same bytes.
 * The first byte picks version and sender.
 */
#include "test/codec/identity.h"

#define PACKET_SIZE_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t scratch[2 * PACKET_SIZE_MAX];
    if (size == 0 || size > PACKET_SIZE_MAX) {
        return 0;
    }
    uint8_t version = (uint8_t)(MQTT_VERSION_31 + data[0] % 3);
    enum packet_sender sender = data[0] / 3 % 2 == 0 ? PACKET_FROM_CLIENT : PACKET_FROM_SERVER;
    struct bytes input = bytes_of(data + 1, (uint32_t)size - 1);

    struct frame frame;
    while (frame_read(input, PACKET_SIZE_MAX, &frame) == FRAME_DONE) {
        static struct packet packet;
        if (decode_packet(&frame, version, sender, &packet) == REASON_SUCCESS) {
            struct bytes encoded = identity_check(&packet, version, sender, scratch, PACKET_SIZE_MAX);
            /* We write the shortest form there is. */
            identity_require(encoded.size <= frame.size);
        }
        input = bytes_of(input.data + frame.size, input.size - frame.size);
    }
    return 0;
}
