/*
 * broker: whatever up to four clients do, in whatever order, a whole broker on two shards neither faults nor leaks, comes to rest, says only valid packets,
 * and forgets everyone when they are gone.
 *
 * The input is a program. Its first byte chooses limits, network faults and whether the clients leave before the broker stops; then come operations:
 *
 *   bit 7: go on at once (0: let the broker come to rest)   bits 6..2: what (enum operation)   bits 1..0: which client      then its arguments
 *
 * There are two users, and who names none comes in as well. Bytes are sent raw (CHUNK), with a fixed header made here so that the body may be of any size (PACKET), or as packets put together from small tables, so
 * that a changed byte of the program is another packet and not only another error.
 */
#include "test/support/scram_client.h"
#include "test/support/users.h"
#include "test/support/world.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PEERS 4u
#define SHARDS 2u
#define HOLDS_MAX 50000u
#define PACKET_MAX 30000u /* a message this large is lent between shards, not copied */

enum operation {
    OPEN, CLOSE, RESET, FINISH, STUCK, ADVANCE, CHUNK, PACKET, CONNECT, SUBSCRIBE, UNSUBSCRIBE, PUBLISH, PUBREL, ANSWER, READ, DISCONNECT,
    TURN, RELOAD, LOGIN, AUTH, HOLD_WORK, OPERATIONS
};

static char with_users[512]; /* what is always said, and the password file */
static const char *const always = "max_inflight_messages 3\nmax_queued_messages 5\npersistent_client_expiration 1h\n"
                                  "max_packet_size 30000\nmax_connect_packet_size 500\nreceive_maximum 4\n";
static const char *const limits[4] = {
    "shard_connections 8\n",
    "shard_connections 8\nqueue_qos0_messages true\nmax_queued_bytes 2000\nmax_inflight_bytes 3000\nmax_output_bytes 4096\nupgrade_outgoing_qos true\n",
    "shard_connections 8\nmax_retained_messages 2\nmax_subscriptions 3\nglobal_max_filters 4\nglobal_max_clients 3\nglobal_max_connections 3\nmemory_limit 400000\n",
    "shard_connections 2\nmax_qos 1\nretain_available false\nmax_topic_alias 2\nmax_keepalive 60\nallow_zero_length_clientid false\nmax_connections 3\n",
};

static const char *const filters[16] = {"a",  "a/b",       "#",           "+",           "a/+",          "a/#",          "$share/g/a", "$share/g/#",
                                        "b/c", "$share/h/a/b", "$share/g/+/b", "$share/h/a", "+/b", "$SYS/#", "a/b/c/d/#", "a/#/b"};
static const char *const topics[8] = {"a", "a/b", "b/c", "a/b/c", "x", "$SYS/x", "a//b", "b"};

struct peer {
    sim_connection connection;
    bool open, finished, stuck;
    bool legible;          /* its CONNECT is a valid one, so that answers can be taken apart */
    bool spoken;           /* the first packet is known */
    bool own_acks;         /* what it acknowledged is not known: it sent raw bytes */
    bool greeted, refused; /* CONNACK came; with an error */
    uint8_t version;
    uint8_t known_aliases; /* bit per alias */
    uint16_t alias_max, receive_max;
    uint32_t packet_size_max;
    uint16_t in_flight[16]; /* packet identifiers sent to it and not acknowledged to the end */
    uint32_t in_flight_count;
    uint16_t next_id, next_name;
    struct scram_client device; /* of its last LOGIN or AUTH that began an exchange */
    uint32_t first_used;
    uint8_t first[512];    /* what it sent first */
    uint8_t *received;
    uint32_t used, room;
};

struct program {
    const uint8_t *at, *end;
    struct world *world;
    struct config *reloaded[4]; /* by limits; live as long as the broker */
    struct peer peers[PEERS];
};

static uint8_t scratch[PACKET_MAX + 1024];

#define require(holds) ((holds) ? (void)0 : give_up(__LINE__, #holds))

static _Noreturn void
give_up(int line, const char *broken)
{
    fprintf(stderr, "fuzz/broker.c:%d: not so: %s\n", line, broken);
    abort();
}

