#include "engine/observe/sys.h"

#include "engine/route/route.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Topics that one broker publishes at most; more shards than fit are left out of the tree. */
#define TOPICS_MAX 1024
#define VALUE_BYTES 32
#define TOPIC_BYTES 96
/* Mosquitto's load averages: over 1, 5 and 15 minutes. */
#define LOADS 3

struct sys_topic {
    uint64_t name_hash;
    char value[VALUE_BYTES];
};

enum load {
    LOAD_MESSAGES_RECEIVED,
    LOAD_MESSAGES_SENT,
    LOAD_PUBLISH_RECEIVED,
    LOAD_PUBLISH_SENT,
    LOAD_PUBLISH_DROPPED,
    LOAD_BYTES_RECEIVED,
    LOAD_BYTES_SENT,
    LOAD_SOCKETS,
    LOAD_CONNECTIONS,
    LOAD_KINDS,
};

static const char *const load_names[LOAD_KINDS] = {
    "messages/received", "messages/sent", "publish/received", "publish/sent", "publish/dropped",
    "bytes/received",    "bytes/sent",    "sockets",          "connections",
};
static const unsigned load_minutes[LOADS] = {1, 5, 15};

struct sys {
    uint64_t last_ms;          /* of the last publication; 0: none yet */
    uint64_t load_last[LOAD_KINDS];
    double load[LOAD_KINDS][LOADS];
    uint32_t topic_count;
    struct sys_topic topics[TOPICS_MAX];
};

/* Sums over all shards; gauges and counters alike. */
struct totals {
    uint64_t bytes_received, bytes_sent, packets_received, packets_sent, publish_received, publish_sent, publish_bytes_received,
        publish_bytes_sent, connects, expired_sessions, connected, connected_maximum, sessions, subscriptions, shared_subscriptions,
        queued_messages, queued_bytes, paged_messages, paged_bytes, pages_written, pages_read, inflight_messages, retained_messages, retained_bytes, memory_bytes, sockets, takeovers, held, paced, flapping_bans, untracked_connects;
    uint64_t drops[DROP_REASONS];
    uint64_t messages_dropped;
};

bool
sys_open(struct shard *shard)
{
    if (shard->number == 0) {
        shard->observer = calloc(1, sizeof(struct sys));
        return shard->observer != NULL;
    }
    return true;
}

void
sys_close(struct shard *shard)
{
    free(shard->observer);
    shard->observer = NULL;
}

static void
add_shard(struct totals *t, const struct stats *s)
{
    t->bytes_received += stats_get(&s->bytes_received);
    t->bytes_sent += stats_get(&s->bytes_sent);
    t->packets_received += stats_get(&s->packets_received);
    t->packets_sent += stats_get(&s->packets_sent);
    t->publish_received += stats_get(&s->publish_received);
    t->publish_sent += stats_get(&s->publish_sent);
    t->publish_bytes_received += stats_get(&s->publish_bytes_received);
    t->publish_bytes_sent += stats_get(&s->publish_bytes_sent);
    t->connects += stats_get(&s->connects);
    t->takeovers += stats_get(&s->takeovers);
    t->expired_sessions += stats_get(&s->expired_sessions);
    t->connected += stats_get(&s->connected);
    t->connected_maximum += stats_get(&s->connected_maximum);
    t->sessions += stats_get(&s->sessions);
    t->subscriptions += stats_get(&s->subscriptions);
    t->shared_subscriptions += stats_get(&s->shared_subscriptions);
    t->queued_messages += stats_get(&s->queued_messages);
    t->queued_bytes += stats_get(&s->queued_bytes);
    t->paged_messages += stats_get(&s->paged_messages);
    t->paged_bytes += stats_get(&s->paged_bytes);
    t->pages_written += stats_get(&s->pages_written);
    t->pages_read += stats_get(&s->pages_read);
    t->inflight_messages += stats_get(&s->inflight_messages);
    t->retained_messages += stats_get(&s->retained_messages);
    t->retained_bytes += stats_get(&s->retained_bytes);
    t->memory_bytes += stats_get(&s->memory_bytes);
    t->sockets += stats_get(&s->sockets);
    t->held += stats_get(&s->held_connections);
    t->paced += stats_get(&s->paced_connections);
    t->flapping_bans += stats_get(&s->flapping_bans);
    t->untracked_connects += stats_get(&s->untracked_connects);
    for (unsigned i = 0; i < DROP_REASONS; i++) {
        t->drops[i] += stats_get(&s->drops[i]);
    }
}

