#include "bench/load/traffic.h"

#include <assert.h>
#include <stdlib.h>

#include "bench/load/process.h"

static bool
init_publishers(struct traffic *t)
{
    char topic[SCENARIO_NAME_ROOM];

    for (uint32_t i = 0; i < t->publisher_count; i++) {
        t->scenario->write_topic(i, topic, sizeof topic);
        if (!stencil_init(&t->publishers[i].stencil, t->options, topic)) {
            return false;
        }
    }
    return true;
}

bool
traffic_init(struct traffic *t, const struct options *o, const struct scenario *s)
{
    uint32_t publishers = options_get_publishers(o);

    *t = (struct traffic){.options = o, .scenario = s, .publisher_count = publishers, .fan = options_get_fan(o)};
    t->stream_count = s->count_streams(publishers, options_get_subscribers(o));
    t->outstanding_max = publishers == 0 ? 0 : options_get_share(o) * t->fan;
    t->publishers = calloc(publishers + 1u, sizeof *t->publishers);
    t->streams = calloc(t->stream_count + 1u, sizeof *t->streams);
    t->latency = malloc(sizeof *t->latency);
    t->lateness = malloc(sizeof *t->lateness);
    if (t->publishers == NULL || t->streams == NULL || t->latency == NULL || t->lateness == NULL) {
        return false;
    }
    histogram_init(t->latency);
    histogram_init(t->lateness);
    return init_publishers(t);
}

void
traffic_fini(struct traffic *t)
{
    for (uint32_t i = 0; i < t->publisher_count; i++) {
        stencil_fini(&t->publishers[i].stencil);
    }
    for (uint32_t i = 0; i < t->stream_count; i++) {
        stream_fini(&t->streams[i]);
    }
    free(t->publishers);
    free(t->streams);
    free(t->latency);
    free(t->lateness);
    *t = (struct traffic){0};
}

void
traffic_open(struct traffic *t, uint64_t now_ns)
{
    t->open = true;
    t->rate_start_ns = now_ns;
    for (uint32_t i = 0; i < t->publisher_count; i++) {
        client_touch(t->publishers[i].client);
    }
}

void
traffic_close(struct traffic *t)
{
    t->open = false;
}

/* Message k of publisher i is the (k * publishers + i)th of all: the publishers take turns. */
static uint64_t
due_time(const struct traffic *t, uint64_t nth)
{
    return t->rate_start_ns + (uint64_t)((unsigned __int128)nth * 1000000000u / t->options->rate);
}

uint64_t
traffic_tick(struct traffic *t, uint64_t now_ns)
{
    if (!t->open || t->options->rate == 0) {
        return UINT64_MAX;
    }
    uint64_t due;
    while ((due = due_time(t, t->tick)) <= now_ns) {
        struct publisher *p = &t->publishers[t->tick % t->publisher_count];
        p->due++;
        t->tick++;
        client_touch(p->client);
    }
    return due;
}

static uint64_t
room_of(const struct traffic *t, const struct publisher *p)
{
    uint64_t room = (t->outstanding_max - p->outstanding) / t->fan;
    if (t->options->qos > 0) {
        uint64_t ids = p->client->inflight.quota - p->client->inflight.used;
        room = ids < room ? ids : room;
    }
    return room;
}

/* How many messages the next segment carries: a whole burst or none; with a rate one message when one is due. */
static uint64_t
segment_of(const struct traffic *t, const struct publisher *p)
{
    uint64_t burst = t->options->burst;

    if (t->options->rate > 0 && p->due == 0) {
        return 0;
    }
    if (t->options->qos > 0 && p->client->inflight.quota < burst) {
        burst = p->client->inflight.quota; /* the broker's Receive Maximum is smaller than a burst */
    }
    return room_of(t, p) < burst ? 0 : burst;
}

