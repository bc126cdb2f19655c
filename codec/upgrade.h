/*
 * upgrade: the HTTP request that turns a connection into a WebSocket, and its answers. RFC 6455 4.2, RFC 9112.
 *
 *   done        a request that may be answered by 101; the engine may still refuse it (its Origin)
 *   need more   the empty line that ends the header has not come
 *   refused     an HTTP status, to be sent by upgrade_write_refusal(); then the connection closes
 *
 * Nothing is forgiven that two readers could understand differently (RFC 9112 11.2): lines end with CR LF, a field name touches its colon, there are no
 * continued lines, no body, and one key, one version and one Host.
 *
 * Memory   results borrow from the input.
 */
#ifndef TIDEWIRE_CODEC_UPGRADE_H
#define TIDEWIRE_CODEC_UPGRADE_H

#include "codec/bytes.h"

/* Proxies that a request has come through, as far as they are remembered: the last ones, which are those that we may know. */
#define UPGRADE_FORWARDED_MAX 8u
/* Of every answer. */
#define UPGRADE_ANSWER_MAX 256u

enum upgrade_status {
    UPGRADE_DONE,
    UPGRADE_NEED_MORE,
    UPGRADE_REFUSED,
};

/* Addresses as they were written, in order: the last one was added by whoever sent us the request. */
struct upgrade_forwarded {
    uint32_t count;
    struct bytes at[UPGRADE_FORWARDED_MAX];
};

struct upgrade {
    uint16_t refusal;     /* with UPGRADE_REFUSED: 400, 405, 426, 431 or 505 */
    uint32_t size;        /* with UPGRADE_DONE: of the request, with the empty line */
    struct bytes target;  /* path and query, as asked for; any will do */
    struct bytes key;     /* Sec-WebSocket-Key: 24 characters */
    struct bytes protocol; /* the sub-protocol to answer with: mqtt, or mqttv3.1 where only that is offered */
    struct bytes origin;  /* empty: none given */
    struct upgrade_forwarded x_forwarded_for; /* X-Forwarded-For */
    struct upgrade_forwarded forwarded;       /* for= of Forwarded, RFC 7239 */
};

/*
 * Refusals: 400 what is no request of this kind, or offers no sub-protocol of ours (MQTT5 [MQTT-6.0.0-3]); 405 another method than GET; 426 no upgrade
 * asked for, or another version than 13; 431 more than `size_max` bytes; 505 another HTTP than 1.1.
 * What can no longer become a request is refused at once, not when it ends.
 */
enum upgrade_status upgrade_read(struct bytes input, uint32_t size_max, struct upgrade *out);

/* The answer 101. Returns its size. */
uint32_t upgrade_write_accept(uint8_t out[UPGRADE_ANSWER_MAX], const struct upgrade *request);

/* An answer without a body: one of the refusals above, 403 or 503. Returns its size. */
uint32_t upgrade_write_refusal(uint8_t out[UPGRADE_ANSWER_MAX], uint16_t status);

#endif
