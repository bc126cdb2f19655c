#include "engine/durable/recover.h"

#include "engine/durable/keep.h"
#include "engine/durable/recovery.h"
#include "engine/durable/revive.h"
#include "engine/journal/journal.h"
#include "engine/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Records between two looks whether the broker is to stop. */
#define LOOK_RECORDS 4096u
/* The low bits of an identity; above is the shard that gave it (session.h S1). */
#define SERIAL_MASK ((1ull << 56) - 1)

uint64_t
recovery_own_time(const struct recovery *r, uint64_t wall_ms)
{
    return revive_time(r->now_ms, r->wall_ms, wall_ms);
}

void
recovery_note_identity(struct recovery *r, uint64_t identity)
{
    recovery_note_max(&r->serial_max, identity & SERIAL_MASK);
}

/* ------------------------------------------------------------------------------------------------------------- reading */

static void
apply(struct recovery *r, const struct journal_record *record)
{
    struct bytes content = record->content;
    r->position = record->position;
    switch ((enum entry_type)record->type) {
    case ENTRY_SESSION:
        recovery_apply_session(r, content);
        break;
    case ENTRY_SESSION_END:
        recovery_apply_session_end(r, content);
        break;
    case ENTRY_ABSENT:
        recovery_apply_absent(r, content);
        break;
    case ENTRY_SUBSCRIPTION:
        recovery_apply_subscription(r, content);
        break;
    case ENTRY_UNSUBSCRIBED:
        recovery_apply_unsubscribed(r, content);
        break;
    case ENTRY_MESSAGE:
        recovery_apply_message(r, record);
        break;
    case ENTRY_DELIVERIES:
        recovery_apply_deliveries(r, content);
        break;
    case ENTRY_SENT:
        recovery_apply_sent(r, content);
        break;
    case ENTRY_RELEASED:
        recovery_apply_released(r, content);
        break;
    case ENTRY_DONE:
        recovery_apply_done(r, content);
        break;
    case ENTRY_RECEIVED:
        recovery_apply_received(r, content);
        break;
    case ENTRY_COMPLETED:
        recovery_apply_completed(r, content);
        break;
    case ENTRY_RETAIN_REMOVED:
        recovery_apply_retain_removed(r, content);
        break;
    case ENTRY_WILL:
        recovery_apply_will(r, content);
        break;
    case ENTRY_WILL_DROPPED:
        recovery_apply_will_dropped(r, content);
        break;
    case ENTRY_PAGE:
        recovery_apply_page(r, record);
        break;
    case ENTRY_TOKEN:
        recovery_apply_token(r, content);
        break;
    }
}

static bool
visit(void *context, const struct journal_record *record)
{
    struct recovery *r = context;
    if (r->until_look-- == 0) {
        r->until_look = LOOK_RECORDS;
        if (atomic_load_explicit(&r->shard->broker->stopping, memory_order_relaxed)) {
            return false;
        }
    }
    apply(r, record);
    return !r->out_of_memory;
}

/* ----------------------------------------------------------------------------------------------------------- finishing */

static void
raise(_Atomic uint64_t *to, uint64_t value)
{
    uint64_t now = atomic_load_explicit(to, memory_order_relaxed);
    while (now < value && !atomic_compare_exchange_weak_explicit(to, &now, value, memory_order_relaxed, memory_order_relaxed)) {
    }
}

static void
give_up(struct recovery *r)
{
    uint64_t at = 0;
    recovery_release_held(r);
    for (struct recalled *s; (s = recall_next(&r->sessions, &at)) != NULL;) {
        recovery_give_up_session(r, s);
    }
}

