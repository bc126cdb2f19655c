/*
 * speaker: a client that speaks through TLS, on simulated time: its connection, and the TLS end over memory. What it says inside is the test's affair.
 */
#ifndef TIDEWIRE_TEST_DIALOGUE_SPEAKER_H
#define TIDEWIRE_TEST_DIALOGUE_SPEAKER_H

#include "test/dialogue/dialogue.h"
#include "test/support/tls_client.h"

struct speaker {
    struct client *c; /* its connection; not its packets */
    struct tls_client *tls;
};

static inline void
hush(struct speaker *s)
{
    tls_client_close(&s->tls);
}

static inline void
send_waiting(struct speaker *s)
{
    uint8_t flight[65536];
    uint32_t size;
    while ((size = tls_client_take(s->tls, flight, sizeof flight)) > 0) {
        client_send_raw(s->c, flight, size);
    }
}

static inline void
take_arrived(struct speaker *s)
{
    uint8_t bytes[65536];
    uint32_t size;
    do {
        world_settle(s->c->world);
        size = sim_read(s->c->world->sim, s->c->connection, bytes, sizeof bytes);
        tls_client_give(s->tls, bytes, size);
    } while (size > 0);
}

/* As far as it gets. True: done on the client's side. */
static inline bool
shake_hands(struct speaker *s)
{
    bool done = false;
    for (unsigned i = 0; i < 10; i++) {
        done = tls_client_handshake(s->tls);
        send_waiting(s);
        take_arrived(s);
    }
    return done;
}

#endif
