#include "engine/import/import.h"

#include "codec/forward.h"
#include "codec/topic.h"
#include "engine/durable/entry.h"
#include "engine/durable/principal_entry.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct conversion {
    struct import *import;
    struct mosquitto_db db;
    struct import_index index;
    uint64_t bodies;          /* numbers given */
    uint8_t *record;          /* the one at hand */
    size_t room;
    bool takes_users;
};

/* ------------------------------------------------------------------------------------------------------------- records */

/* Room for a record of that size. */
static struct writer
begin_record(struct conversion *c, uint32_t size)
{
    if (size > c->room) {
        uint8_t *record = c->index.out_of_memory ? NULL : realloc(c->record, size);
        if (record == NULL) {
            c->index.out_of_memory = true;
            return (struct writer){.failed = true};
        }
        c->record = record;
        c->room = size;
    }
    return writer_of(c->record, size);
}

static void
end_record(struct conversion *c, enum entry_type type, const struct writer *w)
{
    if (c->index.out_of_memory) {
        return;
    }
    assert(!w->failed && w->at == w->end);
    c->import->put(c->import->context, (uint8_t)type, bytes_of(c->record, (uint32_t)(w->end - c->record)));
}

static bool
is_too_deep(struct conversion *c, struct bytes topic)
{
    bool deep = !topic_name_check(topic, TOPIC_LEVELS_MAX);
    c->import->counts.too_deep += deep;
    return deep;
}

static bool
is_over(const struct conversion *c, int64_t expires_s)
{
    return expires_s > 0 && (uint64_t)expires_s <= c->import->now_ms / 1000;
}

/* ---------------------------------------------------------------------------------------------------------- first pass */

static uint32_t
expiry_of(const struct conversion *c, const struct mosquitto_db_client *client)
{
    uint32_t most = c->import->config->persistent_client_expiration_s;
    return most > 0 && client->expiry_s > most ? most : client->expiry_s;
}

/* It is there until then at least: of a session that never ended, Mosquitto 1.6 says a time all the same. */
static bool
has_ended(const struct conversion *c, const struct mosquitto_db_client *client)
{
    return client->expiry_s == 0 || (client->expiry_s != MOSQUITTO_DB_NEVER && is_over(c, client->expires_s));
}

static void
look_at(struct conversion *c, const struct mosquitto_db_record *r, const uint8_t *at)
{
    switch (r->kind) {
    case MOSQUITTO_DB_MESSAGE:
        import_index_add_message(&c->index, &(struct import_message){.id = r->message.id, .at = at, .expired = is_over(c, r->message.expires_s)});
        break;
    case MOSQUITTO_DB_CLIENT:
        if (!has_ended(c, &r->client)) {
            import_index_add_client(&c->index, r->client.client_id);
        }
        break;
    case MOSQUITTO_DB_SUBSCRIPTION: import_index_add_subscription(&c->index, &r->subscription); break;
    case MOSQUITTO_DB_OWED:
        if (r->owed.state == MOSQUITTO_DB_RECEIVED) {
            import_index_add_received(&c->index, at);
        }
        break;
    default: break;
    }
}

static void
mark_retained(struct conversion *c, uint64_t id)
{
    struct import_message *m = import_index_message(&c->index, id);
    if (m != NULL) {
        m->retained = true;
    }
}

/* Shows every record to `visit`; false if the file is damaged. */
static bool
walk(struct conversion *c, const void *data, size_t size, void (*visit)(struct conversion *, const struct mosquitto_db_record *, const uint8_t *at))
{
    struct mosquitto_db_record r;
    enum mosquitto_db_answer answer = MOSQUITTO_DB_IS_DAMAGED;
    if (mosquitto_db_open(&c->db, data, size)) {
        const uint8_t *at = c->db.at;
        while ((answer = mosquitto_db_next(&c->db, &r)) == MOSQUITTO_DB_GIVES_RECORD) {
            visit(c, &r, at);
            at = c->db.at;
        }
    }
    return answer == MOSQUITTO_DB_ENDS;
}

static void
look_for_retained(struct conversion *c, const struct mosquitto_db_record *r, const uint8_t *at)
{
    (void)at;
    if (r->kind == MOSQUITTO_DB_RETAINED) {
        mark_retained(c, r->retained);
    }
}