static void
sum_up(const struct broker *broker, struct totals *t)
{
    *t = (struct totals){0};
    for (unsigned i = 0; i < broker->shard_count; i++) {
        add_shard(t, &broker->shards[i]->stats);
    }
    for (unsigned i = DROP_OUTPUT_FULL; i <= DROP_PAGE_LOST; i++) {
        t->messages_dropped += i == DROP_OFFLINE_QOS0 ? 0 : t->drops[i];
    }
}

/* Remembers what each topic said last; true if `value` is news. */
static bool
is_news(struct sys *sys, uint64_t hash, const char *value)
{
    for (uint32_t i = 0; i < sys->topic_count; i++) {
        if (sys->topics[i].name_hash == hash) {
            bool same = strcmp(sys->topics[i].value, value) == 0;
            snprintf(sys->topics[i].value, VALUE_BYTES, "%s", value);
            return !same;
        }
    }
    if (sys->topic_count == TOPICS_MAX) {
        return false;
    }
    struct sys_topic *topic = &sys->topics[sys->topic_count++];
    topic->name_hash = hash;
    snprintf(topic->value, VALUE_BYTES, "%s", value);
    return true;
}

static void
say(struct shard *shard, const char *name, const char *value)
{
    char topic[TOPIC_BYTES];
    int size = snprintf(topic, sizeof topic, "$SYS/broker/%s", name);
    if (!is_news(shard->observer, broker_hash(shard->broker, topic, (uint32_t)size), value)) {
        return;
    }
    struct publication p;
    publication_init(&p);
    p.topic = bytes_of(topic, (uint32_t)size);
    p.payload = bytes_of(value, (uint32_t)strlen(value));
    p.qos = 2;
    p.retain = true;
    route_publication(shard, &p, NULL);
    publication_fini(shard, &p);
}

static void
say_number(struct shard *shard, const char *name, uint64_t number)
{
    char value[VALUE_BYTES];
    snprintf(value, sizeof value, "%llu", (unsigned long long)number);
    say(shard, name, value);
}

static void
say_clients(struct shard *shard, const struct totals *t)
{
    say_number(shard, "clients/total", t->sessions);
    say_number(shard, "clients/connected", t->connected);
    say_number(shard, "clients/active", t->connected);
    say_number(shard, "clients/disconnected", t->sessions - t->connected);
    say_number(shard, "clients/inactive", t->sessions - t->connected);
    say_number(shard, "clients/maximum", t->connected_maximum);
    say_number(shard, "clients/expired", t->expired_sessions);
    say_number(shard, "clients/takeovers", t->takeovers);
    say_number(shard, "clients/held", t->held);
    say_number(shard, "clients/paced", t->paced);
    say_number(shard, "clients/flapping bans", t->flapping_bans);
    say_number(shard, "clients/untracked", t->untracked_connects);
    say_number(shard, "subscriptions/count", t->subscriptions);
    say_number(shard, "shared_subscriptions/count", t->shared_subscriptions);
}

static void
say_messages(struct shard *shard, const struct totals *t)
{
    say_number(shard, "messages/received", t->packets_received);
    say_number(shard, "messages/sent", t->packets_sent);
    say_number(shard, "messages/stored", t->queued_messages + t->inflight_messages + t->retained_messages);
    say_number(shard, "messages/inflight", t->inflight_messages);
    say_number(shard, "messages/queued", t->queued_messages);
    say_number(shard, "messages/queued on disk", t->paged_messages);
    say_number(shard, "store/messages/count", t->queued_messages + t->inflight_messages + t->retained_messages);
    say_number(shard, "store/messages/bytes", t->queued_bytes + t->retained_bytes);
    say_number(shard, "store/messages/bytes on disk", t->paged_bytes);
    say_number(shard, "store/pages/written", t->pages_written);
    say_number(shard, "store/pages/read", t->pages_read);
    say_number(shard, "retained messages/count", t->retained_messages);
    say_number(shard, "publish/messages/received", t->publish_received);
    say_number(shard, "publish/messages/sent", t->publish_sent);
    say_number(shard, "publish/messages/dropped", t->messages_dropped);
    say_number(shard, "publish/bytes/received", t->publish_bytes_received);
    say_number(shard, "publish/bytes/sent", t->publish_bytes_sent);
    say_number(shard, "bytes/received", t->bytes_received);
    say_number(shard, "bytes/sent", t->bytes_sent);
    say_number(shard, "heap/current", t->memory_bytes);
}

