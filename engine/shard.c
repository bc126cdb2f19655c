#include "engine/shard.h"

#include "engine/durable/durable.h"
#include "engine/durable/keep.h"
#include "engine/durable/promise.h"
#include "engine/identity/http_hook.h"
#include "engine/identity/login.h"
#include "engine/identity/recheck.h"
#include "engine/job.h"
#include "engine/journal/journal.h"
#include "engine/limits/pace.h"
#include "engine/log.h"
#include "engine/net/connection.h"
#include "engine/observe/log_topic.h"
#include "engine/observe/sys.h"
#include "engine/route/parcel.h"
#include "engine/route/replay.h"
#include "engine/route/share.h"
#include "engine/security/security.h"
#include "engine/session/page.h"
#include "engine/stage.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* Timers fired per turn; a reconnect storm's worth of deadlines must not stall a turn. */
#define TIMERS_PER_TURN 4096u
/* Bytes waiting for full mesh rings at which publishers are held. */
#define BACKLOG_MAX (8u << 20)
/* Bytes that wait for the disk, at which they are too: a second's worth of a slow one. */
#define JOURNAL_BACKLOG_MAX (64u << 20)
/* Expired retained messages and the like are looked for this often, and this many at a time. */
#define HOUSEKEEPING_MS 1000u
/* The same where nothing is to be found: an idle shard sleeps. */
#define HOUSEKEEPING_IDLE_MS 30000u
#define SWEEP_NODES 1024u
/* The memory level is looked at again when a shard has charged this part of the limit, or so many bytes: a limit is passed by no more than that per shard. */
#define LOOKS_PER_LIMIT 256u
#define LOOK_BYTES_MIN 16384u
/* How long a stopping shard waits for its last bytes to leave. */
#define STOP_MS 1500u
/* And then for the disk. */
#define FINISH_MS 10000u
/* A shard that holds publishers looks this often whether memory has been freed elsewhere: nobody wakes it for that. */
#define HELD_WAIT_MS 5u

/* Its part of queue_memory_limit. */
static uint64_t
queue_share(const struct shard *shard)
{
    uint64_t limit = shard->config->queue_memory_limit;
    return limit == 0 ? UINT64_MAX : limit / shard->broker->shard_count;
}

struct shard *
shard_open(struct broker *broker, unsigned number, char *error, size_t error_size)
{
    const struct config *config = atomic_load(&broker->config);
    struct shard *shard = calloc(1, sizeof *shard);
    uint8_t *scratch = malloc(SHARD_SCRATCH_BYTES);
    if (shard == NULL || scratch == NULL) {
        free(shard);
        free(scratch);
        snprintf(error, error_size, "out of memory for shard %u", number);
        return NULL;
    }
    shard->number = number;
    shard->broker = broker;
    shard->io = io_of_shard(broker->ios, number);
    shard->config = config;
    shard->queue_share = queue_share(shard);
    shard->security = atomic_load(&broker->security);
    shard->access_limited = shard->security->has_acl;
    atomic_store(&shard->security_seen, shard->security->generation);
    shard->account = &broker->budget.accounts[number];
    shard->scratch = scratch;
    shard->gather.window_start_ns = io_clock_ns(shard->io);
    shard->now_ms = shard->gather.window_start_ns / 1000000;
    timer_wheel_init(&shard->wheel, shard->now_ms);
    slab_init(&shard->connections, sizeof(struct connection), 0, shard->account);
    slab_keep_readable(&shard->connections, offsetof(struct connection, state) + 1); /* next_connection() */
    slab_init(&shard->sessions, sizeof(struct session), 0, shard->account);
    slab_keep_readable(&shard->sessions, offsetof(struct session, identity) + sizeof(uint64_t)); /* session.h S1 */
    slab_init(&shard->subscriptions, sizeof(struct subscription), 0, shard->account);
    slab_init(&shard->deliveries, sizeof(struct delivery), 0, shard->account);
    chunk_pool_init(&shard->chunks, shard->account);
    struct retained_limits limits = {
        .count_max = (config->max_retained_messages + broker->shard_count - 1) / broker->shard_count,
        .bytes_max = (config->max_retained_bytes + broker->shard_count - 1) / broker->shard_count,
    };
    http_hook_configure(shard);
    shard->retained = retained_init(shard->account, &limits, broker->secret);
    shard->paces = pace_is_needed(shard);
    shard->matches = match_cache_init(broker->filters, number, 0);
    if (shard->retained == NULL || shard->matches == NULL || !sys_open(shard)) {
        snprintf(error, error_size, "out of memory for shard %u", number);
        shard_close(&shard);
        return NULL;
    }
    if (!durable_open(shard, error, error_size)) {
        shard_close(&shard);
        return NULL;
    }
    shard->housekeeping.kind = TIMER_HOUSEKEEPING;
    timer_arm(&shard->wheel, &shard->housekeeping, shard->now_ms + HOUSEKEEPING_MS);
    return shard;
}

