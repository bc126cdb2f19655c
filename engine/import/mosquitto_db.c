#include "engine/import/mosquitto_db.h"

#include "codec/property.h"
#include "codec/topic.h"

#include <stdarg.h>
#include <stdio.h>

static const uint8_t magic[15] = {0x00, 0xB5, 0x00, 'm', 'o', 's', 'q', 'u', 'i', 't', 't', 'o', ' ', 'd', 'b'};

#define HEAD_SIZE 23u      /* magic, CRC, version */
#define CHUNK_HEAD_SIZE 8u /* kind, size of the content */
#define LEVELS_MAX UINT16_MAX /* of topics: what the broker has for a limit is not the file's matter */
#define DIRECTION_IN 0u
#define DIRECTION_OUT 1u

/* Mosquitto's names for what a message waits for, as numbers in the file. */
enum state_in_file {
    PUBLISH_QOS1 = 2,
    WAIT_FOR_PUBACK = 3,
    PUBLISH_QOS2 = 4,
    WAIT_FOR_PUBREC = 5,
    RESEND_PUBREL = 6,
    WAIT_FOR_PUBREL = 7,
    RESEND_PUBCOMP = 8,
    WAIT_FOR_PUBCOMP = 9,
    SEND_PUBREC = 10,
    QUEUED = 11,
};

__attribute__((format(printf, 2, 3))) static bool
complain(struct mosquitto_db *db, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(db->error, sizeof db->error, format, arguments);
    va_end(arguments);
    return false;
}

bool
mosquitto_db_open(struct mosquitto_db *db, const void *data, size_t size)
{
    *db = (struct mosquitto_db){.begin = data, .at = data, .end = (const uint8_t *)data + size};
    if (size < HEAD_SIZE || memcmp(data, magic, sizeof magic) != 0) {
        return complain(db, "this is not a database of Mosquitto");
    }
    struct reader r = reader_of(bytes_of(db->at + sizeof magic, HEAD_SIZE - sizeof magic));
    reader_u32(&r); /* CRC: never computed */
    db->version = reader_u32(&r);
    if (db->version != 5 && db->version != 6) {
        return complain(db, "format version %u is not known, only 5 and 6: start Mosquitto 1.6 or 2 once with the file, and stop it again, to have it written anew", db->version);
    }
    db->at += HEAD_SIZE;
    return true;
}

static uint64_t
read_u64(struct reader *r)
{
    struct bytes b = reader_take(r, 8);
    uint64_t value = 0;
    for (uint32_t i = b.size; i > 0; i--) {
        value = value << 8 | b.data[i - 1];
    }
    return value;
}

/* A block with its length; none at all where Mosquitto had none. */
static bool
read_properties(struct mosquitto_db *db, struct reader *r, struct properties *out)
{
    properties_clear(out);
    if (r->failed || reader_left(r) == 0) {
        return true;
    }
    /* As a server sends it, because subscription identifiers may stand in it. */
    if (properties_read(r, PACKET_PUBLISH, PACKET_FROM_SERVER, out) != 0) {
        return complain(db, "properties that MQTT does not allow");
    }
    return true;
}

static bool
is_client_id(struct bytes id)
{
    return id.size > 0 && utf8_check(id);
}

static bool
read_message(struct mosquitto_db *db, struct reader *r, struct mosquitto_db_message *out)
{
    out->id = read_u64(r);
    out->expires_s = (int64_t)read_u64(r);
    uint32_t payload_size = reader_u32(r);
    out->packet_id = reader_u16(r);
    uint16_t publisher_size = reader_u16(r);
    uint16_t user_size = reader_u16(r);
    uint16_t topic_size = reader_u16(r);
    reader_u16(r); /* the listener's port */
    out->qos = reader_u8(r);
    out->retain = reader_u8(r) != 0;
    out->publisher = reader_take(r, publisher_size);
    out->user = reader_take(r, user_size);
    out->topic = reader_take(r, topic_size);
    out->payload = reader_take(r, payload_size);
    if (!read_properties(db, r, &out->properties)) {
        return false;
    }
    if (r->failed) {
        return true;
    }
    if (out->qos > 2) {
        return complain(db, "a message with QoS %u", out->qos);
    }
    return topic_name_check(out->topic, LEVELS_MAX) || complain(db, "a message whose topic MQTT does not allow");
}

