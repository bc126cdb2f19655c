/* decode_server: whatever a server sends is taken apart or refused, and never faults. */
#include "fuzz/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    stream_decode(data, size, PACKET_FROM_SERVER);
    return 0;
}
