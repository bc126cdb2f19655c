/*
 * oracle: what the broker owes its clients, kept from what the clients themselves sent and received; and the judgement of all that it delivers.
 *
 * The oracle never looks into the broker. It knows, for everything a client asked for, an interval in which the broker did it: from when it was sent until it was
 * acknowledged, or until the world had come to rest. From such intervals follows what may be delivered and what must be:
 *
 *      possible  ├───────────────────────────────────────────────┤        a delivery that no possible subscription explains is wrong
 *            SUBSCRIBE sent   SUBACK          UNSUBSCRIBE sent   UNSUBACK
 *      certain                   ├─────────────────┤                      a message published and handled within it must be delivered
 *
 * Ticks count the oracle's events and order them; milliseconds are the simulated clock's, for what depends on time. ORACLE_SLACK_MS bounds how long after a client's
 * doing the broker may notice it.
 *
 * When the broker crashes, everything that it has promised by then still holds: a PUBLISH that was acknowledged, a SUBACK, a CONNACK, and all of which the world had come
 * to rest. Of what was under way each piece may have happened or not; oracle_crash.c says what that makes possible, and no more than that.
 *
 * A violation prints what is wrong, a trace of what led there, and how to repeat it, and ends the process.
 */
#ifndef TIDEWIRE_TEST_SIM_ORACLE_H
#define TIDEWIRE_TEST_SIM_ORACLE_H

#include "codec/packet.h"
#include "test/sim/names.h"
#include "test/sim/trace.h"

#define ORACLE_NEVER UINT64_MAX
#define ORACLE_NONE UINT32_MAX
#define ORACLE_SLACK_MS 100u
#define ORACLE_IDENTIFIERS_MAX 16u
/* A Session Expiry Interval that means for ever, in milliseconds. */
#define ORACLE_FOREVER_MS (UINT64_C(1) << 50)

enum oracle_replay {
    ORACLE_REPLAY_NO,
    ORACLE_REPLAY_MAYBE,
    ORACLE_REPLAY_SURE,
};

/* One SUBSCRIBE's say on one filter; a later one for the same filter is another version. */
struct oracle_subscription {
    struct oracle_subscription *next;  /* of the session, newest first */
    uint32_t filter;
    uint32_t identifier;
    uint32_t link;
    uint8_t qos;
    bool no_local;
    bool retain_as_published;
    uint8_t replay;                    /* enum oracle_replay */
    uint64_t sent_ms;
    uint64_t sent, acked;              /* ticks */
    uint64_t replayed;                 /* its retained messages have all come */
    uint64_t unsubscribed;             /* an UNSUBSCRIBE was sent */
    uint64_t gone;                     /* an UNSUBACK, or a later version's SUBACK, came */
};

/* One delivery as a client saw it first. A redelivery of the same is not another, but where nobody can tell whether it is one, it is kept as `doubtful`. */
struct oracle_reception {
    struct oracle_reception *next;     /* of the message, newest first */
    uint32_t session;
    uint32_t link;
    uint64_t tick;
    uint16_t packet_id;
    uint8_t version;
    uint8_t qos;
    bool retain;
    bool dup;
    bool doubtful;                     /* may have been a redelivery of an earlier one: needs no explanation of its own, but may be what was owed */
    bool unsure;                       /* the broker may have forgotten in a crash that it was acknowledged, or even sent: the same may come once more */
    uint8_t identifier_count;
    uint32_t identifiers[ORACLE_IDENTIFIERS_MAX];
};

struct oracle_message {
    struct oracle_reception *receptions;
    uint64_t sent, last_sent;          /* ticks: the first and the last attempt. A will: when it became due at the earliest */
    uint64_t routed;                   /* the broker has it for certain: acknowledged, or the world rested */
    uint64_t done;                     /* the last attempt is: acknowledged, or the world rested */
    uint64_t settled;                  /* no attempt is under way anywhere any more */
    uint64_t sent_ms, last_sent_ms;
    uint32_t actor;
    uint32_t link;
    uint32_t topic;
    uint32_t size;
    uint32_t attempts;
    uint32_t expiry_s;                 /* 0: none */
    uint32_t will;                     /* its number, or ORACLE_NONE */
    uint8_t qos;
    bool retain;
    bool content_type;                 /* says "t<uid>" */
    bool mixed;                        /* sent over versions with and without properties: it may have them or not */
    bool judged;
    bool refused;                      /* its last attempt was, and its publisher was told */
    bool unheard;                      /* QoS 0 with RETAIN for a disk that may be full: nobody is told whether it was refused */
    uint32_t crashes;                  /* that there had been when it was first sent */
};