/* One chunk again that has been read before. */
static struct mosquitto_db_record
read_again(const struct conversion *c, const uint8_t *at)
{
    struct mosquitto_db db = c->db;
    struct mosquitto_db_record r;
    db.at = at;
    enum mosquitto_db_answer answer = mosquitto_db_next(&db, &r);
    assert(answer == MOSQUITTO_DB_GIVES_RECORD);
    (void)answer;
    return r;
}

/* ------------------------------------------------------------------------------------------------------------ messages */

/* A message as the journal has it. `properties`: room for those that are forwarded. */
static struct entry_body
body_of(struct conversion *c, const struct mosquitto_db_message *m, uint8_t *properties)
{
    const struct import_client *publisher = import_index_client(&c->index, m->publisher);
    uint64_t number = ++c->bodies;
    return (struct entry_body){
        .number = number,
        .publisher = publisher != NULL ? publisher->identity : 0,
        .stamp = m->retain ? number : 0,
        .expiry_ms = m->expires_s > 0 ? (uint64_t)m->expires_s * 1000 : 0,
        .qos = m->qos,
        .retain = m->retain,
        .topic = m->topic,
        .properties = bytes_of(properties, forward_properties(&m->properties, properties)),
        .payload = m->payload,
    };
}

/* The message with all `deliveries` of it that are known now, already as bytes. Its body's number, or 0 when out of memory. */
static uint64_t
put_message(struct conversion *c, const struct mosquitto_db_message *m, bool retained, uint32_t delivery_count, struct bytes deliveries)
{
    uint8_t *properties = malloc(m->properties.raw.size + 1);
    if (properties == NULL) {
        c->index.out_of_memory = true;
        return 0;
    }
    struct entry_message e = {.body = body_of(c, m, properties), .keep_retained = retained, .delivery_count = delivery_count};
    struct writer w = begin_record(c, entry_message_size(&e) + deliveries.size);
    entry_put_message(&w, &e);
    writer_put(&w, deliveries);
    end_record(c, ENTRY_MESSAGE, &w);
    free(properties);
    return e.body.number;
}

/* NULL: it is not there, or over, or its topic is nothing for this broker. */
static struct import_message *
find_message(struct conversion *c, uint64_t id, struct mosquitto_db_record *out)
{
    struct import_message *m = import_index_message(&c->index, id);
    if (m == NULL || m->expired) {
        c->import->counts.unknown += m == NULL;
        return NULL;
    }
    *out = read_again(c, m->at);
    return is_too_deep(c, out->message.topic) ? NULL : m;
}

static void
put_retained(struct conversion *c, uint64_t id)
{
    struct mosquitto_db_record r;
    struct import_message *m = find_message(c, id, &r);
    if (m == NULL) {
        return;
    }
    c->import->counts.retained++;
    if (m->body == 0) {
        m->body = put_message(c, &r.message, true, 0, bytes_of(NULL, 0));
    }
}

/* ---------------------------------------------------------------------------------------------------------------- owed */

/* Subscription identifiers as entries have them; `out` has room for the block that they are from. */
static void
set_identifiers(struct entry_delivery *d, const struct properties *properties, uint8_t *out)
{
    struct reader block = reader_of(properties->raw);
    struct property_item item;
    struct writer w = writer_of(out, 4 * properties->subscription_id_count);
    while (property_next(&block, &item)) {
        if (item.id == PROPERTY_SUBSCRIPTION_IDENTIFIER) {
            writer_u32(&w, item.number);
        }
    }
    d->identifier_count = properties->subscription_id_count;
    d->identifiers = bytes_of(out, 4 * properties->subscription_id_count);
}

static void
put_further_delivery(struct conversion *c, const struct entry_delivery *d)
{
    struct writer w = begin_record(c, entry_deliveries_size() + entry_delivery_size(d));
    entry_put_deliveries(&w, 1);
    entry_put_delivery(&w, d);
    end_record(c, ENTRY_DELIVERIES, &w);
}