static void
end_sessions(struct shard *shard)
{
    struct session *s;
    uint32_t bucket = 0;
    while ((s = session_table_first(&shard->session_table, &bucket)) != NULL) {
        if (session_get_extra(s)->will != NULL) {
            session_drop_will(shard, s); /* nobody is left to receive it */
        }
        s->connection = NULL;
        session_end(shard, &s);
    }
}

void
shard_close(struct shard **sp)
{
    struct shard *shard = *sp;
    *sp = NULL;
    if (shard->matches != NULL) {
        match_cache_fini(&shard->matches);
    }
    replay_fini(shard);
    compact_fini(shard);
    if (shard->retained != NULL) {
        retained_fini(&shard->retained);
    }
    share_fini(shard);
    http_hook_fini(shard);
    sys_close(shard);
    login_close(shard);
    durable_close(shard);
    session_table_fini(&shard->session_table);
    subscribers_fini(&shard->subscribers);
    loopback_fini(&shard->loopback);
    chunk_pool_fini(&shard->chunks);
    slab_fini(&shard->deliveries);
    slab_fini(&shard->subscriptions);
    slab_fini(&shard->sessions);
    slab_fini(&shard->connections);
    free(shard->gathered);
    free(shard->gathered_identifiers);
    free(shard->scratch);
    free(shard);
}

void
shard_message_unref(struct shard *shard, struct message **message)
{
    struct message *lender;
    uint16_t lender_shard;
    if (message_unref(shard->account, message, &lender, &lender_shard)) {
        struct parcel_return *parcel = parcel_send(shard, lender_shard, PARCEL_RETURN, sizeof *parcel, 0);
        parcel->message = lender;
    }
}

/* -------------------------------------------------------------------------------------------------------------- the turn */

static void
handle_event(struct shard *shard, const struct io_event *event)
{
    struct connection *c = (struct connection *)(uintptr_t)event->token;
    switch ((enum io_event_type)event->type) {
    case IO_ACCEPTED:
        connection_accepted(shard, event);
        break;
    case IO_ACCEPT_FAILED:
        stats_add(&shard->stats.drops[DROP_ACCEPT_FAILED], 1);
        log_peer(CONFIG_LOG_WARNING, DROP_ACCEPT_FAILED, "Connections wait or are refused: no free socket slot on shard %u.", shard->number);
        break;
    case IO_MOVED:
    case IO_MOVE_FAILED:
        connection_arrived(shard, event);
        break;
    case IO_RECEIVED:
        if (c != NULL) {
            connection_received(shard, c, event);
        }
        break;
    case IO_SENT:
        if (c != NULL) {
            connection_sent(shard, c, event->result);
        }
        break;
    case IO_CLOSED:
        if (c != NULL) {
            connection_closed(shard, c);
        }
        break;
    case IO_FILE_DONE:
        journal_event(shard->journal, event);
        break;
    case IO_WORKED:
        job_finished(shard, (struct job *)(uintptr_t)event->token);
        break;
    }
}

static void
keep_house(struct shard *shard)
{
    retained_sweep(shard->retained, shard->now_ms, SWEEP_NODES);
    stats_set(&shard->stats.retained_messages, retained_count(shard->retained));
    stats_set(&shard->stats.retained_bytes, retained_bytes(shard->retained));
    struct match_counts counts;
    match_cache_counts(shard->matches, &counts);
    stats_set(&shard->stats.match_memo, counts.memo_hits);
    stats_set(&shard->stats.match_cached, counts.cache_hits);
    stats_set(&shard->stats.match_computed, counts.computed);
    stats_set(&shard->stats.memory_bytes, (uint64_t)shard->account->bytes);
    sys_tick(shard);
    if (shard->number == 0) {
        log_topic_publish(shard);
    }
    bool watched = (shard->number == 0 && shard->config->sys_interval_s > 0) || (shard->config->log_destinations & CONFIG_LOG_TO_TOPIC) != 0;
    bool eager = watched || retained_count(shard->retained) > 0;
    timer_arm(&shard->wheel, &shard->housekeeping, shard->now_ms + (eager ? HOUSEKEEPING_MS : HOUSEKEEPING_IDLE_MS));
}

