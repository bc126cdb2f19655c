#include "test/sim/oracle.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Events shown of a violation. */
#define TRACE_SHOWN 60u

void
oracle_init(struct oracle *o, uint64_t seed, uint32_t actor_count)
{
    /* The trace's memory serves all runs. */
    *o = (struct oracle){.seed = seed, .actor_count = actor_count, .trace = o->trace, .program = o->program};
    trace_clear(&o->trace);
    o->actor_session = malloc(actor_count * sizeof *o->actor_session);
    o->actor_link = malloc(actor_count * sizeof *o->actor_link);
    for (uint32_t i = 0; i < actor_count; i++) {
        o->actor_session[i] = o->actor_link[i] = ORACLE_NONE;
    }
}

static void
free_session(struct oracle_session *s)
{
    while (s->subscriptions != NULL) {
        struct oracle_subscription *next = s->subscriptions->next;
        free(s->subscriptions);
        s->subscriptions = next;
    }
    free(s->owed);
    free(s->latest);
    free(s->again);
    free(s->last_retained);
}

static void
free_message(struct oracle_message *m)
{
    while (m->receptions != NULL) {
        struct oracle_reception *next = m->receptions->next;
        free(m->receptions);
        m->receptions = next;
    }
}

void
oracle_fini(struct oracle *o)
{
    for (uint32_t i = 0; i < o->session_count; i++) {
        free_session(&o->sessions[i]);
    }
    for (uint32_t i = 0; i < o->message_count; i++) {
        free_message(&o->messages[i]);
    }
    for (uint32_t i = 0; i < NAMES_TOPICS; i++) {
        free(o->retained[i]);
    }
    free(o->sessions);
    free(o->messages);
    free(o->links);
    free(o->wills);
    free(o->actor_session);
    free(o->actor_link);
    free(o->unsettled);
}

uint64_t
oracle_now_ms(const struct oracle *o)
{
    return o->now_ns / 1000000;
}

void
oracle_note(struct oracle *o, uint32_t actor, uint32_t message, const char *what, uint32_t a, uint32_t b)
{
    o->tick++;
    trace_add(&o->trace, &(struct trace_event){o->tick, o->now_ns, what, actor, message, a, b});
}

static void
show_message(struct oracle *o, uint32_t uid)
{
    const struct oracle_message *m = &o->messages[uid];
    struct bytes topic = names_topic(m->topic);
    fprintf(stderr, "  message %u: %s of client %u, topic '%.*s', QoS %u%s, %u bytes, expiry %u s, %u attempts\n", uid,
            m->will != ORACLE_NONE ? "will" : "publish", m->actor, (int)topic.size, (const char *)topic.data, m->qos, m->retain ? ", retain" : "", m->size,
            m->expiry_s, m->attempts);
    fprintf(stderr, "  ticks: sent %lld, last sent %lld, routed %lld, settled %lld\n", (long long)m->sent, (long long)m->last_sent, (long long)m->routed,
            (long long)m->settled);
}

static void
show_subscriptions(struct oracle *o, uint32_t actor, uint32_t uid)
{
    const struct oracle_session *s = oracle_session_of(o, actor);
    for (const struct oracle_subscription *v = s ? s->subscriptions : NULL; v != NULL; v = v->next) {
        struct bytes filter = names_filter(v->filter);
        if (uid == ORACLE_NONE || names_match(v->filter, o->messages[uid].topic)) {
            fprintf(stderr, "  subscription '%.*s' QoS %u%s%s, identifier %u, replay %u; ticks: sent %lld, acked %lld, unsubscribed %lld, gone %lld\n",
                    (int)filter.size, (const char *)filter.data, v->qos, v->no_local ? ", no local" : "", v->retain_as_published ? ", retain as published" : "",
                    v->identifier, v->replay, (long long)v->sent, (long long)v->acked, (long long)v->unsubscribed, (long long)v->gone);
        }
    }
}

void
oracle_fail(struct oracle *o, uint32_t actor, uint32_t message, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "seed %llu (%u shards, %u clients), %.3f ms: client %d: ", (unsigned long long)o->seed, o->shard_count, o->actor_count,
            (double)o->now_ns / 1e6, (int)actor);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    if (message != ORACLE_NONE) {
        show_message(o, message);
    }
    if (actor != ORACLE_NONE) {
        show_subscriptions(o, actor, message);
    }
    trace_show(&o->trace, actor, message, TRACE_SHOWN);
    oracle_say_how_to_repeat(o);
    _Exit(1);
}

void
oracle_say_how_to_repeat(const struct oracle *o)
{
    fprintf(stderr, "repeat: build/asan/%s --seed %llu\n", o->program, (unsigned long long)o->seed);
    fflush(stderr);
}

struct oracle_message *
oracle_message(struct oracle *o, uint32_t uid)
{
    return &o->messages[uid];
}

struct oracle_session *
oracle_session_of(struct oracle *o, uint32_t actor)
{
    uint32_t session = o->actor_session[actor];
    return session == ORACLE_NONE ? NULL : &o->sessions[session];
}