enum oracle_will_state {
    ORACLE_WILL_MAYBE,  /* may be published, once */
    ORACLE_WILL_ARMED,  /* its connection is there: may not */
    ORACLE_WILL_DUE,    /* will be, between due_lo and due_hi */
    ORACLE_WILL_FIRED,  /* must have been */
    ORACLE_WILL_NEVER,  /* may not ever be */
};

struct oracle_will {
    uint32_t message;
    uint32_t delay_s;
    uint8_t state;
    bool immediate;     /* DUE whatever a new connection says */
    uint64_t due_lo_ms, due_hi_ms;
    uint8_t again;      /* how often a crash came when it may just have been published, or the disk had no room for it: so often it may come once more */
};

struct oracle_link {
    uint32_t actor;
    uint32_t session;   /* ORACLE_NONE until CONNACK */
    uint32_t will;
    uint8_t version;
    bool clean;
    uint64_t expiry_ms;
    uint64_t connecting, opened, ended;  /* ticks */
    uint64_t connecting_ms;
    uint64_t silent_ms; /* its keep-alive ends it then; 0: it is not silent */
    uint64_t stuck;     /* the last tick at which it did not read; 0: none; ORACLE_NEVER: it still does not */
};

struct oracle_session {
    uint32_t actor;
    uint32_t link;      /* the present or last one */
    uint32_t first_link;
    bool ended;
    bool doubtful;      /* may have ended: owed nothing any more */
    uint64_t begun;
    bool kept;          /* it was to outlive its connection when it began: so it is in the journal until it ends */
    uint64_t crashed;   /* a crash took it, or what it had given back and nobody had yet */
    uint64_t lost_lo_ms, lost_hi_ms;     /* the broker noticed the end of the connection within */
    uint64_t expiry_lo_ms, expiry_hi_ms; /* how long it is kept after that */
    struct oracle_subscription *subscriptions;
    uint64_t filters;   /* bit per filter that it ever asked for */
    uint32_t *owed;     /* messages that must come once it is connected and reads */
    uint32_t owed_count, owed_room;
    uint32_t *latest;   /* oracle_receive.c: order */
    uint32_t *again;
    uint32_t again_link;
    uint32_t *last_retained;
};

struct oracle {
    struct trace trace;
    const char *program;   /* that runs it */
    uint64_t seed;
    uint64_t tick;
    uint64_t went_down;    /* the tick of the last crash or stop */
    uint64_t rested;       /* the last tick at which the world was at rest: what came before is on the disk */
    uint64_t recovered;    /* or of a recovery: what was delivered before is on the disk, or forgotten for good */
    uint64_t now_ns;
    uint32_t actor_count;
    uint32_t shard_count;  /* at present */
    uint32_t crash_count, restart_count; /* so far */
    bool queue_qos0;       /* the broker's queue_qos0_messages */
    bool disk_trouble;     /* the disk is full or fails, or was until a moment ago: what needs it may be refused */
    bool drops_qos0;       /* its max_output_bytes is so low that readers lose QoS 0 messages at once */
    struct oracle_message *messages;
    uint32_t message_count, message_room;
    struct oracle_session *sessions;
    uint32_t session_count, session_room;
    struct oracle_link *links;
    uint32_t link_count, link_room;
    struct oracle_will *wills;
    uint32_t will_count, will_room;
    uint32_t *actor_session;             /* by actor */
    uint32_t *actor_link;                /* the newest */
    uint32_t *unsettled;                 /* messages */
    uint32_t unsettled_count, unsettled_room;
    uint32_t judged_from;                /* messages before this one are judged */
    uint64_t group_empty[NAMES_FILTERS]; /* the last tick at which a group may have had no member */
    uint32_t *retained[NAMES_TOPICS];    /* messages with RETAIN, as first sent */
    uint32_t retained_count[NAMES_TOPICS], retained_room[NAMES_TOPICS];
    uint64_t deliveries, redeliveries, obligations, replays_checked, wills_checked, groups_checked; /* for the summary */
};

/* How a connection ended. */
enum oracle_loss {
    ORACLE_LOST_BROKEN,      /* reset, or finished without a DISCONNECT, or a DISCONNECT that asks for the will */
    ORACLE_LOST_NORMAL,      /* DISCONNECT */
    ORACLE_LOST_TAKEN_OVER,  /* by a CONNECT that was just sent */
};