#define OWNER(type, pointer) ((struct type *)(void *)((char *)(pointer) - offsetof(struct type, timer)))

static void
fire(struct timer *timer, void *context)
{
    struct shard *shard = context;
    switch ((enum timer_kind)timer->kind) {
    case TIMER_CONNECTION:
        connection_timer(shard, OWNER(connection, timer));
        break;
    case TIMER_SESSION:
        session_timer(shard, OWNER(session, timer));
        break;
    case TIMER_WILL:
        session_will_timer(shard, OWNER(session_will, timer));
        break;
    case TIMER_HOUSEKEEPING:
        keep_house(shard);
        break;
    }
}

void
shard_take_limits(struct shard *shard)
{
    const struct config *config = shard->config;
    shard->paces = pace_is_needed(shard);
    struct retained_limits limits = {
        .count_max = (config->max_retained_messages + shard->broker->shard_count - 1) / shard->broker->shard_count,
        .bytes_max = (config->max_retained_bytes + shard->broker->shard_count - 1) / shard->broker->shard_count,
    };
    retained_set_limits(shard->retained, &limits);
    shard->queue_share = queue_share(shard);
}

static void
take_configuration(struct shard *shard)
{
    /* The snapshot first: a reload stores the configuration first, so whoever sees the new snapshot gets no older configuration. */
    const struct security *security = atomic_load_explicit(&shard->broker->security, memory_order_acquire);
    const struct config *config = atomic_load_explicit(&shard->broker->config, memory_order_acquire);
    if (config != shard->config) {
        shard->config = config;
        shard_take_limits(shard);
    }
    if (security != shard->security) {
        shard->security = security;
        recheck_begin(shard);
        shard->access_limited = security->has_acl;
        /* Release pairs with oldest_in_use() (engine/broker.c): what is older may be freed, configuration and snapshot. */
        atomic_store_explicit(&shard->security_seen, security->generation, memory_order_release);
        http_hook_configure(shard); /* every reload makes a snapshot, which is seen no earlier than its configuration */
    }
}

/* All connections, in no order; one may end while it is looked at. */
static struct connection *
next_connection(const struct shard *shard, struct slab_walk *walk)
{
    struct connection *c;
    do {
        c = slab_walk(&shard->connections, walk);
    } while (c != NULL && c->state == CONNECTION_NONE);
    return c;
}

/* Everyone is told and closed; the turn goes on until the last socket is gone or the deadline passes. */
static void
begin_stopping(struct shard *shard)
{
    shard->stopping = true;
    shard->stop_deadline_ms = shard->now_ms + STOP_MS;
    io_listen_stop(shard->io);
    struct slab_walk walk = {0};
    for (struct connection *c; (c = next_connection(shard, &walk)) != NULL;) {
        /* A server that ends has not lost its clients: their wills stay unsaid. */
        if (c->session != NULL && session_get_extra(c->session)->will != NULL) {
            session_drop_will(shard, c->session);
        }
        connection_close(shard, c, REASON_SERVER_SHUTTING_DOWN, NULL);
    }
}

bool
shard_busy(const struct shard *shard)
{
    return shard->timers_behind || (shard->journal != NULL && !shard->stopping && compact_is_eager(shard)) || (shard->stage != STAGE_OPEN && stage_can_go(shard)) || shard->rechecking ||
           limits_enforcing(shard) || loopback_waiting(&shard->loopback) || shard->replays != NULL || page_busy(shard) || shard->dirty != NULL ||
           (shard->held_first != NULL && shard->held_may_go) || (!shard->stopping && atomic_load_explicit(&shard->broker->stopping, memory_order_relaxed));
}

static uint64_t
disk_next_ms(const struct shard *shard)
{
    uint64_t journal_ms = journal_next_ms(shard->journal), page_ms = page_next_ms(shard);
    return journal_ms < page_ms ? journal_ms : page_ms;
}

