/*
 * ban: who is not to be served: client identifiers, user names, addresses and networks, for ever or until a time.
 *
 * One list per process, changed by an operator (file, or at run time) and by flapping detection. It is asked on connects, not on the message path; while it is empty that
 * is one load. Addresses are looked up once per prefix length in use, so a list of a million networks costs what one of a hundred does.
 *
 * Invariants
 *   B1  a ban is in the chain of its bucket in its origin's set; there is one for each kind, value and origin.
 *   B2  counts[kind] and lengths[bits] are what is in the chains, expired or not.
 *   B3  `generation` changes after bans were added that may concern who is connected: shards then look at their connections.
 *   B4  an automatic ban of a client or user keeps a keyed hash (128 bits) instead of the name: who picks long names costs no more memory.
 *
 * Full     BAN_MAX of the file, BAN_AT_RUN_TIME_MAX of each other origin: ban_add() says so, after having thrown out some of what has expired.
 * Threads  any, except init and fini. Nobody waits for more than a look at SWEEP_BUCKETS chains: the file's set is made and freed outside of the lock.
 */
#ifndef TIDEWIRE_ENGINE_LIMITS_BAN_H
#define TIDEWIRE_ENGINE_LIMITS_BAN_H

#include "codec/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* About 100 bytes each. */
#define BAN_MAX 1000000u
#define BAN_AT_RUN_TIME_MAX 65536u
/* Longest value: a client identifier. */
#define BAN_VALUE_MAX 65535u

enum ban_kind {
    BAN_CLIENT,
    BAN_USER,
    BAN_ADDRESS,
    BAN_KINDS,
};

enum ban_origin {
    BAN_OF_FILE,
    BAN_OF_OPERATOR, /* at run time; gone after a restart */
    BAN_AUTOMATIC,   /* flapping */
    BAN_ORIGINS,
};

/* An address, or a network of them. IPv4 is in ::ffff:0:0/96. */
struct ban_network {
    uint8_t bytes[16]; /* 0 beyond `bits` */
    uint8_t bits;
};

struct ban {
    uint8_t kind;      /* enum ban_kind */
    uint8_t origin;    /* enum ban_origin */
    uint64_t until_ms; /* wall time; 0: for ever */
    struct bytes value; /* BAN_CLIENT, BAN_USER */
    struct ban_network network;
};

struct ban_list;

/* `seed`: secret. NULL when out of memory. */
struct ban_list *ban_list_init(uint64_t seed);
void ban_list_fini(struct ban_list **list);

/* Copies it; an equal one (B1) gets the new time. Not of BAN_OF_FILE. `now_ms`: wall time. False: full, or out of memory. */
bool ban_add(struct ban_list *list, const struct ban *ban, uint64_t now_ms);
/* Takes out all that have this kind and value, whatever their origin; how many there were. */
uint32_t ban_remove(struct ban_list *list, const struct ban *ban);
/* Takes out all of BAN_OF_FILE and puts in those of `bans` that hold, in one step. False when full or out of memory: then nothing has changed. */
bool ban_replace_file(struct ban_list *list, const struct ban *bans, uint32_t count, uint64_t now_ms);

/* Whether one holds now. `kind`: BAN_CLIENT or BAN_USER. */
bool ban_holds(struct ban_list *list, enum ban_kind kind, struct bytes value, uint64_t now_ms);
bool ban_holds_address(struct ban_list *list, const uint8_t address[16], uint64_t now_ms);

/* B3. */
uint64_t ban_generation(const struct ban_list *list);
/* Those who are connected are to be looked at. */
void ban_enforce(struct ban_list *list);

/* Calls `see` for each that holds, at most `max`, with an empty value where there is only a hash (B4); the list is locked meanwhile. Returns how many there are in all. */
uint32_t ban_each(struct ban_list *list, uint64_t now_ms, uint32_t max, void (*see)(void *context, const struct ban *ban), void *context);

/* "192.0.2.0/24", "2001:db8::1": false if it is no address, or has bits beyond its prefix. */
bool ban_parse_network(struct bytes text, struct ban_network *out);
/* The network of `bits` (of 32 or 128) around an address. `family`: AF_INET with 4 bytes, or AF_INET6 with 16. */
struct ban_network ban_network_of(int family, const uint8_t *address, unsigned bits);
/* INET6_ADDRSTRLEN + 4 bytes are enough. */
void ban_network_text(const struct ban_network *network, char *out, size_t size);

/* The word for a kind: "client", "user", "address"; and back, BAN_KINDS if it is none. */
const char *ban_kind_name(enum ban_kind kind);
enum ban_kind ban_kind_of(struct bytes name);

#endif