static uint8_t
next(struct program *p)
{
    return p->at < p->end ? *p->at++ : 0;
}

static struct bytes
text_of(const char *text)
{
    return bytes_of(text, (uint32_t)strlen(text));
}

/* ------------------------------------------------------------------------------------------------------------------- talking */

static void
open_peer(struct program *p, struct peer *peer, int shard)
{
    if (!peer->open) {
        *peer = (struct peer){.open = true, .version = MQTT_VERSION_5};
        peer->connection = sim_connect(p->world->sim, WORLD_PORT, shard);
        require(peer->connection != SIM_CONNECTION_NONE);
    }
}

static void
close_peer(struct program *p, struct peer *peer)
{
    if (peer->open) {
        sim_free(p->world->sim, peer->connection);
        free(peer->received);
        *peer = (struct peer){0};
    }
}

/* Looks at the first packet that the client sends: it decides what the broker's answers mean. */
static void
note_first(struct peer *peer, const uint8_t *bytes, uint32_t size)
{
    uint32_t room = (uint32_t)sizeof peer->first - peer->first_used;
    memcpy(peer->first + peer->first_used, bytes, size < room ? size : room);
    peer->first_used += size < room ? size : room;
    struct frame frame;
    struct connect connect;
    enum frame_status status = frame_read(bytes_of(peer->first, peer->first_used), UINT32_MAX, &frame);
    if (status == FRAME_NEED_MORE) {
        return;
    }
    peer->spoken = true;
    peer->legible = status == FRAME_DONE && frame.type == PACKET_CONNECT && decode_connect(&frame, &connect) == REASON_SUCCESS;
    peer->version = peer->legible ? connect.version : MQTT_VERSION_5;
    const struct properties *wishes = &connect.properties;
    bool wished = peer->legible && connect.version == MQTT_VERSION_5;
    peer->alias_max = wished && properties_has(wishes, PROPERTY_TOPIC_ALIAS_MAXIMUM) ? wishes->topic_alias_maximum : 0;
    peer->receive_max = wished && properties_has(wishes, PROPERTY_RECEIVE_MAXIMUM) ? wishes->receive_maximum : UINT16_MAX;
    peer->packet_size_max = wished && properties_has(wishes, PROPERTY_MAXIMUM_PACKET_SIZE) ? wishes->maximum_packet_size : UINT32_MAX;
}

static void
say_bytes(struct program *p, struct peer *peer, const uint8_t *bytes, uint32_t size)
{
    if (!peer->open || peer->finished || size == 0) {
        return;
    }
    if (!peer->spoken) {
        note_first(peer, bytes, size);
    }
    sim_write(p->world->sim, peer->connection, bytes, size);
}

static void
say(struct program *p, struct peer *peer, const struct packet *packet)
{
    say_bytes(p, peer, scratch, encode_packet(scratch, sizeof scratch, peer->version, packet));
}

static void
say_raw(struct program *p, struct peer *peer)
{
    peer->own_acks = peer->spoken;
    uint32_t size = next(p);
    size = size < p->end - p->at ? size : (uint32_t)(p->end - p->at);
    say_bytes(p, peer, p->at, size);
    p->at += size;
}

static void
say_raw_packet(struct program *p, struct peer *peer)
{
    peer->own_acks = peer->spoken;
    uint8_t head[5] = {next(p)};
    uint32_t size = next(p);
    size = size < p->end - p->at ? size : (uint32_t)(p->end - p->at);
    struct writer w = writer_of(head + 1, 4);
    writer_varint(&w, size);
    say_bytes(p, peer, head, (uint32_t)(w.at - head));
    say_bytes(p, peer, p->at, size);
    p->at += size;
}

