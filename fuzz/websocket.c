/*
 * websocket: a stream of frames read in one piece and in pieces that the first byte says gives the same payload, events and end; the reader's own claims hold.
 */
#include <stdlib.h>

#include "codec/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
    uint8_t *payload;
    uint32_t size;
    uint32_t events; /* a sum that depends on their order */
    uint16_t code;
};

static void
require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* False once the reader is done for. */
static bool
read_piece(struct websocket_reader *r, uint8_t *at, uint32_t left, struct result *out)
{
    while (left > 0) {
        struct websocket_result read;
        enum websocket_event event = websocket_read(r, at, left, &read);
        websocket_reader_check(r);
        require(read.produced <= read.consumed && read.consumed <= left && read.consumed > 0);
        memcpy(out->payload + out->size, at, read.produced);
        out->size += read.produced;
        if (event != WEBSOCKET_NEED_MORE) {
            out->events = out->events * 31 + event + read.control.size;
        }
        if (event == WEBSOCKET_CLOSE || event == WEBSOCKET_FAILED) {
            out->code = read.code;
            return false;
        }
        at += read.consumed;
        left -= read.consumed;
    }
    return true;
}

static void
read_all(const uint8_t *data, uint32_t size, uint32_t piece, struct result *out)
{
    struct websocket_reader r;
    websocket_reader_init(&r);
    *out = (struct result){.payload = malloc(size + 1)};
    bool going = true;
    for (uint32_t at = 0; going && at < size; at += piece) {
        uint32_t take = size - at < piece ? size - at : piece;
        uint8_t *copy = malloc(take);
        memcpy(copy, data + at, take);
        going = read_piece(&r, copy, take, out);
        free(copy);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 8192) {
        return 0;
    }
    struct result whole, pieces;
    read_all(data + 1, (uint32_t)size - 1, UINT32_MAX / 2, &whole);
    read_all(data + 1, (uint32_t)size - 1, data[0] % 32u + 1, &pieces);
    require(whole.size == pieces.size && whole.events == pieces.events && whole.code == pieces.code);
    require(memcmp(whole.payload, pieces.payload, whole.size) == 0);
    free(whole.payload);
    free(pieces.payload);
    return 0;
}
