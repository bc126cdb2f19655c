/*
 * publication: one application message on its way through a shard, before it is known who needs it in which form.
 *
 * Its parts are borrowed (from the receive buffer, from a parcel, from a kept message). What is made from them is made once, on first need: a counted
 * message for those who must keep it, and encoded packets that are copied to every receiver of one kind. For receivers of the publisher's own kind
 * that is the packet as it came: nothing in it differs but its first byte and the packet identifier.
 *
 * Invariants
 *   P1  lives on the stack of one call; publication_fini() gives back what was made.
 *   P2  `message`, if set, holds the same bytes as the parts.
 *   P3  images and `packet` are whole PUBLISH packets of their kind, whose first byte and packet identifier are the copier's to set.
 */
#ifndef TIDEWIRE_ENGINE_ROUTE_PUBLICATION_H
#define TIDEWIRE_ENGINE_ROUTE_PUBLICATION_H

#include "codec/packet.h"
#include "engine/access/acl.h"
#include "engine/durable/entry.h"
#include "engine/durable/promise.h"
#include "engine/durable/token.h"
#include "engine/shard.h"

/* Kinds of encoded images: by version (3.x, 5) and whether there is a packet identifier. */
#define PUBLICATION_IMAGES 4
/* Where the packet as it came does not serve, packets up to this size are encoded once and copied; larger ones are encoded in place for each receiver. */
#define PUBLICATION_IMAGE_BYTES 2048

struct publication {
    struct bytes topic;
    struct bytes properties;   /* forwardable block */
    struct bytes payload;
    uint64_t expiry_ms;        /* 0: never */
    uint64_t stamp;            /* with `retain`, once routed: order in the process */
    uint64_t publisher;        /* session identity; 0: the broker */
    struct message *message;   /* our own reference; NULL: not made yet */
    struct bytes packet;       /* as the publisher sent it; empty: it may not go out like this */
    uint8_t packet_kind;
    uint8_t qos;
    bool retain;
    bool topic_cut;            /* `cut_topic` is made */
    bool again;                /* its publisher has sent it before (DUP): `token` may be known */
    struct entry_token token;  /* a QoS 2 message of a kept session; identity 0: none */
    uint64_t recorded;         /* with `again`: so many messages of that session are known to be received (engine/durable/token.h) */
    struct token_holders holders; /* sessions of this shard that have it already */
    struct promise_needs needs; /* filled on the way */
    uint32_t kept_first, kept_count; /* deliveries that engine/durable/keep.c has collected */
    bool keep_retained;        /* this shard keeps it for its topic */
    bool publisher_here;       /* the session that `token` names is this shard's */
    bool received_kept;        /* the record says that it was received, too */
    uint32_t image_size[PUBLICATION_IMAGES]; /* 0: not made yet */
    uint8_t images[PUBLICATION_IMAGES][PUBLICATION_IMAGE_BYTES];
    struct acl_topic cut_topic;
};

/* Clears what publication_* functions fill; the parts are the caller's to set. The images' bytes stay as they are. publication_fini() abandons `needs`: who waits takes them out. */
void publication_init(struct publication *p);
void publication_fini(struct shard *shard, struct publication *p);

/* The publication of a kept message; takes a reference of its own. */
void publication_of_message(struct publication *p, struct message *message);

/* The message, made if need be; borrowed. NULL when out of memory. */
struct message *publication_message(struct shard *shard, struct publication *p);

/* The topic as access lists want it; borrowed. */
struct acl_topic *publication_cut_topic(struct publication *p);

/* The packet that brought the publication, from a client of this version. Not with a Topic Alias, which means something to its sender only (MQTT5 3.3.2.3.4). */
void publication_set_packet(struct publication *p, struct bytes packet, uint8_t version, uint8_t qos);

/* The encoded packet for one kind of receiver (P3); borrowed. Empty if one would have to be made, and is larger than an image. */
struct bytes publication_image(const struct shard *shard, struct publication *p, uint8_t version, uint8_t qos);

/* Where the packet identifier stands in an image: after the fixed header and the topic. */
uint32_t publication_packet_id_at(const struct publication *p, uint32_t size);

/* Seconds until expiry, at least 1; `*expired` tells if it is over. */
uint32_t publication_expiry_s(uint64_t expiry_ms, uint64_t now_ms, bool *expired);

#endif