static void
say_connect(struct program *p, struct peer *peer)
{
    static const char *const ids[4] = {"a", "client", "c", ""};
    static const uint32_t expiries_s[4] = {0, 5, 60, UINT32_MAX};
    uint8_t how = next(p), more = next(p);
    struct packet packet = {.type = PACKET_CONNECT};
    struct connect *c = &packet.connect;
    open_peer(p, peer, -1);
    peer->version = peer->spoken ? peer->version : how % 4 == 3 ? 5 : 3 + how % 4;
    c->version = peer->version;
    c->clean_start = how >> 2 & 1;
    c->client_id = text_of(ids[more & 3]);
    c->keep_alive_s = more >> 2 & 1 ? 5 : 0;
    c->has_will = how >> 3 & 1;
    c->will.topic = text_of(topics[more >> 3 & 1]);
    c->will.payload = text_of("gone");
    c->will.qos = (how >> 4 & 3) % 3;
    c->will.retain = more >> 4 & 1;
    c->properties.session_expiry_s = expiries_s[how >> 6];
    c->properties.receive_maximum = 2;
    c->properties.topic_alias_maximum = 3;
    c->properties.maximum_packet_size = 100;
    c->will.properties.will_delay_s = 3;
    c->properties.present = (uint64_t)(how >> 6 != 0) << PROPERTY_SESSION_EXPIRY_INTERVAL | (uint64_t)(more >> 5 & 1) << PROPERTY_RECEIVE_MAXIMUM |
                            (uint64_t)(more >> 5 & 1) << PROPERTY_TOPIC_ALIAS_MAXIMUM | (uint64_t)(more >> 6 & 1) << PROPERTY_MAXIMUM_PACKET_SIZE;
    c->will.properties.present = (uint64_t)(more >> 7) << PROPERTY_WILL_DELAY_INTERVAL;
    say(p, peer, &packet);
}

static struct bytes
begin_exchange(struct peer *peer, bool right)
{
    scram_client_start(&peer->device, "n,,", "eve", "nonce", right ? "pencil" : "wrong");
    return scram_client_first(&peer->device);
}

static void
put_auth(struct properties *p, struct bytes data, bool good_method)
{
    p->authentication_method = good_method ? text_of("SCRAM-SHA-256") : text_of("PLAIN");
    p->authentication_data = data;
    properties_mark(p, PROPERTY_AUTHENTICATION_METHOD);
    if (data.size > 0) {
        properties_mark(p, PROPERTY_AUTHENTICATION_DATA);
    }
}

/* A CONNECT with a user name and a password, right or wrong, or one that begins an exchange. */
static void
say_login(struct program *p, struct peer *peer)
{
    static const char *const users[4] = {"ann", "eve", "nobody", ""};
    static const char *const secrets[4] = {"secret", "pencil", "wrong", ""};
    uint8_t how = next(p);
    struct packet packet = {.type = PACKET_CONNECT};
    struct connect *c = &packet.connect;
    open_peer(p, peer, -1);
    peer->version = peer->spoken ? peer->version : how & 1 ? 5 : 4;
    c->version = peer->version;
    c->clean_start = true;
    c->client_id = text_of(how >> 1 & 1 ? "client" : "c");
    c->has_user_name = c->has_password = how >> 2 & 1;
    c->user_name = text_of(users[how >> 3 & 3]);
    c->password = text_of(secrets[how >> 5 & 3]);
    if (how >> 7 && peer->version == 5) {
        put_auth(&c->properties, how >> 6 & 1 ? bytes_of(NULL, 0) : begin_exchange(peer, how >> 5 & 1), true);
    }
    say(p, peer, &packet);
}

/* AUTH: begins an exchange, or goes on with one. */
static void
say_auth(struct program *p, struct peer *peer)
{
    uint8_t how = next(p);
    bool begins = how & 1;
    struct packet packet = {.type = PACKET_AUTH, .disconnect = {.reason = how >> 1 & 1 ? REASON_REAUTHENTICATE : REASON_CONTINUE_AUTHENTICATION}};
    put_auth(&packet.disconnect.properties, begins ? begin_exchange(peer, how >> 2 & 1) : scram_client_final(&peer->device), how >> 3 & 1);
    if (peer->version == 5) {
        say(p, peer, &packet);
    }
}

