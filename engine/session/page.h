/*
 * page: a run of messages of one queue that is on disk only, as one record of the journal. So queues are as long as the disk and the sessions' limits allow, and memory is not.
 *
 *   messages of a queue ──page_out──► WRITING ──committed──► STORED ──page_wish──► WISHED ──► READING ──► messages of the queue
 *                                        └───── page_wish ─────────────────────────┘
 *
 * The record, PAGE (engine/durable/entry.h), has each delivery with its number and its body. What it means: of all deliveries of its session whose numbers lie in first..last, those
 * that are in it are owed, as of its place in the journal, and those that are not are over. So
 *  - nothing is recorded for messages that go to disk: from the PAGE on, older records of those numbers count for nothing;
 *  - once a page is read its deliveries are as any others: they are sent (SENT), acknowledged (DONE), or go to disk again, in another PAGE with a part of the numbers;
 *  - recovery makes pages of the PAGE records, without their messages (page_recall), takes out of them what was over by later records, or is in a later page (page_strike), and brings in
 *    at once only those of which something was in flight (page_read_now).
 *
 * When: a shard may hold its part of option queue_memory_limit in queues. Above that, queues of kept sessions that grow go to disk in pages of about PAGE_BYTES, as long as that frees
 * about as much as it writes: a message that waits in many queues is one in memory, but one in each page. The higher above it, the more goes: shared messages, smaller pages, queues
 * that do not grow, what connected clients will soon get (`steps` in page.c). While the disk is full, or more waits for it than PAGE_BACKLOG_BYTES, nothing goes; from an eighth above on
 * publishers are held until it has.
 *
 * Back: session_pump() wishes for a page when it could send what is in it, or, while the shard is below its part, when it gets near; at most PAGE_READS_MAX of a shard are read at once. So
 * a connected session has about one page in memory.
 *
 * A page that cannot be read is tried again some times, then given up: its messages are counted as lost (DROP_PAGE_LOST) and the log says so; a restart may find them all the same.
 * A session that ends loses what it has in pages, but what came through a shared subscription: that is read once more, and goes back to its group, as what is in memory does. After
 * UNSUBSCRIBE it stays with the session.
 *
 * Invariants
 *   G1  a page has at least one message; its deliveries have QoS > 0, numbers that grow, and are QUEUED.
 *   G2  `position` (and the delivery's `kept_at`) is that of a record that holds all of it, and is not cut off while the page is there.
 *   G3  what is in memory for a page does not depend on how many messages it has.
 *
 * Threads  the shard's. Memory  charged to the account.
 */
#ifndef TIDEWIRE_ENGINE_SESSION_PAGE_H
#define TIDEWIRE_ENGINE_SESSION_PAGE_H

#include "engine/durable/entry.h"
#include "engine/journal/journal.h"
#include "engine/session/session.h"
#include "engine/shard.h"

/* Bytes of messages, as they count in limits: larger ones make fewer reads, and more memory for each client that comes back. */
#define PAGE_BYTES (32u << 10)
/* Numbers from the first to the last of a page: a bit for each after a restart. */
#define PAGE_SPAN_MAX (1u << 16)
/* Reads under way in one shard. */
#define PAGE_READS_MAX 32u
/* More than this waits to be written: pages wait too. */
#define PAGE_BACKLOG_BYTES (4u << 20)

enum page_state {
    PAGE_WRITING, /* its record is not committed yet */
    PAGE_STORED,
    PAGE_WISHED,  /* to be read when its turn comes */
    PAGE_READING,
};

struct page_groups;

struct page {
    struct page *next, *previous; /* WRITING, WISHED, READING: in a list of the shard's */
    struct delivery *item;      /* in the queue, with the first one's number. NULL: its session has ended */
    struct session *session;
    struct page_groups *groups; /* without an item: where its messages go. NULL: nowhere */
    uint64_t position;          /* of its record */
    struct journal_place place; /* of its record; STORED and on */
    uint64_t first, last;       /* numbers */
    uint64_t bytes;             /* as messages count in limits */
    uint64_t copy_before;       /* not 0: to be copied when it has been read, if it lies before this position still */
    uint8_t *struck;            /* a bit for each number from the first on that is not owed; NULL: all that the record has. Only after a restart */
    uint32_t count;             /* messages */
    uint32_t size;              /* of the record's content */
    uint8_t state;              /* enum page_state */
    uint8_t tries;
    bool wished;                /* by the pump */
    bool shared;                /* some came through a shared subscription */
};