/* In the message's own record if that is not written yet. A released one needs no message. */
static void
put_delivery(struct conversion *c, struct import_message *m, const struct mosquitto_db_message *message, struct entry_delivery *d)
{
    bool released = d->state == ENTRY_DELIVERY_RELEASED;
    d->body = released ? 0 : m->body;
    if (d->body != 0 || released) {
        put_further_delivery(c, d);
        return;
    }
    uint8_t *bytes = malloc(entry_delivery_size(d));
    if (bytes == NULL) {
        c->index.out_of_memory = true;
        return;
    }
    struct writer w = writer_of(bytes, entry_delivery_size(d));
    entry_put_delivery(&w, d);
    m->body = put_message(c, message, m->retained, 1, bytes_of(bytes, entry_delivery_size(d)));
    free(bytes);
}

static uint8_t
state_of(const struct mosquitto_db_owed *o)
{
    return o->state == MOSQUITTO_DB_SENT ? ENTRY_DELIVERY_PUBLISHED : o->state == MOSQUITTO_DB_RELEASED ? ENTRY_DELIVERY_RELEASED : ENTRY_DELIVERY_QUEUED;
}

static void
put_owed_to(struct conversion *c, struct import_client *client, const struct mosquitto_db_owed *o)
{
    struct mosquitto_db_record r;
    struct import_message *m = find_message(c, o->message, &r);
    if (m == NULL && o->state != MOSQUITTO_DB_RELEASED) {
        return;
    }
    uint8_t *identifiers = malloc(4 * o->properties.subscription_id_count + 1);
    if (identifiers == NULL) {
        c->index.out_of_memory = true;
        return;
    }
    struct entry_delivery d = {
        .identity = client->identity,
        .number = ++client->delivery_number,
        .packet_id = o->state == MOSQUITTO_DB_QUEUED ? 0 : o->packet_id,
        .qos = o->qos,
        .state = state_of(o),
        .retain = o->retain,
    };
    set_identifiers(&d, &o->properties, identifiers);
    put_delivery(c, m, &r.message, &d);
    free(identifiers);
    c->import->counts.owed++;
}

static void
put_owed(struct conversion *c, const struct mosquitto_db_owed *o)
{
    struct import_client *client = import_index_client(&c->index, o->client_id);
    bool to_client = o->state == MOSQUITTO_DB_QUEUED || o->state == MOSQUITTO_DB_SENT || o->state == MOSQUITTO_DB_RELEASED;
    if (client == NULL) {
        c->import->counts.unknown += to_client;
    } else if (to_client && o->qos == 0) {
        c->import->counts.qos0++;
    } else if (to_client) {
        put_owed_to(c, client, o);
    }
}

/* ------------------------------------------------------------------------------------------------ received, not released */

/* What one session gets of a message, over all its subscriptions that match. */
struct match {
    struct entry_delivery delivery;
    uint8_t identifiers[4 * 64];
};

static bool
wants(const struct import_subscription *s, const struct mosquitto_db_message *m, const struct import_client *publisher)
{
    struct topic_filter filter;
    return s->client != NULL && !(s->is.no_local && s->client == publisher) && topic_filter_parse(s->is.filter, TOPIC_LEVELS_MAX, &filter) && !filter.shared &&
           topic_match(filter.filter, m->topic);
}

static void
add_to_match(struct match *match, const struct import_subscription *s, const struct mosquitto_db_message *m)
{
    struct entry_delivery *d = &match->delivery;
    uint8_t qos = s->is.qos < m->qos ? s->is.qos : m->qos;
    d->qos = qos > d->qos ? qos : d->qos;
    d->retain = d->retain || (s->is.retain_as_published && m->retain);
    if (s->is.identifier != 0 && 4 * d->identifier_count < sizeof match->identifiers) {
        struct writer w = writer_of(match->identifiers + 4 * d->identifier_count++, 4);
        writer_u32(&w, s->is.identifier);
    }
}

/* All subscriptions of the session of subscription `first` that want it; false if an earlier one was of the same session, which has it by then. */
static bool
match_session(const struct conversion *c, size_t first, const struct mosquitto_db_message *m, const struct import_client *publisher, struct match *out)
{
    const struct import_subscription *s = c->index.subscriptions.things;
    *out = (struct match){.delivery = {.identity = s[first].client->identity}};
    for (size_t i = 0; i < c->index.subscriptions.count; i++) {
        if (s[i].client != s[first].client || !wants(&s[i], m, publisher)) {
            continue;
        }
        if (i < first) {
            return false;
        }
        add_to_match(out, &s[i], m);
    }
    out->delivery.identifiers = bytes_of(out->identifiers, 4 * out->delivery.identifier_count);
    return out->delivery.qos > 0; /* nobody is connected */
}