static void
say_drops(struct shard *shard, const struct totals *t)
{
    for (unsigned i = 0; i < DROP_REASONS; i++) {
        char name[TOPIC_BYTES];
        snprintf(name, sizeof name, "dropped/%s", stats_drop_name((enum drop_reason)i));
        say_number(shard, name, t->drops[i]);
    }
}

static void
say_shard_number(struct shard *shard, unsigned number, const char *what, uint64_t value)
{
    char name[TOPIC_BYTES];
    snprintf(name, sizeof name, "shards/%u/%s", number, what);
    say_number(shard, name, value);
}

static void
say_shards(struct shard *shard)
{
    const struct broker *broker = shard->broker;
    for (unsigned i = 0; i < broker->shard_count; i++) {
        const struct stats *s = &broker->shards[i]->stats;
        say_shard_number(shard, i, "sockets", stats_get(&s->sockets));
        say_shard_number(shard, i, "sessions", stats_get(&s->sessions));
        say_shard_number(shard, i, "publish/received", stats_get(&s->publish_received));
        say_shard_number(shard, i, "publish/sent", stats_get(&s->publish_sent));
        say_shard_number(shard, i, "queued", stats_get(&s->queued_messages));
        say_shard_number(shard, i, "memory", stats_get(&s->memory_bytes));
        say_shard_number(shard, i, "turns", stats_get(&s->turns));
        say_shard_number(shard, i, "match/memo", stats_get(&s->match_memo));
        say_shard_number(shard, i, "match/cached", stats_get(&s->match_cached));
        say_shard_number(shard, i, "match/computed", stats_get(&s->match_computed));
    }
    struct filter_counts counts;
    filter_index_counts(broker->filters, &counts);
    say_number(shard, "filters/count", counts.filters);
    say_number(shard, "filters/wildcard", counts.wildcard_filters);
    say_number(shard, "filters/shapes", counts.shapes);
    say_number(shard, "filters/trie", counts.trie_filters);
    say_number(shard, "filters/refused", counts.refused);
}

static void
say_loads(struct shard *shard, const struct totals *t, double interval_s)
{
    struct sys *sys = shard->observer;
    const uint64_t now[LOAD_KINDS] = {
        t->packets_received, t->packets_sent, t->publish_received, t->publish_sent, t->messages_dropped,
        t->bytes_received,   t->bytes_sent,   t->connects,         t->connects,
    };
    for (unsigned kind = 0; kind < LOAD_KINDS; kind++) {
        double per_minute = (double)(now[kind] - sys->load_last[kind]) * 60.0 / interval_s;
        sys->load_last[kind] = now[kind];
        for (unsigned i = 0; i < LOADS; i++) {
            double *load = &sys->load[kind][i];
            *load = per_minute + exp(-interval_s / (60.0 * load_minutes[i])) * (*load - per_minute);
            char name[TOPIC_BYTES];
            char value[VALUE_BYTES];
            snprintf(name, sizeof name, "load/%s/%umin", load_names[kind], load_minutes[i]);
            snprintf(value, sizeof value, "%.2f", *load);
            say(shard, name, value);
        }
    }
}

void
sys_tick(struct shard *shard)
{
    struct sys *sys = shard->observer;
    uint32_t interval_s = shard->config->sys_interval_s;
    if (sys == NULL || interval_s == 0 || (sys->last_ms != 0 && shard->now_ms < sys->last_ms + interval_s * 1000ull)) {
        return;
    }
    double elapsed_s = sys->last_ms ? (double)(shard->now_ms - sys->last_ms) / 1000.0 : interval_s;
    sys->last_ms = shard->now_ms;

    struct totals t;
    char uptime[VALUE_BYTES];
    sum_up(shard->broker, &t);
    snprintf(uptime, sizeof uptime, "%llu seconds", (unsigned long long)((shard->now_ms - shard->broker->started_ms) / 1000));
    say(shard, "version", "tidewire version " TIDEWIRE_VERSION);
    say(shard, "uptime", uptime);
    say_clients(shard, &t);
    say_messages(shard, &t);
    say_drops(shard, &t);
    say_shards(shard);
    say_loads(shard, &t, elapsed_s);
}
