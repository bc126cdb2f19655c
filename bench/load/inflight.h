/*
 * inflight: the packet identifiers of one publisher's unfinished QoS 1 and 2 messages.
 *
 *   free --inflight_take--> WAIT_FIRST --PUBACK (QoS 1)--> free
 *                           WAIT_FIRST --PUBREC (QoS 2)--> WAIT_PUBCOMP --PUBCOMP--> free
 *
 * Invariants
 *   I1  `used` is the number of identifiers that are not free; used <= quota.
 *   I2  identifiers are 1..limit with limit >= quota, so a free one exists whenever used < quota.
 *
 * Threads  one. Memory  `limit` + 1 bytes (nine times that, if timed) from inflight_init to inflight_fini. Full  is used == quota.
 */
#ifndef TIDEWIRE_BENCH_LOAD_INFLIGHT_H
#define TIDEWIRE_BENCH_LOAD_INFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

struct inflight {
    uint8_t *states;
    uint64_t *due_ns; /* NULL: not timed */
    uint32_t quota;
    uint32_t limit;
    uint32_t next;
    uint32_t used;
    uint8_t qos;
};

/* `quota` 1..65535: the peer's Receive Maximum or less. `timed`: inflight_note_due() will be called. False when there is no memory. */
bool inflight_init(struct inflight *f, uint8_t qos, uint32_t quota, bool timed) __attribute__((warn_unused_result));
void inflight_fini(struct inflight *f);

/* A free identifier, or 0 when the quota is used up. */
uint16_t inflight_take(struct inflight *f);

/* When the message with this identifier was due, for who looks when its handshake is complete: until the identifier is taken again. */
void inflight_note_due(struct inflight *f, uint16_t id, uint64_t due_ns);
uint64_t inflight_get_due(const struct inflight *f, uint16_t id);

enum inflight_answer {
    INFLIGHT_FINISHED,   /* the handshake is complete */
    INFLIGHT_RELEASE,    /* answer with PUBREL */
    INFLIGHT_UNEXPECTED, /* no message waits for this packet: the broker is wrong */
};

/* `refused`: the packet carries a reason code of 0x80 or more, which ends a handshake early (MQTT5 4.3.3). */
enum inflight_answer inflight_step(struct inflight *f, uint8_t packet_type, uint16_t id, bool refused);

#endif
