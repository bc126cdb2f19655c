#include "engine/limits/pace.h"

#include "engine/log.h"
#include "engine/session/session.h"

/* Parts of a second's worth that a shard takes of a listener's rate at a time. */
#define PARTS_PER_SECOND 256u
/* A client's own debt is never more than this: a huge packet at a tiny rate does not stop it for days. */
#define DEBT_MAX_NS UINT64_C(60000000000)
/* While a listener's debt is larger nobody adds to it: who is to wait for longer looks again instead. */
#define LISTENER_DEBT_MAX_NS UINT64_C(1000000000)
/* They look after one to so many parts of LISTENER_DEBT_MAX_NS, not all at once. */
#define LOOKS 61u
#define MS_NS UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)

static bool
any_listener(const struct shard *shard)
{
    for (unsigned i = 0; i < CONFIG_LISTENERS_MAX; i++) {
        if (shard->broker->listeners[i].publish_rate.per_second != 0 || shard->broker->listeners[i].byte_rate.per_second != 0) {
            return true;
        }
    }
    return false;
}

bool
pace_is_needed(const struct shard *shard)
{
    return shard->config->client_publish_rate.per_second != 0 || shard->config->client_byte_rate.per_second != 0 || any_listener(shard);
}

/* ------------------------------------------------------------------------------------------------------------- listener */

/* One of a listener's two rates, as this shard sees it. */
struct share {
    struct rate_rule rule;
    struct rate_shared_bucket *bucket;
    uint64_t *credit;
};

static struct share
publish_share(struct shard *shard, const struct connection *c)
{
    return (struct share){limits_rule(shard->broker->listeners[c->listener].publish_rate), &shard->broker->limits.listener_publishes[c->listener],
                          &shard->listener_credit[c->listener].publishes};
}

static struct share
byte_share(struct shard *shard, const struct connection *c)
{
    return (struct share){limits_rule(shard->broker->listeners[c->listener].byte_rate), &shard->broker->limits.listener_bytes[c->listener],
                          &shard->listener_credit[c->listener].bytes};
}

static uint64_t
charge_share(const struct share *s, uint64_t now_ns, uint64_t count)
{
    if (!rate_is_limited(&s->rule)) {
        return 0;
    }
    uint64_t wait_ns = 0;
    if (*s->credit < count) {
        uint64_t batch = count - *s->credit + s->rule.per_second / PARTS_PER_SECOND;
        uint64_t most = s->rule.per_second * (DEBT_MAX_NS / SECOND_NS);
        wait_ns = rate_charge_shared(s->bucket, &s->rule, now_ns, batch < most ? batch : most, LISTENER_DEBT_MAX_NS);
        *s->credit += batch;
    }
    *s->credit -= count;
    return wait_ns;
}

static uint64_t
debt_of_share(const struct share *s, uint64_t now_ns, uint64_t count)
{
    return *s->credit < count ? rate_debt_shared(s->bucket, &s->rule, now_ns) : 0;
}

/* -------------------------------------------------------------------------------------------------------------- charge */