uint64_t
shard_next_ms(const struct shard *shard)
{
    uint64_t next_ms = timer_wheel_next_ms(&shard->wheel);
    if (shard->held_first != NULL && shard->congested && shard->now_ms + HELD_WAIT_MS < next_ms) {
        next_ms = shard->now_ms + HELD_WAIT_MS;
    }
    uint64_t disk_ms = shard->journal != NULL ? disk_next_ms(shard) : UINT64_MAX;
    return disk_ms < next_ms ? disk_ms : next_ms;
}

static uint64_t
wait_time_ns(struct shard *shard)
{
    if (shard_busy(shard)) {
        return 0;
    }
    uint64_t next_ms = shard_next_ms(shard);
    if (shard->stopping && shard->stop_deadline_ms < next_ms) {
        next_ms = shard->stop_deadline_ms;
    }
    if (next_ms == UINT64_MAX) {
        return UINT64_MAX;
    }
    uint64_t now_ns = io_clock_ns(shard->io);
    return next_ms * 1000000 > now_ns ? next_ms * 1000000 - now_ns : 0;
}

static unsigned
wait_for_events(struct shard *shard, bool may_wait, struct io_event *events)
{
    struct epoch *epoch = filter_index_epoch(shard->broker->filters);
    uint64_t timeout_ns = may_wait ? wait_time_ns(shard) : 0;
    bool asleep = timeout_ns > 0 && mesh_sleep(shard->broker->mesh, shard->number);
    if (!asleep) {
        timeout_ns = 0;
    } else {
        epoch_offline(epoch, shard->number);
    }
    unsigned count = io_wait(shard->io, timeout_ns, shard->gather.wait_us, events, SHARD_EVENTS_MAX);
    if (asleep) {
        epoch_online(epoch, shard->number);
        mesh_awake(shard->broker->mesh, shard->number);
    } else {
        epoch_quiescent(epoch, shard->number);
    }
    return count;
}

void
shard_look_at_pressure(struct shard *shard)
{
    uint64_t limit = atomic_load_explicit(&shard->broker->budget.limit_bytes, memory_order_relaxed);
    uint64_t step = limit / LOOKS_PER_LIMIT;
    shard->pressure = budget_settle(&shard->broker->budget, shard->number);
    shard->congested = shard->congested || shard->pressure >= BUDGET_HOLD_PUBLISHERS;
    shard->look_at_bytes = limit == 0 ? INT64_MAX : shard->account->bytes + (int64_t)(step > LOOK_BYTES_MIN ? step : LOOK_BYTES_MIN);
}

static bool
journal_is_behind(const struct shard *shard)
{
    return shard->journal != NULL && (journal_backlog(shard->journal) > JOURNAL_BACKLOG_MAX || journal_room(shard->journal) == JOURNAL_STUCK);
}

/* What the journal has committed is acknowledged, and what has come since begins its way there. */
static void
serve_journal(struct shard *shard)
{
    if (shard->journal == NULL) {
        return;
    }
    /* At the end the disk is to take what happened, and no more. */
    if (shard->stage == STAGE_OPEN && !shard->stopping) {
        compact_step(shard);
    }
    uint64_t before;
    do {
        before = journal_committed(shard->journal);
        promise_keep(shard);
        page_turn(shard);
        journal_submit(shard->journal, shard->now_ms);
    } while (journal_committed(shard->journal) != before); /* what waited was voided: no event will tell */
    bool full = journal_room(shard->journal) != JOURNAL_FREE;
    if (full != shard->disk_full) {
        shard->disk_full = full;
        atomic_fetch_xor(&shard->broker->full_disks, UINT64_C(1) << shard->number);
    }
}

static void
look_at_congestion(struct shard *shard)
{
    bool before = shard->congested;
    shard->backlogged = mesh_backlog(shard->broker->mesh, shard->number) > BACKLOG_MAX || journal_is_behind(shard) || page_is_behind(shard);
    shard->congested = shard->backlogged || shard->pressure >= BUDGET_HOLD_PUBLISHERS;
    shard->held_may_go = shard->held_may_go || (before && !shard->congested);
}

