#include "engine/durable/compact.h"

#include "engine/durable/keep.h"
#include "engine/durable/promise.h"
#include "engine/durable/token.h"
#include "engine/journal/journal.h"
#include "engine/session/page.h"
#include "engine/session/session.h"

#include <assert.h>
#include <stddef.h>

/* When a walk begins: see compact.h. */
#define BEGIN_LIVE 2u
#define BEGIN_SEGMENTS 4u
/* Bytes copied for each that is appended by others. */
#define PACE 2u
/* Copied per turn whatever else happens, and at most. */
#define STEP_BYTES_MIN 4096u
#define STEP_BYTES_MAX (1 << 20)
/* What looking at something costs that need not be copied, in bytes of copying. */
#define LOOK_BYTES 64
/* Nodes of retained messages, and places for sessions, looked at in one go. */
#define NODES 64u
#define PLACES 16u
/* Pages that are to be read and copied at a time. */
#define PAGE_COPIES_MAX 64u
/* Beyond this the disk is behind: copies wait, as publishers do (engine/shard.c). */
#define BACKLOG_MAX (64u << 20)

void
compact_init(struct shard *shard)
{
    shard->compact = (struct compact){.live = UINT64_MAX};
}

void
compact_fini(struct shard *shard)
{
    retained_walk_end(&shard->compact.retained);
}

/* ------------------------------------------------------------------------------------------------------------ when */

static uint64_t
memory_bytes(const struct shard *shard)
{
    return (shard->account->bytes > 0 ? (uint64_t)shard->account->bytes : 0) + stats_get(&shard->stats.paged_bytes);
}

static uint64_t
live_bytes(const struct shard *shard)
{
    uint64_t memory = memory_bytes(shard);
    return shard->compact.live < memory ? shard->compact.live : memory;
}

/* A good part of what was there when the disk became full has been deleted. Up to the limit that is set there is room for the walk; on a disk that is full in fact there may be none. */
static bool
much_was_deleted(const struct shard *shard, uint64_t segment)
{
    uint64_t most = shard->compact.most;
    uint64_t least = most / 4 < segment ? most / 4 : segment;
    return shard->config->persistence_disk_limit != 0 && least > 0 && most - memory_bytes(shard) >= least;
}

static bool
should_begin(const struct shard *shard)
{
    const struct compact *c = &shard->compact;
    if (journal_segment_start(shard->journal) <= c->cut || journal_committed(shard->journal) < c->ended_at) {
        return false; /* nothing could be cut off, or the last cut has not taken effect yet */
    }
    uint64_t used = journal_bytes_used(shard->journal);
    uint64_t live = live_bytes(shard);
    uint64_t segment = shard->config->persistence_segment_size;
    if (journal_room(shard->journal) != JOURNAL_FREE) {
        return used > live + live / 4 + 2 * segment || much_was_deleted(shard, segment);
    }
    /* What a walk has found to be live stays so until something is appended. */
    return used >= BEGIN_LIVE * live + BEGIN_SEGMENTS * segment && journal_end(shard->journal) - c->ended_at >= live / 2;
}

static void
begin(struct shard *shard)
{
    struct compact *c = &shard->compact;
    c->retained = retained_walk_begin_all(shard->retained);
    if (c->retained == NULL) {
        return; /* out of memory: next turn */
    }
    c->state = COMPACT_TOKENS;
    c->cut = journal_segment_start(shard->journal);
    c->token = 0;
    c->most = memory_bytes(shard);
    c->copied = 0;
    c->credit = 0;
    c->seen_end = journal_end(shard->journal);
    page_take_copied(shard);
}

/* C1 holds. */
static void
finish(struct shard *shard)
{
    struct compact *c = &shard->compact;
    c->state = COMPACT_IDLE;
    c->live = c->copied;
    c->ended_at = journal_end(shard->journal);
    journal_cut(shard->journal, c->cut);
}

/* -------------------------------------------------------------------------------------------------------------- steps */

/* What was appended since is ours. */
static void
count_copied(struct shard *shard)
{
    struct compact *c = &shard->compact;
    uint64_t end = journal_end(shard->journal);
    c->copied += end - c->seen_end;
    c->credit -= (int64_t)(end - c->seen_end) + LOOK_BYTES;
    c->seen_end = end;
}

/* Only then others are asked: what a publisher sends again until then is among what they answer for, and what it sends later is known by the copy. */
static void
step_tokens(struct shard *shard)
{
    struct compact *c = &shard->compact;
    struct entry_token token;
    const struct token_holders *holders = token_next(shard, &c->token, &token);
    if (holders != NULL) {
        keep_copy_token(shard, &token, holders->identities, holders->count);
        return;
    }
    promise_ask(shard);
    c->state = COMPACT_RETAINED;
}

static void
step_retained(struct shard *shard)
{
    struct compact *c = &shard->compact;
    uint32_t nodes = NODES;
    struct message *m = retained_walk_next(c->retained, shard->now_ms, &nodes);
    if (m != NULL) {
        keep_copy_retained(shard, m, c->cut);
    } else if (nodes > 0) {
        retained_walk_end(&c->retained);
        c->sessions = (struct slab_walk){0};
        c->session = NULL;
        c->state = COMPACT_SESSIONS;
    }
}