static int
state_of_owed_to_client(uint8_t in_file)
{
    switch (in_file) {
    case QUEUED: return MOSQUITTO_DB_QUEUED;
    case PUBLISH_QOS1:
    case PUBLISH_QOS2:
    case WAIT_FOR_PUBACK:
    case WAIT_FOR_PUBREC: return MOSQUITTO_DB_SENT;
    case RESEND_PUBREL:
    case WAIT_FOR_PUBCOMP: return MOSQUITTO_DB_RELEASED;
    default: return -1;
    }
}

static int
state_of_received_from_client(uint8_t in_file)
{
    switch (in_file) {
    case WAIT_FOR_PUBREL: return MOSQUITTO_DB_RECEIVED;
    case RESEND_PUBCOMP: return MOSQUITTO_DB_COMPLETED;
    case SEND_PUBREC:
    case QUEUED: return MOSQUITTO_DB_UNANSWERED;
    default: return -1;
    }
}

static bool
set_state(struct mosquitto_db *db, struct mosquitto_db_owed *out, uint8_t direction, uint8_t in_file)
{
    int state = -1;
    if (out->qos == 0 && direction == DIRECTION_OUT) {
        state = MOSQUITTO_DB_QUEUED; /* it is with option queue_qos0_messages, whatever it says */
    } else if (direction == DIRECTION_OUT) {
        state = state_of_owed_to_client(in_file);
    } else if (direction == DIRECTION_IN) {
        state = state_of_received_from_client(in_file);
    }
    if (state < 0) {
        return complain(db, "a message in a state that is not known (%u, direction %u)", in_file, direction);
    }
    out->state = (uint8_t)state;
    bool has_id = state == MOSQUITTO_DB_QUEUED || state == MOSQUITTO_DB_UNANSWERED || out->packet_id != 0;
    return has_id || complain(db, "a message under way without a packet identifier");
}

static bool
read_owed(struct mosquitto_db *db, struct reader *r, struct mosquitto_db_owed *out)
{
    out->message = read_u64(r);
    out->packet_id = reader_u16(r);
    uint16_t client_id_size = reader_u16(r);
    out->qos = reader_u8(r);
    uint8_t state = reader_u8(r);
    out->retain = (reader_u8(r) & 0xF0) != 0; /* the low half says whether it is sent again */
    uint8_t direction = reader_u8(r);
    out->client_id = reader_take(r, client_id_size);
    if (!read_properties(db, r, &out->properties)) {
        return false;
    }
    if (r->failed) {
        return true;
    }
    if (out->qos > 2) {
        return complain(db, "a message that is owed with QoS %u", out->qos);
    }
    if (!is_client_id(out->client_id)) {
        return complain(db, "a message that is owed to a client without a valid identifier");
    }
    return set_state(db, out, direction, state);
}

static bool
read_client(struct mosquitto_db *db, struct reader *r, struct mosquitto_db_client *out)
{
    uint16_t user_size = 0;
    out->expires_s = (int64_t)read_u64(r);
    out->expiry_s = reader_u32(r);
    reader_u16(r); /* the last packet identifier */
    uint16_t client_id_size = reader_u16(r);
    if (db->version >= 6) {
        out->port = reader_u16(r);
        user_size = reader_u16(r);
        if (reader_left(r) >= (uint32_t)client_id_size + user_size + 4) {
            reader_take(r, 4); /* padding, on machines that align 64-bit numbers */
        }
    }
    out->client_id = reader_take(r, client_id_size);
    out->user = reader_take(r, user_size);
    return r->failed || is_client_id(out->client_id) || complain(db, "a client without a valid identifier");
}