static void
say_subscribe(struct program *p, struct peer *peer)
{
    uint8_t which = next(p), how = next(p);
    struct subscription_options options = {.qos = (how & 3) % 3, .no_local = how >> 2 & 1, .retain_as_published = how >> 3 & 1, .retain_handling = (how >> 4 & 3) % 3};
    uint8_t entries[64];
    uint32_t size = encode_subscribe_entry(entries, sizeof entries, text_of(filters[which & 15]), options);
    struct packet packet = {.type = PACKET_SUBSCRIBE, .subscribe = {.packet_id = (uint16_t)(1 + (which >> 4)), .count = 1}};
    if (how >> 6 & 1) {
        size += encode_subscribe_entry(entries + size, (uint32_t)sizeof entries - size, text_of(filters[which >> 4]), options);
        packet.subscribe.count++;
    }
    packet.subscribe.entries = bytes_of(entries, size);
    packet.subscribe.properties.subscription_id = 1 + (which & 3);
    packet.subscribe.properties.present = (uint64_t)(how >> 7) << PROPERTY_SUBSCRIPTION_IDENTIFIER;
    say(p, peer, &packet);
}

static void
say_unsubscribe(struct program *p, struct peer *peer)
{
    uint8_t which = next(p), entries[32];
    struct packet packet = {.type = PACKET_UNSUBSCRIBE, .unsubscribe = {.packet_id = 1, .count = 1}};
    packet.unsubscribe.entries = bytes_of(entries, encode_unsubscribe_entry(entries, sizeof entries, text_of(filters[which & 15])));
    say(p, peer, &packet);
}

static void
say_publish(struct program *p, struct peer *peer)
{
    static uint8_t payload[PACKET_MAX];
    static const uint32_t sizes[4] = {0, 3, 1500, 20000};
    char name[16];
    uint8_t what = next(p), how = next(p);
    struct packet packet = {.type = PACKET_PUBLISH};
    struct publish *publish = &packet.publish;
    publish->topic = text_of(topics[what & 7]);
    publish->qos = (what >> 3 & 3) % 3;
    publish->retain = what >> 5 & 1;
    publish->dup = publish->qos > 0 && what >> 6 & 1;
    publish->payload = bytes_of(payload, sizes[how & 3]);
    publish->properties.topic_alias = 1 + (how >> 2 & 1);
    publish->properties.message_expiry_s = 2;
    publish->properties.present = (uint64_t)(how >> 3 & 1) << PROPERTY_TOPIC_ALIAS | (uint64_t)(how >> 4 & 1) << PROPERTY_MESSAGE_EXPIRY_INTERVAL;
    if ((how >> 3 & 3) == 3 && peer->version == MQTT_VERSION_5) {
        publish->topic = bytes_of(NULL, 0); /* the alias alone */
    }
    unsigned count = 1u << (how >> 5); /* many: beyond windows, queues and what a replay says in one go */
    count = (how & 3) < 3 || count < 8 ? count : 8;
    for (unsigned i = 0; i < count; i++) {
        if (what >> 7) {
            snprintf(name, sizeof name, "a/%u", peer->next_name++ % 200u);
            publish->topic = text_of(name);
        }
        publish->packet_id = (uint16_t)(1 + peer->next_id++ % 6); /* soon used again, as no client should */
        say(p, peer, &packet);
    }
}

static uint16_t *
find_in_flight(struct peer *peer, uint16_t packet_id)
{
    for (uint32_t i = 0; i < peer->in_flight_count; i++) {
        if (peer->in_flight[i] == packet_id) {
            return &peer->in_flight[i];
        }
    }
    return NULL;
}

static void
say_ack(struct program *p, struct peer *peer, uint8_t type, uint16_t packet_id, uint8_t reason)
{
    bool refusal = type == PACKET_PUBREC && reason >= 0x80 && peer->version == MQTT_VERSION_5;
    uint16_t *in_flight = type == PACKET_PUBACK || type == PACKET_PUBCOMP || refusal ? find_in_flight(peer, packet_id) : NULL;
    if (in_flight != NULL) {
        *in_flight = peer->in_flight[--peer->in_flight_count];
    }
    say(p, peer, &(struct packet){.type = type, .ack = {.packet_id = packet_id, .reason = reason}});
}

