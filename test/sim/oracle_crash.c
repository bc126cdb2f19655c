/*
 * What a crash leaves certain, and what not.
 *
 *   acknowledged to a client, or at rest before the crash        holds
 *   a connection                                                 is lost: at the crash, as far as the broker knows
 *   the end of a connection since the last rest                  may be forgotten, with what a DISCONNECT said: then it is lost at the crash
 *   a session that ends with its connection                      is gone, and so is its will
 *   a PUBLISH without acknowledgement                            may have been routed to all, some or none of those who want it; with QoS 2 nobody gets it twice
 *   a delivery of QoS 1 whose acknowledgement came after the     may come once more, under any packet identifier
 *     last rest
 *   a message of QoS 2 without acknowledgement that came with    may come once more
 *     QoS 0
 *   a delivery of QoS 2                                          may come again in its flow only: under its packet identifier, until PUBCOMP was sent
 *   a delivery through a group                                   may come to another member as well, of QoS 2 too: two shards know of it while it is passed on
 *   what a group had given to a session that was never kept      may be lost
 *   a will that was due                                          may have been published, may be published again, or be lost: nobody was told of it
 *   retained messages that a new subscription is being sent      those that were not on their way may not come
 */
#include "test/sim/oracle.h"

/* What has been recorded of the end of its connection is not certain. */
static bool
ended_lately(const struct oracle *o, const struct oracle_session *s)
{
    return o->links[s->link].ended != ORACLE_NEVER && o->links[s->link].ended >= o->rested;
}

static void
forget_the_end(struct oracle *o, struct oracle_session *s)
{
    const struct oracle_link *l = &o->links[s->link];
    s->lost_hi_ms = oracle_now_ms(o) + ORACLE_SLACK_MS;
    s->expiry_lo_ms = l->expiry_ms < s->expiry_lo_ms ? l->expiry_ms : s->expiry_lo_ms;
    s->expiry_hi_ms = l->expiry_ms > s->expiry_hi_ms ? l->expiry_ms : s->expiry_hi_ms;
}

/* What has come since the last rest: that it was acknowledged may be forgotten, and, at QoS 0, that it was sent at all. */
static void
doubt_receptions(struct oracle *o)
{
    for (uint32_t i = 0; i < o->message_count; i++) {
        for (struct oracle_reception *r = o->messages[i].receptions; r != NULL; r = r->next) {
            bool lately = r->tick >= o->recovered;
            r->unsure |= lately && r->qos == 1;
            bool unknown = o->messages[i].qos == 2 && o->messages[i].routed == ORACLE_NEVER; /* its publisher may send it again, and it may be routed anew */
            r->doubtful |= lately && r->qos < 2 && unknown;
        }
    }
}

void
oracle_crashing(struct oracle *o, uint64_t since_ms, bool orderly)
{
    o->crash_count += !orderly;
    o->restart_count += orderly;
    oracle_note(o, ORACLE_NONE, ORACLE_NONE, orderly ? "the broker stops; it runs again after %u ms" : "the broker crashes; it runs again after %u ms",
                (uint32_t)(oracle_now_ms(o) - since_ms), 0);
    o->went_down = o->tick;
    oracle_wills_crashing(o, since_ms, orderly);
    doubt_receptions(o);
    for (uint32_t i = 0; i < o->actor_count; i++) {
        struct oracle_session *s = oracle_session_of(o, i);
        if (s != NULL && !s->ended && ended_lately(o, s)) {
            forget_the_end(o, s);
        }
    }
}

void
oracle_unsure(struct oracle *o, uint32_t session, uint32_t uid, uint16_t packet_id)
{
    struct oracle_reception *r = o->messages[uid].receptions;
    while (r != NULL && !(r->session == session && r->packet_id == packet_id)) {
        r = r->next;
    }
    if (r != NULL) {
        r->unsure = true;
    }
}

static void
forget_values(struct oracle *o, struct oracle_session *s)
{
    for (uint32_t i = 0; s->last_retained != NULL && i < NAMES_TOPICS * 2; i++) {
        uint32_t uid = s->last_retained[i];
        if (uid != ORACLE_NONE && o->messages[uid].routed == ORACLE_NEVER) {
            s->last_retained[i] = ORACLE_NONE; /* it may not have been kept */
        }
    }
}

static void
judge_session(struct oracle *o, struct oracle_session *s)
{
    bool held_until_now = s->crashed == ORACLE_NEVER && (o->links[s->link].ended == ORACLE_NEVER || o->links[s->link].ended >= o->rested);
    if (held_until_now && !s->kept) {
        s->crashed = o->tick;
    }
    s->ended = s->ended || s->expiry_hi_ms == 0;
    forget_values(o, s);
    for (struct oracle_subscription *v = s->subscriptions; v != NULL; v = v->next) {
        if (v->replayed == ORACLE_NEVER && v->replay == ORACLE_REPLAY_SURE) {
            v->replay = ORACLE_REPLAY_MAYBE;
        }
    }
}

void
oracle_crashed(struct oracle *o, bool orderly)
{
    oracle_settle_messages(o); /* no attempt is under way any more */
    oracle_wills_crashed(o, orderly);
    for (uint32_t i = 0; i < o->session_count; i++) {
        judge_session(o, &o->sessions[i]);
    }
    o->recovered = o->tick;
    oracle_watch_groups(o);
}