static void
begin_session(struct shard *shard, struct session *session)
{
    struct compact *c = &shard->compact;
    c->session = session;
    c->identity = session->identity;
    c->queue = session->owed != NULL ? &session->owed->queue : NULL;
    c->at = session_get_owed(session)->queue.first;
    c->again = false;
    keep_copy_session(shard, session);
}

/* What was in the queue before its turn came is in flight now, so these come last; all at once, as there are not many. */
static void
end_session(struct shard *shard)
{
    struct compact *c = &shard->compact;
    for (struct delivery *d = session_get_owed(c->session)->inflight.first; d != NULL; d = d->next) {
        keep_copy_delivery(shard, c->session, d, c->cut);
    }
    c->queue = NULL;
    c->session = NULL;
}

static void
copy_item(struct shard *shard, struct delivery *d)
{
    struct compact *c = &shard->compact;
    if (!d->paged) {
        keep_copy_delivery(shard, c->session, d, c->cut);
        return;
    }
    /* It is read for that, and comes when it comes; but what it costs is known. */
    if (d->kept_at < c->cut) {
        c->copied += d->page->size;
        c->credit -= d->page->size;
    }
    page_copy(shard, d, c->cut);
}

static void
step_session(struct shard *shard)
{
    struct compact *c = &shard->compact;
    if (c->session->identity != c->identity) {
        c->queue = NULL;
        c->session = NULL; /* it has ended, and perhaps another has its place: that one's records are new */
        c->at = NULL;
    } else if (c->at != NULL) {
        struct delivery *d = c->at;
        c->at = d->next;
        copy_item(shard, d);
    } else if (c->again) {
        c->again = false;
        c->at = session_get_owed(c->session)->queue.first;
    } else {
        end_session(shard);
    }
}

/* Begins the next kept session, or looks on for it later; false if there is none any more. */
static bool
next_session(struct shard *shard)
{
    for (unsigned looks = 0; looks < PLACES && shard->compact.session == NULL; looks++) {
        struct session *s = slab_walk(&shard->sessions, &shard->compact.sessions);
        if (s == NULL) {
            return false;
        }
        if (s->identity != 0 && keep_is_kept(s)) {
            begin_session(shard, s);
        }
    }
    return true;
}

/* One small thing. */
static void
step(struct shard *shard)
{
    struct compact *c = &shard->compact;
    if (c->state == COMPACT_TOKENS) {
        step_tokens(shard);
    } else if (c->state == COMPACT_RETAINED) {
        step_retained(shard);
    } else if (c->session != NULL) {
        step_session(shard);
    } else if (!next_session(shard)) {
        c->state = COMPACT_PAGES;
    }
    count_copied(shard);
}

/* By what others have appended: pages that came for the copy meanwhile were paid for when they were asked for. */
static void
earn_credit(struct shard *shard)
{
    struct compact *c = &shard->compact;
    uint64_t end = journal_end(shard->journal), pages = page_take_copied(shard);
    uint64_t appended = end - c->seen_end;
    c->credit += (int64_t)(PACE * (appended > pages ? appended - pages : 0) + STEP_BYTES_MIN);
    c->seen_end = end;
}

static bool
may_append(const struct shard *shard)
{
    return journal_room(shard->journal) != JOURNAL_STUCK && journal_backlog(shard->journal) < BACKLOG_MAX;
}

static bool
may_finish(const struct shard *shard)
{
    return shard->compact.state == COMPACT_WAITING && promise_have_left(shard) && promise_have_answered(shard);
}

void
compact_step(struct shard *shard)
{
    struct compact *c = &shard->compact;
    uint64_t memory = memory_bytes(shard);
    c->most = memory > c->most ? memory : c->most;
    if (c->state == COMPACT_IDLE && may_append(shard) && should_begin(shard)) {
        begin(shard);
    }
    if (c->state == COMPACT_IDLE) {
        return;
    }
    earn_credit(shard);
    int64_t least = c->credit - STEP_BYTES_MAX;
    while (c->state < COMPACT_PAGES && shard->pages->copying_count < PAGE_COPIES_MAX && c->credit > 0 && c->credit > least && may_append(shard)) {
        step(shard);
    }
    if (c->state == COMPACT_PAGES && !page_copies(shard)) {
        promise_leaving_mark(shard); /* nothing that lies before the cut can leave from now on */
        c->state = COMPACT_WAITING;
    }
    if (may_finish(shard)) {
        finish(shard);
    }
}

bool
compact_is_eager(const struct shard *shard)
{
    uint8_t state = shard->compact.state;
    bool walks = state != COMPACT_IDLE && state < COMPACT_PAGES && shard->pages->copying_count < PAGE_COPIES_MAX;
    return may_finish(shard) || (walks && journal_room(shard->journal) == JOURNAL_FULL && may_append(shard));
}