static void
say_disconnect(struct program *p, struct peer *peer)
{
    uint8_t how = next(p);
    struct packet packet = {.type = PACKET_DISCONNECT, .disconnect = {.reason = how & 1 ? REASON_DISCONNECT_WITH_WILL : REASON_SUCCESS}};
    packet.disconnect.properties.session_expiry_s = how >> 2;
    packet.disconnect.properties.present = (uint64_t)(how >> 1 & 1) << PROPERTY_SESSION_EXPIRY_INTERVAL;
    say(p, peer, &packet);
}

/* ----------------------------------------------------------------------------------------------------------------- listening */

static void
pull(struct program *p, struct peer *peer)
{
    for (uint32_t waiting; (waiting = sim_readable(p->world->sim, peer->connection)) > 0;) {
        if (peer->used + waiting > peer->room) {
            peer->room = (peer->used + waiting) * 2;
            peer->received = realloc(peer->received, peer->room);
        }
        peer->used += sim_read(p->world->sim, peer->connection, peer->received + peer->used, waiting);
    }
}

/* MQTT5 [MQTT-3.3.2-8] [MQTT-3.3.2-9], 4.9 [MQTT-2.2.1-2] */
static void
check_publish(struct peer *peer, const struct publish *publish)
{
    if (properties_has(&publish->properties, PROPERTY_TOPIC_ALIAS)) {
        uint16_t alias = publish->properties.topic_alias;
        require(alias <= peer->alias_max);
        require(publish->topic.size > 0 || alias > 7 || peer->known_aliases >> alias & 1);
        peer->known_aliases |= (uint8_t)(alias > 7 ? 0 : 1u << alias);
    }
    if (publish->qos > 0 && !peer->own_acks) {
        require(find_in_flight(peer, publish->packet_id) == NULL);
        require(peer->in_flight_count < peer->receive_max && peer->in_flight_count < sizeof peer->in_flight / sizeof peer->in_flight[0]);
        peer->in_flight[peer->in_flight_count++] = publish->packet_id;
    }
}

/* One CONNACK, before everything but AUTH; after a refusal nothing; and what the client asked for in CONNECT is kept to. */
static void
check_packet(struct peer *peer, const struct packet *packet, uint32_t size)
{
    bool exchange = packet->type == PACKET_AUTH && !peer->greeted;
    require((peer->greeted == (packet->type != PACKET_CONNACK) || exchange) && !peer->refused);
    peer->greeted = !exchange;
    require(size <= peer->packet_size_max || packet->type == PACKET_CONNACK); /* MQTT5 [MQTT-3.1.2-24] */
    if (packet->type == PACKET_CONNACK) {
        peer->refused = packet->connack.reason != REASON_SUCCESS;
    } else if (packet->type == PACKET_PUBLISH) {
        check_publish(peer, &packet->publish);
    }
}

static void
prove(struct program *p, struct peer *peer, const struct packet *challenge)
{
    if (challenge->disconnect.reason == REASON_CONTINUE_AUTHENTICATION &&
        scram_client_answer(&peer->device, challenge->disconnect.properties.authentication_data)) {
        struct packet packet = {.type = PACKET_AUTH, .disconnect = {.reason = REASON_CONTINUE_AUTHENTICATION}};
        put_auth(&packet.disconnect.properties, scram_client_final(&peer->device), true);
        say(p, peer, &packet);
    }
}

static void
answer(struct program *p, struct peer *peer, const struct packet *packet, uint8_t reason)
{
    switch (packet->type) {
    case PACKET_PUBLISH:
        if (packet->publish.qos > 0) {
            say_ack(p, peer, packet->publish.qos == 1 ? PACKET_PUBACK : PACKET_PUBREC, packet->publish.packet_id, reason);
        }
        break;
    case PACKET_PUBREC: say_ack(p, peer, PACKET_PUBREL, packet->ack.packet_id, 0); break;
    case PACKET_PUBREL: say_ack(p, peer, PACKET_PUBCOMP, packet->ack.packet_id, 0); break;
    case PACKET_AUTH: prove(p, peer, packet); break;
    default: break;
    }
}