static void
finish(struct recovery *r)
{
    uint64_t at = 0;
    recovery_release_held(r);
    for (struct recalled *s; (s = recall_next(&r->sessions, &at)) != NULL;) {
        if (s->known) {
            recovery_finish_session(r, s);
        } else {
            recovery_give_up_session(r, s);
        }
    }
    stats_set(&r->shard->stats.retained_messages, retained_count(r->shard->retained));
    stats_set(&r->shard->stats.retained_bytes, retained_bytes(r->shard->retained));
    keep_bodies_from(r->shard, r->body_max);
    raise(&r->shard->broker->session_serial, r->serial_max);
    raise(&r->shard->broker->retain_stamp, r->stamp_max);
}

static void
end(struct recovery *r)
{
    uint64_t at = 0;
    for (struct recalled *s; (s = recall_next(&r->sessions, &at)) != NULL;) {
        free(s);
    }
    recall_fini(&r->sessions);
    recall_fini(&r->deliveries);
    recall_fini(&r->marks);
    recall_fini(&r->bodies);
    body_places_fini(&r->places);
    free(r->held);
}

static void
tell(const struct recovery *r, const struct journal_past *past, uint64_t took_ns)
{
    const struct shard *shard = r->shard;
    if (past->records == 0 && past->torn_bytes == 0 && past->damaged_places == 0) {
        return;
    }
    log_line(CONFIG_LOG_NOTICE,
             "Shard %u: %llu sessions, %llu subscriptions, %llu retained messages and %llu owed ones are back, from %llu records (%.1f MB) in %.3f s.", shard->number,
             (unsigned long long)stats_get(&shard->stats.sessions),
             (unsigned long long)(stats_get(&shard->stats.subscriptions) + stats_get(&shard->stats.shared_subscriptions)),
             (unsigned long long)retained_count(shard->retained),
             (unsigned long long)(stats_get(&shard->stats.queued_messages) + stats_get(&shard->stats.inflight_messages)), (unsigned long long)past->records,
             (double)past->bytes / 1e6, (double)took_ns / 1e9);
    if (r->unreadable > 0) {
        log_line(CONFIG_LOG_WARNING, "Warning: shard %u: %llu records of the journal cannot be understood, and were passed over.", shard->number, (unsigned long long)r->unreadable);
    }
    if (past->damaged_places > 0) {
        log_line(CONFIG_LOG_WARNING, "Warning: shard %u: because of the damage, %llu records spoke of what is not there, and were passed over.", shard->number,
                 (unsigned long long)r->passed_over);
    }
}

static void
begin(struct recovery *r, struct shard *shard)
{
    *r = (struct recovery){.shard = shard, .wall_ms = io_wall_ms(shard->io)};
    shard->now_ms = io_clock_ns(shard->io) / 1000000;
    r->now_ms = shard->now_ms;
    keep_be_silent(shard, true);
    recall_init(&r->sessions, shard->account);
    recall_init(&r->deliveries, shard->account);
    recall_init(&r->marks, shard->account);
    recall_init(&r->bodies, shard->account);
    body_places_init(&r->places, shard->account);
}

static int
read_all(struct recovery *r, char *error, size_t error_size)
{
    struct journal_past past = {0};
    uint64_t start_ns = io_clock_ns(r->shard->io);
    int result = journal_read(r->shard->journal, visit, r, &past, error, error_size);
    if (r->out_of_memory) {
        snprintf(error, error_size, "out of memory while the journal of shard %u is read", r->shard->number);
        result = -ENOMEM;
    }
    keep_be_silent(r->shard, result != 0);
    if (result != 0) {
        give_up(r);
        return result;
    }
    finish(r);
    shard_tell_others(r->shard); /* the first turn may sleep at once */
    tell(r, &past, io_clock_ns(r->shard->io) - start_ns);
    return 0;
}

int
recover_shard(struct shard *shard, char *error, size_t error_size)
{
    if (shard->journal == NULL) {
        return 0;
    }
    /* What was acknowledged is kept, even if a limit is lower now. */
    struct retained_limits none = {0};
    struct recovery r;
    begin(&r, shard);
    retained_set_limits(shard->retained, &none);
    int result = read_all(&r, error, error_size);
    shard_take_limits(shard);
    end(&r);
    return result;
}