bool
oracle_link_alive(const struct oracle *o, uint32_t link)
{
    return link != ORACLE_NONE && o->links[link].opened != ORACLE_NEVER && o->links[link].ended == ORACLE_NEVER;
}

void
oracle_push(uint32_t **list, uint32_t *count, uint32_t *room, uint32_t value)
{
    if (*count == *room) {
        *room = *room ? *room * 2 : 16;
        *list = realloc(*list, *room * sizeof **list);
    }
    (*list)[(*count)++] = value;
}

/* ------------------------------------------------------------------------------------------------------------- publishing */

uint32_t
oracle_new_message(struct oracle *o, const struct oracle_message *message)
{
    if (o->message_count == o->message_room) {
        o->message_room = o->message_room ? o->message_room * 2 : 512;
        o->messages = realloc(o->messages, o->message_room * sizeof *o->messages);
    }
    uint32_t uid = o->message_count++;
    struct oracle_message *m = &o->messages[uid];
    *m = *message;
    m->receptions = NULL;
    m->sent = m->last_sent = m->routed = m->done = m->settled = ORACLE_NEVER;
    m->link = ORACLE_NONE;
    m->attempts = 0;
    m->judged = m->refused = m->unheard = false;
    m->crashes = o->crash_count;
    return uid;
}

void
oracle_sending(struct oracle *o, uint32_t uid, uint32_t link)
{
    struct oracle_message *m = &o->messages[uid];
    oracle_note(o, m->actor, uid, "is published: QoS %u, attempt %u", m->qos, m->attempts + 1);
    if (m->attempts++ == 0) {
        m->sent = o->tick;
        m->sent_ms = oracle_now_ms(o);
        if (m->retain) {
            oracle_push(&o->retained[m->topic], &o->retained_count[m->topic], &o->retained_room[m->topic], uid);
        }
        oracle_push(&o->unsettled, &o->unsettled_count, &o->unsettled_room, uid);
    } else if (m->settled != ORACLE_NEVER) {
        oracle_push(&o->unsettled, &o->unsettled_count, &o->unsettled_room, uid);
        o->judged_from = uid < o->judged_from ? uid : o->judged_from;
    }
    m->settled = m->done = ORACLE_NEVER;
    m->judged = m->refused = false;
    m->unheard = o->disk_trouble && m->qos == 0 && m->retain;
    m->last_sent = o->tick;
    m->last_sent_ms = oracle_now_ms(o);
    m->link = link;
}

void
oracle_acked(struct oracle *o, uint32_t uid)
{
    struct oracle_message *m = &o->messages[uid];
    oracle_note(o, m->actor, uid, "is acknowledged to its publisher", 0, 0);
    m->routed = m->routed == ORACLE_NEVER ? o->tick : m->routed;
    m->done = m->done == ORACLE_NEVER ? o->tick : m->done;
}

void
oracle_refused(struct oracle *o, uint32_t uid)
{
    struct oracle_message *m = &o->messages[uid];
    oracle_note(o, m->actor, uid, "is refused", 0, 0);
    m->refused = true;
    m->done = m->done == ORACLE_NEVER ? o->tick : m->done;
}

void
oracle_settle_messages(struct oracle *o)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < o->unsettled_count; i++) {
        struct oracle_message *m = &o->messages[o->unsettled[i]];
        if (m->will != ORACLE_NONE && m->routed == ORACLE_NEVER) {
            o->unsettled[kept++] = o->unsettled[i];
        } else {
            m->settled = o->tick;
            m->done = m->done == ORACLE_NEVER ? o->tick : m->done;
        }
    }
    o->unsettled_count = kept;
}

/* On a connection that is there everything sent has been handled; on one that is gone everything that ever will be. */
void
oracle_settled(struct oracle *o)
{
    oracle_note(o, ORACLE_NONE, ORACLE_NONE, "the world rests", 0, 0);
    o->rested = o->recovered = o->tick;
    oracle_wills_settled(o);
    for (uint32_t i = 0; i < o->unsettled_count; i++) {
        struct oracle_message *m = &o->messages[o->unsettled[i]];
        if (m->will == ORACLE_NONE && m->routed == ORACLE_NEVER && !m->refused && !m->unheard && oracle_link_alive(o, m->link)) {
            m->routed = o->tick;
        }
    }
    oracle_settle_messages(o);
}

bool
oracle_before(const struct oracle_message *earlier, const struct oracle_message *later)
{
    /* One client's messages are handled in the order in which it sent them. */
    bool one_publisher = earlier->actor == later->actor && earlier->will == ORACLE_NONE && later->will == ORACLE_NONE;
    return earlier->done < later->sent || (one_publisher && earlier->last_sent < later->sent);
}

bool
oracle_superseded(const struct oracle *o, uint32_t uid, uint64_t tick)
{
    const struct oracle_message *m = &o->messages[uid];
    for (uint32_t i = o->retained_count[m->topic]; i-- > 0;) {
        const struct oracle_message *other = &o->messages[o->retained[m->topic][i]];
        if (other != m && other->routed < tick && oracle_before(m, other)) {
            return true;
        }
    }
    return false;
}