/* Takes in up to `count` packets; what the broker says must be valid. */
static void
hear(struct program *p, struct peer *peer, unsigned count, bool answers, uint8_t reason)
{
    if (!peer->open) {
        return;
    }
    pull(p, peer);
    if (peer->used == 0) {
        return;
    }
    uint32_t at = 0;
    struct frame frame;
    while (count-- > 0 && frame_read(bytes_of(peer->received + at, peer->used - at), UINT32_MAX, &frame) != FRAME_NEED_MORE) {
        require(frame.size > 0 && frame.size <= peer->used - at);
        struct packet packet = {.type = frame.type};
        uint8_t wrong = decode_packet(&frame, peer->version, PACKET_FROM_SERVER, &packet);
        require(wrong == REASON_SUCCESS || !peer->legible);
        if (peer->legible) {
            check_packet(peer, &packet, frame.size);
        }
        if (answers && wrong == REASON_SUCCESS) {
            answer(p, peer, &packet, reason);
        }
        at += frame.size;
    }
    if (at > 0) {
        memmove(peer->received, peer->received + at, peer->used - at);
        peer->used -= at;
    }
}

static void
hear_and_answer(struct program *p, struct peer *peer)
{
    uint8_t how = next(p);
    hear(p, peer, how & 1 ? 1 : 1000, true, how & 2 ? REASON_QUOTA_EXCEEDED : REASON_SUCCESS);
}

/* ----------------------------------------------------------------------------------------------------------------- the program */

static void
reset_peer(struct program *p, struct peer *peer)
{
    if (peer->open) {
        sim_reset(p->world->sim, peer->connection);
        peer->finished = true;
    }
}

static void
finish_peer(struct program *p, struct peer *peer)
{
    if (peer->open) {
        sim_finish(p->world->sim, peer->connection);
        peer->finished = true;
    }
}

static void
turn_stuck(struct program *p, struct peer *peer)
{
    if (peer->open) {
        peer->stuck = !peer->stuck;
        sim_set_stuck(p->world->sim, peer->connection, peer->stuck);
    }
}

/* As SIGHUP does, with other limits. */
static void
reload(struct program *p)
{
    struct config **config = &p->reloaded[next(p) & 3];
    if (*config == NULL) {
        char text[1024], error[256];
        int size = snprintf(text, sizeof text, "listener %d 127.0.0.1\nallow_anonymous true\nshards %u\nsys_interval 0\nlog_dest none\n%s%s", WORLD_PORT, SHARDS,
                            with_users, limits[config - p->reloaded]);
        *config = config_parse_text(text, (uint32_t)size, "reload", false, error, sizeof error);
        require(*config != NULL);
    }
    char error[256];
    /* Many in a row, without a turn between them, are refused. */
    require(broker_reload(p->world->broker, *config, error, sizeof error) == 0 || strstr(error, "still being taken over") != NULL);
}

/* Passwords are hashed when it is let go; each shard's queue is soon full. */
static void
hold_work(struct program *p)
{
    uint8_t room = next(p) & 3;
    sim_hold_work(p->world->sim, room > 0, room - 1u);
}

static void
step(struct program *p)
{
    static const uint16_t times_ms[8] = {1, 100, 1000, 3000, 6000, 8000, 11000, 61000};
    uint8_t operation = next(p);
    struct peer *peer = &p->peers[operation & 3];
    switch ((operation >> 2 & 31) % OPERATIONS) {
    case OPEN: open_peer(p, peer, next(p) % 3 - 1); break;
    case CLOSE: close_peer(p, peer); break;
    case RESET: reset_peer(p, peer); break;
    case FINISH: finish_peer(p, peer); break;
    case STUCK: turn_stuck(p, peer); break;
    case ADVANCE: world_advance(p->world, times_ms[next(p) & 7]); break;
    case CHUNK: say_raw(p, peer); break;
    case PACKET: say_raw_packet(p, peer); break;
    case CONNECT: say_connect(p, peer); break;
    case SUBSCRIBE: say_subscribe(p, peer); break;
    case UNSUBSCRIBE: say_unsubscribe(p, peer); break;
    case PUBLISH: say_publish(p, peer); break;
    case PUBREL: say_ack(p, peer, PACKET_PUBREL, 1 + next(p) % 6, 0); break;
    case ANSWER: hear_and_answer(p, peer); break;
    case READ: hear(p, peer, 1000, false, 0); break;
    case DISCONNECT: say_disconnect(p, peer); break;
    case TURN: shard_turn(p->world->broker->shards[next(p) % SHARDS], false); break;
    case RELOAD: reload(p); break;
    case LOGIN: say_login(p, peer); break;
    case AUTH: say_auth(p, peer); break;
    case HOLD_WORK: hold_work(p); break;
    default: break;
    }
    if (operation < 128) {
        world_settle(p->world);
    }
}