static uint64_t
longer(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t
charge_client(struct rate_bucket *bucket, const struct rate_rule *rule, uint64_t now_ns, uint64_t count)
{
    uint64_t wait_ns = rate_charge(bucket, rule, now_ns, count);
    if (wait_ns > DEBT_MAX_NS) {
        bucket->full_ns -= wait_ns - DEBT_MAX_NS;
        wait_ns = DEBT_MAX_NS;
    }
    return wait_ns;
}

/* Returns how long the connection has to wait. */
static uint64_t
charge(struct shard *shard, struct connection *c, uint64_t publishes, uint64_t bytes)
{
    struct rate_rule publish_rule = limits_rule(shard->config->client_publish_rate), byte_rule = limits_rule(shard->config->client_byte_rate);
    struct share publish = publish_share(shard, c), byte = byte_share(shard, c);
    uint64_t now_ns = io_now_ns(shard->io);
    uint64_t wait_ns = charge_client(&c->extra->bytes, &byte_rule, now_ns, bytes);
    wait_ns = longer(wait_ns, charge_share(&byte, now_ns, bytes));
    if (publishes > 0) {
        wait_ns = longer(wait_ns, charge_client(&c->extra->publishes, &publish_rule, now_ns, publishes));
        wait_ns = longer(wait_ns, charge_share(&publish, now_ns, publishes));
    }
    return wait_ns;
}

static bool
is_in_debt(struct shard *shard, struct connection *c, uint64_t bytes)
{
    struct rate_rule publish_rule = limits_rule(shard->config->client_publish_rate), byte_rule = limits_rule(shard->config->client_byte_rate);
    struct share publish = publish_share(shard, c), byte = byte_share(shard, c);
    uint64_t now_ns = io_now_ns(shard->io);
    struct rate_bucket probe = c->extra->publishes;
    return rate_charge(&c->extra->bytes, &byte_rule, now_ns, 0) > 0 || !rate_take(&probe, &publish_rule, now_ns, 1) ||
           debt_of_share(&byte, now_ns, bytes) > 0 || debt_of_share(&publish, now_ns, 1) > 0;
}

/* ------------------------------------------------------------------------------------------------------------- packets */

/* QoS of a PUBLISH, from its first byte. */
static uint8_t
qos_of(const struct frame *frame)
{
    return (frame->flags >> 1) & 3;
}

/* Counted when it is refused or let through, not when it was handled. */
static bool
is_refusable(const struct shard *shard, const struct connection *c, uint8_t qos)
{
    return shard->config->publish_rate_refuses && (qos == 0 || c->version == MQTT_VERSION_5);
}

bool
pace_refuses(struct shard *shard, struct connection *c, const struct frame *frame, uint8_t qos)
{
    if (!is_refusable(shard, c, qos) || connection_need_extra(shard->account, c) == NULL) {
        return false;
    }
    if (!is_in_debt(shard, c, frame->size)) {
        charge(shard, c, 1, frame->size);
        return false;
    }
    struct bytes id = session_client_id(c->session);
    stats_add(&shard->stats.drops[DROP_PUBLISH_RATE], 1);
    log_peer(CONFIG_LOG_WARNING, DROP_PUBLISH_RATE, "Message from client %.*s [%s] refused: above its rate, or its listener's.", (int)id.size, (const char *)id.data,
             connection_peer_text(c));
    return true;
}

uint64_t
pace_wait_ms(struct shard *shard, const struct connection *c)
{
    struct share publish = publish_share(shard, c), byte = byte_share(shard, c);
    uint64_t now_ns = io_now_ns(shard->io);
    uint64_t debt_ns = longer(debt_of_share(&byte, now_ns, 1), debt_of_share(&publish, now_ns, 1));
    if (debt_ns <= LISTENER_DEBT_MAX_NS) {
        return 0;
    }
    shard->pace_look = shard->pace_look % LOOKS + 1;
    return (debt_ns - LISTENER_DEBT_MAX_NS + shard->pace_look * (LISTENER_DEBT_MAX_NS / LOOKS) + MS_NS - 1) / MS_NS;
}

void
pace_packet(struct shard *shard, struct connection *c, const struct frame *frame)
{
    bool publish = frame->type == PACKET_PUBLISH;
    if ((publish && is_refusable(shard, c, qos_of(frame))) || connection_need_extra(shard->account, c) == NULL) {
        return;
    }
    bool first = frame->type == PACKET_CONNECT || frame->type == PACKET_AUTH;
    uint64_t look_ns = first ? pace_wait_ms(shard, c) * MS_NS : 0;
    uint64_t wait_ns = longer(look_ns, charge(shard, c, publish, frame->size));
    if (wait_ns > 0 && !c->held) {
        connection_pace(shard, c, shard->now_ms + (wait_ns + MS_NS - 1) / MS_NS);
    }
}