static void
look_at_pace(struct shard *shard)
{
    uint64_t now_ns = io_now_ns(shard->io);
    if (gather_is_due(&shard->gather, now_ns)) {
        gather_judge(&shard->gather, now_ns, io_cpu_ns(shard->io), stats_get(&shard->stats.packets_received), shard->config->batch_wait_us);
    }
}

/* The last client is gone, or has had its time: what happened is still on its way to the disk. */
static void
begin_finishing(struct shard *shard)
{
    shard->finishing = true;
    if (shard->journal != NULL) {
        shard->stop_deadline_ms = shard->now_ms + FINISH_MS;
        journal_finish(shard->journal);
        journal_submit(shard->journal, shard->now_ms);
    }
}

static bool
has_ended(struct shard *shard)
{
    bool late = shard->now_ms >= shard->stop_deadline_ms;
    if (!shard->finishing) {
        if (shard->connections.taken_count > 0 && !late) {
            return false;
        }
        begin_finishing(shard);
        late = false;
    }
    if (shard->journal == NULL || journal_is_idle(shard->journal)) {
        return true;
    }
    if (late) {
        log_line(CONFIG_LOG_ERROR, "Error: shard %u: the disk has not taken the last %llu bytes of the journal within %u s; what they say is lost.", shard->number,
                 (unsigned long long)journal_backlog(shard->journal), FINISH_MS / 1000);
    }
    return late;
}

void
shard_tell_others(struct shard *shard)
{
    for (uint64_t asleep = mesh_publish(shard->broker->mesh, shard->number); asleep != 0; asleep &= asleep - 1) {
        io_wake(shard->io, (unsigned)__builtin_ctzll(asleep));
    }
}

bool
shard_turn(struct shard *shard, bool may_wait)
{
    struct io_event events[SHARD_EVENTS_MAX];
    unsigned count = wait_for_events(shard, may_wait, events);

    shard->turn++;
    shard->now_ms = io_now_ns(shard->io) / 1000000;
    stats_add(&shard->stats.turns, 1);
    take_configuration(shard);
    if (!shard->stopping && atomic_load_explicit(&shard->broker->stopping, memory_order_relaxed)) {
        begin_stopping(shard);
    }
    /* Parcels first: what clients say now may be caused by what other shards have told us already. */
    parcel_pass(shard);
    for (unsigned i = 0; i < count; i++) {
        if (i + 2 < count) {
            __builtin_prefetch((void *)(uintptr_t)events[i + 2].token);
            __builtin_prefetch(events[i + 2].data);
        }
        handle_event(shard, &events[i]);
    }
    look_at_pace(shard);
    recheck_some(shard);
    if (shard->replays != NULL) {
        replay_run(shard);
    }
    if (limits_enforcing(shard)) {
        limits_enforce(shard);
    }
    if (stage_has_timers(shard)) {
        shard->timers_behind = timer_wheel_advance(&shard->wheel, shard->now_ms, TIMERS_PER_TURN, fire, shard) == TIMERS_PER_TURN;
    }

    shard_look_at_pressure(shard);
    look_at_congestion(shard);
    if (shard->held_first != NULL) {
        connection_resume_held(shard);
    }
    serve_journal(shard);
    connection_flush_dirty(shard);
    shard_tell_others(shard);
    if (shard->stage != STAGE_OPEN) {
        stage_step(shard);
    }
    look_at_congestion(shard); /* publishing may have made room, and then nobody else would say so */
    return !shard->stopping || !has_ended(shard);
}

int
shard_enter(struct shard *shard)
{
    int result = io_enter(shard->io);
    if (result == 0) {
        epoch_online(filter_index_epoch(shard->broker->filters), shard->number);
    }
    return result;
}

void
shard_leave(struct shard *shard)
{
    shard->stopping = true;
    if (shard->keeper != NULL) {
        keep_be_silent(shard, true); /* sessions end here, but they are kept */
    }
    struct connection *c;
    struct slab_walk dropping = {0};
    while ((c = next_connection(shard, &dropping)) != NULL) {
        connection_drop(shard, c, true);
    }
    io_leave(shard->io);
    job_end_all(shard);
    struct slab_walk closing = {0};
    while ((c = next_connection(shard, &closing)) != NULL) {
        connection_closed(shard, c);
    }
    end_sessions(shard);
    mesh_publish(shard->broker->mesh, shard->number);
    epoch_offline(filter_index_epoch(shard->broker->filters), shard->number);
}