/* Once for all runs of this process. */
static void
make_users(void)
{
    if (with_users[0] == '\0') {
        users_open();
        users_add("ann", PASSWORD_PBKDF2, "secret");
        users_add("eve", PASSWORD_SCRAM, "pencil");
        snprintf(with_users, sizeof with_users, "%spassword_file %s\n", always, users_path());
        atexit(users_close);
    }
}

static struct world *
open_world(uint8_t setup)
{
    char options[1024];
    make_users();
    snprintf(options, sizeof options, "%s%s", with_users, limits[setup & 3]);
    struct world *world = world_open(setup, SHARDS, options);
    struct sim_faults faults = {.delay_ns_max = setup >> 2 & 1 ? 50000 : 0, .fragment_percent = setup >> 3 & 1 ? 50 : 0, .pipe_size = setup >> 4 & 1 ? 2000 : 0};
    sim_set_faults(world->sim, &faults);
    return world;
}

/* Everyone is gone, and so long ago that no session is left: neither is anything that was theirs. */
static void
check_forgotten(struct world *world)
{
    world_settle(world);
    /* Near the memory limit a publisher is read from a packet at a time: that it is gone comes after all it said. */
    for (unsigned i = 0; i < HOLDS_MAX && WORLD_COUNT(world, sockets) > 0; i++) {
        sim_advance(world->sim, UINT64_C(1000000000));
        world_settle(world);
    }
    for (unsigned i = 0; i < 3; i++) {
        world_settle(world);
        sim_advance(world->sim, UINT64_C(2) * 3600 * 1000000000);
    }
    world_settle(world);
    require(WORLD_COUNT(world, sockets) == 0);
    require(WORLD_COUNT(world, connected) == 0);
    require(WORLD_COUNT(world, sessions) == 0);
    require(WORLD_COUNT(world, subscriptions) == 0);
    require(WORLD_COUNT(world, shared_subscriptions) == 0);
    require(WORLD_COUNT(world, queued_messages) == 0);
    require(WORLD_COUNT(world, queued_bytes) == 0);
    require(WORLD_COUNT(world, inflight_messages) == 0);
    require(WORLD_COUNT(world, held_connections) == 0);
    require(atomic_load(&world->broker->session_count) == 0);
    require(atomic_load(&world->broker->connection_count) == 0);
    filter_index_check(world->broker->filters);
    for (unsigned i = 0; i < SHARDS; i++) {
        retained_check(world->broker->shards[i]->retained);
        require(world->broker->shards[i]->session_table.count == 0);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct program p = {.at = data + 1, .end = data + size, .world = open_world(data[0])};
    while (p.at < p.end) {
        step(&p);
    }
    for (unsigned i = 0; i < PEERS; i++) {
        hear(&p, &p.peers[i], 1000, false, 0);
    }
    bool stays = data[0] >> 7; /* the broker stops first */
    sim_hold_work(p.world->sim, stays, 0);
    for (unsigned i = 0; i < PEERS && !stays; i++) {
        close_peer(&p, &p.peers[i]);
    }
    if (!stays) {
        check_forgotten(p.world);
    }
    world_close(&p.world);
    for (unsigned i = 0; i < PEERS; i++) {
        free(p.peers[i].received); /* the connection itself went with its world */
    }
    for (unsigned i = 0; i < 4; i++) {
        config_free(&p.reloaded[i]);
    }
    log_close();
    return 0;
}
