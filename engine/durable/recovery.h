/*
 * recovery: what the parts of a recovery (engine/durable/recover.h) share, and call of each other. Nobody else includes it.
 *
 *   recover.c            reads the journal, hands each record to whom it concerns, and finishes
 *   recover_session.c    who there is: sessions, principals, subscriptions, received identifiers, wills
 *   recover_message.c    what was published: messages, to whom they are owed, retained ones, tokens
 *   recover_bodies.c     messages in memory, by number
 *   recover_owed.c       deliveries and pages of a session, until they are in order and handed over to it
 *
 * Records that say nothing that can be so, or speak of what is not there, are counted and passed over. Out of memory is noted, and ends the recovery after the record.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_RECOVERY_H
#define TIDEWIRE_ENGINE_DURABLE_RECOVERY_H

#include "engine/durable/body_places.h"
#include "engine/durable/entry.h"
#include "engine/durable/recall.h"
#include "engine/durable/shelf.h"
#include "engine/session/session.h"
#include "engine/shard.h"

struct journal_record;

/*
 * A session while it is put together. What it is owed is in the order of the records, and sorted at the end. It has no name before its SESSION record, which may come after what
 * it is owed: what came before was cut off, and is said again further on.
 */
struct recalled {
    struct session *session;
    struct delivery *first, *last;
    uint64_t absent_since_ms; /* wall clock; 0: connected */
    struct shelf pages;
    bool unsorted;
    bool known;    /* by a SESSION record */
};

struct recovery {
    struct shard *shard;
    struct recall sessions;   /* by identity and 0: struct recalled */
    struct recall deliveries; /* by identity and number: struct delivery */
    struct recall marks;      /* by identity and number: what a SENT record says of a delivery in a page, as a mark_of() */
    struct recall bodies;     /* by 0 and number: struct message; those that somebody holds */
    struct body_places places; /* of all bodies: records may refer to one that nobody holds */
    struct message **held;    /* bodies that came alone: for deliveries that come later, perhaps after others of them are over */
    uint32_t held_count, held_room;
    uint64_t wall_ms;         /* when it began */
    uint64_t now_ms;          /* the same moment by the shard's clock */
    uint64_t position;        /* of the record that is applied */
    uint64_t serial_max, body_max, stamp_max;
    uint64_t passed_over;     /* records, or parts of them, that speak of what is not there */
    uint64_t unreadable;      /* records that say nothing that can be so */
    uint32_t until_look;
    bool out_of_memory;
};

static inline void
recovery_note_max(uint64_t *max, uint64_t value)
{
    *max = value > *max ? value : *max;
}

void recovery_note_identity(struct recovery *r, uint64_t identity);
/* A wall-clock time as the shard's own; 0 stays 0. */
uint64_t recovery_own_time(const struct recovery *r, uint64_t wall_ms);

/* -------------------------------------------------------------------------------------------------------------- bodies */

/* Those that return one give a reference, or NULL. */
struct message *recovery_make_message(struct recovery *r, const struct entry_body *body);
/* The body, made if it is new. */
struct message *recovery_hold_body(struct recovery *r, const struct entry_message *e);
/* A body that came before; it is read again if all who held it are gone. NULL: it did not come, or cannot be read. */
struct message *recovery_hold_known_body(struct recovery *r, uint64_t number);
/* Gives up one of those who hold it. */
void recovery_release_body(struct recovery *r, struct message **m);
/* Until recovery_release_held(): takes the reference over. */
void recovery_keep_for_later(struct recovery *r, struct message **m);
void recovery_release_held(struct recovery *r);

/* ---------------------------------------------------------------------------------------------- what a session is owed */

/* What the entry says is so from here on. Holds the message if the delivery still has one. `kept_at`: of the oldest record that it needs. */
void recovery_put_delivery(struct recovery *r, const struct entry_delivery *e, struct message *m, uint64_t kept_at);
void recovery_forget_owed(struct recovery *r, struct recalled *s);
/* In the order in which it was owed, to the session; what is in flight of pages is read. */
void recovery_hand_over_owed(struct recovery *r, struct recalled *s);
void recovery_apply_page(struct recovery *r, const struct journal_record *record);
void recovery_apply_sent(struct recovery *r, struct bytes content);
void recovery_apply_released(struct recovery *r, struct bytes content);
void recovery_apply_done(struct recovery *r, struct bytes content);

/* ------------------------------------------------------------------------------------------------------------ sessions */

/* The session of that identity, perhaps without a name yet; made if it is new. NULL when out of memory. */
struct recalled *recovery_need_session(struct recovery *r, uint64_t identity);
/* That it has begun so many messages with QoS 2, and, unless 0, the identifier of one that is not completed. */
void recovery_set_received(struct recovery *r, uint64_t identity, uint64_t count, uint16_t packet_id);
/* It has a name: it is ready for the first turn. */
void recovery_finish_session(struct recovery *r, struct recalled *s);
/* Nothing says who it was: its record is in a damaged place. Or it all comes to nothing. */
void recovery_give_up_session(struct recovery *r, struct recalled *s);
void recovery_apply_session(struct recovery *r, struct bytes content);
void recovery_apply_session_end(struct recovery *r, struct bytes content);
void recovery_apply_absent(struct recovery *r, struct bytes content);
void recovery_apply_subscription(struct recovery *r, struct bytes content);
void recovery_apply_unsubscribed(struct recovery *r, struct bytes content);
void recovery_apply_received(struct recovery *r, struct bytes content);
void recovery_apply_completed(struct recovery *r, struct bytes content);
void recovery_apply_will(struct recovery *r, struct bytes content);
void recovery_apply_will_dropped(struct recovery *r, struct bytes content);

/* ------------------------------------------------------------------------------------------------------------ messages */

void recovery_apply_message(struct recovery *r, const struct journal_record *record);
void recovery_apply_deliveries(struct recovery *r, struct bytes content);
void recovery_apply_token(struct recovery *r, struct bytes content);
void recovery_apply_retain_removed(struct recovery *r, struct bytes content);

#endif