/* How long ago a message was due, if it was due in the measured phase. */
static void
count_delay(const struct traffic *t, struct histogram *h, uint64_t due_ns)
{
    if (due_ns >= t->latency_from_ns && due_ns < t->latency_until_ns) {
        uint64_t now_ns = process_get_now_ns();
        histogram_add(h, now_ns > due_ns ? now_ns - due_ns : 0);
    }
}

static void
write_message(struct traffic *t, struct publisher *p)
{
    struct payload_stamp stamp = {.publisher = p->client->role_index, .sequence = p->sequence++};
    uint16_t id = t->options->qos > 0 ? inflight_take(&p->client->inflight) : 0;

    if (t->options->rate > 0) {
        stamp.due_ns = due_time(t, stamp.sequence * t->publisher_count + stamp.publisher);
        p->due--;
        count_delay(t, t->lateness, stamp.due_ns);
    }
    stencil_write(&p->stencil, client_reserve(p->client, p->stencil.size), id, stamp);
    p->client->filling.used += p->stencil.size;
}

void
traffic_publish(struct traffic *t, struct publisher *p)
{
    uint64_t count;

    while (t->open && !p->client->sending && p->client->state == CLIENT_READY && (count = segment_of(t, p)) > 0) {
        for (uint64_t i = 0; i < count; i++) {
            write_message(t, p);
        }
        p->outstanding += count * t->fan;
        t->outstanding += count * t->fan;
        t->counts.sent += count;
        t->unacked += t->options->qos > 0 ? count : 0;
        client_push(p->client);
    }
}

void
traffic_receive(struct traffic *t, struct client *subscriber, struct bytes payload)
{
    if (payload.size != t->options->size) {
        t->counts.foreign++;
        return;
    }
    struct payload_stamp stamp = payload_read_stamp(payload.data);
    uint32_t at = SCENARIO_NO_STREAM;
    if (stamp.publisher < t->publisher_count && stamp.sequence < t->publishers[stamp.publisher].sequence) {
        at = t->scenario->get_stream(stamp.publisher, subscriber->role_index);
    }
    if (at == SCENARIO_NO_STREAM) {
        t->counts.foreign++;
        return;
    }

    struct publisher *p = &t->publishers[stamp.publisher];
    struct stream *s = &t->streams[at];
    uint64_t before = s->next;
    switch (stream_add(s, stamp.sequence)) {
    case STREAM_DUPLICATE: t->counts.duplicated++; return;
    case STREAM_LATE: t->counts.reordered++; break;
    case STREAM_NEW: break;
    }
    t->counts.delivered++;
    p->outstanding -= s->next - before;
    t->outstanding -= s->next - before;
    if (t->options->rate > 0) {
        count_delay(t, t->latency, stamp.due_ns);
    }
    if (t->open && segment_of(t, p) > 0) {
        client_touch(p->client);
    }
}

void
traffic_acked(struct traffic *t, struct client *publisher)
{
    t->counts.acked++;
    t->unacked--;
    client_touch(publisher);
}

uint64_t
traffic_count_lost(const struct traffic *t)
{
    /* By T1 the sum of all (sequence - next) is `outstanding`; what was jumped over is missing. */
    uint64_t lost = t->outstanding;
    for (uint32_t i = 0; i < t->stream_count; i++) {
        lost += t->streams[i].missing;
    }
    return lost;
}

void
traffic_check(const struct traffic *t)
{
    uint64_t by_publisher = 0;
    uint64_t expected = 0;
    uint64_t passed = 0;

    for (uint32_t i = 0; i < t->publisher_count; i++) {
        assert(t->publishers[i].outstanding <= t->outstanding_max); /* T2 */
        by_publisher += t->publishers[i].outstanding;
        expected += t->publishers[i].sequence * t->fan;
    }
    for (uint32_t i = 0; i < t->stream_count; i++) {
        passed += t->streams[i].next;
    }
    assert(by_publisher == t->outstanding);        /* T1 */
    assert(expected - passed == t->outstanding); /* T1, summed */
}
