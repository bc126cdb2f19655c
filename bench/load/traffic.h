/*
 * traffic: which messages one worker's publishers may send now, and what has become of those that arrive at its subscribers.
 *
 * A publisher may have `share` messages outstanding; a message is outstanding until every subscriber that should hear it has
 * it (or has something later from the same publisher: then it is lost or late, and waiting for it would only hide that). With a
 * rate, messages fall due at fixed times whatever the broker does, and latency counts from the due time: a broker
 * that makes the generator wait is charged for all who waited (no coordinated omission).
 *
 *   publisher's worker                        subscriber's worker (often the same: pair i lives on one)
 *   sequence, outstanding  ── broker ──►  stream: received, missing
 *          ▲──────────────────── credit ──────┘
 *
 * Who subscribes judges, and gives the publisher's worker credit, through its mail if that is another one. Only for shared
 * subscriptions is it the other way round: members anywhere send receipts, and the publisher's worker judges.
 *
 * Invariants
 *   T1  over all workers, publisher.outstanding == sum over its streams of (publisher.sequence - stream.next) less the credit that is still
 *       in the mail. For groups: sequence * groups - seen - receipts in the mail.
 *   T2  publisher.outstanding <= share * fan, where there is a window.
 *
 * Threads  one each; of another worker's publishers only `sequence`, `worker` and `number` are read. Memory  owns streams and its publishers' stencils.
 */
#ifndef TIDEWIRE_BENCH_LOAD_TRAFFIC_H
#define TIDEWIRE_BENCH_LOAD_TRAFFIC_H

#include "bench/load/board.h"
#include "bench/load/client.h"
#include "bench/load/mail.h"
#include "bench/load/seen.h"
#include "bench/load/stencil.h"
#include "bench/load/strangers.h"
#include "bench/load/stream.h"

struct publisher {
    alignas(BOARD_CACHE_LINE) _Atomic uint64_t sequence; /* of the next message; others check numbers against it */
    uint32_t worker;
    uint32_t number;
    struct client *client;
    uint64_t outstanding; /* deliveries */
    uint64_t due;         /* messages whose time has come (with a rate) */
    uint64_t limit;       /* messages that it sends in all */
    uint64_t erased;      /* of those it had retained, in an order to erase */
    struct stencil stencil;
    struct stencil eraser;
};

struct traffic {
    const struct options *options;
    const struct scenario *scenario;
    struct board *board;
    _Atomic uint64_t *counts; /* of this worker's desk */
    struct desk *desk;
    struct mail mail;
    uint32_t worker;
    uint32_t own_count;       /* publishers: own number i is worker + i * workers */
    uint32_t subscriber_count; /* of this worker */
    uint32_t fan;
    enum scenario_judge judge;
    struct stream *streams;   /* JUDGE_PAIRS: by subscriber; JUDGE_ALL: subscriber * publishers + publisher */
    struct seen *sets;        /* JUDGE_SET: as JUDGE_ALL; JUDGE_GROUPS: own publisher * groups + group */
    struct strangers strangers;
    uint64_t outstanding_max; /* per publisher, deliveries; UINT64_MAX without a window */
    uint64_t segment_min;     /* deliveries of the smallest segment: with less room there is nothing to send */
    uint64_t expected;        /* messages for each subscriber; 0: not known */
    bool times_sending;       /* stamps carry the time */
    bool looks_at_arrival;    /* an arrival is timed or counted for its subscriber */
    bool paced_by_socket;     /* no window and no acknowledgement: as much as the socket takes */
    bool open;                /* publishers may send */
    bool closing;             /* nothing falls due any more */
    bool erasing;             /* ... and send what takes retained messages back */
    bool settled;             /* nothing is judged any more */
    uint64_t rate_start_ns;
    uint64_t tick;            /* own messages that have fallen due so far */
};

/* False without memory. */
bool traffic_init(struct traffic *t, const struct options *o, struct board *b, uint32_t worker) __attribute__((warn_unused_result));
void traffic_fini(struct traffic *t);

/* The own publisher of that local number. */
struct publisher *traffic_get_own(const struct traffic *t, uint32_t local);

/* Lets publishers send, from now on and at the rate; or erase what they had retained. Touches their clients. */
void traffic_open(struct traffic *t, uint64_t start_ns);
void traffic_erase(struct traffic *t);

/*
 * Ends it. With a rate, what fell due until then is still sent (0: nothing is): to leave it out would spare a slow broker the longest latencies.
 */
void traffic_close(struct traffic *t, uint64_t until_ns);

/* Marks what has fallen due; returns when the next message does, or UINT64_MAX without a rate. */
uint64_t traffic_tick(struct traffic *t, uint64_t now_ns);

/* Sends as many segments of one publisher as its part of the window and its socket take. */
void traffic_publish(struct traffic *t, struct publisher *p);

/* A message has arrived at a subscriber. */
void traffic_receive(struct traffic *t, struct client *subscriber, struct bytes payload);
void traffic_acked(struct traffic *t, struct client *publisher, uint16_t packet_id);

/* What other workers tell about our publishers, and what we tell about theirs. traffic_send_mail: true if nothing waits. */
void traffic_take_mail(struct traffic *t);
bool traffic_send_mail(struct traffic *t);

/* Judges nothing any more; then, with all mail taken, counts what is lost and asserts T2. */
void traffic_settle(struct traffic *t);
void traffic_tally(struct traffic *t);

#endif