void oracle_init(struct oracle *o, uint64_t seed, uint32_t actor_count);
void oracle_fini(struct oracle *o);

/* Notes an event. `what` is a printf format for a and b; static. */
void oracle_note(struct oracle *o, uint32_t actor, uint32_t message, const char *what, uint32_t a, uint32_t b);
_Noreturn void oracle_fail(struct oracle *o, uint32_t actor, uint32_t message, const char *format, ...) __attribute__((format(printf, 4, 5)));
void oracle_say_how_to_repeat(const struct oracle *o);
uint64_t oracle_now_ms(const struct oracle *o);
struct oracle_message *oracle_message(struct oracle *o, uint32_t uid);
/* The actor's present session, or NULL. */
struct oracle_session *oracle_session_of(struct oracle *o, uint32_t actor);
bool oracle_link_alive(const struct oracle *o, uint32_t link);
void oracle_push(uint32_t **list, uint32_t *count, uint32_t *room, uint32_t value);

/* ---------------------------------------------------------------------------------------------- oracle_session.c: sessions */

/* A CONNECT is sent. `will`: as made with oracle_new_will(), or ORACLE_NONE. Returns the link's number. */
uint32_t oracle_connecting(struct oracle *o, uint32_t actor, uint8_t version, bool clean, uint64_t expiry_ms, uint32_t will);
/* Its CONNACK came. Judges Session Present. */
void oracle_connected(struct oracle *o, uint32_t link, bool session_present);
/* The client gave up before CONNACK. True if its next CONNECT must start clean, because nobody can know any more which session there is. */
bool oracle_not_connected(struct oracle *o, uint32_t link);
/* An open connection ends. `since_ms`: when its client did what ended it (a silence that the keep-alive noticed began earlier). */
void oracle_lost(struct oracle *o, uint32_t link, enum oracle_loss how, uint64_t since_ms);
/* The client says nothing any more: its connection will be lost at `due_ms`, or a little later. */
void oracle_silent(struct oracle *o, uint32_t link, uint64_t due_ms);
/* With a DISCONNECT, before oracle_lost(). */
void oracle_change_expiry(struct oracle *o, uint32_t link, uint64_t expiry_ms);
bool oracle_surely_alive(const struct oracle *o, const struct oracle_session *s);

/* Subscribing. Returns the version, to be named at its SUBACK. */
struct oracle_subscription *oracle_subscribing(struct oracle *o, uint32_t link, uint32_t filter, struct subscription_options options, uint32_t identifier);
void oracle_subscribed(struct oracle *o, struct oracle_subscription *s, uint32_t session);
/* There was no room for it. */
void oracle_not_subscribed(struct oracle *o, struct oracle_subscription *s, uint32_t session);
/* Returns the code that the UNSUBACK must have, or 0xFF for either. */
uint8_t oracle_unsubscribing(struct oracle *o, uint32_t link, uint32_t filter);
/* `sent`: the tick of the UNSUBSCRIBE. */
void oracle_unsubscribed(struct oracle *o, uint32_t session, uint32_t filter, uint64_t sent);
/* Looks which groups may be empty; whenever time has passed. */
void oracle_watch_groups(struct oracle *o);

/* ------------------------------------------------------------------------------------------------ oracle_will.c: wills */

uint32_t oracle_new_will(struct oracle *o, const struct oracle_message *message, uint32_t delay_s);
void oracle_will_armed(struct oracle *o, uint32_t will);
/* Its connection is lost, or will be: somewhen from `since_ms` to `until_ms`. */
void oracle_will_due(struct oracle *o, uint32_t will, const struct oracle_session *s, uint64_t since_ms, uint64_t until_ms);
/* A CONNECT that ends the session is sent. */
void oracle_will_hurried(struct oracle *o, uint32_t will);
void oracle_will_cancelled(struct oracle *o, uint32_t will);
void oracle_will_doubtful(struct oracle *o, uint32_t will);
/* A new connection of the same client was accepted; `over`: the old session has ended. */
void oracle_will_overtaken(struct oracle *o, uint32_t will, uint64_t connecting_ms, bool over);
void oracle_wills_settled(struct oracle *o);
/* What was due while the disk was in trouble may not have found room. */
void oracle_wills_after_trouble(struct oracle *o);
/* One was received: may that be? */
void oracle_judge_will(struct oracle *o, uint32_t actor, uint32_t uid);
/* Before the connections of a broker that crashed at `since_ms` are taken as lost, and after. */
void oracle_wills_crashing(struct oracle *o, uint64_t since_ms, bool orderly);
void oracle_wills_crashed(struct oracle *o, bool orderly);