static bool
read_subscription(struct mosquitto_db *db, struct reader *r, struct mosquitto_db_subscription *out)
{
    struct topic_filter filter;
    out->identifier = reader_u32(r);
    uint16_t client_id_size = reader_u16(r);
    uint16_t filter_size = reader_u16(r);
    uint8_t qos = reader_u8(r);
    uint8_t options = reader_u8(r);
    reader_take(r, 2); /* padding */
    out->client_id = reader_take(r, client_id_size);
    out->filter = reader_take(r, filter_size);
    out->qos = qos & 3;
    out->no_local = (options & 4) != 0;
    out->retain_as_published = (options & 8) != 0;
    if (r->failed) {
        return true;
    }
    if (out->qos > 2) {
        return complain(db, "a subscription with QoS 3");
    }
    if (!is_client_id(out->client_id)) {
        return complain(db, "a subscription of a client without a valid identifier");
    }
    return topic_filter_parse(out->filter, LEVELS_MAX, &filter) || complain(db, "a subscription whose topic filter MQTT does not allow");
}

/* Files of machines whose identifiers have another size cannot be told from damage later. */
static bool
check_settings(struct mosquitto_db *db, struct reader *r)
{
    read_u64(r); /* the last message's id */
    reader_u8(r);
    uint8_t id_size = reader_u8(r);
    return r->failed || id_size == 8 || complain(db, "identifiers of %u bytes, not 8", id_size);
}

/* False: `error` says why. The content ends early where `r` has failed. */
static bool
read_content(struct mosquitto_db *db, uint32_t kind, struct reader *r, struct mosquitto_db_record *record)
{
    switch (kind) {
    case MOSQUITTO_DB_SETTINGS: return check_settings(db, r);
    case MOSQUITTO_DB_MESSAGE: return read_message(db, r, &record->message);
    case MOSQUITTO_DB_OWED: return read_owed(db, r, &record->owed);
    case MOSQUITTO_DB_RETAINED: record->retained = read_u64(r); return true;
    case MOSQUITTO_DB_SUBSCRIPTION: return read_subscription(db, r, &record->subscription);
    case MOSQUITTO_DB_CLIENT: return read_client(db, r, &record->client);
    default: db->skipped++; return true;
    }
}

static bool
is_shown(uint32_t kind)
{
    return kind > MOSQUITTO_DB_SETTINGS && kind <= MOSQUITTO_DB_CLIENT;
}

static enum mosquitto_db_answer
damaged(struct mosquitto_db *db, const uint8_t *chunk)
{
    char what[sizeof db->error];
    memcpy(what, db->error, sizeof what);
    snprintf(db->error, sizeof db->error, "damaged at byte %zu: %.100s", (size_t)(chunk - db->begin), what[0] != '\0' ? what : "it ends too early");
    db->at = db->end;
    return MOSQUITTO_DB_IS_DAMAGED;
}

/* Takes one chunk off; its kind, or 0 if it is damaged. */
static uint32_t
take_chunk(struct mosquitto_db *db, struct mosquitto_db_record *record)
{
    size_t left = (size_t)(db->end - db->at);
    struct reader head = reader_of(bytes_of(db->at, left < CHUNK_HEAD_SIZE ? (uint32_t)left : CHUNK_HEAD_SIZE));
    uint32_t kind = reader_u32(&head), size = reader_u32(&head);
    if (head.failed || size > left - CHUNK_HEAD_SIZE) {
        return 0;
    }
    struct reader content = reader_of(bytes_of(db->at + CHUNK_HEAD_SIZE, size));
    if (kind == 0 || !read_content(db, kind, &content, record) || content.failed) {
        return 0;
    }
    db->at += CHUNK_HEAD_SIZE + size;
    return kind;
}

enum mosquitto_db_answer
mosquitto_db_next(struct mosquitto_db *db, struct mosquitto_db_record *record)
{
    while (db->at != db->end) {
        const uint8_t *chunk = db->at;
        *record = (struct mosquitto_db_record){0};
        uint32_t kind = take_chunk(db, record);
        if (kind == 0) {
            return damaged(db, chunk);
        }
        if (is_shown(kind)) {
            record->kind = (uint8_t)kind;
            return MOSQUITTO_DB_GIVES_RECORD;
        }
    }
    return MOSQUITTO_DB_ENDS;
}