/* To all sessions that want it; slow and obvious: few messages are in this state. */
static void
route(struct conversion *c, struct import_message *m, const struct mosquitto_db_message *message, const struct import_client *publisher)
{
    struct import_subscription *s = c->index.subscriptions.things;
    struct match match;
    for (size_t i = 0; i < c->index.subscriptions.count; i++) {
        if (wants(&s[i], message, publisher) && match_session(c, i, message, publisher, &match)) {
            match.delivery.number = ++s[i].client->delivery_number;
            put_delivery(c, m, message, &match.delivery);
            c->import->counts.owed++;
        }
    }
}

static void
put_received_identifier(struct conversion *c, struct import_client *client, uint16_t packet_id)
{
    struct entry_received e = {.identity = client->identity, .count = ++client->received_count, .packet_id = packet_id};
    struct writer w = begin_record(c, entry_received_size());
    entry_put_received(&w, &e);
    end_record(c, ENTRY_RECEIVED, &w);
    c->import->counts.received++;
}

/* Without a payload it only ends what the topic has. */
static void
retain_received(struct conversion *c, struct import_message *m, const struct mosquitto_db_message *message)
{
    if (message->payload.size > 0) {
        m->retained = true;
        c->import->counts.retained++;
        return;
    }
    struct entry_retain_removed e = {.stamp = ++c->bodies, .topic = message->topic};
    struct writer w = begin_record(c, entry_retain_removed_size(&e));
    entry_put_retain_removed(&w, &e);
    end_record(c, ENTRY_RETAIN_REMOVED, &w);
}

static void
put_received(struct conversion *c, const struct mosquitto_db_owed *o)
{
    struct import_client *client = import_index_client(&c->index, o->client_id);
    struct mosquitto_db_record r;
    if (client == NULL) {
        c->import->counts.unknown++;
        return;
    }
    put_received_identifier(c, client, o->packet_id);
    struct import_message *m = find_message(c, o->message, &r);
    if (m == NULL || m->body != 0) {
        return;
    }
    if (r.message.retain) {
        retain_received(c, m, &r.message);
    }
    route(c, m, &r.message, client);
    if (m->retained && m->body == 0) {
        m->body = put_message(c, &r.message, true, 0, bytes_of(NULL, 0));
    }
}

/* In the order in which they came, after all that was passed on before. */
static void
put_all_received(struct conversion *c)
{
    const uint8_t *const *at = c->index.received.things;
    for (size_t i = 0; i < c->index.received.count; i++) {
        struct mosquitto_db_record r = read_again(c, at[i]);
        put_received(c, &r.owed);
    }
}

/* ------------------------------------------------------------------------------------------------------------ sessions */

static unsigned
listener_of(const struct config *config, uint16_t port)
{
    for (unsigned i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].port == port) {
            return i;
        }
    }
    return 0;
}

/* The principal of a client that had a user name, as bytes; to be freed. Empty: anonymous. */
static struct bytes
principal_of(struct conversion *c, const struct mosquitto_db_client *client)
{
    if (client->user.size == 0 || !c->takes_users || !utf8_check(client->user)) {
        return bytes_of(NULL, 0);
    }
    const struct config *config = c->import->config;
    struct principal principal = {.user = client->user, .way = PRINCIPAL_UNPROVED, .listener = (uint8_t)listener_of(config, client->port)};
    uint32_t size = principal_entry_size(&principal, &config->listeners[principal.listener]);
    uint8_t *bytes = malloc(size);
    if (bytes == NULL) {
        c->index.out_of_memory = true;
        return bytes_of(NULL, 0);
    }
    struct writer w = writer_of(bytes, size);
    principal_entry_put(&w, &principal, &config->listeners[principal.listener]);
    return bytes_of(bytes, size);
}

/* It ends when Mosquitto would have ended it. */
static uint64_t
absent_since(const struct conversion *c, const struct mosquitto_db_client *client)
{
    uint64_t now_ms = c->import->now_ms;
    if (client->expiry_s == MOSQUITTO_DB_NEVER || client->expires_s <= (int64_t)client->expiry_s) {
        return now_ms;
    }
    uint64_t since_ms = ((uint64_t)client->expires_s - client->expiry_s) * 1000;
    return since_ms < now_ms ? since_ms : now_ms;
}

