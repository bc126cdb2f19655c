#include "engine/tls/tickets.h"

#include "engine/tls/wolfssl.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 2
#define AES_KEY_BYTES 32
#define GCM_NONCE_BYTES 12

struct ticket_key {
    uint8_t name[TICKETS_NAME_BYTES];
    uint8_t key[AES_KEY_BYTES];
    uint64_t born_s;
    bool used; /* there is one */
};

/* keys[0] seals; both open. */
struct tls_tickets {
    _Atomic uint32_t references;
    pthread_mutex_t lock; /* held for a look at the keys only */
    struct ticket_key keys[KEYS];
};

struct tls_tickets *
tickets_open(void)
{
    struct tls_tickets *tickets = calloc(1, sizeof *tickets);
    if (tickets != NULL) {
        atomic_store_explicit(&tickets->references, 1, memory_order_relaxed);
        pthread_mutex_init(&tickets->lock, NULL);
    }
    return tickets;
}

struct tls_tickets *
tickets_ref(struct tls_tickets *tickets)
{
    atomic_fetch_add_explicit(&tickets->references, 1, memory_order_relaxed);
    return tickets;
}

void
tickets_unref(struct tls_tickets **tp)
{
    struct tls_tickets *tickets = *tp;
    *tp = NULL;
    /* Release pairs with the acquire of whoever gives up the last one. */
    if (tickets != NULL && atomic_fetch_sub_explicit(&tickets->references, 1, memory_order_acq_rel) == 1) {
        pthread_mutex_destroy(&tickets->lock);
        explicit_bzero(tickets, sizeof *tickets);
        free(tickets);
    }
}

static void
wipe_old(struct tls_tickets *tickets, uint64_t now_s)
{
    for (unsigned i = 0; i < KEYS; i++) {
        struct ticket_key *key = &tickets->keys[i];
        if (key->used && now_s - key->born_s >= 2 * TICKETS_KEY_SECONDS) {
            explicit_bzero(key, sizeof *key);
        }
    }
}

/* A copy of the key that seals now, made if need be. */
static bool
sealing_key(struct tls_tickets *tickets, uint64_t now_s, struct ticket_key *key)
{
    pthread_mutex_lock(&tickets->lock);
    wipe_old(tickets, now_s);
    struct ticket_key *first = &tickets->keys[0];
    bool good = true;
    if (!first->used || now_s - first->born_s >= TICKETS_KEY_SECONDS) {
        struct ticket_key fresh = {.born_s = now_s, .used = true};
        good = tls_random(fresh.name, sizeof fresh.name) == 0 && tls_random(fresh.key, sizeof fresh.key) == 0;
        if (good) {
            tickets->keys[1] = *first;
            *first = fresh;
        }
        explicit_bzero(&fresh, sizeof fresh);
    }
    *key = *first;
    pthread_mutex_unlock(&tickets->lock);
    return good;
}

static bool
find_key(struct tls_tickets *tickets, uint64_t now_s, const uint8_t *name, struct ticket_key *key)
{
    bool found = false;
    pthread_mutex_lock(&tickets->lock);
    wipe_old(tickets, now_s);
    for (unsigned i = 0; i < KEYS && !found; i++) {
        found = tickets->keys[i].used && memcmp(tickets->keys[i].name, name, TICKETS_NAME_BYTES) == 0; /* the name is no secret */
        if (found) {
            *key = tickets->keys[i];
        }
    }
    pthread_mutex_unlock(&tickets->lock);
    return found;
}

/* Which context it is for is authenticated, not encrypted: X2. */
static void
additional_data(uint8_t out[TICKETS_NAME_BYTES + 8], const uint8_t *name, uint64_t label)
{
    memcpy(out, name, TICKETS_NAME_BYTES);
    memcpy(out + TICKETS_NAME_BYTES, &label, sizeof label);
}

/* With a key that is wiped afterwards. `tag` is written when sealing, else compared. False: it is no ticket of ours, or out of memory. */
static bool
run_cipher(bool seal, struct ticket_key *key, uint64_t label, const uint8_t *nonce, uint8_t tag[TICKETS_TAG_BYTES], uint8_t *data, uint32_t size)
{
    uint8_t more[TICKETS_NAME_BYTES + 8];
    additional_data(more, key->name, label);
    Aes aes;
    bool good = wc_AesInit(&aes, NULL, INVALID_DEVID) == 0;
    if (good) {
        good = wc_AesGcmSetKey(&aes, key->key, AES_KEY_BYTES) == 0 &&
               (seal ? wc_AesGcmEncrypt(&aes, data, data, size, nonce, GCM_NONCE_BYTES, tag, TICKETS_TAG_BYTES, more, sizeof more)
                     : wc_AesGcmDecrypt(&aes, data, data, size, nonce, GCM_NONCE_BYTES, tag, TICKETS_TAG_BYTES, more, sizeof more)) == 0;
        wc_AesFree(&aes);
    }
    explicit_bzero(&aes, sizeof aes);
    explicit_bzero(key, sizeof *key);
    return good;
}

bool
tickets_seal(struct tls_tickets *tickets, uint64_t now_s, uint64_t label, uint8_t name[TICKETS_NAME_BYTES], uint8_t nonce[TICKETS_NONCE_BYTES],
             uint8_t tag[TICKETS_TAG_BYTES], uint8_t *data, uint32_t size)
{
    struct ticket_key key;
    if (!sealing_key(tickets, now_s, &key) || tls_random(nonce, TICKETS_NONCE_BYTES) != 0) {
        return false;
    }
    memcpy(name, key.name, TICKETS_NAME_BYTES);
    return run_cipher(true, &key, label, nonce, tag, data, size);
}

bool
tickets_open_ticket(struct tls_tickets *tickets, uint64_t now_s, uint64_t label, const uint8_t name[TICKETS_NAME_BYTES],
                    const uint8_t nonce[TICKETS_NONCE_BYTES], const uint8_t tag[TICKETS_TAG_BYTES], uint8_t *data, uint32_t size)
{
    struct ticket_key key;
    if (!find_key(tickets, now_s, name, &key)) {
        return false;
    }
    uint8_t given[TICKETS_TAG_BYTES];
    memcpy(given, tag, sizeof given);
    return run_cipher(false, &key, label, nonce, given, data, size);
}
