/*
 * websocket: the client's end of RFC 6455: asks for the upgrade, masks what it sends, takes frames apart.
 *
 *   websocket_ask ──► "GET ... Upgrade: websocket"       websocket_take ◄── "101 ..." and then frames
 *
 * The server is held to the RFC: its answer has to fit the question, and its frames must be unmasked, whole control frames short, lengths
 * as short as they can be, and no text.
 *
 * Invariants
 *   W1  payload comes out in the order in which it came in, whatever the frames' borders; control frames leave no byte in it.
 *
 * Threads  one. Memory  fixed, the caller's.
 */
#ifndef TIDEWIRE_BENCH_LOAD_WEBSOCKET_H
#define TIDEWIRE_BENCH_LOAD_WEBSOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/load/pile.h"

#define WEBSOCKET_KEY_ROOM 25u    /* 16 bytes in base64 */
#define WEBSOCKET_ACCEPT_ROOM 29u /* a SHA-1 in base64 */
#define WEBSOCKET_ANSWER_MAX 2048u
#define WEBSOCKET_CONTROL_MAX 125u
#define WEBSOCKET_HEAD_MAX 10u /* of a frame that is not masked */

enum websocket_outcome {
    WEBSOCKET_GOOD,
    WEBSOCKET_REFUSED, /* `status` is HTTP's; 101 if the answer was otherwise wrong, 0 if it was no HTTP */
    WEBSOCKET_ENDED,   /* a close frame */
    WEBSOCKET_WRONG,   /* a frame that a server may not send */
};

struct websocket {
    uint64_t random; /* never 0; masks and the key need not be hard to guess here */
    bool up;
    bool in_message; /* a fragment has come and its last one has not */
    int status;
    uint32_t answer_used; /* of `answer`: the upgrade's, and later a control frame's payload */
    uint8_t answer[WEBSOCKET_ANSWER_MAX];
    char accept[WEBSOCKET_ACCEPT_ROOM]; /* what the server has to say */
    uint8_t head[WEBSOCKET_HEAD_MAX];
    uint8_t head_used;
    uint64_t left; /* payload of the current frame that has not come */
};

void websocket_init(struct websocket *w, uint64_t seed);

/* Appends the question. */
void websocket_ask(struct websocket *w, const char *host, uint16_t port, const char *path, struct pile *out);

/*
 * Takes bytes from the server. Payload is moved to the front of `data`, `*payload` says how much it is; what has to be answered (pong) is
 * appended to `out`. Payload that came before an end or an error is there too.
 */
enum websocket_outcome websocket_take(struct websocket *w, uint8_t *data, uint32_t size, uint32_t *payload, struct pile *out)
    __attribute__((warn_unused_result));

/* Appends one binary frame. */
void websocket_frame(struct websocket *w, struct bytes payload, struct pile *out);

#endif