static void
put_session(struct conversion *c, const struct mosquitto_db_client *client)
{
    const struct import_client *known = import_index_client(&c->index, client->client_id);
    if (known == NULL || has_ended(c, client)) {
        c->import->counts.expired_sessions++;
        return;
    }
    struct bytes principal = principal_of(c, client);
    struct entry_session e = {
        .identity = known->identity,
        .absent_since_ms = absent_since(c, client),
        .expiry_s = expiry_of(c, client),
        .window = UINT16_MAX, /* the client says another one when it comes */
        .version = client->expiry_s == MOSQUITTO_DB_NEVER ? MQTT_VERSION_311 : MQTT_VERSION_5, /* likewise */
        .client_id = client->client_id,
        .principal = principal,
    };
    struct writer w = begin_record(c, entry_session_size(&e));
    entry_put_session(&w, &e);
    end_record(c, ENTRY_SESSION, &w);
    free((void *)(uintptr_t)principal.data);
    c->import->counts.sessions++;
}

static void
put_subscription(struct conversion *c, const struct mosquitto_db_subscription *s)
{
    const struct import_client *client = import_index_client(&c->index, s->client_id);
    struct topic_filter filter;
    bool fits = topic_filter_parse(s->filter, TOPIC_LEVELS_MAX, &filter);
    if (client == NULL || !fits) {
        c->import->counts.unknown += client == NULL;
        c->import->counts.too_deep += client != NULL;
        return;
    }
    struct entry_subscription e = {
        .identity = client->identity,
        .identifier = s->identifier,
        .qos = s->qos,
        .no_local = s->no_local,
        .retain_as_published = s->retain_as_published,
        .text = s->filter,
    };
    struct writer w = begin_record(c, entry_subscription_size(&e));
    entry_put_subscription(&w, &e);
    end_record(c, ENTRY_SUBSCRIPTION, &w);
    c->import->counts.subscriptions++;
}

/* --------------------------------------------------------------------------------------------------------- second pass */

static void
put_sessions(struct conversion *c, const struct mosquitto_db_record *r, const uint8_t *at)
{
    (void)at;
    if (r->kind == MOSQUITTO_DB_CLIENT) {
        put_session(c, &r->client);
    }
}

static void
put_rest(struct conversion *c, const struct mosquitto_db_record *r, const uint8_t *at)
{
    (void)at;
    switch (r->kind) {
    case MOSQUITTO_DB_MESSAGE: c->import->counts.expired_messages += is_over(c, r->message.expires_s); break;
    case MOSQUITTO_DB_SUBSCRIPTION: put_subscription(c, &r->subscription); break;
    case MOSQUITTO_DB_OWED: put_owed(c, &r->owed); break;
    case MOSQUITTO_DB_RETAINED: put_retained(c, r->retained); break;
    default: break;
    }
}

static bool
convert(struct conversion *c, const void *data, size_t size)
{
    if (!walk(c, data, size, look_at)) {
        return false;
    }
    import_index_close(&c->index);
    walk(c, data, size, look_for_retained);
    walk(c, data, size, put_sessions);
    walk(c, data, size, put_rest);
    c->import->counts.unknown += c->db.skipped;
    put_all_received(c);
    return true;
}

static bool
lets_anonymous_in(const struct config *config)
{
    bool any = false;
    for (unsigned i = 0; i < config->listener_count; i++) {
        any = any || config->listeners[i].allow_anonymous;
    }
    return any;
}

bool
import_run(struct import *import, const void *data, size_t size, char *error, size_t error_size)
{
    struct conversion c = {.import = import, .takes_users = !lets_anonymous_in(import->config)};
    import->counts = (struct import_counts){0};
    import_index_init(&c.index);
    bool good = convert(&c, data, size);
    if (!good) {
        snprintf(error, error_size, "%s", c.db.error);
    } else if (c.index.out_of_memory) {
        snprintf(error, error_size, "out of memory");
        good = false;
    }
    import_index_fini(&c.index);
    free(c.record);
    return good;
}