struct page_list {
    struct page *first, *last;
};

/* A session whose queue grows. */
struct page_candidate {
    struct session *session;
    uint64_t identity;
};

/* More than this in one turn: the rest is found later, by the walk. */
#define PAGE_CANDIDATES_MAX 64u

/* What a shard with a journal has of it. */
struct pages {
    struct slab slab;
    struct page_list writing, wished, reading;
    uint32_t reading_count, copying_count;
    uint64_t no_memory_until_ms; /* no page is read before */
    uint64_t copied_bytes;       /* see page_take_copied() */
    uint32_t candidate_count;
    struct page_candidate candidates[PAGE_CANDIDATES_MAX];
    struct slab_walk walk;      /* over sessions */
    uint64_t walk_written;      /* pages in this round of it */
    uint64_t walk_again_at;     /* a round that found nothing is not repeated before there is so much in memory */
};

/* The journal is there, and page_placed() and page_fetched() are what it calls. False when out of memory. */
bool page_open(struct shard *shard);
/* All sessions have ended. */
void page_close(struct shard *shard);

void page_add_candidate(struct shard *shard, struct session *session);

/* A message was appended to the session's queue. */
static inline void
page_note(struct shard *shard, struct session *session)
{
    if (shard->queue_memory > shard->queue_share && shard->pages != NULL) {
        page_add_candidate(shard, session);
    }
}

/* More has to go to disk than has gone: whoever makes queues longer is to be held. */
bool page_is_behind(const struct shard *shard);
/* There is more to do for page_turn(). */
bool page_busy(const struct shard *shard);
/* At the end of a turn, before the journal is submitted: what is too much goes to disk. */
void page_turn(struct shard *shard);
/* When page_turn() wants to be called again though nothing happens; UINT64_MAX: not. */
uint64_t page_next_ms(const struct shard *shard);

/* The session was pumped: a page that is near is read. */
void page_wish(struct shard *shard, struct session *session);

/* Frees a page that was taken out of its queue; nulls the pointer. */
void page_free(struct shard *shard, struct delivery **item);
/* Takes over a page of a session that ends: what came through its shared subscriptions, which are there still, goes back to their groups. False: nothing of it can, and it is still the
 * caller's. */
bool page_return(struct shard *shard, const struct session *session, struct delivery **item);


/* For the journal, with the shard as owner. */
void page_placed(void *shard, uint64_t position, const struct journal_place *place);
void page_fetched(void *shard, uint64_t token, struct bytes content, int error);

/* ------------------------------------------------------------------------------------------------------- for the rolling copy */

/* A page that stands in the session's queue will be copied to the journal's end if it lies before the position; it is read for that. */
void page_copy(struct shard *shard, struct delivery *item, uint64_t before);
/* Some of these are not in the journal yet: nothing may be cut. */
bool page_copies(const struct shard *shard);
/* Bytes that the rolling copy has appended for pages since this was asked last. */
uint64_t page_take_copied(struct shard *shard);

/* ----------------------------------------------------------------------------------------------------------------- for recovery */

/* A page of a PAGE record, to be put into the queue of its session at its place (by its number, the first). NULL: no page (it says too much), or out of memory. */
struct delivery *page_recall(struct shard *shard, struct session *session, const struct journal_record *record);
/* That number is over. Returns how many messages are left: when none is, it is to be freed. */
uint32_t page_strike(struct delivery *item, uint64_t number);
/* True if the number is one of those that the page has. */
bool page_has(const struct delivery *item, uint64_t number);
/* Its deliveries, linked by `next`, in order, now; the page stays. Blocks. 0 or -errno. */
int page_read_now(struct shard *shard, const struct delivery *item, struct delivery **first);

#endif