/* --------------------------------------------------------------------------------------------- oracle.c: publishing */

/* A new message with the fields that describe it. Returns its uid. */
uint32_t oracle_new_message(struct oracle *o, const struct oracle_message *message);
/* An attempt to publish it goes out. */
void oracle_sending(struct oracle *o, uint32_t uid, uint32_t link);
void oracle_acked(struct oracle *o, uint32_t uid);
/* Its publisher was told that there is no room for it. */
void oracle_refused(struct oracle *o, uint32_t uid);
/* The world has come to rest: nothing is under way between clients and broker, nor within it. */
void oracle_settled(struct oracle *o);
/* Nothing of what was sent is under way any more: all is settled but wills that are still to come. */
void oracle_settle_messages(struct oracle *o);
/* `earlier` was surely published before `later`, as every party must see it. */
bool oracle_before(const struct oracle_message *earlier, const struct oracle_message *later);
/* Another value was surely kept for its topic before `tick`. */
bool oracle_superseded(const struct oracle *o, uint32_t uid, uint64_t tick);

/* --------------------------------------------------------------------------- oracle_explain.c: what explains a delivery */

bool oracle_may_match(const struct oracle_message *m, const struct oracle_subscription *s);
/* The filter surely matched for the session while the message was handled. */
bool oracle_covered(const struct oracle_session *session, const struct oracle_message *m, uint32_t filter);
bool oracle_explain_live(struct oracle *o, const struct oracle_message *m, const struct oracle_reception *r);
bool oracle_explain_replay(struct oracle *o, uint32_t uid, const struct oracle_reception *r, const struct oracle_subscription *s);
bool oracle_explain_shared(const struct oracle *o, const struct oracle_message *m, const struct oracle_reception *r, const struct oracle_subscription *s);
/* All deliveries of the message to the session, except doubtful ones, have an explanation of their own. */
bool oracle_explain_all(struct oracle *o, uint32_t uid, uint32_t session);

/* ---------------------------------------------------------------------------------- oracle_receive.c: what was delivered */

/* A delivery that is not a redelivery. Returns the message's uid. `publish->topic` is the resolved topic. */
uint32_t oracle_received(struct oracle *o, uint32_t link, const struct publish *publish);
/* It looks like the delivery of the message that last came under its packet identifier: a redelivery keeps RETAIN and Subscription Identifiers. */
bool oracle_same_form(struct oracle *o, uint32_t link, uint32_t uid, const struct publish *publish);
/* The same delivery came again. `doubtful`: or it is another one, if the broker had our acknowledgement and used the packet identifier anew. */
void oracle_received_again(struct oracle *o, uint32_t link, uint32_t uid, const struct publish *publish, bool doubtful);
/* What an empty payload is: one of the topic's that the session may get. */
uint32_t oracle_identify(struct oracle *o, uint32_t link, const struct publish *publish);

/* A first delivery, or so it seems: true if it may be one that has come before, and that a crash has made unsure. That one is not expected again. */
bool oracle_comes_after_crash(struct oracle *o, uint32_t link, const struct publish *publish);

/* ------------------------------------------------------------------------------------------------ oracle_crash.c: crashes */

/*
 * The broker went down at `since_ms`, and runs again now. The first before its connections are taken as lost (oracle_lost and oracle_not_connected), the second after.
 * `orderly`: it took leave of its disk, and has lost nothing that it had handled.
 */
void oracle_crashing(struct oracle *o, uint64_t since_ms, bool orderly);
void oracle_crashed(struct oracle *o, bool orderly);
/* The session's client has this delivery under this packet identifier, and the broker may not know that any more. */
void oracle_unsure(struct oracle *o, uint32_t session, uint32_t uid, uint16_t packet_id);

/* ------------------------------------------------------------------------------------- oracle_owed.c: what must have been */

/* The world rests and every client that reads has read and acknowledged everything: whatever is owed to them must have come. */
void oracle_checkpoint(struct oracle *o);
/* At the end, when every session that is left was connected and has read everything. */
void oracle_judge_groups(struct oracle *o);

#endif
